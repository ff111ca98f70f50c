import pytest
import torch

from stepzero.measure.roundoff import unit_roundoff


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_half_of_eps(dtype):
    assert unit_roundoff(str(dtype)[6:]) == torch.finfo(dtype).eps / 2


def test_unknown_is_coarse():
    assert unit_roundoff("float8_e4m3fn") == torch.finfo(torch.float8_e4m3fn).eps / 2
