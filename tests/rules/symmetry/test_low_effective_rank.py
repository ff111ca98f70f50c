"""Responses in few directions: a fault where the same layer drawn by law has many."""

import itertools

import torch
from torch import nn

from stepzero import check
from tests.rules.ask import ask, generator, he, severities

X, LABELS = torch.randn(64, 32, generator=generator()), torch.arange(64) % 4


def plain(*widths, phi=nn.ReLU):
    pairs = itertools.pairwise(widths)
    layers = [layer for one, two in pairs for layer in (nn.Linear(one, two), phi())]
    return he(nn.Sequential(*layers[:-1]))


def summing(model, place):
    nn.init.uniform_(model[place].weight, 0.0, 0.1, generator=generator())
    return model


def test_weights_of_one_sign_are_named_where_the_directions_go():
    (finding,) = ask("SZ205", summing(plain(32, 64, 64, 64, 4), 2), X, "cross_entropy", LABELS)
    assert (finding.severity, finding.where, finding.evidence) == ("warning", ("2.weight",), "control")
    assert finding.value < 0.25
    assert "when drawn by law" in finding.message


def test_the_same_range_around_zero_is_silent():
    model = plain(32, 64, 64, 64, 4)
    nn.init.uniform_(model[2].weight, -0.1, 0.1, generator=generator())
    assert severities("SZ205", model, X, "cross_entropy", LABELS) == []


def test_depth_bottlenecks_and_narrow_inputs_are_in_the_control():
    assert severities("SZ205", plain(32, *[64] * 20, 4), X, "cross_entropy", LABELS) == []
    assert severities("SZ205", plain(32, 64, 2, 64, 4), X, "cross_entropy", LABELS) == []
    narrow = torch.randn(64, 2, generator=generator()) @ torch.randn(2, 32, generator=generator())
    assert severities("SZ205", plain(32, 64, 64, 4), narrow, "cross_entropy", LABELS) == []


def test_a_pooled_token_is_silent():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = plain(32, 64, 64), plain(64, 32, 4)

        def forward(self, x):
            return self.head(self.body(x).mean(1))

    batch = torch.randn(4, 40, 32, generator=generator())
    assert severities("SZ205", Pooled(), batch, "cross_entropy", torch.arange(4)) == []


def test_a_control_that_cannot_run_is_told():
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = summing(plain(32, 64, 64, 4), 2)

        def forward(self, x):
            if not bool(self.body[2].weight.min() >= 0):
                raise ValueError("negative")
            return self.body(x)

    report = check(Picky(), X, "cross_entropy", LABELS, select=["SZ205"])
    assert report.findings == ()
    assert "no drawn network to compare with" in report.coverage.not_judged[0].why


def test_the_layer_behind_even_attention_is_silent():
    """Small queries and keys: every place reads the mean, and the layer that joins the heads is not to blame."""

    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.out, self.head = nn.Linear(32, 96), nn.Linear(32, 32), nn.Linear(32, 4)
            for layer in (self.qkv, self.out):
                nn.init.normal_(layer.weight, std=0.02, generator=generator())

        def forward(self, x):
            q, k, v = self.qkv(x).unflatten(-1, (3, 4, 8)).permute(2, 0, 3, 1, 4)
            mixed = nn.functional.scaled_dot_product_attention(q, k, v)
            return self.head(self.out(mixed.transpose(1, 2).flatten(2)).tanh().mean(1))

    batch = torch.randn(8, 40, 32, generator=generator())
    assert severities("SZ205", Attends(), batch, "cross_entropy", torch.arange(8) % 4) == []
