"""Options of the co-attention model, from recipes and saved models, and two presets of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from voxaffect.encoders.alexnet import AlexNetOptions
from voxaffect.encoders.bilstm import BiLstmOptions
from voxaffect.encoders.speech import SpeechOptions
from voxaffect.encoders.vit import VitOptions
from voxaffect.encoders.waveform import WaveformOptions
from voxaffect.errors import UsageError
from voxaffect.options import from_table, to_table

STUDY_SPEECH_CHECKPOINT = "facebook/wav2vec2-base-960h"

SpectrogramOptions = VitOptions | AlexNetOptions
SpeechBranchOptions = SpeechOptions | WaveformOptions
BranchOptions = SpectrogramOptions | BiLstmOptions | SpeechBranchOptions

KINDS: Mapping[str, Mapping[str, type[Any]]] = {
    "spectrogram": {"vit": VitOptions, "alexnet": AlexNetOptions},
    "mfcc": {"bilstm": BiLstmOptions},
    "speech": {"pretrained": SpeechOptions, "waveform": WaveformOptions},
}
"""Branch -> kind (the word in recipes) -> its options."""


@dataclass(frozen=True)
class ModelOptions:
    """The whole model: number of classes, the three branches (None is off) and how they are joined.

    `width` is the size of a branch's vector, `heads` the native co-attention's heads, `pooling` how native
    wiring makes a vector of the spectrogram and MFCC states.
    """

    n_classes: int
    spectrogram: SpectrogramOptions | None = None
    mfcc: BiLstmOptions | None = None
    speech: SpeechBranchOptions | None = None
    wiring: Literal["native", "published"] = "native"
    width: int = 128
    heads: int = 4
    dropout: float = 0.1
    pooling: Literal["attentive-statistics", "mean"] = "attentive-statistics"

    def __post_init__(self) -> None:
        if self.n_classes < 2:
            raise UsageError("bad_option", f"a model needs at least 2 classes, got {self.n_classes}")
        if self.spectrogram is None and self.mfcc is None and self.speech is None:
            raise UsageError("bad_option", f"all branches are off; switch on one of {list(KINDS)}")
        for name, allowed in (
            ("wiring", ("native", "published")),
            ("pooling", ("attentive-statistics", "mean")),
        ):
            if getattr(self, name) not in allowed:
                raise UsageError(
                    "bad_option", f"model {name} {getattr(self, name)!r}; expected one of {list(allowed)}"
                )
        if self.width < 1 or self.heads < 1 or not 0.0 <= self.dropout < 1.0:
            raise UsageError("bad_option", "model width and heads must be at least 1, dropout in [0, 1)")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and TOML; a branch is a table with its `kind`, left out when it is off."""
        table = {key: value for key, value in _plain(self).items() if key not in KINDS}
        for branch, kinds in KINDS.items():
            options = getattr(self, branch)
            if options is not None:
                kind = next(kind for kind, cls in kinds.items() if isinstance(options, cls))
                table[branch] = {"kind": kind, **_plain(options)}
        return table

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> ModelOptions:
        """The inverse of `to_dict`.

        Raises:
            UsageError: an unknown key or kind (the known ones are listed), or a value that is not allowed.
        """
        values = dict(table)
        for branch, kinds in KINDS.items():
            entry = values.get(branch)
            if entry is None or not isinstance(entry, Mapping):
                continue
            settings = dict(entry)
            kind = settings.pop("kind", next(iter(kinds)))
            if kind not in kinds:
                raise UsageError(
                    "unknown_kind", f"unknown kind {kind!r} of model.{branch}; expected one of {list(kinds)}"
                )
            values[branch] = from_table(kinds[kind], settings, f"model.{branch}")
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise UsageError("unknown_key", f"unknown key {key!r} in [model]; expected some of {known}")
        try:
            return cls(**values)
        except TypeError as error:  # no n_classes, or a value of another type
            raise UsageError("bad_value", f"[model]: {error}") from None


def camser(
    n_classes: int = 4,
    *,
    spectrogram: Literal["alexnet", "vit"] = "alexnet",
    speech: str = STUDY_SPEECH_CHECKPOINT,
    spectrogram_weights: str | None = None,
    frozen: bool = False,
) -> ModelOptions:
    """The published method: AlexNet (or the proposal's ViT-B/16), BiLSTM, wav2vec2, all fine-tuned."""
    image: SpectrogramOptions = AlexNetOptions(weights=spectrogram_weights)
    if spectrogram == "vit":
        image = VitOptions(
            patch=(16, 16), resolution="224", pooling="cls", image="published", weights=spectrogram_weights
        )
    return ModelOptions(
        n_classes,
        spectrogram=image,
        mfcc=BiLstmOptions(),
        # The features normalise the padded segment themselves, as published; nothing is masked or mixed.
        speech=SpeechOptions(
            speech, frozen=frozen, mix=-1, layer_norm=False, normalise="never", masked=False
        ),
        wiring="published",
    )


def small(n_classes: int = 4, *, dropout: float = 0.2) -> ModelOptions:
    """Three small branches from random weights, quick enough for live use: the bundled model."""
    return ModelOptions(
        n_classes,
        spectrogram=VitOptions(
            patch=(20, 20),
            dim=96,
            depth=2,
            heads=4,
            mlp_ratio=2.0,
            dropout=dropout,
            stem="conv",
            n_channels=1,
            norm_eps=1e-6,
        ),
        mfcc=BiLstmOptions(hidden=64, layers=1, stack=4, normalise="standardise", dropout=0.0),
        speech=WaveformOptions(filters=40, dim=96, depth=2, dropout=dropout),
        wiring="native",
        width=96,
        dropout=dropout,
    )


def _plain(options: Any) -> dict[str, Any]:
    """Fields of one options object as JSON values, None left out (TOML has none)."""
    return {key: value for key, value in to_table(options).items() if value is not None}
