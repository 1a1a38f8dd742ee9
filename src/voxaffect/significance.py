"""Significance: intervals that resample whole speakers, and paired tests of two systems.

Utterances of one speaker are alike, so that counting each as independent makes intervals too narrow. Sources:
the bootstrap over clusters, Davison & Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8;
the exact test, McNemar, Psychometrika 12 (1947); the sign test over speakers, Arbuthnot (1710), as in any textbook.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from voxaffect import metrics
from voxaffect.errors import CorpusError
from voxaffect.predictions import Predictions
from voxaffect.stamps import stamped

Floats = npt.NDArray[np.float64]
Statistic = Callable[[npt.ArrayLike], Floats]

N_BOOTSTRAP = 2000
LEVEL = 0.95
FEW_SPEAKERS = 5
"""Below this many speakers a percentile interval is known to be too narrow, and is marked unreliable."""


TIE = 1e-9
"""Speakers' UAs that differ by less are equal: sums in another order differ by as much."""


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval: resampled were `n_clusters` speakers or utterances (see `cluster`)."""

    value: float
    low: float
    high: float
    n_clusters: int
    clusters: str = "speakers"

    @property
    def reliable(self) -> bool:
        """Whether enough speakers stand behind the interval for it to speak of new speakers."""
        return self.clusters == "speakers" and self.n_clusters >= FEW_SPEAKERS

    def to_dict(self) -> dict[str, object]:
        """All fields and `reliable`."""
        return {**asdict(self), "reliable": self.reliable}


@dataclass(frozen=True)
class McNemar:
    """The exact test of two systems on the same utterances: `only_first` were right in the first alone."""

    only_first: int
    only_second: int
    p: float


@dataclass(frozen=True)
class SpeakerTally:
    """Two systems speaker by speaker, each speaker counting the same: who is heard better by which.

    `first_better` and `second_better` count speakers by their own UA, over the classes that they have; `p` is the
    exact two-sided sign test of these counts. `first` and `second` are the means of the speakers' own UAs.
    """

    first_better: int
    second_better: int
    p: float
    first: float
    second: float


@dataclass(frozen=True)
class Comparison:
    """Two systems on the utterances they share; `difference` is second minus first, its interval paired.

    `mcnemar` takes the lowest seed of each system, since its counts must be of distinct utterances. `optimistic` says
    of each why its figures are better than honest ones would be; "" where nothing says so.
    """

    n_shared: int
    n_first: int
    n_second: int
    first: dict[str, float]
    second: dict[str, float]
    difference: dict[str, Interval]
    p: dict[str, float]
    mcnemar: McNemar
    speakers: SpeakerTally | None = None
    """None where no speakers are known."""
    optimistic: tuple[str, str] = ("", "")

    def to_dict(self) -> dict[str, object]:
        """All fields, ready for JSON."""
        return {**asdict(self), "difference": {k: v.to_dict() for k, v in self.difference.items()}}

    def render(self, first: str = "first", second: str = "second") -> str:
        """The comparison as a few lines for a terminal; the two names head the columns."""
        width = max(len(first), len(second), 9)
        interval = next(iter(self.difference.values()))
        lines = [f"{'':10}{first:>{width}}  {second:>{width}}  difference  95 % interval        p"]
        for name, d in self.difference.items():
            values = f"{100 * self.first[name]:>{width}.1f}  {100 * self.second[name]:>{width}.1f}"
            span = f"{100 * d.low:+.1f} to {100 * d.high:+.1f}"
            lines.append(f"  {name:8}{values}  {100 * d.value:>+10.1f}  {span:16}{self.p[name]:>6.3f}")
        m = self.mcnemar
        alone = f"{first} alone {m.only_first}, {second} alone {m.only_second}"
        lines.append(f"  utterances right in {alone}: exact McNemar p = {m.p:.3g}")
        if (t := self.speakers) is not None:
            lines += [
                f"  speakers heard better by {first} {t.first_better}, {second} {t.second_better}: exact sign test "
                f"p = {t.p:.3g}",
                f"  UA averaged over speakers: {first} {100 * t.first:.1f}, {second} {100 * t.second:.1f}",
            ]
        about = f"  {self.n_shared} utterances; intervals resample {interval.n_clusters} {interval.clusters}"
        if not self.n_shared == self.n_first == self.n_second:
            about += f"; shared by {self.n_first} of {first} and {self.n_second} of {second}"
        if not interval.reliable:
            about += f"; too few to speak of new speakers (fewer than {FEW_SPEAKERS})"
        stamps = [
            f"  OPTIMISTIC: {name} ({why})"
            for name, why in zip((first, second), self.optimistic, strict=True)
            if why
        ]
        text = "\n".join([*lines, about])
        return "\n".join([*stamps, stamped(text)]) if stamps else text


MEASURES: dict[str, Statistic] = {"UA": metrics.ua, "WA": metrics.wa, "macro-F1": metrics.macro_f1}
"""The measures that get an interval and that a comparison tests, in the order printed."""


def bootstrap(
    confusions: npt.ArrayLike, statistic: Statistic, *, n_bootstrap: int = N_BOOTSTRAP, seed: int = 0
) -> tuple[float, Floats]:
    """A statistic, and its values (n_bootstrap,) when G clusters are drawn G times with replacement.

    `confusions` is (G, K, K), or (S, G, K, K) for S seeds on the same clusters: the statistic is then the
    mean over seeds, and each draw of clusters holds for all seeds. Raises ValueError if there is no cluster
    or no draw.
    """
    systems, times = _merged(confusions)
    return _value(systems[0], times, statistic), _draws(systems[0], times, statistic, n_bootstrap, seed)


def interval(
    confusions: npt.ArrayLike,
    statistic: Statistic,
    *,
    clusters: str = "speakers",
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
) -> Interval:
    """The statistic with its 95 % percentile interval from `bootstrap`; `clusters` says what is drawn."""
    value, draws = bootstrap(confusions, statistic, n_bootstrap=n_bootstrap, seed=seed)
    low, high = _percentiles(draws)
    return Interval(value, low, high, int(np.shape(confusions)[-3]), clusters)


def paired_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    statistic: Statistic,
    *,
    clusters: str = "speakers",
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
) -> tuple[Interval, float]:
    """Second minus first with its 95 % interval, both on the same draws, and its two-sided p-value.

    p = 2 min(#(d <= 0), #(d >= 0)) with one more draw counted on each side, so that it is never 0 (ibid.,
    chapter 4). Raises ValueError if the two have different clusters.
    """
    if np.shape(first)[-3] != np.shape(second)[-3]:
        raise ValueError(f"{np.shape(first)[-3]} and {np.shape(second)[-3]} clusters are not paired")
    (a, b), times = _merged(first, second)
    value = _value(b, times, statistic) - _value(a, times, statistic)
    draws = _draws(b, times, statistic, n_bootstrap, seed) - _draws(a, times, statistic, n_bootstrap, seed)
    low, high = _percentiles(draws)
    tail = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    p = min(1.0, 2 * (tail + 1) / (n_bootstrap + 1))
    return Interval(value, low, high, int(np.shape(first)[-3]), clusters), p


def mcnemar(first_correct: npt.ArrayLike, second_correct: npt.ArrayLike) -> McNemar:
    """The exact two-sided McNemar test of two (N,) arrays that say which utterances each system got right.

    With b right in the first alone and c in the second alone: p = min(1, 2 sum_{i <= min(b, c)} C(b + c, i) /
    2^(b + c)). Whole numbers of any length, so exact. Raises ValueError if lengths differ.

    >>> mcnemar([True] * 8 + [False], [False] * 8 + [True]).p
    0.0390625
    """
    a, b = np.asarray(first_correct, dtype=bool), np.asarray(second_correct, dtype=bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"both must be one-dimensional and equally long, got {a.shape} and {b.shape}")
    only_first, only_second = int((a & ~b).sum()), int((~a & b).sum())
    return McNemar(only_first, only_second, sign_test(only_first, only_second))


def sign_test(first: int, second: int) -> float:
    """The two-sided p of `first` against `second` wins if either were as likely; ties are not counted. Exact.

    >>> sign_test(8, 1)
    0.0390625
    """
    n = first + second
    term, tail = 1, 0
    for i in range(min(first, second) + 1):
        tail += term
        term = term * (n - i) // (i + 1)
    return min(1.0, 2 * tail / (1 << n))


def speaker_tally(first: npt.ArrayLike, second: npt.ArrayLike) -> SpeakerTally:
    """The tally of two systems from their confusion matrices (S, G, K, K) of the same G speakers, S seeds each."""
    a, b = (np.nanmean(metrics.ua(c), axis=0) for c in (first, second))  # (G,) each
    wins = int((a > b + TIE).sum()), int((b > a + TIE).sum())
    return SpeakerTally(*wins, sign_test(*wins), float(a.mean()), float(b.mean()))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several tests, each multiplied so that any one of them below 0.05 is so with 95 % over all.

    Holm, Scandinavian Journal of Statistics 6 (1979): the i-th smallest of m counts m - i + 1 times, and none less
    than a smaller one.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    least = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = least
    return adjusted


def compare(
    first: Predictions, second: Predictions, *, n_bootstrap: int = N_BOOTSTRAP, seed: int = 0
) -> Comparison:
    """Compare two systems on the utterances that both predicted in all of their seeds.

    Speakers are resampled where the first names at least two, utterances elsewhere. Raises CorpusError if no
    utterance is shared, or if the two disagree about the truth or the speaker of one.
    """
    labels = tuple(sorted({*first.labels, *second.labels}))
    a, b = _by_id(first, labels), _by_id(second, labels)
    shared = sorted(a.keys() & b.keys())
    if not shared:
        raise CorpusError(
            "nothing_shared", f"no utterance is in both; first ids: {first.ids[0]!r}, {second.ids[0]!r}"
        )
    for utterance in shared:
        (truth_a, speaker_a, _), (truth_b, speaker_b, _) = a[utterance], b[utterance]
        if truth_a != truth_b:
            raise CorpusError(
                "truth_differs",
                f"{utterance!r} is {labels[truth_a]!r} in one and {labels[truth_b]!r} in the other",
            )
        if speaker_a and speaker_b and speaker_a != speaker_b:
            raise CorpusError(
                "speaker_differs", f"{utterance!r} is of {speaker_a!r} in one and {speaker_b!r} in the other"
            )
    truth = np.array([a[u][0] for u in shared], dtype=np.int64)
    groups, names, clusters = cluster([a[u][1] or b[u][1] for u in shared], shared)
    matrices = []
    for system in (a, b):
        predicted = np.array([system[u][2] for u in shared], dtype=np.int64).T  # (S, N)
        matrices.append(
            np.stack(
                [metrics.grouped_confusions(truth, p, groups, len(labels), len(names)) for p in predicted]
            )
        )
    tests = {
        name: paired_difference(
            matrices[0], matrices[1], f, clusters=clusters, n_bootstrap=n_bootstrap, seed=seed
        )
        for name, f in MEASURES.items()
    }
    return Comparison(
        n_shared=len(shared),
        n_first=len(a),
        n_second=len(b),
        first={name: float(f(matrices[0].sum(axis=1)).mean()) for name, f in MEASURES.items()},
        second={name: float(f(matrices[1].sum(axis=1)).mean()) for name, f in MEASURES.items()},
        difference={name: test[0] for name, test in tests.items()},
        p={name: test[1] for name, test in tests.items()},
        mcnemar=mcnemar(*([s[u][2][0] == s[u][0] for u in shared] for s in (a, b))),
        speakers=speaker_tally(*matrices) if clusters == "speakers" else None,
        optimistic=(", ".join(first.optimistic), ", ".join(second.optimistic)),
    )


def cluster(
    speakers: Sequence[str], ids: Sequence[str]
) -> tuple[npt.NDArray[np.int64], tuple[str, ...], str]:
    """What a bootstrap resamples: the cluster of each prediction (N,), the clusters' names, and what they
    are.

    They are the speakers; where one is unknown (""), or there is only one, each utterance stands alone.
    """
    use_speakers = len(set(speakers)) > 1 and all(speakers)
    keys = speakers if use_speakers else ids
    index = {name: i for i, name in enumerate(sorted(set(keys)))}
    groups = np.array([index[key] for key in keys], dtype=np.int64)
    return groups, tuple(index), "speakers" if use_speakers else "utterances"


def _merged(*systems: npt.ArrayLike) -> tuple[list[Floats], npt.NDArray[np.int64]]:
    """Each system as (S, U, K, K) with clusters that are alike in all systems only once, and how often each
    stands (U,).

    Single utterances are nearly all alike: this makes drawing from 100,000 of them as quick as from 100.
    """
    arrays = [np.asarray(system, dtype=np.float64) for system in systems]
    arrays = [c[None] if c.ndim == 3 else c for c in arrays]
    for c in arrays:
        if c.ndim != 4 or c.shape[1] < 1:
            raise ValueError(f"expected (G, K, K) or (S, G, K, K) with G > 0, got {c.shape}")
    rows = np.concatenate([c.swapaxes(0, 1).reshape(c.shape[1], -1) for c in arrays], axis=1)
    _, first, times = np.unique(rows, axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)
    return [c[:, first[order]] for c in arrays], times[order].astype(np.int64)


def _value(c: Floats, times: npt.NDArray[np.int64], statistic: Statistic) -> float:
    return float(statistic((c * times[:, None, None]).sum(axis=1)).mean())


def _draws(
    c: Floats, times: npt.NDArray[np.int64], statistic: Statistic, n_bootstrap: int, seed: int
) -> Floats:
    """The statistic of each draw; equal `times` and `seed` give equal draws, which pairs two systems."""
    if n_bootstrap < 1:
        raise ValueError(f"n_bootstrap must be above 0, got {n_bootstrap}")
    n_clusters = int(times.sum())
    drawn = np.random.default_rng(seed).multinomial(
        n_clusters, times / n_clusters, size=n_bootstrap
    )  # (R, U)
    total = np.zeros(n_bootstrap)
    for matrices in c:
        sums = drawn.astype(np.float64) @ matrices.reshape(len(times), -1)
        total += statistic(sums.reshape(n_bootstrap, *matrices.shape[1:]))
    return total / len(c)


def _percentiles(draws: Floats) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _by_id(predictions: Predictions, labels: tuple[str, ...]) -> dict[str, tuple[int, str, list[int]]]:
    """id -> truth, speaker and the prediction of each seed; ids that some seed lacks are left out."""
    index = [labels.index(label) for label in predictions.labels]
    rows: dict[str, tuple[int, str, list[int]]] = {}
    seeds = np.argsort(np.array(predictions.seeds, dtype=np.int64), kind="stable")
    predicted = predictions.predicted
    for i in seeds:
        row = rows.setdefault(predictions.ids[i], (index[predictions.truth[i]], predictions.speakers[i], []))
        row[2].append(index[predicted[i]])
    n_seeds = len(predictions.distinct_seeds)
    return {utterance: row for utterance, row in rows.items() if len(row[2]) == n_seeds}
