"""Which head of a transformers model type to train, and on what: the first of these tasks that the type has."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from benchmarks.zoo import inputs

TASKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "masked": ("MASKED_LM", ("masked",)),
    "causal": ("CAUSAL_LM", ("causal",)),
    "translate": ("SEQ_TO_SEQ_CAUSAL_LM", ("sequence_to_sequence",)),
    "picture": ("IMAGE_CLASSIFICATION", ("image_classes",)),
    "video": ("VIDEO_CLASSIFICATION", ("video_classes",)),
    "ctc": ("CTC", ("speech_ctc", "spectrogram_ctc")),
    "transcribe": ("SPEECH_SEQ_2_SEQ", ("spectrogram_to_text", "sound_to_text")),
    "sound": ("AUDIO_CLASSIFICATION", ("spectrogram_classes", "sound_classes")),
    "read": ("IMAGE_TEXT_TO_TEXT", ("image_in_text", "image_in_text_merged")),
    "contrast": ("ZERO_SHOT_IMAGE_CLASSIFICATION", ("image_text_pairs",)),
    "sentence": ("SEQUENCE_CLASSIFICATION", ("sentence_classes",)),
}
"""Task -> the mapping of heads (``MODEL_FOR_..._MAPPING_NAMES``) and the functions of `inputs` that may feed them."""


def heads_of(model_type: str) -> Iterator[tuple[str, str]]:
    """Model class and feed of every head that ``model_type`` has, then of the bare model."""
    from transformers.models.auto import modeling_auto

    for mapping, feeds in TASKS.values():
        name = _first(getattr(modeling_auto, f"MODEL_FOR_{mapping}_MAPPING_NAMES").get(model_type))
        yield from ((name, feed) for feed in feeds if name)
    bare = _first(modeling_auto.MODEL_MAPPING_NAMES.get(model_type))
    if bare:
        yield bare, "anything"


def _first(names: Any) -> str:
    return names[0] if isinstance(names, list | tuple) else names or ""


def batch_for(model: Any, feed: str, generator: torch.Generator) -> dict[str, Any]:
    """What ``feed`` offers and the forward of ``model`` takes."""
    taken = inspect.signature(model.forward).parameters
    offered: dict[str, Any] = getattr(inputs, feed)(generator)
    if feed == "anything" and (main := getattr(model, "main_input_name", "input_ids")) in offered:
        words = {"input_ids", "attention_mask", "decoder_input_ids"} if "input_ids" in taken else set()
        taken = {key: None for key in taken if key in words | {main}}
    return {key: value for key, value in offered.items() if key in taken}


@dataclass(frozen=True)
class Noise:
    """Mean squared distance of the first output that has a gradient to standard noise: a loss for a bare model.

    What a codebook is to be committed to is added, as its authors do: it has no other gradient.
    """

    seed: int = 0

    def __call__(self, output: Any) -> Tensor:
        """Return the loss of ``output``: a tensor or any container of them."""
        first = next(leaf for leaf in pytree.tree_leaves(dict(output) if hasattr(output, "keys") else output)
                     if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.requires_grad)  # fmt: skip
        noise = torch.randn(first.shape, generator=torch.Generator().manual_seed(self.seed))
        committed = getattr(output, "commit_loss", None)
        extra = committed.mean() if isinstance(committed, Tensor) else 0.0
        return (first.float() - noise).square().mean() + extra
