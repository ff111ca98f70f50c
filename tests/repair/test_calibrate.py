"""One pass gives every layer the output that was asked for, on models where a walk over the registered layers fails.

The judge is a forward hook that knows nothing of the pass, on modules; where there is no module, the verifying pass.
"""

import pytest
import torch
from torch import nn

from stepzero.repair.calibrate import Target, calibrate, calibrate_, write
from tests.repair.judging import all_weights, bits, calibrated, hooked, same

WIDTH = 32
X = torch.randn(64, WIDTH, generator=torch.Generator().manual_seed(1)) * 3


def stack(depth=4):
    return nn.Sequential(*(layer for _ in range(depth) for layer in (nn.Linear(WIDTH, WIDTH), nn.ReLU())))


# -- the pass itself ---------------------------------------------------------------------------------------------------


def test_one_forward_calibrates_every_layer():
    model, calls = stack(8), []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    found = calibrate(model, lambda: model(X), all_weights(model))
    assert len(calls) == found.forwards == 1
    write(model, found.factors)
    assert len(calls) == 1
    assert hooked(model, X) == pytest.approx(dict.fromkeys(hooked(model, X), 1.0), abs=1e-5)


def test_the_second_time_all_factors_are_one():
    model = stack()
    calibrated(model, X)
    again = calibrate(model, lambda: model(X), all_weights(model))
    assert list(again.factors.values()) == pytest.approx([1.0] * 4, abs=1e-6)


def test_the_pass_writes_nothing():
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.Dropout(), nn.Linear(WIDTH, 4))
    model[1].eval()
    saved, modes, random = bits(model), [module.training for module in model.modules()], torch.get_rng_state()
    calibrate(model, lambda: model(X), all_weights(model))
    assert same(model, saved)
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_gradients_that_were_there_stay():
    model = stack(1)
    model(X).sum().backward()
    saved = [parameter.grad.clone() for parameter in model.parameters()]
    calibrate(model, lambda: model(X), all_weights(model))
    assert all(torch.equal(parameter.grad, grad) for parameter, grad in zip(model.parameters(), saved, strict=True))


def test_a_forward_that_raises_leaves_every_bit():
    class Dies(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.second = nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, 4)
            self.train()

        def forward(self, x):
            self.second(self.norm(self.first(x)))
            raise RuntimeError("not today")

    model = Dies()
    saved = bits(model)
    with pytest.raises(RuntimeError, match="not today"):
        calibrate(model, lambda: model(X), all_weights(model))
    assert same(model, saved)
    assert not torch.overrides._get_current_function_mode_stack()
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("norm_mode", ["train", "eval"])
def test_norms_run_on_the_batch_or_on_their_running_statistics(norm_mode):
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, 4))
    model[1].running_var.fill_(25.0)
    model.train(norm_mode == "train")
    found = calibrate_(model, lambda: model(X), all_weights(model), norm_mode=norm_mode)
    assert found.seen["3.weight"] == pytest.approx(1.0, abs=1e-4)
    assert hooked(model.train(norm_mode == "train"), X)["3"] == pytest.approx(1.0, abs=1e-4)


def test_dropout_is_off():
    model = nn.Sequential(nn.Dropout(0.9), nn.Linear(WIDTH, WIDTH), nn.Dropout(0.9), nn.Linear(WIDTH, 4))
    calibrated(model, X)
    assert hooked(model.eval(), X) == pytest.approx({"1": 1.0, "3": 1.0}, abs=1e-5)


def test_biases_are_kept_and_solved_for():
    model = stack()
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.bias, 0.3, 0.3)
    saved = {name: parameter.clone() for name, parameter in model.named_parameters() if "bias" in name}
    calibrated(model, X)
    assert hooked(model, X) == pytest.approx(dict.fromkeys(hooked(model, X), 1.0), abs=1e-5)
    assert same_parameters(model, saved)


def same_parameters(model, saved):
    parameters = dict(model.named_parameters())
    return all(torch.equal(parameters[name], values) for name, values in saved.items())


# -- where a walk over registered layers fails -------------------------------------------------------------------------


class Reversed(nn.Module):
    """Registered last to first."""

    def __init__(self):
        super().__init__()
        self.c, self.b, self.a = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x):
        return self.c(torch.relu(self.b(torch.relu(self.a(x)))))


def test_registration_order_does_not_matter():
    model = Reversed()
    calibrated(model, X)
    assert hooked(model, X) == pytest.approx({"a": 1.0, "b": 1.0, "c": 1.0}, abs=1e-5)


class Reused(nn.Module):
    def __init__(self, times=6):
        super().__init__()
        self.layer, self.head, self.times = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 4), times

    def forward(self, x):
        for _ in range(self.times):
            x = torch.tanh(self.layer(x))
        return self.head(x)


def test_a_layer_used_six_times_keeps_the_factor_of_its_first_use():
    model = Reused()
    found, _ = calibrated(model, X)
    assert hooked(model, X) == pytest.approx({"layer": 1.0, "head": 1.0}, abs=1e-5)
    assert found.scalings["layer.weight"].uses == 6


def test_a_reused_layer_whose_later_uses_explode_is_reported():
    class Grows(Reused):
        def forward(self, x):
            for _ in range(self.times):
                x = self.layer(x) ** 2 * 10
            return self.head(x)

    found, _ = calibrated(Grows(3), X)
    assert "standard deviation" in found.scalings["layer.weight"].why


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, WIDTH)
        self.body = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, 50, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        return self.head(torch.relu(self.body(self.embed(tokens))))


