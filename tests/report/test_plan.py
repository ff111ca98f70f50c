"""A Plan as text."""

import pytest

from stepzero.core.plan import Entry, Plan, Scaling
from stepzero.report import plan as shown

MADE = Plan(
    "net [attn]",
    7,
    entries=(
        Entry("0.weight", "drawn", "weight", "fed by relu", "he", fan_in=8.0, gain=1.41, std=0.5, seed_key="0.weight"),
        Entry("0.bias", "set", "bias", "the weights tell the units apart", value=0.0),
        Entry("lora.B", "kept", why="low-rank adapter: its other factor is random"),
        Entry("odd", "skipped", why="no operation of the pass read it"),
        Entry("norm.running_mean", "set", "buffer", "old", value=0.0),
    ),
    scalings=(Scaling("0.weight", 1.25, 1.0, 0.8, 1.0),),
    skipped=(("2.weight", "the output does not vary over the batch"),),
    forwards=2,
)


def test_every_parameter_says_what_and_why():
    text = shown.render(MADE)
    assert "he, std 0.5, x1.25: fed by relu" in text
    assert "= 0: the weights tell the units apart" in text
    assert "kept: low-rank adapter" in text
    assert "skipped: no operation" in text
    assert "not calibrated: 2.weight: the output does not vary" in text
    assert "1 drawn, 2 set, 1 kept, 1 skipped; calibrated 1 weight in 2 forward passes" in text
    assert "running_mean" not in text
    assert text.startswith("net [attn]")


@pytest.mark.parametrize("width", [60, 80, 140])
def test_lines_keep_to_the_width(width):
    assert max(len(line) for line in shown.render(MADE, width=width).splitlines()) <= width


def test_fixes_show_before_and_after():
    text = shown.render(Plan("net", 0, "fix", before=("SZ206 2.weight",)))
    assert "before: SZ206 2.weight" in text
    assert "after: no error, no warning" in text


def test_long_lists_are_cut_and_counted():
    many = Plan("net", 0, entries=tuple(Entry(f"{index}.bias", "set", "bias", "why", value=0.0) for index in range(60)))
    assert "and 20 more; -v lists all" in shown.render(many)
    assert "more" not in shown.render(many, verbose=True)


def test_colour_only_when_asked():
    assert "\x1b" not in shown.render(MADE)
    assert "\x1b" in shown.render(MADE, color=True)
