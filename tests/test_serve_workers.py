"""The pool of processes that read recordings, with workers that do as they are told."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from voxaffect.errors import AudioError, VoxaffectError
from voxaffect.modelfile import ModelFile
from voxaffect.serve import workers
from voxaffect.serve.channel import ChannelError
from voxaffect.serve.scheduler import Scheduler
from voxaffect.serve.workers import Answer, Job, WorkerPool

JOB = Job("1", b"", {}, "json", None)
STEP = 0.005
"""Seconds that a worker takes to start, and to say whether it lives."""


class Tame:
    """A worker without a process. `made` are all that there were."""

    made: list[Tame]

    def __init__(self, model: ModelFile, scheduler: Scheduler) -> None:
        self.killed = self.closed = False
        self.made.append(self)

    def wait_ready(self) -> None:
        time.sleep(STEP)
        if self.killed:
            raise ChannelError("gone")

    @property
    def alive(self) -> bool:
        time.sleep(STEP)
        return not self.killed

    def run(self, job: Job, flow: Any) -> Answer:
        if job.id == "crash":
            raise ChannelError("gone")
        return Answer(b"", 1.0, None)

    def kill(self) -> None:
        self.killed = True

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Tame]:
    monkeypatch.setattr(Tame, "made", [], raising=False)
    monkeypatch.setattr(workers, "Worker", Tame)
    return Tame.made


def within(pool_does: Callable[[WorkerPool], Any]) -> None:
    """Let a pool of three and one in reserve start, do something, and end."""

    async def all_of_it() -> None:
        nothing: Any = None
        pool = WorkerPool(nothing, nothing, short=3, long=1)
        await pool.start()
        try:
            await pool_does(pool)
        finally:
            await pool.close()

    asyncio.run(all_of_it())


def test_a_worker_gets_ready_while_others_are_looked_after(made: list[Tame]) -> None:
    """Those that are idle are looked through for dead ones while a thread starts another: neither sees the other."""

    async def crash_often(pool: WorkerPool) -> None:
        for n in range(20):
            made[-1].kill()  # an idle one dies as well
            with pytest.raises(AudioError, match="broke down"):
                await pool.run(Job("crash", b"", {}, "json", None), timeout=5)
            await asyncio.sleep(n % 4 * STEP)
        assert (await pool.run(JOB, timeout=5)) == Answer(b"", 1.0, None)

    within(crash_often)
    assert len(made) > 24
    assert all(worker.closed for worker in made)


def test_the_pool_ends_those_that_are_starting(made: list[Tame]) -> None:
    async def crash_and_leave(pool: WorkerPool) -> None:
        with pytest.raises(AudioError):
            await pool.run(Job("crash", b"", {}, "json", None), timeout=5)

    within(crash_and_leave)
    assert all(worker.killed for worker in made)
    until = time.monotonic() + 5
    while not all(worker.closed for worker in made):
        assert time.monotonic() < until
        time.sleep(STEP)


def test_where_no_process_can_be_started_the_request_is_told(
    made: list[Tame], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = threading.Event()
    begin = Tame.__init__

    def limited(self: Tame, model: ModelFile, scheduler: Scheduler) -> None:
        if failing.is_set():
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        begin(self, model, scheduler)

    monkeypatch.setattr(Tame, "__init__", limited)

    async def go_without(pool: WorkerPool) -> None:
        failing.set()
        for worker in made:
            worker.kill()
        for _ in range(2):
            with pytest.raises(VoxaffectError, match="no process can be started") as caught:
                await pool.run(JOB, timeout=5)
            assert caught.value.code == "not_ready"
        failing.clear()
        assert await pool.run(JOB, timeout=5)

    within(go_without)
