"""Colour, wrapping and cleaning."""

from hypothesis import given
from hypothesis import strategies as st

from stepzero.report.style import Paint, cells, clean, flow, pad, shorten, wrap


def test_paint_adds_color_around_text_only_when_asked():
    assert Paint(color=True)("a", "error") == "\x1b[1;31ma\x1b[0m"
    assert Paint(color=False)("a", "error") == "a"
    assert Paint(color=True)("", "error") == ""


@given(st.text())
def test_clean_text_is_one_printable_line(text):
    assert clean(text).isprintable()


def test_clean_keeps_brackets_and_letters_and_shows_the_rest():
    assert clean("blocks[attn].größe\n\x1b[31m\u202e") == "blocks[attn].größe \\x1b[31m\\u202e"


def test_wrap_never_breaks_a_path():
    path = "transformer.encoder.layers.11.self-attention.out_proj.weight"
    assert wrap(f"at {path} now", 30, "  ") == ["  at", f"  {path}", "  now"]


def test_wrap_of_nothing_is_one_empty_line():
    assert wrap("", 80) == [""]


def test_pad_counts_wide_characters_twice():
    assert pad("层", 4) == "层  "
    assert pad("ab", 4, right=True) == "  ab"
    assert cells("层a") == 3


@given(st.text(alphabet="abcdef.0123", max_size=60), st.integers(3, 40))
def test_shorten_keeps_to_the_width_and_to_the_end(text, columns):
    short = shorten(text, columns)
    assert len(short) <= columns
    assert short == text or text.endswith(short.split("…")[-1].rpartition(".")[2])


def test_shorten_keeps_numbers_and_the_last_name():
    path = "transformer.encoder.layers.11.self_attn.out_proj"
    assert shorten(path, 48) == path
    assert shorten(path, 40) == "t.encoder.layers.11.self_attn.out_proj"
    assert shorten(path, 26) == "t.e.l.11.s.out_proj"


def test_flow_breaks_between_pieces_only():
    pieces = [("", "aaaa", ""), (" ", "bbbb", "code"), ("  ", "cccccccccccc", "")]
    assert flow(pieces, 10, Paint(color=False)) == ["aaaa bbbb", "cccccccccccc"]
    assert flow(pieces, 40, Paint(color=True)) == ["aaaa \x1b[1;35mbbbb\x1b[0m  cccccccccccc"]
