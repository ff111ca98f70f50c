"""``hf:path/to/config.json``, ``hf:folder`` and ``hf:GPT2Config(n_layer=2)``: transformers models with random weights.

Nothing is downloaded and no code of a checkpoint is run: the architecture comes from the installed package.
"""

import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stepzero.cli.literal import Arguments
from stepzero.cli.stand_in import IMAGES, SEQUENCES, TOKENS, StandIn, images, keywords, tokens
from stepzero.cli.vision import broken, imported
from stepzero.core.errors import TargetError, did_you_mean

TASKS = (
    "AutoModelForSeq2SeqLM",
    "AutoModelForSpeechSeq2Seq",
    "AutoModelForMaskedLM",
    "AutoModelForCausalLM",
    "AutoModelForImageClassification",
    "AutoModel",
)
"""Tried in this order: an encoder can also be run as a causal model, so what it was made for comes first."""


def model(name: str, arguments: Arguments, seed: int) -> tuple[Callable[[], Any], StandIn | None]:
    """Return a factory of the model and a stand-in batch; None when its inputs are of no common kind."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when the package is imported
    transformers = imported("transformers", f"hf:{name}")
    config = _config(transformers, name, arguments)
    kind = _class(transformers, config)
    _complete(config)
    return lambda: kind._from_config(config), _stand_in(kind, config, seed)  # noqa: SLF001 - what AutoModel calls


def _config(transformers: Any, name: str, arguments: Arguments) -> Any:
    """Make the configuration from a file, a folder or a class of the package."""
    if name.endswith(".json") or "/" in name or Path(name).is_dir():
        return _from_file(transformers, Path(name), arguments)
    known = [known for known in dir(transformers) if known.endswith("Config")]
    if name not in known:
        hint = "nothing is downloaded: give a configuration class or the path of a config.json"
        raise TargetError(
            f"no configuration class {name!r} in transformers {transformers.__version__}; {hint}"
            f"{did_you_mean(name, known)}"
        )
    kind = getattr(transformers, name)
    fields = kind().to_dict()
    for key in arguments.kwargs:
        if key not in fields and not hasattr(kind(), key):
            raise TargetError(f"hf:{name}: has no setting {key!r}{did_you_mean(key, fields)}")
    return _made(kind, f"hf:{name}", arguments)


def _from_file(transformers: Any, path: Path, arguments: Arguments) -> Any:
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        raise TargetError(
            f"hf: no file {file}; nothing is downloaded, so it must be a config.json or a folder with one"
        )
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TargetError(f"hf:{path}: not JSON: {error}") from None
    kind = settings.get("model_type") if isinstance(settings, dict) else None
    known = transformers.CONFIG_MAPPING
    if kind not in known:
        told = f"model_type {kind!r}" if kind else "no model_type"
        near = did_you_mean(str(kind), known.keys()) if kind else ""
        raise TargetError(f"hf:{path}: {told}, unknown to transformers {transformers.__version__}{near}")
    return _made(known[kind], f"hf:{path}", Arguments(arguments.args, {**settings, **arguments.kwargs}))


def _made(kind: Any, name: str, arguments: Arguments) -> Any:
    if arguments.args:
        raise TargetError(f"{name}: arguments are given by name, as in hf:GPT2Config(n_layer=2)")
    try:
        return kind.from_dict(arguments.kwargs)
    except Exception as error:  # noqa: BLE001 - each configuration validates in its own way
        raise TargetError(f"{name}: {' '.join(str(error).split())}") from None


def _class(transformers: Any, config: Any) -> Any:
    """Return the model class for ``config``; `TargetError` when there is none or the package is broken."""
    try:
        found = _named(transformers, config) or _by_task(transformers, config)
    except (ImportError, RuntimeError) as error:
        raise TargetError(broken("transformers", error)) from None
    if found is None:
        raise TargetError(f"hf:{type(config).__name__}: transformers has no model class for this configuration")
    return found


def _named(transformers: Any, config: Any) -> Any:
    """Return the class that the configuration names, when the package has it."""
    names = [name for name in config.architectures or () if name in dir(transformers)]
    return getattr(transformers, names[0]) if names else None


def _by_task(transformers: Any, config: Any) -> Any:
    """Return the class of the first task of TASKS that has one for this configuration."""
    for task in ("AutoModel",) if _is_two_tower(config) else TASKS:
        mapping = getattr(transformers, task)._model_mapping  # noqa: SLF001 - the only table of what exists
        if type(config) in mapping.keys():  # noqa: SIM118 - its `in` looks at something else
            found = mapping[type(config)]
            return found[0] if isinstance(found, tuple | list) else found
    return None


def _complete(config: Any) -> None:
    """Settings that a published config.json has and a bare class lacks, and none that would download weights."""
    if hasattr(config, "use_pretrained_backbone"):
        config.use_pretrained_backbone = False
    if getattr(config, "is_encoder_decoder", False):
        for name in ("decoder_start_token_id", "pad_token_id"):
            if getattr(config, name, None) is None:
                setattr(config, name, 0)


def _is_two_tower(config: Any) -> bool:
    """Whether text and images meet in one space, without a language model (CLIP)."""
    return hasattr(config, "projection_dim") and hasattr(config, "text_config") and hasattr(config, "vision_config")


def _stand_in(kind: Any, config: Any, seed: int) -> StandIn | None:
    """Random input of the kind the model's main input is, with labels where the model makes its own loss of them."""
    takes = inspect.signature(kind.forward).parameters
    if _is_two_tower(config):
        return _pairs(config, takes, seed)
    if kind.main_input_name == "input_ids":
        return _text(config, takes, seed)
    if kind.main_input_name == "pixel_values":
        return _pixels(config, takes, seed)
    if kind.main_input_name == "input_features" and hasattr(config, "num_mel_bins"):
        return _speech(config, takes, seed)
    return None


