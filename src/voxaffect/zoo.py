"""Encoders that a model can be trained on by a recipe: names, where their weights are had, terms, and the recipe.

Their weights are not ours and not bundled. A recipe of the zoo is a probe: statistics of layers of the frozen encoder,
and a closed form on top (`voxaffect.probe`), with a grid of layers that suits the encoder's depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from voxaffect.checkpoints import find_folder
from voxaffect.errors import UsageError


@dataclass(frozen=True)
class Encoder:
    """A pretrained speech encoder: its repository on the hub, layers, size of its states, millions of parameters of
    the encoder alone, terms of its weights, and what it was trained on."""

    checkpoint: str
    n_layers: int
    dim: int
    million: int
    licence: str
    heard: str

    @property
    def grid(self) -> tuple[tuple[int, ...], ...]:
        """The choices of layers that a probe's recipe offers: single ones from the middle up, and some together."""
        n = self.n_layers
        half, three = max(n // 2, 1), max(3 * n // 4, 1)
        choices = [
            (half,),
            (three,),
            tuple(sorted({half, three})),
            tuple(sorted({half // 2 or 1, half, three, n})),
        ]
        return tuple(dict.fromkeys(choices))


ENCODERS: Mapping[str, Encoder] = {
    "whisper-tiny": Encoder(
        "openai/whisper-tiny.en", 4, 384, 8, "Apache-2.0", "English, 438 000 h with transcripts"
    ),
    "wav2vec2-base": Encoder("facebook/wav2vec2-base", 12, 768, 94, "Apache-2.0", "English, 960 h"),
    "wavlm-base-plus": Encoder("microsoft/wavlm-base-plus", 12, 768, 94, "CC BY-SA 3.0", "English, 94 000 h"),
    "wavlm-large": Encoder("microsoft/wavlm-large", 24, 1024, 315, "CC BY-SA 3.0", "English, 94 000 h"),
    "whisper-large": Encoder(
        "openai/whisper-large-v2", 32, 1280, 637, "Apache-2.0", "98 languages, 680 000 h with transcripts"
    ),
}
"""By the name that `voxaffect models` lists. Version 3 of Whisper hears 128 mel bands, which our log-mel has not."""

TEMPLATE = """\
# A closed-form head on the frozen encoder {checkpoint} ({licence}; {heard}).
# Weights:  voxaffect models download {checkpoint} -o DIR, then VOXAFFECT_MODELS=DIR
# Figures:  voxaffect train {file} -o runs/{name}
# Model:    voxaffect train {file} -o runs/{name}-all --set protocol.folds=all-speakers
#           voxaffect models export runs/{name}-all --evidence runs/{name} -o {name}.onnx
name = "{name}"
title = "RAVDESS, 4 classes, leave one speaker out, frozen {name}"

[data]
root = "corpora"         # RAVDESS lies in corpora/ravdess beside this file; see: voxaffect corpus show ravdess
corpora = ["ravdess"]
labels = ["angry", "happy", "neutral", "sad"]

[protocol]
folds = "leave-one-speaker-out"
dev_speakers = 4
seeds = [1, 2, 3]

[features]
preset = "native"
window = 0.0             # whole utterances

[model]
kind = "probe"
layers = {layers}
statistics = ["mean", "mean+std"]
kernels = ["rbf"]
penalties = [0.03, 0.1, 0.3, 1.0]
inner_folds = 4

[model.speech]
checkpoint = "{checkpoint}"

[adaptation]             # a second figure, and predict --enrol
unit = "speaker"

[card]
name = "{name}"
version = "1.0"
licence = "{licence} (encoder); the terms of the corpora on top"
"""


def find_encoder(name: str) -> Encoder:
    """The encoder `name` of the zoo.

    Raises:
        UsageError: `unknown_encoder`, with the closest names.
    """
    if name not in ENCODERS:
        close = get_close_matches(name, ENCODERS, n=2, cutoff=0.4)
        raise UsageError(
            "unknown_encoder",
            f"unknown encoder {name!r}; expected one of {[*ENCODERS]}",
            hint=f"did you mean {' or '.join(close)}?" if close else None,
        )
    return ENCODERS[name]


def recipe_text(name: str, file: str = "recipe.toml") -> str:
    """The recipe of the encoder `name` as TOML, to be kept as `file` and changed at will.

    Raises:
        UsageError: `unknown_encoder`.
    """
    encoder = find_encoder(name)
    return TEMPLATE.format(
        name=name,
        file=file,
        checkpoint=encoder.checkpoint,
        licence=encoder.licence,
        heard=encoder.heard,
        layers=[list(layers) for layers in encoder.grid],
    )


def is_here(encoder: Encoder) -> bool:
    """Whether the weights lie in a folder that recipes look into; the caches of other libraries are not looked into."""
    return find_folder(encoder.checkpoint)[0] is not None
