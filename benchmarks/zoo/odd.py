"""Ordinary things that trip observers: recurrence, sparse gradients, checkpointing, parametrisations, low precision.

Not published architectures but ways in which published ones are used; each has bitten a hook-based tool.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from benchmarks.zoo import inputs, text
from benchmarks.zoo.entry import Built, CrossEntropy, Entry

CLASSES = 10


class Reader(nn.Module):
    """Embedding, recurrent core, linear head on the last step: tokens [B, T] to logits [B, 10]."""

    def __init__(self, core: type[nn.RNNBase], *, sparse: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(inputs.VOCABULARY, 32, padding_idx=0, sparse=sparse)
        self.core = core(32, 48, num_layers=2, batch_first=True, dropout=0.1, bidirectional=True)
        self.head = nn.Linear(96, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        """Map token ids to class logits."""
        states, _ = self.core(self.embed(ids))
        logits: Tensor = self.head(states[:, -1])
        return logits


class Counter(nn.Module):
    """Keeps its own state in buffers and plain attributes while it runs, as running averages and caches do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(16, 32), nn.BatchNorm1d(32), nn.Linear(32, CLASSES)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.cache: dict[str, Any] = {}
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        """Count, cache, and use in-place operations on the way."""
        self.steps += 1
        self.calls += 1
        hidden = self.norm(self.first(x)).relu_()
        self.cache["hidden"] = hidden.detach()
        hidden = hidden.clone()
        hidden *= 2.0
        logits: Tensor = self.head(hidden)
        return logits


def _tokens(model: nn.Module, generator: torch.Generator) -> Built:
    labels = torch.randint(0, CLASSES, (inputs.BATCH,), generator=generator)
    return model, inputs.token_ids(generator), CrossEntropy(labels)


def _rows(model: nn.Module, generator: torch.Generator) -> Built:
    labels = torch.randint(0, CLASSES, (32,), generator=generator)
    return model, torch.randn(32, 16, generator=generator), CrossEntropy(labels)


def _encoder(generator: torch.Generator) -> Built:
    """Deep-copied layers start equal to each other: legitimate, they see different inputs."""
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    layers = [nn.Embedding(inputs.VOCABULARY, 32), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)]
    return _tokens(nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * inputs.TOKENS, CLASSES)), generator)


def _parametrised(generator: torch.Generator) -> Built:
    """Weight norm derives its weight; spectral norm updates two buffers in place on every forward pass."""
    first, second = nn.Linear(16, 32), nn.Linear(32, 32)
    parametrizations.weight_norm(first)
    parametrizations.spectral_norm(second)
    return _rows(nn.Sequential(first, nn.GELU(), second, nn.SiLU(), nn.Linear(32, CLASSES)), generator)


def _mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(inplace=True), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, CLASSES))


def _frozen(generator: torch.Generator) -> Built:
    """A frozen trunk under a fresh head, the trunk in eval mode."""
    model = _mlp()
    model[0].requires_grad_(False).eval()
    return _rows(model, generator)


def _reused(generator: torch.Generator) -> Built:
    """One module called three times."""
    shared = nn.Linear(32, 32)
    layers = [nn.Linear(16, 32), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), shared, nn.Linear(32, CLASSES)]
    return _rows(nn.Sequential(*layers), generator)


def _bfloat16(generator: torch.Generator) -> Built:
    model, rows, loss = _rows(_mlp().to(torch.bfloat16), generator)
    return model, rows.to(torch.bfloat16), loss


def _compiled(generator: torch.Generator) -> Built:
    """A compiled wrapper with the eager backend: no compiler is needed, the wrapper is the trap."""
    model, rows, loss = _rows(_mlp(), generator)
    torch.compile(copy.deepcopy(model), backend="eager")(rows)  # the compiler patches nn.Module once, at its first use
    return torch.compile(model, backend="eager"), rows, loss


def _checkpointed(generator: torch.Generator) -> Built:
    """GPT-2 whose blocks run again during the backward pass."""
    keys = {**text.GPT2, "n_embd": 64, "n_head": 4, "n_positions": 64, "use_cache": False}
    model, batch, loss = text.Recipe("GPT2Config", "GPT2LMHeadModel", inputs.causal, keys)(generator)
    model.activation_checkpointing_enable()
    return model, batch, loss


def odd_ones() -> list[Entry]:
    """All of them are cheap."""
    makers: dict[str, Callable[[torch.Generator], Built]] = {
        "lstm": lambda generator: _tokens(Reader(nn.LSTM), generator),
        "gru-sparse-embedding": lambda generator: _tokens(Reader(nn.GRU, sparse=True), generator),
        "cloned-encoder": _encoder,
        "stateful-inplace": lambda generator: _rows(Counter(), generator),
        "weight-and-spectral-norm": _parametrised,
        "frozen-trunk": _frozen,
        "reused-layer": _reused,
        "bfloat16": _bfloat16,
        "compiled": _compiled,
        "gpt2-checkpointed": _checkpointed,
    }
    return [Entry("torch", "odd", name, make, is_short=True) for name, make in makers.items()]
