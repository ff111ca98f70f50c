"""The import contracts of pyproject.toml: kept by the code as it is, broken by each violation planted here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source import PACKAGE, ROOT

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"

VIOLATIONS = {
    "core imports upwards": ("layers", {"core/planted.py": "import stepzero.api"}),
    "core imports the public door": ("layers", {"core/planted.py": "import stepzero"}),
    "core imports torch": ("core-stands-alone", {"core/planted.py": "import torch"}),
    "a new top-level module": ("layers", {"utils.py": ""}),
    "the probe judges": ("layers", {"probe/planted.py": "import stepzero.rules.signal"}),
    "rules and schemes know each other": ("layers", {"rules/signal/planted.py": "import stepzero.schemes"}),
    "a rule imports the probe": (
        "rules-see-no-model",
        {"rules/signal/planted.py": "from stepzero.probe import capture"},
    ),
    "a rule imports the probe's package": ("rules-see-no-model", {"rules/signal/planted.py": "import stepzero.probe"}),
    "the list of rules imports the probe": (
        "rules-see-no-model",
        {"rules/__init__.py": "import stepzero.probe.planted"},
    ),
    "the list of rules imports torch": ("rules-see-no-model", {"rules/__init__.py": "import torch"}),
    "a family's package imports torch": ("rules-see-no-model", {"rules/planted/__init__.py": "import torch"}),
    "a rule imports torch inside a function": (
        "rules-see-no-model",
        {"rules/signal/planted.py": "def judge():\n    import torch"},
    ),
    "a family imports another": (
        "families",
        {"rules/signal/planted.py": "from stepzero.rules.memory import outlier_value"},
    ),
    "a family imports another's package": ("families", {"rules/signal/planted.py": "import stepzero.rules.memory"}),
    "a new family": ("families", {"rules/planted/__init__.py": ""}),
}
SKELETON = ["api/__init__.py", "probe/planted.py", "schemes/__init__.py"]


def lint(folder: Path, contract: str | None = None) -> subprocess.CompletedProcess[str]:
    options = ["--no-cache", "--no-logo", "--config", str(ROOT / "pyproject.toml")]
    options += ["--contract", contract] if contract else []
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    command = [sys.executable, "-c", LINT, *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def plant(folder: Path, place: str, text: str) -> None:
    """Write one module, with an empty ``__init__.py`` in every package above it that has none."""
    path = folder / "src" / "stepzero" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for package in path.relative_to(folder / "src").parents[:-1]:
        (folder / "src" / package / "__init__.py").touch()


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "src" / "stepzero", ignore=shutil.ignore_patterns("__pycache__"))
    for place in SKELETON:
        if not (PACKAGE / place).exists():
            plant(tmp_path, place, "")
    return tmp_path


def test_the_code_keeps_every_contract():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


def test_the_copy_without_a_violation_keeps_every_contract(copy):
    done = lint(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("contract", "files"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_planted_violation_is_caught(copy, contract, files):
    for place, text in files.items():
        plant(copy, place, text)
    done = lint(copy, contract)
    assert done.returncode == 1, done.stdout
    assert any(Path(place).parent.name in done.stdout or "utils" in done.stdout for place in files)
