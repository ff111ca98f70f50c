"""The kernel: compiled once for this processor, kept in the user's cache, called through ctypes.

Where no C++ compiler is found, or it fails, `reason` says why and `stepzero.lab.eager` does the same work.
"""

import ctypes
import functools
import hashlib
import operator
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stepzero.lab import activations, places
from stepzero.lab.program import KINDS, Program
from stepzero.lab.task import LOSSES, Samples
from stepzero.lab.update import OPTIMIZERS, Update

SOURCE = Path(__file__).with_name("kernel.cpp")
PART = Path(__file__).with_name("spatial.cpp")
"""What `SOURCE` includes."""
FLAGS = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC")
_SECONDS = 300


class _Setting(ctypes.Structure):
    """Mirrors ``Setting`` of the kernel."""

    _fields_ = [
        ("ops", ctypes.c_void_p),
        ("num_ops", ctypes.c_int64),
        ("rows", ctypes.c_void_p),
        ("places", ctypes.c_void_p),
        *[
            (name, ctypes.c_int64)
            for name in "num_buffers networks stride batch samples targets steps done loss optimizer".split()
        ],
        *[(name, ctypes.c_double) for name in "momentum beta1 beta2 eps decay".split()],
    ]


@functools.cache
def _loaded() -> tuple[Any, str]:
    """The library and an empty reason, or None and why there is none."""
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if os.environ.get("STEPZERO_NO_COMPILER") or compiler is None:
        return None, "no C++ compiler was found (g++)"
    try:
        return ctypes.CDLL(str(_compiled(compiler))), ""
    except (OSError, subprocess.SubprocessError) as problem:
        return None, f"{compiler} could not build the kernel: {type(problem).__name__}"


def reason() -> str:
    """Why there is no kernel; empty when there is one."""
    return _loaded()[1]


def _compiled(compiler: str) -> Path:
    """Path of the library for this source, compiler and processor; built when it is not there yet."""
    key = "|".join([SOURCE.read_text(), PART.read_text(), *FLAGS, compiler, _version(compiler), _processor()])
    digest = hashlib.blake2b(key.encode(), digest_size=10).hexdigest()
    library = places.cache() / f"kernel-{digest}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            built = Path(folder) / "kernel.so"
            command = [compiler, *FLAGS, str(SOURCE), "-o", str(built)]
            subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS)
            built.replace(library)  # at once: another process may be building the same
    return library


def _version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True, timeout=60).stdout


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return " ".join(sorted({line for line in lines if line.startswith(("flags", "model name"))}))


def _ops(program: Program) -> Tensor:
    """[operations, 10] as the kernel reads them; the last two: whether a gradient is already there to be added to."""
    table, number = [], activations.get(program.activation).number
    seen: set[int] = set()
    for op in reversed(program.ops):
        adds = int(op.source in seen), int(op.other in seen or op.other == op.source)
        bias = op.offset + program.rows[op.out] * program.rows[op.source] if op.bias < 0 else op.bias
        seen |= {op.source, op.other} if op.kind == "add" else {op.source}
        table.append([KINDS.index(op.kind), op.source, op.other, op.out, op.offset, bias, op.size, number, *adds])
    return torch.tensor(table[::-1], dtype=torch.int64)


def _places(program: Program) -> tuple[int, ...]:
    return program.places or (1,) * len(program.rows)


class Kernel:
    """The kernel bound to one program, update rule and set of samples."""

    def __init__(self, program: Program, update: Update, samples: Samples) -> None:
        library, why = _loaded()
        if library is None:
            raise RuntimeError(why)
        self.program, self.samples = program, samples
        kind = {torch.float32: "float32", torch.float64: "float64"}[samples.inputs.dtype]
        self._train, self._observe = getattr(library, f"train_{kind}"), getattr(library, f"observe_{kind}")
        self._ops, self._rows = _ops(program), torch.tensor(program.rows, dtype=torch.int64)
        self._places = torch.tensor(_places(program), dtype=torch.int64)
        self._setting = _Setting(
            ops=self._ops.data_ptr(), num_ops=len(self._ops), rows=self._rows.data_ptr(),
            places=self._places.data_ptr(), num_buffers=len(program.rows), networks=0, stride=program.stride,
            batch=0, samples=len(samples.inputs), targets=program.rows[-1], steps=0, done=0,
            loss=LOSSES.index(samples.loss), optimizer=OPTIMIZERS.index(update.name), momentum=update.momentum,
            beta1=update.beta1, beta2=update.beta2, eps=update.eps, decay=update.decay,
        )  # fmt: skip

    def train_(
        self, weights_MP: Tensor, state: Sequence[Tensor], lrs_M: Tensor, order_MTB: Tensor | None, steps: int,
        done: int, stopped_M: Tensor,
    ) -> Tensor:  # fmt: skip
        """Take ``steps`` steps with every network; returns the losses [M, T] before each."""
        losses = torch.full((len(weights_MP), steps), torch.nan, dtype=weights_MP.dtype)
        setting = self._setting
        setting.networks, setting.steps, setting.done = len(weights_MP), steps, done
        setting.batch = len(self.samples.inputs) if order_MTB is None else order_MTB.shape[2]
        self._train(
            ctypes.byref(setting), _at(weights_MP), _at(state[0]), _at(state[1]), _at(lrs_M), *self._samples(),
            _at(order_MTB), _at(losses), _at(stopped_M),
        )  # fmt: skip
        return losses

    def observe(self, weights_MP: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Losses [M], values and gradients of all buffers [M, rows x places, B], gradients of all numbers."""
        setting, count = self._setting, len(weights_MP)
        setting.networks, setting.batch = count, len(self.samples.inputs)
        losses, gradients = weights_MP.new_empty(count), torch.empty_like(weights_MP)
        lines = sum(map(operator.mul, self.program.rows, _places(self.program)))
        values = weights_MP.new_empty(count, lines, setting.batch)
        deltas = torch.empty_like(values)
        self._observe(
            ctypes.byref(setting), _at(weights_MP), *self._samples(), _at(losses), _at(values), _at(deltas),
            _at(gradients),
        )  # fmt: skip
        return losses, values, deltas, gradients

    def _samples(self) -> tuple[Any, Any, Any]:
        is_labels = self.samples.loss == "cross_entropy"
        targets = _at(self.samples.targets)
        return _at(self.samples.inputs), None if is_labels else targets, targets if is_labels else None


def _at(tensor: Tensor | None) -> ctypes.c_void_p | None:
    """Address of a contiguous tensor."""
    if tensor is None:
        return None
    assert tensor.is_contiguous()
    assert tensor.device.type == "cpu"
    return ctypes.c_void_p(tensor.data_ptr())
