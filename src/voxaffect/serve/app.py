"""The ASGI application."""

from __future__ import annotations

from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from voxaffect.errors import VoxaffectError
from voxaffect.serve.live import live_stream
from voxaffect.serve.log import say
from voxaffect.serve.problems import problem_response
from voxaffect.serve.routes import refusal, routes
from voxaffect.serve.security import Guard, Receive, Scope, Send, refuse
from voxaffect.serve.service import Service


def application(service: Service, port: int) -> Guard:
    """The application of `service` that listens on `port`; its lists of Host and Origin depend on it."""
    settings = service.settings
    app = Starlette(
        routes=routes(service),
        exception_handlers={HTTPException: _http_error, Exception: _bug},
    )

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            if scope["path"] == "/v1/stream":
                await live_stream(service, scope, receive, send)
            else:
                await refuse(_nothing_here(), scope, receive, send)
            return
        await app(scope, receive, send)

    return Guard(
        both, settings.hosts(port), settings.origins(port), settings.token, partial(refusal, service)
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        response = problem_response(VoxaffectError("method_not_allowed", "the page is asked by GET"))
        response.headers["Allow"] = "GET"
        return response
    return problem_response(_nothing_here())


def _nothing_here() -> VoxaffectError:
    return VoxaffectError("not_found", "there is nothing here", hint="see /docs")


async def _bug(request: Request, error: Exception) -> Response:
    say("bug", error=f"{type(error).__name__}: {error}")
    return problem_response(VoxaffectError("bug", "the server made a mistake", hint="please report it"))
