"""Every model type of transformers that its own configuration makes: shrunk by `shrink`, fed by `heads`.

``kinds.csv`` lists those that build and take a step here, with the seconds of a step, at width 64 or at the published
one; ``python -m benchmarks.zoo.survey`` writes it.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.zoo import argued, heads, inputs, shrink
from benchmarks.zoo.entry import Built, Entry
from benchmarks.zoo.schemas import define_torchvision_schemas

LIST = Path(__file__).with_name("kinds.csv")
SHORT = frozenset(
    """gemma4_text qwen3 olmo granite phi blip cohere2 mpnet megatron-bert xglm biogpt bitnet exaone4 pixtral
    deepseek_v32 chinese_clip arcee cohere sam_hq_vision_model markuplm""".split()
)
"""Cheap ones of many kinds, for every test run."""


@dataclass(frozen=True)
class Kind:
    """Builds one model type of transformers; nothing is downloaded."""

    model_type: str
    model: str
    feed: str
    is_wide: bool = False

    def __call__(self, generator: torch.Generator) -> Built:
        """Return the model in training mode, its batch, and a loss where the model has none."""
        define_torchvision_schemas()
        import transformers

        model = getattr(transformers, self.model)(self.config()).train()
        return model, heads.batch_for(model, self.feed, generator), heads.Noise() if self.feed == "anything" else None

    def config(self) -> Any:
        """The configuration, cut down."""
        import transformers
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

        kind = getattr(transformers, CONFIG_MAPPING_NAMES[self.model_type])
        keys = shrink.shallow(kind()) if self.is_wide else shrink.narrow(kind())
        labels = {"num_labels": inputs.CLASSES} if self.feed.endswith("_classes") else {}
        return kind(**keys, **labels)


def kinds() -> list[Entry]:
    """One entry a line of the list."""
    with LIST.open() as lines:
        return [_entry(row) for row in csv.DictReader(lines)]


def _entry(row: dict[str, str]) -> Entry:
    is_wide = row["width"] == "published"
    recipe = Kind(row["type"], row["model"], row["feed"], is_wide)
    name = f"{row['type']}-wide" if is_wide else row["type"]
    return Entry("transformers", row["feed"], name, recipe, name in SHORT, argued.BY_MODEL.get(row["type"], {}),
                 is_light=True, seconds=float(row["seconds"]))  # fmt: skip
