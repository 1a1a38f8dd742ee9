"""The same recording is found again whatever was done to it, and nothing else is taken for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voices import RATE, voice
from voxaffect import fingerprint as module
from voxaffect.errors import AudioError
from voxaffect.fingerprint import Fingerprint, Twins, fingerprint, twins, waveform_agreement

Sound = np.ndarray


def write(path: Path, samples: Sound, rate: int = RATE, **options: str) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fingerprint, ...]:
    """Twelve recordings, no two alike."""
    folder = tmp_path_factory.mktemp("crowd")
    return tuple(fingerprint(write(folder / f"{seed}.wav", voice(seed))) for seed in range(12))


def noisy(x: Sound) -> Sound:
    noise = np.random.default_rng(7).normal(0, 1, len(x))
    return x + noise * np.sqrt(np.mean(x**2) / 100 / np.mean(noise**2))  # 20 dB


ALTERED: dict[str, Callable[[Path, Sound], Path]] = {
    "quieter": lambda f, x: write(f / "x.wav", 0.05 * x),
    "upside down": lambda f, x: write(f / "x.wav", -x),
    "44.1 kHz": lambda f, x: write(f / "x.wav", soxr.resample(x, RATE, 44_100), 44_100),
    "a telephone": lambda f, x: write(f / "x.wav", soxr.resample(x, RATE, 8_000), 8_000, subtype="ULAW"),
    "GSM": lambda f, x: write(f / "x.wav", soxr.resample(x, RATE, 8_000), 8_000, subtype="GSM610"),
    "MP3": lambda f, x: write(f / "x.mp3", x),
    "Opus": lambda f, x: write(f / "x.opus", x, format="OGG", subtype="OPUS"),
    "Vorbis": lambda f, x: write(f / "x.ogg", x, format="OGG", subtype="VORBIS"),
    "stereo": lambda f, x: write(f / "x.wav", np.stack([x, 0.8 * x], axis=1)),
    "silence around it": lambda f, x: write(f / "x.wav", np.pad(x, (2_345, 4_000))),
    "its ends cut off": lambda f, x: write(f / "x.wav", x[1_200:-2_000]),
    "noise": lambda f, x: write(f / "x.wav", noisy(x)),
}


@pytest.mark.parametrize("name", list(ALTERED))
def test_a_copy_is_found(name: str, crowd: tuple[Fingerprint, ...], tmp_path: Path) -> None:
    altered = fingerprint(ALTERED[name](tmp_path, voice(5)))
    (pair,) = twins([*crowd, altered])
    assert (pair.first, pair.second, pair.exact) == (5, 12, False)
    assert pair.agreement > 0.85


def test_recordings_that_differ_are_no_twins(crowd: tuple[Fingerprint, ...]) -> None:
    assert twins(crowd) == ()


def test_two_sounds_of_one_envelope_are_no_twins(crowd: tuple[Fingerprint, ...], tmp_path: Path) -> None:
    """The first step alone would be fooled: same loudness and bands over time, other waveform."""
    x = voice(5)
    spectrum = np.fft.rfft(x.reshape(-1, 320), axis=1)  # 20 ms each, their phases drawn anew
    phases = np.exp(2j * np.pi * np.random.default_rng(0).uniform(size=spectrum.shape))
    other = np.fft.irfft(np.abs(spectrum) * phases, axis=1).ravel()
    print_ = fingerprint(write(tmp_path / "x.wav", other))
    assert float(print_.envelope @ crowd[5].envelope) > module.SIMILAR
    assert twins([*crowd, print_]) == ()


def test_lossless_copies_have_equal_digests(tmp_path: Path) -> None:
    w, x, y = ((32_767 * voice(seed)).astype(np.int16) for seed in (2, 1, 3))
    a, b = write(tmp_path / "a.wav", x), write(tmp_path / "b.flac", x)
    long = write(tmp_path / "long.wav", np.concatenate([w, x, y]))
    prints = [fingerprint(a), fingerprint(b), fingerprint(long, 2.0, 4.0)]
    assert len({p.digest for p in prints}) == 1
    assert twins(prints) == (Twins(0, 1, 1.0, True), Twins(0, 2, 1.0, True))


def test_one_sample_makes_another_digest(tmp_path: Path) -> None:
    x = voice(1)
    y = x.copy()
    y[-1] += 0.01
    (pair,) = twins([fingerprint(write(tmp_path / "a.wav", x)), fingerprint(write(tmp_path / "b.wav", y))])
    assert not pair.exact


def test_silence_and_snippets_are_compared_sample_by_sample_alone(tmp_path: Path) -> None:
    silence = fingerprint(write(tmp_path / "s.wav", np.zeros(RATE)))
    longer = fingerprint(write(tmp_path / "t.wav", np.zeros(2 * RATE)))
    snippet = fingerprint(write(tmp_path / "u.wav", voice(1)[:2_000]))
    assert [len(p.envelope) for p in (silence, longer, snippet)] == [0, 0, 0]
    assert twins([silence, longer, snippet]) == ()
    assert twins([silence, silence]) == (Twins(0, 1, 1.0, True),)


def test_a_steady_tone_has_a_print(tmp_path: Path) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    a = fingerprint(write(tmp_path / "a.wav", tone))
    assert np.isfinite(a.envelope).all()
    assert twins([a, fingerprint(write(tmp_path / "b.wav", 0.5 * tone))])[0].agreement > 0.99


def test_of_a_long_recording_the_first_minute_is_compared_and_all_of_it_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SECONDS", 2)
    x = voice(1, 4.0)
    a, b = fingerprint(write(tmp_path / "a.wav", x)), fingerprint(write(tmp_path / "b.wav", x[: 2 * RATE]))
    assert a.digest != b.digest
    np.testing.assert_array_equal(a.envelope, b.envelope)


def test_a_print_is_seven_kilobytes(crowd: tuple[Fingerprint, ...]) -> None:
    assert crowd[0].envelope.nbytes + crowd[0].waveform.nbytes < 7_500
    assert np.linalg.norm(crowd[0].envelope) == pytest.approx(1, abs=1e-5)


def test_blocks_of_any_size_give_the_same_candidates(
    crowd: tuple[Fingerprint, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = [*crowd, fingerprint(write(tmp_path / "x.wav", 0.1 * voice(3)))]
    found = twins(prints)
    monkeypatch.setattr(module, "BLOCK_CELLS", 1)
    assert twins(prints) == found
    assert twins(prints[:1]) == twins([]) == ()


def test_agreement_is_the_peak_of_the_correlation_at_any_lag() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, 400), rng.normal(0, 1, 400)
    full = np.correlate(x, y, mode="full")
    expected = float(np.abs(full).max() / (np.linalg.norm(x) * np.linalg.norm(y)))
    assert waveform_agreement(x, y) >= expected - 1e-9  # lags between the samples can only add
    assert waveform_agreement(x, np.roll(x, 37)) > 0.85
    assert waveform_agreement(x, np.zeros(400)) == 0.0


def test_what_is_no_audio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("no audio")
    with pytest.raises(AudioError, match="is not audio"):
        fingerprint(tmp_path / "x.wav")
