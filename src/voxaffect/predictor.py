"""Load a model once, predict anything: files, bytes, streams, arrays; one of them or many."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from voxaffect.audio import AudioInput
from voxaffect.errors import UsageError
from voxaffect.modelfile import ModelFile, find_model, read_model
from voxaffect.prediction import (
    PATIENCE,
    Hearing,
    Options,
    Progress,
    adapt,
    check_options,
    failed,
    predict_one,
)
from voxaffect.recogniser import Recogniser, open_recogniser
from voxaffect.result import ModelInfo, Result

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from voxaffect.stream import Stream


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
        vad: bool | str = True,
        smoothing: bool = True,
        start: float = 0.0,
        end: float | None = None,
        uncertain_below: float | None = None,
        max_seconds: float | None = None,
        strict: bool = False,
        enrol: Sequence[AudioInput] = (),
        roles: Mapping[int, str] | None = None,
        only: str | None = None,
        lawful_basis: bool = False,
    ) -> Result:
        """The answer about one recording: a path, its bytes, a binary file object, or (samples, sample_rate).

        `channels`: "mix" judges the mean of all channels, "split" each, a number that one.
        `window`, `hop`: seconds; by default those of the model. `vad`: True judges speech, cut into utterances at its
        pauses; "level" takes for speech what is no silence; False judges everything as one utterance.
        `smoothing`: whether a segment's answer remembers those before it in its utterance (see `voxaffect.judge`).
        `start`, `end`: seconds, the part to judge. `max_seconds` refuses longer audio.
        `uncertain_below`: answers of a lower score are uncertain, and a recording whose whole answer is has
        no label and the reason `low_confidence`. Without it the model's own threshold marks answers
        uncertain and takes no label away.
        `strict` makes an error of audio that is cut short.
        `enrol`: other recordings of the same voice, or of the same recording condition, unlabelled; the answer is
        adapted to them, and says so. Only of models that can adapt.
        `roles`: who speaks on which channel, as {0: "customer", 1: "agent"}; each channel is then judged by itself, or
        `only` those with one role. Roles of people at work or in education are refused unless `lawful_basis` (see
        `voxaffect.roles`).

        Raises VoxaffectError: AudioError if the audio cannot be read, UsageError for options out of range or a role
        that the law protects, ArtefactError `vad_missing`.
        """
        ready, options = self._ready(
            enrol,
            channels=channels,
            window=window,
            hop=hop,
            vad=vad,
            smoothing=smoothing,
            start=start,
            end=end,
            uncertain_below=uncertain_below,
            max_seconds=max_seconds,
            strict=strict,
            roles=roles,
            only=only,
            lawful_basis=lawful_basis,
        )
        return predict_one(ready, audio, options, threading.Event())

    def predict_many(
        self,
        inputs: Iterable[AudioInput],
        *,
        on_error: str = "raise",
        jobs: int = 1,
        progress: Progress | None = None,
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
        enrol: Sequence[AudioInput] = (),
        roles: Mapping[int, str] | None = None,
        only: str | None = None,
        lawful_basis: bool = False,
    ) -> Generator[Result]:
        """The answers about `inputs`, one each and in their order, as they come; the rest as in `predict`.

        `on_error="record"` turns what fails into a result with `error`, so that no input is lost.
        `jobs` is how many recordings are worked on at the same time; `progress` is called with the seconds of the
        recording that are done and how many it announces, if it does.
        """
        record = _records(inputs, on_error)
        if jobs < 1:
            raise UsageError("bad_value", f"jobs is {jobs}; expected at least 1")
        ready, options = self._ready(
            enrol,
            channels=channels,
            window=window,
            hop=hop,
            vad=vad,
            smoothing=smoothing,
            start=start,
            end=end,
            uncertain_below=uncertain_below,
            max_seconds=max_seconds,
            strict=strict,
            roles=roles,
            only=only,
            lawful_basis=lawful_basis,
        )
        return _predict_many(ready, inputs, options, record, jobs, progress)

    def hear(self, audio: AudioInput, *, enrol: Sequence[AudioInput] = (), **options: Any) -> Hearing:
        """A recording of any length, said as it is heard: `events()` in constant memory, and then `result`.

        The options are those of `predict`, and so is what is raised, about the audio by `events()`.
        """
        ready, checked = self._ready(enrol, **options)
        return Hearing(ready, audio, checked, threading.Event(), patience=PATIENCE)

    def hear_many(
        self,
        inputs: Iterable[AudioInput],
        *,
        on_error: str = "raise",
        progress: Progress | None = None,
        enrol: Sequence[AudioInput] = (),
        **options: Any,
    ) -> Iterator[Hearing]:
        """Recordings to be heard one after the other as by `hear`; `on_error`, `progress` as in `predict_many`."""
        record = _records(inputs, on_error)
        ready, checked = self._ready(enrol, **options)
        stop = threading.Event()
        return (
            Hearing(ready, audio, checked, stop, progress, record=record, patience=PATIENCE)
            for audio in inputs
        )

    def _ready(self, enrol: Sequence[AudioInput], **options: Any) -> tuple[Recogniser, Options]:
        return adapt(self._recogniser, check_options(self._recogniser, **options), enrol)

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
        from voxaffect.intake import Opening
        from voxaffect.stream import open_stream

        options = check_options(
            self._recogniser,
            channels=judge,
            window=window,
            hop=hop,
            vad=vad,
            smoothing=smoothing,
            uncertain_below=uncertain_below,
        )
        return open_stream(
            self._recogniser,
            Opening(options.settings, sample_rate, encoding, channels, interval),
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
        return failed(self._recogniser, audio, None, error)


def _records(inputs: Iterable[AudioInput], on_error: str) -> bool:
    """Whether failures are recorded; raises TypeError for `inputs` that are one, ValueError for another word."""
    if isinstance(inputs, str | bytes | bytearray | memoryview | os.PathLike):
        raise TypeError("inputs is a single one; expected several, as in [path], or use predict")
    if on_error not in ("raise", "record"):
        raise ValueError(f"unknown on_error {on_error!r}; expected 'raise' or 'record'")
    return on_error == "record"


def _predict_many(
    recogniser: Recogniser,
    inputs: Iterable[AudioInput],
    options: Options,
    record: bool,
    jobs: int,
    progress: Progress | None,
) -> Generator[Result]:
    stop = threading.Event()

    def work(audio: AudioInput) -> Result:
        return predict_one(recogniser, audio, options, stop, progress, record=record)

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
