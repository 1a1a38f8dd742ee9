"""WebVTT subtitles for players in web pages; the speaker is a voice, `<v customer>`.

Source: https://www.w3.org/TR/webvtt1/
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TextIO

from voxaffect.audio_input import printable
from voxaffect.formats import only, timestamp
from voxaffect.result import Result
from voxaffect.track import in_order, tracks, wording

SUMMARY = "subtitles for web pages (WebVTT)"
EXTENSION = ".vtt"
HOLDS = "timeline"
BINARY = False


def write(results: Iterable[Result], stream: TextIO) -> None:
    """Write notes on the recording and a cue for each piece; raises UsageError `several_recordings`."""
    stream.write("WEBVTT\n\n")
    result = only(results)
    if result is None:
        return
    by = f", by {result.model.name} {result.model.version}" if result.model else ""
    stream.write(f"NOTE perceived emotion in {_text(result.id)}{_text(by)}\n\n")
    if result.reason is not None:
        messages = "; ".join(warning.message for warning in result.warnings if warning.code == result.reason)
        stream.write(f"NOTE {result.reason}: {_text(messages)}\n\n")
    for track, piece in in_order(tracks(result)):
        text = _text(wording(piece))
        if track.name:
            text = f"<v {_text(track.name)}>{text}</v>"
        stream.write(f"{timestamp(piece.start, '.')} --> {timestamp(piece.end, '.')}\n{text}\n\n")


def _text(text: str) -> str:
    return escape(printable(text), quote=False)
