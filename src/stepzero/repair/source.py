"""Edit the source of a factory so that the model it returns is started well; everything else keeps its form.

A factory is a function that returns a model, ``(model, batch)`` or ``(model, batch, loss)``, or a module class.
"""

import difflib

from stepzero.core.errors import ConfigError

_MISSING = "editing source needs the package libcst; install stepzero[fix], or use --emit and call init_ yourself"


def with_start(source: str, name: str, module: str, *, is_tuple: bool = False) -> str:
    """The same source with ``init_`` imported from ``module`` and called on what ``name`` returns, or in its __init__.

    ``is_tuple`` says that the factory returned a tuple when it was called.

    Raises:
        ConfigError: libcst is missing, or there is no place for the call that is sure to get the model.
    """
    try:
        import libcst  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(_MISSING) from error
    from stepzero.repair.source_edit import Start, has_own_start, with_import  # noqa: PLC0415 - needs the extra

    tree = libcst.parse_module(source)
    if has_own_start(tree, module):
        raise ConfigError("fix: the file has an init_ of its own, which the imported one would clash with; use --emit")
    editor = Start(name, is_tuple=is_tuple)
    edited = tree.visit(editor)
    if told := _no_place(name, editor.kind, editor.present, editor.places, editor.unclear):
        raise ConfigError(f"fix: {told} --emit FILE")
    after = with_import(edited, module).code
    compile(after, name, "exec", dont_inherit=True)
    return str(after)


def _no_place(name: str, kind: str, present: int, places: int, unclear: int) -> str:
    """Why the source cannot be edited; empty when it can."""
    if present:
        return (
            f"{name} calls init_ already, and a new file would take the place of the one it calls: "
            "take the call out to have all fixes worked out anew, or use"
        )
    if unclear:
        return f"{name} returns a tuple that is put together elsewhere, where the edit cannot reach the model; use"
    if places:
        return ""
    if kind == "class":
        return f"class {name} has no __init__ of its own that the call could stand in; use"
    if kind == "function":
        return f"{name} has no return with a model in it; use"
    return f"found no function or class {name!r} in the file itself (is it imported, or a lambda?); use"


def diff(before: str, after: str, path: str) -> str:
    """Unified diff of one file; empty when nothing changed."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), f"a/{path}", f"b/{path}", lineterm="")
    return "\n".join(lines)
