"""Where files of the lab live: the user's data and cache directories, by the habits of the system."""

import os
import sys
from pathlib import Path


def data() -> Path:
    """Folder of the lab's results; ``STEPZERO_DATA`` overrides it."""
    return _place("STEPZERO_DATA", "XDG_DATA_HOME", ".local/share", "Library/Application Support")


def cache() -> Path:
    """Folder of what can be built again; ``STEPZERO_CACHE`` overrides it."""
    return _place("STEPZERO_CACHE", "XDG_CACHE_HOME", ".cache", "Library/Caches")


def _place(own: str, standard: str, linux: str, mac: str) -> Path:
    if own in os.environ:
        return Path(os.environ[own])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "stepzero"
    base = Path.home() / (mac if sys.platform == "darwin" else linux)
    return Path(os.environ.get(standard, base)) / "stepzero"
