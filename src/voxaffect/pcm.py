"""Raw audio of a live stream, in pieces of any size: bytes or arrays in, blocks at 16 kHz out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from voxaffect import wav
from voxaffect.audio import LOUDEST, SAMPLE_RATE
from voxaffect.errors import AudioError, UsageError

Floats = npt.NDArray[np.float32]
Piece: TypeAlias = bytes | bytearray | memoryview | npt.NDArray[Any]
"""What a stream is fed: bytes in its encoding, or samples (n,) or (n, C)."""

ENCODINGS: Mapping[str, int] = {"pcm_s16le": 2, "pcm_f32le": 4, "pcm_mulaw": 1}
"""Bytes of a sample by encoding; channels are interleaved."""


class PcmReader:
    """Turns what comes in into blocks (n, C) float32 at 16 kHz; the pieces' sizes change no sample.

    Raises UsageError `bad_value` for an encoding, rate or number of channels that is not served.
    """

    def __init__(self, *, sample_rate: int, encoding: str = "pcm_s16le", channels: int = 1) -> None:
        if encoding not in ENCODINGS:
            raise UsageError("bad_value", f"unknown encoding {encoding!r}; expected one of {list(ENCODINGS)}")
        _check_whole("sample rate", sample_rate, wav.MIN_RATE, wav.MAX_RATE, " Hz")
        _check_whole("number of channels", channels, 1, wav.MAX_CHANNELS, "")
        self.sample_rate, self.encoding, self.channels = int(sample_rate), encoding, int(channels)
        self.frames = 0
        """How many frames (a sample of each channel) have come in."""
        self._rest = b""
        self._resampler: Any = None
        if sample_rate != SAMPLE_RATE:
            import soxr

            self._resampler = soxr.ResampleStream(
                self.sample_rate, SAMPLE_RATE, self.channels, dtype="float32", quality="VHQ"
            )

    @property
    def received_seconds(self) -> float:
        """How much audio has come in."""
        return self.frames / self.sample_rate

    @property
    def n_left_over(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return len(self._rest)

    def read(self, piece: Piece) -> Floats:
        """The next block; bytes that are no whole frame wait for more.

        Raises AudioError `unsupported_format` for an array of another shape or kind, `non_finite`, `out_of_range`.
        """
        block = self._from_array(piece) if isinstance(piece, np.ndarray) else self._from_bytes(bytes(piece))
        may_be_bad = isinstance(piece, np.ndarray) or self.encoding == "pcm_f32le"  # integers are in range
        if may_be_bad and not float(np.abs(block).max(initial=0.0)) <= LOUDEST:  # NaN is not
            raise self._bad_sample(block)
        self.frames += len(block)
        samples = np.ascontiguousarray(block, np.float32)
        if self._resampler is None:
            return samples
        return np.asarray(self._resampler.resample_chunk(samples), np.float32)

    def finish(self) -> Floats:
        """What the resampler still holds."""
        if self._resampler is None:
            return np.zeros((0, self.channels), np.float32)
        none = np.zeros((0, self.channels), np.float32)
        return np.asarray(self._resampler.resample_chunk(none, last=True), np.float32)

    def _from_bytes(self, piece: bytes) -> npt.NDArray[np.floating]:
        data = self._rest + piece
        whole = len(data) - len(data) % (ENCODINGS[self.encoding] * self.channels)
        self._rest = data[whole:]
        return wav.decode(data[:whole], self.encoding).reshape(-1, self.channels)

    def _from_array(self, samples: npt.NDArray[Any]) -> npt.NDArray[np.floating]:
        if samples.dtype.kind != "f" and samples.dtype not in (np.int16, np.int32):
            raise AudioError(
                "unsupported_format", f"the samples are {samples.dtype}; expected float32, int16 or int32"
            )
        columns = samples[:, np.newaxis] if samples.ndim == 1 else samples
        if columns.ndim != 2 or columns.shape[1] != self.channels:
            wanted = f"(n, {self.channels})" + (" or (n,)" if self.channels == 1 else "")
            raise AudioError(
                "unsupported_format", f"the samples have shape {samples.shape}; expected {wanted}"
            )
        return wav.to_float(columns)

    def _bad_sample(self, block: npt.NDArray[np.floating]) -> AudioError:
        frame, channel = (int(i[0]) for i in np.nonzero(~(np.abs(block) <= LOUDEST)))
        value = float(block[frame, channel])
        at = (self.frames + frame) / self.sample_rate
        code, wanted = ("out_of_range", "-1 to 1") if np.isfinite(value) else ("non_finite", "finite numbers")
        return AudioError(code, f"a sample at {at:.3f} s is {value:g}; expected {wanted}")


def _check_whole(what: str, value: object, least: int, most: int, unit: str) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= int(value) <= most:  # type: ignore[call-overload]
        raise UsageError("bad_value", f"the {what} is {value!r}; expected {least} to {most}{unit}")
