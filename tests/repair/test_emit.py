"""The emitted function: plain torch, the same bits, in a process without stepzero."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

import stepzero as sz
from stepzero.core.errors import ConfigError
from stepzero.repair.emit import emit, refuse

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 8, padding_idx=0)
        self.body = nn.LSTM(8, 12, 2, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, ids):
        return self.head(self.body(self.table(ids))[0][:, -1])


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(3)])
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return self.norm(x)


MODELS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3)), X),
    "recurrent": (Recurrent, torch.arange(60).reshape(5, 12) % 20),
    "residual": (Residual, X),
    "kinks": (lambda: nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3)), X[:, :2]),
    "double": (lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)).double(), X.double()),
    "half": (lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)).bfloat16(), X.bfloat16()),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_fills_in_the_same_bits(name):
    make, batch = MODELS[name]
    model = make()
    fresh = copy.deepcopy(model)
    code = emit(sz.init_(model, batch), model)
    space = {}
    exec(compile(code, "emitted", "exec"), space)
    space["init_"](fresh)
    wanted, got = model.state_dict(), fresh.state_dict()
    assert [key for key in wanted if not torch.equal(wanted[key], got[key])] == []


def test_it_runs_where_stepzero_cannot_be_imported(tmp_path):
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
    (tmp_path / "start.py").write_text(emit(sz.init_(model, X), model))
    torch.save(model.state_dict(), tmp_path / "wanted.pt")
    code = (
        "import sys; sys.modules['stepzero'] = None\n"
        "import torch; from torch import nn; from start import init_\n"
        "model = init_(nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3)))\n"
        "wanted = torch.load('wanted.pt', weights_only=True)\n"
        "assert all(torch.equal(value, wanted[key]) for key, value in model.state_dict().items())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_fixes_are_emitted_alone():
    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
        nn.init.constant_(model[2].weight, 0.1)
        return model

    model, fresh = build(), build()
    loss = lambda output: output.square().mean()  # noqa: E731 - as users write it
    plan = sz.fix_(model, sz.check(model, X, loss))
    space = {}
    exec(compile(emit(plan, model), "emitted", "exec"), space)
    space["init_"](fresh)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), fresh.parameters(), strict=True))


def test_a_scheme_that_is_not_plain_torch_is_refused():
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
    plan = sz.init_(model, X, scheme="sparse")
    with pytest.raises(ConfigError, match=r"0\.weight is drawn by scheme 'sparse'"):
        emit(plan, model)


def emitted(model, batch):
    space = {}
    exec(compile(emit(sz.init_(model, batch), model), "emitted", "exec"), space)
    return space["init_"]


def test_a_model_without_memory_is_refused():
    start = emitted(nn.Linear(8, 3), X)
    with torch.device("meta"):
        model = nn.Linear(8, 3)
    with pytest.raises(ValueError, match="to_empty"):
        start(model)


def test_wrappers_are_taken_off():
    model = nn.Linear(8, 3)
    start = emitted(model, X)
    wrapped = nn.DataParallel(nn.Linear(8, 3))
    start(wrapped)
    assert torch.equal(wrapped.module.weight, model.weight)


@pytest.mark.parametrize(
    "other",
    [
        lambda: nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 3)),
        lambda: nn.Sequential(nn.Linear(8, 16), nn.Tanh()),
        lambda: nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3, bias=False)),
    ],
)
def test_another_model_is_left_with_a_warning(other):
    start = emitted(nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3)), X)
    model = other()
    saved = copy.deepcopy(model.state_dict())
    with pytest.warns(UserWarning, match="made for another model"):
        assert start(model) is model
    assert all(torch.equal(value, saved[key]) for key, value in model.state_dict().items())


def test_the_plan_of_a_wrapped_model_can_be_written():
    model, fresh = torch.compile(nn.Linear(8, 3)), nn.Linear(8, 3)
    refuse(model)
    emitted(model, X)(fresh)
    assert torch.equal(model.weight, fresh.weight)


def test_what_cannot_be_written_is_refused_before_any_work():
    model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 3).to(torch.complex64))
    with pytest.raises(ConfigError, match=r"1\.weight is complex"):
        refuse(model)
    refuse(model, keep=["1.*"])
    refuse(nn.Linear(2, 2), scheme="he")
    with pytest.raises(ConfigError, match="'sparse' cannot be written as plain torch"):
        refuse(nn.Linear(2, 2), scheme="sparse")
