"""Zeros that are meant: what they start as, and the evidence that they do not stay."""

from collections.abc import Iterator

from stepzero.core.limits import Limits
from stepzero.core.outcome import Accepted
from stepzero.core.symmetry import FOREVER
from stepzero.core.trace import Operation, ParameterUse, TensorFact, Trace
from stepzero.measure import adapters, copies, sleepers
from stepzero.measure.meetings import Meeting, ZeroPaths
from stepzero.measure.uses import LOOKUPS, live_inputs
from stepzero.measure.words import agree, listed

_HARMLESS: frozenset[Meeting] = frozenset(["stream", "factor", "gate", "logits", "offsets", "loss", "weight"])


class Zeros:
    """Accepts the zero parameters of one Trace, each by what it meets first."""

    def __init__(self, trace: Trace, limits: Limits) -> None:
        self.trace, self.limits = trace, limits
        self.paths = ZeroPaths(trace)
        self._wakes = {each.parameter: each for each in trace.wake.parameters}
        self._asleep = sleepers.asleep_for_ever(trace)
        self._is_slow = len(sleepers.slow_weights(trace)) > 0
        self._copies = {
            member.parameter
            for block in trace.symmetry.blocks
            if block.level in FOREVER and block.step == 0
            for member in block.members
        }

    def accepted(self) -> Iterator[Accepted]:
        """One entry a zero parameter that is known for what it is and was seen to learn."""
        for fact in self.trace.parameters:
            if fact.is_zero and fact.requires_grad and self.moves(fact) and fact.name not in self._copies:
                yield from self._judged(fact)

    def moves(self, fact: TensorFact) -> bool:
        """Whether the slices have a gradient at the start or after some virtual steps.

        Not every one must: behind a unit that is off for the whole batch a row gets none, whatever it holds.
        """
        if fact.gradient is None or fact.gradient.nonfinite or fact.name in self._asleep:
            return False
        wake = self._wakes.get(fact.name)
        if wake is not None:
            return wake.stuck < wake.slices / 2 or (wake.stuck < wake.slices and self._is_table(fact))
        is_whole = fact.gradient.zero_rows == 0 or self.trace.wake.ran or self._is_table(fact)
        return fact.gradient.norm > 0.0 and is_whole

    def when(self, fact: TensorFact) -> str:
        """The evidence in words: when it moves, and when what stands behind it does."""
        wake, behind = self._wakes.get(fact.name), self._behind(fact)
        own = f"wakes at step {wake.delay}" if wake and wake.delay else "live at step 0"
        return f"{own}, what waits behind it by step {behind}" if behind else own

    def _judged(self, fact: TensorFact) -> Iterator[Accepted]:
        if any(_is_stored_offset(self.trace, *each, self.limits) for each in self.paths.read[fact.name]):
            yield self._said("stored offset", fact, "the gain is computed from it and is 1 where it is 0")
            return
        starts = [each for each in self.paths.starts(fact) if each[1].slot not in ("bias", "shift")]
        if not starts:
            return
        operation, use = starts[0]
        met = self.paths.meetings(fact)
        if "joined" in met and (operation.kind == "join" or not operation.from_input):
            yield self._said("zero token", fact, "it stands beside other tokens and is learnt from nothing")
        elif met and met <= _HARMLESS:
            yield from self._by_meeting(fact, operation, use, met)

    def _by_meeting(
        self, fact: TensorFact, operation: Operation, use: ParameterUse, met: set[Meeting]
    ) -> Iterator[Accepted]:
        if factors := adapters.factors(self.paths, operation, met):
            others = tuple(name for name in factors if name != fact.name)
            why = "of the factors beside a frozen weight it alone is 0"
            yield self._said(
                "low-rank adapter", fact, f"{why}, {listed(others, 'factor')} {agree(others, 'are')} drawn"
            )
        elif met & {"stream", "weight"} or (met <= {"factor", "loss"} and "factor" in met):
            yield self._said("identity branch", fact, _started_as(operation, use, met))
        elif "logits" in met:
            yield self._said("uniform attention", fact, "zero logits give every choice the same weight")
        elif "offsets" in met:
            yield self._said("zero offsets", fact, "its bias alone sets the places at first, alike for all samples")
        elif "gate" in met:
            yield self._said("even gate", fact, "it lets every signal through in one part")
        elif operation.kind == "weighted" and not self._is_slow and (words := self._row_words(operation)):
            yield self._said("zero head", fact, f"the first outputs are the same for all samples, and {words}")

    def _said(self, idiom: str, fact: TensorFact, why: str) -> Accepted:
        return Accepted(idiom, (fact.name,), f"{why}; {self.when(fact)}")

    def _is_table(self, fact: TensorFact) -> bool:
        """Whether rows are looked up: those that this batch does not ask for have no gradient, and need none."""
        return any(use.slot == "table" or operation.name in LOOKUPS for operation, use in self.paths.read[fact.name])

    def _behind(self, fact: TensorFact) -> int:
        """Virtual steps until the last of what the zero holds back has woken."""
        roots = {operation.index for operation, _ in self.paths.starts(fact) if operation.kind != "add"}
        upstream = (self.trace.operations[index] for index in self.paths.graph.upstream(roots))
        names = {use.parameter for operation in upstream for use in operation.uses} - {fact.name}
        return max((self._wakes[name].delay for name in names if name in self._wakes), default=0)

    def _row_words(self, head: Operation) -> str:
        """Whether the gradients of the rows differ, so that the outputs part at the first step."""
        arriving = head.backward
        if arriving is None or arriving.rms == 0.0:
            return ""
        if arriving.units == 1:
            return "it has one row"
        is_one = copies.are_equal(arriving, self.limits.constant_fingerprint)
        return "" if is_one else "the gradients of its rows differ"


def _is_stored_offset(trace: Trace, operation: Operation, use: ParameterUse, limits: Limits) -> bool:
    """Whether a gain computed from the parameter leaves the signal as it is: ``1 + w``, ``exp(w)``."""
    signal, sources = operation.forward, live_inputs(trace, operation)
    if use.slot != "gain" or not use.is_derived or signal is None or signal.rms == 0.0:
        return False
    if operation.kind == "norm":
        return True
    before = sources[0].forward if len(sources) == 1 else None
    return before is not None and abs(signal.rms - before.rms) <= limits.constant_fingerprint * before.rms


def _started_as(operation: Operation, use: ParameterUse, met: set[Meeting]) -> str:
    """What holds the branch shut, in words."""
    if "factor" in met:
        return "it multiplies by exactly 1 or adds exactly 0"
    if not operation.from_input or use.slot in ("table", "operand"):
        return "a table of zeros adds exactly 0"
    holder = {"norm": "the gain of its last norm", "weighted": "its last layer"}.get(operation.kind, "its factor")
    return f"{holder} is 0, so the branch adds exactly 0 to its stream"
