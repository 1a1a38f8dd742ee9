"""How the server and its worker processes talk: JSON with bytes after it, over pipes. Nothing is unpickled."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from voxaffect.errors import UsageError, VoxaffectError
from voxaffect.recogniser import Item

SIZES = struct.Struct("<IQ")
MAX_HEADER = 2**24
MAX_PAYLOAD = 2**31
DTYPES = ("float32", "float64", "float16", "int64", "int32")


class ChannelError(Exception):
    """The other side has gone, or says what it should not."""


def send(stream: IO[bytes], header: dict[str, Any], *payload: bytes | memoryview) -> None:
    """Write one message; raises OSError if the other side has gone."""
    stream.write(framed(header, sum(len(part) for part in payload)))
    for part in payload:
        stream.write(part)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Read one message; raises ChannelError at the end, or if it is none."""
    n_header, n_payload = sizes(_exactly(stream, SIZES.size))
    return parsed(_exactly(stream, n_header)), _exactly(stream, n_payload)


def framed(header: dict[str, Any], n_payload: int) -> bytes:
    """A message up to its `n_payload` bytes of payload."""
    text = json.dumps(header).encode()
    return SIZES.pack(len(text), n_payload) + text


def sizes(start: bytes) -> tuple[int, int]:
    """The bytes of header and payload that a message begins with; raises ChannelError."""
    n_header, n_payload = SIZES.unpack(start)
    if n_header > MAX_HEADER or n_payload > MAX_PAYLOAD:
        raise ChannelError(f"a message of {n_header} + {n_payload} bytes")
    return n_header, n_payload


def parsed(text: bytes) -> dict[str, Any]:
    """The header; raises ChannelError."""
    try:
        header = json.loads(text)
    except ValueError as error:
        raise ChannelError(str(error)) from error
    if not isinstance(header, dict):
        raise ChannelError("a message that is no object")
    return header


def told(error: VoxaffectError) -> dict[str, Any]:
    """`error` for a header; `error_of` reads it."""
    return {**error.to_dict(), "usage": isinstance(error, UsageError)}


def bug(error: Exception) -> VoxaffectError:
    """What is told of a mistake of ours."""
    return VoxaffectError("bug", f"{type(error).__name__}: {error}", hint="please report it")


def error_of(header: dict[str, Any]) -> VoxaffectError:
    """The error that `header` tells of."""
    kind = UsageError if header.get("usage") else VoxaffectError
    return kind(str(header["code"]), str(header["message"]), hint=header["hint"], where=header["where"])


def take_standard_streams() -> tuple[IO[bytes], IO[bytes]]:
    """stdin and stdout for messages; whatever libraries read and print goes nowhere from now on."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nowhere, descriptor)
    return source, sink


def pack(items: Sequence[Item]) -> tuple[list[dict[str, Any]], list[bytes]]:
    """The names, types and shapes of the arrays of `items`, and their bytes."""
    shapes: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for item in items:
        shapes.append({name: [array.dtype.name, *array.shape] for name, array in item.items()})
        parts.extend(np.ascontiguousarray(array).tobytes() for array in item.values())
    return shapes, parts


def unpack(shapes: Any, payload: bytes) -> list[Item]:
    """The items that `pack` took apart; raises ChannelError if they are not what they say."""
    items: list[Item] = []
    at = 0
    try:
        for shape in shapes:
            item: Item = {}
            for name, (dtype, *dimensions) in shape.items():
                if dtype not in DTYPES or any(not isinstance(n, int) or n < 0 for n in dimensions):
                    raise ChannelError(f"an array of {dtype} {dimensions}")
                count = math.prod(dimensions)
                item[name] = np.frombuffer(payload, dtype, count, at).reshape(dimensions)
                at += count * np.dtype(dtype).itemsize
            items.append(item)
    except (ValueError, TypeError, AttributeError) as error:
        raise ChannelError(str(error)) from error
    return items


def pack_array(array: npt.NDArray[np.float64]) -> tuple[list[int], bytes]:
    """The shape and bytes of `array`."""
    return list(array.shape), np.ascontiguousarray(array, dtype=np.float64).tobytes()


def unpack_array(shape: Sequence[int], payload: bytes) -> npt.NDArray[np.float64]:
    """The array that `pack_array` took apart."""
    return np.frombuffer(payload, np.float64).reshape(shape)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise ChannelError("the other side has gone")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
