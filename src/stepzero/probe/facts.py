"""Facts about parameters and buffers as they stand, and about the gradients that arrived at parameters.

Extremes and non-finite values are exact (one fused pass over every element); means and spreads come from a bounded,
evenly spaced sample, so that the cost does not grow with the model beyond reading it once. Small tensors, of which
a network has many, are read whole and together.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]  # its stub leaves it out

from stepzero.core.trace import GradientFact, TensorFact
from stepzero.core.vector import Vector
from stepzero.measure.sampling import wide
from stepzero.probe import tree
from stepzero.probe.restore import storage_pointer
from stepzero.probe.transfer import Ledger
from stepzero.probe.uses import name_of

SAMPLE = 2048
KEPT = 4096
"""Biases and gains of at most so many units are kept whole: rules compare them with what their units receive."""
LEAD = 32
"""Elements from which a draw is known."""
_SPREAD_EVERY = 2
"""The median reads every second of the sample: 1,024 numbers give the spread to 4 %, and a median is slow."""
_FEW = 64
_COLUMNS = 6
"""Low, high, mean, mean square, share of zeros, share of numbers below the smallest normal one."""
_RUN = 16
_PLAIN = frozenset([Tensor, nn.Parameter])
_REAL = frozenset([torch.float32, torch.float64, torch.bfloat16, torch.float16])
_TINY = torch.finfo(torch.float32).tiny * (1 - 1e-12)


@dataclass(slots=True)
class _Row:
    name: str
    kind: str
    tensor: Tensor
    aliases: tuple[str, ...]
    state: str
    flat: Tensor | None = None
    statistics: tuple[int, int] | None = None
    """Ticket and place of the row's numbers."""
    values: int | None = None
    """Ticket of all elements."""
    lead: int | None = None
    """Ticket of the first ones."""


def state_of(tensor: Tensor) -> str:
    """One of the words of `TensorFact.state`; whether an empty tensor is a shard, only its siblings can tell."""
    if isinstance(tensor, UninitializedTensorMixin):
        return "lazy"
    if tensor.is_meta:
        return "meta"
    if _is_split(tensor):
        return "sharded"
    if type(tensor).__name__ == "DTensor":
        return state_of(getattr(tensor, "_local_tensor", tensor).detach())  # a whole one, whose memory is there
    if tensor.layout == torch.strided and tensor.numel() > 0 and storage_pointer(tensor) == 0:
        return "empty-storage"
    return "ready"


def _is_split(tensor: Any) -> bool:
    """Whether this process holds a part only: of a distributed tensor, or of parameters flattened into one."""
    if type(tensor).__name__ != "DTensor":
        return bool(getattr(tensor, "_is_flat_param", False))
    sizes = (tensor.device_mesh.size(axis) for axis in range(tensor.device_mesh.ndim))
    return any(size > 1 and not each.is_replicate() for size, each in zip(sizes, tensor.placements, strict=True))


def _empty_shards(rows: "list[_Row]") -> set[int]:
    """Parameters of shape [0], less those whose module has others that are empty by their own shape."""
    empty = [(place, row) for place, row in enumerate(rows) if row.state == "ready" and not row.tensor.numel()]
    by_design = {row.name.rpartition(".")[0] for _, row in empty if row.tensor.dim() > 1}
    return {
        place
        for place, row in empty
        if row.kind == "parameter" and row.tensor.dim() == 1 and row.name.rpartition(".")[0] not in by_design
    }


def named_tensors(model: nn.Module) -> list[tuple[str, str, Tensor, tuple[str, ...]]]:
    """(name, kind, tensor, aliases) of every parameter and buffer, tied ones once under their first name."""
    first: dict[object, int] = {}
    rows: list[tuple[str, str, Tensor, list[str]]] = []
    named: list[tuple[str, str, Tensor]] = []
    named += [(name, "parameter", value) for name, value in tree.parameters(model)]
    named += [(name, "buffer", value) for name, value in tree.buffers(model)]
    for name, kind, tensor in named:
        key = _identity(tensor, kind)
        if key in first:
            rows[first[key]][3].append(name)
        else:
            first[key] = len(rows)
            rows.append((name, kind, tensor, []))
    return [(name, kind, tensor, tuple(aliases)) for name, kind, tensor, aliases in rows]


def _identity(tensor: Tensor, kind: str) -> object:
    pointer = 0 if isinstance(tensor, UninitializedTensorMixin) else storage_pointer(tensor)
    if not pointer or tensor.layout != torch.strided:
        return id(tensor)
    return (kind, pointer, tensor.storage_offset(), tensor.shape, tensor.stride())


