"""Places in source files as reports show them."""

from pathlib import Path


def shown(filename: str) -> str:
    """Relative to the working directory when below it, else from the package root: no absolute paths in reports."""
    path = Path(filename)
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        parts_ = path.parts
        if "site-packages" in parts_:
            return "/".join(parts_[len(parts_) - parts_[::-1].index("site-packages") :])
        return path.as_posix()
