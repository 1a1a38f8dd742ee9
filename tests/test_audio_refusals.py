"""Inputs that are not audio, and names and places that are no ordinary file."""

from __future__ import annotations

import errno
import io
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from audio_files import (
    Pipe,
    codes,
    make,
    refused,
    rf64,
    riff,
    speechlike,
    tone,
    with_ffmpeg,
    with_soundfile,
)
from voxaffect import audio_input
from voxaffect.audio import open_audio, read_audio
from voxaffect.errors import AudioError, ResourceError, VoxaffectError

PCM = (tone(16_000) * 32767).astype("<i2").tobytes()


# not audio

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123\n"
NOT_AUDIO = {
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "it is a PNG image", None),
    "html": (
        b"<!DOCTYPE html><html>404</html>",
        "it is an HTML page",
        "was the download answered by a web page?",
    ),
    "lfs": (LFS, "it is a Git LFS pointer", "run git lfs pull"),
    "random": (np.random.default_rng(1).bytes(5000), "its first bytes are of no known audio format", None),
    "json": (b'{"a": [1, 2, 3]}', "it starts like text", None),
    "text": ("żółć\n".encode() * 5000, "it starts like text", None),
    "cut text": ("żółć\n".encode()[:3], "it starts like text", None),
    "utf-16": ("text".encode("utf-16"), "it starts like text", None),
    "ffconcat": (
        b"ffconcat version 1.0\nfile other.wav\n",
        "it is a playlist",
        "give the audio files that it lists",
    ),
    "m3u8": (b"#EXTM3U\n#EXTINF:1,\nother.wav\n", "it is a playlist", "give the audio files that it lists"),
    "sdp": (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", "it is an SDP session description", None),
    "midi": (b"MThd\0\0\0\6", "it is MIDI: notes, not sound", None),
    "webp": (b"RIFF\x10\0\0\0WEBPVP8 ", "its first bytes are of no known audio format", None),
}


@pytest.mark.parametrize("name", NOT_AUDIO)
def test_what_is_not_audio_is_named_and_no_other_file_opened(name: str, tmp_path: Path) -> None:
    data, what, hint = NOT_AUDIO[name]
    (tmp_path / "other.wav").write_bytes(riff(PCM))  # what ffconcat and m3u8 point at: would decode
    path = tmp_path / "notes.wav"
    path.write_bytes(data)
    error = refused(path)
    assert (error.code, error.message, error.hint) == ("not_audio", f"notes.wav is not audio ({what})", hint)


def test_random_bytes_are_hardly_ever_taken_for_audio() -> None:
    taken = 0
    for seed in range(300):
        data = b"\xff" + np.random.default_rng(seed).bytes(5000)  # the first byte of an MP3 frame
        try:
            read_audio(data)
            taken += 1
        except AudioError as error:
            assert error.code in ("not_audio", "unreadable", "unsupported_format", "no_audio")
    assert taken == 0


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(99), "Windows Media (ASF)"),
        (b"RIFX" + bytes(99), "big-endian WAV (RIFX)"),
        ((b"\x47" + bytes(187)) * 4, "an MPEG transport stream"),
    ],
)
def test_sound_in_formats_that_are_not_read_is_named(data: bytes, name: str) -> None:
    error = refused(data)
    assert str(error).startswith(f"unsupported_format: <bytes> is {name}; expected one of wav, flac, ogg")


@pytest.mark.parametrize("magic", [b"OggS", b"fLaC", b"caff\0\1\0\0", b"FORM\0\0\0\0AIFF", b"\x1aE\xdf\xa3"])
def test_a_true_beginning_with_rubbish_behind_is_refused(magic: bytes) -> None:
    error = refused(magic + np.random.default_rng(2).bytes(3000))
    assert error.code in ("unreadable", "no_audio", "no_audio_stream", "unsupported_format")


def test_a_video_without_sound_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(with_ffmpeg("mp4", None, 0, video=True))
    assert str(refused(path)) == "no_audio_stream: clip.mp4 has video only"


def test_a_codec_that_is_not_listed_is_named() -> None:
    data = with_ffmpeg("matroska", "wavpack", 48_000)
    assert str(refused(data)).startswith(
        "unsupported_format: <bytes> has codec wavpack; expected AAC, MP3, Opus"
    )


def test_an_mp3_named_wav_is_read_and_told(tmp_path: Path) -> None:
    path = tmp_path / "clip.WAV"
    path.write_bytes(with_soundfile(tone(16_000), 16_000, "MP3"))
    read = read_audio(path)
    assert [(n.code, n.message) for n in read.notices] == [("extension_mismatch", "clip.WAV is mp3 inside")]
    (tmp_path / "clip.bin").write_bytes(path.read_bytes())
    assert codes(read_audio(tmp_path / "clip.bin")) == []


def test_telephone_sound_is_told() -> None:
    read = read_audio((tone(8_000), 8_000))
    assert [(n.code, n.message) for n in read.notices] == [
        ("narrowband", "8 kHz audio; the model was trained on 16 kHz")
    ]


