"""Inputs of the shrunken transformers models: one function per kind of task, each with its labels.

Sizes: B batch entries, T tokens, V vocabulary, C classes, S seconds of sound. Tokens avoid the first ids, where configs
keep padding, start and end.
"""

from typing import Any

import torch
from torch import Tensor

BATCH, PICTURES = 16, 48
"""Sentences or sounds, and images alone: enough for a step to be more than the calls it makes."""
TOKENS = 48
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
        "pixel_values": torch.randn(PICTURES, 3, IMAGE, IMAGE, generator=generator),
        "labels": torch.randint(0, CLASSES, (PICTURES,), generator=generator),
    }


def masked_image(generator: torch.Generator) -> dict[str, Any]:
    """Images alone: masked autoencoders make their own target."""
    return {"pixel_values": torch.randn(PICTURES, 3, IMAGE, IMAGE, generator=generator)}


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


def image_in_text_merged(generator: torch.Generator) -> dict[str, Any]:
    """As `image_in_text`, for models that merge two by two patches into one token."""
    return image_in_text(generator, tokens=4)


def image_in_text(generator: torch.Generator, *, tokens: int = 16) -> dict[str, Any]:
    """A sentence that starts with 16 image tokens (id 3), and the image they stand for."""
    ids = torch.cat([torch.full((BATCH, tokens), 3), token_ids(generator)], dim=1)
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


def video_classes(generator: torch.Generator, *, frames: int = 8) -> dict[str, Any]:
    """Standardised clips [B, frames, 3, 64, 64] and class labels."""
    return {
        "pixel_values": torch.randn(2, frames, 3, IMAGE, IMAGE, generator=generator),
        "pixel_values_videos": torch.randn(2, frames, 3, IMAGE, IMAGE, generator=generator),
        "labels": torch.randint(0, CLASSES, (2,), generator=generator),
    }


def sentence_classes(generator: torch.Generator) -> dict[str, Any]:
    """Sentences and class labels."""
    ids = token_ids(generator)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.randint(0, CLASSES, (BATCH,), generator=generator),
    }


def spectrogram_ctc(generator: torch.Generator) -> dict[str, Any]:
    """Log-mel frames [B, 128, 80] and a transcript shorter than what is left after subsampling by eight."""
    return {
        "input_features": torch.randn(BATCH, 128, 80, generator=generator),
        "attention_mask": torch.ones(BATCH, 128, dtype=torch.long),
        "labels": torch.randint(1, 32, (BATCH, 6), generator=generator),
    }


def sound_to_text(generator: torch.Generator) -> dict[str, Any]:
    """One second of 16 kHz sound and a transcript."""
    return {
        "input_values": torch.randn(BATCH, 16000, generator=generator),
        "labels": token_ids(generator, tokens=12),
    }


def sound_classes(generator: torch.Generator) -> dict[str, Any]:
    """Half a second of 16 kHz sound and class labels."""
    return {
        "input_values": torch.randn(BATCH, 8000, generator=generator),
        "labels": torch.randint(0, CLASSES, (BATCH,), generator=generator),
    }


def anything(generator: torch.Generator) -> dict[str, Any]:
    """For a model without a head: whatever it takes of words, images, sound or log-mel features."""
    ids = token_ids(generator)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "decoder_input_ids": token_ids(generator, tokens=12),
        "pixel_values": torch.randn(BATCH, 3, IMAGE, IMAGE, generator=generator),
        "input_values": torch.randn(BATCH, 8000, generator=generator),
        "input_features": torch.randn(BATCH, 80, 64, generator=generator),
    }
