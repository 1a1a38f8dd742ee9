"""How the branches' states become one vector and logits: the paper's wiring, ours for any length, and a closed form.

Source: H. Zou et al., "Speech Emotion Recognition with Co-Attention based Multi-level Acoustic Information",
ICASSP 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from voxaffect.closed_form import KernelRidge
from voxaffect.encoders.masking import is_tracing, masked_mean, masked_softmax
from voxaffect.encoders.vit import VitOptions
from voxaffect.errors import UsageError
from voxaffect.model_options import ModelOptions

PUBLISHED_FRAMES = 300
"""Frames of a published segment: 3 s."""


class PublishedWiring(nn.Module):
    """The paper's table: flattened BiLSTM, a ReLU weight (no softmax) for each speech state, three layers.

    wav2vec2 gives 149 states for 3 s, `n_states`; Whisper in its place gives 150.

    With a branch off, its vector is left out; without both spectrogram and MFCC, or with fusion by concatenation,
    the speech states are averaged.
    """

    def __init__(
        self,
        options: ModelOptions,
        spectrogram: int | None,
        mfcc: int | None,
        speech: int | None,
        n_states: int = 0,
    ) -> None:
        super().__init__()
        width, dropout, self.n_states = options.width, options.dropout, n_states
        self.spectrogram = self.mfcc = self.attention = self.speech = None
        if spectrogram is not None:
            self.spectrogram = _layer(spectrogram, width, dropout)
        self.n_steps = 0
        if mfcc is not None and options.mfcc is not None:
            self.n_steps = -(-PUBLISHED_FRAMES // options.mfcc.stack)
            self.mfcc = _layer(self.n_steps * mfcc, width, dropout)
        n_queries = (spectrogram is not None) + (mfcc is not None)
        if speech is not None:
            if n_queries and options.fusion == "co-attention":
                self.attention = _layer(n_queries * width, n_states, dropout)
            self.speech = _layer(speech, width, dropout)
        n_vectors = n_queries + (speech is not None)
        self.fusion = nn.Sequential(_layer(n_vectors * width, width, dropout), _layer(width, width, dropout))
        self.head = nn.Linear(width, options.n_classes)

    def forward(
        self,
        spectrogram: tuple[Tensor, Tensor] | None,
        mfcc: tuple[Tensor, Tensor] | None,
        speech: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Each branch is its states and mask, the spectrogram's a single state; returns (B, width)."""
        vectors: list[Tensor] = []
        if self.spectrogram is not None and spectrogram is not None:
            vectors.append(self.spectrogram(spectrogram[0].squeeze(1)))
        if self.mfcc is not None and mfcc is not None:
            _check_length("MFCC states", mfcc[0].shape[1], self.n_steps)
            vectors.append(self.mfcc(mfcc[0].flatten(1)))
        if self.speech is not None and speech is not None:
            states = speech[0]
            if self.attention is not None:
                _check_length("speech states", states.shape[1], self.n_states)
                weights = self.attention(torch.cat(vectors, dim=1))  # (B, 149)
                vector = (weights.unsqueeze(1) @ states).squeeze(1)
            else:
                vector = states.mean(1)
            vectors.append(self.speech(vector))
        fused: Tensor = self.fusion(torch.cat(vectors, dim=1))
        return fused


