"""What an operator may choose, checked once."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass, field

from voxaffect.cores import cores
from voxaffect.errors import UsageError

TOKEN_VARIABLE = "VOXAFFECT_TOKEN"
MIN_TOKEN = 16
"""Characters; a shorter secret can be guessed."""
MOST_HEARING = 2
"""Processes that hear as much as one event loop can take in: it takes 1.8 ms for a second of a stream, they 3.2."""
SCHEMES = ("http", "https")


@dataclass(frozen=True)
class ServeSettings:
    """All limits and clocks of a server; seconds unless said otherwise."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    """Needed of every request about predictions, and needed to listen beyond this machine."""
    allow_hosts: tuple[str, ...] = ()
    """Values of Host that are answered besides those of the address listened on, e.g. `voice.example.org`."""
    allow_origins: tuple[str, ...] = ()
    """Origins of pages that may use this server, besides its own, e.g. `https://voice.example.org`."""
    max_upload_mb: float = 25.0
    """Size of a body, in units of 2^20 bytes."""
    max_duration: float = 7200.0
    """Length of a recording."""
    workers: int = 0
    """Processes that read short recordings; one more than cores where it is 0."""
    hearing_workers: int = 0
    """Processes that hear for live streams; half the cores, but at most MOST_HEARING, where it is 0."""
    queue_seconds: float = 600.0
    """Audio of short recordings that may be waiting or worked on."""
    streams: int = 200
    """Live streams at a time."""
    stream_duration: float = 7200.0
    """Audio of one live stream."""
    idle_timeout: float = 60.0
    """How long a live stream may send nothing."""
    send_timeout: float = 10.0
    """How long a live stream may not read what is sent to it."""
    ping_interval: float = 20.0
    """How often a live stream is asked whether somebody is still there."""
    ping_timeout: float = 20.0
    """How long the answer to that may take."""
    body_timeout: float = 10.0
    """How long a client may take for the head of a request, and pause within its body."""
    queue_timeout: float = 10.0
    """How long an accepted request may wait for its turn."""
    compute_timeout: float = 60.0
    """How long a short recording may be worked on; long ones get a tenth of their length more."""
    drain_timeout: float = 30.0
    """How long accepted requests and streams may take to end once the server is told to stop."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise _bad("port", self.port, "0 to 65535")
        if self.workers < 0:
            raise _bad("workers", self.workers, "at least 1, or 0 for one more than cores")
        if self.hearing_workers < 0:
            raise _bad("hearing_workers", self.hearing_workers, "at least 1, or 0 for half the cores")
        if self.streams < 0:
            raise _bad("streams", self.streams, "0 or more")
        for name in (
            "max_upload_mb",
            "max_duration",
            "queue_seconds",
            "stream_duration",
            "idle_timeout",
            "send_timeout",
            "ping_interval",
            "ping_timeout",
            "body_timeout",
            "queue_timeout",
            "compute_timeout",
            "drain_timeout",
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise _bad(name.replace("_", "-"), value, "more than 0")
        for origin in self.allow_origins:
            scheme, _, rest = origin.partition("://")
            if scheme not in ("http", "https") or not rest or "/" in rest or "*" in rest:
                raise _bad("allow-origin", origin, "scheme://host[:port] without a path, as browsers send it")
        for host in self.allow_hosts:
            if not host or any(c in host for c in "/*@ "):
                raise _bad("allow-host", host, "host[:port] as browsers send it, without a scheme or path")
        if self.token is not None and (len(self.token) < MIN_TOKEN or not self.token.isascii()):
            raise UsageError(
                "weak_token",
                f"the token has {len(self.token)} characters; expected at least {MIN_TOKEN}, ASCII",
                hint='make one with: python -c "import secrets; print(secrets.token_urlsafe())"',
            )
        if self.token is None and not is_loopback(self.host):
            raise UsageError(
                "token_needed",
                f"listening on {self.host} lets others in; that needs a token",
                hint=f"set {TOKEN_VARIABLE} or --token-file, or leave out --host to stay on this machine",
            )

    @property
    def max_bytes(self) -> int:
        """The largest body."""
        return round(self.max_upload_mb * 2**20)

    @property
    def n_workers(self) -> int:
        """Processes that read short recordings: while one waits for the model, another has its core."""
        return self.workers or cores() + 1

    @property
    def n_hearing_workers(self) -> int:
        """Processes that hear for live streams."""
        return self.hearing_workers or max(1, min(MOST_HEARING, cores() // 2))

    def hosts(self, port: int) -> frozenset[str]:
        """The values of Host that are answered when listening on `port`; lower case."""
        names = {"localhost", "127.0.0.1", "[::1]"} if is_loopback(self.host) else {_bracketed(self.host)}
        own = {f"{name}:{port}" for name in names} | (names if port == 80 else set())
        return frozenset(own | {host.lower() for host in self.allow_hosts})

    def origins(self, port: int) -> frozenset[str]:
        """The origins of pages that are answered; lower case."""
        own = {f"{scheme}://{host}" for scheme in SCHEMES for host in self.hosts(port)}
        return frozenset(own | {origin.lower() for origin in self.allow_origins})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host.lower()}]" if ":" in host else host.lower()


def _bad(name: str, value: object, allowed: str) -> UsageError:
    return UsageError("bad_value", f"{name} is {value!r}; expected {allowed}")
