"""The words stepzero uses of a network, each with the direction of its threshold: below or above what, it speaks.

Numbers are not repeated here: they are taken from `Limits`.
"""

from dataclasses import dataclass

from stepzero.core.limits import Limits


@dataclass(frozen=True, slots=True)
class Word:
    """One word: what it means and when it is said."""

    name: str
    meaning: str
    threshold: str
    """When it is said: the quantity, the direction and the limit."""
    not_to_confuse: str
    codes: tuple[str, ...]
    """Rules that use the word."""


def words(limits: Limits | None = None) -> dict[str, Word]:
    """Return every word by its name, with the numbers of ``limits`` (by default those that ship)."""
    numbers = limits or Limits()
    return {word.name: word for word in (*_units(numbers), *_symmetry(numbers), *_gradients(), *_scales())}


def _units(limits: Limits) -> tuple[Word, ...]:
    return (
        Word(
            "dead",
            "A unit is dead when its activation passes no gradient at any position of the batch: the slope is exactly "
            "zero everywhere (a ReLU whose input is negative for every sample). Its weights cannot be moved.",
            f"The higher the share of dead units, the worse: a warning above {limits.dead_warning:.0%} of the units "
            f"beyond what chance and correlated inputs explain, an error above {limits.dead_error:.0%}. It is judged "
            f"from {limits.dead_min_rows:.0f} positions upward, because with fewer a sound unit can be off by chance.",
            "A saturated unit still has a small slope; a dead unit has none.",
            ("SZ305",),
        ),
        Word(
            "saturated",
            "A unit is saturated when its bounded activation (tanh, sigmoid) sits on its flat part: the slope is below "
            f"{limits.saturated_derivative:g} of the largest slope at more than {limits.saturated_flat_share:.0%} of "
            "the positions. Gradient still passes, but little of it.",
            f"The higher the share of saturated units, the worse: a warning above {limits.saturated_warning:.0%}, an "
            f"error above {limits.saturated_error:.0%} when the gradient across the activation also falls below "
            f"{limits.saturated_error_gradient:g} of what reaches it.",
            "Gates and attention weights are meant to be flat at times and are left out; for ReLU the word is dead.",
            ("SZ303",),
        ),
    )


def _symmetry(limits: Limits) -> tuple[Word, ...]:
    return (
        Word(
            "redundant",
            "Units are redundant when they respond alike and receive alike gradients, so that they stay copies of one "
            "another at every step of training: the layer is narrower than it looks.",
            "An exact relation, not a degree of likeness: responses and gradients agree to within "
            f"{limits.equality_roundoffs:.0f} roundings. One pair is enough; effective width below 1 says how many.",
            "Units that merely start alike (equal rows, different gradients) separate at the first step.",
            ("SZ201", "SZ202", "SZ203"),
        ),
        Word(
            "twin",
            "Two units are twins when everything that feeds them and everything that reads them is equal: weights, "
            "bias, norm gain and outgoing weights. They stay equal for every loss, data set and optimizer.",
            "Exact equality of rows and of (response, gradient); there is no limit to tune.",
            "Lumped units have different rows but equal responses and gradients; equal rows with different gradients "
            "are not twins.",
            ("SZ201",),
        ),
        Word(
            "effective width",
            "The number of groups of units that differ, over the number of units.",
            "Lower is worse: 1 is healthy, 1/n means that n units are one unit in disguise. Any value below 1 is "
            "reported.",
            "It says nothing about how useful the units are, only how many distinct ones there are.",
            ("SZ201", "SZ202"),
        ),
    )


def _gradients() -> tuple[Word, ...]:
    return (
        Word(
            "stuck",
            "A weight is stuck when no optimizer step ever gives it a gradient: its value, or the value of another "
            "weight that is stuck with it, keeps the gradient at zero forever.",
            "A gradient counts as zero at or below the rounding noise measured on this model and batch, never below a "
            "fixed number. Stuck is said after virtual steps during which the set of moving weights stopped growing.",
            "A delayed weight also has no gradient at step 0, but gets one.",
            ("SZ402", "SZ701"),
        ),
        Word(
            "delayed",
            "A weight is delayed when it has no gradient at step 0 and gets one after k steps, because the zero in "
            "front of it moves first (a zero-initialised residual branch, LoRA's B, a zero head).",
            "Said with the step k at which the gradient first rises above rounding noise; k of 1 or 2 is a common "
            "idiom and only a note.",
            "A stuck weight never gets a gradient.",
            ("SZ403",),
        ),
        Word(
            "unused",
            "A parameter is unused when no path leads from it to the loss in this forward pass: autograd gives None.",
            "A fact, without a limit. Whether it matters depends on intent: a second head may be unused in this call.",
            "A parameter with a gradient of zero is used.",
            ("SZ405",),
        ),
    )


def _scales() -> tuple[Word, ...]:
    return (
        Word(
            "law",
            "The standard deviation that keeps the signal at its size: the gain of what reads the layer, over the "
            "square root of its true fan in.",
            "The ratio of the weight's own standard deviation to it is 1 for a start by the law; away from 1 in "
            "either direction the signal grows (above) or shrinks (below) from layer to layer.",
            "Under a normalisation the scale of a weight hardly matters.",
            ("SZ301", "SZ302", "SZ313"),
        ),
        Word(
            "root cause",
            "A finding that no other finding explains. Mending it removes what hangs under it.",
            "Only root causes decide the exit code.",
            "A consequence is real, but not a second fault.",
            (),
        ),
    )
