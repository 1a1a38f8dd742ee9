"""Bodies of requests: counted, timed, kept in memory and nowhere else; raw, or one file of a form."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from email.message import Message
from typing import Any

from voxaffect.errors import VoxaffectError

MIN_RATE = 4096.0
"""Bytes per second below which a body, on average, is a stalled one."""
GRACE = 2.0
MAX_PARTS = 8
MAX_PART_HEADER = 8192
Receive = Callable[[], Awaitable[Any]]


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


class Reservations:
    """Memory for bodies that are on their way: at most `limit` bytes, however many clients send."""

    def __init__(self, limit: int) -> None:
        self.limit, self.taken = limit, 0

    def take(self, size: int) -> bool:
        """Whether there was room for `size` more."""
        if self.taken + size > self.limit:
            return False
        self.taken += size
        return True

    def give_back(self, size: int) -> None:
        """Free `size`."""
        self.taken -= size


def announced_length(headers: dict[bytes, bytes]) -> int | None:
    """The Content-Length, if there is one; raises VoxaffectError `bad_request` if it is no length."""
    text = headers.get(b"content-length")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 18:
        raise VoxaffectError("bad_request", "Content-Length is not a number of bytes")
    return int(text)


async def read_body(receive: Receive, limit: int, timeout: float) -> bytearray:
    """All of a body.

    Raises VoxaffectError `too_many_bytes` as soon as `limit` is passed, `body_timeout` where it pauses for
    `timeout` seconds or comes slower than MIN_RATE, ClientGoneError.
    """
    body = bytearray()
    started = time.monotonic()
    while True:
        try:
            message = await asyncio.wait_for(receive(), timeout)
        except TimeoutError:
            raise _stalled(timeout) from None
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_many_bytes(limit)
        if not message.get("more_body", False):
            return body
        if time.monotonic() - started > timeout + GRACE * len(body) / MIN_RATE:
            raise _stalled(timeout)


def too_many_bytes(limit: int) -> VoxaffectError:
    """The error for a body over `limit`."""
    return VoxaffectError(
        "too_many_bytes",
        f"more than this server's {limit / 2**20:g} MiB",
        hint="compress it (opus, m4a, mp3), send a part, or use voxaffect predict",
    )


def form_file(body: bytes | bytearray, content_type: str, limit: int) -> bytes:
    """The one file of a form (multipart/form-data) in its field `file`; its name is not looked at.

    Raises VoxaffectError `bad_form`, `too_many_bytes`.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser

    header = Message()
    header["content-type"] = content_type
    boundary = header.get_boundary()
    if not boundary or len(boundary) > 70:
        raise _bad_form("its Content-Type gives no boundary of 1 to 70 characters")
    if body.find(b"--" + boundary.encode("latin-1", "replace"), 0, len(boundary) + 8) < 0:
        raise _bad_form("it does not begin with its boundary")
    parts = _Parts(limit)
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        parser.write(bytes(body))
        parser.finalize()
    except FormParserError as error:
        raise _bad_form(str(error).splitlines()[0][:120]) from error
    if not parts.complete:
        raise _bad_form("it ends before its last boundary")
    if len(parts.files) != 1:
        raise _bad_form(f"{len(parts.files)} fields are called 'file'; expected one")
    return bytes(parts.files[0])


class _Parts:
    """Collects what the parser finds; only the field `file` is kept."""

    def __init__(self, limit: int) -> None:
        self.files: list[bytearray] = []
        self.complete = False
        self._limit = limit
        self._n, self._size = 0, 0
        self._name, self._value = bytearray(), bytearray()
        self._wanted = False

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_begin": self._header_begin,
            "on_header_field": lambda data, start, end: self._header(self._name, data[start:end]),
            "on_header_value": lambda data, start, end: self._header(self._value, data[start:end]),
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._n += 1
        self._size, self._wanted = 0, False
        if self._n > MAX_PARTS:
            raise _bad_form(f"it has more than {MAX_PARTS} parts")

    def _header_begin(self) -> None:
        self._name.clear()
        self._value.clear()

    def _header(self, to: bytearray, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_PART_HEADER:
            raise _bad_form(f"a part has more than {MAX_PART_HEADER} bytes of headers")
        to += data

    def _header_end(self) -> None:
        if self._name.lower() != b"content-disposition":
            return
        header = Message()
        header["content-disposition"] = self._value.decode("latin-1")
        if header.get_param("name", header="content-disposition") == "file":
            self._wanted = True
            self.files.append(bytearray())

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._wanted:
            self.files[-1] += data[start:end]
            if len(self.files[-1]) > self._limit:
                raise too_many_bytes(self._limit)

    def _end(self) -> None:
        self.complete = True


def _bad_form(reason: str) -> VoxaffectError:
    return VoxaffectError(
        "bad_form",
        f"the form cannot be used: {reason}",
        hint="send one field 'file', or the bytes themselves",
    )


def _stalled(timeout: float) -> VoxaffectError:
    return VoxaffectError("body_timeout", f"the body stalled for {timeout:g} s")
