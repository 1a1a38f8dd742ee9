"""How long a recording is, before it is decoded: by its header where the file bears it out, else by its packets."""

from __future__ import annotations

import io

from voxaffect.audio import open_audio
from voxaffect.audio_format import sniff
from voxaffect.audio_input import open_input


def audio_seconds(file: io.BytesIO, *, end: float | None = None, max_seconds: float) -> float:
    """Seconds from the beginning of `file` that reading it up to `end` decodes, at most a little over `max_seconds`.

    A FLAC of 14 KB may hold an hour, so bytes say nothing; and headers lie, so they count only where the size of
    the file bears them out. What is damaged counts up to the damage.

    Raises AudioError and UsageError as `open_audio` does.
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

            seconds = packet_seconds(found, container, max_seconds)
    return seconds if end is None else min(end, seconds)
