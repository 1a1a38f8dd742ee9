"""The processes that read audio: a few for short recordings, fewer for long ones, each with one at a time.

A process that crashes, hangs or is killed takes one request with it, and another is there at once: one is always
kept in reserve.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from voxaffect.errors import AudioError, ResourceError, VoxaffectError
from voxaffect.modelfile import ModelFile
from voxaffect.serve import channel
from voxaffect.serve.child import Child
from voxaffect.serve.scheduler import Flow, Scheduler

START_SECONDS = 60.0
LOOK_SECONDS = 1.0
"""How often the pool looks for workers that ended while idle or starting, to make up for them."""
CANCEL_SECONDS = 0.05
"""How long a worker may take to notice that nobody waits for its answer, before it is replaced."""


@dataclass(frozen=True)
class Job:
    """A recording and how it is to be judged. Past `hand_over_seconds` of audio it is given back as Long."""

    id: str
    body: bytes = field(repr=False)
    options: dict[str, Any]
    format: str
    hand_over_seconds: float | None


@dataclass(frozen=True)
class Answer:
    """The body of an answer, the seconds of audio that it is about, and its label."""

    body: bytes = field(repr=False)
    seconds: float
    label: str | None


@dataclass(frozen=True)
class Long:
    """What came in place of an answer: the recording is long."""

    seconds: float


class Worker(Child):
    """A process that reads recordings. `run` is for a thread, all else for any."""

    def __init__(self, model: ModelFile, scheduler: Scheduler) -> None:
        super().__init__("voxaffect.serve.worker", model)
        self._scheduler = scheduler

    def run(self, job: Job, flow: Flow) -> Answer | Long:
        """The answer about `job`; its windows go through the scheduler as `flow`.

        Raises VoxaffectError of the recording, ChannelError or OSError if the process is no more.
        """
        self.wait_ready()
        header = {
            "id": job.id,
            "options": job.options,
            "format": job.format,
            "hand_over_seconds": job.hand_over_seconds,
        }
        channel.send(self.sink, header, job.body)
        while True:
            said, payload = channel.receive(self.source)
            if said["type"] == "items":
                self._recognise(flow, channel.unpack(said["items"], payload))
            elif said["type"] == "result":
                return Answer(payload, float(said["seconds"]), said["label"])
            elif said["type"] == "long":
                return Long(float(said["seconds"]))
            else:
                raise channel.error_of(said)

    def _recognise(self, flow: Flow, items: list[Any]) -> None:
        try:
            log_probs = self._scheduler.submit(flow, items).result()
        except VoxaffectError as error:
            channel.send(self.sink, {"type": "error", **channel.told(error)})
            return
        shape, body = channel.pack_array(log_probs)
        channel.send(self.sink, {"type": "log_probs", "shape": shape}, body)


class WorkerPool:
    """Workers for one event loop, which alone knows who is idle: threads start workers and wait for them.

    `short` and `long` are how many recordings of each kind are read at a time. `on_replace(reason)` is told of
    each worker that had to be replaced.
    """

    def __init__(
        self,
        model: ModelFile,
        scheduler: Scheduler,
        *,
        short: int,
        long: int,
        on_replace: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._model, self._scheduler, self._on_replace = model, scheduler, on_replace
        self._slots = {False: asyncio.Semaphore(short), True: asyncio.Semaphore(long)}
        self._n_short, self._most = short, short + long + 1
        self._idle: deque[Worker] = deque()
        self._all: set[Worker] = set()
        self._starting = 0
        self._threads = ThreadPoolExecutor(2 * (short + long) + 2, thread_name_prefix="voxaffect-worker")
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """Start the workers for short recordings and the reserve; raises RuntimeError if one cannot be started."""
        workers = [self._new() for _ in range(self._n_short + 1)]
        loop = asyncio.get_running_loop()
        try:
            ready = [loop.run_in_executor(self._threads, worker.wait_ready) for worker in workers]
            await asyncio.wait_for(asyncio.gather(*ready), START_SECONDS)
        except (channel.ChannelError, OSError, TimeoutError) as error:
            raise RuntimeError(
                f"a worker process does not start ({error or type(error).__name__})"
            ) from error
        self._idle.extend(workers)
        self._keeping = loop.create_task(self._keep())

    @asynccontextmanager
    async def slot(self, *, long: bool) -> AsyncIterator[None]:
        """The turn of a recording; whoever has it may `run`."""
        async with self._slots[long]:
            yield

    async def run(self, job: Job, *, live: bool = False, timeout: float) -> Answer | Long:
        """The answer about `job`; call it within `slot`.

        Raises VoxaffectError: that of the recording, `decoder_crashed`, `compute_timeout`, `not_ready`. When
        cancelled, the worker is free or replaced within CANCEL_SECONDS.
        """
        flow = Flow(live)
        worker = self._take()
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, worker.run, job, flow)
        try:
            answer = await asyncio.wait_for(asyncio.shield(work), timeout)
        except TimeoutError:
            self._scheduler.cancel(flow)
            self._replace(worker, "timeout")
            raise ResourceError(
                "compute_timeout",
                f"not done after {timeout:g} s",
                hint="send a shorter recording, or a part with start and end",
                where="upload",
            ) from None
        except (channel.ChannelError, OSError) as error:
            self._replace(worker, "crashed")
            raise AudioError(
                "decoder_crashed",
                "the process that read this recording broke down",
                hint="convert it to wav or flac",
                where="upload",
            ) from error
        except asyncio.CancelledError:
            self._scheduler.cancel(flow)
            self._go_on_with(self._recover(worker, work))
            raise
        except VoxaffectError:
            self._give_back(worker)
            raise
        self._give_back(worker)
        return answer

    async def _recover(self, worker: Worker, work: asyncio.Future[Any]) -> None:
        """After a request was given up: back to the idle ones, or replaced."""
        done, _ = await asyncio.wait([work], timeout=CANCEL_SECONDS)
        if done and not isinstance(work.exception(), channel.ChannelError | OSError):
            self._give_back(worker)
        else:
            self._replace(worker, "abandoned")
            with suppress(BaseException):
                await work

    async def close(self) -> None:
        """End all workers."""
        self._closed = True
        if self._keeping is not None:
            self._keeping.cancel()
        for worker in self._all:
            worker.kill()
        while self._tasks:  # those that were starting end themselves
            await asyncio.wait(self._tasks)
        for worker in self._all:
            worker.close()
        self._threads.shutdown(wait=False)  # those that were forgotten are still closed there

    def _new(self) -> Worker:
        worker = Worker(self._model, self._scheduler)
        self._all.add(worker)
        return worker

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._bury()
            self._top_up()

    def _bury(self) -> None:
        """Replace the idle workers that ended."""
        for worker in [worker for worker in self._idle if not worker.alive]:
            self._idle.remove(worker)
            self._replace(worker, "died")

    def _take(self) -> Worker:
        self._bury()
        try:
            worker = self._idle.popleft() if self._idle else self._new()
        except OSError as error:
            raise ResourceError(
                "not_ready", f"no process can be started to read it: {error}", hint="try again later"
            ) from error
        self._top_up()
        return worker

    def _give_back(self, worker: Worker) -> None:
        if self._closed or len(self._all) > self._most:
            self._forget(worker)
        else:
            self._idle.append(worker)  # one that has just died is found out at the next look

    def _replace(self, worker: Worker, reason: str) -> None:
        self._on_replace(reason)
        self._forget(worker)
        self._top_up()

    def _top_up(self) -> None:
        """Start a worker if one is lacking; one that breaks down while it starts is made up for at the next look."""
        if not self._closed and len(self._all) + self._starting <= self._n_short:
            self._starting += 1
            self._go_on_with(self._reserve())

    def _forget(self, worker: Worker) -> None:
        self._all.discard(worker)
        worker.kill()
        self._threads.submit(worker.close)

    async def _reserve(self) -> None:
        in_thread = partial(asyncio.get_running_loop().run_in_executor, self._threads)
        try:
            worker = await in_thread(Worker, self._model, self._scheduler)
        except OSError:
            return
        finally:
            self._starting -= 1
        self._all.add(worker)
        try:
            if not self._closed:
                await in_thread(worker.wait_ready)
        except (channel.ChannelError, OSError):
            self._forget(worker)
        else:
            self._give_back(worker)

    def _go_on_with(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` beside what is being done; `close` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
