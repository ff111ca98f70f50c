import pytest

from stepzero.core.errors import ConfigError
from stepzero.lab import studies


def test_a_study_is_found_by_its_name():
    assert [studies.get(each.name) for each in studies.ALL] == list(studies.ALL)


def test_a_wrong_name_says_what_there_is():
    with pytest.raises(ConfigError, match=r"'qestion'.*did you mean 'question'.*first-touch"):
        studies.get("qestion")
