"""What every test runs under: checked annotations, one thread, the same hypothesis examples on every run."""

import random

import jaxtyping
import pytest
from hypothesis import settings

import tests.typechecker  # noqa: F401 - the hook below only imports `tests`

# Before anything imports the modules named here: their annotations (and shapes, where jaxtyping states them) are
# checked at every call. Two modules of core stay out: `limits` declares a dataclass field as the number it becomes,
# and wrong words must reach the error messages of `outcome`, which users call.
CHECKED = [
    "stepzero.core.errors",
    "stepzero.core.finding",
    "stepzero.core.rule",
    "stepzero.core.trace",
    "stepzero.core.vector",
    "stepzero.measure",
]
jaxtyping.install_import_hook(CHECKED, "tests.typechecker.typechecker")

# One thread: the machines are small, xdist already fills them, and sums keep one order.
import torch  # noqa: E402 - after the hook, which must be first

torch.set_num_threads(1)

settings.register_profile("stepzero", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("stepzero")


@pytest.fixture(autouse=True)
def _same_draws_on_every_run():
    """A test that builds a model without a seed still gets the same one, whatever ran before it."""
    random.seed(0)
    torch.manual_seed(0)
