"""What a suppression covers, what follows from a suppressed finding, and what is left unused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepzero.core.errors import ConfigError
from stepzero.core.finding import Finding
from stepzero.core.suppression import Comment, Suppression
from stepzero.core.trace import ModuleFact, TensorFact, Trace
from stepzero.verdict.suppress import followed, of_comments, suppress

LINES = {"": "app.py:20", "enc": "app.py:21", "enc.0": "app.py:9", "enc.1": "app.py:9", "head": "app.py:22"}
TRACE = Trace(
    "net",
    modules=tuple(ModuleFact(path, "M", is_training=True, source_line=line) for path, line in LINES.items()),
    parameters=tuple(
        TensorFact(name, (), name.rpartition(".")[0], "parameter", (2, 2), "float32", "cpu", 4)
        for name in ("enc.0.weight", "enc.1.weight", "head.weight")
    ),
)
ASKED = ("SZ201", "SZ305", "SZ402")


def finding(code="SZ305", where=("enc.0.weight",), root=None, severity="error"):
    return Finding(code, "made", severity, where, "a sentence", root=root)


def comment(line, *codes, reason="meant"):
    return Suppression(line, codes, reason, lines=(line,))


def pattern(text, *codes):
    return Suppression(f"per-module-ignores {text!r}", codes, pattern=text)


def kept(findings, *suppressions):
    return [each.id for each in suppress(findings, suppressions, TRACE, ASKED).kept]


@pytest.mark.parametrize(
    ("suppression", "hides"),
    [
        (Suppression("ignore", ("SZ305",)), True),
        (Suppression("ignore", ("SZ201",)), False),
        (comment("app.py:9", "SZ305"), True),  # the line that created its module
        (comment("app.py:21", "SZ305"), True),  # that of the module around it
        (comment("app.py:20", "SZ305"), True),  # that of the model
        (comment("app.py:22", "SZ305"), False),
        (comment("app.py:9", "SZ201"), False),
        (pattern("enc.*", "SZ305"), True),
        (pattern("enc", "SZ305"), True),
        (pattern("*.0", "SZ305"), True),
        (pattern("enc.1", "SZ305"), False),
        (pattern("head*", "SZ305"), False),
        (Suppression("a.py:9", ("SZ305",), lines=("app.py:9",), problem="no such rule"), False),
    ],
)
def test_where_a_suppression_holds(suppression, hides):
    outcome = suppress([finding()], [suppression], TRACE, ASKED)
    assert bool(outcome.suppressed) is hides
    assert bool(outcome.kept) is not hides


def test_the_suppressed_one_says_by_what_and_why():
    (hidden,) = suppress([finding()], [comment("app.py:9", "SZ305", reason="padded")], TRACE, ASKED).suppressed
    assert (hidden.finding, hidden.by, hidden.reason) == (finding(), "app.py:9", "padded")


def test_every_place_of_a_finding_has_to_be_covered():
    both = finding(where=("enc.0.weight", "head.weight"))
    assert kept([both], comment("app.py:9", "SZ305")) == [both.id]
    assert kept([both], comment("app.py:9", "SZ305"), comment("app.py:22", "SZ305")) == []
    assert kept([both], comment("app.py:9", "SZ305"), pattern("head", "SZ305")) == []
    (hidden,) = suppress(
        [both], [comment("app.py:9", "SZ305", reason="a"), comment("app.py:22", "SZ305", reason="b")], TRACE, ASKED
    ).suppressed
    assert (hidden.by, hidden.reason) == ("app.py:9, app.py:22", "a; b")


def test_a_finding_without_a_place_is_that_of_the_model():
    whole = finding(where=())
    assert kept([whole], comment("app.py:20", "SZ305")) == []
    assert kept([whole], comment("app.py:9", "SZ305")) == [whole.id]


def test_what_follows_from_a_suppressed_finding_goes_with_it():
    root = finding("SZ201")
    under = finding("SZ402", ("head.weight",), root=root.id)
    other = finding("SZ402", ("enc.1.weight",))
    outcome = followed(suppress([root, under, other], [Suppression("ignore", ("SZ201",), "meant")], TRACE, ASKED), {})
    assert outcome.kept == [other]
    assert [(each.finding.id, each.by, each.reason) for each in outcome.suppressed] == [
        (root.id, "ignore", "meant"),
        (under.id, f"follows from {root.id}", "meant"),
    ]


def test_what_another_finding_explains_hangs_under_that_one():
    root, second = finding("SZ201"), finding("SZ305", ("head.weight",))
    under = finding("SZ402", ("head.weight",), root=root.id)
    once = suppress([root, second, under], [Suppression("ignore", ("SZ201",))], TRACE, ASKED)
    assert [each.root for each in followed(once, {under.id: second.id}).kept] == [None, second.id]
    chained = finding("SZ305", ("enc.1.weight",), root=root.id)
    once = suppress([root, chained, under], [Suppression("ignore", ("SZ201",))], TRACE, ASKED)
    assert followed(once, {under.id: chained.id, chained.id: None}).kept == []


def test_a_consequence_can_be_suppressed_alone():
    root = finding("SZ201")
    under = finding("SZ402", ("head.weight",), root=root.id)
    assert kept([root, under], comment("app.py:22", "SZ402")) == [root.id]


def facts(findings, *suppressions):
    return suppress(findings, suppressions, TRACE, ASKED).facts


def test_what_hides_nothing_is_counted_as_such_with_its_outermost_places():
    used, unused = facts([finding()], comment("app.py:9", "SZ305"), comment("app.py:21", "SZ201"))
    assert (used.hidden, used.where) == (1, ("enc.0", "enc.1"))
    assert (unused.hidden, unused.where, unused.codes) == (0, ("enc",), ("SZ201",))


def test_one_for_every_model_is_not_judged():
    assert facts([], Suppression("ignore", ("SZ305",))) == ()


def test_a_rule_that_was_not_asked_says_nothing_of_its_suppression():
    (fact,) = facts([], comment("app.py:9", "SZ101", "SZ201"))
    assert fact.codes == ("SZ201",)


def test_what_covers_a_part_only_names_the_rest():
    (fact,) = facts([finding(where=("enc.0.weight", "head.weight"))], comment("app.py:9", "SZ305"))
    assert (fact.hidden, fact.partly) == (0, ("head.weight",))


def resolve(words, flag):
    known = {"SZ305": ("SZ305",), "dead-units": ("SZ305",), "SZ2": ("SZ201",)}
    for word in words:
        if word not in known:
            raise ConfigError(f"{flag}: no rule {word!r}; did you mean 'SZ305'?")
    return tuple(code for word in words for code in known[word])


def test_comments_are_read_leniently():
    comments = (
        Comment("a.py:1", ("a.py:1",), ("dead-units", "SZ2"), "why"),
        Comment("a.py:2", ("a.py:2",), ("SZ3O5",)),
        Comment("a.py:3", ("a.py:3",), ()),
    )
    good, wrong, bare = of_comments(Trace("net", comments=comments), resolve)
    assert (good.codes, good.reason, good.problem) == (("SZ305", "SZ201"), "why", "")
    assert wrong.problem == "no rule 'SZ3O5'; did you mean 'SZ305'?"
    assert bare.problem.startswith("names no code")


places = st.lists(st.sampled_from(["enc.0.weight", "enc.1.weight", "head.weight"]), min_size=1, max_size=3, unique=True)
made = st.lists(
    st.sampled_from(
        [comment("app.py:9", "SZ305"), comment("app.py:22", "SZ305"), pattern("enc*", "SZ305"), pattern("x", "SZ305")]
    ),
    max_size=4,
)


@given(st.lists(places, max_size=4), made, made)
def test_more_suppressions_never_let_more_count(wheres, some, more):
    findings = [finding(where=tuple(where)) for where in wheres]
    few, many = kept(findings, *some), kept(findings, *some, *more)
    assert set(many) <= set(few)


@given(st.lists(places, max_size=4), made)
def test_nothing_is_lost(wheres, suppressions):
    findings = [finding(where=tuple(where)) for where in wheres]
    outcome = suppress(findings, suppressions, TRACE, ASKED)
    assert len(outcome.kept) + len(outcome.suppressed) == len(findings)
