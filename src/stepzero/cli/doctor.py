"""``stepzero doctor``: what stepzero runs on here. Reports, judges nothing, always exits 0."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tomllib
from pathlib import Path

import click

from stepzero import __version__
from stepzero.cli import output
from stepzero.report.style import Paint, pad

OPTIONAL = ("transformers", "timm", "torchvision", "safetensors", "numpy", "scikit-learn", "ray", "lightning")
"""Packages that some targets or extras use, by distribution name."""
COMPILERS = ("c++", "g++", "clang++", "cl")


@click.command("doctor")
def command() -> None:
    """Say what stepzero runs on here: versions, devices, optional packages, compiler, configuration."""
    paint = Paint(output.is_color())
    facts = [
        ("stepzero", f"{__version__} in {Path(__file__).parent.parent}"),
        ("python", f"{platform.python_version()} ({platform.system()} {platform.machine()})"),
        *_torch(),
        *((name, _version(name)) for name in OPTIONAL),
        ("C++ compiler", _compiler()),
        ("configuration", _configuration(Path.cwd())),
    ]
    output.write("\n".join(f"{paint(pad(name, 15), 'bold')}{fact}" for name, fact in facts) + "\n")


def _torch() -> list[tuple[str, str]]:
    """Version, devices and threads of torch, or why it does not import."""
    if importlib.util.find_spec("torch") is None:
        return [("torch", "not installed; checking a model needs it: pip install torch")]
    try:
        import torch  # noqa: PLC0415 - only the doctor of all quick commands looks at torch
    except Exception as error:  # noqa: BLE001 - a broken install is exactly what the doctor is asked about
        return [("torch", f"installed, does not import: {type(error).__name__}: {str(error).splitlines()[0]}")]
    devices = ["cpu"]
    devices += [f"cuda:{index} {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    return [("torch", torch.__version__), ("devices", ", ".join(devices)), ("threads", threads)]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed (optional)"


def _compiler() -> str:
    """Where a C++ compiler is: torch.compile needs one, a check does not."""
    named = os.environ.get("CXX")
    for name in [named, *COMPILERS] if named else COMPILERS:
        found = shutil.which(name)
        if found:
            return found
    return "none found (only torch.compile would need one)"


def _configuration(folder: Path) -> str:
    """The nearest pyproject.toml upward and whether it has a [tool.stepzero] table."""
    for place in [folder, *folder.parents]:
        file = place / "pyproject.toml"
        if file.is_file():
            return f"{file}, {_table(file)}"
    return "no pyproject.toml here or above"


def _table(file: Path) -> str:
    try:
        tool = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError) as error:
        return f"not readable: {error}"
    return "with a [tool.stepzero] table" if "stepzero" in tool else "without a [tool.stepzero] table"
