"""Who leaves, and who is gone without a word (faults B5, B14): what they held is free again, and others go on."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fake_models import write_model
from serving import LOUD, Server, running, until, wav

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
        with second:
            assert second.recv(13, socket.MSG_WAITALL) == b"HTTP/1.1 200 "
        until(lambda: gauges(server) == (0, 0, 0, 2), 30)
        assert server.metric('voxaffect_workers_replaced_total{reason="abandoned"}') == 1
