"""What to try: a grid of starts, architectures and optimizers, from Python, from TOML or from the command line."""

import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from stepzero.core.errors import ConfigError, did_you_mean

VERSION = 2
"""Part of every network's key; a change of what a network becomes changes it."""
ARCHITECTURES = ("mlp", "residual", "residual_norm", "conv", "recurrent", "transformer")
OPTIMIZERS = ("sgd", "momentum", "adam", "adamw")
Words: TypeAlias = Sequence[str]
Whole: TypeAlias = Sequence[int] | int
Numbers: TypeAlias = Sequence[float] | float
"""What an axis may be given as; a single value is an axis of one. Held as a tuple."""
_COMMON = ("tasks", "architectures", "depths", "widths", "activations", "optimizers")
_OWN = ("weights", "gains", "biases", "bias_scales", "lrs")


@dataclass(frozen=True)
class Network:
    """One network to train: everything that decides what it becomes."""

    task: str
    architecture: str
    depth: int
    width: int
    activation: str
    optimizer: str
    steps: int
    batch: int
    measure: tuple[int, ...]
    weights: str
    gain: float
    biases: str
    bias_scale: float
    lr: float
    seed: int

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits: equal for equal networks, in whatever spec they stand."""
        text = json.dumps([VERSION, asdict(self)], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def company(self) -> tuple[Any, ...]:
        """What networks of one fleet have in common."""
        return (
            self.task, self.architecture, self.depth, self.width, self.activation, self.optimizer, self.steps,
            self.batch, self.measure,
        )  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """Axes (every combination is trained) and settings of all networks.

    Each combination is trained from ``seeds`` starts, or once where neither start nor batches are random: such a row
    has an effective n of 1.
    """

    tasks: Words = ("xor",)
    architectures: Words = ("mlp",)
    depths: Whole = (1,)
    """Hidden layers, or residual blocks."""
    widths: Whole = (16,)
    activations: Words = ("tanh",)
    optimizers: Words = ("sgd",)
    weights: Words = ("lecun",)
    gains: Numbers = (1.0,)
    biases: Words = ("zero",)
    bias_scales: Numbers = (0.5,)
    lrs: Numbers = (0.1,)
    seeds: int = 1
    steps: int = 300
    batch: int = 0
    """Samples of a step; 0 for all of them."""
    measure: Whole = ()
    """Steps after which networks are observed, besides the start and the end."""
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Lists become tuples; everything is checked at once, so that no run fails half way."""
        for each in fields(self):
            object.__setattr__(self, each.name, _fitting(each.name, each.default, getattr(self, each.name)))
        _check(self)

    def networks(self) -> Iterator[Network]:
        """All networks, fleet by fleet; a start without randomness comes once."""
        from stepzero.lab import starts  # noqa: PLC0415 - imports torch

        points = tuple(sorted({0, self.steps, *self._axis("measure")}))
        seen = set()
        for common in itertools.product(*map(self._axis, _COMMON)):
            for weights, gain, biases, scale, lr in itertools.product(*map(self._axis, _OWN)):
                gain, scale = 0.0 if weights == "zero" else gain, 0.0 if biases == "zero" else scale  # noqa: PLW2901 - zero is zero at any scale
                is_random = bool(self.batch) or starts.is_random(weights, gain, biases, scale)
                for seed in range(self.seeds if is_random else 1):
                    network = Network(*common, self.steps, self.batch, points, weights, gain, biases, scale, lr, seed)  # type: ignore[call-arg]  # the axes come in the order of the fields
                    if network not in seen:
                        seen.add(network)
                        yield network

    def _axis(self, name: str) -> tuple[Any, ...]:
        values = getattr(self, name)
        assert isinstance(values, tuple)
        return values

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Grid":
        """From a mapping; an unknown key is refused by name."""
        known = [each.name for each in fields(cls)]
        for key in values:
            if key not in known:
                raise ConfigError(
                    f"key {key!r} of a grid is unknown{did_you_mean(key, known)}; known: {', '.join(known)}"
                )
        return cls(**values)

    @classmethod
    def read(cls, path: Path) -> "Grid":
        """From a TOML file."""
        try:
            values = tomllib.loads(path.read_text())
        except tomllib.TOMLDecodeError as problem:
            raise ConfigError(f"{path} is no TOML: {problem}") from problem
        return cls.of({"name": path.stem, **values})

    def to_mapping(self) -> dict[str, Any]:
        """What `of` takes."""
        return asdict(self)

    def to_json(self) -> str:
        """As stored with a run."""
        return json.dumps(self.to_mapping())

    @classmethod
    def parse(cls, text: str) -> "Grid":
        """What `to_json` wrote."""
        return cls.of(json.loads(text))


def _fitting(key: str, default: Any, value: Any) -> Any:
    """``value`` in the kind of ``default``; a single one stands for a tuple of one."""
    if not isinstance(default, tuple):
        return _single(key, type(default), value)
    kind = type(default[0]) if default else int
    values = value if isinstance(value, list | tuple | range) else (value,)
    return tuple(_single(key, kind, each) for each in values)


def _single(key: str, kind: type, value: Any) -> Any:
    is_fine = isinstance(value, int | float) if kind is float else isinstance(value, kind)
    if not is_fine or isinstance(value, bool):
        raise ConfigError(f"key {key!r} of a grid: expected {kind.__name__}, got {value!r}")
    return kind(value)


def _check(grid: Grid) -> None:
    from stepzero.lab import activations, starts, tasks  # noqa: PLC0415 - import torch

    vocabulary = {
        "tasks": tuple(tasks.TASKS), "architectures": ARCHITECTURES, "activations": tuple(activations.ACTIVATIONS),
        "optimizers": OPTIMIZERS, "weights": starts.WEIGHTS, "biases": starts.BIASES,
    }  # fmt: skip
    for key, known in vocabulary.items():
        for word in getattr(grid, key):
            if word not in known:
                near = did_you_mean(word, known)
                raise ConfigError(f"key {key!r} of a grid: {word!r} is unknown{near}; known: {', '.join(known)}")
    least = {"depths": 0, "widths": 1, "seeds": 1, "steps": 0, "batch": 0, "measure": 0}
    for key, bound in least.items():
        value = getattr(grid, key)
        for number in value if isinstance(value, tuple) else (value,):
            if number < bound:
                raise ConfigError(f"key {key!r} of a grid: expected {bound} or more, got {number}")
    for key in (each.name for each in fields(grid) if isinstance(each.default, tuple) and each.name != "measure"):
        if not getattr(grid, key):
            raise ConfigError(f"key {key!r} of a grid is empty")
    last = max((0, *grid.to_mapping()["measure"]))
    if last > grid.steps:
        raise ConfigError(f"key 'measure' of a grid: expected steps up to {grid.steps}, got {last}")
