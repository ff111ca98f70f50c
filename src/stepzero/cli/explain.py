"""``stepzero explain CODE|NAME|WORD``: the page of a rule, or the meaning of a word."""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import fields

import click

from stepzero.cli import output
from stepzero.core.errors import ConfigError, did_you_mean
from stepzero.core.glossary import Word, words
from stepzero.core.limits import Limits
from stepzero.core.rule import CODE_HEADINGS, FAMILIES, Rule
from stepzero.report.numbers import number
from stepzero.report.style import Paint, wrap

CODE = "    "
"""What code is indented by, so that it can be told from prose."""
WIDEST = 100
"""Columns beyond which prose is not spread."""


@click.command("explain")
@click.argument("topic", nargs=-1, required=True, metavar="CODE|NAME|WORD")
def command(topic: tuple[str, ...]) -> None:
    """Explain a rule (SZ201, twin-units) or a word (dead, saturated, effective width)."""
    from stepzero import rules  # noqa: PLC0415 - only when a page is asked for

    asked, names = " ".join(topic), rules.names()
    paint, width = Paint(output.is_color()), min(output.width(), WIDEST)
    code = next((code for code, name in names.items() if asked.lower() in (code.lower(), name)), None)
    word = words().get(asked.lower().replace("-", " "))
    if code is None and word is None:
        raise ConfigError(_unknown(asked, names))
    lines = _page(rules.load(code), width, paint) if code else _entry(word, width, paint) if word else []
    output.write("\n".join(lines) + "\n")


def _unknown(asked: str, names: Mapping[str, str]) -> str:
    """Name what comes nearest to ``asked``: a code by its digits, else a name or a word."""
    if asked.upper().startswith("SZ"):
        near = did_you_mean(asked.upper(), names)
    else:
        near = did_you_mean(asked.lower(), [*names.values(), *words()])
    hint = near or f"; `stepzero rules` lists the rules, and the words are: {', '.join(words())}"
    return f"no rule or word {asked!r}{hint}"


def _page(rule: Rule, width: int, paint: Paint) -> list[str]:
    """Facts of the rule, its page, and the limits it compares with; code is indented and never wrapped."""
    lines = [f"{paint(rule.code, 'code')} {paint(rule.name, 'bold')}  {FAMILIES[rule.family]}, {rule.status}", ""]
    lines += _prose(rule.lead, width)
    for heading, text in rule.sections.items():
        body = textwrap.indent(text, CODE).splitlines() if heading in CODE_HEADINGS else _prose(text, width)
        lines += ["", paint(heading, "bold"), *body]
    return [*lines, *_limits(rule, width, paint)]


def _prose(text: str, width: int) -> list[str]:
    """Paragraphs filled to ``width``; lines that are indented or begin an item stay as they are."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        is_laid_out = re.search(r"^(\s|[-*] )", paragraph, re.MULTILINE)
        lines += ["", *(paragraph.splitlines() if is_laid_out else wrap(paragraph, width))]
    return lines[1:]


def _limits(rule: Rule, width: int, paint: Paint) -> list[str]:
    declared = {field.name: field for field in fields(Limits)}
    known = [declared[name] for name in rule.limits if name in declared]
    lines, limits = (["", paint("Limits", "bold")] if known else []), Limits()
    for field in known:
        told = (
            f"{field.name} = {number(getattr(limits, field.name))} {field.metadata['unit']}: {field.metadata['source']}"
        )
        lines += wrap(told, width, "    ", first="  ")
    return lines


def _entry(word: Word, width: int, paint: Paint) -> list[str]:
    lines = [paint(word.name, "bold"), "", *wrap(word.meaning, width), ""]
    lines += [paint("Threshold", "bold"), *wrap(word.threshold, width), ""]
    lines += [paint("Not to be confused", "bold"), *wrap(word.not_to_confuse, width)]
    if word.codes:
        lines += ["", f"Rules: {', '.join(word.codes)} (stepzero explain {word.codes[0]})"]
    return lines
