"""A copy of the model, in float64, that may be run, stepped and redrawn at will; the model itself is never written.

Everything below `probe` that has to *change* weights to learn something works on a Replica: virtual steps, redrawn
factors, the matched control.
"""

import copy
import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from stepzero.core.errors import StepzeroError
from stepzero.probe import rounding
from stepzero.probe.build import parts
from stepzero.probe.capture import eager, set_modes
from stepzero.probe.double import Double, Leaky, Undropped, widened
from stepzero.probe.loss import loss_of, main_output
from stepzero.probe.restore import preserved_randomness, preserved_state, seed_everything, without_collection
from stepzero.probe.rounding import Sizes
from stepzero.probe.subject import Subject, copied_batch, unwrapped
from stepzero.probe.uses import flat_tensors

Gradients = dict[str, Tensor | None]
_LEAST = torch.finfo(torch.float64).tiny
"""Stands for a gradient that is known to be rounding alone where rounding happened to leave nothing."""
_HELD = (1 << 16) - 15
"""Random numbers that are drawn and kept for the next pass: to draw more takes longer than most models. Larger outputs
see them again and again; the count is prime, so that they never come back at the same unit or sample."""


class ReplicaError(StepzeroError):
    """The model cannot be copied or does not run in float64; the message says which."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one forward and backward of a copy showed."""

    sizes: Sizes
    gradients: Gradients
    output: Tensor
    """Main output of the model."""
    loudest: float = 0.0
    """Size of the largest gradient."""
    limit: float = 0.0
    """Size below which one may be rounding."""
    floors: dict[str, float] = field(default_factory=dict)
    """Of parameters that were asked whether theirs is: size up to which it is."""
    untold: frozenset[str] = frozenset()
    """Parameters with gradients so faint that they may be rounding, of which it was not asked whether they are."""


