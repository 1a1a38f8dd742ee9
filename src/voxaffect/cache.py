"""A content-addressed cache of arrays: what a frozen encoder says of a recording is computed once, ever.

The key of an entry is a hash over everything that decides its value (audio content, encoder weights, options,
code version), so nothing has to be invalidated. Each file begins with the sha256 of what follows: a damaged
entry is found at reading, counted and computed anew. Files appear by rename, so several processes may share
one folder without locks.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

DIGEST_BYTES = 32


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
    """Arrays by content key in a folder; without a folder (None) nothing is kept.

    `hits`, `misses` and `damaged` count what happened. A folder that cannot be written is reported once on
    stderr and then done without.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.hits = self.misses = self.damaged = 0

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
        try:
            data = self._path(key).read_bytes()
        except OSError:
            return None
        payload = unseal(data)
        if payload is None:
            self.damaged += 1
            return None
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
