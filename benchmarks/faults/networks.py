"""All networks, by name. Those with ``is_held`` differ in size, activation, norm or build from all the others."""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.faults import data, nets, sequences
from benchmarks.faults.subject import Net
from benchmarks.small import nets as small
from benchmarks.zoo.schemas import define_torchvision_schemas

_CE, _MSE = data.cross_entropy, data.squared


def networks() -> dict[str, Net]:
    """Every network."""
    listed = [*_dense(), *_convolutional(), *_sequences(), *_structured(), *_published()]
    return {net.name: net for net in listed}


def _pair(
    name: str, build: Callable[..., nn.Module], seen: dict[str, Any], held: dict[str, Any], rest: tuple[Any, ...],
) -> list[Net]:  # fmt: skip
    """One that rules may be developed on, and one of the same family that is held back."""
    return [
        Net(name, lambda: build(**seen), *rest),
        Net(f"{name}, held", lambda: build(**held), *rest, is_held=True),
    ]


def _dense() -> list[Net]:
    digits = (data.digits, _CE, "momentum", 0.05)
    mlp = small.plain
    return [
        *_pair("MLP, ReLU", _he_plain, {"width": 64, "depth": 3}, {"width": 40, "depth": 5}, digits),
        *_pair("MLP, tanh", mlp, {"width": 48, "depth": 3, "activation": "tanh"},
               {"width": 36, "depth": 2, "activation": "tanh"}, digits),
        *_pair("MLP, smooth", mlp, {"width": 64, "depth": 2, "activation": "gelu"},
               {"width": 48, "depth": 3, "activation": "silu"}, (data.digits, _CE, "adam", 3e-3)),
        *_pair("pyramid", pyramid, {"widths": (96, 48, 24)}, {"widths": (48, 120, 30)}, digits),
        *_pair("regression, positive", positive, {"width": 48}, {"width": 32},
               (data.values, _shifted, "adam", 3e-3)),
        *_pair("gated blocks", small.gated, {"width": 32, "blocks": 2}, {"width": 24, "blocks": 4},
               (data.digits, _CE, "adam", 3e-3)),
        *_pair("closed blocks", nets.scaled, {"width": 32, "blocks": 3}, {"width": 48, "blocks": 5},
               (data.digits, _CE, "adam", 3e-3)),
        *_pair("product", small.Product, {"width": 48}, {"width": 64}, (data.digits, _CE, "momentum", 0.1)),
        *_pair("waves", nets.waves, {"width": 48, "depth": 2}, {"width": 32, "depth": 3, "omega": 20.0},
               (data.picture, _MSE, "adam", 1e-3)),
    ]  # fmt: skip


def _he_plain(width: int, depth: int) -> nn.Module:
    return small.he_(small.plain(width, depth, "relu"))


def pyramid(widths: tuple[int, ...]) -> nn.Module:
    """Layers of different widths: the two fans of a weight are far apart."""
    parts: list[nn.Module] = []
    fan_in = 64
    for width in widths:
        parts += [nn.Linear(fan_in, width), nn.ReLU()]
        fan_in = width
    return small.he_(nn.Sequential(*parts, nn.Linear(fan_in, 10)))


def positive(width: int) -> nn.Module:
    """A number that cannot be negative: ReLU at the output."""
    return nn.Sequential(
        nn.Linear(64, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1), nn.ReLU()
    )


