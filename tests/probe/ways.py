"""Networks with two twins each, in every way of writing a layer: model, batch, (weight, units, module)."""

import warnings

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from tests.probe.observing import Net, seeded
from tests.probe.planting import (
    X,
    copied,
    stack,
)


def convolution():
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )
    with torch.no_grad():
        for row in (model[0].weight, model[0].bias):
            row[5] = row[2]
        model[3].weight[:, 5] = model[3].weight[:, 2]
    return model, seeded(6, 3, 8, 8), ("0.weight", (2, 5), "0")


def convolution_into_linear():
    model, batch, _ = convolution()
    with torch.no_grad():
        model[0].weight[5] += 0.1
        model[3].weight[1] = model[3].weight[0]
        model[3].bias.fill_(0.2)
        columns = model[6].weight.view(3, 4, 16)
        columns[:, 1] = columns[:, 0]
    return model, batch, ("3.weight", (0, 1), "3")


def einsum_experts():
    def forward(self, x):
        hidden = torch.tanh(torch.einsum("bi,eih->beh", x, self.w))
        return torch.einsum("beh,eho->bo", hidden, self.v)

    model = Net(forward, w=seeded(3, 6, 2) / 2, v=seeded(3, 2, 3, seed=1))
    model.w.data[2], model.v.data[2] = model.w.data[0], model.v.data[0]
    return model, X, ("w", (0, 4), None)


def bmm_experts():
    def forward(self, x):
        return torch.bmm(torch.tanh(torch.bmm(x.expand(3, -1, -1), self.w)), self.v).mean(0)

    model, batch, planted = einsum_experts()
    return Net(forward, w=model.w.data, v=model.v.data), batch, planted


def einsum_weight():
    def forward(self, x):
        return self.head(torch.tanh(torch.einsum("oi,bi->bo", self.w, x)))

    model = Net(forward, w=seeded(8, 6) / 2, head=nn.Linear(8, 3))
    model.w.data[6] = model.w.data[2]
    model.head.weight.data[:, 6] = model.head.weight.data[:, 2]
    return model, X, ("w", (2, 6), None)


def transposed_matrix():
    def forward(self, x):
        return torch.tanh(x @ self.w + self.b) @ self.v

    model = Net(forward, w=seeded(6, 8) / 2, b=torch.full((8,), 0.1), v=seeded(8, 3, seed=1))
    model.w.data[:, 6] = model.w.data[:, 2]
    model.v.data[6] = model.v.data[2]
    return model, X, ("w", (2, 6), None)


def tied():
    model = nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 10, bias=False))
    model[3].weight = model[0].weight
    with torch.no_grad():
        model[1].weight[6] = model[1].weight[2]
        model[1].bias[6] = model[1].bias[2]
        model[0].weight[:, 6] = model[0].weight[:, 2]  # columns of the head, and coordinates of the embedding
        model[1].weight[:, 6] = model[1].weight[:, 2]
    return model, torch.arange(30).view(6, 5) % 10, ("1.weight", (2, 6), "1")


def reused():
    def forward(self, x):
        hidden = torch.tanh(self.enter(x))
        for _ in range(3):
            hidden = torch.tanh(self.again(hidden))
        return self.leave(hidden)

    model = Net(forward, enter=nn.Linear(6, 8), again=nn.Linear(8, 8), leave=nn.Linear(8, 2))
    with torch.no_grad():
        for each in (model.enter.weight, model.enter.bias, model.again.weight, model.again.bias):
            each[6] = each[2]
        for each in (model.again.weight, model.leave.weight):
            each[:, 6] = each[:, 2]
    return model, X, ("again.weight", (2, 6), "again")


def weight_norm():
    model = copied(stack(6, 8, 8, 3), 0, 2, 6)
    parametrizations.weight_norm(model[0])
    return model, X, ("0.parametrizations.weight.original1", (2, 6), "0")


def old_weight_norm():
    model = copied(stack(6, 8, 8, 3), 0, 2, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(model[0])
    return model, X, ("0.weight_v", (2, 6), "0")


def frozen_columns():
    model = copied(stack(6, 8, 8, 3), 0, 2, 6)
    model[2].requires_grad_(False)
    return model, X, ("0.weight", (2, 6), "0")


def long_memory():
    lstm = nn.LSTM(6, 8, batch_first=True)
    model = Net(lambda self, x: self.head(self.lstm(x)[0][:, -1]), lstm=lstm, head=nn.Linear(8, 3))
    with torch.no_grad():
        for each in (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0):
            gates = each.unflatten(0, (4, 8))
            gates[:, 6] = gates[:, 2]
        for each in (lstm.weight_hh_l0, model.head.weight):
            each[:, 6] = each[:, 2]
    return model, seeded(6, 5, 6), ("lstm.weight_ih_l0", (2, 6), None)


def residual_stream():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)

        def forward(self, x):
            return x + self.down(F.gelu(self.up(self.norm(x))))

    model = nn.Sequential(nn.Linear(6, 8), Block(), nn.Linear(8, 3))
    with torch.no_grad():
        up, down = model[1].up, model[1].down
        for row in (up.weight, up.bias):
            row[6] = row[2]
        down.weight[:, 6] = down.weight[:, 2]
    return model, X, ("1.up.weight", (2, 6), "1.up")


WAYS = [
    convolution,
    convolution_into_linear,
    einsum_experts,
    bmm_experts,
    einsum_weight,
    transposed_matrix,
    tied,
    reused,
    weight_norm,
    old_weight_norm,
    frozen_columns,
    long_memory,
    residual_stream,
]
