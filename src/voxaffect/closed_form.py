"""Kernel ridge regression onto classes: the closed form for a few hundred to a few thousand utterances.

Statistics of an utterance, standardised on the training speakers, one-hot targets in which every class weighs the
same. `KernelRidge` keeps a part of the training utterances as anchors, so that its size does not grow with the
corpus; the regression is still over all of them. Penalties are chosen on speakers that were not fitted on.

Source: Saunders, Gammerman, Vovk, "Ridge regression learning algorithm in dual variables", ICML 1998; anchors as in
Smola, Schölkopf, "Sparse greedy matrix approximation for machine learning", ICML 2000 (a random subset here).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from voxaffect.calibration import fit_temperature, nll
from voxaffect.metrics import confusion, ua

Floats = npt.NDArray[np.float64]

EPSILON = 1e-6
FLOOR = 1e-3
"""The least similarity to the nearest anchor that is told from none."""
SUMMED = 64
"""Products that are summed in 32 bits."""
CAUTIONS = tuple(float(power) for power in np.linspace(0, 6, 25))
KERNELS = ("linear", "rbf")


@dataclass(frozen=True)
class KernelOptions:
    """`anchors` training utterances at most are kept; of `penalties` the dev speakers choose one.

    `scale` is that of the radial kernel exp(-scale |a - b|^2 / D). Of several `members`, each is fitted without a
    share of the training speakers of its own; anchors and kernel are the same for all, so that more of them cost
    next to nothing. If `cautious`, logits shrink with the novelty of what is heard, as much as answers of members about
    speakers and about whole corpora that they were blind to ask for.
    """

    anchors: int = 1024
    penalties: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    scale: float = 0.5
    members: int = field(default=1, metadata={"later": True})
    cautious: bool = field(default=False, metadata={"later": True})

    def __post_init__(self) -> None:
        if self.anchors < 1 or not self.penalties or min(self.penalties) <= 0 or self.scale <= 0:
            raise ValueError("anchors must be at least 1, penalties not empty and, as scale, above 0")
        if self.members < 1:
            raise ValueError(f"members must be at least 1, got {self.members}")
        if self.cautious and self.members < 2:
            raise ValueError(
                "cautious needs two members or more: a single one is blind to no training speaker"
            )


class KernelRidge(nn.Module):
    """Features (B, D) of several blocks to logits (B, K): the mean over the blocks of their radial kernels.

    `sizes` are the blocks' shares of D. Until `fit` all logits are 0. Members share all but their dual weights.
    """

    mean: Tensor
    std: Tensor
    anchors: Tensor
    dual: Tensor
    gain: Tensor
    caution: Tensor

    def __init__(self, sizes: Sequence[int], n_classes: int, options: KernelOptions) -> None:
        super().__init__()
        self.sizes, self.options, self.n_classes = tuple(sizes), options, n_classes
        self.register_buffer("mean", torch.zeros(sum(sizes)))
        self.register_buffer("std", torch.ones(sum(sizes)))
        self.register_buffer("anchors", torch.zeros(options.anchors, sum(sizes)))
        self.register_buffer("dual", torch.zeros(options.anchors, options.members * n_classes))
        self.register_buffer("gain", torch.ones(()))
        if options.cautious:
            self.register_buffer("caution", torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """Shape: (B, D) to (B, K), of several members the logarithm of their mean probabilities."""
        votes = self.votes(features)
        return votes[:, 0] if self.options.members == 1 else joined_votes(votes)

    def votes(self, features: Tensor) -> Tensor:
        """The logits of each member: (B, D) to (B, M, K)."""
        z = (
            (features - self.mean) / self.std
        ).double()  # weights of either sign cancel out: 32 bits keep too little
        parts = zip(
            torch.split(z, [*self.sizes], 1),
            torch.split(self.anchors.double(), [*self.sizes], 1),
            strict=True,
        )
        similar = torch.stack([radial(a, b, self.options.scale) for a, b in parts]).mean(0)  # (B, A)
        scores = similar @ self.dual.double() * self.gain
        if self.options.cautious:  # e^-novelty is the similarity to the nearest anchor
            scores = scores * similar.amax(1, keepdim=True).clamp(min=FLOOR) ** self.caution
        return scores.to(features.dtype).reshape(-1, self.options.members, self.n_classes)

    def fit(
        self,
        features: npt.NDArray[np.floating[Any]],
        targets: npt.NDArray[np.int64],
        judged: npt.NDArray[np.floating[Any]],
        judged_targets: npt.NDArray[np.int64],
        seed: int,
        shares: npt.NDArray[np.int64] | None = None,
        corpora: npt.NDArray[Any] | None = None,
        original: npt.NDArray[np.bool_] | None = None,
    ) -> dict[str, float]:
        """Fit on `features` (N, D) with classes `targets` (N,); `judged` (M, D) chooses the penalty and the gain.

        Of several members, number m is fitted without the rows whose `shares` (N,) are m (see `dealt`). Returns what
        was chosen: `penalty` and the UA of `judged` under it; of equals, the stronger penalty. A cautious head wants
        the `corpora` (N,) that rows are of, and which are `original` (N,), no altered copies (without it all are): its
        caution is fitted on those. Of one corpus it learns nothing about others and is not cautious.

        Raises ValueError where several members have no shares, or a cautious head no corpora.
        """
        K, M = self.n_classes, self.options.members
        if M > 1 and (shares is None or shares.shape != targets.shape):
            raise ValueError(f"{M} members need the share that each of {len(targets)} rows is in")
        if self.options.cautious and (corpora is None or corpora.shape != targets.shape):
            raise ValueError(f"a cautious head needs the corpus that each of {len(targets)} rows is of")
        z, mean, std = standardise(np.asarray(features, np.float64))
        kept = np.sort(np.random.default_rng(seed).permutation(len(z))[: self.options.anchors])
        inner = self._kernel(z[kept], z[kept])
        asked = self._kernel((np.asarray(judged, np.float64) - mean) / std, z[kept])
        left_out = np.full(len(z), -1) if M == 1 or shares is None else shares
        across = self._kernel(z, z[kept])  # (N, A)
        equations = self._equations(across, targets, left_out)
        results = []
        for penalty in self.options.penalties:
            ridge = penalty * inner + EPSILON * np.eye(len(kept))
            dual = np.stack([np.linalg.solve(gram + ridge, right) for gram, right in equations])  # (M, A, K)
            found = float(ua(confusion(judged_targets, (asked @ dual.mean(axis=0)).argmax(axis=1), K)))
            results.append((found, penalty, dual))
        best_ua, penalty, dual = max(results, key=lambda r: r[:2])
        answers = (asked @ dual).reshape(-1, K)  # of member after member
        report = {"penalty": penalty, "dev_ua": best_ua}
        if self.options.cautious:
            assert shares is not None
            assert corpora is not None
            judging = np.ones(len(z), bool) if original is None else original
            report["caution"] = _caution(
                across, inner, dual, kept, targets, shares, corpora, judging, penalty
            )
            answers *= np.tile(np.maximum(asked.max(axis=1), FLOOR) ** report["caution"], M)[:, None]
            self.caution.fill_(report["caution"])
        items = np.tile(np.arange(len(asked)), M) if M > 1 else None
        gain = 1.0 / fit_temperature(answers, np.tile(judged_targets, M), items=items)
        self.anchors.zero_()
        self.dual.zero_()
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(std))
        self.anchors[: len(kept)].copy_(torch.from_numpy(z[kept]))
        self.dual[: len(kept)].copy_(torch.from_numpy(np.concatenate([*dual], axis=1)))
        self.gain.fill_(gain)
        return report

    def _equations(
        self, across: Floats, targets: npt.NDArray[np.int64], shares: npt.NDArray[np.int64]
    ) -> list[tuple[Floats, Floats]]:
        """Both sides of each member's normal equations: (A, A) and (A, K), from `across` (N, A).

        What a class of a share adds is the same for every member but for its weight, so it is computed once.
        """
        K, M = self.n_classes, self.options.members
        counts = np.zeros((M + 1, K))  # share -1, of no member's, comes last
        grams, sums = np.zeros((M + 1, K, *across.shape[1:] * 2)), np.zeros((M + 1, K, across.shape[1]))
        for share, k in {*zip(shares.tolist(), targets.tolist(), strict=True)}:
            rows = across[(shares == share) & (targets == k)]
            counts[share, k], grams[share, k], sums[share, k] = len(rows), rows.T @ rows, rows.sum(axis=0)
        equations = []
        for member in range(M):
            heard = np.arange(M + 1) != member
            n = counts[heard].sum(axis=0)
            weights = n.sum() / (K * np.maximum(n, 1))
            weighted = weights[:, None] * sums[heard].sum(axis=0)  # (K, A)
            gram = np.einsum("k,kab->ab", weights, grams[heard].sum(axis=0))
            equations.append((gram, (weighted - weighted.sum(axis=0) / K).T))
        return equations

    def _kernel(self, a: Floats, b: Floats) -> Floats:
        edges = np.cumsum(self.sizes)[:-1]
        blocks = zip(np.split(a, edges, axis=1), np.split(b, edges, axis=1), strict=True)
        return np.asarray(np.mean([kernel(x, y, "rbf", self.options.scale) for x, y in blocks], axis=0))


def _caution(
    across: Floats,
    inner: Floats,
    dual: Floats,
    kept: npt.NDArray[np.int64],
    targets: npt.NDArray[np.int64],
    shares: npt.NDArray[np.int64],
    corpora: npt.NDArray[Any],
    judging: npt.NDArray[np.bool_],
    penalty: float,
) -> float:
    """By which power of the similarity to the nearest anchor logits shrink, 0 or more.

    Every row that is `judging` judges twice: the member that is blind to its speaker, and a regression that is blind to
    its corpus. Anchors of that speaker's share or of that corpus count for no similarity.
    """
    K, names = dual.shape[2], sorted(set(corpora.tolist()))
    if len(names) < 2:
        return 0.0
    asked, nearest, truth = [], [], []
    for m in range(len(dual)):
        rows, anchors = (shares == m) & judging, shares[kept] != m
        asked.append(across[rows] @ dual[m])
        nearest.append(across[np.ix_(rows, anchors)].max(axis=1, initial=0.0))
        truth.append(targets[rows])
    for name in names:
        rows, heard, anchors = (corpora == name) & judging, corpora != name, corpora[kept] != name
        seen, shown = across[np.ix_(heard, anchors)], across[np.ix_(rows, anchors)]
        weights = class_weights(targets[heard], K)[:, None]
        one_hot = np.eye(K)[targets[heard]] - 1.0 / K
        ridge = penalty * inner[np.ix_(anchors, anchors)] + EPSILON * np.eye(int(anchors.sum()))
        asked.append(shown @ np.linalg.solve(seen.T @ (weights * seen) + ridge, seen.T @ (weights * one_hot)))
        nearest.append(shown.max(axis=1, initial=0.0))
        truth.append(targets[rows])
    scores, similar, y = (
        np.concatenate(asked),
        np.maximum(np.concatenate(nearest), FLOOR),
        np.concatenate(truth),
    )
    losses = []
    for power in CAUTIONS:
        shrunk = scores * similar[:, None] ** power
        losses.append(nll(shrunk, y, fit_temperature(shrunk, y)))
    return CAUTIONS[int(np.argmin(losses))]


def joined_votes(votes: Tensor) -> Tensor:
    """The logarithm of the members' mean probabilities: logits (B, M, K) to (B, K)."""
    return torch.logsumexp(votes.log_softmax(-1), dim=1) - math.log(votes.shape[1])


