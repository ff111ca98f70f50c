import torch
from torch import nn

from tests.rules.ask import ask, reasons, severities

X = torch.randn(16, 8)


class Scale(nn.Module):
    def __init__(self, *, write, cache=False):
        super().__init__()
        self.gain, self.linear = nn.Parameter(torch.empty(8)), nn.Linear(8, 4)
        self.register_buffer("cache", torch.empty(16, 8) if cache else None)
        if write:
            nn.init.ones_(self.gain)

    def forward(self, x):
        if self.cache is not None:
            self.cache.copy_(x.detach())
        return self.linear(x * self.gain)


def test_what_nobody_wrote_is_an_error():
    (finding,) = ask("SZ102", lambda: (Scale(write=False), X))
    assert (finding.severity, finding.where, finding.cause) == ("error", ("gain",), "never-written")
    assert "8 of 8 elements" in finding.message


def test_what_was_written_is_silent():
    assert severities("SZ102", lambda: (Scale(write=True), X)) == []


def test_without_a_factory_it_does_not_judge():
    assert severities("SZ102", Scale(write=True), X) == []
    assert reasons("SZ102", Scale(write=True), X)


def test_a_module_is_one_finding():
    def build():
        model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
        with torch.device("meta"):
            meta = nn.Linear(8, 8)
        model[0] = meta.to_empty(device="cpu")
        return model, X

    assert [finding.where for finding in ask("SZ102", build)] == [("0.weight", "0.bias")]


def test_a_cache_that_the_forward_fills_is_silent():
    assert severities("SZ102", lambda: (Scale(write=True, cache=True), X)) == []