def _shifted(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared error against a target that is not negative."""
    return data.squared(output, (target + 1.0).clamp_min(0.0))


def _convolutional() -> list[Net]:
    adam, momentum = (data.images, _CE, "adam", 1e-2), (data.images, _CE, "momentum", 0.05)
    return [
        *_pair("conv, plain", nets.vgg, {"widths": (12, 12, 24)}, {"widths": (8, 16, 16, 24)},
               (data.images, _CE, "adam", 3e-3)),
        *_pair("conv, depthwise", _he_conv, {"width": 12}, {"width": 20}, adam),
        *_pair("conv, depthwise, norms", small.convolutional, {"width": 12, "normed": True},
               {"width": 18, "normed": True}, momentum),
        *_pair("conv, grouped", nets.grouped, {"width": 16, "groups": 4, "normed": False},
               {"width": 24, "groups": 6, "normed": False}, (data.images, _CE, "adam", 3e-3)),
        *_pair("conv, grouped, norms", nets.grouped, {"width": 16, "groups": 4, "normed": True},
               {"width": 24, "groups": 3, "normed": True}, momentum),
        *_pair("ResNet, no norm", _he_residual, {"width": 8, "blocks": 1}, {"width": 6, "blocks": 2},
               (data.images, _CE, "momentum", 0.02)),
        *_pair("ResNet, norms", nets.resnet, {"width": 8, "blocks": 2}, {"width": 12, "blocks": 1, "groups": 4},
               momentum),
    ]  # fmt: skip


def _he_conv(width: int) -> nn.Module:
    return small.he_(small.convolutional(width))


def _he_residual(width: int, blocks: int) -> nn.Module:
    return small.he_(small.residual(width, blocks))


def _sequences() -> list[Net]:
    walk = (data.strides, _CE, "adam", 3e-3)
    gates = small.Recurrent
    return [
        *_pair("transformer, pre-norm", small.Transformer, {"width": 16}, {"width": 24, "layers": 3}, walk),
        *_pair("transformer, post-norm", small.Transformer, {"width": 16, "norm_first": False},
               {"width": 24, "layers": 3, "norm_first": False}, walk),
        *_pair("transformer, tied", sequences.Tied, {"width": 32}, {"width": 24, "layers": 3}, walk),
        *_pair("transformer, einsum", sequences.einsum_transformer, {"width": 24, "layers": 2},
               {"width": 32, "layers": 3}, walk),
        *_pair("transformer, gated", sequences.gated_transformer, {"width": 24, "layers": 2},
               {"width": 32, "layers": 2, "is_offset": True}, walk),
        *_pair("LSTM", gates, {"kind": "lstm", "width": 32, "features": 8, "classes": 10},
               {"kind": "lstm", "width": 20, "features": 8, "classes": 10}, (data.rows, _CE, "adam", 1e-2)),
        *_pair("GRU", gates, {"kind": "gru"}, {"kind": "gru", "width": 24}, (data.recall, _CE, "adam", 1e-2)),
        *_pair("state space", sequences.state_space, {"width": 16, "states": 32}, {"width": 24, "states": 24},
               (data.echoes, _CE, "adam", 1e-2)),
        *_pair("queries", sequences.Queries, {"width": 24, "queries": 6}, {"width": 32, "queries": 4},
               (data.rows, _CE, "adam", 3e-3)),
    ]  # fmt: skip


def _structured() -> list[Net]:
    digits = (data.digits, _CE, "adam", 1e-2)
    return [
        *_pair("mixture", small.Mixture, {"width": 32}, {"width": 40, "experts": 6}, digits),
        *_pair("mixture, two best", nets.Sparse, {"width": 32, "experts": 4}, {"width": 24, "experts": 6}, digits),
        *_pair("adapters", nets.adapted, {"width": 48, "rank": 4, "depth": 2}, {"width": 40, "rank": 6, "depth": 3},
               (data.digits, _CE, "adam", 3e-3)),
        *_pair("adapted transformer", nets.adapted_transformer, {"width": 24, "rank": 4}, {"width": 32, "rank": 3},
               (data.strides, _CE, "adam", 3e-3)),
        *_pair("autoencoder", nets.Autoencoder, {"width": 48, "code": 8}, {"width": 40, "code": 6},
               (data.itself, data.evidence, "adam", 3e-3)),
        *_pair("autoencoder, conv", nets.Autoencoder, {"width": 8, "code": 8, "is_conv": True},
               {"width": 12, "code": 6, "is_conv": True}, (data.images_themselves, data.evidence, "adam", 3e-3)),
        *_pair("graph", nets.Graph, {"width": 32, "depth": 2}, {"width": 24, "depth": 3},
               (data.rows, _CE, "adam", 3e-3)),
        *_pair("critics", nets.Critics, {"width": 32}, {"width": 48}, (data.values, data.critics, "adam", 3e-3)),
    ]  # fmt: skip


_TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 8, "intermediate_size": 64,
         "max_position_embeddings": 16, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None}  # fmt: skip
_GPT = {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 16, "vocab_size": 8, "bos_token_id": None,
        "eos_token_id": None, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}  # fmt: skip


def _published() -> list[Net]:
    """Shrunken transformers and timm models: seen ones, then those held back."""
    size, mixer = {"img_size": 16, "patch_size": 4, "embed_dim": 32}, {"num_blocks": 2}
    return [
        _text("GPT2", _GPT), _text("Llama", _TINY), _text("GPTNeoX", _TINY, is_held=True),
        _text("Qwen2", {**_TINY, "num_key_value_heads": 2}, is_held=True),
        _image("vision_transformer.VisionTransformer", {**size, "depth": 2, "num_heads": 4}),
        _image("mlp_mixer.MlpMixer", {**size, **mixer}, is_held=True),
        _image("convnext.ConvNeXt", {"depths": (1, 1, 1, 1), "dims": (12, 16, 20, 24), "patch_size": 1}, is_held=True),
    ]  # fmt: skip


def _text(family: str, keys: dict[str, Any], *, is_held: bool = False) -> Net:
    def build() -> nn.Module:
        define_torchvision_schemas()
        import transformers

        config = getattr(transformers, f"{family}Config")(**keys)
        head = {"GPT2": "GPT2LMHeadModel"}.get(family, f"{family}ForCausalLM")
        return nets.Logits(getattr(transformers, head)(config).train())

    return Net(f"transformers {family}", build, data.strides, _CE, "adam", 3e-3, is_held, needs="transformers")


def _image(path: str, keys: dict[str, Any], *, is_held: bool = False) -> Net:
    module, _, name = path.partition(".")

    def build() -> nn.Module:
        define_torchvision_schemas()
        kind = getattr(importlib.import_module(f"timm.models.{module}"), name)
        return nets.Logits(kind(in_chans=1, num_classes=10, **keys).train())

    return Net(f"timm {name}", build, data.large_images, _CE, "adam", 3e-3, is_held, checked=32, needs="timm")
