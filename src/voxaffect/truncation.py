"""Whether a file stops before its own end, by the bytes of its container.

FFmpeg decodes what there is and says nothing. Where a header gives the length in seconds, that tells; here are
the containers in which it does not. What cannot be known is not claimed: a live WebM that is cut between two
blocks looks like one that ended there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from voxaffect.audio_format import Container
from voxaffect.audio_input import TAIL_BYTES, Input

_UNKNOWN = 2**62
"""Sizes from here on are what writers put before they know."""
_SLOPPY = 8  # bytes: the RIFF header, which some writers count and some do not
_SEGMENT = b"\x18\x53\x80\x67"
_HEADER = 12  # bytes: the longest id and length of an element
_BLOCKS = (b"\xa3", b"\xa1")  # SimpleBlock, and Block in a BlockGroup


def stops_early(source: Input, container: Container, last_block: int | None = None) -> bool:
    """Whether a file is shorter than it says itself; False where it says nothing. Of a pipe that was read to its end,
    whether an Ogg misses its last page; of any other pipe, False.

    `last_block` is where the content of the last Matroska block begins that could be read: a live recording
    does not say where it ends, but a block does. The position in the file is changed.
    """
    if source.size is None:
        return container.demuxer == "ogg" and bool(source.tail) and _lacks_last_page(source.tail)
    match container.demuxer:
        case "ogg":
            return _lacks_last_page(_read(source, max(0, source.size - TAIL_BYTES), TAIL_BYTES))
        case "avi":
            return _end_of_riff(source, source.size) > source.size + _SLOPPY
        case "caf":
            return any(end > source.size for end in _ends_of_caf(source, source.size))
        case "w64":
            return source.size < int.from_bytes(source.head[16:24], "little") < _UNKNOWN
        case "matroska":
            return _is_cut_matroska(source, source.size, last_block)
    return False


def _lacks_last_page(tail: bytes) -> bool:
    """Whether an Ogg with this `tail` ends without a whole page marked as the last. Source: RFC 3533, section 6."""
    start = tail.rfind(b"OggS")
    header = tail[start : start + 27] if start >= 0 else b""
    if len(header) < 27 or not header[5] & 4:
        return True
    lacing = tail[start + 27 : start + 27 + header[26]]
    return start + 27 + header[26] + sum(lacing) > len(tail)


def _end_of_riff(source: Input, size: int) -> int:
    """Where the last RIFF chunk of an AVI says that it ends; long ones have several, a GiB or two each."""
    end = 0
    while end + 8 <= size and (head := _read(source, end, 8))[:4] == b"RIFF":
        end += 8 + int.from_bytes(head[4:], "little")
        end += end % 2
    return end


def _ends_of_caf(source: Input, size: int) -> Iterator[int]:
    """Where each chunk of a Core Audio file says that it ends. Source: Apple, Core Audio Format, chunks."""
    start = 8
    while start + 12 <= size:
        (length,) = struct.unpack(">q", _read(source, start + 4, 8))
        if length < 0:  # of the samples: as many as follow
            return
        start += 12 + length
        yield start


def _is_cut_matroska(source: Input, size: int, last_block: int | None) -> bool:
    """Whether the segment, or in a live recording what follows the last whole block, is cut. Source: RFC 8794, 9559."""
    header = _element(source, 0)
    if header is None or header[2] is None:
        return False
    segment = _element(source, header[1] + header[2])
    if segment is None or segment[0] != _SEGMENT:
        return False
    if segment[2] is not None:
        return segment[1] + segment[2] > size
    position = _block_start(source, last_block) if last_block else None
    while position is not None and position < size:
        element = _element(source, position)
        if element is None:
            return size - position < _HEADER  # else it is no element at all
        _, content, length = element
        position = content + (length or 0)  # a live cluster has no length: its blocks follow
    return position is not None and position > size


def _block_start(source: Input, content: int) -> int | None:
    """Where the block element begins whose content begins at `content`; None if none does."""
    before = _read(source, max(0, content - 9), min(9, content))
    for width in range(1, len(before)):
        if before[-width] >> (8 - width) == 1 and before[-width - 1 : -width] in _BLOCKS:
            return content - width - 1
    return None


def _element(source: Input, start: int) -> tuple[bytes, int, int | None] | None:
    """Id, offset of the content and length (None: unknown) of the EBML element at `start`; None if it is cut."""
    head = _read(source, start, _HEADER)
    id_width = 9 - head[0].bit_length() if head and head[0] else 0
    if not 1 <= id_width <= 4 or len(head) <= id_width or not head[id_width]:
        return None
    width = 9 - head[id_width].bit_length()
    digits = head[id_width : id_width + width]
    if len(digits) < width:
        return None
    length = int.from_bytes(digits, "big") - (1 << 7 * width)
    return head[:id_width], start + id_width + width, None if length == (1 << 7 * width) - 1 else length


def _read(source: Input, offset: int, size: int) -> bytes:
    source.seek(offset)
    return source.file.read(size)
