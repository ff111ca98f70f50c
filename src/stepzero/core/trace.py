"""The Trace: everything one forward and one backward pass said about a model, as plain frozen data.

A Trace is a dataflow graph of operations, not of modules. Operations are numbered in execution order, so an
operation's producers always have smaller indices and the order of ``Trace.operations`` is topological.
It holds no tensor and needs no torch: every judgement is a pure function of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from stepzero.core import serial
from stepzero.core.control import NO_CONTROL, ControlFact
from stepzero.core.coordinates import NO_WIDTHS, WidthFact
from stepzero.core.isolation import NO_ISOLATION, IsolationFact
from stepzero.core.landscape import NO_KERNEL, NO_SHARPNESS, NO_STEP, KernelFact, SharpnessFact, StepFact
from stepzero.core.optimizer import UNTOLD, OptimizerFact
from stepzero.core.provenance import NO_POISON, NOT_WATCHED, LostWrite, PoisonFact, WriteRecord
from stepzero.core.reference import NO_REFERENCE, ReferenceFact
from stepzero.core.replicas import NO_REPLICAS, ReplicasFact
from stepzero.core.spread import SeedsFact
from stepzero.core.suppression import Comment, SuppressionFact
from stepzero.core.symmetry import NO_SYMMETRY, SymmetryFact
from stepzero.core.vector import Vector
from stepzero.core.wake import NO_WAKE, WakeFact

Attribute: TypeAlias = int | float | bool | str | tuple[int, ...] | None
"""A call-time setting of an operation: stride, groups, equation, probability."""


UNREGISTERED = (
    "a trainable nn.Parameter the model does not register: an optimizer over model.parameters() never sees it"
)
"""Why a parameter in a plain list or closure is skipped; see `Trace.skipped`."""
COMPLEX = "its numbers are complex: its units are not compared with each other"
"""Why a weight of complex numbers is skipped; whether it learns is looked at all the same."""


UNREADABLE = ("sharded", "empty-shard")  # states of tensors whose numbers are not here
PROFILES = ("mup", "rl")
"""mup: the start and the rates follow the maximal update parametrisation; rl: the output proposes actions."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Streamed statistics of one tensor, read on its unit axis from a bounded sample of positions.

    Gradients are told apart by unit at weighted operations, products and attention; elsewhere only their ``rms`` is
    known, ``units`` is 0, ``mean`` is NaN and the Vectors are empty.

    ``rows`` positions were read (batch entries x places), ``samples`` of them distinct batch entries. Each Vector
    has one number per unit; ``fingerprint`` has ``projections`` numbers per unit, projection-major: random
    +-1/sqrt(rows) projections of the unit's responses over the sampled positions, computed in float64.
    """

    rows: int
    samples: int
    units: int
    rms: float
    """Of the sample; of a gradient, which may arrive at one position only, of the whole tensor."""
    mean: float
    """Mean over the sampled positions and units."""
    low: float | None
    """Activations only: smallest response of the sample."""
    high: float | None
    batch_share: float | None
    """Share of the second moment that varies from one batch entry to another, 0 to 1; None with one entry."""
    unit_mean: Vector
    unit_square: Vector
    """Mean square over positions, per unit."""
    fingerprint: Vector
    unit_low: Vector = Vector()
    """Activations only: smallest response, per unit."""
    unit_high: Vector = Vector()
    """Activations only: largest response, per unit."""
    flat_share: Vector = Vector()
    """Activations only: share of positions where abs(phi'(z)) < 0.1 max abs(phi'), per unit."""
    off_share: Vector = Vector()
    """Activations only: share of positions where phi'(z) = 0 exactly, per unit."""
    nonfinite: bool = False

    @property
    def projections(self) -> int:
        """Random projections kept per unit."""
        return len(self.fingerprint) // self.units if self.units else 0


