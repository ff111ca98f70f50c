"""SZ705."""

from collections.abc import Iterator

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.uses import readings
from stepzero.measure.words import enumerated


@rule("SZ705", "broken-tie", tier=2, needs=("symmetry",))
def broken_tie(trace: Trace, _: Limits) -> Verdict:
    """An embedding and a head hold the same numbers in two places: they were to be one tensor.

    What it finds
    -------------
    A looked-up table and the weight of a layer with equal shape and equal content, both trainable and in different
    storage. There is no threshold.

    Why it matters
    --------------
    Random numbers agree in two tensors only where one was copied from the other. Tied weights are updated together;
    copies part at the first step, cost twice the memory, and the head loses what the table learns. Saving and loading
    may tie them again and throw one of the two away.

    When it is fine
    ---------------
    Tied weights are one tensor and are silent. A copy that takes no gradient is a target or a teacher. Two tables, or
    two layers, with equal content are another story (SZ207, SZ209), and constants are equal by design.

    Bad
    ---
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.body, self.head = nn.Embedding(50, 16), nn.Linear(16, 16), nn.Linear(16, 50, bias=False)
            self.head.weight = nn.Parameter(self.table.weight.detach().clone())

        def forward(self, ids):
            return self.head(torch.tanh(self.body(self.table(ids))))

    def build():
        return Net(), torch.randint(50, (8, 12)), lambda output: output.square().mean()

    expected = ("table.weight", "head.weight")

    Good
    ----
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.body, self.head = nn.Embedding(50, 16), nn.Linear(16, 16), nn.Linear(16, 50, bias=False)
            self.head.weight = self.table.weight

        def forward(self, ids):
            return self.head(torch.tanh(self.body(self.table(ids))))

    def build():
        return Net(), torch.randint(50, (8, 12)), lambda output: output.square().mean()

    Fix
    ---
    Assign the parameter itself, not its values: `head.weight = table.weight`, after both have been made.

    References
    ----------
    Press & Wolf 2017.
    """
    for tables, weights in _copies(trace):
        yield Finding(
            code="SZ705",
            name="broken-tie",
            severity="warning",
            where=(*tables, *weights),
            message=f"{enumerated((*tables, *weights))} hold the same numbers in as many tensors (limit 1)",
            value=float(len(tables + weights)),
            limit=1.0,
            unit="tensors",
            evidence="value",
            cause="untied",
            fix=Fix("tie them: assign the parameter itself", weights[0]),
            citation="Press & Wolf 2017",
        )


def _copies(trace: Trace) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """(tables, weights) of each group of equal content, the trainable ones, where it has both."""
    read, trained = readings(trace), {fact.name for fact in trace.parameters if fact.requires_grad}
    for group in trace.symmetry.siblings:
        slots = {name: {use.slot for _, use in read.get(name, [])} for name in group.parameters if name in trained}
        tables = tuple(name for name, found in slots.items() if "table" in found and "weight" not in found)
        weights = tuple(name for name, found in slots.items() if "weight" in found and "table" not in found)
        if tables and weights:
            yield tables, weights
