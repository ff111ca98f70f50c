"""Which equalities between units survive training: sections 1.2, 1.3, 1.5 and 1.6 of the theory, in plain torch.

Lumped units (1.4) have a file of their own.
"""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, AdamW

from tests.theory.networks import clusters, copy_unit_, rows_of, stack, trained

EXACT = 1e-12
OPTIMIZERS = {
    "sgd": partial(SGD, lr=0.1),
    "nesterov with decay": partial(SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": partial(Adam, lr=3e-3),
    "adamw": partial(AdamW, lr=3e-3),
    "adam with coupled decay": partial(Adam, lr=3e-3, weight_decay=1e-2),
}


# ------------------------------------------------------------------ 1.2: rows, columns, layers, rank


def gap_after(model: nn.Sequential, steps: int, layer: int = 2, data: tuple[Tensor, Tensor] | None = None) -> float:
    """Distance of rows 0 and 1 of ``layer`` after SGD."""
    after = trained(model, data or clusters(20), OPTIMIZERS["sgd"], steps=steps)
    rows = rows_of(after, layer)
    return float((rows[0] - rows[1]).norm())


def test_equal_rows_alone_heal_at_step_one():
    model = stack(20, 16, 16, 5)
    with torch.no_grad():
        model[2].weight[1] = model[2].weight[0]
        model[2].bias[1] = model[2].bias[0]
    assert gap_after(model, 0) == 0.0
    assert gap_after(model, 1) > 1e-4


def test_equal_columns_alone_are_no_symmetry():
    model = stack(20, 16, 16, 5)
    with torch.no_grad():
        model[4].weight[:, 1] = model[4].weight[:, 0]
    before = gap_after(model, 0)
    after = trained(model, clusters(20), OPTIMIZERS["sgd"], steps=1)
    assert before > 0.1
    assert float((after[4].weight[:, 0] - after[4].weight[:, 1]).detach().norm()) > 1e-4


def test_copied_layers_part_at_step_one():
    model = stack(16, 16, 16, 16, 5)
    model[2].load_state_dict(model[0].state_dict())
    model[4].load_state_dict(model[0].state_dict())
    after = trained(model, clusters(16), OPTIMIZERS["sgd"], steps=1)
    assert float((after[2].weight - after[0].weight).detach().norm()) > 1e-4
    assert float((after[4].weight - after[2].weight).detach().norm()) > 1e-4


def test_a_matrix_of_rank_one_need_not_have_equal_rows():
    model = stack(10, 6, 6, 3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        u, v = (torch.randn(6, generator=generator, dtype=torch.float64) for _ in range(2))
        model[2].weight.copy_(torch.outer(u, v))
    assert int(torch.linalg.matrix_rank(model[2].weight)) == 1
    after = trained(model, clusters(10, 3), OPTIMIZERS["sgd"], steps=50)
    rows = rows_of(after, 2)
    assert min(float((rows[i] - rows[j]).norm()) for i in range(6) for j in range(i)) > 1e-2


@pytest.mark.parametrize(("act", "weights", "learned"), [
    (torch.tanh, "zero", 20), (torch.relu, "zero", 0), (torch.tanh, "random", 20), (torch.relu, "random", 20),
])  # fmt: skip
def test_who_learns_xor_from_random_biases(act, weights: str, learned: int):
    accuracy = xor_accuracy(act, is_random=weights == "random")
    assert abs(int((accuracy >= 0.9).sum()) - learned) <= 2


def xor_accuracy(act, *, is_random: bool, seeds: int = 20, width: int = 8, steps: int = 3000) -> Tensor:
    """2-8-1 nets on 128 points, gradient descent 0.5; random weights go with zero biases, zero ones with N(0, 0.25)."""
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator)
    x = 2 * torch.rand(seeds, 128, 2, generator=generator) - 1
    y = (x.prod(2, keepdim=True) > 0).float()
    shapes = [((seeds, 2, width), 2**-0.5), ((seeds, width, 1), width**-0.5)]
    w, v = (std * draw(shape) if is_random else torch.zeros(shape) for shape, std in shapes)
    b, c = (torch.zeros(seeds, 1, n) if is_random else 0.5 * draw(seeds, 1, n) for n in (width, 1))
    values = [value.requires_grad_() for value in (w, b, v, c)]
    optimizer = SGD(values, lr=0.5)
    for _ in range(steps):
        logits = torch.baddbmm(c, act(torch.baddbmm(b, x, w)), v)
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(logits, y, reduction="none").mean((1, 2)).sum().backward()
        optimizer.step()
    return ((logits > 0) == (y > 0.5)).float().mean((1, 2))


# ------------------------------------------------------------------ 1.3: twins


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("width", "other"), [(7, 1), (7, 6), (16, 15), (33, 32)])
def test_twins_stay(optimizer: str, width: int, other: int):
    model = stack(20, width, width, 5)
    copy_unit_(model, 2, 0, other)
    after = rows_of(trained(model, clusters(20), OPTIMIZERS[optimizer], steps=150), 2)
    assert float((after[0] - after[other]).abs().max()) <= EXACT
    assert float((after[0] - after[2]).abs().max()) > 1e-2


