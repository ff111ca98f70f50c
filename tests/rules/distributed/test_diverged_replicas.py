import pytest

from tests.rules import ranks

HEAD = """
import torch
import torch.distributed as dist
from torch import nn

DDP = nn.parallel.DistributedDataParallel
X = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))


def net():
    torch.manual_seed(dist.get_rank())
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))


def build():
"""


def said(body, count=2):
    text = HEAD + "".join(f"    {line}\n" for line in body.splitlines())
    return ranks.report(text, count, "SZ802").findings


def test_what_was_written_after_the_wrapper_is_named():
    (finding,) = said("model = DDP(net())\nnn.init.normal_(model.module[3].weight)\nreturn model, X")
    assert (finding.severity, finding.where) == ("error", ("3.weight",))
    assert "of 2 ranks" in finding.message


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "return DDP(net()), X",
        "return net(), X",
        "model = net()\nDDP._set_params_and_buffers_to_ignore_for_model(model, ['3.weight'])\nreturn DDP(model), X",
        "model = DDP(net())\nnn.init.zeros_(model.module[3].weight)\nreturn model, X",
    ],
    ids=["wrapped last", "not wrapped", "an expert of its own", "a constant"],
)
def test_what_is_equal_or_meant_to_differ_is_silent(body):
    assert said(body) == ()
