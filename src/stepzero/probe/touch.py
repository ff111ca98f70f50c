"""First touch by the user's own optimizer: at which step, and how hard, a sleeper first feels a gradient."""

from dataclasses import replace
from typing import Any

from stepzero.core.wake import WakeFact
from stepzero.probe.replica import Replica


def touched(replica: Replica, optimizer: Any, fact: WakeFact) -> WakeFact:
    """Take real steps of ``optimizer`` (over the copy's parameters) and note the first gradient of each sleeper.

    As many steps as the longest sleep under normalised ones: a real optimizer wakes no layer earlier.
    """
    sleepers = {each.parameter for each in fact.parameters if each.delay}
    if not sleepers:
        return fact
    first: dict[str, tuple[int, float]] = {}
    replica.reset()
    for step in range(max(each.delay for each in fact.parameters) + 1):
        gradients, _ = replica.run(step % 2)
        for name in sleepers - set(first):
            gradient = gradients.get(name)
            size = float(gradient.abs().max()) if gradient is not None and gradient.numel() else 0.0
            if size > 0 and step > 0:
                first[name] = (step, size)
        for name, parameter in replica.trainable.items():
            parameter.grad = gradients.get(name)
        optimizer.step()
    for parameter in replica.trainable.values():
        parameter.grad = None
    replica.reset()
    parameters = tuple(
        replace(each, touch_step=first[each.parameter][0], touch_size=first[each.parameter][1])
        if each.parameter in first
        else each
        for each in fact.parameters
    )
    return replace(fact, parameters=parameters, optimizer=type(optimizer).__name__)
