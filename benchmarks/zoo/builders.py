"""The zoo: every entry, in one order, by name."""

import difflib
from dataclasses import replace
from functools import cache

from benchmarks.zoo import diffusion, kinds, listed, odd, pictures, senses, text, tuning
from benchmarks.zoo.argued import BY_MODEL
from benchmarks.zoo.entry import Entry


@cache
def entries() -> dict[str, Entry]:
    """All entries by ``source/name``."""
    groups = (
        text.decoders(),
        text.encoders(),
        text.encoder_decoders(),
        senses.vision(),
        senses.sound(),
        senses.multimodal(),
        pictures.torchvision_models(),
        pictures.timm_models(),
        odd.odd_ones(),
        diffusion.diffusers_models(),
        tuning.peft_models(),
        kinds.kinds(),
        listed.listed_models("timm"),
        listed.listed_models("torchvision"),
    )
    named: dict[str, Entry] = {}
    for entry in (entry for group in groups for entry in group):
        argument = BY_MODEL.get(entry.name.removesuffix("-wide"), {})
        argued = replace(entry, argued={**entry.argued, **argument})
        named.setdefault(entry.key, argued)  # built by hand and looked at twice counts more than built by a rule
    return named


def short() -> list[Entry]:
    """The cheap entries, at most a second or so each."""
    return [entry for entry in entries().values() if entry.is_short]


def select(patterns: list[str]) -> list[Entry]:
    """Entries whose key contains one of ``patterns``; raises when a pattern matches nothing."""
    chosen: dict[str, Entry] = {}
    for pattern in patterns:
        found = {key: entry for key, entry in entries().items() if pattern in key}
        if not found:
            near = difflib.get_close_matches(pattern, entries(), n=3, cutoff=0.3)
            raise ValueError(f"no entry of the zoo matches {pattern!r}; the nearest are {', '.join(near) or 'none'}")
        chosen |= found
    return list(chosen.values())
