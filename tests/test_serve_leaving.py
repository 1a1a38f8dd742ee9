"""Who leaves, and who is gone without a word (faults B5, B14): what they held is free again, and others go on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from fake_models import write_model
from serving import LOUD, Server, handshake, messages, pcm, read_all, running, until, wav
from voxaffect.serve.protocol import GuardedProtocol

CLIP = wav(LOUD)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "level.onnx")


# B5


@contextmanager
def held(server: Server) -> Iterator[None]:
    """The workers stand still: what is computed stays computed, what is queued stays queued."""
    workers = server.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in set(workers) & set(server.workers()):
            os.kill(pid, signal.SIGCONT)


def sent(server: Server, n_bytes: int = len(CLIP)) -> socket.socket:
    """A client that has sent `n_bytes` of its recording."""
    connection = socket.create_connection(("127.0.0.1", server.port), 30)
    head = (
        f"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: {len(CLIP)}\r\n\r\n"
    )
    connection.sendall(head.encode() + CLIP[:n_bytes])
    return connection


def gauges(server: Server) -> tuple[float, float, float, float]:
    """Requests that are open, seconds of audio in the queue, bytes of bodies; and how many ever had a worker."""
    names = ("requests_active", "queue_audio_seconds", "upload_bytes", "queue_seconds_count")
    active, queue, uploads, judged = (server.metric(f"voxaffect_{name}") for name in names)
    return active, queue, uploads / len(CLIP), judged


def test_who_leaves_from_the_queue_is_never_judged(model: Path, tmp_path: Path) -> None:
    """One place and four clients: one is judged, two wait for it, one is still sending."""
    with running(tmp_path, "-m", str(model), config={"workers": 1, "queue_timeout": 300.0}) as server:
        with held(server):
            judged = sent(server)
            until(lambda: gauges(server) == (1, 5, 1, 1), 30)
            waiting = [sent(server) for _ in range(2)]
            sending = sent(server, 1000)
            until(lambda: gauges(server) == (4, 15, 4, 1), 30)
            sending.close()
            until(lambda: gauges(server) == (3, 15, 3, 1), 30)
            for client in waiting:
                client.close()
            until(lambda: gauges(server) == (1, 5, 1, 1), 30)
            judged.close()
            until(lambda: gauges(server) == (0, 0, 0, 1), 30)
        assert server.predict(CLIP).status == 200
        assert gauges(server) == (0, 0, 0, 2)


def test_the_place_of_who_leaves_while_judged_goes_to_the_next(model: Path, tmp_path: Path) -> None:
    """The worker that stands still is replaced; the next has the one in reserve, and its answer in the end."""
    with running(tmp_path, "-m", str(model), config={"workers": 1, "queue_timeout": 300.0}) as server:
        with held(server):
            first = sent(server)
            until(lambda: gauges(server) == (1, 5, 1, 1), 30)
            second = sent(server)
            until(lambda: gauges(server) == (2, 10, 2, 1), 30)
            first.close()
            until(lambda: gauges(server) == (1, 5, 1, 2), 30)
            # Let go earlier, the worker would be free again rather than replaced.
            until(lambda: server.metric('voxaffect_workers_replaced_total{reason="abandoned"}') == 1, 30)
        with second:
            assert second.recv(13, socket.MSG_WAITALL) == b"HTTP/1.1 200 "
        until(lambda: gauges(server) == (0, 0, 0, 2), 30)


# B14


def opened(server: Server) -> socket.socket:
    """A stream by hand: nothing answers its pings. The system keeps but little of what it does not read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(handshake(server))
    assert connection.recv(13, socket.MSG_WAITALL) == b"HTTP/1.1 101 "
    return connection


def test_who_answers_no_ping_is_let_go_and_who_does_stays(model: Path, tmp_path: Path) -> None:
    """Half-open: the other machine lost its power, say, and the network tells nobody."""
    with (
        running(tmp_path, "-m", str(model), config={"ping_interval": 0.2, "ping_timeout": 0.3}) as server,
        server.stream() as answers,
    ):
        with opened(server) as mute:
            until(lambda: server.metric("voxaffect_streams") == 2, 30)
            heard = read_all(mute)
        assert b"\x89\x04" in heard  # a ping
        assert heard.endswith(b"\x03\xf3keepalive ping timeout")  # 1011
        until(lambda: server.metric("voxaffect_streams") == 1, 30)
        answers.send(pcm(LOUD))
        answers.send('{"type": "session.close"}')
        assert messages(answers)[-1]["reason"] == "client"


