"""Who may ask: Host and Origin against lists, a token, and the headers that keep pages apart.

A page elsewhere can make a browser send requests here, by a form or by a name that points to 127.0.0.1 (DNS
rebinding). So Host and Origin have to be on a list, letter by letter; that they agree proves nothing.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import Response

from voxaffect.errors import VoxaffectError
from voxaffect.serve.problems import problem_response

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
AtOnce = Callable[[Scope], Callable[[], Response] | None]
"""What makes the answer to a request that its head alone decides; None for all others."""

GUARDED = ("/v1/", "/metrics")
"""Paths that need the token, if there is one."""
SUBPROTOCOL = "voxaffect.v1"
BEARER_PROTOCOL = "voxaffect.bearer."
"""Before the token in base64url, as a second subprotocol: browsers let pages set no other header of a WebSocket."""
TOKEN_NAMES = frozenset({"token", "access_token", "bearer", "authorization", "api_key", "apikey", "key"})


class Guard:
    """ASGI middleware: answers what must not get through, adds the headers to what does."""

    def __init__(
        self,
        app: App,
        hosts: frozenset[str],
        origins: frozenset[str],
        token: str | None,
        at_once: AtOnce = lambda scope: None,
    ) -> None:
        self._app, self.hosts, self.origins, self._at_once = app, hosts, origins, at_once
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As any ASGI application."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        host = b""

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                message["headers"] = _with_security(message.get("headers", ()), host)
            await send(message)

        try:
            host = self._check(scope)
        except VoxaffectError as error:
            await refuse(error, scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def at_once(self, scope: Scope) -> Response | None:
        """The whole answer to a request that its head alone decides; None where the application has to be asked."""
        make = self._at_once(scope)
        if make is None:
            return None
        try:
            host = self._check(scope)
        except VoxaffectError:
            return None  # which is told in the usual way
        response = make()
        response.raw_headers = _with_security(response.raw_headers, host)
        return response

    def _check(self, scope: Scope) -> bytes:
        """The Host of a request that may pass; raises VoxaffectError for others."""
        hosts = _values(scope, b"host")
        host = hosts[0].decode("latin-1").lower() if len(hosts) == 1 else ""
        if host not in self.hosts:
            raise VoxaffectError(
                "host_refused",
                "this server does not answer to that Host",
                hint="use the address that it printed, or start it with --allow-host",
            )
        live = scope["type"] == "websocket"
        origins = _values(scope, b"origin")
        if origins:
            if len(origins) > 1 or origins[0].decode("latin-1").lower() not in self.origins:
                raise _origin_refused("pages of that Origin may not use this server")
        elif live and self._token is None:
            raise _origin_refused(
                "a WebSocket needs an Origin, or the server a token", "send Origin: http://HOST:PORT"
            )
        if any(key.lower() in TOKEN_NAMES for key, _ in _query(scope)):
            raise VoxaffectError(
                "unauthorised",
                "a token in a URL ends up in histories and logs",
                hint="send it as Authorization: Bearer",
            )
        if self._token is not None and scope["path"].startswith(GUARDED):
            self._check_token(scope, self._token)
        return hosts[0]

    def _check_token(self, scope: Scope, token: bytes) -> None:
        given = b""
        for value in _values(scope, b"authorization"):
            kind, _, secret = value.partition(b" ")
            if kind.lower() == b"bearer":
                given = secret.strip()
        for protocol in scope.get("subprotocols", ()):
            if protocol.startswith(BEARER_PROTOCOL):
                given = _decoded(protocol[len(BEARER_PROTOCOL) :])
        if not hmac.compare_digest(given, token):
            raise VoxaffectError(
                "unauthorised",
                "a wrong token" if given else "this server needs a token",
                hint="send Authorization: Bearer TOKEN",
            )


async def refuse(error: VoxaffectError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer `error`, to a WebSocket before its handshake."""
    response = problem_response(error)
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})
            return
        await send(
            {
                "type": "websocket.http.response.start",
                "status": response.status_code,
                "headers": response.raw_headers,
            }
        )
        await send({"type": "websocket.http.response.body", "body": response.body})
        return
    await response(scope, receive, send)


def _with_security(headers: Iterable[tuple[bytes, bytes]], host: bytes) -> list[tuple[bytes, bytes]]:
    """`headers` and those of them that keep pages apart which are not there yet."""
    given = list(headers)
    own = {name.lower() for name, _ in given}
    return given + [(name, value) for name, value in _security_headers(host) if name not in own]


def _security_headers(host: bytes) -> list[tuple[bytes, bytes]]:
    live = b" ws://%s wss://%s" % (host, host) if host else b""
    policy = (
        b"default-src 'self'; connect-src 'self'"
        + live
        + b"; img-src 'self' data: blob:; media-src 'self' blob:; "
        b"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return [
        (b"content-security-policy", policy),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"permissions-policy", b"microphone=(self), camera=(), geolocation=()"),
    ]


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


def _origin_refused(message: str, hint: str | None = None) -> VoxaffectError:
    return VoxaffectError("origin_refused", message, hint=hint or "start the server with --allow-origin")
