"""The models whose layers are calibrated: each with its batch, and what had to be done so that lsuv can read it.

B batch, T tokens. lsuv 0.3.0 finds layers by class (``nn.Linear``, convolutions) and calls ``model(batch)``.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.zoo.schemas import define_torchvision_schemas

Layered = tuple[nn.Module, Tensor, str]
"""Model in eval mode, batch, and a note on what was done to it."""


def mlp(layers: int, width: int = 128) -> Layered:
    """``layers`` linear layers of one width with ReLU between them, torch's own start; B = 64."""
    torch.manual_seed(0)
    hidden = [module for _ in range(layers - 1) for module in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(width, width)).eval(), torch.randn(64, width), ""


def resnet(name: str) -> Layered:
    """One of torchvision's ResNets, random weights, 4 images of 64 x 64."""
    define_torchvision_schemas()
    import torchvision

    torch.manual_seed(0)
    return torchvision.models.get_model(name, weights=None).eval(), torch.randn(4, 3, 64, 64), ""


def vit_tiny() -> Layered:
    """timm's ViT-Tiny/16, random weights, 2 images of 224 x 224."""
    define_torchvision_schemas()
    import timm

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False)
    return model.eval(), torch.randn(2, 3, 224, 224), ""


def gpt2_small() -> Layered:
    """transformers' GPT-2 small without its head, random weights; B = 1, T = 64."""
    define_torchvision_schemas()
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(0)
    model = GPT2Model(GPT2Config(use_cache=False))
    tokens_BT = torch.randint(0, model.config.vocab_size, (1, 64))
    note = (
        "transformers' Conv1D, which lsuv does not know, was exchanged for nn.Linear; no head: "
        "it is tied to the embedding, and lsuv rescales both"
    )
    return _with_linears(model).eval(), tokens_BT, note


SUBJECTS: dict[str, Callable[[], Layered]] = {
    "mlp-21": lambda: mlp(21),
    "mlp-101": lambda: mlp(101),
    "resnet-18": lambda: resnet("resnet18"),
    "resnet-50": lambda: resnet("resnet50"),
    "vit-tiny": vit_tiny,
    "gpt2-small": gpt2_small,
}


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """Modules that lsuv calibrates, by name: linear layers and convolutions."""
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def _with_linears(model: nn.Module) -> nn.Module:
    """Exchange every ``Conv1D`` [in, out] for the ``nn.Linear`` [out, in] that computes the same."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ == "Conv1D":
                linear = nn.Linear(child.nx, child.nf)
                with torch.no_grad():
                    linear.weight.copy_(child.weight.T)
                    linear.bias.copy_(child.bias)
                setattr(parent, name, linear)
    return model