def test_dropout_of_units_parts_twins():
    model = stack(20, 16, 16, 5)
    copy_unit_(model, 2, 0, 1)
    noisy = nn.Sequential(*model[:4], nn.Dropout(0.2), *model[4:])
    after = rows_of(trained(noisy, clusters(20), OPTIMIZERS["sgd"], steps=1), 2)
    assert float((after[0] - after[1]).abs().max()) > 1e-6


@pytest.mark.parametrize("constant", [0.01, 0.1])
def test_a_constant_start_stays_one_unit_wide(constant: float):
    model = stack(20, 64, 64, 64, 5)
    default = trained(model, clusters(20), OPTIMIZERS["sgd"], steps=150)
    with torch.no_grad():
        for values in model.parameters():
            values.fill_(constant if values.dim() == 2 else 0.0)
    after = trained(model, clusters(20), OPTIMIZERS["sgd"], steps=150)
    for layer in (0, 2, 4):
        assert float((rows_of(after, layer) - rows_of(after, layer)[0]).abs().max()) <= EXACT
    inputs, labels = clusters(20)
    losses = [float(F.cross_entropy(net(inputs), labels).detach()) for net in (default, after)]
    assert losses[0] < 0.05, "the default start separates the clusters"
    assert losses[1] > 0.5, "one unit cannot"


def test_all_zero_learns_the_class_frequencies_and_no_more():
    model = stack(20, 16, 16, 5)
    with torch.no_grad():
        for values in model.parameters():
            values.zero_()
    after = trained(model, clusters(20), OPTIMIZERS["sgd"], steps=100)
    assert not any(after[layer].weight.any() for layer in (0, 2, 4))
    assert not after[0].bias.any()
    assert after[4].bias.any()


# ------------------------------------------------------------------ 1.5: sign, scale, products


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_anti_twins_stay_under_an_odd_activation(optimizer: str):
    model = stack(20, 16, 16, 5)
    copy_unit_(model, 2, 0, 1, -1.0)
    after = rows_of(trained(model, clusters(20), OPTIMIZERS[optimizer], steps=150), 2)
    assert float((after[0] + after[1]).abs().max()) <= EXACT


@pytest.mark.parametrize(("optimizer", "stays"), [("sgd", True), ("nesterov with decay", True), ("adam", False)])
def test_proportional_relu_units(optimizer: str, stays: bool):
    model = stack(20, 16, 16, 5, act=nn.ReLU)
    copy_unit_(model, 2, 0, 1, 3.0)
    after = rows_of(trained(model, clusters(20), OPTIMIZERS[optimizer], steps=300), 2)
    gap = float((after[1] - 3.0 * after[0]).norm())
    assert gap <= EXACT if stays else gap > 0.1


