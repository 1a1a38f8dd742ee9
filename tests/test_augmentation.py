"""Altered copies of training audio: each change does what it says, and is reproducible."""

from __future__ import annotations

import numpy as np
import pytest

from voxaffect.augmentation import add_noise, altered_copy, change_speed, equalise, mask_features, telephone
from voxaffect.recipe import AugmentationOptions

RATE = 16_000


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def peak_hz(x: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(x * np.hanning(len(x)))).argmax() * RATE / len(x))


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_speed_changes_length_and_pitch_together(factor: float) -> None:
    fast = change_speed(tone(440), factor)
    assert len(fast) == pytest.approx(RATE / factor, abs=2)
    assert peak_hz(fast) == pytest.approx(440 * factor, abs=2)


@pytest.mark.parametrize("snr", [0.0, 10.0, 30.0])
def test_noise_lies_at_the_snr_asked_for(snr: float) -> None:
    clean = tone(440)
    noise = add_noise(clean, snr, rng()) - clean
    assert 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) == pytest.approx(snr, abs=0.01)


def test_silence_gets_no_noise_and_nothing_that_is_not_finite() -> None:
    silence = np.zeros(RATE, np.float32)
    assert not add_noise(silence, 10.0, rng()).any()


def test_the_telephone_band_keeps_1000_hz_and_takes_100_and_6000() -> None:
    def level(hz: float) -> float:
        return float(20 * np.log10(telephone(tone(hz)).std() / tone(hz).std()))

    assert level(1000) == pytest.approx(0.0, abs=0.1)
    assert level(100) < -40
    assert level(6000) < -40


def test_the_equaliser_stays_within_its_depth() -> None:
    for hz in (100, 500, 3000, 7000):
        ratio = equalise(tone(hz), rng(), depth_db=8.0).std() / tone(hz).std()
        assert -8.1 < 20 * np.log10(ratio) < 8.1


def test_a_copy_is_reproducible_float32_and_within_full_scale() -> None:
    options = AugmentationOptions(copies=1, speed=(0.9, 1.1), noise=1.0, filter=1.0, gain=20.0)
    first, second = (altered_copy(tone(300), options, rng()) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.float32
    assert np.abs(first).max() <= 1.0
    other = altered_copy(tone(300), options, np.random.default_rng(8))
    assert len(other) != len(first) or not np.array_equal(other, first)


def item() -> dict[str, np.ndarray]:
    values = rng().normal(size=(100, 200)).astype(np.float32)
    return {
        "spectrogram": values,
        "mfcc": values[:, :40].copy(),
        "speech_states": np.ones((50, 2, 4), np.float16),
    }


def test_masks_cover_at_most_what_is_allowed_and_leave_the_original_alone() -> None:
    original = item()
    kept = {name: value.copy() for name, value in original.items()}
    options = AugmentationOptions(time_mask=10, frequency_mask=20)
    changed = 0
    for seed in range(20):
        masked = mask_features(original, options, np.random.default_rng(seed))
        frames = (masked["mfcc"] != original["mfcc"]).any(axis=1).sum()
        assert frames <= 20
        assert (masked["speech_states"] == 0).all(axis=(1, 2)).sum() <= 10
        changed += int(frames > 0)
    assert changed > 10
    for name, value in kept.items():
        np.testing.assert_array_equal(original[name], value)


def test_without_masks_the_item_is_passed_on() -> None:
    original = item()
    assert mask_features(original, AugmentationOptions(), rng()) is original
