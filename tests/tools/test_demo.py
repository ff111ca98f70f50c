"""`make demo` ends well if and only if GPT-2 passes and the planted bug is found."""

import os
import subprocess

import pytest

from tests.source import ROOT

FAKE = """#!/bin/sh
echo "$@"
case "$2" in
  demo/gpt2.py:build) exit {gpt2} ;;
  demo/digits.py:build) exit {digits} ;;
esac
exit 99
"""


@pytest.mark.parametrize(
    ("gpt2", "digits", "status"), [(0, 1, 0), (0, 0, 1), (1, 1, 1), (1, 0, 1), (0, 2, 1), (0, 3, 1), (3, 1, 1)]
)
def test_the_demo_holds_both_verdicts(tmp_path, gpt2, digits, status):
    fake = tmp_path / "stepzero"
    fake.write_text(FAKE.format(gpt2=gpt2, digits=digits))
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", str(ROOT / "tools" / "demo.sh")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout
    assert "check demo/gpt2.py:build\n" in done.stdout
    assert "check demo/digits.py:build\n" in done.stdout
    assert "\x1b" not in done.stdout, "no colour off a terminal"
    assert ("As expected" in done.stdout) == (status == 0)
    assert ("Not as expected" in done.stderr) == (status == 1)
