"""Laws without a batch: from the modules of torch alone. What stands outside them is listed, not guessed."""

import fnmatch
import math
from collections.abc import Iterable, Iterator

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from stepzero.core.plan import Entry
from stepzero.measure.gain import gain_of
from stepzero.probe import tree
from stepzero.probe.layouts import packed_fans, weight_fans
from stepzero.repair import gates

_Norms = (
    nn.modules.batchnorm._NormBase,  # noqa: SLF001 - the public classes of this family have no public parent
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)
_UNKNOWN = "no batch was given, and its module is none of those whose layout torch defines"


def entries(model: nn.Module, keep: Iterable[str]) -> tuple[Entry, ...]:
    """One entry for every parameter and buffer, tied ones under their first name."""
    globs, gains, names = tuple(keep), _gains(model), _aliases(model)
    planned: dict[str, Entry] = {}
    for path, module in tree.modules(model):
        known = dict(_laws(module, gains.get(path, (1.0, "nothing known"))))
        for name, tensor in module._parameters.items():
            if tensor is None or (first := names[id(tensor)][0]) in planned:
                continue
            stopped = _stopped(names[id(tensor)], tensor, globs)
            entry = stopped or known.get(name) or Entry(name, "skipped", why=_UNKNOWN)
            planned[first] = _named(entry, first, tuple(names[id(tensor)][1:]))
    return (*planned.values(), *_buffers(model))


def _named(entry: Entry, name: str, aliases: tuple[str, ...]) -> Entry:
    return Entry(
        name, entry.action, entry.role, entry.why, entry.scheme, entry.source, entry.fan_in, entry.fan_out, entry.gain,
        entry.std, entry.value, entry.values, entry.blocks, name if entry.scheme else "", aliases,
    )  # fmt: skip


def _aliases(model: nn.Module) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for name, tensor in tree.parameters(model):
        found.setdefault(id(tensor), []).append(name)
    return found


def _stopped(names: list[str], tensor: Tensor, keep: tuple[str, ...]) -> Entry | None:
    name = names[0]
    if glob := next((each for each in keep if any(fnmatch.fnmatchcase(alias, each) for alias in names)), None):
        return Entry(name, "kept", why=f"asked for by keep={glob!r}")
    if not tensor.requires_grad:
        return Entry(name, "kept", why="frozen: it takes no gradient")
    if isinstance(tensor, UninitializedParameter):
        return Entry(name, "skipped", why="it holds no memory (lazy): run one batch first")
    if (tensor.dim() > 1 or name.endswith("weight")) and _is_zero(tensor):
        return Entry(name, "kept", why="all zero, and without a batch nothing tells whether that is meant")
    return None


def _is_zero(tensor: Tensor) -> bool:
    """Whether a weight or a norm's gain holds nothing but zeros; biases and shifts do so by law."""
    if isinstance(tensor, UninitializedParameter) or tensor.is_meta or tensor.numel() == 0:
        return False
    return not bool(tensor.detach().any())


def _gains(model: nn.Module) -> dict[str, tuple[float, str]]:
    """By path: the gain of the activation module that stands before it in its `nn.Sequential`."""
    found: dict[str, tuple[float, str]] = {}
    for path, module in tree.modules(model):
        if not isinstance(module, nn.Sequential):
            continue
        gain = (1.0, "nothing known")
        for name, child in module.named_children():
            found[f"{path}.{name}" if path else name] = gain
            if (own := _activation(child)) is not None:
                gain = (own, type(child).__name__)
            elif not isinstance(child, nn.Dropout | nn.Flatten | nn.MaxPool2d | nn.AvgPool2d | nn.Identity):
                gain = (1.0, type(child).__name__)
    return found


_ACTIVATIONS = {
    nn.ReLU: "relu", nn.LeakyReLU: "leaky_relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.GELU: "gelu",
    nn.SiLU: "silu", nn.Mish: "mish", nn.ELU: "elu", nn.SELU: "selu", nn.CELU: "celu", nn.ReLU6: "relu6",
    nn.Hardswish: "hardswish", nn.Hardtanh: "hardtanh", nn.Softplus: "softplus", nn.Softsign: "softsign",
}  # fmt: skip


