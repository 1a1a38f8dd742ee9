"""Options of the co-attention model, from recipes and saved models, and presets of them.

A preset is a whole model by name. Two are the study's systems, the method with AlexNet and the proposal with a
vision transformer in its place, each in two wirings: `published` as printed, every weight fine-tuned; `native` at
the spectrogram's own resolution, of any length, over a frozen speech encoder whose layers are mixed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from voxaffect.checkpoints import ALEXNET, VIT, WAV2VEC2
from voxaffect.closed_form import KernelOptions
from voxaffect.encoders.alexnet import AlexNetOptions
from voxaffect.encoders.bilstm import BiLstmOptions
from voxaffect.encoders.speech import SpeechOptions
from voxaffect.encoders.vit import VitOptions
from voxaffect.encoders.waveform import WaveformOptions
from voxaffect.errors import UsageError
from voxaffect.feature_options import FeatureOptions
from voxaffect.options import from_table, to_table

Wiring = Literal["native", "published", "kernel"]
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
    wiring makes a vector of the spectrogram and MFCC states. `norm` is what native wiring does to a branch's pooled
    vector: "layer" brings each vector to mean 0 and deviation 1, "batch" each of its features over the training
    batches, so that a few large ones do not hide the rest. `fusion` is how the other branches meet speech: by
    "co-attention" they weigh its states; by "concatenation" they do not, and the branches' vectors are joined as they
    are, which is for comparison. With the wiring "kernel" the branches learn from a teacher alone, and `kernel` says
    how their statistics become classes, in closed form.
    """

    n_classes: int
    spectrogram: SpectrogramOptions | None = None
    mfcc: BiLstmOptions | None = None
    speech: SpeechBranchOptions | None = None
    wiring: Wiring = "native"
    width: int = 128
    heads: int = 4
    dropout: float = 0.1
    pooling: Literal["attentive-statistics", "mean"] = "attentive-statistics"
    norm: Literal["layer", "batch"] = "layer"
    fusion: Literal["co-attention", "concatenation"] = "co-attention"
    kernel: KernelOptions | None = None

    def __post_init__(self) -> None:
        if self.n_classes < 2:
            raise UsageError("bad_option", f"a model needs at least 2 classes, got {self.n_classes}")
        if self.spectrogram is None and self.mfcc is None and self.speech is None:
            raise UsageError("bad_option", f"all branches are off; switch on one of {list(KINDS)}")
        for name, allowed in (
            ("wiring", ("native", "published", "kernel")),
            ("pooling", ("attentive-statistics", "mean")),
            ("norm", ("layer", "batch")),
            ("fusion", ("co-attention", "concatenation")),
        ):
            if getattr(self, name) not in allowed:
                raise UsageError(
                    "bad_option", f"model {name} {getattr(self, name)!r}; expected one of {list(allowed)}"
                )
        if (self.kernel is not None) > (self.wiring == "kernel"):
            raise UsageError(
                "bad_option", f"model.kernel goes with wiring = 'kernel', not with {self.wiring!r}"
            )
        if self.norm != "layer" and self.wiring != "native":
            raise UsageError(
                "bad_option", f"model.norm goes with wiring = 'native', not with {self.wiring!r}"
            )
        if self.fusion != "co-attention" and self.wiring == "kernel":
            raise UsageError("bad_option", "model.fusion goes with wiring = 'native' or 'published'")
        if self.wiring == "kernel" and self.kernel is None:
            object.__setattr__(self, "kernel", KernelOptions())
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
    def from_dict(cls, table: Mapping[str, Any], *, wiring: Wiring = "native") -> ModelOptions:
        """The inverse of `to_dict`; besides, `preset` names one of PRESETS, of which all other keys change something.

        A branch that is false is off; `weights` of the spectrogram that are false are random. `wiring` is that of
        a preset whose table does not say it.

        Raises:
            UsageError: an unknown key, kind or preset (the known ones are listed), or a value that is not allowed.
        """
        values = _with_preset(dict(table), wiring)
        for branch, kinds in KINDS.items():
            entry = values.get(branch)
            if entry is None or entry is False:
                values[branch] = None
                continue
            if not isinstance(entry, Mapping):
                raise UsageError("bad_value", f"model.{branch} must be a table, or false, got {entry!r}")
            settings = dict(entry)
            if settings.get("weights") is False:
                settings["weights"] = None
            kind = settings.pop("kind", next(iter(kinds)))
            if kind not in kinds:
                raise UsageError(
                    "unknown_kind", f"unknown kind {kind!r} of model.{branch}; expected one of {list(kinds)}"
                )
            values[branch] = from_table(kinds[kind], settings, f"model.{branch}")
        if isinstance(values.get("kernel"), Mapping):
            values["kernel"] = from_table(KernelOptions, values["kernel"], "model.kernel")
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise UsageError("unknown_key", f"unknown key {key!r} in [model]; expected some of {known}")
        try:
            return cls(**values)
        except TypeError as error:  # no n_classes, or a value of another type
            raise UsageError("bad_value", f"[model]: {error}") from None


