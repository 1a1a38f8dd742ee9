"""Everyone's windows through the model, in batches: a turn for each request and stream, live ones first.

Deficit round robin (Shreedhar and Varghese, "Efficient fair queueing using deficit round robin", SIGCOMM 1995): each
flow with windows waiting has its turn, and takes as many as its credit covers; a flow of ten hours and one of three
seconds get on at the same pace. What is there when the model is free goes together. Where only streams wait, the model
rests after a batch as long as that took, LONGEST_REST at most, for more to come: a network of recurrent layers takes
hardly longer for several windows than for one, and a busy one has hardly any company for each otherwise.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from voxaffect.errors import VoxaffectError
from voxaffect.features import HOP_LENGTH, SAMPLE_RATE
from voxaffect.recogniser import BATCH, Item, Recogniser, averaged
from voxaffect.serve.precedence import LIVE, thread_steps_back

Floats: TypeAlias = npt.NDArray[np.float64]
QUANTUM = 1.0
"""Credit of a turn: a window of 3 s costs 1."""
UNIT_SECONDS = 3.0
LIVE_SHARE = 0.75
"""Of a batch, at most, for live streams while requests wait."""
LONGEST_REST = 0.03
"""Seconds that less than a batch of streams' windows waits for others, at most."""
FAILURES = 3
"""In a row, after which the model is taken to be broken."""


@dataclass
class _Work:
    """Items that came together, and what is known of them so far."""

    answer: Future[Floats]
    results: list[Floats | None]
    missing: int


@dataclass
class _Window:
    """What is answered by one mean: the items of a stretch of speech, mostly one."""

    cost: float
    work: _Work
    place: int
    items: Sequence[Item]


@dataclass(eq=False)
class Flow:
    """One request or stream; `cancel` gives back its place."""

    live: bool
    waiting: deque[_Window] = field(default_factory=deque)
    credit: float = 0.0
    listed: bool = False
    cancelled: bool = False


