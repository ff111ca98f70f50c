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
    return {word.name: word for word in (*_units(numbers), *_symmetry(numbers), *_gradients(), *_methods(), *_scales())}


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
            "symmetry",
            "A swap of units that leaves the loss as it is, on every batch. A start that the swap leaves as it is gets "
            "gradients that it leaves as they are, so training never tells the units apart. It holds between units of "
            "one layer, and only if what feeds them and what reads them are both equal: layers have no such symmetry.",
            "An exact relation: responses and gradients that differ by more than "
            f"{limits.equality_roundoffs:.0f} roundings are different. One difference in weights, bias or outgoing "
            "weights is enough to break it, which is why biases may start at zero and weights may not.",
            "A bad scale is another fault: units may all differ and still be saturated or silent.",
            ("SZ201", "SZ202", "SZ203", "SZ204"),
        ),
        Word(
            "twin units",
            "Two units are twins when everything that feeds them and everything that reads them is equal: weights, "
            "bias, norm gain and outgoing weights. They stay equal for every loss, data set and optimizer.",
            "Exact equality of rows and of (response, gradient); there is no limit to tune.",
            "Lumped units have different rows but equal responses and gradients; equal rows with different gradients "
            "are not twins.",
            ("SZ201",),
        ),
        Word(
            "lumped units",
            "Units whose rows differ while the sums of their weights over each group of the layer below and of the "
            "layer above agree: they respond alike and get equal gradients, so they are one unit in disguise.",
            "Exact agreement of responses and gradients, kept by virtual steps; no comparison of rows finds them, and "
            "the rank of the matrix does not show them.",
            "Twin units have equal rows as well. Lumped units part under Adam with coupled weight decay, twins do not.",
            ("SZ202",),
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
            "dead product",
            "Two or more factors that reach the output only through their product and are all zero: the gradient of "
            "each is multiplied by another one, so none ever moves, whatever the optimizer and its weight decay.",
            "A count: two zero factors or more are an error, one is a start that wakes. Said after virtual steps that "
            "woke none of them, and after one of them was redrawn and woke the others.",
            "A zero with a drawn factor beside it (LoRA's B, a zero head) is delayed, or live itself. A dead unit is "
            "shut by its activation, not by another factor.",
            ("SZ701",),
        ),
        Word(
            "unused",
            "A parameter is unused when no path leads from it to the loss in this forward pass: autograd gives None.",
            "A fact, without a limit. Whether it matters depends on intent: a second head may be unused in this call.",
            "A parameter with a gradient of zero is used.",
            ("SZ405",),
        ),
    )


def _methods() -> tuple[Word, ...]:
    return (
        Word(
            "idiom",
            "A start that looks like a fault and is meant: a zero last layer of a branch, a zero head, one zero factor "
            "of an adapter, tied weights, a bias that holds a prior. The report lists those it accepted, and why.",
            "Recognised by structure and effect, never by a name, and accepted only while the evidence holds: what is "
            "zero has a gradient at the start or above rounding noise after a few virtual steps.",
            "The same zero in another place is a fault: two zero factors, a zero layer on the only path.",
            (),
        ),
        Word(
            "matched control",
            "The same network with every tensor redrawn by its law, biases at zero and norms neutral, on the same "
            "batch with the same loss: what is ordinary for this width, depth and data.",
            "A quantity is judged by its ratio to the control: what is zero here and not above rounding noise there "
            "is so by algebra, what is zero here only is the doing of this start.",
            "It is no second opinion about the architecture: control and model share it.",
            ("SZ402", "SZ404", "SZ603"),
        ),
        Word(
            "virtual step",
            "An update of a copy of the model, never of the model itself, by a small share of each weight's own scale "
            "along its gradient. Steps go on while further weights wake.",
            "Counted from 0, the start itself: 'by step 2' means that a gradient rises above rounding noise after two "
            "updates. Past the second step this takes float64.",
            "It foretells which weights can move, not how far training gets.",
            ("SZ402", "SZ403", "SZ404", "SZ701"),
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
            ("SZ301", "SZ302"),
        ),
        Word(
            "root cause",
            "A finding that no other finding explains. Mending it removes what hangs under it.",
            "Only root causes decide the exit code.",
            "A consequence is real, but not a second fault.",
            (),
        ),
    )
