import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 32, generator=generator(7))
LABELS = torch.randint(0, 50, (64,), generator=generator(8))


def mlp(std=None, width=256, classes=50):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, width), nn.Tanh(), nn.Linear(width, classes))
    nn.init.normal_(model[0].weight, std=0.5, generator=generator())
    if std is not None:
        nn.init.normal_(model[2].weight, std=std, generator=generator(1))
    return model


def loss(**options):
    return lambda output: F.cross_entropy(output, LABELS, **options)


# -- severities -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sigma", "expected"), [(0.5, []), (0.8, []), (1.6, ["warning"])])
def test_excess_decides(sigma, expected):
    """sigma^2 / 2 against half a nat; tanh of N(0, 2.8^2) has rms 0.78."""
    assert severities("SZ501", mlp(sigma / (0.78 * 16)), X, loss()) == expected


@pytest.mark.parametrize(("gain", "size", "expected"), [(2**0.5, 1.0, "info"), (3.0, 0.5, "warning")])
def test_a_head_that_follows_its_law_is_a_note(gain, size, expected):
    """Logits of about 1.4 either way: He's head on features of unit size, or a head three times as wide."""
    model = nn.Sequential(nn.Linear(32, 256), nn.Linear(256, 50))
    nn.init.normal_(model[0].weight, std=size / 32**0.5, generator=generator())
    nn.init.normal_(model[1].weight, std=gain / 16, generator=generator(1))
    (finding,) = ask("SZ501", model, X, loss())
    assert finding.severity == expected
    assert (finding.fix is None) == (expected == "info")


def test_a_lawful_head_is_no_excuse_for_two_nats():
    """Features twenty times too large: the loss starts far off, whoever is to blame."""
    model = nn.Sequential(nn.Linear(32, 256), nn.Linear(256, 50))
    nn.init.normal_(model[0].weight, std=20 / 32**0.5, generator=generator())
    nn.init.normal_(model[1].weight, std=1 / 16, generator=generator(1))
    assert severities("SZ501", model, X, loss()) == ["warning"]


def test_error_needs_two_nats_and_a_tenfold_gradient():
    (finding,) = ask("SZ501", mlp(1.0), X, loss())
    assert (finding.severity, finding.evidence, finding.where) == ("error", "gradient", ("2.weight",))
    assert finding.value > math.log(50)
    assert "16" in finding.message or "15" in finding.message
    (finding,) = ask("SZ501", mlp(0.5), X, loss())
    assert finding.severity == "warning"


def test_value_is_the_excess_over_log_k():
    model = mlp(0.3)
    (finding,) = ask("SZ501", model, X, loss())
    with torch.no_grad():
        expected = float(F.cross_entropy(model(X), LABELS)) - math.log(50)
    assert finding.value == pytest.approx(expected, rel=1e-4)
    assert finding.limit == pytest.approx(0.5)
    assert "ln 50" in finding.message


def test_many_classes_get_a_tenth_of_their_logarithm():
    labels = torch.randint(0, 3000, (64,), generator=generator(8))
    model = mlp(0.085, classes=3000)  # about 0.6 nats: above 0.5, below 0.1 ln 3000 = 0.8
    with torch.no_grad():
        excess = float(F.cross_entropy(model(X), labels)) - math.log(3000)
    assert 0.5 < excess < 0.8
    assert severities("SZ501", model, X, lambda output: F.cross_entropy(output, labels)) == []


# -- losses with the same reference ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "goal",
    [
        loss(label_smoothing=0.1),
        loss(weight=torch.linspace(0.5, 2.0, 50)),
        loss(reduction="sum"),
        lambda output: F.nll_loss(F.log_softmax(output, -1), LABELS),
        lambda output: F.cross_entropy(output, F.one_hot(LABELS, 50).float()),
        lambda output: F.cross_entropy(output, LABELS.masked_fill(LABELS < 10, -100)),
        lambda output: F.cross_entropy(output, LABELS) + 0.1 * output.square().mean(),
    ],
    ids=["smoothing", "weighted mean", "sum", "nll", "soft targets", "ignored", "with a penalty"],
)
def test_variants_of_cross_entropy_are_judged_alike(goal):
    assert severities("SZ501", mlp(), X, goal) == []
    assert severities("SZ501", mlp(1.0), X, goal) == ["error"]


