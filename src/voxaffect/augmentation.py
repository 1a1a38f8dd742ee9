"""Changes to training audio and features that a listener would forgive; never used on dev or test audio."""

from __future__ import annotations

from typing import Any

import numpy as np

from voxaffect.recipe import AugmentationOptions

SAMPLE_RATE = 16_000
Array = np.ndarray[Any, np.dtype[np.float32]]


def altered_copy(waveform: Array, options: AugmentationOptions, rng: np.random.Generator) -> Array:
    """One altered copy of `waveform` (N,) float32 at 16 kHz: speed, equaliser or telephone band, noise, level.

    Speed changes pitch and length together, as a tape does. The level change is up to `options.gain` dB either way.
    """
    samples = change_speed(waveform, rng.uniform(*options.speed))
    if rng.random() < options.filter:
        samples = telephone(samples) if rng.random() < 0.3 else equalise(samples, rng)
    if rng.random() < options.noise:
        samples = add_noise(samples, rng.uniform(*options.noise_snr), rng)
    if options.gain:
        samples = samples * np.float32(10 ** (rng.uniform(-options.gain, options.gain) / 20))
    return np.clip(samples, -1.0, 1.0).astype(np.float32)


def change_speed(waveform: Array, factor: float) -> Array:
    """`waveform` played `factor` times as fast, pitch included: (N,) -> about (N / factor,)."""
    if abs(factor - 1.0) < 1e-3:
        return waveform
    import soxr

    # Playing faster is resampling to a lower rate and calling the result 16 kHz.
    return np.asarray(soxr.resample(waveform, SAMPLE_RATE * factor, SAMPLE_RATE), dtype=np.float32)


def add_noise(waveform: Array, snr_db: float, rng: np.random.Generator) -> Array:
    """`waveform` with noise between white and brown at `snr_db` below its mean power."""
    noise = coloured(len(waveform), rng)
    noise_power = float(np.mean(noise**2))
    power = float(np.mean(waveform**2))
    if noise_power <= 0 or power <= 0:
        return waveform
    return waveform + noise * np.float32(np.sqrt(power / noise_power * 10 ** (-snr_db / 10)))


def coloured(n: int, rng: np.random.Generator) -> Array:
    """(n,) of noise between white and brown."""
    length = fft_length(n)
    spectrum = np.fft.rfft(rng.standard_normal(length).astype(np.float32))
    slope = rng.uniform(0.0, 1.0)  # 0: white, 0.5: pink, 1: brown (power falling by 0, 3, 6 dB an octave)
    spectrum *= np.maximum(np.arange(len(spectrum)), 1).astype(np.float32) ** -np.float32(slope)
    return np.fft.irfft(spectrum, length)[:n].astype(np.float32)


def equalise(waveform: Array, rng: np.random.Generator, depth_db: float = 8.0) -> Array:
    """`waveform` through a smooth random equaliser of up to `depth_db` either way."""
    knots = rng.uniform(-depth_db, depth_db, 6)
    return _shape_spectrum(
        waveform, lambda hz: np.interp(np.log2(hz + 50), np.log2(np.geomspace(50, 8050, 6)), knots)
    )


def telephone(waveform: Array) -> Array:
    """`waveform` in the telephone band, 300 to 3400 Hz with soft edges."""

    def gain(hz: np.ndarray) -> np.ndarray:
        below = np.clip((hz - 200) / 100, 0, 1)
        above = np.clip((3700 - hz) / 300, 0, 1)
        return -60.0 * (1 - below * above)

    return _shape_spectrum(waveform, gain)


def _shape_spectrum(waveform: Array, gain_db: Any) -> Array:
    length = fft_length(len(waveform))
    spectrum = np.fft.rfft(waveform, length)
    hz = np.linspace(0, SAMPLE_RATE / 2, len(spectrum))
    shaped = spectrum * (10 ** (gain_db(hz) / 20)).astype(np.float32)
    return np.fft.irfft(shaped, length)[: len(waveform)].astype(np.float32)


def fft_length(n: int) -> int:
    """A length of small prime factors, 0.1 s or more beyond `n`: quick, and the end does not ring into the start."""
    step = 4096
    return (n + SAMPLE_RATE // 10 + step - 1) // step * step


def mask_features(
    item: dict[str, np.ndarray], options: AugmentationOptions, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """`item` with up to two bands of time frames and of frequency bins replaced by the features' mean.

    Time masks fall on the same moments of the spectrogram, the MFCC and the speech states.
    Source: Park et al., "SpecAugment", Interspeech 2019, equations of section 2.
    """
    if not options.time_mask and not options.frequency_mask:
        return item
    masked = dict(item)
    spans = [(rng.uniform(0, 1), int(rng.integers(0, options.time_mask + 1))) for _ in range(2)]
    for name in ("spectrogram", "mfcc"):
        if name not in item:
            continue
        values = item[name].copy()
        mean = values.mean(axis=0, keepdims=True)
        for position, width in spans:
            start = int(position * max(len(values) - width, 1))
            values[start : start + width] = mean
        if name == "spectrogram":
            for _ in range(2):
                width = int(rng.integers(0, options.frequency_mask + 1))
                low = int(rng.integers(0, values.shape[1] - width + 1))
                values[:, low : low + width] = values.mean()
        masked[name] = values
    if "speech_states" in item:  # 50 frames a second against 100
        states = item["speech_states"].copy()
        for position, width in spans:
            start = int(position * max(len(states) - width // 2, 1))
            states[start : start + width // 2] = 0
        masked["speech_states"] = states
    return masked
