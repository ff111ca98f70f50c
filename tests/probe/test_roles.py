"""Parts that operations play, found in the dataflow of models as people write them."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.probe.observing import Net, named, of_model, one, seeded, seen, traced

X = seeded(6, 8)
MAPS = seeded(2, 8, 6, 6)


def linear(**more: Any) -> dict[str, Any]:
    return {"a": nn.Linear(8, 8), "b": nn.Linear(8, 8), **more}


def roles(function: Any, batch: Tensor = X, **parts: Any) -> list[str]:
    """Every role but those of heads, in order."""
    trace = seen(function, batch, **(parts or linear()))
    return [operation.role for operation in of_model(trace) if operation.role not in ("", "head")]


RESIDUALS = {
    "identity first": lambda self, x: x + self.b(torch.relu(self.a(x))),
    "branch first": lambda self, x: self.b(torch.relu(self.a(x))) + x,
    "scaled branch": lambda self, x: x + 0.5 * self.b(torch.relu(self.a(x))),
    "in place": lambda self, x: self.b(torch.relu(self.a(x))).add_(x),
    "one layer": lambda self, x: x + self.a(x),
    "dropped branch": lambda self, x: x + F.dropout(self.a(x), 0.1),
    "minus": lambda self, x: x - self.a(x),
    "with a factor": lambda self, x: torch.add(x, self.a(x), alpha=0.5),
    "post norm": lambda self, x: F.layer_norm(x + self.a(x), (8,)),
}


@pytest.mark.parametrize("name", RESIDUALS)
def test_a_sum_of_a_signal_and_what_is_computed_from_it_is_a_residual(name: str) -> None:
    assert "residual" in roles(RESIDUALS[name])


def test_the_downsampling_block_of_a_resnet_is_a_projected_residual() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        h = F.relu(self.n1(self.c1(x)))
        return F.relu(self.n2(self.c2(h)) + self.n3(self.shortcut(x)))

    parts: dict[str, Any] = {f"n{number}": nn.BatchNorm2d(4) for number in (1, 2, 3)}
    parts |= {"c1": nn.Conv2d(8, 4, 3, stride=2, padding=1), "c2": nn.Conv2d(4, 4, 3, padding=1)}
    trace = traced(Net(forward, shortcut=nn.Conv2d(8, 4, 1, stride=2), **parts), MAPS)
    assert one(trace, "add").role == "projection-residual"
    assert [conv.consumer for conv in named(trace, "conv2d")] == ["norm", "norm", "norm"]


def test_a_residual_around_a_projection_on_either_side() -> None:
    assert roles(lambda self, x: self.a(x) + self.b(torch.tanh(x))) == ["projection-residual"]
    assert roles(lambda self, x: self.b(torch.tanh(x)) + self.a(x)) == ["projection-residual"]


def test_a_sum_of_two_separate_inputs_is_no_residual() -> None:
    trace = seen(lambda self, x, y: torch.tanh(self.a(x)) + torch.tanh(self.b(y)), X, X + 1, **linear())
    assert one(trace, "add").role == ""


GATES = {
    "glu by hand": lambda self, x: self.a(x) * torch.sigmoid(self.b(x)),
    "swiglu": lambda self, x: F.silu(self.a(x)) * self.b(x),
    "halves": lambda self, x: torch.tanh(self.a(x)[:, :4]) * torch.sigmoid(self.a(x)[:, 4:]),
    "gate of the input": lambda self, x: x * torch.sigmoid(self.a(x)),
    "two of one stem": lambda self, x: (h := torch.relu(self.a(x))) * torch.sigmoid(self.b(h)),
}


@pytest.mark.parametrize("name", GATES)
def test_a_product_of_two_signals_is_a_gate(name: str) -> None:
    assert roles(GATES[name]) == ["gate"]


def test_a_residual_stream_gates_itself_too() -> None:
    trace = seen(lambda self, x: (h := x + self.a(x)) * torch.sigmoid(h), X, **linear())
    assert (one(trace, "add").role, one(trace, "mul").role) == ("residual", "self-gate")


def test_squeeze_and_excitation_is_a_gate() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        squeezed = x.mean((2, 3))
        return x * torch.sigmoid(self.b(torch.relu(self.a(squeezed))))[:, :, None, None]

    assert roles(forward, MAPS) == ["gate"]


SELF_GATES = {
    "swish": lambda z: z * torch.sigmoid(z),
    "swish from the left": lambda z: torch.sigmoid(z) * z,
    "quick gelu": lambda z: z * torch.sigmoid(1.702 * z),
    "gelu by erf": lambda z: z * 0.5 * (1.0 + torch.erf(z / math.sqrt(2.0))),
    "mish": lambda z: z * torch.tanh(F.softplus(z)),
    "squared relu": lambda z: F.relu(z) * F.relu(z),
}


@pytest.mark.parametrize("name", SELF_GATES)
def test_an_activation_written_out_gates_itself(name: str) -> None:
    trace = seen(lambda self, x: self.b(SELF_GATES[name](self.a(x))), X, **linear())
    assert "self-gate" in [operation.role for operation in of_model(trace)]
    assert "gate" not in [operation.role for operation in of_model(trace)]
    assert named(trace, "linear")[0].consumer == "self-gate"


def test_the_gelu_of_gpt_is_no_residual_and_no_gate() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        z = self.a(x)
        inner = math.sqrt(2.0 / math.pi) * (z + 0.044715 * torch.pow(z, 3.0))
        return self.b(0.5 * z * (1.0 + torch.tanh(inner)))

    found = roles(forward)
    assert "arithmetic" in found
    assert "self-gate" in found
    assert not {"residual", "gate", "projection-residual"} & set(found)


def rms_norm(x: Tensor, scale: Any = 1.0) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * scale


NORMS = {
    "rms norm": rms_norm,
    "rms norm of llama": lambda x: x.to(torch.float32) * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6),
    "rms norm by division": lambda x: x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6),
    "rms norm by vector norm": lambda x: x / (x.norm(dim=-1, keepdim=True) * 8**-0.5 + 1e-6),
    "layer norm": lambda x: (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True) + 1e-6),
    "layer norm by std": lambda x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6),
    "layer norm with the variance by hand": lambda x: (
        (d := x - x.mean(-1, keepdim=True)) * torch.rsqrt((d * d).mean(-1, keepdim=True) + 1e-6)
    ),
    "layer norm, gain first": lambda x: 2.0 * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6) + 1.0,
    "group norm": lambda x: (
        ((g := x.view(6, 2, 4)) - g.mean(-1, keepdim=True)).div((g.var(-1, keepdim=True) + 1e-6).sqrt()).view(6, 8)
    ),
    "unit length": lambda x: x / x.norm(dim=-1, keepdim=True).clamp_min(1e-6),
    "standardised over the batch": lambda x: (x - x.mean(0)) * torch.rsqrt(x.var(0) + 1e-6),
    "of torch": lambda x: F.layer_norm(x, (8,)),
    "normalize": lambda x: F.normalize(x, dim=-1),
}


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_is_known_however_it_is_written(name: str) -> None:
    trace = seen(lambda self, x: self.b(NORMS[name](self.a(x))), X, **linear())
    found = [operation.role for operation in of_model(trace)]
    assert "norm" in found
    assert not {"gate", "self-gate", "residual", "projection-residual"} & set(found)
    assert named(trace, "linear")[0].consumer == "norm"


def test_biases_and_scales() -> None:
    parts = {"w": seeded(8, 8), "shift": seeded(8), "scale": seeded(8)}
    assert roles(lambda self, x: x @ self.w + self.shift, **parts) == ["bias"]
    assert roles(lambda self, x: x @ self.w * self.scale, **parts) == ["scale"]
    assert roles(lambda self, x: x @ self.w * 0.5, **parts) == ["scale"]
    assert roles(lambda self, x: x @ self.w + 1.0, **parts) == []


def test_positions_added_to_tokens_are_no_residual() -> None:
    tokens = torch.tensor([[1, 2, 3], [3, 2, 1]])
    trace = seen(lambda self, x: self.e(x) + self.p, tokens, e=nn.Embedding(4, 8), p=seeded(3, 8))
    assert one(trace, "add").role == "bias"


def test_layer_scale_is_a_scale_on_a_residual_branch() -> None:
    found = roles(lambda self, x: x + self.gamma * self.b(F.gelu(self.a(x))), **linear(gamma=torch.full((8,), 1e-4)))
    assert found == ["scale", "residual"]


def test_only_taking_the_mean_off_is_a_part_of_a_norm() -> None:
    assert roles(lambda self, x: self.b(self.a(x) + x.mean(-1, keepdim=True))) == ["projection-residual"]
    assert "norm" not in roles(lambda self, x: x + x.mean(0))
