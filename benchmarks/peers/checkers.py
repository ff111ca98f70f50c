"""What each checker says of one start: a set of (what, where), empty when it has nothing against it.

A checker has one part or several: when one breaks, what the others say still counts.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.pairs import Make, Network

Said = set[tuple[str, str]]
Part = Callable[[Make], Said]


class OverTimeError(BaseException):
    """The processor time of a pair is used up; passes by what catches every `Exception`."""


def stepzero(make: Make) -> Said:
    """Warnings and errors of the check."""
    import stepzero as sz

    report = sz.check(*make.given()) if isinstance(make, Network) else sz.check(make)
    return {(each.code, ",".join(each.where)) for each in report.findings if each.severity != "info"}


def torchlens_params(make: Make) -> Said:
    """Critical findings and warnings of `audit_params`."""
    from torchlens.checks import audit_params

    model, _, _ = make()
    return {(each.check, str(getattr(each, "name", each.message))) for each in _loud(audit_params(model))}


def torchlens_trace(make: Make) -> Said:
    """Critical findings and warnings of `audit_trace` after a forward and a backward pass."""
    import torchlens as tl
    from torchlens.debug import audit_trace

    model, args, loss = make()
    whole = _WithLoss(model, loss)
    options = tl.options.CaptureOptions(backward_ready=True, save_grads=True)
    traced = tl.trace(whole, list(args), capture=options)
    traced.log_backward(whole.last)
    return {(each.check, ",".join((*each.modules, *each.ops))) for each in _loud(audit_trace(traced))}


def _loud(audit: Any) -> list[Any]:
    return [each for each in audit.findings if each.severity in ("critical", "error", "warning")]


class _WithLoss(nn.Module):
    """The model and its loss: what is traced ends where the backward pass starts."""

    def __init__(self, model: nn.Module, loss: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        self.last = torch.zeros(())

    def forward(self, *args: Any) -> Tensor:
        self.last = self.loss(self.model(*args))
        return self.last


def tinytorchtest(test: str, make: Make) -> Said:
    """One of its tests; it stops at the first thing that it has to say."""
    from tinytorchtest import tinytorchtest as ttt

    model, args, loss = make()
    optimizer = torch.optim.Adam([value for value in model.parameters() if value.requires_grad])
    given = lambda output, _: loss(output)  # noqa: E731 - it hands the inputs over as well
    asked = ttt.TinyTorchTest(_Packed(model), given, optimizer, list(args), supervised=False)
    try:
        getattr(asked, test)()
    except (ttt.VariablesChangeException, ttt.NaNTensorException, ttt.InfTensorException) as error:
        return {(type(error).__name__, str(error).split(" ", 1)[0])}
    return set()


class _Packed(nn.Module):
    """Takes the arguments as that checker hands them over: one by one, or as one list."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any) -> Any:
        given = args[0] if len(args) == 1 and isinstance(args[0], list | tuple) else args
        return self.model(*given)


TESTS = ("assert_vars_change", "test_nan_vals", "test_inf_vals")
"""Those that ask for no number of the user's: every variable changes in one step, no NaN, no infinity."""

CHECKERS: dict[str, tuple[Part, ...]] = {
    "stepzero": (stepzero,),
    "torchlens": (torchlens_params, torchlens_trace),
    "tinytorchtest": tuple(partial(tinytorchtest, test) for test in TESTS),
}

SCOPE = {
    "stepzero": "how a network starts: values, scale, gradients, symmetry, data and loss",
    "torchlens": (
        "a tracer of models. Asked: audit_params and audit_trace, which look for NaN, infinity, ranges of the number "
        "format, tensors of one value, and gradients that vanish or explode. Not built to judge the law of a start, "
        "its symmetry, or a small numeric slip; its diagnostics that want several batches are not asked"
    ),
    "tinytorchtest": (
        "unit tests for a model under training. Asked: every variable changes in one step of Adam, no NaN and no "
        "infinity in the output. Not built to look at values, scale or symmetry, nor to tell a part that waits by "
        "design from a dead one; its range test wants numbers of the user and is not asked"
    ),
}
"""What each is built for and what it was asked."""


def ask(checker: str, make: Make) -> list[Said | str]:
    """What each of its parts says of a start, or how that part broke; warnings it prints are not heard."""
    told: list[Said | str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part in CHECKERS[checker]:
            torch.manual_seed(0)
            try:
                told.append(part(make))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
                told.append(f"{type(error).__name__}: {error}")
    return told
