"""Lets a CUDA build of torchvision import on a CPU torch; benchmark code only."""

import torch

_LIBRARY: list[torch.library.Library] = []


def define_torchvision_schemas() -> None:
    """Declare the two operators that a CUDA build of torchvision registers fakes for, unless they exist.

    Only the names are needed: detection models, which would call them, are not in the zoo. transformers and timm import
    torchvision when it is installed, so this runs before any of the three.
    """
    if _LIBRARY or hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARY.append(library)  # the definition lives as long as the object does