@dataclass(frozen=True, slots=True)
class ParameterUse:
    """One parameter entering one operation, with the roles its axes play there.

    ``axes[i]`` says what the operand's axis ``i`` does: ``in`` (contracted with the data), ``out`` (appears in the
    result only), ``group`` (shared with the data: groups, experts, heads), ``unit`` (elementwise on the unit axis),
    ``row`` (looked up) or ``-``. ``fan_in`` is the mean number of weight x input terms summed into one output entry
    and ``fan_out`` the mean number of output entries one input entry reaches (initialisation notes, section 2).
    """

    parameter: str
    slot: str
    """weight | recurrent | bias | gain | shift | table | operand."""
    shape: tuple[int, ...]
    """Shape of the operand as the operation sees it."""
    axes: tuple[str, ...]
    fan_in: float | None = None
    fan_out: float | None = None
    blocks: int = 1
    """Equal slices packed along the out axis (LSTM gates 4, GRU gates 3)."""
    parameter_axes: tuple[int | None, ...] = ()
    """Which axis of the parameter each operand axis is; None where a reshape lost it."""
    part: tuple[int, int, int] | None = None
    """(axis, start, length) of the parameter that this use reads, when it reads a slice."""
    is_derived: bool = False
    """True when the operand is computed from the parameter (weight norm, a cast with arithmetic, ``1 + w``)."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One floating-point operation of the forward pass, with what was measured on its result."""

    index: int
    name: str
    """Canonical name, whoever called it: ``x + y``, ``torch.add`` and ``x.add_(y)`` are all ``add``."""
    kind: str
    """weighted | product (two signals contracted) | activation | norm | softmax | attention | add | multiply | view |
    join | pool | dropout | loss | other."""
    module: str
    """Path of the module whose forward was running ('' is the root)."""
    call: int
    """Which call of that module, from 0: a reused module has several."""
    shape: tuple[int, ...]
    dtype: str
    inputs: tuple[int, ...] = ()
    """Indices of the producing operations, in argument order, without parameters."""
    uses: tuple[ParameterUse, ...] = ()
    unit_axis: int | None = None
    from_input: bool = True
    """Whether the batch reaches this result."""
    in_loss: bool = False
    """Whether the loss function, not the model, ran it."""
    is_inplace: bool = False
    attributes: dict[str, Attribute] = field(default_factory=dict)
    forward: Signal | None = None
    backward: Signal | None = None
    role: str = ""
    """residual | projection-residual | gate | self-gate (an activation written out: x * sigmoid(x)) | arithmetic
    (x + x^3) | bias | scale | norm | head; empty when it plays none of them."""
    consumer: str = ""
    """Weighted operations: what reads the result first: an activation's name, norm, residual, gate, softmax, attention,
    weighted, product, loss, output."""
    consumer_index: int | None = None
    gain: float | None = None
    """Activations: 1 / sqrt(E phi(z)^2) for z ~ N(0, 1), what keeps a signal's second moment; None when unknown."""
    unexplained: float | None = None
    """Activations: share of the variance of phi(z) that no straight line in z explains, mean over units whose z is
    Gaussian with the mean and deviation of what it reads; None for rectifiers, constant z and where it is unknown."""


@dataclass(frozen=True, slots=True)
class GradientFact:
    """The gradient of the loss with respect to one parameter.

    ``row_norm`` is the Euclidean norm of the gradient of each slice along axis 0.
    """

    rms: float
    norm: float
    row_norm: Vector
    nonfinite: bool = False
    is_sparse: bool = False

    @property
    def zero_rows(self) -> int:
        """Slices along axis 0 whose gradient is exactly zero."""
        return self.row_norm.unpack().count(0.0)


@dataclass(frozen=True, slots=True)
class TensorFact:
    """A parameter or buffer as it stands, before anything ran.

    ``low`` and ``high`` and ``num_nonfinite`` are exact (every element is read); ``mean``, ``std`` and ``spread``
    (1.4826 x median absolute deviation) come from at most ``sample`` evenly spaced elements.
    """

    name: str
    aliases: tuple[str, ...]
    """Other names of the same parameter object or the same storage and strides (tied)."""
    module: str
    kind: str
    """parameter | buffer."""
    shape: tuple[int, ...]
    dtype: str
    device: str
    numel: int
    requires_grad: bool = False
    state: str = "ready"
    """ready | meta | lazy | empty-storage | sharded (split over processes) | empty-shard (of shape [0] here)."""
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    std: float = 0.0
    spread: float = 0.0
    rms: float = 0.0
    zero_share: float = 0.0
    subnormal_share: float = 0.0
    sample: int = 0
    num_nonfinite: int = 0
    first_nonfinite: int | None = None
    """Flat index of the first NaN or infinity."""
    is_used: bool = False
    """Whether any recorded operation read it."""
    is_optional: bool = False
    """No operation read it, but code within reach of `forward` names it: another call would."""
    gradient: GradientFact | None = None
    """None when autograd returned None: no path to the loss."""
    values: Vector = Vector()
    """Every element of a floating-point parameter with one axis and at most 4,096 of them; else empty."""
    lead: Vector = Vector()
    """The first 32 elements of a parameter with more axes: a draw is known by how it begins."""
    repeated_rows: int = 0
    """Tables that nothing looks up or multiplies with (queries, prompts): rows equal to one before, in gradient too."""
    equal_rows: tuple[int, ...] = ()
    """Tables that an index is looked up in: rows that are not zero and equal another one, the first few of them."""
    num_equal_rows: int = 0
    """How many there are."""
    changes_output: bool | None = None
    """For parameters without a gradient: whether redrawing them changes the output; None when not tried."""
    source_line: str | None = None
    """``path:line`` that assigned it, when that was after its module was made."""

    @property
    def is_constant(self) -> bool:
        """Every element equal, exactly."""
        return self.numel > 0 and self.low == self.high

    @property
    def is_zero(self) -> bool:
        """Every element exactly zero."""
        return self.numel > 0 and self.low == 0.0 == self.high


