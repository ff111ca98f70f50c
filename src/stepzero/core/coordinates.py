"""What a coordinate check found: how activations and their changes follow the width, place by place. Frozen data."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from stepzero.core import serial

Verdict: TypeAlias = Literal["explodes", "vanishes", "stable", "unmoved"]
"""explodes: grows with the width | vanishes: its change shrinks with the width | stable: neither | unmoved: training
did not change it at every width, so that nothing can be said."""


@dataclass(frozen=True, slots=True)
class Slope:
    """Exponent s of ``rms ~ width^s``, with its confidence interval."""

    step: int
    """Optimizer steps taken; 0 is the activation itself at the start, later ones are changes since then. Of attention
    logits it is always the size that they reach once queries and keys are aligned."""
    value: float
    """Infinite where the wider models are not finite and the narrowest is."""
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Place:
    """One operation, followed over widths, seeds and steps."""

    name: str
    """Path of the module, with the operation where it has several."""
    kind: str
    """weighted | logits | output."""
    verdict: Verdict
    decisive: Slope | None = None
    """The slope that the verdict rests on: the steepest for ``explodes``, else that of the last step."""
    slopes: tuple[Slope, ...] = ()
    reach: Slope | None = None
    """Of the last change once the weight's update and its input are aligned; None where no weight is."""
    sizes: tuple[tuple[int, tuple[float, ...]], ...] = ()
    """(step, rms at each width): geometric means over seeds."""

    @property
    def sentence(self) -> str:
        """The verdict in words, with slope and interval."""
        if self.decisive is None:
            return f"{self.name}: not changed by training at every width"
        slope = self.decisive
        when = "at the start" if slope.step == 0 else f"after step {slope.step}"
        what = f"size once aligned, {when}," if self.kind == "logits" else f"change {when}" if slope.step else when
        interval = f"[{slope.low:+.2f}, {slope.high:+.2f}]"
        return f"{self.name}: {self.verdict}, {what} ~ width^{slope.value:+.2f} {interval}"


@dataclass(frozen=True, slots=True)
class CoordinateCheck:
    """A model family trained for a few steps at several widths."""

    widths: tuple[int, ...]
    steps: int
    seeds: int
    optimizer: str
    places: tuple[Place, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    """(place, reason) of what could not be compared."""

    @property
    def alarms(self) -> tuple[Place, ...]:
        """Places that explode or vanish, in execution order."""
        return tuple(place for place in self.places if place.verdict in ("explodes", "vanishes"))

    @property
    def ok(self) -> bool:
        """Whether something was judged and nothing explodes or vanishes."""
        return not self.alarms and any(place.verdict == "stable" for place in self.places)

    @property
    def sentence(self) -> str:
        """One sentence for the whole."""
        span = f"widths {self.widths[0]} to {self.widths[-1]}"
        judged = sum(place.verdict != "unmoved" for place in self.places)
        if not judged:
            return f"nothing could be judged over {span}: no place changed at every width"
        if not self.alarms:
            return f"stable: none of {judged} places explodes or vanishes over {span}"
        counts = [
            f"{number} explode" * (word == "explodes") or f"{number} vanish"
            for word in ("explodes", "vanishes")
            if (number := sum(place.verdict == word for place in self.alarms))
        ]
        return f"{' and '.join(counts)} of {judged} places over {span}; first {self.alarms[0].sentence}"

    def place(self, name: str) -> Place:
        """The place of that name.

        Raises:
            KeyError: no such place.
        """
        for each in self.places:
            if each.name == name:
                return each
        raise KeyError(name)

    def to_json(self, *, indent: int = 2) -> str:
        """Serialise; `from_json` reads it back."""
        return serial.dump(self, indent=indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> "CoordinateCheck":
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is no coordinate check; the message says where.
        """
        return serial.load(text, cls, "coordinate check")


@dataclass(frozen=True, slots=True)
class WidthFact:
    """A coordinate check as part of a deep check; ``reason`` says why there is none."""

    ran: bool
    reason: str = ""
    check: CoordinateCheck | None = None


NO_WIDTHS = WidthFact(ran=False)
"""The probe was not asked for, or the factory takes no width."""
