import torch
from torch import nn
from torch.nn import functional as F

from tests.rules.ask import ask, reasons, severities

X = torch.randn(16, 8)


class Net(nn.Module):
    """A trunk, a head, and whatever a test adds without using it."""

    def __init__(self, **extra):
        super().__init__()
        self.trunk, self.head = nn.Linear(8, 8), nn.Linear(8, 4)
        for name, module in extra.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.head(F.relu(self.trunk(x)))


def found(model, batch=X, loss=None):
    return {finding.where: finding.severity for finding in ask("SZ405", model, batch, loss)}


def test_a_whole_module_is_one_finding():
    deep = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)))
    assert found(Net(pooler=deep)) == {("pooler",): "warning"}
    (finding,) = ask("SZ405", Net(pooler=deep), X)
    assert (finding.value, finding.limit) == (6.0, 0.0)
    assert "6 trainable parameters" in finding.message


def test_a_part_of_a_module_is_named_by_its_parameter():
    assert found(Net(token=nn.Parameter(torch.zeros(8)))) == {("token",): "warning"}


def test_the_same_part_of_repeated_blocks_is_one_finding():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.forgotten = nn.Linear(8, 8), nn.Parameter(torch.zeros(8))

        def forward(self, x):
            return self.fc(x)

    model = nn.Sequential(*(Block() for _ in range(4)))
    assert found(model) == {tuple(f"{index}.forgotten" for index in range(4)): "warning"}


def test_another_head_is_a_note():
    class Two(Net):
        def forward(self, x):
            h = F.relu(self.trunk(x))
            return self.head(h), self.value(h)

    assert found(Two(value=nn.Linear(8, 1)), loss=lambda output: output[0].square().mean()) == {("value",): "info"}


def test_used_models_are_silent():
    assert found(Net()) == {}


def test_frozen_parts_are_silent():
    assert found(Net(tower=nn.Linear(8, 8).requires_grad_(False))) == {}


def test_what_a_detach_cuts_off_is_a_warning():
    class Cut(Net):
        def forward(self, x):
            return self.head(F.relu(self.trunk(x)).detach())

    assert found(Cut()) == {("trunk",): "warning"}


def test_zero_gradients_are_not_unused():
    model = Net()
    nn.init.zeros_(model.head.weight)
    assert found(model) == {}


def test_experts_and_rows_that_were_not_hit():
    class Routed(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.experts = nn.Embedding(50, 8), nn.ModuleList(nn.Linear(8, 4) for _ in range(2))

        def forward(self, ids):
            return self.experts[0](self.embed(ids))

    assert found(Routed(), torch.randint(0, 3, (16,))) == {("experts.1",): "warning"}


def test_experts_the_router_sent_nothing_to_are_a_note():
    class Routed(nn.Module):
        def __init__(self):
            super().__init__()
            self.router = nn.Linear(8, 4)
            self.experts = nn.ModuleList(nn.Linear(8, 4) for _ in range(4))
            nn.init.zeros_(self.router.weight)
            self.router.bias.data = torch.tensor([5.0, 0.0, 9.0, -9.0])

        def forward(self, x):
            score, choice = self.router(x).softmax(-1).topk(2, -1)
            out = torch.zeros(len(x), 4)
            for index in choice.unique().tolist():
                rows, rank = torch.where(choice == index)
                out = out.index_add(0, rows, self.experts[index](x[rows]) * score[rows, rank, None])
            return out

    assert found(Routed()) == {("experts.1", "experts.3"): "info"}


def test_tied_and_bare_parameters_count_as_used():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.out = nn.Embedding(9, 8), nn.Linear(8, 9, bias=False)
            self.out.weight = self.embed.weight
            self.scale = nn.Parameter(torch.ones(8))

        def forward(self, ids):
            return F.linear(self.embed(ids) * self.scale, self.embed.weight)

    assert found(Tied(), torch.randint(0, 9, (16,))) == {}


def test_without_a_gradient_it_does_not_judge():
    assert severities("SZ405", Net().requires_grad_(False), X) == []
    assert reasons("SZ405", Net().requires_grad_(False), X) == ["no gradient was taken"]


def test_what_another_call_would_read_is_a_note():
    class Sees(Net):
        def forward(self, x, image=None):
            h = F.relu(self.trunk(x))
            return self.head(h if image is None else h + self.eye(image))

    assert found(Sees(eye=nn.Linear(3, 8))) == {("eye",): "info"}
    assert found(Sees(eye=nn.Linear(3, 8)), batch={"x": X, "image": torch.randn(16, 3)}) == {}
    assert found(Sees(eye=nn.Linear(3, 8), lost=nn.Linear(3, 8))) == {("eye",): "info", ("lost",): "warning"}


def test_a_parameter_without_elements_misses_nothing():
    assert found(Net(none=nn.Parameter(torch.zeros(0, 8)))) == {}
