"""Inputs of the shrunken transformers models: one function per kind of task, each with its labels.

Sizes: B batch entries, T tokens, V vocabulary, C classes, S seconds of sound. Tokens avoid the first ids, where configs
keep padding, start and end.
"""

from typing import Any

import torch
from torch import Tensor

BATCH = 4
TOKENS = 16
VOCABULARY = 512
CLASSES = 10
IMAGE = 64
FIRST_FREE_TOKEN = 8


def token_ids(generator: torch.Generator, *, tokens: int = TOKENS, vocabulary: int = VOCABULARY) -> Tensor:
    """Uniform token ids [B, T], none of them special."""
    return torch.randint(FIRST_FREE_TOKEN, vocabulary, (BATCH, tokens), generator=generator)


def causal(generator: torch.Generator) -> dict[str, Any]:
    """Next-token prediction: the labels are the ids themselves."""
    ids = token_ids(generator)
    return {"input_ids": ids, "labels": ids.clone()}


def masked(generator: torch.Generator) -> dict[str, Any]:
    """Masked-token prediction: a quarter of the positions carry a label."""
    ids = token_ids(generator)
    is_masked = torch.rand(ids.shape, generator=generator) < 0.25
    is_masked[:, 0] = True  # at least one label in each sentence
    labels = ids.masked_fill(~is_masked, -100)
    return {"input_ids": ids.masked_fill(is_masked, 5), "attention_mask": torch.ones_like(ids), "labels": labels}


def sequence_to_sequence(generator: torch.Generator) -> dict[str, Any]:
    """Translation: source ids and target ids; the model shifts the labels to make its decoder input."""
    return {"input_ids": token_ids(generator), "labels": token_ids(generator, tokens=12)}


def image_classes(generator: torch.Generator) -> dict[str, Any]:
    """Standardised images [B, 3, 64, 64] and class labels."""
    return {
        "pixel_values": torch.randn(BATCH, 3, IMAGE, IMAGE, generator=generator),
        "labels": torch.randint(0, CLASSES, (BATCH,), generator=generator),
    }


def masked_image(generator: torch.Generator) -> dict[str, Any]:
    """Images alone: masked autoencoders make their own target."""
    return {"pixel_values": torch.randn(BATCH, 3, IMAGE, IMAGE, generator=generator)}


def speech_ctc(generator: torch.Generator) -> dict[str, Any]:
    """Half a second of 16 kHz sound and a transcript shorter than the frames, as CTC needs."""
    return {
        "input_values": torch.randn(BATCH, 8000, generator=generator),
        "labels": torch.randint(1, 32, (BATCH, 6), generator=generator),
    }


def spectrogram_to_text(generator: torch.Generator) -> dict[str, Any]:
    """Log-mel features [B, 80, 64] and a transcript."""
    return {
        "input_features": torch.randn(BATCH, 80, 64, generator=generator),
        "labels": token_ids(generator, tokens=12),
    }


def spectrogram_classes(generator: torch.Generator) -> dict[str, Any]:
    """Spectrogram [B, frames, bins] and class labels."""
    return {
        "input_values": torch.randn(BATCH, 128, 64, generator=generator),
        "labels": torch.randint(0, CLASSES, (BATCH,), generator=generator),
    }


def image_text_pairs(generator: torch.Generator) -> dict[str, Any]:
    """Captions and images that belong together: the contrastive loss of dual encoders."""
    ids = token_ids(generator)
    ids[:, -1] = VOCABULARY - 1  # CLIP pools at its end-of-text token
    return {
        "input_ids": ids,
        "pixel_values": torch.randn(BATCH, 3, IMAGE, IMAGE, generator=generator),
        "return_loss": True,
    }


def image_in_text(generator: torch.Generator) -> dict[str, Any]:
    """A sentence that starts with 16 image tokens (id 3), and the image they stand for."""
    ids = torch.cat([torch.full((BATCH, 16), 3), token_ids(generator)], dim=1)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.randn(BATCH, 3, IMAGE, IMAGE, generator=generator),
        "labels": ids.masked_fill(ids == 3, -100),
    }


def question_about_image(generator: torch.Generator) -> dict[str, Any]:
    """A question, an image, and soft answers [B, C] (visual question answering)."""
    return {
        "input_ids": token_ids(generator),
        "pixel_values": torch.randn(BATCH, 3, IMAGE, IMAGE, generator=generator),
        "labels": torch.rand(BATCH, CLASSES, generator=generator),
    }


def series_forecast(generator: torch.Generator) -> dict[str, Any]:
    """Three channels of a random walk: 64 past values, 16 to foretell."""
    walk = torch.randn(BATCH, 80, 3, generator=generator).cumsum(dim=1)
    return {"past_values": walk[:, :64], "future_values": walk[:, 64:]}
