"""Layer by layer comes to what torch computes in one call."""

import itertools

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from stepzero.probe.stacked import by_layer, is_stacked
from tests.probe.observing import seeded


class Watch(TorchFunctionMode):
    """Run every stacked call layer by layer."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if is_stacked(getattr(func, "__name__", ""), args):
            self.calls += 1
            return by_layer(func, args)
        return func(*args, **(kwargs or {}))


KINDS = [
    (nn.LSTM, {}),
    (nn.LSTM, {"proj_size": 2}),
    (nn.GRU, {}),
    (nn.RNN, {}),
    (nn.RNN, {"nonlinearity": "relu"}),
    (nn.LSTM, {"bias": False}),
]


@pytest.mark.parametrize(("layers", "both", "first"), list(itertools.product([1, 3], [False, True], [False, True])))
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_results_and_states_are_those_of_one_call(kind, options, layers, both, first):
    torch.manual_seed(0)
    module = kind(4, 5, layers, bidirectional=both, batch_first=first, **options).double()
    batch = seeded(3, 7, 4).double()
    result, end = module(batch)
    with Watch() as watch:
        again, states = module(batch)
    assert watch.calls == (layers > 1 or both)
    torch.testing.assert_close(again, result)
    for one, other in zip(states, end, strict=True):
        torch.testing.assert_close(one, other)


def test_given_states_are_shared_out():
    module = nn.LSTM(4, 5, 2, bidirectional=True).double()
    start = (seeded(4, 3, 5).double(), seeded(4, 3, 5, seed=1).double())
    batch = seeded(7, 3, 4).double()
    with Watch():
        again, _ = module(batch, start)
    torch.testing.assert_close(again, module(batch, start)[0])


def test_a_sequence_without_a_batch_axis():
    module = nn.GRU(4, 5, 2).double()
    with Watch():
        again, _ = module(seeded(7, 4).double())
    torch.testing.assert_close(again, module(seeded(7, 4).double())[0])


def test_packed_sequences_and_single_layers_are_left_alone():
    module, batch = nn.LSTM(4, 5, 2), seeded(7, 3, 4)
    packed = nn.utils.rnn.pack_padded_sequence(batch, torch.tensor([7, 4, 2]))
    with Watch() as watch:
        module(packed)
        nn.LSTM(4, 5)(batch)
    assert watch.calls == 0
