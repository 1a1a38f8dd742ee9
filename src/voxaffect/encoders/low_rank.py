"""Low-rank adaptation (LoRA): the weights of a layer stay, and a product of two thin matrices is learnt beside them.

Source: E. J. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022: on the queries and values of
attention, the second matrix zero at first, so that the encoder begins as it was.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

ADAPTED = ("q_proj", "v_proj")
"""The layers of a block that are adapted, by the names that all speech encoders of `transformers` give them."""


class LowRankUpdate(nn.Module):
    """A weight (N, D) to the weight plus the product of (N, `rank`) and (`rank`, D)."""

    def __init__(self, shape: torch.Size, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, shape[1]))
        self.up = nn.Parameter(torch.zeros(shape[0], rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Shape: (N, D) to (N, D)."""
        return weight + self.up @ self.down


def add_low_rank(block: nn.Module, rank: int) -> None:
    """Let only updates of `rank` be learnt in `block`, one for each query and value layer; all else is frozen.

    Raises ValueError where the block has no such layers.
    """
    block.requires_grad_(False)
    found = [
        module
        for name, module in block.named_modules()
        if name.rsplit(".", 1)[-1] in ADAPTED and isinstance(module, nn.Linear)
    ]
    if not found:
        raise ValueError(f"{type(block).__name__} has none of the layers {list(ADAPTED)}")
    for layer in found:
        parametrize.register_parametrization(layer, "weight", LowRankUpdate(layer.weight.shape, rank))
