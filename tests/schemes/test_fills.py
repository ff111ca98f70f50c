"""What every scheme promises: its moments, the tensor's dtype and memory, its own generator and nothing else."""

import inspect
import math
import random
from typing import Any, NamedTuple

import pytest
import torch
from torch import Generator, Tensor

from stepzero import schemes
from stepzero.core.errors import StepzeroError

N, M = 96, 160


class Fill(NamedTuple):
    """A call of a scheme, and the second moment of the entries it asks for (None: not one law for all entries)."""

    name: str
    square: float | None
    shape: tuple[int, ...] = (M, N)
    options: dict[str, Any] = {}  # noqa: RUF012 - never written


RELU_WALK = 2 * math.exp(2.4 / (N - 2.4)) / N

FILLS = {
    "lecun": Fill("lecun", 1 / N),
    "lecun, by fan-out": Fill("lecun", 1 / M, options={"mode": "out"}),
    "lecun, mean fan": Fill("lecun", 2 / (N + M), options={"mode": "avg"}),
    "lecun, geometric mean": Fill("lecun", 1 / math.sqrt(N * M), options={"mode": "geo"}),
    "lecun, uniform": Fill("lecun", 1 / N, options={"distribution": "uniform"}),
    "lecun, truncated": Fill("lecun", 1 / N, options={"distribution": "truncated"}),
    "lecun, truncated at one": Fill("lecun", 1 / N, options={"distribution": "truncated", "cut": 1.0}),
    "lecun, orthogonal": Fill("lecun", 1 / N, options={"distribution": "orthogonal"}),
    "lecun of a bias": Fill("lecun", 1 / 7, shape=(4096,), options={"fan_in": 7.0}),
    "he": Fill("he", 2 / N),
    "he of a kernel": Fill("he", 2 / (24 * 9), shape=(M, 24, 3, 3)),
    "he for a leaky slope": Fill("he", 2 / (1 + 0.04) / N, options={"gain": torch.nn.LeakyReLU(0.2)}),
    "he backward": Fill("he", 1.48111**2 / M, options={"gain": "gelu", "mode": "out"}),
    "he with true fans": Fill("he", 2 / 9, shape=(M, 1, 3, 3), options={"fan_in": 9.0, "fan_out": 9.0}),
    "glorot": Fill("glorot", 2 / (N + M)),
    "glorot of three blocks": Fill("glorot", 1 / N, shape=(3 * N, N), options={"blocks": 3}),
    "selu": Fill("selu", 1 / N),
    "torch_default": Fill("torch_default", 1 / (3 * N)),
    "siren": Fill("siren", 6 / N / 900 / 3),
    "siren, first": Fill("siren", 1 / N**2 / 3, options={"first": True}),
    "random_walk": Fill("random_walk", RELU_WALK),
    "random_walk, linear": Fill("random_walk", math.exp(1 / N) / N, options={"activation": "linear"}),
    "spectral, wide": Fill("spectral", 1 / N),
    "spectral, narrow": Fill("spectral", N / M / M, shape=(N, M)),
    "ntk": Fill("ntk", 1.0),
    "constant_std": Fill("constant_std", 4e-4),
    "sparse": Fill("sparse", 15 / N),
    "edge_of_chaos": Fill("edge_of_chaos", schemes.activation_gain("tanh", mode="out") ** 2 / N),
    "orthogonal": Fill("orthogonal", 1 / M),
    "orthogonal, narrow": Fill("orthogonal", 1 / M, shape=(N, M)),
    "orthogonal of a kernel": Fill("orthogonal", 1 / (24 * 9), shape=(M, 24, 3, 3)),
    "suo": Fill("suo", 1 / N),
    "suo, narrow": Fill("suo", 1 / M, shape=(N, M)),
    "delta_orthogonal": Fill("delta_orthogonal", 1 / N / 9, shape=(M, N, 3, 3)),
    "dirac": Fill("dirac", None, shape=(M, N, 3)),
    "identity": Fill("identity", None),
    "zero_hadamard": Fill("zero_hadamard", None),
    "idinit": Fill("idinit", None),
    "icnr": Fill("icnr", 1 / (24 * 9), shape=(256, 24, 3, 3)),
    "bilinear_up": Fill("bilinear_up", None, shape=(M, N, 4, 4)),
    "zeros": Fill("zeros", 0.0),
    "attention": Fill("attention", 1 / N, shape=(3 * M, N), options={"blocks": 3}),
    "embedding": Fill("embedding", 1.0),
    "embedding of a tied head": Fill("embedding", 1 / N, options={"reader": "head"}),
    "contrast": Fill("contrast", 1.0),
    "recurrent": Fill("recurrent", 1 / N, shape=(4 * N, N), options={"gates": 4}),
    "recurrent, input": Fill("recurrent", 2 / (N + 40), shape=(3 * 40, N), options={"gates": 3, "slot": "input"}),
    "ssm_log_a": Fill("ssm_log_a", None),
    "ssm_dt_bias": Fill("ssm_dt_bias", None),
    "lora_a": Fill("lora_a", 1 / (3 * N), shape=(16, N)),
    "experts": Fill("experts", 0.1 / N, shape=(4, N, M), options={"fan_in": float(N)}),
}


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def filled(fill: Fill, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    tensor = torch.full(fill.shape, math.nan, dtype=dtype)
    result = schemes.get(fill.name)(tensor, generator=seeded(seed), **fill.options)
    assert result is tensor
    return tensor


def test_every_scheme_is_tried() -> None:
    assert {fill.name for fill in FILLS.values()} == set(schemes.names())


@pytest.mark.parametrize("case", FILLS)
def test_moments_within_the_sampling_error(case: str) -> None:
    fill = FILLS[case]
    values = filled(fill).double()
    assert bool(values.isfinite().all())
    if fill.square is None:
        return
    # None has a kurtosis above 3 where its entries are drawn; zeros and repeats say nothing new.
    effective = values[values != 0].unique().numel()
    error = 5 * math.sqrt(2 / effective) if effective else 0.0
    assert values.square().mean().item() == pytest.approx(fill.square, rel=error)
    assert abs(values.mean().item()) <= 5 * math.sqrt(fill.square / values.numel())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", FILLS)
def test_dtype_and_the_same_numbers_in_each(case: str, dtype: torch.dtype) -> None:
    values = filled(FILLS[case], dtype)
    assert values.dtype == dtype
    if dtype != torch.float64:  # drawn in float32 and cast last
        assert torch.equal(values, filled(FILLS[case]).to(dtype))


@pytest.mark.parametrize("case", FILLS)
def test_the_same_generator_gives_the_same_bytes_whatever_was_there(case: str) -> None:
    fill = FILLS[case]
    once = filled(fill)
    again = once.clone()
    schemes.get(fill.name)(again, generator=seeded(), **fill.options)
    assert torch.equal(once, again)
    is_drawn = inspect.signature(schemes.get(fill.name)).parameters["generator"].default is inspect.Parameter.empty
    assert torch.equal(once, filled(fill, seed=1)) != is_drawn


@pytest.mark.parametrize("case", FILLS)
def test_the_global_generators_are_left_alone(case: str) -> None:
    before, python = torch.get_rng_state(), random.getstate()
    filled(FILLS[case])
    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == python


@pytest.mark.parametrize("case", FILLS)
def test_parameters_are_written_in_place_and_not_recorded(case: str) -> None:
    fill = FILLS[case]
    parameter = torch.nn.Parameter(torch.full(fill.shape, math.nan))
    place = parameter.data_ptr()
    schemes.get(fill.name)(parameter, generator=seeded(), **fill.options)
    assert parameter.is_leaf
    assert parameter.requires_grad
    assert parameter.data_ptr() == place
    assert torch.equal(parameter, filled(fill))


@pytest.mark.parametrize("case", FILLS)
def test_strides_do_not_matter(case: str) -> None:
    fill = FILLS[case]
    turned = torch.full(fill.shape[::-1], math.nan).permute(*range(len(fill.shape))[::-1])
    schemes.get(fill.name)(turned, generator=seeded(), **fill.options)
    assert torch.equal(turned, filled(fill))


@pytest.mark.parametrize("name", schemes.names())
def test_signatures_and_pages(name: str) -> None:
    scheme = schemes.get(name)
    _, *rest = inspect.signature(scheme).parameters.values()
    assert rest[0].name == "generator"
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in rest)
    assert scheme.__doc__
    assert "Reference" in scheme.__doc__


