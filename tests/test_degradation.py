"""Each condition against its own definition: levels, spectra, decay, G.711, and what it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from voices import RATE, voice
from voxaffect import degradation
from voxaffect.augmentation import add_noise
from voxaffect.degradation import (
    CODECS,
    GROUPS,
    N_VOICES,
    active_power,
    at_level,
    babble,
    clipped,
    coded,
    conditions,
    encode,
    first,
    hum,
    impulse_response,
    music,
    reverberant,
    speech_shaped,
    with_noise,
)
from voxaffect.errors import UsageError
from voxaffect.vad import frame_levels

SPEECH = voice(1, 1.5)
VOICES = [voice(k, 1.0) for k in range(2, 6)]
NOISES = (babble, speech_shaped, hum, music)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def decibels(ratio: float) -> float:
    return float(10 * np.log10(ratio))


def test_every_condition_gives_finite_sound_of_the_same_kind_and_twice_the_same() -> None:
    for condition in conditions():
        if getattr(condition.alter, "keywords", {}).get("codec"):
            continue  # codecs have a test of their own
        altered = condition.alter(SPEECH, rng(), VOICES)
        assert altered.dtype == np.float32
        assert np.isfinite(altered).all()
        assert np.abs(altered).max() <= 1
        assert condition.group == "length" or len(altered) == len(SPEECH)
        assert np.array_equal(altered, condition.alter(SPEECH, rng(), VOICES))


def test_conditions_are_chosen_by_group_and_have_names_of_their_own() -> None:
    names = [c.name for c in conditions()]
    assert len(set(names)) == len(names)
    assert next(c.name for c in conditions(["level", "telephone"])) == "mu-law, 8 kHz"
    assert {c.group for c in conditions()} == set(GROUPS)
    with pytest.raises(UsageError) as caught:
        conditions(["wind"])
    assert str(caught.value) == (
        f"unknown_condition: unknown conditions 'wind'; expected some of {list(GROUPS)}"
    )


@pytest.mark.parametrize("noise", NOISES, ids=lambda n: n.__name__)
@pytest.mark.parametrize("snr", [20, 0])
def test_noise_stands_at_its_distance_below_speech(noise: degradation.Noise, snr: float) -> None:
    quiet = 0.1 * SPEECH  # so that nothing has to be turned down to fit
    added = with_noise(quiet, rng(), VOICES, noise=noise, snr_db=snr) - quiet
    assert decibels(active_power(quiet) / np.mean(added**2)) == pytest.approx(snr, abs=0.1)  # 16 bits


def test_silence_around_an_utterance_does_not_count_as_speech() -> None:
    padded = np.concatenate([np.zeros(RATE, np.float32), SPEECH, np.zeros(RATE, np.float32)])
    assert active_power(padded) == pytest.approx(active_power(SPEECH), rel=0.02)  # frames are cut elsewhere
    assert active_power(np.zeros(100, np.float32)) == 0
    assert active_power(np.zeros(0, np.float32)) == 0


def test_silence_stays_silence() -> None:
    silence = np.zeros(8_000, np.float32)
    for condition in conditions([g for g in GROUPS if g not in ("telephone", "codec")]):
        assert not condition.alter(silence, rng(), VOICES).any()


def test_noise_has_the_spectrum_that_its_name_says() -> None:
    n = 4 * RATE

    def share(sound: np.ndarray, low: float, high: float) -> float:
        power = np.abs(np.fft.rfft(sound)) ** 2
        hz = np.linspace(0, RATE / 2, len(power))
        return float(power[(hz >= low) & (hz < high)].sum() / power.sum())

    everyone = np.concatenate(VOICES)
    for low, high in ((0, 500), (500, 1500), (1500, 4000)):
        wanted = share(everyone, low, high)
        assert share(speech_shaped(n, rng(), VOICES), low, high) == pytest.approx(wanted, abs=0.08)
    assert share(hum(n, rng(), VOICES), 45, 1700) > 0.99
    tones = np.abs(np.fft.rfft(music(n, rng(), VOICES)[: RATE // 2] * np.hanning(RATE // 2)))
    assert (tones > 0.1 * tones.max()).mean() < 0.05  # lines, not a floor
    steady = [np.std(frame_levels(noise(n, rng(), VOICES))) for noise in (speech_shaped, babble)]
    assert steady[0] < steady[1]


def test_a_babble_is_of_the_given_voices_and_empty_without_any() -> None:
    tone = np.sin(2 * np.pi * 400 * np.arange(RATE) / RATE).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(babble(RATE, rng(), [tone])))
    assert int(spectrum.argmax()) == 400
    assert not babble(10, rng(), []).any()
    assert N_VOICES >= 4


def test_no_noise_is_one_that_training_makes() -> None:
    """Training's noise falls by as many decibels in each octave; none of ours does."""
    n = 8 * RATE

    def unevenness(sound: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(sound)) ** 2
        hz = np.linspace(0, RATE / 2, len(power))
        edges = [62.5 * 2**k for k in range(8)]
        levels = 10 * np.log10([power[(hz >= a) & (hz < 2 * a)].mean() for a in edges[:-1]])
        line = np.polyval(np.polyfit(np.arange(len(levels)), levels, 1), np.arange(len(levels)))
        return float(np.abs(levels - line).max())

    speech = np.full(n, 0.1, np.float32)
    for seed in range(3):
        assert unevenness(add_noise(speech, 0.0, rng(seed)) - speech) < 1
    for noise in NOISES:
        assert unevenness(noise(n, rng(), VOICES)) > 3, noise


