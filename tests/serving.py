"""Starts the real server as a process, and talks to it: over http.client, raw sockets and WebSockets."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from websockets.sync.client import ClientConnection, connect

from fake_models import RATE, square

T = TypeVar("T")
START_SECONDS = 60.0
PLACE = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass
class Answer:
    """A response: `problem` is its error object, if it is one."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json", self.body
        assert self.json["status"] == self.status
        assert set(self.json["error"]) == {"code", "message", "hint", "where"}
        return dict(self.json["error"])


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    lines: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())
        finally:
            connection.close()

    def predict(self, body: bytes, query: str = "", **headers: str) -> Answer:
        """POST /v1/predict."""
        return self.ask("POST", f"/v1/predict{query}", body, headers)

    def raw(self, data: bytes, timeout: float = 20.0) -> bytes:
        """What comes back for these bytes until the server closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as connection:
            with suppress(OSError):
                connection.sendall(data)
            return read_all(connection)

    def stream(self, **options: Any) -> Any:
        """A live stream as a context manager, its `session.created` not yet read."""
        given = {"origin": self.origin, "compression": None, "proxy": None, **options}
        return connect(f"ws://127.0.0.1:{self.port}/v1/stream", **given)

    def metric(self, name: str) -> float:
        """A number of /metrics by its name and labels; 0 where it is not there yet."""
        for line in self.ask("GET", "/metrics").body.decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def workers(self) -> list[int]:
        """The processes that the server started for requests and for what is to be decoded."""
        return [pid for pid in self.children() if not _hears(pid)]

    def hearing(self) -> list[int]:
        """The process that hears for live streams."""
        return [pid for pid in self.children() if _hears(pid)]

    def children(self) -> list[int]:
        """All processes that the server started."""
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(pid) for thread in threads for pid in (thread / "children").read_text().split()]

    def resident_mb(self) -> float:
        """Memory of the server and all of its processes."""
        return sum(self.resident_each_mb())

    def resident_each_mb(self) -> list[float]:
        """Memory of the server, then of each of its processes."""
        each = []
        for pid in (self.process.pid, *self.children()):
            with suppress(OSError):  # it has just ended
                each.append(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6)
        return each

    def stop(self, number: int = signal.SIGTERM, timeout: float = 60.0) -> int:
        """Send a signal and wait: the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout)


@contextmanager
def running(
    folder: Path,
    *arguments: str,
    config: dict[str, Any] | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    within: Sequence[str] = (),
) -> Iterator[Server]:
    """A server on a free port, ready; killed at the end if it still runs."""
    process = start(folder, *arguments, config=config, env=env, cwd=cwd, within=within)
    server = Server(process, 0)
    assert process.stderr is not None
    reader = threading.Thread(target=_read, args=(process.stderr, server.lines), daemon=True)
    reader.start()
    try:
        server.port = _port(server)
        yield server
    finally:
        process.kill()
        process.wait()
        reader.join(10)
        process.stderr.close()


def start(
    folder: Path,
    *arguments: str,
    config: dict[str, Any] | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    within: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """The process of a server on a free port; `within` is a command that becomes the one that follows it."""
    words = [*within, sys.executable, "-m", "voxaffect", "serve", *arguments]
    if "--port" not in arguments:
        words += ["--port", "0"]
    if config is not None:
        path = folder / "serve.toml"
        path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items()))
        words += ["--config", str(path)]
    return subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "VOXAFFECT_TOKEN": "", **(env or {})},
    )


def _hears(pid: int) -> bool:
    try:
        return b"hearing_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return False


def _read(stream: Any, lines: list[str]) -> None:
    for line in stream:
        lines.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))


def _port(server: Server) -> int:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.process.poll() is None:
        for line in list(server.lines):
            if found := PLACE.search(line):
                return int(found.group(1))
        time.sleep(0.02)
    raise AssertionError(f"the server did not start: {server.lines}")


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        parts.append(b"<reset>")
    except TimeoutError:
        parts.append(b"<open>")
    return b"".join(parts)


def until(condition: Callable[[], Any], seconds: float = 10.0) -> float:
    """Wait for `condition`; how long it took. Fails after `seconds`."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not come about"
        time.sleep(0.01)
    return time.monotonic() - started


def quickly(seconds: float, action: Callable[[], T], tries: int = 3) -> T:
    """What `action` returns; one of so many times it must take less than `seconds`: a busy machine may stand still."""
    took = []
    for _ in range(tries):
        started = time.monotonic()
        answer = action()
        took.append(time.monotonic() - started)
        if took[-1] < seconds:
            return answer
    raise AssertionError(f"it took {took} s")


def wav(*parts: np.ndarray, rate: int = RATE) -> bytes:
    """A 16-bit WAV of `parts` one after the other."""
    import io

    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.concatenate(parts), rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def pcm(*parts: np.ndarray) -> bytes:
    """Raw 16-bit samples."""
    return (np.concatenate(parts) * 32767).astype("<i2").tobytes()


def form(parts: Sequence[tuple[str, bytes]], boundary: str = "xYx") -> tuple[bytes, dict[str, str]]:
    """A form of parts, each given by its Content-Disposition and its bytes; and its header."""
    pieces = [
        f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + data + b"\r\n"
        for disposition, data in parts
    ]
    body = b"".join(pieces) + f"--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def messages(stream: ClientConnection, until_type: str | None = None) -> list[dict[str, Any]]:
    """What the server says, up to `until_type` or to the end."""
    heard: list[dict[str, Any]] = []
    for text in stream:
        heard.append(json.loads(text))
        if heard[-1]["type"] == until_type:
            break
    return heard


def handshake(server: Server) -> bytes:
    """What opens a stream by hand."""
    return (
        f"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: {server.origin}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


LOUD = square(0.4, 1.0)
"""A second of what the fake model calls happy."""
