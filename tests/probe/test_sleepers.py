"""What sleeps, asked in float64 and in the model's own float32: rounding must not change the answer."""

import pytest
import torch
from torch import nn

from stepzero.measure.control import laws
from stepzero.probe import wake as wake_module
from stepzero.probe.capture import capture
from stepzero.probe.replica import Replica
from stepzero.probe.sleepers import Sleepers
from stepzero.probe.subject import subject_of
from stepzero.probe.wake import wake
from tests.probe.planting import X, square, stack
from tests.probe.sleeping import TOKENS, Attends, Gated, Low, Rezero, Routed, by_name, only_biases, woken, zeroed


class Packed(nn.Module):
    """Torch's attention, whose query, key and value bias are one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(x + self.attention(x, x, x, need_weights=False)[0])


def half_dead() -> nn.Sequential:
    model = stack(6, 8, 8, 3, phi=nn.ReLU)
    with torch.no_grad():
        model[0].bias[:3] = -100.0
    return model


SUBJECTS = {
    "zero head": (lambda: zeroed(stack(6, 8, 8, 3), "4.weight"), X),
    "key bias": (lambda: Attends(bias=True), TOKENS),
    "packed key bias": (Packed, TOKENS),
    "packed key bias behind a zero head": (lambda: zeroed(Packed(), "head.weight"), TOKENS),
    "units that are off": (half_dead, X),
    "residual gates of zero": (Rezero, X),
    "zero branch end": (lambda: zeroed(Gated(), "down.weight"), X),
    "adapter": (lambda: zeroed(Low(), "B"), X),
    "dead adapter": (lambda: zeroed(Low(), "A", "B"), X),
    "dead product": (lambda: zeroed(stack(6, 8, 8, 3), "2.weight", "4.weight"), X),
    "three zero layers": (lambda: only_biases(4), X),
    "router": (Routed, X),
    "softmax over one unit": (lambda: nn.Sequential(*stack(6, 8, 1), nn.Softmax(-1)), X),
    "sound": (lambda: stack(6, 8, 3), X),
}


def made(model, batch, *, as_is):
    subject = subject_of(model, batch, square)
    return Sleepers(Replica(subject, as_is=as_is), laws(capture(subject)), 3, 0, frozenset(), 1e-9)


@pytest.mark.parametrize("name", SUBJECTS)
def test_what_float32_is_sure_of_float64_says_too(name, monkeypatch):
    build, batch = SUBJECTS[name]
    subject = subject_of(build(), batch, square)
    seen = capture(subject)
    quick = wake(subject, seen)
    monkeypatch.setattr(wake_module, "_glance", lambda *_: None)
    exact = wake(subject, seen)
    assert [(each.parameter, each.first, each.cause, each.control) for each in quick.parameters] == [
        (each.parameter, each.first, each.cause, each.control) for each in exact.parameters
    ]
    assert (quick.products, quick.blockers, quick.output_is_constant) == (
        exact.products,
        exact.blockers,
        exact.output_is_constant,
    )


@pytest.mark.parametrize(
    ("name", "copies"),
    [("zero head", 1), ("key bias", 1), ("packed key bias", 1), ("units that are off", 1), ("dead adapter", 2)],
)
def test_float64_is_asked_only_where_float32_is_not_sure(name, copies, monkeypatch):
    build, batch = SUBJECTS[name]
    asked = []

    class Counted(Replica):
        def __init__(self, subject, **flags):
            asked.append(flags)
            super().__init__(subject, **flags)

    monkeypatch.setattr(wake_module, "Replica", Counted)
    subject = subject_of(build(), batch, square)
    wake(subject, capture(subject))
    assert asked == [{"as_is": True}, {}][:copies]


@pytest.mark.parametrize("as_is", [False, True])
def test_a_zero_head_lets_everything_below_it_sleep_for_one_step(as_is):
    sleepers = made(zeroed(stack(6, 8, 8, 3), "4.weight"), X, as_is=as_is)
    assert sleepers.stepped() == 1
    assert {name: set(first) for name, first in sleepers.first.items()} == {
        "0.weight": {1},
        "0.bias": {1},
        "2.weight": {1},
        "2.bias": {1},
        "4.weight": {0},
        "4.bias": {0},
    }
    assert (sleepers.stuck, sleepers.latest) == ([], 1)


@pytest.mark.parametrize("as_is", [False, True])
def test_questions_leave_the_copy_at_its_start(as_is):
    sleepers = made(half_dead(), X, as_is=as_is)
    sleepers.stepped()
    assert sleepers.asleep("0.weight") == [0, 1, 2]
    assert sleepers.is_silent("0.weight")
    assert sleepers.zero_slices("0.weight") == []
    sleepers.change_by("0.weight"), sleepers.control, sleepers.revived_by(["0.weight"])
    for name, parameter in sleepers.replica.parameters.items():
        assert torch.equal(parameter, sleepers.replica.start_of(name))


def test_a_gradient_that_is_not_finite_ends_it():
    model = stack(6, 8, 3)
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    assert made(model, X, as_is=False).stepped() is None


@pytest.mark.parametrize(
    ("hidden", "slices", "ratio", "by_chance"),
    [(1, 64, 1e-3, True), (2, 64, 1e-3, True), (3, 64, 1e-3, False), (1, 16, 1e-3, False), (1, 64, 0.5, False)],
)
def test_a_few_of_many_slices_are_small_by_chance(hidden, slices, ratio, by_chance):
    """A third of a packed bias is not: its keys cancel."""
    subject = subject_of(stack(6, 8, 3), X, square)
    sleepers = Sleepers(Replica(subject, as_is=True), {}, 3, 0, frozenset(), 1e-5)
    sizes = torch.ones(slices, dtype=torch.float64)
    sizes[:hidden] = -ratio
    sleepers.first["w"] = [None if size < 0 else 0 for size in sizes.tolist()]
    sleepers.last["w"] = sizes
    assert sleepers.is_small_by_chance("w") is by_chance


def test_what_is_small_by_chance_is_not_exactly_zero():
    subject = subject_of(stack(6, 8, 3), X, square)
    sleepers = Sleepers(Replica(subject, as_is=True), {}, 3, 0, frozenset(), 1e-5)
    sleepers.first["w"], sleepers.last["w"] = [None, *[0] * 63], torch.cat([torch.zeros(1), torch.ones(63)]).double()
    assert not sleepers.is_small_by_chance("w")


class Stream(nn.Module):
    """Two residual blocks that end in a norm of gain zero, in front of a rectifier: channels that are off stay off."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(16, 16, 3, padding=1),
                nn.GroupNorm(4, 16),
                nn.ReLU(),
                nn.Conv2d(16, 16, 1),
                nn.GroupNorm(4, 16),
            )
            for _ in range(2)
        )
        self.head = nn.Linear(16, 4)
        with torch.no_grad():
            self.stem.bias[:2] = -100.0
            for block in self.blocks:
                block[4].weight.zero_()

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for block in self.blocks:
            x = torch.relu(x + block(x))
        return self.head(x.mean((2, 3)))


def test_channels_that_are_off_behind_a_zero_gain_are_no_dead_product():
    """Their zeros are at the kink of the rectifier; the other gains of the norm move, and wake what is behind them."""
    images = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model = Stream()
    fact = woken(model, images)
    assert fact.ran
    assert fact.products == ()
    assert by_name(fact)["blocks.0.4.weight"].cause == "value"
