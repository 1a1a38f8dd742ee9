"""uvicorn's WebSocket, but reading on while a few messages wait: stopping for each costs more than the message."""

from __future__ import annotations

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_WAITING = 2**17
"""Bytes of messages that wait before reading stops."""
OVERHEAD = 1024
"""What a message counts besides its bytes."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """Reads until MAX_WAITING bytes wait, and again when none does."""

    _waiting = 0

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
