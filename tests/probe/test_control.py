"""The control record: what draws by law show at the places of the model, and nothing left behind."""

import math

import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.measure.oddities import odd_operations
from stepzero.probe.capture import capture
from stepzero.probe.control import DRAWS, control, remeasured
from stepzero.probe.subject import subject_of
from tests.probe.observing import Net
from tests.rules.ask import generator, he

X, LABELS = torch.randn(64, 32, generator=generator()), torch.arange(64) % 10


def plain(width=64):
    return he(nn.Sequential(nn.Linear(32, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)))


def controlled(model, batch=X, loss="cross_entropy", target=LABELS, **options):
    subject = subject_of(model, batch, loss, target, **options)
    observed = capture(subject)
    return observed, control(subject, observed)


def test_a_model_drawn_by_law_lies_among_its_own_draws():
    observed, fact = controlled(plain())
    assert fact.ran
    assert len(fact.draws) == DRAWS
    for operation in observed.operations:
        if operation.kind in ("weighted", "activation"):
            for quantity in ("forward", "backward", "rank"):
                seen = fact.at(quantity, operation.index)
                assert seen.low < seen.high
                assert 0.3 < seen.ratio(fact.own_at(quantity, operation.index)) < 3
    for place in (0, 2, 4):
        assert 0.3 < fact.gradient(place).ratio(observed.parameters[place].gradient.norm) < 3
    assert fact.output("loss").low > 2


def test_the_own_record_is_what_the_trace_says():
    observed, fact = controlled(plain())
    for operation in observed.operations:
        if operation.forward is not None:
            assert fact.own_at("forward", operation.index) == pytest.approx(operation.forward.rms)
    assert fact.own.loss == pytest.approx(observed.loss.value)
    assert fact.own.gradients[0] == pytest.approx(observed.parameters[0].gradient.norm)


def test_what_is_odd_leaves_the_range():
    model = plain()
    nn.init.uniform_(model[2].weight, 0.0, 0.05, generator=generator())
    with torch.no_grad():
        model[0].bias.fill_(-30.0)
    observed, fact = controlled(model)
    linear, relu = (next(each for each in observed.operations if each.module == path) for path in ("2", "1"))
    assert fact.own_at("off", relu.index) == 1.0
    assert fact.at("off", relu.index).high < 0.1
    assert fact.own_at("rank", linear.index) == 0.0
    assert fact.at("rank", linear.index).low > 5


def test_the_share_of_the_commonest_class_is_counted():
    model = plain()
    with torch.no_grad():
        model[-1].weight.zero_()
        model[-1].bias[7] = 5.0
    _, fact = controlled(model)
    assert fact.own.top_share == 1.0
    assert fact.own.confidence == pytest.approx(math.exp(5) / (math.exp(5) + 9), rel=1e-5)
    assert fact.output("top_share").high < 0.9


def test_it_repeats_and_leaves_model_and_generator_as_they_were():
    model = plain()
    before, state = {name: each.clone() for name, each in model.state_dict().items()}, torch.get_rng_state()
    assert controlled(model)[1] == controlled(model)[1]
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(each.grad is None for each in model.parameters())


def test_another_seed_draws_otherwise():
    assert controlled(plain())[1].draws != controlled(plain(), seed=1)[1].draws


def test_where_weights_choose_the_way_places_are_matched_by_module_and_name():
    def forward(self, x):
        x = self.first(x)
        if self.first.weight.abs().max() > 5:
            x = self.detour(x).tanh()
        return self.last(x)

    model = Net(forward, first=nn.Linear(32, 8), detour=nn.Linear(8, 8), last=nn.Linear(8, 10))
    with torch.no_grad():
        model.first.weight.fill_(6.0)
    observed, fact = controlled(model)
    at = {each.module: each.index for each in observed.operations if each.kind == "weighted"}
    assert fact.at("forward", at["detour"]) is None, "drawn by law the detour is not taken"
    assert fact.at("forward", at["last"]).low > 0


def test_remeasured_keeps_the_draws_and_looks_at_the_model_anew():
    observed, fact = controlled(plain())
    other = plain()
    with torch.no_grad():
        other[0].weight.mul_(10)
    again = remeasured(subject_of(other, X, "cross_entropy", LABELS), observed, fact)
    assert again.draws == fact.draws
    assert again.own_at("forward", 1) == pytest.approx(10 * fact.own_at("forward", 1), rel=1e-4)


def test_what_does_not_run_by_law_says_so():
    def picky(self, x):
        if not self.fc.bias.any():
            raise ValueError("no bias")
        return self.fc(x)

    _, fact = controlled(Net(picky, fc=nn.Linear(32, 10)))
    assert not fact.ran
    assert fact.reason == "the model does not run when drawn by law (ValueError: no bias)"


def test_without_a_law_there_is_no_control():
    _, fact = controlled(Net(lambda self, x: x[:, :10] * torch.sigmoid(self.gate), gate=nn.Parameter(torch.ones(10))))
    assert (fact.ran, fact.reason) == (False, "no parameter has a law to be drawn by")


def test_a_rule_that_asks_gets_it_only_for_a_reason():
    assert trace(plain(), X, "cross_entropy", LABELS, probes=["control"]).control.ran
    assert not trace(plain(), X, "cross_entropy", LABELS).control.ran


def test_where_the_first_pass_gave_a_reason_only_what_may_stand_out_is_drawn_for():
    subject = subject_of(plain(), X, "cross_entropy", LABELS)
    observed = capture(subject)
    brief = control(subject, observed, is_brief=True)
    assert (brief.ran, brief.draws) == (True, ()), "its own numbers are those of a sound network"
    model = plain()
    nn.init.uniform_(model[2].weight, 0.0, 0.05, generator=generator())
    subject = subject_of(model, X, "cross_entropy", LABELS)
    observed = capture(subject)
    brief, whole = control(subject, observed, is_brief=True), control(subject, observed)
    assert len(brief.draws) == len(whole.draws) == DRAWS
    linear = next(each.index for each in observed.operations if each.module == "2")
    others = {each.index for each in observed.weighted()} - odd_operations(observed)
    assert others
    assert all(brief.own_at("rank", each) is None for each in others), "only what is odd is looked at"
    assert brief.own_at("rank", linear) == pytest.approx(whole.own_at("rank", linear), abs=1e-9)
    assert brief.at("rank", linear).median == pytest.approx(whole.at("rank", linear).median, rel=1e-6)
