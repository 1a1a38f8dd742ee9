"""Weights of an ensemble's members, by maximum likelihood on dev utterances; never on test utterances."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voxaffect.errors import CorpusError

MAX_ROUNDS = 2000
"""Enough to come within some thousandths of a weight of 0; others are found to all digits."""
TOLERANCE = 1e-9
"""Stop when no weight moves by more than this."""
LEAST_PROBABILITY = 1e-12
"""A member that gave the truth probability 0 is treated as if it had given this much."""


def fit_weights(truth_probs: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Weights (M,) on the simplex that maximise the likelihood of N dev utterances under the weighted mean.

    `truth_probs` is (M, N): what each member gave the true class, NaN where the utterance is none of its dev
    utterances. Members differ in their dev speakers, so each utterance is judged by those that have it:
    sum_i log(sum_m w_m p_mi / sum_m w_m), both sums over the members that have utterance i. Utterances of a single
    member say nothing about weights and are left out.

    Each round multiplies: w_m <- R_m / D_m with the responsibilities R_m = sum_i w_m p_mi / sum_k w_k p_ki and
    D_m = sum_i 1 / sum_k w_k. That is EM (Dempster et al., 1977) where all members have all utterances; elsewhere
    the denominator is minorised by its tangent, as for Bradley-Terry models (Hunter, Annals of Statistics 32, 2004,
    section 2). No round lowers the likelihood; the start is equal weights.

    >>> fit_weights([[0.9, 0.8, 0.7], [0.1, 0.1, 0.2]]).round(6).tolist()
    [1.0, 0.0]

    Raises CorpusError `no_shared_dev` where the members cannot be weighed against each other: no dev utterance is
    shared, or the members fall into groups that share none.
    """
    p = np.asarray(truth_probs, dtype=np.float64)
    if p.ndim != 2 or len(p) < 2:
        raise ValueError(f"expected (M, N) with two members or more, got {p.shape}")
    known = ~np.isnan(p)
    shared = known.sum(axis=0) > 1
    p, known = np.where(known, p.clip(LEAST_PROBABILITY), 0.0)[:, shared], known[:, shared]
    if not _connected(known):
        raise CorpusError(
            "no_shared_dev",
            f"the {len(p)} members cannot be weighed: "
            + (
                "some share no dev utterance with the others"
                if shared.any()
                else "they share no dev utterance"
            ),
            hint="weights are fitted on dev utterances alone; use --vote majority or mean",
        )
    w = np.full(len(p), 1 / len(p))
    for _ in range(MAX_ROUNDS):
        responsibility = (w[:, None] * p / (w @ p)).sum(axis=1)
        available = (known / (w @ known)).sum(axis=1)
        new = responsibility / available
        new /= new.sum()
        moved, w = float(np.abs(new - w).max()), new
        if moved < TOLERANCE:
            break
    return w


def _connected(known: npt.NDArray[np.bool_]) -> bool:
    """Whether chains of shared utterances lead from the first member to all."""
    if not known.size:
        return False
    reached = np.zeros(len(known), dtype=bool)
    reached[0] = True
    while True:
        utterances = known[reached].any(axis=0)
        further = reached | known[:, utterances].any(axis=1)
        if (further == reached).all():
            return bool(reached.all())
        reached = further
