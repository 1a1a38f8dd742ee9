"""Errors over HTTP: application/problem+json (RFC 9457) with the error object of every interface."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from voxaffect.errors import UsageError, VoxaffectError
from voxaffect.serve.admission import BusyError

STATUS = {
    "unauthorised": 401,
    "origin_refused": 403,
    "prohibited_role": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "body_timeout": 408,
    "too_many_bytes": 413,
    "not_audio": 415,
    "unsupported_format": 415,
    "no_audio_stream": 415,
    "urls_not_supported": 415,
    "host_refused": 421,
    "too_many_headers": 431,
    "queue_full": 429,
    "too_many_uploads": 429,
    "bad_request": 400,
    "bad_form": 400,
    "bad_result": 400,
    "inference_failed": 500,
    "bug": 500,
    "not_ready": 503,
    "draining": 503,
    "streams_full": 503,
    "queue_timeout": 503,
    "out_of_memory": 422,
    "cancelled": 503,
}
"""Of an error's code; other errors of usage are 400, all else is 422: understood, and not usable."""


def status_of(error: VoxaffectError) -> int:
    """The HTTP status that `error` is answered with."""
    return STATUS.get(error.code, 400 if isinstance(error, UsageError) else 422)


def problem(error: VoxaffectError, *, request_id: str | None = None) -> dict[str, Any]:
    """The body of the answer."""
    status = status_of(error)
    data: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message,
        "error": error.to_dict(),
    }
    return data if request_id is None else {**data, "request": request_id}


def headers_of(error: VoxaffectError) -> dict[str, str]:
    """The headers that go with `error`."""
    headers = {"Cache-Control": "no-store"}
    status = status_of(error)
    if isinstance(error, BusyError):
        headers["Retry-After"] = str(error.retry_after)
    elif status == 503:
        headers["Retry-After"] = "5"
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (408, 413, 431) or error.code == "draining":
        headers["Connection"] = "close"
    return headers


def problem_response(error: VoxaffectError, *, request_id: str | None = None) -> Response:
    """The answer to a request that fails with `error`."""
    return Response(
        json.dumps(problem(error, request_id=request_id)),
        status_code=status_of(error),
        media_type="application/problem+json",
        headers=headers_of(error),
    )
