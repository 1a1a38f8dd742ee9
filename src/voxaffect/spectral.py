"""Short-time power spectra, mel filters and the cosine transform: the arithmetic under the features.

Everything is NumPy; what comes out is single precision. Frames are cut, tapered and transformed in blocks
that stay in a core's cache, so that the memory beside the answer is about a megabyte, whatever the length of
the recording.

No matrix product here has more than 2^18 multiplications: beyond that OpenBLAS splits it over all cores,
and on a busy machine its threads then wait for each other many times longer than the work takes (measured on
two busy cores: 311 ms in place of 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Hz: the one rate at which features are made."""
HOP_LENGTH = 160
"""Samples from frame to frame: 10 ms."""
TAPERS = ("hamming", "hann")
"""Shapes of the analysis window."""

Floats = NDArray[np.float32]
MelScale = Literal["htk", "slaney"]

BLOCK_FRAMES = 25
"""Frames that are computed together; a second is whole blocks."""
LARGEST_PRODUCT = 2**18
"""Multiplications that OpenBLAS does in one thread."""


@dataclass(frozen=True, slots=True)
class Stft:
    """A short-time Fourier transform: `length` samples under a `taper`, zeros up to `n_fft`, every 10 ms."""

    n_fft: int
    taper: str
    length: int

    def __post_init__(self) -> None:
        if self.taper not in TAPERS:
            raise ValueError(f"unknown taper {self.taper!r}; expected one of {list(TAPERS)}")
        if self.n_fft < 2 or self.n_fft % 2:
            raise ValueError(f"n_fft must be even and positive, got {self.n_fft}")
        if not 0 < self.length <= self.n_fft:
            raise ValueError(f"a taper of {self.length} samples does not fit an FFT of {self.n_fft}")

    @property
    def n_bins(self) -> int:
        """Frequency bins from 0 Hz to the Nyquist frequency, both included."""
        return self.n_fft // 2 + 1

    @property
    def reach(self) -> int:
        """Samples under the taper before the centre of a frame."""
        return self.n_fft // 2 - (self.n_fft - self.length) // 2

    def inner_blocks(self, n_samples: int) -> range:
        """The blocks of frames of a signal of `n_samples` that see nothing beyond its ends."""
        first = -(-self.reach // (HOP_LENGTH * BLOCK_FRAMES))
        last_frame = (n_samples - self.length + self.reach) // HOP_LENGTH
        return range(first, max(first, (last_frame + 1) // BLOCK_FRAMES))


def power_blocks(
    signals: Floats,
    stft: Stft,
    n_frames: int,
    *,
    double: bool = False,
    blocks: Iterable[int] | None = None,
) -> Iterator[tuple[slice, Floats]]:
    """Yield the power spectra |X|^2 of `signals` (S, N) block by block: (which frames, (S, B, F) float32).

    With `double` the transform is done in float64 and then rounded. `blocks` are the numbers of those that are wanted,
    by default all. The next block overwrites the array. A block of a signal's spectrum is the same to the last bit
    whatever the others are.

    Frame t is centred on sample 160 t. Beyond its ends a signal goes on as its mirror image (the end sample is not
    doubled), as often as it takes: every length has an answer.
    """
    real, complex_ = (np.float64, np.complex128) if double else (np.float32, np.complex64)
    # Only with norm="forward" does NumPy transform float32 as float32 (2.0 to 2.4: without a norm it goes to
    # float64 and back, in 1.6 times the time). That norm divides by n_fft, which the taper makes up for.
    taper = _taper(stft.taper, stft.length, double) * real(stft.n_fft)
    # Where samples lie in the FFT frame changes the phase alone: they go first, the zeros after them.
    block = (len(signals), min(BLOCK_FRAMES, n_frames))
    frames = np.zeros((*block, stft.n_fft), real)
    spectrum = np.empty((*block, stft.n_bins), complex_)
    power = np.empty(spectrum.shape, np.float32)
    imaginary = np.empty(spectrum.shape, np.float32)
    reach = stft.reach
    for number in range(-(-n_frames // BLOCK_FRAMES)) if blocks is None else blocks:
        first = number * BLOCK_FRAMES
        n = min(BLOCK_FRAMES, n_frames - first)
        start = first * HOP_LENGTH - reach
        stretch = np.ascontiguousarray(_mirrored(signals, start, start + (n - 1) * HOP_LENGTH + stft.length))
        # Overlapping rows over the same memory; unlike as_strided, this constructor checks the bounds.
        shape, strides = (len(signals), n, stft.length), (stretch.strides[0], HOP_LENGTH * 4, 4)
        rows: Floats = np.ndarray(shape, np.float32, stretch, 0, strides)
        np.multiply(rows, taper, out=frames[:, :n, : stft.length])
        np.fft.rfft(frames[:, :n], norm="forward", out=spectrum[:, :n])
        np.square(spectrum.real[:, :n], out=power[:, :n], casting="same_kind")
        np.square(spectrum.imag[:, :n], out=imaginary[:, :n], casting="same_kind")
        power[:, :n] += imaginary[:, :n]
        yield slice(first, first + n), power[:, :n]


def write_mel_bands(power: Floats, stft: Stft, n_mels: int, scale: MelScale, out: Floats) -> None:
    """Write the power in mel bands of a block that `power_blocks` yielded, (S, B, n_mels), to `out`."""
    for bins, bands, weights in _mel_parts(stft.n_fft, n_mels, scale):
        np.matmul(power[..., bins], weights, out=out[..., bands])


def cosine_transform(rows: Floats, n_out: int) -> Floats:
    """The first `n_out` coefficients of each row's orthonormal DCT-II: (S, T, n_out) of (S, T, n)."""
    basis = _cosines(rows.shape[-1], n_out)
    transformed = np.empty((*rows.shape[:-1], n_out), np.float32)
    for first in range(0, rows.shape[1], BLOCK_FRAMES):
        block = slice(first, first + BLOCK_FRAMES)
        np.matmul(rows[:, block], basis, out=transformed[:, block])
    return transformed


def taper_sum(stft: Stft) -> float:
    """The sum of the analysis window: a sine of amplitude 1 has half of it as its magnitude."""
    return float(_taper(stft.taper, stft.length, True).sum())


@lru_cache(maxsize=16)
def mel_filters(n_fft: int, n_mels: int, scale: MelScale) -> Floats:
    """Triangular mel filters from 0 Hz to 8 kHz, each of unit area over the frequency in Hz (Slaney's way).

    Shape: (F, n_mels) float32, read-only.
    Source: M. Slaney, Auditory Toolbox, 1998 (normalisation; the `slaney` scale, linear below 1 kHz,
    logarithmic above); S. Young et al., The HTK Book (the `htk` scale, 2595 log10(1 + f / 700)).
    """
    nyquist = SAMPLE_RATE / 2
    edges = _hertz(np.linspace(0.0, _mel(nyquist, scale), n_mels + 2), scale)
    bins = np.linspace(0.0, nyquist, n_fft // 2 + 1)[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    return _read_only(np.maximum(0.0, triangles) * (2.0 / (high - low)))


@lru_cache(maxsize=8)
def _cosines(n_in: int, n_out: int) -> Floats:
    angles = np.pi / n_in * np.outer(np.arange(n_in) + 0.5, np.arange(n_out))
    basis = np.sqrt(2.0 / n_in) * np.cos(angles)
    basis[:, 0] = np.sqrt(1.0 / n_in)
    return _read_only(basis)


@lru_cache(maxsize=8)
def _mel_parts(n_fft: int, n_mels: int, scale: MelScale) -> tuple[tuple[slice, slice, Floats], ...]:
    """`mel_filters` a few bands at a time, without most of the zeros: (bins, bands, weights) of each part.

    As many parts as it takes to keep each product below the largest.
    """
    filters = mel_filters(n_fft, n_mels, scale)
    for n_parts in range(4, n_mels + 1, 4):
        parts = []
        for first, last in pairwise(i * n_mels // n_parts for i in range(n_parts + 1)):
            used = np.flatnonzero(filters[:, first:last].any(axis=1))
            bins = slice(int(used[0]), int(used[-1]) + 1)
            parts.append((bins, slice(first, last), np.ascontiguousarray(filters[bins, first:last])))
        if all(weights.size * BLOCK_FRAMES <= LARGEST_PRODUCT for _, _, weights in parts):
            break
    return tuple(parts)


def _mirrored(signals: Floats, start: int, stop: int) -> Floats:
    """Samples `start` to `stop` of signals (S, N) continued by reflection; a view where none is needed."""
    last = signals.shape[1] - 1
    if start >= 0 and stop <= last + 1:
        return signals[:, start:stop]
    if last == 0:  # the mirror image of one sample is that sample
        return np.repeat(signals, stop - start, axis=1)
    if -last <= start <= last and 0 < stop <= 2 * last + 1:  # one reflection at most at each end: slices do
        before = signals[:, max(-start, 0) : 0 : -1]
        after = signals[:, 2 * last - stop + 1 : last][:, ::-1]
        return np.concatenate([before, signals[:, max(start, 0) : stop], after], axis=1)
    index = np.arange(start, stop) % (2 * last)
    return signals[:, np.minimum(index, 2 * last - index)]


@lru_cache(maxsize=16)
def _taper(name: str, length: int, double: bool) -> NDArray[Any]:
    """The periodic window, as for spectral analysis: its period is `length`, not `length - 1`."""
    constant = {"hamming": 0.54, "hann": 0.5}[name]
    values = constant - (1.0 - constant) * np.cos(2.0 * np.pi * np.arange(length) / length)
    return _read_only(values, double)


def _mel(hertz: float, scale: MelScale) -> float:
    if scale == "htk":
        return float(2595.0 * np.log10(1.0 + hertz / 700.0))
    return (
        hertz * 3.0 / 200.0 if hertz < 1000.0 else float(15.0 + 27.0 * np.log(hertz / 1000.0) / np.log(6.4))
    )


def _hertz(mel: NDArray[np.float64], scale: MelScale) -> NDArray[np.float64]:
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp((mel - 15.0) * np.log(6.4) / 27.0))


def _read_only(values: NDArray[np.float64], double: bool = False) -> NDArray[Any]:
    """The table, locked: were it changed, every later call that finds it in the cache would be wrong."""
    table = values.astype(np.float64 if double else np.float32)
    table.flags.writeable = False
    return table
