"""Whether a write hurts: training at several learning rates against the network as it was."""

import functools
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import kept
from benchmarks.faults.networks import networks
from benchmarks.faults.subject import Net, Subject

STEPS = 200
RATES = (1.0, 0.3, 3.0)
"""Times the network's own learning rate: a start is only bad when none of them helps."""
SEEDS = 3
BATCH = 32
RELATIVE, DEVIATIONS, LEARNT = 0.2, 3.0, 0.05
"""How much worse is worse: a fifth of the sound loss, three deviations of a single run, or a twentieth of what was
learnt, whichever is most."""


_PLANTING = "blocks data heads kind nets networks parts sequences subject training values wiring"
SOURCES = [Path(__file__).parent / f"{name}.py" for name in _PLANTING.split()]
"""What decides how a network trains, the checker left out."""


@dataclass(frozen=True)
class Sound:
    """Losses of the sound network, the best over the learning rates, one for each seed."""

    losses: tuple[float, ...]
    start: float
    """Before training."""

    @property
    def mean(self) -> float:
        return statistics.fmean(self.losses)

    @property
    def margin(self) -> float:
        spread = statistics.stdev(self.losses) * math.sqrt(1 + 1 / len(self.losses))
        return max(RELATIVE * self.mean, DEVIATIONS * spread, LEARNT * (self.start - self.mean))

    def hurts(self, loss: float) -> bool:
        """Whether that loss is worse by more than the margin."""
        return not loss <= self.mean + self.margin


@functools.cache
def sound(name: str, first_seed: int) -> Sound:
    """What the network reaches as it is."""
    net = networks()[name]
    made = kept.outcome(f"sound {name} {first_seed}", SOURCES, lambda: _sound(net, first_seed))
    return Sound(tuple(made["losses"]), made["start"])


def _sound(net: Net, first_seed: int) -> dict[str, Any]:
    seeds = range(first_seed, first_seed + SEEDS)
    subjects = {seed: net.subject(seed) for seed in seeds}
    return {
        "losses": [min(train(subjects[seed].clone(), net.lr * rate, seed) for rate in RATES) for seed in seeds],
        "start": _loss(subjects[first_seed]),
    }


def loss_after(subject: Subject, seed: int, reference: Sound) -> float:
    """Loss after training at the learning rate that helps; other rates are tried while none does."""
    losses: list[float] = []
    for rate in RATES:
        losses.append(train(subject.clone(), subject.lr * rate, seed))
        if not reference.hurts(losses[-1]):
            break
    return min(losses)


def train(subject: Subject, lr: float, seed: int, steps: int = STEPS) -> float:
    """Train in place; the loss over all samples afterwards, infinite once it was not finite."""
    values = [value for value in subject.model.parameters() if value.requires_grad]
    if subject.optimizer == "adam":
        optimizer: torch.optim.Optimizer = torch.optim.Adam(values, lr=lr, foreach=True)
    else:
        optimizer = torch.optim.SGD(values, lr=lr, momentum=0.9, foreach=True)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for _ in range(steps):
            inputs, targets = subject.batch(generator, BATCH)
            optimizer.zero_grad()
            loss = subject.loss(subject.model(inputs), targets)
            if not math.isfinite(loss.item()) or not loss.requires_grad:
                return math.inf
            loss.backward()
            optimizer.step()
        return _loss(subject)


def _loss(subject: Subject) -> float:
    measure = subject.notes.get("unit", subject.loss)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        loss = float(measure(subject.model(subject.inputs), subject.targets))
    return loss if math.isfinite(loss) else math.inf
