"""Reachability in a Trace: what reads what, and what lies between."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from stepzero.core.trace import Operation, Trace


class _Known(threading.local):
    operations: tuple[Operation, ...] | None = None
    readers: dict[int, list[int]] = {}  # noqa: RUF012 - replaced, never changed


_KNOWN = _Known()


@contextmanager
def known_readers(trace: Trace) -> Iterator[None]:
    """Inside, what reads what in ``trace`` is worked out once, however many rules ask."""
    before = _KNOWN.operations, _KNOWN.readers
    _KNOWN.operations, _KNOWN.readers = trace.operations, trace.readers()
    try:
        yield
    finally:
        _KNOWN.operations, _KNOWN.readers = before


class Graph:
    """Reachability questions about one Trace, answered with work that is bounded by the part asked about."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    @cached_property
    def readers(self) -> dict[int, list[int]]:
        """Map each operation to the operations that read it."""
        return _KNOWN.readers if self.trace.operations is _KNOWN.operations else self.trace.readers()

    @cached_property
    def before_loss(self) -> set[int]:
        """Operations that the loss is computed from, itself included; all of them where it is not known."""
        end = self.trace.loss.operation
        return self.upstream({end}) if end is not None else {each.index for each in self.trace.operations}

    def between(self, first: int, last: int) -> set[int]:
        """Every operation on a way from ``first`` to ``last``, both included; empty when none leads there.

        Looks at no operation before ``first``, so that asking block by block costs as much as the blocks are long.
        """
        behind, stack = {last}, [last]
        while stack:
            for source in self.trace.operations[stack.pop()].inputs:
                if source >= first and source not in behind:
                    behind.add(source)
                    stack.append(source)
        found = {first} & behind
        for index in sorted(behind - {first}):
            if any(source in found for source in self.trace.operations[index].inputs):
                found.add(index)
        return found if last in found else set()

    def downstream(self, roots: Iterator[int] | set[int]) -> set[int]:
        """Every operation that a change in ``roots`` reaches, the roots included."""
        seen = set(roots)
        stack = list(seen)
        while stack:
            for reader in self.readers[stack.pop()]:
                if reader not in seen:
                    seen.add(reader)
                    stack.append(reader)
        return seen

    def upstream(self, roots: Iterator[int] | set[int]) -> set[int]:
        """Every operation that ``roots`` are computed from, the roots included."""
        seen = set(roots)
        stack = list(seen)
        while stack:
            for source in self.trace.operations[stack.pop()].inputs:
                if source not in seen:
                    seen.add(source)
                    stack.append(source)
        return seen
