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

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxaffect.encoders.bilstm import BiLstm
from voxaffect.encoders.masking import clear, divide_up, exists, masked_mean, n_hops
from voxaffect.encoders.vit import VisionTransformer
from voxaffect.encoders.waveform import WaveformEncoder
from voxaffect.errors import UsageError
from voxaffect.feature_options import N_BINS
from voxaffect.model import CoAttention
from voxaffect.recipe import DistillationOptions

MAX_POSITIONS = 1500
"""States of 30 s: as far as Whisper's positions go."""
ENOUGH = 200
"""Recordings whose mean at a position is taken for what the position alone adds."""
EPSILON = 1e-6


class TeacherStates(nn.Module):
    """The teacher's states as targets: standardised, and without what their position alone adds."""

    position: Tensor
    frame_std: Tensor
    pooled_mean: Tensor
    pooled_std: Tensor

    def __init__(self, teacher_dim: int, options: DistillationOptions) -> None:
        super().__init__()
        self.options = options
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

    def centred(self, teacher: Tensor, start: Tensor) -> Tensor:
        """States (B, T, D) that begin at position `start` (B,), less what those positions always add."""
        steps = torch.arange(teacher.shape[1], device=start.device)
        return teacher - self.position[(start[:, None] + steps).clamp(max=MAX_POSITIONS - 1)]


class Distiller(TeacherStates):
    """Linear maps from a co-attention model to its teacher and the loss between them."""

    def __init__(self, student: CoAttention, teacher_dim: int, options: DistillationOptions) -> None:
        super().__init__(teacher_dim, options)
        self.frame = nn.Linear(taught_branch(student, options).dim, teacher_dim)
        self.pooled = nn.Linear(student.options.width, teacher_dim)

    def forward(self, vector: Tensor, states: Tensor, mask: Tensor, teacher: Tensor, start: Tensor) -> Tensor:
        """The weighted mean squared errors, a scalar.

        Shapes: fused vector (B, W), student states (B, T, D') with mask (B, T), teacher states (B, T'', D) from
        frame `start` (B,) of their recordings on; student and teacher have 50 states a second, and what one of them
        has more at the end is left out.
        """
        n = min(states.shape[1], teacher.shape[1])
        mask, states = mask[:, :n], states[:, :n]
        target = self.centred(teacher[:, :n], start)  # (B, T, D)
        errors = (self.frame(states) - target / self.frame_std).square().mean(dim=2)  # (B, T)
        by_frame = (errors * mask).sum() / mask.sum().clamp(min=1)
        pooled = (masked_mean(target, mask) - self.pooled_mean) / self.pooled_std
        by_item = (self.pooled(vector) - pooled).square().mean()
        loss: Tensor = self.options.frames * by_frame + self.options.pooled * by_item
        return loss


class BranchDistiller(TeacherStates):
    """A linear map from each branch of a model of kernel wiring to the teacher, and the sum of their losses."""

    def __init__(self, student: CoAttention, teacher_dim: int, options: DistillationOptions) -> None:
        super().__init__(teacher_dim, options)
        self.joined = {name: teacher_states(name, branch) for name, branch in student.branches.items()}
        self.maps = nn.ModuleDict(
            {name: nn.Linear(branch.dim, teacher_dim) for name, branch in student.branches.items()}
        )

    def forward(
        self, branches: Mapping[str, tuple[Tensor, Tensor]], teacher: Tensor, start: Tensor, n_samples: Tensor
    ) -> Tensor:
        """The sum over the branches of their mean squared errors, a scalar.

        Shapes: each branch's states (B, T, D') with mask (B, T), teacher states (B, T'', D) from frame `start` (B,)
        of their recordings on, of items of `n_samples` (B,). A branch with fewer states a second predicts the mean
        of the teacher's under each.
        """
        target = self.centred(teacher, start) / self.frame_std
        taught = exists(divide_up(n_hops(n_samples, 2 * teacher.shape[1]), 2), teacher.shape[1])
        losses = []
        for name, (states, mask) in branches.items():
            wanted = _joined(target, taught, self.joined[name])
            n = min(states.shape[1], wanted.shape[1])
            errors = (self.maps[name](states[:, :n]) - wanted[:, :n]).square().mean(dim=2)  # (B, T)
            losses.append((errors * mask[:, :n]).sum() / mask[:, :n].sum().clamp(min=1))
        loss: Tensor = self.options.frames * torch.stack(losses).sum()
        return loss


def _joined(target: Tensor, mask: Tensor, n: int) -> Tensor:
    """Means of each `n` neighbouring states that exist: (B, T, D), (B, T) to (B, ceil(T / n), D)."""
    if n == 1:
        return target
    missing = -target.shape[1] % n
    states = F.pad(clear(target, mask), (0, 0, 0, missing)).reshape(len(target), -1, n, target.shape[2])
    counts = F.pad(mask.to(target.dtype), (0, missing)).reshape(len(target), -1, n).sum(2).clamp(min=1)
    return states.sum(2) / counts.unsqueeze(2)


def teacher_states(name: str, branch: nn.Module) -> int:
    """How many of the teacher's states, 50 a second, one state of the branch `name` stands for.

    Raises:
        UsageError: `bad_value`: its states do not follow time in whole steps of the teacher's.
    """
    hops = 0
    if isinstance(branch, BiLstm):
        hops = branch.options.stack
    elif isinstance(branch, WaveformEncoder):
        hops = 2
    elif isinstance(branch, VisionTransformer) and branch.options.patch[0] == N_BINS:
        hops = branch.options.patch[1] if branch.options.resolution == "native" else 0
    if hops < 2 or hops % 2:
        raise UsageError(
            "bad_value",
            f"model.{name} cannot be taught: its states must follow time, one for an even number of hops of 10 ms",
            hint="model.mfcc.stack = 2; a vit's model.spectrogram.patch = [200, 4] at its native resolution",
        )
    return hops // 2


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
