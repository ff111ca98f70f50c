"""What a weight that holds one value everywhere does to the network, judged by its effect in the Trace."""

from dataclasses import dataclass

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, ParameterUse, TensorFact, Trace
from stepzero.measure import copies, zeros
from stepzero.measure.uses import WEIGHTS, readings, units

Reading = tuple[Operation, ParameterUse]


@dataclass(frozen=True, slots=True)
class Effect:
    """Level and words: ``forever`` (provably never separates or moves), ``alike`` (starts alike) or ``harmless``."""

    level: str
    words: str


COPIES = Effect("forever", "its units respond alike and receive alike gradients, so they stay copies")
ONE_TOKEN = Effect("forever", "all its rows are one token, and nothing behind it tells the samples apart")
KINK = Effect("forever", "the activation behind it has slope zero there for every unit, so no gradient ever arrives")
PAIR = Effect("forever", "it stands behind another zero weight, and neither gets a gradient")
ALIKE = Effect("alike", "its units respond alike, and only what reads them tells them apart")
EQUAL_ROWS = Effect("alike", "its rows start as copies and receive gradients of one size")
GROUPED = Effect("harmless", "each unit reads an input of its own")
UNREAD = Effect("harmless", "no operation of this pass reads it as a weight")
UNKNOWN = Effect("harmless", "what it does to the units was not measured")
ZERO = Effect("harmless", "a zero start of no known kind")


class Constants:
    """Judges the constant weights of one Trace."""

    def __init__(self, trace: Trace, tolerance: float, floor: float) -> None:
        """``tolerance``: equality of fingerprints, of the rms. ``floor``: batch shares below it are rounding."""
        self.graph = Graph(trace)
        self.facts = {fact.name: fact for fact in trace.parameters}
        self.tolerance, self.floor = tolerance, floor
        self._read = readings(trace)
        self._pairs: set[str] = set()

    def is_weight(self, fact: TensorFact) -> bool:
        """Trainable, two axes or more, and read as a weight with several units and inputs, or not read at all."""
        if not fact.requires_grad or sum(size > 1 for size in fact.shape) <= 1:
            return False
        uses = self.uses(fact)
        return not self._read.get(fact.name) or any(units(operation) > 1 and _is_mixing(use) for operation, use in uses)

    def uses(self, fact: TensorFact) -> list[Reading]:
        """Readings of the parameter as a weight."""
        return [(operation, use) for operation, use in self._read.get(fact.name, []) if use.slot in WEIGHTS]

    def find_pairs(self, zero: list[TensorFact]) -> None:
        """Note the zero weights that block each other for ever; call before `effect`."""
        for fact in zero:
            for operation, _ in self.uses(fact):
                if not zeros.is_live(fact) and (above := zeros.stuck_pair(self.graph, operation, self.facts)):
                    self._pairs |= {fact.name, *above}

    def effect(self, fact: TensorFact) -> Effect:
        """What this constant weight does."""
        uses = self.uses(fact)
        if not uses:
            return UNREAD
        operation, use = uses[0]
        if use.slot == "table" and operation.name.startswith("embedding") and self._is_one_token(fact, operation):
            return ONE_TOKEN
        return self._zero(fact, operation, use) if fact.is_zero else self._nonzero(fact, operation, use)

    def _zero(self, fact: TensorFact, operation: Operation, use: ParameterUse) -> Effect:
        if fact.name in self._pairs:
            return PAIR
        if not zeros.is_live(fact) and zeros.stuck_by_kink(self.graph, operation):
            return KINK
        words = zeros.idiom(self.graph, operation, use)
        return Effect("harmless", words) if words else ZERO

    def _nonzero(self, fact: TensorFact, operation: Operation, use: ParameterUse) -> Effect:
        if use.slot == "operand" or (use.slot == "table" and operation.kind != "weighted"):
            return EQUAL_ROWS if self._has_equal_row_gradients(fact) else UNKNOWN
        if operation.forward is None:
            return UNKNOWN
        if copies.have_equal_units(self.graph, operation, self.tolerance):
            return COPIES
        is_grouped = "group" in use.axes or operation.attributes.get("groups", 1) != 1
        return GROUPED if is_grouped else ALIKE

    def _is_one_token(self, fact: TensorFact, operation: Operation) -> bool:
        """Several rows were looked up, and still every sample looks like every other one behind it."""
        rows = fact.gradient.row_norm if fact.gradient is not None else ()
        return sum(norm > 0 for norm in rows) > 1 and not copies.tells_samples_apart(self.graph, operation, self.floor)

    def _has_equal_row_gradients(self, fact: TensorFact) -> bool:
        norms = list(fact.gradient.row_norm) if fact.gradient is not None else []
        return len(norms) > 1 and max(norms) > 0 and max(norms) - min(norms) <= self.tolerance * max(norms)


def _is_mixing(use: ParameterUse) -> bool:
    return use.slot == "table" or use.fan_in != 1
