"""The model is untouched, bit for bit, whatever its forward does and also when something raises."""

import random
import sys
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from stepzero.core.errors import IncompleteError
from stepzero.probe.capture import capture
from stepzero.probe.restore import Guard, Snapshot
from stepzero.probe.subject import subject_of
from tests.probe.models import CASES


def bits(tensor: Tensor | None) -> Any:
    """A comparable picture of one tensor: identity, shape, bytes."""
    if tensor is None:
        return None
    dense = tensor.detach()
    dense = torch.view_as_real(dense) if dense.is_complex() else dense
    data = bytes(dense.contiguous().reshape(-1).view(torch.uint8).tolist()) if dense.numel() else b""
    return id(tensor), tuple(tensor.shape), tensor.dtype, tensor.data_ptr(), sorted(vars(tensor)), data


def picture(model: nn.Module) -> dict[str, Any]:
    """Everything about a model that the promise covers; written without stepzero."""
    seen: dict[str, Any] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        seen[f"parameter {name}"] = (
            bits(parameter),
            parameter.requires_grad,
            bits(parameter.grad),
            parameter._backward_hooks,
        )
    for name, buffer in model.named_buffers(remove_duplicate=False):
        seen[f"buffer {name}"] = bits(buffer)
    for path, module in model.named_modules():
        seen[f"module {path}"] = module.training, sorted(module.__dict__)
        for key, value in module.__dict__.items():
            if isinstance(value, dict | list | set):
                seen[f"container {path}.{key}"] = id(value), [id(item) for item in value], len(value)
            elif isinstance(value, Tensor):
                seen[f"tensor {path}.{key}"] = bits(value)
            elif isinstance(value, int | float | str):
                seen[f"attribute {path}.{key}"] = value
    return seen


def surroundings() -> Any:
    """Global state."""
    return (
        torch.get_rng_state().tolist(),
        random.getstate(),
        torch.is_grad_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_default_dtype(),
        sys.getrecursionlimit(),
        len(nn.modules.module._global_forward_hooks),
        len(nn.modules.module._global_forward_pre_hooks),
        torch.utils.checkpoint.CheckpointFunction.__dict__.get("apply"),
        torch.autograd.Function.__dict__["apply"],
    )


def tensors(batch: Any) -> list[Tensor]:
    """Tensors of a batch."""
    items = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, tuple) else [batch]
    return [item for item in items if isinstance(item, Tensor)]


@pytest.mark.parametrize("name", CASES)
def test_model_batch_and_surroundings_are_untouched(name: str) -> None:
    model, batch, loss = CASES[name]()
    before, around, data = picture(model), surroundings(), [bits(tensor) for tensor in tensors(batch)]
    capture(subject_of(model, batch, loss))
    assert picture(model) == before
    assert surroundings() == around
    assert [bits(tensor) for tensor in tensors(batch)] == data


@pytest.mark.parametrize("where", ["forward", "loss", "backward"])
@pytest.mark.parametrize("name", CASES)
def test_untouched_when_it_raises(name: str, where: str) -> None:
    model, batch, loss = CASES[name]()

    class Bomb(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            raise RuntimeError("boom")

    def exploding(output: Any) -> Tensor:
        if where == "loss":
            raise RuntimeError("boom")
        return Bomb.apply(loss(output))

    if where == "forward":
        model.register_forward_hook(_explode)
    before, around = picture(model), surroundings()
    with pytest.raises(RuntimeError, match="boom") as caught:
        capture(subject_of(model, batch, exploding))
    assert any("unchanged" in note for note in caught.value.__notes__)
    assert picture(model) == before
    assert surroundings() == around


def _explode(*_: Any) -> None:
    raise RuntimeError("boom")


def test_checking_twice_gives_the_same_trace() -> None:
    for make in CASES.values():
        model, batch, loss = make()
        subject = subject_of(model, batch, loss)
        first, second = capture(subject), capture(subject)
        assert first.loss == second.loss
        assert [o.forward for o in first.operations] == [o.forward for o in second.operations]
        assert [p.gradient for p in first.parameters] == [p.gradient for p in second.parameters]


class _Masked(nn.Module):
    """Draws a mask as speech models do: with numpy, and with Python's own generator."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        mask = numpy.random.rand(*x.shape) < 0.5
        return self.layer(x * torch.from_numpy(mask)) * random.random()


def test_draws_from_every_global_generator_are_those_of_the_seed() -> None:
    layer = _Masked().layer.state_dict()

    def loss_of(seed: int) -> float | None:
        model = _Masked()
        model.layer.load_state_dict(layer)
        return capture(subject_of(model, torch.ones(8, 4), lambda y: y.sum(), seed=seed)).loss.value

    before = random.getstate(), numpy.random.get_state()[1].tolist()
    assert loss_of(3) == loss_of(3)
    assert loss_of(3) != loss_of(4)
    assert loss_of(2**40) is not None
    assert (random.getstate(), numpy.random.get_state()[1].tolist()) == before


def test_what_runs_by_itself_runs_under_the_hooks_too() -> None:
    """Deeper and deeper nested, up to where Python itself stops."""
    model: nn.Module = nn.Linear(4, 4)
    deepest = 0
    while deepest < 1000:
        deeper = nn.Sequential(model)
        try:
            deeper(torch.ones(2, 4))
        except RecursionError:
            break
        model, deepest = deeper, deepest + 1
    assert deepest > 100
    trace = capture(subject_of(model, torch.ones(2, 4)))
    assert [operation.name for operation in trace.weighted()] == ["linear"]


def test_a_write_on_purpose_is_kept_when_it_was_said() -> None:
    model = nn.Linear(3, 3)
    snapshot = Snapshot(model, Guard())
    with torch.no_grad():
        model.weight.fill_(2.0)
    with pytest.raises(IncompleteError, match="wrote to weight"):
        snapshot.restore()
    snapshot.renew()
    snapshot.restore()
    assert bool((model.weight == 2.0).all())
    with torch.no_grad():
        model.weight.fill_(3.0)
    with pytest.raises(IncompleteError, match="wrote to weight"):
        snapshot.restore()
