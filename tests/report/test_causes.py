"""Root causes and what hangs under them."""

from dataclasses import replace

from stepzero.report.causes import notes, ordered_roots, places, root_causes
from stepzero.report.style import Paint
from tests.report.samples import CONSTANT, FLAT, LOUD, NOTE, TWINS, blocks, fault

PLAIN = Paint(color=False)


def lines(report, width=100, *, verbose=False):
    return root_causes(report, width, PLAIN, verbose=verbose)


def test_roots_come_worst_first():
    report = replace(fault(), findings=(NOTE, LOUD, CONSTANT))
    assert [finding.code for finding in ordered_roots(report)] == ["SZ206", "SZ501", "SZ603"]


def test_consequences_hang_under_their_cause_worst_first():
    text = lines(fault(), 140)
    start = text.index("         which causes")
    assert text[start + 1].startswith("         ├─ error SZ201 twin-units  fc1.weight, fc1.bias: 128 units")
    assert text[start + 2].startswith("         └─ warning SZ303 saturated-units  blocks[attn]: 93 %")


def test_a_consequence_of_a_consequence_hangs_under_the_same_root():
    report = replace(fault(), findings=(CONSTANT, TWINS, replace(FLAT, root=TWINS.id)))
    assert [finding.code for finding in ordered_roots(report)] == ["SZ206"]
    assert sum("SZ303" in line for line in lines(report)) == 1


def test_a_finding_whose_cause_was_left_out_is_told_as_a_root():
    report = replace(fault(), findings=(TWINS, FLAT))
    assert [finding.code for finding in ordered_roots(report)] == ["SZ201", "SZ303"]


def test_a_circle_of_causes_is_told_once_and_ends():
    report = replace(fault(), findings=(replace(CONSTANT, root=TWINS.id), TWINS, replace(LOUD, root=LOUD.id)))
    assert sorted(finding.code for finding in ordered_roots(report)) == ["SZ206", "SZ501"]
    assert lines(report)


def test_place_and_sentence_share_a_line_when_all_of_them_fit():
    report = replace(fault(), findings=(LOUD,))
    (first, *_rest) = lines(report, 140)
    assert first == (
        "WARNING  SZ501 loud-start  head.weight  app/mlp.py:31  the first loss is 5.31, 3.01 nats above ln 10 = 2.30, "
        "limit 0.5 nats"
    )
    assert lines(report, 100)[:2] == [
        "WARNING  SZ501 loud-start  head.weight  app/mlp.py:31",
        "         the first loss is 5.31, 3.01 nats above ln 10 = 2.30, limit 0.5 nats",
    ]


def test_a_fix_says_whether_it_is_safe_and_how_to_read_on():
    text = lines(fault())
    assert "         fix   redraw fc1.weight by kaiming_normal (safe)" in text
    assert "         fix   scale head.weight by 0.12 (unsafe: your decision)" in text
    assert "         more  stepzero explain SZ206" in text


def test_many_of_one_code_are_told_three_times_and_then_counted():
    text = lines(blocks())
    assert sum(line.startswith("WARNING  SZ302") for line in text) == 3
    assert any(line.startswith("WARNING  9 more of SZ302 off-law-scale at transformer.h.3") for line in text)
    assert sum(line.startswith("WARNING  SZ302") for line in lines(blocks(), verbose=True)) == 12


def test_many_consequences_are_counted_by_severity():
    others = tuple(replace(TWINS, where=(f"a{number}",)) for number in range(7))
    report = replace(fault(), findings=(CONSTANT, *others, *(replace(FLAT, where=(str(n),)) for n in range(2))))
    assert "         └─ ... 3 more consequences (1 error, 2 warnings)" in lines(report)
    assert not any("more consequences" in line for line in lines(report, verbose=True))


def test_verbose_tells_the_evidence():
    text = lines(fault(), verbose=True)
    assert "         value 0, limit 4.8e-7 u x abs(mean)" in text
    assert "         proof value" in text
    assert "         cause constant-fill" in text
    assert "         from  facebookresearch/fairseq#4076; He 2015" in text


def test_places():
    assert places(("",)) == "(the model)"
    assert places(()) == ""
    assert places(("a", "b", "c", "d")) == "a, b, c and 1 more"
    assert places(("a", "b", "c", "d"), verbose=True) == "a, b, c, d"


def test_long_places_break_between_paths():
    where = tuple(f"transformer.encoder.block.{number}.attention.weight" for number in range(3))
    finding = replace(LOUD, where=where, name="loud-start")
    assert lines(replace(fault(), findings=(finding,)), 80)[:3] == [
        f"WARNING  SZ501 loud-start  {where[0]},",
        f"         {where[1]},",
        f"         {where[2]}  app/mlp.py:31",
    ]


def test_notes_of_one_code_share_a_line():
    (first, *rest) = notes(blocks(), 300, verbose=False)
    assert "h.2.attn.c_attn.bias and 21 more" in first
    assert first.endswith("(the first of 24)")
    assert rest == []
    assert len(notes(blocks(), 300, verbose=True)) == 24
