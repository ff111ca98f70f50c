"""The population judged and trained: one row a group of units, and the tables that come of it."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.symmetry.outcome import Outcome, fates
from benchmarks.symmetry.plants import KINDS, Group
from benchmarks.symmetry.population import Case, case
from benchmarks.symmetry.training import OPTIMIZERS
from benchmarks.symmetry.verdict import Observe, beyond, foretold, judge, observe

FATES = ("stay", "part", "unclear", "untouched")


@dataclass(frozen=True)
class Row:
    """One group of units: what was said of it at step zero, what became of it."""

    seed: int
    name: str
    kind: str
    """The plant; 'drawn pair' for units no plant tied, 'beyond the plant' for blocks only the probe named."""
    level: str
    units: tuple[tuple[str, int], ...]
    outcomes: dict[str, Outcome]

    def foretold(self, optimizer: str) -> str:
        """stay, part or nothing."""
        return foretold(self.level, optimizer)

    def is_decided(self, optimizer: str) -> bool:
        """Whether there is a verdict and a clear outcome to compare."""
        return bool(self.foretold(optimizer)) and self.outcomes[optimizer].fate in ("stay", "part")

    def agrees(self, optimizer: str) -> bool:
        """Whether what was foretold came."""
        return self.foretold(optimizer) == self.outcomes[optimizer].fate

    def wrong(self) -> list[str]:
        """Optimizers under which it did not."""
        return [name for name in self.outcomes if self.is_decided(name) and not self.agrees(name)]


@dataclass(frozen=True)
class Study:
    """Every row, and what could not be compared."""

    rows: tuple[Row, ...]
    steps: int
    networks: int
    unread: tuple[str, ...]
    not_run: tuple[str, ...]
    seconds: float
    probe_seconds: float


def run(
    seeds: Iterable[int], *, optimizers: Sequence[str] = tuple(OPTIMIZERS), steps: int = 300, observe: Observe = observe
) -> Study:
    """Judge, then train, every member of the population that the seeds name."""
    began, probing = time.perf_counter(), 0.0
    rows: list[Row] = []
    unread, not_run, networks = [], [], 0
    for seed in seeds:
        member = case(seed)
        before = time.perf_counter()
        verdict = judge(member, observe)
        probing += time.perf_counter() - before
        extra, unreadable = beyond(member, verdict)
        unread += [f"{member.name}: {text}" for text in unreadable]
        not_run += [] if verdict.ran else [f"{member.name}: {verdict.reason}"]
        groups = [(member.kind, group) for group in member.planted]
        groups += [("drawn pair", group) for group in member.drawn] + [("beyond the plant", group) for group in extra]
        rows += _rows(member, groups, [verdict.level(group) for _, group in groups], optimizers, steps)
        networks += 1
    return Study(tuple(rows), steps, networks, tuple(unread), tuple(not_run), time.perf_counter() - began, probing)


def _rows(
    member: Case, groups: list[tuple[str, Group]], levels: list[str], optimizers: Sequence[str], steps: int
) -> list[Row]:
    only = [group for _, group in groups]
    trained = {name: fates(member, only, name, steps=steps) for name in optimizers}
    rows = []
    for index, ((kind, group), level) in enumerate(zip(groups, levels, strict=True)):
        outcomes = {name: trained[name][index] for name in optimizers}
        rows.append(Row(member.seed, member.name, kind, level, group.units, outcomes))
    return rows


def confusion(study: Study) -> dict[str, dict[str, dict[str, int]]]:
    """optimizer -> foretold -> fate -> groups."""
    table: dict[str, dict[str, dict[str, int]]] = {}
    for row in study.rows:
        for name, outcome in row.outcomes.items():
            said = row.foretold(name) or "not judged"
            cell = table.setdefault(name, {}).setdefault(said, dict.fromkeys(FATES, 0))
            cell[outcome.fate] += 1
    return table


def by_kind(study: Study) -> dict[str, dict[str, Any]]:
    """kind -> groups, levels said, and for each optimizer (agreeing, decided)."""
    table = {}
    for kind in [*KINDS, "drawn pair", "beyond the plant"]:
        rows = [row for row in study.rows if row.kind == kind]
        if not rows:
            continue
        agreement = {
            name: (sum(row.is_decided(name) and row.agrees(name) for row in rows), sum(map(_decided(name), rows)))
            for name in rows[0].outcomes
        }
        levels = dict(Counter(row.level for row in rows).most_common())
        table[kind] = {
            "networks": len({row.seed for row in rows}), "groups": len(rows), "levels": levels, "agreement": agreement,
        }  # fmt: skip
    return table


def _decided(optimizer: str) -> Any:
    return lambda row: row.is_decided(optimizer)


def totals(study: Study) -> dict[str, Any]:
    """Agreement over all groups and optimizers, and what stood aside."""
    pairs = [(row, name) for row in study.rows for name in row.outcomes]
    decided = [(row, name) for row, name in pairs if row.is_decided(name)]
    wrong = [(row, name) for row, name in decided if not row.agrees(name)]
    shorter = [(row, name) for row, name in decided if row.outcomes[name].horizon < study.steps]
    broke = [row.outcomes[name].broke or 0 for row, name in decided if row.outcomes[name].fate == "part"]
    fates = Counter(row.outcomes[name].fate for row, name in pairs)
    return {
        "networks": study.networks,
        "groups": len(study.rows),
        "compared": len(decided),
        "agree": len(decided) - len(wrong),
        "disagree": len(wrong),
        "judged_before_the_end": len(shorter),
        "parted_later_by_rounding": sum(_is_parted_later(row.outcomes[name]) for row, name in shorter),
        "judged_with_a_large_eps": sum(row.outcomes[name].is_steady for row, name in decided),
        "shortest_horizon": min((row.outcomes[name].horizon for row, name in decided), default=0),
        "last_break": max(broke, default=0),
        "unclear": fates["unclear"],
        "untouched": fates["untouched"],
        "not_judged_networks": len(study.not_run),
        "unread_blocks": len(study.unread),
        "seconds": round(study.seconds, 1),
        "probe_seconds": round(study.probe_seconds, 1),
    }


def _is_parted_later(outcome: Outcome) -> bool:
    return outcome.fate == "stay" and outcome.broke is not None


def disagreements(study: Study) -> list[dict[str, Any]]:
    """Every group that did otherwise than foretold, with what rebuilds it."""
    wrong = [row for row in study.rows if row.wrong()]
    return [
        {
            "case": f"benchmarks.symmetry.population.case({row.seed})",
            "about": row.name,
            "kind": row.kind,
            "units": [f"{name}[{unit}]" for name, unit in row.units],
            "level": row.level,
            "wrong": {name: _numbers(row, name) for name in row.wrong()},
        }
        for row in wrong
    ]


def _numbers(row: Row, name: str) -> dict[str, Any]:
    outcome = row.outcomes[name]
    return {
        "foretold": row.foretold(name), "fate": outcome.fate,
        "gap": [outcome.start, outcome.first, outcome.end], "horizon": outcome.horizon,
        "last_gap": outcome.last, "large_eps": outcome.is_steady,
    }  # fmt: skip
