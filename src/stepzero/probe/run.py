"""What one observed pass leaves behind before it is frozen."""

from dataclasses import dataclass, field

from torch import Tensor

from stepzero.core.trace import LossFact
from stepzero.probe.recorder import Recorder


@dataclass
class Run:
    """What one pass leaves behind before it is frozen."""

    recorder: Recorder
    outputs: list[int] = field(default_factory=list)
    loss: LossFact = LossFact("none", "none", None)
    loss_index: int | None = None
    gradients: dict[str, tuple[int, int, bool]] = field(default_factory=dict)
    small: dict[str, Tensor] = field(default_factory=dict)
    """Gradients of the small parameters."""
    has_backward: bool = False
    conditions: list[str] = field(default_factory=list)
