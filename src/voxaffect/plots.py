"""Pictures of an evaluation: confusion matrices, training curves, reliability. Needs the extra `plot`."""

from __future__ import annotations

import io
import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from voxaffect.calibration import ReliabilityBin
from voxaffect.errors import UsageError, missing_extra
from voxaffect.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".pdf", ".png", ".svg")
TRAIN, DEV, MARK, INK = "#8a9bb5", "#c2571a", "#1c4f82", "#333333"


def confusion_figure(panels: Sequence[tuple[str, npt.ArrayLike]], labels: Sequence[str]) -> Figure:
    """Confusion matrices side by side, each a (title, (K, K) counts): row percent and colour, counts in small
    print.

    Raises ValueError if there is no panel or a matrix is not (K, K).
    """
    matrices = [(title, np.asarray(matrix, dtype=np.float64)) for title, matrix in panels]
    K = len(labels)
    if not matrices or any(m.shape != (K, K) for _, m in matrices):
        raise ValueError(
            f"expected one or more matrices of shape {(K, K)}, got {[m.shape for _, m in matrices]}"
        )
    n_columns = min(len(matrices), 4)
    n_rows = math.ceil(len(matrices) / n_columns)
    side = 1.6 + 0.72 * K
    figure = empty_figure(
        side * n_columns + 0.2, side * n_rows, "compressed"
    )  # squares; "constrained" cuts titles off
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axis in axes[len(matrices) :]:
        axis.set_visible(False)
    for axis, (title, matrix) in zip(axes, matrices, strict=False):
        rows = matrix.sum(axis=1, keepdims=True)
        percent = 100 * np.divide(matrix, rows, out=np.zeros_like(matrix), where=rows > 0)
        axis.imshow(percent, cmap="Blues", vmin=0, vmax=100)
        for i in range(K):
            for j in range(K):
                colour = "white" if percent[i, j] > 55 else INK
                axis.text(
                    j, i - 0.08, f"{percent[i, j]:.0f}", ha="center", va="center", color=colour, fontsize=11
                )
                count = f"{matrix[i, j]:.0f}" if float(matrix[i, j]).is_integer() else f"{matrix[i, j]:.1f}"
                axis.text(j, i + 0.26, count, ha="center", va="center", color=colour, fontsize=6.5)
        axis.set_xticks(range(K), labels, rotation=45 if K > 4 else 0, ha="right" if K > 4 else "center")
        axis.set_yticks(range(K), labels)
        axis.set_xlabel("heard as")
        axis.set_ylabel("truth")
        axis.tick_params(length=0)
        for spine in axis.spines.values():
            spine.set_visible(False)
        axis.set_title(textwrap.fill(title, round(9 * side)), fontsize=11)
    return figure


