"""What every model that can adapt has: a plain answer, statistics, a second head for them, and what voices share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from voxaffect.adaptation import Enrolment, Gauge, Voice, enrol
from voxaffect.closed_form import joined_votes


class Adaptive(nn.Module):
    """Called, it gives the plain logits (B, K) of a batch; nothing is adapted unless `adapted_log_probs` is asked.

    A subclass says what it hears (`heard`) and how its second head answers (`score`).
    """

    voice_mean: Tensor
    voice_shifts: Tensor

    def __init__(self, voice: Voice, gauge: Gauge, unit: str) -> None:
        super().__init__()
        self.gauge = gauge
        self.unit = unit
        self.shrinkage = voice.shrinkage
        self.register_buffer("voice_mean", torch.from_numpy(voice.mean).float())
        self.register_buffer("voice_shifts", torch.from_numpy(voice.shifts).float())

    def heard(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The plain logits of its members (B, M, K), and the statistics (B, D) that an offset is taken from."""
        raise NotImplementedError

    def score(self, statistics: Tensor) -> Tensor:
        """The logits (B, M, K) of the second head for statistics (B, D) less an offset."""
        raise NotImplementedError

    @property
    def voice(self) -> Voice:
        """What the training units have in common."""
        return Voice(self.voice_mean.double().numpy(), self.voice_shifts.double().numpy(), self.shrinkage)

    def enrol(self, statistics: np.ndarray, log_probs: np.ndarray, seconds: np.ndarray) -> Enrolment:
        """`voxaffect.adaptation.enrol` by this model's gauge."""
        return enrol(statistics, log_probs, seconds, self.gauge)

    def adapted_log_probs(self, statistics: np.ndarray, enrolment: Enrolment) -> np.ndarray:
        """Log-probabilities (N, K) for statistics (N, D), adapted to `enrolment`."""
        with torch.inference_mode():
            x = torch.from_numpy(np.asarray(statistics - self.voice.offset(enrolment), dtype=np.float32))
            return np.asarray(joined_votes(self.score(x)).double().numpy())

    def description(self) -> dict[str, Any]:
        """What a file needs besides the weights to enrol by: JSON values."""
        return {"shrinkage": self.shrinkage, "gauge": self.gauge.to_dict()}
