"""Opens what a user calls an audio input: a path, bytes, a file object or a pipe; never a device."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol, cast

from voxaffect.audio_format import HEAD_BYTES
from voxaffect.errors import AudioError, ResourceError

PIPE_BYTES = 100 * 2**20
"""How much of a pipe is held in memory for a container that keeps its index at its end."""

TAIL_BYTES = 65_536 + 27 + 255
"""How much of the end of a pipe is remembered: the longest page of an Ogg file."""

_URL = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]+://|(file|concat|pipe|data|cache|crypto|subfile|async|fd|http|https):"
)
_READ_ONLY = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # a FIFO put there after the check cannot make us wait
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


class ByteFile(Protocol):
    """What decoders need of a file; `seek` and `tell` too, where `Input.seekable`."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size`; empty at the end."""
        ...


@dataclass(frozen=True)
class Input:
    """An opened input, at its first byte. `size` is None for a pipe; `name` is safe to print on one line."""

    where: str
    name: str
    path: str | None
    suffix: str
    file: ByteFile
    size: int | None
    head: bytes
    close: Callable[[], None]

    @property
    def seekable(self) -> bool:
        """Whether the bytes can be read more than once."""
        return self.size is not None

    @property
    def tail(self) -> bytes:
        """The last bytes of a pipe that were read so far, at most TAIL_BYTES; of a seekable input, none."""
        return self.file.tail if isinstance(self.file, _Pipe) else b""

    def seek(self, offset: int) -> None:
        """Go to `offset` bytes from the start of a seekable input."""
        cast("io.BufferedIOBase", self.file).seek(offset)

    def error(self, code: str, message: str, hint: str | None = None) -> AudioError:
        """An AudioError about this input."""
        return AudioError(code, message, hint=hint, where=self.where)


def open_input(audio: str | os.PathLike[str] | bytes | io.IOBase | object) -> Input:
    """Open a path, the bytes of a file, or a binary file object.

    A seekable file object is read from its start, any other from where it stands; neither is closed.

    Raises:
        AudioError: `not_found`, `not_a_file`, `permission`, `urls_not_supported`, `empty_file`, `unreadable`.
        ResourceError: `too_many_files`.
        TypeError: `audio` is something else.
    """
    if isinstance(audio, bytes | bytearray | memoryview):
        return _from_file(io.BytesIO(audio), "<bytes>", len(audio))
    if isinstance(audio, str | os.PathLike):
        return _from_path(os.fsdecode(audio))
    if hasattr(audio, "read"):
        return _from_file_object(audio)
    raise TypeError(
        f"audio is {type(audio).__name__}; expected a path, bytes, a binary file or (samples, sample_rate)"
    )


def held_in_memory(source: Input) -> Input:
    """The whole of a pipe as a seekable input; raises ResourceError `too_big` past PIPE_BYTES."""
    data = bytearray()
    while chunk := source.file.read(2**20):
        data += chunk
        if len(data) > PIPE_BYTES:
            raise ResourceError(
                "too_big",
                f"{source.name} has its index at its end; at most {PIPE_BYTES >> 20} MiB of a pipe are held",
                hint="give the file itself",
                where=source.where,
            )
    held = _from_file(io.BytesIO(data), source.where, len(data))
    return Input(
        held.where, source.name, source.path, source.suffix, held.file, held.size, held.head, source.close
    )


def unreadable(source: Input, error: OSError) -> AudioError:
    """The error for an input whose bytes cannot be read to the end, as on a failing disk."""
    return source.error(
        "unreadable", f"{source.name} cannot be read ({error.strerror or type(error).__name__})"
    )


def printable(text: str) -> str:
    """`text` on one line, with control characters, bidirectional marks and undecodable bytes escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class _Pipe:
    """A file that cannot seek, with the head that was looked at put back in front. PyAV asks for `seek`."""

    def __init__(self, head: bytes, file: ByteFile) -> None:
        self._head, self._file = head, file
        self.tail = b""

    def read(self, size: int = -1, /) -> bytes:
        if self._head:
            size = len(self._head) if size < 0 else size
            data, self._head = self._head[:size], self._head[size:]
        else:
            data = self._file.read(size) or b""
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        return data


def _from_path(path: str) -> Input:
    name = printable(PurePath(path).name or path)

    def refused(code: str, message: str, hint: str | None = None) -> AudioError:
        return AudioError(code, message, hint=hint, where=path)

    try:
        kind = os.stat(path).st_mode  # noqa: PTH116  (Path would refuse names that the system allows)
        if not stat.S_ISREG(kind):
            raise refused("not_a_file", f"{name} is {_kind(kind)}, not a file", _kind_hint(kind))
        descriptor = os.open(path, _READ_ONLY)
    except (OSError, ValueError) as error:
        if _URL.match(path):
            raise refused(
                "urls_not_supported", f"{printable(path)} is a URL; only files are read", "download it first"
            ) from None
        if isinstance(error, ValueError):  # a NUL byte in the name
            raise refused("not_found", f"no file can be called {name}") from None
        raise _from_os_error(error, name, path) from None
    file = os.fdopen(descriptor, "rb")
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):  # swapped since
            raise refused("not_a_file", f"{name} is {_kind(status.st_mode)}, not a file")
        return _from_file(file, path, status.st_size, path=path, close=file.close)
    except BaseException:
        file.close()
        raise


def _from_file_object(file: object) -> Input:
    label = getattr(file, "name", None)
    where = label if isinstance(label, str) else "<file>"
    binary = cast("io.BufferedIOBase", file)
    try:
        seekable = binary.seekable()
        size = binary.seek(0, io.SEEK_END) if seekable else None
    except (AttributeError, OSError):
        size = None
    return _from_file(binary, where, size)


def _from_file(
    file: io.BufferedIOBase | io.BytesIO | io.BufferedReader,
    where: str,
    size: int | None,
    *,
    path: str | None = None,
    close: Callable[[], None] = lambda: None,
) -> Input:
    name = printable(PurePath(where).name or where)
    if size is not None:
        file.seek(0)
    try:
        head = b""
        while len(head) < HEAD_BYTES and (chunk := file.read(HEAD_BYTES - len(head))):
            if not isinstance(chunk, bytes):
                raise TypeError(f"{where} gives {type(chunk).__name__}; open it in binary mode")
            head += chunk
    except OSError as error:
        raise _from_os_error(error, name, where) from None
    if not head:
        raise AudioError(
            "empty_file",
            f"{name} holds no audio (0 bytes)",
            hint="was the recording stopped early?",
            where=where,
        )
    if size is not None:
        file.seek(0)
    stream: ByteFile = file if size is not None else _Pipe(head, file)
    return Input(where, name, path, PurePath(where).suffix, stream, size, head, close)


def _from_os_error(error: OSError, name: str, where: str) -> AudioError | ResourceError:
    reason = error.strerror or type(error).__name__
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
        return AudioError("not_found", f"there is no file {name} ({reason})", where=where)
    if error.errno in (errno.EACCES, errno.EPERM):
        return AudioError("permission", f"{name} may not be read ({reason})", where=where)
    if error.errno == errno.ELOOP:
        return AudioError("not_a_file", f"{name} is a symbolic link that leads in a circle", where=where)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return ResourceError("too_many_files", f"{name}: {reason}", hint="raise ulimit -n", where=where)
    return AudioError("unreadable", f"{name} cannot be read ({reason})", where=where)


def _kind(mode: int) -> str:
    for test, words in (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if test(mode):
            return words
    return "something else"


def _kind_hint(mode: int) -> str | None:
    return "pipe it in: voxaffect predict - < pipe" if stat.S_ISFIFO(mode) else None
