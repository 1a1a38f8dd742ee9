"""The HTTP routes."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from voxaffect import __version__, formats
from voxaffect.errors import UsageError, VoxaffectError
from voxaffect.result import MODEL_FIELDS, Result
from voxaffect.serve import metrics as metrics_
from voxaffect.serve import openapi
from voxaffect.serve.admission import BusyError
from voxaffect.serve.body import ClientGoneError, announced_length, form_file, read_body, too_many_bytes
from voxaffect.serve.problems import problem_response, status_of
from voxaffect.serve.query import predict_options
from voxaffect.serve.security import Scope
from voxaffect.serve.service import ASSUMED_SECONDS, LONG_SECONDS, Service, while_connected
from voxaffect.serve.worker import rendered
from voxaffect.serve.workers import Job

PAGE = Path(__file__).parent / "page"
PREDICT = "/v1/predict"
FORM_OVERHEAD = 65_536
"""Bytes that a form may have around its file."""
GONE = 499
"""The status that is counted where nobody waited for one."""
MEDIA_TYPES = {
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".csv": "text/csv; charset=utf-8",
    ".vtt": "text/vtt; charset=utf-8",
    ".eaf": "application/xml",
    ".parquet": "application/vnd.apache.parquet",
}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
"""All reach the routes, which refuse in their own words; else the page's folder would answer."""
Handler = Callable[[Service, Request], Awaitable[Response]]


def routes(service: Service) -> list[BaseRoute]:
    """All routes but that of streams."""

    def route(path: str, handler: Handler, method: str) -> Route:
        async def endpoint(request: Request) -> Response:
            if request.method not in (method, "HEAD" if method == "GET" else method):
                response = problem_response(
                    VoxaffectError("method_not_allowed", f"{path} is asked by {method}")
                )
                response.headers["Allow"] = method
                return response
            return await _answered(service, path, handler, request)

        return Route(path, endpoint, methods=METHODS)

    return [
        route(PREDICT, predict, "POST"),
        route("/v1/format", reformat, "POST"),
        route("/v1/models", models, "GET"),
        route("/livez", livez, "GET"),
        route("/readyz", readyz, "GET"),
        route("/metrics", metrics, "GET"),
        route("/openapi.json", openapi_json, "GET"),
        route("/docs", docs, "GET"),
        Mount("/", app=StaticFiles(directory=PAGE, html=True)),
    ]


async def predict(service: Service, request: Request) -> Response:
    """`POST /v1/predict`: the answer about one recording."""
    service.check_ready()
    service.short.check(ASSUMED_SECONDS)  # who cannot be served is told so before sending all of it
    options, name = predict_options(list(request.query_params.multi_items()))
    chosen = formats.get(name)
    settings = service.settings
    headers = dict(request.scope["headers"])
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    is_form = content_type.lower().startswith("multipart/form-data")
    limit = settings.max_bytes + (FORM_OVERHEAD if is_form else 0)
    announced = announced_length(headers)
    if announced is not None and announced > limit:
        raise too_many_bytes(settings.max_bytes)
    size = limit if announced is None else announced
    if not service.uploads.take(size):
        raise BusyError("too_many_uploads", "too much audio is on its way here", service.short.retry_after)
    try:
        async with service.active():
            body: bytes | bytearray = await read_body(request.receive, limit, settings.body_timeout)
            if is_form:
                body = form_file(body, content_type, settings.max_bytes)
            if not body:
                raise VoxaffectError(
                    "empty_file", "the body holds no audio (0 bytes)", hint="send the bytes of a recording"
                )
            options["max_seconds"] = settings.max_duration
            job = Job(_request_id(request.scope), bytes(body), options, name, LONG_SECONDS)
            body = b""
            answer = await while_connected(request.receive, service.predict(job))
    finally:
        service.uploads.give_back(size)
    media_type = _media_type(chosen)
    return Response(answer.body, media_type=media_type, headers={"Cache-Control": "no-store"})


async def reformat(service: Service, request: Request) -> Response:
    """`POST /v1/format?format=srt`: a result as a file of another format."""
    pairs = list(request.query_params.multi_items())
    if [key for key, _ in pairs] != ["format"]:
        raise UsageError("bad_value", "expected the one option format")
    chosen = formats.get(pairs[0][1])
    settings = service.settings
    body = await read_body(request.receive, settings.max_bytes, settings.body_timeout)
    try:
        data = json.loads(body)
    except ValueError as error:
        raise VoxaffectError("bad_result", f"the body is no JSON ({error})") from None
    if not isinstance(data, dict):
        raise VoxaffectError("bad_result", "the body is no result")
    text = rendered(Result.from_dict(data), pairs[0][1])
    media_type = _media_type(chosen)
    name = f'attachment; filename="result{chosen.EXTENSION}"'
    return Response(text, media_type=media_type, headers={"Content-Disposition": name})


