"""An optimizer nobody told of is unknown, not a default one."""

from stepzero.core.optimizer import OptimizerFact


def test_nothing_is_assumed() -> None:
    fact = OptimizerFact()
    assert (fact.name, fact.lr, fact.eps, fact.is_adaptive, fact.coupled_decay) == ("", None, None, False, 0.0)
