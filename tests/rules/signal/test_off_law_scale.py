import math

import pytest
import torch
from torch import nn

import stepzero
from tests.rules.ask import ask, generator, he, severities

X = torch.randn(64, 64, generator=generator(7))


def stack(factor=1.0, depth=10, phi=nn.ReLU):
    """Every layer ``factor`` times its law."""
    layers = [part for _ in range(depth) for part in (nn.Linear(64, 64), phi())]
    model = he(nn.Sequential(*layers, nn.Linear(64, 4)))
    with torch.no_grad():
        for layer in model[:-1:2]:
            layer.weight *= factor
        model[-1].weight *= 0.5**0.5
    return model


@pytest.mark.parametrize(
    ("factor", "depth", "expected"),
    [
        (1.0, 10, []),
        (0.41, 4, ["info"]),
        (0.41, 8, ["warning"]),
        (2.5, 4, ["info"]),
        (2.5, 8, ["warning"]),
        (0.8, 30, []),
        (0.41, 1, []),
        (0.12, 3, ["info"]),
        (0.05, 3, ["warning"]),
        (0.02, 2, ["warning"]),
        (0.0005, 1, []),
    ],
)
def test_product_along_the_run_decides(factor, depth, expected):
    """0.8 a layer is no layer's fault by itself: SZ301 sees it."""
    assert severities("SZ302", stack(factor, depth), X) == expected


@pytest.mark.parametrize(("factor", "learns"), [(1.0, True), (0.02, False)])
def test_three_layers_that_small_do_not_learn_in_a_hundred_steps(factor, learns):
    model, targets = stack(factor, 3), X[:, :4].argmax(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(100):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X), targets)
        loss.backward()
        optimizer.step()
    assert (float(loss.detach()) < 0.3) == learns


def test_message_names_the_worst_layer_with_its_law():
    model = stack(0.4, 8)
    with torch.no_grad():
        model[4].weight *= 0.1
    (finding,) = ask("SZ302", model, X)
    assert "most in 4.weight" in finding.message
    assert finding.fix.arguments["std"] == pytest.approx(math.sqrt(2 / 64))
    assert finding.where == tuple(f"{2 * number}.weight" for number in range(8))


def test_it_is_the_root_of_the_drift_and_as_loud():
    report = stepzero.check(stack(0.1, 12), X, select=["SZ301", "SZ302", "SZ401"])
    roots = {finding.code: finding.root for finding in report.findings}
    assert roots["SZ302"] is None
    assert roots["SZ301"].startswith("SZ302")
    said = {finding.code: finding.severity for finding in report.findings}
    assert said["SZ302"] == min(said.values())  # "error" sorts before "warning"


@pytest.mark.parametrize(("factor", "expected"), [(1.0, ["info"]), (0.5, ["warning"])])
def test_a_small_signal_that_does_not_fade_is_a_choice(factor, expected):
    """Tanh behind orthogonal maps that keep a signal of 0.2 needs no gain, where unit signals need 1.59 a layer."""
    model = stack(1.0, 20, nn.Tanh)
    for number, layer in enumerate(model[:-1:2]):
        nn.init.orthogonal_(layer.weight, gain=1.02 * factor if number else 0.2)
    assert severities("SZ302", model, X) == expected


# -- traps ----------------------------------------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.a, self.b = nn.LayerNorm(64), nn.Linear(64, 256), nn.Linear(256, 64)
        for layer in (self.a, self.b):
            nn.init.normal_(layer.weight, std=0.02)

    def forward(self, x):
        return x + self.b(torch.relu(self.a(self.norm(x))))


def test_std_002_under_norms_is_silent():
    model = nn.Sequential(*(Block() for _ in range(12)), nn.LayerNorm(64), nn.Linear(64, 4))
    assert severities("SZ302", model, X) == []


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.BatchNorm1d])
def test_norms_between_layers_are_silent(norm):
    layers = [part for _ in range(10) for part in (nn.Linear(64, 64), norm(64), nn.ReLU())]
    assert severities("SZ302", nn.Sequential(*layers, nn.Linear(64, 4)), X) == []


def test_orthogonal_draws_are_silent():
    model = stack()
    for layer in model[:-1:2]:
        nn.init.orthogonal_(layer.weight, gain=2**0.5)
    assert severities("SZ302", model, X) == []


def test_truncation_is_silent():
    model = stack()
    for layer in model[:-1:2]:
        std = math.sqrt(2 / 64)
        nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
    assert severities("SZ302", model, X) == []


