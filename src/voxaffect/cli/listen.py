"""`voxaffect listen`: the microphone, live, in the terminal."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from voxaffect.cli import add_model_arguments
from voxaffect.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from voxaffect.events import Event
    from voxaffect.live_view import LiveView
    from voxaffect.microphone import Device, Source
    from voxaffect.stream import Stream

EPILOG = """\
examples:
  voxaffect listen                         the system's microphone; Ctrl-C ends
  voxaffect listen --list                  the microphones of this machine
  voxaffect listen --microphone headset    one by its number or a part of its name
  voxaffect listen --json                  the events of docs/streaming.md, one a line

Nothing is recorded and nothing is sent. Tell people that you listen to how they sound: EU law asks for it, and forbids
it of people at work or in education, but for medical or safety reasons.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.epilog = EPILOG
    parser.add_argument(
        "--list", nargs="?", const="devices", choices=("devices",), help="show the microphones and end"
    )
    parser.add_argument("--microphone", metavar="N|NAME", help="which one (default: the system's)")
    parser.add_argument(
        "--interval", type=float, default=1.0, metavar="S", help="seconds between results (default: 1)"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="end after so long (default: at Ctrl-C)")
    parser.add_argument("--json", action="store_true", help="print events as lines of JSON")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Listen until Ctrl-C; raises what `microphone` and `load` raise."""
    from voxaffect.microphone import list_devices, open_microphone

    if args.list:
        return _list(list_devices())
    if args.seconds is not None and not args.seconds > 0:
        raise UsageError("bad_value", f"seconds is {args.seconds!r}; expected more than 0")
    with open_microphone(args.microphone) as source:
        from voxaffect.live_view import MIN_COLUMNS, LiveView
        from voxaffect.predictor import load

        model = load(args.model, device=args.device)
        stream = model.stream(source.sample_rate, "pcm_f32le", 1, args.interval)
        if not args.quiet:
            print(
                f"voxaffect: listening to {source.name} at {source.sample_rate} Hz; nothing is recorded or sent. "
                "Ctrl-C ends.",
                file=sys.stderr,
            )
        can_draw = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and _columns() >= MIN_COLUMNS
        drawn = can_draw and not args.json
        view = LiveView(model.labels, colour=drawn and not os.environ.get("NO_COLOR"))
        screen = _Screen(view, drawn, args.json)
        with suppress(KeyboardInterrupt):  # how it is meant to end
            _listen(source, stream, screen, args.seconds)
        screen.show(stream.close(), stream.received_seconds, 0.0)
    if source.n_dropped and not args.quiet:
        print(
            f"voxaffect: {source.n_dropped / 10:.1f} s were lost: this machine is too slow", file=sys.stderr
        )
    return ExitCode.OK


def _listen(source: Source, stream: Stream, screen: _Screen, seconds: float | None) -> None:
    import numpy as np

    while seconds is None or stream.received_seconds < seconds:
        block = source.read()
        if block is None:
            return
        if len(block):
            rms = float(np.sqrt(np.mean(np.square(block, dtype=np.float64))))
            screen.show(stream.feed(block), stream.received_seconds, rms)


class _Screen:
    """Where the view goes: drawn over itself in a terminal, else line by line as things are said."""

    def __init__(self, view: LiveView, drawn: bool, as_json: bool) -> None:
        self._view, self._drawn, self._json = view, drawn, as_json
        self._height = 0

    def show(self, events: Iterable[Event], seconds: float, rms: float) -> None:
        for event in events:
            self._view.say(event)
            if self._json:
                print(json.dumps(event.to_dict()), flush=True)
            elif not self._drawn:
                from voxaffect.live_view import spoken_line

                print(spoken_line(event), flush=True)
        self._view.heard(seconds, rms)
        if self._drawn:
            lines = self._view.lines(_columns())
            up = f"\x1b[{self._height}A" if self._height else ""
            print(up + "".join(f"\r\x1b[K{line}\n" for line in lines), end="", flush=True)
            self._height = len(lines)


def _columns() -> int:
    return shutil.get_terminal_size().columns


def _list(devices: Sequence[Device]) -> int:
    for device in devices:
        default = "  (default)" if device.is_default else ""
        print(
            f"{device.number:3}  {device.name}, {device.channels} channels, {device.sample_rate} Hz{default}"
        )
    if not devices:
        print("voxaffect: there is no microphone on this machine", file=sys.stderr)
        return ExitCode.NOTHING_USABLE
    return ExitCode.OK
