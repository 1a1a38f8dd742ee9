"""One recording from its audio to its result: options checked, decoded, heard, said."""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from voxaffect.audio import AudioInput, AudioReader, Notice, mono, open_audio
from voxaffect.enrolling import Enrolled, adapted
from voxaffect.errors import AudioError, ResourceError, UsageError, VoxaffectError
from voxaffect.events import Event
from voxaffect.listening import Listener, LogProbs
from voxaffect.recogniser import Recogniser
from voxaffect.result import Failure, Result, Settings
from voxaffect.roles import Likeness, check_roles
from voxaffect.utterances import MIN_SECONDS
from voxaffect.vad import silence_message

WINDOW, HOP = 3.0, 1.0
"""Seconds, for a model that was trained on whole utterances and so has no window of its own."""
MAX_WINDOW = 60.0
"""A longer window would not be a moment."""
Progress = Callable[[float, float | None], object]
"""Takes the seconds that are done, and how many there will be where the recording says so."""
VADS = (True, False, "level")
PATIENCE = 1.0
"""Seconds that what was heard may wait for company on its way through the model, where the audio comes slowly."""


@dataclass(frozen=True)
class Options:
    """How recordings are judged, checked; see `Predictor.predict`."""

    settings: Settings
    start: float = 0.0
    end: float | None = None
    uncertain_below: float | None = None
    max_seconds: float | None = None
    strict: bool = False
    roles: Mapping[int, str] = field(default_factory=dict)
    """Of the channels that are judged."""
    only: bool = False
    """Whether of all channels only those with a role are judged."""
    enrolled: Enrolled | None = None

    def threshold(self, recogniser: Recogniser) -> float:
        """Under which score an answer is uncertain: the model's own, unless one is asked for."""
        return recogniser.model.uncertain_below if self.uncertain_below is None else self.uncertain_below


def check_options(
    recogniser: Recogniser,
    *,
    channels: str | int = "mix",
    window: float | None = None,
    hop: float | None = None,
    vad: bool | str = True,
    smoothing: bool = True,
    start: float = 0.0,
    end: float | None = None,
    uncertain_below: float | None = None,
    max_seconds: float | None = None,
    strict: bool = False,
    roles: Mapping[int, str] | None = None,
    only: str | None = None,
    lawful_basis: bool = False,
) -> Options:
    """The options, with what is left to the model filled in. Raises UsageError as `Predictor.predict`."""
    features = recogniser.features
    if window is None:
        window = features.window or WINDOW
    if hop is None:
        hop = min(window, features.hop if features.window else HOP)
    if not MIN_SECONDS <= window <= MAX_WINDOW:
        raise _bad("window", window, f"{MIN_SECONDS} to {MAX_WINDOW:g} seconds")
    if not 0.01 <= hop <= window:
        raise _bad("hop", hop, f"0.01 seconds to the window's {window:g}")
    if not (math.isfinite(start) and start >= 0):
        raise _bad("start", start, "0 seconds or more")
    if end is not None and not end > start:
        raise _bad("end", end, f"more than the start, {start:g} seconds")
    if uncertain_below is not None and not 0 <= uncertain_below <= 1:
        raise _bad("uncertain-below", uncertain_below, "a probability, 0 to 1")
    if max_seconds is not None and not max_seconds > 0:
        raise _bad("max-duration", max_seconds, "more than 0 seconds")
    number = isinstance(channels, int) and not isinstance(channels, bool) and channels >= 0
    if not number and channels not in ("mix", "split"):
        raise _bad("channels", channels, "'mix', 'split' or the number of a channel, from 0")
    if vad not in VADS:
        raise _bad("vad", vad, "True, False or 'level'")
    if (roles or only is not None) and channels == "mix":
        channels = "split"  # whoever names channels wants them apart
    judged = check_roles(roles or {}, only, channels, lawful_basis)
    settings = Settings(float(window), float(hop), vad, channels, smoothing)
    return Options(
        settings,
        float(start),
        end,
        uncertain_below,
        max_seconds,
        strict,
        judged,
        only is not None,
    )


