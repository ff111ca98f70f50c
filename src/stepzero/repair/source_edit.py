"""The edit itself, on libcst's tree: needs the extra ``fix``."""

from collections.abc import Sequence
from typing import Any

import libcst as cst
import libcst.matchers as m

_CALL = "init_"


class Start(cst.CSTTransformer):
    """Wrap what ``name`` returns in ``init_(...)``; of a class, call it at the end of ``__init__``.

    After the visit ``places`` counts the calls that were added, ``present`` those that were there before, and
    ``kind`` is ``"function"``, ``"class"`` or empty when nothing has that name. ``unclear`` counts returns of a
    factory of tuples that build the tuple elsewhere.
    """

    def __init__(self, name: str, *, is_tuple: bool = False) -> None:
        super().__init__()
        self.places = self.present = self.unclear = 0
        self.kind = ""
        self._name, self._is_tuple = name, is_tuple
        self._inside: list[str] = []

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:  # noqa: N802 - libcst calls it
        """Note where we are."""
        self._enter(node.name.value, "function")
        return True

    def visit_ClassDef(self, node: cst.ClassDef) -> bool:  # noqa: N802 - as above
        """Note where we are."""
        self._enter(node.name.value, "class")
        return True

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:  # noqa: ARG002, N802 - as above
        """Leave."""
        self._inside.pop()
        return updated_node

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:  # noqa: ARG002, N802 - as above
        """Add the call to the class's ``__init__``."""
        path = tuple(self._inside)
        self._inside.pop()
        if path != (self._name, "__init__") or not isinstance(updated_node.body, cst.IndentedBlock):
            return updated_node
        if m.findall(updated_node.body, m.Call(func=m.Name(_CALL))):
            self.present += 1
            return updated_node
        self.places += 1
        owner = updated_node.params.params[0].name.value if updated_node.params.params else "self"
        call = cst.parse_statement(f"{_CALL}({owner})")
        return updated_node.with_changes(body=updated_node.body.with_changes(body=[*updated_node.body.body, call]))

    def leave_Return(self, original_node: cst.Return, updated_node: cst.Return) -> cst.Return:  # noqa: ARG002, N802 - as above
        """Wrap the model, alone or first of a tuple."""
        value: Any = updated_node.value
        if self._inside != [self._name] or value is None or m.matches(value, m.Name("None")):
            return updated_node
        if not isinstance(value, cst.Tuple):
            self.unclear += self._is_tuple
            return updated_node.with_changes(value=self._wrapped(value))
        first, *others = value.elements
        elements = [first.with_changes(value=self._wrapped(first.value)), *others]
        return updated_node.with_changes(value=value.with_changes(elements=elements))

    def _enter(self, name: str, kind: str) -> None:
        self._inside.append(name)
        if self._inside == [self._name]:
            self.kind = kind

    def _wrapped(self, value: cst.BaseExpression) -> cst.BaseExpression:
        if m.matches(value, m.Call(func=m.Name(_CALL))):
            self.present += 1
            return value
        self.places += 1
        return cst.Call(cst.Name(_CALL), [cst.Arg(value)])


def has_own_start(tree: cst.Module, module: str) -> bool:
    """Whether the file binds ``init_`` at its top to something else than what ``module`` gives it."""
    for statement in tree.body:
        if isinstance(statement, cst.FunctionDef | cst.ClassDef) and statement.name.value == _CALL:
            return True
        for small in statement.body if isinstance(statement, cst.SimpleStatementLine) else ():
            if _binds(small) and not _is_import_of(small, module):
                return True
    return False


def with_import(tree: cst.Module, module: str) -> cst.Module:
    """The import behind the last one that stands before the first definition, else behind the docstring."""
    if any(_is_import_of(small, module) for small in _small(tree.body)):
        return tree
    place = 0
    for index, statement in enumerate(tree.body):
        if isinstance(statement, cst.FunctionDef | cst.ClassDef):
            break
        is_import = any(isinstance(small, cst.Import | cst.ImportFrom) for small in _small([statement]))
        if is_import or (index == 0 and _is_docstring(statement)):
            place = index + 1
    line = cst.parse_statement(f"from {module} import {_CALL}\n")
    return tree.with_changes(body=[*tree.body[:place], line, *tree.body[place:]])


def _small(body: Sequence[Any]) -> list[cst.BaseSmallStatement]:
    return [small for each in body if isinstance(each, cst.SimpleStatementLine) for small in each.body]


def _is_docstring(statement: Any) -> bool:
    return m.matches(statement, m.SimpleStatementLine(body=[m.Expr(m.SimpleString() | m.ConcatenatedString())]))


def _binds(small: cst.BaseSmallStatement) -> bool:
    if isinstance(small, cst.Assign):
        return any(m.matches(target.target, m.Name(_CALL)) for target in small.targets)
    if isinstance(small, cst.ImportFrom) and not isinstance(small.names, cst.ImportStar):
        return any((name.evaluated_alias or name.evaluated_name) == _CALL for name in small.names)
    return False


def _is_import_of(small: cst.BaseSmallStatement, module: str) -> bool:
    wanted: Any = cst.parse_expression(module)
    return isinstance(small, cst.ImportFrom) and small.module is not None and small.module.deep_equals(wanted)
