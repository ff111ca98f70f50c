"""Pure JSON for frozen records: non-finite numbers become the strings 'nan', 'inf' and '-inf', and come back."""

import math
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def dump(record: Any, *, indent: int = 2) -> str:
    """Serialise a (nested) dataclass."""
    plain = finite(msgspec.to_builtins(record))
    return msgspec.json.format(msgspec.json.encode(plain), indent=indent).decode()


def load(text: str | bytes, kind: type[T], what: str) -> T:
    """Read back what `dump` wrote; raises `ValueError` with the place when the text is no ``what``."""
    try:
        return msgspec.convert(msgspec.json.decode(text), kind, strict=False)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a stepzero {what}: {error}") from error


def finite(value: Any) -> Any:
    """Replace non-finite floats by strings, at any depth of dicts and lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
