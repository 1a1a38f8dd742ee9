"""Decodes everything but PCM WAV with FFmpeg, through PyAV.

FFmpeg gets an open file object and the one demuxer that the first bytes call for, so it opens no other file.
libsndfile is not used: read block by block it changes MP3 (it seeks after each read), gives nothing of an Ogg
Vorbis file that is cut short, and prints to stderr.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer

from voxaffect import wav
from voxaffect.audio_format import Container, id3_length, mpeg_frame_length, mpeg_frame_seconds
from voxaffect.audio_input import Input, held_in_memory, unreadable
from voxaffect.decoders import Notice, Samples, Track, block_frames
from voxaffect.errors import AudioError
from voxaffect.mp4 import check_index
from voxaffect.truncation import stops_early

_LONGEST = 366 * 86_400.0  # seconds; no header that announces more is believed
_CODECS = (
    "aac,aac_latm,alac,mp1,mp1float,mp2,mp2float,mp3,mp3float,flac,opus,libopus,vorbis,libvorbis,speex,libspeex,"
    "ac3,eac3,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,gsm,gsm_ms,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,"
    "pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,"
    "pcm_f64be,pcm_mulaw,pcm_alaw"
)
"""The decoders that may run; none for video, not even to look at a film's pictures."""
_MAX_DAMAGED = 10_000  # packets
_EXACT = frozenset({"wav", "flac", "aiff"})
_SLACK = 0.1  # seconds by which lossy formats announce more than they hold: encoder delay and padding


def ffmpeg_track(source: Input, container: Container) -> Track:
    """Open an input that begins like `container` with FFmpeg's demuxer for it.

    Raises:
        AudioError: `no_audio_stream`, `unsupported_format`, `no_audio`, `unreadable`.
        ResourceError: `too_big`, for a pipe.
    """

    if not source.seekable and not container.from_pipe:
        source = held_in_memory(source)
    has_index = container.demuxer != "mov" or check_index(source)
    is_cut = stops_early(source, container)
    if source.seekable:
        source.seek(0)
    opened: InputContainer | None = None
    try:
        opened = _opened(source, container)
        return _opened_track(source, container, opened, is_cut)
    except BaseException as error:
        if opened is not None:
            opened.close()
        if isinstance(error, av.FFmpegError):
            raise _undecodable(source, container, error, has_index) from None
        if isinstance(error, OSError):
            raise unreadable(source, error) from None
        raise


def packet_seconds(source: Input, container: Container, limit: float) -> float:
    """The length of a seekable input by its packets, none of them decoded; counting ends past `limit` seconds.

    What cannot be counted, packets without a duration, counts as `limit`.

    Raises:
        AudioError: `no_audio_stream`, `unreadable`.
    """
    source.seek(0)
    try:
        with _opened(source, container) as opened:
            if not opened.streams.audio:
                raise source.error("no_audio_stream", f"{source.name} has no audio stream")
            stream = opened.streams.audio[0]
            if stream.time_base is None:
                return limit
            ticks, most = 0, limit / float(stream.time_base)
            for packet in opened.demux(stream):
                if packet.size and not packet.duration:
                    return limit
                ticks += packet.duration or 0
                if ticks > most:
                    break
            return float(ticks * stream.time_base)
    except av.FFmpegError as error:
        raise _undecodable(source, container, error) from None


def _opened(source: Input, container: Container) -> InputContainer:
    return av.open(
        source.file,
        mode="r",
        format=container.demuxer,
        metadata_errors="replace",  # a title in Latin-1 is no reason to refuse a song
        options={
            "format_whitelist": container.demuxer,
            "protocol_whitelist": "none",
            "codec_whitelist": _CODECS,
        },
    )


def _opened_track(source: Input, container: Container, opened: InputContainer, is_cut: bool) -> Track:
    if not opened.streams.audio:
        what = "video only" if opened.streams.video else "no audio stream"
        raise source.error("no_audio_stream", f"{source.name} has {what}")
    stream = opened.streams.audio[0]
    context = cast(
        "Any", stream
    ).codec_context  # None where FFmpeg has no decoder; PyAV's types do not say so
    if context is None or context.name not in _CODECS.split(","):
        raise source.error(
            "unsupported_format",
            f"{source.name} has codec {context.name if context else 'unknown'}; "
            "expected AAC, MP3, Opus, Vorbis, FLAC, ALAC, AMR or PCM",
        )
    notices: list[Notice] = []
    packets = _Packets(source, opened, stream)
    frames = packets.frames()
    first = next(frames, None)  # only a decoded frame tells the true rate: HE-AAC announces half of it
    if first is None:
        if packets.damaged:
            raise _undecodable(source, container, packets.damaged[0])
        raise source.error("no_audio", f"{source.name} holds no audio (a header without samples)")
    rate, channels = first.sample_rate, first.layout.nb_channels
    if not 1 <= channels <= wav.MAX_CHANNELS:
        raise source.error(
            "unsupported_format", f"{source.name} has channels {channels}; expected 1 to {wav.MAX_CHANNELS}"
        )
    if not wav.MIN_RATE <= rate <= wav.MAX_RATE:
        raise source.error(
            "unsupported_format",
            f"{source.name} has sample rate {rate}; expected {wav.MIN_RATE} to {wav.MAX_RATE} Hz",
        )
    announced, believable = _announced(source, container, opened, stream, is_cut)
    if not believable:
        notices.append(
            Notice("header_size", "the header announces more audio than can be true; all of it was read")
        )

    def blocks(first_frame: int) -> Iterator[Samples]:
        yield from _dropped(_joined(source, first, frames, block_frames(rate, channels)), first_frame)
        if packets.ends_damaged and announced is None:
            notices.append(Notice("truncated", "the last piece of the file is cut short"))
        elif len(packets.damaged) > packets.ends_damaged:
            notices.append(
                Notice("damaged", f"{len(packets.damaged)} pieces could not be decoded and are missing")
            )
        elif announced is None and (is_cut or stops_early(source, container, packets.last_position)):
            notices.append(Notice("truncated", "the file stops before its end"))

    return Track(
        container.name,
        context.codec.canonical_name,
        rate,
        channels,
        announced,
        1.5 / rate if container.name in _EXACT else _SLACK,
        announced is not None and source.size is not None and announced <= source.size and not is_cut,
        blocks,
        opened.close,
        notices,
    )


