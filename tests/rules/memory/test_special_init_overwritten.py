"""Every trap is a start in which the special values stand, or were not special."""

import copy

import torch
from torch import nn

from tests.rules.ask import ask, severities

X = torch.randn(16, 8)


class Gated(nn.Module):
    def __init__(self, special=None):
        super().__init__()
        self.gate, self.value = nn.Linear(8, 8), nn.Linear(8, 8)
        if special is not None:
            special(self)

    def forward(self, x):
        return x + torch.sigmoid(self.gate(x)) * self.value(x)


def general(module):
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.3)
        nn.init.zeros_(module.bias)


def built(special, *, then=general, first=None):
    def build():
        model = nn.Sequential(Gated(special), nn.Linear(8, 4))
        if first is not None:
            first(model)
        model.apply(then)
        return model, X

    return build


def closes(module):
    nn.init.constant_(module.gate.bias, -2.0)


def zeroes(module):
    nn.init.zeros_(module.value.weight)


def computes(module):
    with torch.no_grad():
        module.gate.bias.copy_(torch.linspace(-3, 3, 8))


def forgets(module):
    with torch.no_grad():
        module.gate.bias[:4].fill_(1.0)


def test_constants_values_zeros_and_slices_that_a_loop_replaced():
    for special, place in (
        (closes, "gate.bias"),
        (computes, "gate.bias"),
        (forgets, "gate.bias"),
        (zeroes, "value.weight"),
    ):
        (finding,) = ask("SZ109", built(special))
        assert (finding.severity, finding.where, finding.cause) == ("warning", (f"0.{place}",), "overwritten")
        assert special.__name__ in finding.message
        assert "general replaced them" in finding.message
        assert finding.source_line.startswith("tests/rules/memory/test_special_init_overwritten.py:")


def test_the_special_write_last_is_silent():
    def build():
        model = nn.Sequential(Gated(), nn.Linear(8, 4))
        model.apply(general)
        closes(model[0])
        zeroes(model[0])
        return model, X

    assert severities("SZ109", build) == []


def test_an_exempted_parameter_is_silent():
    def careful(module):
        if isinstance(module, nn.Linear) and not getattr(module.bias, "keep", False):
            general(module)

    def marked(module):
        closes(module)
        module.gate.bias.keep = True

    assert severities("SZ109", built(marked, then=careful)) == []


def test_a_head_drawn_anew_after_loading_is_silent():
    saved = copy.deepcopy(Gated().state_dict())
    load = lambda module: module.load_state_dict(saved)  # noqa: E731 - as short as a special
    assert severities("SZ109", built(load, then=lambda module: None)) == []

    def build():
        model = nn.Sequential(Gated(load), nn.Linear(8, 4))
        model[0].value.reset_parameters()
        return model, X

    assert severities("SZ109", build) == []


def test_clones_that_are_drawn_again_are_silent():
    def build():
        first = nn.Linear(8, 8)
        clones = [nn.Linear(8, 8) for _ in range(3)]
        for clone in clones:
            clone.weight.data.copy_(first.weight.data)
            clone.reset_parameters()
        return nn.Sequential(first, nn.Tanh(), *clones), X

    assert severities("SZ109", build) == []


def test_a_padding_row_and_a_frozen_part_are_silent():
    def build():
        model = nn.Sequential(nn.Embedding(9, 8, padding_idx=0), Gated(zeroes))
        nn.init.normal_(model[0].weight)
        general(model[1].value)
        model[1].requires_grad_(False)
        return model, torch.randint(9, (4, 5))

    assert severities("SZ109", build) == []


def test_values_put_back_without_a_record_are_silent():
    def put_back(model):
        model[0].gate.bias.data = torch.linspace(-3, 3, 8)

    def build():
        model, batch = built(computes)()
        put_back(model)
        return model, batch

    assert severities("SZ109", build) == []


def test_without_a_factory_there_is_nothing_to_say():
    model, batch = built(closes)()
    assert severities("SZ109", model, batch) == []