@dataclass(frozen=True, slots=True)
class ModuleFact:
    """One module: its path, its class, and where the user's code created it."""

    path: str
    type: str
    is_training: bool
    source_line: str | None = None
    """``path:line`` of the innermost frame outside torch that created it; None when stepzero did not call the
    factory."""
    calls: int = 0


@dataclass(frozen=True, slots=True)
class InputFact:
    """One tensor of the batch; channel Vectors follow axis 1 of images and sequences-first data, else the last axis."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_float: bool
    is_stand_in: bool = False
    """True when stepzero made it up (``randn(...)``, random token ids)."""
    low: float = 0.0
    high: float = 0.0
    num_nonfinite: int = 0
    num_distinct_samples: int | None = None
    channel_axis: int | None = None
    channel_mean: Vector = Vector()
    channel_std: Vector = Vector()
    integer_like: bool = False


@dataclass(frozen=True, slots=True)
class LossFact:
    """The scalar that was differentiated, and how it came about."""

    origin: str
    """given | named | model | inferred | surrogate | none."""
    name: str
    value: float | None
    note: str = ""
    """What was assumed, in words; empty when nothing was."""
    operation: int | None = None
    reference: float | None = None
    """The loss of the best constant guess: ln K for K classes; None when the loss has no such reference."""
    num_classes: int | None = None
    logit_std: float | None = None
    requires_grad: bool = True


@dataclass(frozen=True, slots=True)
class Trace:
    """One model on one batch, observed."""

    model: str
    operations: tuple[Operation, ...] = ()
    parameters: tuple[TensorFact, ...] = ()
    buffers: tuple[TensorFact, ...] = ()
    modules: tuple[ModuleFact, ...] = ()
    inputs: tuple[InputFact, ...] = ()
    outputs: tuple[int, ...] = ()
    """Operations whose results the model returned."""
    loss: LossFact = LossFact("none", "none", None)
    poison: PoisonFact = NO_POISON
    lost_writes: tuple[LostWrite, ...] = ()  # of the factory; empty when stepzero did not call one
    writes: WriteRecord = NOT_WATCHED
    symmetry: SymmetryFact = NO_SYMMETRY
    wake: WakeFact = NO_WAKE
    control: ControlFact = NO_CONTROL
    first_step: StepFact = NO_STEP
    isolate: IsolationFact = NO_ISOLATION
    sharpness: SharpnessFact = NO_SHARPNESS
    kernel: KernelFact = NO_KERNEL
    widths: WidthFact = NO_WIDTHS
    replicas: ReplicasFact = NO_REPLICAS
    reference: ReferenceFact = NO_REFERENCE
    optimizer: OptimizerFact = UNTOLD
    profiles: tuple[str, ...] = ()
    """What the user says the model is for: see `PROFILES`."""
    comments: tuple[Comment, ...] = ()
    """Beside the lines that created modules and parameters; empty when stepzero did not call the factory."""
    suppressions: tuple[SuppressionFact, ...] = ()
    """What became of the suppressions that name a place; empty until the other rules have judged."""
    seeds: SeedsFact = SeedsFact()
    batch_size: int | None = None
    distinct_samples: int | None = None
    """Samples of the batch that differ in any input; None where they were not compared."""
    has_forward: bool = False
    has_backward: bool = False
    conditions: tuple[str, ...] = ()
    """How it was measured, in words: 'dropout off', 'switched to train mode', ..."""
    skipped: tuple[tuple[str, str], ...] = ()
    """(what, why): modules no operation was seen in, operations no statistic was taken of, complex weights."""
    seed: int = 0
    torch: str = ""
    version: int = 1

    def to_json(self, *, indent: int = 0) -> str:
        """Serialise; Vectors are base64 of little-endian float64."""
        return serial.dump(self, indent=indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Trace":
        """Read back what `to_json` wrote; raises `ValueError` with the place when the text is no trace."""
        return serial.load(text, cls, "trace")

    def parameter(self, name: str) -> TensorFact:
        """Return the fact of a parameter by its name."""
        return next(fact for fact in self.parameters if fact.name == name)

    def readers(self) -> dict[int, list[int]]:
        """Map each operation to the operations that read it."""
        readers: dict[int, list[int]] = {operation.index: [] for operation in self.operations}
        for operation in self.operations:
            for source in operation.inputs:
                readers[source].append(operation.index)
        return readers

    def weighted(self) -> Iterator[Operation]:
        """Operations in which a weight meets the data."""
        return (operation for operation in self.operations if operation.kind == "weighted" and operation.from_input)

    def source_line(self, path: str) -> str | None:
        """Source line of the parameter or module at ``path``, or of its nearest parent that has one."""
        lines = {module.path: module.source_line for module in self.modules}
        lines |= {fact.name: fact.source_line for fact in self.parameters}
        while path and not lines.get(path):
            path = path.rpartition(".")[0]
        return lines.get(path)
