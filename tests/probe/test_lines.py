"""Places are shown from the working directory or the package, never as absolute paths of an installation."""

from pathlib import Path

import torch

from stepzero.probe.lines import shown

HERE = "tests/probe/test_lines.py"


def test_paths_are_shown_from_here_or_from_the_package() -> None:
    assert shown(__file__) == HERE
    assert shown("/opt/venv/lib/python3.11/site-packages/timm/models/vit.py") == "timm/models/vit.py"
    assert shown("/somewhere/else.py") == "/somewhere/else.py"
    assert not Path(shown(torch.__file__)).is_absolute()
