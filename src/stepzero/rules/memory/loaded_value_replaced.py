"""SZ110."""

import re

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.reference import Replaced
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.words import agree, enumerated, listed


@rule("SZ110", "loaded-value-replaced", tier=2, needs=("reference",))
def loaded_value_replaced(trace: Trace, _: Limits) -> Verdict:
    """A value that was loaded is not there any more.

    What it finds
    -------------
    Parameters and buffers that do not hold what the reference state holds under their name. Exact: the reference is
    cast to the model's dtype, and one number that differs is enough. Of a table that was resized the rows that both
    have are compared. Asked only where a reference is given: `stepzero.check(model, ..., reference=state)`, or
    `--reference FILE`.

    Why it matters
    --------------
    A loader says which keys it loaded, and not who wrote afterwards: a hook that initialises what it takes for missing,
    a tie that copies the other way, a resize that draws the whole table anew. The model trains, from a start that is
    partly random, and ends a little worse than it should.

    When it is fine
    ---------------
    What the reference does not name is not compared, nor what it stores in another form (quantised, packed, another
    shape). A layer that was replaced on purpose, such as the head of a new task, should be left out of the reference.

    Bad
    ---
    import torch
    from torch import nn

    loaded = {"0.weight": torch.ones(8, 16).tril(), "0.bias": torch.zeros(8)}
    options = {"reference": loaded}

    def build():
        model = nn.Sequential(nn.Linear(16, 8))
        model.load_state_dict(loaded)
        nn.init.kaiming_normal_(model[0].weight)
        return model, torch.randn(32, 16)

    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    loaded = {"0.weight": torch.ones(8, 16).tril(), "0.bias": torch.zeros(8)}
    options = {"reference": loaded}

    def build():
        model = nn.Sequential(nn.Linear(16, 8))
        nn.init.kaiming_normal_(model[0].weight)
        model.load_state_dict(loaded)
        return model, torch.randn(32, 16)

    Fix
    ---
    Load last, or initialise only what the loader reports as missing.

    References
    ----------
    huggingface/transformers#46620, huggingface/transformers#45591.
    """
    if left_out := trace.reference.skipped:
        yield NotJudged(f"not compared: {enumerated([f'{name} ({why})' for name, why in left_out])}")
    roles: dict[str, list[Replaced]] = {}
    for each in trace.reference.replaced:
        roles.setdefault(re.sub(r"\d+", "#", each.name), []).append(each)
    for found in roles.values():
        names, first = tuple(each.name for each in found), found[0]
        yield Finding(
            code="SZ110",
            name="loaded-value-replaced",
            severity="error",
            where=names,
            message=(
                f"{listed(names, 'tensor')} {agree(names, 'hold')} other values than the reference: "
                f"{first.num_other} of {first.numel} numbers differ (limit 0), by {first.distance:.2g} of its rms"
            ),
            value=float(first.num_other),
            limit=0.0,
            unit="numbers",
            evidence="fact",
            cause="overwritten",
            fix=Fix("load last, or leave alone what was loaded", first.name),
            citation="huggingface/transformers#46620",
        )
