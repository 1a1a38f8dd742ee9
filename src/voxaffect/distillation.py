"""A frozen speech encoder as teacher: the student's states and vector learn to predict the teacher's.

A small model that meets a few hundred clips of each emotion learns their speakers by heart; one that must also
tell what a large encoder makes of the same sound learns about speech. Two targets, both standardised on the
training speakers: the teacher's state at each moment, from the student's speech states, and the mean of those
states, from its fused vector. The teacher and the two linear maps are thrown away after training.

Source: after Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015, with states in place of
logits as in Chang et al., "DistilHuBERT", ICASSP 2022.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from voxaffect.encoders import Moments
from voxaffect.encoders.masking import exists, masked_mean
from voxaffect.model import CoAttention
from voxaffect.recipe import DistillationOptions


class Distiller(nn.Module):
    """Linear maps from a student to its teacher and the loss between them."""

    frame_mean: Tensor
    frame_std: Tensor
    pooled_mean: Tensor
    pooled_std: Tensor

    def __init__(self, student: CoAttention, teacher_dim: int, options: DistillationOptions) -> None:
        super().__init__()
        if student.speech is None:
            raise ValueError("distillation needs a student with a speech branch")
        self.options = options
        self.frame = nn.Linear(student.speech.dim, teacher_dim)
        self.pooled = nn.Linear(student.options.width, teacher_dim)
        for kind in ("frame", "pooled"):
            self.register_buffer(f"{kind}_mean", torch.zeros(teacher_dim))
            self.register_buffer(f"{kind}_std", torch.ones(teacher_dim))

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Standardise on TRAINING data: (teacher states (B, T, D), frames that exist (B,)) for each batch."""
        frames, pooled = Moments(), Moments()
        for states, counts in batches:
            mask = exists(counts, states.shape[1])
            frames.add(states[mask])
            pooled.add(masked_mean(states, mask))
        for kind, moments in (("frame", frames), ("pooled", pooled)):
            mean, std = moments.mean_std()
            getattr(self, f"{kind}_mean").copy_(mean)
            getattr(self, f"{kind}_std").copy_(std)

    def forward(self, vector: Tensor, states: Tensor, mask: Tensor, teacher: Tensor) -> Tensor:
        """The weighted mean squared errors, a scalar.

        Shapes: fused vector (B, W), student states (B, T, D') with mask (B, T), teacher states (B, T'', D); student
        and teacher have 50 states a second, and what one of them has more at the end is left out.
        """
        n = min(states.shape[1], teacher.shape[1])
        mask, states, teacher = mask[:, :n], states[:, :n], teacher[:, :n]
        target = (teacher - self.frame_mean) / self.frame_std
        errors = (self.frame(states) - target).square().mean(dim=2)  # (B, T)
        by_frame = (errors * mask).sum() / mask.sum().clamp(min=1)
        pooled = (masked_mean(teacher, mask) - self.pooled_mean) / self.pooled_std
        by_item = (self.pooled(vector) - pooled).square().mean()
        loss: Tensor = self.options.frames * by_frame + self.options.pooled * by_item
        return loss


class Student:
    """A model whose speech states can be looked at while it runs, by a hook on its speech branch."""

    def __init__(self, model: CoAttention) -> None:
        self.model = model
        self.seen: tuple[Tensor, Tensor] | None = None
        assert model.speech is not None
        self.hook = model.speech.register_forward_hook(self._see)

    def _see(self, module: nn.Module, inputs: object, output: tuple[Tensor, Tensor]) -> None:
        self.seen = output

    def __call__(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits (B, K), fused vector (B, W), speech states (B, T, D) and their mask (B, T)."""
        vector = self.model.embed(inputs)
        assert self.seen is not None
        return self.model.wiring.head(vector), vector, *self.seen
