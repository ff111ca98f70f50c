"""Studies: one file each, a question, the networks that answer it and the page about them."""

from stepzero.core.errors import ConfigError, did_you_mean
from stepzero.lab.studies import (
    first_touch,
    gain,
    glorot,
    linear,
    low_dimension,
    lumped,
    question,
    stall,
    symmetry,
    trainable_depth,
    very_deep,
    widths,
)
from stepzero.lab.study import Study

ALL = (
    question.STUDY,
    symmetry.STUDY,
    first_touch.STUDY,
    gain.STUDY,
    low_dimension.STUDY,
    lumped.STUDY,
    trainable_depth.STUDY,
    very_deep.STUDY,
    glorot.STUDY,
    stall.STUDY,
    linear.STUDY,
    widths.STUDY,
)


def get(name: str) -> Study:
    """The study of that name.

    Raises:
        ValueError: there is none; the nearest is named.
    """
    found = {each.name: each for each in ALL}
    if name not in found:
        raise ConfigError(f"no study is called {name!r}{did_you_mean(name, found)}; known: {', '.join(found)}")
    return found[name]
