"""What must answer at once never imports torch: nouns, rules, commands."""

import subprocess
import sys

import pytest

from tests.source import sources

LIGHT = ("core", "rules", "report", "cli", "__main__.py")
"""Packages whose import must not bring torch (they may load it inside a function)."""

MODULES = [source.module for source in sources() if source.place.split("/")[0] in LIGHT]
COMMANDS = [["--help"], ["--version"], ["rules"], ["rules", "--format", "json"], ["explain", "SZ101"]]


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_importing_light_modules_leaves_torch_out():
    names = [name for name in MODULES if name != "stepzero.__main__"]
    code = (
        f"import importlib, sys\nfor name in {names}:\n"
        " importlib.import_module(name)\n assert 'torch' not in sys.modules, name"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_commands_that_need_no_model_leave_torch_out(arguments):
    code = (
        "import sys\nfrom stepzero.cli import main\n"
        "try:\n main()\nfinally:\n print('torch' in sys.modules, file=sys.stderr)"
    )
    done = run(code, *arguments)
    assert done.stderr.strip().splitlines()[-1] == "False", done.stderr
    assert done.returncode == 0, done.stderr
    assert done.stdout
