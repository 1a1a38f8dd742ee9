"""Streams when there is too much to do (faults B2, B13, B15): those within go on, and who cannot be served is told."""

from __future__ import annotations

import asyncio
import io
import json
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from fake_models import silence, square, write_model
from serving import LOUD, messages, pcm, running, until
from voxaffect.predictor import load
from voxaffect.serve import live
from voxaffect.serve.hearing import HearingPool
from voxaffect.serve.metrics import Metrics
from voxaffect.serve.settings import ServeSettings

UTTERANCE = pcm(np.concatenate([square(0.4, 1.2), silence(0.8)]))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "level.onnx")


def begin(stream: ClientConnection) -> None:
    """Loud is speech, as the fake model wants it."""
    stream.send('{"type": "session.update", "vad": "level"}')
    messages(stream, "session.updated")


def end(stream: ClientConnection, n: int) -> None:
    """Close it: `n` utterances came, each with its label."""
    stream.send('{"type": "session.close"}')
    heard = messages(stream)
    finals = [m["label"] for m in heard if m["type"] == "result" and m["final"]]
    assert len(finals) == n
    assert None not in finals
    assert (heard[-1]["type"], heard[-1]["reason"], heard[-1]["utterances"]) == (
        "session.closed",
        "client",
        n,
    )


# B15


def test_thirty_streams_too_many_are_told_when_to_come_again_and_the_others_go_on(
    model: Path, tmp_path: Path
) -> None:
    with running(tmp_path, "-m", str(model), config={"streams": 4}) as server, ExitStack() as stack:
        streams = [stack.enter_context(server.stream()) for _ in range(4)]
        for stream in streams:
            begin(stream)
        for i in range(30):
            with pytest.raises(InvalidStatus) as caught, server.stream():
                pass
            response = caught.value.response
            assert response.status_code == 503
            assert 1 <= int(response.headers["Retry-After"]) <= 120
            assert json.loads(response.body)["error"]["code"] == "streams_full"
            streams[i % 4].send(UTTERANCE)
        assert server.metric("voxaffect_streams") == 4
        for i, stream in enumerate(streams):
            end(stream, 8 if i < 2 else 7)
        until(lambda: server.metric("voxaffect_streams") == 0, 30)
        with server.stream() as stream:  # there is room again
            begin(stream)
            end(stream, 0)


def test_a_stream_whose_last_results_do_not_come_is_closed_with_1013(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one end of an open stream that is the server's fault: it has too much to do."""
    monkeypatch.setattr(live, "END_SECONDS", 0.3)
    waiting: list[Future[Any]] = []

    def judge(flow: Any, items: Any) -> Future[Any]:
        waiting.append(Future())
        return waiting[-1]

    async def session() -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = []
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        async def send(message: Any) -> None:
            said.append(message)

        predictor = load(model)
        service = SimpleNamespace(
            settings=ServeSettings(),
            predictor=predictor,
            scheduler=SimpleNamespace(judge=judge, cancel=lambda flow: None),
            draining=asyncio.Event(),
            metrics=Metrics(),
            hearing=HearingPool(predictor._recogniser.model, 1),
        )
        incoming.put_nowait({"text": '{"type": "session.update", "vad": "level"}'})
        incoming.put_nowait({"bytes": pcm(LOUD)})
        incoming.put_nowait({"text": '{"type": "session.close"}'})
        for message in list(incoming._queue):  # type: ignore[attr-defined]
            message["type"] = "websocket.receive"
        await live.Session(service, incoming.get, send).run()  # type: ignore[arg-type]
        service.hearing.close()
        assert service.metrics.total("voxaffect_streams_total", reason="overloaded") == 1
        return said

    *before, error, close = asyncio.run(session())
    assert waiting
    assert close == {"type": "websocket.close", "code": 1013, "reason": "overloaded"}
    told = json.loads(error["text"])
    assert (told["type"], told["code"], told["fatal"]) == ("error", "overloaded", True)
    assert "try again later" in told["hint"]
    assert not any("session.closed" in message.get("text", "") for message in before)


# B2


def bomb(kind: str, subtype: str, channels: int, seconds: int, rate: int = 8000) -> bytes:
    """Silence of `seconds` in a small file. In blocks: libsndfile breaks down over an hour of Vorbis at once."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, channels, format=kind, subtype=subtype) as file:
        block = np.zeros((30 * rate, channels), np.float32)
        for _ in range(seconds // 30):
            file.write(block)
    return buffer.getvalue()


def mp3_bomb(hours: int) -> bytes:
    """A minute of silence over and over: the frames of an MP3 need no others."""
    minute = bomb("MP3", "MPEG_LAYER_III", 1, 60)
    return minute[minute.index(b"\xff") :] * (60 * hours)


def test_twenty_bombs_at_once_are_refused_and_a_stream_loses_nothing(model: Path, tmp_path: Path) -> None:
    bombs = [
        bomb("FLAC", "PCM_16", 1, 3900),
        bomb("FLAC", "PCM_16", 8, 900),
        bomb("OGG", "VORBIS", 1, 1800),
        bomb("OGG", "OPUS", 1, 450),
        mp3_bomb(1),
    ]
    assert max(map(len, bombs)) < 4 * 2**20
    with (
        running(tmp_path, "-m", str(model), config={"max_duration": 300.0}) as server,
        server.stream() as stream,
    ):
        begin(stream)
        before, most = server.resident_mb(), [0.0]
        with ThreadPoolExecutor(20) as pool:
            work = [pool.submit(server.predict, bombs[i % 5]) for i in range(20)]
            n = 0
            while n < 10 or not all(each.done() for each in work):
                stream.send(UTTERANCE)
                n += 1
                messages(stream, "utterance.end")
                most.append(server.resident_mb())
            answers = [each.result() for each in work]
        assert {(answer.status, answer.problem["code"]) for answer in answers} == {(422, "too_long")}
        stream.send('{"type": "session.close"}')
        heard = messages(stream)
        assert (heard[-1]["reason"], heard[-1]["utterances"]) == ("client", n)
        assert heard[-1]["received_seconds"] == pytest.approx(2.0 * n)
        assert server.process.poll() is None
        assert max(most) - before < 300
        assert server.metric('voxaffect_workers_replaced_total{reason="crashed"}') == 0
