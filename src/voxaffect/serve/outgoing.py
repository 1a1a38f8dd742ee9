"""What a live stream says to its client: results in the order of the stream, each once the model has answered."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxaffect.audio import SAMPLE_RATE
from voxaffect.errors import VoxaffectError
from voxaffect.events import Event
from voxaffect.formats import rounded
from voxaffect.segmenter import Cue
from voxaffect.serve.cues import HeardCue
from voxaffect.serve.scheduler import Flow
from voxaffect.serve.security import Send
from voxaffect.serve.service import Service

MAX_WAITING_SECONDS = 36.0
"""Of windows of a stream that may wait for the model: 0.6 MB; then nothing more is read."""


@dataclass
class _Pending:
    cue: Cue
    answer: asyncio.Future[Any] | None
    came: float
    """When the audio came that it is of."""
    seconds: float
    """How long a window the model judges for it."""


class Outgoing:
    """The messages of one stream. `event` makes an event of a cue and the model's answer to it."""

    def __init__(self, service: Service, send: Send) -> None:
        self._service, self._send = service, send
        self._flow = Flow(live=True)
        self._pending: deque[_Pending] = deque()
        self._waiting = 0.0  # seconds of windows
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._complete = False

    @property
    def lag_seconds(self) -> float:
        """How long ago the audio came that the next result is of; 0 where none is awaited."""
        return time.monotonic() - self._pending[0].came if self._pending else 0.0

    def queue(self, heard: list[HeardCue], came: float | None = None) -> None:
        """Have `heard` judged and said; it is of audio that came in at `came` (monotonic), by default now."""
        came = time.monotonic() if came is None else came
        for each in heard:
            answer, seconds = None, 0.0
            if each.items:
                seconds = sum(float(item["n_samples"]) for item in each.items) / SAMPLE_RATE
                self._waiting += seconds
                answer = asyncio.wrap_future(self._service.scheduler.judge(self._flow, each.items))
                answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at
            self._pending.append(_Pending(each.cue, answer, came, seconds))
        if heard:
            self._arrived.set()

    def complete(self) -> None:
        """Nothing more is queued: `run` ends after what is."""
        self._complete = True
        self._arrived.set()

    def cancel(self) -> None:
        """Nobody waits for what is queued."""
        self._service.scheduler.cancel(self._flow)

    async def room(self) -> None:
        """Return when less than MAX_WAITING_SECONDS wait for the model."""
        while self._waiting >= MAX_WAITING_SECONDS:
            self._room.clear()
            await self._room.wait()

    async def run(self, event: Callable[[Cue, npt.NDArray[np.float64] | None], Event]) -> None:
        """Say what is queued as it is answered; raises VoxaffectError of the model, and as `say`."""
        while True:
            while not self._pending:
                if self._complete:
                    return
                self._arrived.clear()
                await self._arrived.wait()
            first = self._pending[0]
            log_probs = None if first.answer is None else (await first.answer)[0]
            self._pending.popleft()
            said = event(first.cue, log_probs)
            if first.answer is not None:
                self._waiting -= first.seconds
                self._room.set()
                self._service.metrics.time(
                    "voxaffect_stream_lag_seconds",
                    "Time from the audio of a result to the result.",
                    time.monotonic() - first.came,
                )
            await self.say(rounded(said.to_dict()))

    async def say(self, message: dict[str, Any]) -> None:
        """Send a message; raises TimeoutError where the client reads nothing, OSError where it has gone."""
        text = json.dumps(message, separators=(",", ":"), allow_nan=False)
        async with asyncio.timeout(self._service.settings.send_timeout):
            await self._send({"type": "websocket.send", "text": text})

    async def say_error(self, error: VoxaffectError, *, fatal: bool) -> None:
        """The message `error`; raises as `say`."""
        await self.say({"type": "error", **error.to_dict(), "fatal": fatal})

    async def close(self, code: int, reason: str) -> None:
        """Close the socket."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
