"""SZ106."""

import math

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.control import laws
from stepzero.measure.written import by_default, general_initialiser

_LIMITS = ("untouched_share", "untouched_weights", "untouched_factor")


@rule("SZ106", "untouched-parameter", tier=2, limits=_LIMITS)
def untouched_parameter(trace: Trace, limits: Limits) -> Verdict:
    """The model's initialiser passed over a weight, and the default it keeps is off its law.

    What it finds
    -------------
    While the factory runs, every in-place write is recorded with the function that made it. When one function wrote
    two thirds of the weight matrices, four at least, it is the model's initialiser. Reported are weights and tables
    that it did not write, that hold what torch's own module drew, and whose deviation is more than a factor four away
    from the law. Needs the factory.

    Why it matters
    --------------
    Initialisers ask for the types they know. What is of another type, or came later, keeps a default that was made
    for another place: a lookup table drawn at deviation 1 that is also the output layer makes logits of size
    sqrt(width).

    When it is fine
    ---------------
    Defaults within a factor four of the law, tables that are only looked up, and parameters with an initialiser of
    their own are not reported.

    Bad
    ---
    import torch
    from torch import nn

    class Language(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(50, 64)
            self.layers = nn.Sequential(*[nn.Linear(64, 64) for _ in range(4)])
            self.norm = nn.LayerNorm(64)
            self.apply(self.draw)

        def draw(self, module):
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.125)

        def forward(self, tokens):
            return self.norm(self.layers(self.table(tokens))) @ self.table.weight.T

    def build():
        return Language(), torch.randint(50, (8, 12))

    expected = ("table.weight",)

    Good
    ----
    import torch
    from torch import nn

    class Language(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(50, 64)
            self.layers = nn.Sequential(*[nn.Linear(64, 64) for _ in range(4)])
            self.norm = nn.LayerNorm(64)
            self.apply(self.draw)

        def draw(self, module):
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.125)

        def forward(self, tokens):
            return self.norm(self.layers(self.table(tokens))) @ self.table.weight.T

    def build():
        return Language(), torch.randint(50, (8, 12))

    Fix
    ---
    Let the initialiser write this weight too; draw it by its law.

    References
    ----------
    open-mmlab/mmpretrain#603; huggingface/transformers#44575.
    """
    if not trace.writes.ran or not trace.has_forward:
        return
    known, facts, raw = laws(trace), {fact.name: fact for fact in trace.parameters}, _raw(trace)
    weights = [name for name, law in known.items() if len(facts[name].shape) > 1 and law.std and name not in raw]
    writer, drawn = general_initialiser(trace.writes, weights)
    if len(drawn) < max(limits.untouched_weights, limits.untouched_share * len(weights)):
        return
    kept = {each.parameter for each in trace.writes.parameters if by_default(each)}
    for name in weights:
        fact, law = facts[name], known[name].std
        if name in drawn or name not in kept or not fact.requires_grad or not fact.std:
            continue
        ratio = fact.std / law
        if abs(math.log(ratio)) <= math.log(limits.untouched_factor):
            continue
        yield Finding(
            code="SZ106",
            name="untouched-parameter",
            severity="warning",
            where=(name,),
            message=(
                f"{writer} wrote {len(drawn)} of {len(weights)} weights and passed over {name}, which "
                f"keeps a default deviation of {fact.std:.3g}, {ratio:.3g} of its law {law:.3g}; at most a factor "
                f"{limits.untouched_factor:g} is usual"
            ),
            value=ratio,
            limit=limits.untouched_factor,
            unit="factor of the law",
            evidence="value",
            cause="scheme-incomplete",
            fix=Fix("draw it by its law", name, "law", is_safe=True),
            citation="open-mmlab/mmpretrain#603",
        )


def _raw(trace: Trace) -> set[str]:
    """Parameters that a weight is computed from: their scale may mean nothing, and their writes are SZ108's."""
    return {use.parameter for operation in trace.operations for use in operation.uses if use.is_derived}
