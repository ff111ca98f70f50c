"""How each parameter grows from a narrow model to a wide one, told from the axes of the operations that read it."""

from dataclasses import dataclass

from stepzero.core.errors import TargetError
from stepzero.core.trace import Operation, ParameterUse, Trace
from stepzero.measure.uses import WEIGHTS, readings
from stepzero.schemes.width import Role


@dataclass(frozen=True, slots=True)
class Growth:
    """How one parameter grows from the base model to this one."""

    role: Role
    fan_in: float
    """Ratio of the axes that are summed over."""
    fan_out: float
    """Ratio of all others."""
    is_tied: bool = False
    """Both a lookup table and a readout."""

    @property
    def width(self) -> float:
        """Ratio of the axis that a readout sums over; of a tied table that is the one it does not look up by."""
        return self.fan_out if self.is_tied else self.fan_in


_Uses = list[tuple[Operation, ParameterUse]]


def growth(seen: Trace, base: Trace) -> dict[str, Growth]:
    """Role and ratios of every parameter that an operation reads.

    Raises:
        TargetError: the two models differ in more than their sizes.
    """
    names, base_names = ({fact.name for fact in trace.parameters} for trace in (seen, base))
    if odd := sorted(names ^ base_names):
        raise TargetError(
            f"base: expected the parameters of the model at another width, got a difference in {', '.join(odd[:3])}; "
            "pass the same model with another width"
        )
    read, base_read = readings(seen), readings(base)
    return {name: _growth(name, uses, base_read.get(name, [])) for name, uses in read.items() if uses and name in names}


def _growth(name: str, uses: _Uses, base_uses: _Uses) -> Growth:
    slots = [use.slot for _, use in uses]
    chosen = min(range(len(uses)), key=lambda place: _rank(slots[place]))
    use, other = uses[chosen][1], base_uses[chosen][1] if chosen < len(base_uses) else None
    if other is None or len(other.shape) != len(use.shape) or other.slot != use.slot:
        raise TargetError(f"base: {name} is used in another way there; pass the same model with another width")
    fan_in = fan_out = 1.0
    for size, base_size, axis in zip(use.shape, other.shape, use.axes, strict=True):
        if axis == "in":
            fan_in *= size / base_size
        else:
            fan_out *= size / base_size
    is_tied = "table" in slots and "weight" in slots
    if use.slot not in WEIGHTS:
        return Growth("vector", 1.0, fan_out)
    role: Role = "input" if fan_in == 1 else "readout" if fan_out == 1 else "hidden"
    return Growth(role, fan_in, fan_out, is_tied)


def _rank(slot: str) -> int:
    """A table decides over the readout it is tied to, a weight over anything else."""
    order = ("table", "weight", "recurrent", "operand")
    return order.index(slot) if slot in order else len(order)
