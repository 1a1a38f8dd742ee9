"""A recipe: the one TOML file that says what is trained on what, and how it is judged."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voxaffect.errors import UsageError
from voxaffect.labels import FOUR, NAMED_MAPPINGS, check_labels
from voxaffect.options import from_table, overlaid, set_key, to_table
from voxaffect.protocol_options import (
    LATER,
    AdaptationOptions,
    EnsembleOptions,
    MemberOptions,
    ProtocolOptions,
)

SELECTION_MEASURES = ("ua", "wa", "wa+ua", "loss")
VARIABLE = (
    "title",
    "features",
    "model",
    "training",
    "augmentation",
    "surroundings",
    "distillation",
    "adaptation",
)
"""What a variant may change: all that leaves it the same speakers and utterances to answer for."""
RESERVED = ("members", "parts", "runs")
"""Folders of a run, which no variant or member may be named after."""


@dataclass(frozen=True)
class DataOptions:
    """Which utterances: corpora, where they lie, label set, mapping, filter.

    A corpus lies in the folder of its name under `root`, or where `roots` says (`folder = "my-clips"`); both are
    taken from the recipe's own folder.
    Utterances whose mapped label is not in `labels` are left out and counted. `missing_ok` accepts a copy
    of a corpus that lacks files which its own index lists; `complete` refuses one that does not hold just what its
    official release holds. `where` keeps the utterances that have the value given, or one of those in a list:
    `where = {style = "improvised", gender = ["female", "male"]}`; its keys are corpus, gender, language, session,
    speaker, take, text and whatever attributes the corpora give. What has no such attribute is left out.
    """

    corpora: tuple[str, ...]
    root: str = "."
    roots: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = FOUR
    mapping: str = "none"
    missing_ok: bool = False
    complete: bool = field(default=False, metadata={"later": True})
    where: Mapping[str, Any] = field(default_factory=dict, metadata={"later": True})

    def __post_init__(self) -> None:
        if not self.corpora:
            raise ValueError("corpora is empty; name at least one")
        for name in self.roots:
            if name not in self.corpora:
                raise ValueError(f"roots names {name!r}, which is not in corpora {list(self.corpora)}")
        if self.mapping not in NAMED_MAPPINGS:
            raise ValueError(f"unknown mapping {self.mapping!r}; expected one of {sorted(NAMED_MAPPINGS)}")
        for key, value in self.where.items():
            values = value if isinstance(value, list | tuple) else [value]
            if not values or not all(type(v) in (str, int, float) for v in values):
                raise ValueError(f"where.{key} must be a text, a number or a list of them, got {value!r}")
        object.__setattr__(self, "labels", check_labels(self.labels))


@dataclass(frozen=True)
class TrainingOptions:
    """AdamW with linear warm-up and cosine decay, stopped early on the dev speakers alone.

    `select_by` is the dev measure whose best epoch is kept; training ends after `patience` epochs without gain,
    not counting the first `min_epochs`. `class_weights` weighs the cross-entropy by inverse class frequency;
    `balance` = "corpus" draws every corpus and class equally often instead.
    """

    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 1e-3
    encoder_learning_rate: float = 1e-5
    weight_decay: float = 1e-2
    warmup: float = 0.1
    schedule: str = "cosine"
    patience: int = 8
    min_epochs: int = 6
    label_smoothing: float = 0.0
    class_weights: bool = False
    balance: str = "none"
    gradient_clip: float = 1.0
    average_last: float = 0.0
    """Decay of an exponential moving average of the weights, which is then what is judged and kept; 0: none."""
    select_by: str = "ua"
    precision: str = field(default="float32", metadata={"later": True})
    """`bfloat16` computes layers in it while training (weights, losses and answers stay float32): about twice as
    quick on processors and GPUs that know it; a processor that does not computes in float32."""

    def __post_init__(self) -> None:
        if self.select_by not in SELECTION_MEASURES:
            raise ValueError(
                f"unknown select_by {self.select_by!r}; expected one of {list(SELECTION_MEASURES)}"
            )
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"unknown schedule {self.schedule!r}; expected 'cosine' or 'constant'")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"unknown precision {self.precision!r}; expected 'float32' or 'bfloat16'")
        if self.balance not in ("none", "corpus"):
            raise ValueError(f"unknown balance {self.balance!r}; expected 'none' or 'corpus'")
        if self.epochs < 1 or self.batch_size < 1 or self.patience < 1:
            raise ValueError("epochs, batch_size and patience must be at least 1")
        if not 0 <= self.average_last < 1:
            raise ValueError(f"average_last must be in [0, 1), got {self.average_last}")


@dataclass(frozen=True)
class AugmentationOptions:
    """Changes to training audio; dev and test audio is never touched.

    `copies` altered copies of each training utterance are made once: speed in `speed` (0.9, 1.1: a tenth slower
    or faster, pitch with it), with probability `noise` white to brown noise at an SNR from `noise_snr` (dB), with
    probability `filter` a random gentle equaliser or the telephone band, level changed by up to `gain` dB. Each
    epoch draws one copy or the original and masks up to `time_mask` frames and `frequency_mask` bins, twice
    (SpecAugment, Park et al., Interspeech 2019). `mixup` is the Beta parameter of mixup (Zhang et al., ICLR 2018).
    """

    copies: int = 0
    speed: tuple[float, float] = (1.0, 1.0)
    noise: float = 0.0
    noise_snr: tuple[float, float] = (5.0, 30.0)
    filter: float = 0.0
    gain: float = 0.0
    time_mask: int = 0
    frequency_mask: int = 0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        if self.copies < 0 or not 0 < self.speed[0] <= self.speed[1]:
            raise ValueError(
                "copies must not be negative and speed must be (slowest, fastest), both positive"
            )


@dataclass(frozen=True)
class SurroundingsOptions:
    """Rooms, noises, telephones and cuts around training audio, which a teacher does not hear; dev and test audio is
    never touched.

    Each training utterance and each altered copy of it is heard `versions` times more, every time with probability
    `short` cut to a stretch of a length in `length` (s) around a moment that is not silent, with `room` in a room whose
    sound falls by 60 dB in a time from `rt60` (s), with `noise` in a noise at an SNR from `snr` (dB), and with
    `telephone` through 8 kHz mu-law. An epoch draws among all of them, and a teacher says of each what it says of the
    audio before.
    """

    versions: int = 0
    short: float = 0.25
    length: tuple[float, float] = (0.6, 2.5)
    room: float = 0.35
    rt60: tuple[float, float] = (0.1, 0.9)
    noise: float = 0.7
    snr: tuple[float, float] = (0.0, 25.0)
    telephone: float = 0.15

    def __post_init__(self) -> None:
        for name in ("short", "room", "noise", "telephone"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, got {getattr(self, name)}")
        for name in ("length", "rt60"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} must be (shortest, longest), both positive, got {(low, high)}")
        if self.versions < 0 or self.snr[0] > self.snr[1]:
            raise ValueError("versions must not be negative and snr must be (lowest, highest)")


@dataclass(frozen=True)
class DistillationOptions:
    """A frozen speech encoder that the model learns to predict while it trains, on training audio alone.

    `checkpoint` is a folder or hub name; empty: no teacher. Its states are the mean over `layers`. `frames` and
    `pooled` weigh the two mean squared errors beside the cross-entropy; the states of `branch` predict the frames.
    With `unlabelled` the training speakers' utterances of other labels than [data] names are heard too: they have
    a teacher, though no class.
    """

    checkpoint: str = ""
    layers: tuple[int, ...] = (2, 3)
    frames: float = 1.0
    pooled: float = 1.0
    branch: str = "speech"
    unlabelled: bool = field(default=False, metadata={"later": True})

    def __post_init__(self) -> None:
        if self.branch not in ("mfcc", "speech"):
            raise ValueError(f"unknown branch {self.branch!r}; expected 'mfcc' or 'speech'")
        if self.frames < 0 or self.pooled < 0 or not self.layers:
            raise ValueError("frames and pooled must not be negative, and layers not empty")


@dataclass(frozen=True)
class CardOptions:
    """What the exported model says of itself: name, version, licence, and the file with its card's prose."""

    name: str = ""
    version: str = "0"
    licence: str = "unknown"
    text: str = ""


