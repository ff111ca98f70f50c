"""What half precision loses of a draw, and what it keeps."""

import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities


def built(dtype, write, *, cast_first=True):
    def build():
        model = nn.Sequential(nn.Linear(64, 256), nn.LayerNorm(256), nn.ReLU(), nn.Linear(256, 4))
        nn.init.kaiming_normal_(model[0].weight)
        nn.init.kaiming_normal_(model[3].weight)
        if cast_first:
            model.to(dtype)
        write(model)
        return model.to(dtype), torch.randn(32, 64).to(dtype)

    return build


def narrow(model):
    nn.init.normal_(model[1].weight, 1.0, 0.01)


def uniform(model):
    nn.init.uniform_(model[0].weight, 0.0, 16.0, generator=generator())


def test_a_small_spread_around_one_is_a_warning_in_bfloat16_and_kept_by_float16():
    (finding,) = ask("SZ107", built(torch.bfloat16, narrow))
    assert (finding.severity, finding.where, finding.cause) == ("warning", ("1.weight",), "low-precision-draw")
    assert severities("SZ107", built(torch.float16, narrow)) == []


def test_zeros_of_a_coarse_lattice_are_a_note():
    (finding,) = ask("SZ107", built(torch.bfloat16, uniform))
    assert (finding.severity, finding.where) == ("info", ("0.weight",))
    assert finding.value < 0.01


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_drawn_in_float32_and_cast_is_silent(dtype):
    assert severities("SZ107", built(dtype, uniform, cast_first=False)) == []
    assert severities("SZ107", built(dtype, lambda model: None, cast_first=False)) == []


def test_constants_and_sparse_draws_are_silent():
    def both(model):
        nn.init.constant_(model[1].weight, 1.0)
        nn.init.sparse_(model[0].weight, 0.9)

    assert severities("SZ107", built(torch.bfloat16, both)) == []


def test_loaded_gains_near_one_are_silent():
    def load(model):
        model[1].load_state_dict({"weight": 1 + 0.01 * torch.randn(256), "bias": torch.zeros(256)})

    assert severities("SZ107", built(torch.bfloat16, load)) == []


def test_float32_is_never_reported():
    assert severities("SZ107", built(torch.float32, lambda m: nn.init.normal_(m[1].weight, 1e6, 0.01))) == []
