from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from audio_files import (
    FFMPEG_KINDS,
    HZ,
    SECONDS,
    SOUNDFILE_KINDS,
    Pipe,
    make,
    peak_hz,
    riff,
    speechlike,
    tone,
    with_ffmpeg,
    with_soundfile,
)
from voxaffect.audio import SAMPLE_RATE, mono, open_audio, read_audio
from voxaffect.errors import UsageError, VoxaffectError

KINDS = [*FFMPEG_KINDS, *SOUNDFILE_KINDS]
CONTAINER = {"a.mkv": "matroska", "alac.m4a": "m4a", "a.opus": "ogg"}
CODEC = {
    "a.m4a": "aac", "a.mov": "pcm_s16le", "alac.m4a": "alac", "a.3gp": "amr_nb", "a.webm": "opus",
    "lame.mp3": "mp3", "adpcm.wav": "adpcm_ima_wav", "a.flac": "flac", "vorbis.ogg": "vorbis",
    "a.opus": "opus", "mulaw.wav": "pcm_mulaw", "alaw.wav": "pcm_alaw", "wavex.wav": "pcm_s24le",
    "u8.wav": "pcm_u8", "f64.wav": "pcm_f64le",
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_every_container_gives_the_same_tone(name: str, tmp_path: Path) -> None:
    path, rate = make(name, tmp_path)
    audio = read_audio(path)
    source = audio.source
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape[1] == source.channels == 1
    assert peak_hz(audio.samples[:, 0]) == pytest.approx(HZ, abs=1)
    # Blocks of a codec are not cut at the end by every container: ADTS pads by 2 blocks of 1024 samples.
    assert len(audio.samples) / SAMPLE_RATE == pytest.approx(SECONDS, abs=0.13 if name == "a.aac" else 0.05)
    assert source.duration == pytest.approx(len(audio.samples) / SAMPLE_RATE, abs=1e-3)
    assert source.container == CONTAINER.get(name, path.suffix[1:])
    assert source.codec == CODEC.get(name, source.codec)
    assert source.sample_rate == rate
    assert source.path == str(path)
    assert [n.code for n in audio.notices] == (["narrowband"] if rate == 8_000 else [])


@pytest.mark.parametrize("name", KINDS)
def test_a_pipe_gives_what_the_file_gives(name: str, tmp_path: Path) -> None:
    path, _ = make(name, tmp_path)
    if name in ("adpcm.wav", "msadpcm.wav", "gsm.wav"):
        with pytest.raises(
            VoxaffectError, match=r"unsupported_format: <file> is \w+ from a pipe; give the file"
        ):
            read_audio(Pipe(path.read_bytes()))  # type: ignore[arg-type]
        return
    piped = read_audio(Pipe(path.read_bytes()))  # type: ignore[arg-type]
    whole = read_audio(path.read_bytes())
    # Without seeking FFmpeg does not read the padding that an MP3 announces: up to a frame more at the end.
    n = len(whole.samples)
    assert n <= len(piped.samples) <= n + (300 if path.suffix == ".mp3" else 0)
    assert np.array_equal(piped.samples[: n - 320], whole.samples[: n - 320])
    assert piped.source.path is None


@pytest.mark.parametrize(
    "name", [n for n in SOUNDFILE_KINDS if n not in ("msadpcm.wav", "gsm.wav", "vorbis.ogg")]
)
def test_samples_agree_with_libsndfile(name: str, tmp_path: Path) -> None:
    path, rate = make(name, tmp_path)
    truth, _ = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != SAMPLE_RATE:
        truth = soxr.resample(truth, rate, SAMPLE_RATE, quality="VHQ")
    ours = read_audio(path).samples
    # Linear codecs and G.711 are exact but for float32; two decoders of a lossy codec differ slightly.
    tolerance = 3e-3 if path.suffix in (".mp3", ".opus") else 1e-6
    assert ours.shape == truth.shape
    assert np.abs(ours - truth).max() < tolerance


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW"])
def test_every_byte_of_g711_decodes_as_in_libsndfile(subtype: str) -> None:
    data = bytes(range(256))
    raw = io.BytesIO(data)
    truth, _ = soundfile.read(
        raw, samplerate=8_000, channels=1, format="RAW", subtype=subtype, dtype="float32"
    )
    wav = riff(data, tag=7 if subtype == "ULAW" else 6, bits=8)
    assert np.array_equal(read_audio(wav).samples[:, 0], truth)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_streamed_resampling_equals_one_call(rate: int) -> None:
    samples = speechlike(rate, 7.3, channels=2)
    with open_audio((samples, rate)) as reader:
        blocks = list(reader.blocks())
    assert [len(b) for b in blocks[:-1]] == [32_000] * (len(blocks) - 1)
    ours = np.concatenate(blocks)
    truth = soxr.resample(samples, rate, SAMPLE_RATE, quality="VHQ")
    assert abs(len(ours) - len(truth)) <= 1
    n = min(len(ours), len(truth))
    assert np.abs(ours[:n] - truth[:n]).max() < 1e-5


def test_a_stereo_wav_of_48_khz_keeps_its_channels_apart(tmp_path: Path) -> None:
    left, right = tone(48_000, hz=300), tone(48_000, hz=700)
    path = tmp_path / "two.wav"
    path.write_bytes(with_soundfile(np.stack([left, right], axis=1), 48_000))
    samples = read_audio(path).samples
    assert samples.shape == (32_000, 2)
    assert [peak_hz(samples[:, c]) for c in (0, 1)] == pytest.approx([300, 700], abs=1)
    assert np.allclose(mono(samples), samples.mean(axis=1), atol=1e-7)


def test_mono_takes_the_mean_of_the_channels() -> None:
    assert mono(np.float32([[1, 0], [0, 0.5]])).tolist() == [0.5, 0.25]
    assert mono(np.float32([[1], [2]])).tolist() == [1, 2]
    assert mono(np.float32([1, 2])).tolist() == [1, 2]


@pytest.mark.parametrize("corpus", ["ravdess", "emodb"])
def test_true_originals_agree_with_the_corpus(corpus: str, shared_corpora: Path) -> None:
    originals = sorted((shared_corpora / "originals" / corpus).rglob("*.wav"))
    assert originals
    for original in originals:
        prepared = shared_corpora / original.relative_to(shared_corpora / "originals").with_suffix(".flac")
        truth = read_audio(prepared).samples[:, 0]
        ours = mono(read_audio(original).samples)
        assert abs(len(ours) - len(truth)) <= 1, original.name
        n = min(len(ours), len(truth))
        # Both come from soxr VHQ; the corpus was rounded to 16 bits after that, and clipped at 1.
        difference = np.abs(ours[:n].clip(-1, 1) - truth[:n])
        assert difference.max() < 1.01 / 32768, original.name


def test_start_and_end_cut_the_stretch_out(tmp_path: Path) -> None:
    ramp = np.arange(80_000, dtype=np.float32) / 80_000
    flac = tmp_path / "ramp.flac"
    flac.write_bytes(with_soundfile(ramp, 16_000, "FLAC"))
    wav = tmp_path / "ramp.wav"
    wav.write_bytes(with_soundfile(ramp, 16_000, "WAV"))
    for audio in (flac, wav, Pipe(wav.read_bytes()), (ramp, 16_000)):
        cut = read_audio(audio, start=1.25, end=3.5)  # type: ignore[arg-type]
        assert np.abs(cut.samples[:, 0] - ramp[20_000:56_000]).max() < 1 / 32768
        assert cut.source.duration == 2.25
        assert cut.notices == ()
    assert len(read_audio(flac, start=4).samples) == 16_000
    assert len(read_audio(flac, end=99).samples) == 80_000


def test_a_stretch_past_the_end_is_refused() -> None:
    with pytest.raises(
        VoxaffectError, match=r"start_past_end: <array> ends before 3 s; use a smaller --start"
    ):
        read_audio((tone(16_000), 16_000), start=3)


@pytest.mark.parametrize(
    ("start", "end"), [(-1, None), (2, 2), (3, 1), (float("nan"), None), (float("inf"), None)]
)
def test_times_that_make_no_stretch_are_refused(start: float, end: float | None) -> None:
    with pytest.raises(UsageError, match=r"bad_times: start .* s and end .*; expected 0 <= start < end"):
        open_audio((tone(16_000), 16_000), start=start, end=end)


def test_a_limit_of_nothing_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match="max_seconds is 0; expected more than 0"):
        open_audio((tone(16_000), 16_000), max_seconds=0)


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint8", "float32", "float64", "float16"])
def test_arrays_are_scaled_by_their_type(dtype: str) -> None:
    x = tone(16_000, 0.5)
    scale = {"int16": 2**15, "int32": 2**31, "uint8": 2**7}.get(dtype, 1)
    raw = np.round(x * float(scale)) + 128 if dtype == "uint8" else x.astype(np.float64) * scale
    read = read_audio((raw.astype(dtype), 16_000)).samples[:, 0]
    assert np.abs(read - x).max() < {"uint8": 0.01, "float16": 1e-3}.get(dtype, 1e-4)


