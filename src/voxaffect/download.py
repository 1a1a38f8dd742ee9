"""Downloads encoder weights: resumed, held to their checksum, there whole or not at all.

What is under way lies beside its place, in `.NAME.part`; a later call goes on with it. One rename at the end.
"""

from __future__ import annotations

import fnmatch
import hashlib
import http.client
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from voxaffect.checkpoints import FILES, OFFLINE_VARIABLES, WeightsFile, check_file, is_offline
from voxaffect.errors import ArtefactError, UsageError, missing_extra
from voxaffect.files import cannot_write

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TIMEOUT = 60.0
"""Seconds without a byte after which a connection is given up."""
N_ATTEMPTS = 10
"""How often a download that breaks off is taken up again within one call, as long as each attempt gets further."""
CONFIGURATION = ("config.json", "preprocessor_config.json")
WEIGHTS = (("*.safetensors", "*.safetensors.index.json"), ("pytorch_model*.bin", "pytorch_model*.json"))
"""Files of a repository that hold weights, the kind that is taken first where there are both."""

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and those that there will be."""

_BLOCK = 1 << 18  # bytes


def download(name: str, folder: Path, progress: Progress = lambda done, total: None) -> Path:
    """Download the weights `name`, one of FILES or an `ORG/NAME` of the Hugging Face hub, into `folder`.

    Returns the file, or the folder NAME; one that is there already is checked, as far as that can be, and kept.
    `progress` is for files; a repository shows the hub's own bars, on a terminal.

    Raises:
        UsageError: `offline`, `unknown_checkpoint`, `missing_dependency`.
        ArtefactError: `download_failed`, `download_incomplete`, `wrong_size`, `wrong_checksum`, `model_damaged`.
        ResourceError: `disk_full`, `cannot_write`.
    """
    if name not in FILES and (name.count("/") != 1 or name.startswith((".", "/"))):
        raise UsageError(
            "unknown_checkpoint",
            f"unknown weights {name!r}; expected one of {list(FILES)} or an ORG/NAME of the Hugging Face hub",
        )
    target = folder / (FILES[name].filename if name in FILES else name.rsplit("/", 1)[1])
    if (target / "config.json").is_file():
        return target
    if name in FILES and target.is_file():
        check_file(target, FILES[name])
        return target
    if is_offline():
        raise UsageError(
            "offline",
            f"{' or '.join(OFFLINE_VARIABLES)} forbids the network",
            hint="unset it, or download on another machine",
        )
    return (
        download_file(FILES[name], folder, progress) if name in FILES else _download_repository(name, target)
    )


def download_file(known: WeightsFile, folder: Path, progress: Progress = lambda done, total: None) -> Path:
    """Download a known file into `folder`; raises as `download`."""
    target = folder / known.filename
    part = folder / f".{known.filename}.part"
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if _size(part) > known.n_bytes:
        part.unlink()  # of another file
    for _ in range(N_ATTEMPTS):
        before = _size(part)
        if before >= known.n_bytes:
            break
        try:
            _get(known, part, progress)
        except (OSError, http.client.HTTPException) as error:
            if _size(part) <= before:
                raise _failed(known.url, error) from error
        if _size(part) <= before:
            break
    if _size(part) < known.n_bytes:
        raise ArtefactError(
            "download_incomplete",
            f"{known.url} broke off at {_size(part)} of {known.n_bytes} bytes",
            hint="call again, it goes on from there",
            where=known.url,
        )
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != known.sha256:
        part.unlink()
        raise _other_content(known.url, found, known.sha256)
    with _writing(target):
        part.replace(target)
    return target


def _get(known: WeightsFile, part: Path, progress: Progress) -> None:
    """Ask for what is missing of `part`, and append it."""
    start = _size(part)
    headers = {"User-Agent": "voxaffect", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(known.url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        resumed = answer.status == http.client.PARTIAL_CONTENT
        announced = answer.headers["Content-Range" if resumed else "Content-Length"] or ""
        total = announced.rpartition("/")[2]
        if total.isdecimal() and int(total) != known.n_bytes:
            part.unlink(missing_ok=True)
            raise ArtefactError(
                "wrong_size",
                f"{known.url} has {total} bytes; it should have {known.n_bytes}",
                hint="does a login page answer in its place?",
                where=known.url,
            )
        with _writing(part), part.open("ab" if resumed else "wb") as file:
            for block in _blocks(answer):
                file.write(block)
                progress(file.tell(), known.n_bytes)
                if file.tell() > known.n_bytes:
                    break
            file.flush()
            os.fsync(file.fileno())


def _blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while block := answer.read(_BLOCK):
            yield block
    except OSError as error:  # told apart from a disk that is full
        raise http.client.HTTPException(str(error) or type(error).__name__) from error


def _download_repository(name: str, target: Path) -> Path:
    """The configuration and weights of a repository of the hub in the folder `target`."""
    from importlib.util import find_spec

    if find_spec("huggingface_hub") is None:
        raise missing_extra("huggingface_hub", "train")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    endpoint = os.environ.get("HF_ENDPOINT")  # a mirror of the hub; its own default otherwise
    part = target.parent / f".{target.name}.part"
    with _writing(part):
        part.mkdir(parents=True, exist_ok=True)
    try:
        revision, digests = _wanted_files(HfApi(endpoint=endpoint), name)
        for filename in digests:
            hf_hub_download(name, filename, revision=revision, local_dir=part, endpoint=endpoint)
    except ArtefactError:
        raise
    except RepositoryNotFoundError as error:
        raise ArtefactError(
            "download_failed",
            f"the Hugging Face hub has no repository {name!r}, or none that is public",
            where=name,
        ) from error
    except Exception as error:  # of the hub, of its HTTP client, of the system: they share no base class
        raise _failed(f"{name} of the Hugging Face hub", error) from error
    finally:
        if not any(part.iterdir()):
            part.rmdir()
    for filename, digest in digests.items():
        with (part / filename).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if digest is not None and found != digest:
            (part / filename).unlink()
            raise _other_content(f"{name}/{filename}", found, digest)
    with _writing(target):
        shutil.rmtree(part / ".cache", ignore_errors=True)  # the hub's own notes
        part.rename(target)
    return target


def _wanted_files(hub: HfApi, name: str) -> tuple[str | None, dict[str, str | None]]:
    """The revision that is current, and the files to take with the sha256 of those whose sha256 the hub states."""
    info = hub.model_info(name, files_metadata=True)
    digests = {
        sibling.rfilename: None if sibling.lfs is None else sibling.lfs.sha256
        for sibling in info.siblings or ()
        if "/" not in sibling.rfilename
    }
    configuration = _matching(digests, CONFIGURATION)
    weights = next((found for kind in WEIGHTS if (found := _matching(digests, kind))), [])
    if "config.json" not in configuration or not weights:
        raise ArtefactError(
            "download_failed",
            f"{name} of the Hugging Face hub holds no transformers checkpoint; it has {sorted(digests)}",
            where=name,
        )
    return info.sha, {filename: digests[filename] for filename in (*configuration, *weights)}


def _matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(error, path) from error


def _failed(what: str, error: Exception) -> ArtefactError:
    if isinstance(error, urllib.error.HTTPError):
        why = f"the server answers {error.code} {error.reason}"
    else:
        why = str(getattr(error, "reason", None) or error or type(error).__name__).strip().split("\n")[0]
    return ArtefactError(
        "download_failed",
        f"{what} cannot be downloaded: {why}",
        hint="is this machine connected? what is there already is kept for the next call",
        where=what,
    )


def _other_content(what: str, found: str, wanted: str) -> ArtefactError:
    return ArtefactError(
        "wrong_checksum",
        f"{what} came with sha256 {found}; it should have {wanted}",
        hint="it was deleted; try again, and see whether a login page answers in its place",
        where=what,
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