def test_every_token_of_a_sequence_is_a_target():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 64), nn.Linear(64, 50))
    ids, labels = torch.randint(0, 50, (8, 12)), torch.randint(0, 50, (8, 12))
    for goal in (
        lambda output: F.cross_entropy(output.flatten(0, 1), labels.flatten()),
        lambda output: F.cross_entropy(output.mT, labels),
        lambda output: F.cross_entropy(output.flatten(0, 1), labels.flatten(), reduction="sum") / 96,
    ):
        assert severities("SZ501", model, ids, goal) == []
    nn.init.normal_(model[1].weight, std=1.0)
    assert severities("SZ501", model, ids, lambda output: F.cross_entropy(output.mT, labels)) != []


# -- traps ----------------------------------------------------------------------------------------------------------


def test_sums_over_weighted_classes_have_a_reference_of_their_own():
    goal = loss(weight=torch.linspace(0.5, 2.0, 50), reduction="sum")
    assert severities("SZ501", mlp(1.0), X, goal) == []


def test_classes_are_counted_in_the_logits_not_in_the_labels():
    """Two labels occur, of 50 classes: the reference is ln 50."""
    assert severities("SZ501", mlp(), X, lambda output: F.cross_entropy(output, LABELS % 2)) == []


def test_contrastive_losses_are_not_judged():
    def goal(output):
        unit = F.normalize(output, dim=-1)
        return F.cross_entropy(100.0 * unit @ unit.roll(1, 0).mT, torch.arange(64))

    assert severities("SZ501", mlp(), X, goal) == []


def test_binary_and_regression_losses_are_not_judged():
    target = torch.ones(64, 50)
    assert severities("SZ501", mlp(1.0), X, lambda output: F.binary_cross_entropy_with_logits(output, target)) == []
    assert severities("SZ501", mlp(1.0), X, lambda output: F.mse_loss(output, 100 * target)) == []


def test_wide_heads_at_small_std_and_zero_heads_are_silent():
    assert severities("SZ501", mlp(0.02, width=2048), X, loss()) == []
    assert severities("SZ501", mlp(0.0), X, loss()) == []


def test_temperature_counts():
    assert severities("SZ501", mlp(), X, lambda output: F.cross_entropy(output / 0.05, LABELS)) != []


class Tied(nn.Module):
    def __init__(self, width, divide=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.norm, self.head = (
            nn.Embedding(50, width),
            nn.LayerNorm(width),
            nn.Linear(width, 50, bias=False),
        )
        self.head.weight = self.embed.weight
        self.divide = divide

    def forward(self, ids):
        return self.head(self.norm(self.embed(ids.roll(1, 0)))) / self.divide


def test_tied_embedding_at_unit_deviation():
    ids = torch.randint(0, 50, (64,))
    goal = lambda output: F.cross_entropy(output, ids)  # noqa: E731
    (finding,) = ask("SZ501", Tied(256), ids, goal)
    assert (finding.severity, finding.where) == ("error", ("embed.weight", "head.weight"))
    assert finding.fix is not None
    assert not finding.fix.is_safe
    # Divided by sqrt(width) the gradient is sound; without any mixing each token still predicts itself.
    assert severities("SZ501", Tied(256, divide=16.0), ids, goal) == ["warning"]


def test_trained_weights_are_silent():
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        loss()(model(X)).backward()
        optimizer.step()
    assert severities("SZ501", model, X, loss()) == []


@pytest.mark.parametrize("seed", range(10))
def test_eight_labels_do_not_make_a_head_loud(seed):
    """Logits of deviation 0.8 cost 0.32 nats on average; eight labels move that by 0.28."""
    torch.manual_seed(seed)
    model, labels = mlp(0.8 / (0.78 * 16)), torch.randint(0, 50, (8,))
    assert severities("SZ501", model, torch.randn(8, 32), lambda output: F.cross_entropy(output, labels)) == []
