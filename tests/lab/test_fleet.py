import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stepzero.core.errors import ConfigError
from stepzero.lab import native, program
from stepzero.lab.fleet import Fleet, observe
from stepzero.lab.update import OPTIMIZERS, Update
from tests.lab.fleets import PROGRAMS, samples, starts

ENGINES = [name for name in ("kernel", "stacked") if name == "stacked" or not native.reason()]


def fleet(built, weights, update="adam", engine="auto", lrs=None):
    lrs = torch.full((len(weights),), 0.02) if lrs is None else lrs
    return Fleet(built, weights.clone(), lrs, Update(update), engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
@settings(deadline=None, max_examples=25)
@given(
    name=st.sampled_from(sorted(PROGRAMS)),
    activation=st.sampled_from(["tanh", "relu", "gelu_tanh"]),
    optimizer=st.sampled_from(OPTIMIZERS),
    loss=st.sampled_from(["cross_entropy", "mse"]),
    batch=st.sampled_from([None, 5, 16, 32]),
    size=st.integers(1, 40),
    data=st.data(),
)
def test_a_network_becomes_the_same_wherever_it_rides(engine, name, activation, optimizer, loss, batch, size, data):
    built, networks, steps = PROGRAMS[name](activation), 12, 4
    task = samples(built, loss=loss, dtype=torch.float32)
    pool = starts(built, networks, dtype=torch.float32)
    lrs = torch.linspace(0.01, 0.3, networks)
    generator = torch.Generator().manual_seed(5)
    order = None if batch is None else torch.randint(0, 21, (networks, steps, batch), generator=generator)
    seats = torch.tensor(data.draw(st.lists(st.integers(0, networks - 1), min_size=size, max_size=size)))

    def result(members):
        own = fleet(built, pool[members], optimizer, engine, lrs[members])
        losses = own.train_(task, steps, None if order is None else order[members])
        return losses, own.weights, *observe(built, own.weights, task, engine=engine)

    whole, part = result(torch.arange(networks)), result(seats)
    for one, other in zip(whole, part, strict=True):
        assert torch.equal(one[seats].nan_to_num(), other.nan_to_num())


@pytest.mark.parametrize("engine", ENGINES)
def test_training_in_pieces_is_training_at_once(engine):
    built = PROGRAMS["plain"]("tanh")
    task, weights = samples(built), starts(built, 3)
    order = torch.randint(0, 21, (3, 9, 8), generator=torch.Generator().manual_seed(2))
    once, pieces = (fleet(built, weights, "adam", engine) for _ in range(2))
    whole = once.train_(task, 9, order)
    parts = [pieces.train_(task, steps, order[:, start : start + steps]) for start, steps in ((0, 4), (4, 5))]
    assert torch.equal(whole, torch.cat(parts, 1))
    assert torch.equal(once.weights, pieces.weights)


@pytest.mark.parametrize("engine", ENGINES)
def test_who_diverges_stops_and_leaves_the_others_alone(engine):
    built = PROGRAMS["plain"]("relu")
    task, weights = samples(built, loss="mse"), starts(built, 3)
    wild = fleet(built, weights, "sgd", engine, torch.tensor([0.02, 1e6, 0.02]))
    calm = fleet(built, weights[[0, 2]], "sgd", engine)
    losses, expected = wild.train_(task, 60), calm.train_(task, 60)
    assert torch.equal(losses[[0, 2]], expected)
    stop = int(wild.stopped[1])
    assert 0 < stop < 60
    assert not losses[1, stop].isfinite()
    assert losses[1, stop + 1 :].isnan().all()
    assert wild.stopped[[0, 2]].tolist() == [-1, -1]
    at_stop = wild.weights[1].clone()
    wild.train_(task, 3)
    assert torch.equal(wild.weights[1].nan_to_num(), at_stop.nan_to_num())


@pytest.mark.skipif("kernel" not in ENGINES, reason="the stand-in sums by torch's own code")
@pytest.mark.parametrize("update", OPTIMIZERS)
@pytest.mark.parametrize("width", [7, 16, 33, 64])
def test_twins_stay_twins_to_the_last_bit_at_every_width(width, update):
    built = program.mlp(20, [width] * 3, 5, "tanh")
    task, weights = samples(built, dtype=torch.float32), starts(built, 1, dtype=torch.float32, scale=0.3)
    own = fleet(built, weights, update, "kernel")
    row, bias = own.layer(own.weights, 1)
    columns, _ = own.layer(own.weights, 2)
    row[:, -1], bias[:, -1], columns[:, :, -1] = row[:, 0], bias[:, 0], columns[:, :, 0]
    own.train_(task, 50)
    assert torch.equal(row[:, -1], row[:, 0])
    assert torch.equal(columns[:, :, -1], columns[:, :, 0])
    assert not torch.equal(row[:, 1], row[:, 0])


def test_each_network_has_a_learning_rate_of_its_own():
    built = PROGRAMS["plain"]("tanh")
    weights = starts(built, 1).expand(2, -1)
    own = fleet(built, weights, "sgd", lrs=torch.tensor([0.0, 0.1]))
    own.train_(samples(built), 1)
    assert torch.equal(own.weights[0], weights[0])
    assert not torch.equal(own.weights[1], weights[1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": torch.zeros(2, 3)}, r"got \(2, 3\)"),
        ({"update": Update("sdg")}, "'sdg'"),
        ({"engine": "gpu"}, "'gpu'"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, words):
    built = PROGRAMS["plain"]("tanh")
    given = {"weights": starts(built, 2), "update": Update(), "engine": "auto", **change}
    with pytest.raises(ConfigError, match=words):
        Fleet(built, given["weights"], torch.ones(2), given["update"], engine=given["engine"]).train_(samples(built), 1)
