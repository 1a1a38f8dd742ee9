"""Audio in, 16 kHz blocks out: decoded, checked and resampled in bounded memory, whatever headers claim."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from voxaffect.audio_format import CONTAINERS, suffix_mismatch
from voxaffect.audio_input import Input, open_input
from voxaffect.decoders import Notice, Track, array_track, open_track
from voxaffect.errors import AudioError, UsageError, VoxaffectError

__all__ = [
    "SAMPLE_RATE",
    "Audio",
    "AudioInput",
    "AudioReader",
    "Notice",
    "Source",
    "mono",
    "narrowband",
    "open_audio",
    "read_audio",
]

SAMPLE_RATE = 16_000  # Hz, of everything that this module gives
BLOCK_FRAMES = 2 * SAMPLE_RATE
NARROWBAND_RATE = 8_000  # Hz; telephone speech, nothing above 4 kHz
LOUDEST = 100.0
"""The largest sample that can be sound (40 dB over full scale); beyond it, full scale is not 1."""

AudioInput: TypeAlias = str | os.PathLike[str] | bytes | IO[bytes] | tuple[NDArray[Any], int]
"""A path, the bytes of a file, a binary file or pipe, or (samples, rate) with samples (N,) or (N, C)."""


@dataclass(frozen=True)
class Source:
    """What was read: `duration` as decoded (s), `sample_rate` (Hz) and `channels` of the input itself."""

    path: str | None
    container: str
    codec: str
    sample_rate: int
    channels: int
    duration: float


@dataclass(frozen=True)
class Audio:
    """A whole input: `samples` (N, C) float32 at 16 kHz, full scale 1.0."""

    samples: NDArray[np.float32]
    source: Source
    notices: tuple[Notice, ...]


def open_audio(
    audio: AudioInput,
    *,
    start: float = 0.0,
    end: float | None = None,
    max_seconds: float | None = None,
    strict: bool = False,
) -> AudioReader:
    """Open an input and its decoder; the samples follow from `AudioReader.blocks()`.

    `start` and `end` are seconds of the input. More than `max_seconds` between them is refused: at once where
    the header can be trusted, else as soon as that much is decoded. With `strict`, cut or damaged audio is an
    error. A file object that can seek is read from its start; it stays open.

    Raises:
        AudioError: `sample_rate`, `too_long`; `not_found`, `not_a_file`, `permission`, `urls_not_supported`,
            `empty_file`, `unreadable`; `not_audio`, `unsupported_format`, `bad_header`, `no_audio`,
            `no_audio_stream`.
        ResourceError: `too_many_files`, `too_big`.
        UsageError: `bad_times`.
        TypeError: `audio` is none of the kinds of AudioInput.
    """
    if not 0 <= start < float("inf") or (end is not None and not start < end):
        raise UsageError("bad_times", f"start {start} s and end {end} s; expected 0 <= start < end")
    if max_seconds is not None and not max_seconds > 0:
        raise ValueError(f"max_seconds is {max_seconds}; expected more than 0")
    if isinstance(audio, np.ndarray) or (not isinstance(audio, bytes) and hasattr(audio, "__array__")):
        raise AudioError(
            "sample_rate",
            "raw samples need their sample rate",
            hint="pass (samples, 8000)",
            where="<array>",
        )
    if isinstance(audio, tuple):
        if len(audio) != 2:
            raise TypeError(f"audio is a tuple of {len(audio)}; expected (samples, sample_rate)")
        return AudioReader(array_track(np.asarray(audio[0]), audio[1]), None, start, end, max_seconds, strict)
    source = open_input(audio)
    try:
        return AudioReader(open_track(source), source, start, end, max_seconds, strict)
    except BaseException:
        source.close()
        raise


def read_audio(
    audio: AudioInput,
    *,
    start: float = 0.0,
    end: float | None = None,
    max_seconds: float | None = None,
    strict: bool = False,
) -> Audio:
    """Read a whole input into memory: `open_audio` and all its blocks. For files of known, modest length."""
    with open_audio(audio, start=start, end=end, max_seconds=max_seconds, strict=strict) as reader:
        none = np.zeros((0, reader.source.channels), dtype=np.float32)
        samples = np.concatenate([none, *reader.blocks()])
        return Audio(samples, reader.source, tuple(reader.notices))


def mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the channels: (N, C) to (N,); (N,) stays as it is."""
    if samples.ndim == 1:
        return samples
    if samples.shape[1] == 1:
        return samples[:, 0]
    return cast("NDArray[np.float32]", samples.mean(axis=1, dtype=np.float32))