@pytest.mark.parametrize(("act", "wakes"), [(nn.ReLU, False), (nn.GELU, True), (nn.SiLU, True)])
def test_zero_weights_with_zero_biases_by_the_slope_at_zero(act, wakes: bool):
    model = stack(20, 8, 5, act=act)
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    after = trained(model, clusters(20), OPTIMIZERS["adam"], steps=20)
    assert bool(after[0].weight.any()) is wakes


class Product(nn.Module):
    """Two trainable factors before a frozen head, by name."""

    def __init__(self, kind: str, zeros: str):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for name, shape in (("a", (6, 8)), ("b", (6, 8)), ("q", (8, 8)), ("o", (8, 8))):
            start = 0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)
            setattr(self, name, nn.Parameter(start * (name not in zeros)))
        self.register_buffer("head", torch.randn(8, 5, generator=generator, dtype=torch.float64))
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        branch = {
            "low rank": lambda: x @ (self.a.T @ self.b),
            "swish gate": lambda: (F.silu(x @ self.a.T) * (x @ self.b.T)) @ self.b.detach().new_ones(6, 8),
            "sigmoid gate": lambda: (torch.sigmoid(x @ self.a.T) * (x @ self.b.T)) @ self.b.detach().new_ones(6, 8),
            "two layers": lambda: torch.tanh(x @ self.q) @ self.o,
            "scores": lambda: ((x @ self.q) @ (x @ self.o).T).softmax(-1) @ x - x.mean(0),
            "value and output": lambda: x @ self.q @ self.o,
        }[self.kind]()
        return (x + branch) @ self.head


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize(("kind", "factors"), [
    ("low rank", "ab"), ("swish gate", "ab"), ("two layers", "qo"), ("scores", "qo"), ("value and output", "qo"),
])  # fmt: skip
def test_two_zero_factors_never_move_and_one_wakes(kind: str, factors: str, optimizer: str):
    both = trained(Product(kind, factors), clusters(8), OPTIMIZERS[optimizer], steps=50)
    assert not any(getattr(both, name).any() for name in factors)
    for alone in factors:
        one = trained(Product(kind, alone), clusters(8), OPTIMIZERS[optimizer], steps=50)
        assert float(getattr(one, alone).detach().abs().max()) > 1e-4


def test_a_sigmoid_gate_lets_two_zero_factors_wake():
    after = trained(Product("sigmoid gate", "ab"), clusters(8), OPTIMIZERS["adam"], steps=20)
    assert after.b.any()
    assert after.a.any()


# ------------------------------------------------------------------ 1.6: equal rows


@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_equal_rows_part_along_as_many_directions_as_the_columns_have(outputs: int):
    model = stack(20, 12, outputs)
    with torch.no_grad():
        model[0].weight[1:8] = model[0].weight[0]
        model[0].bias[1:8] = model[0].bias[0]
    inputs, _ = clusters(20)
    targets = torch.sin(inputs[:, :outputs])
    before, after = model, trained(model, (inputs, targets), OPTIMIZERS["sgd"], steps=1, loss_of=F.mse_loss)
    move = (rows_of(after, 0) - rows_of(before, 0))[:8]
    assert int(torch.linalg.matrix_rank(move[1:] - move[0], atol=1e-13, rtol=1e-9)) == outputs


def test_equal_rows_and_columns_with_other_biases_are_no_copies():
    model = stack(20, 16, 16, 5)
    bias = copy.deepcopy(model[2].bias)
    copy_unit_(model, 2, 0, 1)
    with torch.no_grad():
        model[2].bias.copy_(bias)
    after = trained(model, clusters(20), OPTIMIZERS["sgd"], steps=150)
    assert torch.equal(model[2].weight[0], model[2].weight[1])
    assert float((after[2].weight[0] - after[2].weight[1]).detach().norm()) > 1e-2