class Scheduler:
    """Runs the model for all; thread-safe. `observe(n, seconds)` is told of each batch."""

    def __init__(
        self,
        recogniser: Recogniser,
        *,
        threads: int = 1,
        observe: Callable[[int, float], None] = lambda n, seconds: None,
    ) -> None:
        self._recogniser = recogniser
        self._observe = observe
        self._condition = threading.Condition()
        self._turns: dict[bool, deque[Flow]] = {True: deque(), False: deque()}
        self._stopped = False
        self._failures = 0
        self.n_waiting = 0
        """Windows that wait for the model."""
        self._threads = [
            threading.Thread(target=self._work, name=f"voxaffect-model-{i}", daemon=True)
            for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def broken(self) -> bool:
        """Whether the model failed FAILURES times in a row."""
        return self._failures >= FAILURES

    def submit(self, flow: Flow, items: Sequence[Item]) -> Future[Floats]:
        """Log-probabilities (n, M, K) of `items`, when they come; a VoxaffectError where the model fails."""
        answer: Future[Floats] = Future()
        if not items:
            answer.set_result(np.zeros((0, 0, 0)))
            return answer
        work = _Work(answer, [None] * len(items), len(items))
        self._enter(flow, [_Window(_cost([item]), work, i, [item]) for i, item in enumerate(items)])
        return answer

    def judge(self, flow: Flow, items: Sequence[Item]) -> Future[Floats]:
        """Mean log-probabilities (1, M, K) over `items`, at least one, when they come; else as `submit`."""
        answer: Future[Floats] = Future()
        self._enter(flow, [_Window(_cost(items), _Work(answer, [None], 1), 0, items)])
        return answer

    def _enter(self, flow: Flow, windows: list[_Window]) -> None:
        with self._condition:
            if self._stopped or flow.cancelled:
                windows[0].work.answer.set_exception(stopped())
                return
            flow.waiting.extend(windows)
            self.n_waiting += len(windows)
            if not flow.listed:
                flow.listed = True
                self._turns[flow.live].append(flow)
            self._condition.notify()

    def cancel(self, flow: Flow) -> None:
        """Drop what waits of `flow`; who waits for it gets the error `cancelled`."""
        with self._condition:
            flow.cancelled = True
            dropped = {id(window.work): window.work for window in flow.waiting}
            self.n_waiting -= len(flow.waiting)
            flow.waiting.clear()
        for work in dropped.values():
            _fail(work, stopped())

    def stop(self) -> None:
        """End the threads; what waits gets the error `cancelled`."""
        with self._condition:
            self._stopped = True
            flows = [flow for turns in self._turns.values() for flow in turns]
            self._condition.notify_all()
        for flow in flows:
            self.cancel(flow)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        thread_steps_back(LIVE)
        rested = 0.0  # when this thread will have
        while True:
            with self._condition:
                while not self._stopped and not self.n_waiting:
                    self._condition.wait()
                while not self._stopped and (left := self._rest(rested)) > 0:
                    self._condition.wait(left)
                if self._stopped:
                    return
                batch = self._batch()
            if batch:
                began = time.perf_counter()
                self._run(batch)
                ended = time.perf_counter()
                rested = ended + min(LONGEST_REST, ended - began)

    def _rest(self, until: float) -> float:
        """How long to wait for more windows, by what waits already."""
        if self.n_waiting >= BATCH or self._turns[False]:
            return 0.0
        return until - time.perf_counter()

    def _batch(self) -> list[_Window]:
        """Up to BATCH windows, by turns."""
        batch: list[_Window] = []
        live, other = self._turns[True], self._turns[False]
        self._take(live, round(BATCH * LIVE_SHARE) if other else BATCH, batch)
        self._take(other, BATCH, batch)
        self._take(live, BATCH, batch)
        self.n_waiting -= len(batch)
        return batch

    def _take(self, turns: deque[Flow], limit: int, batch: list[_Window]) -> None:
        while turns and len(batch) < limit:
            flow = turns[0]
            if flow.waiting and flow.credit < flow.waiting[0].cost:
                flow.credit += QUANTUM
            while flow.waiting and flow.credit >= flow.waiting[0].cost and len(batch) < limit:
                window = flow.waiting.popleft()
                flow.credit -= window.cost
                batch.append(window)
            if not flow.waiting:
                turns.popleft()
                flow.credit, flow.listed = 0.0, False
            elif flow.credit < flow.waiting[0].cost:
                turns.rotate(-1)

    def _run(self, batch: list[_Window]) -> None:
        started = time.perf_counter()
        try:
            results: list[Floats | VoxaffectError] = [*self._log_probs(batch)]
        except Exception as error:  # whatever it is, this thread must go on
            results = [_failure(error)] if len(batch) == 1 else [self._alone(window) for window in batch]
        good = any(not isinstance(result, VoxaffectError) for result in results)
        self._failures = 0 if good else self._failures + 1
        self._observe(len(batch), time.perf_counter() - started)
        with self._condition:  # windows of one work may be in the hands of two threads
            for window, result in zip(batch, results, strict=True):
                _give(window, result)

    def _log_probs(self, batch: list[_Window]) -> list[Floats]:
        """(M, K) of each window, the mean of its items."""
        log_probs = self._recogniser.log_probs([item for window in batch for item in window.items])
        return averaged(log_probs, [len(window.items) for window in batch])

    def _alone(self, window: _Window) -> Floats | VoxaffectError:
        """The window by itself: what spoils a batch must not spoil the others in it."""
        try:
            return self._log_probs([window])[0]
        except Exception as error:
            return _failure(error)


def stopped() -> VoxaffectError:
    """What those are told who wait for what will not come."""
    return VoxaffectError("cancelled", "the request was given up")


def _give(window: _Window, result: Floats | VoxaffectError) -> None:
    work = window.work
    if isinstance(result, VoxaffectError):
        _fail(work, result)
        return
    work.results[window.place] = result
    work.missing -= 1
    if not work.missing and not work.answer.done():
        work.answer.set_result(np.stack([r for r in work.results if r is not None]))


def _fail(work: _Work, error: VoxaffectError) -> None:
    if not work.answer.done():
        work.answer.set_exception(error)


def _failure(error: Exception) -> VoxaffectError:
    if isinstance(error, VoxaffectError):
        return error
    return VoxaffectError("inference_failed", f"the model failed: {type(error).__name__}: {error}")


def _cost(items: Sequence[Item]) -> float:
    """Windows of 3 s that `items` are worth, by their longest arrays."""
    seconds = 0.0
    for item in items:
        if "n_samples" in item:
            seconds += float(item["n_samples"]) / SAMPLE_RATE
        else:
            frames = max((len(array) for array in item.values() if array.ndim), default=1)
            seconds += frames * HOP_LENGTH / SAMPLE_RATE
    return max(0.1, seconds / UNIT_SECONDS)
