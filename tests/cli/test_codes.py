"""Rule codes on the command line."""

import pytest

from stepzero.cli.codes import Words, expand, find, merged, split
from stepzero.core.errors import ConfigError
from stepzero.verdict.config import Config
from tests.cli.support import made_rules

RULES = made_rules()


def test_split_at_commas_and_blanks():
    assert split(("SZ1,SZ2", "SZ3 SZ4", " ,")) == ("SZ1", "SZ2", "SZ3", "SZ4")


def test_find_is_exact_in_any_case():
    assert find("sz201", RULES).name == find("TWIN-UNITS", RULES).name == "twin-units"
    assert find("SZ2", RULES) is None


def test_codes_come_back_in_order_and_once():
    assert expand(("dead-units", "SZ1", "SZ101"), RULES, "--select") == ("SZ101", "SZ305")


def test_sz_alone_means_all():
    assert len(expand(("SZ",), RULES, "--select")) == len(RULES)


SILENT = Config()


def test_nothing_said_is_none():
    assert merged(Words(), SILENT, "", RULES) == (None, None)


def test_extending_a_selection_keeps_it():
    chosen, _ = merged(Words(("SZ1",), ("SZ3",)), SILENT, "", RULES)
    assert chosen == ("SZ101", "SZ301", "SZ303", "SZ305")


def test_a_flag_takes_the_place_of_the_key_of_its_name_only():
    table = Config(select=["SZ3"], extend_select=["SZ1"], ignore=["dead-units"])
    assert merged(Words(), table, "", RULES) == (("SZ101", "SZ301", "SZ303", "SZ305"), ("SZ305",))
    assert merged(Words(("SZ2",)), table, "", RULES) == (("SZ101", "SZ201"), ("SZ305",))
    assert merged(Words(ignore=("SZ1",)), table, "", RULES)[1] == ("SZ101",)
    assert merged(Words(), Config(ignore=[]), "", RULES)[1] == ()


def test_a_wrong_word_of_the_table_is_told_with_its_place():
    with pytest.raises(
        ConfigError, match=r"^pyproject.toml: tool.stepzero.ignore: no rule 'SZ202'; did you mean 'SZ201'"
    ):
        merged(Words(), Config(ignore=["SZ202"]), "pyproject.toml: tool.stepzero.", RULES)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("SZ999", "--select: no rule 'SZ999'"),
        ("SZ202", "no rule 'SZ202'; did you mean 'SZ201'?"),
        ("twins", "no rule 'twins'"),
        ("xyz", "no rule 'xyz'; see `stepzero rules` for all of them"),
    ],
)
def test_a_stranger_is_refused(word, said):
    with pytest.raises(ConfigError) as caught:
        expand((word,), RULES, "--select")
    assert said in str(caught.value)
