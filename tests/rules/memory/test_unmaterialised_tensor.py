from dataclasses import replace

import torch
from torch import nn

import stepzero
from stepzero.core.limits import Limits
from stepzero.rules.memory.unmaterialised_tensor import unmaterialised_tensor
from tests.rules.ask import ask, severities

X = torch.randn(16, 8)


def test_meta_parameters_and_buffers_are_one_finding():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    (finding,) = ask("SZ104", model, X)
    assert finding.severity == "error"
    assert finding.where[:3] == ("0.weight", "0.bias", "1.weight")
    assert "1.running_mean" in finding.where
    assert "7 tensors" in finding.message or "of 7" in finding.message


def test_lazy_parameters():
    (finding,) = ask("SZ104", nn.Sequential(nn.LazyLinear(4)), X)
    assert finding.where == ("0.weight", "0.bias")
    assert "lazy" in finding.message


def test_freed_storage():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    model[0].weight.untyped_storage().resize_(0)
    (finding,) = ask("SZ104", model, X)
    assert finding.where == ("0.weight",)


def test_the_check_is_incomplete_but_says_why():
    with torch.device("meta"):
        model = nn.Linear(8, 4)
    report = stepzero.check(model, X)
    assert not report.is_complete
    assert {finding.code for finding in report.findings} == {"SZ104"}


def test_materialised_and_initialised_is_silent():
    with torch.device("meta"):
        model = nn.Linear(8, 4)
    model = model.to_empty(device="cpu")
    model.reset_parameters()
    assert severities("SZ104", model, X) == []


def test_sharded_and_empty_tensors_are_not_reported():
    model = nn.Linear(8, 4)
    model.register_buffer("cache", torch.empty(0, 4))
    record = stepzero.trace(model, X)
    sharded = replace(record, parameters=tuple(replace(fact, state="sharded") for fact in record.parameters))
    assert list(unmaterialised_tensor.judge(sharded, Limits())) == []
