"""``stepzero explain CODE|NAME|WORD``: the page of a rule, or the meaning of a word."""

from collections.abc import Sequence
from dataclasses import fields

import click

from stepzero.cli import codes, output
from stepzero.core.errors import ConfigError, did_you_mean
from stepzero.core.glossary import Word, words
from stepzero.core.limits import Limits
from stepzero.core.rule import FAMILIES, HEADINGS, Rule
from stepzero.report.style import Paint, wrap

WIDEST = 100
"""Columns beyond which prose is not spread."""


@click.command("explain")
@click.argument("topic", nargs=-1, required=True, metavar="CODE|NAME|WORD")
def command(topic: tuple[str, ...]) -> None:
    """Explain a rule (SZ201, twin-units) or a word (dead, saturated, effective width)."""
    from stepzero.rules import ALL  # noqa: PLC0415 - only when a page is asked for

    asked = " ".join(topic)
    paint, width = Paint(output.is_color()), min(output.width(), WIDEST)
    rule = codes.find(asked, ALL)
    word = words().get(asked.lower().replace("-", " "))
    if rule is None and word is None:
        raise ConfigError(_unknown(asked, ALL))
    lines = _page(rule, paint) if rule else _entry(word, width, paint) if word else []
    output.write("\n".join(lines) + "\n")


def _unknown(asked: str, rules: Sequence[Rule]) -> str:
    """Name what comes nearest to ``asked``: a code by its digits, else a name or a word."""
    if asked.upper().startswith("SZ"):
        near = did_you_mean(asked.upper(), [rule.code for rule in rules])
    else:
        near = did_you_mean(asked.lower(), [*(rule.name for rule in rules), *words()])
    hint = near or f"; `stepzero rules` lists the rules, and the words are: {', '.join(words())}"
    return f"no rule or word {asked!r}{hint}"


def _page(rule: Rule, paint: Paint) -> list[str]:
    """Facts of the rule, its page as written, and the limits it compares with."""
    lines = [f"{paint(rule.code, 'code')} {paint(rule.name, 'bold')}  {FAMILIES[rule.family]}, {rule.status}", ""]
    for line in rule.page.splitlines():
        is_rule = bool(line) and set(line) == {"-"} and lines[-1] != ""
        if not is_rule:
            lines.append(paint(line, "bold") if line in HEADINGS else line)
    return [*lines, *_limits(rule, paint)]


def _limits(rule: Rule, paint: Paint) -> list[str]:
    declared = {field.name: field for field in fields(Limits)}
    known = [declared[name] for name in rule.limits if name in declared]
    if not known:
        return []
    told = [
        f"  {field.name} = {field.default:g} {field.metadata['unit']}: {field.metadata['source']}" for field in known
    ]
    return ["", paint("Limits", "bold"), *told]


def _entry(word: Word, width: int, paint: Paint) -> list[str]:
    lines = [paint(word.name, "bold"), "", *wrap(word.meaning, width), ""]
    lines += [paint("Threshold", "bold"), *wrap(word.threshold, width), ""]
    lines += [paint("Not to be confused", "bold"), *wrap(word.not_to_confuse, width)]
    if word.codes:
        lines += ["", f"Rules: {', '.join(word.codes)} (stepzero explain {word.codes[0]})"]
    return lines