class NativeWiring(nn.Module):
    """Masked pooling of each branch; spectrogram and MFCC attend over the speech states that exist.

    The speech vector joins what the co-attention reads with attentive statistics (mean and standard
    deviation), so that the speech branch is strong on its own; without the other two a learned query takes
    their place. With fusion by concatenation nothing attends, and the statistics stand alone.
    """

    def __init__(
        self, options: ModelOptions, spectrogram: int | None, mfcc: int | None, speech: int | None
    ) -> None:
        super().__init__()
        width, dropout = options.width, options.dropout
        self.pools, self.vectors = nn.ModuleDict(), nn.ModuleDict()
        self.co_attention: MaskedCoAttention | None = None
        n_queries = 0
        for name, dim in (("spectrogram", spectrogram), ("mfcc", mfcc)):
            if dim is not None:
                n_queries += 1
                single = name == "spectrogram" and pools_itself(options)
                statistics = options.pooling == "attentive-statistics" and not single
                self.pools[name] = AttentiveStatistics(dim) if statistics else MeanPooling()
                self.vectors[name] = _normed_layer(2 * dim if statistics else dim, options)
        if speech is not None:
            self.pools["speech"] = AttentiveStatistics(speech)
            n_heard = 2 * speech
            if options.fusion == "co-attention":
                self.co_attention = MaskedCoAttention(n_queries * width, speech, options.heads, width)
                n_heard += width
            self.vectors["speech"] = _normed_layer(n_heard, options)
        n_vectors = n_queries + (speech is not None)
        self.fusion = nn.Sequential(_layer(n_vectors * width, width, dropout), nn.Dropout(dropout))
        self.head = nn.Linear(width, options.n_classes)

    def forward(
        self,
        spectrogram: tuple[Tensor, Tensor] | None,
        mfcc: tuple[Tensor, Tensor] | None,
        speech: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Each branch is its states and mask; returns (B, width)."""
        vectors: list[Tensor] = []
        for name, branch in (("spectrogram", spectrogram), ("mfcc", mfcc)):
            if branch is not None:
                vectors.append(self.vectors[name](self.pools[name](*branch)))
        if speech is not None:
            heard = self.pools["speech"](*speech)
            if self.co_attention is not None:
                query = torch.cat(vectors, dim=1) if vectors else None
                heard = torch.cat([heard, self.co_attention(query, *speech)], dim=1)
            vectors.append(self.vectors["speech"](heard))
        fused: Tensor = self.fusion(torch.cat(vectors, dim=1))
        return fused


class KernelWiring(nn.Module):
    """Mean and standard deviation over time of each branch's states, and kernel ridge regression on them.

    Nothing here is trained by gradient: `head` is fitted in closed form once the branches are trained.
    """

    def __init__(
        self, options: ModelOptions, spectrogram: int | None, mfcc: int | None, speech: int | None
    ) -> None:
        super().__init__()
        if pools_itself(options):
            raise UsageError(
                "bad_option", "wiring 'kernel' needs the spectrogram's states, not its class token alone"
            )
        assert options.kernel is not None
        sizes = [2 * dim for dim in (spectrogram, mfcc, speech) if dim is not None]
        self.head = KernelRidge(sizes, options.n_classes, options.kernel)

    def forward(
        self,
        spectrogram: tuple[Tensor, Tensor] | None,
        mfcc: tuple[Tensor, Tensor] | None,
        speech: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Each branch is its states and mask; returns (B, the sum of twice their sizes)."""
        branches = [branch for branch in (spectrogram, mfcc, speech) if branch is not None]
        return torch.cat([statistics(*branch) for branch in branches], dim=1)


class MaskedCoAttention(nn.Module):
    """`heads` queries from the other branches' vectors read the speech states by softmax: -> (B, width).

    Keys are the states themselves, normalised, after one projection; each head reads its own share of the width.
    One query reads all states of an item, so the projections are applied to it and to what it read, not to every state,
    and the norm goes into the weights: the same sums for a small part of the work. A key's bias, the same for all
    states, would change no weight.
    """

    def __init__(self, query_dim: int, speech_dim: int, heads: int, width: int) -> None:
        super().__init__()
        if width % heads:
            raise UsageError("bad_option", f"model width {width} is no multiple of its {heads} heads")
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.query = nn.Linear(query_dim, width) if query_dim else None
        self.learned = None if query_dim else nn.Parameter(torch.randn(1, width) * 0.02)
        self.norm = nn.LayerNorm(speech_dim)
        self.key, self.value = nn.Linear(speech_dim, width), nn.Linear(speech_dim, width)

    def forward(self, query: Tensor | None, states: Tensor, mask: Tensor) -> Tensor:
        """`query` (B, Q), or None where a learned one serves; `states` (B, T, D); `mask` (B, T)."""
        if self.query is not None:
            queries = self.query(query)
        else:
            assert self.learned is not None
            queries = self.learned.expand(states.shape[0], -1)
        by_head = (self.heads, -1, states.shape[2])
        q = queries.reshape(queries.shape[0], self.heads, -1) * self.scale
        asked = torch.einsum("bhd,hdk->bhk", q, self.key.weight.reshape(by_head)) * self.norm.weight
        mean = states.mean(2)
        square = torch.linalg.vector_norm(states, dim=2).square() / states.shape[2]
        scale = torch.rsqrt((square - mean.square()).clamp(min=0.0) + self.norm.eps)  # (B, T)
        scores = states @ asked.transpose(1, 2) - mean.unsqueeze(2) * asked.sum(2).unsqueeze(1)
        scores = (scores * scale.unsqueeze(2)).transpose(1, 2)  # (B, heads, T)
        weights = masked_softmax(scores, mask.unsqueeze(1)) * scale.unsqueeze(1)
        read = weights @ states - (weights * mean.unsqueeze(1)).sum(2, keepdim=True)  # (B, heads, D)
        read = read * self.norm.weight + self.norm.bias
        values = torch.einsum("bhk,hdk->bhd", read, self.value.weight.reshape(by_head))
        return values.flatten(1) + self.value.bias


class AttentiveStatistics(nn.Module):
    """Mean and standard deviation over the states that exist, weighted by a small network: (B, T, D) to (B,
    2 D).

    Source: K. Okabe et al., "Attentive Statistics Pooling for Deep Speaker Embedding", Interspeech 2018.
    """

    def __init__(self, dim: int, hidden: int = 64) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Padding changes nothing; one state alone has the standard deviation 0.001 (the square root's
        floor).
        """
        weights = masked_softmax(self.score(states).squeeze(2), mask).unsqueeze(1)  # (B, 1, T)
        mean = (weights @ states).squeeze(1)
        centred = states - mean.unsqueeze(1)
        variance = (weights @ centred.square()).squeeze(1)
        return torch.cat([mean, torch.sqrt(variance + 1e-6)], dim=1)


class MeanPooling(nn.Module):
    """Mean over the states that exist: (B, T, D) to (B, D)."""

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Shape: (B, T, D), (B, T) to (B, D)."""
        return masked_mean(states, mask)


class FeatureNorm(nn.BatchNorm1d):
    """Batch norm of vectors (B, D), in which an item alone, of which no deviation can be taken, has the running one.

    Source: S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015.
    """

    def forward(self, vectors: Tensor) -> Tensor:
        """Shape: (B, D) to (B, D)."""
        if not self.training or len(vectors) > 1:
            return super().forward(vectors)
        return nn.functional.batch_norm(
            vectors, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


def statistics(states: Tensor, mask: Tensor) -> Tensor:
    """Mean and standard deviation over the states that exist: (B, T, D), (B, T) to (B, 2 D)."""
    mean = masked_mean(states, mask)
    variance = masked_mean((states - mean.unsqueeze(1)).square(), mask)
    return torch.cat([mean, variance.sqrt()], dim=1)


def pools_itself(options: ModelOptions) -> bool:
    """Whether the spectrogram's encoder gives one state: in published wiring, or its class token anywhere."""
    image = options.spectrogram
    return options.wiring == "published" or (isinstance(image, VitOptions) and image.pooling == "cls")


def _check_length(what: str, given: int, expected: int) -> None:
    if not is_tracing() and given != expected:
        raise ValueError(
            f"published wiring takes {expected} {what} (segments of 3 s), got {given}; use native wiring"
        )


def _layer(n_in: int, n_out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(n_in, n_out), nn.ReLU())


def _normed_layer(n_in: int, options: ModelOptions) -> nn.Sequential:
    norm = FeatureNorm(n_in) if options.norm == "batch" else nn.LayerNorm(n_in)
    return nn.Sequential(norm, *_layer(n_in, options.width, options.dropout))
