"""A frozen speech encoder as teacher: the student's states and vector learn to predict the teacher's.

A small model that meets a few hundred clips of each emotion learns their speakers by heart; one that must also
tell what a large encoder makes of the same sound learns about speech. Two targets: the teacher's state at each
moment, from the states of one of the student's branches, and the mean of those states, from its fused vector. Both
are standardised on the training speakers, after what is the same in every recording at that position is taken
away: Whisper adds a code of the absolute position, which no student of a cut-out can know. The teacher and the two
linear maps are thrown away after training.

Source: after Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015, with states in place of
logits as in Chang et al., "DistilHuBERT", ICASSP 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from voxaffect.encoders.bilstm import BiLstm
from voxaffect.encoders.masking import masked_mean
from voxaffect.errors import UsageError
from voxaffect.model import CoAttention
from voxaffect.recipe import DistillationOptions

MAX_POSITIONS = 1500
"""States of 30 s: as far as Whisper's positions go."""
ENOUGH = 200
"""Recordings whose mean at a position is taken for what the position alone adds."""
EPSILON = 1e-6


class Distiller(nn.Module):
    """Linear maps from a student to its teacher and the loss between them."""

    position: Tensor
    frame_std: Tensor
    pooled_mean: Tensor
    pooled_std: Tensor

    def __init__(self, student: CoAttention, teacher_dim: int, options: DistillationOptions) -> None:
        super().__init__()
        self.options = options
        self.frame = nn.Linear(taught_branch(student, options).dim, teacher_dim)
        self.pooled = nn.Linear(student.options.width, teacher_dim)
        self.register_buffer("position", torch.zeros(MAX_POSITIONS, teacher_dim))
        self.register_buffer("frame_std", torch.ones(teacher_dim))
        self.register_buffer("pooled_mean", torch.zeros(teacher_dim))
        self.register_buffer("pooled_std", torch.ones(teacher_dim))

    @torch.no_grad()
    def fit(self, recordings: Sequence[np.ndarray]) -> None:
        """Standardise on TRAINING data: whole recordings' teacher states, each (T, D), from their first frame on.

        A position that fewer than ENOUGH recordings reach takes the mean of the last one that enough of them do.
        """
        sums = np.zeros(self.position.shape)
        counts = np.zeros(len(sums), np.int64)
        for states in recordings:
            n = min(len(states), len(sums))
            sums[:n] += states[:n]
            counts[:n] += 1
        reached = max(int((counts >= min(ENOUGH, counts[0])).sum()), 1)
        sums[:reached] /= counts[:reached, None]
        sums[reached:] = sums[reached - 1]
        square, n_frames, means = np.zeros(sums.shape[1]), 0, []
        for states in recordings:
            centred = states - sums[np.minimum(np.arange(len(states)), len(sums) - 1)]
            square += (centred**2).sum(axis=0)
            n_frames += len(centred)
            means.append(centred.mean(axis=0))
        self.position.copy_(torch.from_numpy(sums))
        self.frame_std.copy_(torch.from_numpy(np.sqrt(square / n_frames) + EPSILON))
        self.pooled_mean.copy_(torch.from_numpy(np.mean(means, axis=0)))
        self.pooled_std.copy_(torch.from_numpy(np.std(means, axis=0) + EPSILON))

    def forward(self, vector: Tensor, states: Tensor, mask: Tensor, teacher: Tensor, start: Tensor) -> Tensor:
        """The weighted mean squared errors, a scalar.

        Shapes: fused vector (B, W), student states (B, T, D') with mask (B, T), teacher states (B, T'', D) from
        frame `start` (B,) of their recordings on; student and teacher have 50 states a second, and what one of them
        has more at the end is left out.
        """
        n = min(states.shape[1], teacher.shape[1])
        mask, states, teacher = mask[:, :n], states[:, :n], teacher[:, :n]
        at = (start[:, None] + torch.arange(n, device=start.device)).clamp(max=MAX_POSITIONS - 1)
        target = teacher - self.position[at]  # (B, T, D)
        errors = (self.frame(states) - target / self.frame_std).square().mean(dim=2)  # (B, T)
        by_frame = (errors * mask).sum() / mask.sum().clamp(min=1)
        pooled = (masked_mean(target, mask) - self.pooled_mean) / self.pooled_std
        by_item = (self.pooled(vector) - pooled).square().mean()
        loss: Tensor = self.options.frames * by_frame + self.options.pooled * by_item
        return loss


def taught_branch(student: CoAttention, options: DistillationOptions) -> Any:
    """The branch of `student` whose states predict the teacher's; it must give 50 of them a second.

    Raises:
        UsageError: `bad_value`: the branch is off, or has another rate.
    """
    branch = getattr(student, options.branch)
    if branch is None:
        raise UsageError(
            "bad_value", f"distillation.branch is {options.branch!r}, which the model does not have"
        )
    if isinstance(branch, BiLstm) and branch.options.stack != 2:
        raise UsageError(
            "bad_value",
            f"distillation needs 50 states a second: set model.mfcc.stack = 2, not {branch.options.stack}",
        )
    return branch


class Student:
    """A model whose taught branch can be looked at while it runs, by a hook."""

    def __init__(self, model: CoAttention, options: DistillationOptions) -> None:
        self.model = model
        self.seen: tuple[Tensor, Tensor] | None = None
        self.hook = taught_branch(model, options).register_forward_hook(self._see)

    def _see(self, module: nn.Module, inputs: object, output: tuple[Tensor, Tensor]) -> None:
        self.seen = output

    def __call__(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits (B, K), fused vector (B, W), the branch's states (B, T, D) and their mask (B, T)."""
        vector = self.model.embed(inputs)
        assert self.seen is not None
        return self.model.wiring.head(vector), vector, *self.seen
