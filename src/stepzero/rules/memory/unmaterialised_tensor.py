"""SZ104."""

from collections import defaultdict

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace

_STATES = {
    "meta": "on the meta device, which has shapes and no values",
    "lazy": "a lazy parameter that has no shape yet",
    "empty-storage": "without storage for its shape",
}
"""A sharded tensor has values elsewhere: it makes the check incomplete and is no finding."""


@rule("SZ104", "unmaterialised-tensor", tier=1)
def unmaterialised_tensor(trace: Trace, limits: Limits) -> Verdict:
    """A parameter or buffer has no values yet.

    What it finds
    -------------
    Tensors on the meta device, lazy parameters that no forward pass has given a shape, and tensors whose storage was
    freed or never allocated. There is nothing to run or to judge, and no threshold.

    Why it matters
    --------------
    Such a model cannot run. Materialising it with `to_empty` alone gives it whatever memory holds: the initialiser
    has to run once more, custom parameters included.

    When it is fine
    ---------------
    Building on the meta device and materialising later is a good way to start a large model: check it after that.
    Tensors sharded over processes are not reported; they make the check incomplete.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        with torch.device("meta"):
            model = nn.Linear(8, 4)
        return model, torch.randn(16, 8)

    expected = ("weight", "bias")

    Good
    ----
    import torch
    from torch import nn

    def build():
        with torch.device("meta"):
            model = nn.Linear(8, 4)
        model = model.to_empty(device="cpu")
        model.reset_parameters()
        return model, torch.randn(16, 8)

    Fix
    ---
    Materialise (`to_empty`, or one dry forward for lazy modules) and run every module's initialiser, then check again.

    References
    ----------
    deepspeedai/DeepSpeed#2650; fla-org/flame#9.
    """
    tensors = (*trace.parameters, *trace.buffers)
    by_state: dict[str, list[str]] = defaultdict(list)
    for fact in tensors:
        if fact.state in _STATES:
            by_state[fact.state].append(fact.name)
    for state, names in by_state.items():
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        yield Finding(
            code="SZ104",
            name="unmaterialised-tensor",
            severity="error",
            where=tuple(names),
            message=f"{names[0]}{more} of {len(tensors):,} tensors: {_STATES[state]}; every tensor must hold values",
            value=float(len(names)),
            limit=0.0,
            unit="tensors",
            evidence="fact",
            cause="never-written",
            fix=Fix("materialise, then run the initialisers"),
            citation="deepspeedai/DeepSpeed#2650",
        )
