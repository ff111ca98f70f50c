import pytest
import torch
from torch import nn

import stepzero
from tests.rules.ask import ask, generator

X = torch.randn(16, 8, generator=generator(1))


class Net(nn.Module):
    def __init__(self, **extra):
        super().__init__()
        self.body = nn.Linear(8, 4)
        for name, value in extra.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.body(x)


def empty():
    return nn.Parameter(torch.zeros(0))


def test_an_empty_shard_is_named_and_the_check_is_incomplete():
    report = stepzero.check(Net(one=empty(), other=empty()), X)
    (finding,) = [each for each in report.findings if each.code == "SZ805"]
    assert (finding.severity, finding.where) == ("info", ("one", "other"))
    assert "sharded parameters" in {each.what for each in report.coverage.incomplete}
    assert report.exit_code() == 3


def test_also_when_the_rule_was_not_selected():
    assert not stepzero.check(Net(one=empty()), X, select=["SZ101"]).is_complete


@pytest.fixture
def four_ranks():
    """One process that believes to be the first of four; nothing is ever sent."""
    dist = pytest.importorskip("torch.distributed")
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", rank=0, world_size=4, store=FakeStore())
    yield dist.device_mesh.init_device_mesh("cpu", (4,))
    dist.destroy_process_group()


def test_distributed_tensors_are_read_where_every_rank_holds_all_of_them(four_ranks):
    from torch.distributed.tensor import DTensor, Replicate, Shard

    def spread(placement):
        return nn.Parameter(DTensor.from_local(torch.randn(4, 4), four_ranks, [placement], run_check=False))

    (finding,) = ask_unused(spread(Shard(0)))
    assert finding.where == ("spread",)
    assert ask_unused(spread(Replicate())) == []


def ask_unused(parameter):
    report = stepzero.check(Net(spread=parameter), X, select=["SZ805"])
    assert report.is_complete is (not report.findings)
    return list(report.findings)


# -- traps ----------------------------------------------------------------------------------------------------------


def test_layers_that_are_empty_by_their_own_shape_are_silent():
    report = stepzero.check(Net(nothing=nn.Linear(8, 0)), X, select=["SZ805"])
    assert report.findings == ()
    assert report.is_complete


def test_usual_models_are_silent():
    assert ask("SZ805", Net(), X) == []
