"""Good and bad clients of a server, mixed: whole requests, broken ones, bombs, and those who leave in the middle.

Each kind is a coroutine that asks once, on a connection of its own, and says how it went: the status of the answer,
the code that a stream was closed with, or 0 where the client left by itself.
"""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import soundfile

RATE = 16_000
PATIENCE = 60.0
"""Seconds that an answer may take."""
FRAME = 3200
"""Bytes of 100 ms of audio."""
PING, TEXT, BINARY, CLOSE = 9, 1, 2, 8


@dataclass(frozen=True)
class Bodies:
    """What the clients send; `over` is a size in bytes that the server refuses."""

    good: bytes
    long: bytes
    bomb: bytes
    webm: bytes
    over: int

    @classmethod
    def of(cls, samples: np.ndarray, over: int) -> Bodies:
        """Recordings of `samples` (N,) at 16 kHz, once and 55 s long, and 70 minutes of silence in some hundred kB."""
        silence = np.zeros(4200 * RATE, np.int16)
        long = np.tile(samples, 55 * RATE // len(samples))
        return cls(_file(samples, "WAV"), _file(long, "FLAC"), _file(silence, "FLAC"), _webm(samples), over)


Kind = Callable[[int, Bodies], Awaitable[int]]


async def mixed(
    port: int,
    bodies: Bodies,
    n: int,
    *,
    clients: int = 8,
    seed: int = 0,
    weights: Mapping[str, int] | None = None,
) -> Counter[str]:
    """`n` requests of KINDS by `weights` (WEIGHTS), of `clients` at a time: how often each kind got what."""
    weights = weights or WEIGHTS
    rng = random.Random(seed)
    names = rng.choices(list(weights), list(weights.values()), k=n)
    counts: Counter[str] = Counter()

    async def client() -> None:
        while names:
            name = names.pop()
            try:
                outcome = str(await asyncio.wait_for(KINDS[name](port, bodies), PATIENCE))
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                outcome = type(error).__name__
            counts[f"{name}: {outcome}"] += 1

    await asyncio.gather(*(client() for _ in range(clients)))
    return counts


async def _ask(port: int, body: bytes, *lines: str, host: str = "") -> int:
    """A whole request and its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_head(port, f"Content-Length: {len(body)}", *lines, host=host) + body)
        return await _status(reader)
    finally:
        await _closed(writer)


async def good(port: int, bodies: Bodies) -> int:
    """A recording."""
    return await _ask(port, bodies.good)


async def long(port: int, bodies: Bodies) -> int:
    """A recording of 55 s."""
    return await _ask(port, bodies.long)


async def cut(port: int, bodies: Bodies) -> int:
    """Half of a recording."""
    return await _ask(port, bodies.good[: len(bodies.good) // 2])


async def picture(port: int, bodies: Bodies) -> int:
    """What is no audio."""
    return await _ask(port, b"\x89PNG\r\n\x1a\n" + bytes(2000))


async def empty(port: int, bodies: Bodies) -> int:
    """No bytes at all."""
    return await _ask(port, b"")


async def bomb(port: int, bodies: Bodies) -> int:
    """Over an hour in a small file."""
    return await _ask(port, bodies.bomb)


async def wrong_host(port: int, bodies: Bodies) -> int:
    """A name that is made to point here."""
    return await _ask(port, bodies.good, host="evil.example")


async def unfinished_form(port: int, bodies: Bodies) -> int:
    """A form without an end."""
    return await _ask(port, b"--x\r\n", "Content-Type: multipart/form-data; boundary=x")


async def oversize(port: int, bodies: Bodies) -> int:
    """A length over the limit; what is announced does not follow."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_head(port, f"Content-Length: {bodies.over}") + bytes(1000))
        return await _status(reader)
    finally:
        await _closed(writer)


async def no_request(port: int, bodies: Bodies) -> int:
    """Bytes that are no HTTP."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        return await _status(reader)
    finally:
        await _closed(writer)


async def left_uploading(port: int, bodies: Bodies) -> int:
    """Gone in the middle of its body."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_head(port, f"Content-Length: {len(bodies.good)}") + bodies.good[:5000])
    await writer.drain()
    writer.transport.abort()
    return 0


async def left_waiting(port: int, bodies: Bodies) -> int:
    """Gone as soon as its body is sent."""
    return await _left(port, bodies.good, 0.0)


async def left_while_judged(port: int, bodies: Bodies) -> int:
    """Gone while its recording is read and judged, most likely: its worker is replaced."""
    return await _left(port, bodies.long, 0.1)


async def _left(port: int, body: bytes, after: float) -> int:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_head(port, f"Content-Length: {len(body)}") + body)
    await writer.drain()
    await asyncio.sleep(after)
    writer.transport.abort()
    return 0


