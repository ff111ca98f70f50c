"""Sorting finds what comparing all pairs finds; refinement finds what trying all partitions finds."""

import itertools
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stepzero.measure.redundancy import (
    PROJECTIONS,
    Stage,
    coarsest_partition,
    equal_groups,
    parallel_groups,
    projector,
    twin_groups,
)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LABELS = st.lists(st.integers(0, 6), min_size=0, max_size=14)


def classes(labels):
    """Indices of equal labels, groups of two or more, in index order."""
    found = {}
    for index, label in enumerate(labels):
        found.setdefault(label, []).append(index)
    return sorted(group for group in found.values() if len(group) > 1)


# -- equal, parallel, twin --------------------------------------------------------------------------------------------


@given(
    labels=LABELS, length=st.integers(1, 9), scale=st.sampled_from([1e-200, 1e-6, 1.0, 1e100]), seed=st.integers(0, 99)
)
def test_equal_groups_are_the_classes_of_equal_vectors(labels, length, scale, seed):
    vectors = drawn(7, length, seed=seed)[labels] * scale if labels else torch.zeros(0, length, dtype=torch.float64)
    assert equal_groups(vectors, 1e-12) == classes(labels)


@given(labels=LABELS, seed=st.integers(0, 99))
def test_differences_below_the_tolerance_join_and_above_part(labels, seed):
    vectors = drawn(7, 6, seed=seed)[labels] if labels else torch.zeros(0, 6, dtype=torch.float64)
    jitter = drawn(len(labels), 6, seed=seed + 1)
    jitter /= jitter.norm(dim=1, keepdim=True).clamp(min=1e-9)
    size = vectors.norm(dim=1, keepdim=True)
    assert equal_groups(vectors + 4e-7 * size * jitter, 1e-6) == classes(labels)
    assert equal_groups(vectors + 1e-3 * size * jitter, 1e-6) == []


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=0, max_size=20))
def test_equal_groups_against_all_pairs(pairs):
    vectors = torch.tensor(pairs, dtype=torch.float64).reshape(-1, 2)
    assert equal_groups(vectors, 0.0) == classes(pairs)


