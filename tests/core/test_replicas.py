from stepzero.core.replicas import NO_REPLICAS


def test_a_model_without_replicas_has_no_record():
    assert not NO_REPLICAS.ran
    assert NO_REPLICAS.diverged == ()