@functools.lru_cache(maxsize=512)
def _positions(numel: int, device: torch.device) -> Tensor:
    """Evenly spaced runs of neighbours: one number a cache line would cost more than every other statistic."""
    starts = (torch.arange(SAMPLE // _RUN, dtype=torch.float64) * ((numel - _RUN) / (SAMPLE // _RUN - 1))).long()
    return (starts[:, None] + torch.arange(_RUN)).flatten().to(device)


def _flat(tensor: Tensor) -> Tensor:
    """All elements in some order as a real vector, without a copy when the memory is dense."""
    if type(tensor) in _PLAIN and tensor.layout == torch.strided and tensor.dtype in _REAL and tensor.is_contiguous():
        return tensor.detach().view(-1)  # as most are
    source = getattr(tensor, "_local_tensor", tensor).detach()
    if source.layout != torch.strided:
        source = source.coalesce().values() if source.is_sparse else source.to_dense()
    if source.is_complex():
        source = torch.view_as_real(source.resolve_conj())
    if source.is_quantized:
        source = source.dequantize()
    if source.dtype == torch.bool:
        source = source.to(torch.uint8)
    elif source.is_floating_point() and source.element_size() == 1:
        source = source.to(torch.float32)
    if not source.is_contiguous() and torch.ops.aten.is_non_overlapping_and_dense(source):
        return source.as_strided((source.numel(),), (1,))
    return source.reshape(-1)


class Facts:
    """Collects tensors' facts in two steps: `look` on the device, `finish` after the transfer."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._rows: list[_Row] = []
        self._cut: dict[int, list[list[float]]] = {}

    def look(self, model: nn.Module, *, reads_values: bool = True) -> None:
        """Read every parameter and buffer once; without ``reads_values`` only which there are."""
        groups: dict[tuple[bool, torch.device, torch.dtype], list[_Row]] = {}
        self._rows = [
            _Row(name, kind, each, others, state_of(each)) for name, kind, each, others in named_tensors(model)
        ]
        for place in _empty_shards(self._rows):
            self._rows[place].state = "empty-shard"
        for row in self._rows if reads_values else ():
            kind, tensor = row.kind, row.tensor
            if row.state not in ("ready", "sharded") or tensor.numel() == 0:
                continue
            row.flat = _flat(tensor)
            if row.flat.numel() == 0 or (kind == "buffer" and not row.flat.is_floating_point()):
                continue  # counters and masks: nothing a rule could say about their values
            if kind == "parameter" and tensor.dim() == 1 and row.flat.numel() <= KEPT and tensor.is_floating_point():
                row.values = self._ledger.put(row.flat)
            if kind == "parameter" and tensor.dim() > 1 and row.flat.numel() >= LEAD and tensor.is_floating_point():
                row.lead = self._ledger.put(row.flat[:LEAD])
            is_small = row.flat.numel() <= SAMPLE
            groups.setdefault((is_small, row.flat.device, row.flat.dtype), []).append(row)
        for (is_small, *_), rows in groups.items():
            columns = _small_columns(rows) if is_small else _large_columns(rows)
            ticket = self._ledger.put(torch.stack(columns, 1))
            for place, row in enumerate(rows):
                row.statistics = (ticket, place)

    def unready(self) -> list[tuple[str, str]]:
        """(name, state) of parameters and buffers that hold no memory a forward could run on."""
        return [(row.name, row.state) for row in self._rows if row.state in ("meta", "lazy", "empty-storage")]

    def finish(self, used: set[str], gradients: dict[str, GradientFact]) -> list[TensorFact]:
        """Frozen facts in the order of `named_tensors`."""
        return [self._finished(row, used, gradients) for row in self._rows]

    def _finished(self, row: _Row, used: set[str], gradients: dict[str, GradientFact]) -> TensorFact:
        is_lazy, names = row.state == "lazy", (row.name, *row.aliases)
        numbers = self._numbers(row) if row.statistics is not None else {}
        return TensorFact(
            name=row.name,
            aliases=row.aliases,
            module=row.name.rpartition(".")[0],
            kind=row.kind,
            shape=() if is_lazy else tuple(row.tensor.shape),
            dtype=name_of(row.tensor.dtype),
            device=name_of(row.tensor.device),
            numel=0 if is_lazy else row.tensor.numel(),
            requires_grad=row.tensor.requires_grad,
            state=row.state,
            is_used=not used.isdisjoint(names),
            values=self._ledger.vector(row.values) if row.values is not None else Vector(),
            lead=self._ledger.vector(row.lead) if row.lead is not None else Vector(),
            gradient=next((gradients[name] for name in names if name in gradients), None),
            **numbers,
        )

    def _numbers(self, row: _Row) -> dict[str, Any]:
        assert row.flat is not None
        assert row.statistics is not None
        ticket, place = row.statistics
        low, high, mean, square, zeros, tiny = self._statistics(ticket)[place]
        variance = square - mean * mean if low != high else 0.0
        std = math.nan if math.isnan(variance) else math.sqrt(max(0.0, variance))
        numbers = {
            "low": low,
            "high": high,
            "mean": mean,
            "std": std,
            "spread": _late_spread(row.flat, low, high, mean, std),
            "rms": math.sqrt(square) if square >= 0 else math.nan,
            "zero_share": zeros,
            "subnormal_share": tiny - zeros,
            "sample": min(SAMPLE, row.flat.numel()),
        }
        if not (math.isfinite(low) and math.isfinite(high)) and row.flat.is_floating_point():
            numbers |= _nonfinite(row)
        return numbers

    def _statistics(self, ticket: int) -> list[list[float]]:
        if ticket not in self._cut:
            self._cut[ticket] = self._ledger.tensor(ticket).view(-1, _COLUMNS).tolist()
        return self._cut[ticket]


def _small_columns(rows: list[_Row]) -> list[Tensor]:
    """Every element of every tensor, joined: one kernel a statistic."""
    flats = [row.flat for row in rows if row.flat is not None]
    joined = torch.cat(flats)
    joined = joined.to(wide(joined))
    lengths = torch.tensor([flat.numel() for flat in flats], device=joined.device)
    magnitude = joined.abs()
    each = {
        "low": _by_segment(joined, "min", lengths),
        "high": _by_segment(joined, "max", lengths),
        "mean": _by_segment(joined, "mean", lengths),
        "square": _by_segment(joined * joined, "mean", lengths),
        "zeros": 1 - _by_segment(magnitude.sign(), "mean", lengths),
        "tiny": 1 - _by_segment((magnitude - _TINY).sign().clamp_(min=0), "mean", lengths),
    }
    return [each["low"], each["high"], each["mean"], each["square"], each["zeros"], each["tiny"]]


def _large_columns(rows: list[_Row]) -> list[Tensor]:
    """Exact extremes of each tensor; the rest from its sample, all samples together."""
    flats = [row.flat for row in rows if row.flat is not None]
    extremes, samples = [], []
    for flat in flats:  # one after the other: the sample is read while the tensor is still in the cache
        extremes.append(torch.aminmax(flat))
        samples.append(flat.index_select(0, _positions(flat.numel(), flat.device)))
    sample = torch.stack(samples)  # [T, SAMPLE]
    sample = sample.to(wide(sample))
    magnitude = sample.abs()
    return [
        torch.stack([low for low, _ in extremes]).to(sample.dtype),
        torch.stack([high for _, high in extremes]).to(sample.dtype),
        sample.mean(1),
        (sample * sample).mean(1),
        1 - magnitude.sign().mean(1),
        1 - (magnitude - _TINY).sign().clamp_(min=0).mean(1),
    ]


def _by_segment(values: Tensor, reduce: str, lengths: Tensor) -> Tensor:
    reduced: Tensor = torch.segment_reduce(values, reduce, lengths=lengths)
    return reduced


def spread_of(sample: Tensor) -> Tensor:
    """1.4826 x median absolute deviation along the last axis: a Gaussian's standard deviation, whatever its tails."""
    middle = sample.median(-1, keepdim=True).values
    return 1.4826 * (sample - middle).abs().median(-1).values


def _late_spread(flat: Tensor, low: float, high: float, mean: float, std: float) -> float:
    """Robust spread, worked out only when an extreme lies further out than chance puts it: medians are slow.

    One element of n can lie sqrt(n) deviations out at most, so few elements need a low limit; Gaussian draws reach
    4.5 in a few thousand and 6 in a thousand million, and 1 % of outliers beyond a rule's reach cannot hide below.
    """
    is_small = flat.numel() <= SAMPLE
    far = 6.0 if not is_small else 4.5 if flat.numel() >= _FEW else 3.0
    if low == high or max(high - mean, mean - low) <= far * std:
        return std
    read = flat if is_small else flat.index_select(0, _positions(flat.numel(), flat.device))[::_SPREAD_EVERY]
    return float(spread_of(read.to(wide(read))))


def _nonfinite(row: _Row) -> dict[str, Any]:
    """How many elements are bad, and which is the first, in the order of indices and not of memory."""
    tensor = getattr(row.tensor, "_local_tensor", row.tensor).detach()
    plain = tensor if tensor.layout == torch.strided and tensor.element_size() > 1 else row.flat
    assert plain is not None
    bad = ~torch.isfinite(plain).reshape(-1)
    count = int(bad.sum())
    return {"num_nonfinite": count, "first_nonfinite": int(bad.nonzero()[0, 0]) if count else None}
