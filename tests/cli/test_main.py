"""The group: help without torch and at once, unknown commands, streams and terminals."""

import pytest

import stepzero
from stepzero.cli import COMMANDS
from tests.cli.support import run, shell

QUIET = """
import sys, time
start = time.process_time()
from stepzero.cli import COMMANDS, main
try:
    main()
finally:
    heavy = [name for name in ('torch', 'numpy', 'rich', 'jinja2') if name in sys.modules]
    print(heavy, time.process_time() - start, file=sys.stderr)
"""
QUICK = [["--help"], ["check", "--help"], ["explain", "dead"], ["explain", "SZ101"], ["explain", "dead-units"]]


def test_the_commands_are_listed_in_order():
    result = run("--help")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.partition("Commands:\n")[2].splitlines()] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    result = run(name, "-h")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: stepzero {name}")


def test_help_says_that_the_target_is_run():
    assert "TARGET runs your code" in " ".join(run("check", "--help").stdout.split())


def test_the_version():
    assert run("--version").stdout == f"stepzero {stepzero.__version__}\n"


def test_no_command_shows_the_help_and_exits_two():
    result = run()
    assert result.exit_code == 2
    assert "Commands:" in result.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("chek", "stepzero: no command 'chek'; did you mean 'check'?"),
        (
            "quux",
            f"stepzero: no command 'quux'; there are {', '.join(COMMANDS)}; see 'stepzero --help'",
        ),
    ],
)
def test_an_unknown_command_is_one_line(name, said):
    result = run(name, "x")
    assert result.exit_code == 2
    assert result.stderr.strip() == said


def test_an_unknown_flag_is_one_line():
    assert run("--colour").stderr.startswith("stepzero: no such option '--colour'")


@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_what_needs_no_model_leaves_torch_out(folder, arguments):
    done = shell(*arguments, cwd=folder, code=QUIET)
    heavy, _ = done.stderr.strip().splitlines()[-1].rsplit(" ", 1)
    assert (done.returncode, heavy) == (0, "[]")


def test_the_list_of_rules_leaves_what_is_heavy_out(folder):
    done = shell("rules", cwd=folder, code=QUIET)
    assert done.stderr.strip().startswith("[] ")


def test_a_page_imports_its_own_rule_alone(folder):
    code = "import sys\nfrom stepzero.cli import main\ntry:\n main()\nfinally:\n print(*sys.modules, file=sys.stderr)"
    said = shell("explain", "SZ310", cwd=folder, code=code).stderr.split()
    named = [name for name in said if name.startswith("stepzero.rules.") and name.count(".") == 3]
    assert named == ["stepzero.rules.signal.norm_off_identity"]


def test_python_m_stepzero(folder):
    done = shell("--version", cwd=folder)
    assert (done.returncode, done.stdout) == (0, f"stepzero {stepzero.__version__}\n")


def test_a_reader_who_leaves_is_no_error(folder):
    code = (
        "import subprocess, sys\n"
        "pipe = f'set -o pipefail; {sys.executable} -m stepzero doctor | true'\n"
        "sys.exit(subprocess.run(['bash', '-c', pipe]).returncode)"
    )
    done = shell(cwd=folder, code=code)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_output_that_lacks_the_characters_gets_plain_ones(folder):
    code = "from stepzero.cli import output\noutput.write('├─ a→b … [attn] \\u4e00\\n')"
    done = shell(cwd=folder, code=code, PYTHONIOENCODING="ascii")
    assert done.stdout == "|- a->b ~ [attn] \\u4e00\n"
