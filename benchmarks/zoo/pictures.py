"""Image classifiers of torchvision and timm at their native or a sensible input size, under cross entropy.

Input sizes matter: at 64 pixels a network of stride 32 ends in two by two pixels, and honest parameters get no
gradient.
"""

from dataclasses import dataclass

import torch

from benchmarks.zoo.entry import Built, CrossEntropy, Entry
from benchmarks.zoo.schemas import define_torchvision_schemas


@dataclass(frozen=True)
class Classifier:
    """Builds one image classifier with random weights, and a batch of standardised noise."""

    library: str
    name: str
    size: int
    batch: int

    def __call__(self, generator: torch.Generator) -> Built:
        """Return the model in training mode, images [B, 3, size, size], and the loss over 1000 classes."""
        define_torchvision_schemas()
        if self.library == "timm":
            import timm

            model = timm.create_model(self.name, pretrained=False)
        else:
            import torchvision

            model = torchvision.models.get_model(self.name, weights=None)
        images = torch.randn(self.batch, 3, self.size, self.size, generator=generator)
        # Some of timm's are meant as backbones and return features: these are the classes then.
        classes = getattr(model, "num_classes", 1000) or model.num_features
        return model.train(), images, CrossEntropy(torch.randint(0, classes, (self.batch,), generator=generator))


def torchvision_models() -> list[Entry]:
    """Torchvision: ``vit_b_16`` is the classic false alarm, a zero head that blocks 150 of 152 gradients at step 0."""

    def make(family: str, name: str, size: int = 128, batch: int = 8, *, is_short: bool = False) -> Entry:
        return Entry("torchvision", family, name, Classifier("torchvision", name, size, batch), is_short)

    return [
        make("resnet", "resnet18", 64, is_short=True),
        make("resnet", "resnext50_32x4d", 96, 4),
        make("vit", "vit_b_16", 224, 2),
        make("window", "swin_t", 224, 2),
        make("convolution", "convnext_tiny", 96, 4),
        make("mobile", "efficientnet_b0"),
        make("mobile", "mobilenet_v3_small"),
        make("mobile", "mnasnet0_5"),
        make("mobile", "shufflenet_v2_x0_5", is_short=True),
        make("regnet", "regnet_x_400mf"),
        make("dense", "densenet121", 96, 4),
        make("plain", "squeezenet1_1", 128),
        make("plain", "vgg11", 64, 4),
        make("inception", "googlenet", 96, 4),
    ]


def timm_models() -> list[Entry]:
    """Timm: normaliser-free, token-mixing, class attention, distillation heads, gated convolutions."""

    def make(family: str, name: str, size: int, batch: int = 4, *, is_short: bool = False) -> Entry:
        return Entry("timm", family, name, Classifier("timm", name, size, batch), is_short)

    return [
        make("vit", "test_vit", 160, is_short=True),
        make("vit", "deit_tiny_patch16_224", 224),
        make("vit", "cait_xxs24_224", 224, 2),
        make("vit", "vit_relpos_small_patch16_224", 224, 2),
        make("hybrid", "levit_128s", 224),
        make("window", "swinv2_cr_tiny_224", 224, 2),
        make("mixer", "mixer_s32_224", 224),
        make("mixer", "gmixer_12_224", 224, 2),
        make("mixer", "convmixer_768_32", 64, 2),
        make("nfnet", "test_nfnet", 96, is_short=True),
        make("nfnet", "nf_resnet26", 96),
        make("resnet", "resnet26", 96),
        make("regnet", "regnetx_004", 96),
        make("mobile", "mobilenetv3_small_100", 128, 8),
        make("mobile", "lcnet_050", 128, 8),
        make("gated", "test_mambaout", 160, is_short=True),
        make("convolution", "convnext_atto", 128),
    ]
