"""The module tree, read from parameter names."""

import re
from collections.abc import Collection, Iterable


def topmost(chosen: Collection[str], everyone: Iterable[str]) -> dict[str, list[str]]:
    """Group the ``chosen`` parameters by the top-most module that has no other parameter; a lone one by its own name.

    ``everyone`` are the parameters that count; the whole model has the path ''.
    """
    groups = highest(chosen, everyone)
    return {names[0] if len(names) == 1 else path: names for path, names in groups.items()}


def highest(chosen: Collection[str], everyone: Iterable[str]) -> dict[str, list[str]]:
    """As `topmost`, with a lone parameter under its module too, unless that module has others."""
    members: dict[str, list[str]] = {}
    for name in everyone:
        for path in _parents(name):
            members.setdefault(path, []).append(name)
    wanted = set(chosen)
    whole = {path for path, names in members.items() if wanted.issuperset(names)}
    groups: dict[str, list[str]] = {}
    for name in chosen:
        top = next((path for path in _parents(name) if path in whole), name)
        groups.setdefault(top, []).append(name)
    return groups


def _parents(name: str) -> list[str]:
    """Paths of the modules around a parameter, the model first."""
    parts = name.split(".")[:-1]
    return [".".join(parts[:length]) for length in range(len(parts) + 1)]


def alike(paths: Iterable[str]) -> list[list[str]]:
    """Group paths that differ in numbers only: the same part of repeated blocks."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(re.sub(r"\d+", "*", path), []).append(path)
    return list(groups.values())
