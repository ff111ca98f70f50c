"""Outcomes that took long, kept on disk for as long as the sources and the packages that made them are the same."""

import hashlib
import json
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / ".kept"
PACKAGES = ("torch", "lsuv", "scikit-learn")


def outcome(
    name: str, sources: Iterable[Path], make: Callable[[], dict[str, Any]], *, fresh: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """What ``make`` gives, or gave when it was last run for this name by these sources.

    Args:
        name: tells outcomes of the same sources apart.
        sources: files, or folders of them, that decide the outcome.
        make: gives plain data.
        fresh: do not read what was kept.
    """
    place = FOLDER / f"{key(name, sources)}.json"
    if place.exists() and not fresh:
        return dict(json.loads(place.read_text()))
    made = make()
    FOLDER.mkdir(exist_ok=True)
    place.write_text(json.dumps(made))
    return made


def key(name: str, sources: Iterable[Path]) -> str:
    """Another as soon as the name, a source or a package is another."""
    digest = hashlib.blake2b(name.encode(), digest_size=16)
    for source in sources:
        for path in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
            digest.update(path.read_bytes())
    for package in PACKAGES:
        digest.update(_version(package).encode())
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
