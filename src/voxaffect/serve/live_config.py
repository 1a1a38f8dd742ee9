"""What a client may choose for its stream by `session.update`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from voxaffect.errors import UsageError
from voxaffect.pcm import ENCODINGS
from voxaffect.predictor import Predictor
from voxaffect.serve.opus import CONTAINERS
from voxaffect.stream import Stream

MAX_WINDOW, MIN_HOP = 10.0, 0.25
"""Seconds: what takes more work or memory is for recordings, which wait for their turn."""
KINDS: dict[str, tuple[type, ...]] = {
    "encoding": (str,),
    "sample_rate": (int,),
    "channels": (int,),
    "interval": (int, float),
    "judge": (str, int),
    "window": (int, float, type(None)),
    "hop": (int, float, type(None)),
    "vad": (bool, str),
    "uncertain_below": (int, float, type(None)),
    "smoothing": (bool,),
}


@dataclass(frozen=True)
class LiveConfig:
    """The settings of a stream. Of webm-opus and ogg-opus, rate and channels are those of the audio itself."""

    encoding: str = "pcm_s16le"
    sample_rate: int = 16_000
    channels: int = 1
    interval: float = 1.0
    judge: str | int = "mix"
    window: float | None = None
    hop: float | None = None
    vad: bool | str = True
    uncertain_below: float | None = None
    smoothing: bool = True

    def updated(self, message: dict[str, Any]) -> LiveConfig:
        """This configuration with what `message` sets; raises UsageError `unknown_option` or `bad_value`."""
        changes = {key: value for key, value in message.items() if key != "type"}
        names = [field.name for field in fields(self)]
        for key, value in changes.items():
            if key not in names:
                raise UsageError("unknown_option", f"unknown option {key[:40]!r}; expected some of {names}")
            if not isinstance(value, KINDS[key]) or (isinstance(value, bool) and bool not in KINDS[key]):
                wanted = " or ".join("null" if k is type(None) else k.__name__ for k in KINDS[key])
                raise UsageError("bad_value", f"{key} is {str(value)[:40]!r}; expected {wanted}")
        config = replace(self, **changes)
        if config.encoding not in (*ENCODINGS, *CONTAINERS):
            allowed = [*ENCODINGS, *CONTAINERS]
            raise UsageError(
                "bad_value", f"unknown encoding {config.encoding[:40]!r}; expected one of {allowed}"
            )
        for name, low, high in (("window", 0.0, MAX_WINDOW), ("hop", MIN_HOP, math.inf)):
            value = getattr(config, name)
            if value is not None and not low <= value <= high:
                wanted = f"at most {high:g}" if high < math.inf else f"at least {low:g}"
                raise UsageError("bad_value", f"{name} is {value:g}; a live stream has {wanted} seconds")
        if config.vad not in (True, False, "level"):
            raise UsageError("bad_value", f"vad is {str(config.vad)[:40]!r}; expected true, false or 'level'")
        return config

    def open(self, predictor: Predictor, *, channels: int | None = None) -> Stream:
        """The stream; with `channels`, that of decoded audio at 16 kHz. Raises UsageError `bad_value`."""
        decoded = channels is not None
        return predictor.stream(
            16_000 if decoded else self.sample_rate,
            "pcm_f32le" if decoded else self.encoding,
            channels if channels is not None else self.channels,
            float(self.interval),
            judge=self.judge,
            window=self.window,
            hop=self.hop,
            vad=self.vad,
            uncertain_below=self.uncertain_below,
            smoothing=self.smoothing,
        )

    def bytes_of(self, seconds: float) -> int:
        """How many bytes `seconds` of raw audio are, whole frames."""
        return max(1, round(seconds * self.sample_rate)) * self.channels * ENCODINGS[self.encoding]

    def to_dict(self) -> dict[str, Any]:
        """What the socket says of it; options at their default of the model are null."""
        return asdict(self)
