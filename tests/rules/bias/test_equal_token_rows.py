import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

IDS = torch.randint(0, 50, (32, 12), generator=generator(3))


def words(*copies, count=50, width=16, dtype=torch.float32):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(count, width), nn.Flatten(), nn.Linear(width * 12, 4)).to(dtype)
    with torch.no_grad():
        for to, source in copies:
            model[0].weight[to] = model[0].weight[source]
    return model


def test_copies_are_counted_and_named():
    (finding,) = ask("SZ609", words((49, 7), (48, 7), (3, 4)), IDS)
    assert (finding.severity, finding.where, finding.value) == ("warning", ("0.weight",), 3.0)
    assert "(of 50: 4, 48, 49)" in finding.message


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_two_copies_among_many_rows_are_found(dtype):
    assert severities("SZ609", words((19_000, 7), count=20_000, width=64, dtype=dtype), IDS) == ["warning"]
    assert severities("SZ609", words(count=20_000, width=64, dtype=dtype), IDS) == []


# -- traps ----------------------------------------------------------------------------------------------------------


def test_rows_that_share_their_first_numbers_are_not_equal():
    model = words()
    with torch.no_grad():
        model[0].weight[:, :8] = 1.0
    assert severities("SZ609", model, IDS) == []


def test_zero_rows_and_constant_tables_are_silent():
    model = words()
    with torch.no_grad():
        model[0].weight[40:] = 0.0
    assert severities("SZ609", model, IDS) == []
    nn.init.ones_(model[0].weight)
    assert severities("SZ609", model, IDS) == []


def test_a_frozen_alias_is_a_note():
    model = words((49, 7))
    model[0].weight.requires_grad_(False)
    assert severities("SZ609", model, IDS) == ["info"]


def test_weights_that_multiply_are_left_to_other_rules():
    model = words()
    with torch.no_grad():
        model[2].weight[1] = model[2].weight[0]
    assert severities("SZ609", model, IDS) == []


def test_one_number_a_token_may_repeat():
    assert severities("SZ609", words((3, 4), width=1), IDS) == []
