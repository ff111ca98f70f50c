"""The three models that the cost of a capture is measured on: convolutions, attention, plain matrix products.

B batch, T tokens, D width, K classes. Small on purpose: the smaller the step, the harder it is to look for little.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.zoo.entry import Built, CrossEntropy
from benchmarks.zoo.schemas import define_torchvision_schemas


class Encoder(nn.Module):
    """Six pre-built encoder layers over an input that is already embedded: [B, T, D] to class logits [B, K]."""

    def __init__(self, width: int = 256, layers: int = 6, classes: int = 10) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)
        for parameter in self.encoder.parameters():  # the class copies one layer six times: pytorch/pytorch#72253
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Encode, average over tokens, classify."""
        logits: Tensor = self.head(self.encoder(x_BTD).mean(dim=1))
        return logits


def resnet18() -> Built:
    """Torchvision's ResNet-18 on 8 images of 64 x 64, 1000 classes."""
    define_torchvision_schemas()
    import torchvision

    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None)
    return model, torch.randn(8, 3, 64, 64), CrossEntropy(torch.randint(0, 1000, (8,)))


def encoder() -> Built:
    """Six encoder layers, width 256, 4 heads, feed-forward 1024, no dropout; B = 8, T = 128."""
    torch.manual_seed(0)
    return Encoder(), torch.randn(8, 128, 256), CrossEntropy(torch.randint(0, 10, (8,)))


def mlp() -> Built:
    """Four linear layers of width 1024 with ReLU between them, B = 256."""
    torch.manual_seed(0)
    hidden = [module for _ in range(3) for module in (nn.Linear(1024, 1024), nn.ReLU())]
    return (
        nn.Sequential(*hidden, nn.Linear(1024, 1024)),
        torch.randn(256, 1024),
        CrossEntropy(torch.randint(0, 1024, (256,))),
    )


SUBJECTS: dict[str, Callable[[], Built]] = {"resnet18": resnet18, "encoder": encoder, "mlp": mlp}
