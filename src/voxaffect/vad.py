"""Where sound is, by its level alone, and what is wrong with its signal.

It tells sound from silence, not speech from noise: music, hum and breathing over the threshold are active. Where speech
is, `voxaffect.speech_detector` says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voxaffect.audio import SAMPLE_RATE

FRAME_SECONDS = 0.02
FRAME_SAMPLES = SAMPLE_RATE * 20 // 1000
THRESHOLD_DBFS = -65.0
"""A frame at or over this level is active.

The loudest frame is at -54.5 dBFS or more in each of the 1440 RAVDESS clips, the quietest of which has -63.7
as a whole. Below the threshold lie a dead microphone at -71, idle mu-law noise at -72 and 16-bit dither at
-92. Idle noise of 8-bit PCM (-42) counts as active.
"""
FULL_SCALE = 0.99
CLIPPED_SHARE = 0.002
"""Share of samples at or over FULL_SCALE from which a stretch is `clipped`.

Speech that is merely normalised to full scale has 0.0002 at most (EmoDB); clipped by 12 dB, 0.006 or more.
"""
DC_OFFSET = 0.02
"""Mean of the samples from which a stretch has `dc`."""

_FLOOR = 1e-20  # power; -200 dBFS stands for digital zero


def frame_levels(waveform: NDArray[np.float32]) -> NDArray[np.float64]:
    """The level of each 20 ms frame in dBFS, its mean removed: (N,) at 16 kHz to (ceil(N / 320),).

    0 dBFS is a square wave of full scale, so a full-scale sine has -3.01. A frame cut short at the end is
    measured over what there is of it. Digital silence is -200.
    """
    samples = np.asarray(waveform, dtype=np.float64)
    whole = len(samples) - len(samples) % FRAME_SAMPLES
    powers = samples[:whole].reshape(-1, FRAME_SAMPLES).var(axis=1)
    if whole < len(samples):
        powers = np.append(powers, samples[whole:].var())
    levels: NDArray[np.float64] = 10 * np.log10(np.maximum(powers, _FLOOR))
    return levels


def loudest_dbfs(waveform: NDArray[np.float32]) -> float:
    """The level of the loudest frame in dBFS; -200 for digital silence and for no samples at all."""
    return float(frame_levels(waveform).max(initial=-200.0))


class LevelDetector:
    """Takes for speech each frame of 20 ms whose level reaches the threshold: what `vad="level"` asks for."""

    frame = FRAME_SAMPLES

    def __init__(self, threshold_dbfs: float = THRESHOLD_DBFS) -> None:
        self._threshold = threshold_dbfs

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether each of `frames` (n, 320) is loud enough: (n,)."""
        return frame_levels(frames.reshape(-1)) >= self._threshold


def silence_message(loudest: float) -> str:
    """What is said of a recording without speech, from its `loudest_dbfs`."""
    if loudest >= THRESHOLD_DBFS:
        return f"there is sound (loudest {loudest:.0f} dBFS), but no speech in it; to judge it all the same: --no-vad"
    level = "digital silence" if loudest <= -200.0 else f"loudest {loudest:.0f} dBFS"
    return f"{level}; check the microphone, or use --no-vad"


def quality_flags(waveform: NDArray[np.float32]) -> tuple[str, ...]:
    """What is wrong with the recording of a stretch (N,): none, one or both of `clipped` and `dc`."""
    if not len(waveform):
        return ()
    flags = []
    if np.count_nonzero(np.abs(waveform) >= FULL_SCALE) >= CLIPPED_SHARE * len(waveform):
        flags.append("clipped")
    if abs(float(np.mean(waveform, dtype=np.float64))) >= DC_OFFSET:
        flags.append("dc")
    return tuple(flags)
