"""The source tree as data, for tests about its shape."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "stepzero"


@dataclass(frozen=True)
class Source:
    """One Python file of the package."""

    place: str
    """Path below src/stepzero, with slashes."""
    text: str

    @property
    def module(self) -> str:
        """Dotted name."""
        return ".".join(["stepzero", *self.place.removesuffix(".py").removesuffix("__init__").strip("/").split("/")])

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the syntax tree."""
        return list(ast.walk(ast.parse(self.text)))

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Every call with the dotted name that is called."""
        return ((dotted(node.func), node) for node in self.nodes if isinstance(node, ast.Call))

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method."""
        return (node for node in self.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def dotted(node: ast.expr) -> str:
    """``torch.randn`` for the expression that reads so; ``?.normal_`` for a method of some other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"


def sources() -> list[Source]:
    """Every Python file of the package."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return [Source(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")) for path in paths]
