"""The same recording twice: found at another gain, sample rate or codec, with other silence around it, in noise.

Each recording leaves a print of 7 kilobytes, so that memory grows with the number of recordings and no faster. Two
steps find pairs. The first compares envelopes: the log-mel levels of the two seconds on each side of the centre of
energy, which moves with the sound whatever was cut or added at the ends; an utterance's `N_NEIGHBOURS` most alike are
candidates. The second compares the waveforms there, 100 to 1000 Hz, where every codec keeps them: two readings of one
sentence by one actor are alike in envelope, never in waveform.

Measured on 60 clips each of EmoDB, RAVDESS and nEMO, each altered in sixteen ways and looked for among all of its
corpus. All 1980 were found after: gain -26 dB, 8 kHz, 44.1 kHz, mu-law, MP3, Vorbis and Opus at their lowest rates,
silence around it, cut to the speech, noise at 30 and at 20 dB. Of 180 each: GSM 178, AAC at 32 and at 16 kbit/s 178,
AMR at 12.2 kbit/s 174 and at 4.75 kbit/s 162. No other recording was taken for one of them: of the 3561 clips the
waveforms of any two agree to 0.589 at most, but for RAVDESS' known pair. Another speed is not found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voxaffect.audio import SAMPLE_RATE, mono, open_audio
from voxaffect.features import NATIVE, extract
from voxaffect.spectral import HOP_LENGTH, mel_filters

MAX_SECONDS = 60
"""Of a longer recording the first minute is compared, and all of it hashed."""
MIN_SECONDS = 0.2
"""Below this there is too little to tell recordings apart."""
FRAME_HOPS = 4
FRAME_SECONDS = FRAME_HOPS * HOP_LENGTH / SAMPLE_RATE
"""A frame of the envelope is the mean power of four frames of the log-mel: 40 ms."""
REACH_SECONDS = 2.0
"""The envelope's reach on each side of the centre of energy."""
STEP_FRAMES = 2
"""It is kept at every second frame."""
BANDS = 16
LOWEST, HIGHEST = 200.0, 3400.0
"""Hz of the envelope: what a telephone carries."""
RANGE = 50.0
"""dB below the loudest frames at which the envelope ends; below that, noise and codecs differ."""
WAVE_RATE, WAVE_LOWEST, WAVE_HIGHEST, WAVE_REACH_SECONDS = 2000, 100.0, 1000.0, 1.0
"""The waveform's sample rate, band (Hz) and reach."""
N_NEIGHBOURS = 6
SIMILAR = 0.7
"""The least correlation of two envelopes whose waveforms are compared."""
SAME = 0.65
"""The least agreement of two waveforms of one recording; see above."""
BLOCK_CELLS = 8_000_000
"""Correlations held at a time: 32 MB."""
UPSAMPLING = 4
"""Lags are tried at an eighth of a millisecond: 1000 Hz turns by 45 degrees in it."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What is kept of one recording.

    `digest` is the sha256 of all samples at 16 kHz and 16 bit: equal in lossless copies. `envelope` (of unit length)
    and `waveform` (loudest sample 127) are flat, and empty where there is nothing to compare: silence, or less than
    0.2 s.
    """

    digest: str
    envelope: Floats
    waveform: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Twins:
    """Two recordings, by position, that are the same: lossless copies (`agreement` 1, `exact`) or alike."""

    first: int
    second: int
    agreement: float
    exact: bool


def fingerprint(path: Path, start: float | None = None, end: float | None = None) -> Fingerprint:
    """The fingerprint of the file `path`, or of the stretch from `start` to `end` (s) of it.

    Raises what `voxaffect.audio.open_audio` and the reading of its blocks raise.
    """
    digest, kept, n_kept = hashlib.sha256(), [], 0
    with open_audio(path, start=start or 0.0, end=end) as reader:
        for block in reader.blocks():
            samples = mono(block)
            digest.update(np.round(samples * 32768).clip(-32768, 32767).astype("<i2").tobytes())
            if n_kept < MAX_SECONDS * SAMPLE_RATE:
                kept.append(samples)
                n_kept += len(samples)
    samples = np.concatenate([np.zeros(0, np.float32), *kept])
    return Fingerprint(digest.hexdigest(), *_print(samples))


def twins(prints: Sequence[Fingerprint]) -> tuple[Twins, ...]:
    """The pairs of `prints` that are one recording, by position.

    Of lossless copies each is paired with the first of them, and that one alone is compared with other recordings.
    Memory is linear in N; the time of the first step is quadratic, about a minute for 50,000 recordings.
    """
    first: dict[str, int] = {}
    pairs = []
    for i, p in enumerate(prints):
        j = first.setdefault(p.digest, i)
        if j != i:
            pairs.append(Twins(j, i, 1.0, True))
    distinct = [i for i in first.values() if len(prints[i].envelope)]
    for a, b in sorted(_candidates([prints[i].envelope for i in distinct])):
        i, j = distinct[a], distinct[b]
        agreement = waveform_agreement(prints[i].waveform, prints[j].waveform)
        if agreement >= SAME:
            pairs.append(Twins(i, j, agreement, False))
    return tuple(sorted(pairs, key=lambda t: (t.first, t.second)))


