"""Downloads a corpus whose terms allow it: resumed, held to its publisher's checksum, there whole or not at all.

In the folder that was asked for, `.NAME.part` holds what is under way: archives, which a later call goes on with, and
what is unpacked of them, which becomes `NAME` by one rename at the end. Nothing else is written, nothing is downloaded
before its terms were accepted, and no archive is opened before its checksum is right.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

from voxaffect import __version__, corpora
from voxaffect.corpora.archive import HEAD_BYTES, Limits, extract, kind
from voxaffect.corpora.info import CorpusInfo, Download
from voxaffect.errors import CorpusError, ResourceError, UsageError

OFFLINE_VARIABLE = "VOXAFFECT_OFFLINE"
"""Forbids the network where it is set to anything but 0."""
TIMEOUT = 60.0
"""Seconds without a byte after which a connection is given up."""
N_ATTEMPTS = 10
"""How often a download that breaks off is taken up again within one call, as long as each attempt gets further."""

Progress = Callable[[str, int, int], None]
"""Called with `download` and bytes, `check` and bytes, or `unpack` and files: how many are done, and of how many."""

_BLOCK = 1 << 18  # bytes
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def fetch(
    name: str,
    folder: str | Path,
    *,
    accept_licence: bool = False,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Path:
    """Download the corpus `name` and unpack it as `folder/NAME`, which comes back.

    A call that was interrupted, by whatever, is taken up by the next one. `accept_licence` says that whoever
    calls has read the terms at `INFO.licence_url`.

    Raises:
        UsageError: `unknown_corpus`, `not_fetched`, `licence_not_accepted`, `offline`, `output_exists`.
        CorpusError: `download_failed`, `download_incomplete`, `not_an_archive`, `wrong_size`,
            `wrong_checksum`, and what `voxaffect.corpora.archive.extract` finds.
        ResourceError: `disk`, `disk_full`.
    """
    info = corpora.get(name).INFO
    target = Path(folder) / info.name
    _permit(info, target, accept_licence)
    report = progress or (lambda what, done, total: None)
    part = target.with_name(f".{info.name}.part")
    unpacked = part / "unpacked"
    try:
        part.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(unpacked, ignore_errors=True)  # left by a call that was killed
        archives = [_downloaded(item, part, info, report) for item in info.downloads]
        for item, archive in zip(info.downloads, archives, strict=True):
            _unpack(item, archive, unpacked, limits, report)
        if target.is_dir():
            target.rmdir()  # empty, see _permit; not every system renames onto a folder
        unpacked.rename(target)
        shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise _unwritable(part, error) from error
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
        if part.is_dir() and not any(part.iterdir()):
            part.rmdir()
    return target


def _permit(info: CorpusInfo, target: Path, accept_licence: bool) -> None:
    if info.why_not_fetched:
        raise UsageError(
            "not_fetched",
            f"{info.title} is not fetched: {info.why_not_fetched}",
            hint=f"see {info.url}: {info.how_to_get}",
        )
    if not accept_licence:
        raise UsageError(
            "licence_not_accepted",
            f"{info.title} has terms: {info.licence}, {info.licence_url}",
            hint="read them, then add --accept-licence",
        )
    if os.environ.get(OFFLINE_VARIABLE, "0") not in ("", "0"):
        raise UsageError(
            "offline", f"{OFFLINE_VARIABLE} forbids the network", hint="unset it, or fetch on another machine"
        )
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(
            "output_exists",
            f"{target} is there already",
            hint=f"see: voxaffect corpus check {info.name} {target}",
        )


def _downloaded(item: Download, folder: Path, info: CorpusInfo, report: Progress) -> Path:
    """The archive in `folder`, whole and checked; what is there of it already is not asked for again."""
    path = folder / item.filename
    _need_room(item, path)
    for _ in range(N_ATTEMPTS):
        before = _size(path)
        try:
            _get(item, path, report)
        except (OSError, http.client.HTTPException) as error:
            if _size(path) <= before:
                raise _failed(item, info, path, error) from error
        if _size(path) == item.size:
            break
        if _size(path) <= before:
            raise _incomplete(item, path)
    else:
        raise _incomplete(item, path)
    digest = hashlib.new(item.algorithm, usedforsecurity=False)
    done = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            report("check", done, item.size)
    if digest.hexdigest() != item.digest:
        path.unlink()
        raise CorpusError(
            "wrong_checksum",
            f"{item.filename} has {item.algorithm} {digest.hexdigest()}; its publisher states {item.digest}",
            hint="it was deleted; try again, and if it stays so, the file at that address is another one",
            where=item.url,
        )
    return path


def _get(item: Download, path: Path, report: Progress) -> None:
    """Ask for what is missing of the file, and append it."""
    start = _size(path)
    if start > item.size:
        path.unlink()
        start = 0
    if start == item.size:
        return None
    headers = {"User-Agent": f"voxaffect/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        answer = _opener().open(urllib.request.Request(item.url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            path.unlink()  # the file there ends before ours: it is another one
            return _get(item, path, report)
        raise
    with answer:
        begins, total = _announced(answer)
        if begins not in (0, start):
            raise http.client.HTTPException(f"asked for byte {start}, was given byte {begins}")
        block = answer.read(_BLOCK)
        if begins == 0:
            _recognise(item, block)
        if total is not None and total != item.size:
            path.unlink(missing_ok=True)
            raise CorpusError(
                "wrong_size",
                f"{item.url} has {total} bytes; its publisher states {item.size}",
                hint="it may be another edition; see the corpus' own page",
                where=item.url,
            )
        _append(item, path, begins, block, answer, report)
    return None


def _append(
    item: Download, path: Path, begins: int, block: bytes, answer: IO[bytes], report: Progress
) -> None:
    done = begins
    try:
        file = path.open("ab" if begins else "wb")
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        while block:
            done += len(block)
            if done > item.size:
                file.close()
                path.unlink()
                raise CorpusError(
                    "wrong_size",
                    f"{item.url} gives more than the {item.size} bytes that its publisher states",
                    where=item.url,
                )
            try:
                file.write(block)
            except OSError as error:
                raise _unwritable(path, error) from error
            report("download", done, item.size)
            block = answer.read(_BLOCK)


def _announced(answer: http.client.HTTPResponse) -> tuple[int, int | None]:
    """At which byte the answer begins, and how many the whole file has, if it says so."""
    if answer.status == http.client.PARTIAL_CONTENT:
        match = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if match is None:
            raise http.client.HTTPException("a part of the file came without saying which")
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _recognise(item: Download, head: bytes) -> None:
    """Raise CorpusError `not_an_archive` if the file does not begin as one, as a page with a login does not."""
    if kind(head[:HEAD_BYTES]) is not None:
        return
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].lower()
    page = start.startswith((b"<!doctype html", b"<html"))
    raise CorpusError(
        "not_an_archive",
        f"{item.url} was answered with "
        + ("a web page" if page else "something that is neither zip nor tar"),
        hint="is there a login or a captive portal between here and the network?" if page else None,
        where=item.url,
    )


def _unpack(item: Download, archive: Path, folder: Path, limits: Limits | None, report: Progress) -> None:
    """Unpack the archive and those inside of it; one that is refused is deleted."""

    def files(done: int, total: int) -> None:
        report("unpack", done, total)

    try:
        extract(archive, folder, limits=limits, progress=files)
        for name in item.nested:
            inner = folder / name
            if not inner.is_file():
                raise CorpusError("archive_damaged", f"{item.filename} has no {name} in it", where=item.url)
            extract(inner, inner.parent, limits=limits, progress=files)
            inner.unlink()
    except CorpusError:
        archive.unlink(missing_ok=True)
        raise


def _opener() -> urllib.request.OpenerDirector:
    """Opens http and https alone: no file, ftp or data, whatever an answer redirects to."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _need_room(item: Download, path: Path) -> None:
    missing, free = item.size - _size(path), shutil.disk_usage(path.parent).free
    if missing > free:
        raise ResourceError(
            "disk_full",
            f"{item.filename} needs {missing} bytes more; {free} are free",
            where=str(path.parent),
        )


def _unwritable(path: Path, error: OSError) -> ResourceError:
    return ResourceError("disk", f"cannot write {path}: {error.strerror or error}", where=str(path))


def _failed(item: Download, info: CorpusInfo, path: Path, error: Exception) -> CorpusError:
    if isinstance(error, urllib.error.HTTPError):
        why = f"the server answers {error.code} {error.reason}"
    else:
        why = str(getattr(error, "reason", None) or error or type(error).__name__)
    kept = f"; {_size(path)} bytes are kept for the next call" if _size(path) else ""
    return CorpusError(
        "download_failed",
        f"{item.filename} cannot be downloaded: {why}{kept}",
        hint=f"try again later, or by hand, see {info.url}: {info.how_to_get}",
        where=item.url,
    )


def _incomplete(item: Download, path: Path) -> CorpusError:
    return CorpusError(
        "download_incomplete",
        f"{item.filename} broke off at {_size(path)} of {item.size} bytes",
        hint="call again, it goes on from there",
        where=item.url,
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
