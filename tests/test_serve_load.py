"""The server under load (faults B2, B4, B25): a short look; benchmarks/server.py measures in full."""

from __future__ import annotations

import asyncio
import http.client
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from audio_files import with_soundfile
from fake_models import write_model
from serving import LOUD, Server, quickly, running, until, wav

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
        assert waited < 10
        assert server.resident_mb() - before < 300


def test_bombs_whose_header_lies_are_refused_too(model: Path, tmp_path: Path) -> None:
    from audio_files import flac_with_total

    bomb = flac_with_total(
        with_soundfile(np.zeros(16_000 * 3700, np.int16), 16_000, "FLAC", "PCM_16"), 16_000
    )
    with running(tmp_path, "-m", str(model), config={"max_duration": 600.0}) as server:
        answer = quickly(10.0, partial(server.predict, bomb))
        assert (answer.status, answer.problem["code"]) == (422, "too_long")


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


@pytest.fixture(scope="module")
def traffic() -> ModuleType:
    """benchmarks/traffic.py: good and bad clients."""
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "traffic.py"
    spec = spec_from_file_location("traffic", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["traffic"] = module
    spec.loader.exec_module(module)
    return module


def test_bad_requests_and_clients_that_leave_cost_nothing_for_good(
    model: Path, tmp_path: Path, traffic: ModuleType
) -> None:
    """B25: the same requests twice; after the second time all is as after the first."""
    config = {"max_duration": 600.0, "max_upload_mb": 2.0}
    bodies = traffic.Bodies.of(LOUD, 2**22)
    with running(tmp_path, "-m", str(model), config=config) as server:
        counts = asyncio.run(traffic.mixed(server.port, bodies, 300))
        assert len({name.split(":")[0] for name in counts}) == len(traffic.KINDS)
        files = files_at_rest(server)
        own, *others = server.resident_each_mb()
        again = asyncio.run(traffic.mixed(server.port, bodies, 300))
        assert again == counts
        assert files_at_rest(server) == files
        own_after, *others_after = server.resident_each_mb()
        assert own_after - own < 10
        # By the largest: a process that is new and has read nothing has half of what others have.
        assert max(others_after) - max(others) < 15
        assert len(others_after) <= len(others) + 1
        for name, outcome in ANSWERS.items():
            assert counts[f"{name}: {outcome}"] == sum(
                n for what, n in counts.items() if what.startswith(f"{name}:")
            )
        assert server.process.poll() is None
        assert [line for line in server.lines if "bug" in line] == []


ANSWERS = {
    "good": 200,
    "long": 200,
    "cut": 200,
    "picture": 415,
    "empty": 422,
    "bomb": 422,
    "oversize": 413,
    "wrong_host": 421,
    "unfinished_form": 400,
    "no_request": 400,
    "stream": 1000,
    "stream_of_a_browser": 1000,
    "stream_of_nonsense": 1007,
    "stream_of_noise": 1007,
    "stream_with_a_mistake": 1008,
}


def files_at_rest(server: Server) -> int:
    """Open files of the server once nothing is going on, but for the two pipes to each worker."""
    for gauge in ("requests_active", "streams", "upload_bytes", "queue_audio_seconds", "windows_waiting"):
        until(lambda gauge=gauge: server.metric(f"voxaffect_{gauge}") == 0, 30)
    before: list[int] = []

    def steady() -> bool:
        files = sum(1 for _ in Path(f"/proc/{server.process.pid}/fd").iterdir())
        now = files - 2 * len(server.workers())
        time.sleep(0.3)
        before.append(now)
        # For 6 s: longer than a connection lingers or is kept for another request.
        return before[-20:] == [now] * 20

    until(steady, 60)
    return before[-1]


def ask(server: Server, times: int) -> None:
    """Many requests on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for _ in range(times):
        connection.request("POST", "/v1/predict", CLIP)
        response = connection.getresponse()
        response.read()
        assert response.status == 200
    connection.close()
