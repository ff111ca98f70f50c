"""`fix_` mends the fault that was found and what the same mistake did elsewhere, and leaves the rest alone."""

import torch
from torch import nn

import stepzero as sz

X = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))
Y = torch.arange(64) % 4


def normed() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(32, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 32), nn.LayerNorm(32), nn.Linear(32, 4)
        )


def mended(model: nn.Module) -> sz.Plan:
    report = sz.check(model, X, "cross_entropy", Y)
    return sz.fix_(model, report)


def test_a_sound_model_is_left_alone() -> None:
    model, before = normed(), normed()
    assert mended(model).written() == ()
    assert all(map(torch.equal, before.state_dict().values(), model.state_dict().values()))


def test_what_a_norm_hides_is_redrawn_once_something_is_found() -> None:
    model = normed()
    with torch.no_grad():
        for layer in (model[0], model[3], model[5]):
            layer.weight.mul_(20.0)
    plan = mended(model)
    assert {"0.weight", "3.weight", "5.weight"} <= set(plan.written())
    assert all(float(model[place].weight.detach().std()) < 1.0 for place in (0, 3, 5))


def test_weights_within_the_factor_are_kept() -> None:
    model = normed()
    with torch.no_grad():
        model[3].weight.mul_(3.0)
        model[5].weight.mul_(100.0)
    before = model[3].weight.detach().clone()
    plan = mended(model)
    assert "5.weight" in plan.written()
    assert "3.weight" not in plan.written()
    assert torch.equal(model[3].weight, before)


def test_gains_that_shut_norms_in_front_of_the_one_found_are_set() -> None:
    model = normed()
    with torch.no_grad():
        model[1].weight.zero_()
        model[4].weight.zero_()
    plan = mended(model)
    assert {"1.weight", "4.weight"} <= set(plan.written())
    assert float(model[1].weight.detach().min()) == 1.0


def test_zeros_that_block_each_other_are_all_redrawn() -> None:
    """No single factor is to blame, and each alone would leave the others stuck."""
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(),
                          nn.Linear(32, 4))  # fmt: skip
    with torch.no_grad():
        for layer in model[::2]:
            layer.weight.zero_()
            layer.bias.zero_()
    report = sz.check(model, X, "cross_entropy", Y)
    assert any(finding.severity == "error" for finding in report.findings)
    sz.fix_(model, report)
    assert not [each for each in sz.check(model, X, "cross_entropy", Y).findings if each.severity == "error"]