# names and places


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/x.wav",
        "https://a.example/x",
        "s3://b/x.wav",
        "file:x.wav",
        "concat:a.wav|b.wav",
        "pipe:0",
    ],
)
def test_urls_are_not_opened(url: str) -> None:
    error = refused(url)
    assert error.code == "urls_not_supported"
    assert error.message == f"{url} is a URL; only files are read"
    assert error.hint == "download it first"


def test_stdout_and_stderr_stay_clean_on_broken_files(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mp3 = bytearray(with_soundfile(speechlike(16_000, 3), 16_000, "MP3"))
    mp3[3000:3040] = b"\xaa" * 40
    (tmp_path / "a.mp3").write_bytes(mp3)
    read_audio(tmp_path / "a.mp3")
    for data in (riff(PCM, tag=0x11, bits=4, align=50_000), rf64(PCM, 9, fmt_times=2), b"OggS" + bytes(500)):
        refused(data)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "name",
    [
        "-rf.wav",
        "with space.wav",
        "line\nbreak.wav",
        '"; touch x;".wav',
        "😀.wav",
        "e\u0301.wav",
        "\u00e9.wav",
        "data:x.wav",
        os.fsdecode(b"latin-\xe9.wav"),
        "n" * 251 + ".wav",
    ],
)
def test_odd_names_are_only_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(riff(PCM))
    assert read_audio(name).source.path == name
    assert [p.name for p in tmp_path.iterdir()] == [name]
    Path(name).write_bytes(b"")
    error = refused(name)
    assert error.where == name
    assert error.message.isprintable()  # one line, whatever the name is


def test_a_name_that_no_file_can_have_is_not_found() -> None:
    assert str(refused("a\0b.wav")) == "not_found: no file can be called a\\x00b.wav"


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    error = refused(tmp_path / "gone.wav")
    assert str(error) == "not_found: there is no file gone.wav (No such file or directory)"
    assert refused(tmp_path / ("n" * 300)).code == "not_found"
    assert refused("").code == "not_found"


def test_a_file_that_vanishes_between_looking_and_opening_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = make("pcm16.wav", tmp_path)
    true_stat = os.stat

    def stat_and_remove(name: str) -> os.stat_result:
        status = true_stat(name)
        path.unlink()
        return status

    monkeypatch.setattr(audio_input.os, "stat", stat_and_remove)
    with pytest.raises(AudioError) as caught:
        open_audio(str(path))
    assert caught.value.code == "not_found"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_not_a_file_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "device.wav").symlink_to("/dev/zero")
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    opened: list[object] = []
    monkeypatch.setattr(audio_input.os, "open", lambda *a: opened.append(a))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.wav")
        for name, said in {
            ".": "is a folder, not a file",
            "pipe.wav": "pipe.wav is a named pipe, not a file; pipe it in: voxaffect predict - < pipe",
            "device.wav": "device.wav is a device, not a file",
            "socket.wav": "socket.wav is a socket, not a file",
            "loop.wav": "loop.wav is a symbolic link that leads in a circle",
        }.items():
            error = refused(name)
            assert error.code == "not_a_file"
            assert str(error).endswith(said)
    assert opened == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_put_there_after_the_check_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = make("pcm16.wav", tmp_path)
    true_stat = os.stat

    def stat_and_swap(name: str) -> os.stat_result:
        status = true_stat(name)
        path.unlink()
        os.mkfifo(path)
        return status

    monkeypatch.setattr(audio_input.os, "stat", stat_and_swap)
    with pytest.raises(AudioError, match="is a named pipe, not a file"):  # and it does not wait for a writer
        open_audio(str(path))


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs users")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path, _ = make("pcm16.wav", tmp_path)
    path.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # root may read anything
            os.seteuid(65_534)
        error = refused(path)
    finally:
        os.seteuid(user)
    assert str(error) == "permission: pcm16.wav may not be read (Permission denied)"


def test_running_out_of_descriptors_is_a_matter_of_resources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = make("pcm16.wav", tmp_path)

    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(audio_input.os, "open", full)
    with pytest.raises(
        ResourceError, match=r"too_many_files: pcm16.wav: Too many open files; raise ulimit -n"
    ):
        open_audio(path)


class Failing(io.BytesIO):
    """A disk that fails after its first 20 kB."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 20_000:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_a_disk_that_fails_is_told(kind: str) -> None:
    data = with_soundfile(speechlike(16_000, 20), 16_000, kind)
    with pytest.raises(VoxaffectError, match=r"unreadable: <file> cannot be read \(Input/output error\)"):
        read_audio(Failing(data))


def test_a_pipe_is_held_in_memory_only_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_input, "PIPE_BYTES", 2**20)
    data = with_ffmpeg("mov", "pcm_s16le", 48_000, tone(48_000, 12))
    with pytest.raises(
        ResourceError, match=r"too_big: <file> has its index at its end; at most 1 MiB of a pipe"
    ):
        read_audio(Pipe(data))  # type: ignore[arg-type]
