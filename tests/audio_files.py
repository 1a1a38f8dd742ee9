"""Makes audio files of every container, and broken ones, for tests."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from voxaffect.audio import Audio, read_audio
from voxaffect.errors import AudioError, ExitCode

HZ = 440.0
SECONDS = 2.0

FFMPEG_KINDS = {  # file name: (FFmpeg's muxer, encoder, rate)
    "a.m4a": ("ipod", "aac", 44_100),
    "a.mp4": ("mp4", "aac", 48_000),
    "a.mov": ("mov", "pcm_s16le", 48_000),
    "alac.m4a": ("ipod", "alac", 44_100),
    "a.3gp": ("3gp", "libopencore_amrnb", 8_000),
    "a.webm": ("webm", "libopus", 48_000),
    "a.mkv": ("matroska", "aac", 48_000),
    "a.avi": ("avi", "pcm_s16le", 16_000),
    "a.aac": ("adts", "aac", 16_000),
    "a.amr": ("amr", "libopencore_amrnb", 8_000),
    "lame.mp3": ("mp3", "libmp3lame", 44_100),
    "libopus.ogg": ("ogg", "libopus", 48_000),
    "adpcm.wav": ("wav", "adpcm_ima_wav", 16_000),
    "a.aiff": ("aiff", "pcm_s16be", 16_000),
    "a.caf": ("caf", "pcm_s16le", 16_000),
    "a.w64": ("w64", "pcm_s16le", 16_000),
}
SOUNDFILE_KINDS = {  # file name: (format, subtype, rate)
    "pcm16.wav": ("WAV", "PCM_16", 44_100),
    "wavex.wav": ("WAVEX", "PCM_24", 48_000),
    "rf64.wav": ("RF64", "PCM_16", 16_000),
    "u8.wav": ("WAV", "PCM_U8", 16_000),
    "s24.wav": ("WAV", "PCM_24", 16_000),
    "s32.wav": ("WAV", "PCM_32", 16_000),
    "f32.wav": ("WAV", "FLOAT", 16_000),
    "f64.wav": ("WAV", "DOUBLE", 16_000),
    "mulaw.wav": ("WAV", "ULAW", 8_000),
    "alaw.wav": ("WAV", "ALAW", 8_000),
    "msadpcm.wav": ("WAV", "MS_ADPCM", 16_000),
    "gsm.wav": ("WAV", "GSM610", 8_000),
    "a.flac": ("FLAC", "PCM_16", 48_000),
    "vorbis.ogg": ("OGG", "VORBIS", 44_100),
    "a.opus": ("OGG", "OPUS", 48_000),
    "a.mp3": ("MP3", "MPEG_LAYER_III", 44_100),
}


def tone(rate: int, seconds: float = SECONDS, hz: float = HZ, level: float = 0.3) -> np.ndarray:
    """A sine (N,) float32."""
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def speechlike(rate: int, seconds: float, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Noise in bursts (N, C) float32: compresses badly and has no period."""
    rng = np.random.default_rng(seed)
    envelope = 0.1 * (1 + np.sin(2 * np.pi * 3 * np.arange(round(seconds * rate)) / rate))[:, np.newaxis]
    return (envelope * rng.standard_normal((len(envelope), channels))).clip(-1, 1).astype(np.float32)


def peak_hz(samples: np.ndarray, rate: int = 16_000) -> float:
    """The frequency of the strongest component."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


def with_soundfile(samples: np.ndarray, rate: int, kind: str = "WAV", subtype: str | None = None) -> bytes:
    """The bytes of a file that libsndfile writes."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def with_ffmpeg(
    muxer: str,
    encoder: str | None,
    rate: int,
    samples: np.ndarray | None = None,
    *,
    video: bool = False,
    options: dict[str, str] | None = None,
) -> bytes:
    """The bytes of a file that FFmpeg writes: a tone or `samples` (N,), and black pictures with `video`."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=muxer, options=options or {}) as container:
        pictures = container.add_stream("mpeg4", rate=10) if video else None
        if pictures is not None:
            pictures.width = pictures.height = 64
            pictures.pix_fmt = "yuv420p"
        sound = container.add_stream(encoder, rate=rate) if encoder else None
        if sound is not None:
            sound.layout = "mono"
        if pictures is not None:
            for _ in range(10):
                picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        if sound is not None:
            container.start_encoding()
            samples = tone(rate) if samples is None else samples
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="fltp", layout="mono")
            frame.sample_rate = rate
            frame.pts, frame.time_base = 0, Fraction(1, rate)
            context = sound.codec_context
            shaper = av.AudioResampler(context.format.name, "mono", rate, context.frame_size or None)
            for piece in [*shaper.resample(frame), *shaper.resample(None)]:
                container.mux(sound.encode(piece))
            container.mux(sound.encode(None))
    return buffer.getvalue()


def make(name: str, folder: Path) -> tuple[Path, int]:
    """A tone of SECONDS in the kind that FFMPEG_KINDS or SOUNDFILE_KINDS give to `name`; its rate."""
    path = folder / name
    if name in FFMPEG_KINDS:
        muxer, encoder, rate = FFMPEG_KINDS[name]
        path.write_bytes(with_ffmpeg(muxer, encoder, rate))
    else:
        kind, subtype, rate = SOUNDFILE_KINDS[name]
        path.write_bytes(with_soundfile(tone(rate), rate, kind, subtype))
    return path, rate


def riff(
    data: bytes,
    *,
    tag: int = 1,
    channels: int = 1,
    rate: int = 16_000,
    bits: int = 16,
    align: int | None = None,
    data_size: int | None = None,
    fmt_times: int = 1,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A WAV file by hand, its fields as given, true or not."""
    align = channels * bits // 8 & 0xFFFF if align is None else align
    fields = struct.pack("<HHIIHH", tag, channels, rate, rate * align & 0xFFFFFFFF, align, bits)
    fmt = b"fmt " + struct.pack("<I", 16) + fields
    size = len(data) if data_size is None else data_size
    body = b"WAVE" + fmt * fmt_times + before + b"data" + struct.pack("<I", size) + data + after
    return b"RIFF" + struct.pack("<I", len(body)) + body


def rf64(data: bytes, data_size: int, *, fmt_times: int = 1) -> bytes:
    """An RF64 file whose ds64 chunk claims `data_size` bytes of 16-bit mono at 16 kHz."""
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 2**62, data_size, data_size // 2, 0)
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    return b"RF64\xff\xff\xff\xffWAVE" + ds64 + fmt * fmt_times + b"data\xff\xff\xff\xff" + data


def flac_with_total(flac: bytes, total: int) -> bytes:
    """A FLAC file whose STREAMINFO claims `total` samples (36 bits)."""
    old = int.from_bytes(flac[18:26], "big")
    return flac[:18] + (old >> 36 << 36 | total).to_bytes(8, "big") + flac[26:]


class Pipe:
    """A binary file that cannot seek, and gives less than was asked for."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, 1000) if size > 0 else size)


def refused(audio: object, **options: object) -> AudioError:
    """The error that reading `audio` ends with."""
    with pytest.raises(AudioError) as caught:
        read_audio(audio, **options)  # type: ignore[arg-type]
    assert caught.value.exit_code is ExitCode.NOTHING_USABLE
    return caught.value


def codes(audio: Audio) -> list[str]:
    """The codes of what was noticed."""
    return [n.code for n in audio.notices]
