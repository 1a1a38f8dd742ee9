"""What a terminal shows of a live stream: a level meter, the emotion of now, and its recent course."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence

from voxaffect.events import Event, StreamResult, UtteranceEnd, UtteranceStart

COURSE_SECONDS = 60
"""How far back the course goes; one character a second."""
MIN_COLUMNS = 40
"""A terminal of less has no room for the view."""
QUIETEST = -60.0
"""dBFS at the left end of the meter."""
FULL, EMPTY = "█", "·"
COLOURS = (31, 33, 36, 34, 35, 32)
"""Of labels, in their order, as the terminal numbers them."""
PAUSE, DOUBT = " ", "?"


class LiveView:
    """Keeps what is shown; `lines` draws it, so that it can be seen without a terminal."""

    def __init__(self, labels: Sequence[str], *, colour: bool = False) -> None:
        self._labels = tuple(labels)
        self._letters = letters(labels)
        self._colour = colour
        self._level = -math.inf
        self._now = 0.0
        self._speaking = False
        self._result: StreamResult | None = None
        self._course: deque[str] = deque(maxlen=COURSE_SECONDS)
        self._drawn = 0  # seconds of the course

    def heard(self, seconds: float, rms: float) -> None:
        """Audio came in: `seconds` since the beginning, the last piece with this root mean square."""
        self._level = 20 * math.log10(rms) if rms > 0 else -math.inf
        self._now = seconds
        while self._drawn < int(seconds):
            self._drawn += 1
            self._course.append(self._mark())

    def say(self, event: Event) -> None:
        """Something was said of it."""
        if isinstance(event, UtteranceStart):
            self._speaking = True
        elif isinstance(event, UtteranceEnd):
            self._speaking = False
        else:
            self._result = event

    def lines(self, columns: int = 80) -> list[str]:
        """What is to be seen now, line by line; none is longer than `columns`, of which MIN_COLUMNS are needed."""
        columns = max(MIN_COLUMNS, columns)
        result = self._result
        if result is None or result.label is None:
            now = "nobody has spoken yet" if result is None else "too short to be judged"
        else:
            doubt = ", uncertain" if result.uncertain else ""
            now = f"{self._painted(result.label, result.label)} {result.score:.2f}{doubt}"
        state = "speaking" if self._speaking else "silent"
        before, after = f"{clock(self._now)}  level ", f" {_dbfs(self._level)}"
        bar = meter(self._level, min(20, columns - len(before) - len(after)))
        rows = [f"{before}{bar}{after}", f"{state}: {now}"]
        width = max(map(len, self._labels))
        probs: Mapping[str, float] = result.probs if result else {}
        longest = max(1, min(20, columns - width - len("  X   0.00")))
        for label in self._labels:
            filled = round(longest * probs.get(label, 0.0))
            rows.append(
                f"  {self._letters[label]} {label:<{width}} "
                f"{self._painted(label, FULL * filled)}{EMPTY * (longest - filled)} {probs.get(label, 0.0):.2f}"
            )
        seconds = min(COURSE_SECONDS, columns - len("last 60 s || now"))
        marks = list(self._course)[-seconds:]
        course = "".join(self._coloured(mark) for mark in marks)
        rows.append(f"last {seconds} s |{PAUSE * (seconds - len(marks))}{course}| now")
        return rows

    def _mark(self) -> str:
        result = self._result
        if not self._speaking or result is None or result.label is None:
            return PAUSE
        return DOUBT if result.uncertain else self._letters[result.label]

    def _coloured(self, mark: str) -> str:
        for label, letter in self._letters.items():
            if letter == mark:
                return self._painted(label, mark)
        return mark

    def _painted(self, label: str, text: str) -> str:
        if not self._colour or not text:
            return text
        return f"\x1b[{COLOURS[self._labels.index(label) % len(COLOURS)]}m{text}\x1b[0m"


def letters(labels: Sequence[str]) -> dict[str, str]:
    """A capital for each label: its first letter that no label before it has.

    >>> letters(["sad", "surprise", "neutral"])
    {'sad': 'S', 'surprise': 'U', 'neutral': 'N'}
    """
    taken: dict[str, str] = {}
    for label in labels:
        free = [c for c in label.upper() if c.isalpha() and c not in taken.values()]
        taken[label] = free[0] if free else str(len(taken) % 10)
    return taken


def meter(dbfs: float, width: int = 20) -> str:
    """A bar from QUIETEST to 0 dBFS.

    >>> meter(-30.0, 10)
    '█████·····'
    """
    share = 0.0 if dbfs <= QUIETEST else min(1.0, 1 - dbfs / QUIETEST)
    filled = round(share * width)
    return FULL * filled + EMPTY * (width - filled)


def spoken_line(event: Event) -> str:
    """One event in words, for where lines cannot be drawn over."""
    if isinstance(event, UtteranceStart):
        return f"{clock(event.start)}  speech begins"
    if isinstance(event, UtteranceEnd):
        return f"{clock(event.end)}  speech ends"
    if event.label is None:
        return f"{clock(event.end)}  no label ({event.reason})"
    doubt = ", uncertain" if event.uncertain else ""
    kind = "" if event.final else " so far"
    return f"{clock(event.end)}  {event.label} {event.score:.2f}{doubt}{kind}"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss.

    >>> clock(3725.4)
    '1:02:05'
    """
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _dbfs(level: float) -> str:
    return "no signal" if level == -math.inf else f"{level:.0f} dBFS"
