"""Unpacks archives that strangers made: nothing leaves the folder, and size and number of files are limited.

Read are zip, and tar plain or packed with gzip, bzip2 or xz. Every entry is written by hand into a folder of its own;
what is no plain file or folder, or whose name leads elsewhere, ends the work.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from voxaffect.errors import CorpusError, ResourceError

KINDS = {
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
}
"""Archives by their first bytes; a plain tar says what it is at byte 257."""
HEAD_BYTES = 512

_BLOCK = 1 << 20  # bytes
_ZIP_END_BYTES = (
    22 + 0xFFFF + 20 + 56
)  # the end of a zip: record and longest comment, zip64 locator and record
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    UnicodeDecodeError,
    NotImplementedError,
)
_SPECIAL = (  # tarfile's tests for what is neither file nor folder
    ("issym", "a symbolic link"),
    ("islnk", "a hard link"),
    ("ischr", "a device"),
    ("isblk", "a device"),
    ("isfifo", "a named pipe"),
    ("issparse", "a sparse file"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may hold: files and folders, bytes unpacked, and bytes for each byte of the archive.

    The ratio counts only past `free_bytes`, because a small archive of silence packs well.
    """

    max_files: int = 100_000
    max_bytes: int = 64 << 30
    max_ratio: int = 100
    free_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of an archive: its name as written, its size in bytes, what it is if it is special, its bytes."""

    name: str
    size: int
    is_folder: bool
    special: str | None
    open: Callable[[], IO[bytes]]


def kind(head: bytes) -> str | None:
    """`zip`, `gzip`, `bzip2`, `xz` or `tar`, by the first HEAD_BYTES of a file; None if it is none of these."""
    for magic, name in KINDS.items():
        if head.startswith(magic):
            return name
    return "tar" if head[257:262] == b"ustar" else None


def extract(
    archive: Path,
    folder: Path,
    *,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Unpack `archive` into `folder`, which is made if it is not there; the number of files comes back.

    What was written when it fails stays there: give a folder that can be thrown away. `progress` is called with
    the number of entries done and their total, 0 where that is not known.

    Raises:
        CorpusError: `archive_unknown`, `archive_damaged`, `archive_unsafe`, `archive_too_large`.
        ResourceError: `disk`.
    """
    source = _Source(archive, archive.stat().st_size, limits or Limits())
    with archive.open("rb") as file:
        what = kind(file.read(HEAD_BYTES))
        file.seek(0)
        if what is None:
            raise source.refused("archive_unknown", "is neither zip nor tar")
        try:
            if what == "zip":
                source.check_count(_announced(file))
                with zipfile.ZipFile(file) as zipped:
                    return _write(source, _zip_entries(zipped), folder, len(zipped.filelist), progress)
            counted = _Counted(source, _unpacker(what, file))
            with tarfile.open(fileobj=counted, mode="r|") as tar:  # type: ignore[call-overload]
                return _write(source, _tar_entries(tar), folder, 0, progress)
        except _DAMAGED as error:
            raise source.damaged(error) from error


@dataclass(frozen=True, slots=True)
class _Source:
    """The archive that is being unpacked: its bytes as it is packed, and what it may hold."""

    path: Path
    packed: int
    limits: Limits

    def check_count(self, n_entries: int) -> None:
        """Raise CorpusError `archive_too_large` if it holds more files and folders than it may."""
        if n_entries > self.limits.max_files:
            raise self.refused(
                "archive_too_large", f"holds more than {self.limits.max_files} files, which is the limit"
            )

    def check_size(self, n_bytes: int) -> None:
        """Raise CorpusError `archive_too_large` if that is more than may come out of it."""
        limits = self.limits
        if n_bytes > limits.max_bytes:
            what = f"unpacks to more than {limits.max_bytes} bytes, which is the limit"
        elif n_bytes > max(limits.free_bytes, self.packed * limits.max_ratio):
            what = (
                f"unpacks to more than {limits.max_ratio} times its {self.packed} bytes, which is the limit"
            )
        else:
            return
        raise self.refused("archive_too_large", what)

    def damaged(self, error: Exception) -> CorpusError:
        """The error for bytes that no archive has."""
        return self.refused("archive_damaged", f"is damaged ({str(error) or type(error).__name__})")

    def refused(self, code: str, what: str) -> CorpusError:
        """A CorpusError about the archive."""
        return CorpusError(code, f"{self.path.name} {what}", where=str(self.path))