def test_zero_vectors_are_equal_to_each_other_alone():
    vectors = torch.tensor([[0.0, 0.0], [1e-300, 0.0], [0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    assert equal_groups(vectors, 1e-6) == [[0, 2]]


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    factors=st.lists(st.sampled_from([1.0, -1.0, 2.5, -0.01, 1e6, 0.0]), min_size=12, max_size=12),
    seed=st.integers(0, 99),
)
def test_parallel_groups_are_the_lines_through_the_origin(labels, factors, seed):
    factor = torch.tensor(factors[: len(labels)], dtype=torch.float64)
    vectors = drawn(5, 4, seed=seed)[labels] * factor[:, None]
    lines = [label if factors[index] else f"zero {index}" for index, label in enumerate(labels)]
    assert parallel_groups(vectors, 1e-12) == classes(lines)


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
    seed=st.integers(0, 99),
)
def test_twin_groups_are_equal_bit_by_bit(labels, dtype, seed):
    rows = drawn(5, 6, seed=seed).to(dtype)[labels]
    assert twin_groups(rows) == classes(labels)
    nearly = rows.clone()
    nearly[0, 0] = torch.nextafter(nearly[0, 0], torch.tensor(9.0, dtype=dtype))
    assert twin_groups(nearly) == classes(["other", *labels[1:]])


def test_slabs_of_rows_change_nothing(monkeypatch):
    rows = drawn(5, 6)[[0, 1, 2, 1, 3, 0, 4, 4]]
    whole = twin_groups(rows)
    monkeypatch.setattr("stepzero.measure.redundancy._CHUNK", 12)
    monkeypatch.setattr("stepzero.measure.redundancy._COMPARED", 12)
    assert twin_groups(rows) == whole == [[0, 5], [1, 3], [6, 7]]


def test_projectors_repeat_and_differ():
    assert torch.equal(projector(7), projector(7))
    assert projector(7).shape == (PROJECTIONS, 7)
    assert projector(7, 3).shape == (3, 7)
    assert not torch.equal(projector(7, seed=1), projector(7, seed=2))


# -- partitions -------------------------------------------------------------------------------------------------------


def partitions(count):
    """Every way to colour ``count`` units: restricted growth strings."""
    colourings = [[]]
    for _ in range(count):
        colourings = [[*each, colour] for each in colourings for colour in range(max(each, default=-1) + 2)]
    return colourings


def is_lumped(stages, colouring):
    """(F) and (B) of theorem 2 in every layer, for these colours."""
    layers = [list(range(stages[0].weight.shape[1])), *colouring, list(range(len(stages[-1].weight)))]
    for number, stage in enumerate(stages):
        below, own = layers[number], layers[number + 1]
        down = [
            [stage.weight[unit, [c for c, x in enumerate(below) if x == colour]].sum(0) for colour in set(below)]
            for unit in range(len(own))
        ]
        up = [
            [stage.weight[[a for a, x in enumerate(own) if x == colour], unit].sum(0) for colour in set(own)]
            for unit in range(len(below))
        ]
        for sums, colours in ((down, own), (up, below)):
            for one, other in itertools.combinations(range(len(colours)), 2):
                if colours[one] == colours[other] and not all(
                    torch.allclose(a, b) for a, b in zip(sums[one], sums[other], strict=True)
                ):
                    return False
        for one, other in itertools.combinations(range(len(own)), 2):
            if own[one] == own[other] and not torch.equal(stage.extra[one], stage.extra[other]):
                return False
    return True


def stages_of(widths, seed, values=2, taps=1):
    draw = torch.Generator().manual_seed(seed)
    made = []
    for before, after in itertools.pairwise(widths):
        weight = torch.randint(0, values, (after, before, taps), generator=draw).double()
        extra = (
            torch.randint(0, 2, (after, 1), generator=draw).double()
            if len(made) < len(widths) - 2
            else torch.zeros(after, 1).double()
        )
        made.append(Stage(weight, extra * (seed % 2)))
    return made


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    widths=st.sampled_from([(1, 4, 1), (2, 4, 2), (1, 3, 3, 1), (1, 4, 4, 1), (2, 3, 4, 2), (1, 3, 3, 3, 1)]),
    taps=st.integers(1, 2),
)
def test_refinement_finds_the_coarsest_of_all_lumped_partitions(seed, widths, taps):
    stages = stages_of(widths, seed, taps=taps)
    every = itertools.product(*(partitions(width) for width in widths[1:-1]))
    lumped = [colouring for colouring in every if is_lumped(stages, colouring)]
    coarsest = min(lumped, key=lambda colouring: sum(max(each) for each in colouring))
    assert [classes(each) for each in coarsest_partition(stages)] == [classes(each) for each in coarsest]


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), blocks=st.integers(1, 5), size=st.integers(2, 6), layers=st.integers(1, 4))
def test_planted_lumps_are_found_though_all_rows_differ(seed, blocks, size, layers):
    """Block means of a random matrix plus a random rest whose sums over every block are zero, rows and columns."""
    width = blocks * size
    mean = torch.block_diag(*[torch.full((size, size), 1 / size, dtype=torch.float64)] * blocks)
    rest = torch.eye(width, dtype=torch.float64) - mean
    inner = [drawn(width, width, seed=seed + layer) for layer in range(layers - 1)]
    weights = [
        mean @ drawn(width, 3, seed=seed + 50),
        *(mean @ each @ mean + rest @ each @ rest for each in inner),
        drawn(2, width, seed=seed + 60) @ mean,
    ]
    stages = [Stage(weight[..., None], torch.zeros(len(weight), 1, dtype=torch.float64)) for weight in weights]
    planted = [unit // size for unit in range(width)]
    assert coarsest_partition(stages) == [planted] * layers
    if layers > 1:
        assert twin_groups(weights[1]) == []


def test_one_changed_entry_splits_what_depends_on_it():
    stages = [
        Stage(torch.ones(4, 2, 1).double(), torch.zeros(4, 1).double()),
        Stage(torch.ones(1, 4, 1).double(), torch.zeros(1, 1).double()),
    ]
    assert coarsest_partition(stages) == [[0, 0, 0, 0]]
    stages[0].weight[2, 1] += 0.5
    assert coarsest_partition(stages) == [[0, 0, 1, 0]]
    stages[1].weight[0, 3] += 0.5
    assert coarsest_partition(stages) == [[0, 0, 1, 2]]
    stages[0].extra[1] = 1.0
    assert coarsest_partition(stages) == [[0, 1, 2, 3]]


def test_taps_count_one_by_one():
    """Channels whose kernels have equal sums over taps, but not tap by tap, are different."""
    kernels = torch.tensor([[[1.0, 2.0]], [[2.0, 1.0]], [[1.0, 2.0]]]).double()
    stages = [
        Stage(kernels, torch.zeros(3, 1).double()),
        Stage(torch.ones(1, 3, 1).double(), torch.zeros(1, 1).double()),
    ]
    assert coarsest_partition(stages) == [[0, 1, 0]]


def test_columns_behind_a_flattening_all_count():
    channels = Stage(torch.ones(2, 1, 1).double(), torch.zeros(2, 1).double())
    flat = torch.tensor([[1.0, 2.0, 1.0, 2.0]]).double()  # two places a channel
    assert coarsest_partition([channels, Stage(flat, torch.zeros(1, 1).double())]) == [[0, 0]]
    swapped = torch.tensor([[1.0, 2.0, 2.0, 1.0]]).double()
    assert coarsest_partition([channels, Stage(swapped, torch.zeros(1, 1).double())]) == [[0, 1]]


def test_random_weights_are_all_different():
    stages = [
        Stage(drawn(16, 8, 1), torch.zeros(16, 1).double()),
        Stage(drawn(16, 16, 1, seed=1), torch.zeros(16, 1).double()),
        Stage(drawn(3, 16, 1, seed=2), torch.zeros(3, 1).double()),
    ]
    assert coarsest_partition(stages) == [list(range(16)), list(range(16))]


# -- time -------------------------------------------------------------------------------------------------------------


def seconds(work):
    """The best of three."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


@pytest.mark.parametrize(
    "of",
    [
        lambda vectors: equal_groups(vectors, 1e-12),
        lambda vectors: parallel_groups(vectors, 1e-12),
        twin_groups,
    ],
    ids=["equal", "parallel", "twins"],
)
def test_time_grows_nearly_as_the_number_of_units(of):
    small, large = (drawn(count, 16) for count in (4_000, 32_000))
    assert seconds(lambda: of(large)) < 4 * 8 * seconds(lambda: of(small)) + 0.05


def test_refinement_takes_time_in_proportion_to_the_parameters():
    def stack(width):
        weights = [drawn(width, 16, 1), drawn(width, width, 1, seed=1), drawn(4, width, 1, seed=2)]
        return [Stage(weight, torch.zeros(len(weight), 1).double()) for weight in weights]

    small, large = stack(128), stack(512)  # 16 times the parameters
    assert seconds(lambda: coarsest_partition(large)) < 4 * 16 * seconds(lambda: coarsest_partition(small)) + 0.05
