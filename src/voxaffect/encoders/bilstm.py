"""Bidirectional LSTM over the MFCCs.

Source: H. Zou et al., ICASSP 2022 (two layers, 256 each way, L2-normalised frames). The backward direction
is a second LSTM on each item reversed within its own length, so padding changes nothing and any length
exports to ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxaffect.encoders import Inputs, Moments
from voxaffect.encoders.masking import clear, divide_up, exists, masked_mean, n_hops, positions
from voxaffect.errors import UsageError

N_MFCC = 40
_NORMALISE = ("l2", "standardise", "centre", "none")


@dataclass(frozen=True)
class BiLstmOptions:
    """`hidden` units each way, `layers`, `dropout` between layers, `stack` frames joined into one step.

    `normalise` "l2" (each frame to unit length, published), "standardise" (each coefficient by the training
    speakers' mean and standard deviation, which keeps loudness), "centre" (each coefficient less its mean over the
    item itself, and by the training speakers' standard deviation of what is left: voice, channel and level matter
    less) or "none".
    """

    hidden: int = 256
    layers: int = 2
    dropout: float = 0.5
    stack: int = 1
    normalise: Literal["l2", "standardise", "centre", "none"] = "l2"

    def __post_init__(self) -> None:
        if self.normalise not in _NORMALISE:
            raise UsageError(
                "bad_option", f"bilstm normalise {self.normalise!r}; expected one of {list(_NORMALISE)}"
            )
        if min(self.hidden, self.layers, self.stack) < 1:
            raise UsageError("bad_option", "bilstm hidden, layers and stack must be at least 1")


class BiLstm(nn.Module):
    """MFCC (B, T, 40) to states (B, ceil(T / stack), 2 * hidden)."""

    inputs = ("mfcc",)
    mean: Tensor
    std: Tensor

    def __init__(self, options: BiLstmOptions) -> None:
        super().__init__()
        self.options, self.dim = options, 2 * options.hidden
        self.register_buffer("mean", torch.zeros(N_MFCC))
        self.register_buffer("std", torch.ones(N_MFCC))
        sizes = [N_MFCC * options.stack] + [self.dim] * (options.layers - 1)
        self.forwards = nn.ModuleList(nn.LSTM(size, options.hidden, batch_first=True) for size in sizes)
        self.backwards = nn.ModuleList(nn.LSTM(size, options.hidden, batch_first=True) for size in sizes)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return states (B, T', 2H), forward half first, and which of them exist (B, T')."""
        x = inputs["mfcc"]
        n = n_hops(inputs["n_samples"], x.shape[1])
        if self.options.normalise == "l2":
            x = x / x.square().sum(2, keepdim=True).sqrt().clamp(min=1e-12)
        elif self.options.normalise == "standardise":
            x = (x - self.mean) / self.std
        elif self.options.normalise == "centre":
            x = _centred(x, exists(n, x.shape[1])) / self.std
        x = clear(x, exists(n, x.shape[1]))
        if self.options.stack > 1:
            x, n = _stack(x, self.options.stack), divide_up(n, self.options.stack)
        mask = exists(n, x.shape[1])
        reverse = _reversal(n, mask)
        for i, (ahead, back) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            if i:
                x = self.dropout(x)
            backwards = back(_reorder(x, reverse))[0]
            x = torch.cat([ahead(x)[0], _reorder(backwards, reverse)], dim=2)
        return x, mask

    def measure(self, inputs: Inputs) -> Tensor:
        """Existing frames of the batch, (rows, 40); centred if that is how they are normalised."""
        mfcc = inputs["mfcc"]
        mask = exists(n_hops(inputs["n_samples"], mfcc.shape[1]), mfcc.shape[1])
        return (_centred(mfcc, mask) if self.options.normalise == "centre" else mfcc)[mask]

    def fit(self, moments: Moments) -> None:
        """Set mean and standard deviation of each coefficient."""
        mean, std = moments.mean_std()
        self.mean.copy_(mean)
        self.std.copy_(std)


def _centred(x: Tensor, mask: Tensor) -> Tensor:
    return x - masked_mean(x, mask).unsqueeze(1)


def _stack(x: Tensor, n: int) -> Tensor:
    """Join each `n` neighbouring frames: (B, T, F) to (B, ceil(T / n), n F)."""
    length = x.shape[1]
    padded = F.pad(x, (0, 0, 0, n - 1))
    return torch.cat([padded[:, i : i + length : n] for i in range(n)], dim=2)


def _reversal(n: Tensor, mask: Tensor) -> Tensor:
    """Index (B, T) that reverses the first n positions of each item and leaves the rest in place."""
    steps = positions(mask.shape[1], n).unsqueeze(0)
    return torch.where(mask, n.unsqueeze(1) - 1 - steps, steps)


def _reorder(x: Tensor, index: Tensor) -> Tensor:
    return x.gather(1, index.unsqueeze(-1).expand(-1, -1, x.shape[2]))
