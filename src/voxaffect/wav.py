"""WAV, read by ourselves: a strict header, PCM in blocks; lying sizes cost neither memory nor samples.

RIFF, RF64 and BW64; PCM of 8, 16, 24 and 32 bits, float of 32 and 64, mu-law and A-law. Of compressed
kinds only the header is read here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from voxaffect.audio_input import Input, unreadable
from voxaffect.errors import AudioError

MAX_CHANNELS = 32
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz
MAX_BLOCK_ALIGN = 16_384  # bytes of one compressed block; ADPCM writers use 256 to 4096
_MAX_CHUNKS = 1_000
_MAX_FMT = 4_096
_UNKNOWN_SIZE = 0x7FFF_F000  # sizes from here on are what writers to a pipe put: "as long as it takes"
_BELIEVABLE = 2**48  # bytes; more than any disk holds of one recording

_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # of every sub-format that is a plain format tag

_CODECS = {
    (_PCM, 8): "pcm_u8",
    (_PCM, 16): "pcm_s16le",
    (_PCM, 24): "pcm_s24le",
    (_PCM, 32): "pcm_s32le",
    (_FLOAT, 32): "pcm_f32le",
    (_FLOAT, 64): "pcm_f64le",
    (_ALAW, 8): "pcm_alaw",
    (_MULAW, 8): "pcm_mulaw",
}
_COMPRESSED = {0x02: "adpcm_ms", 0x11: "adpcm_ima_wav", 0x31: "gsm_ms", 0x50: "mp2", 0x55: "mp3"}
"""Format tags that FFmpeg decodes."""


@dataclass(frozen=True)
class WavHeader:
    """What a WAV header says, checked. Sizes and offsets are in bytes.

    `data_size` is None where the header gives none that can be true: the data then goes on to the end.
    `compressed` codecs have blocks of `block_align` bytes that are not single samples.
    """

    codec: str
    channels: int
    sample_rate: int
    block_align: int
    data_offset: int
    data_size: int | None
    compressed: bool

    @property
    def announced(self) -> float | None:
        """Seconds of audio that the header announces."""
        if self.data_size is None or self.compressed:
            return None
        return self.data_size / self.block_align / self.sample_rate


def read_header(source: Input) -> WavHeader:
    """Read up to the first byte of the samples.

    Raises:
        AudioError: `bad_header`, `unsupported_format` (naming the field), `no_audio`.
    """
    read = _Reader(source)
    riff = read.exactly(12)
    wide_size: int | None = None
    fields: tuple[str, int, int, int, bool] | None = None
    for _ in range(_MAX_CHUNKS):
        start = read.exactly(8)
        if len(start) < 8:
            raise source.error("no_audio", f"{source.name} holds no audio (a header without samples)")
        name, size = struct.unpack("<4sI", start)
        if name == b"data":
            if fields is None:
                raise source.error("bad_header", f"{source.name} has its samples before their format (fmt)")
            codec, channels, rate, align, compressed = fields
            if riff[:4] != b"RIFF" and size == 0xFFFF_FFFF and wide_size is not None:
                size = wide_size
            true_size = _data_size(source, read.offset, size, riff[:4] == b"RIFF")
            return WavHeader(codec, channels, rate, align, read.offset, true_size, compressed)
        if name == b"fmt ":
            if fields is not None:
                raise source.error("bad_header", f"{source.name} has two fmt chunks; which one is true?")
            if not 16 <= size <= _MAX_FMT:
                raise source.error(
                    "bad_header", f"{source.name} has a fmt chunk of {size} bytes; expected 16 to 40"
                )
            fields = _format_fields(source, read.exactly(size))
            read.skip(size % 2)
        elif name == b"ds64":
            wide = read.exactly(min(size, 28))
            wide_size = struct.unpack("<Q", wide[8:16])[0] if len(wide) >= 16 else None
            read.skip(size - len(wide) + size % 2)
        elif source.size is not None and read.offset + size > source.size:
            word = name.decode("ascii", "backslashreplace")
            left = source.size - read.offset
            raise source.error(
                "bad_header", f"{source.name} has a chunk {word!r} of {size} bytes where {left} are left"
            )
        else:
            read.skip(size + size % 2)
    raise source.error("bad_header", f"{source.name} has over {_MAX_CHUNKS} chunks before its samples")


def pcm_blocks(
    source: Input, header: WavHeader, first_frame: int, frames: int
) -> Iterator[NDArray[np.floating]]:
    """The samples from `first_frame` on, in blocks of at most `frames`: (n, C) float, full scale 1.0."""
    read = _Reader(source, header.data_offset)
    left = header.data_size
    to_skip = first_frame * header.block_align
    if source.seekable:
        source.seek(header.data_offset + to_skip)
    else:
        read.skip(to_skip)
    if left is not None:
        left = max(0, left - to_skip)
    while left is None or left > 0:
        wanted = frames * header.block_align
        data = read.exactly(wanted if left is None else min(wanted, left))
        whole = len(data) - len(data) % header.block_align
        if whole:
            yield decode(data[:whole], header.codec).reshape(-1, header.channels)
        if len(data) < wanted:
            return
        if left is not None:
            left -= len(data)


def to_float(samples: NDArray[np.generic]) -> NDArray[np.floating]:
    """Samples with full scale at 1.0: integers are scaled by their width, floats stay as they are."""
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / np.float32(128)
    if samples.dtype.kind == "i":  # a power of two: exact, but for the last bits of 32-bit samples
        return samples.astype(np.float32) * np.float32(2.0 ** (1 - 8 * samples.dtype.itemsize))
    return cast("NDArray[np.floating]", samples)


def decode(data: bytes, codec: str) -> NDArray[np.floating]:
    """The samples (n,) in `data`, whole samples of a PCM or G.711 `codec` named as FFmpeg names it; full scale 1.0."""
    if codec == "pcm_s24le":
        wide = np.zeros((len(data) // 3, 4), dtype=np.uint8)  # the value in the upper three bytes
        wide[:, 1:] = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)
        return to_float(wide.view("<i4")[:, 0])
    if codec in ("pcm_mulaw", "pcm_alaw"):
        table = _mulaw_table() if codec == "pcm_mulaw" else _alaw_table()
        return table[np.frombuffer(data, dtype=np.uint8)]
    kinds = {"pcm_u8": "u1", "pcm_s16le": "<i2", "pcm_s32le": "<i4", "pcm_f32le": "<f4", "pcm_f64le": "<f8"}
    return to_float(np.frombuffer(data, dtype=kinds[codec]))


class _Reader:
    """Reads exact counts and keeps the offset, from files that seek and from pipes."""

    def __init__(self, source: Input, offset: int = 0) -> None:
        self._source, self.offset = source, offset

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end of the file."""
        parts, missing = [], size
        while missing and (part := self._read(missing)):
            parts.append(part)
            missing -= len(part)
        self.offset += size - missing
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip(self, size: int) -> None:
        if self._source.seekable:
            self.offset += size
            self._source.seek(self.offset)
            return
        while size and (part := self.exactly(min(size, 2**20))):
            size -= len(part)

    def _read(self, size: int) -> bytes:
        try:
            return self._source.file.read(size)
        except OSError as error:
            raise unreadable(self._source, error) from None


