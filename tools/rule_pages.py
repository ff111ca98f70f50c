"""Write docs/rules from the rules' own docstrings: one page a rule and an index.

The docstring is the only source, so a page is never edited by hand.

    python tools/rule_pages.py            write the pages, drop those of rules that are gone
    python tools/rule_pages.py --check    write nothing; exit 1 when a page is out of date
"""

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from stepzero.core.limits import Limits
from stepzero.core.rule import CODE_HEADINGS, FAMILIES, HEADINGS, Rule

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "rules"
INDEX = "README.md"
NOTICE = "<!-- Written by `make docs` from the rule's docstring; edit it there. -->"


def pages(rules: Iterable[Rule]) -> dict[str, str]:
    """Return the text of every file of the folder, by file name."""
    ordered = sorted(rules, key=lambda rule: rule.code)
    return {INDEX: _index(ordered), **{f"{rule.code}.md": _page(rule) for rule in ordered}}


def out_of_date(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """Name the files of ``folder`` that are missing, differ from ``wanted`` or belong to no rule."""
    present = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    return sorted(name for name in {*present, *wanted} if present.get(name) != wanted.get(name))


def write(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """Bring ``folder`` up to date in place and return the names of the files that changed."""
    changed = out_of_date(folder, wanted)
    folder.mkdir(parents=True, exist_ok=True)
    for name in changed:
        if name in wanted:
            (folder / name).write_text(wanted[name], encoding="utf-8")
        else:
            (folder / name).unlink()
    return changed


def _page(rule: Rule) -> str:
    facts = f"Family: {FAMILIES[rule.family]}. Tier {rule.tier}. Status: {rule.status}."
    needs = f"Needs: {', '.join(f'`{probe}`' for probe in rule.needs)}." if rule.needs else ""
    sections = [f"## {heading}\n\n{_body(rule, heading)}" for heading in HEADINGS]
    parts = [f"# {rule.code} `{rule.name}`", NOTICE, rule.lead, f"{facts} {needs}".strip(), *sections, _limits(rule)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _body(rule: Rule, heading: str) -> str:
    text = rule.section(heading)
    is_plain_code = heading in CODE_HEADINGS and not text.startswith("```")
    return f"```python\n{text}\n```" if is_plain_code else text


def _limits(rule: Rule) -> str:
    if not rule.limits:
        return ""
    facts = {fact.name: fact for fact in dataclasses.fields(Limits)}
    rows = [
        f"| `{name}` | {facts[name].default:g} | {facts[name].metadata['unit']} | {facts[name].metadata['source']} |"
        for name in rule.limits
    ]
    return "\n".join(["## Limits", "", "| limit | value | unit | source |", "|---|---|---|---|", *rows])


def _index(rules: list[Rule]) -> str:
    lines = ["# Rules", "", NOTICE.replace("the rule's docstring", "the rules' docstrings"), ""]
    lines += [f"Rules: {len(rules)}. `stepzero explain CODE` prints the same pages.", ""]
    for family, title in FAMILIES.items():
        rows = [_row(rule) for rule in rules if rule.family == family]
        head = ["| code | name | what it finds | status |", "|---|---|---|---|"]
        lines += [f"## {family} {title.capitalize()}", "", *head, *rows, ""] if rows else []
    return "\n".join(lines).rstrip() + "\n"


def _row(rule: Rule) -> str:
    summary = rule.summary.replace("|", "\\|")
    return f"| [{rule.code}]({rule.code}.md) | `{rule.name}` | {summary} | {rule.status} |"


def main(arguments: list[str]) -> int:
    """Run as a command; return the exit status."""
    from stepzero.rules import ALL  # noqa: PLC0415 - the functions above also serve rules that are not shipped

    wanted = pages(ALL)
    if arguments == ["--check"]:
        stale = out_of_date(FOLDER, wanted)
        if stale:
            print(f"docs/rules is out of date, run `make docs`: {', '.join(stale)}", file=sys.stderr)
        return 1 if stale else 0
    if arguments:
        print(f"expected nothing or --check, got {' '.join(arguments)}", file=sys.stderr)
        return 2
    changed = write(FOLDER, wanted)
    print(f"docs/rules: {len(wanted)} files, {len(changed)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
