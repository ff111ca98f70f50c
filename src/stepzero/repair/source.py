"""Edit the source of a factory so that the model it returns is started well; everything else keeps its form.

A factory is a function that returns a model, ``(model, batch)`` or ``(model, batch, loss)``, or a module class.
"""

import difflib
import re

from stepzero.core.errors import ConfigError

_MISSING = "editing source needs the package libcst; install stepzero[fix], or use --emit and call init_ yourself"


def with_start(source: str, name: str, module: str) -> str:
    """The same source with ``init_`` imported from ``module`` and called on what ``name`` returns, or in its __init__.

    Raises:
        ConfigError: libcst is missing, or the source has no such function or class, or it never returns a model.
    """
    try:
        import libcst  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(_MISSING) from error
    from stepzero.repair.source_edit import Start  # noqa: PLC0415 - needs the extra

    tree = libcst.parse_module(source)
    if re.search(r"^(def|class) init_\b|^init_\s*=", source, re.MULTILINE):
        raise ConfigError("fix: the file has an init_ of its own, which the imported one would clash with; use --emit")
    editor = Start(name)
    edited = tree.visit(editor)
    if not editor.places:
        raise ConfigError(f"fix: found no function or class {name!r} that returns or is a model; use --emit FILE")
    return _with_import(edited.code, module)


def _with_import(source: str, module: str) -> str:
    """Insert the import behind the last one at the top of the file."""
    line = f"from {module} import init_"
    rows = source.split("\n")
    if line in rows:
        return source
    last = -1
    for index, row in enumerate(rows):
        if row.startswith(("import ", "from ")):
            last = index
        elif row.startswith(("def ", "class ", "@")):
            break
    rows.insert(_end_of_statement(rows, last) + 1, line)
    return "\n".join(rows)


def _end_of_statement(rows: list[str], start: int) -> int:
    """Index of the line that closes the brackets opened at ``start``; -1 stays -1."""
    depth = 0
    for index in range(max(start, 0), len(rows)) if start >= 0 else ():
        depth += rows[index].count("(") - rows[index].count(")")
        if depth <= 0 and not rows[index].rstrip().endswith("\\"):
            return index
    return start


def diff(before: str, after: str, path: str) -> str:
    """Unified diff of one file; empty when nothing changed."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), f"a/{path}", f"b/{path}", lineterm="")
    return "\n".join(lines)
