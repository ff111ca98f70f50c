"""The tree of errors and the hint for a misspelt word."""

import pytest

from stepzero.core import errors

EXIT_CODES = {
    errors.StepzeroError: 2,
    errors.TargetError: 2,
    errors.BatchError: 2,
    errors.LossError: 2,
    errors.ConfigError: 2,
    errors.IncompleteError: 3,
}


def test_every_error_of_the_module_is_in_the_table():
    found = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert found == set(EXIT_CODES)


@pytest.mark.parametrize(("error", "code"), EXIT_CODES.items(), ids=lambda value: getattr(value, "__name__", value))
def test_exit_codes(error, code):
    assert error.exit_code == code
    assert issubclass(error, errors.StepzeroError)
    assert issubclass(error, ValueError), "users catch ValueError"
    assert error.__name__ in errors.__doc__, "the drawing of the tree names every error"


def test_a_bad_batch_or_loss_is_a_bad_target():
    assert issubclass(errors.BatchError, errors.TargetError)
    assert issubclass(errors.LossError, errors.TargetError)


def test_the_nearest_word_is_offered():
    assert errors.did_you_mean("bulid", ["build", "train"]) == "; did you mean 'build'?"
    assert errors.did_you_mean("zzz", ["build", "train"]) == ""
    assert errors.did_you_mean("build", iter(())) == ""


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("rnadn", ["randn", "rand", "ones"], "randn"),
        ("SZ302", ["SZ102", "SZ301", "SZ303"], "SZ301"),
        ("cross", ["mse", "cross_entropy"], "cross_entropy"),
        ("resnet_18", ["resnet101", "resnet18", "resnet50"], "resnet18"),
        ("sz901", ["SZ902", "SZ901"], "SZ901"),
        ("train", ["main", "forward"], None),
        ("sgd", ["bce", "mse", "nll"], None),
        ("hinge", ["huber", "mae"], None),
        ("make_model", ["make_batch", "load_model_weights"], None),
        ("forward", ["for", "backward_hook"], None),
        ("co", ["cosine"], None),
        ("Net", ["nn"], None),
    ],
)
def test_only_what_is_close_is_offered(word, known, meant):
    assert errors.did_you_mean(word, known) == (f"; did you mean {meant!r}?" if meant else "")


@pytest.mark.parametrize(
    ("word", "other", "slips"),
    [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 1), ("abcd", "abdc", 1), ("ca", "abc", 3)],
)
def test_slips_of_the_finger(word, other, slips):
    assert errors._slips(word, other) == errors._slips(other, word) == slips
