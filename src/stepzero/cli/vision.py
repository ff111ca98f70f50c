"""``timm:NAME`` and ``torchvision:NAME``: models built by name with random weights; nothing is downloaded."""

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from typing import Any

from stepzero.cli.literal import Arguments
from stepzero.cli.stand_in import StandIn, images
from stepzero.core.errors import TargetError, did_you_mean


def model(library: str, name: str, arguments: Arguments, seed: int) -> tuple[Callable[[], Any], StandIn | None]:
    """Return a factory of the model and a stand-in batch; None when its input is not one tensor of images."""
    home = imported(library, f"{library}:{name}")
    if arguments.args:
        raise TargetError(f"{library}:{name}: arguments are given by name, as in {library}:{name}(num_classes=10)")
    return (_timm if library == "timm" else _torchvision)(home, name, arguments.kwargs, seed)


def imported(library: str, whole: str) -> Any:
    """Import an optional package; `TargetError` telling a missing one from one that does not import."""
    if importlib.util.find_spec(library) is None:
        raise TargetError(f"{whole} needs the package {library}, which is not installed: pip install {library}")
    try:
        return importlib.import_module(library)
    except Exception as error:  # noqa: BLE001 - a broken install fails in any way
        raise TargetError(broken(library, error)) from None


def broken(library: str, error: Exception) -> str:
    """Say in one line that an installed package does not import, and the usual reason."""
    import torch  # noqa: PLC0415 - only a check needs torch

    reason = str(error).splitlines()[0] if str(error) else "no message"
    return (
        f"{library} is installed but does not import: {type(error).__name__}: {reason} "
        f"(was it, or torchvision under it, built for another torch than {torch.__version__}?)"
    )


def _timm(timm: Any, name: str, settings: dict[str, Any], seed: int) -> tuple[Callable[[], Any], StandIn | None]:
    if not timm.is_model(name.partition(".")[0]):
        raise TargetError(_unknown("timm", name, timm.list_models()))
    if settings.get("pretrained"):
        raise TargetError(f"timm:{name}: pretrained weights are not loaded; the start is checked as it is drawn")
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    channels, *sizes = config.input_size if config is not None else (3, 224, 224)
    size = settings.get("img_size", tuple(sizes))
    num_classes = settings.get("num_classes", config.num_classes if config is not None else 1000)
    stand_in = images(settings.get("in_chans", channels), _pair(size), num_classes, seed)
    return lambda: timm.create_model(name, **{**settings, "pretrained": False}), stand_in


def _torchvision(
    vision: Any, name: str, settings: dict[str, Any], seed: int
) -> tuple[Callable[[], Any], StandIn | None]:
    known = vision.models.list_models()
    if name not in known:
        raise TargetError(_unknown("torchvision", name, known))
    if settings.get("weights"):
        raise TargetError(f"torchvision:{name}: pretrained weights are not loaded; the start is checked as it is drawn")
    builder = vision.models.get_model_builder(name)
    settings = {**settings, "weights": None}
    if "weights_backbone" in inspect.signature(builder).parameters:  # or it would be downloaded
        settings["weights_backbone"] = None
    return lambda: builder(**settings), _torchvision_images(vision, name, builder.__module__, settings, seed)


def _torchvision_images(vision: Any, name: str, home: str, settings: dict[str, Any], seed: int) -> StandIn | None:
    """Images or clips at the size the model was made for; None for detection, optical flow and quantised models."""
    family = home.removeprefix("torchvision.models.").partition(".")[0]
    if family in ("detection", "optical_flow", "quantization"):
        return None
    num_classes = settings.get("num_classes", _num_categories(vision, name))
    if family == "video":
        side = 224 if any(part in name for part in ("mvit", "swin", "s3d")) else 112
        return images(3, (16, side, side), num_classes, seed)
    side = settings.get("image_size", 299 if name == "inception_v3" else 224)
    return images(3, (side, side), None if family == "segmentation" else num_classes, seed)


def _num_categories(vision: Any, name: str) -> int:
    weights = list(vision.models.get_model_weights(name))
    return len(weights[0].meta.get("categories") or ()) if weights else 1000


def _pair(size: int | tuple[int, ...] | list[int]) -> tuple[int, ...]:
    return (size, size) if isinstance(size, int) else tuple(size)


def _unknown(library: str, name: str, known: list[str]) -> str:
    if name.startswith(("hf_hub:", "hf-hub:")) or "/" in name:
        return f"{library}:{name}: nothing is downloaded; give the name of an architecture, as in {library}:resnet18"
    return f"no model {name!r} in {library}{did_you_mean(name, known) or f'; it has {len(known)} models'}"
