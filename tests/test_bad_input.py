"""One table of bad inputs: what comes back, in how many words, with which exit code, and the model as it was."""

import copy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import stepzero
from stepzero.core.errors import BatchError, ConfigError, LossError, StepzeroError, TargetError
from tests import bad_targets
from tests.cli.support import run
from tests.probe.test_restore import picture, surroundings

FILE = str(Path(bad_targets.__file__))


class Refused(NamedTuple):
    """An error of stepzero: one line with these words."""

    kind: type[StepzeroError]
    expected: str
    came: str
    advice: str


class Raised(NamedTuple):
    """The user's own exception, with a note that names the place."""

    kind: type[BaseException]
    place: str


class Reported(NamedTuple):
    """A report with this exit code; with findings of these codes, or incomplete for this reason."""

    exit_code: int
    said: str = ""


MODULE, TENSORS = "torch.nn.Module", "tensors, tuples or dicts"
OUTPUT = "at least one floating-point tensor"
TABLE: dict[str, Refused | Raised | Reported] = {
    "raising": Raised(KeyError, "while the factory built the model"),
    "junk": Refused(TargetError, MODULE, "got dict", "return one of these"),
    "nothing": Refused(TargetError, MODULE, "got NoneType", "return one of these"),
    "swapped": Refused(TargetError, MODULE, "got tuple of (Tensor, Linear)", "return one of these"),
    "choosy": Reported(0),
    "wrong_width": Raised(RuntimeError, "in the forward of '0', after input (6, 5)"),
    "wrong_rank": Raised(RuntimeError, "in the forward of '0'"),
    "wrong_dtype": Raised(RuntimeError, "in the forward of '0'"),
    "double_batch": Raised(RuntimeError, "in the forward of '0'"),
    "float_tokens": Raised(RuntimeError, "in the forward of '0'"),
    "token_too_large": Raised(IndexError, "in the forward of '0'"),
    "wrong_keyword": Raised(TypeError, "in the forward of 'the model itself'"),
    "too_many": Raised(TypeError, "in the forward of 'the model itself'"),
    "empty_batch": Refused(BatchError, "at least one sample", "got shape (0, 4) for 'input'", "pass a non-empty batch"),
    "no_batch": Refused(BatchError, "a tensor, a tuple", "got none", "pass one batch"),
    "strings": Refused(BatchError, TENSORS, "got str", "pass what forward takes"),
    "number": Refused(BatchError, "a tensor, tuple, dict", "got int", "wrap it as sz.Batch"),
    "exhausted": Refused(BatchError, "at least one batch", "got an empty one", "pass one that has data"),
    "vector_loss": Refused(LossError, "a scalar", "got float32 tensor of shape (6,)", "reduce it"),
    "float_loss": Refused(LossError, "a scalar tensor", "got float", "return loss.mean()"),
    "no_loss": Refused(LossError, "a scalar tensor", "got NoneType", "return loss.mean()"),
    "integer_loss": Refused(LossError, "a floating-point scalar", "got int64", "no derivative"),
    "loss_without_target": Refused(LossError, "(output, target)", "no target was given", "pass target="),
    "named_without_target": Refused(LossError, "a target", "got none", "pass target="),
    "unknown_loss": Refused(LossError, "known: bce", "'cross_entropi'", "did you mean 'cross_entropy'?"),
    "loss_of_no_kind": Refused(TargetError, "a callable or a name", "got int", "pass a function"),
    "raising_loss": Raised(KeyError, "in the loss"),
    "loss_of_classes": Reported(1, "SZ902"),
    "detached_loss": Reported(3, "no derivative leads from the loss to a trainable parameter"),
    "integer_output": Refused(LossError, OUTPUT, "got int64 tensor", "differentiable output"),
    "no_output": Refused(LossError, OUTPUT, "got NoneType", "differentiable output"),
    "words": Refused(LossError, OUTPUT, "got dict", "differentiable output"),
    "raising_forward": Raised(KeyError, "in the forward of '1', after linear (6, 4)"),
    "raising_backward": Raised(ArithmeticError, "in the backward pass"),
    "endless": Raised(RecursionError, "in the forward of '1'"),
    "one_sample": Raised(ValueError, "in the forward of '1', after linear (1, 4)"),
    "nan_batch": Reported(1, "SZ510"),
    "infinite_batch": Reported(1, "SZ510"),
    "nan_output": Reported(1, "SZ510"),
    "no_gradient": Reported(3, "no derivative leads from the loss to a trainable parameter"),
    "no_parameters": Reported(3, "it has no parameters: there is nothing to initialise"),
    "scripted": Refused(TargetError, "Python modules", "got TorchScript", "check the model before torch.jit.script"),
    "meta": Reported(1, "SZ104"),
    "lazy": Reported(1, "SZ104"),
    "frozen": Reported(3, "every parameter is frozen: nothing can train"),
    "empty_parameter": Reported(0),
    "mutating": Reported(0),
    "rewriting_itself": Reported(0),
    "deep": Reported(0),
}


