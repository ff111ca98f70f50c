"""stepzero: can this network learn from the weights it was born with?

The public door. Importing it does not import torch; the first use of a name that needs torch does.
"""

import importlib
from typing import TYPE_CHECKING, Any

from stepzero.core.version import VERSION

if TYPE_CHECKING:
    from stepzero import lab, schemes
    from stepzero.api.checking import check, trace
    from stepzero.api.fanning import fans
    from stepzero.api.fixing import fix_
    from stepzero.core.coordinates import CoordinateCheck
    from stepzero.core.errors import (
        BatchError,
        ConfigError,
        IncompleteError,
        LossError,
        StepzeroError,
        TargetError,
    )
    from stepzero.core.finding import Finding, Fix
    from stepzero.core.limits import Limits
    from stepzero.core.outcome import Report
    from stepzero.core.plan import Plan
    from stepzero.core.trace import Trace
    from stepzero.probe.coordinates import coordinate_check
    from stepzero.probe.subject import Batch
    from stepzero.repair.initialise import init_
    from stepzero.repair.mup import mup_

__version__ = VERSION

_HOMES = {
    "Batch": "stepzero.probe.subject",
    "BatchError": "stepzero.core.errors",
    "ConfigError": "stepzero.core.errors",
    "CoordinateCheck": "stepzero.core.coordinates",
    "Finding": "stepzero.core.finding",
    "Fix": "stepzero.core.finding",
    "IncompleteError": "stepzero.core.errors",
    "Limits": "stepzero.core.limits",
    "LossError": "stepzero.core.errors",
    "Plan": "stepzero.core.plan",
    "Report": "stepzero.core.outcome",
    "StepzeroError": "stepzero.core.errors",
    "TargetError": "stepzero.core.errors",
    "Trace": "stepzero.core.trace",
    "check": "stepzero.api.checking",
    "coordinate_check": "stepzero.probe.coordinates",
    "fans": "stepzero.api.fanning",
    "fix_": "stepzero.api.fixing",
    "init_": "stepzero.repair.initialise",
    "lab": "stepzero",
    "mup_": "stepzero.repair.mup",
    "schemes": "stepzero",
    "trace": "stepzero.api.checking",
}

__all__ = [
    "Batch",
    "BatchError",
    "ConfigError",
    "CoordinateCheck",
    "Finding",
    "Fix",
    "IncompleteError",
    "Limits",
    "LossError",
    "Plan",
    "Report",
    "StepzeroError",
    "TargetError",
    "Trace",
    "check",
    "coordinate_check",
    "fans",
    "fix_",
    "init_",
    "lab",
    "mup_",
    "schemes",
    "trace",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'stepzero' has no attribute {name!r}; it has: {', '.join(__all__)}")
    is_module = home == __name__
    value = importlib.import_module(f"{home}.{name}") if is_module else getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
