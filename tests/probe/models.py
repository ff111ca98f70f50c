"""Small models that do everything a forward may do; every test of the probe runs over all of them."""

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.nn.utils import parametrizations

Case = Callable[[], tuple[nn.Module, Any, Any]]
CASES: dict[str, Case] = {}


def case(make: Case) -> Case:
    """Register a case under its function's name; built under seed 0."""

    def seeded() -> tuple[nn.Module, Any, Any]:
        torch.manual_seed(0)
        return make()

    CASES[make.__name__] = seeded
    return make


def mean_square(output: Tensor) -> Tensor:
    """A loss of the output alone."""
    return (output - 1).pow(2).mean()


class Lambda(nn.Module):
    """A module whose forward is a function of (self, x)."""

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


@case
def mlp() -> Any:
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 4))
    return model, torch.randn(32, 8), mean_square


@case
def inplace_relu() -> Any:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(inplace=True), nn.Linear(16, 4))
    return model, torch.randn(32, 8), mean_square


@case
def convolution_with_batch_norm() -> Any:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 5),
    )
    target = torch.randint(0, 5, (6,))
    return model, torch.randn(6, 3, 8, 8), lambda output: F.cross_entropy(output, target)


@case
def grouped_and_transposed() -> Any:
    model = nn.Sequential(
        nn.Conv2d(8, 16, 3, stride=2, groups=4),
        nn.GELU(),
        nn.ConvTranspose2d(16, 8, 4, stride=2),
        nn.Conv1d(8, 8, 1, groups=8),
    )
    model[3] = nn.Conv2d(8, 8, 3, groups=8)
    return model, torch.randn(4, 8, 12, 12), mean_square


@case
def residual_blocks() -> Any:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.up, self.down = nn.LayerNorm(16), nn.Linear(16, 32), nn.Linear(32, 16)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.down(F.gelu(self.up(self.norm(x))))

    return nn.Sequential(nn.Linear(8, 16), Block(), Block(), nn.Linear(16, 4)), torch.randn(8, 8), mean_square


@case
def transformer_encoder() -> Any:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), torch.randn(4, 6, 16), mean_square


@case
def multi_head_attention() -> Any:
    def forward(self: Any, x: Tensor) -> Any:
        return self.attention(x, x, x, need_weights=True)[0]

    return Lambda(forward, attention=nn.MultiheadAttention(16, 4, batch_first=True)), torch.randn(4, 6, 16), mean_square


@case
def attention_by_einsum() -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        q, k, v = (torch.einsum("btd,hde->bhte", x, w) for w in (self.w_q, self.w_k, self.w_v))
        scores = torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1)
        return torch.einsum("bhte,hed->btd", scores @ v, self.w_o)

    parts = {f"w_{name}": nn.Parameter(torch.randn(2, 16, 8) / 4) for name in "qkv"}
    return Lambda(forward, **parts, w_o=nn.Parameter(torch.randn(2, 8, 16) / 3)), torch.randn(4, 6, 16), mean_square


@case
def raw_matrices() -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        return torch.addmm(self.b, torch.tanh(x @ self.w), self.v.t())

    parts = {"w": torch.randn(8, 16), "v": torch.randn(4, 16), "b": torch.zeros(4)}
    return Lambda(forward, **{k: nn.Parameter(v) for k, v in parts.items()}), torch.randn(8, 8), mean_square


@case
def reused_module() -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.tanh(self.linear(x))
        return x

    return Lambda(forward, linear=nn.Linear(8, 8)), torch.randn(8, 8), mean_square


@case
def tied_embedding() -> Any:
    model = nn.Sequential(
        OrderedDict(embed=nn.Embedding(20, 8, padding_idx=0), mix=nn.Linear(8, 8), head=nn.Linear(8, 20, bias=False))
    )
    model.head.weight = model.embed.weight
    tokens = torch.randint(0, 20, (4, 5))
    return model, tokens, lambda output: F.cross_entropy(output.flatten(0, 1), tokens.flatten())


@case
def recurrent() -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        x, _ = self.lstm(x)
        x, _ = self.gru(x)
        return self.rnn(x)[0][:, -1]

    parts = {
        "lstm": nn.LSTM(8, 8, num_layers=2, bidirectional=True, batch_first=True, dropout=0.1),
        "gru": nn.GRU(16, 8, batch_first=True),
        "rnn": nn.RNN(8, 4, batch_first=True),
    }
    return Lambda(forward, **parts), torch.randn(4, 7, 8), mean_square


@case
def recurrent_cell() -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        h = c = x.new_zeros(x.shape[0], 6)
        for step in range(x.shape[1]):
            h, c = self.cell(x[:, step], (h, c))
        return h

    return Lambda(forward, cell=nn.LSTMCell(8, 6)), torch.randn(4, 40, 8), mean_square


@case
def mixture_of_experts() -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        weights, chosen = torch.softmax(self.router(x), -1).topk(2, dim=-1)
        out = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            rows, slot = (chosen == index).nonzero(as_tuple=True)
            out.index_add_(0, rows, expert(x[rows]) * weights[rows, slot, None])
        return out

    experts = nn.ModuleList(nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 8)) for _ in range(4))
    return Lambda(forward, router=nn.Linear(8, 4), experts=experts), torch.randn(32, 8), mean_square