def adapt(
    recogniser: Recogniser, options: Options, clips: Sequence[AudioInput]
) -> tuple[Recogniser, Options]:
    """Recogniser and options adapted to the voice of `clips`; both as they were where there are none."""
    if isinstance(clips, str | bytes | bytearray | memoryview | os.PathLike):
        raise TypeError("enrol is a single clip; expected several, as in [path]")
    if not clips:
        return recogniser, options
    settings = options.settings
    recogniser, enrolled = adapted(recogniser, clips, window=settings.window, vad=settings.vad)
    settings = replace(settings, enrolled_seconds=enrolled.seconds)
    return recogniser, replace(options, settings=settings, enrolled=enrolled)


def _bad(name: str, value: object, allowed: str) -> UsageError:
    return UsageError("bad_value", f"{name} is {value!r}; expected {allowed}")


def predict_one(
    recogniser: Recogniser,
    audio: AudioInput,
    options: Options,
    stop: threading.Event,
    progress: Progress | None = None,
    *,
    record: bool = False,
) -> Result:
    """The result of one recording, with `record` a failure, too; `stop` ends it with ResourceError `interrupted`."""
    hearing = Hearing(recogniser, audio, options, stop, progress, record=record)
    for _ in hearing.events():
        pass
    assert hearing.result is not None
    return hearing.result


