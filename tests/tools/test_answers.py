import re

import pytest

from stepzero.lab import studies
from tools import answers


def test_every_page_is_what_its_numbers_say():
    for name, text in answers.pages().items():
        assert (answers.FOLDER / name).read_text(encoding="utf-8") == text, "run python -m tools.answers"


@pytest.mark.parametrize("study", studies.ALL, ids=lambda study: study.name)
def test_every_study_has_a_page_and_its_figures(study):
    page = (answers.FOLDER / f"{study.name}.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([\w/.-]+)\)", page):
        assert (answers.FOLDER / link).exists(), link
