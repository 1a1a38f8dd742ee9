"""uvicorn's WebSocket, but reading on while a few messages wait: stopping for each costs more than the message.

And its connection does not outlive the stream for long: what is written for who never reads would keep it for ever.
"""

from __future__ import annotations

import asyncio

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from voxaffect.errors import VoxaffectError
from voxaffect.serve.ration import Ration

MAX_WAITING = 2**17
"""Bytes of messages that wait before reading stops."""
SEND_SECONDS = 10.0
"""How long the last messages may take to be read."""
OVERHEAD = 1024
"""What a message counts besides its bytes."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """Reads until MAX_WAITING bytes wait, and again when none does."""

    send_seconds = SEND_SECONDS
    _ration: Ration
    _waiting = 0
    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        super().connection_made(transport)
        self._ration = Ration()

    async def run_asgi(self) -> None:
        """The stream, and then a bound on what its last words may take."""
        await super().run_asgi()
        self._end_within(self.send_seconds + (self.close_timeout if self.close_timer else 0.0))

    def handle_ping(self) -> None:
        """Somebody asks whether this server is there."""
        if self._within_ration(0):
            super().handle_ping()

    def handle_cont(self, event: Frame) -> None:
        """A message goes on."""
        if self._within_ration(len(event.data)):
            super().handle_cont(event)

    def _within_ration(self, size: int) -> bool:
        """Whether one more frame of `size` bytes is put up with; else the stream is closed."""
        if self.close_sent:
            return False
        try:
            self._ration.take(size)
        except VoxaffectError as error:
            self.conn.fail(1008, error.code)
            self.handle_parser_exception()
            return False
        return True

    def keepalive_timeout(self) -> None:
        """No pong came."""
        super().keepalive_timeout()
        self._end_within(self.send_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        super().connection_lost(exc)
        if self._end is not None:
            self._end.cancel()

    def _end_within(self, seconds: float) -> None:
        if self._end is None and not self.disconnected:
            self._end = self.loop.call_later(seconds, self.transport.abort)

    def send_receive_event_to_app(self) -> None:
        """A message is whole."""
        self._waiting += OVERHEAD + sum(len(frame) for frame in self.frames)
        paused, self.read_paused = self.read_paused, True  # so that it is not stopped there
        super().send_receive_event_to_app()
        self.read_paused = paused
        if not paused and self._waiting > MAX_WAITING and not self.close_sent:
            self.read_paused = True
            self.transport.pause_reading()

    async def receive(self) -> ASGIReceiveEvent:
        """The next message."""
        message = await super().receive()
        if self.queue.empty():
            self._waiting = 0
        return message
