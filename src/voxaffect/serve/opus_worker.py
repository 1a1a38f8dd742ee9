"""A process that decodes live WebM and Ogg for the server, a thread for each stream.

`python -m voxaffect.serve.opus_worker` takes messages on stdin and answers on stdout until stdin ends. Browsers send
Opus in pieces that begin and end anywhere; FFmpeg reads them as they come, through a file that waits.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import IO, Any

import av
import numpy as np
import numpy.typing as npt

from voxaffect.errors import VoxaffectError
from voxaffect.pcm import PcmReader
from voxaffect.serve import channel
from voxaffect.serve.precedence import LIVE, process_steps_back
from voxaffect.serve.worker import MEMORY, serve_parent

BLOCK_SAMPLES = 1600
"""At 16 kHz, that go to the server together: 100 ms."""
CODECS = "opus,libopus,vorbis,libvorbis"
PROBE = {"probesize": "2048", "analyzeduration": "0"}
"""The first header says all there is to know of Opus; waiting for more would delay the first result."""


class Pipe:
    """A file whose bytes are still to come: `read` waits for them."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._data = bytearray()
        self._ended = False
        self.taken = 0

    def write(self, data: bytes) -> None:
        """More has come."""
        with self._condition:
            self._data += data
            self._condition.notify()

    def end(self) -> None:
        """Nothing more will come."""
        with self._condition:
            self._ended = True
            self._condition.notify()

    def read(self, size: int = -1) -> bytes:
        """What is there, at most `size` bytes; waits where there is nothing; empty at the end."""
        with self._condition:
            while not self._data and not self._ended:
                self._condition.wait()
            data = bytes(self._data[:size] if size >= 0 else self._data)
            del self._data[: len(data)]
            self.taken += len(data)
            return data


class LiveDecoder:
    """One stream and its thread."""

    def __init__(self, number: int, container: str, credit: int, say: Any) -> None:
        self.pipe = Pipe()
        self.credit = threading.Semaphore(credit)
        self.dropped = False
        self._number, self._container, self._say = number, container, say
        threading.Thread(target=self._run, daemon=True).start()

    def drop(self) -> None:
        """Nobody listens any more."""
        self.dropped = True
        self.pipe.end()
        self.credit.release()

    def _run(self) -> None:
        try:
            self._decode()
            self._tell("end")
        except VoxaffectError as error:
            self._tell("error", code=error.code, message=error.message)
        except (av.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self._tell("error", code="unreadable", message=f"the stream cannot be decoded ({reason})")

    def _decode(self) -> None:
        with av.open(
            self.pipe,
            mode="r",
            format=self._container,
            buffer_size=4096,
            options={
                **PROBE,
                "format_whitelist": self._container,
                "protocol_whitelist": "none",
                "codec_whitelist": CODECS,
            },
        ) as opened:
            if not opened.streams.audio:
                raise VoxaffectError("no_audio_stream", "the stream has no audio in it")
            reader: PcmReader | None = None
            held: list[npt.NDArray[np.float32]] = []
            for frame in opened.decode(opened.streams.audio[0]):
                if self.dropped:
                    return
                samples = frame.to_ndarray()
                channels = frame.layout.nb_channels
                shaped = samples.T if frame.format.is_planar else samples.reshape(-1, channels)
                if reader is None:
                    reader = PcmReader(sample_rate=frame.sample_rate, encoding="pcm_f32le", channels=channels)
                held.append(reader.read(np.ascontiguousarray(shaped)))
                if sum(map(len, held)) >= BLOCK_SAMPLES:
                    self._give(held)
            if reader is not None:
                self._give([*held, reader.finish()])

    def _give(self, held: list[npt.NDArray[np.float32]]) -> None:
        block = np.concatenate(held)
        held.clear()
        self._tell("took", bytes=self._taken())
        if not len(block):
            return
        self.credit.acquire()
        if not self.dropped:
            data = np.ascontiguousarray(block, np.float32).tobytes()
            self._tell("block", data, channels=block.shape[1])

    def _taken(self) -> int:
        taken, self.pipe.taken = self.pipe.taken, 0
        return taken

    def _tell(self, kind: str, data: bytes = b"", **facts: Any) -> None:
        with suppress(OSError):
            self._say({"stream": self._number, "type": kind, **facts}, data)


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Decode streams until `source` ends, which raises ChannelError."""
    lock = threading.Lock()
    streams: dict[int, LiveDecoder] = {}
    process_steps_back(LIVE)

    def say(header: dict[str, Any], data: bytes) -> None:
        with lock:
            channel.send(sink, header, data)

    while True:
        header, payload = channel.receive(source)
        number = header["stream"]
        if header["type"] == "open":
            streams[number] = LiveDecoder(number, header["container"], header["credit"], say)
            continue
        stream = streams.get(number)
        if stream is None:
            continue
        if header["type"] == "data":
            stream.pipe.write(payload)
        elif header["type"] == "credit":
            stream.credit.release()
        elif header["type"] == "end":
            stream.pipe.end()
        else:
            stream.drop()
            del streams[number]


def main() -> None:
    """Serve the process that started this one."""
    serve_parent(serve, MEMORY)
    os._exit(0)  # threads may be waiting for audio that never comes


if __name__ == "__main__":
    main()
