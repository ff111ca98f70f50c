import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.measure import constants
from stepzero.measure.constants import Constants


def effects(model, batch, *names, loss=None):
    record = trace(model, batch, loss)
    judge = Constants(record, 1e-5, 1e-6)
    facts = [record.parameter(name) for name in names]
    judge.find_pairs([fact for fact in facts if fact.is_zero])
    return [judge.effect(fact) if judge.is_weight(fact) else None for fact in facts]


def mlp(**fills):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        if (value := fills.get(f"w{name[0]}")) is not None and name.endswith("weight"):
            nn.init.constant_(parameter, value)
    return model


def test_levels_of_a_stack():
    batch = torch.randn(32, 8)
    assert effects(mlp(w0=0.1), batch, "0.weight") == [constants.ALIKE]
    assert effects(mlp(w0=0.1, w2=0.1), batch, "0.weight", "2.weight") == [constants.COPIES, constants.ALIKE]
    assert effects(mlp(w2=0.0, w4=0.0), batch, "2.weight", "4.weight") == [constants.PAIR, constants.PAIR]
    assert effects(mlp(w4=0.0), batch, "4.weight")[0].level == "harmless"


def test_depthwise_kernels_read_inputs_of_their_own():
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    nn.init.constant_(model[0].weight, 1 / 9)
    assert effects(model, torch.randn(4, 8, 6, 6), "0.weight") == [constants.GROUPED]


def test_a_table_whose_rows_are_one_token():
    model = nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 4))
    nn.init.zeros_(model[0].weight)
    assert effects(model, torch.randint(0, 9, (16, 5)), "0.weight") == [constants.ONE_TOKEN]


class Positions(nn.Module):
    """Zero positions under random tokens, and the other way round."""

    def __init__(self, *, zero):
        super().__init__()
        self.token, self.place, self.head = nn.Embedding(9, 8), nn.Embedding(5, 8), nn.Linear(8, 4)
        nn.init.zeros_(getattr(self, zero).weight)

    def forward(self, ids):
        return self.head(self.token(ids) + self.place(torch.arange(5).expand_as(ids)))


def test_zero_positions_are_fine_and_zero_tokens_are_not():
    ids = torch.randint(0, 9, (16, 5))
    (place,) = effects(Positions(zero="place"), ids, "place.weight")
    assert place.level == "harmless"
    assert effects(Positions(zero="token"), ids, "token.weight") == [constants.ONE_TOKEN]


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(8, 1)),  # one output unit
        nn.Sequential(nn.Linear(1, 8), nn.Linear(8, 4)),  # fan in 1
        nn.Sequential(nn.Conv1d(1, 1, 3)),
    ],
)
def test_one_unit_or_one_input_is_not_judged(model):
    nn.init.constant_(model[0].weight, 0.3)
    batch = torch.randn(16, 1, 8) if isinstance(model[0], nn.Conv1d) else torch.randn(16, model[0].in_features)
    assert effects(model, batch, "0.weight") == [None]


class Latents(nn.Module):
    def __init__(self, *, distinct):
        super().__init__()
        self.latents = nn.Parameter(torch.ones(6, 8))
        self.q, self.k, self.v, self.head = (nn.Linear(8, 8) for _ in range(4))
        self.mix = nn.Parameter(torch.randn(6) if distinct else torch.ones(6))

    def forward(self, x):
        latents = torch.cat([self.latents.expand(len(x), 6, 8)], 1)
        h = F.softmax(self.q(latents) @ self.k(x).mT, -1) @ self.v(x)
        return self.head((h * self.mix[:, None]).mean(1))


def test_equal_latents_that_stay_equal_are_told_from_those_that_do_not():
    torch.manual_seed(0)
    batch, loss = torch.randn(16, 5, 8), lambda output: output.square().mean()
    assert effects(Latents(distinct=False), batch, "latents", loss=loss) == [constants.EQUAL_ROWS]
    assert effects(Latents(distinct=True), batch, "latents", loss=loss) == [constants.UNKNOWN]


def test_unread_frozen_and_gains():
    model = nn.Module()
    model.used, model.unread = nn.Linear(8, 4), nn.Parameter(torch.ones(4, 4))
    model.frozen, model.gain = nn.Linear(8, 8), nn.Parameter(torch.ones(4, 8))
    nn.init.ones_(model.frozen.weight)
    model.frozen.requires_grad_(False)
    model.forward = lambda x: (
        model.used(model.frozen(x) * model.gain.mean(0)) + (x[:, None] * model.gain).mean((1, 2))[:, None]
    )
    assert effects(model, torch.randn(16, 8), "unread", "frozen.weight", "gain")[:2] == [constants.UNREAD, None]


def test_layer_scale_is_no_weight():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.gamma = nn.Linear(8, 8), nn.Parameter(torch.full((2, 8), 1e-4))

        def forward(self, x):
            return (x[:, None] + self.gamma * self.fc(x)[:, None]).mean(1)

    assert effects(Scaled(), torch.randn(16, 8), "gamma") == [None]
