"""Charts for `html_page` as inline SVG in the page's own colours: intervals, reliability, training curves.

Each fits a phone (at most 360 pixels), so that two stand side by side on a larger screen and their letters keep
their size everywhere. What is drawn side by side shares its scale: `domain` finds it. The same values give the same
markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voxaffect.calibration import ReliabilityBin
from voxaffect.html_page import Content, Html, element

WIDTH = 360
CHARACTER = 7.7
"""No less than the mean width of a character of the charts' 12-pixel type, in pixels."""
MARKS = ("dot", "ring", "diamond")


@dataclass(frozen=True)
class Dot:
    """A row of a dot chart: `value` in percent (NaN: nothing to draw) with its interval, if there is one.

    `colour` is one of the page's: c1, c2, c3, c4 or mute. `apart` leaves a gap above. Raises ValueError for an unknown
    mark.
    """

    label: str
    value: float
    interval: tuple[float, float] | None = None
    mark: str = "dot"
    colour: str = "c1"
    strong: bool = False
    apart: bool = False

    def __post_init__(self) -> None:
        if self.mark not in MARKS:
            raise ValueError(f"unknown mark {self.mark!r}; expected one of {list(MARKS)}")


@dataclass(frozen=True)
class Band:
    """A range of the axis, in percent, with what it stands for."""

    low: float
    high: float
    label: str


def domain(values: Iterable[float], *, least: float = 10.0) -> tuple[float, float]:
    """Round ends, in percent, that hold all finite `values`, at least `least` apart and within 0 to 100.

    >>> domain([61.5, 64.7]), domain([])
    ((58.0, 70.0), (0.0, 100.0))
    """
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return 0.0, 100.0
    low, high = min(finite), max(finite)
    room = max(least - (high - low), 0.04 * (high - low)) / 2
    step = 2.0 if high - low < 20 else 5.0
    return max(0.0, step * math.floor((low - room) / step)), min(
        100.0, step * math.ceil((high + room) / step)
    )


