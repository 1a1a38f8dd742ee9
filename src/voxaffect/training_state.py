"""The state of a training between two epochs: saved whole, taken up exactly, refused if a bit of it is wrong."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from voxaffect.cache import seal, unseal
from voxaffect.errors import ArtefactError
from voxaffect.files import write_bytes


@dataclass
class TrainingState:
    """Everything that the next epoch depends on: weights, their running average, the best so far, the optimizer."""

    history: list[dict[str, float]]
    best: dict[str, Tensor]
    average: dict[str, Tensor]
    model: dict[str, Tensor] = None  # type: ignore[assignment]
    optimizer: dict[str, Any] = None  # type: ignore[assignment]
    distiller: dict[str, Tensor] = field(default_factory=dict)

    def save(self, path: Path, digest: str) -> None:
        """Write everything to `path` by rename, behind its own sha256 and under `digest`."""
        buffer = io.BytesIO()
        torch.save(
            {
                "digest": digest,
                "history": json.dumps(self.history),
                **{k: getattr(self, k) for k in _TENSORS},
            },
            buffer,
        )
        write_bytes(path, seal(buffer.getvalue()))

    @classmethod
    def load(cls, path: Path, digest: str) -> TrainingState | None:
        """The state saved in `path`; None where there is none.

        `digest` ends with `/DEVICE/THREADS`: on others the same sums are added up in another order.

        Raises:
            ArtefactError: `checkpoint_refused`: a bit of it changed, or it belongs to another `digest`.
        """
        if not path.is_file():
            return None
        payload = unseal(path.read_bytes())
        if payload is None:
            raise ArtefactError(
                "checkpoint_refused", f"{path} is damaged", hint="delete it to train this fold from its start"
            )
        stored = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        if stored["digest"] != digest:
            raise _other(path, stored["digest"], digest)
        return cls(json.loads(stored["history"]), **{k: stored[k] for k in _TENSORS})


def _other(path: Path, begun: str, now: str) -> ArtefactError:
    """The error for a checkpoint of another digest: what differs, and how to go on."""
    (training, *then), (wanted, *here) = begun.rsplit("/", 2), now.rsplit("/", 2)
    if training != wanted:
        return ArtefactError(
            "checkpoint_refused", f"{path} belongs to another recipe or fold", hint="delete it"
        )
    was, is_now = (f"{device}, threads: {threads}" for device, threads in (then, here))
    return ArtefactError(
        "checkpoint_refused",
        f"{path} was begun on {was}; this is {is_now}, which changes the last bits of the weights",
        hint="resume with the --device and --jobs of then (2 jobs or more: one thread each; else as OMP_NUM_THREADS "
        "says), or delete it to train this fold from its start",
    )


_TENSORS = ("best", "average", "model", "optimizer", "distiller")


class Borrowed:
    """While open, `model` has the weights `average` (if any); afterwards its own again."""

    def __init__(self, model: nn.Module, average: dict[str, Tensor]) -> None:
        self.model, self.average = model, average
        self.own: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        if self.average:
            self.own = {
                name: value.detach().clone()
                for name, value in self.model.named_parameters()
                if value.requires_grad
            }
            self._put(self.average)

    def __exit__(self, *_: object) -> None:
        if self.own:
            self._put(self.own)

    def _put(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                if name in weights:
                    value.copy_(weights[name])


def update_average(average: dict[str, Tensor], model: nn.Module, decay: float, step: int) -> None:
    """Move the running `average` of the weights that train a step towards those of `model`."""
    decay = min(
        decay, (1 + step) / (10 + step)
    )  # early steps count for less than the start-up weights deserve
    with torch.no_grad():
        for name, value in model.named_parameters():
            if not value.requires_grad:
                continue
            if name in average:
                average[name].lerp_(value, 1 - decay)
            else:
                average[name] = value.detach().clone()


def portable(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all weights that training can change; a frozen encoder is known by its checkpoint instead."""
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    return {
        name: value.detach().cpu().clone() for name, value in model.state_dict().items() if name not in frozen
    }
