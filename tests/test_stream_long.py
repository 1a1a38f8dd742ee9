"""A live stream of hours (fault B14): what it holds does not grow."""

from __future__ import annotations

import sys
from collections import deque
from typing import Any

import numpy as np
import pytest

from fake_models import silence, square, write_model
from voxaffect.events import StreamResult
from voxaffect.modelfile import ModelFile
from voxaffect.predictor import Predictor, load
from voxaffect.recogniser import Recogniser
from voxaffect.stream import Stream

MINUTE = np.concatenate([square(0.6, 20.0), silence(2.0), square(0.4, 0.7), silence(1.3), square(0.2, 36.0)])
"""60 s in three utterances, of which the last goes on into the next minute's first."""
SHARED = (Recogniser, ModelFile, type, type(sys), type(len))
"""What streams share, or what holds nothing of theirs."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(write_model(tmp_path_factory.mktemp("model") / "level.onnx"))


def held(thing: Any, seen: set[int] | None = None) -> int:
    """Bytes of arrays and strings, and 100 for each other object, that can be reached from `thing`."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, SHARED):
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return thing.nbytes if thing.base is None else held(thing.base, seen)
    if isinstance(thing, bytes | bytearray | memoryview | str):
        return len(thing)
    inner: list[Any] = [getattr(thing, "__dict__", {}), getattr(thing, "__closure__", None) or ()]
    if isinstance(thing, dict):
        inner = [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set | frozenset | deque):
        inner = list(thing)
    return 100 + sum(held(each, seen) for each in inner)


def fed(stream: Stream, minutes: int, data: bytes) -> tuple[list[int], int]:
    """What the stream holds after each minute, and how many final results it gave."""
    sizes, n_results = [], 0
    for _ in range(minutes):
        for at in range(0, len(data), 3 * len(data) // 10):
            events = stream.feed(data[at : at + 3 * len(data) // 10])
            n_results += sum(isinstance(event, StreamResult) and event.final for event in events)
        sizes.append(held(stream))
    return sizes, n_results


@pytest.mark.parametrize(
    ("minutes", "rate", "encoding"), [(120, 16_000, "pcm_s16le"), (60, 8_000, "pcm_mulaw")]
)
def test_a_stream_of_hours_holds_what_one_of_minutes_does(
    model: Predictor, minutes: int, rate: int, encoding: str
) -> None:
    if encoding == "pcm_mulaw":
        data = (
            np.where(MINUTE[::2] == 0, 0xFF, np.where(MINUTE[::2] > 0, 0x90, 0x10)).astype(np.uint8).tobytes()
        )
    else:
        data = (MINUTE * 32767).astype("<i2").tobytes()
    with model.stream(sample_rate=rate, encoding=encoding, interval=5.0, vad="level") as stream:
        first, n_first = fed(stream, 5, data)
        last, n_last = fed(stream, minutes - 5, data)
        assert stream.received_seconds == pytest.approx(60.0 * minutes)
        assert stream.n_utterances >= 2 * minutes
    assert n_last == pytest.approx((minutes - 5) / 5 * n_first, rel=0.05)
    assert 10_000 < max(last) <= max(first)
    assert max(last) < 2_000_000


def test_that_what_grows_would_be_seen(model: Predictor) -> None:
    """The guard itself: a stream that kept its events would not pass."""
    with model.stream(sample_rate=16_000, vad="level") as stream:
        before = held(stream)
        stream.kept = [stream.feed((MINUTE[:80_000] * 32767).astype("<i2").tobytes())]  # type: ignore[attr-defined]
        stream.kept.append(np.zeros(1000)[:10])  # type: ignore[attr-defined]
        assert held(stream) > before + 8000
