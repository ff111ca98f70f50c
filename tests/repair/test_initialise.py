"""`init_`: everything has one entry, what is meant stays, twice is once, and nothing else is touched."""

import copy

import pytest
import torch
from torch import nn

import stepzero as sz
from stepzero.core.errors import ConfigError, IncompleteError, StepzeroError, TargetError
from tests.repair.judging import bits, hooked, same

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(64) % 3


def mlp():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))


class Adapted(nn.Module):
    """A frozen layer with a low-rank detour, whose second factor starts at zero."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(8, 16).requires_grad_(False)
        self.a, self.b = nn.Linear(8, 2, bias=False), nn.Linear(2, 16, bias=False)
        self.head = nn.Linear(16, 3)
        nn.init.zeros_(self.b.weight)

    def forward(self, x):
        return self.head(torch.relu(self.base(x) + self.b(self.a(x))))


class ReZero(nn.Module):
    def __init__(self):
        super().__init__()
        self.start, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.body = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.alpha = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        x = self.start(x)
        for number, layer in enumerate(self.body):
            x = x + self.alpha[number] * torch.relu(layer(x))
        return self.head(x)


class ZeroGamma(nn.Module):
    def __init__(self):
        super().__init__()
        self.start, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.body = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm1d(8) for _ in range(2))
        for norm in self.norms:
            nn.init.zeros_(norm.weight)

    def forward(self, x):
        x = self.start(x)
        for layer, norm in zip(self.body, self.norms, strict=True):
            x = torch.relu(x + norm(layer(x)))
        return self.head(x)


class Modulated(nn.Module):
    """Shift, scale and gate of a block from a condition; their layer starts at zero."""

    def __init__(self):
        super().__init__()
        self.start, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.norm = nn.LayerNorm(8, elementwise_affine=False)
        self.up, self.modulation = nn.Linear(8, 8), nn.Linear(8, 24)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x):
        shift, scale, gate = self.modulation(nn.functional.silu(x)).chunk(3, -1)
        y = self.start(x)
        y = y + gate * self.up(torch.relu(self.norm(y) * (1 + scale) + shift))
        return self.head(y)


class ZeroBranch(nn.Module):
    def __init__(self):
        super().__init__()
        self.start, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.down, self.up = nn.Linear(8, 16), nn.Linear(16, 8)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x):
        x = self.start(x)
        return self.head(x + self.up(torch.relu(self.down(x))))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 16, padding_idx=0)
        self.body = nn.Linear(16, 16)
        self.head = nn.Linear(16, 50, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("positions", torch.arange(12))

    def forward(self, tokens):
        return self.head(torch.relu(self.body(self.embed(tokens))))


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.second, self.head = nn.Conv2d(8, 8, 3, stride=2, groups=2), nn.Linear(8, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        return self.head(torch.relu(self.second(x)).mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.body = nn.LSTM(8, 12, batch_first=True, **kwargs)
        self.head = nn.LazyLinear(3)

    def forward(self, x):
        return self.head(self.body(x)[0][:, -1])


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.body(x).mean(1))


TOKENS = torch.randint(1, 50, (16, 6), generator=torch.Generator().manual_seed(2))
IMAGES = torch.randn(8, 3, 9, 9, generator=torch.Generator().manual_seed(3))
SEQUENCES = torch.randn(16, 5, 8, generator=torch.Generator().manual_seed(4))
ALL = {
    "mlp": (mlp, X, LABELS),
    "adapted": (Adapted, X, LABELS),
    "rezero": (ReZero, X, LABELS),
    "zero gamma": (ZeroGamma, X, LABELS),
    "modulated": (Modulated, X, LABELS),
    "zero branch": (ZeroBranch, X, LABELS),
    "tied": (Tied, TOKENS, TOKENS.roll(-1, 1)),
    "convolutional": (Convolutional, IMAGES, LABELS[:8]),
    "recurrent": (lambda: filled(Recurrent(), SEQUENCES), SEQUENCES, LABELS[:16]),
    "encoder": (Encoder, SEQUENCES, LABELS[:16]),
}


def filled(model, batch):
    with torch.no_grad():
        model(batch)
    return model


def loss_of(name):
    if name == "tied":
        return lambda logits, target: nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
    return "cross_entropy"


def started(name, **kwargs):
    make, batch, target = ALL[name]
    model = make()
    return model, sz.init_(model, batch, loss=loss_of(name), target=target, **kwargs)


# -- what holds for every model ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_batch", [True, False])
@pytest.mark.parametrize("name", ALL)
def test_every_parameter_and_buffer_has_exactly_one_entry(name, with_batch):
    make, batch, _ = ALL[name]
    model = make()
    plan = sz.init_(model, batch) if with_batch else sz.init_(model)
    named = [other for entry in plan.entries for other in (entry.name, *entry.aliases)]
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    assert sorted(named) == sorted(name for name, _ in tensors)
    assert all(entry.why for entry in plan.entries)


@pytest.mark.parametrize("name", ALL)
def test_the_written_model_is_what_the_plan_says(name):
    model, plan = started(name)
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    for entry in plan.entries:
        values = tensors[entry.name]
        assert bool(torch.isfinite(values).all())
        if entry.action == "set" and entry.value is not None:
            mask = torch.ones(len(values), dtype=torch.bool) if values.dim() else torch.ones((), dtype=torch.bool)
            for start, stop, value in entry.values:
                assert bool((values[start:stop] == torch.tensor(value, dtype=values.dtype)).all())
                mask[start:stop] = False
            assert bool((values[mask] == entry.value).all())


@pytest.mark.parametrize("name", ALL)
def test_twice_on_copies_gives_equal_bits(name):
    make, batch, target = ALL[name]
    model = make()
    other = copy.deepcopy(model)
    for each in (model, other):
        sz.init_(each, batch, loss=loss_of(name), target=target)
    assert same(model, bits(other))


@pytest.mark.parametrize("name", ALL)
def test_once_more_by_force_gives_equal_bits(name):
    _make, batch, target = ALL[name]
    model, _ = started(name)
    saved = bits(model)
    sz.init_(model, batch, loss=loss_of(name), target=target, force=True)
    assert same(model, saved)


@pytest.mark.parametrize("name", ALL)
def test_a_dry_run_leaves_every_bit_and_gives_the_same_plan(name):
    make, batch, target = ALL[name]
    model = make()
    saved = bits(model)
    dry = sz.init_(model, batch, loss=loss_of(name), target=target, dry_run=True)
    assert dry.is_dry_run
    assert same(model, saved)
    wet = sz.init_(model, batch, loss=loss_of(name), target=target)
    assert (dry.entries, dry.scalings, dry.skipped) == (wet.entries, wet.scalings, wet.skipped)


@pytest.mark.parametrize("name", ALL)
def test_random_state_modes_hooks_gradients_and_batch_are_left(name):
    make, batch, target = ALL[name]
    model = make()
    next(iter(model.children())).eval()
    state = torch.get_rng_state()
    modes = [module.training for module in model.modules()]
    asks = [parameter.requires_grad for parameter in model.parameters()]
    saved = batch.clone()
    sz.init_(model, batch, loss=loss_of(name), target=target)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == asks
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())
    assert torch.equal(batch, saved)


@pytest.mark.parametrize("name", ALL)
def test_the_start_has_no_errors(name):
    _make, batch, target = ALL[name]
    model, _ = started(name)
    report = sz.check(model, batch, loss_of(name), target)
    assert report.errors == ()


# -- what is meant stays -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("adapted", ["b.weight", "base.weight", "base.bias"]),
        ("rezero", ["alpha"]),
        ("zero gamma", ["norms.0.weight", "norms.1.weight"]),
        ("modulated", ["modulation.weight", "modulation.bias"]),
        ("zero branch", ["up.weight"]),
        ("tied", ["positions"]),
    ],
)
def test_intended_zeros_and_frozen_tensors_stay(name, meant):
    make, batch, target = ALL[name]
    model = make()
    saved = bits(model)
    plan = sz.init_(model, batch, loss=loss_of(name), target=target)
    for each in meant:
        assert torch.equal(model.state_dict()[each], saved[each]), plan.entry(each)
        assert plan.entry(each).action == "kept" or not saved[each].any()


def test_a_zero_hidden_layer_is_no_intention():
    model = mlp()
    for place in (2, 4):
        nn.init.zeros_(model[place].weight)
    plan = sz.init_(model, X, loss="cross_entropy", target=LABELS)
    assert model[2].weight.any()
    assert plan.entry("2.weight").action == "drawn"


@pytest.mark.parametrize("with_batch", [True, False])
def test_the_padding_row_is_zero_and_the_tie_holds(with_batch):
    model = Tied()
    plan = sz.init_(model, TOKENS) if with_batch else sz.init_(model)
    assert model.head.weight is model.embed.weight
    assert not model.embed.weight[0].any()
    assert model.embed.weight[1:].abs().sum() > 0
    assert plan.entry("head.weight") is plan.entry("embed.weight")
    assert not any(scaling.name == "embed.weight" for scaling in plan.scalings)


def test_frozen_tensors_stay_without_a_batch():
    model = Adapted()
    saved = bits(model)
    plan = sz.init_(model)
    assert torch.equal(model.base.weight, saved["base.weight"])
    assert "frozen" in plan.entry("base.weight").why


@pytest.mark.parametrize("with_batch", [True, False])
def test_patterns_to_keep(with_batch):
    model = mlp()
    saved = bits(model)
    plan = sz.init_(model, *([X] if with_batch else []), keep=["2.*", "*.bias"])
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, saved[name])}
    assert changed == {"0.weight", "4.weight"}
    assert plan.entry("2.weight").action == "kept"
    assert "2.*" in plan.entry("2.weight").why


def test_a_kept_name_with_dots_in_it_is_matched_in_full_without_a_batch():
    model = nn.Sequential(mlp(), nn.Linear(3, 3))
    saved = bits(model)
    sz.init_(model, keep=["0.*"])
    assert all(torch.equal(tensor, saved[name]) for name, tensor in model.state_dict().items() if name[:2] == "0.")
    assert not torch.equal(model[1].weight, saved["1.weight"])


# -- once, and again ---------------------------------------------------------------------------------------------------


def test_a_second_call_does_nothing():
    model = mlp()
    plan = sz.init_(model, X)
    saved = bits(model)
    assert sz.init_(model, X) == plan
    assert same(model, saved)


@pytest.mark.parametrize("change", ["step", "load"])
def test_a_trained_or_loaded_model_is_refused(change):
    model = mlp()
    sz.init_(model, X)
    if change == "step":
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        model(X).sum().backward()
        optimizer.step()
    else:
        model.load_state_dict(mlp().state_dict())
    saved = bits(model)
    with pytest.raises(TargetError, match="force=True"):
        sz.init_(model, X)
    assert same(model, saved)
    sz.init_(model, X, force=True)
    assert not same(model, saved)


def test_another_seed_draws_other_weights():
    models = [mlp(), mlp()]
    for seed, model in enumerate(models):
        sz.init_(model, X, seed=seed)
    assert not torch.equal(models[0][0].weight, models[1][0].weight)


def test_the_old_values_do_not_matter():
    models = [mlp(), mlp()]
    nn.init.normal_(models[1][0].weight, std=50)
    for model in models:
        sz.init_(model, X)
    assert same(models[0], bits(models[1]))


def test_an_inserted_layer_leaves_the_others_bit_equal():
    class Named(nn.Module):
        def __init__(self, more=False):
            super().__init__()
            self.first = nn.Linear(8, 16)
            if more:
                self.middle = nn.Linear(16, 16)
            self.last = nn.Linear(16, 3)

    small, large = Named(), Named(more=True)
    sz.init_(small)
    sz.init_(large)
    assert torch.equal(small.first.weight, large.first.weight)
    assert torch.equal(small.last.weight, large.last.weight)


def test_a_raising_forward_leaves_every_bit():
    class Dies(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.count = mlp(), 0

        def forward(self, x):
            self.count += 1
            if not self.body[0].bias.any():  # after the draw
                raise RuntimeError("not today")
            return self.body(x)

    model = Dies()
    saved = bits(model)
    with pytest.raises(RuntimeError, match="not today"):
        sz.init_(model, X)
    assert same(model, saved)
    assert model.count == 0


# -- scales ------------------------------------------------------------------------------------------------------------


def test_outputs_have_the_scale_they_should_have_in_two_forwards():
    model, plan = started("mlp")
    assert plan.forwards == 2
    seen = hooked(model, X)
    assert (seen["0"], seen["2"]) == pytest.approx((1.0, 1.0), abs=1e-4)
    assert seen["4"] < 1.0  # the head guesses
    assert all(scaling.after == pytest.approx(scaling.target, rel=1e-4) for scaling in plan.scalings)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_dtype_is_kept(dtype):
    model = mlp().to(dtype)
    sz.init_(model, X.to(dtype))
    assert all(parameter.dtype is dtype for parameter in model.parameters())
    seen = hooked(model, X.to(dtype))
    assert (seen["0"], seen["2"]) == pytest.approx((1.0, 1.0), abs=3e-2)


def test_under_autocast_the_tolerance_is_that_of_the_narrow_outputs():
    class Amp(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = mlp()

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.body(x).float()

    model = Amp()
    plan = sz.init_(model, X)
    assert len(plan.scalings) == 3
    assert all(parameter.dtype is torch.float32 for parameter in model.parameters())


def test_layers_of_no_width_are_listed():
    model = nn.Sequential(nn.Linear(8, 0), nn.Linear(0, 8), nn.ReLU(), nn.Linear(8, 3))
    plan = sz.init_(model, X)
    assert len(plan.entries) == 6
    assert sz.init_(model, force=True).entry("1.weight").action == "skipped"


@pytest.mark.parametrize("with_batch", [True, False])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"num_layers": 2}, {"bidirectional": True}, {"proj_size": 5}])
def test_the_forget_gate_starts_open_once(options, with_batch):
    model = filled(Recurrent(**options), SEQUENCES)
    sz.init_(model, *([SEQUENCES] if with_batch else []))
    biases = {name: values.view(4, 12) for name, values in model.body.named_parameters() if values.dim() == 1}
    for name, gates in biases.items():
        if "_ih" in name:
            total = gates + biases[name.replace("_ih", "_hh")]
            assert torch.equal(total[1], torch.ones(12))
            assert not total[[0, 2, 3]].any()
    assert bool(biases) == options.get("bias", True)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}])
def test_each_recurrent_gate_is_orthogonal(options):
    model = filled(Recurrent(**options), SEQUENCES)
    sz.init_(model, SEQUENCES)
    for name, values in model.body.named_parameters():
        if "weight_hh" in name:
            for gate in values.view(4, 12, 12):
                assert torch.allclose(gate @ gate.T, torch.eye(12), atol=1e-5)


def test_a_named_scheme_for_all_weights():
    model = mlp()
    plan = sz.init_(model, X, scheme="orthogonal")
    gain = plan.entry("2.weight").gain
    assert torch.allclose(model[2].weight @ model[2].weight.T, torch.eye(16) * gain**2, atol=1e-5)
    assert plan.scalings == ()


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_wrong_scheme_says_what_exists():
    with pytest.raises(ConfigError, match="did you mean 'glorot'"):
        sz.init_(mlp(), X, scheme="glorott")


def test_no_module():
    with pytest.raises(TargetError, match="expected a torch"):
        sz.init_([1, 2], X)


def test_no_batch_says_so():
    assert any("no batch" in note for note in sz.init_(mlp()).notes)


def test_a_batch_that_does_not_fit_leaves_every_bit():
    model = mlp()
    saved = bits(model)
    with pytest.raises((StepzeroError, RuntimeError)):
        sz.init_(model, X[:, :3])
    assert same(model, saved)


# -- meta --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("adapted", "recurrent", "tied", "rezero")])
def test_a_model_on_the_meta_device_starts_as_the_one_in_memory(name):
    make = ALL[name][0]
    with torch.device("meta"):
        model = make()
    eager = make()
    sz.init_(eager)
    sz.init_(model)
    assert not any(tensor.is_meta for tensor in model.state_dict().values())
    undefined = {entry.name for entry in sz.init_(eager, force=True).entries if entry.action in ("kept", "skipped")}
    for key, tensor in model.state_dict().items():
        if key not in undefined:
            assert torch.equal(tensor, eager.state_dict()[key]), key
        assert bool(torch.isfinite(tensor).all())


def test_a_raw_parameter_on_the_meta_device_that_nobody_writes_is_refused():
    with torch.device("meta"):
        model = ReZero()
    with pytest.raises(IncompleteError, match="nobody wrote alpha"):
        sz.init_(model)


def test_a_write_through_data_is_felt():
    model = nn.Linear(4, 2)
    sz.init_(model, torch.ones(3, 4))
    model.weight.data.add_(1.0)
    with pytest.raises(sz.TargetError, match="have changed since"):
        sz.init_(model, torch.ones(3, 4))


def test_a_lazy_layer_has_to_run_once():
    with pytest.raises(sz.TargetError, match="weight is lazy"):
        sz.init_(nn.LazyLinear(2), torch.ones(3, 4))


class LowRank(nn.Module):
    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.base = nn.Linear(fan_in, fan_out).requires_grad_(False)
        self.A = nn.Parameter(torch.randn(4, fan_in) / fan_in**0.5)
        self.B = nn.Parameter(torch.zeros(fan_out, 4))

    def forward(self, x):
        return self.base(x) + x @ self.A.T @ self.B.T


def test_an_adapter_behind_a_unit_that_is_off_stays_zero():
    torch.manual_seed(0)
    model = nn.Sequential(LowRank(20, 64), nn.ReLU(), LowRank(64, 64), nn.ReLU(), LowRank(64, 5))
    plan = sz.init_(model, torch.randn(64, 20))  # with this seed one unit is off, and a row of B gets no gradient
    assert [plan.entry(f"{place}.B").action for place in (0, 2, 4)] == ["kept"] * 3


def test_a_dry_run_or_a_failure_leaves_meta_tensors_on_meta():
    with torch.device("meta"):
        model = nn.Linear(4, 2)
    sz.init_(model, torch.ones(3, 4), dry_run=True)
    assert model.weight.is_meta
    with pytest.raises(RuntimeError):
        sz.init_(model, torch.ones(3, 5))
    assert model.weight.is_meta
    assert isinstance(model.weight, nn.Parameter)


def test_a_pattern_that_keeps_nothing_is_a_slip():
    with pytest.raises(sz.ConfigError, match=r"keep: 'encoder\.\*' matches no parameter"):
        sz.init_(nn.Linear(4, 2), torch.ones(3, 4), keep=["encoder.*"])