def _text(config: Any, takes: Any, seed: int) -> StandIn:
    ids = _ids(config, seed)
    told = f"{SEQUENCES} x {ids.shape[1]} uniformly random tokens"
    if "labels" in takes:
        return keywords({"input_ids": ids, "labels": ids}, f"{told}, labels the same, so the loss is the model's own")
    extra = {"decoder_input_ids": ids} if "decoder_input_ids" in takes else {}
    return keywords({"input_ids": ids, **extra}, told)


def _ids(config: Any, seed: int) -> Any:
    text = config.get_text_config()
    longest = getattr(text, "max_position_embeddings", None) or TOKENS
    return tokens(text.vocab_size, min(TOKENS, longest), seed)


def _pixels(config: Any, takes: Any, seed: int) -> StandIn:
    num_classes = config.num_labels if "labels" in takes else None
    pixels = images(_channels(config), _sides(config), num_classes, seed)
    labels = {"labels": pixels.target} if pixels.target is not None else {}
    return StandIn({"pixel_values": pixels.batch, **labels}, pixels.note)


def _pairs(config: Any, takes: Any, seed: int) -> StandIn:
    pixels = images(_channels(config.vision_config), _sides(config.vision_config), None, seed).batch[:SEQUENCES]
    loss = {"return_loss": True} if "return_loss" in takes else {}
    batch = {"input_ids": _ids(config, seed), "pixel_values": pixels, **loss}
    return keywords(batch, f"{SEQUENCES} pairs of random tokens and random images")


def _speech(config: Any, takes: Any, seed: int) -> StandIn:
    frames = 2 * getattr(config, "max_source_positions", 1500)
    features = images(config.num_mel_bins, (frames,), None, seed).batch[:SEQUENCES]
    labels = {"labels": _ids(config, seed)} if "labels" in takes else {}
    return keywords({"input_features": features, **labels}, f"{SEQUENCES} random spectrograms of {frames} frames")


def _channels(config: Any) -> int:
    return int(getattr(config, "num_channels", 3) or 3)


def _sides(config: Any) -> tuple[int, ...]:
    size = getattr(config, "image_size", None) or 224
    return (size, size) if isinstance(size, int) else tuple(size)[-2:]


assert IMAGES >= SEQUENCES, "pairs and spectrograms are the first SEQUENCES of IMAGES"
