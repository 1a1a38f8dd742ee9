"""Lengths and masks: what exists in a padded batch, and how to keep the rest from changing the answer.

Items are padded with zeros at the back; `n_samples` alone says what exists. A hop (10 ms) exists when all
of its 160 samples do, so 3 s are 300 hops although their centred spectrogram has a 301st frame: that last
frame looks half beyond the end and is left out. Everything here is plain tensor work that exports to ONNX
with any length.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

HOP_LENGTH = 160
"""Samples from one spectrogram, MFCC or log-mel frame to the next."""


def is_tracing() -> bool:
    """Whether an export is being traced: sizes are tensors then, and checks of them would fix them."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def n_hops(n_samples: Tensor, n_frames: int) -> Tensor:
    """Count the whole hops in `n_samples` (B,): at least one, at most the tensor's `n_frames`."""
    return divide_down(n_samples, HOP_LENGTH).clamp(min=1, max=n_frames)


def divide_down(lengths: Tensor, stride: int) -> Tensor:
    """Return `lengths` (B,) int64 divided by `stride`, rounded towards zero.

    That is one ONNX node where floor takes seven; callers clamp to at least 1, so they differ for no length.
    """
    return lengths.div(stride, rounding_mode="trunc")


def divide_up(lengths: Tensor, stride: int) -> Tensor:
    """Return `lengths` (B,) int64 divided by `stride`, rounded up (the length after a strided layer)."""
    return divide_down(lengths + (stride - 1), stride)


def length_after(lengths: Tensor, kernel: int, stride: int, padding: int = 0) -> Tensor:
    """Length after a convolution or pool: floor((n + 2 padding - kernel) / stride) + 1, and at least one."""
    return (divide_down(lengths + (2 * padding - kernel), stride) + 1).clamp(min=1)


def positions(n_positions: int, like: Tensor) -> Tensor:
    """Return 0 .. n_positions - 1, int64 on the device of `like`."""
    return torch.arange(n_positions, device=like.device)


def exists(lengths: Tensor, n_positions: int) -> Tensor:
    """Return (B, n_positions) bool: True where position < length."""
    return positions(n_positions, lengths).unsqueeze(0) < lengths.unsqueeze(1)


def clear(states: Tensor, mask: Tensor) -> Tensor:
    """Set to zero what does not exist: `states` (B, T, D), `mask` (B, T)."""
    return states.masked_fill(~mask.unsqueeze(-1), 0.0)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis of `scores`, counting only where `mask` (broadcastable) is True."""
    return F.softmax(scores.masked_fill(~mask, -1e9), dim=-1)


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean over the time axis of `states` (B, T, D) where `mask` (B, T) is True -> (B, D)."""
    weights = mask.to(states.dtype)
    return (states * weights.unsqueeze(-1)).sum(1) / weights.sum(1, keepdim=True).clamp(min=1.0)


def sample_points(n_from: Tensor, n_to: Tensor, n_positions: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where to read when each item's first `n_from` (B,) points are stretched to `n_to` (B,) points.

    Returns the lower and upper index and the weight of the upper one, each (B, n_positions). It is bilinear
    interpolation with half-pixel centres (align_corners=False) for each item at its own length, so that equal
    lengths give the identity and padding behind an item changes nothing.
    """
    steps = positions(n_positions, n_to).unsqueeze(0).float()
    scale = (n_from.float() / n_to.float()).unsqueeze(1)
    last = (n_from - 1).unsqueeze(1)
    points = ((steps + 0.5) * scale - 0.5).clamp(min=0.0)
    lower = points.floor().long()
    weight = points - lower.float()
    return lower.minimum(last), (lower + 1).minimum(last), weight


def stretch(states: Tensor, n_from: Tensor, n_to: Tensor, n_positions: int) -> Tensor:
    """Interpolate `states` (B, T, D) along time from each item's `n_from` to `n_to` points -> (B,
    n_positions, D).
    """
    lower, upper, weight = sample_points(n_from, n_to, n_positions)
    size = (-1, -1, states.shape[2])
    low = states.gather(1, lower.unsqueeze(-1).expand(*size))
    high = states.gather(1, upper.unsqueeze(-1).expand(*size))
    return low + (high - low) * weight.unsqueeze(-1)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Divide the last axis among `heads`: (B, T, D) to (B, heads, T, D / heads)."""
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)
