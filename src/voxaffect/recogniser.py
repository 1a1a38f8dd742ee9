"""A model ready to run: a stretch of speech in, log-probabilities of every member out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from voxaffect.errors import VoxaffectError
from voxaffect.features import FeatureOptions, collate, segments
from voxaffect.modelfile import ModelFile, open_session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCH = 16
"""Items that go through the model together: enough to keep it busy, few enough for a small memory."""

Item = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Recogniser:
    """What `open_recogniser` returns. Safe to use from several threads."""

    model: ModelFile
    features: FeatureOptions
    session: InferenceSession

    def items(self, waveform: npt.NDArray[np.float32]) -> list[Item]:
        """What the model sees of `waveform` (N,) at 16 kHz: an item for each of its own windows in there."""
        return segments(waveform, self.features, self.model.inputs)

    def log_probs(self, items: Sequence[Item]) -> npt.NDArray[np.float64]:
        """Log-softmax of every member's logits for each item: (n, M, K).

        Raises VoxaffectError `inference_failed` if the model gives anything but finite numbers of that shape.
        """
        parts = [self._run(items[i : i + BATCH]) for i in range(0, len(items), BATCH)]
        logits = np.concatenate(parts).astype(np.float64)  # (n, M, K)
        logits -= logits.max(axis=-1, keepdims=True)
        return np.asarray(logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)), dtype=np.float64)

    def _run(self, items: Sequence[Item]) -> npt.NDArray[np.float32]:
        batch = collate(items)
        names = [value.name for value in self.session.get_inputs()]
        try:
            (logits,) = self.session.run(["logits"], {name: batch[name] for name in names})
        except Exception as error:  # the runtime's own exceptions share no base class
            raise self._failed(f"the runtime says: {str(error).splitlines()[0]}") from error
        expected = (len(items), self.model.members, len(self.model.labels))
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
    session = open_session(model, device=device, threads=threads)
    return Recogniser(
        replace(model, data=b""), features, session
    )  # the runtime has its own copy of the bytes
