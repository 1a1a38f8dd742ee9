"""Load a model once, predict anything: files, bytes, streams, arrays; one of them or many."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from voxaffect.audio import AudioInput, Notice, Source, mono, open_audio
from voxaffect.enrolling import Enrolled, adapted
from voxaffect.errors import AudioError, ResourceError, UsageError, VoxaffectError
from voxaffect.listening import Listener
from voxaffect.modelfile import ModelFile, find_model, read_model
from voxaffect.recogniser import Recogniser, open_recogniser
from voxaffect.result import Failure, ModelInfo, Result, Settings
from voxaffect.vad import silence_message

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from voxaffect.stream import Stream

WINDOW, HOP = 3.0, 1.0
"""Seconds, for a model that was trained on whole utterances and so has no window of its own."""
MIN_SECONDS, MAX_WINDOW = 0.2, 60.0
"""A shorter recording is `too_short` to be judged; a longer window would not be a moment."""


def load(model: str | os.PathLike[str] | None = None, *, device: str = "auto", threads: int = 1) -> Predictor:
    """A predictor with the bundled model, or with `model`: a name, a file, or a folder that holds one.

    `device` is "auto", "cpu" or "cuda"; `threads` is how many one inference may use. Nothing is fetched.
    Raises ArtefactError if the model is missing, damaged or refused, UsageError `no_gpu`.
    """
    return Predictor(read_model(find_model(model)), device=device, threads=threads)


class Predictor:
    """Answers how recordings sound. Use `load` to get one; it may be shared by threads."""

    def __init__(self, model: ModelFile, *, device: str = "auto", threads: int = 1) -> None:
        self._recogniser = open_recogniser(model, device=device, threads=threads)

    @property
    def model(self) -> ModelInfo:
        """Which model this is."""
        return self._recogniser.model.info

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that an answer may have, in alphabetical order."""
        return self._recogniser.model.labels

    def predict(
        self,
        audio: AudioInput,
        *,
        channels: str | int = "mix",
        window: float | None = None,
        hop: float | None = None,
        vad: bool = True,
        start: float = 0.0,
        end: float | None = None,
        uncertain_below: float | None = None,
        max_seconds: float | None = None,
        strict: bool = False,
        enrol: Sequence[AudioInput] = (),
    ) -> Result:
        """The answer about one recording: a path, its bytes, a binary file object, or (samples, sample_rate).

        `channels`: "mix" judges the mean of all channels, "split" each, a number that one.
        `window`, `hop`: seconds; by default those of the model. `vad=False` judges silence too.
        `start`, `end`: seconds, the part to judge. `max_seconds` refuses longer audio.
        `uncertain_below`: answers of a lower score are uncertain, and a recording whose whole answer is has
        no label and the reason `low_confidence`. Without it the model's own threshold marks answers
        uncertain and takes no label away.
        `strict` makes an error of audio that is cut short.
        `enrol`: other recordings of the same voice, or of the same recording condition, unlabelled; the answer is
        adapted to them, and says so. Only of models that can adapt.

        Raises VoxaffectError: AudioError if the audio cannot be read, UsageError for options out of range.
        """
        options = _options(
            self._recogniser, channels, window, hop, vad, start, end, uncertain_below, max_seconds, strict
        )
        recogniser, options = _adapted(self._recogniser, options, enrol)
        return _predict(recogniser, audio, options, threading.Event())

    def predict_many(
        self,
        inputs: Iterable[AudioInput],
        *,
        on_error: str = "raise",
        jobs: int = 1,
        channels: str | int = "mix",
        window: float | None = None,
        hop: float | None = None,
        vad: bool = True,
        start: float = 0.0,
        end: float | None = None,
        uncertain_below: float | None = None,
        max_seconds: float | None = None,
        strict: bool = False,
        enrol: Sequence[AudioInput] = (),
    ) -> Generator[Result]:
        """The answers about `inputs`, one each and in their order, as they come; the rest as in `predict`.

        `on_error="record"` turns what fails into a result with `error`, so that no input is lost.
        `jobs` is how many recordings are worked on at the same time.
        """
        if isinstance(inputs, str | bytes | bytearray | memoryview | os.PathLike):
            raise TypeError("inputs is a single one; expected several, as in [path], or use predict")
        if on_error not in ("raise", "record"):
            raise ValueError(f"unknown on_error {on_error!r}; expected 'raise' or 'record'")
        if jobs < 1:
            raise UsageError("bad_value", f"jobs is {jobs}; expected at least 1")
        options = _options(
            self._recogniser, channels, window, hop, vad, start, end, uncertain_below, max_seconds, strict
        )
        recogniser, options = _adapted(self._recogniser, options, enrol)
        return _predict_many(recogniser, inputs, options, on_error == "record", jobs)

    def stream(
        self,
        sample_rate: int = 16_000,
        encoding: str = "pcm_s16le",
        channels: int = 1,
        interval: float = 1.0,
        *,
        judge: str | int = "mix",
        window: float | None = None,
        hop: float | None = None,
        vad: bool | str = True,
        uncertain_below: float | None = None,
        smoothing: bool = True,
    ) -> Stream:
        """A live stream: feed it pieces of audio, get events; the same answers as `predict` gives of the whole.

        `sample_rate` in Hz; `encoding` of bytes that are fed: "pcm_s16le", "pcm_f32le" or "pcm_mulaw"; `channels`
        interleaved in them. `interval`: seconds between results while somebody speaks. `judge`: the mean of the
        channels ("mix"), each ("split"), or the number of one; the rest as in `predict`.

        Raises UsageError `bad_value` for what is out of range.
        """
        from voxaffect.pcm import PcmReader
        from voxaffect.stream import open_stream

        options = _options(
            self._recogniser, judge, window, hop, vad, 0.0, None, uncertain_below, None, False, smoothing
        )
        return open_stream(
            self._recogniser,
            options.settings,
            PcmReader(sample_rate=sample_rate, encoding=encoding, channels=channels),
            interval=interval,
            uncertain_below=options.threshold(self._recogniser),
        )

    def log_probs(self, waveforms: Sequence[npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float64]]:
        """Every member's mean log-probabilities (M, K) over each of `waveforms`, (N,) at 16 kHz, in one go.

        For servers that judge the cues of many streams together (see `voxaffect.stream`). Labels are in the order of
        `labels`. Raises VoxaffectError `inference_failed`.
        """
        return self._recogniser.means(waveforms)

    def failure(self, audio: AudioInput, error: Exception) -> Result:
        """The result of an input that failed with `error`; what is no VoxaffectError has the code `bug`."""
        return _failed(self._recogniser, audio, None, error)


