"""Whether confidence can be relied on: calibration error, and what is gained by answering only where sure.

Both with intervals over speakers, averaged over seeds, from predictions alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voxaffect import metrics
from voxaffect.calibration import N_BINS, ReliabilityBin, bin_of, ece, most_confident, reliability, softmax
from voxaffect.predictions import Predictions
from voxaffect.run import RunFolder
from voxaffect.significance import LEVEL, N_BOOTSTRAP, Interval, cluster, paired_difference
from voxaffect.stamps import stamped

SCHEMA = "voxaffect.certainty/1"
COVERAGE = 0.8
"""The share of answers that is kept where the gain is tested: an answer in five is withheld."""
COVERAGES = tuple(round(c, 2) for c in np.arange(1.0, 0.15, -0.05).tolist())
SHOWN = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Coverages that are printed; the curve has more, down to a fifth of the answers: fewer say little."""


@dataclass(frozen=True)
class CoveragePoint:
    """The most confident `coverage` of the answers: UA and WA of these alone, and the confidence that all reach."""

    coverage: float
    ua: float
    wa: float
    confidence: float


@dataclass(frozen=True)
class Certainty:
    """How far the confidence of some predictions can be relied on; fractions of 1, means over seeds.

    `gain` is the UA of the most confident COVERAGE of the answers minus that of all, with its two-sided `p`.
    `calibrated` says whether each fold's temperature, fitted on its dev speakers, was applied before. `optimistic` says
    why the figures are better than honest ones would be.
    """

    ece: Interval
    gain: Interval
    p: float
    curve: tuple[CoveragePoint, ...]
    reliability: tuple[ReliabilityBin, ...]
    calibrated: bool = False
    optimistic: str = ""

    def at(self, coverage: float) -> CoveragePoint:
        """The point of the curve at one of COVERAGES."""
        return next(point for point in self.curve if point.coverage == coverage)

    def to_dict(self) -> dict[str, object]:
        """All fields, ready for JSON, `"schema": "voxaffect.certainty/1"`."""
        curve = [{k: None if math.isnan(v) else v for k, v in asdict(point).items()} for point in self.curve]
        intervals = {"ece": self.ece.to_dict(), "gain": self.gain.to_dict()}
        return {"schema": SCHEMA, **asdict(self), **intervals, "curve": curve}

    def render(self) -> str:
        """The figures as aligned text for a terminal."""
        e, g, kept = self.ece, self.gain, f"{100 * COVERAGE:.0f} %"
        points = [self.at(c) for c in SHOWN]
        after = ", after the temperature of each fold's dev speakers" if self.calibrated else ""
        text = "\n".join(
            [
                f"  {'confidence':22}{'%':>6}  95 % interval{after}",
                f"  {'ECE':22}{100 * e.value:>6.1f}  {100 * e.low:.1f} to {100 * e.high:.1f}",
                f"  {f'UA gained at {kept}':22}{100 * g.value:>+6.1f}  {100 * g.low:+.1f} to {100 * g.high:+.1f}, "
                f"p {self.p:.3f}",
                "",
                f"  {'surest, % of answers':22}" + "".join(f"{100 * p.coverage:>7.0f}" for p in points),
                f"  {'UA':22}" + "".join(f"{100 * p.ua:>7.1f}" for p in points),
                f"  {'WA':22}" + "".join(f"{100 * p.wa:>7.1f}" for p in points),
                f"  {'confidence at least':22}" + "".join(f"{100 * p.confidence:>7.1f}" for p in points),
            ]
        )
        return stamped(text) if self.optimistic else text


def read_temperatures(run: Path) -> dict[str, float]:
    """The temperature of each part of the folder `run`, by the part's name, as its metrics.json keeps them.

    Empty where the run is none of `voxaffect train`'s, or of before temperatures were kept.
    """
    try:
        parts = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["parts"]
        return {name: float(part["temperature"]) for name, part in parts.items() if "temperature" in part}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or another program's
        return {}