def _format_fields(source: Input, fmt: bytes) -> tuple[str, int, int, int, bool]:
    """Codec, channels, rate, block alignment, and whether it is compressed."""
    if len(fmt) < 16:
        raise source.error("no_audio", f"{source.name} holds no audio (it ends within its header)")
    tag, channels, rate, _, align, bits = struct.unpack("<HHIIHH", fmt[:16])
    if tag == _EXTENSIBLE:
        if len(fmt) < 40 or fmt[26:40] != _GUID_TAIL:
            raise _unsupported(
                source, "sub-format", fmt[24:40].hex() or "missing", "PCM, float, mu-law or A-law"
            )
        tag = struct.unpack("<H", fmt[24:26])[0]
    if not 1 <= channels <= MAX_CHANNELS:
        raise _unsupported(source, "channels", channels, f"1 to {MAX_CHANNELS}")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise _unsupported(source, "sample rate", rate, f"{MIN_RATE} to {MAX_RATE} Hz")
    if tag in _COMPRESSED:
        if not 1 <= align <= MAX_BLOCK_ALIGN:
            raise _unsupported(source, "block alignment", align, f"1 to {MAX_BLOCK_ALIGN} bytes")
        return _COMPRESSED[tag], channels, rate, align, True
    if (tag, bits) in _CODECS:
        expected = channels * bits // 8
        if align != expected:
            raise _unsupported(
                source, "block alignment", align, f"{expected} bytes for {channels} x {bits} bits"
            )
        return _CODECS[tag, bits], channels, rate, align, False
    widths = [b for t, b in _CODECS if t == tag]
    if widths:
        *first, last = map(str, widths)
        allowed = f"{', '.join(first)} or {last}" if first else last
        raise _unsupported(source, "bits per sample", bits, allowed)
    raise _unsupported(source, "format tag", f"0x{tag:04x}", "PCM, float, mu-law, A-law, ADPCM, GSM or MP3")


def _unsupported(source: Input, field: str, given: object, allowed: str) -> AudioError:
    return source.error("unsupported_format", f"{source.name} has {field} {given}; expected {allowed}")


def _data_size(source: Input, offset: int, size: int, is_riff: bool) -> int | None:
    """The size of the data chunk, or None if the one in the header cannot be true."""
    left = None if source.size is None else source.size - offset
    if left is not None and left <= 0:
        raise source.error("no_audio", f"{source.name} holds no audio (a header without samples)")
    if size == 0:
        if left is not None and _chunks_follow(source, offset):
            raise source.error("no_audio", f"{source.name} holds no audio (a header without samples)")
        return None
    if left is not None and size <= left and size != 0xFFFF_FFFF:
        return size
    if size >= (_UNKNOWN_SIZE if is_riff else _BELIEVABLE) or size == 0xFFFF_FFFF:
        return None
    return size


def _chunks_follow(source: Input, offset: int) -> bool:
    """Whether what follows an empty data chunk is one more chunk that fits, not samples."""
    source.seek(offset)
    start = source.file.read(8)
    source.seek(offset)
    if len(start) < 8 or not start[:4].isalnum():
        return False
    return source.size is not None and offset + 8 + int(struct.unpack("<I", start[4:])[0]) <= source.size


def _mulaw_table() -> NDArray[np.float32]:
    """Sample by byte; 14 bits, the bias of 33 at their scale. Source: ITU-T G.711, table 2a."""
    byte = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (byte >> 4 & 7).astype(np.int32), (byte & 15).astype(np.int32)
    magnitude = (((mantissa << 3) + 132) << exponent) - 132
    return (np.where(byte & 128, -magnitude, magnitude) / 32768).astype(np.float32)


def _alaw_table() -> NDArray[np.float32]:
    """Sample by byte; 13 bits, even bits inverted. Source: ITU-T G.711, table 1a."""
    byte = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = (byte >> 4 & 7).astype(np.int32), (byte & 15).astype(np.int32)
    magnitude = np.where(
        exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 264) << np.maximum(exponent - 1, 0)
    )
    return (np.where(byte & 128, magnitude, -magnitude) / 32768).astype(np.float32)