@dataclass(frozen=True)
class _Options:
    settings: Settings
    start: float
    end: float | None
    uncertain_below: float | None
    max_seconds: float | None
    strict: bool
    enrolled: Enrolled | None = None

    def threshold(self, recogniser: Recogniser) -> float:
        """Under which score an answer is uncertain: the model's own, unless one is asked for."""
        return recogniser.model.uncertain_below if self.uncertain_below is None else self.uncertain_below


def _adapted(
    recogniser: Recogniser, options: _Options, clips: Sequence[AudioInput]
) -> tuple[Recogniser, _Options]:
    """Both as they were where there are no clips."""
    if isinstance(clips, str | bytes | bytearray | memoryview | os.PathLike):
        raise TypeError("enrol is a single clip; expected several, as in [path]")
    if not clips:
        return recogniser, options
    settings = options.settings
    recogniser, enrolled = adapted(recogniser, clips, window=settings.window, vad=bool(settings.vad))
    settings = replace(settings, enrolled_seconds=enrolled.seconds)
    return recogniser, replace(options, settings=settings, enrolled=enrolled)


def _options(
    recogniser: Recogniser,
    channels: str | int,
    window: float | None,
    hop: float | None,
    vad: bool | str,
    start: float,
    end: float | None,
    uncertain_below: float | None,
    max_seconds: float | None,
    strict: bool,
    smoothing: bool = True,
) -> _Options:
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
    settings = Settings(float(window), float(hop), vad, channels, smoothing)
    return _Options(settings, float(start), end, uncertain_below, max_seconds, strict)


def _bad(name: str, value: object, allowed: str) -> UsageError:
    return UsageError("bad_value", f"{name} is {value!r}; expected {allowed}")


