"""What the encoders of the spectrogram share: one state or many, trained or frozen, computed here or before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voxaffect.encoders import Inputs
from voxaffect.encoders.checkpoint import weights_digest
from voxaffect.encoders.image import FittedImage, SpectrogramImage
from voxaffect.encoders.masking import exists
from voxaffect.options import to_table

NOT_IN_STATES = ("weights", "frozen", "dropout")
"""Options that say nothing about the states of a frozen encoder, beside its weights' own digest."""


class SpectrogramEncoder(nn.Module):
    """Spectrogram (B, T, 200) to states (B, P, D) and which of them exist (B, P).

    With `pooled` it is a single state, what `pool` makes of the others. If the inputs hold "spectrogram_states"
    (B, P, D), made by `numpy_states` earlier, they are used instead. A frozen encoder takes the same image of a
    spectrogram whoever trains with it: nothing in it is fitted on training speakers.

    An encoder defines `encode` (image to states), `pool`, `n_states` and `dim`.
    """

    inputs: tuple[str, ...] = ("spectrogram",)
    states_name = "spectrogram_states"
    options: Any
    dim: int

    def __init__(self, options: Any, *, size: tuple[int, int] | None, n_channels: int, pooled: bool) -> None:
        """`options` has `image`, `weights` and `frozen`; `size` and `n_channels` are those of the image."""
        super().__init__()
        self.options, self.pooled = options, pooled
        image = SpectrogramImage if options.frozen else FittedImage
        self.image = image(published=options.image == "published", size=size, n_channels=n_channels)

    @property
    def cacheable(self) -> bool:
        """Whether the states never change in training, so that they may be computed once."""
        return bool(self.options.frozen)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all weights, those of the image's preparation included."""
        return weights_digest(self)

    @property
    def stride(self) -> int:
        """Every state is used as it is."""
        return 1

    @property
    def states_key(self) -> str:
        """What decides the states beside the input: weights and options."""
        options = {name: value for name, value in to_table(self.options).items() if name not in NOT_IN_STATES}
        return f"{self.digest} pooled={self.pooled} {json.dumps(options, sort_keys=True)}"

    def freeze(self) -> None:
        """Take the weights out of training, if the options say so; the last thing that a constructor does."""
        if self.options.frozen:
            self.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> SpectrogramEncoder:
        """Switch to training; what is frozen stays in evaluation mode."""
        super().train(mode and not self.options.frozen)
        return self

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return states (B, P, D), one of them if pooled, and which of them exist (B, P)."""
        if self.states_name in inputs:
            states = inputs[self.states_name].float()
            n_states = self.n_states(inputs["n_samples"])
            return states, exists(torch.ones_like(n_states) if self.pooled else n_states, states.shape[1])
        states, mask = self.encode(*self.image(inputs["spectrogram"], inputs["n_samples"]))
        if self.pooled:
            return self.pool(states, mask).unsqueeze(1), mask[:, :1]  # the first state always exists
        return states, mask

    @torch.inference_mode()
    def numpy_states(self, item: Mapping[str, NDArray[Any]]) -> NDArray[np.float16]:
        """All states of one item (features without batch axis) that exist: (P, D) float16, for a cache."""
        inputs = {
            "spectrogram": torch.from_numpy(np.asarray(item["spectrogram"], np.float32))[None],
            "n_samples": torch.tensor([int(item["n_samples"])]),
        }
        states, mask = self(inputs)
        existing: NDArray[np.float16] = states[0, mask[0]].half().numpy()
        return existing

    def encode(self, image: Tensor, n_columns: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a prepared `image` (B, C, H, W) of which `n_columns` (B,) exist."""
        raise NotImplementedError

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return one vector per item (B, D)."""
        raise NotImplementedError

    def n_states(self, n_samples: Tensor) -> Tensor:
        """Return how many states `n_samples` (B,) give before they are pooled."""
        raise NotImplementedError
