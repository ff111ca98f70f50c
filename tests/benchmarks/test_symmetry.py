"""The symmetry benchmark finds a right probe right and a wrong one wrong, and its plants are what they say."""

import copy
import json
import math
from types import SimpleNamespace

import pytest
import torch

from benchmarks.symmetry import cells, study, theorems
from benchmarks.symmetry.__main__ import main
from benchmarks.symmetry.outcome import FEW, calm_until, fates, gap, moved, nudged, responses, rows_of
from benchmarks.symmetry.plants import KINDS, Group
from benchmarks.symmetry.population import Case, case, combinations
from benchmarks.symmetry.training import OPTIMIZERS, flatten, train
from benchmarks.symmetry.verdict import foretold, judge

QUICK = ["sgd", "adam", "adam+l2"]


def seed_of(kind: str, family: str = "") -> int:
    """The first member of the population with this plant."""
    return next(
        seed for seed, (of, planted) in enumerate(combinations()) if planted == kind and (not family or of == family)
    )


def oracle(model, batch, loss):
    """Blocks from responses and gradients at the modules' outputs: what the probe should say of these networks."""
    names = [name for name, values in model.named_parameters() if values.dim() > 1]
    seen = both(model, batch, loss, names)
    blocks = []
    for name, (response, gradient) in seen.items():
        rows = rows_of(model, name, model.get_parameter(name)).detach()
        left = set(range(len(response)))
        while left:
            first = min(left)
            level = {unit: level_of(response, gradient, rows, first, unit) for unit in left - {first}}
            for wanted in ("twins", "lumped", "rows", "mirrored", "scaled"):
                units = [first, *(unit for unit, said in level.items() if said == wanted)]
                if len(units) > 1:
                    blocks.append(SimpleNamespace(level=wanted, members=[SimpleNamespace(parameter=name, units=units)]))
            left -= {first, *(unit for unit, said in level.items() if said in ("twins", "lumped"))}
    return SimpleNamespace(ran=True, reason="", blocks=blocks)


def both(model, batch, loss, names):
    """Responses and gradients [U, N] of the weights' units, by calls."""
    kept = {}

    def keep(name):
        def hook(module, _, output):
            output.requires_grad_().retain_grad() if output.is_leaf else output.retain_grad()
            kept.setdefault(name, []).append((module, output))

        return hook

    hooks = [model.get_submodule(name.rpartition(".")[0]).register_forward_hook(keep(name)) for name in names]
    loss(model(batch)).backward()
    for hook in hooks:
        hook.remove()
    from benchmarks.symmetry.outcome import _by_unit

    return {
        name: tuple(
            torch.cat([_by_unit(module, part(output)) for module, output in calls], 1)
            for part in (lambda output: output.detach(), lambda output: output.grad)
        )
        for name, calls in kept.items()
    }


def level_of(response, gradient, rows, one, other):
    def same(a, b):
        return bool((a - b).norm() <= 1e-12 * (a.norm() + b.norm()))

    if not gradient[one].any() or not gradient[other].any():
        return ""
    ratio = float(response[other] @ response[one] / response[one].square().sum())
    if same(response[one], response[other]):
        if not same(gradient[one], gradient[other]):
            return "rows"
        return "twins" if same(rows[one], rows[other]) else "lumped"
    if same(response[other], ratio * response[one]) and same(gradient[other], ratio * gradient[one]):
        return "mirrored" if abs(ratio + 1) < 1e-9 else "scaled" if ratio > 0 else ""
    return ""


@pytest.mark.parametrize(
    "kind", ["twins", "equal rows", "equal columns", "mirrored", "scaled", "equal experts", "equal heads", "zero head"]
)
def test_a_right_probe_agrees_with_training(kind: str) -> None:
    found = study.run([seed_of(kind)], optimizers=QUICK, steps=60, observe=oracle)
    assert study.totals(found)["compared"] > 0
    assert [(item["about"], item["wrong"]) for item in study.disagreements(found)] == []


