import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.rules.ask import ask, generator

IDS = torch.randint(20, (4, 14), generator=generator(1))


class Model(nn.Module):
    """Table, something that mixes positions, head."""

    def __init__(self, kind="attention", causal=True):
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.causal = kind, causal
        self.table, self.head = nn.Embedding(20, 16), nn.Linear(16, 20)
        self.qkv = nn.Linear(16, 48)
        self.conv = nn.Conv1d(16, 16, 3)
        self.gru = nn.GRU(16, 8 if not causal else 16, bidirectional=not causal, batch_first=True)

    def forward(self, ids):
        h = self.table(ids)
        if self.kind == "attention":
            q, k, v = self.qkv(h).chunk(3, -1)
            h = h + F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        elif self.kind == "conv":
            pad = (2, 0) if self.causal else (1, 1)
            h = self.conv(F.pad(h.transpose(1, 2), pad)).transpose(1, 2)
        elif self.kind == "gru":
            h = self.gru(h)[0]
        else:
            h = h - (h.cumsum(1) / torch.arange(1, h.shape[1] + 1)[:, None] if self.causal else h.mean(1, keepdim=True))
        return self.head(h)


def said(model, inputs=IDS[:, :-1], labels=IDS[:, 1:]):
    loss = lambda output: F.cross_entropy(output.flatten(0, 1), labels.flatten())  # noqa: E731 - short
    return [finding.severity for finding in ask("SZ904", model, inputs, loss, deep=True)]


KINDS = ["attention", "conv", "gru", "mean"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_sees_the_next_token_is_an_error(kind):
    assert said(Model(kind, causal=False)) == ["error"]


def test_where_it_leaks_is_named():
    (finding,) = ask(
        "SZ904",
        Model("conv", causal=False),
        IDS[:, :-1],
        lambda output: F.cross_entropy(output.flatten(0, 1), IDS[:, 1:].flatten()),
        deep=True,
    )
    assert finding.where == ("conv",)
    assert "1 of 6 earlier" in finding.message


def test_the_leak_is_what_training_exploits():
    """Random tokens cannot be foretold: a loss below ln 20 is read off the input."""

    def trained(causal):
        model = Model("conv", causal=causal)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for step in range(150):
            ids = torch.randint(20, (16, 17), generator=generator(step))
            loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    assert trained(causal=False) < 1.5
    assert trained(causal=True) > 2.7


def test_labels_within_the_model_make_the_same_claim():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = Model(causal=False)

        def forward(self, input_ids, labels):
            logits = self.body(input_ids)
            return {"loss": F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()), "logits": logits}

    (finding,) = ask("SZ904", Own(), {"input_ids": IDS, "labels": IDS}, deep=True)
    assert finding.severity == "error"


def test_ignored_positions_make_the_same_claim():
    labels = IDS[:, 1:].clone()
    labels[:, ::3] = -100
    assert said(Model(causal=False), labels=labels) == ["error"]


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_causal_models_are_silent(kind):
    assert said(Model(kind)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_claim_every_model_is_silent(kind):
    model = Model(kind, causal=False)
    assert said(model, labels=IDS[:, :-1]) == []
    assert said(model, labels=torch.randint(20, (4, 13), generator=generator(3))) == []


def test_masked_tokens_are_no_claim():
    labels = torch.full_like(IDS[:, :-1], -100)
    labels[:, ::5] = IDS[:, :-1][:, ::5]
    assert said(Model(causal=False), labels=labels) == []


def test_a_batch_of_one_token_makes_no_claim():
    ones = torch.ones(4, 14, dtype=torch.long)
    assert said(Model(causal=False), ones[:, :-1], ones[:, 1:]) == []
