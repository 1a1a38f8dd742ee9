"""A model ready to run: a stretch of speech in, log-probabilities of every member out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from voxaffect.errors import VoxaffectError
from voxaffect.features import FeatureOptions, collate, segments, segments_of_all
from voxaffect.modelfile import ADAPTED, OFFSET, STATISTICS, VOICE, ModelFile, open_session
from voxaffect.overlap import Place

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCH = 16
"""Items that go through the model together: enough to keep it busy, few enough for a small memory."""

PLAIN = ("logits",)
"""What a model gives that is not adapted."""

Item = dict[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recogniser:
    """What `open_recogniser` returns. Safe to use from several threads."""

    model: ModelFile
    features: FeatureOptions
    session: InferenceSession
    offset: npt.NDArray[np.float32] | None = None
    """What the enrolled voice adds to the model's statistics (D,): its answers are then adapted to that voice."""
    whole: Callable[[], InferenceSession] | None = None
    """Where `session` gives plain logits alone: opens what gives all that adapting needs."""

    def items(self, waveform: npt.NDArray[np.float32]) -> list[Item]:
        """What the model sees of `waveform` (N,) at 16 kHz: an item for each of its own windows in there."""
        return segments(waveform, self.features, self.model.inputs)

    def items_of_all(
        self, waveforms: Sequence[npt.NDArray[np.float32]], places: Sequence[Place] = ()
    ) -> list[list[Item]]:
        """`items` of each of `waveforms`, each (N,) at 16 kHz; faster together, and with `places`, than one by one."""
        return segments_of_all(waveforms, self.features, self.model.inputs, places)

    def log_probs(self, items: Sequence[Item]) -> npt.NDArray[np.float64]:
        """Log-softmax of every member's logits for each item: (n, M, K).

        Raises VoxaffectError `inference_failed` if the model gives anything but finite numbers of that shape.
        """
        parts = [self._run(items[i : i + BATCH]) for i in range(0, len(items), BATCH)]
        return _log_softmax(np.concatenate(parts))

    def means(
        self, waveforms: Sequence[npt.NDArray[np.float32]], places: Sequence[Place] = ()
    ) -> list[Floats]:
        """Every member's mean log-probabilities (M, K) over each of `waveforms`, each (N,) at 16 kHz.

        Waveforms of one recording or of many go through the model together. `places` may say where each stands (see
        `features.segments_of_all`). Raises as `log_probs`.
        """
        if not waveforms:
            return []
        by_waveform = self.items_of_all(waveforms, places)
        log_probs = self.log_probs([item for items in by_waveform for item in items])
        return averaged(log_probs, [len(items) for items in by_waveform])

    def statistics(self, items: Sequence[Item]) -> tuple[Floats, Floats, Floats]:
        """Of a model that can adapt: statistics (n, D) and plain log-probabilities (n, M, K) of each item, and what
        training voices have in common, their mean above the classes' shifts: (1 + K, D).

        Raises VoxaffectError `inference_failed` if the model gives anything but finite numbers of these shapes.
        """
        plain = replace(self, offset=None)
        found, answers = [], []
        voice: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)
        for i in range(0, len(items), BATCH):
            batch = items[i : i + BATCH]
            statistics, logits, voice = plain._outputs((STATISTICS, "logits", VOICE), batch)
            found.append(statistics)
            answers.append(self._checked(logits, len(batch)))
        together = np.concatenate(found).astype(np.float64)
        expected = (1 + len(self.model.labels), together.shape[-1])
        if together.ndim != 2 or len(together) != len(items) or voice.shape != expected:
            raise self._failed(f"its statistics have shape {together.shape}, its voice {voice.shape}")
        if not (np.isfinite(together).all() and np.isfinite(voice).all()):
            raise self._failed("it gave numbers that are not finite")
        return together, _log_softmax(np.concatenate(answers)), np.asarray(voice, dtype=np.float64)

    def _run(self, items: Sequence[Item]) -> npt.NDArray[np.float32]:
        (logits,) = self._outputs(PLAIN if self.offset is None else (ADAPTED,), items)
        return self._checked(logits, len(items))

    def _outputs(self, names: Sequence[str], items: Sequence[Item]) -> list[npt.NDArray[np.float32]]:
        batch = collate(items)
        session = self.session if self.whole is None or names == PLAIN else self.whole()
        given = {value.name: batch[value.name] for value in session.get_inputs()}
        if self.offset is not None:
            given[OFFSET] = self.offset
        try:
            return list(session.run(list(names), given))
        except Exception as error:  # the runtime's own exceptions share no base class
            raise self._failed(f"the runtime says: {str(error).splitlines()[0]}") from error

    def _checked(self, logits: npt.NDArray[np.float32], n: int) -> npt.NDArray[np.float32]:
        expected = (n, self.model.members, len(self.model.labels))
        if logits.shape != expected:
            raise self._failed(f"its logits have shape {logits.shape} instead of {expected}")
        if not np.isfinite(logits).all():
            raise self._failed("it gave numbers that are not finite")
        return np.asarray(logits, dtype=np.float32)

    def _failed(self, reason: str) -> VoxaffectError:
        return VoxaffectError(
            "inference_failed",
            f"the model {self.model.name!r} failed: {reason}",
            hint=f"check it with: voxaffect models verify {self.model.path}",
        )


def open_recogniser(model: ModelFile, *, device: str = "auto", threads: int = 1) -> Recogniser:
    """The model with its session; errors are those of `ModelFile.features` and `open_session`."""
    features = model.features
    session = open_session(model, device=device, threads=threads, plain=model.adapts)

    @cache
    def whole() -> InferenceSession:
        return open_session(model, device=device, threads=threads)

    # The runtime has its own copy of the bytes; a model that adapts is opened a second time only where it does.
    return Recogniser(replace(model, data=b""), features, session, whole=whole if model.adapts else None)


def averaged(log_probs: Floats, counts: Sequence[int]) -> list[Floats]:
    """The mean (M, K) of each run of items in `log_probs` (n, M, K), of which `counts` says how long they are."""
    return [part.mean(axis=0) for part in np.split(log_probs, np.cumsum(counts)[:-1])]


def _log_softmax(logits: npt.NDArray[np.float32]) -> Floats:
    z = logits.astype(np.float64)  # (n, M, K)
    z -= z.max(axis=-1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=-1, keepdims=True)), dtype=np.float64)
