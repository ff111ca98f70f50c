"""Published models pass a check: no crash, not one bit changed, no error-level finding."""

import importlib.util
from collections import Counter

import pytest
import torch

from benchmarks.zoo.builders import entries, select, short
from benchmarks.zoo.entry import Entry, plain_loss, plain_step
from benchmarks.zoo.judge import judge

FAST = [
    "transformers/gpt2", "transformers/bert", "transformers/t5", "transformers/vit", "transformers/mixtral",
    "transformers/wav2vec2", "transformers/clip", "timm/test_vit", "torchvision/resnet18", "torch/stateful-inplace",
    "torch/lstm", "torch/weight-and-spectral-norm",
]  # fmt: skip
"""One entry of each kind of trouble; the other short ones and the whole zoo are marked slow."""

LIBRARIES = ("transformers", "timm", "torchvision", "diffusers", "peft")
MISSING = {name for name in LIBRARIES if importlib.util.find_spec(name) is None}
"""The environment of `make test` has transformers alone; that of `make bench` has all."""


@pytest.fixture(autouse=True)
def _one_thread_and_the_old_seed():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        yield
    torch.set_num_threads(threads)


OPEN: dict[str, str] = {}
"""Known faults by entry, each with its reason; take the line out when it is mended."""


def _marked(quick: list[str], known_faults: dict[str, str]) -> list:
    """The short entries with their marks: not installed, slow unless quick, known faults expected to fail."""
    return [pytest.param(entry, id=entry.key, marks=_marks(entry, quick, known_faults)) for entry in short()]


def _marks(entry: Entry, quick: list[str], known_faults: dict[str, str]) -> list[pytest.MarkDecorator]:
    marks = [pytest.mark.skipif(entry.source in MISSING, reason=f"not installed: {entry.source}")]
    marks += [pytest.mark.slow] if entry.key not in quick else []
    reason = known_faults.get(entry.key)
    return marks + ([pytest.mark.xfail(reason=reason, strict=False)] if reason else [])


@pytest.mark.parametrize("entry", _marked(FAST, OPEN))
def test_a_published_model_passes_untouched(entry: Entry) -> None:
    verdict = judge(entry)
    assert not verdict.crash, verdict.crash
    assert not verdict.changed, "\n".join(verdict.changed)
    assert not verdict.false_alarms, [(said.code, said.where, said.message) for said in verdict.false_alarms]
    assert not verdict.incomplete
    assert not verdict.wrong, "\n".join(verdict.wrong)
    assert verdict.is_repeatable


@pytest.mark.parametrize("entry", _marked(FAST[:6], {}))
def test_an_entry_builds_the_same_bits_from_the_same_seed(entry: Entry) -> None:
    (first, batch, loss), (second, _, _) = entry.build(3), entry.build(3)
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert plain_loss(first, batch, loss).isfinite()


@pytest.mark.slow
def test_every_entry_built_by_hand_builds_and_learns() -> None:
    for entry in (entry for entry in entries().values() if entry.source not in MISSING and not entry.is_light):
        model, batch, loss = entry.build()
        plain_loss(model, batch, loss).backward()
        assert any(parameter.grad is not None for parameter in model.parameters()), entry.key
        plain_step(model, batch, loss)
        assert all(parameter.grad is None for parameter in model.parameters()), entry.key


def test_the_zoo_is_wide() -> None:
    listed = entries().values()
    families = {entry.family for entry in listed if entry.source == "transformers"}
    sources = Counter(entry.source for entry in listed)
    assert len({entry.name.removesuffix("-wide") for entry in listed if entry.source == "transformers"}) >= 150
    assert sources["timm"] >= 300
    assert sources["torchvision"] >= 60
    assert min(sources["diffusers"], sources["peft"]) >= 15
    assert len(short()) >= 40
    assert families >= {"decoder", "encoder", "encoder-decoder", "vit", "window", "convolution", "speech", "mixture",
                        "state-space", "recurrent", "dual-encoder", "multimodal", "permutation"}  # fmt: skip


def test_an_unknown_name_says_what_exists() -> None:
    with pytest.raises(ValueError, match="transformers/gpt2"):
        select(["transformers/gtp2"])