class _Packets:
    """Decodes packet by packet and remembers what could not be decoded."""

    def __init__(self, source: Input, opened: InputContainer, stream: av.AudioStream) -> None:
        self._source, self._opened, self._stream = source, opened, stream
        self.damaged: list[Exception] = []
        self.ends_damaged = False
        self.last_position: int | None = None
        """Where in the file the last packet begins."""

    def frames(self) -> Iterator[av.AudioFrame]:
        packets = self._opened.demux(self._stream)
        while len(self.damaged) < _MAX_DAMAGED:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:  # nothing more can be found
                self._note(error)
                return
            except OSError as error:
                raise unreadable(self._source, error) from None
            if packet is None:
                return
            self.last_position = packet.pos if packet.size else self.last_position
            try:
                decoded = packet.decode()
            except av.FFmpegError as error:  # the next packet may be whole again
                self._note(error)
                continue
            if decoded:
                self.ends_damaged = False
            yield from decoded

    def _note(self, error: Exception) -> None:
        self.damaged.append(error)
        self.ends_damaged = True


def _joined(
    source: Input, first: av.AudioFrame, rest: Iterator[av.AudioFrame], frames: int
) -> Iterator[Samples]:
    """The frames as float (n, C), joined to blocks of `frames` or a little more."""
    rate, channels = first.sample_rate, first.layout.nb_channels
    parts, count = [_frame_samples(first)], first.samples
    for frame in rest:
        if (frame.sample_rate, frame.layout.nb_channels) != (rate, channels):
            raise source.error(
                "unsupported_format",
                f"{source.name} changes from {rate} Hz x {channels} to {frame.sample_rate} Hz x "
                f"{frame.layout.nb_channels} channels within; expected one format",
            )
        parts.append(_frame_samples(frame))
        count += frame.samples
        if count >= frames:
            yield np.concatenate(parts)
            parts, count = [], 0
    if parts:
        yield np.concatenate(parts)


def _frame_samples(frame: av.AudioFrame) -> Samples:
    samples = frame.to_ndarray()  # (C, n) planar, (1, n * C) packed
    shaped = samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)
    return wav.to_float(shaped)


def _dropped(blocks: Iterator[Samples], frames: int) -> Iterator[Samples]:
    """The blocks without their first `frames` frames."""
    for block in blocks:
        if frames < len(block):
            yield block[frames:]
        frames = max(0, frames - len(block))


def _announced(
    source: Input, container: Container, opened: InputContainer, stream: av.AudioStream, is_cut: bool
) -> tuple[float | None, bool]:
    """The seconds that the header gives, and False where it gives some that cannot be true.

    FFmpeg guesses a length from the bit rate where there is none; only lengths that are written down count.
    """
    seconds: float | None = None
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    whole = None if opened.duration is None else opened.duration / 1e6
    if container.demuxer == "matroska":
        seconds = None if opened.streams.video else whole  # the film's length, not that of its sound
    elif container.demuxer == "mov" and seconds is not None and whole is not None:
        seconds = min(seconds, whole)  # an edit list may show less than is stored
    elif container.name == "mp3":
        tagged = _tagged_seconds(source)
        if seconds is None or tagged is None or abs(seconds - tagged) > 1:
            seconds = None  # a guess; also where files with tags of their own were joined
    elif container.name in ("avi", "caf") and is_cut:  # FFmpeg's length is that of what there is
        seconds = float(stream.frames * stream.time_base) if stream.time_base is not None else None
    elif container.name not in _EXACT and container.demuxer != "mov":
        seconds = None
    if seconds is None or seconds <= 0:
        return None, True
    if seconds > _LONGEST or (source.size is not None and seconds > source.size):  # under 1 byte a second
        return None, False
    return seconds, True


def _tagged_seconds(source: Input) -> float | None:
    """The length by the Xing, Info or VBRI tag in the first MP3 frame, which count the frames; None without."""
    tag = id3_length(source.head)
    if source.seekable and tag:
        place = cast("Any", source.file).tell()
        source.seek(tag)
        start = source.file.read(4096)
        source.seek(place)
    else:
        start = source.head[tag:]
    start = start.lstrip(b"\0")
    frame = start[: mpeg_frame_length(start)]
    for word, offset in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        at = frame[:64].find(word)
        if at < 0:
            continue
        if word != b"VBRI" and not int.from_bytes(frame[at + 4 : at + 8], "big") & 1:  # no count in it
            return None
        count = int.from_bytes(frame[at + offset : at + offset + 4], "big")
        return count * mpeg_frame_seconds(frame)
    return None


def _undecodable(source: Input, container: Container, error: Exception, has_index: bool = True) -> AudioError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    hint = None
    if not has_index:
        reason, hint = "its index is missing", "it was cut short: copy it again, or stop the recording first"
    if isinstance(error, av.EOFError):
        reason = "it ends before its first sound"
    return source.error(
        "unreadable", f"{source.name} starts like {container.name} but cannot be decoded ({reason})", hint
    )