def _predict(recogniser: Recogniser, audio: AudioInput, options: _Options, stop: threading.Event) -> Result:
    name, path = _identity(audio)
    with open_audio(
        audio, start=options.start, end=options.end, max_seconds=options.max_seconds, strict=options.strict
    ) as reader:
        listener = _listener(recogniser, options, reader.notices)
        for block in reader.blocks():
            if stop.is_set():
                raise ResourceError("interrupted", "stopped before the end", where=path)
            listener.feed(_pick(block, options.settings.channels, path))
        source, notices = reader.source, list(reader.notices)
    if listener.seconds >= MIN_SECONDS:  # a model need not stand less
        listener.finish()
    return _result(recogniser, listener, options, name, path, source, notices)


def _listener(recogniser: Recogniser, options: _Options, notices: list[Notice]) -> Listener:
    settings = options.settings
    threshold = options.uncertain_below
    return Listener(
        recogniser,
        window=settings.window,
        hop=settings.hop,
        vad=bool(settings.vad),
        offset=options.start,
        uncertain_below=recogniser.model.uncertain_below if threshold is None else threshold,
        flags=("narrowband",) if any(notice.code == "narrowband" for notice in notices) else (),
        first_channel=settings.channels if isinstance(settings.channels, int) else 0,
    )


def _pick(block: npt.NDArray[np.float32], channels: str | int, path: str | None) -> npt.NDArray[np.float32]:
    """The channels (n, C') of `block` (n, C) that are asked for."""
    if channels == "mix":
        return mono(block)[:, None]
    if isinstance(channels, int):
        if channels >= block.shape[1]:
            raise AudioError(
                "no_such_channel",
                f"channel {channels} is asked for; there are {block.shape[1]}, counted from 0",
                where=path,
            )
        return block[:, channels : channels + 1]
    return block


def _result(
    recogniser: Recogniser,
    listener: Listener,
    options: _Options,
    name: str,
    path: str | None,
    source: Source,
    notices: list[Notice],
) -> Result:
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
                Notice(flag, f"{listener.flagged[flag]} of {listener.n_windows} windows are {what}")
            )
    if answer is not None and answer.tied:
        notices.append(
            Notice("tie", f"the vote is tied: {', '.join(f'{k} {n}' for k, n in answer.votes.items())}")
        )
    limit = options.uncertain_below
    if answer is not None and limit is not None and answer.score < limit:
        reason = "low_confidence"
        notices.append(Notice("low_confidence", f"{answer.label} at {answer.score:.2f} is below {limit:g}"))
    labelled = answer is not None and reason is None
    return Result(
        id=name,
        path=path,
        source=source,
        model=recogniser.model.info,
        settings=options.settings,
        label=answer.label if answer and labelled else None,
        reason=reason,
        score=answer.score if answer and labelled else None,
        probs=answer.probs if answer else {},
        votes=answer.votes if answer else {},
        agreement=answer.agreement if answer and labelled else None,
        uncertain=answer is not None
        and (
            answer.contested or answer.score < (recogniser.model.uncertain_below if limit is None else limit)
        ),
        summary=listener.summary(),
        segments=tuple(listener.segments),
        warnings=tuple(notices),
    )


def _predict_many(
    recogniser: Recogniser, inputs: Iterable[AudioInput], options: _Options, record: bool, jobs: int
) -> Generator[Result]:
    stop = threading.Event()

    def work(audio: AudioInput) -> Result:
        try:
            return _predict(recogniser, audio, options, stop)
        except Exception as error:  # the edge of one file in a batch
            if not record or stop.is_set():
                raise
            return _failed(recogniser, audio, options.settings, error)

    if jobs == 1:
        yield from map(work, inputs)
        return
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="voxaffect")
    try:
        running: deque[Future[Result]] = deque()
        for audio in inputs:
            running.append(pool.submit(work, audio))
            if len(running) >= 2 * jobs:  # a slow file holds back its successors' results, and only so many
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _failed(recogniser: Recogniser, audio: AudioInput, settings: Settings | None, error: Exception) -> Result:
    name, path = _identity(audio)
    if isinstance(error, MemoryError):
        error = ResourceError("out_of_memory", "memory ran out", hint="use fewer --jobs")
    if isinstance(error, VoxaffectError):
        failure = Failure.of(error, path or name)
    else:
        failure = Failure(
            "bug", f"{type(error).__name__}: {error}", "please report it with this file", path or name
        )
    return Result(id=name, path=path, model=recogniser.model.info, settings=settings, error=failure)


def _identity(audio: AudioInput) -> tuple[str, str | None]:
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