@pytest.mark.parametrize("rt60", [0.3, 1.0])
def test_a_room_decays_by_60_db_in_its_time(rt60: float) -> None:
    energy = impulse_response(rt60, rng()).astype(np.float64)[1:] ** 2
    left = 10 * np.log10(np.cumsum(energy[::-1])[::-1] / energy.sum())  # Schroeder's backward integration
    a, b = int(np.argmax(left < -5)), int(np.argmax(left < -25))
    assert 3 * (b - a) / RATE == pytest.approx(rt60, rel=0.15)  # T20 of one draw of noise


def test_a_room_keeps_the_level_and_smears_the_onset() -> None:
    click = np.zeros(RATE, np.float32)
    click[100:400] = voice(3)[2000:2300]
    wet = reverberant(click, rng(), VOICES, rt60=0.6)
    assert decibels(active_power(wet) / active_power(click)) == pytest.approx(0, abs=0.2)
    assert np.abs(wet[:99]).max() < 1e-3
    assert np.abs(wet[3000:]).max() > 0.01 * np.abs(wet).max()


def test_clipping_cuts_where_it_says_and_keeps_the_level() -> None:
    cut = clipped(SPEECH, rng(), VOICES, by_db=12)
    unclipped = np.abs(SPEECH) < 10 ** (-12 / 20) * np.abs(SPEECH).max()
    gain = cut[unclipped] @ SPEECH[unclipped] / (SPEECH[unclipped] @ SPEECH[unclipped])
    assert np.abs(cut).max() / gain / np.abs(SPEECH).max() == pytest.approx(10 ** (-12 / 20), rel=1e-3)
    assert np.mean(np.abs(cut) > 0.999 * np.abs(cut).max()) > 0.01
    assert decibels(active_power(cut) / active_power(SPEECH)) == pytest.approx(0, abs=0.1)


def test_the_first_seconds_begin_with_speech() -> None:
    late = np.concatenate([np.zeros(RATE, np.float32), SPEECH])
    heard = first(late, rng(), VOICES, seconds=0.5)
    assert len(heard) == RATE // 2
    assert active_power(heard) > 0
    onset = int(np.argmax(late != 0))
    start = next(i for i in range(0, len(late), 320) if np.array_equal(late[i : i + len(heard)], heard))
    assert 0 <= start - onset + 320 <= 2 * 320 + 3200
    assert len(first(SPEECH, rng(), VOICES, seconds=9.0)) <= len(SPEECH)


def test_levels_are_those_of_the_speech_in_16_bits() -> None:
    for dbfs in (-60, -30):
        heard = at_level(SPEECH, rng(), VOICES, dbfs=dbfs)
        assert decibels(active_power(heard)) == pytest.approx(dbfs, abs=0.1)
        assert np.abs(heard * 32767 - np.round(heard * 32767)).max() < 1e-2
    assert np.abs(at_level(SPEECH, rng(), VOICES, dbfs=None)).max() == pytest.approx(1)
    loud = at_level(SPEECH, rng(), VOICES, dbfs=0)  # would not fit
    assert np.abs(loud).max() == pytest.approx(1)


def test_mu_law_is_that_of_g_711() -> None:
    """Against the standard's own formula at 8 kHz: the decoded steps are those of 8-bit mu-law."""
    from voxaffect.audio import read_audio

    samples = voice(4, 0.5)
    coded_file = encode(samples, "wav", "pcm_mulaw", 8_000, 64_000)
    audio = read_audio(coded_file)
    assert (audio.source.codec, audio.source.sample_rate) == ("pcm_mulaw", 8_000)
    data = np.frombuffer(coded_file[coded_file.index(b"data") + 8 :], np.uint8)
    bits = ~data.astype(np.int64) & 0xFF
    magnitude = (((bits & 15) << 1) + 33 << (bits >> 4 & 7)) - 33  # G.711, table 2a, in 14 bits
    decoded = np.where(bits & 0x80, -magnitude, magnitude) * 4 / 32768
    import soxr

    wanted = soxr.resample(samples, 16_000, 8_000)
    n = min(len(decoded), len(wanted))
    error = np.abs(decoded[:n] - wanted[:n])
    assert (error <= np.abs(wanted[:n]) / 32 + 0.001).all()  # half a step of 16 in a segment


@pytest.mark.parametrize("codec", CODECS)
def test_codecs_keep_time_and_level_and_change_the_samples(codec: str) -> None:
    heard = coded(SPEECH, rng(), VOICES, codec=codec)
    assert heard.shape == SPEECH.shape
    assert heard.dtype == np.float32
    assert not np.array_equal(heard, SPEECH)
    assert decibels(active_power(heard) / active_power(SPEECH)) == pytest.approx(0, abs=3)
    lags = np.fft.irfft(np.fft.rfft(heard, 2**16) * np.conj(np.fft.rfft(SPEECH, 2**16)))
    lag = int(np.argmax(lags))
    assert min(lag, 2**16 - lag) < 0.03 * RATE
    if codec.endswith("8 kHz"):
        power = np.abs(np.fft.rfft(heard * np.hanning(len(heard)))) ** 2  # not its cut edges
        assert power[len(power) // 2 + len(power) // 50 :].sum() < 1e-4 * power.sum()  # nothing above 4 kHz


def test_an_encoder_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        encode(SPEECH, "wav", "no_such_encoder", 8_000, 8_000)
    assert caught.value.code == "no_codec"
    assert "FFmpeg cannot write no_such_encoder here" in caught.value.message