def ticks(low: float, high: float) -> list[float]:
    """Three to six round positions from `low` to `high`.

    >>> ticks(58, 68), ticks(0, 100)
    ([58.0, 60.0, 62.0, 64.0, 66.0, 68.0], [0.0, 20.0, 40.0, 60.0, 80.0, 100.0])
    """
    span = high - low
    magnitude = 10.0 ** math.floor(math.log10(span)) / 10
    step = next(s * magnitude for s in (1, 2, 5, 10, 20, 50, 100) if span / (s * magnitude) <= 5.5)
    first = math.ceil(low / step - 1e-9)
    return [round(step * i, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def dot_chart(
    rows: Sequence[Dot],
    axis: str,
    limits: tuple[float, float],
    alt: str,
    *,
    line: tuple[float, str] | None = None,
    band: Band | None = None,
) -> Html:
    """One row for each value: its name, its dot with its interval on a common axis, its figure.

    `line` is a value to compare with, `band` a range; both are labelled above. Raises ValueError if there is no row.
    """
    if not rows:
        raise ValueError("there are no rows to draw")
    low, high = limits
    longest = max(len(row.label) for row in rows)
    left = min(150.0, CHARACTER * longest + 14)
    right = WIDTH - 46.0
    top = 8.0 + 15 * (band is not None) + 15 * (line is not None)

    def x(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (right - left)

    heights = [20.0 + 8 * row.apart for row in rows]
    bottom = top + sum(heights) + 4
    parts: list[Content] = []
    y = 12.0
    if band:
        a, b = x(band.low), x(band.high)
        parts.append(_rect(a, y + 4, b - a, bottom - y - 4, "f-faint"))
        parts.append(_label(band.label, (a + b) / 2, y, left, "small soft"))
        y += 15
    for value in ticks(low, high):
        parts.append(_stroke(x(value), top - 2, x(value), bottom, "s-line", 0.75))
        parts.append(_text(x(value), bottom + 14, f"{value:g}", "mid small soft"))
    if line:
        parts.append(_stroke(x(line[0]), y + 4, x(line[0]), bottom, "s-soft", 1, dash="3 3"))
        parts.append(_label(line[1], x(line[0]), y, left, "small soft"))
    parts.append(_text((left + right) / 2, bottom + 29, axis, "mid small soft"))
    y = top
    for row, height in zip(rows, heights, strict=True):
        middle = y + height - 10
        y += height
        weight = "b" if row.strong else ""
        parts.append(
            _text(left - 10, middle + 4, _short(row.label, left - 8), f"end {weight}", full=row.label)
        )
        if math.isnan(row.value):
            parts.append(_text(WIDTH, middle + 4, "–", "end soft"))
            continue
        if row.interval:
            ends = x(row.interval[0]), x(row.interval[1])
            parts.append(
                _stroke(ends[0], middle, ends[1], middle, f"s-{row.colour}", 2 if row.strong else 1.5)
            )
        parts.append(_mark(row.mark, x(row.value), middle, row.colour))
        parts.append(_text(WIDTH, middle + 4, f"{row.value:.1f}", f"end {weight}"))
    return _svg(WIDTH, bottom + 34, alt, parts)


def reliability_chart(bins: Sequence[ReliabilityBin], alt: str) -> Html:
    """How often predictions of each confidence are right, with 95 % intervals, on the diagonal where both agree;
    below, how many there are.

    The intervals are Wilson's (JASA 22, 1927), of utterances taken as independent. Raises ValueError without a bin.
    """
    if not bins:
        raise ValueError("there are no predictions to draw")
    left, top, side, below = 56.0, 8.0, 250.0, 56.0
    floor = top + side + 12 + below
    most = max(b.n for b in bins)

    def x(share: float) -> float:
        return left + share * side

    def y(share: float) -> float:
        return top + (1 - share) * side

    parts: list[Content] = []
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        parts.append(_stroke(x(0), y(tick), x(1), y(tick), "s-line", 0.75))
        parts.append(_stroke(x(tick), top, x(tick), top + side, "s-line", 0.75))
        parts.append(_text(left - 7, y(tick) + 4, f"{100 * tick:.0f}", "end small soft"))
        parts.append(_text(x(tick), floor + 15, f"{100 * tick:.0f}", "mid small soft"))
    parts.append(_stroke(x(0), y(0), x(1), y(1), "s-soft", 1, dash="4 3"))
    parts.append(_text(x(0.04), y(0.94), "underconfident", "small soft"))
    parts.append(_text(x(0.97), y(0.04), "overconfident", "end small soft"))
    for b in bins:
        low, high = wilson(b.accuracy * b.n, b.n)
        parts.append(_stroke(x(b.confidence), y(low), x(b.confidence), y(high), "s-c1", 1.25))
        height = below * b.n / most
        parts.append(_rect(x(b.low) + 0.75, floor - height, side * (b.high - b.low) - 1.5, height, "f-mute"))
        parts.append(_mark("dot", x(b.confidence), y(b.accuracy), "c1"))
    parts.append(_stroke(x(0), floor, x(1), floor, "s-soft", 0.75))
    parts.append(_text(left - 7, floor - below + 9, f"{most}", "end small soft"))
    parts.append(_text(left - 7, floor + 1, "0", "end small soft"))
    parts.append(_text(x(0.5), floor + 31, "confidence, %", "mid small soft"))
    parts.append(_turned(11, top + side / 2, "share right, %"))
    parts.append(_turned(11, floor - below / 2, "number"))
    return _svg(left + side + 12, floor + 36, alt, parts)


def wilson(n_right: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `n`.

    >>> tuple(round(x, 3) for x in wilson(8, 10))
    (0.49, 0.943)
    """
    z = 1.959964
    share, spread = n_right / n, z * z / n
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)


def training_charts(rows: Sequence[Mapping[str, Any]]) -> Html:
    """A small panel for each fold: loss above, dev UA below, a line for each seed, a dot where dev UA is best first.

    Each row has `fold`, `epoch`, `train_loss`, `dev_loss`, and `seed` where there are several; all panels share their
    scales. `dev_ua` is left out where a model learned from a teacher alone: the dot is then at the lowest dev loss.
    Raises ValueError if there are no rows.
    """
    if not rows:
        raise ValueError("there are no epochs to draw")
    losses = [r[k] for r in rows for k in ("train_loss", "dev_loss") if math.isfinite(r[k])]
    scale = max((float(r["epoch"]) for r in rows), default=1.0), max(losses, default=1.0)
    folds = dict.fromkeys(str(r["fold"]) for r in rows)
    panels = [_training_panel(fold, [r for r in rows if str(r["fold"]) == fold], scale) for fold in folds]
    judged = all("dev_ua" in r for r in rows)
    key = [
        ("s-mute", "training loss", "4 2"),
        ("s-c2", f"dev loss{'' if judged else ', dot: best epoch'}", ""),
    ]
    if judged:
        key.append(("s-c1", "dev UA, dot: best epoch", ""))
    legend: list[Content] = []
    at = 0.0
    for style, words, dash in key:
        legend += [_stroke(at, 9, at + 20, 9, style, 2, dash=dash), _text(at + 25, 13, words, "small")]
        at += 38 + 6.2 * len(words)
    return element("div", _svg(at, 20, "Legend", legend), element("div", *panels, class_="panels"))


def _training_panel(fold: str, rows: Sequence[Mapping[str, Any]], scale: tuple[float, float]) -> Html:
    last, most = scale
    left, right, top, height, gap = 30.0, 206.0, 20.0, 74.0, 12.0
    judged = all("dev_ua" in r for r in rows)
    middle = top + height
    floor = middle + height + gap if judged else middle

    def x(epoch: float) -> float:
        return left + (epoch - 1) / max(last - 1, 1) * (right - left)

    def loss(value: float) -> float:
        return middle - min(value / most, 1.0) * height

    def share(value: float) -> float:
        return floor - value * height

    parts: list[Content] = [_text(left, 11, _short(fold, right - left), "small b", full=fold)]
    for value in (0.0, most):
        parts.append(_stroke(left, loss(value), right, loss(value), "s-line", 0.75))
        parts.append(_text(left - 5, loss(value) + 4, f"{value:.2g}", "end small soft"))
    for value in (0.0, 0.5, 1.0) if judged else ():
        parts.append(_stroke(left, share(value), right, share(value), "s-line", 0.75))
        parts.append(_text(left - 5, share(value) + 4, f"{100 * value:.0f}", "end small soft"))
    seeds = list(dict.fromkeys(r.get("seed") for r in rows))
    for seed in seeds:
        curve = sorted((r for r in rows if r.get("seed") == seed), key=lambda r: r["epoch"])
        for name, style, dash in (("train_loss", "s-mute", "4 2"), ("dev_loss", "s-c2", "")):
            known = [(x(r["epoch"]), loss(r[name])) for r in curve if math.isfinite(r[name])]
            parts.append(_path(known, style, dash))
        if not judged:
            best = min(curve, key=lambda r: r["dev_loss"])
            parts.append(_mark("dot", x(best["epoch"]), loss(best["dev_loss"]), "c2", size=3))
            continue
        parts.append(_path([(x(r["epoch"]), share(r["dev_ua"])) for r in curve], "s-c1", ""))
        best = max(curve, key=lambda r: r["dev_ua"])  # the first of equals, as training picks it
        parts.append(_mark("dot", x(best["epoch"]), share(best["dev_ua"]), "c1", size=3))
    parts.append(_text(left, floor + 14, "1", "mid small soft"))
    parts.append(_text(right, floor + 14, f"{last:g}", "end small soft"))
    parts.append(_text((left + right) / 2, floor + 14, "epoch", "mid small soft"))
    what = "loss and dev UA" if judged else "loss"
    words = f"Training of fold {fold}: {what} over {last:g} epochs, a line for each of {len(seeds)} seeds"
    return _svg(right + 6, floor + 20, words, parts)


def _svg(width: float, height: float, alt: str, parts: Sequence[Content]) -> Html:
    w, h = f"{width:.0f}", f"{height:.0f}"
    return element(
        "svg", *parts, viewBox=f"0 0 {w} {h}", width=w, height=h, role="img", aria_label=alt
    )  # the figures themselves stand in tables, which every reader can read


def _short(text: str, room: float) -> str:
    fits = int(room / CHARACTER)
    return text if len(text) <= fits else text[: max(fits - 1, 1)] + "…"


def _label(text: str, middle: float, y: float, left: float, style: str) -> Html:
    """A label over `middle`, kept within the chart."""
    half = CHARACTER * len(text) / 2
    return _text(min(max(middle, min(half, left)), WIDTH - half), y, text, f"mid {style}")


def _text(x: float, y: float, words: str, style: str, *, full: str = "") -> Html:
    title = [element("title", full)] if full and full != words else []
    return element("text", *title, words, x=f"{x:.1f}", y=f"{y:.1f}", class_=style.strip())


def _turned(x: float, y: float, words: str) -> Html:
    return element(
        "text", words, transform=f"translate({x:.1f} {y:.1f}) rotate(-90)", class_="mid small soft"
    )


def _stroke(x1: float, y1: float, x2: float, y2: float, style: str, width: float, *, dash: str = "") -> Html:
    return _path([(x1, y1), (x2, y2)], style, dash, width)


def _path(points: Sequence[tuple[float, float]], style: str, dash: str, width: float = 1.5) -> Html:
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dashes = {"stroke_dasharray": dash} if dash else {}
    return element("path", d=f"M{steps}" if steps else "", class_=style, stroke_width=f"{width:g}", **dashes)


def _rect(x: float, y: float, width: float, height: float, style: str) -> Html:
    w, h = f"{max(width, 0):.1f}", f"{max(height, 0):.1f}"
    return element("rect", x=f"{x:.1f}", y=f"{y:.1f}", width=w, height=h, class_=style)


def _mark(mark: str, x: float, y: float, colour: str, size: float = 4.0) -> Html:
    if mark == "diamond":
        r = size + 1.5
        d = f"M{x - r:.1f} {y:.1f}L{x:.1f} {y - r:.1f}L{x + r:.1f} {y:.1f}L{x:.1f} {y + r:.1f}Z"
        return element("path", d=d, class_=f"f-{colour}")
    if mark == "ring":
        return element(
            "circle",
            cx=f"{x:.1f}",
            cy=f"{y:.1f}",
            r=f"{size:g}",
            class_=f"f-ground s-{colour}",
            stroke_width="1.75",
        )
    return element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=f"{size:g}", class_=f"f-{colour}")
