from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from audio_files import speechlike, tone
from voxaffect import vad
from voxaffect.audio import read_audio


def taken_for_speech(waveform: np.ndarray) -> np.ndarray:
    """Which whole frames a level detector takes for speech."""
    return vad.LevelDetector()(waveform[: len(waveform) // 320 * 320].astype(np.float32).reshape(-1, 320))


def test_a_sine_of_full_scale_has_minus_three_dbfs() -> None:
    levels = vad.frame_levels(tone(16_000, 0.1, hz=1_000, level=1.0))
    assert levels == pytest.approx([-3.0103] * 5, abs=1e-3)  # 20 periods a frame: 20 log10(1 / sqrt 2)


def test_the_mean_of_a_frame_does_not_count() -> None:
    x = tone(16_000, 1.0, level=0.001)
    assert vad.frame_levels(x + np.float32(0.5)) == pytest.approx(vad.frame_levels(x), abs=0.01)
    assert not taken_for_speech(np.full(16_000, 0.9)).any()


def test_a_frame_cut_short_is_measured_over_what_is_there() -> None:
    assert vad.frame_levels(tone(16_000, 0.05)).shape == (3,)
    assert vad.frame_levels(np.zeros(0, np.float32)).shape == (0,)


@pytest.mark.parametrize(
    "silence",
    [
        np.zeros(48_000, np.float32),
        np.random.default_rng(0).integers(-1, 2, 48_000).astype(np.float32) / 32768,
        np.random.default_rng(0).choice(np.float32([-8, 0, 8]), 48_000) / 32768,
        np.zeros(0, np.float32),
    ],
    ids=["digital", "dither of one bit", "idle mu-law", "nothing at all"],
)
def test_silence_is_not_active(silence: np.ndarray) -> None:
    assert not taken_for_speech(silence).any()


def test_a_click_is_one_frame() -> None:
    x = np.zeros(48_000, np.float32)
    x[16_000:16_320] = 0.5 * (-1) ** np.arange(320)
    assert np.flatnonzero(taken_for_speech(x)).tolist() == [50]


def test_the_threshold_is_a_level_of_frames() -> None:
    x = tone(16_000, 1.0, hz=1_000, level=0.001)  # -63.01 dBFS
    assert vad.loudest_dbfs(x) == pytest.approx(-63.01, abs=0.01)
    assert taken_for_speech(x).all()
    assert not vad.LevelDetector(-60)(x.reshape(-1, 320)).any()


def test_silence_is_told_with_its_level() -> None:
    assert vad.silence_message(-71.2) == "loudest -71 dBFS; check the microphone, or use --no-vad"
    assert vad.loudest_dbfs(np.zeros(0, np.float32)) == -200
    assert vad.silence_message(-200.0) == "digital silence; check the microphone, or use --no-vad"


def test_every_quiet_clip_of_ravdess_is_active(shared_corpora: Path) -> None:
    # The quietest of the corpus, by RMS and by loudest frame, and a part of all others.
    quiet = [
        "Actor_09/03-01-04-01-02-02-09",
        "Actor_20/03-01-02-02-02-02-20",
        "Actor_20/03-01-04-01-01-02-20",
    ]
    clips = [shared_corpora / "ravdess" / f"{name}.flac" for name in quiet]
    clips += sorted((shared_corpora / "ravdess").rglob("*.flac"))[::48]
    for clip in clips:
        waveform = read_audio(clip).samples[:, 0]
        assert vad.loudest_dbfs(waveform) > vad.THRESHOLD_DBFS + 10, clip.name
        assert taken_for_speech(waveform).sum() > 25, clip.name  # half a second


def test_quality_flags_name_clipping_and_offset() -> None:
    speech = speechlike(16_000, 1.0)[:, 0]
    assert vad.quality_flags(speech) == ()
    assert vad.quality_flags((speech * 20).clip(-1, 1)) == ("clipped",)
    assert vad.quality_flags(speech * 0.1 + np.float32(0.9)) == ("dc",)
    assert vad.quality_flags(np.ones(100, np.float32)) == ("clipped", "dc")
    assert vad.quality_flags(np.zeros(0, np.float32)) == ()


def test_speech_normalised_to_full_scale_is_not_clipped(shared_corpora: Path) -> None:
    for clip in sorted((shared_corpora / "emodb").rglob("*.flac"))[::40]:
        waveform = read_audio(clip).samples[:, 0]
        loud = waveform / np.abs(waveform).max()
        assert vad.quality_flags(loud) == ()
        assert "clipped" in vad.quality_flags((4 * loud).clip(-1, 1))
