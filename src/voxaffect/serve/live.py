"""`/v1/stream`: one live stream over a WebSocket. Text frames are JSON with `type`, binary frames are audio.

Audio is heard and windows are judged with those of all other streams; results leave in the order of the stream.
Nothing is dropped: who sends faster than the model judges is read more slowly.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from voxaffect.audio import SAMPLE_RATE
from voxaffect.errors import UsageError, VoxaffectError
from voxaffect.events import Event
from voxaffect.pcm import ENCODINGS
from voxaffect.segmenter import Cue
from voxaffect.serve.hearing import PIECE_SECONDS, Ear, Heard
from voxaffect.serve.live_config import LiveConfig
from voxaffect.serve.opus import CONTAINERS, OpusDecoder
from voxaffect.serve.outgoing import Outgoing
from voxaffect.serve.ration import Ration
from voxaffect.serve.security import SUBPROTOCOL, Receive, Scope, Send, refuse
from voxaffect.serve.service import Service
from voxaffect.stream import Stream

STATS_SECONDS = 5.0
END_SECONDS = 15.0
"""How long the last results of a stream may take."""
CLOSE_CODES = {
    "not_json": 1003,
    "unknown_message": 1003,
    "non_finite": 1007,
    "out_of_range": 1007,
    "unreadable": 1007,
    "not_audio": 1007,
    "decoder_crashed": 1011,
    "hearing_crashed": 1011,
    "inference_failed": 1011,
    "bug": 1011,
    "overloaded": 1013,
}
"""Of the socket, by the error that ends a stream; 1008 for others."""


class StreamEndError(Exception):
    """The stream comes to its end: `reason` as `session.closed` says it, `code` of the socket."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.reason, self.code = reason, code


