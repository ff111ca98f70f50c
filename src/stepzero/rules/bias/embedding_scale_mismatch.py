"""SZ605."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.embeddings import Meeting, meetings


@rule("SZ605", "embedding-scale-mismatch", tier=2, limits=("embedding_ratio",))
def embedding_scale_mismatch(trace: Trace, limits: Limits) -> Verdict:
    """Token vectors and the positions added to them differ in size so much that one of the two is noise.

    What it finds
    -------------
    Sums of looked-up tokens with a second table (positions, types) or a fixed one, before any other weight: the ratio
    of their rms, after any scaling in the forward, above 30 or below 1/30.

    Why it matters
    --------------
    What follows sees the larger of the two alone. At a ratio of 30 the smaller one has a thousandth of the variance:
    the model starts as a bag of words, or blind to the words, and the first thousands of steps go into growing a table.

    When it is fine
    ---------------
    Positions that start at exactly zero are a choice and a note: they receive their gradient at once. Patches of
    pictures are no tokens and are not judged.

    Bad
    ---
    import torch
    from torch import nn

    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.places, self.head = nn.Embedding(50, 16), nn.Embedding(12, 16), nn.Linear(16, 4)
            nn.init.normal_(self.places.weight, std=0.01)

        def forward(self, ids):
            return self.head(self.tokens(ids) + self.places(torch.arange(12)))

    def build():
        return Words(), torch.randint(0, 50, (32, 12))

    expected = ("places.weight",)

    Good
    ----
    import torch
    from torch import nn

    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.places, self.head = nn.Embedding(50, 16), nn.Embedding(12, 16), nn.Linear(16, 4)
            for table in (self.tokens, self.places):
                nn.init.normal_(table.weight, std=0.02)

        def forward(self, ids):
            return self.head(self.tokens(ids) + self.places(torch.arange(12)))

    def build():
        return Words(), torch.randint(0, 50, (32, 12))

    Fix
    ---
    Draw both tables with one standard deviation, or scale the tokens by sqrt(width) where the table has 1/sqrt(width)
    and the positions are fixed waves of size one.

    References
    ----------
    Vaswani et al. 2017, section 3.4; karpathy/build-nanogpt#18.
    """
    zeros = {fact.name for fact in trace.parameters if fact.is_zero and fact.requires_grad}
    found: dict[tuple[str, ...], Finding] = {}
    for meeting in meetings(trace):
        ratio = meeting.other_rms / meeting.token_rms
        if ratio > limits.embedding_ratio or (meeting.is_exact and 0.0 < ratio * limits.embedding_ratio < 1.0):
            found.setdefault(_where(meeting), _finding(meeting, ratio, limits))
        elif meeting.other in zeros:
            found.setdefault(_where(meeting), _of_zero(meeting, limits))
    yield from found.values()


def _where(meeting: Meeting) -> tuple[str, ...]:
    return tuple(filter(None, (meeting.other, *meeting.tokens)))


def _finding(meeting: Meeting, ratio: float, limits: Limits) -> Finding:
    larger = f"{ratio:.3g} times as large as" if ratio > 1.0 else f"{1 / ratio:.3g} times smaller than"
    return Finding(
        code="SZ605",
        name="embedding-scale-mismatch",
        severity="warning",
        where=_where(meeting),
        message=(
            f"what is added to the tokens has rms {meeting.other_rms:.2g}, {larger} theirs; the limit is "
            f"{limits.embedding_ratio:g} times"
        ),
        value=ratio,
        limit=limits.embedding_ratio,
        unit="ratio",
        evidence="value",
        cause="wrong-gain",
        fix=Fix("draw both tables with one standard deviation", meeting.other),
        citation="karpathy/build-nanogpt#18",
        operation=meeting.operation.index,
    )


def _of_zero(meeting: Meeting, limits: Limits) -> Finding:
    return Finding(
        code="SZ605",
        name="embedding-scale-mismatch",
        severity="info",
        where=(meeting.other,),
        message=f"it is added to the tokens and starts at 0, below 1/{limits.embedding_ratio:g} of their size",
        value=0.0,
        limit=limits.embedding_ratio,
        unit="ratio",
        evidence="value",
        citation="karpathy/build-nanogpt#18",
        operation=meeting.operation.index,
    )
