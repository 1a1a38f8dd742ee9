"""The stamp OPTIMISTIC: on every figure that is better than an honest one would be, and where it comes from.

A fold that selects or trains on what it tests says so in its name, `OPTIMISTIC validation-on-test: f1`. The name stands
in the predictions, so that whatever is made of them can carry the stamp on.
"""

from __future__ import annotations

OPTIMISTIC = "OPTIMISTIC"


def optimistic_reason(fold: str) -> str:
    """Why the answers of `fold` are better than honest ones would be; "" where its name does not say so.

    >>> optimistic_reason("OPTIMISTIC validation-on-test: f1"), optimistic_reason("f1")
    ('validation-on-test', '')
    """
    word, _, rest = fold.partition(" ")
    return (rest.partition(":")[0].strip() or "not said why") if word == OPTIMISTIC else ""


def plain_fold(fold: str) -> str:
    """The name of `fold` without the stamp.

    >>> plain_fold("OPTIMISTIC validation-on-test: f1"), plain_fold("OPTIMISTIC random-split"), plain_fold("f1")
    ('f1', 'OPTIMISTIC random-split', 'f1')
    """
    return (fold.partition(":")[2].strip() or fold) if optimistic_reason(fold) else fold


def stamped(text: str) -> str:
    """`text` with OPTIMISTIC at the end of every line that holds a figure and does not say so yet.

    >>> stamped("  UA  71.4")
    '  UA  71.4  OPTIMISTIC'
    """
    return "\n".join(
        f"{line}  {OPTIMISTIC}" if any(c.isdigit() for c in line) and OPTIMISTIC not in line else line
        for line in text.split("\n")
    )
