"""Constant biases, zero biases and rows that are never trained."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.rules.pairs.pair import LOUD, Fault, Make, Pair, Sound, cross_entropy, plain, square


def biased(layer: int, value: float) -> Make:
    def make():
        model = plain(32, 64, 64, 4)
        nn.init.constant_(model[layer].bias, value)
        return model, torch.randn(64, 32), cross_entropy(64, 4)

    return make


def prior():
    """One class against the rest at a base rate of one per cent."""
    model = plain(32, 64, 64, 1)
    nn.init.constant_(model[4].bias, -4.6)
    target = (torch.arange(64) == 0).float()
    return model, torch.randn(64, 32), lambda output: F.binary_cross_entropy_with_logits(output[:, 0], target)


class Recurrent(nn.Module):
    """An LSTM whose gate number ``gate`` (input, forget, cell, output) starts at ``value``."""

    def __init__(self, gate: int, value: float) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(8, 32, batch_first=True), nn.Linear(32, 4)
        for name, parameter in self.rnn.named_parameters():
            (nn.init.orthogonal_ if "weight" in name else nn.init.zeros_)(parameter)
        self.rnn.bias_ih_l0.data[32 * gate : 32 * gate + 32] = value

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


def recurrent(gate: int, value: float) -> Make:
    return lambda: (Recurrent(gate, value), torch.randn(64, 12, 8), cross_entropy(64, 4))


def line(inputs: int) -> Make:
    """Regression from ``inputs`` numbers, biases zero."""

    def make():
        x = torch.rand(64, inputs) * 2 - 1
        return plain(inputs, 64, 64, 1), x, square

    return make


class Tagged(nn.Module):
    """A bag of tokens; row 0 stands for padding, and is excluded from the gradient or not."""

    def __init__(self, padding: int | None) -> None:
        super().__init__()
        self.tokens, self.head = nn.Embedding(50, 32, padding_idx=padding), nn.Linear(32, 4)
        nn.init.normal_(self.tokens.weight)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.tokens(ids).mean(1))


def tagged(padding: int | None) -> Make:
    def make():
        ids = torch.randint(1, 50, (64, 12))
        ids[:, 9:] = 0
        return Tagged(padding), ids, cross_entropy(64, 4)

    return make


ALL = (
    Pair("large negative bias", (Fault(biased(2, -4.6 * 3), ("SZ602",)),), (Sound(prior),)),
    Pair("constant gate bias", (Fault(recurrent(2, 3.0), ("SZ601",), LOUD),), (Sound(recurrent(1, 1.0)),)),
    Pair("zero biases", (Fault(line(1), ("SZ608",), ("warning",)),), (Sound(line(64)),)),
    Pair("random padding row", (Fault(tagged(0), ("SZ606",), ("warning",)),), (Sound(tagged(None), "info"),)),
)
