"""What a file is, judged by its first bytes alone: no decoder sees a file whose format is not listed here."""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES = 16_384
"""How much of a file is looked at: two of the longest ADTS frames (8191 bytes each) fit."""


@dataclass(frozen=True, slots=True)
class Container:
    """A listed format: its name in results, FFmpeg's demuxer for it, and the suffixes that it may carry.

    `from_pipe` says whether it can be decoded front to back; the others keep their index at the end.
    """

    name: str
    demuxer: str
    suffixes: frozenset[str]
    from_pipe: bool = True


_MP4_SUFFIXES = frozenset({".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".3gpp"})
_WEBM_SUFFIXES = frozenset({".webm", ".mkv", ".mka", ".weba"})

CONTAINERS: dict[str, Container] = {
    c.name: c
    for c in (
        Container("wav", "wav", frozenset({".wav", ".wave", ".bwf", ".rf64"})),
        Container("flac", "flac", frozenset({".flac"})),
        Container("ogg", "ogg", frozenset({".ogg", ".oga", ".opus", ".ogv", ".spx"})),
        Container("mp3", "mp3", frozenset({".mp3"})),
        Container("aac", "aac", frozenset({".aac", ".adts"})),
        Container("amr", "amr", frozenset({".amr", ".awb"})),
        Container("webm", "matroska", _WEBM_SUFFIXES),
        Container("matroska", "matroska", _WEBM_SUFFIXES),
        Container("m4a", "mov", _MP4_SUFFIXES, from_pipe=False),
        Container("mp4", "mov", _MP4_SUFFIXES, from_pipe=False),
        Container("mov", "mov", _MP4_SUFFIXES, from_pipe=False),
        Container("3gp", "mov", _MP4_SUFFIXES, from_pipe=False),
        Container("avi", "avi", frozenset({".avi"}), from_pipe=False),
        Container("aiff", "aiff", frozenset({".aif", ".aiff", ".aifc"}), from_pipe=False),
        Container("caf", "caf", frozenset({".caf"}), from_pipe=False),
        Container("w64", "w64", frozenset({".w64"}), from_pipe=False),
    )
}
"""Every format that is read, by the name that results give it."""

READABLE = "wav, flac, ogg, opus, mp3, m4a, mp4, mov, 3gp, webm, mkv, avi, aac, amr, aiff, caf"
"""The formats in words, for messages."""

_SUFFIXES = frozenset().union(*(c.suffixes for c in CONTAINERS.values()))

_W64_GUID = bytes.fromhex("726966662e91cf11a5d628db04c10000")

_OTHER_MEDIA = (
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (ASF)"),
    (b"RIFX", "big-endian WAV (RIFX)"),
    (b".snd", "Sun audio (AU)"),
    (b"MAC ", "Monkey's Audio"),
    (b"wvpk", "WavPack"),
    (b"FLV\x01", "Flash video"),
    (b"\x00\x00\x01\xba", "an MPEG programme stream"),
    (b"DSD ", "DSD audio"),
)
"""Sound in formats that are not listed: named, so that the message can say so."""

_NOT_SOUND = (
    (b"\x89PNG\r\n\x1a\n", "it is a PNG image"),
    (b"\xff\xd8\xff", "it is a JPEG image"),
    (b"GIF8", "it is a GIF image"),
    (b"%PDF-", "it is a PDF document"),
    (b"PK\x03\x04", "it is a ZIP archive"),
    (b"\x1f\x8b", "it is a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive"),
    (b"\x7fELF", "it is a program"),
    (b"MThd", "it is MIDI: notes, not sound"),
    (b"\x93NUMPY", "it is a NumPy array"),
)


def sniff(head: bytes) -> Container | None:
    """The container whose files begin like `head` (the first HEAD_BYTES of a file), or None."""
    name = _name(head)
    return CONTAINERS[name] if name else None


def suffix_mismatch(container: Container, suffix: str) -> bool:
    """Whether `suffix` (".wav", in any case) belongs to another listed container than this one."""
    return suffix.lower() in _SUFFIXES - container.suffixes


def other_media(head: bytes) -> str | None:
    """The name of a sound or video format that is known but not read, or None."""
    for magic, name in _OTHER_MEDIA:
        if head.startswith(magic):
            return name
    if len(head) > 376 and head[0] == head[188] == head[376] == 0x47:
        return "an MPEG transport stream"
    return None


def describe(head: bytes) -> tuple[str, str | None]:
    """What a file that is not audio seems to be, in words ("it starts like text"), and a hint or None."""
    for magic, what in _NOT_SOUND:
        if head.startswith(magic):
            return what, None
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer", "run git lfs pull"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"#extm3u", b"ffconcat", b"[playlist]")):
        return "it is a playlist", "give the audio files that it lists"
    if start.startswith((b"v=0\r\n", b"v=0\n")):
        return "it is an SDP session description", None
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page", "was the download answered by a web page?"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or _is_text(head):
        return "it starts like text", None
    return "its first bytes are of no known audio format", None


def id3_length(head: bytes) -> int:
    """The length in bytes of the ID3v2 tag that `head` begins with; 0 if there is none."""
    if head[:3] != b"ID3" or len(head) < 10 or any(byte & 0x80 for byte in head[6:10]):
        return 0
    size = 0
    for byte in head[6:10]:  # seven bits a byte
        size = size << 7 | byte
    return 10 + size


def _name(head: bytes) -> str | None:
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "webm" if b"webm" in head[:64] else "matroska"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[:16] == _W64_GUID:
        return "w64"
    for magic, name in ((b"fLaC", "flac"), (b"OggS", "ogg"), (b"caff", "caf"), (b"#!AMR", "amr")):
        if head.startswith(magic):
            return name
    return _mp4_name(head) or _frame_name(head)


def _mp4_name(head: bytes) -> str | None:
    kind = head[4:8]
    if kind == b"ftyp":
        brand = head[8:12]
        if brand in (b"M4A ", b"M4B "):
            return "m4a"
        if brand == b"qt  ":
            return "mov"
        return "3gp" if brand[:2] == b"3g" else "mp4"
    # QuickTime before ftyp existed. The length in front begins with 0 (or is 1), which text never does.
    return "mov" if head[:1] == b"\0" and kind in (b"moov", b"mdat", b"wide", b"free", b"skip") else None


def _frame_name(head: bytes) -> str | None:
    """mp3 or aac, which have no magic word: two frame headers in a row, or an ID3 tag in front."""
    tag = id3_length(head)
    if tag:
        body = head[tag:]
        if body.startswith(b"fLaC"):
            return "flac"
        return "mp3" if not body.strip(b"\0") or mpeg_frame_length(body.lstrip(b"\0")) else None
    body = head.lstrip(b"\0")  # some encoders pad with zeros in front
    for name, length_of in (("mp3", mpeg_frame_length), ("aac", _adts_frame_length)):
        length = length_of(body)
        if length and (len(body) == length or length_of(body[length : length + 8])):
            return name
    return None


_BIT_RATES = {  # kbit/s by (MPEG 1?, layer)
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_BIT_RATES[False, 3] = _BIT_RATES[False, 2]
_MPEG_RATES = (44_100, 48_000, 32_000)  # Hz for MPEG 1; halved for MPEG 2, quartered for 2.5


def mpeg_frame_length(data: bytes) -> int:
    """The length in bytes of the MPEG audio frame (layers I to III) that `data` begins with; 0 if none does.

    Source: ISO 11172-3, 2.4.1.3 and 2.4.2.3.
    """
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return 0
    version, layer = data[1] >> 3 & 3, 4 - (data[1] >> 1 & 3)
    rate_index, bit_index = data[2] >> 2 & 3, data[2] >> 4
    if version == 1 or layer == 4 or rate_index == 3 or bit_index in (0, 15):
        return 0
    bits = _BIT_RATES[version == 3, layer][bit_index - 1] * 1000
    rate = _MPEG_RATES[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    padding = data[2] >> 1 & 1
    if layer == 1:
        return (12 * bits // rate + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits // rate + padding


def mpeg_frame_seconds(data: bytes) -> float:
    """How long the MPEG audio frame lasts that `data` begins with; 0 if none does. Source: as above."""
    if not mpeg_frame_length(data):
        return 0.0
    version, layer = data[1] >> 3 & 3, 4 - (data[1] >> 1 & 3)
    rate = _MPEG_RATES[data[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]
    return (384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152) / rate


def _adts_frame_length(data: bytes) -> int:
    """The length in bytes of the ADTS frame that `data` begins with, or 0. Source: ISO 13818-7, 6.2."""
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0 or data[2] >> 2 & 15 > 12:
        return 0
    length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    return length if length > 7 else 0


def _is_text(head: bytes) -> bool:
    try:
        text = head[: len(head) - 3 if len(head) == HEAD_BYTES else None].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 6:  # not just a character cut in half by the end of `head`
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text) and all(c.isprintable() or c in "\t\r\n\f\ufeff" for c in text)
