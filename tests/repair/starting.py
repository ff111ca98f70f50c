"""Models of many kinds for `init_`, each with a batch and targets."""

import torch
from torch import nn

import stepzero as sz

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(64) % 3


def mlp():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))


class Adapted(nn.Module):
    """A frozen layer with a low-rank detour, whose second factor starts at zero."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(8, 16).requires_grad_(False)
        self.a, self.b = nn.Linear(8, 2, bias=False), nn.Linear(2, 16, bias=False)
        self.head = nn.Linear(16, 3)
        nn.init.zeros_(self.b.weight)

    def forward(self, x):
        return self.head(torch.relu(self.base(x) + self.b(self.a(x))))


class ReZero(nn.Module):
    def __init__(self):
        super().__init__()
        self.start, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.body = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.alpha = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        x = self.start(x)
        for number, layer in enumerate(self.body):
            x = x + self.alpha[number] * torch.relu(layer(x))
        return self.head(x)


class ZeroGamma(nn.Module):
    def __init__(self):
        super().__init__()
        self.start, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.body = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm1d(8) for _ in range(2))
        for norm in self.norms:
            nn.init.zeros_(norm.weight)

    def forward(self, x):
        x = self.start(x)
        for layer, norm in zip(self.body, self.norms, strict=True):
            x = torch.relu(x + norm(layer(x)))
        return self.head(x)


class Modulated(nn.Module):
    """Shift, scale and gate of a block from a condition; their layer starts at zero."""

    def __init__(self):
        super().__init__()
        self.start, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.norm = nn.LayerNorm(8, elementwise_affine=False)
        self.up, self.modulation = nn.Linear(8, 8), nn.Linear(8, 24)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x):
        shift, scale, gate = self.modulation(nn.functional.silu(x)).chunk(3, -1)
        y = self.start(x)
        y = y + gate * self.up(torch.relu(self.norm(y) * (1 + scale) + shift))
        return self.head(y)


class ZeroBranch(nn.Module):
    def __init__(self):
        super().__init__()
        self.start, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.down, self.up = nn.Linear(8, 16), nn.Linear(16, 8)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x):
        x = self.start(x)
        return self.head(x + self.up(torch.relu(self.down(x))))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 16, padding_idx=0)
        self.body = nn.Linear(16, 16)
        self.head = nn.Linear(16, 50, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("positions", torch.arange(12))

    def forward(self, tokens):
        return self.head(torch.relu(self.body(self.embed(tokens))))


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.second, self.head = nn.Conv2d(8, 8, 3, stride=2, groups=2), nn.Linear(8, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        return self.head(torch.relu(self.second(x)).mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.body = nn.LSTM(8, 12, batch_first=True, **kwargs)
        self.head = nn.LazyLinear(3)

    def forward(self, x):
        return self.head(self.body(x)[0][:, -1])


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.body(x).mean(1))


TOKENS = torch.randint(1, 50, (16, 6), generator=torch.Generator().manual_seed(2))
IMAGES = torch.randn(8, 3, 9, 9, generator=torch.Generator().manual_seed(3))
SEQUENCES = torch.randn(16, 5, 8, generator=torch.Generator().manual_seed(4))
ALL = {
    "mlp": (mlp, X, LABELS),
    "adapted": (Adapted, X, LABELS),
    "rezero": (ReZero, X, LABELS),
    "zero gamma": (ZeroGamma, X, LABELS),
    "modulated": (Modulated, X, LABELS),
    "zero branch": (ZeroBranch, X, LABELS),
    "tied": (Tied, TOKENS, TOKENS.roll(-1, 1)),
    "convolutional": (Convolutional, IMAGES, LABELS[:8]),
    "recurrent": (lambda: filled(Recurrent(), SEQUENCES), SEQUENCES, LABELS[:16]),
    "encoder": (Encoder, SEQUENCES, LABELS[:16]),
}


def filled(model, batch):
    with torch.no_grad():
        model(batch)
    return model


def loss_of(name):
    if name == "tied":
        return lambda logits, target: nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
    return "cross_entropy"


def started(name, **kwargs):
    make, batch, target = ALL[name]
    model = make()
    return model, sz.init_(model, batch, loss=loss_of(name), target=target, **kwargs)
