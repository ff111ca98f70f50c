import pytest

from benchmarks import lab_scale


@pytest.mark.slow
def test_a_small_run_is_measured():
    result = lab_scale.trial(64, 3, 1)
    assert result["store_mib"] > 0
    assert 0 < result["open_and_summarise_seconds"] < lab_scale.OPENS
    assert result["peak_mib_of_a_process"] > 50
