"""What nobody wrote is found; what somebody wrote, in whatever way, is not accused."""

import itertools
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stepzero.core.provenance import PoisonFact
from stepzero.probe.build import build
from stepzero.probe.poison import Marking, mark_of, poison
from stepzero.probe.subject import subject_of
from tests.probe.observing import Net, seeded

X = seeded(5, 4)


class Holder(nn.Module):
    """A sound layer and one tensor more."""

    def __init__(self, tensor: Tensor, kind: str = "parameter") -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        if kind == "parameter":
            self.extra = nn.Parameter(tensor, requires_grad=tensor.is_floating_point() or tensor.is_complex())
        else:
            self.register_buffer("extra", tensor)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def poisoned(make: Any, batch: Any = X) -> PoisonFact:
    return poison(build(make, batch))


def found(make: Any, batch: Any = X) -> dict[str, tuple[str, int, int]]:
    fact = poisoned(make, batch)
    assert fact.ran
    return {row.name: (row.kind, row.numel, row.num_unwritten) for row in fact.unwritten}


def partly() -> Tensor:
    tensor = torch.empty(3, 4)
    tensor[:2] = 1.0
    return tensor


def resized() -> Tensor:
    return torch.zeros(2).resize_(5)


UNWRITTEN = {
    "a parameter": (lambda: Holder(torch.empty(3, 4)), ("parameter", 12, 12)),
    "a legacy constructor": (lambda: Holder(torch.Tensor(3, 4)), ("parameter", 12, 12)),
    "a legacy constructor of a type": (lambda: Holder(torch.FloatTensor(3, 4)), ("parameter", 12, 12)),
    "like another": (lambda: Holder(torch.empty_like(torch.ones(5))), ("parameter", 5, 5)),
    "new empty": (lambda: Holder(torch.ones(2).new_empty(6)), ("parameter", 6, 6)),
    "one row": (lambda: Holder(partly()), ("parameter", 12, 4)),
    "bfloat16": (lambda: Holder(torch.empty(4, dtype=torch.bfloat16)), ("parameter", 4, 4)),
    "complex": (lambda: Holder(torch.empty(4, dtype=torch.complex64)), ("parameter", 4, 4)),
    "a buffer": (lambda: Holder(torch.empty(3), "buffer"), ("buffer", 3, 3)),
    "a counter": (lambda: Holder(torch.empty((), dtype=torch.long), "buffer"), ("buffer", 1, 1)),
    "a mask": (lambda: Holder(torch.empty(2, dtype=torch.bool), "buffer"), ("buffer", 2, 2)),
    "grown": (lambda: Holder(resized()), ("parameter", 5, 3)),
    "cast": (lambda: Holder(torch.empty(4).double()), ("parameter", 4, 4)),
    "computed from it": (lambda: Holder(torch.empty(4) * 0.5 + 1), ("parameter", 4, 4)),
    "clamped": (lambda: Holder(torch.nan_to_num(torch.empty(4))), ("parameter", 4, 0)),
}


@pytest.mark.parametrize("name", UNWRITTEN)
def test_memory_that_nobody_wrote_is_found(name: str) -> None:
    make, row = UNWRITTEN[name]
    assert found(make) == {"extra": row}


