"""Rooms, noises, telephones and cuts of training audio: each does what it says, and none is one that judges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from voxaffect import degradation, surroundings
from voxaffect.degradation import active_power, with_noise
from voxaffect.recipe import SurroundingsOptions
from voxaffect.surroundings import NOISES, TEACHER_STEP, by_telephone, drawn_cut, in_room, surrounded

RATE = 16_000
NEVER = SurroundingsOptions(versions=1, short=0.0, room=0.0, noise=0.0, telephone=0.0)


def rng(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def speech(seconds: float = 2.0) -> np.ndarray:
    """(N,) float32: a buzz in half-second syllables, with silence around."""
    time = np.arange(round(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 15))
    return (0.1 * buzz * (np.sin(2 * np.pi * 2 * time) > 0)).astype(np.float32)


def band_share(x: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(x)) ** 2
    hz = np.linspace(0, RATE / 2, len(power))
    return float(power[(hz >= low) & (hz < high)].sum() / power.sum())


@pytest.mark.parametrize("noise", NOISES)
def test_a_noise_is_as_long_as_asked_audible_and_drawn_anew(noise: Any) -> None:
    for n in (1, 100, 30_000):
        first, again, other = noise(n, rng(), ()), noise(n, rng(), ()), noise(n, rng(8), ())
        assert first.shape == (n,)
        assert first.dtype == np.float32
        assert np.isfinite(first).all()
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)
    assert noise(30_000, rng(), ()).std() > 1e-3


def test_no_noise_that_trains_is_one_that_judges() -> None:
    judging = {degradation.babble, degradation.speech_shaped, degradation.hum, degradation.music}
    assert not judging & set(NOISES)
    assert not set(vars(degradation)).intersection(noise.__name__ for noise in NOISES)


@pytest.mark.parametrize("snr", [0.0, 12.0])
def test_noise_lies_at_its_snr(snr: float) -> None:
    clean = speech() / 4  # quiet enough to leave room
    for noise in NOISES:
        added = with_noise(clean, rng(), (), noise=noise, snr_db=snr) - clean
        assert 10 * np.log10(active_power(clean) / np.mean(added**2)) == pytest.approx(snr, abs=0.1)


def test_a_room_rings_on_for_its_time_and_is_no_louder() -> None:
    dry = speech()
    dry[RATE:] = 0

    def tail(rt60: float) -> float:
        wet = in_room(dry, rt60, rng())
        assert wet.shape == dry.shape
        assert active_power(wet) == pytest.approx(active_power(dry), rel=0.01)
        return float(np.square(wet[RATE + 2000 : RATE + 6000]).mean())

    assert tail(0.9) > 10 * tail(0.2)


def test_the_telephone_is_narrow_coarse_and_as_long() -> None:
    x = (0.2 * rng().standard_normal(20_001)).astype(np.float32)
    heard = by_telephone(x)
    assert heard.shape == x.shape
    assert heard.dtype == np.float32
    assert band_share(heard, 4200, 8000) < 1e-3 < band_share(x, 4200, 8000)
    tone = (0.3 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)).astype(np.float32)
    error = by_telephone(tone) - tone
    assert 1e-4 < error.std() / tone.std() < 0.05  # 8 bits of mu-law: about 38 dB


def test_a_cut_holds_speech_begins_at_a_state_and_has_a_length_from_the_range() -> None:
    x = np.concatenate([np.zeros(2 * RATE), speech(), np.zeros(2 * RATE)]).astype(np.float32)
    options = replace(NEVER, short=1.0, length=(0.5, 1.0))
    starts = set()
    for seed in range(30):
        start, end = drawn_cut(x, options, rng(seed))
        assert start % TEACHER_STEP == 0
        assert 0.5 * RATE - 1 <= end - start <= RATE + 1
        assert np.abs(x[start:end]).max() > 0.05
        starts.add(start)
    assert len(starts) > 5
    assert drawn_cut(x, NEVER, rng()) == (0, len(x))
    assert drawn_cut(x[:4000], options, rng()) == (0, 4000)  # shorter than any cut


def test_silence_survives_everything() -> None:
    silence = np.zeros(RATE, np.float32)
    options = replace(NEVER, short=1.0, room=1.0, noise=1.0, telephone=1.0, length=(0.2, 0.3))
    assert np.isfinite(surrounded(silence, options, rng())).all()
    start, end = drawn_cut(silence, options, rng())
    assert 0 <= start < end <= RATE


def test_what_is_drawn_depends_on_the_generator_alone_and_nothing_happens_with_probability_0() -> None:
    x = speech()
    options = SurroundingsOptions(versions=1)
    np.testing.assert_array_equal(surrounded(x, options, rng()), surrounded(x, options, rng()))
    assert any(not np.array_equal(surrounded(x, options, rng(s)), x) for s in range(5))
    np.testing.assert_array_equal(surrounded(x, NEVER, rng()), x)
    assert surroundings.MU == 255


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"versions": -1}, "versions must not be negative"),
        ({"noise": 1.5}, "noise is a probability, got 1.5"),
        ({"rt60": (0.0, 1.0)}, r"rt60 must be \(shortest, longest\)"),
        ({"length": (2.0, 1.0)}, r"length must be \(shortest, longest\)"),
        ({"snr": (10.0, 0.0)}, r"snr must be \(lowest, highest\)"),
    ],
)
def test_wrong_options_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SurroundingsOptions(**changes)
