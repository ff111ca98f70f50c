"""`stepzero completion`: a script for each shell, and completion that never imports torch."""

import shutil
import subprocess

import pytest

from stepzero.cli.completion import VARIABLE, WHERE
from tests.cli.support import run, shell


@pytest.mark.parametrize("name", WHERE)
def test_a_script_names_the_command_and_how_to_install_it(name):
    result = run("completion", name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"# {WHERE[name]}\n")
    assert f"{VARIABLE}={name}_complete" in result.stdout
    assert "stepzero" in result.stdout


@pytest.mark.parametrize("name", WHERE)
def test_a_shell_that_is_here_can_read_it(name, folder):
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"no {name}")
    (folder / "script").write_text(run("completion", name).stdout)
    subprocess.run([program, "-n", str(folder / "script")], check=True)


def test_another_shell_is_refused():
    result = run("completion", "tcsh")
    assert result.exit_code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.stderr


@pytest.mark.parametrize(("words", "found"), [("stepzero ch", "check"), ("stepzero check --ign", "--ignore")])
def test_completing_answers_without_torch(folder, words, found):
    code = (
        "import sys, atexit\natexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
        "from stepzero.cli import main\nmain(prog_name='stepzero', complete_var='_STEPZERO_COMPLETE')"
    )
    last = str(len(words.split()) - 1)
    done = shell(cwd=folder, code=code, COMP_WORDS=words, COMP_CWORD=last, _STEPZERO_COMPLETE="bash_complete")
    assert f"plain,{found}" in done.stdout
    assert done.stderr.strip().splitlines()[-1] == "False"
