"""The co-attention model: spectrogram, MFCC and speech branches, any of which can be switched off.

Source: H. Zou et al., "Speech Emotion Recognition with Co-Attention based Multi-level Acoustic
Information", ICASSP 2022. `published` wiring is the paper's, with its fixed lengths; `native` wiring is
ours: softmax attention over the frames that exist, attentive statistics of the speech states, any length.
`kernel` wiring has the same branches without co-attention: they learn from a teacher, their classes are a closed form.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from voxaffect.closed_form import KernelRidge
from voxaffect.encoders import Cacheable, Fitted, Inputs, Moments
from voxaffect.encoders.alexnet import AlexNet
from voxaffect.encoders.bilstm import BiLstm
from voxaffect.encoders.masking import HOP_LENGTH
from voxaffect.encoders.spectrogram import SpectrogramEncoder
from voxaffect.encoders.speech import SpeechEncoder, SpeechOptions
from voxaffect.encoders.vit import VisionTransformer, VitOptions
from voxaffect.encoders.waveform import WaveformEncoder, WaveformOptions
from voxaffect.errors import ArtefactError
from voxaffect.model_options import (
    PRESETS,
    ModelOptions,
    SpeechBranchOptions,
    camser_alexnet,
    camser_vit,
    small,
)
from voxaffect.weights import Weights
from voxaffect.wiring import PUBLISHED_FRAMES, KernelWiring, NativeWiring, PublishedWiring, pools_itself

__all__ = ["PRESETS", "CoAttention", "ModelOptions", "as_batch", "camser_alexnet", "camser_vit", "small"]

WEIGHTS = Weights("model", "voxaffect.weights/1")


class CoAttention(nn.Module):
    """Features of a padded batch to logits (B, K).

    `inputs` names the features it reads, besides `n_samples`.
    """

    def __init__(
        self,
        options: ModelOptions,
        *,
        speech_source: Mapping[str, Any] | None = None,
        spectrogram_encoder: SpectrogramEncoder | None = None,
        speech_encoder: SpeechEncoder | None = None,
    ) -> None:
        """`speech_source` builds the speech branch from a saved description instead of its checkpoint.

        `spectrogram_encoder` and `speech_encoder` are those branches themselves, loaded already.
        """
        super().__init__()
        self.options = options
        self.spectrogram, self.mfcc = spectrogram_encoder or open_spectrogram_encoder(options), None
        if options.mfcc is not None:
            self.mfcc = BiLstm(options.mfcc)
        self.speech = speech_encoder or _speech_encoder(options.speech, speech_source)
        self.inputs: tuple[str, ...] = tuple(
            name for e in (self.spectrogram, self.mfcc, self.speech) if e is not None for name in e.inputs
        )
        spectrogram, mfcc, speech = (
            None if e is None else e.dim for e in (self.spectrogram, self.mfcc, self.speech)
        )
        self.wiring: PublishedWiring | NativeWiring | KernelWiring
        if options.wiring == "published":
            n_samples = torch.tensor([PUBLISHED_FRAMES * HOP_LENGTH])
            n_states = 0 if self.speech is None else int(self.speech.n_states(n_samples))
            self.wiring = PublishedWiring(options, spectrogram, mfcc, speech, n_states)
        elif options.wiring == "kernel":
            self.wiring = KernelWiring(options, spectrogram, mfcc, speech)
        else:
            self.wiring = NativeWiring(options, spectrogram, mfcc, speech)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return logits (B, K)."""
        logits: Tensor = self.wiring.head(self.embed(inputs))
        return logits

    def votes(self, inputs: Inputs) -> Tensor:
        """Return the logits (B, M, K) of the members that share the branches: in kernel wiring there may be several."""
        vector = self.embed(inputs)
        head = self.wiring.head
        votes: Tensor = head.votes(vector) if isinstance(head, KernelRidge) else head(vector).unsqueeze(1)
        return votes

    def embed(self, inputs: Inputs) -> Tensor:
        """Return the vector that the last layer classifies: fused (B, width), in kernel wiring the statistics."""
        branches = self.branch_states(inputs)
        vector: Tensor = self.wiring(*(branches.get(name) for name in ("spectrogram", "mfcc", "speech")))
        return vector

    @property
    def n_members(self) -> int:
        """How many members `votes` has."""
        return self.options.kernel.members if self.options.kernel is not None else 1

    def branch_states(self, inputs: Inputs) -> dict[str, tuple[Tensor, Tensor]]:
        """Return each branch's states (B, T, D) and which of them exist (B, T), by the branch's name."""
        if self.options.wiring == "published":
            inputs = _everything_exists(inputs, self.inputs)
        return {name: branch(inputs) for name, branch in self.branches.items()}

    @property
    def branches(self) -> dict[str, Any]:
        """The encoders of the branches that are on, by name."""
        every = {"spectrogram": self.spectrogram, "mfcc": self.mfcc, "speech": self.speech}
        return {name: branch for name, branch in every.items() if branch is not None}

    @torch.no_grad()
    def fit_normalisation(self, batches: Iterable[Mapping[str, Any]]) -> None:
        """Fit every normalisation buffer on `batches` of TRAINING data, tensors or arrays as for `forward`.

        A single item (without batch axis) is taken as a batch of one.
        """
        fitted = [module for module in self.modules() if isinstance(module, Fitted)]
        if not fitted:
            return
        moments = [Moments() for _ in fitted]
        for batch in batches:
            inputs = as_batch(batch, self.device)
            if self.options.wiring == "published":
                inputs = _everything_exists(inputs, self.inputs)
            for module, running in zip(fitted, moments, strict=True):
                running.add(module.measure(inputs))
        for module, running in zip(fitted, moments, strict=True):
            module.fit(running)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def frozen_encoders(self) -> tuple[Cacheable, ...]:
        """The encoders whose states never change in training, so that the inputs may hold them."""
        frozen: list[Cacheable] = []
        if self.spectrogram is not None and self.spectrogram.cacheable:
            frozen.append(self.spectrogram)
        if isinstance(self.speech, SpeechEncoder) and self.speech.cacheable:
            frozen.append(self.speech)
        return tuple(frozen)

    @property
    def speech_layers(self) -> tuple[int, ...]:
        """The states of a pretrained speech encoder that this model reads; empty without one."""
        return self.speech.layers if isinstance(self.speech, SpeechEncoder) else ()

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Return what came from a checkpoint and may want a lower learning rate than the rest."""
        parameters: list[nn.Parameter] = []
        if isinstance(self.speech, SpeechEncoder):
            parameters += self.speech.encoder.parameters()
        if self.options.spectrogram is not None and self.options.spectrogram.weights is not None:
            assert self.spectrogram is not None
            parameters += self.spectrogram.parameters()
        return parameters

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `model.safetensors` and `model.json` into `folder` (made if it is missing), each atomically.

        A frozen pretrained encoder is not written: its name and digest are, and `load` takes it from the
        checkpoint again.
        """
        left_out = self._left_out()
        state = {name: value for name, value in self.state_dict().items() if not name.startswith(left_out)}
        description: dict[str, Any] = {"options": self.options.to_dict()}
        if isinstance(self.speech, SpeechEncoder):
            description["speech"] = {
                **self.speech.description,
                "checkpoint_digest": self.speech.digest if self.speech.cacheable else None,
            }
        if self.spectrogram is not None and self.spectrogram.cacheable:
            description["spectrogram"] = {"checkpoint_digest": self.spectrogram.digest}
        WEIGHTS.write(Path(folder), state, description)

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        speech_checkpoint: str | None = None,
        spectrogram_weights: str | None = None,
        offline: bool = False,
    ) -> CoAttention:
        """Load what `save` wrote, in evaluation mode, on the CPU.

        `speech_checkpoint` and `spectrogram_weights` say where frozen encoders lie now, if they have moved.

        Raises:
            ArtefactError: nothing there (`model_missing`), damaged (`model_damaged`), of another schema
                (`model_schema`), or a frozen encoder is another one than in training (`model_mismatch`).
        """
        folder = Path(folder)
        description, state = WEIGHTS.read(folder)
        options = _placed(ModelOptions.from_dict(description["options"]), spectrogram_weights)
        source = description.get("speech")
        digest = source and source["checkpoint_digest"]
        if isinstance(options.speech, SpeechOptions) and digest:
            speech = dataclasses.replace(
                options.speech,
                checkpoint=speech_checkpoint or options.speech.checkpoint,
                offline=offline or options.speech.offline,
            )
            model = cls(dataclasses.replace(options, speech=speech))
            assert isinstance(model.speech, SpeechEncoder)
            if model.speech.digest != digest:
                raise ArtefactError(
                    "model_mismatch",
                    f"the speech encoder {speech.checkpoint} is not the one that {folder} was trained with",
                )
        else:
            model = cls(options, speech_source=source)
        if model.spectrogram is not None and model.spectrogram.cacheable:
            expected = description.get("spectrogram", {}).get("checkpoint_digest")
            if model.spectrogram.digest != expected:
                weights_name = model.spectrogram.options.weights
                raise ArtefactError(
                    "model_mismatch",
                    f"the spectrogram encoder {weights_name} is not the one that {folder} was trained with",
                )
        left_out = model._left_out()
        missing, unexpected = model.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.startswith(left_out)]
        if missing or unexpected:
            raise ArtefactError(
                "model_damaged",
                f"{folder} has {len(missing)} weights missing and {len(unexpected)} unknown, "
                f"first {[*missing, *unexpected][0]!r}",
            )
        return model.eval()

    def _left_out(self) -> tuple[str, ...]:
        """Prefixes of the weights that `save` leaves to the checkpoints."""
        frozen = self.frozen_encoders
        speech = ("speech.encoder.",) if self.speech in frozen else ()
        return (*speech, "spectrogram.") if self.spectrogram in frozen else speech


