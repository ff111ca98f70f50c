"""One forward and one backward, observed: Subject in, Trace out, the model as it was.

The order of the steps is the order of the code in `capture`: protect, run, differentiate, transfer once, freeze.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Protocol

import torch
import torch.nn.modules.module as hooks
from torch import Tensor, nn

from stepzero.core.errors import StepzeroError
from stepzero.core.trace import Trace
from stepzero.probe import facts, finish, tree
from stepzero.probe.gradients import Arrivals
from stepzero.probe.loss import loss_of, output_tensors
from stepzero.probe.recorder import Recorder
from stepzero.probe.restore import (
    Guard,
    Snapshot,
    deeper_calls,
    preserved_randomness,
    preserved_state,
    seed_everything,
    without_collection,
)
from stepzero.probe.run import Run
from stepzero.probe.sampler import Sampler
from stepzero.probe.subject import Subject
from stepzero.probe.transfer import Ledger
from stepzero.probe.vocabulary import opened


def capture(
    subject: Subject, *, recorder: Callable[[nn.Module, Guard, Sampler], Recorder] = Recorder, backward: bool = True
) -> Trace:
    """Observe one forward and one backward of ``subject`` and return the Trace.

    ``recorder`` may be one that looks at more; without ``backward`` the forward and the loss are all that is seen, of
    parameters no more than which there are, and of the batch nothing.

    Raises whatever the user's own code raised, with a note naming the module it died in, and `StepzeroError` for
    inputs that cannot be used. The model, the batch and all global state are bit-identical afterwards either way.
    """
    with without_collection(), deeper_calls():
        return _capture(subject, recorder, backward=backward)


def _capture(subject: Subject, recorder: Callable[[nn.Module, Guard, Sampler], Recorder], *, backward: bool) -> Trace:
    ledger = Ledger()
    static = facts.Facts(ledger)
    with ExitStack() as still, preserved_randomness(), preserved_state():
        still.enter_context(tree.standing(subject.model))
        static.look(subject.model, reads_values=backward)
        if unready := unready_tensors(static):
            ledger.fetch()
            return finish.static_trace(subject, static.finish(set(), {}), f"forward not run: {unready}")
        guard = Guard()
        snapshot = Snapshot(subject.model, guard)
        try:
            run = Run(recorder(subject.model, guard, Sampler(ledger)), conditions=set_modes(subject.model))
            still.close()  # the forward may exchange modules
            _run(subject, run, ledger, backward=backward)
            run.recorder.sampler.flush()
            tickets = finish.put_scalars(run.recorder.records, ledger)
        finally:
            snapshot.restore()
        inputs = finish.input_facts(subject) if backward else ()
    ledger.fetch()
    return finish.trace(subject, run, static, ledger, tickets, inputs, reads_values=backward)


def unready_tensors(static: facts.Facts) -> str:
    """Words for the parameters that hold no memory to run on; empty when all do."""
    names = [f"{name} ({state})" for name, state in static.unready()]
    return f"{', '.join(names[:3])}{' ...' if len(names) > 3 else ''} hold no memory" if names else ""


def _run(subject: Subject, run: Run, ledger: Ledger, *, backward: bool) -> None:
    recorder, named = run.recorder, subject.named_inputs()
    recorder.guard.protect(tensor for _, tensor in named)
    if isinstance(subject.target, Tensor):
        recorder.guard.protect([subject.target])
    seed_everything(subject.seed)
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(eager())
        stack.enter_context(module_path(recorder))
        stack.enter_context(_custom_functions(recorder))
        for name, tensor in named:
            recorder.add_input(name, tensor)
        stack.enter_context(recorder)
        with _naming_the_place(recorder):
            output = subject.model(*subject.args, **subject.kwargs)
        recorder.phase, recorder.stack[:] = "loss", [("", 0)]
        run.outputs = sorted(
            {
                node.index
                for tensor in output_tensors(output)
                if (node := recorder.node_of(tensor)) and node.index is not None
            }
        )
        with _noting("raised in the loss"):
            value, run.loss = loss_of(output, subject.loss, subject.target, subject.seed)
        node = recorder.node_of(value)
        run.loss_index = node.index if node else None
        del output
        recorder.phase = "backward"
        run.loss = replace(run.loss, value=float(value.detach()), requires_grad=value.requires_grad)
        if backward:
            _differentiate(subject, run, value, ledger)


def _differentiate(subject: Subject, run: Run, value: Tensor, ledger: Ledger) -> None:
    parameters = tree.once(tree.parameters(subject.model))
    with torch._C.DisableTorchFunction():  # the mode is on, and would be told of every question
        named = [(name, parameter) for name, parameter in parameters if parameter.requires_grad]
    if not named:
        run.conditions.append("every parameter is frozen: no gradient was taken")
        return
    if not value.requires_grad:
        run.conditions.append("the loss does not depend on any trainable parameter through a derivative")
        return
    arrivals = Arrivals(ledger, named)
    with _noting("raised in the backward pass"), arrivals.watching():
        # Opened, so that the mode stays on: a checkpoint's second forward must run as the first one did.
        gradients = opened(torch.autograd.grad)(value, [parameter for _, parameter in named], allow_unused=True)
    run.has_backward = True
    with torch._C.DisableTorchFunction():
        run.gradients.update(arrivals.facts(gradients))
        run.small.update(arrivals.held(gradients))


def set_modes(model: nn.Module) -> list[str]:
    """Train mode as given; parts without any state run in eval mode, which turns dropout and stochastic depth off.

    Flags are set directly, because ``train()`` is a method users override; `Snapshot` puts them back.
    """
    said = []
    modules = [module for _, module in tree.modules(model)]
    if not model.training:
        said.append("model was in eval mode: switched to train mode for the check")
        for module in modules:
            if not isinstance(module, torch.jit.ScriptModule):  # keeps its flag out of reach of `Snapshot`
                module.training = True
    quiet = False
    for module in modules:
        if module.training and _is_stateless(module) and not isinstance(module, torch.jit.ScriptModule):
            module.training, quiet = False, True
    return [*said, "dropout off"] if quiet else said


def _is_stateless(module: nn.Module) -> bool:
    return not (module._parameters or module._buffers or module._modules)


@contextmanager
def eager() -> Iterator[None]:
    """Compiled parts run as the Python they came from; reentrant checkpoints as the kind autograd.grad can follow."""
    with ExitStack() as stack:
        if "torch._dynamo" in sys.modules:
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", message="Using `torch.compile\\(module\\)` when there are global hooks")
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if (module := sys.modules.get("torch.utils.checkpoint")) is not None:
            stack.enter_context(_followable(module))
        yield


@contextmanager
def _followable(module: Any) -> Iterator[None]:
    def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:  # noqa: FBT001 - as torch calls it
        return module.checkpoint(function, *args, use_reentrant=False, preserve_rng_state=preserve)

    module.CheckpointFunction.apply = staticmethod(apply)
    try:
        yield
    finally:
        del module.CheckpointFunction.apply


class Listener(Protocol):
    """What wants to know which module runs."""

    def enter_module(self, module: nn.Module, _: Any, /) -> None:
        """Global forward pre-hook."""

    def leave_module(self, module: nn.Module, _: Any, __: Any, /) -> None:
        """Global forward hook."""


@contextmanager
def module_path(recorder: Listener) -> Iterator[None]:
    """Tell the recorder which module is running, by global hooks that leave none behind."""
    handles = (
        hooks.register_module_forward_pre_hook(recorder.enter_module),
        hooks.register_module_forward_hook(recorder.leave_module),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _custom_functions(recorder: Recorder) -> Iterator[None]:
    """A custom function may leave torch inside: tell the recorder what went in and what came out."""
    function: Any = torch.autograd.Function
    original = function.__dict__["apply"]

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        result = original.__func__(cls, *args, **kwargs)
        with torch._C.DisableTorchFunction():
            recorder.leave_function(cls.__name__, args, result)
        return result

    function.apply = classmethod(apply)  # watches every function at once
    try:
        yield
    finally:
        function.apply = original


@contextmanager
def _naming_the_place(recorder: Recorder) -> Iterator[None]:
    try:
        yield
    except StepzeroError:
        raise
    except Exception as error:
        path = recorder.stack[-1][0]
        last = recorder.records[-1] if recorder.records else None
        after = f", after {last.name} {last.shape}" if last is not None else ""
        error.add_note(
            f"stepzero: raised in the forward of {path or 'the model itself'!r}{after}; the model is unchanged"
        )
        raise


@contextmanager
def _noting(what: str) -> Iterator[None]:
    try:
        yield
    except StepzeroError:
        raise
    except Exception as error:
        error.add_note(f"stepzero: {what}; the model is unchanged")
        raise
