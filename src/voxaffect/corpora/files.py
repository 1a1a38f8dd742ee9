"""Files of a corpus: walking its folders, reading its texts, and what an audio file says of itself."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from voxaffect.errors import AudioError, CorpusError

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".wma"}
)
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".3gp"})
MEDIA_SUFFIXES = AUDIO_SUFFIXES | VIDEO_SUFFIXES

_BLOCK = 1 << 20  # bytes
_UNSOUND = {"truncated": "cut short", "damaged": "damaged"}


@dataclass(frozen=True, slots=True)
class AudioHeader:
    """What an audio file's header announces: sample rate in Hz, channels, duration in seconds."""

    sample_rate: int
    channels: int
    duration: float


def folder(root: Path) -> Path:
    """`root` itself if it is a folder; raise CorpusError `no_such_folder` otherwise."""
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise CorpusError(
            "no_such_folder", f"{root} {what}", hint="give the folder that the corpus was unpacked to"
        )
    return root


def subfolder(root: Path, *names: str) -> Path | None:
    """The folder `names[0]/names[1]/…` below `root`, in any upper and lower case; None if there is none."""
    for name in names:
        found = [p for p in folders(root) if p.name.casefold() == name.casefold()]
        if not found:
            return None
        root = found[0]
    return root


def folders(root: Path) -> list[Path]:
    """The folders directly below `root`, sorted by name, hidden ones left out."""
    return [path for path in _entries(root) if path.is_dir()]


def media_files(
    root: Path, *, recursive: bool = True, suffixes: frozenset[str] = MEDIA_SUFFIXES
) -> Iterator[Path]:
    """Files below `root` with one of `suffixes` in any case, by name, without hidden ones (`._x.wav`)."""
    for path in _entries(root):
        if path.suffix.casefold() in suffixes:
            if path.is_file():
                yield path
        elif recursive and path.is_dir() and not path.is_symlink():
            yield from media_files(path, suffixes=suffixes)


def audio_files(root: Path, *, recursive: bool = True) -> Iterator[Path]:
    """`media_files` without video."""
    return media_files(root, recursive=recursive, suffixes=AUDIO_SUFFIXES)


def find(root: Path, name: str, *, depth: int = 3) -> Path | None:
    """What is called `name`, in any case, in `root` or at most `depth` folders below; the least deep one."""
    level = [root]
    for _ in range(depth + 1):
        entries = [entry for directory in level for entry in _entries(directory)]
        found = [entry for entry in entries if entry.name.casefold() == name.casefold()]
        if found:
            return found[0]
        level = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
    return None


def one_of_each(paths: Iterable[Path]) -> list[Path]:
    """One file of each name: copies of a release hold it twice, in a folder inside itself or as another format.

    A .wav comes before other formats, then the least deep file, then the first by path.
    """
    chosen: dict[str, Path] = {}
    for path in sorted(paths, key=lambda p: (p.suffix.casefold() != ".wav", len(p.parts), p.as_posix())):
        chosen.setdefault(name_of(path), path)
    return list(chosen.values())


def has_sound_beside(path: Path) -> bool:
    """Whether `path` is a video and a sound file of its name lies in the same folder: somebody has converted it."""
    if path.suffix.casefold() not in VIDEO_SUFFIXES:
        return False
    return any(
        path.with_suffix(written).is_file()
        for suffix in AUDIO_SUFFIXES
        for written in (suffix, suffix.upper())
    )


def name_of(path: Path) -> str:
    """A file's name without extension in Unicode NFC, so that ids are the same on every system."""
    return unicodedata.normalize("NFC", path.stem)


def locate(root: Path, written: str) -> Path:
    """The file that a corpus's own index writes as `written`, relative to `root`.

    Accepts backslashes and either Unicode normal form. The path as written comes back if no such file exists.
    """
    candidates = [root / written, root / written.replace("\\", "/")]
    candidates += [root / unicodedata.normalize(form, written.replace("\\", "/")) for form in ("NFC", "NFD")]
    return next((path for path in candidates if path.exists()), candidates[1])


def read_text(path: Path) -> str:
    """The text of `path`: UTF-8 with or without BOM, UTF-16 with BOM, else Windows-1252.

    Raises:
        CorpusError: `unreadable_text` if the file cannot be opened or holds NUL characters.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError("unreadable_text", f"cannot read {path}: {error.strerror}") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", errors="replace")
    if "\0" in text:
        raise CorpusError("unreadable_text", f"{path} holds NUL characters", hint="save it as UTF-8 text")
    return text


def audio_header(path: Path) -> AudioHeader:
    """What the header of `path` announces; only where it announces no length are its samples counted.

    Raises:
        AudioError: as `voxaffect.audio.open_audio`, `empty_file` and `no_audio` among them.
    """
    from voxaffect.audio_input import open_input
    from voxaffect.decoders import open_track

    source = open_input(path)
    try:
        track = open_track(source)
        try:
            duration = track.announced
            if duration is None:
                duration = sum(len(block) for block in track.blocks(0)) / track.sample_rate
        finally:
            track.close()
    finally:
        source.close()
    if duration <= 0:
        raise AudioError("no_audio", f"{path.name} has a header but no samples", where=str(path))
    return AudioHeader(track.sample_rate, track.channels, duration)


def check_whole(path: Path) -> None:
    """Raise AudioError `truncated` or `damaged` unless `path` holds all that it announces and all of it can be decoded.

    PCM in a WAV file is measured by the file's size; everything else is decoded to its end.

    Raises:
        AudioError: also what `voxaffect.audio.AudioReader.blocks` finds, samples that are no sound among it.
    """
    from voxaffect.audio import open_audio

    with open_audio(path) as reader:
        if reader.is_measured:
            return
        for _ in reader.blocks():
            pass
        for notice in reader.notices:
            if what := _UNSOUND.get(notice.code):
                raise AudioError(notice.code, f"{path.name} is {what}: {notice.message}", where=str(path))


def content_digest(path: Path) -> str:
    """sha256 of the bytes of `path`, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _entries(root: Path) -> list[Path]:
    try:
        return sorted((p for p in root.iterdir() if not p.name.startswith(".")), key=lambda p: p.name)
    except OSError as error:
        raise CorpusError("unreadable_folder", f"cannot list {root}: {error.strerror}") from error
