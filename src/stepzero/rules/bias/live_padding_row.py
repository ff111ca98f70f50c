"""SZ606."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, TensorFact, Trace
from stepzero.measure.uses import readings


@rule("SZ606", "live-padding-row", tier=1)
def live_padding_row(trace: Trace, limits: Limits) -> Verdict:
    """The row of an embedding that stands for padding is random and stays so.

    What it finds
    -------------
    A lookup with a padding index keeps that row out of the gradient. Reported when the row is not zero. Exact, no
    threshold.

    Why it matters
    --------------
    The row never moves: wherever padding is not masked later, every padded position adds the same random vector, for
    the whole of training. It happens when an initialiser fills the whole table after the embedding has zeroed the
    row.

    When it is fine
    ---------------
    A row that is trained all the same, because the table is also the output layer, is a note, and so is a frozen
    table. A learned mask token has no padding index and is not looked at. Where every padded position is masked later
    the row does no harm; the rule cannot see that.

    Bad
    ---
    import torch
    from torch import nn

    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.head = nn.Embedding(50, 16, padding_idx=0), nn.Linear(16, 4)
            nn.init.normal_(self.tokens.weight)

        def forward(self, ids):
            return self.head(self.tokens(ids).mean(1))

    def build():
        return Bag(), torch.randint(0, 50, (32, 12))

    expected = ("tokens.weight",)

    Good
    ----
    import torch
    from torch import nn

    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.head = nn.Embedding(50, 16, padding_idx=0), nn.Linear(16, 4)

        def forward(self, ids):
            return self.head(self.tokens(ids).mean(1))

    def build():
        return Bag(), torch.randint(0, 50, (32, 12))

    Fix
    ---
    Zero the row after the table is drawn: `table.weight[table.padding_idx].zero_()` under `torch.no_grad()`.

    References
    ----------
    microsoft/Graphormer#41; pytorch/pytorch#6495; ray1007/pytorch-word2vec#17.
    """
    facts = {fact.name: fact for fact in trace.parameters}
    for name, uses in readings(trace).items():
        for operation, use in uses:
            row, size = operation.attributes.get("padding_idx"), operation.attributes.get("padding_rms")
            if use.slot == "table" and isinstance(row, int) and isinstance(size, float) and size != 0.0:
                yield _finding(operation, facts[name], row, size)
                break


def _finding(operation: Operation, fact: TensorFact, row: int, size: float) -> Finding:
    row %= fact.shape[0]
    why = _why_harmless(fact, row)
    fate = why or "no gradient moves it"
    return Finding(
        code="SZ606",
        name="live-padding-row",
        severity="info" if why else "warning",
        where=(fact.name,),
        message=f"row {row} stands for padding, and its rms is {size:.3g} instead of 0: {fate}",
        value=size,
        limit=0.0,
        unit="rms",
        evidence="value",
        cause="overwritten",
        fix=Fix(f"zero row {row}", parameter=fact.name, scheme="zero-row", arguments={"row": row}, is_safe=not why),
        citation="microsoft/Graphormer#41",
        operation=operation.index,
    )


def _why_harmless(fact: TensorFact, row: int) -> str:
    if not fact.requires_grad:
        return "the table is frozen"
    if fact.gradient is not None and row < len(fact.gradient.row_norm) and fact.gradient.row_norm[row] > 0.0:
        return "a gradient reaches it by another use of the table"
    return ""
