"""A picture of one answer over time: waveform, coloured strip and probabilities by channel. Needs the extra `plot`.

A picture has a fixed number of columns, whatever the length. A column of the strip shows what holds most of its time in
the track (`voxaffect.track`), silence included; the probabilities in it are the mean of the windows around it, each
weighted by how near its centre is. Of a long recording, whose windows would be too narrow to be seen, the strip and the
probabilities have fewer, wider columns.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from voxaffect.audio_input import printable
from voxaffect.columns import Key, column_keys, column_probabilities
from voxaffect.envelope import Envelope, read_envelope
from voxaffect.html_style import luminance
from voxaffect.plots import check_format, empty_figure, save
from voxaffect.track import Track, tracks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from voxaffect.audio import AudioInput
    from voxaffect.result import Result, Segment

N_COLUMNS = 1600
N_WIDE = 400
"""Columns of the strip and the probabilities where there are more windows than these: four pixels each."""
WIDTH = 11.0
"""Inches."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.68, 0.34, 0.9, 0.3
_HEAD, _GAP = 0.3, 0.22
"""Over a channel, and below it."""
_MANY, _SMALLER = 4, 0.55
"""With more channels than these, waveforms and probabilities are so much lower."""
_COLOURS = {
    "angry": "#D55E00",
    "happy": "#E69F00",
    "neutral": "#8C96A0",
    "sad": "#0072B2",
    "calm": "#56B4E9",
    "fearful": "#CC79A7",
    "disgust": "#009E73",
    "surprised": "#F0E442",
}
"""Okabe and Ito's palette, which colour-blind readers can tell apart, with a grey for neutral."""
_OTHERS = ("#F0E442", "#CC79A7", "#009E73", "#56B4E9", "#E69F00", "#0072B2", "#D55E00", "#5B4A8A", "#7A5230")
_INK, _SOFT, _LINE, _SILENT, _GROUND = "#1B1F24", "#59636E", "#D5DAE0", "#C3CAD2", "#F4F6F8"
_STEPS = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14_400,
    28_800,
    86_400,
)
_REASONS = {"no_speech": "no speech", "too_short": "too short to be judged", "low_confidence": "unsure"}


