"""A table for people: one line per recording, and below it a strip of its course, where that changes.

Colour only on a terminal, and never where NO_COLOR is set. Names are escaped, so that none can move the
cursor.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TextIO

from voxaffect.audio_input import printable
from voxaffect.result import Result, Segment

if TYPE_CHECKING:
    from voxaffect.audio import Notice

SUMMARY = "for reading"
EXTENSION = ".txt"
HOLDS = "results"
BINARY = False

BAR = 10
"""Characters of the bar of a score of 1."""
STRIP = 60
"""Characters of the longest strip."""
_HEAD = f"{'label':<11}{'score':<{BAR + 7}}{'votes':<9}{'length':>8}  file"
_COLOURS = {
    "angry": "31",
    "happy": "33",
    "excited": "33",
    "neutral": "37",
    "calm": "36",
    "sad": "34",
    "fearful": "35",
    "disgust": "32",
    "surprised": "96",
}
_REASONS = {"no_speech": "no speech", "too_short": "too short", "low_confidence": "unsure"}
_SILENT = "·"


def write(results: Iterable[Result], stream: TextIO) -> None:
    """Write a head, then each result as it comes."""
    paint = _Paint(stream.isatty() and not os.environ.get("NO_COLOR"))
    stream.write(paint(_HEAD, "2") + "\n")
    for result in results:
        stream.write(_line(result, paint) + "\n")
        for line in _strips(result, paint):
            stream.write(line + "\n")
        stream.flush()


class _Paint:
    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._on else text

    def label(self, text: str, label: str) -> str:
        return self(text, _COLOURS.get(label, "37"))


def _line(result: Result, paint: _Paint) -> str:
    name = printable(result.path or result.id)
    duration = _clock(result.source.duration) if result.source else ""
    if result.error is not None:
        failed = paint(f"{'failed':<11}", "31")
        return f"{failed}{result.error.code:<{BAR + 16}}{duration:>8}  {name}"
    notes = [_note(w) for w in result.warnings if w.code != result.reason] + [
        w.message for w in result.warnings if w.code == result.reason
    ]
    if result.label is None:
        word = _REASONS.get(result.reason or "", str(result.reason))
        columns = f"{paint(f'{word:<11}', '2')}{'':<{BAR + 16}}"
    else:
        score = result.score or 0.0
        label = paint.label(f"{result.label:<11}", result.label)
        columns = f"{label}{_bar(score, result.label, paint)} {score:.2f}  {_votes(result):<9}"
        notes[:0] = ["uncertain"] if result.uncertain else []
    note = paint(f"  ({', '.join(printable(note) for note in notes)})", "2") if notes else ""
    return f"{columns}{duration:>8}  {name}{note}"


def _note(warning: Notice) -> str:
    # What is missing of the answer, or was added to it, is said in full.
    full = warning.code in ("truncated", "damaged", "adapted")
    return f"{warning.code}: {warning.message}" if full else warning.code


def _votes(result: Result) -> str:
    members = sum(result.votes.values())
    return f"{result.votes.get(result.label or '', 0)} of {members}" if members > 1 else ""


def _bar(score: float, label: str, paint: _Paint) -> str:
    full = min(BAR, max(0, round(score * BAR)))
    return paint.label("█" * full, label) + paint("░" * (BAR - full), "2")


def _strips(result: Result, paint: _Paint) -> list[str]:
    """A line for each channel of several windows: what it sounds like from left to right.

    None for a single channel that sounds the same throughout: the line above says it already.
    """
    several = (
        max((sum(s.channel == c.channel for s in result.segments) for c in result.summary), default=0) > 1
    )
    if result.source is None or result.settings is None or not (several or len(result.summary) > 1):
        return []
    duration = max(result.source.duration, max((s.end for s in result.segments), default=0.0))
    width = max(1, min(STRIP, round(duration / result.settings.hop)))
    letters = _letters(result.model.labels if result.model else tuple(result.probs))
    lines = []
    for channel in result.summary:
        segments = [s for s in result.segments if s.channel == channel.channel]
        cells = [_loudest(segments, duration * (i + 0.5) / width) for i in range(width)]
        if len(result.summary) == 1 and set(cells) == {channel.label}:
            return []
        strip = "".join(paint.label(letters[c], c) if c else paint(_SILENT, "2") for c in cells)
        share = sorted(
            ((p, label) for label, p in channel.share.items() if p > 0), key=lambda s: (-s[0], s[1])
        )
        words = ", ".join(f"{letters[label]} {label} {p:.0%}" for p, label in share) or "no speech"
        who = channel.role or (f"channel {channel.channel}" if result.settings.channels != "mix" else "")
        lines.append(f"  {printable(who) + ' ' if who else ''}{strip}  {words}")
    return lines


def _loudest(segments: list[Segment], moment: float) -> str | None:
    """The label of the segments around `moment` that has the most probability there; None in silence."""
    here = [s for s in segments if s.start <= moment < s.end]
    if not here:
        return None
    total = {
        label: sum(s.probs.get(label, 0.0) for s in here if s.label == label)
        for label in (s.label for s in here)
    }
    return max(total, key=lambda label: total[label])


def _letters(labels: tuple[str, ...]) -> Mapping[str, str]:
    """A letter for each label: its first that no other has taken."""
    letters: dict[str, str] = {}
    for label in labels:
        free = [c for c in label + label.upper() if c not in letters.values()]
        letters[label] = free[0] if free else "?"
    return letters


def _clock(seconds: float) -> str:
    if round(seconds, 2) < 1:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
