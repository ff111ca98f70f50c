"""The fault benchmark plants what it says, tells harm by training, and scores places and codes as it says."""

import math

import pytest
import torch
from torch import nn

from benchmarks.faults import __main__ as command
from benchmarks.faults import parts, trial
from benchmarks.faults.kind import plant
from benchmarks.faults.networks import networks
from benchmarks.faults.subject import Subject
from benchmarks.faults.training import Sound, loss_after, train
from benchmarks.faults.trial import FAULTS, TWINS, Case, Trial, touches

OWN = [name for name, net in networks().items() if not net.needs and not net.is_held]
"""Networks that need no further package."""


def planted(kind):
    """The first subjects that have a place for it, sound and with the write."""
    for name in OWN:
        sound = networks()[name].subject(0)
        made = Case(name, kind, 0).planted()
        if made is not None:
            return sound, made[0], made[1]
    raise AssertionError(f"no network has a place for {kind}")


@pytest.mark.parametrize("kind", ["copied units", "dead product", "zero branch", "equal heads", "transposed fan"])
def test_a_write_changes_values_and_names_the_parameters_it_changed(kind):
    sound, other, where = planted(kind)
    before, after = dict(sound.model.named_parameters()), dict(other.model.named_parameters())
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    assert changed
    assert all(any(touches(name, place) for place in where) for name in changed if not name.endswith("bias"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*FAULTS, *TWINS])
def test_every_kind_has_a_place_somewhere_and_leaves_a_trace(kind):
    sound, other, _ = planted(kind)
    values = [list(each.model.state_dict().values()) for each in (sound, other)]
    is_same = len(values[0]) == len(values[1]) and all(map(torch.equal, *values))
    hooks = sum(len(module._forward_hooks) for module in other.model.modules())
    data = torch.equal(sound.inputs, other.inputs) and torch.equal(sound.targets, other.targets)
    listed = [str(sound.model), str(other.model)]
    untied = len(list(sound.model.parameters())) != len(list(other.model.parameters()))
    assert not (is_same and data and listed[0] == listed[1]) or hooks or untied or other.factory


def test_there_are_at_least_twenty_five_kinds_and_each_names_codes():
    assert len(FAULTS) >= 25
    assert all(kind.codes for kind in FAULTS.values())
    assert not any(kind.codes for kind in TWINS.values())


def test_the_two_halves_share_no_network_and_no_seed():
    held = [net for net in networks().values() if net.is_held]
    assert len(held) >= 20
    assert len(networks()) - len(held) >= 20
    assert command.SEEDS < trial.FIRST_HELD


def test_pairs_are_layers_whose_units_nothing_else_reads():
    plain = networks()["MLP, tanh"].subject(0)
    assert [pair.second.name for pair in parts.pairs(plain) if pair.first.name == "0.weight"] == ["2.weight"]
    blocks = networks()["ResNet, no norm"].subject(0)
    assert {pair.first.path.rpartition(".")[2] for pair in parts.pairs(blocks)} == {
        "first"
    }  # the stream has other readers


def test_copied_units_stay_copies_in_training_and_equal_rows_do_not():
    for kind, is_for_ever in (("half of the units copied", True), ("equal rows, distinct columns", False)):
        subject = networks()["MLP, tanh"].subject(0)
        assert plant(subject, {**FAULTS, **TWINS}[kind], "0") is not None
        train(subject, 0.05, 0, steps=5)
        weights = [each.value for each in parts.in_order(subject)]
        twins = [len(value.detach().double().round(decimals=6).unique(dim=0)) < len(value) for value in weights]
        assert any(twins) == is_for_ever


def test_true_fans_count_what_one_sum_has():
    grouped = nn.Sequential(nn.Conv2d(8, 8, 3, groups=4), nn.ConvTranspose2d(8, 4, 4, stride=2))
    assert [each.fan_in for each in parts.weights(grouped)] == [2 * 9, 8 * 16 // 4]


def test_a_start_hurts_when_no_learning_rate_reaches_the_sound_loss():
    reference = Sound((0.5, 0.6, 0.55), start=1.0)
    assert reference.hurts(math.inf)
    assert not reference.hurts(0.6)
    assert not Sound((0.01, 0.01, 0.01), start=2.3).hurts(0.1)  # both learnt all there is
    subject = networks()["MLP, tanh"].subject(0)
    with torch.no_grad():
        subject.model[0].weight[0, 0] = math.nan
    assert loss_after(subject, 0, reference) == math.inf


def _trial(kind, *said, where=("2.weight",), hurts=True):
    listed = [{"code": code, "severity": "error", "where": [place], "message": ""} for code, place in said]
    return Trial(Case("MLP, tanh", kind, 0), where, listed, hurts=hurts)


def test_the_first_place_of_the_first_finding_is_scored():
    assert _trial("NaN element", ("SZ101", "2.weight"), ("SZ301", "4")).is_placed
    assert not _trial("NaN element", ("SZ301", "4"), ("SZ101", "2.weight")).is_placed
    assert _trial("raw input", ("SZ901", ""), where=()).is_placed is None
    assert not _trial("NaN element").is_detected


def test_only_faults_that_hurt_count_and_twins_that_hurt_are_not_flagged():
    done = [
        _trial("NaN element", ("SZ101", "2.weight")),
        _trial("NaN element"),
        _trial("copied units", hurts=False),
        _trial("zero head", ("SZ402", "0"), hurts=True),
        _trial("zero head", ("SZ402", "0"), hurts=False),
    ]
    document = command.summary(done)
    assert (document["hurting"], document["detected"], document["placed"]) == (2, 0.5, 1.0)
    assert (document["twins"], document["flagged"], document["twins_that_hurt"]) == (2, 0.5, 1)
    assert not document["meets_bars"]


def test_where_a_write_does_not_apply_nothing_is_written():
    subject = networks()["LSTM"].subject(0)
    assert plant(subject, FAULTS["equal experts"], "0") is None
    assert isinstance(subject, Subject)
    assert all(map(torch.equal, subject.model.parameters(), networks()["LSTM"].subject(0).model.parameters()))


def test_the_same_seed_plants_the_same():
    one, other = (Case("MLP, tanh", "NaN element", 1).planted() for _ in range(2))
    assert one[1] == other[1]
    values = [list(each[0].model.state_dict().values()) for each in (one, other)]
    assert all(torch.equal(*pair) or pair[0].isnan().equal(pair[1].isnan()) for pair in zip(*values, strict=True))


@pytest.mark.slow
def test_short_mode_meets_its_bars(capsys):
    assert command.main(["--short"]) == 0
    assert "harmless twins flagged 0.0%" in capsys.readouterr().out