async def stream(port: int, bodies: Bodies) -> int:
    """A live stream from its beginning to its end."""
    return await _stream(port, {}, bodies.good[44:])


async def stream_of_a_browser(port: int, bodies: Bodies) -> int:
    """A live stream of WebM."""
    return await _stream(port, {"encoding": "webm-opus"}, bodies.webm)


async def stream_of_nonsense(port: int, bodies: Bodies) -> int:
    """WebM that is none."""
    return await _stream(port, {"encoding": "webm-opus"}, b"ffconcat version 1.0\nfile /etc/passwd\n" * 100)


async def stream_of_noise(port: int, bodies: Bodies) -> int:
    """Samples that are no numbers."""
    return await _stream(port, {"encoding": "pcm_f32le"}, np.full(1600, np.nan, "<f4").tobytes())


async def stream_with_a_mistake(port: int, bodies: Bodies) -> int:
    """An option that there is not."""
    return await _stream(port, {"colour": "red"}, b"")


async def left_streaming(port: int, bodies: Bodies) -> int:
    """Gone while results are due."""
    _, writer = await _opened(port)
    for at in range(44, len(bodies.good), FRAME):
        writer.write(frame(BINARY, bodies.good[at : at + FRAME]))
    await writer.drain()
    writer.transport.abort()
    return 0


async def left_opening(port: int, bodies: Bodies) -> int:
    """Gone before the handshake's answer is read."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(handshake(port))
    await writer.drain()
    writer.transport.abort()
    return 0


async def _stream(port: int, config: Mapping[str, object], data: bytes) -> int:
    """The code that a stream of `data` is closed with."""
    reader, writer = await _opened(port)
    try:
        if config:
            writer.write(frame(TEXT, json.dumps({"type": "session.update", **config}).encode()))
        with suppress(ConnectionError):
            for at in range(0, len(data), FRAME):
                writer.write(frame(BINARY, data[at : at + FRAME]))
                await writer.drain()
            writer.write(frame(TEXT, b'{"type": "session.close"}'))
        while True:
            kind, payload = await _heard(reader)
            if kind == CLOSE:
                writer.write(frame(CLOSE, payload))
                return int.from_bytes(payload[:2], "big")
    finally:
        await _closed(writer)


async def _opened(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream whose handshake is done."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(handshake(port))
    answer = await reader.readuntil(b"\r\n\r\n")
    if not answer.startswith(b"HTTP/1.1 101 "):
        await _closed(writer)
        raise ConnectionRefusedError(answer[:40])
    return reader, writer


def handshake(port: int) -> bytes:
    """What opens a stream."""
    return (
        f"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


def frame(kind: int, payload: bytes) -> bytes:
    """A frame of a client, masked with zeros."""
    n = len(payload)
    size = bytes([0x80 + n]) if n < 126 else b"\xfe" + n.to_bytes(2, "big")
    return bytes([0x80 + kind]) + size + bytes(4) + payload


async def _heard(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next frame of the server."""
    first, size = await reader.readexactly(2)
    wide = {126: 2, 127: 8}.get(size)
    n = size if wide is None else int.from_bytes(await reader.readexactly(wide), "big")
    return first & 15, await reader.readexactly(n)


def _head(port: int, *lines: str, host: str = "") -> bytes:
    rows = ["POST /v1/predict HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}", *lines, "", ""]
    return "\r\n".join(rows).encode()


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
    await reader.readexactly(length)
    return int(head[9:12])


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _file(samples: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=kind, subtype="PCM_16")
    return buffer.getvalue()


def _webm(samples: np.ndarray) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as container:
        sound = container.add_stream("libopus", rate=48_000)
        sound.layout = "mono"
        frame = av.AudioFrame.from_ndarray(
            samples.astype(np.float32)[np.newaxis], format="fltp", layout="mono"
        )
        frame.sample_rate = RATE
        shaper = av.AudioResampler(sound.codec_context.format.name, "mono", 48_000, 960)
        for piece in [*shaper.resample(frame), *shaper.resample(None)]:
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
    return buffer.getvalue()


WEIGHTS = {
    "good": 50,
    "long": 1,
    "cut": 8,
    "picture": 6,
    "empty": 4,
    "bomb": 2,
    "oversize": 4,
    "wrong_host": 4,
    "unfinished_form": 3,
    "no_request": 3,
    "left_uploading": 4,
    "left_waiting": 2,
    "left_while_judged": 1,
    "left_opening": 3,
    "left_streaming": 3,
    "stream": 5,
    "stream_of_a_browser": 2,
    "stream_of_nonsense": 2,
    "stream_of_noise": 2,
    "stream_with_a_mistake": 2,
}
KINDS: dict[str, Kind] = {name: globals()[name] for name in WEIGHTS}
