"""Bounds the index of an MP4 or QuickTime file before FFmpeg builds it.

FFmpeg makes an index entry of some 36 bytes for every sample that the tables claim, and the tables need no
bytes for samples of one size: a file of 20 kB that claimed 80 million took 2.9 GB. So the claims are counted
first.

Source: ISO 14496-12, 8.6 to 8.8.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from voxaffect.audio_input import Input
from voxaffect.errors import AudioError

MAX_INDEX = 3_000_000
"""Index entries, about 110 MB: 16 hours of AMR, 18 of AAC at 48 kHz."""
_PCM_PIECE = 512  # FFmpeg joins at least so many samples of uncompressed sound to one entry
_MAX_BOXES = 100_000
_FOLDERS = frozenset((b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl", b"moof", b"traf"))


@dataclass
class _TrackClaims:
    """What the tables of one track claim."""

    samples: int = 0
    edits: int = 1
    chunks: int = 0
    is_sound: bool = False
    has_ticks: bool = False  # every sample lasts one tick, as those of uncompressed sound do
    runs: tuple[tuple[int, int], ...] = ()  # (first chunk, samples in each chunk from there on)

    @property
    def entries(self) -> int:
        if not (self.is_sound and self.has_ticks):
            return self.samples * self.edits
        stops = [first for first, _ in self.runs[1:]] + [self.chunks + 1]
        by_chunk = (
            max(0, min(stop, self.chunks + 1) - first) * -(-count // _PCM_PIECE)
            for (first, count), stop in zip(self.runs, stops, strict=True)
        )
        return sum(by_chunk) * self.edits


def check_index(source: Input) -> bool:
    """Whether a seekable input has an index; refuses one that would not fit. Leaves it at its first byte.

    Raises:
        AudioError: `bad_header`.
    """
    claims: list[_TrackClaims] = []
    fragments = 0
    found = False
    for number, (kind, start, end) in enumerate(_boxes(source, 0, source.size or 0)):
        if number > _MAX_BOXES:
            raise _refused(source, f"over {_MAX_BOXES} boxes")
        if kind == b"trak" or not claims:
            claims.append(_TrackClaims())
        track = claims[-1]
        found = found or kind in (b"moov", b"moof")
        if kind == b"cmov":
            raise _refused(source, "a compressed index")
        if kind in (b"stsz", b"stz2"):
            track.samples = max(track.samples, _number(source, start + 8))
        elif kind in (b"stco", b"co64"):
            track.chunks = max(track.chunks, _number(source, start + 4))
        elif kind == b"elst":
            track.edits = max(track.edits, _number(source, start + 4))
        elif kind == b"stts":
            track.has_ticks = _number(source, start + 4) == 1 and _number(source, start + 12) == 1
        elif kind == b"hdlr" and not track.is_sound:
            source.seek(start + 8)
            track.is_sound = source.file.read(4) == b"soun"
        elif kind == b"stsc":
            track.runs = _chunk_runs(source, start, end)
        elif kind == b"trun":
            fragments += _number(source, start + 4)
    entries = fragments + sum(track.entries for track in claims)
    if entries > MAX_INDEX:
        raise _refused(source, f"{entries} index entries")
    source.seek(0)
    return found


def _boxes(source: Input, start: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Every box between two offsets, outer before inner, as (kind, start of its content, end)."""
    while start + 8 <= end:
        source.seek(start)
        head = source.file.read(16)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head[:8])
        content = start + 8
        if size == 1 and len(head) == 16:
            size, content = struct.unpack(">Q", head[8:])[0], start + 16
        stop = end if size == 0 else min(end, start + size)
        if stop < content:
            return
        yield kind, content, stop
        if kind in _FOLDERS and depth < 8:
            yield from _boxes(source, content, stop, depth + 1)
        start = stop


def _chunk_runs(source: Input, start: int, end: int) -> tuple[tuple[int, int], ...]:
    size = min(12 * _number(source, start + 4), max(0, end - start - 8))
    source.seek(start + 8)
    rows = source.file.read(min(size, 12 * MAX_INDEX))
    whole = rows[: len(rows) // 12 * 12]
    return tuple((first, count) for first, count, _ in struct.iter_unpack(">III", whole))


def _number(source: Input, offset: int) -> int:
    source.seek(offset)
    return int.from_bytes(source.file.read(4), "big")


def _refused(source: Input, what: str) -> AudioError:
    return source.error("bad_header", f"{source.name} claims {what}; expected at most {MAX_INDEX} entries")
