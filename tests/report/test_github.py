"""Workflow commands: at most ten, worst first, and no text that breaks out of its line."""

from dataclasses import replace

from stepzero.report.github import MOST, render
from tests.report.samples import CONSTANT, LOUD, NOTE, fault, incomplete, sound


def commands(text):
    return [line for line in text.splitlines() if line.startswith("::")]


def test_one_annotation_a_root_cause_worst_first(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "mlp.py").write_text("")
    told = commands(render(replace(fault(), findings=(NOTE, LOUD, CONSTANT)), root=tmp_path))
    assert [line.partition(" ")[0] for line in told] == ["::error", "::warning", "::notice"]
    assert told[0].startswith("::error file=app/mlp.py,line=23,title=SZ206 constant-weight::fc1.weight: all 100,352")
    assert "%0Afix: redraw fc1.weight" in told[0]


def many(num):
    crowd = (replace(LOUD, where=(f"h.{index}",)) for index in range(num))
    return replace(sound(), findings=(*crowd, CONSTANT))


def test_ten_at_most_and_the_rest_as_plain_lines():
    text = render(many(30))
    assert len(commands(text)) == MOST == 10
    assert commands(text)[0].startswith("::error")
    assert all(f"h.{index}:" in text for index in range(30))


def test_with_a_summary_the_rest_is_there():
    text = render(many(30), has_summary=True)
    assert len(commands(text)) == MOST
    assert "21 more findings: the job summary has all of them" in text
    assert "h.29" not in text


def test_incomplete_takes_the_first_place():
    text = render(replace(incomplete(), findings=many(30).findings))
    assert commands(text)[0].startswith("::error::INCOMPLETE: SZ305 dead-units: the rule crashed")
    assert len(commands(text)) == MOST


def test_no_text_breaks_out():
    wild = replace(LOUD, where=("a,b::c",), message="100 % off\n::error::gone", source_line=None, name="x,y=z")
    text = render(replace(sound(), findings=(wild,)))
    (line,) = commands(text)
    assert "title=SZ501 x%2Cy=z::" in line
    assert "100 %25 off" in line
    assert "\n::error::gone" not in text


def test_the_summary_comes_last():
    assert render(fault()).splitlines()[-1] == fault().to_text().splitlines()[-1]
