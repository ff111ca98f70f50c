"""Records know whether a derivative can pass through them."""

import pytest
import torch

from stepzero.probe.nodes import Record


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.int64, torch.bool]
)
def test_what_carries_a_derivative_is_what_torch_lets_require_one(dtype: torch.dtype) -> None:
    record = Record(0, "mul", "multiply", "", 0, (2,), str(dtype)[6:], [], True, False, False)
    try:
        torch.zeros(2, dtype=dtype, requires_grad=True)
        can = True
    except RuntimeError:
        can = False
    assert record.is_float is can
