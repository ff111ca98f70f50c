"""The lists are those of torch, also for shared modules, tied parameters, gaps and classes with lists of their own."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stepzero.probe import tree


class Renaming(nn.Linear):
    """Lists its parameters under names of its own."""

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        for name, parameter in super().named_parameters(*args, **kwargs):
            yield f"own.{name}", parameter


class Hiding(nn.Sequential):
    """Does not list what it holds."""

    def named_modules(self, memo: Any = None, prefix: str = "", remove_duplicate: bool = True) -> Any:
        yield prefix, self


def _shared() -> nn.Module:
    layer = nn.Linear(2, 2)
    return nn.Sequential(layer, nn.Sequential(nn.ReLU(), layer), nn.BatchNorm1d(2))


def _tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    model.register_module("gap", None)
    model.register_buffer("none", None)
    return model


def _scripted() -> nn.Module:
    return nn.Sequential(torch.jit.trace(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), torch.ones(2, 2)))


MODELS = [_shared, _tied, _scripted, lambda: Renaming(2, 2), lambda: nn.Sequential(Hiding(nn.Linear(2, 2)), nn.Tanh())]


@pytest.mark.parametrize("make", MODELS)
def test_the_lists_are_those_of_torch(make: Any) -> None:
    model = make()
    assert _same(tree.places(model), model.named_modules(remove_duplicate=False))
    assert _same(tree.modules(model), model.named_modules())
    assert _same(tree.parameters(model), model.named_parameters(remove_duplicate=False))
    assert _same(tree.buffers(model), model.named_buffers(remove_duplicate=False))
    assert _same(tree.once(tree.parameters(model)), model.named_parameters())
    assert _same(tree.once(tree.buffers(model)), model.named_buffers())


def _same(mine: list[tuple[str, Any]], theirs: Iterator[tuple[str, nn.Module | Tensor]]) -> bool:
    """Same names in the same order for the same objects (of traced modules, which are wrapped anew, the same kind)."""
    pairs = list(theirs)
    return [name for name, _ in mine] == [name for name, _ in pairs] and all(
        a is b or type(a) is type(b) for (_, a), (_, b) in zip(mine, pairs, strict=True)
    )


def test_what_stands_is_listed_once_and_no_longer_than_it_stands():
    model, other = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with tree.standing(model):
        model.append(nn.Linear(2, 2))  # nobody may; it shows that the model is not walked again
        assert [path for path, _ in tree.places(model)] == ["", "0"]
        assert [path for path, _ in tree.places(other)] == ["", "0", "1"]
    assert [path for path, _ in tree.places(model)] == ["", "0", "1"]
