"""Encoders: each turns features of a padded batch into states over time and a mask of those that exist.

One file per encoder: `vit`, `alexnet` (spectrogram), `bilstm` (MFCC), `speech` (wav2vec2, HuBERT, WavLM,
Whisper) and `waveform` (small, from random weights). They need torch; prediction uses the exported model
instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Inputs = Mapping[str, Tensor]
"""Features by name: "spectrogram" (B, T, 200) dB, "mfcc" (B, T, 40), "waveform" (B, N), "log_mel" (B, T',
80) and "n_samples" (B,) int64, the samples that exist of each item; states of frozen encoders, see Cacheable."""


@runtime_checkable
class Encoder(Protocol):
    """What the co-attention model asks of a branch.

    `inputs` names the features that it reads besides `n_samples`, `dim` is D of its states. Calling it
    gives states (B, T', D) and a mask (B, T') that is True where a state exists; the mask depends on
    `n_samples` alone, states beyond it are arbitrary, and padding an item further never changes the states
    that exist.
    """

    inputs: tuple[str, ...]
    dim: int

    def __call__(self, inputs: Inputs) -> tuple[Tensor, Tensor]: ...  # noqa: D102


class Cacheable(Protocol):
    """An encoder that may be frozen: its states are then computed once, and given to it in place of its features.

    `states_name` is what the inputs call them: "spectrogram_states" (B, P, D) or "speech_states" (B, L, T', D).
    `states_key` names all that decides them besides the features and `n_samples`. `numpy_states` computes them for
    one item (features without batch axis), time first, float16; of those, means of `stride` neighbours are used.
    """

    inputs: tuple[str, ...]
    states_name: str

    @property
    def stride(self) -> int: ...  # noqa: D102

    @property
    def cacheable(self) -> bool: ...  # noqa: D102

    @property
    def states_key(self) -> str: ...  # noqa: D102

    def numpy_states(self, item: Mapping[str, NDArray[Any]]) -> NDArray[np.float16]: ...  # noqa: D102


@runtime_checkable
class Fitted(Protocol):
    """A module with normalisation buffers that are fitted on the training speakers before training."""

    def measure(self, inputs: Inputs) -> Tensor:
        """Return the values to normalise, existing frames only: (rows, F)."""
        ...

    def fit(self, moments: Moments) -> None:
        """Set the buffers from statistics of `measure` over the training data."""
        ...


@dataclass
class Moments:
    """Running count, sum, sum of squares, minimum and maximum of each column, in float64."""

    count: int = 0
    total: Tensor | None = None
    squares: Tensor | None = None
    low: Tensor | None = None
    high: Tensor | None = None

    def add(self, rows: Tensor) -> None:
        """Take in `rows` (n, F)."""
        if not len(rows):
            return
        rows = rows.detach().double()
        total, squares = rows.sum(0), rows.square().sum(0)
        low, high = rows.amin(0), rows.amax(0)
        self.count += len(rows)
        self.total = total if self.total is None else self.total + total
        self.squares = squares if self.squares is None else self.squares + squares
        self.low = low if self.low is None else torch.minimum(self.low, low)
        self.high = high if self.high is None else torch.maximum(self.high, high)

    def mean_std(self) -> tuple[Tensor, Tensor]:
        """Mean and population standard deviation of each column, float32 (F,), the latter at least 1e-3."""
        if self.total is None or self.squares is None:
            raise ValueError("normalisation needs at least one frame of training data, got none")
        mean = self.total / self.count
        variance = (self.squares / self.count - mean.square()).clamp(min=0.0)
        return mean.float(), variance.sqrt().clamp(min=1e-3).float()

    def low_high(self) -> tuple[Tensor, Tensor]:
        """Minimum and maximum of each column, float32 (F,)."""
        if self.low is None or self.high is None:
            raise ValueError("normalisation needs at least one frame of training data, got none")
        return self.low.float(), self.high.float()
