"""Fewer states: the learned mix of an encoder's layers, each normalised before, and the mean of neighbours in time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

NORM_EPS = 1e-5
"""Added to a state's variance, as torch's layer norm does."""


def mix_states(states: Tensor, weights: Tensor, *, layer_norm: bool) -> Tensor:
    """The sum over L of `weights` (L) times `states` (B, L, T', D), normalised over D or not: (B, T', D).

    A state's norm, (x - mean) / deviation, goes into its weight, so that nothing as large as all states is written:
    a light head's training step takes half as long.
    """
    by_time = states.transpose(1, 2)  # (B, T', L, D), as a cache holds them
    weights = weights.expand(by_time.shape[:3])
    if not layer_norm:
        return torch.einsum("btl,btld->btd", weights, by_time)
    mean = by_time.mean(3)
    square = torch.linalg.vector_norm(by_time, dim=3).square() / by_time.shape[3]
    weights = weights * torch.rsqrt((square - mean.square()).clamp(min=0.0) + NORM_EPS)
    shift = (weights * mean).sum(2, keepdim=True)
    return torch.einsum("btl,btld->btd", weights, by_time) - shift


def average_neighbours(states: Tensor, mask: Tensor, stride: int) -> Tensor:
    """Means of `stride` states that exist: (B, L, T, D), (B, T) bool to (B, L, ceil(T / stride), D).

    The last mean of an item is of what is left; padding counts for nothing.
    """
    flat = (states * mask[:, None, :, None]).permute(0, 1, 3, 2).flatten(1, 2)  # (B, L D, T)
    mean = F.avg_pool1d(flat, stride, ceil_mode=True)
    share = F.avg_pool1d(mask.unsqueeze(1).to(states.dtype), stride, ceil_mode=True)
    mean = mean / share.clamp(min=1 / (2 * stride))  # (B, L D, ceil(T / stride))
    return mean.reshape(mean.shape[0], states.shape[1], states.shape[3], -1).transpose(2, 3)