def test_moving_from_meta_leaves_everything_unwritten() -> None:
    def make() -> nn.Module:
        with torch.device("meta"):
            model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        return model.to_empty(device="cpu")

    names = {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert set(found(make)) == names


def test_a_module_forgotten_after_moving_from_meta_is_the_one_found() -> None:
    def make() -> nn.Module:
        with torch.device("meta"):
            model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
        model.to_empty(device="cpu")
        model[0].reset_parameters()
        return model

    assert set(found(make)) == {"1.weight", "1.bias"}


WRITTEN = {
    "filled in place": lambda: Holder(torch.empty(3, 4).fill_(2.0)),
    "initialised": lambda: Holder(nn.init.orthogonal_(torch.empty(3, 4))),
    "copied": lambda: Holder(torch.empty(4).copy_(torch.ones(4))),
    "written through data": lambda: Holder(_through_data()),
    "zeros": lambda: Holder(torch.zeros(3)),
    "given another shape": lambda: Holder(torch.ones(4).resize_(2, 2)),
    "cut": lambda: Holder(torch.ones(4).resize_(3)),
    "NaN on purpose": lambda: Holder(torch.full((3,), float("nan"))),
    "the largest integer": lambda: Holder(torch.tensor([2**63 - 1]), "buffer"),
    "all true": lambda: Holder(torch.ones(3, dtype=torch.bool), "buffer"),
    "no elements": lambda: Holder(torch.empty(0, 3)),
    "attention": lambda: Net(lambda self, x: self.a(x, x, x)[0], a=nn.MultiheadAttention(4, 2)),
    "recurrent": lambda: Net(lambda self, x: self.a(x)[0], a=nn.LSTM(4, 4, num_layers=2)),
    "norms": lambda: nn.Sequential(nn.BatchNorm1d(4), nn.LayerNorm(4), nn.RMSNorm(4), nn.PReLU()),
    "orthogonal": lambda: nn.utils.parametrizations.orthogonal(nn.Linear(4, 4)),
}


def _through_data() -> Tensor:
    tensor = torch.empty(4)
    tensor.data.normal_()
    return tensor


@pytest.mark.parametrize("name", WRITTEN)
def test_memory_that_somebody_wrote_is_not_accused(name: str) -> None:
    assert found(WRITTEN[name]) == {}


class Cached(nn.Module):
    """A buffer that the first forward fills, as rotary caches are."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("cache", torch.empty(4))

    def forward(self, x: Tensor) -> Tensor:
        self.cache.copy_(torch.arange(4.0))
        return self.layer(x) + self.cache


def test_a_cache_that_the_first_forward_fills_is_forgiven() -> None:
    assert found(Cached) == {}


def test_a_cache_of_a_model_that_cannot_run_is_not_forgiven() -> None:
    class Broken(Cached):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("boom")

    assert set(found(Broken)) == {"cache"}


def test_a_forward_that_overwrites_the_batch_does_not_reach_the_users() -> None:
    class Greedy(Cached):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.zero_())

    batch = seeded(5, 4)
    assert found(Greedy, batch) == {}
    assert torch.equal(batch, seeded(5, 4))


def test_statistics_that_the_forward_only_moves_are_not_forgiven() -> None:
    def make() -> nn.Module:
        model = nn.BatchNorm1d(4)
        model.running_mean = torch.empty(4)
        model.num_batches_tracked = torch.empty((), dtype=torch.long)
        return model

    assert set(found(make)) == {"running_mean", "num_batches_tracked"}


def test_a_factory_that_does_not_repeat_is_not_accused() -> None:
    numbers = itertools.count()
    assert found(lambda: Holder(torch.full((3,), float(next(numbers))))) == {}
    assert found(lambda: Holder(torch.tensor([random.SystemRandom().random()]))) == {}


def test_a_factory_that_does_not_repeat_still_has_its_unwritten_memory_found() -> None:
    numbers = itertools.count()

    def make() -> nn.Module:
        model = Holder(torch.empty(3))
        model.drawn = nn.Parameter(torch.tensor([float(next(numbers))]))
        return model

    assert set(found(make)) == {"extra"}


def test_the_number_of_builds_is_three_when_something_was_found_and_two_else() -> None:
    calls = []

    def counted(tensor: Any) -> Any:
        return lambda: calls.append(1) or Holder(tensor())

    for tensor, builds in ((lambda: torch.zeros(3), 2), (lambda: torch.empty(3), 3)):
        subject = build(counted(tensor), X)
        calls.clear()
        poison(subject)
        assert len(calls) == builds


def test_without_a_factory_nothing_is_said() -> None:
    fact = poison(subject_of(nn.Linear(4, 4), X))
    assert not fact.ran
    assert "factory" in fact.reason


def test_a_factory_that_breaks_on_the_marks_is_not_the_users_trouble() -> None:
    def make() -> nn.Module:
        weight = torch.zeros(2).new_empty(256)
        if weight.isnan().all():  # plain fresh memory may hold a NaN by chance, hardly 256 of them
            raise FloatingPointError("found NaN\nin the memory")
        return Holder(torch.zeros(3))

    fact = poisoned(make)
    assert not fact.ran
    assert fact.reason == "the factory raised FloatingPointError in marked memory: found NaN in the memory"


def test_the_probe_leaves_randomness_and_the_subject_alone() -> None:
    subject = build(Cached, X)
    before, state = subject.model.cache.clone(), torch.get_rng_state()
    poison(subject)
    assert torch.equal(torch.get_rng_state(), state)
    assert bytes(subject.model.cache.untyped_storage()) == bytes(before.untyped_storage())
    assert torch.equal(X, seeded(5, 4))


def test_a_lazy_layer_is_passed_over() -> None:
    assert found(lambda: nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 3))) == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8, torch.bool, torch.float16, torch.complex64])
def test_marks_of_two_builds_differ_and_fill_what_is_allocated(dtype: torch.dtype) -> None:
    assert mark_of(dtype, first=True) != mark_of(dtype, first=False)
    with Marking(first=False):
        tensor = torch.empty(3, dtype=dtype)
    assert (tensor == mark_of(dtype, first=False)).all()
