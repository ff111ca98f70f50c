"""Relations between names."""

from collections.abc import Mapping


def connected(pairs: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """Connected groups of a symmetric relation, each in the order of its names."""
    groups, seen = [], set()
    for name, partners in pairs.items():
        if name in seen or not partners:
            continue
        group, stack = {name}, [name]
        while stack:
            new = pairs[stack.pop()] - group
            group |= new
            stack.extend(new)
        seen |= group
        groups.append(tuple(each for each in pairs if each in group))
    return groups