def plot(
    result: Result, path: str | os.PathLike[str], *, audio: AudioInput | None = None, start: float = 0.0
) -> None:
    """Draw `result` into a PNG, PDF or SVG; its waveform is read from `audio`, by default the file that was judged.

    `start` is where the judged stretch begins, in seconds. There is no waveform where neither is known.

    Raises VoxaffectError: that of a failed result; AudioError if the recording cannot be read; UsageError `plot_format`
    or `missing_dependency`; ResourceError `disk_full` or `cannot_write`.
    """
    check_format(path)
    result.raise_for_error()
    audio = result.path if audio is None else audio
    envelope = None
    if audio is not None and result.source is not None and result.source.duration > 0:
        channels = result.settings.channels if result.settings else "mix"
        end = start + result.source.duration
        envelope = read_envelope(audio, start, end, channels=channels, n_columns=N_COLUMNS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a name may be in any script
        save(timeline_figure(result, envelope, start=start), path)


def timeline_figure(result: Result, envelope: Envelope | None = None, *, start: float = 0.0) -> Figure:
    """The picture of `result`, with the waveform if there is an `envelope` of the channels that were judged.

    Raises VoxaffectError if the result is a failure, UsageError `missing_dependency` without matplotlib.
    """
    result.raise_for_error()
    all_tracks = tracks(result)
    scale = _SMALLER if len(all_tracks) > _MANY else 1.0
    rows = {"waveform": 0.85 * scale, "strip": 0.26, "probabilities": 0.95 * scale}
    if envelope is None:
        del rows["waveform"]
    head = _HEAD if any(track.name for track in all_tracks) else 0.0
    height = _TOP + len(all_tracks) * (head + sum(rows.values()) + _GAP) + _BOTTOM
    figure = empty_figure(WIDTH, height, None)
    limits = _limits(result, start)
    hop = result.settings.hop if result.settings else 1.0
    n_columns = N_COLUMNS if limits[1] - limits[0] <= N_WIDE * hop else N_WIDE
    edges = np.linspace(*limits, n_columns + 1)
    labels = result.model.labels if result.model else tuple(result.probs)
    colours = label_colours(labels)
    peak = float(max(envelope.high.max(), -envelope.low.min())) if envelope else 0.0
    y = height - _TOP
    axis = None
    for track in all_tracks:
        y -= head
        _head(figure, result, track, (y + 0.04) / height)
        keys = column_keys(track.pieces, edges)
        for kind, tall in rows.items():
            y -= tall
            place = (_LEFT / WIDTH, (y + 0.04) / height, 1 - (_LEFT + _RIGHT) / WIDTH, (tall - 0.04) / height)
            axis = figure.add_axes(place, xlim=limits)
            _bare(axis)
            if kind == "waveform" and envelope is not None:
                which = track.channel if len(envelope.low) > 1 else 0
                _draw_waveform(axis, envelope, which, peak, keys, edges, colours)
            elif kind == "strip":
                _draw_strip(axis, keys, edges, colours)
            elif kind == "probabilities":
                segments = (s for s in result.segments if s.channel == track.channel)
                _draw_probabilities(axis, segments, labels, edges, colours)
        y -= _GAP
    if axis is not None:
        _draw_clock(axis, *limits)
    _draw_title(figure, result, limits, height)
    _draw_legend(figure, colours, height)
    return figure


def label_colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each label: an emotion's own, for others those that are left, for too many some twice.

    >>> label_colours(["sad", "smug"])
    {'sad': '#0072B2', 'smug': '#F0E442'}
    """
    colours = {label: _COLOURS[label] for label in labels if label in _COLOURS}
    for label in labels:
        if label not in colours:
            free = [colour for colour in _OTHERS if colour not in colours.values()] or list(_OTHERS)
            colours[label] = free[len(colours) % len(free) if len(colours) >= len(_OTHERS) else 0]
    return {label: colours[label] for label in labels}


def _limits(result: Result, start: float) -> tuple[float, float]:
    duration = result.source.duration if result.source else 0.0
    begins = [start, *(s.start for s in result.segments)]
    ends = [start + duration, *(s.end for s in result.segments)]
    return max(0.0, min(begins)), max(*ends, min(begins) + 0.01)


def _draw_waveform(
    axis: Axes,
    envelope: Envelope,
    channel: int,
    peak: float,
    keys: Sequence[Key],
    edges: NDArray[np.float64],
    colours: dict[str, str],
) -> None:
    borders = np.linspace(envelope.start, envelope.end, envelope.low.shape[1] + 1)
    columns = np.searchsorted(edges, (borders[:-1] + borders[1:]) / 2) - 1
    own = [keys[column] for column in np.clip(columns, 0, len(keys) - 1)]
    thin = 0.006 * (peak or 1.0)  # a line, not nothing, where all is still
    low, high = np.minimum(envelope.low[channel], -thin), np.maximum(envelope.high[channel], thin)
    for key in dict.fromkeys(own):
        here = np.where([k == key for k in own], high, np.nan)
        colour = _SILENT if key is None else _paler(colours.get(key[0], _SOFT), key[1])
        axis.stairs(here, borders, baseline=low, fill=True, color=colour, linewidth=0)
    axis.set_ylim(-1.05 * (peak or 1.0), 1.05 * (peak or 1.0))


def _draw_strip(axis: Axes, keys: Sequence[Key], edges: NDArray[np.float64], colours: dict[str, str]) -> None:
    axis.set_ylim(0, 1)
    axis.set_facecolor(_GROUND)
    points = (WIDTH - _LEFT - _RIGHT) * 72 / (edges[-1] - edges[0])  # for a second
    at = 0
    for key, run in groupby(keys):
        begin, at = at, at + len(list(run))
        if key is None:
            continue
        label, uncertain = key
        colour = colours.get(label, _SOFT)
        span = edges[at] - edges[begin]
        axis.bar(
            edges[begin], 1, span, align="edge", color=_paler(colour, uncertain), linewidth=0,
            hatch="/////" if uncertain else None, edgecolor=colour,
        )  # fmt: skip
        if span * points > 4.6 * len(label) + 4:
            ink = _INK if uncertain or luminance(_rgb(colour)) > 0.22 else "white"
            text = axis.text(
                edges[begin] + span / 2, 0.46, label, ha="center", va="center", fontsize=8.5, color=ink,
                parse_math=False, clip_on=True,
            )  # fmt: skip
            if uncertain:
                text.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.2})


def _draw_probabilities(
    axis: Axes,
    segments: Iterable[Segment],
    labels: Sequence[str],
    edges: NDArray[np.float64],
    colours: dict[str, str],
) -> None:
    shares = column_probabilities(segments, labels, edges)
    tops = np.vstack([np.zeros((1, len(edges) - 1)), np.cumsum(shares, axis=0)])  # (K + 1, W)
    for k, label in enumerate(labels):
        axis.stairs(
            tops[k + 1], edges, baseline=tops[k], fill=True, color=colours[label], linewidth=0, alpha=0.85
        )
    axis.set_ylim(0, 1)
    axis.set_facecolor(_GROUND)
    axis.set_yticks([0, 0.5, 1], ["0", "50", "100 %"], fontsize=7.5, color=_SOFT)
    axis.set_ylabel("probability", fontsize=7.5, color=_SOFT, labelpad=2)
    axis.grid(axis="y", color="white", linewidth=0.6, alpha=0.8)


def _draw_clock(axis: Axes, begin: float, end: float) -> None:
    """Round times below the lowest axis, no more than twelve."""
    step = next((s for s in _STEPS if (end - begin) / s <= 12), _STEPS[-1])
    ticks = [step * i for i in range(math.ceil(begin / step - 1e-9), math.floor(end / step + 1e-9) + 1)]
    axis.set_xticks(ticks, [_clock(t, step, end) for t in ticks], fontsize=8.5, color=_SOFT)
    axis.tick_params(axis="x", bottom=True, labelbottom=True, length=3, color=_SOFT)


def _draw_title(figure: Figure, result: Result, limits: tuple[float, float], height: float) -> None:
    y = 1 - 0.3 / height
    name = printable(os.path.basename(result.id) or result.id)  # noqa: PTH119  (Path drops a final dot)
    if len(name) > 70:
        name = f"{name[:40]}…{name[-28:]}"
    figure.text(
        _LEFT / WIDTH, y, name, fontsize=12.5, fontweight="bold", color=_INK, va="center", parse_math=False
    )
    words = [_answer(result.label, result.score, result.reason) + " (uncertain)" * result.uncertain]
    words.append(_clock(limits[1] - limits[0], 1 if limits[1] - limits[0] >= 60 else 0.1, limits[1]))
    if result.model:
        words.append(f"{printable(result.model.name)} {printable(result.model.version)}")
    figure.text(
        1 - _RIGHT / WIDTH, y, "  ·  ".join(words), fontsize=9.5, color=_SOFT, ha="right", va="center",
        parse_math=False,
    )  # fmt: skip


def _head(figure: Figure, result: Result, track: Track, y: float) -> None:
    """Who it is, and how the channel sounds as a whole."""
    summary = next((s for s in result.summary if s.channel == track.channel), None)
    if not track.name:
        return
    words = printable(track.name)
    if summary is not None:
        words += f"   {_answer(summary.label, summary.score, None)}"
    figure.text(_LEFT / WIDTH, y, words, fontsize=9.5, color=_INK, va="bottom", parse_math=False)


def _draw_legend(figure: Figure, colours: dict[str, str], height: float) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=colour, label=label) for label, colour in colours.items()]
    handles.append(Patch(facecolor=_paler(_SOFT, True), edgecolor=_SOFT, hatch="/////", label="uncertain"))
    handles.append(Patch(facecolor=_GROUND, edgecolor=_LINE, label="nothing heard"))
    legend = figure.legend(
        handles=handles, loc="center left", bbox_to_anchor=(_LEFT / WIDTH, 1 - 0.68 / height), ncols=len(handles),
        frameon=False, fontsize=8.5, borderaxespad=0, borderpad=0, handlelength=1.3, columnspacing=1.4,
        labelcolor=_INK,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)


def _bare(axis: Axes) -> None:
    axis.tick_params(bottom=False, left=False, labelbottom=False, labelleft=True)
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def _answer(label: str | None, score: float | None, reason: str | None) -> str:
    if label is None:
        return _REASONS.get(reason or "no_speech", str(reason))
    return printable(label) if score is None else f"{printable(label)} {score:.0%}"


def _paler(colour: str, uncertain: bool) -> str:
    if not uncertain:
        return colour
    red, green, blue = (round(c + (255 - c) * 0.52) for c in _rgb(colour))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _clock(seconds: float, step: float, longest: float) -> str:
    """`seconds` as tenths, m:ss or h:mm:ss, by what the steps and the longest need."""
    if longest < 60:
        return f"{seconds:.1f} s" if step < 1 else f"{seconds:g} s"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(round(minutes), 60)
    tail = f"{rest:04.1f}" if step < 1 else f"{round(rest):02}"
    return f"{hours}:{minutes:02}:{tail}" if longest >= 3600 else f"{60 * hours + minutes}:{tail}"
