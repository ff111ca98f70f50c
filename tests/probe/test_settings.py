"""Settings of calls as attributes of operations, positional or by name."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.probe.observing import Net, of_model, seeded, seen, traced

IMAGE, TOKENS = seeded(2, 4, 6, 6), torch.tensor([[1, 2, 0], [2, 2, 1]])


def padded(row: int) -> dict[str, Any]:
    """What a lookup in ``seeded(3, 4)`` says about its padding row."""
    return {"padding_idx": row, "padding_rms": pytest.approx(float(seeded(3, 4)[row].square().mean().sqrt()))}


@pytest.mark.parametrize(
    ("function", "batch", "parameter", "attributes"),
    [
        (lambda x, w: torch.einsum("bi,oi->bo", x, w), seeded(3, 4), seeded(5, 4), {"equation": "bi,oi->bo"}),
        (lambda x, w: F.conv2d(x, w, None, 1, 0, 1, 2), IMAGE, seeded(6, 2, 3, 3), {"groups": 2}),
        (lambda x, w: F.conv2d(x, w, groups=2), IMAGE, seeded(6, 2, 3, 3), {"groups": 2}),
        (lambda x, w: F.conv2d(x, w), IMAGE, seeded(6, 4, 3, 3), {"groups": 1}),
        (lambda x, w: F.conv_transpose2d(x, w, groups=4), IMAGE, seeded(4, 2, 3, 3), {"groups": 4}),
        (lambda x, w: F.embedding(x, w, 2), TOKENS, seeded(3, 4), padded(2)),
        (lambda x, w: F.embedding(x, w, padding_idx=0), TOKENS, seeded(3, 4), padded(0)),
        (lambda x, w: F.embedding(x, w), TOKENS, seeded(3, 4), {"padding_idx": None}),
        (lambda x, w: torch.softmax(x * w, 1), seeded(3, 4), seeded(4), {"dim": 1}),
        (lambda x, w: F.log_softmax(x * w, dim=-1), seeded(3, 4), seeded(4), {"dim": -1}),
        (lambda x, w: torch.tanh(x * w), seeded(3, 4), seeded(4), {"bounded": True}),
        (lambda x, w: torch.relu(x * w), seeded(3, 4), seeded(4), {}),
        (lambda x, w: F.hardtanh(x * w), seeded(3, 4), seeded(4), {"min": -1.0, "max": 1.0}),
        (lambda x, w: F.hardtanh(x * w, -2, 3.0, True), seeded(3, 4), seeded(4), {"min": -2.0, "max": 3.0}),
        (lambda x, w: nn.ReLU6()(x * w), seeded(3, 4), seeded(4), {"min": 0.0, "max": 6.0}),
        (lambda x, w: F.relu6(x * w), seeded(3, 4), seeded(4), {"min": 0.0, "max": 6.0}),
        (lambda x, w: (x * w).clamp(0), seeded(3, 4), seeded(4), {"min": 0.0, "max": None}),
        (lambda x, w: torch.clip(x * w, max=2), seeded(3, 4), seeded(4), {"min": None, "max": 2.0}),
        (lambda x, w: torch.clamp(x * w, torch.zeros(4)), seeded(3, 4), seeded(4), {"min": None, "max": None}),
        (lambda x, w: (x * w).clamp_min(1), seeded(3, 4), seeded(4), {"min": 1.0, "max": None}),
        (lambda x, w: F.leaky_relu(x * w), seeded(3, 4), seeded(4), {"negative_slope": 0.01}),
        (lambda x, w: nn.LeakyReLU(0.3)(x * w), seeded(3, 4), seeded(4), {"negative_slope": 0.3}),
        (lambda x, w: torch.ops.aten.leaky_relu(x * w, 0.3), seeded(3, 4), seeded(4), {"negative_slope": 0.3}),
        (lambda x, w: F.elu(x * w, 2.0), seeded(3, 4), seeded(4), {"alpha": 2.0}),
        (lambda x, w: nn.GELU("tanh")(x * w), seeded(3, 4), seeded(4), {"approximate": "tanh"}),
        (lambda x, w: F.softplus(x * w, 5), seeded(3, 4), seeded(4), {"beta": 5.0, "threshold": 20.0}),
    ],
)
def test_what_the_model_calls(function: Any, batch: Any, parameter: Any, attributes: dict[str, Any]) -> None:
    trace = seen(lambda self, x: function(x, self.w), batch, w=parameter)
    assert of_model(trace)[-1].attributes == attributes


def classified(loss: Any, shape: tuple[int, ...] = (8, 5)) -> Any:
    """The loss operation and the fact of the loss of a model whose output is its bias-free first layer."""
    net = Net(lambda self, x: self.w * x, w=torch.ones(shape[1:]))
    trace = traced(net, seeded(*shape), loss)
    return next(operation for operation in reversed(trace.operations) if operation.kind == "loss"), trace.loss


TARGET = torch.tensor([0, 1, 2, 3, 4, -100, -100, 0])


def test_a_classification_loss_knows_its_classes_and_its_targets() -> None:
    operation, fact = classified(lambda output: F.cross_entropy(output, TARGET))
    assert operation.attributes["num_classes"] == fact.num_classes == 5
    assert operation.attributes["hard_targets"] is True
    assert operation.attributes["num_targets"] == 6
    assert operation.attributes["is_weighted"] is False
    assert operation.attributes["smoothing"] == 0.0
    assert operation.attributes["reduction"] == "mean"
    assert fact.reference == pytest.approx(math.log(5))


def test_the_spread_of_the_logits_is_that_over_the_classes_of_an_entry() -> None:
    _, fact = classified(lambda output: F.cross_entropy(output, TARGET))
    assert fact.logit_std == pytest.approx(float(seeded(8, 5).double().var(1, correction=0).mean().sqrt()))


@pytest.mark.parametrize(
    ("loss", "key", "value"),
    [
        (lambda output: F.cross_entropy(output, TARGET, label_smoothing=0.1), "smoothing", 0.1),
        (lambda output: F.cross_entropy(output, TARGET, None, None, -100, None, "sum", 0.2), "smoothing", 0.2),
        (lambda output: F.cross_entropy(output, TARGET, None, None, -100, None, "sum", 0.2), "reduction", "sum"),
        (lambda output: F.cross_entropy(output, TARGET, reduction="sum"), "reduction", "sum"),
        (lambda output: F.cross_entropy(output, TARGET, torch.ones(5)), "is_weighted", True),
        (lambda output: F.cross_entropy(output, TARGET, weight=torch.ones(5)), "is_weighted", True),
        (lambda output: F.cross_entropy(output, TARGET.clamp(0), ignore_index=0), "num_targets", 4),
        (lambda output: F.cross_entropy(output, output.softmax(1).detach()), "hard_targets", False),
        (lambda output: F.nll_loss(output.log_softmax(1), TARGET), "num_classes", 5),
        (lambda output: F.binary_cross_entropy_with_logits(output, torch.ones(8, 5)), "num_classes", 5),
        (lambda output: nn.CrossEntropyLoss(label_smoothing=0.3)(output, TARGET), "smoothing", 0.3),
        (lambda output: torch._C._nn.cross_entropy_loss(output, TARGET, None, 2, -100, 0.25), "smoothing", 0.25),
    ],
)
def test_settings_of_a_loss(loss: Any, key: str, value: Any) -> None:
    operation, _ = classified(loss)
    assert operation.attributes[key] == value


ONES, SHARES = torch.ones(8, 5), torch.full((8, 5), 0.2)


@pytest.mark.parametrize(
    "loss",
    [
        lambda output, word, number: F.mse_loss(output, ONES, None, None, word),
        lambda output, word, number: F.huber_loss(output, ONES, word),
        lambda output, word, number: nn.CrossEntropyLoss(reduction=word)(output, TARGET),
        lambda output, word, number: nn.CrossEntropyLoss(size_average=word == "mean")(output, TARGET),
        lambda output, word, number: F.cross_entropy(output, TARGET, None, word == "mean"),
        lambda output, word, number: torch.kl_div(output.log_softmax(1), SHARES, number),
        lambda output, word, number: torch.binary_cross_entropy_with_logits(output, ONES, None, None, number),
        lambda output, word, number: torch.binary_cross_entropy_with_logits(output, ONES, reduction=number),
        lambda output, word, number: torch.ops.aten.cross_entropy_loss(output, TARGET, None, number),
        lambda output, word, number: torch.ops.aten.nll_loss(output.log_softmax(1), TARGET, None, number),
        lambda output, word, number: torch.ops.aten.mse_loss(output, ONES, number),
        lambda output, word, number: torch.hinge_embedding_loss(output, ONES, 1.0, number),
        lambda output, word, number: torch.cosine_embedding_loss(output, ONES, ONES[:, 0], 0.0, number),
        lambda output, word, number: torch.poisson_nll_loss(output, ONES, True, False, 1e-8, number),
        lambda output, word, number: torch.triplet_margin_loss(output, ONES, SHARES, 1.0, 2, 1e-6, False, number),
    ],
)
@pytest.mark.filterwarnings("ignore:size_average and reduce")
@pytest.mark.parametrize(("word", "number"), [("mean", 1), ("sum", 2)])
def test_how_a_loss_is_reduced_however_it_is_told(loss: Any, word: str, number: int) -> None:
    operation, _ = classified(lambda output: loss(output, word, number))
    assert operation.attributes["reduction"] == word


def test_one_logit_has_no_spread_over_classes() -> None:
    _, fact = classified(lambda output: F.binary_cross_entropy_with_logits(output, torch.ones(8, 1)), (8, 1))
    assert (fact.num_classes, fact.logit_std, fact.reference) == (1, None, None)


def test_classes_of_a_map_stand_on_axis_one() -> None:
    target = torch.zeros(4, 6, 6, dtype=torch.long)
    _, fact = classified(lambda output: F.cross_entropy(output, target), (4, 3, 6, 6))
    assert fact.num_classes == 3
    logits = seeded(4, 3, 6, 6).double()
    assert fact.logit_std == pytest.approx(float(logits.var(1, correction=0).mean().sqrt()), rel=0.2)  # from a sample


def test_a_regression_loss_has_no_classes_and_no_reference() -> None:
    operation, fact = classified(lambda output: F.mse_loss(output, torch.zeros(8, 5)))
    assert (operation.attributes["value"], operation.attributes["reduction"]) == (fact.value, "mean")
    assert "num_classes" not in operation.attributes
    assert (fact.num_classes, fact.reference, fact.logit_std) == (None, None, None)


@pytest.mark.parametrize("scale", [None, 2.0])
def test_a_fused_attention_knows_its_scale_and_the_spread_of_its_logits(scale: float | None) -> None:
    def attend(self: Any, x: Any) -> Any:
        return F.scaled_dot_product_attention(x * self.w, x, x, scale=scale)

    found = of_model(seen(attend, seeded(4, 2, 9, 16), w=torch.ones(16)))[-1].attributes
    assert (found["scale"], found["row_keys"]) == (scale, 9.0)
    assert found["row_std"] == pytest.approx(4 * (scale or 0.25), rel=0.4)


def test_a_softmax_of_scores_knows_their_spread() -> None:
    found = of_model(seen(lambda self, x: torch.softmax(x * self.w, -1), seeded(4, 5, 20), w=torch.ones(20)))
    assert found[-1].attributes["row_std"] == pytest.approx(1.0, rel=0.2)
    assert (
        "row_std"
        not in of_model(seen(lambda self, x: torch.softmax(x * self.w, -1), seeded(9, 5), w=torch.ones(5)))[
            -1
        ].attributes
    )


@pytest.mark.parametrize(
    ("attend", "share"),
    [
        (lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.3), 0.3),
        (lambda x: F.scaled_dot_product_attention(x, x, x, None, 0.2), 0.2),
        (lambda x: F.scaled_dot_product_attention(x, x, x), 0.0),
    ],
)
def test_the_share_a_fused_attention_drops_is_kept_though_it_is_turned_off(attend, share):
    x = torch.ones(1, 2, 4, 3)
    model = Net(lambda self, x: attend(self.a(x)), a=nn.Linear(3, 3))
    (found,) = [each for each in traced(model, x).operations if each.kind == "attention"]
    assert found.attributes["p"] == share
    torch.manual_seed(0)
    outputs = [float(traced(model, x).loss.value) for _ in range(2)]
    assert outputs[0] == outputs[1]
