"""What a batch is judged by: cross-entropy, mixed up or not, and the distance from a teacher if there is one.

A model of kernel wiring is judged by its teacher alone: its classes are learned afterwards, in closed form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxaffect.examples import UNLABELLED
from voxaffect.model import CoAttention
from voxaffect.recipe import TrainingOptions

if TYPE_CHECKING:
    from voxaffect.distillation import TeacherStates


class Objective:
    """The loss of a batch: cross-entropy, mixed up or not, and the distance from the teacher, if there is one."""

    def __init__(
        self, model: nn.Module, distiller: TeacherStates | None, options: TrainingOptions, mixup: float
    ) -> None:
        self.model, self.distiller, self.options, self.mixup = model, distiller, options, mixup
        self.class_weights: Tensor | None = None
        self.teacher_alone = False
        if distiller is not None:
            from voxaffect.distillation import BranchDistiller, Student

            assert isinstance(model, CoAttention)
            self.teacher_alone = isinstance(distiller, BranchDistiller)
            if not self.teacher_alone:
                self.student = Student(model, distiller.options)

    def __call__(self, inputs: dict[str, Tensor], y: Tensor, rng: np.random.Generator) -> Tensor:
        """The loss, a scalar, of padded `inputs` with classes `y` (B,); `rng` draws the mixture."""
        if self.mixup <= 0 or len(y) < 2:
            return self._loss(inputs, [(1.0, y)])
        share = float(rng.beta(self.mixup, self.mixup))
        partner = torch.from_numpy(rng.permutation(len(y))).to(y.device)
        mixed = {
            name: torch.maximum(value, value[partner])
            if name == "n_samples"
            else share * value + (1 - share) * value[partner]
            for name, value in inputs.items()
        }
        return self._loss(mixed, [(share, y), (1 - share, y[partner])])

    def distance(self, inputs: dict[str, Tensor]) -> Tensor:
        """How far a model that learns from its teacher alone is from it on the batch `inputs`, a scalar."""
        assert self.distiller is not None and isinstance(self.model, CoAttention)
        with self._precision(inputs["teacher"].device):
            branches = self.model.branch_states(inputs)
            taught = (inputs[name] for name in ("teacher", "teacher_start", "n_samples"))
            distance: Tensor = self.distiller(branches, *taught)
        return distance

    def _precision(self, device: torch.device) -> torch.autocast:
        bfloat16 = precision_on(device, self.options.precision) == "bfloat16"
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16)

    def _loss(self, inputs: dict[str, Tensor], truths: list[tuple[float, Tensor]]) -> Tensor:
        if self.teacher_alone:
            return self.distance(inputs)
        with self._precision(truths[0][1].device):
            if self.distiller is None:
                logits, distance = self.model(inputs), None
            else:
                logits, *seen = self.student(inputs)
                distance = self.distiller(*seen, inputs["teacher"], inputs["teacher_start"])
        total = torch.stack([share * self._cross_entropy(logits.float(), y) for share, y in truths]).sum()
        return total if distance is None else total + distance

    def _cross_entropy(self, logits: Tensor, y: Tensor) -> Tensor:
        """The mean over the items that have a class; 0 where none has."""
        if not bool((y != UNLABELLED).any()):
            return 0.0 * logits.sum()
        return F.cross_entropy(
            logits,
            y,
            weight=self.class_weights,
            label_smoothing=self.options.label_smoothing,
            ignore_index=UNLABELLED,
        )


def precision_on(device: torch.device | str, wanted: str) -> str:
    """The precision that a training computes in: `wanted`, but float32 on a CPU without bfloat16.

    Without its instructions bfloat16 is slower than float32, and LSTMs cannot be computed in it at all.
    """
    if wanted == "float32" or torch.device(device).type != "cpu":
        return wanted
    return wanted if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "float32"


def class_weights(targets: np.ndarray, n_classes: int) -> Tensor:
    """(K,) weights by which every class of `targets` (N,) counts the same in a cross-entropy."""
    labelled = targets[targets != UNLABELLED]
    counts = np.maximum(np.bincount(labelled, minlength=n_classes), 1)
    return torch.tensor(len(labelled) / (n_classes * counts), dtype=torch.float32)