def dealt(speakers: Sequence[str], n: int) -> npt.NDArray[np.int64]:
    """Which of `n` shares each of `speakers` (N,) is in, 0 to n - 1: dealt out in the order of their names.

    The speakers of a corpus have names that stand together, and so fall into as many shares as they can.
    """
    names = {name: i % n for i, name in enumerate(sorted(set(speakers)))}
    return np.array([names[speaker] for speaker in speakers], dtype=np.int64)


def radial(a: Tensor, b: Tensor, scale: float) -> Tensor:
    """The radial kernel exp(-scale |a - b|^2 / D): (N, D), (M, D) -> (N, M)."""
    return torch.exp(-scale * squared_distances(a, b) / a.shape[1])


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances: (N, D), (M, D) -> (N, M), as exact as `a` and `b` but for about 1e-5.

    Products are summed in 32 bits, SUMMED at a time, and those sums as `a` is: of standardised rows a radial kernel is
    then off by 1e-8. In 64 bits alone, one row takes as long as the network before it.
    """
    products = a.new_zeros(())
    for first in range(0, a.shape[1], SUMMED):
        p, q = (rows[:, first : first + SUMMED].float() for rows in (a, b))
        products = products + (p @ q.T).to(a.dtype)
    return ((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * products).clamp(min=0)


def standardise(features: Floats) -> tuple[Floats, Floats, Floats]:
    """`features` (N, D) with mean 0 and standard deviation 1 in each column, and both of them, (D,)."""
    mean, std = features.mean(axis=0), features.std(axis=0) + EPSILON
    return (features - mean) / std, mean, std


def kernel(a: Floats, b: Floats, name: str, scale: float) -> Floats:
    """The kernel `name` of KERNELS between standardised rows: (N, D), (M, D) -> (N, M).

    Both are near 1 for an utterance with itself, so one grid of penalties serves both.
    """
    n_features = a.shape[1]
    if name == "linear":
        return np.asarray(a @ b.T / n_features + 1.0)  # + 1: the intercept, lightly penalised
    distances = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.asarray(np.exp(-scale * np.maximum(distances, 0) / n_features))


def class_weights(targets: npt.NDArray[np.int64], n_classes: int) -> Floats:
    """(N,) weights by which every class of `targets` (N,) counts the same."""
    counts = np.maximum(np.bincount(targets, minlength=n_classes), 1)
    return np.asarray((len(targets) / (n_classes * counts))[targets], dtype=np.float64)


def solve(gram: Floats, targets: npt.NDArray[np.int64], penalty: float, n_classes: int) -> Floats:
    """Dual weights (N, K) of ridge regression in which every class weighs the same."""
    weights = class_weights(targets, n_classes)
    one_hot = np.eye(n_classes)[targets] - 1.0 / n_classes
    return np.asarray(np.linalg.solve(gram + penalty * np.diag(1.0 / weights), one_hot))
