"""Mutable records kept while the model runs; `finish` turns them into the frozen Trace."""

from dataclasses import dataclass, field

from torch import Tensor

from stepzero.core.trace import Attribute, ParameterUse
from stepzero.measure.sampling import Plan
from stepzero.probe.sampler import Measured


@dataclass(slots=True, frozen=True)
class View:
    """A tensor that still *is* a parameter, or is computed from parameters alone.

    ``axes[i]`` is the parameter axis that axis ``i`` of the tensor is, or None; ``part`` a slice (axis, start, length).
    """

    parameter: str
    axes: tuple[int | None, ...]
    part: tuple[int, int, int] | None = None
    is_derived: bool = False


@dataclass(slots=True)
class Node:
    """Where a tensor came from: the operation that made it, or the parameters it is a view of."""

    index: int | None
    from_input: bool = False
    views: tuple[View, ...] = ()
    unit_axis: int | None = None
    run: int = 0
    """Number of the pass: a tensor the user keeps may come back in the next one."""
    pending: Plan | None = None
    """How to read the gradient of a result that could not be hooked when it was made."""


@dataclass(slots=True)
class Record:
    """One operation being recorded."""

    index: int
    name: str
    kind: str
    module: str
    call: int
    shape: tuple[int, ...]
    dtype: str
    inputs: list[int]
    from_input: bool
    in_loss: bool
    is_inplace: bool
    unit_axis: int | None = None
    uses: tuple[ParameterUse, ...] = ()
    attributes: dict[str, Attribute] = field(default_factory=dict)
    forward: Measured | None = None
    backward: Measured | None = None
    scalars: dict[str, Tensor] = field(default_factory=dict)
    """Device scalars to be read at the one transfer; they become attributes."""
    role: str = ""
    consumer: str = ""
    consumer_index: int | None = None

    @property
    def is_float(self) -> bool:
        """Whether derivatives pass through it: integers and truth values carry none."""
        return self.dtype.startswith(("float", "bfloat", "complex"))
