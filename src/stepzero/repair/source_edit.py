"""The edit itself, on libcst's tree: needs the extra ``fix``."""

from typing import Any

import libcst as cst

_CALL = "init_"


class Start(cst.CSTTransformer):
    """Wrap what ``name`` returns in ``init_(...)``; of a class, call it at the end of ``__init__``."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.places = 0
        self._name = name
        self._inside: list[str] = []

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:  # noqa: N802 - libcst calls it
        """Note where we are."""
        self._inside.append(node.name.value)
        return True

    def visit_ClassDef(self, node: cst.ClassDef) -> bool:  # noqa: N802 - as above
        """Note where we are."""
        self._inside.append(node.name.value)
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
        self.places += 1
        call = cst.parse_statement(f"{_CALL}(self)")
        return updated_node.with_changes(body=updated_node.body.with_changes(body=[*updated_node.body.body, call]))

    def leave_Return(self, original_node: cst.Return, updated_node: cst.Return) -> cst.Return:  # noqa: ARG002, N802 - as above
        """Wrap the model, alone or first of a tuple."""
        if self._inside != [self._name] or updated_node.value is None:
            return updated_node
        value: Any = updated_node.value
        if isinstance(value, cst.Tuple) and value.elements:
            first = value.elements[0]
            if _is_wrapped(first.value):
                return updated_node
            self.places += 1
            elements = [first.with_changes(value=_wrapped(first.value)), *value.elements[1:]]
            return updated_node.with_changes(value=value.with_changes(elements=elements))
        if _is_wrapped(value):
            return updated_node
        self.places += 1
        return updated_node.with_changes(value=_wrapped(value))


def _wrapped(value: cst.BaseExpression) -> cst.Call:
    return cst.Call(cst.Name(_CALL), [cst.Arg(value)])


def _is_wrapped(value: cst.BaseExpression) -> bool:
    return isinstance(value, cst.Call) and isinstance(value.func, cst.Name) and value.func.value == _CALL
