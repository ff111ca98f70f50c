"""SZ318."""

import math
from dataclasses import replace

from stepzero.core.finding import Finding, Fix, Severity
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import TensorFact, Trace
from stepzero.measure.recurrence import Recurrence, recurrences


@rule("SZ318", "unusable-time-constants", tier=2, limits=("memory_none", "memory_low", "memory_equal"))
def unusable_time_constants(trace: Trace, limits: Limits) -> Verdict:
    """A linear recurrence forgets at once in every channel, never forgets, or forgets alike in all of them.

    What it finds
    -------------
    Recurrences h = a h + b that the model writes out step by step. A channel with decay a remembers for about
    tau = -1 / ln a steps. A warning when no channel has a tau of one step (a note below two), when every decay is
    exactly 1, or when a trainable decay of its own for each channel is the same in all.

    Why it matters
    --------------
    State-space layers reach back by the spread of their time constants, from two steps to the length of the sequence.
    With a tau below two steps the layer is a short filter, and the gradient to earlier steps is gone after a few of
    them, so that training can hardly bring the memory back. It happens when the law of the time constants is lost: a
    general initialiser writes over them, or they are drawn on the wrong side of a softplus, exp or log.

    When it is fine
    ---------------
    One decay for all channels that is a single number is a choice. Gates (a sigmoid of the input) are judged by SZ604.
    Memories longer than this batch's sequence are not reported: other batches may be longer.

    Bad
    ---
    import torch
    from torch import nn

    class Memory(nn.Module):
        def __init__(self, decay):
            super().__init__()
            self.decay, self.head = nn.Parameter(decay), nn.Linear(16, 4)

        def forward(self, x):
            h = torch.zeros_like(x[:, 0])
            for t in range(x.shape[1]):
                h = torch.exp(-nn.functional.softplus(self.decay)) * h + x[:, t]
            return self.head(h)

    def build():
        return Memory(torch.ones(16)), torch.randn(8, 32, 16)

    expected = ("decay",)

    Good
    ----
    import torch
    from torch import nn

    class Memory(nn.Module):
        def __init__(self, decay):
            super().__init__()
            self.decay, self.head = nn.Parameter(decay), nn.Linear(16, 4)

        def forward(self, x):
            h = torch.zeros_like(x[:, 0])
            for t in range(x.shape[1]):
                h = torch.exp(-nn.functional.softplus(self.decay)) * h + x[:, t]
            return self.head(h)

    def build():
        rate = 1 / torch.logspace(0.3, 1.5, 16)  # memories from 2 to 32 steps
        return Memory(torch.log(torch.expm1(rate))), torch.randn(8, 32, 16)

    Fix
    ---
    Draw tau log-uniformly between 2 and the length of the sequence, then invert the map that leads from the parameter
    to the decay; exempt these parameters from the general initialiser.

    References
    ----------
    Gu & Dao 2023, section 3.6; huggingface/transformers#43717; kmheckel/spyx#42.
    """
    facts = {fact.name: fact for fact in trace.parameters}
    seen: set[tuple[str, ...]] = set()
    for found in recurrences(trace):
        if found.is_gate or found.parameters in seen:
            continue
        seen.add(found.parameters)
        if all(keep == 1.0 for keep in found.keep):
            yield _finding(found, f"all {len(found.keep)} channels have decay 1 and forget nothing", math.inf, limits)
        elif (longest := max(map(_memory, found.keep))) < limits.memory_low:
            said = f"the longest memory of {len(found.keep)} channels is {longest:.2g} steps"
            severity: Severity = "warning" if longest < limits.memory_none else "info"
            yield replace(_finding(found, said, longest, limits), severity=severity)
        elif _is_one_for_all(found, facts, limits):
            said = f"all {len(found.keep)} channels have the same decay, a memory of {longest:.3g} steps"
            yield _finding(found, said, longest, limits)


def _memory(keep: float) -> float:
    """Steps after which a part 1/e of the state is left."""
    return 0.0 if keep <= 0.0 else math.inf if keep >= 1.0 else -1 / math.log(keep)


def _is_one_for_all(found: Recurrence, facts: dict[str, TensorFact], limits: Limits) -> bool:
    """Whether trainable decays, a number for each channel, are all equal; those the batch has a part in differ."""
    sources = [facts[name] for name in found.parameters if name in facts]
    is_free = len(sources) == 1 and sources[0].requires_grad and sources[0].is_constant
    return is_free and len(found.keep) >= limits.memory_equal


def _finding(found: Recurrence, said: str, value: float, limits: Limits) -> Finding:
    return Finding(
        code="SZ318",
        name="unusable-time-constants",
        severity="warning",
        where=found.parameters,
        message=f"{said}; useful ones lie between {limits.memory_low:g} steps and the length of the sequence",
        value=value,
        limit=limits.memory_low,
        unit="steps",
        evidence="value",
        cause="scheme-incomplete",
        fix=Fix("draw memories log-uniformly between 2 steps and the length of the sequence"),
        citation="huggingface/transformers#43717",
        operation=found.operation.index,
    )
