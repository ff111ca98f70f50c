import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.core.graph import Graph
from stepzero.measure.routing import is_chosen, is_ranked, passed_over, routers

X = torch.randn(6, 5, 8, generator=torch.Generator().manual_seed(0))


class Experts(nn.Module):
    """Four experts; tokens go to the first two, by whatever ``pick`` makes of the router's choice."""

    def __init__(self, pick):
        super().__init__()
        self.router, self.pick = nn.Linear(8, 4), pick
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)) for _ in range(4))
        nn.init.constant_(self.router.bias, -100.0)
        nn.init.zeros_(self.router.bias[:2])

    def forward(self, x):
        tokens = x.reshape(-1, 8)
        weight, choice = self.router(tokens).softmax(-1).max(-1)
        out = torch.zeros_like(tokens)
        for index, expert in enumerate(self.experts):
            mine = choice == index
            if mine.any():
                rows = mine.nonzero()[:, 0]
                out.index_add_(0, rows, expert(self.pick(tokens, mine, rows)) * weight[mine][:, None])
        return out


PICKS = {
    "mask": lambda tokens, mine, rows: tokens[mine],
    "indices": lambda tokens, mine, rows: tokens[rows],
    "index_select": lambda tokens, mine, rows: tokens.index_select(0, rows),
    "gather": lambda tokens, mine, rows: tokens.gather(0, rows[:, None].expand(-1, 8)),
    "views in between": lambda tokens, mine, rows: tokens[None, rows].reshape(-1, 8).contiguous(),
}


@pytest.mark.parametrize("name", PICKS)
def test_experts_without_a_token_were_passed_over(name):
    seen = trace(Experts(PICKS[name]), X)
    unused = ["experts.2", "experts.3"]
    assert passed_over(seen, unused) == set(unused)
    first = next(operation for operation in seen.weighted() if operation.module == "experts.0.0")
    router = next(operation for operation in seen.weighted() if operation.module == "router")
    assert (is_chosen(seen, first), is_chosen(seen, router)) == (True, False)


def test_another_build_or_another_container_was_not():
    class More(Experts):
        def __init__(self):
            super().__init__(PICKS["mask"])
            self.experts.append(nn.Linear(8, 8))
            self.spare = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))

        def forward(self, x):
            self.experts, last = self.experts[:4], self.experts
            out = super().forward(x)
            self.experts = last
            return out

    assert passed_over(trace(More(), X), ["experts.2", "experts.4", "spare"]) == {"experts.2"}


def test_a_forgotten_layer_with_experts_in_it_was_not():
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.moe = nn.Linear(8, 8), Experts(PICKS["mask"])

        def forward(self, x):
            return self.moe(self.first(x))

    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(Layer() for _ in range(2))

        def forward(self, x):
            return self.layers[0](x)

    seen = trace(Stack(), X)
    assert passed_over(seen, ["layers.1", "layers.0.moe.experts.2"]) == {"layers.0.moe.experts.2"}


def test_parts_chosen_by_hand_are_no_choice_of_the_data():
    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))

        def forward(self, x):
            return self.layers[1](self.layers[0](x[:, 0]))

    assert passed_over(trace(Stack(), X), ["layers.2", "layers.3"]) == set()


def test_tables_that_are_looked_up_are_no_experts():
    class Tables(nn.Module):
        def __init__(self):
            super().__init__()
            self.tables = nn.ModuleList(nn.Embedding(9, 8) for _ in range(3))

        def forward(self, ids):
            return self.tables[0](ids[:, 0]) + self.tables[1](ids[:, 1])

    ids = torch.arange(12).view(6, 2) % 9
    assert passed_over(trace(Tables(), ids), ["tables.2"]) == set()


@pytest.mark.parametrize(
    ("rank", "found"),
    [
        (lambda z: z.topk(2).indices, True),
        (lambda z: z.softmax(-1).topk(2).indices, True),
        (lambda z: torch.sigmoid(z).argmax(-1), True),
        (lambda z: (z + torch.rand_like(z)).topk(2).indices, False),  # noise decides as well
        (lambda z: z.sum(-1), False),
    ],
)
def test_a_router_is_a_layer_whose_results_are_ranked(rank, found):
    class Ranks(nn.Module):
        def __init__(self):
            super().__init__()
            self.router = nn.Linear(8, 4)

        def forward(self, x):
            logits = self.router(x)
            return logits * (1 + 0 * rank(logits).sum())

    names = [use.parameter for each in routers(trace(Ranks(), torch.randn(16, 8))) for use in each.uses]
    assert ("router.weight" in names) is found


def test_scores_that_are_ranked_later_are_told_from_features():
    class Scored(nn.Module):
        def __init__(self):
            super().__init__()
            self.score, self.feature, self.bias = nn.Linear(8, 4), nn.Linear(8, 4), nn.Parameter(torch.zeros(4))

        def forward(self, x):
            scores = torch.sigmoid(self.score(x)) + self.bias
            chosen = scores.topk(2).indices
            return torch.tanh(self.feature(x)).gather(1, chosen)

    record = trace(Scored(), torch.randn(16, 8))
    graph = Graph(record)
    ranked = {operation.name: is_ranked(graph, operation.index) for operation in record.operations}
    assert (ranked["sigmoid"], ranked["tanh"]) == (True, False)
