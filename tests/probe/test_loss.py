"""From an output to one scalar, by each of the ways, and what is said about it."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stepzero.core.errors import LossError
from stepzero.probe.loss import NAMED, describe, loss_of, main_output, output_tensors, own_loss
from tests.probe.observing import seeded

LOGITS, CLASSES = seeded(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])


def value_and_origin(output: Any, loss: Any = None, target: Any = None) -> tuple[float, str, str]:
    value, fact = loss_of(output, loss, target, 0)
    assert value.dim() == 0
    assert fact.value is None
    return float(value), fact.origin, fact.name


def test_a_given_loss_of_the_output() -> None:
    assert value_and_origin(LOGITS, torch.mean) == (pytest.approx(float(LOGITS.mean())), "given", "mean")
    assert value_and_origin(LOGITS, lambda output: output.sum())[1] == "given"


@pytest.mark.parametrize(
    "loss", [F.cross_entropy, nn.CrossEntropyLoss(), lambda output, target: F.cross_entropy(output, target)]
)
def test_a_given_loss_of_output_and_target(loss: Any) -> None:
    value, origin, _ = value_and_origin(LOGITS, loss, CLASSES)
    assert (value, origin) == (pytest.approx(float(F.cross_entropy(LOGITS, CLASSES))), "given")


def test_a_loss_with_a_bound_target_takes_the_output_alone() -> None:
    def loss(output: Tensor, weight: float = 2.0) -> Tensor:
        return output.mean() * weight

    assert value_and_origin(LOGITS, loss, CLASSES)[0] == pytest.approx(2 * float(LOGITS.mean()))


@pytest.mark.parametrize("name", NAMED)
def test_every_named_loss_is_the_one_of_torch(name: str) -> None:
    output = LOGITS.sigmoid() if name in ("bce", "binary_cross_entropy") else LOGITS.log_softmax(-1)
    target = CLASSES if name in ("cross_entropy", "nll", "nll_loss") else seeded(6, 4, seed=1).sigmoid()
    assert value_and_origin(output, name, target) == (pytest.approx(float(NAMED[name](output, target))), "named", name)


def test_sequences_of_classes_may_come_last() -> None:
    logits, target = seeded(2, 3, 5), torch.tensor([[0, 1, 2], [3, 4, 0]])
    expected = float(F.cross_entropy(logits.mT, target))
    assert value_and_origin(logits, "cross_entropy", target)[0] == pytest.approx(expected)
    assert value_and_origin(logits, None, target)[0] == pytest.approx(expected)


@dataclasses.dataclass
class Output:
    logits: Tensor
    loss: Tensor | None = None


@pytest.mark.parametrize(
    "output",
    [Output(LOGITS, LOGITS.mean()), {"logits": LOGITS, "loss": LOGITS.mean()}, SimpleNamespace(loss=LOGITS.mean())],
)
def test_the_loss_of_the_model_itself(output: Any) -> None:
    assert value_and_origin(output) == (pytest.approx(float(LOGITS.mean())), "model", "model's own .loss")


def test_the_loss_of_the_model_by_sample_is_averaged_and_said() -> None:
    value, fact = loss_of({"loss": LOGITS[:, 0]}, None, None, 0)
    assert float(value) == pytest.approx(float(LOGITS[:, 0].mean()))
    assert "one value a sample" in fact.note


def test_a_given_loss_wins_over_the_models_own() -> None:
    assert value_and_origin(Output(LOGITS, LOGITS.mean()), lambda output: output.logits.sum())[1] == "given"


@pytest.mark.parametrize(
    ("output", "target", "name"),
    [
        (LOGITS, CLASSES, "cross_entropy"),
        (seeded(2, 4, 5, 5), torch.zeros(2, 5, 5, dtype=torch.long), "cross_entropy"),
        (LOGITS, seeded(6, 4), "mse"),
        (LOGITS[:, :1], seeded(6), "mse"),
        (LOGITS[:, :1], torch.tensor([0, 1, 1, 0, 1, 0]), "bce_with_logits"),
        (LOGITS, (LOGITS > 0).float(), "bce_with_logits"),
        (LOGITS, torch.zeros(6, 4), "mse"),
    ],
)
def test_a_loss_inferred_from_the_target(output: Tensor, target: Tensor, name: str) -> None:
    value, fact = loss_of(output, None, target, 0)
    assert (fact.origin, fact.name) == ("inferred", name)
    assert name in fact.note
    assert str(tuple(target.shape)) in fact.note
    reference = NAMED[name](output, target if name == "cross_entropy" else target.view(output.shape).float())
    assert float(value) == pytest.approx(float(reference))


def test_random_cotangents_without_a_target() -> None:
    output = LOGITS.clone().requires_grad_()
    value, fact = loss_of(output, None, None, 0)
    (cotangent,) = torch.autograd.grad(value, output)
    assert fact.origin == "surrogate"
    assert "nothing is said about the loss itself" in fact.note
    assert len(cotangent.unique()) == cotangent.numel()  # no sum or mean, whose gradient a norm removes
    assert value.item() == pytest.approx((output * cotangent).sum().item())
    again = loss_of(output, None, None, 0)[0]
    other = loss_of(output, None, None, 1)[0]
    assert again.item() == value.item() != other.item()


def test_the_surrogate_reads_every_output_that_can_be_differentiated() -> None:
    a, b = (seeded(3, 2, seed=seed).requires_grad_() for seed in (1, 2))
    value, _ = loss_of({"a": (a, [b]), "n": torch.ones(3)}, None, None, 0)
    assert all(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(value, [a, b]))


ERRORS = {
    "unknown name": ((LOGITS, "cross_entrop", CLASSES), "did you mean 'cross_entropy'?"),
    "nothing like it": ((LOGITS, "zzz", CLASSES), "known: "),
    "named without target": ((LOGITS, "mse", None), "expected a target, got none"),
    "given without target": ((LOGITS, F.mse_loss, None), "no target was given"),
    "a vector": ((LOGITS, lambda output: output.mean(1), None), "float32 tensor of shape (6,)"),
    "a number": ((LOGITS, lambda output: 3.0, None), "got float"),
    "nothing": ((LOGITS, lambda output: None, None), "got NoneType"),
    "integers": ((LOGITS, lambda output: output.argmax(), None), "int64 tensor"),
    "target of another kind": ((LOGITS, None, "label"), "got str"),
    "target of another shape": ((LOGITS, None, torch.zeros(5, 3)), "cannot infer"),
    "integer output": ((CLASSES, None, None), "at least one floating-point tensor, got int64"),
    "no output": ((None, None, None), "got NoneType"),
    "no tensors": (({"text": "x"}, None, None), "got dict"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_no_loss_is_refused_in_one_line(name: str) -> None:
    arguments, said = ERRORS[name]
    with pytest.raises(LossError) as caught:
        loss_of(*arguments, 0)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_tensors_of_an_output() -> None:
    a, b = torch.ones(1), torch.ones(2)
    for output in ((a, [b]), {"a": a, "b": (b,)}, Output(a, b), SimpleNamespace(a=a, b=b)):
        assert [tensor is other for tensor, other in zip(output_tensors(output), (a, b), strict=True)] == [True, True]
    assert output_tensors(a)[0] is a
    assert output_tensors(None) == []


def test_the_main_output_is_the_logits_or_the_first_number() -> None:
    assert main_output({"hidden": LOGITS, "logits": CLASSES}) is CLASSES
    assert main_output((CLASSES, LOGITS)) is LOGITS
    assert main_output(SimpleNamespace(last_hidden_state=LOGITS, other=CLASSES)) is LOGITS


def test_an_own_loss_is_a_tensor_of_numbers() -> None:
    assert own_loss({"loss": 3.0}) is None
    assert own_loss({"loss": CLASSES}) is None
    assert own_loss(LOGITS) is None


def test_words_for_values() -> None:
    assert describe(LOGITS) == "float32 tensor of shape (6, 4)"
    assert describe((LOGITS, CLASSES)) == "tuple with float32 tensor of shape (6, 4), int64 tensor of shape (6,)"
    assert describe(None) == "NoneType"