async def live_stream(service: Service, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one stream from its handshake to its end."""
    try:
        service.check_ready()
        if service.n_streams >= service.settings.streams:
            raise VoxaffectError(
                "streams_full", f"{service.n_streams} streams are live, as many as this server holds"
            )
    except VoxaffectError as error:
        await refuse(error, scope, receive, send)
        return
    service.n_streams += 1
    try:
        await receive()  # websocket.connect
        await send({"type": "websocket.accept", "subprotocol": _subprotocol(scope)})
        await Session(service, receive, send).run()
    finally:
        service.n_streams -= 1


@dataclass
class Session:
    """One stream; `run` is its life."""

    service: Service
    receive: Receive
    send: Send
    id: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        self._config = LiveConfig()
        self._fatal: VoxaffectError | None = None
        self._stream: Stream | None = None
        self._ear: Ear | None = None
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._decoder: OpusDecoder | None = None
        self._out = Outgoing(self.service, self.send)
        self._opened = asyncio.Event()
        self._ration = Ration()
        self._last_heard = time.monotonic()

    async def run(self) -> None:
        """Until the client closes, leaves, errs or stays silent, or the server stops."""
        sender = asyncio.create_task(self._out.run(self._event))
        reader = asyncio.create_task(self._read())
        ticker = asyncio.create_task(self._tick())
        stopping = asyncio.create_task(self.service.draining.wait())
        self._pump: asyncio.Task[None] = asyncio.create_task(self._take_decoded())
        tasks: set[asyncio.Future[Any]] = {sender, reader, ticker, stopping, self._pump, self._failed}
        reason, code = "gone", 1000
        try:
            await self._out.say(
                {
                    "type": "session.created",
                    "session": self.id,
                    "config": self._config.to_dict(),
                    "limits": self._limits(),
                }
            )
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            reason, code = self._outcome(self._failed, reader, self._pump, sender, ticker)
            for over in (reader, ticker):
                await _ended(over)
            if reason != "gone":
                try:
                    await asyncio.wait_for(self._close(sender, reason, code), END_SECONDS)
                except TimeoutError:
                    reason = "overloaded"
                    await self._give_up()
        except (TimeoutError, OSError, _Disconnected):
            reason = "gone"
        finally:
            self._out.cancel()
            if self._ear is not None:
                self._ear.hearing.forget(self._ear)
            if self._decoder is not None:
                await self._decoder.close()
            for task in tasks:
                await _ended(task)
            self._count(reason)

    def _outcome(self, *tasks: asyncio.Future[None]) -> tuple[str, int]:
        """Why the stream ends, by the task that ended first; the server stops where none did."""
        for task in tasks:
            if task.done():
                error = task.exception()
                return ("end_of_audio", 1000) if error is None else self._ended_by(error)  # of a decoder
        return "server_stopping", 1001

    def _ended_by(self, error: BaseException) -> tuple[str, int]:
        if isinstance(error, StreamEndError):
            return error.reason, error.code
        if isinstance(error, _Disconnected | OSError | TimeoutError):
            return "gone", 1000
        if not isinstance(error, VoxaffectError):
            from voxaffect.serve.log import say

            say("bug", error=f"{type(error).__name__}: {error}")
            error = VoxaffectError("bug", "the server made a mistake", hint="please report it")
        self._fatal = self._fatal or error
        return "error", 1008

    async def _close(self, sender: asyncio.Task[None], reason: str, code: int) -> None:
        """Say what is left, then that it is over."""
        if not sender.done():
            try:
                if self._decoder is not None and self._fatal is None:
                    await self._decoder.end()
                    await self._pump
                if self._ear is not None:
                    await self._ear.hearing.all_of(self._ear)
                    if self._failed.done() and (error := self._failed.exception()) is not None:
                        self._ended_by(error)
                    self._out.queue(await self._ear.hearing.finish(self._ear))
                self._out.complete()
                await sender
            except VoxaffectError as error:
                self._fatal = self._fatal or error
        fatal = self._fatal
        if fatal is not None:
            reason, code = "error", CLOSE_CODES.get(fatal.code, 1008)
            await self._out.say_error(fatal, fatal=True)
        seconds = self._ear.received_seconds if self._ear else 0.0
        utterances = self._ear.n_utterances if self._ear else 0
        warnings = self._ear.warnings if self._ear else []
        closed: dict[str, Any] = {
            "type": "session.closed",
            "reason": reason,
            "received_seconds": round(seconds, 4),
            "utterances": utterances,
        }
        if warnings:
            closed["warnings"] = [{"code": w.code, "message": w.message} for w in warnings]
        await self._out.say(closed)
        await self._out.close(code, fatal.code if fatal else reason)

    async def _give_up(self) -> None:
        """Say that the last results did not come in time."""
        error = VoxaffectError(
            "overloaded",
            f"the last results did not come within {END_SECONDS:g} s",
            hint="the server has too much to do; try again later",
        )
        await self._out.say_error(error, fatal=True)
        await self._out.close(CLOSE_CODES[error.code], error.code)

    async def _read(self) -> None:
        while True:
            message = await self.receive()
            if message["type"] == "websocket.disconnect":
                raise _Disconnected
            data = message.get("bytes")
            if data is None:
                await self._command(message.get("text") or "")
            else:
                self._last_heard = time.monotonic()
                await self._audio(data)

    async def _command(self, text: str) -> None:
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            raise VoxaffectError(
                "not_json", "a text frame that is no JSON; audio goes into binary frames"
            ) from None
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "session.update":
            await self._update(message)
        elif kind == "flush":
            if self._ear is not None:
                self._out.queue(await self._ear.hearing.pause(self._ear))
        elif kind == "session.close":
            raise StreamEndError("client", 1000)
        else:
            raise VoxaffectError(
                "unknown_message", "expected the type session.update, flush or session.close"
            )

    async def _update(self, message: dict[str, Any]) -> None:
        if self._stream is not None or self._decoder is not None:
            error = UsageError("config_fixed", "session.update comes before the first audio")
            await self._out.say_error(error, fatal=False)
            return
        self._config = self._config.updated(message)
        if self._config.encoding in ENCODINGS:
            self._config.open(self.service.predictor)  # what is out of range is said now
        await self._out.say({"type": "session.updated", "config": self._config.to_dict()})

    async def _audio(self, data: bytes) -> None:
        self._ration.take(len(data))
        if self._config.encoding in CONTAINERS:
            if self._decoder is None:
                self._decoder = await self.service.decoders.open(self._config.encoding)
                self._opened.set()
            await self._decoder.feed(data)
            return
        ear = self._ear or self._open()
        size = self._config.bytes_of(PIECE_SECONDS)
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            ear.hearing.take(ear, piece, PIECE_SECONDS * len(piece) / size)
        await self._heard_enough(ear)

    async def _take_decoded(self) -> None:
        """Take what a decoder makes of WebM or Ogg; waits for ever where there is none."""
        await self._opened.wait()
        assert self._decoder is not None
        async for block in self._decoder.blocks():
            ear = self._ear or self._open(block.shape[1])
            ear.hearing.take(ear, block.tobytes(), len(block) / SAMPLE_RATE)
            await self._heard_enough(ear)

    def _open(self, channels: int | None = None) -> Ear:
        self._stream = self._config.open(self.service.predictor, channels=channels)
        self._ear = self.service.hearing.open(self._stream.opening, self._heard)
        return self._ear

    async def _heard_enough(self, ear: Ear) -> None:
        """Return when more may be read."""
        while ear.seconds >= PIECE_SECONDS:
            ear.room.clear()
            await ear.room.wait()
        await self._out.room()

    def _heard(self, heard: Heard, came: float) -> None:
        """Take what came of a piece that came in at `came`."""
        assert self._ear is not None
        wrong: Exception | None = None
        if isinstance(heard, Exception):
            wrong = heard
        else:
            self._out.queue(heard, came)
            if self._ear.received_seconds > self.service.settings.stream_duration:
                wrong = StreamEndError("too_long", 1008)
        if wrong is not None:
            self._ear.hearing.forget(self._ear)
            self._failed.set_exception(wrong)

    def _event(self, cue: Cue, log_probs: npt.NDArray[np.float64] | None) -> Event:
        assert self._stream is not None
        return self._stream.event(cue, log_probs)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(STATS_SECONDS)
            now = time.monotonic()
            if now - self._last_heard > self.service.settings.idle_timeout:
                raise StreamEndError("idle", 1008)
            if self._ear is not None:
                await self._out.say(
                    {
                        "type": "stats",
                        "audio_seconds": round(self._ear.received_seconds, 3),
                        "lag_seconds": round(self._out.lag_seconds, 3),
                        "dropped_frames": 0,
                    }
                )

    def _limits(self) -> dict[str, Any]:
        from voxaffect.serve.lifecycle import MAX_FRAME

        settings = self.service.settings
        return {
            "frame_bytes": MAX_FRAME,
            "seconds": settings.stream_duration,
            "idle_seconds": settings.idle_timeout,
            "encodings": [*ENCODINGS, *CONTAINERS],
        }

    def _count(self, reason: str) -> None:
        self.service.metrics.count("voxaffect_streams_total", "Streams that ended.", reason=reason)
        if self._ear is not None:
            seconds = self._ear.received_seconds
            self.service.metrics.count("voxaffect_audio_seconds_total", "Audio that was judged.", seconds)


class _Disconnected(Exception):  # noqa: N818
    """The client has gone."""


async def _ended(task: asyncio.Future[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task


def _subprotocol(scope: Scope) -> str | None:
    return SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None
