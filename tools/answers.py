"""Writes docs/answers: one page a study, from the numbers its last run left in docs/answers/data.

`stepzero lab run --study NAME --full -o docs/answers` makes the numbers; this fills them into the text again, after
the text was changed.
"""

from pathlib import Path

from stepzero.lab import studies
from stepzero.lab.study import Answer

FOLDER = Path(__file__).parents[1] / "docs" / "answers"


def pages() -> dict[str, str]:
    """File name -> text, for each study that has numbers."""
    found = {}
    for study in studies.ALL:
        data = FOLDER / "data" / f"{study.name}.json"
        if data.exists():
            found[f"{study.name}.md"] = study.page(Answer.parse(data.read_text(encoding="utf-8")))
    return found


def main() -> None:
    """Write every page."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
