"""How figures, counts and names are written in a report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from voxaffect.significance import Interval

NONE = "–"
"""Stands for what is not defined."""


def percent(share: float, digits: int = 1) -> str:
    """A share of 1 in percent, without the sign: `62.5`.

    >>> percent(0.6254), percent(0.6254, 2), percent(float("nan"))
    ('62.5', '62.54', '–')
    """
    return NONE if math.isnan(share) else f"{100 * share:.{digits}f}"


def points(share: float, digits: int = 1) -> str:
    """A difference of shares in percentage points, with its sign: `+1.2`, `−0.4`.

    >>> points(0.012), points(-0.004), points(0.0)
    ('+1.2', '−0.4', '0.0')
    """
    words = f"{100 * share:+.{digits}f}"
    return words.lstrip("+-") if not float(words) else words.replace("-", "−")


def span(m: Interval) -> str:
    """The 95 % interval in percent: `58.1 to 66.9`."""
    return f"{percent(m.low)} to {percent(m.high)}"


def span_of_points(m: Interval) -> str:
    """The 95 % interval of a difference: `−1.2 to +3.4`."""
    return f"{points(m.low)} to {points(m.high)}"


def p_value(p: float) -> str:
    """A p-value with what matters of it.

    >>> p_value(0.734), p_value(0.0421), p_value(0.0004)
    ('0.73', '0.042', '< 0.001')
    """
    if math.isnan(p):
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def p_equals(p: float) -> str:
    """`p = 0.73` or `p < 0.001`, kept on one line."""
    words = p_value(p)
    return (f"p {words}" if words.startswith("<") else f"p = {words}").replace(" ", "\u00a0")


def count(n: float, one: str, many: str = "") -> str:
    """`1 fold`, `2 folds`; thousands are set apart.

    >>> count(1, "class", "classes"), count(2, "class", "classes"), count(1440, "utterance")
    ('1 class', '2 classes', '1440 utterances')
    """
    return f"{number(n)} {one if n == 1 else many or one + 's'}"


def number(n: float) -> str:
    """A count, the thousands of five digits and more set apart by a narrow space; means over seeds keep a decimal."""
    words = f"{n:,.{0 if float(n).is_integer() else 1}f}"
    return words.replace(",", "\u202f" if n >= 10_000 else "")


def range_of(values: Iterable[int]) -> str:
    """`16`, or `14 to 16` where they differ.

    >>> range_of([16, 16]), range_of([14, 16, 15])
    ('16', '14 to 16')
    """
    ordered = sorted(set(values))
    return f"{ordered[0]} to {ordered[-1]}" if len(ordered) > 1 else f"{ordered[0]}" if ordered else "0"


def listed(words: Sequence[str], limit: int = 12) -> str:
    """Names one after the other, those over `limit` counted.

    >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], 2)
    ('a, b, c', 'a, b and 1 more')
    """
    if len(words) <= limit:
        return ", ".join(words)
    return f"{', '.join(words[:limit])} and {len(words) - limit} more"


def shortened(speakers: Iterable[str]) -> dict[str, str]:
    """Each speaker's name without the corpus, where all are of one corpus.

    >>> shortened(["ravdess/01", "ravdess/02"]), shortened(["emodb/03", "ravdess/01"])
    ({'ravdess/01': '01', 'ravdess/02': '02'}, {'emodb/03': 'emodb/03', 'ravdess/01': 'ravdess/01'})
    """
    every = sorted(set(speakers))
    corpora = {name.partition("/")[0] for name in every if "/" in name}
    one = len(corpora) == 1 and all("/" in name for name in every)
    return {name: name.partition("/")[2] if one else name for name in every}
