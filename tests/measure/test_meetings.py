"""What a zero meets first, told by the dataflow alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.measure.meetings import ZeroPaths


class Flow(nn.Module):
    """A zero layer (``z``) whose result is used as ``use(result, x, self)`` says."""

    def __init__(self, use):
        super().__init__()
        self.use, self.z, self.other, self.head = use, nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        nn.init.zeros_(self.z.weight)
        nn.init.zeros_(self.z.bias)

    def forward(self, x):
        return self.use(self.z(x), x, self)


USES = {
    "added to a stream": (lambda z, x, net: net.head(x + z), {"stream"}),
    "scaled, dropped, reshaped and added": (
        lambda z, x, net: net.head(x + F.dropout(2 * z.reshape(-1, 2, 4).flatten(1), 0.1)),
        {"stream"},
    ),
    "through an activation that keeps 0": (lambda z, x, net: net.head(x + F.gelu(z)), {"stream"}),
    "multiplied with a branch": (lambda z, x, net: net.head(x + z * net.other(x)), {"stream"}),
    "scale and shift": (lambda z, x, net: net.head(x * (1 + z) + z), {"factor", "stream"}),
    "exponential factor": (lambda z, x, net: net.head(x * torch.exp(z)), {"factor"}),
    "sigmoid gate": (lambda z, x, net: net.head(x * torch.sigmoid(z)), {"gate"}),
    "softmax": (lambda z, x, net: net.head(F.softmax(z, -1) * x), {"logits"}),
    "query of attention": (
        lambda z, x, net: net.head(F.scaled_dot_product_attention(z[:, None], x[:, None], x[:, None])[:, 0]),
        {"logits"},
    ),
    "mask of attention": (
        lambda z, x, net: net.head(F.scaled_dot_product_attention(x, x, x, attn_mask=z @ z.mT)),
        {"stream"},
    ),
    "the output": (lambda z, _, __: z, {"loss"}),
    "the output, squashed": (lambda z, _, __: torch.sigmoid(z), {"loss"}),
    "joined with a stream": (lambda z, x, net: net.head(net.other(x) + torch.cat([z, x], 1)[:, 4:12]), {"joined"}),
    "a hidden layer with a bias": (lambda z, _, net: net.head(net.other(z)), {"constant"}),
}


@pytest.mark.parametrize("name", USES)
def test_what_a_zero_layer_meets(name):
    use, expected = USES[name]
    model = Flow(use)
    record = trace(model, torch.randn(16, 8))
    assert ZeroPaths(record).meetings(record.parameter("z.weight")) == expected


def test_a_layer_whose_result_is_not_zero_is_no_branch_of_zeros():
    model = Flow(lambda z, x, net: net.head(x + z))
    nn.init.ones_(model.z.bias)
    record = trace(model, torch.randn(16, 8))
    assert ZeroPaths(record).meetings(record.parameter("z.weight")) == {"constant"}


@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_offsets_of_sampled_places(bias):
    class Deformed(nn.Module):
        def __init__(self):
            super().__init__()
            self.offset, self.head = nn.Conv2d(2, 2, 1), nn.Linear(2, 3)
            nn.init.zeros_(self.offset.weight)
            nn.init.constant_(self.offset.bias, bias)

        def forward(self, x):
            grid = F.affine_grid(torch.eye(2, 3).expand(len(x), 2, 3), x.shape, align_corners=False)
            places = grid + self.offset(x).permute(0, 2, 3, 1)
            return self.head(F.grid_sample(x, places, align_corners=False).mean((2, 3)))

    record = trace(Deformed(), torch.randn(4, 2, 5, 5))
    assert ZeroPaths(record).meetings(record.parameter("offset.weight")) == {"offsets"}


def test_a_parameter_added_to_another_one():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.delta = nn.Parameter(torch.randn(4, 8)), nn.Parameter(torch.zeros(4, 8))

        def forward(self, x):
            return F.linear(x, self.weight + 2 * self.delta)

    record = trace(Shifted(), torch.randn(16, 8))
    assert ZeroPaths(record).meetings(record.parameter("delta")) == {"weight"}


def test_every_use_counts():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.z, self.head = nn.Linear(8, 8, bias=False), nn.Linear(8, 8)
            nn.init.zeros_(self.z.weight)

        def forward(self, x):
            return self.z(self.head(x + self.z(x)))

    record = trace(Both(), torch.randn(16, 8))
    assert ZeroPaths(record).meetings(record.parameter("z.weight")) == {"stream", "loss"}


class Placed(nn.Module):
    """A table of zeros, taken apart, resized and put together again, as vision transformers do."""

    def __init__(self, use):
        super().__init__()
        self.use, self.table, self.head = use, nn.Parameter(torch.zeros(1, 5, 8)), nn.Linear(8, 4)

    def forward(self, x):
        first, rest = self.table[:, :1], self.table[:, 1:]
        resized = F.interpolate(rest.mT, size=5, mode="linear").mT
        return self.head(self.use(x, torch.cat([first, resized], 1)))


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (lambda x, table: x + table, {"stream"}),
        (lambda x, table: torch.cat([table.repeat(len(x), 1, 1), x], 1), {"joined"}),
        (lambda x, table: x * table, {"constant"}),
    ],
    ids=["added", "joined", "multiplied on the only path"],
)
def test_a_table_in_parts(use, expected):
    record = trace(Placed(use), torch.randn(4, 6, 8))
    assert ZeroPaths(record).meetings(record.parameter("table")) == expected
