"""Audio that is empty, cut, damaged, endless or lies about its length; the answers are checked by text."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from audio_files import (
    Pipe,
    codes,
    flac_with_total,
    make,
    refused,
    rf64,
    riff,
    speechlike,
    tone,
    with_ffmpeg,
    with_soundfile,
)
from voxaffect import mp4
from voxaffect.audio import open_audio, read_audio
from voxaffect.errors import AudioError

PCM = (tone(16_000) * 32767).astype("<i2").tobytes()


def rss_of(code: str, *arguments: str) -> tuple[list[str], float]:
    """Run `code` in a fresh interpreter: its output lines, and its greatest resident memory in MB."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux's /proc: elsewhere the peak counts the test process before exec")
    peak = "[line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1]"
    program = f"import sys\n{code}\nprint(int({peak}) / 1024)"
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    return lines[:-1], float(lines[-1])


# nothing in it


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rec.wav"
    path.touch()
    error = refused(path)
    assert str(error) == "empty_file: rec.wav holds no audio (0 bytes); was the recording stopped early?"
    assert error.where == str(path)
    assert refused(b"").where == "<bytes>"
    assert refused(Pipe(b"")).code == "empty_file"


@pytest.mark.parametrize(
    "data",
    [
        riff(b""),
        riff(b"", after=b"LIST\x04\0\0\0INFO"),
        riff(b"")[:36],
        riff(b"")[:20],
        b"fLaC\x80" + with_soundfile(tone(16_000), 16_000, "FLAC")[5:42],
    ],
    ids=["wav", "wav and a list", "no data chunk", "cut in fmt", "flac"],
)
def test_a_header_without_samples_holds_no_audio(data: bytes) -> None:
    error = refused(data)
    assert error.code in ("no_audio", "no_audio_stream", "unreadable")
    if data[:4] == b"RIFF":
        assert re.match(
            r"no_audio: <bytes> holds no audio \((a header without samples|it ends within)", str(error)
        )


def test_an_array_without_samples_holds_no_audio() -> None:
    assert str(refused((np.zeros(0, np.float32), 16_000))) == "no_audio: the array holds no samples"


# headers that lie


@pytest.mark.parametrize(
    "data",
    [
        riff(PCM, data_size=0),
        riff(PCM, data_size=0xFFFFFFFF),
        riff(PCM, data_size=0x7FFFFFFF),
        rf64(PCM, 2**62),
    ],
    ids=["0", "0xFFFFFFFF", "0x7FFFFFFF", "RF64 2^62"],
)
def test_sizes_that_cannot_be_true_are_read_to_the_end(data: bytes) -> None:
    truth = np.frombuffer(PCM, "<i2").astype(np.float32) / 32768
    for audio in (data, Pipe(data)):
        read = read_audio(audio, max_seconds=60)  # type: ignore[arg-type]
        assert np.array_equal(read.samples[:, 0], truth)
        assert codes(read) == ["header_size"]
        assert "read to the end of the file" in read.notices[0].message


def test_an_honest_rf64_has_no_notice() -> None:
    assert codes(read_audio(rf64(PCM, len(PCM)))) == []


@pytest.mark.parametrize("total", [0, 2**36 - 1])
def test_a_flac_with_a_false_length_is_as_long_as_it_is(total: int) -> None:
    flac = with_soundfile(tone(16_000), 16_000, "FLAC")
    read = read_audio(flac_with_total(flac, total), max_seconds=60)
    assert np.array_equal(read.samples, read_audio(flac).samples)
    assert codes(read) == (["header_size"] if total else [])


