"""Header fields and samples that no recording has: each is named."""

from __future__ import annotations

import io

import numpy as np
import pytest

from audio_files import (
    Pipe,
    refused,
    rf64,
    riff,
    tone,
)
from voxaffect.audio import open_audio, read_audio

PCM = (tone(16_000) * 32767).astype("<i2").tobytes()


# fields that no recording has


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"channels": 0}, "channels 0; expected 1 to 32"),
        ({"channels": 255}, "channels 255; expected 1 to 32"),
        ({"channels": 1025}, "channels 1025; expected 1 to 32"),
        ({"channels": 65535}, "channels 65535; expected 1 to 32"),
        ({"rate": 0}, "sample rate 0; expected 1000 to 768000 Hz"),
        ({"rate": 1}, "sample rate 1; expected 1000 to 768000 Hz"),
        ({"rate": 4_000_000_000}, "sample rate 4000000000; expected 1000 to 768000 Hz"),
        ({"bits": 0}, "bits per sample 0; expected 8, 16, 24 or 32"),
        ({"bits": 7}, "bits per sample 7; expected 8, 16, 24 or 32"),
        ({"align": 3}, "block alignment 3; expected 2 bytes for 1 x 16 bits"),
        ({"tag": 0x11, "bits": 4, "align": 50_000}, "block alignment 50000; expected 1 to 16384 bytes"),
        ({"tag": 0x11, "bits": 4, "align": 0}, "block alignment 0; expected 1 to 16384 bytes"),
        ({"tag": 0x270}, "format tag 0x0270; expected PCM, float, mu-law, A-law, ADPCM, GSM or MP3"),
        ({"tag": 0xFFFE}, "sub-format missing; expected PCM, float, mu-law or A-law"),
    ],
)
def test_a_field_out_of_range_is_named(fields: dict[str, int], said: str) -> None:
    error = refused(riff(PCM, **fields))  # type: ignore[arg-type]
    assert str(error) == f"unsupported_format: <bytes> has {said}"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (riff(PCM, fmt_times=2), "has two fmt chunks; which one is true?"),
        (rf64(PCM, len(PCM), fmt_times=2), "has two fmt chunks; which one is true?"),
        (riff(PCM, fmt_times=0), "has its samples before their format (fmt)"),
        (riff(PCM, before=b"LIST\xff\xff\xff\x7f"), "has a chunk 'LIST' of 2147483647 bytes where"),
        (riff(PCM, before=b"junk\0\0\0\0" * 1000), "has over 1000 chunks before its samples"),
        (b"RIFF\0\0\0\0WAVEfmt \x05\0\0\0" + bytes(100), "has a fmt chunk of 5 bytes; expected 16 to 40"),
    ],
    ids=["two fmt", "RF64 two fmt", "no fmt", "endless chunk", "a thousand chunks", "short fmt"],
)
def test_a_header_that_contradicts_itself_is_refused(data: bytes, said: str) -> None:
    error = refused(data)
    assert error.code == "bad_header"
    assert said in error.message


def test_unknown_chunks_before_the_samples_are_skipped() -> None:
    read = read_audio(riff(PCM, before=b"PAD \x03\0\0\0abc\0"))
    assert len(read.samples) == len(PCM) // 2
    assert len(read_audio(Pipe(riff(PCM, before=b"PAD \x03\0\0\0abc\0"))).samples) == len(PCM) // 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("samples", "rate", "said"),
    [
        (np.zeros(10), 0, "sample_rate: the sample rate is 0; expected 1000 to 768000 Hz"),
        (
            np.zeros(10),
            np.zeros(10),
            "sample_rate: the sample rate is an array; expected (samples, sample_rate), in this order",
        ),
        (np.zeros(10), 16e3, "sample_rate: the sample rate is 16000.0; expected a whole number of Hz"),
        (np.zeros(10), True, "sample_rate: the sample rate is True; expected a whole number of Hz"),
        (
            np.zeros((2, 999)),
            16_000,
            "unsupported_format: the samples have shape (2, 999); expected (N,) or (N, C), C up",
        ),
        (
            np.zeros((1, 2, 3)),
            16_000,
            "unsupported_format: the samples have shape (1, 2, 3); expected (N,) or (N, C)",
        ),
        (
            np.zeros(10, np.int64),
            16_000,
            "unsupported_format: the samples are int64; expected float32, int16 or int32",
        ),
        (
            np.array(["a"]),
            16_000,
            "unsupported_format: the samples are <U1; expected float32, int16 or int32",
        ),
    ],
)
def test_arrays_that_are_no_recording_are_refused(samples: np.ndarray, rate: int, said: str) -> None:
    error = refused((samples, rate))
    assert str(error).startswith(said)
    assert error.where == "<array>"


def test_samples_without_their_rate_are_refused() -> None:
    error = refused(tone(8_000))
    assert str(error) == "sample_rate: raw samples need their sample rate; pass (samples, 8000)"


@pytest.mark.parametrize("audio", [None, 5, ["a.wav"]])
def test_other_types_are_a_mistake_of_the_program(audio: object) -> None:
    with pytest.raises(TypeError, match=r"expected a path, bytes, a binary file or \(samples, sample_rate\)"):
        open_audio(audio)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="audio is a tuple of 3"):
        open_audio((1, 2, 3))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="<file> gives str; open it in binary mode"):
        open_audio(io.StringIO("text"))  # type: ignore[arg-type]


# samples that are no sound


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        (np.nan, "non_finite", "<bytes> has a sample that is nan at 0.500 s; expected numbers"),
        (np.inf, "non_finite", "<bytes> has a sample that is inf at 0.500 s; expected numbers"),
        (-np.inf, "non_finite", "<bytes> has a sample that is -inf at 0.500 s; expected numbers"),
        (1e30, "out_of_range", "<bytes> has a sample of 1e+30 at 0.500 s; expected -1 to 1"),
        (-20_000, "out_of_range", "<bytes> has a sample of -20000 at 0.500 s; expected -1 to 1"),
    ],
)
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_samples_that_cannot_be_sound_are_refused(value: float, code: str, said: str, rate: int) -> None:
    samples = tone(rate).astype(np.float64)
    samples[rate // 2] = value
    for subtype in ("FLOAT", "DOUBLE"):
        data = riff(
            samples.astype("<f4" if subtype == "FLOAT" else "<f8").tobytes(),
            tag=3,
            bits=32 if subtype == "FLOAT" else 64,
            rate=rate,
        )
        error = refused(data)
        assert (error.code, error.message) == (code, said)
    assert refused((samples, rate)).code == code


@pytest.mark.parametrize(
    "samples",
    [np.zeros(16_000), np.full(16_000, 0.9), np.sign(tone(16_000)), np.ones(1), tone(16_000, 0.05)],
    ids=["silence", "offset", "clipped", "one sample", "50 ms"],
)
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_poor_but_valid_sound_is_read(samples: np.ndarray, rate: int) -> None:
    read = read_audio(riff((samples * 32767).astype("<i2").tobytes(), rate=rate))
    assert read.samples.shape == (pytest.approx(len(samples) * 16_000 / rate, abs=1), 1)
    assert np.isfinite(read.samples).all()
