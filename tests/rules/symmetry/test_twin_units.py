import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.probe.observing import Net, seeded
from tests.probe.planting import X, copied, lumped, square, stack
from tests.probe.sleeping import Rezero, zeroed
from tests.rules.ask import ask, reasons, severities


def said(model, batch=X, **options):
    return severities("SZ201", model, batch, square, **options)


def twins(phi=nn.Tanh):
    return copied(stack(6, 8, 8, 3, phi=phi), 0, 1, 4)


def test_a_pair_is_an_error_with_its_numbers():
    (finding,) = ask("SZ201", twins(), X, square)
    assert (finding.severity, finding.where, finding.value, finding.limit) == ("error", ("0.weight",), 7 / 8, 1.0)
    assert "7 different units of 8: units 1 and 4" in finding.message
    assert finding.message.endswith("stay copies for ever")
    assert finding.fix.is_safe


def test_a_layer_widened_by_copies_split_equally_is_an_error_and_unequally_is_none():
    """Net2Net: equal halves of the outgoing weight make twins; unequal ones have different gradients."""
    for share, expected in ((0.5, ["error"]), (0.3, [])):
        model = stack(6, 8, 8, 3)
        with torch.no_grad():
            for row in (model[0].weight, model[0].bias):
                row[4:] = row[:4]
            columns = model[2].weight
            columns[:, 4:] = (1 - share) * columns[:, :4]
            columns[:, :4] *= share
        assert said(model) == expected


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", torch.optim.RMSprop])
def test_no_optimizer_heals_them(optimizer):
    assert said(twins(), optimizer=optimizer) == ["error"]


# -- breakers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "expected"), [(0, "warning"), (1, "warning"), (2, "error"), (3, "error"), (-1, "error")]
)
def test_dropout_on_the_units_themselves_lowers_it(after, expected):
    layers = list(twins())
    layers.insert(after + 1, nn.Dropout(0.2))
    (finding,) = ask("SZ201", nn.Sequential(*layers), X, square)
    assert finding.severity == expected
    assert ("redundant until noise separates them (dropout 0.2" in finding.message) == (expected == "warning")


def test_dropout_of_nothing_is_no_breaker():
    layers = list(twins())
    layers.insert(1, nn.Dropout(0.0))
    assert said(nn.Sequential(*layers)) == ["error"]


# -- traps ------------------------------------------------------------------------------------------------------------


def test_tied_storage_is_silent():
    def forward(self, x):
        return self.head(torch.tanh(self.one(x)) + torch.tanh(self.one(x)))

    assert said(Net(forward, one=nn.Linear(6, 8), head=nn.Linear(8, 3))) == []


def test_grouped_queries_that_share_keys_and_values_are_silent():
    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (-1, 3)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        return self.o(F.scaled_dot_product_attention(q, k, v, enable_gqa=True).transpose(1, 2).flatten(2))

    model = Net(forward, q=nn.Linear(12, 12), k=nn.Linear(12, 3), v=nn.Linear(12, 3), o=nn.Linear(12, 12))
    assert said(model, seeded(2, 5, 12)) == []


def test_padding_rows_are_silent():
    table = nn.Embedding(9, 8, padding_idx=0)
    with torch.no_grad():
        table.weight[1] = 0.0
    assert said(nn.Sequential(table, nn.Linear(8, 3)), torch.arange(9)) == []


@pytest.mark.parametrize("name", ["0.weight", "2.weight", "4.weight"])
def test_zero_layers_with_distinct_neighbours_are_silent(name):
    assert said(zeroed(stack(6, 8, 8, 3), name)) == []


def test_zero_branches_are_silent():
    model = zeroed(Rezero(), "blocks.0.2.weight", "blocks.1.2.weight")
    nn.init.ones_(model.alpha[0])
    assert said(model) == []


def test_a_frozen_layer_is_not_louder_than_a_note():
    model = twins()
    model[0].requires_grad_(False)
    assert set(said(model)) <= {"info"}


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_equal_biases_never_make_twins(value):
    model = stack(6, 8, 8, 3)
    for layer in model[::2]:
        nn.init.constant_(layer.bias, value)
    assert said(model) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("inputs", [1, 2])
def test_a_wide_layer_of_few_inputs_is_silent(inputs, dtype):
    """Rows of one or two bf16 numbers collide by chance; their columns do not."""
    model = stack(inputs, 256, 3).to(dtype)
    assert said(model, seeded(24, inputs).to(dtype)) == []


def test_other_rules_have_constants_heads_and_lumps():
    constant = stack(6, 8, 8, 3)
    nn.init.constant_(constant[0].weight, 0.1)
    nn.init.constant_(constant[0].bias, 0.0)
    nn.init.constant_(constant[2].weight, 0.1)
    assert not any("0.weight" in finding.where for finding in ask("SZ201", constant, X, square))
    middle = [finding.where for finding in ask("SZ201", lumped(), X.double(), square)]
    assert ("2.weight",) not in middle


def test_a_model_that_cannot_be_probed_is_not_judged():
    model = twins()
    model.running = (each for each in "ab")
    assert said(model) == []
    (reason,) = reasons("SZ201", model, X)
    assert "cannot be copied" in reason
