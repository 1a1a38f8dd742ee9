"""One decoded track of an input, in blocks at its own rate: from our WAV reader, FFmpeg or an array."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from voxaffect import wav
from voxaffect.audio_format import READABLE, describe, other_media, sniff
from voxaffect.audio_input import Input
from voxaffect.errors import AudioError

BLOCK_SECONDS = 1.0
_BLOCK_SAMPLES = 2**20  # over all channels: 4 MiB of float32
Samples = NDArray[np.floating]


@dataclass(frozen=True)
class Notice:
    """Something about an input that its result should say: a stable `code` and a `message`."""

    code: str
    message: str


@dataclass(frozen=True)
class Track:
    """The sound of one input.

    `blocks(f)` gives the samples from frame f on, once: (n, C), full scale 1.0. `announced` is the length in
    seconds that the header gives, if it gives one that can be true; `slack` less may be there. `is_sure` says
    whether the size of the file bears it out. `notices` is complete when the blocks are exhausted.
    """

    container: str
    codec: str
    sample_rate: int
    channels: int
    announced: float | None
    slack: float
    is_sure: bool
    blocks: Callable[[int], Iterator[Samples]]
    close: Callable[[], None] = lambda: None
    notices: list[Notice] = field(default_factory=list)


def open_track(source: Input) -> Track:
    """Look at the first bytes, then open the one decoder that fits them.

    Raises:
        AudioError: `not_audio`, `unsupported_format`, `bad_header`, `no_audio`, `no_audio_stream`,
            `unreadable`.
        ResourceError: `too_big`.
    """
    container = sniff(source.head)
    if container is None:
        other = other_media(source.head)
        if other:
            raise source.error("unsupported_format", f"{source.name} is {other}; expected one of {READABLE}")
        what, hint = describe(source.head)
        raise source.error("not_audio", f"{source.name} is not audio ({what})", hint)
    if container.name == "wav":
        header = wav.read_header(source)
        if not header.compressed:
            return _pcm_track(source, header)
        if not source.seekable:  # the header is read and gone
            raise source.error(
                "unsupported_format", f"{source.name} is {header.codec} from a pipe", "give the file itself"
            )
        source.seek(0)
    from voxaffect.ffmpeg import ffmpeg_track  # PyAV is loaded only for what needs it

    return ffmpeg_track(source, container)


def array_track(samples: NDArray[np.generic], sample_rate: int) -> Track:
    """The track of samples in memory: (N,) or (N, C); integers are scaled by their width.

    Raises:
        AudioError: `sample_rate`, `unsupported_format`, `no_audio`.
    """

    def refused(code: str, message: str) -> AudioError:
        return AudioError(code, message, where="<array>")

    if np.ndim(sample_rate):
        raise refused(
            "sample_rate", "the sample rate is an array; expected (samples, sample_rate), in this order"
        )
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, int | np.integer):
        raise refused("sample_rate", f"the sample rate is {sample_rate!r}; expected a whole number of Hz")
    if not wav.MIN_RATE <= sample_rate <= wav.MAX_RATE:
        raise refused(
            "sample_rate", f"the sample rate is {sample_rate}; expected {wav.MIN_RATE} to {wav.MAX_RATE} Hz"
        )
    if samples.dtype.kind != "f" and samples.dtype not in (np.uint8, np.int16, np.int32):
        raise refused(
            "unsupported_format", f"the samples are {samples.dtype}; expected float32, int16 or int32"
        )
    columns = samples[:, np.newaxis] if samples.ndim == 1 else samples
    if columns.ndim != 2 or not 1 <= columns.shape[1] <= wav.MAX_CHANNELS:
        raise refused(
            "unsupported_format",
            f"the samples have shape {samples.shape}; expected (N,) or (N, C), C up to {wav.MAX_CHANNELS}",
        )
    if not len(columns):
        raise refused("no_audio", "the array holds no samples")
    frames = block_frames(int(sample_rate), columns.shape[1])

    def blocks(first_frame: int) -> Iterator[Samples]:
        for start in range(first_frame, len(columns), frames):
            yield wav.to_float(columns[start : start + frames])

    rate = int(sample_rate)
    return Track("array", str(samples.dtype), rate, columns.shape[1], len(columns) / rate, 0.0, True, blocks)


def block_frames(sample_rate: int, channels: int) -> int:
    """How many frames a block has: a second, unless many channels or a high rate make that too large."""
    return max(1, min(int(BLOCK_SECONDS * sample_rate), _BLOCK_SAMPLES // channels))


def _pcm_track(source: Input, header: wav.WavHeader) -> Track:
    notices = []
    if header.data_size is None:
        notices.append(
            Notice(
                "header_size", "the header does not say how much audio follows; read to the end of the file"
            )
        )
    frames = block_frames(header.sample_rate, header.channels)
    sure = header.data_size is not None and source.size is not None
    return Track(
        "wav",
        header.codec,
        header.sample_rate,
        header.channels,
        header.announced,
        1.5 / header.sample_rate,
        sure and header.data_offset + (header.data_size or 0) <= (source.size or 0),
        lambda first: wav.pcm_blocks(source, header, first, frames),
        notices=notices,
    )
