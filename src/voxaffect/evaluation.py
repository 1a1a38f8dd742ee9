"""Evaluation: every figure of a run's predictions, with intervals over speakers and guesses to beat."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from voxaffect import calibration, metrics
from voxaffect.baselines import MAJORITY, Baselines, Guess
from voxaffect.calibration import ReliabilityBin
from voxaffect.errors import CorpusError
from voxaffect.predictions import Predictions
from voxaffect.significance import FEW_SPEAKERS, MEASURES, N_BOOTSTRAP, Interval, cluster, interval

SCHEMA = "voxaffect.evaluation/1"


@dataclass(frozen=True)
class ClassFigures:
    """One class: utterances that are truly of it, and how well they are found; NaN where undefined."""

    label: str
    n: int
    recall: float
    precision: float
    f1: float


@dataclass(frozen=True)
class GroupFigures:
    """The figures of one speaker, fold or group, averaged over seeds; UA over the classes that it has.

    A group that was asked for has the `interval` of its UA as well.
    """

    name: str
    n: int
    n_speakers: int
    ua: float
    wa: float
    interval: Interval | None = None


@dataclass(frozen=True)
class SeedFigures:
    """The figures of one repetition of the whole experiment."""

    seed: int
    measures: Mapping[str, float]


@dataclass(frozen=True)
class Baseline:
    """What always answering the most frequent class would score on the same utterances."""

    label: str
    measures: Mapping[str, float]


@dataclass(frozen=True)
class Evaluation:
    """All figures of one `Predictions`, as fractions of 1. Several seeds: each figure is the mean over the
    seeds.

    `measures` holds UA, WA and macro-F1. `confusion` is (K, K), rows the truth, counts averaged over seeds.
    `ece` is None where the predictions came without probabilities. `groups` is empty unless groups were asked
    for, `without_audio` unless the guesses of `voxaffect.baselines` were given. `optimistic` says why the figures
    are better than honest ones would be, by the names of the folds; "" where nothing says so.
    """

    labels: tuple[str, ...]
    corpora: tuple[str, ...]
    n_utterances: int
    measures: Mapping[str, Interval]
    baseline: Baseline
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[float, ...], ...]
    speakers: tuple[GroupFigures, ...]
    folds: tuple[GroupFigures, ...]
    groups: tuple[GroupFigures, ...]
    seeds: tuple[SeedFigures, ...]
    ece: float | None
    reliability: tuple[ReliabilityBin, ...]
    notices: tuple[str, ...]
    without_audio: tuple[Guess, ...] = ()
    optimistic: str = ""

    @property
    def ua(self) -> Interval:
        """Unweighted accuracy: the mean of the per-class recalls."""
        return self.measures["UA"]

    @property
    def wa(self) -> Interval:
        """Weighted accuracy: right / all."""
        return self.measures["WA"]

    @property
    def macro_f1(self) -> Interval:
        """The mean of the per-class F1."""
        return self.measures["macro-F1"]

    @property
    def worst_speaker(self) -> GroupFigures | None:
        """The speaker with the lowest UA; None where speakers are unknown."""
        return min(self.speakers, key=lambda s: (s.ua, s.wa, s.name), default=None)

    def spread(self, measure: str) -> tuple[float, float, float]:
        """Standard deviation (n - 1; 0 for one seed), lowest and highest of a measure over the seeds."""
        values = [s.measures[measure] for s in self.seeds]
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0, min(values), max(values)

    def titled(self, title: str) -> str:
        """`title` as text and pictures have it: with OPTIMISTIC and the reason, where there is one."""
        return (
            " ".join(filter(None, (title, f"OPTIMISTIC ({self.optimistic})"))) if self.optimistic else title
        )

    def to_dict(self) -> dict[str, object]:
        """The evaluation as JSON values (NaN becomes None), `"schema": "voxaffect.evaluation/1"`."""
        values = asdict(self)
        values["measures"] = {name: m.to_dict() for name, m in self.measures.items()}
        values["worst_speaker"] = self.worst_speaker.name if self.worst_speaker else None
        names = ("std", "low", "high")
        values["spread"] = {m: dict(zip(names, self.spread(m), strict=True)) for m in self.measures}
        return {"schema": SCHEMA, **{key: _json(value) for key, value in values.items()}}

    def render(self, title: str = "") -> str:
        """The evaluation as aligned text for a terminal, figures in percent."""
        from voxaffect.evaluation_text import render  # the text needs this class

        return render(self, title)


def evaluate(
    predictions: Predictions,
    *,
    groups: Mapping[str, str] | None = None,
    baselines: Baselines | None = None,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
) -> Evaluation:
    """All figures of `predictions`. `groups` names a group for each id, e.g. a gender; `baselines` are the guesses
    without audio on the same utterances; `seed` is the bootstrap's.

    Intervals resample speakers; the same predictions and seed give the same numbers. Seeds that lack
    utterances which others have are left out, with a notice. Raises CorpusError if no seed has all, and
    ValueError if there are no predictions.
    """
    if not len(predictions):
        raise ValueError("there are no predictions to evaluate")
    p, notices = _complete_seeds(predictions.sorted())  # so that the rows' order cannot matter
    seeds, K = p.distinct_seeds, len(p.labels)
    clusters, names, kind = cluster(p.speakers, p.ids)
    by_cluster = _by_group(p, clusters, len(names))  # (S, G, K, K)
    total = by_cluster.sum(axis=1)  # (S, K, K)
    support = total[0].sum(axis=-1)
    measures = {
        name: interval(by_cluster, f, clusters=kind, n_bootstrap=n_bootstrap, seed=seed)
        for name, f in MEASURES.items()
    }
    guess = np.zeros((K, K))
    guess[:, support.argmax()] = support
    baseline = Baseline(
        p.labels[int(support.argmax())], {name: float(f(guess)) for name, f in MEASURES.items()}
    )
    f1 = 2 * np.diagonal(total, axis1=1, axis2=2) / np.maximum(total.sum(axis=1) + total.sum(axis=2), 1)
    columns = zip(
        p.labels,
        support,
        _mean(metrics.recalls(total)),
        _mean(metrics.precisions(total)),
        _mean(f1),
        strict=True,
    )
    classes = tuple(ClassFigures(label, int(n), *(float(x) for x in rest)) for label, n, *rest in columns)
    guesses = baselines.guesses if baselines else ()
    right = p.predicted == p.truth
    of_seed = [np.array(p.seeds, dtype=np.int64) == s for s in seeds]
    return Evaluation(
        labels=p.labels,
        corpora=tuple(sorted({i.split("/")[0] for i in p.ids if "/" in i})),
        n_utterances=int(support.sum()),
        measures=measures,
        baseline=baseline,
        classes=classes,
        confusion=tuple(tuple(float(x) for x in row) for row in total.mean(axis=0)),
        speakers=_figures(p, p.speakers) if p.has_speakers else (),
        folds=_figures(p, p.folds) if all(p.folds) else (),
        groups=_groups(p, groups, n_bootstrap, seed) if groups is not None else (),
        seeds=tuple(
            SeedFigures(s, {name: float(f(c)) for name, f in MEASURES.items()})
            for s, c in zip(seeds, total, strict=True)
        ),
        ece=float(np.mean([calibration.ece(p.confidence[m], right[m]) for m in of_seed]))
        if p.has_probs
        else None,
        reliability=calibration.reliability(p.confidence, right) if p.has_probs else (),
        notices=(*notices, *_notices(p, measures, baseline, classes, guesses)),
        without_audio=guesses,
        optimistic=", ".join(p.optimistic),
    )


def _complete_seeds(p: Predictions) -> tuple[Predictions, list[str]]:
    n = len(set(p.ids))
    counts = {s: p.seeds.count(s) for s in p.distinct_seeds}
    complete = [s for s, count in counts.items() if count == n]
    if not complete:
        raise CorpusError(
            "seeds_differ",
            f"no seed predicts all {n} utterances; the fullest has {max(counts.values())}",
            hint="seeds are repetitions of the whole experiment; drop the column seed if yours are not",
        )
    if len(complete) == len(counts):
        return p, []
    notices = [f"seed {s} is left out: it has {c} of {n} utterances" for s, c in counts.items() if c < n]
    return p.select(np.isin(p.seeds, complete)), notices


def _by_group(p: Predictions, groups: npt.NDArray[np.int64], n_groups: int) -> npt.NDArray[np.int64]:
    """Confusions (S, G, K, K) of each seed and group."""
    matrices = []
    for seed in p.distinct_seeds:
        rows = np.array(p.seeds, dtype=np.int64) == seed
        matrices.append(
            metrics.grouped_confusions(
                p.truth[rows], p.predicted[rows], groups[rows], len(p.labels), n_groups
            )
        )
    return np.stack(matrices)


def _figures(p: Predictions, names: Iterable[str]) -> tuple[GroupFigures, ...]:
    """The figures of each distinct name, sorted by name."""
    keys = list(names)
    index = {name: i for i, name in enumerate(sorted(set(keys)))}
    by_group = _by_group(p, np.array([index[k] for k in keys], dtype=np.int64), len(index))
    speakers: dict[str, set[str]] = {name: set() for name in index}
    ids: dict[str, set[str]] = {name: set() for name in index}
    for key, speaker, utterance in zip(keys, p.speakers, p.ids, strict=True):
        speakers[key].add(speaker)
        ids[key].add(utterance)
    ua, wa = _mean(metrics.ua(by_group)), _mean(metrics.wa(by_group))  # (G,)
    return tuple(
        GroupFigures(name, len(ids[name]), len(speakers[name] - {""}), float(ua[i]), float(wa[i]))
        for name, i in index.items()
    )


def _groups(
    p: Predictions, groups: Mapping[str, str], n_bootstrap: int, seed: int
) -> tuple[GroupFigures, ...]:
    """The figures of each group, with an interval over its own speakers."""
    missing = [i for i in p.ids if i not in groups]
    if missing:
        raise CorpusError(
            "no_group", f"{len(missing)} predictions have no group, the first is {missing[0]!r}"
        )
    names = [groups[i] or "(none)" for i in p.ids]
    figures = []
    for group in _figures(p, names):
        part = p.select(np.array(names) == group.name)
        clusters, keys, kind = cluster(part.speakers, part.ids)
        by_cluster = _by_group(part, clusters, len(keys))
        ua = interval(by_cluster, metrics.ua, clusters=kind, n_bootstrap=n_bootstrap, seed=seed)
        figures.append(replace(group, interval=ua))
    return tuple(figures)


def _mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean over seeds (axis 0) of what is defined; NaN where nothing is."""
    known = ~np.isnan(values)
    n = known.sum(axis=0)
    return np.where(n > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan)


