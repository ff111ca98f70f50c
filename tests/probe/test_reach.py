"""What code within reach of forward names, and what only a constructor does."""

import functools

import pytest
import torch
from torch import Tensor, nn

from stepzero.probe.reach import optional


def plain(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


class Reader(nn.Module):
    """Reads words, and an image when there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.image, self.spare = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(4))
        self.newline = nn.Parameter(torch.zeros(4))
        self.tasks = nn.ModuleDict({"a": nn.Linear(4, 2), "b": nn.Linear(4, 2)})
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.table, self.kept = nn.Embedding(3, 4), nn.Embedding(3, 4)

    def reset(self) -> None:
        nn.init.zeros_(self.spare.weight)

    @plain
    def forward(self, words: Tensor, image: Tensor | None = None, task: str = "a") -> Tensor:
        hidden = self.blocks[0](self.words(words))
        if image is not None:
            hidden = hidden + self.look(image)
        return self.tasks[task](hidden)

    def restored(self, latent: Tensor) -> Tensor:
        return latent * self.scale

    def look(self, image: Tensor) -> Tensor:
        return self.image(image) + self.newline + self.table.weight[0]


def names(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_parameters()]


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: nn.Sequential(nn.Linear(4, 4), model)])
def test_what_a_branch_or_a_key_would_reach_is_optional(wrap):
    model = wrap(Reader())
    prefix = "1." if isinstance(model, nn.Sequential) else ""
    unread = [prefix + name for name in ("image.weight", "image.bias", "newline", "spare.weight", "spare.bias",
                                         "tasks.b.weight", "tasks.b.bias", "blocks.1.weight", "blocks.1.bias",
                                         "table.weight", "kept.weight")]  # fmt: skip
    waiting = {prefix + name for name in ("image.weight", "image.bias", "newline", "tasks.b.weight", "tasks.b.bias",
                                          "table.weight")}  # fmt: skip
    assert optional(model, unread, names(model)) == waiting


def test_what_an_unnamed_module_calls_is_not_within_reach():
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.lost = nn.Linear(4, 4), Reader()

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    model = Holder()
    assert not optional(model, [name for name in names(model) if name.startswith("lost")], names(model))


def test_what_a_public_method_of_the_model_uses_is_for_another_call():
    model = Reader()
    assert optional(model, ["scale"], names(model)) == {"scale"}


def test_a_model_that_reads_all_has_no_options():
    model = Reader()
    assert optional(model, [], names(model)) == set()


def test_a_whole_model_that_nothing_reads_has_no_owner():
    model = nn.Linear(4, 4)
    assert optional(model, names(model), names(model)) == set()
