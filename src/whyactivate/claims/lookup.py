"""`find_claim` and `check_claims`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from whyactivate._checks import check_whole, show_value
from whyactivate.claims.claim import Claim, Evidence
from whyactivate.claims.table import CLAIMS
from whyactivate.errors import InputError


def find_claim(number: int) -> Claim:
    """The claim of that number.

    Raises:
        InputError: there is none.
    """
    number = check_whole("claim", number, 1)
    if number not in CLAIMS:
        raise InputError(f"there is no claim {number}; they go from 1 to {max(CLAIMS)}")
    return CLAIMS[number]


def check_claims(
    numbers: Iterable[int] | None = None, progress: Callable[[str, int, int], object] | None = None
) -> Iterator[tuple[Claim, Evidence]]:
    """Each claim with what came of checking it, one after another, as soon as it is there.

    Args:
        numbers: which; all where None.
        progress: called with what is being checked, how many are done, and how many there are.

    Raises:
        InputError: a number is none of a claim.
    """
    wanted = CLAIMS if numbers is None else numbers
    if not isinstance(wanted, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"numbers must list the numbers of claims, as in [13], but {show_value(numbers)} came")
    return _check([find_claim(number) for number in wanted], progress)


def _check(chosen: list[Claim], progress: Callable[[str, int, int], object] | None) -> Iterator[tuple[Claim, Evidence]]:
    for done, claim in enumerate(chosen):
        if progress is not None:
            progress(f"claim {claim.id}", done, len(chosen))
        yield claim, claim.check()
