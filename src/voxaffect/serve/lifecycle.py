"""From start to end: one socket, one process for the event loop, signals, and a drain that loses nothing."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
from collections.abc import Coroutine, Generator
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn

from voxaffect.errors import ExitCode, ResourceError, UsageError
from voxaffect.modelfile import find_model, read_model
from voxaffect.recogniser import Recogniser, open_recogniser
from voxaffect.serve import log
from voxaffect.serve.app import application
from voxaffect.serve.metrics import process_gauges
from voxaffect.serve.protocol import GuardedProtocol
from voxaffect.serve.service import Service
from voxaffect.serve.settings import ServeSettings
from voxaffect.serve.socket_protocol import SocketProtocol
from voxaffect.serve.worker import limit_resources
from voxaffect.speech_detector import detectors

BACKLOG = 2048
SPARE_FILES = 96
"""Open files that are kept for workers, the model and the page."""
MAX_FRAME = 2**20
"""Bytes of a WebSocket message."""
LAST_SECONDS = 0.5
"""How long connections may still ask once nothing more is accepted."""
SWITCH_SECONDS = 0.001
"""How long a thread keeps the interpreter: short, so that the event loop answers while features are computed."""


def run(
    settings: ServeSettings, model: str | None = None, device: str = "auto", *, quiet: bool = False
) -> int:
    """Serve until SIGTERM or Ctrl-C, then drain; 0 if everything accepted was answered.

    Raises UsageError `port_taken`, `no_gpu`; ArtefactError of the model and the speech detector; ResourceError
    `no_worker`.
    """
    limit_resources(None)
    sys.setswitchinterval(SWITCH_SECONDS)
    recogniser = open_recogniser(read_model(find_model(model)), device=device)
    detectors(True)  # refused now rather than at the first request
    listener = listen(settings.host, settings.port)
    with listener:
        return asyncio.run(_serve(settings, recogniser, listener, quiet))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises UsageError `port_taken` or `bad_value`."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # Named, for asyncio looks: only where it is TCP are small writes sent at once, not 40 ms later.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise UsageError("bad_value", f"host is {host!r}: {error.strerror or error}") from None
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                "port_taken",
                f"something listens on {host}:{port} already",
                hint="choose another --port, or 0 for any that is free",
            ) from None
        raise UsageError("bad_value", f"cannot listen on {host}:{port} ({error.strerror})") from None
    return listener


class _Server(uvicorn.Server):
    """uvicorn without its signals: what is to be drained ends before it closes connections."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave them to `_serve`."""
        yield

    async def stop_listening(self, listener: socket.socket) -> None:
        """Take those who have come to the door, close it, and hear them out: each is told that the server stops.

        The system accepts connections before this process does; what is sent on those would be lost with them.
        """
        last = []
        with suppress(OSError):  # when there are no more
            while True:
                last.append(listener.accept()[0])
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for connection in last:
            with suppress(OSError):
                await loop.connect_accepted_socket(self._protocol, connection)
        end = loop.time() + LAST_SECONDS
        while self.server_state.connections and loop.time() < end:
            await asyncio.sleep(0.01)

    def _protocol(self) -> GuardedProtocol:
        return GuardedProtocol(self.config, self.server_state, {})


async def _serve(
    settings: ServeSettings, recogniser: Recogniser, listener: socket.socket, quiet: bool
) -> int:
    service = Service.create(settings, recogniser)
    with suppress(ImportError):  # not on Windows
        process_gauges(service.metrics)
    try:
        await service.pool.start()
        await service.hearing.start()
    except RuntimeError as error:
        await service.close()
        raise ResourceError("no_worker", str(error)) from error
    host, port = listener.getsockname()[:2]
    server = _Server(
        uvicorn.Config(
            application(service, port),
            http=GuardedProtocol,
            ws=SocketProtocol,
            ws_max_size=MAX_FRAME,
            ws_per_message_deflate=False,
            ws_ping_interval=settings.ping_interval,
            ws_ping_timeout=settings.ping_timeout,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            limit_concurrency=_connections(),
            timeout_graceful_shutdown=5,
        )
    )
    GuardedProtocol.head_seconds = settings.body_timeout
    GuardedProtocol.send_seconds = SocketProtocol.send_seconds = settings.send_timeout
    log.take_over()
    stop = _Stop(asyncio.get_running_loop())
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    if not quiet:
        address = f"[{host}]" if ":" in host else host
        print(f"voxaffect: http://{address}:{port}  (Ctrl-C ends it)", file=sys.stderr, flush=True)  # noqa: T201
    try:
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        service.draining.set()
        log.say("draining", requests=service.n_active, streams=service.n_streams)
        drained = await stop.unless_again(service.wait_idle(settings.drain_timeout))
        if drained:
            await server.stop_listening(listener)
        server.should_exit = True
        server.force_exit = not drained
        await serving
        log.say("stopped", drained=drained)
        return ExitCode.OK if drained else ExitCode.RESOURCE
    finally:
        stop.restore()
        await service.close()


class _Stop:
    """The first signal asks for an end, the second for one at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._first, self._second = asyncio.Event(), asyncio.Event()
        self._before = {n: signal.signal(n, self._caught) for n in (signal.SIGINT, signal.SIGTERM)}

    async def wait(self) -> None:
        """Return after the first signal."""
        await self._first.wait()

    async def unless_again(self, work: Coroutine[None, None, bool]) -> bool:
        """What `work` gives; False if a second signal comes first."""
        task = asyncio.ensure_future(work)
        again = asyncio.ensure_future(self._second.wait())
        done, rest = await asyncio.wait([task, again], return_when=asyncio.FIRST_COMPLETED)
        for other in rest:
            other.cancel()
        return task.result() if task in done else False

    def restore(self) -> None:
        """Let the signals do what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe((self._second if self._first.is_set() else self._first).set)


def _connections() -> int | None:
    """How many connections this process may have; more are told 503, which is better than not to be accepted."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return max(16, soft - SPARE_FILES) if soft != resource.RLIM_INFINITY else None
