"""The judge of 'the model is untouched' sees every kind of change, and nothing where there is none."""

import random
import warnings
from collections.abc import Callable

import numpy
import pytest
import torch
from torch import nn

from benchmarks.zoo.snapshot import take


def model_of() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    model[0].weight.grad = torch.ones(4, 4)
    model.notes = {"steps": 0, "seen": [1, 2]}
    return model


def same_values_elsewhere(model: nn.Module) -> None:
    model[0].weight.data = model[0].weight.data.clone()


def negative_zero(model: nn.Module) -> None:
    model[3].bias.data[0] = -0.0


def swap_hooks(model: nn.Module) -> None:
    model[0].register_forward_hook(lambda *_: None)


CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "a weight by one bit": lambda model: model[0].weight.data.view(torch.int32).bitwise_xor_(1),
    "the sign of a zero": negative_zero,
    "the same values in another storage": same_values_elsewhere,
    "another parameter object": lambda model: setattr(model[0], "weight", nn.Parameter(model[0].weight.data)),
    "running statistics": lambda model: model[1].running_mean.add_(1e-6),
    "a counter": lambda model: model[1].num_batches_tracked.add_(1),
    "a gradient where none was": lambda model: setattr(model[3].weight, "grad", torch.zeros(2, 4)),
    "no gradient where one was": lambda model: setattr(model[0].weight, "grad", None),
    "the content of a gradient": lambda model: model[0].weight.grad.add_(1),
    "the training flag of one module": lambda model: model[2].eval(),
    "requires_grad": lambda model: model[3].bias.requires_grad_(False),
    "a forward hook": swap_hooks,
    "a mark left on a tensor": lambda model: setattr(model[1].running_mean, "_mark", 1),
    "a tensor hook": lambda model: model[0].weight.register_hook(lambda gradient: gradient),
    "an accumulation hook": lambda model: model[0].weight.register_post_accumulate_grad_hook(lambda _: None),
    "a new attribute": lambda model: setattr(model[0], "forgotten", 1),
    "a patched forward": lambda model: setattr(model[0], "forward", print),
    "a value deep in a container": lambda model: model.notes["seen"].append(3),
    "a child": lambda model: model.append(nn.Identity()),
    "torch's generator": lambda _: torch.rand(1),
    "python's generator": lambda _: random.random(),
    "numpy's generator": lambda _: numpy.random.rand(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen(change: Callable[[nn.Module], object]) -> None:
    with torch.random.fork_rng():
        model = model_of()
        nn.init.zeros_(model[3].bias)
        before = take(model, torch.zeros(3, 4))
        change(model)
        assert before.differences(model, torch.zeros(0)), "the judge saw nothing"


def test_the_batch_is_watched() -> None:
    model, batch = model_of(), {"x": torch.zeros(3, 4)}
    before = take(model, batch)
    batch["x"][0, 0] = 1.0
    assert any("batch[0] bits" in line for line in before.differences(model, batch))


def test_process_wide_switches_are_watched() -> None:
    model, batch = model_of(), torch.zeros(1)
    before = take(model, batch)
    with torch.no_grad(), torch.autocast("cpu"), warnings.catch_warnings():
        lines = before.differences(model, batch)
    assert {line.partition(":")[0] for line in lines} >= {"grad mode", "autocast cpu"}


def test_a_patched_function_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = model_of(), torch.zeros(1)
    before = take(model, batch)
    monkeypatch.setattr(nn.functional, "relu", lambda x: x)
    assert any(line.startswith("functional names") for line in before.differences(model, batch))


def test_nothing_changed_means_nothing_said() -> None:
    model = model_of()
    model[3].weight.data[0, 0] = float("nan")  # equal bits, though NaN is not equal to itself
    batch = torch.full((3, 4), float("nan"))
    assert take(model, batch).differences(model, batch) == []
