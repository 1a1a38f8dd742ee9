"""How long a recording is, before it is decoded: by its header where the file bears it out, else by its packets."""

from __future__ import annotations

import io

from voxaffect.audio import clock, open_audio
from voxaffect.audio_format import sniff
from voxaffect.audio_input import open_input
from voxaffect.errors import AudioError


def audio_seconds(
    file: io.BytesIO, *, start: float = 0.0, end: float | None = None, max_seconds: float
) -> float:
    """Seconds from the beginning of `file` that reading it up to `end` decodes.

    A FLAC of 14 KB may hold an hour, so bytes say nothing; and headers lie, so they count only where the size of
    the file bears them out. What is damaged counts up to the damage.

    Raises AudioError `too_long` where more than `max_seconds` lie between `start` and `end`, and as `open_audio` does.
    """
    with open_audio(file) as reader:
        seconds = reader.sure_seconds
        source = reader.source
    if seconds is None:
        found = open_input(file)
        container = sniff(found.head)
        if container is None or source.codec.startswith("pcm_") or container.name == "array":
            seconds = len(file.getbuffer()) / (
                source.sample_rate * source.channels
            )  # a byte a sample or more
        else:
            from voxaffect.ffmpeg import packet_seconds

            seconds = packet_seconds(found, container, start + max_seconds + 1.0)
    seconds = seconds if end is None else min(end, seconds)
    if seconds - start > max_seconds:
        raise AudioError(
            "too_long",
            f"longer than the limit of {clock(max_seconds)}",
            hint="use start and end for a part of it, or voxaffect predict on the machine itself",
            where=source.path,
        )
    return seconds
