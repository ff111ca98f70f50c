"""One rule that is not shipped, with every heading and the awkward spots of a docstring."""

from stepzero.core.rule import Rule, rule

PAGE = """One line that says it.

    More of the lead.

    What it finds
    -------------
    Words, and a rule of dashes that is no heading:
    -----

    Why it matters
    --------------
    It does.

    When it is fine
    ---------------
    Bad luck is not the heading Bad.

    Bad
    ---
    ::

        class Net:
            width = 4

    Good
    ----
    Good

    Fix
    ---

    References
    ----------
    None known.
    """


def make(page: str | None) -> Rule:
    def judge(trace, limits):
        return ()

    judge.__doc__ = page
    return rule("SZ206", "constant-fill", tier=1, needs=("backward",), limits=("dead_error",))(judge)
