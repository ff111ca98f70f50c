"""Float64 throughout, whatever a model says about dtypes, and the same function to float32's precision."""

import pytest
import torch
from torch import nn

from stepzero.probe.capture import eager
from stepzero.probe.double import Double, Undropped, widened
from stepzero.probe.loss import main_output
from stepzero.probe.replica import Replica
from stepzero.probe.restore import preserved_randomness, preserved_state, seed_everything
from stepzero.probe.subject import copied_batch, subject_of
from tests.probe.models import CASES
from tests.probe.observing import seeded

LOOSE = {"bfloat16": 5e-2, "autocast": 5e-2}
"""Cases whose own forward rounds to bfloat16, 2^-9 an operation."""


class Kinds(torch.overrides.TorchFunctionMode):
    """Keeps the dtype of every result, writes into tensors of the model's own aside."""

    def __init__(self):
        super().__init__()
        self.kinds = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and not func.__name__.endswith("_"):
            self.kinds.add(result.dtype)
        return result


@pytest.mark.parametrize("name", [name for name in CASES if name != "mutates_everything"])
def test_the_copy_computes_what_the_model_does_and_in_float64(name):
    model, batch, loss = CASES[name]()
    subject = subject_of(model, batch, loss)
    replica = Replica(subject)
    wide = replica.output()
    with preserved_randomness(), preserved_state(), eager(), Undropped():
        args, kwargs = copied_batch(subject)
        modes = [module.training for module in replica.model.modules()]
        for module, mode in zip(model.modules(), modes, strict=True):
            module.training = mode
        seed_everything(subject.seed)
        narrow = main_output(model(*args, **kwargs)).detach()
    assert wide.dtype == torch.float64
    assert wide.shape == narrow.shape
    close = LOOSE.get(name, 1e-4)
    torch.testing.assert_close(narrow.double(), wide, rtol=close, atol=close * float(wide.abs().max()))


@pytest.mark.parametrize("name", CASES)
def test_every_result_and_gradient_is_float64(name):
    model, batch, loss = CASES[name]()
    replica = Replica(subject_of(model, batch, loss))
    watch = Kinds()
    watch.add_input = lambda *_: None
    gradients, _ = replica.run(watch=watch)
    assert not watch.kinds & {torch.float32, torch.float16, torch.bfloat16, torch.complex64}
    assert {each.dtype for each in gradients.values() if each is not None} <= {torch.float64, torch.complex128}


NARROW = [torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize(
    "cast",
    [
        lambda x, dtype: x.to(dtype),
        lambda x, dtype: x.to(dtype=dtype),
        lambda x, dtype: x.type(dtype),
        lambda x, dtype: torch.softmax(x, -1, dtype=dtype),
        lambda x, dtype: torch.zeros(3, dtype=dtype) + x.new_ones(3, dtype=dtype),
        lambda x, dtype: x.sum(dtype=dtype),
    ],
)
def test_casts_to_narrower_kinds_widen(cast, dtype):
    with Double():
        assert cast(torch.ones(3, dtype=torch.float64), dtype).dtype == torch.float64


@pytest.mark.parametrize("name", ["float", "half", "bfloat16"])
def test_so_do_the_short_names(name):
    x = torch.full((2,), 1 / 3, dtype=torch.float64)
    with Double():
        assert torch.equal(getattr(x, name)(), x)


def test_mixed_operands_are_widened():
    wide, narrow = torch.ones(3, 3, dtype=torch.float64), torch.ones(3, 3)
    with Double():
        assert (wide @ narrow).dtype == torch.float64
        assert torch.nn.functional.linear(wide, narrow, torch.ones(3)).dtype == torch.float64
        assert torch.cat([wide, narrow]).dtype == torch.float64


def test_integers_truth_values_and_bit_views_stay_what_they_are():
    with Double():
        assert torch.arange(3).dtype == torch.int64
        assert (torch.arange(3) > 1).dtype == torch.bool
        assert torch.ones(2, dtype=torch.float64).long().dtype == torch.int64
        assert torch.ones(2).view(torch.int32).dtype == torch.int32


def test_widening_looks_into_containers_and_leaves_the_rest():
    given = {"a": [torch.ones(1), (torch.ones(1, dtype=torch.bfloat16), "b")], "c": torch.arange(2), "d": torch.float16}
    wide = widened(given)
    assert wide["a"][0].dtype == wide["a"][1][0].dtype == torch.float64
    assert (wide["a"][1][1], wide["c"].dtype, wide["d"]) == ("b", torch.int64, torch.float64)
    assert widened(torch.ones(1, dtype=torch.complex64)).dtype == torch.complex128
    assert widened(given["c"]) is given["c"]


def test_widened_numbers_are_exact():
    x = seeded(100)
    for dtype in NARROW:
        assert torch.equal(widened(x.to(dtype)).to(dtype), x.to(dtype))


def test_a_module_with_a_cast_inside_keeps_all_its_digits():
    module = nn.Linear(4, 4).double()
    x = seeded(3, 4, dtype=torch.float64)
    with Double():
        assert torch.equal(module(x).half().float(), module(x))


def test_a_derivative_is_taken_of_the_leaf_itself():
    """Widened, the leaf would be another tensor, and nothing would depend on that."""
    leaf = torch.ones(3, dtype=torch.complex64, requires_grad=True)
    with Double():
        total = (leaf * torch.ones(3, dtype=torch.complex128)).abs().sum()
        (gradient,) = torch.autograd.grad(total, [leaf])
    torch.testing.assert_close(gradient, torch.ones(3, dtype=torch.complex64))


class Dropping(nn.Module):
    """Drops by functions, as many models do, whose switch no module's mode turns."""

    def __init__(self):
        super().__init__()
        self.into, self.attention = nn.Linear(8, 8), nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True)

    def forward(self, x):
        h = torch.nn.functional.dropout(self.into(x), 0.5, self.training)
        h, _ = self.attention(h, h, h, need_weights=False)
        return torch.nn.functional.scaled_dot_product_attention(h, h, h, dropout_p=0.5 if self.training else 0.0)


def test_what_a_forward_drops_by_functions_is_not_dropped():
    model, batch = Dropping(), seeded(4, 5, 8)
    replica = Replica(subject_of(model, batch))
    expected = model.eval()(batch).detach()
    torch.testing.assert_close(replica.output().float(), expected)
    assert float(replica.run()[0]["into.weight"].abs().min()) > 0
