"""What a verdict does when the seed changes."""

from dataclasses import dataclass

from stepzero.core.finding import RANK, Severity


@dataclass(frozen=True, slots=True)
class Spread:
    """One finding over several seeds."""

    code: str
    name: str
    where: tuple[str, ...]
    severities: tuple[Severity | None, ...]
    """One a seed, in the order of `Report.seeds`; None where it was not found."""
    values: tuple[float | None, ...]

    @property
    def num_found(self) -> int:
        """K of k of N."""
        return sum(severity is not None for severity in self.severities)

    @property
    def mildest(self) -> Severity | None:
        """What every seed agrees on at least; None when some seed has not found it."""
        return max(self.severities, key=_rank)

    @property
    def loudest(self) -> Severity | None:
        """What the worst seed says."""
        return min(self.severities, key=_rank)

    @property
    def flips(self) -> bool:
        """Whether the verdict depends on the seed; a note and silence are one verdict."""
        return _counts(self.mildest) != _counts(self.loudest)


@dataclass(frozen=True, slots=True)
class SeedsFact:
    """The same check with several seeds of the factory; empty when there was one."""

    seeds: tuple[int, ...] = ()
    spreads: tuple[Spread, ...] = ()

    @property
    def flipping(self) -> tuple[Spread, ...]:
        """What flips, one a code: when each seed has the fault at another place, the code as a whole does not flip."""
        codes = dict.fromkeys(spread.code for spread in self.spreads if spread.flips)
        return tuple(_together([each for each in self.spreads if each.code == code and each.flips]) for code in codes)


def _together(spreads: list[Spread]) -> Spread:
    """One spread over all places: of each seed the loudest."""
    count = range(len(spreads[0].severities))
    loudest = [min(spreads, key=lambda spread: _rank(spread.severities[number])) for number in count]
    return Spread(
        spreads[0].code,
        spreads[0].name,
        tuple(dict.fromkeys(place for spread in spreads for place in spread.where)),
        tuple(spread.severities[number] for number, spread in enumerate(loudest)),
        tuple(spread.values[number] for number, spread in enumerate(loudest)),
    )


def _rank(severity: Severity | None) -> int:
    return RANK[severity] if severity else len(RANK)


def _counts(severity: Severity | None) -> int:
    """Rank, with silence as loud as a note: neither counts."""
    return min(_rank(severity), RANK["info"])