def test_a_probe_that_sees_nothing_is_found_out() -> None:
    blind = lambda *_: SimpleNamespace(ran=True, reason="", blocks=())  # noqa: E731
    found = study.run([seed_of("twins")], optimizers=QUICK, steps=5, observe=blind)
    wrong = study.disagreements(found)
    assert [item["level"] for item in wrong] == ["no block"]
    assert set(wrong[0]["wrong"]) == set(QUICK)


def test_a_probe_that_sees_blocks_everywhere_is_found_out() -> None:
    def eager(model, batch, loss):
        member = SimpleNamespace(parameter="fc0.weight", units=(0, 1, 2))
        return SimpleNamespace(ran=True, reason="", blocks=[SimpleNamespace(level="twins", members=[member])])

    found = study.run([seed_of("unplanted", "mlp")], optimizers=["sgd"], steps=5, observe=eager)
    wrong = study.disagreements(found)
    assert [item["kind"] for item in wrong if item["kind"] != "drawn pair"] == ["beyond the plant"]


def test_a_probe_that_did_not_run_is_no_agreement() -> None:
    silent = lambda *_: SimpleNamespace(ran=False, reason="the model cannot be copied", blocks=())  # noqa: E731
    totals = study.totals(study.run([seed_of("twins")], optimizers=["sgd"], steps=2, observe=silent))
    assert (totals["compared"], totals["not_judged_networks"]) == (0, 1)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"unplanted", "equal columns", "copied, then noise", "zero head"}))
def test_planted_units_start_alike(kind: str) -> None:
    member = case(seed_of(kind))
    assert member.planted
    seen = responses(member.model, member.probe_inputs, {name for group in member.planted for name, _ in group.units})
    assert max(gap(group, seen) for group in member.planted) < 1e-12
    assert all(len(group.units) > 1 for group in member.planted)


@pytest.mark.parametrize("family", ["mlp", "convolution", "residual", "recurrent", "gated"])
def test_lumped_units_have_rows_of_their_own_and_equal_gradients(family: str) -> None:
    member = case(seed_of("lumped", family))
    model, batch, loss = member.subject()
    blocks = oracle(model, batch, loss).blocks
    found = {block.level: 0 for block in blocks}
    for block in blocks:
        found[block.level] += 1
    tied = {(one.parameter, unit) for block in blocks for one in block.members for unit in one.units}
    assert found.get("lumped", 0) > 0
    assert all(unit in tied for group in member.planted for unit in group.units)


def test_the_population_is_repeatable_and_covers_every_combination() -> None:
    one, other = case(7), case(7)
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    assert one.name == other.name
    assert len({(case(seed).family, case(seed).kind) for seed in range(len(combinations()))}) == len(combinations())


