"""Runs a model on made-up sounds: does it give probabilities at all, whatever the length?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voxaffect.audio import SAMPLE_RATE
from voxaffect.modelfile import ModelFile
from voxaffect.recogniser import Recogniser, open_recogniser

LENGTHS = (0.25, 3.0, 7.5)
"""Seconds: shorter than any window, a window, and more than one."""


def tried(model: ModelFile, device: str = "cpu") -> Recogniser:
    """`model`, ready to run, once it gave probabilities for sounds of LENGTHS.

    Raises VoxaffectError `inference_failed`, and as `open_recogniser`.
    """
    recogniser = open_recogniser(model, device=device)
    for seconds in LENGTHS:
        recogniser.log_probs(recogniser.items(hum(seconds)))
    return recogniser


def hum(seconds: float) -> npt.NDArray[np.float32]:
    """A hum with four syllables a second, and some noise (N,) at 16 kHz."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    voice = np.sin(2 * np.pi * 120 * t) * (1 + np.sin(2 * np.pi * 4 * t)) / 4
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(t))
    return np.asarray(voice + noise, dtype=np.float32)
