"""Peak memory of one step, by two independent counts, in a process that does nothing else (Linux).

* ``step_mib``: highest resident memory during the step above resident memory just before it. The kernel's high-water
  mark is reset first and freed heap pages are handed back, so that neither hides behind earlier use. This is the
  strict number: weights, libraries and the interpreter are not in it.
* ``tensor_mib``: highest sum of live bytes of torch's own allocator during the step, from the profiler's log of every
  allocation. Free of noise, blind to Python objects.
* ``process_mib``: highest resident memory of the whole process, what a user sees in a monitor.
"""

import ctypes
import gc
import resource
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.cost.observers import OBSERVERS, Observer
from benchmarks.cost.subjects import SUBJECTS

STATUS = Path("/proc/self/status")
RESET_PEAK = Path("/proc/self/clear_refs")


def measure(subject: str, observer: str) -> dict[str, float]:
    """Build the model, take one step to warm up, measure the next, log the one after."""
    torch.set_num_threads(1)
    watched = OBSERVERS[observer](SUBJECTS[subject]())
    with watched.ready():
        watched.observe()
        return {
            "step_mib": _resident_above_start(watched),
            "process_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "tensor_mib": _live_tensor_bytes(watched) / 2**20,
        }


def _resident_above_start(watched: Observer) -> float:
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    RESET_PEAK.write_text("5")
    before = _status("VmRSS")
    result = watched.observe()
    peak = _status("VmHWM")
    del result
    return (peak - before) / 1024


def _live_tensor_bytes(watched: Observer) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        result = watched.observe()
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    del result
    return peak


def _status(field: str) -> int:
    """KiB of one line of the kernel's account of this process."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1])