def as_batch(batch: Mapping[str, Any], device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Make float32 tensors (int64 for `n_samples`) of a collated batch, or of one item, on `device`."""
    result = {}
    single = torch.as_tensor(batch["n_samples"]).ndim == 0
    for name, value in batch.items():
        tensor = torch.as_tensor(value).to(device, torch.int64 if name == "n_samples" else torch.float32)
        result[name] = tensor.unsqueeze(0) if single else tensor
    return result


def open_spectrogram_encoder(options: ModelOptions) -> SpectrogramEncoder | None:
    """The spectrogram branch of a model, if it has one, raising what reading its weights does."""
    image, pooled = options.spectrogram, pools_itself(options)
    if image is None:
        return None
    if isinstance(image, VitOptions):
        return VisionTransformer(image, pooled=pooled)
    return AlexNet(image, pooled=pooled)


def _speech_encoder(
    options: SpeechBranchOptions | None, source: Mapping[str, Any] | None
) -> SpeechEncoder | WaveformEncoder | None:
    if options is None:
        return None
    if isinstance(options, WaveformOptions):
        return WaveformEncoder(options)
    return SpeechEncoder(options, None if source is None else dict(source))


def _everything_exists(inputs: Inputs, names: tuple[str, ...]) -> dict[str, Tensor]:
    """The published segments are padded by the features, and the padding counts as signal."""
    result = dict(inputs)
    for name, samples in (
        ("log_mel", HOP_LENGTH),
        ("spectrogram", HOP_LENGTH),
        ("mfcc", HOP_LENGTH),
        ("waveform", 1),
    ):
        if name in names and name in inputs:
            n_samples = inputs[name].shape[1] * samples
            result["n_samples"] = torch.full_like(inputs["n_samples"], n_samples)
    return result


def _placed(options: ModelOptions, weights: str | None) -> ModelOptions:
    """`options` with the place of a frozen spectrogram encoder, and without the weights that training started from.

    Loading needs those no more.
    """
    image = options.spectrogram
    if image is None:
        return options
    placed = dataclasses.replace(image, weights=(weights or image.weights) if image.frozen else None)
    return dataclasses.replace(options, spectrogram=placed)