def test_a_client_that_neither_reads_nor_leaves_holds_no_connection(model: Path, tmp_path: Path) -> None:
    """What was written for it can never be delivered: the socket is not kept for that."""
    config = {"send_timeout": 0.5, "ping_interval": 3600.0}
    with running(tmp_path, "-m", str(model), config=config) as server:
        files = server.metric("process_open_fds")
        with opened(server) as deaf:
            until(lambda: server.metric("voxaffect_streams") == 1, 30)
            update = b'{"type":"session.update"}'
            frame = bytes([0x81, 0x80 + len(update)]) + bytes(4) + update
            with suppress(OSError):
                while server.metric("voxaffect_streams"):
                    deaf.sendall(500 * frame)  # and never reads the answers
            until(lambda: server.metric("voxaffect_streams") == 0, 30)
            until(lambda: server.metric("process_open_fds") <= files, 30)


def test_a_clock_that_is_set_changes_nothing(model: Path, tmp_path: Path) -> None:
    """An hour on, then two back, while a stream goes on and a request is judged: no timeout looks at that clock."""
    by = tmp_path / "by"
    by.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(
        f"import time\ntrue = time.time\ntime.time = lambda: true() + float(open({str(by)!r}).read() or 0)\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    with running(tmp_path, "-m", str(model), env={"PYTHONPATH": path}) as server, server.stream() as stream:
        stream.send('{"type": "session.update", "vad": "level", "interval": 1.0}')
        for seconds in (3600, -3600):
            with held(server):
                waiting = sent(server)
                until(lambda: server.metric("voxaffect_requests_active") == 1, 30)
                by.write_text(str(seconds))
                stream.send(pcm(LOUD))
                assert messages(stream, "result")
                assert messages(stream, "stats")  # after the looks for who is idle, who is slow, who is late
            with waiting:
                assert waiting.recv(13, socket.MSG_WAITALL) == b"HTTP/1.1 200 "
        stream.send('{"type": "session.close"}')
        assert messages(stream)[-1]["reason"] == "client"
        assert server.stop() == 0
        said = next(json.loads(line) for line in server.lines if "stopped" in line)
        assert said["time"] == pytest.approx(time.time() - 3600, abs=1800)  # it was set, indeed


@pytest.mark.parametrize("frame", [b"\x89\xfd" + bytes(4) + bytes(125), b"\x00\x80" + bytes(4)])
def test_a_flood_of_pings_or_of_pieces_of_a_message_ends_the_stream(
    model: Path, tmp_path: Path, frame: bytes
) -> None:
    """Each ping would have its pong, whether or not anybody reads, and a message of nothing would never end."""
    config = {"send_timeout": 1.0}
    with running(tmp_path, "-m", str(model), config=config) as server, server.stream() as other:
        with opened(server) as flooding:
            before = server.resident_mb()
            flooding.sendall(b"\x02\x80" + bytes(4) if frame[0] == 0 else b"")
            with suppress(OSError):
                for _ in range(2000):
                    flooding.sendall(500 * frame)
            until(lambda: server.metric("voxaffect_streams") == 1, 30)
            assert server.resident_mb() - before < 20
        other.send(pcm(LOUD))
        other.send('{"type": "session.close"}')
        assert messages(other)[-1]["reason"] == "client"


# who never reads an answer


ANSWER = bytes(24 * 2**20)
"""More than the system keeps for a connection."""


async def large(scope: Any, receive: Any, send: Any) -> None:
    """Answers everyone with ANSWER."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": ANSWER})


async def with_large_answers(
    scenario: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> None:
    """Ask a server of large answers, and let `scenario` do what it likes with the answer."""
    config = uvicorn.Config(large, http=GuardedProtocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*listener.getsockname(), limit=2**14)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await scenario(reader, writer)
    writer.close()
    end = time.monotonic() + 30
    while server.server_state.connections and time.monotonic() < end:
        await asyncio.sleep(0.01)
    assert not server.server_state.connections
    server.should_exit = True
    await serving


def test_who_reads_nothing_of_a_large_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardedProtocol, "send_seconds", 0.3)

    async def scenario(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3.0)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(len(ANSWER))

    asyncio.run(with_large_answers(scenario))


def test_who_reads_slowly_has_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardedProtocol, "send_seconds", 0.5)

    async def scenario(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        left = len(ANSWER)
        for _ in range(12):  # over several looks
            part = await reader.readexactly(2**20)
            left -= len(part)
            await asyncio.sleep(0.15)
        await reader.readexactly(left)

    asyncio.run(with_large_answers(scenario))
