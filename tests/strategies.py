"""Hypothesis strategies: any Report or Trace that a run could produce, and many that no run would."""

import dataclasses
import math
from typing import Any

from hypothesis import strategies as st

from stepzero.core.finding import Finding, Fix
from stepzero.core.outcome import Accepted, Coverage, LayerRow, NotChecked, Report
from stepzero.core.provenance import PoisonFact, Unwritten
from stepzero.core.trace import (
    GradientFact,
    InputFact,
    LossFact,
    ModuleFact,
    Operation,
    ParameterUse,
    Signal,
    TensorFact,
    Trace,
)
from stepzero.core.vector import Vector

REPORT_NOUNS = (Fix, Finding, LayerRow, NotChecked, Accepted, Coverage)
TRACE_NOUNS = (
    Signal,
    ParameterUse,
    Operation,
    GradientFact,
    TensorFact,
    ModuleFact,
    InputFact,
    LossFact,
    Unwritten,
    PoisonFact,
)

FIELDS: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(),
    str: st.text(max_size=12) | st.sampled_from(["nan", "inf", "null", "true", "1", "[attn]", "<b>&</b>", "\x1b[0m"]),
}


ATTRIBUTES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["nan", "inf", "-inf", "null", "true", "1"])
    | st.lists(st.integers(0, 9), max_size=3).map(tuple)
)
"""Every kind, and the words that look like another kind."""


def every_field(cls: type, **chosen: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Build ``cls`` with a drawn value in every field, those with a default included."""
    inferred = dict.fromkeys((field.name for field in dataclasses.fields(cls)), ...)
    return st.builds(cls, **{**inferred, **chosen})


def register() -> None:
    """Make ``from_type`` draw every field of the nouns, numbers that are not finite included."""
    for kind, strategy in FIELDS.items():
        st.register_type_strategy(kind, strategy)
    st.register_type_strategy(Vector, st.lists(st.floats(), max_size=4).map(Vector.of))
    for cls in (*REPORT_NOUNS, *TRACE_NOUNS):
        st.register_type_strategy(cls, every_field(cls))
    st.register_type_strategy(Operation, every_field(Operation, attributes=st.dictionaries(st.text(), ATTRIBUTES)))


def reports() -> st.SearchStrategy[Report]:
    """Any Report."""
    register()
    return every_field(Report)


def traces() -> st.SearchStrategy[Trace]:
    """Any Trace, also one whose graph makes no sense."""
    register()
    return every_field(Trace)


def alike(a: object, b: object) -> bool:
    """Equality by type and value in which NaN equals itself."""
    if type(a) is not type(b):
        return False
    if dataclasses.is_dataclass(a):
        return all(alike(getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(alike(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))
