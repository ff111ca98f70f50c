"""What the finished Trace says about the batch, the loss, the modules and what was left out."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stepzero.core.trace import COMPLEX, InputFact
from stepzero.probe import finish
from stepzero.probe.facts import Facts
from stepzero.probe.subject import Batch, subject_of
from stepzero.probe.transfer import Ledger
from tests.probe.observing import Net, seeded, traced


class Two(nn.Module):
    """Takes two inputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        h = self.a(image)
        return h if mask is None else h * self.b(mask.float())


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (seeded(6, 4), 6),
        ((seeded(6, 4), seeded(6, 4)), 6),
        ({"image": seeded(6, 4), "mask": torch.ones(6, 1, 4)}, 6),
        ((seeded(6, 4), torch.ones(4)), None),
        ((seeded(6, 4), torch.tensor(1.0)), 6),
    ],
)
def test_the_batch_size_is_the_first_axis_that_all_tensors_share(batch: Any, size: int | None) -> None:
    assert finish.batch_size(subject_of(Two(), batch)) == size


def input_fact(tensor: Tensor) -> InputFact:
    return finish.input_facts(subject_of(nn.Linear(4, 4), tensor))[0]


def test_a_batch_of_numbers_by_channel() -> None:
    image = seeded(8, 3, 2, 2) * torch.tensor([1.0, 10.0, 0.1])[:, None, None] + 5
    fact, exact = input_fact(image), image.double().movedim(1, -1).reshape(-1, 3)
    assert (fact.name, fact.shape, fact.dtype, fact.is_float) == ("input", (8, 3, 2, 2), "float32", True)
    assert (fact.channel_axis, fact.num_nonfinite, fact.integer_like) == (1, 0, False)
    assert (fact.low, fact.high) == (float(image.min()), float(image.max()))
    assert list(fact.channel_mean) == pytest.approx(exact.mean(0).tolist())
    assert list(fact.channel_std) == pytest.approx(exact.std(0, correction=0).tolist())


def test_numbers_that_are_not_finite_are_counted_exactly() -> None:
    batch = torch.zeros(500, 400)
    batch[499, 1], batch[3, 3], batch[4, 4] = math.nan, math.inf, -math.inf
    assert input_fact(batch).num_nonfinite == 3
    batch = torch.zeros(6, 4)
    batch[3, 3] = math.inf
    assert input_fact(batch).num_nonfinite == 1


def test_distinct_samples_are_counted() -> None:
    assert input_fact(seeded(8, 4)).num_distinct_samples == 8
    assert input_fact(seeded(1, 4).expand(8, 4)).num_distinct_samples == 1
    assert input_fact(torch.cat([seeded(4, 4)] * 2)).num_distinct_samples == 4


@pytest.mark.parametrize("size", [2, 3, 5, 7, 33])
@pytest.mark.parametrize("width", [5, 31, 100, 1024])
def test_a_sample_that_is_repeated_counts_once_whatever_the_shape(size: int, width: int) -> None:
    batch = seeded(1, width).repeat(size, 1)
    subject = subject_of(nn.Linear(width, 4), batch)
    assert (finish.distinct_samples(subject), finish.input_facts(subject)[0].num_distinct_samples) == (1, 1)


def test_bytes_written_as_floats_are_told() -> None:
    assert input_fact(torch.arange(32.0).view(8, 4)).integer_like
    assert not input_fact(torch.arange(32.0).view(8, 4) / 3).integer_like


def test_tokens_have_a_shape_and_no_statistics() -> None:
    fact = input_fact(torch.tensor([[1, 2], [3, 4]]))
    assert (fact.is_float, fact.dtype, fact.channel_axis, fact.num_distinct_samples) == (False, "int64", None, None)


def test_inputs_have_the_names_of_the_arguments() -> None:
    batch = Batch(args=(seeded(6, 4),), kwargs={"mask": [torch.ones(6, 4), torch.ones(6, 4)]})
    assert [fact.name for fact in finish.input_facts(subject_of(Two(), batch))] == ["image", "mask", "mask[1]"]