async def models(service: Service, request: Request) -> Response:
    """`GET /v1/models`: the model that answers, its card, and this server's limits."""
    model = service.recogniser.model
    settings = service.settings
    info = {name: getattr(model.info, name) for name in MODEL_FIELDS}
    features = service.recogniser.features
    return JSONResponse(
        {
            "models": [
                {
                    **info,
                    "default": True,
                    "card": model.card,
                    "uncertain_below": model.uncertain_below,
                    "window": features.window or None,
                    "hop": features.hop if features.window else None,
                }
            ],
            "formats": _formats(),
            "limits": {
                "bytes": settings.max_bytes,
                "seconds": settings.max_duration,
                "streams": settings.streams,
                "stream_seconds": settings.stream_duration,
                "idle_seconds": settings.idle_timeout,
            },
            "version": __version__,
        },
        headers={"Cache-Control": "no-store"},
    )


async def livez(service: Service, request: Request) -> Response:
    """`GET /livez`: this process answers."""
    return PlainTextResponse("ok\n")


async def readyz(service: Service, request: Request) -> Response:
    """`GET /readyz`: requests are accepted."""
    service.check_ready()
    if service.scheduler.broken:
        raise VoxaffectError("not_ready", "the model failed several times in a row")
    return PlainTextResponse("ok\n")


async def metrics(service: Service, request: Request) -> Response:
    """`GET /metrics`."""
    return Response(service.metrics.text(), headers={"Content-Type": metrics_.CONTENT_TYPE})


async def openapi_json(service: Service, request: Request) -> Response:
    """`GET /openapi.json`."""
    return JSONResponse(openapi.document(service.settings))


async def docs(service: Service, request: Request) -> Response:
    """`GET /docs`."""
    return HTMLResponse(openapi.page(openapi.document(service.settings)))


def _formats() -> dict[str, str]:
    """The formats that can be asked for here, each in a few words; without those that lack a package."""
    found = {}
    for name in formats.names():
        with suppress(UsageError):
            found[name] = formats.get(name).SUMMARY
    return found


def _media_type(chosen: formats.Format) -> str:
    other = "application/octet-stream" if getattr(chosen, "BINARY", False) else "text/plain; charset=utf-8"
    return MEDIA_TYPES.get(chosen.EXTENSION, other)


async def _answered(service: Service, path: str, handler: Handler, request: Request) -> Response:
    """What `handler` gives, or the problem that it raises; counted and timed."""
    started = time.perf_counter()
    try:
        response = await handler(service, request)
    except VoxaffectError as error:
        response = problem_response(error, request_id=_request_id(request.scope))
        if status_of(error) >= 500:
            _say_failed(service, path, error, request)
    except ClientGoneError:
        response = Response(status_code=GONE)
    return _counted(service, path, response, started)


def _counted(service: Service, path: str, response: Response, started: float) -> Response:
    service.metrics.count(
        "voxaffect_requests_total", "Requests.", path=path, status=str(response.status_code)
    )
    service.metrics.time(
        "voxaffect_request_seconds", "Time of requests.", time.perf_counter() - started, path=path
    )
    return response


def refusal(service: Service, scope: Scope) -> Callable[[], Response] | None:
    """What answers a prediction for which there is no room, by the head of the request; None for all else.

    Under overload most requests end here: what each costs is taken from those that are served.
    """
    if scope["path"] != PREDICT or scope["method"] != "POST" or service.draining.is_set():
        return None
    started = time.perf_counter()
    try:
        service.short.check(ASSUMED_SECONDS)
    except BusyError as error:
        busy = error
        return lambda: _counted(
            service, PREDICT, problem_response(busy, request_id=_request_id(scope)), started
        )
    return None


def _say_failed(service: Service, path: str, error: VoxaffectError, request: Request) -> None:
    from voxaffect.serve.log import say

    if error.code not in ("draining", "not_ready"):
        say("failed", path=path, request=_request_id(request.scope), code=error.code, message=error.message)


def _request_id(scope: Scope) -> str:
    state: dict[str, Any] = scope.setdefault("state", {})
    return str(state.setdefault("request_id", uuid4().hex))
