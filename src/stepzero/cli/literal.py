"""Calls written on the command line: ``Net(width=256)``. Arguments are literals; nothing else is ever evaluated."""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stepzero.core.errors import TargetError

ACCEPTED = "numbers, strings, True, False, None and tuples, lists, dicts and sets of them"


@dataclass(frozen=True, slots=True)
class Arguments:
    """Positional and keyword arguments of one call."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def check(self, function: Callable[..., Any], name: str) -> None:
        """Raise `TargetError` when the arguments do not fit the signature of ``function``."""
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # some functions written in C have none
            return
        try:
            signature.bind(*self.args, **self.kwargs)
        except TypeError as error:
            bare = name.partition("(")[0]
            raise TargetError(f"{bare}{signature}: {error}; give literal arguments as in '{bare}(...)'") from None


def split_call(text: str) -> tuple[str, str | None]:
    """Split ``name(arguments)`` into the name and the text between the parentheses, None without parentheses."""
    name, opening, rest = text.partition("(")
    if not opening:
        return text.strip(), None
    if not rest.rstrip().endswith(")"):
        raise TargetError(f"{text!r}: the parenthesis is not closed")
    return name.strip(), rest.rstrip()[:-1]


def arguments(text: str | None, name: str) -> Arguments:
    """Read the text between the parentheses of a call of ``name``."""
    if text is None or not text.strip():
        return Arguments()
    call = parse(text, f"{name}({text})")
    args = tuple(value(node, f"{name}({ast.unparse(node)})") for node in call.args)
    return Arguments(args, {key: value(node, f"{name}({key}={ast.unparse(node)})") for key, node in keywords(call)})


def parse(text: str, told: str) -> ast.Call:
    """Parse ``text`` as the arguments of a call; `TargetError` with ``told`` when it is no Python."""
    try:
        call = ast.parse(f"f({text}\n)", mode="eval").body
    except (SyntaxError, ValueError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise TargetError(f"{told}: not readable as Python arguments: {reason}") from None
    if not isinstance(call, ast.Call) or not (isinstance(call.func, ast.Name) and call.func.id == "f"):
        raise TargetError(f"{told}: not readable as the arguments of one call")
    return call


def keywords(call: ast.Call) -> list[tuple[str, ast.expr]]:
    """Keyword arguments of ``call``; ``**mapping`` is refused."""
    if any(keyword.arg is None for keyword in call.keywords):
        raise TargetError("`**` is not accepted in a target or a batch; write the keyword arguments out")
    return [(str(keyword.arg), keyword.value) for keyword in call.keywords]


def value(node: ast.expr, told: str) -> Any:
    """Return the literal that ``node`` is; `TargetError` with ``told`` when it is anything else."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise TargetError(
            f"{told}: {ast.unparse(node)!r} is not a literal; accepted are {ACCEPTED}. "
            "For anything else write a factory function and give its name"
        ) from None
