"""Live WebM and Ogg, as browsers record them: decoded piece by piece in processes apart from the server.

A decoder that breaks down takes the streams of its process with it, not the server. No more than CREDIT blocks of a
stream are on their way: a few bytes of Opus can hold minutes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from voxaffect.errors import AudioError
from voxaffect.serve import channel
from voxaffect.serve.child import environment, own_group

CONTAINERS = {"webm-opus": "matroska", "ogg-opus": "ogg"}
"""FFmpeg's demuxer by encoding."""
CREDIT = 40
"""Blocks of 100 ms and a frame that a decoder may be ahead."""
IN_FLIGHT = 2**18
"""Bytes that were sent to a decoder and not read by it."""
PROCESSES = 2
Block = npt.NDArray[np.float32]


class OpusDecoder:
    """One stream: bytes go in by `feed`, blocks (n, C) at 16 kHz come out of `blocks`."""

    def __init__(self, process: DecoderProcess, number: int) -> None:
        self._process, self._number = process, number
        self._out: asyncio.Queue[Block | AudioError | None] = asyncio.Queue()
        self._in_flight = 0
        self._room = asyncio.Event()

    async def feed(self, data: bytes) -> None:
        """Send `data`, once there is room for it."""
        while self._in_flight > IN_FLIGHT:
            self._room.clear()
            await self._room.wait()
        self._in_flight += len(data)
        await self._process.send({"stream": self._number, "type": "data"}, data)

    async def end(self) -> None:
        """No more data follow; `blocks` ends after what they hold."""
        await self._process.send({"stream": self._number, "type": "end"})

    async def blocks(self) -> AsyncIterator[Block]:
        """The audio as it is decoded; raises AudioError `unreadable`, `not_audio` or `decoder_crashed`."""
        while True:
            block = await self._out.get()
            if block is None:
                return
            if isinstance(block, AudioError):
                raise block
            yield block
            await self._process.send({"stream": self._number, "type": "credit"})

    async def close(self) -> None:
        """Forget the stream, wherever it is."""
        self._process.streams.pop(self._number, None)
        await self._process.send({"stream": self._number, "type": "drop"})

    def heard(self, message: dict[str, Any], payload: bytes) -> None:
        """What the process says of this stream."""
        if message["type"] == "block":
            self._out.put_nowait(np.frombuffer(payload, np.float32).reshape(-1, int(message["channels"])))
        elif message["type"] == "took":
            self._in_flight -= int(message["bytes"])
            self._room.set()
        elif message["type"] == "end":
            self._out.put_nowait(None)
        else:
            self.failed(AudioError(str(message["code"]), str(message["message"]), where="stream"))

    def failed(self, error: AudioError) -> None:
        """Nothing more comes."""
        self._in_flight = 0
        self._room.set()
        self._out.put_nowait(error)


class DecoderProcess:
    """A process that decodes streams, for the event loop."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin and process.stdout
        self._process, self._sink, self._source = process, process.stdin, process.stdout
        self.streams: dict[int, OpusDecoder] = {}
        self.gone = False
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls) -> DecoderProcess:
        """A new one."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "voxaffect.serve.opus_worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment(),
            **own_group(),
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def send(self, header: dict[str, Any], data: bytes = b"") -> None:
        """Write a message; nothing where the process has gone, which its streams are told."""
        with suppress(OSError, RuntimeError):
            self._sink.write(channel.framed(header, len(data)) + data)
            await self._sink.drain()

    async def _listen(self) -> None:
        try:
            while True:
                n_header, n_payload = channel.sizes(await self._source.readexactly(channel.SIZES.size))
                header = channel.parsed(await self._source.readexactly(n_header))
                payload = await self._source.readexactly(n_payload)
                stream = self.streams.get(header["stream"])
                if stream is not None:
                    stream.heard(header, payload)
        except (asyncio.IncompleteReadError, channel.ChannelError, OSError, KeyError, ValueError):
            self.kill()
            for stream in self.streams.values():
                stream.failed(
                    AudioError(
                        "decoder_crashed", "the process that decoded this stream broke down", where="stream"
                    )
                )

    def kill(self) -> None:
        """End it at once."""
        self.gone = True
        with suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """End it and wait for its end."""
        self._listening.cancel()
        self.kill()
        self._sink.close()
        await self._process.wait()


class DecoderPool:
    """Decoder processes, started when the first stream needs one."""

    def __init__(self) -> None:
        self.processes: list[DecoderProcess] = []
        self._lock = asyncio.Lock()
        self._numbers = count(1)

    async def open(self, encoding: str) -> OpusDecoder:
        """A decoder for a stream of `encoding`, one of CONTAINERS."""
        async with self._lock:
            self.processes = [process for process in self.processes if not process.gone]
            idle = next((process for process in self.processes if not process.streams), None)
            if idle is None and len(self.processes) < PROCESSES:
                self.processes.append(await DecoderProcess.start())
        process = min(self.processes, key=lambda each: len(each.streams))
        number = next(self._numbers)
        decoder = process.streams[number] = OpusDecoder(process, number)
        await process.send(
            {"stream": number, "type": "open", "container": CONTAINERS[encoding], "credit": CREDIT}
        )
        return decoder

    async def close(self) -> None:
        """End all processes."""
        for process in self.processes:
            await process.close()
