"""The server's log: a JSON object a line on stderr, ASCII, so that no name in it can forge or hide another line."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import suppress
from typing import Any


def say(event: str, /, **facts: Any) -> None:
    """One line: when, what, and `facts`; of clients, nothing but what was counted or measured."""
    line = json.dumps({"time": round(time.time(), 3), "event": event, **facts}, default=str)
    with suppress(OSError, ValueError):  # stderr may be closed
        print(line, file=sys.stderr, flush=True)  # noqa: T201


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        facts = {"error": f"{type(error).__name__}: {error}"} if error else {}
        say("log", level=record.levelname.lower(), message=record.getMessage().strip(), **facts)


def take_over() -> None:
    """Errors of uvicorn and asyncio go to this log; the rest of what they say, URLs among it, nowhere."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [_Handler()] if name in ("uvicorn", "asyncio") else []
        logger.propagate = name == "uvicorn.error"
        logger.setLevel(logging.CRITICAL if name == "uvicorn.access" else logging.ERROR)