def test_building_a_member_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    case(3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_one_vector_is_training_every_tensor(optimizer: str) -> None:
    member = case(seed_of("unplanted", "mlp"))
    model, plain = copy.deepcopy(member.model), copy.deepcopy(member.model)
    train(model, member.data, member.loss_of, OPTIMIZERS[optimizer], steps=5, seed=1)
    chosen, generator = OPTIMIZERS[optimizer](list(plain.parameters())), torch.Generator().manual_seed(1)
    for _ in range(5):
        inputs, targets = member.data.draw(generator)
        chosen.zero_grad()
        member.loss_of(plain(inputs), targets).backward()
        chosen.step()
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_flattened_parameters_share_one_vector() -> None:
    member = case(seed_of("unplanted", "mlp"))
    flat = flatten(member.model)
    with torch.no_grad():
        flat.fill_(2.0)
    assert all(bool((values == 2.0).all()) for values in member.model.parameters())


def test_a_group_is_judged_before_rounding_takes_over() -> None:
    assert calm_until({0: 0.0, 1: 1e-16, 2: 1e-12, 3: 1e-3, 5: 1e-16}) == 2
    assert calm_until({0: 0.0, 1: 1e-3}) == 0
    assert calm_until({0: 0.0, 1: float("nan"), 2: 0.0}) == 0
    assert calm_until({0: 1e-16, 300: 1e-12}) == 300


def test_the_shadow_is_one_rounding_away() -> None:
    member = case(seed_of("twins", "mlp"))
    names = {name for group in member.planted for name, _ in group.units}
    one, other = (
        responses(model, member.probe_inputs, names) for model in (member.model, nudged(member.model, seed=1))
    )
    assert 0 < moved(member.planted[0], one, other) < 1e-14
    assert gap(member.planted[0], other) > 0


class Repelling(torch.autograd.Function):
    """The identity; what comes back is the difference of opposite units, enlarged: descent drives them apart."""

    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        (values,) = ctx.saved_tensors
        return gradient - 0.4 * (values - values.flip(-1))


def test_twins_that_only_rounding_parts_stay() -> None:
    """A training that multiplies any difference of two twins and keeps exact ones."""
    member = case(seed_of("twins", "mlp"))
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 33), torch.nn.Linear(33, 4)).double()
    with torch.no_grad():
        model[0].weight[-1], model[0].bias[-1] = model[0].weight[0], model[0].bias[0]
        model[1].weight[:, -1] = model[1].weight[:, 0]
    repelled = torch.nn.Sequential()
    repelled.add_module("fc", model[0])
    repelled.add_module("apart", type("Apart", (torch.nn.Module,), {"forward": lambda _, x: Repelling.apply(x)})())
    repelled.add_module("head", model[1])
    group = Group((("fc.weight", 0), ("fc.weight", 32)), (1.0, 1.0))
    made = Case(**{**vars(member), "model": repelled, "loss_of": lambda output, _: output.square().mean()})
    exact = fates(made, [group], "sgd", steps=60)[0]
    assert exact.fate == "stay"
    assert exact.broke is not None
    assert exact.broke > exact.horizon
    with torch.no_grad():
        repelled.fc.weight[0, 0] += 1e-3
    assert fates(made, [group], "sgd", steps=60)[0].fate == "part"


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e200])
def test_an_overflow_is_no_agreement(value: float) -> None:
    group = Group((("fc.weight", 0), ("fc.weight", 1)), (1.0, 1.0))
    seen = {"fc.weight": torch.tensor([[value, 1.0], [value, 3.0]], dtype=torch.float64)}
    assert math.isnan(gap(group, seen))
    assert math.isnan(moved(group, seen, seen))
    assert calm_until({0: 0.0, 1: 0.0, 2: moved(group, seen, seen), 3: 0.0}) == 1


def test_real_breaks_come_at_once() -> None:
    """What allows a horizon of a few steps."""
    for kind in ("equal rows", "copied, then noise", "lumped"):
        member = case(seed_of(kind))
        for name in OPTIMIZERS:
            broke = [outcome.broke for outcome in fates(member, member.planted, name, steps=20)]
            assert all(step is None or step <= FEW for step in broke)


def test_a_unit_without_a_gradient_is_neither_kept_nor_parted() -> None:
    member = case(seed_of("unplanted", "mlp"))
    stopped = Case(**{**vars(member), "loss_of": lambda output, _: output.sum() * 0.0})
    assert {outcome.fate for outcome in fates(stopped, member.drawn, "sgd", steps=3)} == {"untouched"}


def test_what_each_level_foretells() -> None:
    said = {level: [foretold(level, name) for name in OPTIMIZERS] for level in ("twins", "lumped", "scaled", "rows")}
    assert said["twins"] == ["stay"] * 5
    assert said["lumped"] == ["stay"] * 4 + ["part"]
    assert said["scaled"] == ["stay"] * 2 + ["part"] * 3
    assert said["rows"] == ["part"] * 5
    assert foretold("not judged", "sgd") == ""


