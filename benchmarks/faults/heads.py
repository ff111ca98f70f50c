"""Attentions: which tensors make queries, keys and values, known by the names libraries give them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Heads:
    """An attention: rows of each projection by head [heads * size, inputs], as functions that give a writable view."""

    path: str
    heads: int
    query: Callable[[], Tensor]
    key: Callable[[], Tensor]
    value: Callable[[], Tensor]
    out: Callable[[], Tensor]
    """Columns by head: [heads * size, outputs]."""
    names: tuple[tuple[str, ...], ...]
    """Parameters of query, key, value and output."""
    biases: Callable[[], list[Tensor]]
    """Biases of query, key and value, as far as there are any."""


def attentions(model: nn.Module) -> list[Heads]:
    """Every self-attention whose projections are known."""
    found = []
    for path, module in model.named_modules():
        made = _heads(path, module)
        if made is not None and made.query().requires_grad:
            found.append(made)
    return found


def _heads(path: str, module: nn.Module) -> Heads | None:
    if hasattr(module, "packed"):
        return _packed(path, "packed", module.packed.weight, module.packed.bias, module.out, module.heads)
    if hasattr(module, "qkv") and hasattr(module, "num_heads"):
        return _packed(path, "qkv", module.qkv.weight, module.qkv.bias, module.proj, int(module.num_heads), "proj")
    if hasattr(module, "c_attn") and hasattr(module, "c_proj"):
        return _conv1d(path, module)
    if all(hasattr(module, f"{each}_proj") for each in "qkvo"):
        return _separate(path, module)
    if "query" in getattr(module, "AXES", {}):
        return _raw(path, module)
    return None


def _packed(
    path: str, name: str, weight: Tensor, bias: Tensor | None, out: nn.Module, heads: int, out_name: str = "out",
) -> Heads | None:  # fmt: skip
    if not isinstance(out, nn.Linear):
        return None
    width = weight.shape[0] // 3
    parts = [lambda start=start: weight[start * width : (start + 1) * width] for start in range(3)]
    names = (*((f"{path}.{name}.weight",) for _ in range(3)), (f"{path}.{out_name}.weight",))
    biases = [] if bias is None else [bias[start * width : (start + 1) * width] for start in range(3)]
    return Heads(path, heads, *parts, out.weight.t, names, lambda: biases)


def _conv1d(path: str, module: Any) -> Heads:
    weight, bias, width = module.c_attn.weight, module.c_attn.bias, module.c_proj.weight.shape[0]
    parts = [lambda start=start: weight[:, start * width : (start + 1) * width].t() for start in range(3)]
    names = (*((f"{path}.c_attn.weight",) for _ in range(3)), (f"{path}.c_proj.weight",))
    biases = [bias[start * width : (start + 1) * width] for start in range(3)]
    return Heads(path, module.num_heads, *parts, lambda: module.c_proj.weight, names, lambda: biases)


def _separate(path: str, module: Any) -> Heads | None:
    layers = [getattr(module, f"{each}_proj") for each in "qkv"]
    heads = getattr(module, "heads", None) or module.config.num_attention_heads
    if len({layer.weight.shape for layer in layers}) > 1:  # heads share their keys and values
        return None
    names = tuple((f"{path}.{each}_proj.weight",) for each in "qkvo")
    biases = [layer.bias for layer in layers if layer.bias is not None]
    views = [lambda layer=layer: layer.weight for layer in layers]
    return Heads(path, heads, *views, module.o_proj.weight.t, names, lambda: biases)


def _raw(path: str, module: Any) -> Heads:
    views = [lambda name=name: getattr(module, name).flatten(1).t() for name in ("query", "key", "value")]
    names = tuple((f"{path}.{each}",) for each in ("query", "key", "value", "out"))
    return Heads(path, module.query.shape[1], *views, lambda: module.out.flatten(0, 1), names, list)
