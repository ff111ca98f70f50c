"""--batch: tensors made from a literal form, read from a file, or taken from the user's loader."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepzero.cli import importing, literal
from stepzero.cli.failures import shortened
from stepzero.core.errors import BatchError, TargetError, did_you_mean

if TYPE_CHECKING:
    import torch

MAKERS = ("randn", "rand", "randint", "zeros", "ones")
FORMS = (
    "pkg.mod:loader, randn(64,784), randint(0,1000,(4,128)), input_ids=randint(0,1000,(4,128)), file.safetensors "
    "or file.pt"
)
FILES = (".safetensors", ".pt", ".pth")
LITERAL = re.compile(r"\s*[^\W\d]\w*\s*[(=]")
"""What the literal form begins with: a maker and a parenthesis, or a keyword and an equals sign."""
LARGEST = 2**31
"""Elements of a batch made here; more is a typing error, not a batch (8 GiB of float32)."""


def load(text: str, *, seed: int) -> tuple[Any, bool]:
    """Return the batch that ``text`` means and whether it is a stand-in; `BatchError` of one line otherwise."""
    if text.strip().endswith(FILES):
        return _read(Path(text.strip())), False
    if LITERAL.match(text) and ":" not in text.partition("(")[0]:
        return _make(text, seed), True
    if ":" in text:
        return _loader(text), False
    raise BatchError(f"--batch {text!r} is of no known form; expected {FORMS}")


def _make(text: str, seed: int) -> Any:
    """Draw the tensors of a literal form with one generator: a tensor, a tuple of them, or a dict of keywords."""
    import torch  # noqa: PLC0415 - only a check needs torch

    try:
        call = literal.parse(text, f"--batch {text}")
        generator = torch.Generator().manual_seed(seed)
        args = tuple(_tensor(node, generator) for node in call.args)
        kwargs = {name: _tensor(node, generator) for name, node in literal.keywords(call)}
    except TargetError as error:
        raise error if isinstance(error, BatchError) else BatchError(str(error)) from None
    if args and kwargs:
        from stepzero.probe.subject import Batch  # noqa: PLC0415 - only for this mixed form

        return Batch(args=args, kwargs=kwargs)
    return kwargs or (args[0] if len(args) == 1 else args)


def _tensor(node: ast.expr, generator: "torch.Generator") -> "torch.Tensor":
    """Make one tensor of a call such as ``randint(0, 1000, (4, 128))``."""
    import torch  # noqa: PLC0415 - only a check needs torch

    told = ast.unparse(node)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise BatchError(f"--batch {told}: expected a call of {', '.join(MAKERS)}, as in randn(64,784)")
    maker = node.func.id
    if maker not in MAKERS:
        raise BatchError(
            f"--batch {told}: cannot make {maker!r}, only {', '.join(MAKERS)}{did_you_mean(maker, MAKERS)}"
        )
    args = [literal.value(part, f"--batch {told}") for part in node.args]
    kwargs = {name: _option(name, part, told) for name, part in literal.keywords(node)}
    if maker.startswith("rand"):
        kwargs["generator"] = generator
    _check_size(args, told)
    try:
        made: torch.Tensor = getattr(torch, maker)(*args, **kwargs)
    except (TypeError, RuntimeError, ValueError) as error:
        raise BatchError(f"--batch {told}: {shortened(str(error).splitlines()[0])}") from None
    if made.numel() == 0:
        raise BatchError(f"--batch {told}: has no elements")
    return made


def _option(name: str, node: ast.expr, told: str) -> Any:
    """``dtype`` is the only keyword, given by its name: ``dtype='int64'`` or ``dtype=float16``."""
    import torch  # noqa: PLC0415 - only a check needs torch

    if name != "dtype":
        raise BatchError(f"--batch {told}: unknown keyword {name!r}; only dtype is accepted, as in dtype=float16")
    dtype = ast.unparse(node).strip("'\"").removeprefix("torch.")
    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype):
        known = [key for key, item in vars(torch).items() if isinstance(item, torch.dtype)]
        raise BatchError(f"--batch {told}: no dtype {dtype!r}{did_you_mean(dtype, known)}")
    return found


def _check_size(args: list[Any], told: str) -> None:
    sizes = args[-1] if args and isinstance(args[-1], tuple | list) else args
    count = 1
    for size in sizes:
        count *= size if isinstance(size, int) else 1
    if count > LARGEST:
        raise BatchError(f"--batch {told}: {count:,} elements, at most {LARGEST:,} are made")


def _read(path: Path, flag: str = "--batch") -> Any:
    """Read tensors from a file, never code: safetensors, or torch's format with ``weights_only=True``."""
    if not path.is_file():
        folder = path.parent
        known = [file.name for file in folder.iterdir() if file.suffix in FILES] if folder.is_dir() else []
        raise BatchError(f"{flag}: no file {path}{did_you_mean(path.name, known)}")
    batch = _safetensors(path, flag) if path.suffix == ".safetensors" else _pickle(path, flag)
    if _is_empty(batch):
        raise BatchError(f"{flag} {path}: holds no tensor; expected a tensor, a tuple or a dict of tensors")
    return batch


def read_state(path: Path) -> Any:
    """What ``--reference`` names: a state dict, or a checkpoint around one; `BatchError` when it cannot be read."""
    return _read(path, "--reference")


def _safetensors(path: Path, flag: str) -> Any:
    try:
        from safetensors.torch import load_file  # noqa: PLC0415 - an optional package
    except ImportError:
        raise BatchError(f"{flag} {path}: needs the package safetensors: pip install safetensors") from None
    try:
        return load_file(path)
    except Exception as error:  # noqa: BLE001 - its errors have no common base
        raise BatchError(f"{flag} {path}: not a safetensors file: {error}") from None


def _pickle(path: Path, flag: str) -> Any:
    import torch  # noqa: PLC0415 - only a check needs torch

    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # noqa: BLE001 - unpickling fails in many ways
        reason = shortened(str(error).splitlines()[0], 120) if str(error) else type(error).__name__
        raise BatchError(
            f"{flag} {path}: not readable with weights_only=True ({reason}); save a tensor, a tuple or a dict of "
            "tensors with torch.save"
        ) from None


def _is_empty(batch: object) -> bool:
    import torch  # noqa: PLC0415 - only a check needs torch

    if isinstance(batch, Mapping):
        batch = tuple(batch.values())
    if isinstance(batch, tuple | list):
        return all(_is_empty(item) for item in batch)
    return not isinstance(batch, torch.Tensor)


def _loader(text: str) -> Any:
    """Import ``pkg.mod:loader``, calling it when it is a function; it gives a batch or an iterable of batches."""
    where = importing.reference(text)
    if where is None:
        raise BatchError(f"--batch {text!r} is of no known form; expected {FORMS}")
    found = importing.attribute(where.source, where.attribute)
    if callable(found) and not hasattr(found, "__iter__"):
        arguments = literal.arguments(where.arguments, where.name)
        arguments.check(found, where.name)
        with importing.running(f"--batch {text} could not be made"):
            found = found(*arguments.args, **arguments.kwargs)
    if found is None:
        raise BatchError(f"--batch {text}: gave None; expected a batch or an iterable of batches")
    return found
