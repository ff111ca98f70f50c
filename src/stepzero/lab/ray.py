"""The engine of a cluster: one batch a task of Ray Core, tried again when its worker dies. Needs the extra ``ray``."""

import importlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from stepzero.core.errors import ConfigError
from stepzero.lab.grid import Network
from stepzero.lab.train import Outcome, train

RETRIES = 5
_AHEAD = 2
"""Batches in flight for each core of the cluster."""


def run(batches: Iterable[Sequence[Network]], *, workers: int) -> Iterator[list[Outcome]]:
    """Outcomes batch by batch, as they come; joins ``RAY_ADDRESS`` or starts ``workers`` processes here."""
    try:
        ray = importlib.import_module("ray")
    except ImportError as problem:
        raise ConfigError("the engine 'ray' needs Ray: pip install 'stepzero[ray]'") from problem
    is_ours = not ray.is_initialized()
    if is_ours:
        own = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": max(1, workers), "include_dashboard": False}
        ray.init(log_to_driver=False, **own)
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(_alone)
    rest, most = iter(batches), int(_AHEAD * ray.cluster_resources().get("CPU", 1))
    try:
        waiting = [task.remote(batch) for batch in islice(rest, most)]
        while waiting:
            done, waiting = ray.wait(waiting)
            yield from ray.get(done)
            waiting += [task.remote(batch) for batch in islice(rest, len(done))]
    finally:
        if is_ours:
            ray.shutdown()


def _alone(batch: Sequence[Network]) -> list[Outcome]:
    """One batch on one thread, as the local engine has it."""
    import torch  # noqa: PLC0415 - on the worker

    torch.set_num_threads(1)
    return train(batch)
