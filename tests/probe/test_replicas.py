import json

import pytest
import torch
from torch import nn

from stepzero import api
from stepzero.probe import replicas
from tests.probe.observing import seeded
from tests.rules import ranks

KINDS = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int8, torch.complex64]


@pytest.mark.parametrize("kind", KINDS)
def test_one_bit_and_two_places_make_another_hash(kind):
    tensor = (10 * seeded(7, 5)).to(kind)
    same = replicas.hash_of(tensor.clone())
    assert replicas.hash_of(tensor) == same
    swapped = tensor.flatten()[torch.arange(34, -1, -1)].view(7, 5)
    assert replicas.hash_of(swapped) != same
    other = tensor.clone()
    other.view(torch.uint8).flatten()[3] ^= 1
    assert replicas.hash_of(other) != same


def test_the_hash_of_a_large_tensor_is_that_of_its_chunks(monkeypatch):
    tensor = seeded(50, 50)
    whole = replicas.hash_of(tensor)
    monkeypatch.setattr(replicas, "_CHUNK", 64)
    assert replicas.hash_of(tensor) == whole


def test_a_model_without_a_wrapper_is_not_compared():
    assert not api.trace(nn.Linear(4, 2), seeded(8, 4), probes=["replicas"]).replicas.ran


def test_a_rank_that_does_not_come_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(replicas, "WAIT", 2.0)
    text = (
        "import torch\nfrom torch import nn\n"
        "def build():\n    return nn.parallel.DistributedDataParallel(nn.Linear(8, 4)), torch.randn(16, 8)\n"
    )
    said = json.loads(ranks.reports(text, 2, "SZ802", silent=frozenset([1]))[0])
    assert said["findings"] == []
    assert "did not come" in said["coverage"]["not_judged"][0]["why"]
