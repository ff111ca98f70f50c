"""The lab: many small networks really trained, so that a claim about starts can be tried instead of believed.

result = stepzero.lab.run(stepzero.lab.Grid(weights=["zero", "lecun"], biases=["zero", "random"], seeds=20))
result.networks()
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepzero.lab.grid import Grid
    from stepzero.lab.running import Progress, Result, resume, run

__all__ = ["Grid", "Progress", "Result", "resume", "run"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: showing what is stored needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module 'stepzero.lab' has no attribute {name!r}; it has: {', '.join(__all__)}")
    home = "stepzero.lab.grid" if name == "Grid" else "stepzero.lab.running"
    return getattr(importlib.import_module(home), name)
