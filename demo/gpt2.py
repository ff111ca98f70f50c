"""GPT-2 small, all 124 million weights of it, freshly drawn: what a healthy start looks like.

    stepzero check demo/gpt2.py:build

The architecture comes from transformers' own configuration; the weights are random and nothing is downloaded.
"""

import os
from typing import Any

import torch
from torch import nn

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a promise: no file is fetched, not even a configuration

BATCH, TOKENS = 2, 128
_kept: list[torch.library.Library] = []


def build() -> tuple[nn.Module, dict[str, Any]]:
    """The model and one batch.

    The batch is a dictionary of keyword arguments. Because it holds ``labels``, the model computes the loss itself
    (it shifts them by one: each token is to foretell the next), so there is no third thing to return.
    """
    _let_torchvision_import()
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config())  # width 768, 12 layers, 12 heads, 50,257 tokens
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 50_257, (BATCH, TOKENS), generator=generator)
    return model, {"input_ids": ids, "labels": ids.clone()}


def _let_torchvision_import() -> None:
    """Where torchvision was built for CUDA and torch was not, transformers' import of it fails; two names mend that."""
    if hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)  # the declarations live as long as this object


if __name__ == "__main__":
    model, batch = build()
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
    print(f"loss {model(**batch).loss.item():.2f}, and ln 50,257 = 10.82 is what a model that knows nothing gets")
