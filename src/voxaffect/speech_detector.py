"""Where speech is: of each frame of 32 ms, by the probabilities of a network; without torch.

Many streams are heard together, in a fraction of the time of each by itself; a stream and a file, in pieces of any
size, have the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from voxaffect.speech_network import CONTEXT, FRAME, UNITS, network
from voxaffect.utterances import Detector
from voxaffect.vad import LevelDetector

Floats = npt.NDArray[np.float32]
Decisions = npt.NDArray[np.bool_]
Asked: TypeAlias = tuple[Detector | None, Floats]
"""A detector and the frames (n, frame) that it is to judge; without one, everything is speech."""

ON, OFF = 0.3, 0.15
"""Speech begins at the first probability and ends below the second.

The network's makers take 0.5 and 0.35; but emotional speech has screams and laughter. Of 1440 clips of RAVDESS they
lose 11 whole, these 6; noise, hum and constructed music alone reach 0.23 at most (`benchmarks/vad.py`).
"""
SILENCE_DBFS = -85.0
"""Digital silence and dither lie below; a quiet talker (RAVDESS has clips whose frames are at -70) does not."""
HANGOVER = 31
"""Frames (1 s) below the level of silence that are still looked at; further ones are silence unseen.

By then the network has settled, and hears what comes after as if it had seen all of it; after 0.26 s it has not, and
loses what comes within the next second. A recording begins as if something had just been heard.
"""


class SpeechDetector:
    """Says of frames of 512 samples whether each is speech; keeps the network's state.

    A frame that is silent to `SILENCE_DBFS`, as are those just before it, costs nothing.
    """

    frame = FRAME

    def __init__(self) -> None:
        self._h = np.zeros(UNITS, np.float32)
        self._c = np.zeros(UNITS, np.float32)
        self._before = np.zeros(CONTEXT, np.float32)
        self._quiet = 0
        self._on = False

    def __call__(self, frames: Floats) -> Decisions:
        """Whether each of `frames` (n, 512) is speech: (n,)."""
        return _speech([(self, frames)])[0]

    def probabilities(self, frames: Floats) -> Floats:
        """The probability of speech in each of `frames` (n, 512); 0 where it is too quiet to ask."""
        return _probabilities([(self, frames)])[0]

    def _asked(self, loud: Sequence[bool]) -> list[bool]:
        """Of the next frames, those that are `loud` or come so soon after one that is that the network is asked."""
        asked = []
        for is_loud in loud:
            self._quiet = 0 if is_loud else self._quiet + 1
            asked.append(self._quiet <= HANGOVER)
        return asked

    def _decided(self, probabilities: Floats) -> Decisions:
        speech = np.zeros(len(probabilities), np.bool_)
        for i, probability in enumerate(probabilities.tolist()):
            self._on = probability >= (OFF if self._on else ON)
            speech[i] = self._on
        return speech


def hear(asked: Sequence[Asked]) -> list[Decisions]:
    """What each detector says of its frames, bit by bit as if it had been asked alone. None may be there twice."""
    networks = [(each, frames) for each, frames in asked if isinstance(each, SpeechDetector)]
    together = iter(_speech(networks))
    return [
        next(together)
        if isinstance(detector, SpeechDetector)
        else np.ones(len(frames), np.bool_)
        if detector is None
        else detector(frames)
        for detector, frames in asked
    ]


def _speech(asked: Sequence[tuple[SpeechDetector, Floats]]) -> list[Decisions]:
    answers = zip(asked, _probabilities(asked), strict=True)
    return [detector._decided(probabilities) for (detector, _), probabilities in answers]


def _probabilities(asked: Sequence[tuple[SpeechDetector, Floats]]) -> list[Floats]:
    """The probabilities (n,) of each detector's frames (n, 512); those of all go through the network together."""
    heard = [(detector, frames) for detector, frames in asked if len(frames)]
    if not heard:
        return [np.zeros(0, np.float32) for _ in asked]
    frames = np.concatenate([frames for _, frames in heard])  # (n, 512)
    lengths = [len(frames) for _, frames in heard]
    starts = np.cumsum([0, *lengths[:-1]])
    before = np.empty((len(frames), CONTEXT), np.float32)
    before[1:] = frames[:-1, -CONTEXT:]
    before[starts] = [detector._before for detector, _ in heard]
    loud = (frames.var(axis=1) >= 10 ** (SILENCE_DBFS / 10)).tolist()
    wanted: list[bool] = []
    stretches: list[tuple[SpeechDetector, int]] = []  # and how many of its frames the network is asked of
    last = frames[starts + lengths - 1, -CONTEXT:]
    for (detector, own), own_last in zip(heard, last, strict=True):
        chosen = detector._asked(loud[len(wanted) : len(wanted) + len(own)])
        wanted += chosen
        stretches.append((detector, sum(chosen)))
        detector._before = own_last
    probabilities = np.zeros(len(frames), np.float32)
    seen = np.concatenate([before, frames], axis=1)
    probabilities[wanted] = _through_network(seen if all(wanted) else seen[wanted], stretches)
    said = iter(np.split(probabilities, starts[1:]))
    return [next(said) if len(frames) else np.zeros(0, np.float32) for _, frames in asked]


def _through_network(seen: Floats, stretches: Sequence[tuple[SpeechDetector, int]]) -> Floats:
    """Probabilities (n,) of `seen` (n, 576), of which so many rows follow each other for each detector."""
    lengths = np.array([n for _, n in stretches])
    ends = np.cumsum(lengths)
    order = np.argsort(-lengths, kind="stable")  # the network wants the longest first
    order = order[: np.count_nonzero(lengths)]
    if not len(order):
        return np.zeros(0, np.float32)
    detectors = [stretches[i][0] for i in order.tolist()]
    h = np.stack([detector._h for detector in detectors])
    c = np.stack([detector._c for detector in detectors])
    probabilities = network()(seen, (ends - lengths)[order], lengths[order], h, c)
    for detector, h_after, c_after in zip(detectors, h, c, strict=True):
        detector._h, detector._c = h_after, c_after
    return probabilities


def detectors(vad: bool | str) -> Callable[[], Detector | None]:
    """What makes the detector of each channel: none where `vad` is False, of levels where it is "level".

    Raises as `network`.
    """
    if vad is False:
        return lambda: None
    if vad == "level":
        return LevelDetector
    network()
    return SpeechDetector
