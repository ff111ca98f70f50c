"""``stepzero rules``: every rule, by family, as text or JSON."""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import click

from stepzero.cli import output
from stepzero.core.limits import Limits
from stepzero.core.rule import FAMILIES, Rule
from stepzero.report.numbers import count
from stepzero.report.style import Paint, pad, wrap


@click.command("rules")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to list them.")
def command(form: str) -> None:
    """List the rules that a check runs."""
    from stepzero.rules import ALL  # noqa: PLC0415 - only when the list is asked for

    if form == "json":
        output.write(json.dumps([_facts(rule) for rule in ALL], indent=2) + "\n")
    else:
        output.write("\n".join(_list(ALL, output.width(), Paint(output.is_color()))) + "\n")


def _facts(rule: Rule) -> dict[str, Any]:
    """Everything about a rule but its function and its full page."""
    limits = {
        field.name: {"value": field.default, **field.metadata} for field in fields(Limits) if field.name in rule.limits
    }
    return {
        "code": rule.code,
        "name": rule.name,
        "family": FAMILIES[rule.family],
        "tier": rule.tier,
        "status": rule.status,
        "needs": list(rule.needs),
        "summary": rule.summary,
        "limits": limits,
    }


def _list(rules: Sequence[Rule], width: int, paint: Paint) -> list[str]:
    lines: list[str] = []
    columns = max((len(rule.name) for rule in rules), default=0) + 2
    for number, family in FAMILIES.items():
        members = [rule for rule in rules if rule.family == number]
        if members:
            lines += [*([""] if lines else []), paint(f"SZ{number} {family}", "bold")]
        for rule in members:
            status = "" if rule.status == "stable" else f" ({rule.status})"
            indent = " " * (9 + columns)
            first, *rest = wrap(rule.summary + status, width, indent)
            lines += [f"  {paint(rule.code, 'code')}  {pad(rule.name, columns)}{first.strip()}", *rest]
    return [*lines, "", f"{count(len(rules), 'rule')}; `stepzero explain CODE` tells what each finds, why and the cure"]
