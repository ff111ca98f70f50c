"""Samples are copied at once and summarised later, in groups; a group changes no number."""

import gc
import weakref

import pytest
import torch
from torch import Tensor

from stepzero.measure.sampling import ROWS, plan_of
from stepzero.probe import sampler as module
from stepzero.probe.sampler import Measured, Sampler
from stepzero.probe.tables import Tables
from stepzero.probe.transfer import Ledger
from tests.probe.observing import seeded


def take(sampler: Sampler, tensor: Tensor, *, is_forward: bool = True, has_off: bool = False) -> Measured:
    plan = plan_of(tuple(tensor.shape), tensor.dim() - 1)
    assert plan is not None
    return sampler.take(tensor, plan, is_forward=is_forward, has_off=has_off)


def test_groups_of_mixed_shapes_and_dtypes_are_summarised_as_each_alone() -> None:
    kinds = [(8, 4), (16, 3), (8, 4), (2, 5, 6)]
    tensors = [seeded(*kind, seed=number) for number, kind in enumerate(kinds)] + [seeded(8, 4, dtype=torch.float64)]
    ledger = Ledger()
    together = Sampler(ledger)
    queued = [take(together, tensor) for tensor in tensors]
    together.flush()
    ledger.fetch()
    tables = Tables(ledger)
    for tensor, measured in zip(tensors, queued, strict=True):
        own = Ledger()
        alone = Sampler(own)
        single = take(alone, tensor)
        alone.flush()
        own.fetch()
        assert tables.signal(measured) == Tables(own).signal(single)


def test_a_sample_is_the_value_at_the_time_of_taking() -> None:
    tensor, ledger = torch.ones(4, 3), Ledger()
    sampler = Sampler(ledger)
    measured = take(sampler, tensor)
    tensor.fill_(9)
    sampler.flush()
    ledger.fetch()
    signal = Tables(ledger).signal(measured)
    assert (signal.mean, signal.rms) == (1.0, pytest.approx(1.0))


def test_no_tensor_is_kept() -> None:
    sampler, tensor = Sampler(Ledger()), torch.ones(4, 3)
    take(sampler, tensor)
    seen = weakref.ref(tensor)
    del tensor
    gc.collect()
    assert seen() is None


def test_no_more_than_the_bound_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    summarised = []
    plain = module.signal.summary
    monkeypatch.setattr(
        module.signal,
        "summary",
        lambda samples, *rest, **more: summarised.append(samples.shape[1] // 8) or plain(samples, *rest, **more),
    )
    monkeypatch.setattr(module, "PENDING", 10 * ROWS * 8)
    sampler = Sampler(Ledger())
    for _ in range(25):
        take(sampler, torch.ones(ROWS, 8))
    assert sum(summarised) in range(20, 25)  # two loads of about ten; the rest waits for the end
    sampler.flush()
    assert sum(summarised) == 25