@case
def checkpointed() -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = torch.utils.checkpoint.checkpoint(self.first, x, use_reentrant=False)
        return torch.utils.checkpoint.checkpoint(self.second, x, use_reentrant=True)

    parts = {name: nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Dropout(0.3)) for name in ("first", "second")}
    return Lambda(forward, **parts), torch.randn(8, 8), mean_square


@case
def autocast() -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.net(x).float()

    net = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4))
    return Lambda(forward, net=net), torch.randn(16, 8), mean_square


@case
def bfloat16() -> Any:
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.SiLU(), nn.Linear(16, 4)).to(torch.bfloat16)
    return model, torch.randn(16, 8, dtype=torch.bfloat16), mean_square


@case
def frozen_part() -> Any:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    model[0].requires_grad_(requires_grad=False)
    return model, torch.randn(16, 8), mean_square


@case
def weight_norms() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = nn.utils.weight_norm(nn.Linear(8, 8))
    model = nn.Sequential(
        parametrizations.weight_norm(nn.Linear(8, 8)), parametrizations.spectral_norm(nn.Linear(8, 8)), nn.Tanh(), old
    )
    return model, torch.randn(16, 8), mean_square


@case
def compiled() -> Any:
    inner = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    return nn.Sequential(torch.compile(inner), nn.Linear(8, 4)), torch.randn(16, 8), mean_square


@dataclasses.dataclass
class Answer:
    """An output that is no tuple."""

    logits: Tensor
    extra: dict[str, Tensor]


@case
def dataclass_output() -> Any:
    def forward(self: Any, x: Tensor, *, scale: float = 1.0) -> Answer:
        h = torch.tanh(self.a(x))
        return Answer(self.b(h) * scale, {"h": h})

    batch = {"x": torch.randn(8, 8), "scale": 2.0}
    return Lambda(forward, a=nn.Linear(8, 8), b=nn.Linear(8, 4)), batch, lambda answer: answer.logits.pow(2).mean()


@case
def nested_output() -> Any:
    def forward(self: Any, x: Tensor) -> Any:
        return {"pair": (self.a(x), [self.b(x)])}

    return (
        Lambda(forward, a=nn.Linear(8, 8), b=nn.Linear(8, 4)),
        torch.randn(8, 8),
        lambda out: out["pair"][0].pow(2).sum(),
    )


@case
def mutates_everything() -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        x += 1
        self.calls += 1
        self.log.append(self.calls)
        self.count.add_(1)
        self.plain.add_(1)
        with torch.no_grad():
            self.a.weight.clamp_(-0.1, 0.1)
            self.b.weight.data.mul_(2)
            self.b.bias.data = torch.ones(4)
        self.a.weight.requires_grad_()
        self.cache = self.a(x)
        torch.rand(3)
        self.train(mode=False)
        return self.b(torch.tanh(self.cache))

    model = Lambda(forward, a=nn.Linear(8, 8), b=nn.Linear(8, 4), calls=0, log=[])
    model.register_buffer("count", torch.zeros((), dtype=torch.long))
    model.plain = torch.zeros(3)
    return model, torch.randn(8, 8), mean_square


@case
def backward_inside_forward() -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        self.a(x).pow(2).mean().backward()
        return self.a(x)

    model = Lambda(forward, a=nn.Linear(8, 4))
    model.a.weight.grad = torch.ones(4, 8)
    return model, torch.randn(8, 8), mean_square


class Doubled(torch.autograd.Function):
    """A custom function: no torch function of its own, and its forward runs without grad."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * 2


@case
def custom_function() -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        return self.b(torch.tanh(Doubled.apply(self.a(x))))

    return Lambda(forward, a=nn.Linear(8, 8), b=nn.Linear(8, 4)), torch.randn(8, 8), mean_square


@case
def complex_numbers() -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(x) * self.filter
        return self.b(torch.fft.irfft(spectrum, n=8))

    parts = {"filter": nn.Parameter(torch.randn(5, dtype=torch.complex64)), "b": nn.Linear(8, 4)}
    return Lambda(forward, **parts), torch.randn(8, 8), mean_square


@case
def sparse_embedding() -> Any:
    return nn.Sequential(nn.Embedding(20, 8, sparse=True), nn.Linear(8, 4)), torch.randint(0, 20, (4, 5)), mean_square


@case
def views_and_inplace_writes() -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        h = self.a(x)
        left, right = h.chunk(2, -1)
        out = torch.empty_like(h)
        out[:, :4] = torch.tanh(left)
        out[:, 4:] = right
        out[:, 0].mul_(2)
        return self.b(out)

    return Lambda(forward, a=nn.Linear(8, 8), b=nn.Linear(8, 4)), torch.randn(8, 8), mean_square


@case
def sequences_first() -> Any:
    layer = nn.TransformerDecoderLayer(16, 2, 32)
    return nn.TransformerDecoder(layer, 1), (torch.randn(5, 3, 16), torch.randn(6, 3, 16)), mean_square


@case
def hooks_and_closures() -> Any:
    model = nn.Sequential(nn.Linear(8, 8), nn.PReLU(8), nn.Hardswish(), nn.Linear(8, 4))
    model[0].register_forward_hook(lambda _m, _i, output: output * 2)
    model[0].weight.register_hook(lambda gradient: gradient * 3)
    return model, torch.randn(8, 8), mean_square
