"""The gradients that reach the parameters: the norm of every slice along axis 0, and nothing else, is kept."""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from stepzero.core.trace import GradientFact
from stepzero.measure.sampling import wide
from stepzero.probe.transfer import Ledger

LARGE = 1 << 14
"""Numbers in a gradient from which on it is looked at as it arrives, still in the cache, and let go."""

Arrival = tuple[int, int, bool]
"""Ticket of the norms, number of elements, whether the gradient was sparse."""


class Arrivals:
    """Looks at gradients while the backward pass runs, so that no two large ones are ever held together."""

    def __init__(self, ledger: Ledger, parameters: list[tuple[str, Tensor]]) -> None:
        self._ledger = ledger
        self._parameters = parameters
        self._norms: dict[str, Tensor] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hook the large parameters; leaves no trace on any of them."""
        large = [(name, tensor) for name, tensor in self._parameters if tensor.numel() >= LARGE and tensor.dim() > 1]
        before = [tensor._backward_hooks for _, tensor in large]  # noqa: SLF001 - an empty dict would stay behind
        handles = [tensor.register_hook(partial(self._arrive, name)) for name, tensor in large]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for (_, tensor), hooks in zip(large, before, strict=True):
                if not hooks:
                    tensor._backward_hooks = hooks  # noqa: SLF001 - as above

    def _arrive(self, name: str, gradient: Tensor) -> Tensor | None:
        """Take the norms; what is handed on in the gradient's place is one zero, seen in its shape."""
        with torch._C.DisableTorchFunction():  # else the mode would be told of every question, too
            if gradient.layout != torch.strided or type(gradient) is not Tensor:
                return None
            rows = _rows(gradient)
            norms = _row_norms(rows)
            if norms.device.type == "cpu" and _has_doubtful(norms):
                norms = _careful_norms(rows, norms)
            self._norms[name] = norms
            return _zero(gradient.device, gradient.dtype).expand(gradient.shape)

    def held(self, gradients: tuple[Tensor | None, ...]) -> dict[str, Tensor]:
        """By name those that were small enough to keep until the end."""
        named = zip(self._parameters, gradients, strict=True)
        return {name: each for (name, _), each in named if each is not None and name not in self._norms}

    def facts(self, gradients: tuple[Tensor | None, ...]) -> dict[str, Arrival]:
        """By name, in the order of the parameters; a parameter that no gradient reached has none."""
        arrived = {
            name: gradient
            for (name, _), gradient in zip(self._parameters, gradients, strict=True)
            if gradient is not None and gradient.numel()
        }
        held = {name: gradient for name, gradient in arrived.items() if name not in self._norms}
        tickets = {name: self._ledger.put(norms) for name, norms in self._norms.items()}
        tickets |= look_at_gradients(self._ledger, held)
        return {
            name: (tickets[name], gradient.numel(), gradient.layout != torch.strided)
            for name, gradient in arrived.items()
        }


@functools.lru_cache(maxsize=64)
def _zero(device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.zeros((), device=device, dtype=dtype)


def look_at_gradients(ledger: Ledger, gradients: dict[str, Tensor]) -> dict[str, int]:
    """Tickets of the norms of each gradient's slices along axis 0."""
    rows = {name: _rows(gradient) for name, gradient in gradients.items()}
    norms = {name: _row_norms(each) for name, each in rows.items() if each.dim() > 1}
    flat = [name for name in rows if name not in norms]  # many, short and of one number a slice
    if flat:
        magnitudes = torch._foreach_abs([rows[name] for name in flat])  # noqa: SLF001 - torch has no other name for it
        norms |= zip(flat, magnitudes, strict=True)
    for name in _doubtful({name: norm for name, norm in norms.items() if rows[name].dim() > 1}):
        norms[name] = _careful_norms(rows[name], norms[name])
    return {name: ledger.put(norms[name]) for name in gradients}


def _rows(gradient: Tensor) -> Tensor:
    dense = gradient.to_dense() if gradient.layout != torch.strided else gradient
    if type(dense) is not Tensor:
        dense = getattr(dense, "_local_tensor", dense)
    return dense if dense.dim() in (1, 2) else dense.flatten(1) if dense.dim() else dense.reshape(-1)


def _row_norms(rows: Tensor) -> Tensor:
    dtype = None if rows.is_complex() else wide(rows)
    if rows.device.type == "cpu":  # much faster in the gradient's own dtype, and mended where that is too narrow
        dtype = torch.float32 if rows.dtype in (torch.float16, torch.bfloat16) else None
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=dtype)
    return norms


def _doubtful(norms: dict[str, Tensor]) -> list[str]:
    """Names whose norms hold a 0 or an infinity, asked of all at once: squares of float32 vanish below 1e-23."""
    on_cpu = {name: norm for name, norm in norms.items() if norm.device.type == "cpu"}
    kinds = {norm.dtype for norm in on_cpu.values()}
    joined = [torch.cat([norm for norm in on_cpu.values() if norm.dtype == kind]) for kind in kinds]
    if not any(bool(_is_doubtful(each).any()) for each in joined):
        return []
    return [name for name, norm in on_cpu.items() if bool(_is_doubtful(norm).any())]


def _has_doubtful(norms: Tensor) -> bool:
    """Whether any norm is 0 or infinite, in one call; with a NaN among them each has to be asked."""
    low, high = torch.aminmax(norms)
    return not (float(low) > 0.0 and float(high) < math.inf)


def _is_doubtful(norms: Tensor) -> Tensor:
    return (norms == 0) | norms.isinf()


def _careful_norms(rows: Tensor, norms: Tensor) -> Tensor:
    """Norms that are zero only where every number is, and infinite only where one is."""
    largest = _largest(rows)
    doubtful = _is_doubtful(norms) & (largest > 0) & largest.isfinite()
    norms = norms.double()
    norms[doubtful] = torch.linalg.vector_norm(rows[doubtful].abs().double(), dim=1)
    return norms


def _largest(rows: Tensor) -> Tensor:
    """Largest magnitude in each row; without a copy of real numbers, and much faster than the infinity norm."""
    if rows.is_complex():
        return rows.abs().amax(1)
    return torch.maximum(rows.amax(1), -rows.amin(1))


def gradient_facts(ledger: Ledger, arrived: dict[str, Arrival]) -> dict[str, GradientFact]:
    """The frozen facts from the fetched slice norms."""
    norms = ledger.norms([ticket for ticket, _, _ in arrived.values()])
    return {
        name: GradientFact(
            rms=norm / math.sqrt(max(1, numel)),
            norm=norm,
            row_norm=ledger.vector(ticket),
            nonfinite=not math.isfinite(norm),
            is_sparse=is_sparse,
        )
        for norm, (name, (ticket, numel, is_sparse)) in zip(norms, arrived.items(), strict=True)
    }
