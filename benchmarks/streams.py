"""How many live streams the server holds: lateness of results of N streams in real time.

    python benchmarks/streams.py [--streams N,...] [--seconds S] [--interval S] [--json]

Every stream sends 100 ms of 16-bit audio at 16 kHz every 100 ms, speech with hardly a pause, so nearly each interval
of each stream has a window that goes through the model. Each is at another place of that audio: they would else all
end an utterance in the same second. A result is late by the time from when its last sample was sent to when the result
arrived; each stream is closed when its own audio is over. The load generator runs on the same machine; its own share
of a core is stated. The full measurement: `--streams 100,200,300,400 --seconds 300`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from dataclasses import dataclass, field

from serving import own_share, percentile, report, running, voice
from traffic import BINARY, TEXT, frame, handshake

FRAME_SECONDS = 0.1
FRAME_BYTES = 3200


@dataclass
class Heard:
    """What came of all streams."""

    late: list[float] = field(default_factory=list)
    closed: int = 0
    failed: list[str] = field(default_factory=list)


class Listener(asyncio.Protocol):
    """One stream, as little work as can be: frames are masked with zeros, which leaves them as they are."""

    def __init__(self, port: int, heard: Heard, config: bytes) -> None:
        self._port, self._heard, self._config = port, heard, config
        self._data = bytearray()
        self._ready = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.started = 0.0
        """When the first frame was due; frame i is sent FRAME_SECONDS * (i + 1) later, when its audio has passed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shake hands."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(handshake(self._port))

    def data_received(self, data: bytes) -> None:
        """Messages of the server."""
        now = time.perf_counter()
        self._data += data
        if not self._ready:
            head, end, rest = self._data.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head:
                self._heard.failed.append(bytes(head[:60]).decode("latin-1"))
                self.transport.close()
                return
            self._ready, self._data = True, rest
            self.transport.write(frame(TEXT, self._config))
            self.ready.set_result(None)
        while (message := self._message()) is not None:
            self._hear(message, now)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        for future in (self.ready, self.done):
            if not future.done():
                future.set_result(None)

    def _message(self) -> bytes | None:
        data = self._data
        if len(data) < 2:
            return None
        length, at = data[1] & 127, 2
        if length == 126:
            length, at = int.from_bytes(data[2:4], "big"), 4
        if len(data) < at + length:
            return None
        opcode, payload = data[0] & 15, bytes(data[at : at + length])
        del data[: at + length]
        if opcode == 9:
            self.transport.write(b"\x8a" + bytes([0x80 | length]) + bytes(4) + payload)
        return payload if opcode == 1 else b""

    def _hear(self, message: bytes, now: float) -> None:
        if message.startswith(b'{"type":"result"'):
            self._heard.late.append(now - self.started - json.loads(message)["end"])
        elif message.startswith(b'{"type":"session.closed"'):
            self._heard.closed += 1
        elif message.startswith(b'{"type":"error"'):
            self._heard.failed.append(message.decode())


async def measure(n: int, seconds: float, interval: float) -> dict[str, object]:
    """`n` streams for `seconds`."""
    audio = (voice(20.0) * 32767).astype("<i2").tobytes()
    frames = [frame(BINARY, audio[at : at + FRAME_BYTES]) for at in range(0, len(audio), FRAME_BYTES)]
    config = json.dumps({"type": "session.update", "interval": interval}).encode()
    close = frame(TEXT, json.dumps({"type": "session.close"}).encode())
    heard, loop = Heard(), asyncio.get_running_loop()
    with running("--streams", str(n)) as server:
        streams = []
        for _ in range(n):
            _, stream = await loop.create_connection(
                lambda: Listener(server.port, heard, config), "127.0.0.1", server.port
            )
            streams.append(stream)
        await asyncio.gather(*(stream.ready for stream in streams))
        before, cpu = (time.process_time(), time.perf_counter()), server.cpu_seconds()
        began = time.perf_counter() + 0.1
        for i, stream in enumerate(streams):  # not all in step: starts are spread over an interval
            stream.started = began + interval * i / n
        await asyncio.gather(
            *(
                send(stream, frames, i * len(frames) // n, round(seconds / FRAME_SECONDS), close)
                for i, stream in enumerate(streams)
            )
        )
        wall = time.perf_counter() - before[1]
        share, server_share = own_share(before), (server.cpu_seconds() - cpu) / wall
        memory = server.resident_mb()
        await asyncio.wait([stream.done for stream in streams], timeout=30)
        return {
            "streams": n,
            "seconds": seconds,
            "interval, s": interval,
            "results": len(heard.late),
            "results per stream and interval": len(heard.late) / (n * seconds / interval),
            "late p50, ms": 1000 * percentile(heard.late, 50),
            "late p99, ms": 1000 * percentile(heard.late, 99),
            "late, most, ms": 1000 * max(heard.late, default=float("nan")),
            "streams that ended as they should": heard.closed,
            "failures": len(heard.failed),
            "server's share of a core": server_share,
            "server's memory, MB": memory,
            "generator's share of a core": share,
            "cores": os.cpu_count(),
        }


async def send(stream: Listener, frames: list[bytes], first: int, count: int, close: bytes) -> None:
    """`count` frames from number `first`, each when its audio has passed, then `close`: the last result must not wait
    for other streams."""
    for i in range(count):
        await asyncio.sleep(stream.started + FRAME_SECONDS * (i + 1) - time.perf_counter())
        stream.transport.write(frames[(first + i) % len(frames)])
    stream.transport.write(close)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", default="200")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    for n in args.streams.split(","):
        report(asyncio.run(measure(int(n), args.seconds, args.interval)), args.json)


if __name__ == "__main__":
    main()
