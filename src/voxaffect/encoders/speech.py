"""Pretrained speech encoders: wav2vec2, HuBERT, WavLM (waveform) and Whisper's encoder (log-mel).

The checkpoints are `transformers` folders or hub names, but the forward pass is ours: it returns every
layer, runs on the frames that exist (Whisper's own class insists on 30 s), and padding never changes an
answer. That includes wav2vec2-base and its like, whose first layer normalises each channel over time
(`feat_extract_norm` "group"): their statistics are taken over each item's own frames, which equals running
every item alone without padding.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from voxaffect.encoders import Inputs
from voxaffect.encoders.checkpoint import build_encoder, load_encoder, weights_digest
from voxaffect.encoders.low_rank import add_low_rank
from voxaffect.encoders.masking import (
    HOP_LENGTH,
    clear,
    divide_down,
    divide_up,
    exists,
    is_tracing,
    length_after,
    n_hops,
    positions,
)
from voxaffect.encoders.mixing import average_neighbours, mix_states
from voxaffect.errors import UsageError


@dataclass(frozen=True)
class SpeechOptions:
    """Which checkpoint, what of it is trained, and which of its layers are used.

    `checkpoint` is a local folder or a hub name. `frozen` keeps it as it is, except its last `tune_last`
    blocks; frozen=False trains everything, the convolutional front included. With a `lora_rank` above 0 those last
    blocks keep their weights too and learn updates of that rank (see `low_rank`). `mix` is "learned"
    (softmax-weighted sum of the embeddings and all blocks) or the number of one state, 0 for the
    embeddings, negative from the end. `layer_norm` normalises each state before the mix. `normalise`
    standardises each waveform: "auto" asks the checkpoint's preprocessor; Whisper's log-mel never is.
    `masked` = false takes the padding for signal, as the published segments want it, whose waveform is
    padded in front. `offline` forbids the network for hub names too. `stride` neighbours in time are averaged into
    one state: a head then has so many times fewer to look at.
    """

    checkpoint: str
    frozen: bool = True
    tune_last: int = 0
    lora_rank: int = 0
    mix: Literal["learned"] | int = "learned"
    layer_norm: bool = True
    normalise: Literal["auto", "always", "never"] = "auto"
    masked: bool = True
    offline: bool = False
    stride: int = 1

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise UsageError("bad_option", f"speech stride {self.stride}; expected at least 1")
        if self.mix != "learned" and (isinstance(self.mix, bool) or not isinstance(self.mix, int)):
            raise UsageError("bad_option", f"speech mix {self.mix!r}; expected 'learned' or a state's number")
        if self.normalise not in ("auto", "always", "never"):
            raise UsageError(
                "bad_option",
                f"speech normalise {self.normalise!r}; expected one of ['auto', 'always', 'never']",
            )
        if self.tune_last < 0 or (self.tune_last and not self.frozen):
            raise UsageError(
                "bad_option", f"speech tune_last {self.tune_last} needs frozen = true and 0 or more blocks"
            )
        if self.lora_rank < 0 or (self.lora_rank and not self.tune_last):
            raise UsageError(
                "bad_option", f"speech lora_rank {self.lora_rank} needs tune_last, and must not be negative"
            )

    @property
    def untuned(self) -> SpeechOptions:
        """The same with the checkpoint as it is."""
        return replace(self, frozen=True, tune_last=0, lora_rank=0)


class SpeechEncoder(nn.Module):
    """Waveform (B, N) or log-mel (B, T, 80) to states (B, T', D), 50 a second, or one for each `stride` of them.

    `inputs` says which of the two. If the inputs hold "speech_states" (B, L', T', D), made by `states`
    earlier, they are used instead and the checkpoint is not run: all L + 1 of them, the first L' if the mix
    needs no more, or the one state that it needs.
    """

    states_name = "speech_states"

    def __init__(
        self,
        options: SpeechOptions,
        source: dict[str, Any] | None = None,
        *,
        loaded: SpeechEncoder | None = None,
    ) -> None:
        """`source` is a saved `description`: builds from it, with random weights, without the checkpoint.

        `loaded` has the checkpoint's weights already: they are shared if they stay frozen, else copied.
        """
        super().__init__()
        self.options = options
        self._shared = (loaded,) if loaded is not None and self.cacheable else ()  # in a tuple: no submodule
        self.encoder: Any
        self.normalise: bool
        if loaded is not None:
            self.encoder = loaded.encoder if self._shared else copy.deepcopy(loaded.encoder)
            self.normalise = loaded.normalise
        elif source is None:
            self.encoder, self.normalise = load_encoder(options)
        else:
            self.encoder, self.normalise = build_encoder(source), bool(source["normalise"])
        config = self.encoder.config
        self.model_type: str = config.model_type
        whisper = self.model_type == "whisper"
        self.inputs: tuple[str, ...] = ("log_mel",) if whisper else ("waveform",)
        self.dim: int = config.d_model if whisper else config.hidden_size
        self.n_layers = len(self.blocks) + 1
        """States: the embeddings and one for each block."""
        if isinstance(options.mix, int) and not -self.n_layers <= options.mix < self.n_layers:
            raise UsageError(
                "bad_option", f"speech mix {options.mix}; the checkpoint has {self.n_layers} states"
            )
        if options.tune_last > len(self.blocks):
            raise UsageError(
                "bad_option",
                f"speech tune_last {options.tune_last}; the checkpoint has {len(self.blocks)} blocks",
            )
        self.mix: nn.Parameter | None = None
        if options.mix == "learned":
            self.mix = nn.Parameter(torch.zeros(self.n_layers))
        self.encoder.requires_grad_(not options.frozen)
        if whisper:
            self.encoder.embed_positions.requires_grad_(False)  # sinusoids, as Whisper was trained
        for block in self._tuned():
            if options.lora_rank:
                add_low_rank(block, options.lora_rank)
            else:
                block.requires_grad_(True)
        self.train(self.training)

    @property
    def blocks(self) -> nn.ModuleList:
        """The checkpoint's transformer blocks."""
        owner = self.encoder if self.model_type == "whisper" else self.encoder.encoder
        layers: nn.ModuleList = owner.layers
        return layers

    @property
    def cacheable(self) -> bool:
        """Whether `states` never change in training, so that they may be computed once."""
        return self.options.frozen and not self.options.tune_last

    @property
    def layers(self) -> tuple[int, ...]:
        """The numbers of the states that `forward` needs."""
        if isinstance(self.options.mix, int):
            return (self.options.mix % self.n_layers,)
        return tuple(range(self.n_layers))

    @property
    def stride(self) -> int:
        """How many neighbours in time are averaged into one state."""
        return self.options.stride

    @property
    def description(self) -> dict[str, Any]:
        """What rebuilds this encoder without its checkpoint: configuration and normalisation."""
        return {"config": json.loads(self.encoder.config.to_json_string()), "normalise": self.normalise}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the checkpoint's names, shapes and float32 values, to prove that another one is the
        same.
        """
        if self._shared:
            return self._shared[0].digest
        return weights_digest(self.encoder)

    @property
    def states_key(self) -> str:
        """What decides the cached states beside the input: weights, how it is taken, and which states are kept."""
        kept = "all" if self.mix is not None else str(self.layers[0])
        return f"{self.digest} normalise={self.normalise} masked={self.options.masked} states={kept}"

    def train(self, mode: bool = True) -> SpeechEncoder:
        """Switch to training; what is frozen stays in evaluation mode."""
        super().train(mode)
        if self.options.frozen:
            self.encoder.eval()
            for block in self._tuned():
                block.train(mode)
        return self

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return the mixed states (B, T', D) and which of them exist (B, T')."""
        states = inputs["speech_states"] if "speech_states" in inputs else self.states(inputs, self.layers)
        states, wanted = states.float(), self.layers
        n_layers = int(states.shape[1])
        if n_layers > 1 and len(wanted) == 1:
            states = states[:, wanted[0] : wanted[0] + 1]
        if states.shape[1] != len(wanted):
            raise ValueError(
                f"speech_states hold {n_layers} layers; "
                f"the mix needs {len(wanted)}, up to number {wanted[-1]}"
            )
        if self.mix is not None:
            mixed = mix_states(states, self.mix.softmax(0), layer_norm=self.options.layer_norm)
        else:
            mixed = F.layer_norm(states[:, 0], (self.dim,)) if self.options.layer_norm else states[:, 0]
        n_states = torch.full_like(inputs["n_samples"], mixed.shape[1])
        if self.options.masked:
            n_states = self.n_states(inputs["n_samples"])
        return mixed, exists(n_states, mixed.shape[1])

    def states(self, inputs: Inputs, layers: tuple[int, ...] | None = None) -> Tensor:
        """Return the embeddings and every block's states (B, L + 1, T', D), or only those of `layers`."""
        states = self._layers(inputs, tuple(range(self.n_layers)) if layers is None else layers)
        if self.stride == 1:
            return states
        n_states = torch.full_like(inputs["n_samples"], states.shape[2])
        if self.options.masked:
            n_states = self._n_states(inputs["n_samples"])
        return average_neighbours(states, exists(n_states, states.shape[2]), self.stride)

    @torch.inference_mode()
    def numpy_states(self, item: Mapping[str, NDArray[Any]]) -> NDArray[np.float16]:
        """The states of one item (features without batch axis): (T', L', D) float16, time first, for a cache.

        All L + 1 of them for a learned mix, else the one that is used; none averaged yet, whatever the `stride`.
        """
        inputs = {name: torch.from_numpy(np.asarray(item[name]))[None].float() for name in self.inputs}
        inputs["n_samples"] = torch.tensor([int(item["n_samples"])])
        layers = self.layers if self.mix is None else tuple(range(self.n_layers))
        return self._layers(inputs, layers)[0].transpose(0, 1).half().numpy()

    def n_states(self, n_samples: Tensor) -> Tensor:
        """Return how many states `n_samples` (B,) give, at least one."""
        return divide_up(self._n_states(n_samples), self.stride)

    def _n_states(self, n_samples: Tensor) -> Tensor:
        if self.model_type == "whisper":
            return divide_up(divide_down(n_samples, HOP_LENGTH), 2).clamp(min=1)
        for kernel, stride in self._convolutions():
            n_samples = length_after(n_samples, kernel, stride)
        return n_samples

    def _convolutions(self) -> list[tuple[int, int]]:
        config = self.encoder.config
        return list(zip(config.conv_kernel, config.conv_stride, strict=True))

    def _tuned(self) -> list[nn.Module]:
        return (
            list(self.blocks)[len(self.blocks) - self.options.tune_last :] if self.options.tune_last else []
        )

    def _layers(self, inputs: Inputs, layers: tuple[int, ...]) -> Tensor:
        """Run the checkpoint as far as the last of `layers`; what is frozen without gradient."""
        n_samples = inputs["n_samples"]
        if not self.options.masked:
            hop = HOP_LENGTH if self.model_type == "whisper" else 1
            n_samples = torch.full_like(n_samples, inputs[self.inputs[0]].shape[1] * hop)
        with torch.no_grad() if self.options.frozen else nullcontext():
            if self.model_type == "whisper":
                x, mask = self._embed_log_mel(inputs["log_mel"], n_samples)
            else:
                x, mask = self._embed_waveform(inputs["waveform"], n_samples)
        found = {0: x}
        keys: Tensor = mask if self.model_type == "wavlm" else mask[:, None, None, :]
        bias: Tensor | None = None  # WavLM computes its position bias in the first block and hands it on
        layerdrop = 0.0 if self.options.frozen else getattr(self.encoder.config, "layerdrop", 0.0)
        first_tuned = len(self.blocks) - self.options.tune_last
        for i, block in enumerate(self.blocks[: max(layers)]):
            if not (self.training and i and torch.rand(()).item() < layerdrop):
                frozen = self.options.frozen and i < first_tuned
                with torch.no_grad() if frozen else nullcontext():
                    if self.model_type == "wavlm":
                        with warnings.catch_warnings():  # its boolean mask beside a float bias: deprecated
                            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
                            x, bias = block(x, attention_mask=keys, position_bias=bias)
                    else:
                        x = block(x, attention_mask=keys)
            found[i + 1] = x
        if len(self.blocks) in layers:
            found[len(self.blocks)] = self._finish(x)
        return torch.stack([found[layer] for layer in layers], dim=1)

    def _finish(self, x: Tensor) -> Tensor:
        """The norm behind the last block, where the architecture has one."""
        if self.model_type == "whisper":
            x = self.encoder.layer_norm(x)
        elif self.encoder.config.do_stable_layer_norm:
            x = self.encoder.encoder.layer_norm(x)
        return x

    def _embed_log_mel(self, log_mel: Tensor, n_samples: Tensor) -> tuple[Tensor, Tensor]:
        """Whisper's two convolutions and positions over the frames that exist, zeros beyond."""
        encoder = self.encoder
        n_positions = int(encoder.config.max_source_positions)
        if not is_tracing() and log_mel.shape[1] > 2 * n_positions:
            raise UsageError(
                "too_long",
                f"this Whisper takes {n_positions / 50:g} s at most, got {log_mel.shape[1] / 100:g} s",
                hint="cut it into windows: set features.window in the recipe",
            )
        n = n_hops(n_samples, log_mel.shape[1])
        mask = exists(n, log_mel.shape[1])
        x = clear(log_mel, mask).transpose(1, 2)
        x = clear(F.gelu(encoder.conv1(x)).transpose(1, 2), mask).transpose(1, 2)
        x = F.gelu(encoder.conv2(x)).transpose(1, 2)  # (B, ceil(T / 2), D)
        steps = positions(x.shape[1], n).clamp(max=n_positions - 1)
        mask = exists(divide_up(n, 2), x.shape[1])
        return clear(x + encoder.embed_positions(steps), mask), mask

    def _embed_waveform(self, waveform: Tensor, n_samples: Tensor) -> tuple[Tensor, Tensor]:
        """Convolutional front, projection and positional convolution of the wav2vec2 family."""
        model, shortest = self.encoder, self._shortest()
        if not is_tracing() and waveform.shape[1] < shortest:
            raise ValueError(f"{self.model_type} needs at least {shortest} samples, got {waveform.shape[1]}")
        x = clear(waveform.unsqueeze(2), exists(n_samples, waveform.shape[1])).squeeze(2)
        if self.normalise:
            x = _standardise(x, n_samples)
        x, n = x.unsqueeze(1), n_samples
        for layer, (kernel, stride) in zip(
            model.feature_extractor.conv_layers, self._convolutions(), strict=True
        ):
            x = layer.conv(x)
            n = length_after(n, kernel, stride)
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                x = _group_norm(x, n, norm)
            elif norm is not None:
                x = norm(x.transpose(1, 2)).transpose(1, 2)
            x = layer.activation(x)
        mask = exists(n, x.shape[2])
        projected = model.feature_projection(x.transpose(1, 2))
        x = projected[0] if isinstance(projected, tuple) else projected
        if self.training and not self.options.frozen and x.shape[1] > model.config.mask_time_length:
            x = model._mask_hidden_states(
                x.clone(), attention_mask=mask
            )  # SpecAugment, if the config says so
        x = clear(x, mask)
        x = x + model.encoder.pos_conv_embed(x)
        if not model.config.do_stable_layer_norm:
            x = model.encoder.layer_norm(x)
        return model.encoder.dropout(x), mask

    def _shortest(self) -> int:
        """Samples that give exactly one frame (400 for the usual front)."""
        length = 1
        for kernel, stride in reversed(self._convolutions()):
            length = (length - 1) * stride + kernel
        return length


def _standardise(x: Tensor, n_samples: Tensor) -> Tensor:
    """Zero mean and unit variance over each item's own samples, zeros beyond (Wav2Vec2FeatureExtractor's
    formula).
    """
    mask = exists(n_samples, x.shape[1]).to(x.dtype)
    n = n_samples.clamp(min=1).unsqueeze(1).to(x.dtype)
    centred = (x - (x * mask).sum(1, keepdim=True) / n) * mask
    return centred / torch.sqrt(centred.square().sum(1, keepdim=True) / n + 1e-7)


def _group_norm(x: Tensor, n: Tensor, norm: nn.GroupNorm) -> Tensor:
    """One group per channel, so each channel over time: over the first n frames of `x` (B, D, T) only."""
    mask = exists(n, x.shape[2]).unsqueeze(1).to(x.dtype)
    count = n.view(-1, 1, 1).to(x.dtype)
    centred = x - (x * mask).sum(2, keepdim=True) / count
    variance = (centred * mask).square().sum(2, keepdim=True) / count
    return centred / torch.sqrt(variance + norm.eps) * norm.weight[:, None] + norm.bias[:, None]
