"""What each checker says of one start: a set of (what, where), empty when it has nothing against it."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.pairs import Make

Said = set[tuple[str, str]]


def stepzero(make: Make) -> Said:
    """Warnings and errors of the check."""
    import stepzero as sz

    report = sz.check(make)
    return {(each.code, ",".join(each.where)) for each in report.findings if each.severity != "info"}


def torchlens(make: Make) -> Said:
    """Critical findings and warnings of `audit_params`, and of `audit_trace` after a forward and a backward pass."""
    import torchlens as tl
    from torchlens.checks import audit_params
    from torchlens.debug import audit_trace

    model, args, loss = make()
    said = {(each.check, str(getattr(each, "name", each.message))) for each in _loud(audit_params(model))}
    whole = _WithLoss(model, loss)
    options = tl.options.CaptureOptions(backward_ready=True, save_grads=True)
    traced = tl.trace(whole, list(args), capture=options)
    traced.log_backward(whole.last)
    return said | {(each.check, ",".join((*each.modules, *each.ops))) for each in _loud(audit_trace(traced))}


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


def tinytorchtest(make: Make) -> Said:
    """Its tests that ask for no number of the user's: every variable changes in one step, no NaN, no infinity."""
    from tinytorchtest import tinytorchtest as ttt

    said: Said = set()
    for test in ("assert_vars_change", "test_nan_vals", "test_inf_vals"):
        model, args, loss = make()
        given = lambda output, _, loss=loss: loss(output)  # noqa: E731 - it hands the inputs over as well
        optimizer = torch.optim.Adam([value for value in model.parameters() if value.requires_grad])
        asked = ttt.TinyTorchTest(_Packed(model), given, optimizer, list(args), supervised=False)
        try:
            getattr(asked, test)()
        except (ttt.VariablesChangeException, ttt.NaNTensorException, ttt.InfTensorException) as error:
            said.add((type(error).__name__, str(error).split(" ", 1)[0]))
    return said


class _Packed(nn.Module):
    """Takes the arguments as that checker hands them over: one by one, or as one list."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any) -> Any:
        given = args[0] if len(args) == 1 and isinstance(args[0], list | tuple) else args
        return self.model(*given)


CHECKERS: dict[str, Callable[[Make], Said]] = {
    "stepzero": stepzero, "torchlens": torchlens, "tinytorchtest": tinytorchtest,
}  # fmt: skip


def ask(checker: str, make: Make) -> Said:
    """What it says; warnings it prints are not heard."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CHECKERS[checker](make)
