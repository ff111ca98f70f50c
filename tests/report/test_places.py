"""Where a finding is in the reader's repository: never an absolute path, never nowhere."""

from dataclasses import replace

import pytest

from stepzero.report.places import place
from tests.report.samples import CONSTANT, fault


@pytest.fixture
def root(tmp_path):
    for file in ("app/mlp.py", "src/pkg/net.py", "pkg2/__init__.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "model", "expected"),
    [
        ("app/mlp.py:23", "app/mlp.py:build", ("app/mlp.py", 23)),
        ("app/mlp.py:0", "app/mlp.py:build", ("app/mlp.py", 1)),
        ("gone.py:3", "app/mlp.py:build", ("app/mlp.py", 1)),
        (None, "app/mlp.py:build", ("app/mlp.py", 1)),
        (None, "./app/mlp.py:build", ("app/mlp.py", 1)),
        (None, "app.mlp:build", ("app/mlp.py", 1)),
        (None, "pkg.net:Net(width=3)", ("src/pkg/net.py", 1)),
        (None, "pkg2:build", ("pkg2/__init__.py", 1)),
        ("transformers/models/gpt2/modeling_gpt2.py:9", "hf:GPT2Config", ("pyproject.toml", 1)),
        (".venv/lib/site-packages/timm/layers.py:9", "timm:resnet18", ("pyproject.toml", 1)),
        ("/usr/lib/python3/net.py:9", "Net", ("pyproject.toml", 1)),
        (None, "", ("pyproject.toml", 1)),
    ],
)
def test_a_place_is_relative_and_exists_where_any_does(root, line, model, expected):
    finding = replace(CONSTANT, source_line=line)
    assert place(replace(fault(), model=model, findings=(finding,)), finding, root) == expected


def test_another_finding_lends_its_file(root):
    nowhere = replace(CONSTANT, source_line=None)
    report = replace(fault(), model="Net", findings=(nowhere, replace(CONSTANT, source_line="app/mlp.py:3")))
    assert place(report, nowhere, root) == ("app/mlp.py", 1)