def test_an_array_says_where_it_comes_from() -> None:
    source = read_audio((tone(8_000), 8_000)).source
    assert (source.path, source.container, source.codec, source.sample_rate) == (
        None,
        "array",
        "float32",
        8_000,
    )


def test_a_file_object_is_read_from_its_start_and_stays_open() -> None:
    file = io.BytesIO(with_soundfile(tone(16_000), 16_000, "FLAC"))
    file.seek(0, io.SEEK_END)
    assert len(read_audio(file).samples) == 32_000
    assert not file.closed


def test_standard_input_is_read_to_its_end() -> None:
    code = (
        "import sys; from voxaffect.audio import read_audio; print(len(read_audio(sys.stdin.buffer).samples))"
    )
    flac = with_soundfile(tone(16_000), 16_000, "FLAC")
    result = subprocess.run([sys.executable, "-c", code], input=flac, capture_output=True, check=True)
    assert (result.stdout.strip(), result.stderr) == (b"32000", b"")


def test_blocks_are_read_once() -> None:
    with open_audio((tone(16_000), 16_000)) as reader:
        list(reader.blocks())
        with pytest.raises(ValueError, match="can be read once"):
            reader.blocks()


def test_the_duration_grows_with_the_blocks() -> None:
    with open_audio((tone(16_000, 5.0), 16_000)) as reader:
        assert reader.source.duration == 0
        durations = [reader.source.duration for _ in reader.blocks()]
    assert durations == sorted(durations)
    assert reader.source.duration == 5.0


