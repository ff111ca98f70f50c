"""Calibration in one forward pass: every weight is scaled when it is met, and what follows sees the scaled output.

Execution order is right by construction, because the pass *is* the execution. The weights themselves are written
after the pass has ended well: until then a factor is only applied to outputs, so a crash leaves nothing behind.

Mishkin & Matas 2016 (LSUV) give the target, unit standard deviation of every layer's output; they take two forwards a
layer. Factors are solved for, with the bias (`solve`), so that no iteration is needed.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from stepzero.probe import tree
from stepzero.probe.capture import eager, set_modes
from stepzero.probe.restore import Guard, Snapshot, without_collection
from stepzero.repair.passes import Calibration, Pass
from stepzero.repair.passes import Target as Target
from stepzero.repair.shared import shared

NormMode = Literal["train", "eval"]
_SHARED = "its memory is also that of {}, which a factor would scale too"


def calibrate(
    model: nn.Module, run: Callable[[], Any], targets: Mapping[str, Target], *, norm_mode: NormMode = "train"
) -> Calibration:
    """One forward pass, dropout off; no weight is written.

    Args:
        model: holds the weights; left as it was, buffers and modes included.
        run: calls the model on the batch.
        targets: by parameter name; weights without a target pass through unscaled.
        norm_mode: ``"train"``: norms use the statistics of the batch, as in the first steps; ``"eval"``: the running
            ones.

    Returns:
        Factors by parameter name, and why a target could not be reached.
    """
    return _found(_Quiet(model, norm_mode), run, targets)


def calibrate_(
    model: nn.Module, run: Callable[[], Any], targets: Mapping[str, Target], *, norm_mode: NormMode = "train"
) -> Calibration:
    """`calibrate`, `write`, and a second pass that scales nothing and measures what came of it (``seen``).

    No copy of the old weights is kept: who may want them back holds an `apply.Undo`.
    """
    quiet, twins = _Quiet(model, norm_mode), shared(model)
    found = _found(quiet, run, {name: target for name, target in targets.items() if name not in twins})
    write(model, found.factors)
    found.skipped |= {name: _SHARED.format(", ".join(twins[name])) for name in targets if name in twins}
    quiet.snapshot.renew()
    watcher = Pass(quiet.names, {})
    with quiet(), watcher:
        run()
    found.forwards += 1
    found.seen = {name: watcher.stds[name] for name in found.factors if name in watcher.stds}
    return found


def write(model: nn.Module, factors: Mapping[str, float]) -> None:
    """Multiply the weights."""
    parameters = dict(tree.once(tree.parameters(model)))
    with torch.no_grad():
        for name, scale in factors.items():
            if scale != 1.0:
                parameters[name].mul_(scale)
    torch.clear_autocast_cache()  # an autocast around all of this holds old casts


class _Quiet:
    """Passes without gradients and dropout that leave nothing behind; all share one record of how things were."""

    def __init__(self, model: nn.Module, norm_mode: NormMode) -> None:
        self.snapshot = Snapshot(model, Guard())
        self.names = {id(parameter): name for name, parameter in tree.once(tree.parameters(model))}
        self._model, self._norm_mode = model, norm_mode

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """One pass: the body runs the model."""
        try:
            if self._norm_mode == "train":
                set_modes(self._model)
            else:
                _set_eval(self._model)
            with torch.no_grad(), eager(), without_collection():
                yield
        finally:
            self.snapshot.restore()


def _set_eval(model: nn.Module) -> None:
    """Flags are set directly, because ``eval()`` is a method users override; `Snapshot` puts them back."""
    for _, module in tree.modules(model):
        if module.training:
            module.training = False


def _found(quiet: _Quiet, run: Callable[[], Any], targets: Mapping[str, Target]) -> Calibration:
    watcher = Pass(quiet.names, targets)
    with quiet(), watcher:
        run()
    found = watcher.found
    found.forwards = 1
    for name in targets:
        if name not in found.factors and name not in found.skipped:
            found.skipped[name] = "no weighted operation of this pass read it, or its branch met no addition"
    return found
