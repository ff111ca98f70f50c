"""Fingerprints of every unit of every weight: random projections of its responses and of the gradients arriving there.

Shapes: N positions (batch entries x places), U units, K projections.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from stepzero.core.trace import ParameterUse
from stepzero.measure.redundancy import projector
from stepzero.probe import norms, stacked, units
from stepzero.probe.capture import module_path
from stepzero.probe.nodes import Node, Record
from stepzero.probe.recorder import Recorder
from stepzero.probe.replica import Gradients, Replica
from stepzero.probe.restore import Guard
from stepzero.probe.sampler import Sampler
from stepzero.probe.transfer import Ledger
from stepzero.probe.vocabulary import Spec

Known: TypeAlias = list[tuple[Tensor, Node]]
_ROWS = frozenset(["weight", "table"])
_ROUNDING = 1e-9
"""Relative range of a response that counts as none."""


@dataclass(slots=True)
class Visit:
    """One operation's use of a weight."""

    parameter: str
    name: str
    use: ParameterUse
    positions: int
    forward: Tensor
    """[U, K]"""
    varies: Tensor
    """[U] whether the response differs between positions, beyond rounding."""
    backward: Tensor | None = None
    """[U, K]; None while no gradient has arrived."""
    centred: Tensor | None = None
    """[U, K] of the responses less their mean, where the one reader is a norm that takes it off."""


class UnitRecorder(Recorder):
    """A recorder that measures nothing but the units of weighted operations, all of them and every position."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, Guard(), Sampler(Ledger()))
        self.visits: list[Visit] = []
        self._call: tuple[Any, ...] = ()
        self._by_index: dict[int, tuple[Visit, tuple[int, ...]]] = {}
        self._readers: Counter[int] = Counter()
        self._directions: dict[tuple[int, torch.device, torch.dtype], Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one torch call; recurrent layers that one call stacks are run, and seen, one by one."""
        if stacked.is_stacked(getattr(func, "__name__", ""), args):
            with self:
                return stacked.by_layer(func, args)
        return super().__torch_function__(func, types, args, kwargs)

    def _record(
        self, spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any], known: Known, *rest: Any, **as_: Any
    ) -> None:
        self._call = args
        read = {node.index for _, node in known if node.index is not None}
        self._readers.update(read)
        if spec.kind == "norm" and len(read) == 1 and read <= self._by_index.keys():
            visit, axes = self._by_index[read.pop()]
            if (whole := norms.without_means(spec.name, args, kwargs, axes)) is not None:
                centred = self._projected(whole, axes)
                visit.centred = torch.where(visit.varies[:, None], centred, torch.zeros_like(centred))
        super()._record(spec, args, kwargs, known, *rest, **as_)

    def _is_worth_measuring(self, record: Record) -> bool:
        return record.kind == "weighted"

    def _flatness(self, *_: Any) -> None:
        return None

    def _measure(self, record: Record, tensor: Tensor, _: object = None) -> None:
        if record.kind != "weighted":
            return
        use = next((use for use in record.uses if use.slot in _ROWS), None)
        axes = units.of_rows(record.name, self._call, use, record.shape) if use is not None else None
        if use is None or axes is None or tensor.is_complex():
            return
        seen = tensor.detach()
        forward, varies = self._projected(seen, axes), _varies(seen, axes)
        visit = Visit(use.parameter, record.name, use, tensor.numel() // max(1, len(forward)), forward, varies)
        self.visits.append(visit)
        self._by_index[record.index] = visit, axes
        if tensor.requires_grad:
            tensor.register_hook(self._arrival(visit, axes))

    @contextmanager
    def paths(self) -> Iterator[None]:
        """Follow the module path while the copy runs."""
        with module_path(self):
            yield

    def rows(self) -> dict[str, list[Visit]]:
        """Visits by weight."""
        for index, (visit, _) in self._by_index.items():
            if visit.centred is not None and self._readers[index] == 1:
                visit.forward = visit.centred
        found: dict[str, list[Visit]] = {}
        for visit in self.visits:
            found.setdefault(visit.parameter, []).append(visit)
        return found

    def _arrival(self, visit: Visit, axes: tuple[int, ...]) -> Callable[[Tensor], None]:
        def arrive(gradient: Tensor) -> None:
            with torch._C.DisableTorchFunction():
                arrived = self._projected(gradient.detach(), axes)
                visit.backward = arrived if visit.backward is None else visit.backward + arrived

        return arrive

    def _projected(self, tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
        """[U, K]: the same random directions for every tensor with as many positions, so that layers are comparable."""
        if _is_map(tensor, axes):  # as it lies in memory: a copy would take longer than all else
            maps_BUP = tensor.flatten(2)
            directions_KN = self._directed(maps_BUP.shape[0] * maps_BUP.shape[2], tensor)
            of_entry_BPK = directions_KN.view(-1, maps_BUP.shape[0], maps_BUP.shape[2]).permute(1, 2, 0)
            return torch.bmm(maps_BUP, of_entry_BPK).sum(0).to("cpu", torch.float64)
        rows_NU = _as_rows(tensor, axes)
        projected: Tensor = (self._directed(len(rows_NU), tensor) @ rows_NU).T
        return projected.to("cpu", torch.float64)

    def _directed(self, length: int, like: Tensor) -> Tensor:
        """[K, N]; drawn once a pass, which is what takes the time."""
        key = (length, like.device, like.dtype)
        if key not in self._directions:
            with torch._C.DisableTorchFunction():  # else a mode that widens draws others than elsewhere
                self._directions[key] = projector(length).to(like.device, like.dtype) / max(1, length) ** 0.5
        return self._directions[key]


def _is_map(tensor: Tensor, axes: tuple[int, ...]) -> bool:
    """Whether it is [B, U, places...], in this order in memory."""
    return axes == (1,) and tensor.dim() > 2 and tensor.numel() > 0 and tensor.is_contiguous()


def _as_rows(tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
    others = tuple(axis for axis in range(tensor.dim()) if axis not in axes)
    positions = math.prod(tensor.shape[axis] for axis in others)
    return tensor.permute(*others, *axes).reshape(positions, -1)


def _varies(tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
    if _is_map(tensor, axes):
        maps_BUP = tensor.flatten(2)
        low, high = maps_BUP.amin((0, 2)), maps_BUP.amax((0, 2))
    else:
        rows_NU = _as_rows(tensor, axes)
        if not rows_NU.numel():
            return torch.zeros(rows_NU.shape[1], dtype=torch.bool)
        low, high = torch.aminmax(rows_NU, dim=0)
    return ((high - low) > _ROUNDING * torch.maximum(low.abs(), high.abs())).cpu()


@dataclass(frozen=True, slots=True)
class Seen:
    """What one pass of a copy showed."""

    visits: dict[str, list[Visit]]
    gradients: Gradients


def seen_in(
    replica: Replica,
    batch: int,
    *,
    loss_only: bool = False,
    stop: Callable[[dict[str, list[Visit]]], bool] = lambda _: False,
) -> Seen:
    """One pass, that ends after the forward where its visits say ``stop``."""
    recorder = UnitRecorder(replica.model)
    with recorder.paths():
        gradients, _ = replica.run(batch, watch=recorder, loss_only=loss_only, until=lambda: stop(recorder.rows()))
    return Seen(recorder.rows(), gradients)
