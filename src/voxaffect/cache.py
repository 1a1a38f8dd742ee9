"""A content-addressed cache of arrays: what a frozen encoder says of a recording is computed once, ever.

The key of an entry is a hash over everything that decides its value (audio content, encoder weights, options,
code version), so nothing has to be invalidated. Each file begins with the sha256 of what follows: a damaged
entry is found at reading, counted and computed anew. Files appear by rename, so several processes may share
one folder without locks. What was used longest ago is removed where a folder outgrows its limit; to whoever wanted
it, it is a miss.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from voxaffect.errors import UsageError
from voxaffect.files import HALF_WRITTEN

DIGEST_BYTES = 32
LIMIT_VARIABLE = "VOXAFFECT_CACHE_LIMIT"
"""Names the GB (10^9 bytes) that a cache may take on disk."""
DEFAULT_LIMIT = 20.0  # GB
_KEPT = 0.9
"""The share of the limit that is left when entries are removed, so that not every new one removes some."""
_ABANDONED = 3600.0  # seconds after which nobody is still writing a file


def default_cache_folder() -> Path | None:
    """`$VOXAFFECT_CACHE`, else the user's cache folder; None where the machine has no home directory."""
    if folder := os.environ.get("VOXAFFECT_CACHE"):
        return Path(folder)
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "voxaffect"
    try:
        return Path.home() / ".cache" / "voxaffect"
    except RuntimeError:
        return None


def cache_limit() -> int:
    """The bytes that a cache may take: `$VOXAFFECT_CACHE_LIMIT` GB, else DEFAULT_LIMIT.

    Raises UsageError `bad_value` where the variable is no number above 0.
    """
    text = os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_LIMIT)
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 < limit < math.inf:
        raise UsageError("bad_value", f"{LIMIT_VARIABLE} is {text!r}; expected a number of GB above 0")
    return int(limit * 1e9)


def content_key(*parts: bytes | str) -> str:
    """A hex sha256 over `parts` and their lengths, so that no two lists of parts share a key by accident."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def seal(payload: bytes) -> bytes:
    """`payload` behind its own sha256, so that a reader can tell damage."""
    return hashlib.sha256(payload).digest() + payload


def unseal(data: bytes) -> bytes | None:
    """What `seal` was given, or None if a single bit of it is no longer the same."""
    payload = data[DIGEST_BYTES:]
    return payload if hashlib.sha256(payload).digest() == data[:DIGEST_BYTES] else None


class ArrayCache:
    """Arrays by content key in a folder of about `limit` bytes at most; without a folder (None) nothing is kept.

    `hits`, `misses`, `damaged` and `removed` count what happened. A folder that cannot be written is reported once
    on stderr and then done without.
    """

    def __init__(self, folder: Path | None, limit: int | None = None) -> None:
        self.folder = folder
        self.limit = limit
        self.hits = self.misses = self.damaged = self.removed = 0
        self._taken: int | None = (
            None  # bytes in the folder as far as this process knows; counted at the first write
        )

    def get(self, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of `key`, computed and kept if it is not there or no longer what was written."""
        found = self._read(key)
        if found is not None:
            self.hits += 1
            return found
        self.misses += 1
        array = compute()
        self._write(key, array)
        return array

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.npy"

    def _read(self, key: str) -> np.ndarray | None:
        if self.folder is None:
            return None
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        payload = unseal(data)
        if payload is None:
            self.damaged += 1
            return None
        with contextlib.suppress(OSError):  # a folder that may only be read, or an entry removed since
            os.utime(
                path
            )  # its time is that of its last use; file systems do not keep that time by themselves
        array: np.ndarray = np.load(io.BytesIO(payload), allow_pickle=False)
        return array

    def _write(self, key: str, array: np.ndarray) -> None:
        if self.folder is None:
            return
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        path = self._path(key)
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
            with os.fdopen(handle, "wb") as file:
                file.write(seal(buffer.getvalue()))
            Path(temporary).replace(path)
        except OSError as error:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink()
            print(f"voxaffect: warning: cache at {self.folder} is not used: {error}", file=sys.stderr)  # noqa: T201
            self.folder = None
            return
        self._make_room(DIGEST_BYTES + len(buffer.getbuffer()))

    def _make_room(self, added: int) -> None:
        """Count the `added` bytes; over the limit, remove what was used longest ago."""
        if self.limit is None:
            return
        if self._taken is None:
            self._taken = sum(size for _, size, _ in self._entries())
        else:
            self._taken += added
        if self._taken <= self.limit:
            return
        entries = sorted(self._entries())  # anew: another process may have written, used or removed some
        self._taken = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if self._taken <= _KEPT * self.limit:
                return
            with contextlib.suppress(OSError):
                path.unlink()
                self.removed += 1
            self._taken -= size

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """When each file of the cache was last used, its size and path; not those that are being written."""
        assert self.folder is not None
        for place in self.folder.glob("[0-9a-f][0-9a-f]"):
            for entry in os.scandir(place):
                with contextlib.suppress(OSError):  # gone since
                    status = entry.stat()
                    used = status.st_mtime
                    if entry.name.endswith(".npy") or (
                        entry.name.endswith(HALF_WRITTEN) and used < time.time() - _ABANDONED
                    ):
                        yield used, status.st_size, Path(entry.path)
