"""The command's options as a query: `?channels=split&window=3&format=csv`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voxaffect.errors import UsageError
from voxaffect.roles import parse_roles


@dataclass(frozen=True)
class Option:
    """A parameter: how it is read, its JSON schema, and what it does."""

    read: Callable[[str], Any]
    schema: Mapping[str, Any]
    meaning: str


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _seconds(text: str) -> float:
    """Seconds from S, M:SS or H:MM:SS."""
    parts = [_number(part) for part in text.split(":")]
    if not 1 <= len(parts) <= 3 or any(part < 0 for part in parts):
        raise ValueError
    total = 0.0
    for part in parts:
        total = 60 * total + part
    return total


def _flag(text: str) -> bool:
    return {"true": True, "1": True, "": True, "false": False, "0": False}[text.lower()]


def _vad(text: str) -> bool | str:
    return text if text == "level" else _flag(text)


def _channels(text: str) -> str | int:
    if text in ("mix", "split"):
        return text
    if not (text.isascii() and text.isdecimal()) or len(text) > 4:
        raise ValueError
    return int(text)


OPTIONS: Mapping[str, Option] = {
    "channels": Option(
        _channels, {"type": "string", "default": "mix"}, "mix, split, or a channel's number from 0"
    ),
    "window": Option(_number, {"type": "number"}, "seconds judged at once (default: the model's)"),
    "hop": Option(_number, {"type": "number"}, "seconds between windows (default: the model's)"),
    "vad": Option(
        _vad,
        {"type": ["boolean", "string"], "default": True},
        "true judges speech, level what is no silence, false everything",
    ),
    "smoothing": Option(
        _flag, {"type": "boolean", "default": True}, "whether a segment remembers those before it"
    ),
    "roles": Option(parse_roles, {"type": "string"}, "who speaks on which channel, as 0=customer,1=agent"),
    "only": Option(str, {"type": "string"}, "judge only the channels with this role"),
    "lawful_basis": Option(
        _flag,
        {"type": "boolean", "default": False},
        "true says that you have a lawful basis to analyse people at work or in education",
    ),
    "start": Option(_seconds, {"type": "string", "default": "0"}, "begin here: S, M:SS or H:MM:SS"),
    "end": Option(_seconds, {"type": "string"}, "end here"),
    "uncertain_below": Option(
        _number, {"type": "number", "minimum": 0, "maximum": 1}, "no label below this score"
    ),
    "strict": Option(_flag, {"type": "boolean", "default": False}, "what is cut short is an error"),
}
"""What `Predictor.predict` is asked with."""


def predict_options(pairs: Sequence[tuple[str, str]]) -> tuple[dict[str, Any], str]:
    """The options of a prediction and the format of its answer.

    Raises UsageError `unknown_option`, `bad_value`, `unknown_format`. A token in a query is `unauthorised`
    before anything gets here.
    """
    from voxaffect import formats

    options: dict[str, Any] = {}
    name = "json"
    for key, text in pairs:
        key = key.replace("-", "_")
        if key in options or (key == "format" and name != "json"):
            raise UsageError("bad_value", f"{key} is given twice")
        if key == "format":
            formats.get(text)
            name = text
        elif key not in OPTIONS:
            allowed = ["format", *OPTIONS]
            raise UsageError("unknown_option", f"unknown option {key!r}; expected some of {allowed}")
        else:
            try:
                options[key] = OPTIONS[key].read(text)
            except (ValueError, KeyError):
                raise UsageError("bad_value", f"{key} is {text!r}; expected {OPTIONS[key].meaning}") from None
    return options, name
