"""Fans that torch's own modules define by themselves, without a batch (initialisation notes, section 2)."""

from typing import Any

from torch import nn

from stepzero.core.plan import FanFact
from stepzero.core.trace import Trace
from stepzero.measure import fans
from stepzero.measure.uses import WEIGHTS, readings
from stepzero.probe import tree

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def weight_fans(module: nn.Module) -> tuple[float, float] | None:
    """(fan_in, fan_out) of a module's ``weight``; None for a module whose layout is not known."""
    if isinstance(module, nn.Linear):
        return fans.linear_fans(module.out_features, module.in_features)
    if isinstance(module, _CONVS):
        return fans.convolution_fans(module.weight.shape, module.groups, module.stride)
    if isinstance(module, _TRANSPOSED):
        return fans.transposed_convolution_fans(module.weight.shape, module.groups, module.stride)
    if isinstance(module, nn.Bilinear):
        return float(module.in1_features * module.in2_features), float(module.out_features * module.in2_features)
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return 1.0, float(module.embedding_dim)
    if type(module).__name__ == "Conv1D" and isinstance(getattr(module, "nf", None), int):
        weight: Any = module.weight
        return float(weight.shape[0]), float(weight.shape[1])  # as transformers stores it: [in, out]
    return None


def packed_fans(module: nn.Module) -> dict[str, tuple[float, float, int]]:
    """Matrices of recurrent and attention modules: (fan_in, fan_out, equal blocks along axis 0) by name."""
    if isinstance(module, nn.MultiheadAttention):
        gates = {"in_proj_weight": 3}
    elif isinstance(module, nn.RNNBase | nn.RNNCellBase):
        kind = type(module).__name__
        number = 4 if "LSTM" in kind else 3 if "GRU" in kind else 1
        gates = {
            name: 1 if "_hr" in name else number
            for name, tensor in module.named_parameters(recurse=False)
            if tensor.dim() == 2
        }
    else:
        return {}
    return {
        name: (float(tensor.shape[1]), tensor.shape[0] / gates.get(name, 1), gates.get(name, 1))
        for name, tensor in module.named_parameters(recurse=False)
        if tensor.dim() == 2
    }


def module_fans(model: nn.Module) -> tuple[FanFact, ...]:
    """Of every parameter with fans that stands in a module of torch's."""
    found: list[FanFact] = []
    for path, module in tree.modules(model):
        prefix, kind = (f"{path}." if path else ""), type(module).__name__
        if (fan := weight_fans(module)) is not None and fan[0] > 0:  # lazy layers have no width yet
            found.append(FanFact(f"{prefix}weight", *fan, source=f"{kind} module"))
        found += [FanFact(prefix + name, *each, source=f"{kind} module") for name, each in packed_fans(module).items()]
    return tuple(found)


def traced_fans(trace: Trace) -> tuple[FanFact, ...]:
    """Of every parameter that an operation multiplies data with, as that operation uses it."""
    found: list[FanFact] = []
    for name, uses in readings(trace).items():
        for operation, use in sorted(uses, key=lambda each: not each[0].from_input):  # data first, then its own norm
            if use.slot in WEIGHTS and use.fan_in:
                where = f"{operation.name} in {operation.module or 'the model itself'}"
                found.append(FanFact(name, use.fan_in, use.fan_out, use.blocks, source=where))
                break
    return tuple(found)
