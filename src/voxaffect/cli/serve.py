"""`voxaffect serve`: a page to speak into, predictions over HTTP, live streams over WebSocket."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxaffect.cli import add_model_arguments
from voxaffect.errors import UsageError, missing_extra

if TYPE_CHECKING:
    from voxaffect.serve.settings import ServeSettings

EPILOG = """\
examples:
  voxaffect serve                                     http://127.0.0.1:8000, for this machine alone
  voxaffect serve --port 0                            any free port; it is printed
  VOXAFFECT_TOKEN=... voxaffect serve --host 0.0.0.0 --allow-host voice.example.org
  curl --data-binary @call.m4a -H 'Content-Type: audio/mp4' http://127.0.0.1:8000/v1/predict

Beyond this machine it needs a token, and should stand behind a proxy that speaks TLS. SIGTERM or Ctrl-C lets what was
accepted come to its end; a second one ends it at once. See docs/server.md.

exit codes: 0 stopped, and all that was accepted was answered; 2 usage, or the port is taken; 5 model refused; 6 not all
could be answered in time.
"""
OPTIONS = {
    "host": ("ADDRESS", "listen on this address (default: 127.0.0.1, this machine alone)"),
    "port": ("N", "listen on this port; 0 for any that is free (default: 8000)"),
    "max_upload_mb": ("MB", "refuse larger bodies (default: 25)"),
    "max_duration": ("S", "refuse longer recordings (default: 7200)"),
    "workers": ("N", "processes that read short recordings (default: one more than cores)"),
    "queue_seconds": ("S", "audio of short recordings that may be waiting (default: 600)"),
    "streams": ("N", "live streams at a time (default: 200)"),
    "drain_timeout": ("S", "how long what was accepted may take once it is told to stop (default: 30)"),
}
"""Settings that are options, too; all others are keys of --config."""
NEEDED = ("starlette", "uvicorn", "websockets", "httptools", "python_multipart")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.epilog = EPILOG
    kinds: dict[str, Any] = {"host": str, "port": int, "workers": int, "streams": int}
    for name, (value, text) in OPTIONS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=kinds.get(name, float), metavar=value, help=text
        )
    parser.add_argument(
        "--allow-host",
        action="append",
        metavar="HOST[:PORT]",
        help="answer to this Host, too, as when a proxy is in front; repeatable",
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        metavar="ORIGIN",
        help="answer to pages of this origin, too, as https://app.example.org; repeatable",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="the token that requests need is in this file (default: in VOXAFFECT_TOKEN, else none)",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="settings by their names; options go before them"
    )
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop; 0 if all that was accepted was answered."""
    from importlib.util import find_spec

    for package in NEEDED:
        if find_spec(package) is None:
            raise missing_extra(package.replace("_", "-"), "serve")
    settings = chosen_settings(args)
    from voxaffect.serve.lifecycle import run as serve

    return serve(settings, args.model, args.device, quiet=args.quiet)


def chosen_settings(args: argparse.Namespace) -> ServeSettings:
    """The settings of --config, with those of the command line over them.

    Raises UsageError, and so do unknown keys.
    """
    from voxaffect.options import from_table
    from voxaffect.serve.settings import TOKEN_VARIABLE, ServeSettings

    table = {} if args.config is None else _read_toml(args.config)
    if "token" in table:
        raise UsageError(
            "token_in_config", "a token in a settings file is soon in a repository", hint="use --token-file"
        )
    given = {name: getattr(args, name) for name in OPTIONS}
    given |= {"allow_hosts": args.allow_host, "allow_origins": args.allow_origin}
    given["token"] = os.environ.get(TOKEN_VARIABLE) or None
    if args.token_file is not None:
        given["token"] = _read(args.token_file).strip()
    assert given.keys() <= {field.name for field in fields(ServeSettings)}
    return from_table(ServeSettings, table | {k: v for k, v in given.items() if v is not None}, "serve")


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError("bad_config", f"{path} is no TOML ({error})", where=str(path)) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError("unreadable", f"{path} cannot be read ({reason})", where=str(path)) from None