def test_a_batch_that_the_model_overwrites_is_described_as_it_was() -> None:
    batch = torch.full((4, 4), 0.5)
    trace = traced(Net(lambda self, x: self.layer(x.mul_(100)), layer=nn.Linear(4, 2)), batch)
    assert (trace.inputs[0].low, trace.inputs[0].high) == (0.5, 0.5)


def test_a_stand_in_says_so() -> None:
    subject = subject_of(nn.Linear(4, 4), seeded(2, 4), is_stand_in=True)
    assert finish.input_facts(subject)[0].is_stand_in


def test_modules_with_their_calls_and_modes() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Identity())
    model[0].eval()
    trace = traced(Net(lambda self, x: self.net[1](self.net[1](self.net[0](x))), net=model), seeded(3, 4))
    found = {fact.path: (fact.type, fact.is_training, fact.calls) for fact in trace.modules}
    assert found == {
        "": ("Net", True, 1),
        "net": ("Sequential", True, 0),
        "net.0": ("Linear", False, 1),
        "net.1": ("ReLU", True, 2),
        "net.2": ("Identity", True, 0),
    }
    assert all(fact.source_line is None for fact in trace.modules)


@pytest.mark.parametrize(
    ("loss", "reference"),
    [
        (lambda output: F.cross_entropy(output, torch.zeros(6, dtype=torch.long)), math.log(4)),
        (lambda output: F.nll_loss(output.log_softmax(-1), torch.zeros(6, dtype=torch.long)), math.log(4)),
        (lambda output: F.mse_loss(output, torch.zeros(6, 4)), None),
        (lambda output: output.square().sum(), None),
    ],
)
def test_the_reference_of_a_loss_is_the_best_constant_guess(loss: Any, reference: float | None) -> None:
    model = nn.Linear(4, 4)
    fact = traced(model, seeded(6, 4), loss).loss
    assert fact.reference == (pytest.approx(reference) if reference else None)
    assert fact.value == pytest.approx(loss(model(seeded(6, 4))).item())


def test_uniform_logits_cost_the_reference() -> None:
    model = nn.Linear(4, 5)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    fact = traced(model, seeded(6, 4), "cross_entropy", torch.tensor([0, 1, 2, 3, 4, 0])).loss
    assert fact.value == pytest.approx(fact.reference)
    assert (fact.logit_std, fact.num_classes) == (0.0, 5)


def test_operations_that_could_not_be_measured_are_listed() -> None:
    trace = traced(Net(lambda self, x: self.layer(x).to_sparse().to_dense(), layer=nn.Linear(4, 4)), seeded(3, 4))
    ((what, why),) = trace.skipped
    assert what == ":to_sparse"
    assert "sparse" in why.lower()
    assert traced(nn.Linear(4, 4), seeded(3, 4)).skipped == ()


def test_a_static_trace_says_why_it_is_one() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(2))
    static = Facts(Ledger())
    trace = finish.static_trace(subject_of(model, seeded(2, 4)), static.finish(set(), {}), "not run: a reason")
    assert (trace.has_forward, trace.has_backward, trace.conditions) == (False, False, ("not run: a reason",))
    assert [fact.path for fact in trace.modules] == ["", "0", "1"]


def test_an_activation_knows_its_gain_and_nothing_else_has_one() -> None:
    observed = traced(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.PReLU()), seeded(6, 4))
    gains = {operation.name: operation.gain for operation in observed.operations if not operation.in_loss}
    assert gains["relu"] == pytest.approx(math.sqrt(2), rel=1e-4)
    assert gains["prelu"] is gains["linear"] is gains["input"] is None


def test_complex_weights_are_named_as_not_compared():
    model = Net(
        lambda self, x: self.head((torch.fft.rfft(x) @ self.w).abs()),
        w=torch.randn(4, 5, dtype=torch.complex64),
        head=nn.Linear(5, 3),
    )
    assert [what for what, why in traced(model, seeded(8, 6)).skipped if why == COMPLEX] == ["w"]
    assert "not compared" in COMPLEX
    assert traced(nn.Linear(6, 3), seeded(8, 6)).skipped == ()
