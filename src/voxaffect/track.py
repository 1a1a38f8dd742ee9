"""A result's overlapping windows as tracks without overlap: what subtitles, tiers and turns can hold.

Windows follow each other by less than their length, so that each moment lies in several. In a track it belongs to one:
**the window around it whose centre is nearest**, the earlier of two that are as near. A window's answer thus stands
where the window is surest to be about, every label and score is one that the model gave, and no moment without a
window gets one. Neighbouring pieces with the same label that are both certain, or both uncertain, become one piece;
its score is the mean of theirs, weighted by time.

Times are whole milliseconds. What ends before 0 or holds no time at all has no moment to stand at and is in no track.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from voxaffect.audio_input import printable

if TYPE_CHECKING:
    from voxaffect.result import Result, Segment


class Window(NamedTuple):
    """What a track needs of a segment, which is far less than there is in one; `start` and `end` are in ms."""

    start: int
    end: int
    label: str
    score: float
    uncertain: bool


Cell: TypeAlias = tuple[int, int, Window]
"""From when to when, in ms, and the window that has this stretch."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch with one label, `start` to `end` in seconds; `score` is the mean of its windows' over time."""

    start: float
    end: float
    label: str
    score: float
    uncertain: bool


@dataclass(frozen=True)
class Track:
    """What one channel sounds like, by time: `pieces` never overlap.

    `name` is the channel's role or number, and empty for a mix of all channels. The names of a result's tracks differ.
    """

    channel: int
    name: str
    pieces: tuple[Piece, ...]


def tracks(result: Result) -> tuple[Track, ...]:
    """A track for each channel that was judged, a silent one too; none of a failure.

    A label that comes without windows holds from the start to the end.
    """
    of_channel: dict[int, list[Window]] = {summary.channel: [] for summary in result.summary}
    for segment in result.segments:
        of_channel.setdefault(segment.channel, []).append(window(segment))
    if not of_channel and result.error is None:
        return (Track(0, "", _whole(result)),)
    names = _names(result, of_channel)
    return tuple(
        Track(channel, names[channel], tuple(_joined(cells(windows))))
        for channel, windows in sorted(of_channel.items())
    )


def window(segment: Segment) -> Window:
    """The segment as a window of a track."""
    return Window(
        max(0, _ms(segment.start)), _ms(segment.end), segment.label, segment.score, segment.uncertain
    )


def cells(windows: Iterable[Window]) -> Iterator[Cell]:
    """Which of the `windows` of one channel has which stretch, in order and without overlap.

    Takes n log n steps and a list of the windows around one moment.
    """
    windows = sorted((w for w in windows if w.end > w.start), key=lambda w: w[:2])
    begin: defaultdict[int, list[int]] = defaultdict(list)
    finish: defaultdict[int, list[int]] = defaultdict(list)
    for i, each in enumerate(windows):
        begin[each.start].append(i)
        finish[each.end].append(i)
    around: list[tuple[int, int]] = []  # twice the centre, and which window: sorted
    for left, right in pairwise(sorted({*begin, *finish})):
        for i in finish[left]:
            del around[bisect_left(around, (sum(windows[i][:2]), i))]
        for i in begin[left]:
            insort(around, (sum(windows[i][:2]), i))
        for start, end, i in _nearest(around, left, right):
            yield start, end, windows[i]


def span(result: Result) -> float:
    """Seconds from 0 to the end of the recording or of its last segment, whichever is later."""
    ends = [segment.end for segment in result.segments]
    return max(0, *(_ms(end) for end in [result.source.duration if result.source else 0.0, *ends])) / 1000


def caption(track: Track, piece: Piece) -> str:
    """One line for people: who, what, and how sure.

    >>> caption(Track(0, "customer", ()), Piece(0.0, 1.0, "angry", 0.412, True))
    'customer: angry 41% (uncertain)'
    """
    who = f"{printable(track.name)}: " if track.name else ""
    return who + wording(piece)


def wording(piece: Piece) -> str:
    """What and how sure, without who."""
    return f"{printable(piece.label)} {piece.score:.0%}{' (uncertain)' if piece.uncertain else ''}"


def in_order(all_tracks: Sequence[Track]) -> list[tuple[Track, Piece]]:
    """The pieces of all tracks by time; those of different tracks may overlap."""
    pairs = [(track, piece) for track in all_tracks for piece in track.pieces]
    return sorted(pairs, key=lambda pair: (pair[1].start, pair[0].channel))


def _nearest(around: list[tuple[int, int]], left: int, right: int) -> Iterator[tuple[int, int, int]]:
    """The stretches of `left` to `right` by the windows whose centres are nearest; nothing if there is none."""
    if not around:
        return
    j = max(0, bisect_left(around, (2 * left + 1, -1)) - 1)  # the last whose centre is not after `left`
    j = bisect_left(around, (around[j][0], -1))  # the first of those with the same centre
    at = left
    while at < right:
        following = bisect_left(around, (around[j][0] + 1, -1))
        edge = right
        if following < len(around):
            edge = min(right, (around[j][0] + around[following][0] + 2) // 4)
        if edge > at:
            yield at, edge, around[j][1]
            at = edge
        j = following


def _joined(stretches: Iterable[Cell]) -> Iterator[Piece]:
    first = last = 0
    held: Window | None = None
    weighted = 0.0
    for start, end, each in stretches:
        if held is not None and not (
            start == last and (each.label, each.uncertain) == (held.label, held.uncertain)
        ):
            yield _piece(first, last, held, weighted)
            held = None
        if held is None:
            first, held, weighted = start, each, 0.0
        weighted += each.score * (end - start)
        last = end
    if held is not None:
        yield _piece(first, last, held, weighted)


def _piece(start: int, end: int, held: Window, weighted: float) -> Piece:
    return Piece(start / 1000, end / 1000, held.label, weighted / (end - start), held.uncertain)


def _whole(result: Result) -> tuple[Piece, ...]:
    end = span(result)
    if result.label is None or end <= 0:
        return ()
    return (Piece(0.0, end, result.label, result.score or 0.0, result.uncertain),)


def _names(result: Result, channels: Iterable[int]) -> dict[int, str]:
    roles = {each.channel: each.role for each in result.segments if each.role}
    roles |= {each.channel: each.role for each in result.summary if each.role}
    mixed = result.settings is None or result.settings.channels == "mix"
    names: dict[int, str] = {}
    for channel in sorted(channels):
        name = roles.get(channel) or ("" if mixed and channel == 0 else f"channel {channel}")
        unlike = name
        while unlike in names.values():
            unlike = f"{unlike} (channel {channel})"
        names[channel] = unlike
    return names


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
