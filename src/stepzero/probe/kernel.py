"""The empirical tangent kernel over the samples of the batch: how alike the gradients of two samples are.

Each sample's main output meets random cotangents and is differentiated once; entry (i, j) of the kernel is the inner
product of the gradients of samples i and j. The same is done for draws by law, which is what the numbers are compared
with. Source: Xiao et al. 2020, arXiv 1912.13053.
"""

import math

import torch
from torch import Tensor

from stepzero.core.landscape import KernelFact, Spectrum
from stepzero.core.trace import Trace
from stepzero.measure.control import Law, laws
from stepzero.probe.replica import Replica, ReplicaError
from stepzero.probe.subject import Subject

DRAWS = 3
MOST, FEWEST = 32, 8
"""Samples that are read, and those below which half of a spectrum says nothing."""
_NUMBERS = 1 << 27
"""Gradients that are held at once: a gigabyte in float64."""
_ROUNDING = 1e-12
"""Of the largest eigenvalue."""


def kernel(subject: Subject, trace: Trace) -> KernelFact:
    """Spectrum at the start and for draws by law; never raises because of the model."""
    try:
        replica = Replica(subject)
        count = _samples(replica, trace)
        if count < FEWEST:
            return KernelFact(ran=False, reason=f"{count} samples can be compared; {FEWEST} are needed")
        own = _spectrum(replica, count, subject.seed)
        drawn, known = [], laws(trace)
        generator = torch.Generator().manual_seed(0x4E7 + subject.seed)
        for _ in range(DRAWS):
            replica.reset()
            names = [name for name in replica.trainable if name in known]
            replica.write({name: _draw(known[name], replica.start_of(name), generator) for name in names})
            drawn.append(_spectrum(replica, count, subject.seed))
        replica.reset()
    except ReplicaError as error:
        return KernelFact(ran=False, reason=str(error))
    found = [each for each in drawn if each is not None]
    if own is None or len(found) < 2:
        return KernelFact(ran=False, reason="gradients are zero or not finite")
    return KernelFact(ran=True, samples=count, own=own, drawn=tuple(found))


def _samples(replica: Replica, trace: Trace) -> int:
    numbers = sum(each.numel() for each in replica.trainable.values())
    return min(MOST, trace.batch_size or 0, _NUMBERS // max(1, numbers))


def _spectrum(replica: Replica, count: int, seed: int) -> Spectrum | None:
    """None where a gradient is not finite or all are zero."""
    rows = replica.sample_gradients(count, seed)
    gram = rows @ rows.T
    if not bool(gram.isfinite().all()) or float(gram.diagonal().max()) <= 0.0:
        return None
    values = torch.linalg.eigvalsh(gram).clamp_min(0.0)
    largest, middle = float(values[-1]), float(values[count - 1 - count // 2])
    shares = values / values.sum()
    decades = math.log10(largest / middle) if middle > _ROUNDING * largest else math.inf
    return Spectrum(decades, float(torch.exp(torch.special.entr(shares).sum())))


def _draw(law: Law, like: Tensor, generator: torch.Generator) -> Tensor:
    drawn = law.mean + law.std * torch.randn(like.shape, generator=generator, dtype=torch.float64)
    return drawn.to(like.device, like.dtype)
