"""`stepzero doctor` reports whatever is there and never fails."""

import sys

import torch

from tests.cli.support import run


def test_versions_and_devices():
    result = run("doctor")
    assert result.exit_code == 0
    assert f"torch          {torch.__version__}" in result.stdout
    assert "cpu" in result.stdout
    assert "threads" in result.stdout


def test_a_missing_torch_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("doctor")
    assert result.exit_code == 0
    assert "not installed; checking a model needs it" in result.stdout


def test_a_torch_that_does_not_import_is_told(monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "torch":
                raise OSError("libtorch.so: cannot open shared object file\nmore")

    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert "installed, does not import: OSError: libtorch.so" in run("doctor").stdout


def test_the_configuration_is_found_above(folder, monkeypatch):
    assert "no pyproject.toml here or above" in run("doctor").stdout
    (folder / "pyproject.toml").write_text("[tool.stepzero]\n")
    monkeypatch.chdir(folder / "app")
    assert f"{folder}/pyproject.toml, with a [tool.stepzero] table" in run("doctor").stdout
    (folder / "pyproject.toml").write_text("[tool")
    assert "not readable" in run("doctor").stdout


def test_a_missing_compiler_is_no_fault(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert "none found (only torch.compile would need one)" in run("doctor").stdout