def _announced(file: IO[bytes]) -> int:
    """How many entries the end of a zip claims, so that a list of millions is not even read; 0 if it says nothing.

    Source: PKWARE's APPNOTE, 4.3.14 (zip64 end of central directory) and 4.3.16.
    """
    file.seek(max(0, file.seek(0, os.SEEK_END) - _ZIP_END_BYTES))
    end = file.read()
    file.seek(0)
    at = end.rfind(b"PK\x05\x06")
    n_entries = int.from_bytes(end[at + 10 : at + 12], "little") if at >= 0 else 0
    if n_entries < 0xFFFF:
        return n_entries
    at = end.rfind(b"PK\x06\x06")
    return int.from_bytes(end[at + 32 : at + 40], "little") if at >= 0 else n_entries


def _zip_entries(zipped: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in zipped.infolist():
        mode = info.external_attr >> 16
        if info.flag_bits & 1:
            special = "encrypted"
        elif stat.S_ISLNK(mode):
            special = "a symbolic link"
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            special = "no plain file"
        else:
            special = None
        yield _Entry(info.orig_filename, info.file_size, info.is_dir(), special, partial(zipped.open, info))


def _tar_entries(tar: tarfile.TarFile) -> Iterator[_Entry]:
    for member in tar:
        special = next((words for test, words in _SPECIAL if getattr(member, test)()), None)
        if special is None and not (member.isreg() or member.isdir()):
            special = "no plain file"
        yield _Entry(member.name, member.size, member.isdir(), special, partial(_tar_file, tar, member))


def _tar_file(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    assert file is not None, member.name  # links and folders never come here
    return file


def _write(
    source: _Source,
    entries: Iterator[_Entry],
    folder: Path,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> int:
    source.check_count(total)
    names = _Names(source)
    n_files = n_bytes = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for n_entries, entry in enumerate(entries, start=1):
            source.check_count(n_entries)
            if entry.special or entry.size < 0:
                what = entry.special or "of less than no size"
                raise source.refused("archive_unsafe", f"holds {entry.name!r}, which is {what}")
            target = folder.joinpath(*names.parts(entry))
            if entry.is_folder:
                target.mkdir(parents=True, exist_ok=True)
            else:
                source.check_size(n_bytes + entry.size)
                target.parent.mkdir(parents=True, exist_ok=True)
                n_bytes = _copy(source, entry, target, n_bytes)
                n_files += 1
            if progress:
                progress(n_entries, total)
    except OSError as error:
        raise ResourceError(
            "disk", f"cannot unpack {source.path.name}: {error.strerror or error}", where=str(folder)
        ) from error
    return n_files


def _copy(source: _Source, entry: _Entry, target: Path, n_bytes: int) -> int:
    """Write one file; `n_bytes` and what really came out of it, whatever its entry says."""
    with entry.open() as packed, target.open("xb") as file:
        while block := packed.read(_BLOCK):
            n_bytes += len(block)
            source.check_size(n_bytes)
            file.write(block)
    return n_bytes


class _Names:
    """Turns the names of entries into parts of a path; refuses those that lead elsewhere or meet another."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def parts(self, entry: _Entry) -> tuple[str, ...]:
        """The folders and the name of `entry`; raise CorpusError `archive_unsafe` if they cannot be trusted."""
        name = entry.name.replace("\\", "/")
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in parts:
            raise self._unsafe(entry, "leads out of the folder")
        if (not parts and not entry.is_folder) or any(ord(c) < 32 for c in name):
            raise self._unsafe(entry, "is no name of a file")
        if any(len(os.fsencode(part)) > 255 for part in parts):
            raise self._unsafe(entry, "has a part of more than 255 bytes")
        keys = [
            "/".join(parts[: i + 1]) for i in range(len(parts))
        ]  # the folders above, then the entry itself
        keys = [unicodedata.normalize("NFC", key).casefold() for key in keys]
        above, own = (keys, []) if entry.is_folder else (keys[:-1], keys[-1:])
        if set(own) & (self._files | self._folders) or set(above) & self._files:
            raise self._unsafe(entry, "stands twice (upper and lower case count as the same)")
        self._files.update(own)
        self._folders.update(above)
        return parts

    def _unsafe(self, entry: _Entry, why: str) -> CorpusError:
        return self._source.refused("archive_unsafe", f"holds {entry.name!r}, which {why}")


class _Counted:
    """A stream whose unpacked bytes are counted, so that tar headers cannot swell either."""

    def __init__(self, source: _Source, file: IO[bytes]) -> None:
        self._source, self._file = source, file
        self._n_bytes = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`."""
        try:
            data = self._file.read(size)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise self._source.damaged(error) from error
        self._n_bytes += len(data)
        self._source.check_size(self._n_bytes)
        return data


def _unpacker(what: str, file: IO[bytes]) -> IO[bytes]:
    if what == "gzip":
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    if what == "bzip2":
        return bz2.BZ2File(file)
    if what == "xz":
        return lzma.LZMAFile(file)
    return file
