import pytest

from benchmarks import lab_crash


@pytest.mark.slow
def test_a_killed_run_is_resumed_with_every_network_once_and_the_same_bits():
    result = lab_crash.trial(260, 400, 1, longest=0.2)
    assert result["once_each"]
    assert result["bit_equal"]
    assert 0 < result["after_each_kill"][0] < result["networks"] == 260
