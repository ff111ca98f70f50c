"""Facts about parameters and buffers: exact where they say exact, whatever the tensor is made of."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from stepzero import api
from stepzero.core.trace import TensorFact
from stepzero.probe.facts import SAMPLE, Facts, named_tensors, state_of
from stepzero.probe.transfer import Ledger
from tests.probe.observing import seeded, seen


class Holder(nn.Module):
    """Parameters and buffers by name."""

    def __init__(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor] | None = None) -> None:
        super().__init__()
        for name, tensor in parameters.items():
            is_float = tensor.is_floating_point() or tensor.is_complex()
            self.register_parameter(name, nn.Parameter(tensor, requires_grad=is_float))
        for name, tensor in (buffers or {}).items():
            self.register_buffer(name, tensor)


def looked_at(model: nn.Module) -> dict[str, TensorFact]:
    ledger = Ledger()
    static = Facts(ledger)
    static.look(model)
    ledger.fetch()
    return {fact.name: fact for fact in static.finish(set(), {})}


def fact_of(tensor: Tensor) -> TensorFact:
    return looked_at(Holder({"w": tensor}))["w"]


LAID_OUT = {
    "contiguous": lambda tensor: tensor,
    "transposed": lambda tensor: tensor.t().contiguous().t(),
    "every second": lambda tensor: torch.stack([tensor, tensor], -1)[..., 0],
    "channels last": lambda tensor: tensor[:, :, None, None].contiguous(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("shape", [(5, 7), (40, 60), (1, 3)])  # small ones are read whole, large ones sampled
@pytest.mark.parametrize("layout", LAID_OUT)
def test_extremes_are_exact_in_every_layout(shape: tuple[int, ...], layout: str) -> None:
    numbers = seeded(*shape)
    fact = fact_of(LAID_OUT[layout](numbers))
    assert (fact.low, fact.high) == (float(numbers.min()), float(numbers.max()))
    assert (fact.numel, fact.num_nonfinite, fact.first_nonfinite) == (numbers.numel(), 0, None)


def test_one_extreme_among_a_million_is_found() -> None:
    numbers = torch.zeros(1000, 1000)
    numbers[617, 3] = 5.0
    numbers[12, 999] = -7.0
    assert (fact_of(numbers).low, fact_of(numbers).high) == (-7.0, 5.0)
    assert not fact_of(numbers).is_zero
    assert fact_of(torch.zeros(1000, 1000)).is_zero


@settings(max_examples=30)
@given(st.integers(0, 999_999), st.sampled_from([math.nan, math.inf, -math.inf]), st.booleans())
def test_one_bad_number_among_a_million_is_found_with_its_index(place: int, bad: float, transposed: bool) -> None:
    numbers = MILLION.t() if transposed else MILLION
    index = divmod(place, 1000)
    kept = float(numbers[index])
    numbers[index] = bad
    fact = fact_of(numbers)
    numbers[index] = kept
    assert (fact.num_nonfinite, fact.first_nonfinite) == (1, place)


MILLION = torch.zeros(1000, 1000)


@pytest.mark.parametrize("shape", [(6, 50), (60, 70)])
def test_statistics_are_those_of_the_numbers(shape: tuple[int, ...]) -> None:
    numbers = seeded(*shape) * 3 + 1
    fact, exact = fact_of(numbers), numbers.double()
    sampled = {"rel": 0.1} if numbers.numel() > SAMPLE else {"rel": 1e-9}
    assert fact.mean == pytest.approx(float(exact.mean()), **sampled)
    assert fact.std == pytest.approx(float(exact.std(correction=0)), **sampled)
    assert fact.rms == pytest.approx(float(exact.square().mean().sqrt()), **sampled)
    assert fact.spread == pytest.approx(3, rel=0.15)
    assert fact.sample == min(numbers.numel(), SAMPLE)


def test_shares_of_zeros_and_of_subnormal_numbers() -> None:
    numbers = torch.tensor([0.0, -0.0, 1e-40, -1e-45, torch.finfo(torch.float32).tiny, 1.0, -2.0, 3.0])
    for copies in (1, 1000):  # small ones are read whole, large ones sampled in runs of sixteen neighbours
        fact = fact_of(numbers.repeat(copies))
        assert (fact.zero_share, fact.subnormal_share) == (0.25, 0.25)


def test_the_spread_is_not_moved_by_outliers() -> None:
    numbers = seeded(40, 50)
    numbers[0, 0] = 1e6
    fact = fact_of(numbers)
    assert fact.spread == pytest.approx(1, rel=0.1)
    assert fact.std > 1e4


@pytest.mark.parametrize("value", [0.0, 1.0, -0.3, 1e-20, 3.3e7])
@pytest.mark.parametrize("shape", [(3, 4), (70, 80)])
def test_a_constant_is_constant_exactly(value: float, shape: tuple[int, ...]) -> None:
    fact = fact_of(torch.full(shape, value))
    assert fact.is_constant
    assert fact.is_zero == (value == 0.0)
    assert (fact.std, fact.spread) == (0.0, 0.0)
    nudged = torch.full(shape, value)
    nudged[-1, -1] = torch.nextafter(nudged[-1, -1], torch.tensor(math.inf))
    assert not fact_of(nudged).is_constant


KINDS = {
    "bfloat16": (seeded(60, 70).bfloat16(), "bfloat16"),
    "float16": (seeded(6, 7).half(), "float16"),
    "float64": (seeded(6, 7).double(), "float64"),
    "float8": (seeded(6, 7).to(torch.float8_e4m3fn), "float8_e4m3fn"),
    "integers": (torch.arange(-3, 9), "int64"),
    "bytes": (torch.arange(9, dtype=torch.uint8), "uint8"),
    "truth values": (torch.tensor([True, False, True]), "bool"),
    "a scalar": (torch.tensor(2.5), "float32"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_every_dtype(kind: str) -> None:
    numbers, dtype = KINDS[kind]
    fact, exact = fact_of(numbers), numbers.double()
    assert (fact.dtype, fact.shape) == (dtype, tuple(numbers.shape))
    assert (fact.low, fact.high) == (float(exact.min()), float(exact.max()))
    assert fact.mean == pytest.approx(float(exact.mean()), abs=0.1)


def test_complex_numbers_are_their_parts_and_narrow_ones_are_widened() -> None:
    numbers = torch.tensor([[3 - 4j, 0.5 + 1j], [2 + 2j, -1 + 0j]])
    fact = fact_of(numbers)
    assert (fact.low, fact.high, fact.numel) == (-4.0, 3.0, 4)
    numbers[1, 0] = complex(math.nan, math.inf)
    bad = fact_of(numbers)
    assert (bad.num_nonfinite, bad.first_nonfinite) == (1, 2)
    narrow = torch.tensor([1.0, math.nan, math.nan]).to(torch.float8_e4m3fn)
    assert (fact_of(narrow).num_nonfinite, fact_of(narrow).first_nonfinite) == (2, 1)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_a_sparse_parameter_is_read_by_its_entries() -> None:
    numbers = torch.sparse_coo_tensor([[0, 1, 1], [2, 0, 0]], [3.0, -4.0, 1.0], (2, 3))
    fact = fact_of(numbers)
    assert (fact.low, fact.high, fact.numel) == (-3.0, 3.0, 6)  # entries of one place add up


def test_a_number_that_is_not_finite_leaves_no_statistics_that_look_sound() -> None:
    fact = fact_of(torch.tensor([1.0, math.nan, 2.0]))
    assert math.isnan(fact.mean)
    assert math.isnan(fact.std)
    assert math.isnan(fact.rms)


def test_buffers_count_only_where_a_rule_could_say_something() -> None:
    buffers = {"running": torch.tensor([1.0, math.inf]), "steps": torch.tensor(7), "mask": torch.ones(3).bool()}
    found = looked_at(Holder({}, buffers))
    assert found["running"].num_nonfinite == 1
    assert found["running"].kind == "buffer"
    assert (found["steps"].dtype, found["steps"].low, found["steps"].sample) == ("int64", 0.0, 0)
    assert found["mask"].state == "ready"


def test_nothing_is_said_about_tensors_of_no_elements() -> None:
    fact = fact_of(torch.zeros(0, 5))
    assert (fact.numel, fact.state, fact.is_zero, fact.is_constant) == (0, "ready", False, False)


@pytest.mark.parametrize(
    ("tensor", "state"),
    [
        (torch.zeros(3), "ready"),
        (torch.zeros(0), "ready"),
        (torch.empty(3, device="meta"), "meta"),
        (nn.parameter.UninitializedParameter(), "lazy"),
        (nn.parameter.UninitializedBuffer(), "lazy"),
    ],
)
def test_states(tensor: Tensor, state: str) -> None:
    assert state_of(tensor) == state


def test_a_freed_storage_is_empty() -> None:
    tensor = torch.ones(4)
    tensor.untyped_storage().resize_(0)
    assert state_of(tensor) == "empty-storage"


def test_unready_tensors_are_listed_and_have_no_numbers() -> None:
    model = nn.Sequential(nn.LazyLinear(3), nn.Linear(2, 2, device="meta"))
    static = Facts(Ledger())
    static.look(model)
    assert static.unready() == [("0.weight", "lazy"), ("0.bias", "lazy"), ("1.weight", "meta"), ("1.bias", "meta")]
    lazy, meta = looked_at(model)["0.weight"], looked_at(model)["1.weight"]
    assert (lazy.shape, lazy.numel, lazy.state) == ((), 0, "lazy")
    assert (meta.shape, meta.sample, meta.high) == ((2, 2), 0, 0.0)


def names_of(model: nn.Module) -> list[tuple[str, tuple[str, ...]]]:
    return [(name, aliases) for name, _, _, aliases in named_tensors(model)]


def test_ties_are_one_fact_under_the_first_name() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    model[2].bias = nn.Parameter(model[0].bias.data)  # another object on the same memory
    assert names_of(model) == [
        ("0.weight", ("1.weight",)), ("0.bias", ("2.bias",)), ("1.bias", ()), ("2.weight", ()),
    ]  # fmt: skip


def test_other_parts_of_one_memory_are_no_ties() -> None:
    whole = torch.arange(12.0)
    model = Holder({"a": whole[:6], "b": whole[6:], "c": whole.view(3, 4), "d": whole[:6].view(2, 3)})
    assert [aliases for _, aliases in names_of(model)] == [(), (), (), ()]
    assert looked_at(model)["b"].low == 6.0


def test_a_buffer_on_the_memory_of_a_parameter_is_no_tie_of_it() -> None:
    weight = torch.ones(3)
    assert names_of(Holder({"w": weight}, {"copy": weight})) == [("w", ()), ("copy", ())]


def test_a_tie_of_two_objects_has_the_gradient_of_whichever_was_used() -> None:
    first = nn.Linear(3, 3)
    second = nn.Linear(3, 3)
    second.weight = nn.Parameter(first.weight.data)
    trace = seen(lambda self, x: self.second(x), seeded(4, 3), first=first, second=second)
    fact = trace.parameter("first.weight")
    assert fact.aliases == ("second.weight",)
    assert fact.is_used
    assert fact.gradient is not None


def test_biases_are_kept_whole_and_matrices_are_not():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 5000))
    facts = {fact.name: fact for fact in api.trace(model, torch.randn(4, 3)).parameters}
    assert list(facts["0.bias"].values) == model[0].bias.double().tolist()
    assert len(facts["0.weight"].values) == len(facts["1.bias"].values) == 0
