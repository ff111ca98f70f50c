"""Ways to look at one forward and backward pass, behind one signature; ``plain`` does not look at all."""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from torch import nn

from benchmarks.zoo.entry import Built, Loss, plain_step


@dataclass(frozen=True)
class Observer:
    """``observe`` does one step with whatever looking it does; ``ready`` sets the process up for it, untimed."""

    name: str
    observe: Callable[[], Any]
    ready: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext


def plain(built: Built) -> Observer:
    """Forward, loss, backward; gradients dropped."""
    return Observer("plain", lambda: plain_step(*built))


def capture(built: Built) -> Observer:
    """Stepzero's capture, end to end: restore points, recording, statistics, parameter facts, the finished Trace."""
    from stepzero.probe.capture import capture as stepzero_capture
    from stepzero.probe.subject import subject_of

    model, batch, loss = built
    return Observer("stepzero", lambda: stepzero_capture(subject_of(model, batch, loss)))


def default_check(built: Built) -> Observer:
    """`stepzero.check` with every rule; a healthy model gives no reason for a probe beyond the first pass."""
    import stepzero

    model, batch, loss = built
    return Observer("stepzero check", lambda: stepzero.check(model, batch, loss))


def check_with_symmetry(built: Built) -> Observer:
    """`stepzero.check` and the symmetry probe, which a model with look-alike units would have made it run."""
    import stepzero
    from stepzero.probe.subject import subject_of
    from stepzero.probe.symmetry import symmetry

    model, batch, loss = built

    def observe() -> None:
        stepzero.check(model, batch, loss)
        symmetry(subject_of(model, batch, loss))

    return Observer("stepzero check + symmetry", observe)


def torchlens(built: Built) -> Observer:
    """TorchLens with its defaults: a copy of every activation, and every gradient through `log_backward`."""
    import torchlens as tl
    from torchlens.options import CaptureOptions

    model, batch, loss = built

    def observe() -> None:
        trace = tl.trace(model, batch, capture=CaptureOptions(backward_ready=True, save_grads=True, random_seed=0))
        trace.log_backward(_loss(loss, trace[trace.output_layers[0]].out))
        _drop_gradients(model)

    return Observer("torchlens", observe, _wrapped)


def torchlens_lean(built: Built) -> Observer:
    """TorchLens keeping no tensor: metadata of the forward pass only, then an ordinary forward and backward pass.

    It hands back no output to differentiate when it saves none, so the plain step is added for a comparable whole.
    """
    import torchlens as tl
    from torchlens.options import CaptureOptions

    model, batch, _ = built

    def observe() -> None:
        tl.trace(model, batch, capture=CaptureOptions(layers_to_save="none", random_seed=0))
        plain_step(*built)

    return Observer("torchlens, no tensors", observe, _wrapped)


OBSERVERS: dict[str, Callable[[Built], Observer]] = {
    "plain": plain,
    "stepzero": capture,
    "stepzero-check": default_check,
    "stepzero-symmetry": check_with_symmetry,
    "torchlens": torchlens,
    "torchlens-lean": torchlens_lean,
}


def is_installed(name: str) -> bool:
    """Whether the package behind an observer can be imported."""
    package = name.partition("-")[0]
    return package == "plain" or importlib.util.find_spec(package) is not None


@contextlib.contextmanager
def _wrapped() -> Iterator[None]:
    """TorchLens leaves torch's functions wrapped; undo that outside its own timing so that plain steps stay plain."""
    from torchlens.backends.torch.wrappers import unwrap_torch, wrap_torch

    wrap_torch()
    try:
        yield
    finally:
        unwrap_torch()


def _loss(loss: Loss, output: Any) -> Any:
    assert loss is not None
    return loss(output)


def _drop_gradients(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.grad = None
