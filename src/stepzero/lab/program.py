"""A network as a list of operations on buffers: what the kernel and its stand-in both carry out.

Buffer 0 is the input, the last one the output; each operation writes a buffer of its own, [rows, samples], or
[rows, places, samples] where inputs are images or sequences (`spatial`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stepzero.lab import activations

Kind = Literal["linear", "activate", "norm", "add", "convolve", "recur", "attend", "shift", "mean", "last"]
KINDS: tuple[Kind, ...] = (
    "linear", "activate", "norm", "add", "convolve", "recur", "attend", "shift", "mean", "last",
)  # fmt: skip
"""In the order of the kernel's own list; its stand-in knows the first four."""
ALIGNED = 16
"""Numbers of a network are padded to whole cache lines."""


@dataclass(frozen=True)
class Op:
    """``out = kind(source, other)``; a linear one reads its weight at ``offset``.

    ``other`` is what is added, or the buffer in which an operation keeps what its backward pass needs.
    """

    kind: Kind
    source: int
    out: int
    other: int = 0
    offset: int = 0
    bias: int = -1
    """Where the bias starts; -1: behind the weight."""
    size: int = 0
    """Width of the image, number of heads."""


@dataclass(frozen=True)
class Layer:
    """A weight [rows, columns] at ``offset`` of a network's numbers and its bias [rows] behind it."""

    name: str
    rows: int
    columns: int
    offset: int
    response: int | None
    """Buffer with what the layer's units respond, after their activation; None for the head."""
    out: int
    """Buffer the layer writes."""

    @property
    def bias(self) -> int:
        """Where the bias starts."""
        return self.offset + self.rows * self.columns


@dataclass(frozen=True)
class Program:
    """Operations, rows of every buffer, layers in order and the name of the one activation."""

    ops: tuple[Op, ...]
    rows: tuple[int, ...]
    layers: tuple[Layer, ...]
    activation: str
    places: tuple[int, ...] = ()
    """Pixels or steps of every buffer; empty where each has but one place."""
    numbers: int = 0
    """Numbers a network has, where they do not follow from the layers."""

    @property
    def used(self) -> int:
        """Numbers a network has."""
        last = self.layers[-1]
        return last.bias + last.rows

    @property
    def stride(self) -> int:
        """Numbers a network has, padded."""
        return self.numbers or -(-self.used // ALIGNED) * ALIGNED

    @property
    def hidden(self) -> tuple[Layer, ...]:
        """All layers but the head."""
        return self.layers[:-1]


class _Writer:
    """Appends operations; methods return the buffer they write."""

    def __init__(self, inputs: int) -> None:
        self.ops: list[Op] = []
        self.rows = [inputs]
        self.layers: list[Layer] = []
        self.offset = 0

    def buffer(self, rows: int) -> int:
        self.rows.append(rows)
        return len(self.rows) - 1

    def linear(self, source: int, rows: int, name: str) -> int:
        columns, out = self.rows[source], self.buffer(rows)
        self.ops.append(Op("linear", source, out, offset=self.offset))
        self.layers.append(Layer(name, rows, columns, self.offset, None, out))
        self.offset += rows * (columns + 1)
        return out

    def unary(self, kind: Kind, source: int) -> int:
        out = self.buffer(self.rows[source])
        self.ops.append(Op(kind, source, out))
        return out

    def add(self, source: int, other: int) -> int:
        out = self.buffer(self.rows[source])
        self.ops.append(Op("add", source, out, other))
        return out

    def program(self, activation: str) -> Program:
        """With the buffer in which each layer's response stands: after the activation that reads it, if one does."""
        activations.get(activation)
        after = {op.source: op.out for op in self.ops if op.kind == "activate"}
        hidden = [
            Layer(each.name, each.rows, each.columns, each.offset, after.get(each.out, each.out), each.out)
            for each in self.layers[:-1]
        ]
        return Program(tuple(self.ops), tuple(self.rows), (*hidden, self.layers[-1]), activation)


def mlp(inputs: int, widths: Sequence[int], outputs: int, activation: str) -> Program:
    """Plain stack: a linear layer and the activation for each width, then the head."""
    writer, place = _Writer(inputs), 0
    for number, width in enumerate(widths):
        place = writer.unary("activate", writer.linear(place, width, f"body.{number}"))
    writer.linear(place, outputs, "head")
    return writer.program(activation)


def residual(
    inputs: int, width: int, blocks: int, outputs: int, activation: str, *, has_norm: bool, branch: int = 2
) -> Program:
    """Stem, then ``blocks`` times ``h + branch(norm(h))`` with ``branch`` linear layers, then the head.

    An activation stands before each layer of a branch (He et al. 2016, pre-activation form); the norm, where there is
    one, is LayerNorm without gain and shift, at the start of each branch and before the head.
    """
    writer = _Writer(inputs)
    stream = writer.linear(0, width, "stem")
    for block in range(blocks):
        place = writer.unary("norm", stream) if has_norm else stream
        for number in range(branch):
            place = writer.linear(writer.unary("activate", place), width, f"block.{block}.{number}")
        stream = writer.add(stream, place)
    writer.linear(writer.unary("norm", stream) if has_norm else stream, outputs, "head")
    return writer.program(activation)
