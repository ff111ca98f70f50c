"""Calls written on the command line: literals and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepzero.cli.literal import Arguments, arguments, split_call
from stepzero.core.errors import TargetError

LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@given(st.lists(LITERALS), st.dictionaries(st.from_regex("[a-z]{3,8}x", fullmatch=True), LITERALS))
def test_every_literal_comes_back_as_written(args, kwargs):
    text = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
    assert arguments(text, "f") == Arguments(tuple(args), kwargs)


@pytest.mark.parametrize(
    "text", ["a", "1+x", "f(1)", "[x for x in y]", "lambda: 1", "__import__('os')", "x.y", "f'{1}'"]
)
def test_nothing_else_is_evaluated(text):
    with pytest.raises(TargetError, match=r"is not a literal; accepted are numbers, strings"):
        arguments(text, "f")


def test_a_name_and_its_call_are_split():
    assert split_call("resnet18") == ("resnet18", None)
    assert split_call("Net(width=2)") == ("Net", "width=2")
    assert split_call("Net()") == ("Net", "")
    with pytest.raises(TargetError, match="the parenthesis is not closed"):
        split_call("Net(2")


def test_arguments_that_do_not_fit_show_the_signature():
    def build(width, *, depth=1):
        pass

    Arguments((1,), {"depth": 2}).check(build, "m:build")
    with pytest.raises(TargetError, match=r"m:build\(width, \*, depth=1\): missing a required argument: 'width'"):
        Arguments().check(build, "m:build")


def test_a_function_without_a_signature_is_not_judged():
    Arguments((1,)).check(dict.fromkeys, "m:f")
    Arguments((1, 2, 3)).check(type, "m:type")
