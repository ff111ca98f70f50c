"""Reports made by hand, for looking at how they read."""

from dataclasses import replace

from stepzero.core.finding import Finding, Fix
from stepzero.core.outcome import Accepted, Coverage, LayerRow, NotChecked, Report

SOUND = LayerRow(
    operation=0,
    path="fc.weight",
    name="linear",
    shape=(128, 784),
    fan_in=784.0,
    units=128,
    weight_std=0.0361,
    law_ratio=1.01,
    consumer="relu",
    signal_in=0.98,
    signal_out=0.71,
    batch_share=0.83,
    flat_share=None,
    dead_share=0.02,
    gradient_to_weight=0.0123,
)


def row(operation: int, path: str, **changes) -> LayerRow:
    """A sound layer but for ``changes``."""
    return replace(SOUND, operation=operation, path=path, **changes)


CONSTANT = Finding(
    "SZ206",
    "constant-weight",
    "error",
    ("fc1.weight",),
    "all 100,352 weights equal 0.5 exactly (standard deviation 0, limit 8 roundings of the mean), so its 128 units "
    "are one unit",
    value=0.0,
    limit=4.8e-7,
    unit="u x abs(mean)",
    evidence="value",
    cause="constant-fill",
    source_line="app/mlp.py:23",
    fix=Fix("redraw fc1.weight by kaiming_normal", "fc1.weight", "kaiming_normal", is_safe=True),
    citation="facebookresearch/fairseq#4076; He 2015",
    operation=1,
)
TWINS = Finding(
    "SZ201",
    "twin-units",
    "error",
    ("fc1.weight", "fc1.bias"),
    "128 units form 1 block: effective width 0.0078, limit 1",
    root=CONSTANT.id,
    operation=1,
)
FLAT = Finding(
    "SZ303",
    "saturated-units",
    "warning",
    ("blocks[attn]",),
    "93 % of 128 tanh units are flat on more than half of the samples, limit 20 %",
    root=CONSTANT.id,
)
LOUD = Finding(
    "SZ501",
    "loud-start",
    "warning",
    ("head.weight",),
    "the first loss is 5.31, 3.01 nats above ln 10 = 2.30, limit 0.5 nats",
    source_line="app/mlp.py:31",
    fix=Fix("scale head.weight by 0.12", "head.weight"),
)
NOTE = Finding(
    "SZ603",
    "redundant-parameter",
    "info",
    ("norm.bias",),
    "the gradient is zero by algebra: a norm removes it",
)


def fault() -> Report:
    """One root cause with two consequences, one warning, one note."""
    layers = (
        row(
            1,
            "fc1.weight",
            weight_std=0.0,
            law_ratio=0.0,
            signal_out=196.2,
            consumer="tanh",
            flat_share=0.93,
            dead_share=0.0,
            gradient_to_weight=1.2e-9,
        ),
        row(4, "fc2.weight", shape=(128, 128), fan_in=128.0, weight_std=0.0512),
        row(8, "head.weight", shape=(10, 128), fan_in=128.0, consumer="loss", dead_share=None),
    )
    coverage = Coverage(
        weighted_checked=3,
        weighted_total=3,
        parameters_checked=7,
        parameters_total=7,
        rules_run=tuple(f"SZ{number}" for number in range(101, 133)),
        not_judged=(
            NotChecked("SZ102", "no factory was given, so unwritten memory cannot be told from random numbers"),
            NotChecked("SZ305", "8 positions, 32 needed"),
        ),
        skipped=(NotChecked("custom", "no operation was seen in it"),),
    )
    return Report(
        "app.mlp:build",
        (CONSTANT, TWINS, FLAT, LOUD, NOTE),
        layers,
        coverage,
        loss=5.31,
        loss_note="loss: cross_entropy assumed from output (64, 10) and target (64,) int64",
        conditions=("dropout off", "batch randn(64,784): random numbers, a stand-in for data"),
        num_parameters=118282,
    )


def sound() -> Report:
    """The same model without findings."""
    return replace(fault(), findings=())


def incomplete() -> Report:
    """The same model, partly unreadable."""
    reasons = (
        NotChecked("SZ305 dead-units", "the rule crashed: IndexError: tuple index out of range"),
        NotChecked("sharded parameters", "blocks.3.weight"),
    )
    report = sound()
    return replace(report, coverage=replace(report.coverage, incomplete=reasons))


def blocks(repeats: int = 24, off: int = 12) -> Report:
    """A language model of ``repeats`` equal blocks; the first ``off`` of them have a layer off its law."""
    layers = [row(0, "transformer.wte.weight", name="embedding", shape=(50257, 768), fan_in=1.0, dead_share=None)]
    for block in range(repeats):
        for path, shape, consumer in (
            ("attn.c_attn", (768, 2304), "attention"),
            ("attn.c_proj", (768, 768), "residual"),
            ("mlp.c_fc", (768, 3072), "gelu"),
            ("mlp.c_proj", (3072, 768), "residual"),
        ):
            layers.append(
                row(
                    len(layers),
                    f"transformer.h.{block}.{path}.weight",
                    name="addmm",
                    shape=shape,
                    fan_in=float(shape[0]),
                    consumer=consumer,
                    dead_share=None,
                    law_ratio=0.55,
                    weight_std=0.02,
                    gradient_to_weight=0.01 * (1 + block / 10),
                )
            )
    layers.append(row(len(layers), "lm_head.weight", shape=(50257, 768), consumer="loss", dead_share=None))
    findings = [
        Finding(
            "SZ302",
            "off-law-scale",
            "warning",
            (f"transformer.h.{block}.mlp.c_proj.weight",),
            f"the standard deviation is 0.{30 + block} of the law, limit 0.5 to 2",
            fix=Fix("rescale", is_safe=True),
        )
        for block in range(off)
    ]
    findings += [replace(NOTE, where=(f"transformer.h.{block}.attn.c_attn.bias",)) for block in range(repeats)]
    weighted = len(layers)
    return Report(
        f"hf:GPT2Config(n_layer={repeats})",
        tuple(findings),
        tuple(layers),
        Coverage(weighted, weighted, 3 * weighted, 3 * weighted, ("SZ302", "SZ603"), accepted=_idioms(repeats)),
        loss=10.83,
        loss_note="loss: the model's own .loss output",
        num_parameters=354_823_168,
    )


def _idioms(repeats: int) -> tuple[Accepted, ...]:
    why = "its last layer is 0, so the branch adds exactly 0; live at step 0, what waits behind it by step 1"
    places = [f"transformer.h.{block}.attn.c_proj.weight" for block in range(repeats)]
    tie = "one tensor under 2 names, in one storage: one parameter with one gradient"
    return (
        *(Accepted("identity branch", (place,), why) for place in places),
        Accepted("tied weights", ("transformer.wte.weight", "lm_head.weight"), tie),
    )


SAMPLES = {"fault": fault, "sound": sound, "incomplete": incomplete, "blocks": blocks}