def test_the_strongest_block_speaks() -> None:
    member = case(seed_of("twins"))
    name, unit = member.planted[0].units[0]
    units = [SimpleNamespace(parameter=name, units=[unit for _, unit in member.planted[0].units])]
    blocks = [SimpleNamespace(level=level, members=units) for level in ("rows", "twins")]
    verdict = judge(member, lambda *_: SimpleNamespace(ran=True, reason="", blocks=blocks))
    assert verdict.level(member.planted[0]) == "twins"
    assert unit is not None


def test_theorems_hold_in_few_steps() -> None:
    checks = [*theorems.twins((7,), 20), *theorems.anti_twins(20), *theorems.dead_product(20)]
    assert [check.statement for check in checks if not check.passed] == []


def test_a_cell_without_randomness_is_one_run() -> None:
    nets = cells.draw([("zero", "constant"), ("random", "zero")], 4, "xor", seeds=3)
    assert len(nets.inputs) == 1 + 3
    assert not nets.values[0][0].any()
    assert torch.equal(nets.inputs[0], nets.inputs[1])


@pytest.mark.parametrize(("learned", "steps", "outcome"), [
    (20, 100.0, "learns"), (18, 100.0, "learns"), (18, 400.0, "slow"), (17, 100.0, "luck"), (0, 100.0, "stuck"),
])  # fmt: skip
def test_outcomes_in_words(learned: int, steps: float, outcome: str) -> None:
    accuracy = torch.tensor([0.95] * learned + [0.6] * (20 - learned))
    reached = torch.where(accuracy > 0.9, torch.tensor(steps), torch.tensor(float("inf")))
    ended = cells.Learned(accuracy, reached, torch.full((20,), 8), torch.zeros(20))
    assert cells._row(ended, slice(0, 20), ceiling=0.78, pace=100.0)["outcome"] == outcome


def test_a_verdict_is_held_against_all_tasks_and_optimizers_together() -> None:
    def start(*outcomes, severity):
        rows = [{"act": "relu", "weights": "zero", "biases": "random", "outcome": outcome, "severity": severity}
                for outcome in outcomes]  # fmt: skip
        return cells.starts(rows)[0]["agrees"]

    assert start("one unit", "stuck", severity="error")
    assert not start("one unit", "learns", severity="error")
    assert start("stuck", "learns", severity="warning")
    assert start("learns", "learns", severity="silent")
    assert not start("learns", "slow", severity="info")


def test_equal_units_count_once_and_dead_ones_together() -> None:
    weight = torch.tensor([[[1.0, 1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0]]])
    bias = torch.tensor([[[1.0, 1.0, -1.0, -2.0, 1.0]]])
    inputs = torch.rand(1, 8, 2)
    distinct, dead = cells._units([weight, bias, torch.ones(1, 5, 1), torch.zeros(1, 1, 1)], inputs, "relu")
    assert distinct.tolist() == [3]
    assert float(dead) == pytest.approx(0.4)


@pytest.mark.slow
def test_the_short_run_writes_every_table(tmp_path, capsys) -> None:
    main(["--short", "--output", str(tmp_path / "out.json")], observe=oracle)
    document = json.loads((tmp_path / "out.json").read_text())
    assert set(document) == {"machine", "theorems", "population", "cells"}
    assert document["population"]["totals"]["networks"] == 20
    assert document["population"]["totals"]["compared"] > 300
    assert len(document["cells"]["starts"]) == 18
    printed = capsys.readouterr().out
    for word in ("theorems", "foretold", "plant", "verdict", "twins (0, 1) of 7 stay"):
        assert word in printed


def test_lumped_units_that_a_norm_makes_unstable_are_still_told() -> None:
    """Behind norms over a few lumps rounding grows ten-thousandfold a step; the plant is seen all the same."""
    member = case(9027)
    assert member.kind == "lumped"
    verdict = judge(member)
    assert {verdict.level(group) for group in member.planted} == {"lumped"}
    assert {verdict.level(group) for group in member.drawn} == {"no block"}