def waveform_agreement(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """The largest absolute correlation of two waveforms over all lags: 1 for copies, whatever their gain and sign.

    >>> round(waveform_agreement([0.0, 3.0, -4.0, 0.0], [-0.3, 0.4, 0.0, 0.0]), 6)
    1.0
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    n = 1 << (len(x) + len(y) - 1).bit_length()
    cross = np.fft.rfft(x, n) * np.conj(np.fft.rfft(y, n))
    lags = np.fft.irfft(cross, n * UPSAMPLING) * UPSAMPLING
    scale = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(np.abs(lags).max()) / scale if scale else 0.0


def _print(samples: Floats) -> tuple[Floats, npt.NDArray[np.int8]]:
    """Envelope and waveform about the centre of energy; both empty where there is nothing to compare."""
    nothing = np.zeros(0, np.float32), np.zeros(0, np.int8)
    peak = float(np.abs(samples).max(initial=0.0))
    if len(samples) < MIN_SECONDS * SAMPLE_RATE or peak == 0:
        return nothing
    log_mel = extract(samples / np.float32(peak), NATIVE, ("log_mel",))["log_mel"]
    n = len(log_mel) // FRAME_HOPS
    power = 10.0 ** (4.0 * log_mel[: n * FRAME_HOPS].astype(np.float64) - 4.0)  # Whisper's scaling undone
    power = power.reshape(n, FRAME_HOPS, -1).mean(axis=1)
    power = np.stack([power[:, band].mean(axis=1) for band in _bands(power.shape[1])], axis=1)  # (T, BANDS)
    energy = power.sum(axis=1)
    centre = float(np.arange(n) @ energy / energy.sum())
    levels = 10.0 * np.log10(np.maximum(power, np.finfo(float).tiny))
    loudest = np.percentile(levels.max(axis=1), 99)
    levels = np.maximum(levels - loudest + RANGE, 0.0)
    reach = round(REACH_SECONDS / FRAME_SECONDS)
    places = centre + np.arange(-reach, reach + 1, STEP_FRAMES)
    around = np.stack([np.interp(places, np.arange(n), band, left=0.0, right=0.0) for band in levels.T])
    around -= around.mean(axis=1, keepdims=True)
    length = float(np.linalg.norm(around))
    if length == 0:
        return nothing
    return (around / length).astype(np.float32).ravel(), _around(samples, (centre + 0.5) * FRAME_SECONDS)


def _around(samples: Floats, centre: float) -> npt.NDArray[np.int8]:
    """The waveform within a second of `centre` (s), band-limited, at 2 kHz, zero outside the recording."""
    reach = round(
        2 * WAVE_REACH_SECONDS * SAMPLE_RATE
    )  # twice as far, so that cutting it out leaves no trace
    middle = round(centre * WAVE_RATE) * SAMPLE_RATE // WAVE_RATE
    stretch = np.zeros(2 * reach)
    first, last = max(middle - reach, 0), min(middle + reach, len(samples))
    stretch[first - middle + reach : last - middle + reach] = samples[first:last]
    n_kept = len(stretch) * WAVE_RATE // SAMPLE_RATE
    spectrum = np.fft.rfft(stretch)[: n_kept // 2 + 1]
    hertz = np.arange(len(spectrum)) * SAMPLE_RATE / len(stretch)
    wave = np.fft.irfft(np.where((hertz >= WAVE_LOWEST) & (hertz <= WAVE_HIGHEST), spectrum, 0.0), n_kept)
    wave = wave[n_kept // 4 : n_kept // 4 + n_kept // 2]
    loudest = float(np.abs(wave).max()) or 1.0
    return np.round(127 * wave / loudest).astype(np.int8)


def _bands(n_mels: int) -> list[npt.NDArray[np.int64]]:
    """Which mel bands each band of the envelope is the mean of."""
    filters = mel_filters(400, n_mels, "slaney").astype(np.float64)  # (F, n_mels)
    centres = np.linspace(0, SAMPLE_RATE / 2, len(filters)) @ filters / filters.sum(axis=0)
    return np.array_split(np.flatnonzero((centres >= LOWEST) & (centres < HIGHEST)), BANDS)


def _candidates(envelopes: Sequence[Floats]) -> Iterator[tuple[int, int]]:
    """Each pair of which one is among the other's nearest neighbours and similar enough, once."""
    if len(envelopes) < 2:
        return
    every = np.stack(envelopes)  # (N, D)
    n_rows = max(1, BLOCK_CELLS // len(every))
    seen: set[tuple[int, int]] = set()
    for start in range(0, len(every), n_rows):
        similarity = every[start : start + n_rows] @ every.T
        rows = np.arange(len(similarity))
        similarity[rows, start + rows] = -1.0  # nobody is a neighbour of himself
        k = min(N_NEIGHBOURS, len(every) - 1)
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        for row in rows:
            for j in nearest[row]:
                pair = min(start + row, j), max(start + row, j)
                if similarity[row, j] >= SIMILAR and pair not in seen:
                    seen.add(pair)
                    yield int(pair[0]), int(pair[1])
