"""The report as JSON."""

import json
from dataclasses import replace

from stepzero.core.outcome import Report
from stepzero.report.json import render
from tests.report.samples import SAMPLES, fault


def test_it_round_trips():
    for make in SAMPLES.values():
        assert Report.from_json(render(make())) == make()


def test_it_is_one_pure_document_that_ends_in_a_newline():
    text = render(replace(fault(), loss=float("nan")))
    assert text.endswith("}\n")
    assert json.loads(text, parse_constant=lambda name: 1 / 0)["loss"] == "nan"
