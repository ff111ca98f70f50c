"""Keys of generators: wrappers do not matter, names, blocks and experts do, processes do not."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from stepzero.schemes.seeding import canonical_name, generator_for

NAMES = {
    "body.0.weight": "body.0.weight",
    "module.body.0.weight": "body.0.weight",
    "_orig_mod.module.body.0.weight": "body.0.weight",
    "module._orig_mod.body.0.weight": "body.0.weight",
    "body._fsdp_wrapped_module.0._checkpoint_wrapped_module.weight": "body.0.weight",
    "body.0.parametrizations.weight.original": "body.0.weight",
    "body.0.parametrizations.weight.original1": "body.0.weight",
    "parametrizations.weight.original0": "weight",
    "body.module.weight": "body.module.weight",
    "module": "module",
    "parametrizations.weight.0.scale": "parametrizations.weight.0.scale",
}


@pytest.mark.parametrize("name", NAMES)
def test_canonical_names(name: str) -> None:
    assert canonical_name(name) == NAMES[name]
    assert canonical_name(canonical_name(name)) == NAMES[name]


def test_wrappers_of_torch_do_not_change_names() -> None:
    bare = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    names = [name for name, _ in bare.named_parameters()]
    for wrapped in (torch.compile(bare), nn.DataParallel(bare)):
        assert [canonical_name(name) for name, _ in wrapped.named_parameters()] == names
    normed = nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 3)))
    assert {canonical_name(name) for name, _ in normed.named_parameters()} == {"0.weight", "0.bias"}


def draw(*key: object) -> list[float]:
    return torch.rand(4, generator=generator_for(*key)).tolist()  # type: ignore[arg-type]


def test_each_part_of_the_key_matters() -> None:
    keys = [
        (0, "a.w"),
        (1, "a.w"),
        (0, "b.w"),
        (0, "a.w", 1),
        (0, "a.w", "q"),
        (0, "a.w", 0, 1),
        (
            0,
            "a.w",
            1,
            0,
        ),
    ]
    draws = [draw(*key) for key in keys]
    assert draws[3] == draws[6]
    assert len({tuple(numbers) for numbers in draws}) == 6
    assert draw(0, "a.w") == draw(0, "module.a.w")


def test_ten_thousand_names_have_ten_thousand_streams() -> None:
    draws = {torch.rand(2, generator=generator_for(0, f"layers.{i}.weight"), dtype=torch.float64) for i in range(3)}
    seeds = {generator_for(0, f"layers.{i}.weight").initial_seed() for i in range(10_000)}
    assert len(draws) == 3
    assert len(seeds) == 10_000


def test_only_the_lower_half_of_the_seed_counts_as_the_page_says() -> None:
    low, high = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5 + (1 << 40))
    assert torch.equal(torch.rand(8, generator=low), torch.rand(8, generator=high))


def test_no_process_and_no_hash_seed_matters() -> None:
    code = (
        "import torch; from stepzero import schemes;"
        "g = schemes.generator_for(3, 'a.weight', block='q', expert=2);"
        "print(schemes.he_(torch.empty(5, 4), generator=g).tolist())"
    )
    printed = set()
    for salt in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": salt}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        printed.add(done.stdout)
    assert len(printed) == 1


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    generator_for(0, "a.weight")
    assert torch.equal(torch.get_rng_state(), before)
