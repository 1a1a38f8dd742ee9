"""The classes of a model that learned from its teacher alone: closed form on statistics of its branches' states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from voxaffect.closed_form import KernelRidge
from voxaffect.examples import ExampleStore, Item
from voxaffect.fit import to_tensors
from voxaffect.model import CoAttention

BATCH_SIZE = 32


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
    order = sorted(
        range(len(owned)), key=lambda i: int(owned[i][1]["n_samples"])
    )  # like lengths share a batch
    rows: list[np.ndarray] = [np.empty(0)] * len(owned)
    with torch.inference_mode():
        for start in range(0, len(order), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            vectors = model.embed(to_tensors([owned[i][1] for i in chosen], device)).cpu().numpy()
            for i, vector in zip(chosen, vectors, strict=True):
                rows[i] = vector
    return np.stack(rows), np.array([row for row, _ in owned])