def narrowband(sample_rate: int) -> Notice:
    """The warning about telephone sound."""
    return Notice("narrowband", f"{sample_rate / 1000:g} kHz audio; the model was trained on 16 kHz")


class AudioReader:
    """An opened input, from `open_audio`; a context manager.

    `source.duration` is what was decoded so far, and `notices` may grow; both are final after the last block.
    """

    def __init__(
        self,
        track: Track,
        source: Input | None,
        start: float,
        end: float | None,
        max_seconds: float | None,
        strict: bool,
    ) -> None:
        self._track, self._input, self._strict, self._limit = track, source, strict, max_seconds
        self._where = source.where if source else "<array>"
        self._first = round(start * track.sample_rate)
        self._wanted = None if end is None else max(1, round(end * track.sample_rate) - self._first)
        self._frames = 0  # of the track, given so far
        self._begun = False
        self.notices: list[Notice] = track.notices
        if source and suffix_mismatch(CONTAINERS[track.container], source.suffix):
            self.notices.append(Notice("extension_mismatch", f"{source.name} is {track.container} inside"))
        if track.sample_rate <= NARROWBAND_RATE:
            self.notices.append(narrowband(track.sample_rate))
        if track.is_sure and track.announced is not None:
            stretch = (track.announced if end is None else min(end, track.announced)) - start
            if max_seconds is not None and stretch > max_seconds:
                track.close()
                raise self._too_long(stretch)

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the decoder, and the file if it was given as a path."""
        self._track.close()
        if self._input:
            self._input.close()

    @property
    def is_measured(self) -> bool:
        """Whether the size of the file proves that all samples are there, which only PCM does."""
        return self._track.is_sure and self._track.container == "wav" and self._track.codec.startswith("pcm_")

    @property
    def sure_seconds(self) -> float | None:
        """The length that the header gives, where the size of the file bears it out."""
        return self._track.announced if self._track.is_sure else None

    @property
    def source(self) -> Source:
        """What is read; `duration` counts the audio between `start` and `end` that was decoded so far."""
        track = self._track
        path = self._input.path if self._input else None
        duration = self._frames / track.sample_rate
        return Source(path, track.container, track.codec, track.sample_rate, track.channels, duration)

    @property
    def announced(self) -> float | None:
        """Seconds between `start` and `end` by what the header says, which may be nothing, or a lie."""
        whole = self._track.announced
        if whole is None:
            return None if self._wanted is None else self._wanted / self._track.sample_rate
        left = max(0.0, whole - self._first / self._track.sample_rate)
        return left if self._wanted is None else min(left, self._wanted / self._track.sample_rate)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The samples at 16 kHz as blocks (n, C) of 2 s, the last one shorter. To be read once.

        There is none only if all of the input is less than one sample at 16 kHz.

        Raises:
            AudioError: `no_audio`, `start_past_end`, `too_long`, `non_finite`, `out_of_range`, `unreadable`,
                `unsupported_format` (the format changes within); with strict also `truncated`, `damaged`.
        """
        if self._begun:
            raise ValueError("the blocks of an AudioReader can be read once; open the input again")
        self._begun = True
        return _regular(self._resampled(), BLOCK_FRAMES)

    def _resampled(self) -> Iterator[NDArray[np.float32]]:
        if self._track.sample_rate == SAMPLE_RATE:
            yield from self._checked()
            return
        import soxr

        # VHQ as in the corpora that the models are trained on; its state makes blocks equal to one long call.
        stream = soxr.ResampleStream(
            self._track.sample_rate, SAMPLE_RATE, self._track.channels, dtype="float32", quality="VHQ"
        )
        for block in self._checked():
            yield stream.resample_chunk(np.ascontiguousarray(block))
        yield stream.resample_chunk(np.zeros((0, self._track.channels), dtype=np.float32), last=True)

    def _checked(self) -> Iterator[NDArray[np.float32]]:
        """The wanted stretch at the track's own rate: counted, finite, and complete."""
        for block in self._track.blocks(self._first):
            if self._wanted is not None:
                block = block[: self._wanted - self._frames]
            peak = float(np.abs(block).max()) if len(block) else 0.0
            if not peak <= LOUDEST:  # NaN is not
                raise self._bad_sample(block)
            self._frames += len(block)
            if self._limit is not None and self._frames > self._limit * self._track.sample_rate:
                raise self._too_long(None)
            yield block.astype(np.float32, copy=False)
            if self._frames == self._wanted:
                return
        self._check_end()

    def _check_end(self) -> None:
        track = self._track
        seconds = self._frames / track.sample_rate
        if not self._frames:
            if self._first:
                started = f"{self._first / track.sample_rate:g} s"
                raise self._error(
                    "start_past_end", f"{self._name} ends before {started}", "use a smaller --start"
                )
            raise self._error("no_audio", f"{self._name} holds no audio (a header without samples)")
        read = seconds + self._first / track.sample_rate
        if track.announced is not None and read < track.announced - track.slack:
            self.notices[:] = [n for n in self.notices if n.code != "truncated"]  # this one says how much
            self.notices.append(Notice("truncated", f"{read:.1f} s of {track.announced:.1f} s"))
        for notice in self.notices:
            if self._strict and notice.code in ("truncated", "damaged"):
                raise self._error(
                    notice.code, f"{self._name}: {notice.message}", "leave out --strict to use the rest"
                )

    @property
    def _name(self) -> str:
        return self._input.name if self._input else self._where

    def _error(self, code: str, message: str, hint: str | None = None) -> VoxaffectError:
        return AudioError(code, message, hint=hint, where=self._where)

    def _too_long(self, seconds: float | None) -> VoxaffectError:
        limit = _clock(self._limit or 0)
        what = (
            f"{_clock(seconds)} is over the limit of {limit}"
            if seconds
            else f"longer than the limit of {limit}"
        )
        return self._error("too_long", what, "use --start and --end, or a higher --max-duration")

    def _bad_sample(self, block: NDArray[np.floating]) -> VoxaffectError:
        frame, channel = (int(i[0]) for i in np.nonzero(~(np.abs(block) <= LOUDEST)))
        value = float(block[frame, channel])
        at = (self._first + self._frames + frame) / self._track.sample_rate
        if np.isfinite(value):
            return self._error(
                "out_of_range",
                f"{self._name} has a sample of {value:g} at {at:.3f} s; expected -1 to 1",
                "scale it down: 16-bit values as floats need dividing by 32768",
            )
        return self._error(
            "non_finite", f"{self._name} has a sample that is {value} at {at:.3f} s; expected numbers"
        )


def _regular(blocks: Iterable[NDArray[np.float32]], frames: int) -> Iterator[NDArray[np.float32]]:
    """The same samples in blocks of `frames`, the last one shorter."""
    parts: list[NDArray[np.float32]] = []
    count = 0
    for block in blocks:
        parts.append(block)
        count += len(block)
        if count < frames:
            continue
        joined = np.concatenate(parts)
        whole = count - count % frames
        for start in range(0, whole, frames):
            yield joined[start : start + frames]
        parts, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(parts)


def _clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
