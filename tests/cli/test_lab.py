import csv

import pytest
from click.testing import CliRunner

from stepzero.cli import main

SPEC = 'weights = ["zero", "lecun"]\nseeds = 3\nsteps = 4\n'


def lab(*words):
    result = CliRunner().invoke(main, ["lab", *map(str, words)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def at(tmp_path):
    (tmp_path / "mine.toml").write_text(SPEC)
    return tmp_path, ("--store", tmp_path / "lab.sqlite")


def test_a_spec_is_run_listed_shown_exported_and_resumed(at):
    folder, store = at
    code, table, notes = lab("run", folder / "mine.toml", "--workers", 0, *store)
    assert code == 0
    assert table.splitlines()[0].split() == ["weights", "gain", "n", "learned", "stopped", "loss", "accuracy"]
    assert [line.split()[2] for line in table.splitlines()[1:]] == ["1", "3"]  # a start without randomness is one run
    assert "run 1" in notes
    assert "4 of 4 networks" in notes
    assert lab("show", 1, *store)[1] == table
    assert lab("resume", 1, "--workers", 0, *store)[1] == table
    assert "mine" in lab("list", *store)[1]
    assert lab("export", 1, "-o", folder / "x.csv", "--what", "layers", *store)[0] == 0
    assert len(list(csv.DictReader((folder / "x.csv").open()))) == 4 * 2 * 2


def test_a_grid_on_the_command_line_wins_over_the_spec(at):
    folder, store = at
    code, table, _ = lab(
        "run", folder / "mine.toml", "--grid", "weights=he,lecun", "--grid", "lrs=0.1,1", "--grid", "seeds=2",
        "--workers", 0, *store,
    )  # fmt: skip
    assert code == 0
    assert [line.split()[:3] for line in table.splitlines()[1:]] == [
        ["he", "0.1", "2"], ["he", "1", "2"], ["lecun", "0.1", "2"], ["lecun", "1", "2"],
    ]  # fmt: skip


def test_a_study_prints_its_page_and_leaves_its_numbers(at):
    folder, store = at
    code, page, _ = lab("run", "--study", "first-touch", "-o", folder / "out", *store)
    assert code == 0
    assert page.startswith("# Zero weights, random biases")
    assert (folder / "out" / "first-touch.md").read_text() == page
    assert (folder / "out" / "data" / "first-touch.json").exists()
    assert (folder / "out" / "figures" / "first-touch-exponents.svg").read_text().startswith("<svg")


def test_figures_come_as_png_too(at):
    pytest.importorskip("PIL", reason="the extra lab is not installed")
    folder, store = at
    code, *_ = lab("run", "--study", "first-touch", "-o", folder / "out", "--png", *store)
    assert code == 0
    assert (folder / "out" / "figures" / "first-touch-exponents.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--study", "gain", "--grid", "seeds=2"), "--study brings networks of its own"),
        (("run", "--grid", "seeds=2", "-o", "x"), "-o writes what a study found"),
        (("run", "--study", "gain", "--png"), "expected -o FOLDER beside it"),
        (("run",), "expected a SPEC file, --grid KEY=VALUES or --study NAME"),
        (("run", "--grid", "depth=3"), "did you mean 'depths'"),
        (("run", "--study", "first-tuch"), "did you mean 'first-touch'"),
        (("run", "--grid", "depths"), "expected KEY=VALUES"),
        (("show", 4), "no run has the number 4"),
        (("resume", 4), "no run has the number 4"),
        (("export", 4, "-o", "x.csv"), "no run has the number 4"),
    ],
)
def test_wrong_use_is_said_in_one_line(at, words, said):
    code, out, notes = lab(*words, *at[1])
    assert (code, out) == (2, "")
    assert said in notes
    assert "Traceback" not in notes


def test_the_default_store_lies_in_the_data_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("STEPZERO_DATA", str(tmp_path / "data"))
    assert lab("list")[0] == 0
    assert [each.name for each in (tmp_path / "data").iterdir()] == ["lab.sqlite"]
