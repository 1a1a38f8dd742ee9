"""A probe that can adapt: its plain head, and a second one fitted on units whose offsets were taken away.

The plain answers are those of the same probe without adaptation, to the last bit. The second head is fitted and
chosen like the first, on statistics less the offsets that `voxaffect.adaptation` finds from what training speakers
(or conditions) sound like without their labels: the out-of-fold answers of the plain head stand for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from voxaffect.adaptation import Gauge, Voice, enrol, fit_gauge, fit_voice
from voxaffect.adaptive import Adaptive
from voxaffect.encoders.speech import SpeechEncoder
from voxaffect.errors import UsageError
from voxaffect.probe import Choice, Pooled, Probe, ProbeOptions, fit_probe
from voxaffect.protocol_options import AdaptationOptions


class AdaptedProbe(Adaptive):
    """A plain and a centred probe on one encoder. Called, it gives the plain logits (B, K) of a batch."""

    def __init__(self, plain: Probe, centred: Probe, voice: Voice, gauge: Gauge, unit: str) -> None:
        super().__init__(voice, gauge, unit)
        self.plain = plain
        self.centred = centred

    @property
    def speech(self) -> SpeechEncoder:
        """The encoder of both."""
        return self.plain.speech

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features that the encoder wants."""
        return self.plain.inputs

    @property
    def speech_layers(self) -> tuple[int, ...]:
        """The states that either reads."""
        return tuple(sorted({*self.plain.speech_layers, *self.centred.speech_layers}))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Plain logits (B, K)."""
        logits: Tensor = self.plain(inputs)
        return logits

    def heard(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Plain logits (B, 1, K) and the centred probe's statistics (B, D)."""
        return self.plain(inputs).unsqueeze(1), self.centred.features(inputs)

    def score(self, statistics: Tensor) -> Tensor:
        """The centred probe's logits (B, 1, K)."""
        return self.centred.score(statistics).unsqueeze(1)


def fit_adapted_probe(
    plain: Probe,
    log_probs: np.ndarray,
    options: ProbeOptions,
    adaptation: AdaptationOptions,
    pooled: Pooled,
    targets: np.ndarray,
    speakers: Sequence[str],
    units: Sequence[str],
    seconds: np.ndarray,
    seed: int,
) -> tuple[AdaptedProbe, dict[str, Any]]:
    """The probe `plain`, made to adapt, and what was chosen for its second head.

    `plain` and its out-of-fold `log_probs` (N, K) are what `fit_probe` gave for the same `pooled`, `targets` and
    `speakers`; `units` (N,) names what is adapted to, the speaker or condition of each.

    Raises:
        UsageError: `no_adaptation` where the utterances do not tell a unit's classes from its voice.
    """
    n_classes = log_probs.shape[1]
    try:
        gauge = fit_gauge(log_probs, targets, units)
    except ValueError as error:
        raise UsageError("no_adaptation", f"there is nothing to adapt by: {error}") from error
    centred: dict[tuple[tuple[int, ...], str], np.ndarray] = {}
    voices: dict[tuple[tuple[int, ...], str], Voice] = {}
    names = np.array(units)
    for point, features in pooled.items():
        x = features.astype(np.float64)
        voices[point] = fit_voice(x, targets, units, n_classes, adaptation.shrinkage)
        for unit in sorted(set(units)):
            rows = names == unit
            enrolment = enrol(features[rows], log_probs[rows], seconds[rows], gauge)
            x[rows] -= voices[point].offset(enrolment)
        centred[point] = x
    second, report, _ = fit_probe(plain.speech, options, centred, targets, speakers, n_classes, seed)
    voice = voices[point_of(second.choice)]
    return AdaptedProbe(plain, second, voice, gauge, adaptation.unit).eval(), report


def point_of(choice: Choice) -> tuple[tuple[int, ...], str]:
    """Which of the pooled statistics a choice reads."""
    return choice.layers, choice.statistics