class Replica:
    """One copy of a subject's model, with two batches: the true one and a random one of the same kind.

    The copy is in float64; with ``as_is`` it keeps the model's own dtypes, which is a third of the cost and enough for
    what rounding cannot change.
    """

    def __init__(self, subject: Subject, *, as_is: bool = False) -> None:
        self._subject, self._as_is = subject, as_is
        with preserved_randomness(), preserved_state():
            self.model = copied_model(subject)
            if not as_is:
                self.model.double()._apply(widened)  # noqa: SLF001 - double() leaves complex ones
            set_modes(self.model)
        self._modules, self._is_settled = list(self.model.modules()), False
        self.parameters: dict[str, Tensor] = dict(self.model.named_parameters())
        self.trainable = {name: each for name, each in self.parameters.items() if each.requires_grad}
        self._start = {name: each.detach().clone() for name, each in self.parameters.items()}
        self._buffers = {name: each.detach().clone() for name, each in self.model.named_buffers()}
        self._true = self._widened(copied_batch(subject))
        self._cotangents: dict[tuple[int, int, torch.dtype], Tensor] = {}
        self._undropped, self._has_run = Undropped(), False
        self.is_leaky = False
        """Run rectifiers with a leak, to see units that are switched off on both batches."""

    @cached_property
    def _other(self) -> Any:
        """The random batch, made when it is first asked for."""
        with torch._C.DisableTorchFunction():  # a mode that widens would draw in float64, nine times as slowly
            return _resampled(self._true, self._subject.seed)

    def _batch(self, number: int) -> Any:
        return copy.deepcopy(self._other if number else self._true)

    def run(
        self,
        batch: int = 0,
        *,
        watch: Any = None,
        loss_only: bool = False,
        until: Callable[[], bool] = lambda: False,
    ) -> tuple[Gradients, Tensor]:
        """Forward and backward on batch 0 (true) or 1 (random); returns gradients by name and the main output.

        What is differentiated is the loss plus random cotangents at the output: the loss alone may vanish by
        symmetry, and a sum of outputs behind a normalisation has no gradient at all. On the random batch, whose
        targets mean nothing, the cotangents alone count. ``watch`` is a mode entered around the forward;
        ``loss_only`` leaves the cotangents out; where ``until`` says so after the forward, that is all, and there are
        no gradients.
        """
        with self._running() as stack:
            if watch is not None:
                stack.enter_context(watch)
            output, scalar = self._scalar(batch, watch, loss_only=loss_only)
            if watch is not None:
                watch.phase = "backward"
            with torch._C.DisableTorchFunction():  # what is asked is no call of the model's
                is_enough = until()
            gradients = {} if is_enough else self._differentiated(scalar)
        return gradients, main_output(output).detach()

    def _widened(self, value: Any) -> Any:
        return value if self._as_is else widened(value)

    def reached(self, names: Collection[str]) -> dict[str, Tensor]:
        """Norms of the slices of these parameters' gradients on the true batch, no rounding told apart."""
        with self._running():
            _, scalar = self._scalar(0, None)
            found = self._differentiated(scalar, names=[name for name in self.trainable if name in names])
        return {name: rounding.slice_norms(each) for name, each in found.items() if each is not None}

    def look(
        self,
        batch: int = 0,
        *,
        names: Collection[str] | None = None,
        cancelled: frozenset[str] = frozenset(),
        doubted: frozenset[str] | None = None,
        loudest: float = 0.0,
        waits: Callable[[Sizes], bool] = lambda _: False,
    ) -> Look:
        """Norms of each gradient's slices along axis 0, negative where it is rounding alone; gradients and output.

        Rounding is told from signal by a second backward of a third of the loss: three times its gradient is the
        first one to the last bits, except where both are what a cancelled sum left over. It is run only for gradients
        faint enough for that question, of all parameters or of those ``doubted``, other than those ``cancelled``, of
        which it is known; and not now where the sizes say that it ``waits`` for a later look.

        ``names``: the parameters to look at, if not all trainable ones; ``loudest``: a gradient that is known to be
        larger than theirs.
        """
        asked = list(self.trainable) if names is None else [name for name in self.trainable if name in names]
        with self._running():
            output, scalar = self._scalar(batch, None)
            first = self._differentiated(scalar, retain_graph=True, names=asked)
            found = {name: None if each is None else rounding.slice_norms(each) for name, each in first.items()}
            seen = main_output(output).detach()
            found |= {name: -each.clamp_min(_LEAST) for name in cancelled if (each := found.get(name)) is not None}
            largest = max(loudest, max(1, seen.numel()) ** -0.5, rounding.largest(found))
            limit = largest * (rounding.FAINT_AS_IS if self._as_is else rounding.FAINT)
            floors: dict[str, float] = {}
            untold = rounding.faint(found, limit, asked if doubted is None else doubted)
            if untold and not waits(found):
                third = self._differentiated(scalar / 3, names=untold)
                floors = {name: rounding.floor(first[name], third[name]) for name in untold}
                found |= {name: rounding.told_apart(found[name], floors[name]) for name in untold}
                untold = []
        return Look(found, first, seen, largest, limit, floors, frozenset(untold))

    def _differentiated(
        self, scalar: Tensor, *, retain_graph: bool = False, names: list[str] | None = None
    ) -> Gradients:
        if not scalar.requires_grad:
            return dict.fromkeys(self.trainable if names is None else names)
        wanted = self.trainable.keys() if names is None else set(names)
        # A group norm over channels-last memory whose input needs no gradient kills the process (torch 2.13, on CPUs).
        asked = [name for name in self.trainable if name in wanted or self._undropped.has_group_norm]
        found = torch.autograd.grad(
            scalar, [self.parameters[name] for name in asked], allow_unused=True, retain_graph=retain_graph
        )
        dense = [each.to_dense() if each is not None and each.layout != torch.strided else each for each in found]
        return {name: each for name, each in zip(asked, dense, strict=True) if name in wanted}

    def forward(self, watch: Any) -> None:
        """Run forward on the true batch under ``watch``, without derivatives unless the model takes some itself."""
        try:
            with self._running() as stack, torch.no_grad():
                stack.enter_context(watch)
                self._called(0, watch)
        except ReplicaError:
            with self._running() as stack:
                stack.enter_context(watch)
                self._called(0, watch)

    def output(self, batch: int = 0) -> Tensor:
        """Main output of the model; derivatives are on, since a forward may take some of its own."""
        with self._running():
            return main_output(self._called(batch, None)).detach()

    def evaluate(self) -> None:
        """Evaluation mode from now on: norms use the statistics they keep."""
        for module in self.model.modules():
            if not isinstance(module, torch.jit.ScriptModule):
                module.training = False

    def inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The true batch, to be changed and given to `respond`."""
        args, kwargs = self._batch(0)
        return args, kwargs

    def respond(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, watch: Any = None) -> Any:
        """What the model returns for these inputs, under the mode ``watch``; nothing is differentiated."""
        with self._running() as stack:
            if watch is not None:
                stack.enter_context(watch)
            return self.model(*args, **kwargs)

    def loss(self) -> float:
        """The loss on the true batch."""
        with self._running():
            _, scalar = self._scalar(0, None, loss_only=True)
            return float(scalar.detach())

    def sample_gradients(self, count: int, seed: int) -> Tensor:
        """[count, numbers] gradient of each sample's main output times random numbers, over all trainable parameters.

        Raises:
            ReplicaError: the output has no axis of samples in front, or no derivative.
        """
        with self._running():
            output = main_output(self._called(0, None))
            if not output.dim() or output.shape[0] < count or not output.requires_grad or output.is_complex():
                raise ReplicaError("the output has no samples that could be differentiated one by one")
            generator = torch.Generator().manual_seed(0x5A + seed)
            drawn = torch.randn(output.shape[1:], generator=generator, dtype=torch.float64).to(output.device)
            each = (output * drawn).reshape(len(output), -1).sum(1)
            rows = []
            for place in range(count):
                found = self._differentiated(each[place], retain_graph=True)
                rows.append(torch.cat([g.reshape(-1) for g in found.values() if g is not None]).double())
        return torch.stack(rows)

    def reset(self) -> None:
        """Back to the start, buffers included."""
        self.write(self._start)

    def write(self, values: Mapping[str, Tensor]) -> None:
        """Set parameters of the copy; buffers go back to the start."""
        with torch.no_grad():
            for name, value in values.items():
                self.parameters[name].copy_(value)
            for name, buffer in self.model.named_buffers():
                if name in self._buffers and buffer.shape == self._buffers[name].shape:
                    buffer.copy_(self._buffers[name])

    def start_of(self, name: str) -> Tensor:
        """The parameter as the model has it, in float64."""
        return self._start[name]

    def state(self) -> dict[str, Tensor]:
        """The copy's parameters as they are now."""
        return {name: each.detach().clone() for name, each in self.parameters.items()}

    def _called(self, batch: int, watch: Any) -> Any:
        args, kwargs = self._batch(batch)
        for index, tensor in enumerate(flat_tensors((*args, *kwargs.values()) if watch is not None else ())):
            watch.add_input(f"args[{index}]", tensor)
        output = self.model(*args, **kwargs)
        if not self._is_settled:
            self._is_settled, before = True, self._modules
            self._modules = list(self.model.modules())
            if list(map(id, before)) != list(map(id, self._modules)):
                return self._settled(batch, output, watch)
        return output

    def _settled(self, batch: int, output: Any, watch: Any) -> Any:
        """Once more, for models that exchange parts of themselves when they first run: the new ones drop out."""
        set_modes(self.model)
        if watch is not None:  # which has seen the old parts run, and must not see everything twice
            return output
        seed_everything(self._subject.seed)
        args, kwargs = self._batch(batch)
        return self.model(*args, **kwargs)

    def _scalar(self, batch: int, watch: Any, *, loss_only: bool = False) -> tuple[Any, Tensor]:
        output = self._called(batch, watch)
        scalar = self._with_cotangents(output, self._subject.seed + batch)
        if batch == 0 or _has_own_loss(output):
            value, _ = loss_of(output, self._subject.loss, self._widened(self._subject.target), self._subject.seed)
            scalar = value.to(torch.float64) if loss_only else scalar + value.to(torch.float64)
        return output, scalar

    def _with_cotangents(self, output: Any, seed: int) -> Tensor:
        """Sum of the main output times fixed random numbers, over the square root of their count."""
        tensor = main_output(output)
        if tensor.is_complex():
            tensor = torch.view_as_real(tensor)
        dtype = torch.float32 if tensor.dtype == torch.float32 else torch.float64
        count, key = tensor.numel(), (min(tensor.numel(), _HELD), seed, dtype)
        if (drawn := self._cotangents.get(key)) is None:
            with torch._C.DisableTorchFunction():  # as above
                generator = torch.Generator().manual_seed(0xC07 + seed)
                drawn = torch.randn(key[0], generator=generator, dtype=torch.float32).to(tensor.device, dtype)
            self._cotangents[key] = drawn
        if count > _HELD:
            drawn = drawn.repeat(-(-count // _HELD))[:count]
        total: Tensor = (tensor * drawn.view(tensor.shape)).sum().double() / math.sqrt(max(1, count))
        return total

    @contextmanager
    def _running(self) -> Iterator[ExitStack]:
        with ExitStack() as stack:
            for context in (without_collection(), preserved_randomness(), preserved_state(), eager()):
                stack.enter_context(context)
            stack.enter_context(torch.inference_mode(mode=False))
            stack.enter_context(torch.enable_grad())
            seed_everything(self._subject.seed)
            if self._undropped.is_needed or not self._has_run:  # a mode makes every call slower
                stack.enter_context(self._undropped)
            if not self._as_is:
                torch.set_default_dtype(torch.float64)  # noqa: TID251 - inside preserved_state
                stack.enter_context(Double())
            if self.is_leaky:
                stack.enter_context(Leaky())
            try:
                yield stack
                self._has_run = True
            except StepzeroError:
                raise
            except Exception as error:
                why = " ".join(f"{type(error).__name__}: {error}".split())
                raise ReplicaError(f"the copy does not run in float64 ({why[:200]})") from error


def _has_own_loss(output: Any) -> bool:
    return hasattr(output, "loss") or (isinstance(output, Mapping) and "loss" in output)


def copied_model(subject: Subject) -> nn.Module:
    """A deep copy; where the model refuses, the factory builds it again and the values are copied over."""
    try:
        return copy.deepcopy(subject.model, {**_empty(subject.model), **_computed(subject.model)})
    except Exception as error:
        if subject.factory is None:
            why = " ".join(f"{type(error).__name__}: {error}".split())
            raise ReplicaError(f"the model cannot be copied ({why[:160]}); pass a factory") from error
    seed_everything(subject.seed)
    model = unwrapped(parts(subject.factory())[0])
    model.load_state_dict(subject.model.state_dict())
    for (_, mine), (_, theirs) in zip(model.named_parameters(), subject.model.named_parameters(), strict=True):
        mine.requires_grad_(theirs.requires_grad)
    return model


def _empty(model: nn.Module) -> dict[int, Any]:
    """Memo of deep copy for empty containers: a module has ten for hooks, and they take most of the time of a copy."""
    kept = (value for module in model.modules() for value in vars(module).values())
    return {id(each): type(each)() for each in kept if type(each) in (OrderedDict, dict) and not each}


def _computed(model: nn.Module) -> dict[int, Any]:
    """Memo of deep copy for tensors a module keeps that were computed from parameters, such as the old weight norm's.

    Torch copies leaves alone; what is computed is computed again by the forward.
    """
    kept = (value for module in model.modules() for value in vars(module).values())
    return {id(each): each.detach().clone() for each in kept if isinstance(each, Tensor) and not each.is_leaf}


def _resampled(batch: Any, seed: int) -> Any:
    """Another batch of the same kind: floats redrawn inside their range, whole numbers shuffled."""
    generator = torch.Generator().manual_seed(0xBA7C4 + seed)

    def fresh(value: Any) -> Any:
        if isinstance(value, Tensor):
            return _resampled_tensor(value, generator)
        if type(value) in (list, tuple):
            return type(value)(fresh(item) for item in value)
        if type(value) is dict:
            return {key: fresh(item) for key, item in value.items()}
        return copy.deepcopy(value)

    return fresh(batch)


def _resampled_tensor(tensor: Tensor, generator: torch.Generator) -> Tensor:
    if tensor.layout != torch.strided or tensor.numel() < 2:
        return tensor.clone()
    flat = tensor.detach().reshape(-1)
    if not tensor.is_floating_point() or bool((flat == flat.round()).all()):
        order = torch.randperm(flat.numel(), generator=generator).to(flat.device)
        return flat[order].view(tensor.shape)
    drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float32).to(tensor.device)
    spread, middle = flat.std(), flat.mean()
    return (middle + spread * drawn).clamp(float(flat.min()), float(flat.max())).to(tensor.dtype)
