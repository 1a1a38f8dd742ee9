"""The features of stretches of one length, computed together; of each they are as if it were alone, bit by bit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voxaffect.feature_options import N_BINS, N_MFCC, FeatureOptions
from voxaffect.spectral import (
    BLOCK_FRAMES,
    HOP_LENGTH,
    SAMPLE_RATE,
    Floats,
    Stft,
    cosine_transform,
    power_blocks,
    taper_sum,
    write_mel_bands,
)

_WHISPER = Stft(n_fft=400, taper="hann", length=400)
_WHISPER_MELS = 80
_TINY_POWER = 1e-10  # librosa's `amin`: what a logarithm may see at least


def n_frames(n_samples: int) -> int:
    """Frames of the spectrogram and of the MFCC of `n_samples` samples: one each 10 ms, and one more."""
    return 1 + n_samples // HOP_LENGTH


@dataclass(frozen=True)
class Shared:
    """Blocks of frames that stretches have in common with those `before`, (T', 40) each, `shift` blocks later there."""

    blocks: range = range(0)
    shift: int = 0
    before: Sequence[Floats | None] = ()

    def runs(self, n_frames: int) -> list[range]:
        """The blocks of `n_frames` that are left to be computed, those that follow each other together."""
        n_blocks = -(-n_frames // BLOCK_FRAMES)
        if not self.blocks:
            return [range(n_blocks)]
        return [run for run in (range(self.blocks.start), range(self.blocks.stop, n_blocks)) if run]

    def copy_to(self, mfcc: Floats) -> None:
        """Fill in what is known of `mfcc` (S, T, 40)."""
        rows = slice(self.blocks.start * BLOCK_FRAMES, self.blocks.stop * BLOCK_FRAMES)
        there = slice(rows.start + self.shift * BLOCK_FRAMES, rows.stop + self.shift * BLOCK_FRAMES)
        for own, before in zip(mfcc, self.before, strict=False):  # of nothing there is no `before`
            assert before is not None
            own[rows] = before[there]


def extracted(
    plain: Sequence[Floats], options: FeatureOptions, wanted: Sequence[str], shared: Shared
) -> list[dict[str, Floats]]:
    """The features of stretches (N,) of one length; of each they are as if it were alone."""
    signals = np.stack(plain) if len(plain) > 1 else plain[0][None]
    emphasised = _pre_emphasised(signals, options.pre_emphasis)
    features: dict[str, Floats] = {}
    if "spectrogram" in wanted or "mfcc" in wanted:
        features |= _spectra(emphasised, options, "spectrogram" in wanted, "mfcc" in wanted, shared)
    if "waveform" in wanted:
        features["waveform"] = emphasised
    if "log_mel" in wanted:
        features["log_mel"] = _log_mel(signals)
    return [{name: values[i] for name, values in features.items()} for i in range(len(plain))]


def _spectra(
    signals: Floats, options: FeatureOptions, spectrogram: bool, mfcc: bool, shared: Shared
) -> dict[str, Floats]:
    """Spectrograms and MFCCs of signals (S, N); from one transform where both are of the same."""
    n = n_frames(signals.shape[1])
    relative = options.reference == "peak"
    levels = np.empty((len(signals), n, N_BINS), np.float32) if spectrogram else None
    bands = np.empty((len(signals), n, options.n_mels), np.float32) if mfcc else None
    peak = np.zeros(len(signals), np.float32)
    runs = shared.runs(n)
    stfts = ([options.spectrogram_stft] if spectrogram else []) + ([options.mfcc_stft] if mfcc else [])
    for stft in dict.fromkeys(stfts):
        levels_here = levels if stft == options.spectrogram_stft else None
        bands_here = bands if stft == options.mfcc_stft else None
        # In single precision, bins 80 dB below the peak err by up to 5e-3 dB; cepstra average that out.
        double = relative and levels_here is not None
        blocks = [block for run in runs for block in run]
        for frames, power in power_blocks(signals, stft, n, double=double, blocks=blocks):
            if levels_here is not None:
                levels_here[:, frames] = power[..., :N_BINS]
                if relative:
                    peak = np.maximum(peak, power.max(axis=(1, 2)))  # of all bins, not of the lowest 200
            if bands_here is not None:
                write_mel_bands(power, stft, options.n_mels, "htk", bands_here[:, frames])
    features = {}
    if levels is not None:
        features["spectrogram"] = _levels(levels, peak, options)
    if bands is not None:
        features["mfcc"] = cepstra = np.empty((*bands.shape[:2], N_MFCC), np.float32)
        for run in runs:
            rows = slice(run.start * BLOCK_FRAMES, run.stop * BLOCK_FRAMES)
            cepstra[:, rows] = _cepstra(bands[:, rows], options)
        shared.copy_to(cepstra)
    return features


def _levels(power: Floats, peak: Floats, options: FeatureOptions) -> Floats:
    """Spectrograms in dB, in place of their power; `peak` (S,) is the largest power of all bins."""
    if options.reference == "peak":
        _decibels(power, _TINY_POWER)
        loudest = np.maximum(peak.astype(np.float64), _TINY_POWER)
        power -= (10.0 * np.log10(loudest)).astype(np.float32)[:, None, None]
        return np.maximum(power, np.float32(options.floor), out=power)
    power *= _per_full_scale(options.spectrogram_stft)
    return _decibels(power, 10.0 ** (options.floor / 10.0))


def _cepstra(bands: Floats, options: FeatureOptions) -> Floats:
    """MFCCs (S, T, 40) of the power in mel bands (S, T, n_mels), which is overwritten."""
    if options.reference == "peak":
        _decibels(bands, _TINY_POWER)
        floors = bands.max(axis=(1, 2), keepdims=True) + np.float32(options.floor)
        np.maximum(bands, floors, out=bands)
    else:
        # A filter's weights sum to 1 / bin width: times that width, a band is the mean power of its bins.
        bands *= np.float32(SAMPLE_RATE / options.mfcc_n_fft) * _per_full_scale(options.mfcc_stft)
        _decibels(bands, 10.0 ** (options.floor / 10.0))
    # A frame's mean level, -100 dB in silence, goes into coefficient 0 alone. Set apart, it costs the sums
    # over the bands no precision: with it they erred by 2e-3 in silent frames.
    level = bands.mean(axis=-1, keepdims=True)
    bands -= level
    mfcc = cosine_transform(bands, N_MFCC)
    mfcc[..., :1] += level * np.float32(np.sqrt(options.n_mels))
    return mfcc


def _per_full_scale(stft: Stft) -> np.float32:
    """The factor that makes the power of a sine of amplitude 1, at a bin's centre, 1."""
    return np.float32((2.0 / taper_sum(stft)) ** 2)


def _log_mel(signals: Floats) -> Floats:
    """Whisper's input (S, N // 160, 80), without its padding to 30 s: 80 dB below the maximum is the floor."""
    n = signals.shape[1] // HOP_LENGTH  # the frame centred beyond the last whole hop is dropped
    bands = np.empty((len(signals), n, _WHISPER_MELS), np.float32)
    if n == 0:
        return bands
    for frames, power in power_blocks(signals, _WHISPER, n):
        write_mel_bands(power, _WHISPER, _WHISPER_MELS, "slaney", bands[:, frames])
    np.log10(np.maximum(bands, np.float32(_TINY_POWER), out=bands), out=bands)
    np.maximum(bands, bands.max(axis=(1, 2), keepdims=True) - np.float32(8.0), out=bands)
    bands += np.float32(4.0)
    bands *= np.float32(0.25)
    return bands


def _decibels(power: Floats, least: float) -> Floats:
    """10 log10 of the power, in place, nothing below `least`."""
    np.maximum(power, np.float32(least), out=power)
    np.log(power, out=power)  # without AVX-512 NumPy takes several times as long for log10
    power *= np.float32(10.0 / math.log(10.0))
    return power


def _pre_emphasised(signals: Floats, coefficient: float) -> Floats:
    if coefficient == 0.0:
        return signals
    emphasised = np.empty_like(signals)
    emphasised[:, 0] = signals[:, 0]
    np.multiply(signals[:, :-1], np.float32(-coefficient), out=emphasised[:, 1:])
    emphasised[:, 1:] += signals[:, 1:]
    return emphasised
