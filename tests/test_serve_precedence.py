"""Where the processor is full the event loop goes first, live streams before recordings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from fake_models import write_model
from serving import Server, running, until
from voxaffect.serve import precedence
from voxaffect.serve.precedence import LIVE, RECORDINGS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="niceness of threads, as Linux has it")


def niceness(task: Path) -> int:
    """Of a process or thread by its folder in /proc."""
    return int((task / "stat").read_text().rsplit(")", 1)[1].split()[16])


def of_process(pid: int) -> int:
    return niceness(Path(f"/proc/{pid}"))


def of_threads(server: Server) -> list[int]:
    return [niceness(task) for task in Path(f"/proc/{server.process.pid}/task").iterdir()]


def test_what_computes_is_nicer_than_the_event_loop(tmp_path: Path) -> None:
    model = write_model(tmp_path / "level.onnx")
    with running(tmp_path, "-m", str(model), config={"hearing_workers": 1, "workers": 2}) as server:
        own = of_process(server.process.pid)
        assert own == os.getpriority(os.PRIO_PROCESS, 0)
        until(lambda: of_threads(server).count(own + LIVE) == 1)  # the model's
        assert set(of_threads(server)) == {own, own + LIVE}
        assert [of_process(pid) for pid in server.hearing()] == [own + LIVE]
        until(lambda: len(server.workers()) >= 2)
        until(lambda: {of_process(pid) for pid in server.workers()} == {own + RECORDINGS}, 30)
        with server.stream() as stream:
            stream.send('{"type": "session.update", "encoding": "webm-opus"}')
            before = set(server.children())
            stream.send(b"\x1a\x45\xdf\xa3")
            until(lambda: set(server.children()) - before, 30)
            (decoder,) = set(server.children()) - before
            until(lambda: of_process(decoder) == own + LIVE)


def test_without_niceness_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "nice")
    monkeypatch.setattr(sys, "platform", "win32")
    before = os.getpriority(os.PRIO_PROCESS, 0)
    precedence.process_steps_back(5)
    precedence.thread_steps_back(5)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