@pytest.mark.parametrize("name", schemes.names())
def test_what_cannot_be_filled_is_refused(name: str) -> None:
    fill = next(fill for fill in FILLS.values() if fill.name == name)
    for tensor in (
        torch.empty(fill.shape, device="meta"),
        torch.empty(fill.shape, dtype=torch.int64),
        torch.zeros(fill.shape).to_sparse(),
    ):
        with pytest.raises(ValueError, match=r"meta device|dense floating-point"):
            schemes.get(name)(tensor, generator=seeded(), **fill.options)


@pytest.mark.parametrize("name", schemes.names())
def test_width_zero_is_left_empty(name: str) -> None:
    fill = next(fill for fill in FILLS.values() if fill.name == name)
    for shape in ((0, *fill.shape[1:]), (fill.shape[0], 0, *fill.shape[2:])):
        assert schemes.get(name)(torch.empty(shape), generator=seeded(), **fill.options).numel() == 0


@pytest.mark.parametrize("name", schemes.names())
def test_one_unit_layers(name: str) -> None:
    fill = next(fill for fill in FILLS.values() if fill.name == name)
    options = {key: 1 if key in ("gates", "blocks") else value for key, value in fill.options.items()}
    shape = (4 if name == "icnr" else 1, 1, *(1 for _ in fill.shape[2:]))
    assert bool(schemes.get(name)(torch.empty(shape), generator=seeded(), **options).isfinite().all())


def test_the_list_and_the_way_to_a_scheme() -> None:
    assert schemes.__all__ == sorted(set(schemes.__all__))
    assert all(hasattr(schemes, name) for name in schemes.__all__)
    assert "he" in schemes.names()
    assert "mup" not in schemes.names()
    assert schemes.get("he") is schemes.get("he_") is schemes.he_
    with pytest.raises(ValueError, match="did you mean 'glorot'") as caught:
        schemes.get("glorto")
    assert isinstance(caught.value, StepzeroError)
    assert "\n" not in str(caught.value)
