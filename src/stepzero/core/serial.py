"""Pure JSON for frozen records: non-finite numbers become the strings 'nan', 'inf' and '-inf', and come back.

The attributes of an operation may hold numbers or words, so a number there is written as ``{"float": "inf"}``.
"""

import math
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_MIXED = "attributes"
"""The key below which a string is a string."""


def dump(record: Any, *, indent: int = 2) -> str:
    """Serialise a (nested) dataclass."""
    plain = finite(msgspec.to_builtins(record))
    return msgspec.json.format(msgspec.json.encode(plain), indent=indent).decode()


def load(text: str | bytes, kind: type[T], what: str) -> T:
    """Read back what `dump` wrote; raises `ValueError` with the place when the text is no ``what``."""
    try:
        return msgspec.convert(_untagged(msgspec.json.decode(text)), kind, strict=False)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a stepzero {what}: {error}") from error


def finite(value: Any) -> Any:
    """Replace non-finite floats by strings, at any depth of dicts and lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: _tagged(item) if key == _MIXED else finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _tagged(attributes: Any) -> Any:
    if not isinstance(attributes, dict):
        return finite(attributes)
    return {
        key: {"float": str(value)} if isinstance(value, float) and not math.isfinite(value) else finite(value)
        for key, value in attributes.items()
    }


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _untagged(item) for key, item in value.items()}
    if isinstance(mixed := plain.get(_MIXED), dict):
        plain[_MIXED] = {key: _number(item) for key, item in mixed.items()}
    return plain


def _number(item: Any) -> Any:
    is_known = isinstance(item, dict) and len(item) == 1 and item.get("float") in ("nan", "inf", "-inf")
    return float(item["float"]) if is_known else item
