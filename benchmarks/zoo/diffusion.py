"""Diffusion models of diffusers, small, trained to tell the noise: zero convolutions, adaptive norms at 0, gates."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.zoo.entry import Built, Entry
from benchmarks.zoo.heads import Noise
from benchmarks.zoo.schemas import define_torchvision_schemas

BATCH, LATENT, WORDS = 16, 16, 8
"""Entries of a batch, latent pixels a side, tokens of a caption."""
UNET = {"block_out_channels": (32, 64), "layers_per_block": 1, "norm_num_groups": 8}
CROSS: dict[str, Any] = {
    **UNET, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "cross_attention_dim": 32,
    "attention_head_dim": 8,
}  # fmt: skip
DIT: dict[str, Any] = {"num_layers": 2, "num_attention_heads": 4, "attention_head_dim": 16, "sample_size": LATENT,
                       "patch_size": 2, "in_channels": 4}  # fmt: skip

Batch = Callable[[torch.Generator], dict[str, Any]]


@dataclass(frozen=True)
class Denoiser:
    """Builds one model of diffusers from its constructor; nothing is downloaded."""

    kind: str
    batch: Batch
    keys: dict[str, Any] = field(default_factory=dict)

    def __call__(self, generator: torch.Generator) -> Built:
        """Return the model in training mode, noisy latents with times, and the loss against noise."""
        define_torchvision_schemas()
        import diffusers

        model: nn.Module = getattr(diffusers, self.kind)(**self.keys)
        return model.train(), self.batch(generator), Noise()


def latents(generator: torch.Generator, channels: int = 4) -> dict[str, Tensor]:
    """Noisy latents [B, 4, 16, 16] and their times."""
    return {
        "sample": torch.randn(BATCH, channels, LATENT, LATENT, generator=generator),
        "timestep": torch.randint(0, 1000, (BATCH,), generator=generator),
    }


def captioned(generator: torch.Generator) -> dict[str, Tensor]:
    """Latents, times, and captions as vectors [B, 8, 32]."""
    words = torch.randn(BATCH, WORDS, 32, generator=generator)
    return {**latents(generator), "encoder_hidden_states": words}


def controlled(generator: torch.Generator) -> dict[str, Any]:
    """As `captioned`, with the picture that controls."""
    picture = torch.rand(BATCH, 3, LATENT * 2, LATENT * 2, generator=generator)
    return {**captioned(generator), "controlnet_cond": picture}


def classes(generator: torch.Generator) -> dict[str, Tensor]:
    """Latents, times and class labels."""
    noisy = latents(generator)
    labels = torch.randint(0, 10, (BATCH,), generator=generator)
    return {"hidden_states": noisy["sample"], "timestep": noisy["timestep"], "class_labels": labels}


def hidden(generator: torch.Generator) -> dict[str, Any]:
    """As `captioned`, under the names of the transformers."""
    noisy = captioned(generator)
    return {"hidden_states": noisy.pop("sample"), **noisy}


def pixart(generator: torch.Generator) -> dict[str, Any]:
    """As `hidden`, without a resolution."""
    return {**hidden(generator), "added_cond_kwargs": {"resolution": None, "aspect_ratio": None}}


def pooled(generator: torch.Generator) -> dict[str, Any]:
    """As `hidden`, with one vector for the whole caption."""
    return {**hidden(generator), "pooled_projections": torch.randn(BATCH, 32, generator=generator)}


def framed(generator: torch.Generator) -> dict[str, Any]:
    """As `hidden`, with the sizes a picture had before it was cut."""
    sizes = {name: torch.full((BATCH, 2), 128.0) for name in ("original_size", "target_size")}
    return {**hidden(generator), **sizes, "crop_coords": torch.zeros(BATCH, 2)}


def packed(generator: torch.Generator) -> dict[str, Any]:
    """Packed latents [B, 64, 16] with positions of picture and words."""
    return {
        "hidden_states": torch.randn(BATCH, 64, 16, generator=generator),
        "encoder_hidden_states": torch.randn(BATCH, WORDS, 32, generator=generator),
        "pooled_projections": torch.randn(BATCH, 32, generator=generator),
        "timestep": torch.rand(BATCH, generator=generator),
        "img_ids": torch.cartesian_prod(torch.zeros(1), torch.arange(8.0), torch.arange(8.0)),
        "txt_ids": torch.zeros(WORDS, 3),
    }


def embedding(generator: torch.Generator) -> dict[str, Any]:
    """Image embeddings to foretell from captions."""
    return {
        "hidden_states": torch.randn(BATCH, 32, generator=generator),
        "timestep": torch.randint(0, 1000, (BATCH,), generator=generator),
        "proj_embedding": torch.randn(BATCH, 32, generator=generator),
        "encoder_hidden_states": torch.randn(BATCH, WORDS, 32, generator=generator),
    }


def picture(generator: torch.Generator) -> dict[str, Any]:
    """Pictures [B, 3, 32, 32] to compress."""
    return {"sample": torch.randn(BATCH, 3, 32, 32, generator=generator)}


def clip(generator: torch.Generator) -> dict[str, Any]:
    """Latent clips [B, 4, 4, 16, 16], times and captions."""
    return {
        "sample": torch.randn(2, 4, 4, LATENT, LATENT, generator=generator),
        "timestep": torch.randint(0, 1000, (2,), generator=generator),
        "encoder_hidden_states": torch.randn(2, WORDS, 32, generator=generator),
    }


def diffusers_models() -> list[Entry]:
    """U-Nets, control nets, transformers with adaptive norms, and the autoencoders in front of them."""

    def make(family: str, name: str, batch: Batch, keys: dict[str, Any], *, kind: str = "") -> Entry:
        return Entry("diffusers", family, name, Denoiser(kind or name, batch, keys), is_light=True, seconds=0.1)

    up = ("UpBlock2D", "CrossAttnUpBlock2D")
    return [
        make("unet", "UNet2DModel", latents,
             {**UNET, "in_channels": 4, "out_channels": 4, "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
              "up_block_types": ("AttnUpBlock2D", "UpBlock2D"), "attention_head_dim": 8}),
        make("unet", "UNet2DConditionModel", captioned, {**CROSS, "up_block_types": up}),
        make("unet", "UNet2DConditionModel-linear", captioned,
             {**CROSS, "up_block_types": up, "use_linear_projection": True, "resnet_time_scale_shift": "scale_shift"},
             kind="UNet2DConditionModel"),
        make("unet", "UNet3DConditionModel", clip,
             {**UNET, "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"), "attention_head_dim": 8,
              "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"), "cross_attention_dim": 32}),
        make("control", "ControlNetModel", controlled,
             {**CROSS, "conditioning_embedding_out_channels": (16, 32)}),
        make("dit", "DiTTransformer2DModel", classes, {**DIT, "num_embeds_ada_norm": 10}),
        make("dit", "Transformer2D-ada_norm_zero", classes,
             {**DIT, "norm_type": "ada_norm_zero", "num_embeds_ada_norm": 10}, kind="Transformer2DModel"),
        make("dit", "PixArtTransformer2DModel", pixart,
             {**DIT, "cross_attention_dim": 64, "caption_channels": 32, "out_channels": 4}),
        make("dit", "SD3Transformer2DModel", pooled,
             {**DIT, "joint_attention_dim": 32, "caption_projection_dim": 64, "pooled_projection_dim": 32}),
        make("dit", "FluxTransformer2DModel", packed,
             {"in_channels": 16, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16,
              "num_attention_heads": 4, "joint_attention_dim": 32, "pooled_projection_dim": 32,
              "axes_dims_rope": (4, 6, 6)}),
        make("dit", "AuraFlowTransformer2DModel", hidden,
             {**{key: value for key, value in DIT.items() if key != "num_layers"}, "num_mmdit_layers": 1,
              "num_single_dit_layers": 1, "joint_attention_dim": 32, "caption_projection_dim": 64,
              "pos_embed_max_size": 64}),
        make("dit", "SanaTransformer2DModel", hidden,
             {"in_channels": 4, "out_channels": 4, "num_layers": 2, "num_attention_heads": 4, "attention_head_dim": 16,
              "num_cross_attention_heads": 4, "cross_attention_head_dim": 16, "cross_attention_dim": 64,
              "caption_channels": 32, "sample_size": LATENT, "patch_size": 1}),
        make("dit", "CogView3PlusTransformer2DModel", framed,
             {**DIT, "out_channels": 4, "text_embed_dim": 32, "condition_dim": 16, "time_embed_dim": 32}),
        make("prior", "PriorTransformer", embedding,
             {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "embedding_dim": 32,
              "num_embeddings": WORDS}),
        make("autoencoder", "AutoencoderKL", picture,
             {**UNET, "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}),
        make("autoencoder", "VQModel", picture,
             {**UNET, "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2,
              "num_vq_embeddings": 64}),
        make("autoencoder", "AutoencoderTiny", picture,
             {"encoder_block_out_channels": (16, 16), "decoder_block_out_channels": (16, 16),
              "num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}),
        make("autoencoder", "AsymmetricAutoencoderKL", picture,
             {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2,
              "down_block_out_channels": (32, 64), "up_block_out_channels": (32, 64), "norm_num_groups": 8}),
    ]  # fmt: skip
