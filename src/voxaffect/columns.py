"""An answer over time as columns of a picture: what holds most of each, and the probabilities in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from voxaffect.track import Piece

if TYPE_CHECKING:
    from voxaffect.result import Segment

Key: TypeAlias = tuple[str, bool] | None
"""A label and whether it is uncertain; None in silence."""


def column_keys(pieces: Iterable[Piece], edges: NDArray[np.float64]) -> list[Key]:
    """What holds most of each column's time, for columns with the rising `edges` (W + 1,)."""
    widths = np.diff(edges)
    held: list[defaultdict[Key, float]] = [defaultdict(float) for _ in widths]
    for piece in pieces:
        first = max(0, int(np.searchsorted(edges, piece.start, side="right")) - 1)
        last = min(len(widths), int(np.searchsorted(edges, piece.end, side="left")))
        for column in range(first, last):
            shared = min(piece.end, edges[column + 1]) - max(piece.start, edges[column])
            held[column][piece.label, piece.uncertain] += shared
    for column, width in enumerate(widths):
        held[column][None] = width - sum(held[column].values()) - 1e-9 * width
    return [max(of_column, key=lambda key: of_column[key]) for of_column in held]


def column_probabilities(
    segments: Iterable[Segment], labels: Sequence[str], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The probabilities (K, W) at the middle of each column; NaN where no window is.

    A window's weight falls from its centre to its ends in a straight line.
    """
    middles = (edges[:-1] + edges[1:]) / 2
    half_column = (edges[1] - edges[0]) / 2
    total = np.zeros((len(labels), len(middles)))
    weight = np.zeros(len(middles))
    for segment in segments:
        centre, half = (segment.start + segment.end) / 2, (segment.end - segment.start) / 2
        if not half > 0:
            continue
        reach = max(half, half_column)  # a window that lies between two middles is seen by the nearer
        first, last = np.searchsorted(middles, (centre - reach, centre + reach))
        weights = 1 - np.abs(middles[first:last] - centre) / (reach * (1 + 1e-6))
        total[:, first:last] += np.array([[segment.probs.get(k, 0.0)] for k in labels]) * weights
        weight[first:last] += weights
    with np.errstate(invalid="ignore"):
        shares: NDArray[np.float64] = total / np.where(weight > 0, weight, np.nan)
    return shares
