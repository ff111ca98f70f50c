"""Small words that several messages share."""

from collections.abc import Sequence


def listed(names: Sequence[str], noun: str) -> str:
    """'a' for one name, 'a and 3 more parameters' for several."""
    if len(names) == 1:
        return names[0]
    more = len(names) - 1
    return f"{names[0]} and {more} more {noun}{'s' if more > 1 else ''}"


def agree(names: Sequence[str], verb: str) -> str:
    """The verb in the number of its subject: 'gets' for one name, 'get' for several."""
    irregular = {"have": "has", "are": "is", "do": "does"}
    return verb if len(names) > 1 else irregular.get(verb, verb + "s")


def enumerated(names: Sequence[str], most: int = 3) -> str:
    """'a, b, c and 2 more'."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
