"""Rooms, noises, telephones and cuts for training audio: what surrounds speech where people record it.

A teacher hears the audio before them and the student after: so the student learns to tell what was said from what is
left of it. None of these noises is one of `voxaffect.degradation`, by which models are judged: there are babble,
speech-shaped noise, hum and chords, here noise in bands that swell by themselves, gliding tones, and clatter.

Sources: Karjalainen and Järveläinen, "Reverberation modeling using velvet noise", AES 30th conference, 2007 (a room as
sparse impulses of random sign); ITU-T G.711 (mu-law, its continuous form).
"""

from __future__ import annotations

import numpy as np

from voxaffect.augmentation import SAMPLE_RATE, coloured, fft_length
from voxaffect.degradation import ACTIVE_DB, Array, Noise, Voices, as_loud, with_noise
from voxaffect.features import HOP_LENGTH
from voxaffect.recipe import SurroundingsOptions
from voxaffect.vad import FRAME_SAMPLES, frame_levels

MU = 255.0
TEACHER_STEP = 2 * HOP_LENGTH
"""Samples from one of a teacher's states to the next: cuts begin with one of them."""
BAND_EDGES = np.geomspace(150, 8000, 7)
"""Hz; below the first and above each lies a band of its own."""
DENSITY = 1500
"""Impulses a second of a room's velvet noise: from about there it sounds smooth."""


def surrounded(waveform: Array, options: SurroundingsOptions, rng: np.random.Generator) -> Array:
    """`waveform` (N,) float32 at 16 kHz in a room, a noise and through a telephone, each as it is drawn: (N,)."""
    samples = waveform
    if rng.random() < options.room:
        samples = in_room(samples, rng.uniform(*options.rt60), rng)
    if rng.random() < options.noise:
        noise = NOISES[int(rng.integers(len(NOISES)))]
        samples = with_noise(samples, rng, (), noise=noise, snr_db=rng.uniform(*options.snr))
    if rng.random() < options.telephone:
        samples = by_telephone(samples)
    return samples


def drawn_cut(waveform: Array, options: SurroundingsOptions, rng: np.random.Generator) -> tuple[int, int]:
    """Where a version of `waveform` (N,) begins and ends, in samples: all of it, or a short stretch.

    A stretch holds a frame that is within ACTIVE_DB of the loudest, and begins at a multiple of TEACHER_STEP.
    """
    n = len(waveform)
    if rng.random() >= options.short:
        return 0, n
    length = round(rng.uniform(*options.length) * SAMPLE_RATE)
    if length >= n:
        return 0, n
    levels = frame_levels(waveform)
    heard = FRAME_SAMPLES * int(rng.choice(np.flatnonzero(levels >= levels.max() - ACTIVE_DB)))
    start = int(np.clip(heard - rng.uniform(0.1, 0.9) * length, 0, n - length))
    start -= start % TEACHER_STEP
    return start, start + length


