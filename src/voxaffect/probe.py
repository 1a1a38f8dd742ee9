"""Closed-form heads on a frozen speech encoder: kernel ridge regression on statistics of its layers.

For a few hundred utterances nothing trained by gradient beats it: statistics over time of some layers,
standardised on the training speakers, class-balanced kernel ridge onto one-hot targets. Which layers, statistics,
kernel and penalty is chosen by cross-validation over groups of the training and dev speakers; the test speakers
are never seen. The scores are turned into probabilities by a scale fitted on the same out-of-fold scores.

Source: Saunders, Gammerman, Vovk, "Ridge regression learning algorithm in dual variables", ICML 1998.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from voxaffect.calibration import fit_temperature
from voxaffect.closed_form import KERNELS, kernel, radial, solve, standardise
from voxaffect.encoders.masking import divide_down
from voxaffect.encoders.speech import SpeechEncoder, SpeechOptions
from voxaffect.metrics import confusion, ua
from voxaffect.options import from_table
from voxaffect.splits import speaker_groups

N_VECTORS = {"mean": 1, "mean+std": 2, "mean+std+thirds": 5}
"""Vectors (D,) by the name of the statistics: mean, standard deviation, and the means of the first, second and last
third of the frames."""
STATISTICS = tuple(N_VECTORS)
Point = tuple[tuple[int, ...], str]
"""Layers and statistics, of a grid."""
Pooled = Mapping[Point, np.ndarray]
"""Statistics of N utterances, (N, D) each, by the choice of layers and statistics."""


@dataclass(frozen=True)
class ProbeOptions:
    """The grid that selection searches: every combination of `layers`, `statistics`, `kernels` and `penalties`.

    Layer 0 is what enters the encoder's first block, layer l what leaves block l. `inner_folds` groups of the training
    and dev speakers take turns as dev speakers, and all of them are fitted on in the end; with 0 the fold's own dev
    speakers choose, and the training speakers alone are fitted on, as members of an ensemble want it.
    """

    speech: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[tuple[int, ...], ...] = ((1,), (2,), (3,))
    statistics: tuple[str, ...] = ("mean", "mean+std")
    kernels: tuple[str, ...] = KERNELS
    penalties: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    rbf_scale: float = 0.5
    inner_folds: int = 4
    kind: str = "probe"

    def __post_init__(self) -> None:
        for name, allowed in (("statistics", STATISTICS), ("kernels", KERNELS)):
            for value in getattr(self, name):
                if value not in allowed:
                    raise ValueError(f"unknown {name} {value!r}; expected some of {list(allowed)}")
        if not (self.layers and self.statistics and self.kernels and self.penalties):
            raise ValueError("the probe's grid is empty")
        if self.inner_folds < 2 and self.inner_folds != 0:
            raise ValueError(
                f"inner_folds is {self.inner_folds}; expected 2 or more, or 0: the dev speakers choose"
            )


@dataclass(frozen=True)
class Choice:
    """One point of the grid."""

    layers: tuple[int, ...]
    statistics: str
    kernel: str
    penalty: float


class Probe(nn.Module):
    """Frozen encoder, statistics over the frames that exist, kernel ridge: inputs -> logits (B, K)."""

    anchors: Tensor
    dual: Tensor
    mean: Tensor
    std: Tensor
    offset: Tensor
    scale: Tensor

    def __init__(
        self, speech: SpeechEncoder, choice: Choice, rbf_scale: float, n_anchors: int, n_classes: int
    ) -> None:
        super().__init__()
        self.speech = speech
        self.choice = choice
        self.rbf_scale = rbf_scale
        n_features = len(choice.layers) * speech.dim * N_VECTORS[choice.statistics]
        rows = n_anchors if choice.kernel == "rbf" else n_classes
        self.register_buffer("anchors", torch.zeros(rows, n_features))
        self.register_buffer("dual", torch.zeros(n_anchors if choice.kernel == "rbf" else 0, n_classes))
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("std", torch.ones(n_features))
        self.register_buffer("offset", torch.zeros(n_classes))
        self.register_buffer("scale", torch.ones(()))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features that the encoder wants."""
        return self.speech.inputs

    @property
    def speech_layers(self) -> tuple[int, ...]:
        """The states that it reads; an export runs the encoder no deeper."""
        return self.choice.layers

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Logits (B, K) of a padded batch, or of cached `speech_states`."""
        return self.score(self.features(inputs))

    def features(self, inputs: dict[str, Tensor]) -> Tensor:
        """The statistics (B, D) that the choice names."""
        if "speech_states" in inputs:
            states = inputs["speech_states"]
        else:
            states = self.speech.states(inputs, tuple(range(max(self.choice.layers) + 1)))
        counts = self.speech.n_states(inputs["n_samples"])
        return pool(states, counts, self.choice.layers, self.choice.statistics)

    def score(self, features: Tensor) -> Tensor:
        """Logits (B, K) of statistics (B, D)."""
        z = (features - self.mean) / self.std  # (B, D)
        if self.choice.kernel == "linear":
            scores = z @ self.anchors.T / z.shape[1]
        else:
            scores = radial(z, self.anchors, self.rbf_scale) @ self.dual
        return (scores + self.offset) * self.scale


def pool(states: Tensor, counts: Tensor, layers: Sequence[int], statistics: str) -> Tensor:
    """`statistics` over the existing frames of `layers`: (B, L, T, D), (B,) -> (B, len * vectors * D)."""
    chosen = states[:, list(layers)]  # (B, l, T, D)
    frames = torch.arange(chosen.shape[2], device=chosen.device)[None]
    exists = (frames < counts[:, None])[:, None, :, None].float()
    n = counts.clamp(min=1)[:, None, None].float()
    mean = (chosen * exists).sum(2) / n  # (B, l, D)
    if statistics == "mean":
        return mean.flatten(1)
    variance = ((chosen - mean[:, :, None]) ** 2 * exists).sum(2) / n
    vectors = [mean, variance.clamp(min=0).sqrt()]
    if statistics == "mean+std+thirds":
        for third in range(3):  # of fewer than three frames some stand in two
            start = divide_down(counts * third, 3)[:, None]
            stop = divide_down(counts * (third + 1), 3)[:, None].maximum(start + 1)
            inside = ((frames >= start) & (frames < stop)).float()
            vectors.append((inside[:, None, None] @ chosen).squeeze(2) / inside.sum(1)[:, None, None])
    return torch.cat(vectors, dim=-1).flatten(1)


def pool_grid(
    speech: SpeechEncoder, options: ProbeOptions, batches: Iterable[Mapping[str, Tensor]]
) -> Pooled:
    """`pool` of each choice of layers and statistics in the grid: (N, D) float32, N over all `batches`.

    `batches` hold `speech_states` (B, L, T', D) and `n_samples`. Every layer is pooled once.
    """
    layers = sorted({layer for choice in options.layers for layer in choice})
    richest = max((*options.statistics, "mean+std"), key=lambda name: N_VECTORS[name])
    pooled = torch.cat(
        [pool(b["speech_states"], speech.n_states(b["n_samples"]), layers, richest) for b in batches]
    )
    each = pooled.view(len(pooled), len(layers), N_VECTORS[richest], -1).numpy()  # (N, l, vectors, D)
    return {
        (choice, statistics): each[
            :, [layers.index(layer) for layer in choice], : N_VECTORS[statistics]
        ].reshape(len(each), -1)
        for choice, statistics in itertools.product(options.layers, options.statistics)
    }


def fit_probe(
    speech: SpeechEncoder,
    options: ProbeOptions,
    pooled: Pooled,
    targets: np.ndarray,
    speakers: Sequence[str],
    n_classes: int,
    seed: int,
    *,
    judges: np.ndarray | None = None,
    copies: np.ndarray | None = None,
) -> tuple[Probe, dict[str, Any], np.ndarray]:
    """Choose by inner folds of speakers, then fit on everything given (training and dev speakers).

    `pooled` is what `pool_grid` makes of the utterances, in the order of `targets` (N,) and `speakers`.
    Where `judges` (N,) bool says which utterances choose, no others do, and the fit is on the rest. `copies` (N,) bool
    are altered copies: fitted on wherever their speaker is, and never judged.
    Returns the probe, what was chosen with its inner UA, and the out-of-fold log-probabilities (N, K) that the chosen
    point gives the utterances that are no copies, with `judges` those that chose.
    """
    pooled = {point: features.astype(np.float64) for point, features in pooled.items()}
    held_out = _inner_folds(speakers, options.inner_folds, seed) if judges is None else [judges]
    judged = np.ones(len(targets), bool) if copies is None else ~copies
    chosen_on = np.any(held_out, axis=0) & judged
    fitted_on = np.ones(len(targets), bool) if judges is None else ~judges
    results: list[tuple[float, Choice, np.ndarray]] = []
    # Where `judges` choose, the rest is what is fitted on in the end: solved once.
    duals: dict[Choice, np.ndarray] = {}
    for (layers, statistics), features in pooled.items():
        for name in options.kernels:
            scores = {penalty: np.zeros((len(targets), n_classes)) for penalty in options.penalties}
            for mask in held_out:
                rest, test = ~mask, mask & judged
                z, mean, std = standardise(features[rest])
                gram = kernel(z, z, name, options.rbf_scale)
                across = kernel((features[test] - mean) / std, z, name, options.rbf_scale)
                for penalty in options.penalties:
                    dual = solve(gram, targets[rest], penalty, n_classes)
                    scores[penalty][test] = across @ dual
                    if judges is not None:
                        duals[Choice(layers, statistics, name, penalty)] = dual
            for penalty, values in scores.items():
                found = float(ua(confusion(targets[chosen_on], values[chosen_on].argmax(axis=1), n_classes)))
                results.append((found, Choice(layers, statistics, name, penalty), values))
    # Equal scores go to the stronger penalty: the simpler function.
    best_ua, choice, out_of_fold = max(results, key=lambda r: (r[0], r[1].penalty))
    scale = 1.0 / fit_temperature(out_of_fold[chosen_on], targets[chosen_on])

    z, mean, std = standardise(pooled[choice.layers, choice.statistics][fitted_on])
    if judges is None:
        gram = kernel(z, z, choice.kernel, options.rbf_scale)
        dual = solve(gram, targets[fitted_on], choice.penalty, n_classes)
    else:
        dual = duals[choice]
    probe = Probe(speech, choice, options.rbf_scale, len(z), n_classes)
    probe.mean.copy_(torch.from_numpy(mean))
    probe.std.copy_(torch.from_numpy(std))
    probe.scale.fill_(scale)
    if choice.kernel == "linear":
        probe.anchors.copy_(torch.from_numpy(dual.T @ z))  # (K, D): the primal weights
        probe.offset.copy_(torch.from_numpy(dual.sum(axis=0)))
    else:
        probe.anchors.copy_(torch.from_numpy(z))
        probe.dual.copy_(torch.from_numpy(dual))
    logits = out_of_fold[chosen_on] * scale
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    report = {
        "layers": list(choice.layers),
        "statistics": choice.statistics,
        "kernel": choice.kernel,
        "penalty": choice.penalty,
        "inner_ua": best_ua,
    }
    return probe.eval(), report, log_probs


def read_probe_options(table: Mapping[str, Any]) -> tuple[ProbeOptions, SpeechOptions]:
    """The options of a recipe's [model] table with kind = "probe"."""
    options = from_table(ProbeOptions, table, "model")
    return options, from_table(SpeechOptions, options.speech, "model.speech")


def _inner_folds(speakers: Sequence[str], n: int, seed: int) -> list[np.ndarray]:
    """Masks (N,) of the speakers who judge in each of `n` inner folds, fewer if there are fewer speakers."""
    names = np.array(speakers)
    distinct = sorted(set(speakers))
    return [
        np.isin(names, f.test) for f in speaker_groups(distinct, min(n, len(distinct)), n_dev=0, seed=seed)
    ]
