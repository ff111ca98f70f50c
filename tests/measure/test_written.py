"""What counts as overwritten, and which function is the model's initialiser."""

import pytest

from stepzero.core.provenance import ParameterWrites, Write, WriteRecord
from stepzero.measure.written import by_default, general_initialiser, overwritten

DEFAULT = Write("draw", "Linear.reset_parameters", "torch:1", is_torch=True)


def by(kind, writer, **options):
    return Write(kind, writer, f"{writer}:1", **options)


@pytest.mark.parametrize(
    ("writes", "is_vector", "lost"),
    [
        ([DEFAULT, by("values", "own"), by("zeros", "all")], True, True),
        ([DEFAULT, by("values", "own"), by("zeros", "all")], False, False),  # a matrix held shut is a choice
        ([DEFAULT, by("values", "own"), by("draw", "all")], False, True),
        ([DEFAULT, by("zeros", "own"), by("draw", "all")], False, True),
        ([DEFAULT, by("zeros", "own"), by("draw", "all")], True, False),  # zero is a vector's law
        ([DEFAULT, by("constant", "own"), by("change", "own"), by("zeros", "all")], True, True),
        ([DEFAULT, by("ones", "own", is_whole=False), by("zeros", "all")], True, True),
        ([DEFAULT, by("ones", "own"), by("zeros", "all")], True, False),
        ([DEFAULT, by("zeros", "own", is_whole=False), by("draw", "all")], False, False),  # a padding row
        ([DEFAULT, by("draw", "all"), by("values", "own")], True, False),  # the right order
        ([DEFAULT, by("values", "own"), by("draw", "own")], False, False),  # one function changes its mind
        ([DEFAULT, by("values", "own"), by("draw", "all"), by("values", "own")], False, False),  # put back
        ([DEFAULT, by("values", "own"), by("draw", "all", is_whole=False)], False, False),
        ([DEFAULT, by("loaded", "load", is_torch=True), by("draw", "head")], False, False),  # fine-tuning
        ([by("values", "own", is_torch=True), by("draw", "all")], False, False),
        ([by("values", "own"), DEFAULT], False, True),  # reset by hand
        ([], True, False),
    ],
)
def test_overwritten(writes, is_vector, lost):
    found = overwritten(writes, is_vector=is_vector)
    assert (found is not None) is lost
    if found is not None:
        assert (found[0].writer, found[1]) == ("own", [each for each in writes if each.kind != "change"][-1])


def test_the_function_that_wrote_most_is_the_initialiser():
    record = WriteRecord(
        ran=True,
        parameters=(
            ParameterWrites("a", (DEFAULT, by("draw", "all"))),
            ParameterWrites("b", (DEFAULT, by("draw", "all"), by("zeros", "own"))),
            ParameterWrites("c", (DEFAULT, by("draw", "all", is_whole=False))),
            ParameterWrites("d", (DEFAULT,)),
        ),
    )
    assert general_initialiser(record, "abcd") == ("all", {"a", "b"})
    assert general_initialiser(record, "cd") == ("", frozenset())
    assert [by_default(each) for each in record.parameters] == [False, False, False, True]