@dataclass(frozen=True)
class Recipe:
    """A whole recipe. `model` and `features` are read by the modules that own them.

    `members` train on other speakers each and vote (`ensemble`); `variants` are the recipe with some of its tables
    changed, trained side by side; one that says `members` has only those. With either, it is a study.
    """

    name: str
    data: DataOptions
    protocol: ProtocolOptions = field(default_factory=ProtocolOptions)
    features: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)
    surroundings: SurroundingsOptions = field(default_factory=SurroundingsOptions, metadata=LATER)
    distillation: DistillationOptions = field(default_factory=DistillationOptions)
    adaptation: AdaptationOptions = field(default_factory=AdaptationOptions, metadata=LATER)
    card: CardOptions = field(default_factory=CardOptions)
    members: Mapping[str, MemberOptions] = field(default_factory=dict, metadata=LATER)
    ensemble: EnsembleOptions = field(default_factory=EnsembleOptions, metadata=LATER)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, metadata=LATER)
    title: str = ""
    folder: str = "."

    def __post_init__(self) -> None:
        if self.distillation.unlabelled and not self.distillation.checkpoint:
            raise ValueError(
                "distillation.unlabelled needs distillation.checkpoint: nothing else is learnt from it"
            )
        self._check_members()
        self._check_adaptation()
        if self.ensemble.vote == "weighted" and self.protocol.select_on == "test":
            raise ValueError("a 'weighted' vote is fitted on dev speakers; select_on = 'test' leaves none")
        for name, changes in self.variants.items():
            _check_name("variant", name)
            self._check_trained(name)
            for key in changes:
                if key not in (*VARIABLE, "members"):
                    raise ValueError(f"variant {name!r} changes {key!r}; it may change {list(VARIABLE)}")
        if self.augmentation.mixup > 0 and self.distillation.checkpoint:
            raise ValueError("mixup and distillation do not go together: a mixture has no moment of its own")

    def _check_members(self) -> None:
        wanted = self.protocol.folds == "members"
        if wanted and bool(self.members) == bool(self.protocol.members):
            raise ValueError(
                "folds = 'members' needs tables [members.NAME], or protocol.members to draw them, not both"
            )
        if self.members and not wanted:
            raise ValueError(f"members go with protocol.folds = 'members', not with {self.protocol.folds!r}")
        for name, member in self.members.items():
            _check_name("member", name)
            if not member.dev and self.protocol.select_on == "dev":
                raise ValueError(f"member {name!r} has no dev speakers to select on")
        speakers = [(frozenset(m.train), frozenset(m.dev)) for m in self.members.values()]
        if len(set(speakers)) != len(speakers):
            raise ValueError("two members train and select on the same speakers; they would be one")

    def _check_trained(self, variant: str) -> None:
        chosen, known = self.variants[variant].get("members"), self.member_names
        if chosen is None:
            return
        listed = isinstance(chosen, list | tuple) and len({*chosen}) == len(chosen) > 1
        if not listed or not {*chosen} <= {*known}:
            raise ValueError(
                f"variant {variant!r} has members {chosen!r}; expected two or more of {list(known)}, each once"
            )

    def _check_adaptation(self) -> None:
        if self.adaptation.unit == "none":
            return
        if self.model_kind != "probe" and self.model.get("wiring") != "kernel":
            raise ValueError(
                f"[adaptation] needs model.kind = 'probe' or model.wiring = 'kernel', not {self.model_kind!r}"
            )
        protocol = self.protocol
        if protocol.select_on == "test" or protocol.allow_speaker_overlap:
            raise ValueError("[adaptation] needs test speakers who neither train nor select")

    @property
    def is_study(self) -> bool:
        """Whether it asks for several runs: members, variants or both."""
        drawn = self.protocol.members > 0 and not self.protocol.member
        return bool(self.variants) or self.protocol.folds == "members" or drawn

    @property
    def member_names(self) -> tuple[str, ...]:
        """Its members: those that it names, or as many `m1`, `m2` … as it draws in each fold."""
        protocol = self.protocol
        drawn = 0 if protocol.folds == "members" or protocol.member else protocol.members
        return tuple(self.members) or tuple(f"m{i + 1}" for i in range(drawn))

    @property
    def model_kind(self) -> str:
        """`coattention`, unless [model] says otherwise."""
        return str(self.model.get("kind", "coattention"))

    def resolve(self, path: str) -> Path:
        """`path` of the recipe, relative paths taken from the recipe's own folder."""
        return Path(self.folder) / path

    def members_of(self, variant: str) -> tuple[str, ...]:
        """The members that `variant` trains: all, unless it names some."""
        return tuple(self.variants[variant].get("members", self.member_names))

    def variant(self, name: str) -> Recipe:
        """The recipe of the variant `name`: its changes laid over this recipe's tables.

        Raises:
            UsageError: what `voxaffect.options.from_table` finds in the changed tables.
        """
        changes = {key: value for key, value in self.variants[name].items() if key != "members"}
        table = overlaid(to_table(self), changes)
        title = self.variants[name].get("title") or f"{self.title or self.name}: {name}"
        table |= {"name": f"{self.name}/{name}", "title": title, "variants": {}}
        return from_table(Recipe, table, f"{self.name}.variants.{name}")

    def member(self, name: str) -> Recipe:
        """The recipe of the member `name` alone."""
        protocol, members = self.protocol, dict(self.members)
        if members:
            members = {name: members[name]}
        else:
            protocol = dataclasses.replace(protocol, member=1 + self.member_names.index(name))
        return dataclasses.replace(
            self,
            name=f"{self.name}/{name}",
            title=f"{self.title or self.name}, {name}",
            protocol=protocol,
            members=members,
            variants={},
        )

    @property
    def digest(self) -> str:
        """sha256 over everything that decides the result; the folder it lies in and the title do not."""
        table = {
            key: value for key, value in _decisive(self).items() if key not in ("folder", "title", "card")
        }
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def read_recipe(path: str | Path, assignments: Sequence[str] = ()) -> Recipe:
    """The recipe in the TOML file `path`, changed by `assignments` such as `training.epochs=3`.

    Raises:
        UsageError: `recipe_missing`, `recipe_syntax`, or what `voxaffect.options.from_table` finds.
    """
    path = Path(path)
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a BOM
    except FileNotFoundError as error:
        raise UsageError("recipe_missing", f"no recipe at {path}", hint="recipes end in .toml") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError("recipe_syntax", f"{path} is not TOML: {error}") from error
    for assignment in assignments:
        set_key(table, assignment)
    if "folder" in table:
        raise UsageError("unknown_key", f"unknown key 'folder' in {path}; it is where the recipe lies")
    recipe = from_table(Recipe, {**table, "folder": str(path.parent)}, path.stem)
    for name in recipe.variants:
        recipe.variant(name)  # what is wrong with it is said now, not after the first variant's training
    return recipe


def recipe_to_json(recipe: Recipe) -> str:
    """The resolved recipe as JSON text, as run folders keep it."""
    return json.dumps({**to_table(recipe), "digest": recipe.digest}, indent=2, sort_keys=True) + "\n"


def recipe_from_json(text: str) -> Recipe:
    """The recipe that `recipe_to_json` wrote."""
    table = json.loads(text)
    table.pop("digest", None)
    return from_table(Recipe, table, "recipe")


def _decisive(options: Any) -> dict[str, Any]:
    """`to_table` without the later keys at their defaults, so that a recipe of an earlier edition keeps its digest."""
    table = to_table(options)
    for key in dataclasses.fields(options):
        value = getattr(options, key.name)
        default = key.default if key.default_factory is dataclasses.MISSING else key.default_factory()
        if key.metadata.get("later") and value == default:
            del table[key.name]
        elif dataclasses.is_dataclass(value):
            table[key.name] = _decisive(value)
    return table


def _check_name(what: str, name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or name in RESERVED:
        raise ValueError(
            f"{what} {name!r} gives its name to a folder: letters, digits, - and _, and none of {list(RESERVED)}"
        )
