"""Parts of the server by themselves: turns, admission, bodies, settings, messages between processes, counters."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_models import square, write_model
from voxaffect.audio_length import audio_seconds
from voxaffect.errors import AudioError, UsageError, VoxaffectError
from voxaffect.modelfile import read_model
from voxaffect.recogniser import Recogniser, open_recogniser
from voxaffect.serve import channel, child, workers
from voxaffect.serve import scheduler as scheduling
from voxaffect.serve.admission import Admission, BusyError
from voxaffect.serve.body import ClientGoneError, Reservations, form_file, read_body
from voxaffect.serve.lifecycle import listen
from voxaffect.serve.log import say
from voxaffect.serve.metrics import Metrics
from voxaffect.serve.problems import problem, status_of
from voxaffect.serve.query import predict_options
from voxaffect.serve.ration import Ration
from voxaffect.serve.scheduler import BATCH, Flow, Scheduler
from voxaffect.serve.settings import ServeSettings
from voxaffect.serve.worker import describe_model, described_model
from voxaffect.serve.workers import Worker


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> Recogniser:
    path = write_model(tmp_path_factory.mktemp("model") / "level.onnx")
    return open_recogniser(read_model(path), device="cpu")


class Held:
    """A recogniser that waits until it is let go, and remembers its batches by the level of each window."""

    def __init__(self, recogniser: Recogniser) -> None:
        self.model, self._recogniser = recogniser.model, recogniser
        self.go = threading.Event()
        self.started = threading.Event()
        self.batches: list[list[float]] = []

    def items(self, samples: np.ndarray) -> Any:
        return self._recogniser.items(samples)

    def items_of_all(self, waveforms: Any) -> Any:
        return self._recogniser.items_of_all(waveforms)

    def log_probs(self, items: Any) -> np.ndarray:
        self.started.set()
        self.go.wait(10)
        self.batches.append([round(float(np.abs(item["waveform"]).mean()), 2) for item in items])
        return self._recogniser.log_probs(items)


def scheduler(held: Held) -> Scheduler:
    return Scheduler(held)  # type: ignore[arg-type]


def busy(held: Held, turns: Scheduler) -> None:
    """Let a first window occupy the model, so that what follows waits."""
    turns.submit(Flow(live=False), held.items(square(0.9, 1.0)))
    held.started.wait(10)


def test_answers_are_those_of_the_model(recogniser: Recogniser) -> None:
    turns = Scheduler(recogniser, threads=2)
    flows = [Flow(live=bool(i % 2)) for i in range(10)]
    levels = [0.05, 0.2, 0.4, 0.6]
    work = [turns.submit(flow, [recogniser.items(square(v, 1.0))[0] for v in levels * 5]) for flow in flows]
    live = turns.judge(Flow(live=True), recogniser.items(square(0.4, 7.5)))
    expected = recogniser.log_probs([recogniser.items(square(v, 1.0))[0] for v in levels * 5])
    for answer in work:
        np.testing.assert_allclose(answer.result(10), expected, atol=1e-5)
    np.testing.assert_allclose(live.result(10)[0], recogniser.means([square(0.4, 7.5)])[0], atol=1e-5)
    turns.stop()


def test_a_long_request_does_not_hold_up_a_short_one(recogniser: Recogniser) -> None:
    held = Held(recogniser)
    turns = scheduler(held)
    busy(held, turns)
    long = turns.submit(Flow(live=False), [held.items(square(0.1, 3.0))[0]] * 100)
    short = turns.submit(Flow(live=False), [held.items(square(0.2, 3.0))[0]] * 4)
    held.go.set()
    short.result(10)
    long.result(10)
    turns.stop()
    assert held.batches[1] == [0.1, 0.2] * 4 + [0.1] * (BATCH - 8)  # by turns
    assert sum(map(len, held.batches)) == 105


def test_longer_windows_cost_more_turns(recogniser: Recogniser) -> None:
    held = Held(recogniser)
    turns = scheduler(held)
    busy(held, turns)
    wide = {"waveform": square(0.1, 6.0), "n_samples": np.array(96_000, np.int64)}
    work = [
        turns.submit(Flow(live=False), [wide] * 4),
        turns.submit(Flow(live=False), [held.items(square(0.2, 3.0))[0]] * 8),
    ]
    held.go.set()
    for each in work:
        each.result(10)
    turns.stop()
    assert held.batches[1][:6] == [0.2, 0.1, 0.2, 0.2, 0.1, 0.2]  # a window of 6 s takes two turns' credit


def test_streams_go_first_but_not_alone(recogniser: Recogniser) -> None:
    held = Held(recogniser)
    turns = scheduler(held)
    busy(held, turns)
    work = [turns.submit(Flow(live=False), [held.items(square(0.1, 3.0))[0]] * 20)]
    work += [turns.submit(Flow(live=True), [held.items(square(0.2, 3.0))[0]]) for _ in range(20)]
    held.go.set()
    for each in work:
        each.result(10)
    turns.stop()
    assert held.batches[1] == [0.2] * 12 + [0.1] * 4


def test_after_a_slow_batch_streams_are_waited_for_and_requests_not(
    recogniser: Recogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "LONGEST_REST", 3600.0)  # as long as the batch took, that is
    held = Held(recogniser)
    turns = scheduler(held)
    first = turns.judge(Flow(live=True), held.items(square(0.9, 1.0)))
    held.started.wait(10)
    time.sleep(0.3)
    held.go.set()
    first.result(10)
    together = [turns.judge(Flow(live=True), held.items(square(0.2, 1.0))) for _ in range(3)]
    for answer in together:
        answer.result(10)
    assert held.batches[1] == [0.2] * 3
    held.go.clear()
    held.started.clear()
    slow = turns.judge(Flow(live=True), held.items(square(0.9, 1.0)))
    held.started.wait(10)
    time.sleep(1.0)
    held.go.set()
    slow.result(10)
    began = time.monotonic()
    turns.submit(Flow(live=False), held.items(square(0.1, 1.0))).result(10)
    assert time.monotonic() - began < 0.9  # the rest would have been a second
    turns.stop()


def test_one_window_that_fails_does_not_spoil_the_others(recogniser: Recogniser) -> None:
    class Picky(Held):
        def log_probs(self, items: Any) -> np.ndarray:
            if any(np.abs(item["waveform"]).mean() > 0.8 for item in items):
                raise RuntimeError("too loud")
            return self._recogniser.log_probs(items)

    picky = Picky(recogniser)
    turns = scheduler(picky)
    good = [turns.submit(Flow(live=False), picky.items(square(0.2, 1.0))) for _ in range(5)]
    bad = turns.submit(Flow(live=False), picky.items(square(0.9, 1.0)))
    assert all(answer.result(10).shape == (1, 1, 4) for answer in good)
    with pytest.raises(VoxaffectError, match="too loud") as caught:
        bad.result(10)
    assert caught.value.code == "inference_failed"
    assert not turns.broken
    for _ in range(3):
        with pytest.raises(VoxaffectError):
            turns.submit(Flow(live=False), picky.items(square(0.9, 1.0))).result(10)
    assert turns.broken
    turns.submit(Flow(live=False), picky.items(square(0.2, 1.0))).result(10)
    assert not turns.broken
    turns.stop()


def test_what_is_given_up_is_not_computed(recogniser: Recogniser) -> None:
    held = Held(recogniser)
    turns = scheduler(held)
    busy(held, turns)
    flow = Flow(live=False)
    answer = turns.submit(flow, [held.items(square(0.1, 3.0))[0]] * 50)
    turns.cancel(flow)
    assert turns.n_waiting == 0
    for waiting in (answer, turns.submit(flow, held.items(square(0.1, 1.0)))):
        with pytest.raises(VoxaffectError) as caught:
            waiting.result(10)
        assert caught.value.code == "cancelled"
    held.go.set()
    turns.stop()
    assert sum(map(len, held.batches)) == 1
    with pytest.raises(VoxaffectError):
        turns.submit(Flow(live=False), held.items(square(0.1, 1.0))).result(10)


def test_admission_is_bounded_in_seconds_of_audio() -> None:
    now = [0.0]
    queue = Admission(20.0, speed=10.0, clock=lambda: now[0])
    with queue.entered(15.0):
        with pytest.raises(BusyError) as caught, queue.entered(6.0):
            pass
        assert (caught.value.code, caught.value.retry_after) == ("queue_full", 1)
        with queue.entered(5.0):
            assert queue.full
            with pytest.raises(BusyError):
                queue.check()
        now[0] += 4.0
    assert queue.pending == 0
    assert queue.speed != 10.0  # it learnt
    with queue.entered(1000.0):  # alone, a recording may be longer than the queue
        with pytest.raises(BusyError) as caught:
            queue.check()
        assert 1 <= caught.value.retry_after <= 120
    assert not queue.full
    slow = Admission(1000.0, speed=2.0, patience=5.0)
    with slow.entered(38.0), pytest.raises(BusyError):
        slow.check(3.0)  # 41 s take longer than 5 s


def test_tiny_frames_are_rationed() -> None:
    now = [0.0]
    ration = Ration(lambda: now[0])
    for _ in range(1000):
        ration.take(1)
    ration.take(3200)
    with pytest.raises(VoxaffectError) as caught:
        ration.take(1)
    assert caught.value.code == "too_many_frames"
    now[0] += 1.0
    for _ in range(99):
        ration.take(1)


def messages(*bodies: bytes, end: bool = True) -> Any:
    """What an ASGI server gives for a body that comes in pieces; without `end`, then nothing."""
    pieces = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]
    if end:
        pieces.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        if not pieces:
            await asyncio.sleep(60)
        return pieces.pop(0)

    return receive


def test_a_body_is_counted_and_timed() -> None:
    assert asyncio.run(read_body(messages(b"ab", b"c"), 3, 1.0)) == b"abc"
    with pytest.raises(VoxaffectError) as caught:
        asyncio.run(read_body(messages(b"ab", b"cd"), 3, 1.0))
    assert caught.value.code == "too_many_bytes"
    with pytest.raises(VoxaffectError) as caught:
        asyncio.run(read_body(messages(b"ab", end=False), 3, 0.05))
    assert caught.value.code == "body_timeout"

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientGoneError):
        asyncio.run(read_body(gone, 3, 1.0))


def test_memory_of_bodies_is_bounded() -> None:
    room = Reservations(10)
    assert room.take(6)
    assert not room.take(5)
    room.give_back(6)
    assert room.take(10)


def test_a_form_gives_its_file() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nRIFF\r\n--\r\n--b--\r\n'
    assert form_file(body, "multipart/form-data; boundary=b", 100) == b"RIFF\r\n--"


def test_settings_are_checked(tmp_path: Path) -> None:
    assert ServeSettings().hosts(8000) == {"localhost:8000", "127.0.0.1:8000", "[::1]:8000"}
    assert "http://localhost" in ServeSettings().origins(80)
    for wrong in (
        {"port": 70_000},
        {"workers": -1},
        {"hearing_workers": -1},
        {"max_upload_mb": 0.0},
        {"queue_seconds": float("inf")},
        {"allow_origins": ("example.org",)},
        {"allow_origins": ("https://*.example.org",)},
        {"allow_hosts": ("http://example.org",)},
        {"host": "0.0.0.0"},
        {"token": "short"},
    ):
        with pytest.raises(UsageError):
            ServeSettings(**wrong)  # type: ignore[arg-type]
    open_to_all = ServeSettings(host="0.0.0.0", token="x" * 16, allow_hosts=("Voice.example.org",))
    assert open_to_all.hosts(8000) == {"0.0.0.0:8000", "voice.example.org"}
    assert "x" * 16 not in repr(open_to_all)


def test_options_of_a_request() -> None:
    options, name = predict_options([("channels", "1"), ("start", "1:30"), ("vad", "0"), ("format", "csv")])
    assert (options, name) == ({"channels": 1, "start": 90.0, "vad": False}, "csv")
    for wrong in ([("start", "1:2:3:4")], [("hop", "inf")], [("x", "1")], [("vad", "1"), ("vad", "1")]):
        with pytest.raises(UsageError):
            predict_options(wrong)


def test_messages_between_processes_survive_and_others_do_not() -> None:
    items = [{"waveform": square(0.1, 0.1), "n_samples": np.array(1600, np.int64)}]
    shapes, parts = channel.pack(items)
    pipe = io.BytesIO()
    channel.send(pipe, {"type": "items", "items": shapes}, *parts)
    pipe.seek(0)
    header, payload = channel.receive(pipe)
    (back,) = channel.unpack(header["items"], payload)
    np.testing.assert_array_equal(back["waveform"], items[0]["waveform"])
    assert int(back["n_samples"]) == 1600
    for shapes_ in ([{"x": ["object", 1]}], [{"x": ["float32", -1]}], [{"x": ["float32", 10**9]}], [3], 3):
        with pytest.raises(channel.ChannelError):
            channel.unpack(shapes_, payload)
    for broken in (
        b"",
        b"\0" * 5,
        b"\xff" * 12,
        b"\x02\0\0\0" + bytes(8) + b"[]",
        b"\x01\0\0\0" + bytes(8) + b"x",
    ):
        with pytest.raises(channel.ChannelError):
            channel.receive(io.BytesIO(broken))


def test_a_worker_knows_the_model_without_its_file(recogniser: Recogniser) -> None:
    import json

    model = recogniser.model
    there = described_model(json.loads(json.dumps(describe_model(model))))
    assert there.info == model.info
    assert there.features == model.features
    assert there.data == b""


def test_a_worker_that_does_not_start_is_reported(
    recogniser: Recogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child.sys, "executable", "/bin/false")
    worker = Worker(recogniser.model, Scheduler(recogniser))
    with pytest.raises((channel.ChannelError, OSError)):
        worker.wait_ready()
    worker.close()

    async def start() -> None:
        pool = workers.WorkerPool(recogniser.model, Scheduler(recogniser), short=1, long=1)
        try:
            await pool.start()
        finally:
            await pool.close()

    with pytest.raises(RuntimeError, match="a worker process does not start"):
        asyncio.run(start())


def test_lengths_are_known_before_decoding() -> None:
    from audio_files import with_ffmpeg
    from serving import wav

    assert audio_seconds(io.BytesIO(wav(square(0.1, 2.5))), max_seconds=60) == 2.5
    assert audio_seconds(io.BytesIO(wav(square(0.1, 2.5))), end=1.0, max_seconds=60) == 1.0
    kinds = (("ogg", "libopus", 48_000), ("webm", "libopus", 48_000), ("mp3", "libmp3lame", 44_100))
    for muxer, encoder, rate in kinds:
        data = with_ffmpeg(muxer, encoder, rate, samples=square(0.1, 30.0, rate))
        assert audio_seconds(io.BytesIO(data), max_seconds=600) == pytest.approx(30.0, abs=0.2)
        with pytest.raises(AudioError) as caught:
            audio_seconds(io.BytesIO(data), max_seconds=5.0)
        assert caught.value.code == "too_long"
        assert audio_seconds(io.BytesIO(data), start=27.0, max_seconds=5.0) > 29
    with pytest.raises(AudioError):
        audio_seconds(io.BytesIO(b"text"), max_seconds=5.0)


def test_counters_are_in_the_format_of_prometheus() -> None:
    metrics = Metrics()
    metrics.count("a_total", "Things.", 2, kind="x")
    metrics.count("a_total", "Things.", kind="x")
    metrics.time("b_seconds", "Time.", 0.02)
    metrics.gauge("c", "Now.", lambda: 1.5)
    assert metrics.total("a_total", kind="x") == 3
    text = metrics.text()
    assert '# TYPE a_total counter\na_total{kind="x"} 3\n' in text
    assert 'b_seconds_bucket{le="0.01"} 0\nb_seconds_bucket{le="0.025"} 1\n' in text
    assert 'b_seconds_bucket{le="+Inf"} 1\nb_seconds_sum 0.02\nb_seconds_count 1\n' in text
    assert "# TYPE c gauge\nc 1.5\n" in text


def test_a_log_line_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    say("x", name="a\nb\x1b[31m\u202e")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isascii()
    assert line.isprintable()


def test_an_error_is_the_same_object_everywhere() -> None:
    error = AudioError("too_long", "5:00:00 is over", hint="send less", where="upload")
    assert problem(error, request_id="1") == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "5:00:00 is over",
        "error": error.to_dict(),
        "request": "1",
    }
    assert status_of(UsageError("bad_value", "x")) == 400


def test_what_is_small_is_sent_at_once() -> None:
    """asyncio sets TCP_NODELAY only where it can see that a socket is TCP; without it an answer comes 40 ms late."""

    async def delayed() -> int:
        accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        with listen("127.0.0.1", 0) as listener:
            server = await asyncio.start_server(lambda _, writer: accepted.set_result(writer), sock=listener)
            _, client = await asyncio.open_connection(*listener.getsockname())
            writer = await accepted
            value: int = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for one in (client, writer, server):
                one.close()
            return value

    assert asyncio.run(delayed())


def test_while_a_worker_waits_for_the_model_another_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxaffect.serve.settings.cores", lambda: 2)
    assert ServeSettings().n_workers == 3
    assert ServeSettings(workers=1).n_workers == 1


@pytest.mark.parametrize(("n_cores", "n"), [(1, 1), (2, 1), (3, 1), (4, 2), (64, 2)])
def test_two_processes_hear_where_there_are_cores_for_them(
    monkeypatch: pytest.MonkeyPatch, n_cores: int, n: int
) -> None:
    monkeypatch.setattr("voxaffect.serve.settings.cores", lambda: n_cores)
    assert ServeSettings().n_hearing_workers == n
    assert ServeSettings(hearing_workers=3).n_hearing_workers == 3