def with_temperatures(p: Predictions, temperatures: Mapping[str, float]) -> Predictions | None:
    """`p` with probabilities softmax(log probs / T) of its folds; None where one of them has no temperature."""
    names = [RunFolder(Path()).part(seed, fold).name for seed, fold in zip(p.seeds, p.folds, strict=True)]
    if not p.has_probs or not names or not temperatures.keys() >= set(names):
        return None
    scale = np.array([temperatures[name] for name in names])[:, None]
    return replace(p, probs=softmax(p.log_probs / scale), decisions=p.predicted)


def certainty(
    p: Predictions,
    *,
    temperatures: Mapping[str, float] | None = None,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
) -> Certainty | None:
    """The certainty of `p`, of those of its seeds that answer for all utterances; None without probabilities.

    With the `temperatures` of all its folds, that of the calibrated predictions.

    Which answers are kept is settled before speakers are resampled. Resampling alone raises the calibration error,
    since it sums absolute values: the draws are moved so that their mean is the error itself, and cut off at 0.
    """
    calibrated = with_temperatures(p, temperatures or {})
    p = p if calibrated is None else calibrated
    n_utterances = len(set(p.ids))
    seeds = [s for s in map(p.of_seed, p.distinct_seeds) if len(s) == n_utterances]
    if not p.has_probs or not seeds or not n_utterances:
        return None
    groups, names, kind = zip(*(cluster(s.speakers, s.ids) for s in seeds), strict=True)
    every: list[npt.NDArray[np.int64]] = []
    kept: list[npt.NDArray[np.int64]] = []
    for s, g, n in zip(seeds, groups, names, strict=True):
        mask = most_confident(s.confidence, COVERAGE)
        for matrices, rows in ((every, np.ones(len(s), bool)), (kept, mask)):
            matrices.append(
                metrics.grouped_confusions(s.truth[rows], s.predicted[rows], g[rows], len(p.labels), len(n))
            )
    gain, probability = paired_difference(
        np.stack(every), np.stack(kept), metrics.ua, clusters=kind[0], n_bootstrap=n_bootstrap, seed=seed
    )
    return Certainty(
        ece=_ece_interval(seeds, groups, len(names[0]), kind[0], n_bootstrap, seed),
        gain=gain,
        p=probability,
        curve=tuple(_point(seeds, c) for c in COVERAGES),
        reliability=reliability(p.confidence, p.predicted == p.truth),
        calibrated=calibrated is not None,
        optimistic=", ".join(p.optimistic),
    )


def _point(seeds: list[Predictions], coverage: float) -> CoveragePoint:
    ua, wa, confidence = [], [], []
    for s in seeds:
        kept = most_confident(s.confidence, coverage)
        matrix = metrics.confusion(s.truth[kept], s.predicted[kept], len(s.labels))
        ua.append(float(metrics.ua(matrix)))
        wa.append(float(metrics.wa(matrix)))
        confidence.append(float(s.confidence[kept].min()))
    return CoveragePoint(coverage, *(float(np.mean(values)) for values in (ua, wa, confidence)))


def _ece_interval(
    seeds: list[Predictions],
    groups: tuple[npt.NDArray[np.int64], ...],
    n_groups: int,
    kind: str,
    n_bootstrap: int,
    seed: int,
) -> Interval:
    drawn = np.random.default_rng(seed).multinomial(n_groups, [1 / n_groups] * n_groups, size=n_bootstrap)
    total = np.zeros(n_bootstrap)
    for s, group in zip(seeds, groups, strict=True):
        gaps = _gaps(s, group, n_groups)  # (G, bins)
        counts = np.bincount(group, minlength=n_groups)
        total += np.abs(drawn @ gaps).sum(axis=1) / (drawn @ counts)
    draws = total / len(seeds)
    value = float(np.mean([ece(s.confidence, s.predicted == s.truth) for s in seeds]))
    low, high = np.quantile(draws - draws.mean() + value, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, max(float(low), 0.0), float(high), n_groups, kind)


def _gaps(s: Predictions, group: npt.NDArray[np.int64], n_groups: int) -> npt.NDArray[np.float64]:
    """The sum over each group and bin of being right minus confidence: of all groups, n times the bin's gap."""
    gaps = np.zeros((n_groups, N_BINS))
    np.add.at(gaps, (group, bin_of(s.confidence)), (s.predicted == s.truth) - s.confidence)
    return gaps