def _activation(module: nn.Module) -> float | None:
    name = _ACTIVATIONS.get(type(module))
    slope = {"negative_slope": module.negative_slope} if isinstance(module, nn.LeakyReLU) else {}
    return gain_of(name, slope) if name else None


def _drawn(fan: tuple[float, float], gain: float, why: str, role: str = "weight", blocks: int = 1) -> Entry:
    scheme = "orthogonal" if role == "recurrent" else "lecun" if gain <= 1.0 else "he"
    return Entry("", "drawn", role, why, scheme, "", fan[0], fan[1], gain, gain / math.sqrt(fan[0]), blocks=blocks)


def _zero(why: str = "the weights already tell the units apart") -> Entry:
    return Entry("", "set", "bias", why, value=0.0)


def _laws(module: nn.Module, fed: tuple[float, str]) -> Iterator[tuple[str, Entry]]:
    gain, source = fed
    why = f"fed by {source}"
    if isinstance(module, _Norms):
        yield "weight", Entry("", "set", "gain", "a norm starts as the identity", value=1.0)
        yield "bias", Entry("", "set", "shift", "a norm starts as the identity", value=0.0)
    elif isinstance(module, nn.Embedding | nn.EmbeddingBag):
        row = module.padding_idx
        rows = ((row, row + 1, 0.0),) if row is not None else ()
        yield (
            "weight",
            Entry(
                "", "drawn", "table", "a lookup: one row is one output", "embedding", fan_in=1.0,
                gain=1.0, std=1.0, values=rows,
            ),
        )  # fmt: skip
    elif isinstance(module, nn.RNNBase | nn.RNNCellBase):
        yield from _recurrent(module)
    elif isinstance(module, nn.MultiheadAttention):
        yield from _attention(module)
    elif (fan := weight_fans(module)) is not None and fan[0] > 0:  # lazy layers have no width yet
        yield "weight", _drawn(fan, gain, why)
        yield "bias", _zero()


def _recurrent(module: nn.Module) -> Iterator[tuple[str, Entry]]:
    matrices = packed_fans(module)
    blocks = max((each[2] for each in matrices.values()), default=1)
    state = next((each[0] for name, each in matrices.items() if "_hh" in name), 0.0)
    for name, tensor in module.named_parameters(recurse=False):
        if name in matrices:
            fan_in, fan_out, gate_count = matrices[name]
            role = "recurrent" if "_hh" in name else "weight"
            gain = gates.share(fan_in, state) if "_ih" in name else 1.0
            yield name, _drawn((fan_in, fan_out), gain, "gate by gate", role, gate_count)
        elif "_ih" in name and (opened := gates.opened(type(module).__name__, len(tensor) // blocks)):
            yield name, Entry("", "set", "bias", opened.why, source=opened.source, value=0.0, values=opened.values)
        else:
            yield name, Entry("", "set", "bias", "it adds to the other bias", value=0.0)


def _attention(module: nn.MultiheadAttention) -> Iterator[tuple[str, Entry]]:
    matrices = packed_fans(module)
    for name, _ in module.named_parameters(recurse=False):
        if name in matrices:
            fan_in, fan_out, blocks = matrices[name]
            yield name, _drawn((fan_in, fan_out), 1.0, "q, k and v each by its own law", blocks=blocks)
        else:
            yield name, _zero()


def _buffers(model: nn.Module) -> Iterator[Entry]:
    for name, _ in tree.once(tree.buffers(model)):
        yield buffer_entry(name)


def buffer_entry(name: str) -> Entry:
    """Running statistics start anew with the weights; everything else is its module's own."""
    last = name.rpartition(".")[2]
    if last in ("running_mean", "running_var", "num_batches_tracked"):
        why = "statistics of activations that the old weights made"
        return Entry(name, "set", "buffer", why, value=1.0 if last == "running_var" else 0.0)
    return Entry(name, "kept", "buffer", "it belongs to its module, which wrote it")
