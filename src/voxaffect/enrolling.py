"""From clips of one speaker or recording condition, without labels, to a recogniser that answers adapted to them.

A model file that can adapt holds the heads and what training speakers have in common; its metadata holds the
gauges. What is done with them is `voxaffect.adaptation`, the same as in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from voxaffect.adaptation import Floats, Gauge, Voice, enrol
from voxaffect.audio import SAMPLE_RATE, AudioInput, mono, open_audio
from voxaffect.errors import ArtefactError, AudioError, UsageError, VoxaffectError
from voxaffect.modelfile import ModelFile
from voxaffect.recogniser import BATCH, Item, Recogniser
from voxaffect.speech_detector import detectors
from voxaffect.utterances import Detector, Step, Utterances, Window
from voxaffect.voting import log_mean

LITTLE = 10.0
"""Seconds of speech under which the answer warns: much of the gain is not there yet."""


@dataclass(frozen=True)
class Enrolled:
    """What a recogniser was adapted to: `seconds` of speech in `clips`, and how far, 0 to 1, it counts as a mix of
    emotions. In `silent` more clips was no speech."""

    seconds: float
    clips: int
    mixture: float
    silent: int = 0
    cut: bool = True
    """Whether it is the speech in the clips, or all of them."""

    @property
    def message(self) -> str:
        """For people."""
        given = self.clips + self.silent
        clips = f"{f'{self.clips} of ' if self.silent else ''}{given} clip{'' if given == 1 else 's'}"
        text = f"to {self.seconds:.1f} s of {'speech' if self.cut else 'audio'} in {clips}"
        if self.seconds < LITTLE:
            text += f"; {LITTLE:.0f} s and more do better"
        if self.mixture < 0.5:
            text += "; they sound like few emotions, which was allowed for"
        return text


def adapted(
    recogniser: Recogniser, clips: Iterable[AudioInput], *, window: float, vad: bool | str = True
) -> tuple[Recogniser, Enrolled]:
    """`recogniser` answering adapted to the speech in `clips`, all channels averaged, in pieces of `window` seconds.

    Where speech is, is found as in what is judged: `vad` is that of `Predictor.predict`.

    Raises:
        UsageError: `cannot_adapt`: the model has no such input; `no_enrolment`: no clips were given.
        AudioError: a clip cannot be read; `no_speech`: there is none in any of them.
        ArtefactError: `model_refused`: what the model says of its adaptation is not usable; `vad_missing`.
    """
    model = recogniser.model
    if not model.adapts:
        raise UsageError(
            "cannot_adapt",
            f"the model {model.name!r} cannot adapt: it has no input for it",
            hint="leave out the enrolment, or export a model from a recipe with [adaptation]",
        )
    heard = _hear(recogniser, clips, window, vad)
    statistics, log_probs, voice, seconds = heard.joined()
    offsets, mixtures, at, member = [], [], 0, 0
    for width, count, shrinkage, gauge in _members(model):
        part = slice(at, at + width)
        answers = log_mean(log_probs[:, member : member + count])
        enrolment = enrol(statistics[:, part], answers, seconds, gauge)
        offsets.append(Voice(voice[0, part], voice[1:, part], shrinkage).offset(enrolment))
        mixtures.append(enrolment.mixture)
        at, member = at + width, member + count
    if at != statistics.shape[1]:
        raise _unusable(model, f"its members have {at} statistics, its graph {statistics.shape[1]}")
    offset = np.concatenate(offsets).astype(np.float32)
    mixture = round(float(np.mean(mixtures)), 3)
    enrolled = Enrolled(round(float(seconds.sum()), 2), heard.clips, mixture, heard.silent, vad is not False)
    return replace(recogniser, offset=offset), enrolled


@dataclass
class _Heard:
    """What the model made of the pieces of speech so far; no audio is kept."""

    recogniser: Recogniser
    clips: int = 0
    silent: int = 0
    items: list[Item] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    parts: list[tuple[Floats, Floats, Floats]] = field(default_factory=list)

    def take(self, waveform: npt.NDArray[np.float32], seconds: float) -> None:
        """`waveform` brings `seconds` of speech that was not in any before."""
        found = self.recogniser.items(waveform)
        self.items += found
        self.seconds += [seconds / len(found)] * len(found)
        if len(self.items) >= BATCH:
            self.recognise()

    def recognise(self) -> None:
        if self.items:
            self.parts.append(self.recogniser.statistics(self.items))
            self.items.clear()

    def joined(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Statistics (n, D), log-probabilities (n, M, K), voice (1 + K, D) and seconds (n,)."""
        statistics, log_probs, voices = zip(*self.parts, strict=True)
        return np.concatenate(statistics), np.concatenate(log_probs), voices[0], np.array(self.seconds)


def _hear(recogniser: Recogniser, clips: Iterable[AudioInput], window: float, vad: bool | str) -> _Heard:
    heard = _Heard(recogniser)
    detector = detectors(vad)
    for clip in clips:
        spoken = False
        done = 0
        for step in _steps(clip, detector, round(window * SAMPLE_RATE)):
            if isinstance(step, Window) and step.suffices:
                heard.take(step.samples, (step.stop - max(step.start, done)) / SAMPLE_RATE)
                done = step.stop  # the last window of an utterance reaches back
                spoken = True
        heard.clips += spoken
        heard.silent += not spoken
    if not heard.clips + heard.silent:
        raise UsageError("no_enrolment", "there are no clips to enrol", hint="name audio of the same voice")
    heard.recognise()
    if not heard.parts:
        silent = "the clip" if heard.silent == 1 else f"any of the {heard.silent} clips"
        raise AudioError(
            "no_speech",
            f"there is no speech in {silent} to enrol",
            hint="listen to what you name; --no-vad enrols it all, whatever it is",
        )
    return heard


def _steps(clip: AudioInput, detector: Callable[[], Detector | None], window: int) -> Iterator[Step]:
    """The utterances of a clip, cut into windows of `window` samples, one after the other."""
    utterances = Utterances(detector(), window=window, hop=window)
    with open_audio(clip) as reader:
        for block in reader.blocks():
            yield from utterances.feed(mono(block))
    yield from utterances.flush()


def _members(model: ModelFile) -> list[tuple[int, int, float, Gauge]]:
    """Of each group of members that share their statistics, as the metadata has them: number of statistics, number of
    members, shrinkage and gauge."""
    try:
        rows: list[dict[str, Any]] = model.metadata["adaptation"]["members"]
        found = [
            (
                int(row["width"]),
                int(row.get("members", 1)),
                float(row["shrinkage"]),
                Gauge.from_dict(row["gauge"], len(model.labels)),
            )
            for row in rows
        ]
        counts = [count for _, count, *_ in found]
        if min(counts, default=0) < 1 or sum(counts) != model.members:
            raise ValueError(f"{sum(counts)} members, not {model.members}")
        return found
    except (KeyError, TypeError, ValueError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise _unusable(model, reason) from error


def _unusable(model: ModelFile, reason: str) -> VoxaffectError:
    return ArtefactError(
        "model_refused",
        f"{model.path} is refused: what it says of its adaptation is not usable: {reason}",
        where=str(model.path),
    )