def test_periodic_layers_are_silent():
    class Sine(nn.Module):
        def forward(self, x):
            return (30 * x).sin()

    layers = [part for _ in range(10) for part in (nn.Linear(64, 64), Sine())]
    model = nn.Sequential(*layers, nn.Linear(64, 4))
    for layer in model[::2]:
        nn.init.uniform_(layer.weight, -math.sqrt(6 / 64) / 30, math.sqrt(6 / 64) / 30)
    assert severities("SZ302", model, X) == []


def test_factors_in_the_forward_pass_are_silent():
    class Unit(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(64, 64))

        def forward(self, x):
            return torch.relu(x @ self.weight * (2 / 64) ** 0.5)

    assert severities("SZ302", nn.Sequential(*(Unit() for _ in range(10))), X) == []


# -- residual streams without norms -----------------------------------------------------------------------------------


class Projected(nn.Module):
    """A residual block whose skip projects."""

    def __init__(self, width=32):
        super().__init__()
        self.first, self.second, self.skip = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x):
        return torch.relu(self.skip(x) + self.second(torch.relu(self.first(x))))


class Scaled(Projected):
    """The same with a factor on the stream that makes up for the draw."""

    def forward(self, x):
        return 20 * super().forward(x)


def stream(scale=1.0, block=Projected, blocks=3):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), *(block() for _ in range(blocks)), nn.Linear(32, 4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale if parameter.dim() > 1 else 0.0)
    return model


def test_a_stream_that_fades_on_its_way_to_the_head_is_found():
    (finding,) = ask("SZ302", stream(0.05), X)
    assert finding.severity == "warning"
    assert finding.where == ("0.weight", *(f"{number}.skip.weight" for number in (2, 3, 4)))


def test_the_frameworks_draw_is_silent_where_skips_carry_the_signal():
    assert severities("SZ302", stream(), X) == []


def test_a_short_stream_is_repaired_by_the_first_steps():
    assert severities("SZ302", stream(0.05, blocks=1), X) == []


def test_branches_that_start_small_leave_the_stream_as_it_was():
    model = stream()
    with torch.no_grad():
        for block in model[2:5]:
            block.first.weight.mul_(0.01)
            block.second.weight.mul_(0.01)
    assert severities("SZ302", model, X) == []


def test_factors_on_the_stream_make_up_for_the_draw():
    assert severities("SZ302", stream(0.05, Scaled), X) == []


def test_a_norm_in_front_of_the_head_takes_the_scale_away():
    model = stream(0.05)
    model[5] = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 4))
    assert severities("SZ302", model, X) == []


class Branches(nn.Module):
    """Branches of two layers behind a norm, added to a stream."""

    def __init__(self, *, first=1.0, last=1.0):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(64) for _ in range(2))
        self.branches = nn.ModuleList(
            he(nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64))) for _ in range(2)
        )
        self.head = nn.Linear(64, 4)
        with torch.no_grad():
            for branch in self.branches:
                branch[0].weight *= first
                branch[2].weight *= last

    def forward(self, x):
        for norm, branch in zip(self.norms, self.branches, strict=True):
            x = x + branch(norm(x))
        return self.head(x)


@pytest.mark.parametrize("scale", [1e-10, 1e-7])
def test_next_to_nothing_twice_in_a_row_is_a_warning(scale):
    found = ask("SZ302", Branches(first=scale, last=scale), X)
    assert [(finding.severity, finding.where) for finding in found] == [
        ("warning", (f"branches.{number}.0.weight", f"branches.{number}.2.weight")) for number in range(2)
    ]


@pytest.mark.parametrize(("first", "last"), [(1.0, 1e-10), (1e-10, 1.0), (1e-3, 1e-3), (1.0, 1.0)])
def test_one_small_layer_a_branch_or_two_that_a_step_repairs_are_fine(first, last):
    assert severities("SZ302", Branches(first=first, last=last), X) == []


def test_two_layers_of_next_to_nothing_learn_as_little_as_two_zeros():
    """What the limit stands for: after 50 steps of descent the branch has not moved where one small layer has."""
    moved = {}
    for name, scales in {"both": (1e-10, 1e-10), "one": (1.0, 1e-10)}.items():
        torch.manual_seed(0)
        model = Branches(first=scales[0], last=scales[1])
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        labels = torch.randint(0, 4, (64,), generator=generator(1))
        for _ in range(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(X), labels).backward()
            optimizer.step()
        moved[name] = model.branches[0][2].weight.detach().abs().max()
    assert moved["both"] < 1e-6 < 1e-3 < moved["one"]


@pytest.mark.parametrize("head", [0.5, 1.2])
def test_a_head_does_not_count_among_the_layers_that_are_too_small(head):
    model = stack(0.12, 3)
    with torch.no_grad():
        model[-1].weight *= head / (model[-1].weight.std() * 64**0.5)
    assert severities("SZ302", model, X) == ["info"]
