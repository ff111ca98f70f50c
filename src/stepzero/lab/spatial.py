"""Networks of images and sequences as programs: what the kernel carries out in the place of a module.

A buffer of such a program has several places, pixels or steps. Its numbers lie as those of the module do (`generic`).
"""

import operator
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from stepzero.lab import generic
from stepzero.lab.modules import HEADS, Attention, Images, Recurrent
from stepzero.lab.native import Kernel
from stepzero.lab.observing import Seen
from stepzero.lab.program import Kind, Op, Program
from stepzero.lab.task import Samples
from stepzero.lab.update import Update

Spatial = Images | Recurrent | Attention
_WEIGHTED = ("linear", "convolve", "recur")


def program(module: Spatial, activation: str) -> Program:
    """The operations of ``module``, whose activation is the one of that name."""
    height, width = module.shape
    writer = _Writer(module, *((1, height * width) if isinstance(module, Images) else (width, height)))
    write: Callable[[Any, _Writer], int] = (
        _images if isinstance(module, Images) else _recurrent if isinstance(module, Recurrent) else _attention
    )
    writer.linear(write(module, writer), "head")
    return Program(
        tuple(writer.ops), tuple(writer.rows), (), activation, tuple(writer.places), generic.stride(module)
    )  # fmt: skip


def observe(made: Program, module: nn.Module, numbers_P: Tensor, samples: Samples) -> tuple[float, Tensor, list[Seen]]:
    """As `generic.observe`, by the kernel."""
    losses, *found, gradients = Kernel(made, Update(), samples).observe(numbers_P[None])
    sizes = list(map(operator.mul, made.rows, made.places))
    values, deltas = (
        [part.reshape(rows, -1) for part, rows in zip(each[0].split(sizes), made.rows, strict=True)] for each in found
    )
    own, arrived = generic.views(module, numbers_P), generic.views(module, gradients[0])
    starts, writers = generic.offsets(module), {op.offset: op for op in made.ops if op.kind in _WEIGHTED}

    def seen(name: str) -> Seen:
        op = writers[starts[f"{name}.weight"]]
        # What comes back into a recurrent unit is its sum without what comes from below.
        is_back = op.kind == "recur"
        response = values[op.other] - values[op.source] if is_back else values[op.out]
        return generic.seen(
            name, own, arrived[f"{name}.weight"], response, deltas[op.other if is_back else op.out]
        )  # fmt: skip

    return float(losses[0]), values[-1], [seen(name) for name in generic.layers(module)]


class _Writer:
    """Appends operations; methods return the buffer they write."""

    def __init__(self, module: Spatial, rows: int, places: int) -> None:
        self.starts, self.rows_of = generic.offsets(module), {n: len(p) for n, p in module.named_parameters()}
        self.ops: list[Op] = []
        self.rows, self.places = [rows], [places]

    def buffer(self, rows: int, places: int) -> int:
        self.rows.append(rows)
        self.places.append(places)
        return len(self.rows) - 1

    def unary(
        self, kind: Kind, source: int, *, rows: int = 0, places: int = 0, name: str = "", other: int = 0, size: int = 0
    ) -> int:
        """As many rows and places as the source where nothing else is said; ``name`` is that of a parameter."""
        out = self.buffer(rows or self.rows[source], places or self.places[source])
        self.ops.append(Op(kind, source, out, other, self.starts.get(name, 0), size=size))
        return out

    def linear(self, source: int, name: str, kind: Kind = "linear", size: int = 0) -> int:
        """A layer with a weight and a bias."""
        weight = f"{name}.weight"
        out = self.buffer(self.rows_of[weight], self.places[source])
        self.ops.append(Op(kind, source, out, 0, self.starts[weight], self.starts[f"{name}.bias"], size))
        return out

    def add(self, source: int, other: int) -> int:
        return self.unary("add", source, other=other)


def _images(module: Images, writer: _Writer) -> int:
    place = 0
    for number in range(len(module.body)):
        place = writer.unary("activate", writer.linear(place, f"body.{number}", "convolve", module.shape[1]))
    return writer.unary("mean", place, places=1)


def _recurrent(module: Recurrent, writer: _Writer) -> int:
    place = 0
    for number in range(len(module.body)):
        into = writer.linear(place, f"body.{number}")
        before = writer.buffer(writer.rows[into], writer.places[into])
        place = writer.unary("recur", into, name=f"back.{number}.weight", other=before)
    return writer.unary("last", place, places=1)


def _attention(module: Attention, writer: _Writer) -> int:
    steps = module.shape[0]
    stream = writer.unary("shift", writer.linear(0, "stem"), name="place")
    for number in range(len(module.packed)):
        packed = writer.linear(writer.unary("norm", stream), f"packed.{number}")
        shares = writer.buffer(HEADS * steps, steps)
        seen = writer.unary("attend", packed, rows=writer.rows[packed] // 3, other=shares, size=HEADS)
        stream = writer.add(stream, writer.linear(seen, f"out.{number}"))
        up = writer.unary("activate", writer.linear(writer.unary("norm", stream), f"up.{number}"))
        stream = writer.add(stream, writer.linear(up, f"down.{number}"))
    return writer.unary("mean", writer.unary("norm", stream), places=1)