def test_a_path_is_closed_and_can_be_a_path_object(tmp_path: Path) -> None:
    path, _ = make("pcm16.wav", tmp_path)
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir())) if descriptors.exists() else 0
    read_audio(path)
    with pytest.raises(VoxaffectError):
        read_audio(path, max_seconds=0.5)
    after = len(list(descriptors.iterdir())) if descriptors.exists() else 0
    assert after == before


def test_video_with_sound_gives_its_sound() -> None:
    audio = read_audio(with_ffmpeg("mp4", "aac", 48_000, video=True))
    assert peak_hz(audio.samples[:, 0]) == pytest.approx(HZ, abs=1)
    assert audio.source.container == "mp4"
    assert audio.notices == ()
    webm = read_audio(with_ffmpeg("matroska", "libopus", 48_000, video=True))
    assert webm.notices == ()  # the film's length says nothing of its sound


def test_a_live_webm_without_a_length_is_whole() -> None:
    audio = read_audio(with_ffmpeg("webm", "libopus", 48_000, options={"live": "1"}))
    assert audio.source.duration == pytest.approx(SECONDS, abs=0.01)
    assert audio.notices == ()


def test_wav_needs_neither_pyav_nor_soundfile(tmp_path: Path) -> None:
    path, _ = make("mulaw.wav", tmp_path)
    code = (
        "import sys; from voxaffect.audio import read_audio; read_audio(sys.argv[1]);"
        "print(sorted({'av', 'soundfile', 'torch', 'librosa', 'scipy'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    result = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, check=True, env=environment
    )
    assert result.stdout.strip() == b"[]"


def test_tags_in_another_encoding_do_not_matter() -> None:
    data = with_ffmpeg("matroska", "libopus", 48_000)
    assert b"Lavf" in data  # the name of the program that wrote it
    latin = data.replace(b"Lavf", b"caf\xe9")
    assert np.array_equal(read_audio(latin).samples, read_audio(data).samples)
