"""The answer about one recording: frozen values, and the JSON of schema `voxaffect.result/1` both ways."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from voxaffect.errors import VoxaffectError

if TYPE_CHECKING:
    from voxaffect.audio import Notice, Source

SCHEMA = "voxaffect.result/1"

REASONS = ("no_speech", "too_short", "low_confidence")
"""Why a result may have no label."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model answered. `sha256` is that of the whole model file, as `sha256sum` prints it."""

    name: str
    version: str
    sha256: str
    labels: tuple[str, ...]
    members: int
    vote: str
    licence: str


@dataclass(frozen=True, slots=True)
class Settings:
    """How the recording was judged: `window` and `hop` in seconds, `channels` "mix", "split" or a number.

    `vad`: whether only speech was judged; "level" where a level stood for speech.
    `smoothing` is in the JSON only where it was off. `enrolled_seconds`: of what speech the answer was adapted to;
    None, and not in the JSON, where it was not.
    """

    window: float
    hop: float
    vad: bool | str
    channels: str | int
    smoothing: bool = True
    enrolled_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer: the error object of every interface."""

    code: str
    message: str
    hint: str | None = None
    where: str | None = None

    @classmethod
    def of(cls, error: VoxaffectError, where: str | None = None) -> Failure:
        """The failure that `error` describes, about `where` unless the error knows better."""
        return cls(error.code, error.message, error.hint, error.where or where)


@dataclass(frozen=True, slots=True)
class Segment:
    """What one window of one channel sounds like; `start` and `end` are seconds of the recording.

    `probs` and `votes` are by label. `agreement` is the share of the model's members that voted for `label`.
    `flags` are words among: narrowband, clipped, dc, tie. In a mix of all channels, `channel` is 0.
    """

    channel: int
    start: float
    end: float
    label: str
    score: float
    probs: Mapping[str, float]
    votes: Mapping[str, int]
    agreement: float
    uncertain: bool = False
    flags: tuple[str, ...] = ()
    role: str | None = None

    def __post_init__(self) -> None:
        _check_probs(self.probs, f"segment at {self.start} s")


@dataclass(frozen=True, slots=True)
class ChannelSummary:
    """What one channel sounds like as a whole; `share` is each label's share of its segments."""

    channel: int
    label: str | None
    score: float | None
    speech_seconds: float
    share: Mapping[str, float]
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The answer about one recording, or why there is none.

    Exactly one of these holds: `label` is a label of the model; `label` is None and `reason` is one of
    `REASONS`;
    `label` is None and `error` says what failed. `score` and `agreement` are None where there is no label;
    `probs` and `votes` are empty where nothing was heard, but not for `low_confidence`.
    """

    id: str
    path: str | None = None
    source: Source | None = None
    model: ModelInfo | None = None
    settings: Settings | None = None
    label: str | None = None
    reason: str | None = None
    score: float | None = None
    probs: Mapping[str, float] = field(default_factory=dict)
    votes: Mapping[str, int] = field(default_factory=dict)
    agreement: float | None = None
    uncertain: bool = False
    summary: tuple[ChannelSummary, ...] = ()
    segments: Sequence[Segment] = ()
    warnings: tuple[Notice, ...] = ()
    error: Failure | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("label", "reason", "error") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a result has exactly one of label, reason and error; {self.id!r} has {given}")
        if self.reason is not None and self.reason not in REASONS:
            raise ValueError(f"unknown reason {self.reason!r}; expected one of {list(REASONS)}")
        _check_probs(self.probs, repr(self.id))

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON types, in the order of the schema; `reason` is there only when there is one."""
        data: dict[str, Any] = {
            "schema": SCHEMA,
            "id": self.id,
            "source": _source_dict(self.source, self.path),
            "model": _plain(self.model),
            "settings": _settings_dict(self.settings),
            "label": self.label,
        }
        if self.reason is not None:
            data["reason"] = self.reason
        return data | {
            "score": self.score,
            "probs": dict(self.probs),
            "votes": dict(self.votes),
            "agreement": self.agreement,
            "uncertain": self.uncertain,
            "summary": [_pick(s, SUMMARY_FIELDS) for s in self.summary],
            "segments": [_pick(s, SEGMENT_FIELDS) for s in self.segments],
            "warnings": [{"code": w.code, "message": w.message} for w in self.warnings],
            "error": _plain(self.error),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Result:
        """The result that `to_dict` wrote; unknown fields are ignored.

        Raises VoxaffectError `bad_result` if `data` is of another schema or lacks a field.
        """
        if data.get("schema") != SCHEMA:
            raise VoxaffectError(
                "bad_result",
                f"not a result: its schema is {data.get('schema')!r}; expected {SCHEMA!r}",
            )
        try:
            return _read(data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise VoxaffectError(
                "bad_result", f"a damaged result: {type(error).__name__}: {error}"
            ) from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result to `path`, in the format of its extension.

        Raises UsageError `unknown_format` if no format has that extension.
        """
        from voxaffect import formats

        formats.save([self], path)

    def raise_for_error(self) -> Result:
        """The result itself; raises VoxaffectError if it is a failure."""
        if self.error is not None:
            raise VoxaffectError(
                self.error.code, self.error.message, hint=self.error.hint, where=self.error.where
            )
        return self


MODEL_FIELDS = ("name", "version", "sha256", "labels", "members", "vote", "licence")
SETTINGS_FIELDS = ("window", "hop", "vad", "channels")
SOURCE_FIELDS = ("container", "codec", "sample_rate", "channels", "duration")
SUMMARY_FIELDS = ("channel", "role", "label", "score", "speech_seconds", "share")
SEGMENT_FIELDS = (
    *("channel", "role", "start", "end", "label", "score"),
    *("probs", "votes", "agreement", "uncertain", "flags"),
)
FAILURE_FIELDS = ("code", "message", "hint", "where")


def _check_probs(probs: Mapping[str, float], what: str) -> None:
    if not all(math.isfinite(p) for p in probs.values()):
        raise ValueError(f"a probability of {what} is not finite: {dict(probs)}")


def _pick(value: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _json(getattr(value, name)) for name in names}


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _plain(value: ModelInfo | Settings | Failure | None) -> dict[str, Any] | None:
    if value is None:
        return None
    names = {ModelInfo: MODEL_FIELDS, Settings: SETTINGS_FIELDS, Failure: FAILURE_FIELDS}[type(value)]
    return _pick(value, names)


def _settings_dict(settings: Settings | None) -> dict[str, Any] | None:
    data = _plain(settings)
    if data is not None and settings is not None:
        if not settings.smoothing:
            data["smoothing"] = False
        if settings.enrolled_seconds is not None:
            data["enrolled_seconds"] = settings.enrolled_seconds
    return data


def _source_dict(source: Source | None, path: str | None) -> dict[str, Any]:
    if source is None:
        return {"path": path, **dict.fromkeys(SOURCE_FIELDS)}
    return {"path": path if source.path is None else source.path, **_pick(source, SOURCE_FIELDS)}


def _read(data: Mapping[str, Any]) -> Result:
    from voxaffect.audio import Notice, Source

    source, model, settings, error = (data[key] for key in ("source", "model", "settings", "error"))
    known = source is not None and source["container"] is not None
    return Result(
        id=data["id"],
        path=source["path"] if source else None,
        source=Source(path=source["path"], **{k: source[k] for k in SOURCE_FIELDS}) if known else None,
        model=ModelInfo(**{**{k: model[k] for k in MODEL_FIELDS}, "labels": tuple(model["labels"])})
        if model
        else None,
        settings=Settings(
            **{k: settings[k] for k in SETTINGS_FIELDS if k in settings},
            smoothing=settings.get("smoothing", True),
            enrolled_seconds=settings.get("enrolled_seconds"),
        )
        if settings
        else None,
        label=data["label"],
        reason=data.get("reason"),
        score=data["score"],
        probs=dict(data["probs"]),
        votes=dict(data["votes"]),
        agreement=data["agreement"],
        uncertain=data["uncertain"],
        summary=tuple(ChannelSummary(**{k: s[k] for k in SUMMARY_FIELDS}) for s in data["summary"]),
        segments=tuple(
            Segment(**{**{k: s[k] for k in SEGMENT_FIELDS}, "flags": tuple(s["flags"])})
            for s in data["segments"]
        ),
        warnings=tuple(Notice(w["code"], w["message"]) for w in data["warnings"]),
        error=Failure(**{k: error[k] for k in FAILURE_FIELDS}) if error else None,
    )