def camser_alexnet(
    n_classes: int = 4,
    wiring: Wiring = "published",
    *,
    weights: str | None = ALEXNET,
    speech: str = WAV2VEC2,
) -> ModelOptions:
    """The published method: AlexNet, BiLSTM and wav2vec2."""
    if wiring == "published":
        return _published(n_classes, AlexNetOptions(weights=weights), speech)
    return _native(n_classes, AlexNetOptions(resolution="native", image="native", weights=weights), speech)


def camser_vit(
    n_classes: int = 4,
    wiring: Wiring = "published",
    *,
    weights: str | None = VIT,
    speech: str = WAV2VEC2,
) -> ModelOptions:
    """The study's proposal: ViT-B/16 in AlexNet's place; native with patches of 20 x 20, which 200 x 300 holds."""
    if wiring == "published":
        vit = VitOptions(patch=(16, 16), resolution="224", pooling="cls", image="published", weights=weights)
        return _published(n_classes, vit, speech)
    return _native(n_classes, VitOptions(weights=weights), speech)


def small(n_classes: int = 4, wiring: Wiring = "native", *, dropout: float = 0.2) -> ModelOptions:
    """Three small branches from random weights, quick enough for live use."""
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
        wiring=wiring,
        width=96,
        dropout=dropout,
    )


PRESETS: Mapping[str, Callable[[int, Wiring], ModelOptions]] = {
    "camser-alexnet": camser_alexnet,
    "camser-vit": camser_vit,
    "small": small,
}
"""Name -> the model of so many classes in that wiring."""


def check_features(options: ModelOptions, features: FeatureOptions) -> None:
    """Raise UsageError `bad_value` where the published wiring would get anything but segments of 3 s."""
    if options.wiring == "published" and features.segmentation != "padded":
        raise UsageError(
            "bad_value",
            "published wiring takes segments of 3 s, padded as published",
            hint='set features.preset = "published", or model.wiring = "native"',
        )


def _published(n_classes: int, image: SpectrogramOptions, speech: str) -> ModelOptions:
    return ModelOptions(
        n_classes,
        spectrogram=image,
        mfcc=BiLstmOptions(),
        # The features normalise the padded segment themselves, as published; nothing is masked or mixed.
        speech=SpeechOptions(speech, frozen=False, mix=-1, layer_norm=False, normalise="never", masked=False),
        wiring="published",
    )


def _native(n_classes: int, image: SpectrogramOptions, speech: str) -> ModelOptions:
    return ModelOptions(
        n_classes,
        spectrogram=image,
        mfcc=BiLstmOptions(normalise="standardise"),  # keeps loudness
        speech=SpeechOptions(speech),
        wiring="native",
    )


def _with_preset(table: dict[str, Any], wiring: Wiring) -> dict[str, Any]:
    """The table of the preset that `table` names, changed by its other keys; `table` itself if it names none.

    A branch keeps what the preset says of it, unless the table asks for another kind.
    """
    if "preset" not in table:
        return table
    name = table.pop("preset")
    if name not in PRESETS:
        raise UsageError(
            "unknown_preset", f"unknown preset {name!r} in [model]; expected one of {list(PRESETS)}"
        )
    wanted = table.get("wiring", wiring)
    values = PRESETS[name](2, "published" if wanted == "published" else "native").to_dict()
    del values["n_classes"]  # the table's own
    for key, value in table.items():
        own = values.get(key)
        if (
            isinstance(own, Mapping)
            and isinstance(value, Mapping)
            and value.get("kind", own["kind"]) == own["kind"]
        ):
            values[key] = {**own, **value}
        else:
            values[key] = value
    return values


def _plain(options: Any) -> dict[str, Any]:
    """Fields of one options object as JSON values, None left out (TOML has none)."""
    return {key: value for key, value in to_table(options).items() if value is not None}