def test_a_lying_header_costs_no_memory(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(rf64(PCM, 2**62))
    flac = with_soundfile(tone(16_000), 16_000, "FLAC")
    (tmp_path / "b.flac").write_bytes(flac_with_total(flac, 2**36 - 1))
    code = "from voxaffect.audio import read_audio\nfor p in sys.argv[1:]: print(len(read_audio(p).samples))"
    lines, rss = rss_of(code, str(tmp_path / "a.wav"), str(tmp_path / "b.flac"))
    assert lines == ["32000", "32000"]
    assert rss < 200


@pytest.mark.parametrize("total", [80_000_000, 2**32 - 1])
def test_an_mp4_that_claims_endless_samples_is_refused(total: int) -> None:
    data = bytearray(with_ffmpeg("ipod", "aac", 44_100))
    at = data.index(b"stsz")
    data[at + 8 : at + 16] = (1).to_bytes(4, "big") + total.to_bytes(4, "big")
    assert str(refused(bytes(data))) == (
        f"bad_header: <bytes> claims {total} index entries; expected at most {mp4.MAX_INDEX} entries"
    )


def test_an_mp4_whose_claims_hide_elsewhere_is_refused() -> None:
    fragment = b"trun" + bytes(4) + (2**32 - 1).to_bytes(4, "big") + bytes(4)
    moof = (len(fragment) + 4).to_bytes(4, "big") + fragment
    for folder in (b"traf", b"moof"):
        moof = (len(moof) + 8).to_bytes(4, "big") + folder + moof
    whole = with_ffmpeg("mp4", "aac", 48_000)
    assert "claims 42949" in str(refused(whole + moof))
    edits = bytearray(whole)
    at = edits.index(b"elst")
    edits[at + 8 : at + 12] = (2**24).to_bytes(4, "big")
    assert "index entries" in str(refused(bytes(edits)))
    cmov = b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + b"\0\0\0\x10moov\0\0\0\x08cmov"
    assert "claims a compressed index" in str(refused(cmov))
    many = b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + b"\0\0\0\x08free" * 100_001
    assert "claims over 100000 boxes" in str(refused(many))


def test_an_hour_of_uncompressed_mov_is_not_taken_for_a_claim() -> None:
    hour = np.zeros(16_000 * 240, np.float32)  # 3.8 million samples: more than MAX_INDEX
    data = with_ffmpeg("mov", "pcm_s16le", 16_000, hour)
    with open_audio(data) as reader:
        assert sum(len(b) for b in reader.blocks()) == len(hour)


# cut short


@pytest.mark.parametrize(
    "name",
    ["pcm16.wav", "a.flac", "a.webm", "a.mkv", "a.mp3", "lame.mp3", "a.aiff", "adpcm.wav", "a.avi", "a.caf"],
)
def test_a_file_cut_in_half_gives_its_half_and_says_so(name: str, tmp_path: Path) -> None:
    path, _ = make(name, tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    read = read_audio(path)
    assert 0.8 < read.source.duration < 1.1
    assert codes(read) == ["truncated"]
    assert re.fullmatch(r"(0\.9|1\.0) s of 2\.0 s", read.notices[0].message)
    error = refused(path, strict=True)
    assert re.fullmatch(
        rf"truncated: {name}: (0\.9|1\.0) s of 2\.0 s; leave out --strict to use the rest", str(error)
    )


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_cut_in_half_gives_what_can_be_read(subtype: str) -> None:
    data = with_soundfile(speechlike(16_000, 20), 16_000, "OGG", subtype)  # several pages
    read = read_audio(data[: len(data) // 2])
    assert 4 < read.source.duration < 12
    assert [(n.code, n.message) for n in read.notices] == [("truncated", "the file stops before its end")]
    assert refused(data[: len(data) // 2], strict=True).code == "truncated"


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_from_a_pipe_that_breaks_off_says_so(subtype: str) -> None:
    data = with_soundfile(speechlike(16_000, 20), 16_000, "OGG", subtype)
    assert codes(read_audio(Pipe(data))) == []  # type: ignore[arg-type]
    for end in (len(data) // 2, len(data) - 1):
        read = read_audio(Pipe(data[:end]))  # type: ignore[arg-type]
        assert [(n.code, n.message) for n in read.notices] == [("truncated", "the file stops before its end")]
    assert codes(read_audio(Pipe(data[: len(data) // 2]), end=2.0)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a.amr", "a.aac"])
def test_a_format_without_a_length_that_ends_within_a_piece_is_cut(name: str, tmp_path: Path) -> None:
    path, _ = make(name, tmp_path)
    data = path.read_bytes()
    read = read_audio(data[: len(data) // 2])
    assert ("truncated", "the last piece of the file is cut short") in [
        (n.code, n.message) for n in read.notices
    ]


LIVE = {"live": "1"}


@pytest.mark.parametrize(
    ("muxer", "encoder", "options"),
    [
        ("avi", "libmp3lame", {}),
        ("w64", "pcm_s16le", {}),
        ("webm", "libopus", LIVE),
        ("matroska", "aac", LIVE),
        ("matroska", "aac", {**LIVE, "cluster_time_limit": "100"}),
    ],
    ids=["mp3 in avi", "w64", "live webm", "live mkv", "live mkv, many clusters"],
)
def test_a_file_that_gives_no_length_is_cut_where_its_bytes_end_too_soon(
    muxer: str, encoder: str, options: dict[str, str]
) -> None:
    whole = with_ffmpeg(muxer, encoder, 48_000, speechlike(48_000, 2.0)[:, 0], options=options)
    assert codes(read_audio(whole)) == []
    for share in (0.3, 0.5, 0.9):
        read = read_audio(whole[: int(len(whole) * share)])
        assert read.source.duration < 2 * share + 0.2
        assert codes(read) == ["truncated"]
    assert refused(whole[: len(whole) // 2], strict=True).code == "truncated"


def test_a_film_is_cut_even_if_its_length_is_that_of_its_pictures() -> None:
    for muxer in ("matroska", "avi"):
        whole = with_ffmpeg(muxer, "libmp3lame", 48_000, speechlike(48_000, 2.0)[:, 0], video=True)
        assert codes(read_audio(whole)) == []
        assert codes(read_audio(whole[: len(whole) // 2])) == ["truncated"]


def test_a_live_recording_is_not_called_cut_where_a_block_ends() -> None:
    whole = with_ffmpeg("webm", "libopus", 48_000, speechlike(48_000, 1.0)[:, 0], options=LIVE)
    with av.open(io.BytesIO(whole)) as container:
        ends = [
            p.pos + 4 + p.size for p in container.demux(audio=0) if p.size
        ]  # track, time and flags: 4 bytes
    silent = [n for n in range(ends[-3] - 1, len(whole)) if not codes(read_audio(whole[:n]))]
    assert silent == ends[-3:-1]  # a listener cannot know; anywhere else it can


def test_an_index_that_is_cut_off_costs_no_sound() -> None:
    whole = with_ffmpeg("avi", "pcm_s16le", 16_000)
    assert b"idx1" in whole[-300:]
    assert codes(read_audio(whole[:-20], strict=True)) == []


def test_zeros_behind_a_live_recording_are_no_cut() -> None:
    whole = with_ffmpeg("webm", "libopus", 48_000, options=LIVE)
    assert "truncated" not in codes(read_audio(whole + bytes(4096)))  # a recorder that reserved room


def test_mp3_files_joined_end_to_end_are_not_taken_for_cut() -> None:
    one = with_soundfile(tone(16_000, 5.0), 16_000, "MP3")  # its tag counts the frames of one
    joined = read_audio(one * 12, strict=True)
    assert codes(joined) == []
    assert joined.source.duration > 60


def test_a_cut_that_is_not_within_the_stretch_does_not_matter() -> None:
    half = riff(PCM)[: 44 + len(PCM) // 2]
    assert codes(read_audio(half, end=0.5, strict=True)) == []
    assert codes(read_audio(half, end=1.5)) == ["truncated"]


def test_an_mp4_without_its_index_says_that_it_cannot_be_decoded() -> None:
    data = with_ffmpeg("mp4", "aac", 48_000)
    assert str(refused(data[:5000])) == (
        "unreadable: <bytes> starts like mp4 but cannot be decoded (its index is missing); "
        "it was cut short: copy it again, or stop the recording first"
    )


def test_an_ogg_that_ends_within_its_header_says_so() -> None:
    data = with_soundfile(tone(16_000), 16_000, "OGG", "VORBIS")
    assert "unreadable: <bytes> starts like ogg but cannot be decoded (" in str(refused(data[:3000]))


def test_damage_in_the_middle_is_told_and_the_rest_is_read() -> None:
    data = bytearray(with_ffmpeg("mp4", "aac", 48_000, speechlike(48_000, 2.0)[:, 0]))
    data[len(data) // 2 : len(data) // 2 + 300] = b"\xff" * 300
    read = read_audio(bytes(data))
    assert 1.8 < read.source.duration < 2.05
    assert re.match(r"\d pieces could not be decoded and are missing", read.notices[0].message)
    assert refused(bytes(data), strict=True).code == "damaged"


# bombs


def test_an_hour_of_silence_in_a_few_kilobytes_is_read_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "bomb.flac"
    with soundfile.SoundFile(path, "w", 16_000, 1, format="FLAC") as file:
        for _ in range(60):
            file.write(np.zeros(16_000 * 60, np.int16))
    eight = tmp_path / "eight.flac"
    with soundfile.SoundFile(eight, "w", 16_000, 8, format="FLAC") as file:
        for _ in range(10):
            file.write(np.zeros((16_000 * 60, 8), np.int16))
    assert path.stat().st_size < 200_000
    code = (
        "from voxaffect.audio import open_audio\n"
        "for p in sys.argv[1:]:\n"
        "    with open_audio(p) as reader: print(sum(len(b) for b in reader.blocks()) // 16000)"
    )
    lines, rss = rss_of(code, str(path), str(eight))
    assert lines == ["3600", "600"]
    assert rss < 200


def test_the_limit_counts_decoded_seconds() -> None:
    flac = with_soundfile(np.zeros(16_000 * 130, np.int16), 16_000, "FLAC")
    said = "too_long: 0:02:10 is over the limit of 0:02:00; use --start and --end, or a higher --max-duration"
    assert str(refused(flac, max_seconds=120)) == said
    unsaid = "too_long: longer than the limit of 0:02:00; use --start and --end, or a higher --max-duration"
    assert str(refused(flac_with_total(flac, 0), max_seconds=120)) == unsaid
    assert str(refused(flac_with_total(flac, 2**36 - 1), max_seconds=120)) == unsaid
    assert read_audio(flac, max_seconds=130).source.duration == 130
    assert read_audio(flac, max_seconds=100, start=40).source.duration == 90


def test_a_wav_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(AudioError, match=r"5:12:03 is over the limit of 2:00:00"):
        open_audio((np.zeros((5 * 3600 + 12 * 60 + 3) * 1000, np.uint8), 1000), max_seconds=7200)
