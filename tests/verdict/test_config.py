"""[tool.stepzero]: found upward, read strictly, each error with file, key, what was expected, what came."""

import pytest

from stepzero.core.errors import ConfigError
from stepzero.verdict.config import EXPECTED, Config, Ignored, find, read


def written(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    return folder / "pyproject.toml"


def test_the_nearest_file_with_the_table_is_found(tmp_path):
    top = written(tmp_path, "[tool.stepzero]\n")
    written(tmp_path / "a", "[tool.other]\n")
    deep = tmp_path / "a" / "b"
    deep.mkdir()
    assert find(deep) == top
    near = written(deep, "[tool.stepzero]\nseed = 3\n")
    assert find(deep) == near


def test_every_key_is_read(tmp_path):
    file = written(
        tmp_path,
        """
        [tool.stepzero]
        select = ["SZ3"]
        extend-select = ["SZ1"]
        ignore = ["SZ302"]
        fail-on = "warning"
        baseline = "base.json"
        seed = 1
        seeds = 3
        timeout = 60
        deep = true
        [tool.stepzero.per-module-ignores]
        "encoder.*" = ["SZ302"]
        "*.gate" = {codes = ["SZ7"], reason = "closed on purpose"}
        """,
    )
    ignores = {"encoder.*": ["SZ302"], "*.gate": Ignored(["SZ7"], "closed on purpose")}
    assert read(file) == Config(["SZ3"], ["SZ1"], ["SZ302"], ignores, "warning", "base.json", 1, 3, 60.0, True)
    assert set(EXPECTED) == {name.replace("_", "-") for name in Config.__struct_fields__}


WRONG = {
    "ingore = []": "no key 'ingore'; did you mean 'ignore'?",
    "fail_on = 'error'": "no key 'fail_on'; did you mean 'fail-on'?",
    "quux = 1": "no key 'quux'; known: select, extend-select, ignore",
    "select = 'SZ3'": """.select: expected a list of codes, prefixes or names such as ["SZ3", "dead-units"], got""",
    "ignore = [3]": ".ignore: expected a list of codes",
    "fail-on = 'errors'": """.fail-on: expected "error", "warning" or "never", got 'errors'""",
    "seeds = 0": ".seeds: expected a whole number from 1 on, got 0",
    "seeds = 2.5": ".seeds: expected a whole number from 1 on, got 2.5",
    "seed = -1": ".seed: expected a whole number from 0 on, got -1",
    "timeout = 0": ".timeout: expected seconds, more than 0, got 0",
    "deep = 1": ".deep: expected true or false, got 1",
    "baseline = 3": ".baseline: expected the path of a file",
    "per-module-ignores = ['a']": ".per-module-ignores: expected a table such as",
    "per-module-ignores = {a = 'SZ3'}": ".per-module-ignores: expected a table such as",
    "per-module-ignores = {a = {code = ['SZ3']}}": ".per-module-ignores: expected a table such as",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_in_one_line_with_file_and_key(tmp_path, text):
    file = written(tmp_path, f"[tool.stepzero]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}: tool.stepzero")
    assert WRONG[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_toml_is_told(tmp_path):
    file = written(tmp_path, "[tool.stepzero\n")
    with pytest.raises(ConfigError, match="expected TOML, got"):
        find(file.parent)


def test_a_table_that_is_none_is_told(tmp_path):
    file = written(tmp_path, "[tool]\nstepzero = 3\n")
    with pytest.raises(ConfigError, match=r"tool\.stepzero: expected a table, got 3"):
        read(file)
