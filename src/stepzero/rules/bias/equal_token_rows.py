"""SZ609."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import TensorFact, Trace


@rule("SZ609", "equal-token-rows", tier=2)
def equal_token_rows(trace: Trace, limits: Limits) -> Verdict:
    """Several tokens of an embedding start with the same vector.

    What it finds
    -------------
    Rows of a table that an index is looked up in, not zero, that equal another row number by number. Exact, no
    threshold.

    Why it matters
    --------------
    The network cannot tell these tokens apart, and treats them as one until their own gradients have moved them apart:
    slowly, since both stand in the same surroundings to the network. Tokens that always appear together never part.
    It happens when new tokens are all filled with one vector.

    When it is fine
    ---------------
    Rows of zeros (padding, unused entries) and constant tables are not judged. Equal rows of a frozen table
    are a note.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Embedding(50, 16), nn.Flatten(), nn.Linear(16 * 12, 4))
        with torch.no_grad():
            model[0].weight[48:] = model[0].weight[7]  # two new tokens start as copies of an old one
        return model, torch.randint(0, 50, (32, 12))

    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Embedding(50, 16), nn.Flatten(), nn.Linear(16 * 12, 4))
        with torch.no_grad():
            model[0].weight[48:] = model[0].weight[7] + 0.1 * torch.randn(2, 16)
        return model, torch.randint(0, 50, (32, 12))

    Fix
    ---
    Add noise of a tenth of its rms to each copy, or draw new rows by the mean and covariance of the old ones.

    References
    ----------
    invoke-ai/invoke-training#75; Sizhe-Chen/StruQ#7.
    """
    yield from (_finding(fact) for fact in trace.parameters if fact.num_equal_rows)


def _finding(fact: TensorFact) -> Finding:
    rows = ", ".join(map(str, fact.equal_rows)) + (" ..." if fact.num_equal_rows > len(fact.equal_rows) else "")
    count = fact.num_equal_rows
    words = "1 row equals another one" if count == 1 else f"{count} rows equal another one"
    return Finding(
        code="SZ609",
        name="equal-token-rows",
        severity="warning" if fact.requires_grad else "info",
        where=(fact.name,),
        message=f"{words} (of {fact.shape[0]:,}: {rows}), and none should",
        value=float(count),
        limit=0.0,
        unit="rows",
        evidence="value",
        cause="copied-not-redrawn",
        fix=Fix("add noise of a tenth of their rms to the copies", fact.name),
        citation="invoke-ai/invoke-training#75",
    )
