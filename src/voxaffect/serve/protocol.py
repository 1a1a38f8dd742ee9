"""Guards below HTTP: how long the head of a request may take, how large it may be, what a broken one is told."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, cast

import httptools
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from voxaffect.errors import VoxaffectError
from voxaffect.serve.problems import problem, status_of
from voxaffect.serve.security import Guard

MAX_HEAD = 32_768
"""Bytes of request line and headers."""
HEAD_SECONDS = 10.0
SEND_SECONDS = 10.0
"""How long a client may read nothing of an answer that waits for it."""
LINGER_SECONDS = 5.0
"""How long a client may go on sending after an answer that ends its connection."""
DRAIN_SECONDS = 10.0
"""How long the rest of a body may take once its request is answered."""


class LingeringTransport:
    """A transport that is not closed while a body still comes in, or the system would reset the connection.

    Then the client would lose the answer that it has been given. What comes is read and thrown away, for a while.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.plain, self._loop = transport, loop
        self.body_open = False
        """Whether a part of a body is still to come."""
        self._closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def is_closing(self) -> bool:
        """Whether nothing more is to be sent."""
        return self._closing or self.plain.is_closing()

    def close(self) -> None:
        """Close, once the body is in or LINGER_SECONDS have passed."""
        if not self.body_open or self.plain.is_closing():
            self.plain.close()
        elif not self._closing:
            self._closing = True
            self.plain.resume_reading()
            self.plain.write_eof()
            self._loop.call_later(LINGER_SECONDS, self.plain.abort)

    def body_is_in(self) -> None:
        """Nothing more comes of the body."""
        self.body_open = False
        if self._closing:
            self.plain.close()


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a clock and a bound on what comes before a request is known."""

    head_seconds = HEAD_SECONDS
    send_seconds = SEND_SECONDS
    _unread: asyncio.TimerHandle | None = None
    _read_on = False
    _clock: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come: its head is awaited."""
        super().connection_made(transport)
        self._lingering = LingeringTransport(transport, self.loop)
        self.transport = cast("asyncio.Transport", self._lingering)
        self._start_clock(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._stop_clock()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """More of an answer waits than the system takes."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """The client reads."""
        super().resume_writing()
        self._read_on = True

    def data_received(self, data: bytes) -> None:
        """Bytes of heads are counted."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD and not self._head_is_over(data):
                self._refuse(
                    VoxaffectError(
                        "too_many_headers", f"the head of a request may have {MAX_HEAD} bytes at most"
                    )
                )
                return
        super().data_received(data)

    def handle_websocket_upgrade(self) -> None:
        """From here on it is no HTTP."""
        self.transport = self._lingering.plain
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._in_head = True
        if self._clock is None:
            self._start_clock(self.head_seconds)

    def on_headers_complete(self) -> None:
        """The head is known; what follows has its own clock."""
        self._stop_clock()
        self._in_head, self._head_bytes = False, 0
        self._lingering.body_open = True
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > MAX_HEAD:
            raise ValueError("a head too large")
        response = self._at_once()
        if response is None:
            super().on_headers_complete()
        else:
            self._say(response)

    def on_message_complete(self) -> None:
        """The next bytes are those of another request's head."""
        self._stop_clock()
        self._in_head = True
        super().on_message_complete()
        self._lingering.body_is_in()
        if self.cycle is not None and self.cycle.response_complete and not self.transport.is_closing():
            # The answer came before the rest of its body, which has stopped the clock of an idle connection.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """An answer is out, maybe before all of the body is in: the rest is read, and not for ever."""
        super().on_response_complete()
        self._watch_reader()
        if self._lingering.body_open and not self.transport.is_closing():
            self._start_clock(DRAIN_SECONDS)

    def _at_once(self) -> Response | None:
        """The answer that the head alone decides, where nothing else is going on and the connection goes on."""
        idle = self.cycle is None or self.cycle.response_complete
        parser = self.parser
        plain = (
            parser.get_http_version() == "1.1" and parser.should_keep_alive() and not parser.should_upgrade()
        )
        if not (idle and plain) or self.expect_100_continue or not isinstance(self.app, Guard):
            return None
        try:
            url = httptools.parse_url(self.url)
            path = url.path.decode("ascii")
        except (httptools.HttpParserError, UnicodeDecodeError, AttributeError):
            return None  # which is told in the usual way
        known = {
            "method": parser.get_method().decode("ascii"),
            "path": path,
            "query_string": url.query or b"",
        }
        return self.app.at_once({**self.scope, **known})

    def _say(self, response: Response) -> None:
        """Answer at once; the body is read and thrown away."""
        status = HTTPStatus(response.status_code)
        lines = [b"HTTP/1.1 %d %s" % (status, status.phrase.encode())]
        lines += [b"%s: %s" % each for each in (*self.server_state.default_headers, *response.raw_headers)]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(response.body)]))
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )
        self.cycle.response_started = self.cycle.response_complete = True
        self.on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is told so, as any other error."""
        self._refuse(VoxaffectError("bad_request", "that is not a valid HTTP request"))

    def _head_is_over(self, data: bytes) -> bool:
        """Whether the bytes over the limit may be those of a body that came along."""
        end = data.find(b"\r\n\r\n")
        return end >= 0 and self._head_bytes - len(data) + end <= MAX_HEAD

    def _refuse(self, error: VoxaffectError) -> None:
        if self.transport.is_closing():
            return
        busy = self.cycle is not None and not self.cycle.response_complete
        if not busy:  # else another answer is under way on this connection
            body = json.dumps(problem(error)).encode()
            head = (
                f"HTTP/1.1 {status_of(error)} {problem(error)['title']}\r\n"
                "content-type: application/problem+json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()

    def _watch_reader(self) -> None:
        if self._unread is None:
            self._look_at_reader(None)

    def _look_at_reader(self, before: int | None) -> None:
        """End the connection of who reads nothing: what is written for them would be kept for ever."""
        plain = self._lingering.plain
        left, read_on = plain.get_write_buffer_size(), self._read_on
        self._unread, self._read_on = None, False
        if not left:
            return
        if before is not None and left >= before and not read_on:
            plain.abort()
        else:
            self._unread = self.loop.call_later(self.send_seconds, self._look_at_reader, left)

    def _start_clock(self, seconds: float) -> None:
        self._stop_clock()
        self._clock = self.loop.call_later(seconds, self._too_slow)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_slow(self) -> None:
        self._clock = None
        if self._head_bytes:
            self._refuse(VoxaffectError("body_timeout", "the head of the request did not come in time"))
        else:
            self.transport.close()