def training_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Curves of a run's `metrics.jsonl`: one panel per fold, train and dev loss, dev UA; the best epoch of
    each seed marked.

    Each row has `fold`, `epoch`, `train_loss`, `dev_loss`, and `seed` where there are several; `dev_ua` unless the
    model learned from a teacher alone, whose best epoch is that of the lowest dev loss.
    Raises ValueError if there are no rows or one lacks a key.
    """
    if not rows:
        raise ValueError("there are no epochs to draw")
    for row in rows:
        if missing := {"fold", "epoch", "train_loss", "dev_loss"} - row.keys():
            raise ValueError(f"an epoch lacks {sorted(missing)}")
    folds = list(dict.fromkeys(row["fold"] for row in rows))
    n_columns = min(len(folds), 4)
    n_rows = math.ceil(len(folds) / n_columns)
    figure = empty_figure(max(5.4, 3.1 * n_columns + 0.8), max(3.4, 2.3 * n_rows + 0.5))
    axes = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True).ravel()
    judged = all("dev_ua" in row for row in rows)
    rights = [axis.twinx() if judged else None for axis in axes[: len(folds)]]
    for axis in axes[len(folds) :]:
        axis.set_visible(False)
    losses = [row[name] for row in rows for name in ("train_loss", "dev_loss")]
    top = max((x for x in losses if math.isfinite(x)), default=1.0)
    for k, (fold, axis, right) in enumerate(zip(folds, axes, rights, strict=False)):
        of_fold = [row for row in rows if row["fold"] == fold]
        for seed in dict.fromkeys(row.get("seed") for row in of_fold):
            curve = sorted((r for r in of_fold if r.get("seed") == seed), key=lambda r: r["epoch"])
            epochs = [r["epoch"] for r in curve]
            axis.plot(epochs, [r["train_loss"] for r in curve], color=TRAIN, linewidth=1, alpha=0.8)
            axis.plot(epochs, [r["dev_loss"] for r in curve], color=DEV, linewidth=1, alpha=0.8)
            if right is None:
                best = min(curve, key=lambda r: r["dev_loss"])
                axis.plot([best["epoch"]], [best["dev_loss"]], "o", color=DEV, markersize=4.5)
                continue
            right.plot(epochs, [100 * r["dev_ua"] for r in curve], color=MARK, linewidth=1.3, alpha=0.8)
            best = max(curve, key=lambda r: r["dev_ua"])  # the first of equals, as training picks it
            right.plot([best["epoch"]], [100 * best["dev_ua"]], "o", color=MARK, markersize=4.5)
        axis.set_ylim(0, 1.05 * top)
        axis.set_title(str(fold), fontsize=9)
        if k + n_columns >= len(folds):
            axis.tick_params(labelbottom=True)
            axis.set_xlabel("epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
        if k % n_columns == 0:
            axis.set_ylabel("loss")
        last = right is not None and k % n_columns == n_columns - 1
        if right is not None:
            right.set_ylim(0, 100)
            right.tick_params(labelright=last, right=last)
            if last:
                right.set_ylabel("dev UA, %", color=MARK)
        for spines in (a.spines for a in (axis, right) if a is not None):
            spines["top"].set_visible(False)
            spines["right"].set_visible(last)
    handles = [_line(TRAIN, "train loss")]
    if judged:
        handles += [_line(DEV, "dev loss"), _line(MARK, "dev UA, dot: best epoch", "o")]
    else:
        handles.append(_line(DEV, "dev loss, dot: best epoch", "o"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def reliability_figure(bins: Sequence[ReliabilityBin], ece: float) -> Figure:
    """How often predictions of each confidence are right, against the diagonal where both agree; below, how
    many.

    Raises ValueError if there is no bin.
    """
    if not bins:
        raise ValueError("there are no predictions to draw")
    figure = empty_figure(4.2, 5.0)
    axis, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axis.plot([0, 1], [0, 1], color=TRAIN, linewidth=1, linestyle="--", label="confidence = accuracy")
    sure, right = [b.confidence for b in bins], [b.accuracy for b in bins]
    axis.vlines(sure, sure, right, color=DEV, linewidth=2, alpha=0.45, label="gap")
    axis.plot(
        sure,
        right,
        "o-",
        color=MARK,
        linewidth=1,
        markersize=4.5,
        label=f"predictions, ECE {100 * ece:.1f} %",
    )
    axis.set_ylim(-0.02, 1.02)
    axis.set_xlim(0, 1)
    axis.set_ylabel("share right")
    axis.legend(frameon=False, fontsize=9, loc="upper left")
    below.bar(
        [b.low for b in bins], [b.n for b in bins], [b.high - b.low for b in bins], align="edge", color=TRAIN
    )
    below.set_xlabel("confidence")
    below.set_ylabel("number")
    for a in (axis, below):
        a.spines[["top", "right"]].set_visible(False)
    return figure


def certainty_figure(
    curves: Mapping[str, tuple[Sequence[ReliabilityBin], float, Sequence[tuple[float, float]]]],
) -> Figure:
    """How often each confidence is right, and beside it the UA of the surest answers against their share.

    Each curve has its bins, its calibration error and points (coverage, UA). Raises ValueError if there is none.
    """
    if not curves:
        raise ValueError("there are no predictions to draw")
    figure = empty_figure(8.6, 4.4 + 0.22 * len(curves))
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--")
    for k, (name, (bins, ece, points)) in enumerate(curves.items()):
        colour = (MARK, DEV, TRAIN, INK)[k % 4]
        style = "-" if k < 4 else ":"
        label = f"{name}: ECE {100 * ece:.1f} %"
        sizes = [4 + 60 * b.n / sum(b.n for b in bins) for b in bins]
        sure, hits = [b.confidence for b in bins], [b.accuracy for b in bins]
        left.plot(sure, hits, style, color=colour, linewidth=1, label=label)
        left.scatter(sure, hits, s=sizes, color=colour)
        known = [(x, y) for x, y in points if math.isfinite(y)]
        right.plot(
            [100 * x for x, _ in known], [100 * y for _, y in known], style, color=colour, linewidth=1.3
        )
    left.set(xlim=(0, 1), ylim=(-0.02, 1.02), xlabel="confidence (dots: by number)", ylabel="share right")
    right.set(xlim=(100, 20), xlabel="surest answers, % of all", ylabel="UA of these, %")
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=1, frameon=False, fontsize=9)
    return figure


def price_figure(prices: Mapping[str, Mapping[str, tuple[float, float, float]]], title: str = "") -> Figure:
    """A bar for each price and measure: value and interval (low, high) as fractions of 1, drawn as points.

    Raises ValueError if there is no price, or the measures differ.
    """
    measures = list(next(iter(prices.values()), ()))
    if not measures or any(list(of_price) != measures for of_price in prices.values()):
        raise ValueError(
            f"expected the same measures for one or more prices, got {[*map(list, prices.values())]}"
        )
    figure = empty_figure(6.4, 1.2 + 0.32 * len(prices) * len(measures))
    axis = figure.subplots()
    thickness = 0.8 / len(measures)
    for k, (measure, colour) in enumerate(zip(measures, (MARK, TRAIN, DEV), strict=False)):
        values = 100 * np.array([of_price[measure] for of_price in prices.values()])  # (prices, 3)
        places = np.arange(len(values)) + (k - (len(measures) - 1) / 2) * thickness
        spans = np.abs(values[:, 1:] - values[:, :1]).T
        axis.barh(places, values[:, 0], 0.9 * thickness, color=colour, label=measure)
        axis.errorbar(values[:, 0], places, xerr=spans, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
        for place, (value, _, high) in zip(places, values, strict=True):
            axis.annotate(
                f"{value:+.1f}", (max(value, high, 0), place), (4, 0), textcoords="offset points", va="center",
                fontsize=8, color=INK,
            )  # fmt: skip
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.set_yticks(range(len(prices)), list(prices))
    axis.invert_yaxis()
    axis.margins(x=0.15, y=0.01)
    axis.set_xlabel("points, 95 % interval")
    figure.suptitle(
        textwrap.fill(title, 70), fontsize=10
    )  # over the labels too: beside them it would be cut off
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(left=False)
    if len(measures) > 1:
        axis.legend(frameon=False, fontsize=9)
    return figure


def adaptation_figure(curve: Mapping[str, Any]) -> Figure:
    """UA by seconds of enrolled speech, and beside it what is left with one emotion: of `AdaptCurve.to_dict`."""
    points = curve["points"]
    everything, one = curve["all"], curve["one_class"]
    figure = empty_figure(8.6, 4.2)
    axis, stressed = figure.subplots(1, 2, width_ratios=(2.4, 1))
    plain = 100 * points[0]["ua"]
    drawn = [p for p in points if p["seconds"]]
    positions = [0, *range(1, len(drawn) + 2)]
    values = [plain, *(100 * p["ua"] for p in drawn), 100 * everything["ua"]]
    errors = [0.0, *(100 * p["std"] for p in drawn), 0.0]
    axis.axhline(plain, color=TRAIN, linewidth=1, linestyle="--")
    axis.errorbar(positions, values, yerr=errors, color=MARK, marker="o", linewidth=1.5, capsize=3)
    for x, value in zip(positions, values, strict=True):
        axis.annotate(
            f"{value:.1f}", (x, value), (5, 5), textcoords="offset points", color=INK, fontsize=8
        )  # beside the bar of its spread, not on it
    names = ["plain", *(f"{p['seconds']:g} s" for p in drawn), f"all\n({everything['mean_seconds']:.0f} s)"]
    axis.set_xticks(positions, names)
    axis.set_xlim(-0.25, len(drawn) + 1.5)
    axis.set_xlabel("speech enrolled, unlabelled: adapted, transductive")
    axis.set_ylabel("UA, %")
    stress = [plain, 100 * one["judged_on_the_same"], 100 * one["judged_on_all"]]
    stressed.axhline(plain, color=TRAIN, linewidth=1, linestyle="--")
    for x, (value, colour) in enumerate(zip(stress, (TRAIN, DEV, DEV), strict=True)):
        stressed.vlines(x, min(plain, value), max(plain, value), color=colour, linewidth=1.5)
        stressed.plot(x, value, color=colour, marker="o", markersize=8)
        stressed.annotate(
            f"{value:.1f}", (x, value), (7, 4), textcoords="offset points", color=INK, fontsize=8
        )
    stressed.set_xlim(-0.5, 2.7)
    stressed.set_xticks(range(3), ["plain", "judged on\nthe same", "judged on\nall"], fontsize=8)
    stressed.set_xlabel("one emotion enrolled")
    low, high = min(values + stress), max(values + stress)
    for one_axis in (axis, stressed):
        one_axis.set_ylim(max(0.0, low - 5), min(100.0, high + 5))
        one_axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(textwrap.fill(str(curve["title"] or curve["name"]), 90), fontsize=11)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG, the same for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write the figure as PNG, PDF or SVG, by the name's ending.

    Raises UsageError `plot_format` for another ending, ResourceError `disk_full` or `cannot_write`.
    """
    ending = check_format(path)
    with atomic_file(path) as file:
        if ending == ".png":
            file.write(png(figure))
        else:
            figure.savefig(file, format=ending[1:])


def check_format(path: str | os.PathLike[str]) -> str:
    """The ending of a picture's name, in lower case; UsageError `plot_format` for one that is no picture's."""
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        raise UsageError(
            "plot_format",
            f"cannot write a picture as {ending!r}; expected one of {list(FORMATS)}",
            where=os.fspath(path),
        )
    return ending


def empty_figure(
    width: float, height: float, layout: Literal["constrained", "compressed"] | None = "constrained"
) -> Figure:
    """An empty figure that belongs to no window and no global state."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "plot") from None
    return Figure(figsize=(width, height), layout=layout)


def _line(colour: str, label: str, marker: str = "") -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=marker, markersize=4.5, label=label)