def test_a_tied_embedding_without_a_target_passes_through_unscaled():
    model, tokens = Tied(), torch.randint(0, 50, (16, 5))
    saved = model.embed.weight.clone()
    calibrated(model, tokens, targets={"body.weight": Target()})
    assert torch.equal(model.embed.weight, saved)
    assert hooked(model, tokens)["body"] == pytest.approx(1.0, abs=1e-5)


def test_a_zero_head_stays_zero():
    model = stack()
    model.append(nn.Linear(WIDTH, 4))
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    found, _ = calibrated(model, X)
    assert not model[-1].weight.any()
    assert "does not vary" in found.skipped["8.weight"]
    assert all(value == pytest.approx(1.0, abs=1e-5) for name, value in hooked(model, X).items() if name != "8")


class Residual(nn.Module):
    """x + up(relu(down(x))), twice; the last one starts at zero when asked."""

    def __init__(self, zero=False):
        super().__init__()
        self.down = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.up = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))
        if zero:
            nn.init.zeros_(self.up[1].weight)

    def forward(self, x):
        for down, up in zip(self.down, self.up, strict=True):
            x = x + up(torch.relu(down(x)))
        return x


def joined(model):
    ends = {f"up.{number}.weight": Target(share=0.5) for number in range(2)}
    return {f"down.{number}.weight": Target() for number in range(2)} | ends


def test_a_zero_branch_end_stays_zero():
    model = Residual(zero=True)
    found, _ = calibrated(model, X, targets=joined(model))
    assert not model.up[1].weight.any()
    assert "does not vary" in found.skipped["up.1.weight"]


def test_a_branch_end_gets_its_share_of_the_variance_of_the_stream_it_meets():
    model = Residual()
    calibrated(model, X, targets=joined(model))
    x = X
    for down, up in zip(model.down, model.up, strict=True):
        branch = up(torch.relu(down(x))).detach()
        assert float(branch.var(correction=0) / x.var(correction=0)) == pytest.approx(1 / 2, rel=1e-4)
        x = x + branch


def test_a_branch_that_is_written_in_place_is_scaled_in_place():
    class InPlace(Residual):
        def forward(self, x):
            for down, up in zip(self.down, self.up, strict=True):
                branch = up(torch.relu(down(x)))
                branch.add_(x)
                x = branch
            return x

    model = InPlace()
    calibrated(model, X, targets=joined(model))
    branch = model.up[0](torch.relu(model.down[0](X))).detach()
    assert float(branch.var(correction=0) / X.var(correction=0)) == pytest.approx(1 / 2, rel=1e-4)
    seen = hooked(model, X)
    assert seen["down.1"] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_an_addition_with_a_factor_counts_it(alpha):
    class Damped(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.Linear(WIDTH, WIDTH, bias=False)

        def forward(self, x):
            return torch.add(x, self.up(x), alpha=alpha)

    model = Damped()
    found, _ = calibrated(model, X, targets={"up.weight": Target(share=1.0)})
    share = float((alpha * model.up(X).detach()).var(correction=0) / X.var(correction=0))
    assert "up.weight" in found.skipped or share == pytest.approx(1.0, rel=1e-4)


# -- dtypes, modes, batches --------------------------------------------------------------------------------------------


def test_bfloat16_is_calibrated_within_its_rounding():
    model = stack().bfloat16()
    calibrated(model, X.bfloat16())
    assert hooked(model, X.bfloat16()) == pytest.approx(dict.fromkeys(hooked(model, X.bfloat16()), 1.0), abs=1e-2)
    assert all(parameter.dtype is torch.bfloat16 for parameter in model.parameters())


def test_float64_stays_float64():
    model = stack().double()
    calibrated(model, X.double())
    assert hooked(model, X.double()) == pytest.approx(dict.fromkeys(hooked(model, X.double()), 1.0), abs=1e-12)


def test_under_autocast():
    model = stack()

    def run():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return model(X)

    found = calibrate(model, run, all_weights(model))
    write(model, found.factors)
    assert len(found.factors) == 4
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert hooked(model, X) == pytest.approx(dict.fromkeys(hooked(model, X), 1.0), abs=2e-2)


def test_batches_by_name_and_outputs_of_any_form():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Linear(WIDTH, 8), nn.Linear(WIDTH, 8)

        def forward(self, *, left, right):
            return {"both": (self.left(left), [self.right(right)])}

    model = Named()
    calibrated(model, left=X, right=X * 7)
    assert hooked(model, left=X, right=X * 7) == pytest.approx({"left": 1.0, "right": 1.0}, abs=1e-5)


@pytest.mark.parametrize("activation", [nn.ReLU(inplace=True), nn.LeakyReLU(0.1, inplace=True)])
def test_an_activation_that_overwrites_the_output(activation):
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), activation, nn.Linear(WIDTH, 4))
    calibrated(model, X)
    assert hooked(model, X) == pytest.approx({"0": 1.0, "2": 1.0}, abs=1e-5)


def test_checkpointing():
    class Checkpointed(Reversed):
        def forward(self, x):
            x = torch.utils.checkpoint.checkpoint(lambda y: torch.relu(self.a(y)), x, use_reentrant=False)
            return self.c(torch.relu(self.b(x)))

    model = Checkpointed()
    calibrated(model, X)
    assert hooked(model, X) == pytest.approx({"a": 1.0, "b": 1.0, "c": 1.0}, abs=1e-5)


def test_attention_whose_kernel_is_fused_in_eval_mode():
    layer = nn.TransformerEncoderLayer(WIDTH, 4, 64, batch_first=True).eval()
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    x = torch.randn(4, 6, WIDTH)
    found, seen = calibrated(model, x)
    assert set(seen) == set(all_weights(model)), found.skipped
    assert seen == pytest.approx(dict.fromkeys(seen, 1.0), abs=1e-4)