def _notices(
    p: Predictions,
    measures: Mapping[str, Interval],
    baseline: Baseline,
    classes: Iterable[ClassFigures],
    guesses: Iterable[Guess],
) -> list[str]:
    notices = []
    ua = measures["UA"]
    if not p.has_speakers:
        notices.append(
            "speakers are unknown: intervals resample utterances and are too narrow for new speakers"
        )
    elif ua.clusters == "utterances":
        notices.append("one speaker only: intervals resample utterances and say nothing about other speakers")
    elif not ua.reliable:
        notices.append(
            f"{ua.n_clusters} speakers are fewer than {FEW_SPEAKERS}: the intervals are not reliable"
        )
    for c in classes:
        if c.n == 0:
            notices.append(f"no utterance is truly {c.label}: UA and macro-F1 say nothing about it")
        elif math.isnan(c.precision):
            notices.append(f"{c.label} was never predicted")
    if ua.low <= baseline.measures["UA"]:
        notices.append(f"not shown to beat always answering {baseline.label!r}")
    equals = [g for g in guesses if g.name != MAJORITY and ua.low <= g.measures["UA"]]
    if equals:
        names = ", ".join(f"{g.name} ({100 * g.measures['UA']:.1f})" for g in equals)
        notices.append(f"not shown to beat what needs no audio, UA by {names}")
    return notices


def _json(value: object) -> object:
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict):
        return {key: _json(v) for key, v in value.items()}
    return [_json(v) for v in value] if isinstance(value, (list, tuple)) else value