def meets(caught: BaseException, expected: Refused | Raised) -> None:
    """The error says what the table says of it."""
    assert type(caught) is expected.kind
    if isinstance(expected, Refused):
        text = str(caught)
        assert "\n" not in text
        for words in (expected.expected, expected.came, expected.advice):
            assert words in text
        assert caught.exit_code == 2
        return
    (note,) = caught.__notes__
    assert note.startswith("stepzero: raised ")
    assert expected.place in note
    assert "\n" not in note


def outcome(*arguments: Any, **named: Any) -> Any:
    """The report, or what was raised."""
    try:
        return stepzero.check(*arguments, **named)
    except Exception as error:  # noqa: BLE001 - the table says which
        return error


def agrees(found: Any, expected: Refused | Raised | Reported) -> None:
    if not isinstance(expected, Reported):
        assert isinstance(found, BaseException), found
        return meets(found, expected)
    if isinstance(found, BaseException):
        raise found
    assert found.exit_code() == expected.exit_code
    reasons = [reason.why for reason in found.coverage.incomplete]
    assert expected.said == "" or expected.said in " ".join([*reasons, *(said.code for said in found.findings)])
    assert found.is_complete == (not reasons)
    return None


@pytest.mark.parametrize("name", TABLE)
def test_a_factory(name: str) -> None:
    around = surroundings()
    agrees(outcome(getattr(bad_targets, name)), TABLE[name])
    assert surroundings() == around


LIVE = [name for name in TABLE if name not in ("raising", "junk", "nothing", "swapped", "choosy")]


def memory(batch: Any) -> Any:
    """A copy to compare with, and the version that counts writes."""
    return [(tensor.clone(), tensor) for tensor in (batch if isinstance(batch, tuple | list) else [batch])
            if isinstance(tensor, Tensor)]  # fmt: skip


@pytest.mark.parametrize("name", LIVE)
def test_a_live_model_is_as_it_was(name: str) -> None:
    model, batch, loss, *_ = (*getattr(bad_targets, name)(), None)
    if name in ("meta", "lazy", "scripted"):
        before, look = sorted(model.state_dict()), lambda: sorted(model.state_dict())
    else:
        before, look = picture(model), lambda: picture(model)
    around, data = surroundings(), memory(batch)
    agrees(outcome(model, batch, loss), TABLE[name])
    assert look() == before
    assert surroundings() == around
    for copied, tensor in data:
        torch.testing.assert_close(tensor, copied, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", TABLE)
def test_the_command_line(name: str) -> None:
    result = run("check", f"{FILE}:{name}", "--format", "json")
    expected = TABLE[name]
    assert result.exit_code == (expected.exit_code if isinstance(expected, Reported) else 2)
    if isinstance(expected, Reported):
        assert result.stdout.startswith("{")
        return
    assert result.stdout == ""
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("stepzero: ")
    assert (expected.came if isinstance(expected, Refused) else expected.kind.__name__) in last or name in LOADER
    assert "Traceback" not in result.stderr or isinstance(expected, Raised)


LOADER = {"junk": "dict", "nothing": "None", "swapped": "tuple", "no_batch": "without a batch"}
"""The command line says these in its own words."""


@pytest.mark.parametrize("name", LOADER)
def test_the_command_line_in_its_own_words(name: str) -> None:
    assert LOADER[name] in run("check", f"{FILE}:{name}").stderr.splitlines()[-1]


@pytest.mark.parametrize("model", [3, None, "model", [nn.Linear(4, 4)], torch.ones(3)])
def test_a_model_that_is_none(model: Any) -> None:
    meets(outcome(model, bad_targets.X), Refused(TargetError, MODULE, "got ", "pass the module, or a factory"))


@pytest.mark.parametrize("flag", ["select", "ignore"])
def test_an_unknown_rule(flag: str) -> None:
    asked = Refused(ConfigError, f"{flag}: no rule", "'SZ13'", "did you mean 'SZ1")
    meets(outcome(nn.Linear(4, 4), bad_targets.X, **{flag: ["SZ13"]}), asked)
    result = run("check", f"{FILE}:frozen", f"--{flag}", "SZ13")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "SZ13" in result.stderr.splitlines()[-1]


def test_an_interrupt_passes_and_leaves_the_model_as_it_was() -> None:
    model, batch, _ = bad_targets.interrupted()
    before, around = picture(model), surroundings()
    with pytest.raises(KeyboardInterrupt):
        stepzero.check(model, batch)
    assert picture(model) == before
    assert surroundings() == around
    assert run("check", f"{FILE}:interrupted").exit_code == 130


def test_a_model_that_is_checked_after_an_error_is_checked_as_if_nothing_had_been() -> None:
    model, batch, _ = bad_targets.raising_loss()
    fresh = copy.deepcopy(model)
    assert isinstance(outcome(model, batch, bad_targets.boom), KeyError)
    assert stepzero.check(model, batch).to_json() == stepzero.check(fresh, batch).to_json()
