"""A digits classifier that cannot learn well, and looks as if it could.

    stepzero check demo/digits.py:build        what is wrong, before the first training step
    stepzero check demo/digits.py:build_fixed  the same network with the one bug removed
    python demo/digits.py                      train both, and see what the bug would have cost

The data are the 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn; nothing is downloaded.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

NUM_TRAINING = 1400
BATCH = 128

Loss: TypeAlias = Callable[[Tensor], Tensor]


class Classifier(nn.Module):
    """64 pixels -> 128 -> 128 -> 10 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        self.head = nn.Linear(128, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map standardised pixels [batch, 64] to class logits [batch, 10]."""
        logits: Tensor = self.head(self.hidden(pixels))
        return logits


def small_weights(module: nn.Module) -> None:
    """Give a linear layer a 'safe, small' start.

    THE BUG: ``constant_`` writes the same number into every weight. All 128 units of a layer then compute the same
    thing, receive the same gradient, take the same step and stay equal: the first layer is one unit, 128 times.
    What was meant is ``nn.init.kaiming_normal_(module.weight, nonlinearity="relu")``.
    """
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.weight, 0.02)
        nn.init.zeros_(module.bias)


def build() -> tuple[nn.Module, Tensor, Loss]:
    """What stepzero asks a factory for: the model, one batch, and the loss as a function of the output."""
    model, pixels, loss = build_fixed()
    model.hidden.apply(small_weights)
    return model, pixels, loss


def build_fixed() -> tuple[Classifier, Tensor, Loss]:
    """The same with PyTorch's own start for the hidden layers: the control."""
    torch.manual_seed(0)
    pixels, labels = digits()

    def loss(logits: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, labels[:BATCH])

    return Classifier(), pixels[:BATCH], loss


def digits() -> tuple[Tensor, Tensor]:
    """Pixels [1797, 64] with mean 0 and variance 1 over the whole set, and labels 0 to 9, in a fixed random order."""
    data = load_digits()
    pixels = torch.tensor(data.data, dtype=torch.float32)
    pixels = (pixels - pixels.mean()) / pixels.std()
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    return pixels[order], torch.tensor(data.target)[order]


def accuracy_after_training(model: nn.Module, *, epochs: int = 20) -> float:
    """Train with Adam and return the share of unseen digits that are read correctly."""
    pixels, labels = digits()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for start in range(0, NUM_TRAINING, BATCH):
            batch = slice(start, min(start + BATCH, NUM_TRAINING))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(pixels[batch]), labels[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        guesses = model(pixels[NUM_TRAINING:]).argmax(dim=1)
    return float((guesses == labels[NUM_TRAINING:]).float().mean())


if __name__ == "__main__":
    for factory in (build, build_fixed):
        share = accuracy_after_training(factory()[0])
        print(f"{factory.__name__:<12} reads {share:.0%} of unseen digits after 20 epochs")
