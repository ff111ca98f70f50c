"""docs/rules: written from the rules, never by hand, and up to date."""

from tests.sample_rule import PAGE, make
from tools import rule_pages


def test_the_committed_pages_are_up_to_date():
    from stepzero.rules import ALL

    assert rule_pages.out_of_date(rule_pages.FOLDER, rule_pages.pages(ALL)) == [], "run `make docs`"


def test_a_page_holds_the_docstring_and_the_limits():
    page = rule_pages.pages([make(PAGE)])["SZ206.md"]
    assert page.startswith("# SZ206 `constant-fill`\n")
    assert "More of the lead." in page
    assert "Family: symmetry and redundancy. Tier 1. Status: stable. Needs: `backward`." in page
    assert "## Why it matters\n\nIt does.\n" in page
    assert "| `dead_error` | 0.5 | share of units above chance |" in page


def test_bad_and_good_are_shown_as_code():
    page = rule_pages.pages([make(PAGE.replace("::\n\n        class", "    class"))])["SZ206.md"]
    assert "## Bad\n\n```python\nclass Net:\n    width = 4\n```\n" in page


def test_the_index_links_every_rule_under_its_family():
    index = rule_pages.pages([make(PAGE)])["README.md"]
    assert "## 2 Symmetry and redundancy" in index
    assert "| [SZ206](SZ206.md) | `constant-fill` | One line that says it. | stable |" in index
    assert "a \\| b" in rule_pages.pages([make(PAGE.replace("that says it", "a | b"))])["README.md"]
    assert "gradients" not in index.lower(), "a family without rules has no heading"


def test_writing_brings_the_folder_up_to_date(tmp_path):
    wanted = rule_pages.pages([make(PAGE)])
    (tmp_path / "SZ999.md").write_text("a rule that is gone")
    (tmp_path / "README.md").write_text("old")
    assert rule_pages.out_of_date(tmp_path, wanted) == ["README.md", "SZ206.md", "SZ999.md"]
    assert rule_pages.write(tmp_path, wanted) == ["README.md", "SZ206.md", "SZ999.md"]
    assert rule_pages.out_of_date(tmp_path, wanted) == []
    assert rule_pages.write(tmp_path, wanted) == []
