"""Calling a factory: what it may return, what is recorded, what stays untouched."""

import inspect
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stepzero.core.errors import BatchError, TargetError
from stepzero.probe.build import build, parts, recorded_lines
from tests.probe.observing import seeded

X = seeded(5, 4)
HERE = "tests/probe/test_build.py"


def line_of(function: Any, text: str) -> str:
    """``path:line`` of the line of ``function`` that holds ``text``."""
    lines, start = inspect.getsourcelines(function)
    (found,) = [number for number, line in enumerate(lines, start) if text in line]
    return f"{HERE}:{found}"


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 8)
        self.down = self.make_down(width)

    def make_down(self, width: int) -> nn.Module:
        return nn.Linear(8, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.up(x))


class Wider(Block):
    """Constructed through a subclass."""

    def __init__(self) -> None:
        super().__init__(4)
        self.extra = nn.LazyLinear(3)


def network() -> nn.Module:
    first = Block(4)
    return nn.Sequential(
        first,
        nn.Sequential(nn.Linear(4, 4), nn.ReLU()),  # the inner pair
        *[nn.Linear(4, 4) for _ in range(2)],  # a list of layers
    )


def test_every_module_has_the_line_that_made_it() -> None:
    lines = build(lambda: (network(), X)).source_lines
    assert lines["0"] == line_of(network, "Block(4)")
    assert lines["0.up"] == line_of(Block, "self.up =")
    assert lines["0.down"] == line_of(Block, "return nn.Linear(8")
    assert lines["1"] == lines["1.0"] == lines["1.1"] == line_of(network, "the inner pair")
    assert lines["2"] == lines["3"] == line_of(network, "a list of layers")


def test_the_line_of_a_subclass_is_where_it_was_called() -> None:
    def make() -> Any:
        return Wider(), X  # here

    lines = build(make).source_lines
    assert lines[""] == line_of(make, "# here")
    assert lines["up"] == line_of(Block, "self.up =")
    assert lines["extra"] == line_of(Wider, "self.extra")


class Plain(nn.Module):
    """Without a constructor of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_a_module_without_a_constructor_has_its_line_too() -> None:
    def make() -> Any:
        plain = Plain()  # here
        return nn.Sequential(nn.Linear(4, 4), plain), X

    assert build(make).source_lines["1"] == line_of(make, "# here")


def test_modules_inside_modules_of_torch_carry_the_line_of_the_outermost() -> None:
    def make() -> Any:
        return nn.TransformerEncoderLayer(4, 2, 8), seeded(3, 2, 4)  # here

    lines = build(make).source_lines
    assert set(lines.values()) == {line_of(make, "# here")}
    assert "self_attn.out_proj" in lines


def test_recording_ends_with_the_build() -> None:
    plain = nn.Module.__init__, nn.Module.register_parameter
    build(lambda: (network(), X))
    assert (nn.Module.__init__, nn.Module.register_parameter) == plain
    with pytest.raises(ZeroDivisionError):
        build(lambda: 1 / 0)
    assert (nn.Module.__init__, nn.Module.register_parameter) == plain


def test_a_parameter_that_was_assigned_later_has_the_line_of_its_assignment() -> None:
    class Tuned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.plain = nn.Linear(4, 4), nn.Linear(4, 4)
            self.own = nn.Parameter(torch.zeros(4))
            self.fc.bias = nn.Parameter(torch.ones(4))  # by the parent

        def forward(self, x: Tensor) -> Tensor:
            return self.plain(self.fc(x)) * self.own

    def make() -> Any:
        model = Tuned()  # here
        model.plain.weight = nn.Parameter(torch.ones(4, 4))  # by the factory
        return model, X

    lines = build(make).source_lines
    assert {name: line for name, line in lines.items() if name.split(".")[-1] in ("weight", "bias", "own")} == {
        "fc.bias": line_of(Tuned, "# by the parent"),
        "plain.weight": line_of(make, "# by the factory"),
    }


def test_a_module_that_was_thrown_away_lends_its_line_to_no_other() -> None:
    with recorded_lines() as lines:
        for _ in range(50):
            nn.Linear(2, 2)
    assert len(lines) == 50  # each id is held by a module that is still alive


def mean(output: Tensor) -> Tensor:
    return output.mean()


FORMS = {
    "a model": lambda: nn.Linear(4, 4),
    "a model and a batch": lambda: (nn.Linear(4, 4), X),
    "all three": lambda: (nn.Linear(4, 4), X, mean),
    "a list": lambda: [nn.Linear(4, 4), X],
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_factory(form: str) -> None:
    model, batch, loss = parts(FORMS[form]())
    assert isinstance(model, nn.Linear)
    assert (batch is None) == (form == "a model")
    assert (loss is mean) == (form == "all three")


def test_arguments_win_over_what_the_factory_gives() -> None:
    other = seeded(2, 4)
    subject = build(FORMS["all three"], other, torch.sum, name="mine")
    assert (subject.args[0] is other, subject.loss, subject.name) == (True, torch.sum, "mine")
    subject = build(FORMS["all three"])
    assert (subject.args[0] is X, subject.loss) == (True, mean)
    assert build(network, X).name == "network"
    assert build(lambda: network(), X).name == "Sequential"
    assert build(network, X).factory is network


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, "got NoneType"),
        (3, "got int"),
        ((X, nn.Linear(4, 4)), "got tuple of (Tensor, Linear)"),
        ((), "got tuple of ()"),
        ((nn.Linear(4, 4), X, mean, None), "got tuple of (Linear, Tensor, function, NoneType)"),
        ({"model": nn.Linear(4, 4)}, "got dict"),
        (nn.Linear, "got type"),
    ],
)
def test_anything_else_is_refused_in_one_line(made: Any, said: str) -> None:
    with pytest.raises(TargetError) as caught:
        build(lambda: made, X)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_factory_without_a_batch_needs_one() -> None:
    with pytest.raises(BatchError, match="got none"):
        build(network)


def test_the_exception_of_a_factory_comes_back_as_it_is() -> None:
    error = KeyError("width")

    def make() -> Any:
        raise error

    with pytest.raises(KeyError) as caught:
        build(make)
    assert caught.value is error
    assert error.__notes__ == ["stepzero: raised while the factory built the model; nothing was checked"]


def draw() -> Any:
    random.random()
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    return nn.Linear(4, 4), X


def test_global_state_is_as_it_was_also_when_the_factory_raises() -> None:
    def failing() -> Any:
        draw()
        raise RuntimeError("boom")

    torch.manual_seed(11)
    before = torch.get_rng_state(), random.getstate()
    build(draw)
    with pytest.raises(RuntimeError, match="boom"):
        build(failing)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_one_seed_builds_one_model_and_another_seed_another() -> None:
    weights = [build(network, X, seed=seed).model[2].weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
