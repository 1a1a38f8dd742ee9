"""Sound that is alike only where it is the same: seeded syllables with a pitch that wanders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16_000


def voice(seed: int, seconds: float = 2.0) -> NDArray[np.float32]:
    """(N,) float32: five syllables a second, each with its own formant, on one wandering pitch."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    t = np.arange(n) / RATE
    corners = np.linspace(0, seconds, max(2, round(5 * seconds)))
    pitch = np.interp(t, corners, rng.uniform(100, 250, len(corners)))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formant = np.interp(t, corners, rng.uniform(300, 2500, len(corners)))
    loudness = np.interp(t, corners, rng.uniform(0.0, 1.0, len(corners))) ** 2
    sound = np.zeros(n)
    for harmonic in range(1, 16):
        weight = np.exp(-(((harmonic * pitch - formant) / 500) ** 2))
        sound += weight * np.sin(harmonic * phase + rng.uniform(0, 2 * np.pi))
    sound = loudness * sound + 0.002 * rng.normal(0, 1, n)
    return np.asarray(0.5 * sound / np.abs(sound).max(), dtype=np.float32)
