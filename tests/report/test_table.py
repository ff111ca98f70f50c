"""The table by layer, wide and narrow."""

from dataclasses import replace

from stepzero.report.style import Paint
from stepzero.report.table import layers
from tests.report.samples import blocks, fault, row

PLAIN = Paint(color=False)


def lines(report, width=140, *, verbose=False):
    return layers(report, width, PLAIN, verbose=verbose)


def test_the_head_names_every_column_that_says_something():
    assert lines(fault())[0].split() == (
        "layer op shape units fan in w std x law signal varies sat/dead grad/w feeds".split()
    )
    no_activation = replace(
        fault(), layers=tuple(replace(item, dead_share=None, flat_share=None) for item in fault().layers)
    )
    assert "sat/dead" not in lines(no_activation)[0]


def test_rows_named_by_a_finding_are_marked_with_the_worst_severity():
    _, first, second, third, *_ = lines(fault())
    assert first.startswith("E fc1 ")
    assert second.startswith("  fc2 ")
    assert third.startswith("W head ")


def test_a_finding_at_a_module_marks_its_weights_and_no_namesake():
    finding = replace(fault().findings[0], where=("fc1",), operation=None)
    report = replace(fault(), findings=(finding,), layers=(row(1, "fc1.weight"), row(2, "fc10.weight")))
    _, first, second, *_ = lines(report)
    assert (first[0], second[0]) == ("E", " ")


def test_columns_leave_before_numbers_are_squeezed_and_the_legend_says_which():
    text = "\n".join(lines(blocks(), 100))
    assert "left out at this width: op" in " ".join(text.split())
    assert "x law" in text.splitlines()[0]


def test_the_legend_explains_the_columns_that_are_there():
    text = " ".join(" ".join(lines(blocks())).split())
    assert "x law: w std over gain/sqrt(fan in), 1 = by the law" in text
    assert "sat/dead:" not in text


def test_a_long_path_is_abbreviated_from_the_left_and_keeps_its_number():
    path = "encoder.some_very_long_name.another_very_long_name.17.projection.out_projection.weight"
    line = lines(replace(fault(), layers=(row(1, path),)), 110)[1]
    assert len(line) <= 110
    assert line.startswith("E e.s.a.17.p.out_projection")


def test_below_a_hundred_columns_each_layer_is_a_record():
    text = lines(fault(), 99)
    assert text[0] == "E fc1.weight  linear 128x784 → tanh"
    assert text[1].split() == "units 128 fan in 784 w std 0 x law 0".split()
    assert text[3] == "  fc2.weight  linear 128x128 → relu"
    assert "layer  " not in text[0]


def test_records_align_with_each_other():
    text = lines(fault(), 80)
    assert len({line.index("x law") for line in text if "    fan in" in line}) == 1


def test_repeated_blocks_are_counted_with_their_ranges():
    text = lines(blocks(off=0))
    (gap,) = [line for line in text if "more layers like these" in line]
    assert gap == "  ... 88 more layers like these: x law 0.55, signal out 0.71, grad/w 0.011 to 0.032"
    assert sum("c_attn" in line for line in text) == 2


def test_blocks_with_and_without_a_finding_are_not_called_alike():
    gaps = [line for line in lines(blocks(off=12)) if "more layers like these" in line]
    assert len(gaps) == 2
    assert gaps[0].endswith("10 named by warnings")
    assert "named" not in gaps[1]


def test_verbose_shows_every_row():
    assert sum("transformer.h." in line for line in lines(blocks(), verbose=True)) == 96


def test_a_reused_layer_says_how_often_it_ran():
    assert "linear x3" in lines(replace(fault(), layers=(row(1, "fc1.weight", calls=3),)))[1]


def test_without_layers_there_is_no_table():
    assert lines(replace(fault(), layers=())) == []
