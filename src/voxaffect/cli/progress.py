"""How far a command is, on stderr, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable

from voxaffect.live_view import clock


class Progress:
    """A context manager that shows how many of `total` files are done, or of a single one how many seconds.

    `wanted` is whether anything may be shown; nothing ever is unless stderr is a terminal.
    """

    def __init__(self, total: int, wanted: bool) -> None:
        self._bar = None
        self.by_seconds = total == 1
        """Whether `seconds` moves the bar, not `advance`."""
        if wanted and total and sys.stderr.isatty():
            from tqdm import tqdm

            how = (
                {"bar_format": "{percentage:3.0f}% |{bar}| {desc} [{elapsed}<{remaining}]", "delay": 2.0}
                if self.by_seconds
                else {"total": total, "unit": "file"}
            )
            self._bar = tqdm(file=sys.stderr, leave=False, **how)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *details: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self) -> None:
        """One more file is done."""
        if self._bar is not None and not self.by_seconds:
            self._bar.update()

    def seconds(self, done: float, announced: float | None) -> None:
        """So many seconds of the file are done, of those that it announces."""
        if self._bar is not None and self.by_seconds:
            self._bar.total = None if announced is None else max(announced, done)
            self._bar.set_description_str(f"{clock(done)} of {clock(announced) if announced else '?'}", False)
            self._bar.update(done - self._bar.n)

    @property
    def say(self) -> Callable[[str], None] | None:
        """What prints a line above the bar, if there is one."""
        bar = self._bar
        return None if bar is None else lambda line: bar.write(line, file=sys.stderr)
