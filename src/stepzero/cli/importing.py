"""Finding the user's code: a module by its dotted name or its file, and an attribute in it.

Importing a module runs it. Whatever it raises is the cause of the `TargetError` that tells which import it was.
"""

import contextlib
import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from stepzero.cli.failures import shortened
from stepzero.core.errors import TargetError, did_you_mean

REFERENCE = re.compile(r"(?P<source>.+?):(?P<attribute>[^\W\d][\w.]*)(?P<call>\(.*\))?", re.DOTALL)
"""``source:attribute(arguments)``; lazy, so that the colon of ``C:/net.py:build`` is not taken for the separator."""


@dataclass(frozen=True, slots=True)
class Reference:
    """``source:attribute(arguments)``, taken apart."""

    source: str
    attribute: str
    arguments: str | None
    """The text between the parentheses; None when there are none."""

    @property
    def name(self) -> str:
        """Source and attribute, without arguments."""
        return f"{self.source}:{self.attribute}"


def reference(text: str) -> Reference | None:
    """Take ``text`` apart; None when it is of another form."""
    match = REFERENCE.fullmatch(text.strip())
    if match is None:
        return None
    return Reference(match["source"], match["attribute"], match["call"][1:-1] if match["call"] else None)


def attribute(source: str, dotted: str) -> Any:
    """Import ``source`` (``pkg.mod`` or ``path/to/file.py``) and return what ``dotted`` names in it."""
    found: Any = load(source)
    for depth, name in enumerate(dotted.split(".")):
        here = ".".join([source, *dotted.split(".")[:depth]]) if depth else source
        try:
            found = getattr(found, name)
        except AttributeError:
            public = [known for known in dir(found) if not known.startswith("__")]
            raise TargetError(f"no attribute {name!r} in {here}{did_you_mean(name, public) or _offer(found)}") from None
    return found


def load(source: str) -> ModuleType:
    """Import a module by dotted name, from the working directory too, or by the path of its file."""
    if source.endswith(".py") or "/" in source or "\\" in source:
        return _load_file(Path(source))
    if not all(part.isidentifier() for part in source.split(".")):
        raise TargetError(f"{source!r} is neither a module such as pkg.mod nor a file such as path/to/file.py")
    _put_on_path(Path.cwd())
    try:
        with running(f"{source} could not be imported"):
            return importlib.import_module(source)
    except TargetError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name and f"{source}.".startswith(f"{cause.name}."):
            raise TargetError(_no_module(source, cause.name)) from None
        raise


@contextlib.contextmanager
def running(what: str) -> Iterator[None]:
    """Turn whatever the user's code raises into a `TargetError` saying ``what``, with the original as its cause."""
    try:
        yield
    except TargetError:
        raise
    except SystemExit as error:
        told = f"{what}: it called sys.exit({error.code!r}); guard scripts with `if __name__ == '__main__'`"
        raise TargetError(told) from None
    except Exception as error:
        reason = " ".join(str(error).split()) or "no message"
        raise TargetError(f"{what}: {type(error).__name__}: {shortened(reason)}") from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise TargetError(_no_file(path))
    if path.suffix != ".py":
        raise TargetError(f"{path}: expected a Python file that ends in .py")
    root, name = _package_of(path.resolve())
    _put_on_path(root)
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) == str(path.resolve()):
        return sys.modules[name]
    with running(f"{path} could not be imported"):
        return _import_as(name, path.resolve()) if "." not in name else importlib.import_module(name)


def _import_as(name: str, path: Path) -> ModuleType:
    """Import ``path`` under ``name``, or under a name of its own when that is taken (``json.py``)."""
    if name in sys.modules or name in sys.stdlib_module_names:
        name = f"{name}_target"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "a file that ends in .py has a loader"
    assert spec.loader is not None, "a file that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and pickle look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _package_of(path: Path) -> tuple[Path, str]:
    """Folder to import from and dotted name: a file in a package is its member, so that ``from . import`` works."""
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts)


def module_of(path: Path) -> str:
    """Dotted name under which the file beside a target is imported."""
    return _package_of(path.resolve())[1]


def _put_on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _no_module(source: str, missing: str) -> str:
    """Say which part of a dotted name does not exist and what is there instead."""
    parent, _, last = missing.rpartition(".")
    where = f"package {parent}" if parent else f"{Path.cwd()} and the installed packages"
    places = list(getattr(sys.modules.get(parent), "__path__", [])) if parent else [str(Path.cwd())]
    known = [module.name for module in pkgutil.iter_modules(places)]
    of = f" (of {source})" if missing != source else ""
    near = did_you_mean(last, known)
    return f"no module {last!r}{of} in {where}{near or '; a TARGET is pkg.mod:factory or path/to/file.py:factory'}"


def _no_file(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder, expected a Python file"
    folder = path.parent
    if not folder.is_dir():
        return f"no file {path}: the folder {folder} does not exist (looked from {Path.cwd()})"
    near = did_you_mean(path.name, [file.name for file in folder.glob("*.py")])
    return f"no file {path.name!r} in {folder.resolve()}{near}"


def _offer(found: object) -> str:
    """Name a few callables of the user's own making that could be meant."""
    home = getattr(found, "__name__", "")
    own = [name for name, item in vars(found).items() if callable(item) and getattr(item, "__module__", "") == home]
    own = [name for name in own if not name.startswith("_")] if isinstance(found, ModuleType) else []
    return f"; it defines {', '.join(own[:8])}" if own else ""
