"""The HTTP contract as OpenAPI 3.1, made from what the server really has, and a page of it without scripts."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from voxaffect import __version__, formats
from voxaffect.result import FAILURE_FIELDS
from voxaffect.serve.query import OPTIONS
from voxaffect.serve.settings import ServeSettings

PROBLEMS = {
    "400": "An option, form or request that cannot be understood.",
    "401": "No token, a wrong one, or one in the URL.",
    "403": "Not from that Origin.",
    "408": "The body stalled.",
    "413": "Too many bytes.",
    "415": "Not audio, or of a kind that is not read.",
    "421": "Not to that Host.",
    "422": "Audio that cannot be used: too long, damaged, empty.",
    "429": "The queue is full: come again after `Retry-After` seconds.",
    "500": "The model failed.",
    "503": "Not ready, or stopping.",
}


def document(settings: ServeSettings) -> dict[str, Any]:
    """The OpenAPI document of a server with `settings`."""
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    problems = {status: {"description": meaning, "content": problem} for status, meaning in PROBLEMS.items()}
    names = formats.names()
    security: list[dict[str, list[str]]] = [{"bearer": []}] if settings.token else []
    audio = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "schema": {
            "type": "object",
            "properties": {"file": {"type": "string", "format": "binary"}},
            "required": ["file"],
        }
    }
    options = [
        {
            "name": name,
            "in": "query",
            "description": option.meaning,
            "schema": dict(option.schema),
        }
        for name, option in OPTIONS.items()
    ]
    chosen = {
        "name": "format",
        "in": "query",
        "description": "the format of the answer",
        "schema": {"type": "string", "enum": names, "default": "json"},
    }
    result = {"application/json": {"schema": {"$ref": "#/components/schemas/Result"}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "voxaffect",
            "version": __version__,
            "description": "Speech emotion recognition on this machine. Audio is kept in memory until it is judged, "
            "and nowhere else. Perceived, mostly acted emotion is recognised, not what a person feels.",
        },
        "paths": {
            "/v1/predict": {
                "post": {
                    "summary": f"How a recording sounds: at most {settings.max_upload_mb:g} MiB and "
                    f"{settings.max_duration:g} s.",
                    "parameters": [*options, chosen],
                    "requestBody": {
                        "required": True,
                        "content": {"audio/*": audio, "multipart/form-data": form},
                    },
                    "responses": {"200": {"description": "The answer.", "content": result}, **problems},
                    "security": security,
                }
            },
            "/v1/format": {
                "post": {
                    "summary": "A result as a file of another format.",
                    "parameters": [{**chosen, "required": True}],
                    "requestBody": {"required": True, "content": result},
                    "responses": {"200": {"description": "The file."}, "400": problems["400"]},
                    "security": security,
                }
            },
            "/v1/models": {
                "get": {
                    "summary": "The model, its card, the formats, and the limits of this server.",
                    "responses": {"200": {"description": "models, formats, limits, version"}},
                    "security": security,
                }
            },
            "/v1/stream": {
                "get": {
                    "summary": "A live stream (WebSocket): JSON as text frames, audio as binary ones; "
                    "see docs/server.md.",
                    "responses": {"101": {"description": "The stream."}, "403": problems["403"]},
                    "security": security,
                }
            },
            "/livez": {"get": _plain("Whether this process answers.")},
            "/readyz": {"get": _plain("Whether requests are accepted.")},
            "/metrics": {"get": _plain("Counters for Prometheus.")},
        },
        "components": {
            "schemas": {
                "Result": {
                    "type": "object",
                    "description": "voxaffect.result/1, as the command gives it",
                    "required": ["schema", "id", "label", "segments", "error"],
                },
                "Problem": {
                    "type": "object",
                    "properties": {
                        "status": {"type": "integer"},
                        "title": {"type": "string"},
                        "detail": {"type": "string"},
                        "error": {
                            "type": "object",
                            "properties": {name: {"type": ["string", "null"]} for name in FAILURE_FIELDS},
                        },
                        "request": {"type": "string"},
                    },
                },
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def page(document: dict[str, Any]) -> str:
    """The document for people: plain HTML, no script, no style from elsewhere."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>voxaffect {escape(document['info']['version'])}: HTTP</title><h1>voxaffect over HTTP</h1>",
        f"<p>{escape(document['info']['description'])}</p>",
        "<p>The same for programs: <a href=/openapi.json>openapi.json</a>. <a href=/>The page</a>.</p>",
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(
                f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['summary'])}</p>"
            )
            if operation.get("parameters"):
                parts.append("<table><tr><th>query</th><th>meaning</th><th>values</th></tr>")
                parts += [_row(parameter) for parameter in operation["parameters"]]
                parts.append("</table>")
            parts.append("<ul>")
            parts += [
                f"<li>{status}: {escape(response['description'])}</li>"
                for status, response in operation["responses"].items()
            ]
            parts.append("</ul>")
    return "".join([*parts, "</html>"])


def _row(parameter: dict[str, Any]) -> str:
    schema = json.dumps(parameter["schema"])
    name, meaning = escape(parameter["name"]), escape(parameter["description"])
    return f"<tr><td><code>{name}</code></td><td>{meaning}</td><td><code>{escape(schema)}</code></td></tr>"


def _plain(summary: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": "text"}}}
