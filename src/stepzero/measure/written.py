"""Reading the write record: what a general initialiser overwrote, and what it passed over."""

from collections import Counter
from collections.abc import Iterable, Sequence

from stepzero.core.provenance import ParameterWrites, Write, WriteRecord

_MEANT_IN_PART = frozenset(["values", "constant", "ones"])
"""The same for a slice of a vector: a forget gate's bias, a time constant."""


def overwritten(writes: Sequence[Write], *, is_vector: bool) -> tuple[Write, Write] | None:
    """The last write that meant something, and the general one of another function that replaced it; None if neither.

    A vector's law is zero, so zeros are general there; on a matrix they are a gate held shut. What one function writes
    twice it means to.
    """
    meant: Write | None = None
    found: tuple[Write, Write] | None = None
    for write in writes:
        if write.kind == "change":
            continue
        if is_meant(write, is_vector=is_vector):
            meant, found = write, None
        elif write.is_whole:
            is_lost = meant is not None and write.writer != meant.writer and _is_general(write, is_vector=is_vector)
            found = (meant, write) if meant is not None and is_lost else None
            meant = None
    return found


def is_meant(write: Write, *, is_vector: bool) -> bool:
    """Whether the write says more than a general law does; torch's own modules and loaded values do not.

    Numbers worked out somewhere do, a prior in a vector, a matrix held at zero. One other value throughout a matrix is
    a fault (SZ206), and drawing over it the cure.
    """
    if write.is_torch:
        return False
    if not write.is_whole:
        return is_vector and write.kind in _MEANT_IN_PART
    return write.kind == "values" or write.kind == ("constant" if is_vector else "zeros")


def _is_general(write: Write, *, is_vector: bool) -> bool:
    return write.kind == "draw" or (is_vector and write.kind == "zeros")


def general_initialiser(record: WriteRecord, names: Iterable[str]) -> tuple[str, frozenset[str]]:
    """The function that drew most of the parameters ``names``, and which of them; ('', none) without one.

    Functions of torch's own modules, which draw every layer by default, do not count.
    """
    wanted, drawn = set(names), dict[str, set[str]]()
    for each in record.parameters:
        if each.parameter in wanted:
            for write in each.writes:
                if write.is_whole and not write.is_torch:
                    drawn.setdefault(write.writer, set()).add(each.parameter)
    most = Counter({writer: len(reached) for writer, reached in drawn.items()}).most_common(1)
    return (most[0][0], frozenset(drawn[most[0][0]])) if most else ("", frozenset())


def by_default(each: ParameterWrites) -> bool:
    """Whether torch's own module drew the parameter and nobody wrote it since."""
    return bool(each.writes) and all(write.is_torch and write.kind != "loaded" for write in each.writes)
