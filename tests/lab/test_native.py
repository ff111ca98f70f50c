import os
import subprocess
import sys

import pytest
import torch

from stepzero.lab import native
from stepzero.lab.activations import ACTIVATIONS
from stepzero.lab.eager import Stacked
from stepzero.lab.task import LOSSES
from stepzero.lab.update import OPTIMIZERS, Update
from tests.lab.fleets import PROGRAMS, samples, starts

needs_compiler = pytest.mark.skipif(bool(native.reason()), reason=native.reason())
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5}
"""The kernel and its stand-in sum in different orders."""


def trained(worker, built, update, data, order, steps=5, networks=3):
    weights = starts(built, networks, dtype=data.inputs.dtype)
    state = torch.zeros_like(weights), torch.zeros_like(weights)
    lrs = torch.linspace(0.01, 0.05, networks, dtype=weights.dtype)
    losses = worker(built, update, data).train_(weights, state, lrs, order, steps, 0, torch.full((networks,), -1))
    return losses, weights


@needs_compiler
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_seen_is_what_the_stand_in_sees(name, activation, loss, dtype):
    built = PROGRAMS[name](activation)
    data, weights = samples(built, loss=loss, dtype=dtype), starts(built, 3, dtype=dtype)
    seen = [worker(built, Update(), data).observe(weights) for worker in (native.Kernel, Stacked)]
    for one, other in zip(*seen, strict=True):
        first = built.rows[0] if one.dim() == 3 else 0  # the gradient at the input is nobody's business
        torch.testing.assert_close(one[:, first:] if first else one, other[:, first:] if first else other,
                                   rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])  # fmt: skip


@needs_compiler
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("batch", [None, 1, 16, 23])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_is_what_the_stand_in_does(name, batch, dtype):
    built, update = PROGRAMS["plain"]("tanh"), Update(name, decay=0.01)
    data = samples(built, dtype=dtype)
    generator = torch.Generator().manual_seed(3)
    order = None if batch is None else torch.randint(0, 21, (3, 5, batch), generator=generator)
    results = [trained(worker, built, update, data, order) for worker in (native.Kernel, Stacked)]
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=20 * TOLERANCE[dtype], atol=20 * TOLERANCE[dtype])


@needs_compiler
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "silu", "gelu_tanh", "lecun_tanh"])
def test_functions_keep_their_relative_precision_from_tiny_to_huge(activation, dtype):
    built = PROGRAMS["linear"](activation)
    wide = type(built)(
        (type(built.ops[0])("activate", 0, 1), *(type(op)(op.kind, 1, 2, offset=0) for op in built.ops)),
        (built.rows[0], *built.rows), built.layers, activation,
    )  # fmt: skip
    data = samples(wide, dtype=dtype, count=400)
    sizes = torch.logspace(-30, 2, 400, dtype=dtype)[:, None] * torch.tensor([1, -1, 0.3, -0.7, 2], dtype=dtype)
    data.inputs.copy_(sizes)
    values = native.Kernel(wide, Update(), data).observe(starts(wide, 1, dtype=dtype))[1][0, 5:10]
    expected = ACTIVATIONS[activation].value(sizes.T.double())
    is_normal = expected.abs() > 1e-25  # sigmoid of -200 is below float32
    errors = ((values.double() - expected) / expected)[is_normal].abs()
    if activation == "gelu_tanh":  # 1 + tanh cancels on the left
        errors = errors[(sizes.T > -1)[is_normal]]
    assert errors.max() < (1e-6 if dtype == torch.float32 else 1e-14)


@needs_compiler
def test_a_library_is_built_once():
    paths = [native._compiled("g++") for _ in range(2)]
    assert paths[0] == paths[1]
    assert paths[0].exists()


def test_without_a_compiler_it_falls_back_says_so_once_and_trains(tmp_path):
    code = (
        "import torch; from stepzero.lab import fleet; from stepzero.lab.update import Update\n"
        "from tests.lab.fleets import PROGRAMS, samples, starts\n"
        "torch.set_num_threads(1)\n"
        "built = PROGRAMS['plain']('tanh'); data = samples(built)\n"
        "for _ in range(2):\n"
        "    each = fleet.Fleet(built, starts(built, 2), torch.tensor([.1, .1]), Update())\n"
        "    losses = each.train_(data, 30)\n"
        "assert (losses[:, -1] < losses[:, 0]).all()\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "CXX"} | {"PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no C++ compiler") == 1