def in_room(waveform: Array, rt60: float, rng: np.random.Generator) -> Array:
    """`waveform` in a room where sound falls by 60 dB in `rt60` s, as loud as before.

    The direct sound is 5 dB weaker to 15 dB stronger than the reflections, whose high tones the walls take away.
    """
    n = max(round(rt60 * SAMPLE_RATE), 1)
    at = rng.integers(SAMPLE_RATE // 500, SAMPLE_RATE // 500 + n, max(round(DENSITY * rt60), 1))
    tail = np.zeros(SAMPLE_RATE // 500 + n, np.float32)
    tail[at] = rng.choice([-1.0, 1.0], len(at)) * 10 ** (-3 * (at - at.min()) / n)
    length = fft_length(len(waveform) + len(tail))
    response = np.fft.rfft(tail, length)
    response /= 1 + 1j * np.linspace(0, SAMPLE_RATE / 2, len(response)) / rng.uniform(1500, 6000)
    power = float(np.mean(np.abs(response) ** 2))
    response = 1 + response * np.sqrt(10 ** (-rng.uniform(-5, 15) / 10) / power)
    wet = np.fft.irfft(np.fft.rfft(waveform, length) * response, length)
    return as_loud(wet[: len(waveform)].astype(np.float32), waveform)


def by_telephone(waveform: Array) -> Array:
    """`waveform` at 8 kHz in 8 bits of mu-law, and back at 16 kHz: (N,)."""
    import soxr

    narrow = soxr.resample(waveform, SAMPLE_RATE, SAMPLE_RATE // 2)
    pressed = np.sign(narrow) * np.log1p(MU * np.minimum(np.abs(narrow), 1)) / np.log1p(MU)
    steps = np.round(pressed * 127) / 127
    coarse = np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(MU)) / MU
    wide = soxr.resample(coarse.astype(np.float32), SAMPLE_RATE // 2, SAMPLE_RATE)
    return np.pad(wide, (0, max(len(waveform) - len(wide), 0)))[: len(waveform)].astype(np.float32)


def swelling(n: int, rng: np.random.Generator, voices: Voices) -> Array:
    """(n,) of noise in bands, each of which swells and fades by itself one to ten times a second."""
    length = fft_length(n)
    spectrum = np.fft.rfft(coloured(length, rng), length)
    edges = np.searchsorted(np.linspace(0, SAMPLE_RATE / 2, len(spectrum)), BAND_EDGES)
    time = np.arange(length) / SAMPLE_RATE
    total = np.zeros(length, np.float32)
    for low, high in zip([0, *edges], [*edges, len(spectrum)], strict=True):
        band = np.zeros_like(spectrum)
        band[low:high] = spectrum[low:high]
        knots = np.arange(0, time[-1] + 1, 1 / rng.uniform(2, 20))
        swell = np.interp(time, knots, 10 ** (rng.uniform(-20, 10, len(knots)) / 20))
        total += np.fft.irfft(band, length).astype(np.float32) * swell.astype(np.float32)
    return total[:n]


def gliding(n: int, rng: np.random.Generator, voices: Voices) -> Array:
    """(n,) of one to four tones with overtones whose pitch wanders and which come and go: sirens, engines, beeps."""
    time = np.arange(n) / SAMPLE_RATE
    total = np.zeros(n)
    for _ in range(int(rng.integers(1, 5))):
        knots = np.arange(0, n / SAMPLE_RATE + 1, rng.uniform(0.1, 1.0))
        octaves = np.cumsum(rng.normal(0, 0.3, len(knots))).clip(-2, 2)
        phase = (
            2 * np.pi * np.cumsum(rng.uniform(100, 1500) * 2 ** np.interp(time, knots, octaves)) / SAMPLE_RATE
        )
        shape = sum(np.sin(k * phase) / k**2 for k in range(1, int(rng.integers(2, 5))))
        total += (
            shape * np.interp(time, knots, (rng.random(len(knots)) < 0.6).astype(float)) * rng.uniform(0.2, 1)
        )
    return (total + 1e-3 * rng.standard_normal(n)).astype(np.float32)


def clatter(n: int, rng: np.random.Generator, voices: Voices) -> Array:
    """(n,) of knocks that ring off within 10 to 100 ms, over a faint noise: keys, dishes, steps."""
    total = 0.02 * rng.standard_normal(n)
    for start in rng.integers(0, max(n, 1), 1 + rng.poisson(4 * n / SAMPLE_RATE)):
        time = np.arange(min(SAMPLE_RATE // 5, n - start)) / SAMPLE_RATE
        ring = np.sin(2 * np.pi * rng.uniform(300, 5000) * time) + rng.standard_normal(len(time))
        total[start : start + len(time)] += (
            ring * np.exp(-time / rng.uniform(0.005, 0.05)) * rng.uniform(0.2, 1)
        )
    return total.astype(np.float32)


def steady(n: int, rng: np.random.Generator, voices: Voices) -> Array:
    """(n,) of noise between white and brown."""
    return coloured(n, rng)


NOISES: tuple[Noise, ...] = (steady, swelling, gliding, clatter)
