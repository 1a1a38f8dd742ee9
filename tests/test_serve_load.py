"""The server under load (faults B2, B4, B25): a short look; benchmarks/server.py measures in full."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from audio_files import with_soundfile
from fake_models import write_model
from serving import LOUD, Server, running, wav

CLIP = wav(LOUD)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "level.onnx")


def test_bombs_are_refused_and_others_served(model: Path, tmp_path: Path) -> None:
    """20 small FLAC files of over an hour each, on a server that takes ten minutes."""
    bomb = with_soundfile(np.zeros(16_000 * 3700, np.int16), 16_000, "FLAC", "PCM_16")
    assert len(bomb) < 500_000
    with running(tmp_path, "-m", str(model), config={"max_duration": 600.0}) as server:
        before = server.resident_mb()
        with ThreadPoolExecutor(21) as pool:
            bombs = [pool.submit(server.predict, bomb) for _ in range(20)]
            started = time.monotonic()
            live = server.predict(CLIP)
            waited = time.monotonic() - started
            answers = [each.result() for each in bombs]
        assert {(a.status, a.problem["code"]) for a in answers} == {(422, "too_long")}
        assert live.status == 200
        assert waited < 3
        assert server.resident_mb() - before < 300


def test_bombs_whose_header_lies_are_refused_too(model: Path, tmp_path: Path) -> None:
    from audio_files import flac_with_total

    bomb = flac_with_total(
        with_soundfile(np.zeros(16_000 * 3700, np.int16), 16_000, "FLAC", "PCM_16"), 16_000
    )
    with running(tmp_path, "-m", str(model), config={"max_duration": 600.0}) as server:
        started = time.monotonic()
        answer = server.predict(bomb)
        assert (answer.status, answer.problem["code"]) == (422, "too_long")
        assert time.monotonic() - started < 3


def test_too_many_requests_are_429_and_none_is_lost(model: Path, tmp_path: Path) -> None:
    """A queue for four clips, and forty clients at once."""
    body = wav(np.tile(LOUD, 5))
    with running(tmp_path, "-m", str(model), config={"queue_seconds": 20.0, "workers": 1}) as server:
        counts: Counter[int] = Counter()
        retry: set[str] = set()

        def client() -> None:
            for _ in range(10):
                answer = server.predict(body)
                counts[answer.status] += 1
                if answer.status == 429:
                    retry.add(answer.headers["retry-after"])
                    assert answer.problem["code"] == "queue_full"

        clients = [threading.Thread(target=client) for _ in range(40)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        assert counts[200] + counts[429] == 400
        assert counts[200] >= 4
        assert counts[429] > 0
        assert all(1 <= int(seconds) <= 120 for seconds in retry)
        assert server.predict(body).status == 200


@pytest.mark.slow
def test_memory_and_files_stay_what_they_are(model: Path, tmp_path: Path) -> None:
    with running(tmp_path, "-m", str(model)) as server:
        ask(server, 300)
        memory, files = server.resident_mb(), server.metric("process_open_fds")
        ask(server, 1500)
        assert server.resident_mb() - memory < 8
        assert server.metric("process_open_fds") <= files + 2


def ask(server: Server, times: int) -> None:
    """Many requests on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for _ in range(times):
        connection.request("POST", "/v1/predict", CLIP)
        response = connection.getresponse()
        response.read()
        assert response.status == 200
    connection.close()
