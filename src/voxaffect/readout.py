"""The classes of a model that learned from its teacher alone: closed form on statistics of its branches' states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from voxaffect.closed_form import KernelRidge
from voxaffect.examples import ExampleStore, Item
from voxaffect.fit import in_batches
from voxaffect.model import CoAttention


def fit_readout(
    model: CoAttention, store: ExampleStore, train: Sequence[int], dev: Sequence[int], seed: int, device: str
) -> dict[str, float]:
    """Fit the head of `model` on positions `train` of `store`, their altered copies too; `dev` chooses the penalty.

    Returns what `KernelRidge.fit` does. Utterances are taken by the segments that answers are made of, copies whole.
    """
    head = model.wiring.head
    assert isinstance(head, KernelRidge)
    heard = [[*store.judged(row), *store.altered(row)] for row in train]
    features, owners = _statistics(model, heard, device)
    judged, judges = _statistics(model, [store.judged(row) for row in dev], device)
    targets = store.targets
    return head.fit(features, targets[list(train)][owners], judged, targets[list(dev)][judges], seed)


def _statistics(
    model: CoAttention, utterances: Sequence[Sequence[Item]], device: str
) -> tuple[np.ndarray, np.ndarray]:
    """`model.embed` of every segment, (N, D), and the number of the utterance that each belongs to, (N,)."""
    model.eval().to(device)
    owned = [(row, item) for row, segments in enumerate(utterances) for item in segments]
    rows: list[np.ndarray] = [np.empty(0)] * len(owned)
    for i, vector in in_batches(model.embed, [item for _, item in owned], device):
        rows[i] = vector
    return np.stack(rows), np.array([row for row, _ in owned])
