"""Same symptom, opposite verdict: every row of the catalogue's table of discriminating pairs.

Three claims a row: the fault is named by its code as loudly as the table says, the sound side is quiet, and where the
table wants a note there, the note is made. A claim about a rule that does not exist yet is expected to fail, and must
(strictly), so it turns on by itself when the rule lands.
"""

from typing import Any

import pytest
import torch

import stepzero
from stepzero import rules
from stepzero.core.finding import RANK
from tests.rules.pairs import biases, gradients, products, provenance, scale, symmetry
from tests.rules.pairs.pair import SILENT, Fault, Pair, Sound

PAIRS: tuple[Pair, ...] = (
    *products.ALL,
    *symmetry.ALL,
    *gradients.ALL,
    *biases.ALL,
    *scale.ALL,
    *provenance.ALL,
)
EXISTING = {rule.code for rule in rules.ALL}


def _claims() -> list[Any]:
    claims = []
    for pair in PAIRS:
        name = pair.symptom.replace(" ", "-")
        for number, fault in enumerate(pair.faults, 1):
            claims.append(_claim(_is_named, pair, fault, f"{name}-fault-{number}", fault.codes))
        for number, sound in enumerate(pair.sounds, 1):
            claims.append(_claim(_is_quiet, pair, sound, f"{name}-sound-{number}", ()))
            if sound.says:
                claims.append(_claim(_is_noted, pair, sound, f"{name}-note-{number}", sound.says))
    return claims


def _claim(holds: Any, pair: Pair, side: Fault | Sound, name: str, codes: tuple[str, ...]) -> Any:
    is_waiting = bool(codes) and not EXISTING & set(codes)
    marks = [pytest.mark.xfail(strict=True, reason="/".join(codes))] if is_waiting else []
    return pytest.param(holds, pair, side, id=name, marks=marks)


def _findings(side: Fault | Sound) -> list[stepzero.Finding]:
    def build() -> Any:
        torch.manual_seed(0)
        return side.make()

    if side.optimizer is None:
        report = stepzero.check(build)
    else:
        model, batch, loss = build()
        report = stepzero.check(model, batch, loss, optimizer=side.optimizer(model.parameters()))
    assert not [item for item in report.coverage.incomplete if "crashed" in item.why], report.coverage.incomplete
    return list(report.findings)


def _is_named(pair: Pair, fault: Fault) -> None:
    found = _findings(fault)
    named = [finding.severity for finding in found if finding.code in fault.codes]
    assert named, [(finding.code, finding.severity, finding.where) for finding in found]
    assert min(named, key=lambda severity: RANK[severity]) in fault.severities, found


def _is_quiet(pair: Pair, sound: Sound) -> None:
    found = _findings(sound)
    allowed = RANK["info" if sound.most == SILENT else sound.most]
    loud = [finding for finding in found if RANK[finding.severity] < allowed]
    assert not loud, [(finding.code, finding.severity, finding.where, finding.message) for finding in loud]
    if sound.most == SILENT:
        assert not [finding for finding in found if finding.code in pair.codes]


def _is_noted(pair: Pair, sound: Sound) -> None:
    noted = [finding for finding in _findings(sound) if finding.code in sound.says]
    assert {finding.severity for finding in noted} == {"info"}, noted


@pytest.mark.parametrize(("holds", "pair", "side"), _claims())
def test_pair(holds: Any, pair: Pair, side: Fault | Sound) -> None:
    with torch.random.fork_rng():
        holds(pair, side)


def test_all_rows_of_the_table_are_here_once() -> None:
    assert len({pair.symptom for pair in PAIRS}) == len(PAIRS) == 32
    assert all(pair.faults and pair.sounds for pair in PAIRS)
