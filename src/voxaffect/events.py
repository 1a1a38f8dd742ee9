"""What a live stream says: frozen values, each with the JSON object that the socket sends for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class UtteranceStart:
    """Someone began to speak; `start` in seconds of the stream, a little before the first sound of speech.

    Utterances are counted from 1. `channel` is None unless each channel is judged by itself.
    """

    utterance: int
    start: float
    channel: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The message `utterance.start`."""
        data: dict[str, Any] = {
            "type": "utterance.start",
            "utterance": self.utterance,
            "start": self.start,
        }
        return data | _channel(self.channel)


@dataclass(frozen=True, slots=True)
class StreamResult:
    """How the stretch from `start` to `end` sounds (seconds of the stream).

    A `final` result is a segment of what `predict` says of the same audio. One that is not final is about the last
    `window` seconds up to now, or the utterance up to now if that is shorter. `trigger` is "interval", or
    "speech_ended" for the last result of an utterance that no window of the timeline ends with.

    Where nothing can be said, `label`, `score` and `agreement` are None and `reason` is one of `result.REASONS`.
    """

    utterance: int
    start: float
    end: float
    trigger: str
    final: bool
    label: str | None
    score: float | None
    probs: Mapping[str, float]
    votes: Mapping[str, int]
    agreement: float | None
    uncertain: bool
    reason: str | None = None
    flags: tuple[str, ...] = ()
    channel: int | None = None
    mean_log_probs: Any = field(default=None, repr=False, compare=False)
    """Of each member over the stretch, before smoothing: (M, K) float64. Not sent."""

    def to_dict(self) -> dict[str, Any]:
        """The message `result`."""
        data: dict[str, Any] = {
            "type": "result",
            "utterance": self.utterance,
            "start": self.start,
            "end": self.end,
            "trigger": self.trigger,
            "final": self.final,
            "label": self.label,
            "score": self.score,
            "probs": dict(self.probs),
            "votes": dict(self.votes),
            "agreement": self.agreement,
            "uncertain": self.uncertain,
        }
        if self.reason is not None:
            data["reason"] = self.reason
        return data | _channel(self.channel)


@dataclass(frozen=True, slots=True)
class UtteranceEnd:
    """The utterance is over, and all of its results have been given; `end` in seconds of the stream."""

    utterance: int
    end: float
    channel: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The message `utterance.end`."""
        data: dict[str, Any] = {"type": "utterance.end", "utterance": self.utterance, "end": self.end}
        return data | _channel(self.channel)


Event: TypeAlias = UtteranceStart | StreamResult | UtteranceEnd


def _channel(channel: int | None) -> dict[str, Any]:
    return {} if channel is None else {"channel": channel}
