"""Comments of the form ``# stepzero: ignore[SZ401] reason`` beside the lines that created modules and parameters."""

import ast
import io
import linecache
import re
import tokenize
from collections.abc import Collection, Iterator, Mapping

from stepzero.core.suppression import Comment

_FORM = re.compile(r"#\s*stepzero:\s*ignore\b\s*(?:\[(?P<words>[^\]]*)\])?\s*[:-]*\s*(?P<reason>.*)")
_QUICK = "stepzero:"
"""What a file must hold to be worth reading token by token."""


def comments(files: Mapping[str, str], created: Collection[str]) -> tuple[Comment, ...]:
    """Read the comments that speak of lines in ``created`` (``path:line``).

    ``files`` maps each path to the file it means. A comment speaks of its own line, and, since a call may be spread
    over several, of the first line of the innermost call around it.
    """
    found = [comment for path, file in files.items() for comment in _of_file(path, file)]
    return tuple(comment for comment in found if not set(created).isdisjoint(comment.lines))


def _of_file(path: str, file: str) -> Iterator[Comment]:
    linecache.checkcache(file)
    text = "".join(linecache.getlines(file))
    if _QUICK not in text:
        return
    calls = _calls(text)
    for row, comment in _comments(text):
        if (form := _FORM.search(comment)) is not None:
            words = (form["words"] or "").replace(",", " ").split()
            lines = dict.fromkeys([f"{path}:{row}", f"{path}:{_begun(calls, row)}"])
            yield Comment(f"{path}:{row}", tuple(lines), tuple(words), form["reason"].strip())


def _comments(text: str) -> list[tuple[int, str]]:
    """Line and text of every comment; none when the text is no Python (a notebook cell with magic in it)."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return []
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]


def _calls(text: str) -> list[tuple[int, int]]:
    """First and last line of every call."""
    try:
        nodes = ast.walk(ast.parse(text))
    except (SyntaxError, ValueError):
        return []
    return [(node.lineno, node.end_lineno or node.lineno) for node in nodes if isinstance(node, ast.Call)]


def _begun(calls: list[tuple[int, int]], row: int) -> int:
    """First line of the shortest call around ``row``, else ``row``."""
    around = [(last - first, first) for first, last in calls if first <= row <= last]
    return min(around)[1] if around else row
