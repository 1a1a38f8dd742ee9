"""What the routes share: the model, the workers, the queues, the counters, and whether the server is ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from voxaffect.cores import cores
from voxaffect.errors import VoxaffectError
from voxaffect.predictor import Predictor
from voxaffect.recogniser import Recogniser
from voxaffect.serve.admission import Admission, BusyError
from voxaffect.serve.body import ClientGoneError, Receive, Reservations
from voxaffect.serve.hearing import HearingPool
from voxaffect.serve.metrics import Metrics
from voxaffect.serve.opus import DecoderPool
from voxaffect.serve.scheduler import Scheduler
from voxaffect.serve.settings import ServeSettings
from voxaffect.serve.worker import RemotePredictor
from voxaffect.serve.workers import Answer, Job, Long, WorkerPool

LONG_SECONDS = 60.0
"""Recordings over this wait and are read apart from shorter ones."""
LONG_QUEUE = 4
"""How many recordings of the greatest length may wait or be read."""
UPLOADS = 12
"""How many bodies of the greatest size may be in memory."""
FIRST_SPEED = 50.0
"""Audio seconds per second, until it is measured."""
ASSUMED_SECONDS = 5.0
"""What a short recording counts in the queue before it is read."""

T = TypeVar("T")


@dataclass
class Service:
    """One server. `draining` is set once, when it is told to stop."""

    settings: ServeSettings
    predictor: Predictor
    recogniser: Recogniser
    scheduler: Scheduler
    pool: WorkerPool
    metrics: Metrics
    short: Admission
    long: Admission
    uploads: Reservations
    draining: asyncio.Event
    decoders: DecoderPool
    hearing: HearingPool
    n_active: int = 0
    """Requests that were accepted and not answered."""
    n_streams: int = 0

    @classmethod
    def create(cls, settings: ServeSettings, recogniser: Recogniser) -> Service:
        """A service whose workers are not started."""
        metrics = Metrics()

        def observe(n: int, seconds: float) -> None:
            metrics.count("voxaffect_windows_total", "Windows that went through the model.", n)
            metrics.time("voxaffect_batch_seconds", "Time of a batch in the model.", seconds)

        # A core is left to everything else: more threads would halve the batches, and each window would cost more.
        threads = max(1, min(4, cores() - 1))
        scheduler = Scheduler(recogniser, threads=threads, observe=observe)
        n = settings.n_workers

        def replaced(reason: str) -> None:
            metrics.count(
                "voxaffect_workers_replaced_total", "Worker processes that were replaced.", reason=reason
            )

        pool = WorkerPool(
            recogniser.model,
            scheduler,
            short=n,
            long=max(1, n // 2),
            on_replace=replaced,
        )
        service = cls(
            settings,
            RemotePredictor(recogniser),
            recogniser,
            scheduler,
            pool,
            metrics,
            Admission(settings.queue_seconds, speed=FIRST_SPEED, patience=settings.queue_timeout / 2),
            Admission(LONG_QUEUE * settings.max_duration, speed=FIRST_SPEED),
            Reservations(UPLOADS * settings.max_bytes),
            asyncio.Event(),
            DecoderPool(),
            HearingPool(recogniser.model, settings.n_hearing_workers, on_replace=replaced),
        )
        service._describe()
        return service

    @property
    def ready(self) -> bool:
        """Whether requests are accepted and the model works."""
        return not self.draining.is_set() and not self.scheduler.broken

    def check_ready(self) -> None:
        """Raise VoxaffectError `draining` once the server is told to stop."""
        if self.draining.is_set():
            raise VoxaffectError("draining", "this server is stopping", hint="ask another, or later")

    async def predict(self, job: Job) -> Answer:
        """The answer about `job`, in its turn: as a short recording, or as a long one if it turns out so."""
        answer = await self._in_turn(job, self.short, ASSUMED_SECONDS, long=False)
        if isinstance(answer, Long):
            whole = replace(job, hand_over_seconds=None)
            seconds = min(answer.seconds, self.settings.max_duration)
            answer = await self._in_turn(whole, self.long, seconds, long=True)
        assert isinstance(answer, Answer)
        self.metrics.count("voxaffect_audio_seconds_total", "Audio that was judged.", answer.seconds)
        return answer

    async def _in_turn(self, job: Job, queue: Admission, seconds: float, *, long: bool) -> Answer | Long:
        with queue.entered(seconds):
            came = time.monotonic()
            slot = self.pool.slot(long=long)
            patience = self.settings.queue_timeout * (LONG_QUEUE * 6 if long else 1)
            try:
                await asyncio.wait_for(slot.__aenter__(), patience)
            except TimeoutError:
                raise BusyError(
                    "queue_timeout", f"its turn did not come within {patience:g} s", queue.retry_after
                ) from None
            try:
                self._waited(time.monotonic() - came)
                timeout = self.settings.compute_timeout + (0.1 * seconds if long else 0.0)
                return await self.pool.run(job, timeout=timeout)
            finally:
                await slot.__aexit__(None, None, None)

    def _waited(self, seconds: float) -> None:
        self.metrics.time("voxaffect_queue_seconds", "Time from acceptance to a worker.", seconds)

    @asynccontextmanager
    async def active(self) -> AsyncIterator[None]:
        """Around a request that was accepted: the server does not end before it is answered."""
        self.n_active += 1
        try:
            yield
        finally:
            self.n_active -= 1

    async def wait_idle(self, timeout: float) -> bool:
        """Whether all accepted requests and all streams came to their end within `timeout` seconds."""
        end = time.monotonic() + timeout
        while self.n_active or self.n_streams:
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.02)
        return True

    def _describe(self) -> None:
        gauge = self.metrics.gauge
        gauge("voxaffect_ready", "Whether requests are accepted.", lambda: float(self.ready))
        gauge("voxaffect_requests_active", "Requests not yet answered.", lambda: float(self.n_active))
        gauge("voxaffect_streams", "Live streams.", lambda: float(self.n_streams))
        gauge("voxaffect_windows_waiting", "Windows waiting.", lambda: float(self.scheduler.n_waiting))
        gauge("voxaffect_queue_audio_seconds", "Short audio waiting.", lambda: self.short.pending)
        gauge("voxaffect_queue_long_audio_seconds", "Long audio waiting.", lambda: self.long.pending)
        gauge("voxaffect_speed", "Audio seconds done per second, of late.", lambda: self.short.speed)
        gauge("voxaffect_upload_bytes", "Memory of bodies.", lambda: float(self.uploads.taken))

    async def close(self) -> None:
        """End workers and threads."""
        await self.pool.close()
        await self.decoders.close()
        self.hearing.close()
        await asyncio.get_running_loop().run_in_executor(None, self.scheduler.stop)


async def while_connected(receive: Receive, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the client leaves: then ClientGoneError."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGoneError
    finally:
        for other in (task, gone):
            if not other.done():
                other.cancel()
                with suppress(BaseException):
                    await other


async def _disconnect(receive: Receive) -> None:
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            return
