"""Files that appear whole or not at all: written beside their place, flushed, then renamed."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from voxaffect.errors import ResourceError, UsageError

HALF_WRITTEN = ".part"
"""How the name of a file ends while it is being written; it begins with a dot."""
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
"""What a system says that has no room left, on the disk or for this user."""


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8; as `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; as `write_bytes`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data`, making the folders that are not there; a reader sees the old file or the new one.

    Raises ResourceError as `atomic_file` does.
    """
    try:
        with suppress(FileExistsError):  # a file in the folder's place: opening says it better
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(error, path) from error
    with atomic_file(path) as file:
        file.write(data)


def refuse_existing(*files: Path) -> None:
    """Raise UsageError `output_exists` if one of `files` is there."""
    for file in files:
        if file.exists():
            raise UsageError(
                "output_exists", f"{file} is there already", hint="use --overwrite, or another name"
            )


@contextmanager
def atomic_file(path: str | os.PathLike[str], *, text: bool = False) -> Iterator[IO[Any]]:
    """A file (UTF-8 if `text`) that becomes `path` when all is written, and leaves nothing if that fails.

    Raises ResourceError `disk_full` or `cannot_write`.
    """
    with half_file(path, text=text) as half:
        yield half.file
        half.keep()


class HalfFile:
    """A file that is being written, from `half_file`."""

    def __init__(self, file: IO[Any], temporary: Path | None, path: Path) -> None:
        self.file = file
        self._temporary, self._path = temporary, path

    def keep(self) -> None:
        """Let it become what it was opened for: all is written."""
        self.file.flush()
        if self._temporary is None:
            return
        os.fsync(self.file.fileno())  # else a loss of power could leave the name with nothing behind it
        self.file.close()
        self._temporary.replace(self._path)


@contextmanager
def half_file(path: str | os.PathLike[str], *, text: bool = False) -> Iterator[HalfFile]:
    """A file beside `path` (UTF-8 if `text`) that becomes `path` when it is told to `keep`, and else leaves nothing.

    A device or pipe, as /dev/stdout, is written to as it is: a file must not take its place.

    Raises ResourceError `disk_full` or `cannot_write`.
    """
    path = Path(path)
    temporary = path.parent / f".voxaffect-{secrets.token_hex(8)}{HALF_WRITTEN}"  # not longer for a long name
    try:
        direct = _is_device(path)
        place, mode = (path, "w") if direct else (temporary, "x")
        with place.open(mode, encoding="utf-8", newline="") if text else place.open(mode + "b") as file:
            yield HalfFile(file, None if direct else temporary, path)
    except OSError as error:
        raise cannot_write(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _is_device(path: Path) -> bool:
    """Whether `path` is, or leads to, a character device or a pipe."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False  # not there, or opening says what is wrong
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def cannot_write(error: OSError, path: str | os.PathLike[str]) -> ResourceError:
    """The error for output that did not fit or was not allowed."""
    name = os.fspath(path)
    if error.errno in _FULL:
        return ResourceError(
            "disk_full", "no space left for the output", hint="make room and run it again", where=name
        )
    reason = error.strerror or str(error)
    return ResourceError("cannot_write", f"the output cannot be written ({reason})", where=name)
