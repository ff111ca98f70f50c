"""Hypothesis strategies: any Report that a run could produce, and many that no run would."""

import dataclasses
from typing import Any

from hypothesis import strategies as st

from stepzero.core.finding import Finding, Fix
from stepzero.core.outcome import Coverage, LayerRow, NotChecked, Report

FIELDS: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(),
    str: st.text(max_size=12) | st.sampled_from(["nan", "inf", "null", "true", "1", "[attn]", "<b>&</b>", "\x1b[0m"]),
}


def every_field(cls: type) -> st.SearchStrategy[Any]:
    """Build ``cls`` with a drawn value in every field, those with a default included."""
    return st.builds(cls, **dict.fromkeys((field.name for field in dataclasses.fields(cls)), ...))


def register() -> None:
    """Make ``from_type`` draw every field of the nouns, numbers that are not finite included."""
    for kind, strategy in FIELDS.items():
        st.register_type_strategy(kind, strategy)
    for cls in (Fix, Finding, LayerRow, NotChecked, Coverage):
        st.register_type_strategy(cls, every_field(cls))


def reports() -> st.SearchStrategy[Report]:
    """Any Report."""
    register()
    return every_field(Report)