class Hearing:
    """One recording being heard: `events` as they become known, then `result`; `id` is that of the result.

    `log_probs` are then each member's mean log-probabilities (M, K) over it, as the model gave them, or None where
    nothing was judged.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        audio: AudioInput,
        options: Options,
        stop: threading.Event,
        progress: Progress | None = None,
        *,
        record: bool = False,
        patience: float = math.inf,
    ) -> None:
        self._recogniser, self._audio, self._options, self._stop = recogniser, audio, options, stop
        self._progress, self._record, self._patience = progress, record, patience
        self.id, self._path = identity(audio)
        self.result: Result | None = None
        self.log_probs: LogProbs | None = None

    def events(self) -> Iterator[Event]:
        """Utterances and final results of the recording, in order; memory does not grow with them.

        Raises VoxaffectError, unless failures were to be recorded: then `result` has the `error`.
        """
        try:
            yield from self._events()
        except Exception as error:  # the edge of one file in a batch
            if not self._record or self._stop.is_set():
                raise
            self.result = failed(self._recogniser, self._audio, self._options.settings, error)

    def _events(self) -> Iterator[Event]:
        options = self._options
        likeness = Likeness()
        with open_audio(
            self._audio,
            start=options.start,
            end=options.end,
            max_seconds=options.max_seconds,
            strict=options.strict,
        ) as reader:
            chosen = _chosen(options, reader.source.channels, self._path)
            listener = self._listener(reader.notices, chosen)
            said = time.monotonic()
            for block in reader.blocks():
                if self._stop.is_set():
                    raise ResourceError("interrupted", "stopped before the end", where=self._path)
                if options.settings.channels != "mix":
                    likeness.feed(block)
                yield from listener.feed(mono(block)[:, None] if chosen is None else block[:, chosen])
                if time.monotonic() - said >= self._patience:
                    yield from listener.catch_up()
                    said = time.monotonic()
                if self._progress is not None:
                    self._progress(listener.seconds, reader.announced)
            if likeness.same:
                reader.notices.append(
                    Notice(
                        "same_channels",
                        "all channels carry the same signal, as in a mono recording saved as stereo: "
                        "they do not tell who speaks",
                    )
                )
            if listener.seconds >= MIN_SECONDS:  # a model need not stand less
                yield from listener.finish()
            self.log_probs = listener.log_probs()
            self.result = self._result(listener, reader)

    def _listener(self, notices: list[Notice], chosen: list[int] | None) -> Listener:
        options = self._options
        return Listener(
            self._recogniser,
            options.settings,
            offset=options.start,
            uncertain_below=options.threshold(self._recogniser),
            flags=("narrowband",) if any(notice.code == "narrowband" for notice in notices) else (),
            roles=options.roles,
            channels=chosen,
        )

    def _result(self, listener: Listener, reader: AudioReader) -> Result:
        recogniser, options = self._recogniser, self._options
        notices = list(reader.notices)
        reason = None
        answer = listener.overall()
        if options.enrolled is not None:
            notices.append(Notice("adapted", options.enrolled.message))
        if listener.seconds < MIN_SECONDS:
            reason, answer = "too_short", None
            notices.append(
                Notice("too_short", f"{listener.seconds:.2f} s of audio; at least {MIN_SECONDS} s are needed")
            )
        elif answer is None:
            reason = "no_speech"
            notices.append(Notice("no_speech", silence_message(listener.loudest)))
        for flag, what in (("clipped", "clipped: recorded too loud"), ("dc", "off centre (DC offset)")):
            if reason != "too_short" and listener.flagged[flag]:
                notices.append(
                    Notice(flag, f"{listener.flagged[flag]} of {listener.n_seconds} seconds are {what}")
                )
        if answer is not None and answer.tied:
            notices.append(
                Notice("tie", f"the vote is tied: {', '.join(f'{k} {n}' for k, n in answer.votes.items())}")
            )
        limit = options.uncertain_below
        if answer is not None and limit is not None and answer.score < limit:
            reason = "low_confidence"
            notices.append(
                Notice("low_confidence", f"{answer.label} at {answer.score:.2f} is below {limit:g}")
            )
        labelled = answer is not None and reason is None
        return Result(
            id=self.id,
            path=self._path,
            source=reader.source,
            model=recogniser.model.info,
            settings=options.settings,
            label=answer.label if answer and labelled else None,
            reason=reason,
            score=answer.score if answer and labelled else None,
            probs=answer.probs if answer else {},
            votes=answer.votes if answer else {},
            agreement=answer.agreement if answer and labelled else None,
            uncertain=answer is not None
            and (answer.contested or answer.score < options.threshold(recogniser)),
            summary=listener.summary(),
            segments=listener.segments,
            warnings=tuple(notices),
        )


def _chosen(options: Options, n_channels: int, path: str | None) -> list[int] | None:
    """The channels of the recording that are judged; None for their mean."""
    channels = options.settings.channels
    if channels == "mix":
        return None
    wanted = [channels] if isinstance(channels, int) else sorted(options.roles)
    if wanted and max(wanted) >= n_channels:
        raise AudioError(
            "no_such_channel",
            f"channel {max(wanted)} is asked for; there are {n_channels}, counted from 0",
            where=path,
        )
    return wanted if isinstance(channels, int) or options.only else list(range(n_channels))


def failed(recogniser: Recogniser, audio: AudioInput, settings: Settings | None, error: Exception) -> Result:
    """The result of an input that failed with `error`."""
    name, path = identity(audio)
    if isinstance(error, MemoryError):
        error = ResourceError("out_of_memory", "memory ran out", hint="use fewer --jobs")
    if isinstance(error, VoxaffectError):
        failure = Failure.of(error, path or name)
    else:
        failure = Failure(
            "bug", f"{type(error).__name__}: {error}", "please report it with this file", path or name
        )
    return Result(id=name, path=path, model=recogniser.model.info, settings=settings, error=failure)


def identity(audio: AudioInput) -> tuple[str, str | None]:
    """The id of an input, and its path if it has one: the path as given, or a word with a hash."""
    if isinstance(audio, str | os.PathLike):
        path = os.fsdecode(os.fspath(audio))
        return path, path
    if isinstance(audio, bytes | bytearray | memoryview):
        return f"bytes:{hashlib.sha256(audio).hexdigest()[:16]}", None
    array = audio[0] if isinstance(audio, tuple) and audio else audio
    if hasattr(array, "tobytes"):
        rate = audio[1:] if isinstance(audio, tuple) else ()
        return f"array:{hashlib.sha256(array.tobytes() + repr(rate).encode()).hexdigest()[:16]}", None
    name = getattr(audio, "name", None)
    return (name if isinstance(name, str) else "stream"), None
