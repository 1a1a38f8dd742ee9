"""Features against librosa's and transformers', tones, and the traps of the published segments."""

from __future__ import annotations

import doctest
import itertools
import json
import tracemalloc
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxaffect import extraction, features, spectral
from voxaffect.errors import UsageError
from voxaffect.features import (
    INPUTS,
    NATIVE,
    PRESETS,
    PUBLISHED,
    FeatureOptions,
    collate,
    extract,
    n_frames,
    segment_spans,
    segments,
    segments_of_all,
    windows,
)

RATE = 16_000
LENGTHS = (1, 2, 159, 160, 399, 400, 401, 2048, 47_999, 48_000, 48_001, 100_000)
AS_PRINTED = 1e-3  # dB and cepstra: what the method asks for; librosa itself rounds its answers to about 1e-5
BOTH = ("spectrogram", "mfcc")


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def tone(hertz: float, n: int = 48_000, amplitude: float = 1.0) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(n) / RATE)).astype(np.float32)


def speech_like(n: int = 40_000) -> np.ndarray:
    """Gliding harmonics under a syllable rhythm, with a breath of noise: 60 dB from its peaks to its gaps."""
    t = np.arange(n) / RATE
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.7 * t)) / RATE
    voice = sum(np.sin(k * phase) / k**1.5 for k in range(1, 30))
    return (0.2 * np.sin(2 * np.pi * 2 * t) ** 4 * voice + 1e-4 * noise(n)).astype(np.float32)


def librosa_features(waveform: np.ndarray) -> dict[str, np.ndarray]:
    """The published features by the authors' own library; releases since 0.10 must be told to reflect."""
    import librosa

    frame = {"hop_length": 160, "pad_mode": "reflect"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_fft=")  # of signals shorter than the FFT
        x = librosa.effects.preemphasis(waveform, coef=0.97, zi=[0.0])
        magnitude = np.abs(librosa.stft(x, n_fft=800, win_length=640, window="hamming", **frame))
        mfcc = librosa.feature.mfcc(y=x, sr=RATE, n_mfcc=40, n_fft=2048, htk=True, **frame)
    return {
        "spectrogram": librosa.amplitude_to_db(magnitude, ref=np.max)[:200].T,
        "mfcc": mfcc.T,
        "waveform": x,
    }


def assert_as_published(waveform: np.ndarray) -> None:
    ours, theirs = extract(waveform, PUBLISHED), librosa_features(waveform)
    for name, expected in theirs.items():
        np.testing.assert_allclose(ours[name], expected, rtol=0, atol=AS_PRINTED, err_msg=name)


def clips(corpora: Path) -> list[np.ndarray]:
    import soundfile

    folders = ("emodb/wav", "ravdess/Actor_07", "nemo/samples")
    paths = [path for folder in folders for path in sorted((corpora / folder).rglob("*.flac"))[3:60:28]]
    return [soundfile.read(path, dtype="float32")[0] for path in paths]


# The published preset against librosa


@pytest.mark.parametrize("n_samples", LENGTHS)
def test_published_features_of_noise_are_librosas_at_every_length(n_samples: int) -> None:
    assert_as_published(noise(n_samples, seed=n_samples))


@pytest.mark.parametrize(
    "waveform",
    [
        speech_like(),
        tone(1000.0),
        tone(440.0, amplitude=0.003),
        tone(3999.0) + tone(60.0),
        np.zeros(5000, np.float32),
    ],
    ids=["speech-like", "tone", "quiet tone", "two tones", "silence"],
)
def test_published_features_are_librosas(waveform: np.ndarray) -> None:
    assert_as_published(waveform)


def test_published_features_of_real_clips_are_librosas(shared_corpora: Path) -> None:
    for clip in clips(shared_corpora):
        assert_as_published(clip)


def test_the_loudest_bin_may_lie_above_the_200_that_are_kept() -> None:
    spectrogram = extract(tone(6000.0) + tone(1000.0, amplitude=0.1), PUBLISHED, ["spectrogram"])[
        "spectrogram"
    ]
    assert spectrogram.max() < -30.0


# log_mel against transformers


@pytest.mark.parametrize("n_samples", [201, 399, 400, 401, 47_999, 48_000, 48_001, 100_000])
def test_log_mel_is_whispers_on_the_frames_that_exist(n_samples: int) -> None:
    from transformers import WhisperFeatureExtractor

    for waveform in (noise(n_samples), speech_like(n_samples)):
        whisper = WhisperFeatureExtractor()
        theirs = whisper(waveform, sampling_rate=RATE, padding=False, return_tensors="np")["input_features"][
            0
        ].T
        ours = extract(waveform, NATIVE, ["log_mel"])["log_mel"]
        assert ours.shape == (n_samples // 160, 80)
        # Both are single precision; 1e-3 is 0.04 dB, in bands 80 dB below the loudest.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)


def test_log_mel_of_real_clips_is_whispers(shared_corpora: Path) -> None:
    from transformers import WhisperFeatureExtractor

    for clip in clips(shared_corpora):
        theirs = WhisperFeatureExtractor()(clip, sampling_rate=RATE, padding=False, return_tensors="np")
        ours = extract(clip, NATIVE, ["log_mel"])["log_mel"]
        np.testing.assert_allclose(ours, theirs["input_features"][0].T, rtol=0, atol=1e-3)


def test_log_mel_hears_the_plain_waveform_under_every_preset() -> None:
    one, other = (extract(noise(5000), options, ["log_mel"])["log_mel"] for options in PRESETS.values())
    np.testing.assert_array_equal(one, other)


def test_log_mel_of_less_than_a_hop_has_no_frames() -> None:
    assert extract(noise(159), NATIVE, ["log_mel"])["log_mel"].shape == (0, 80)


# The native preset


def test_a_full_scale_sine_is_zero_db_in_its_own_bin() -> None:
    for k in (5, 50, 199):
        interior = extract(tone(20.0 * k), NATIVE, ["spectrogram"])["spectrogram"][3:-3]
        assert (interior.argmax(axis=1) == k).all()
        np.testing.assert_allclose(interior[:, k], 0.0, atol=0.02)  # leakage of the negative frequency
    np.testing.assert_allclose(
        extract(tone(1000.0, amplitude=0.01), NATIVE, ["spectrogram"])["spectrogram"][3:-3, 50],
        -40.0,
        atol=0.02,
    )


def test_native_spectrogram_and_mfcc_are_those_of_librosas_parts() -> None:
    import librosa

    x = speech_like()
    stft = librosa.stft(x, n_fft=800, win_length=640, window="hamming", hop_length=160, pad_mode="reflect")
    power = np.abs(stft) ** 2 / (0.54 * 640 / 2) ** 2  # 0.54: the mean of a periodic Hamming window
    ours = extract(x, NATIVE, BOTH)
    expected = librosa.power_to_db(power[:200].T, amin=1e-12, top_db=None)
    np.testing.assert_allclose(
        ours["spectrogram"], expected, rtol=0, atol=0.05
    )  # single precision, near nulls
    bands = 20.0 * librosa.filters.mel(sr=RATE, n_fft=800, n_mels=64, htk=True) @ power
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(bands, amin=1e-12, top_db=None), n_mfcc=40)
    np.testing.assert_allclose(ours["mfcc"], mfcc.T, rtol=0, atol=5e-3)


def test_native_silence_is_the_floor_and_published_silence_is_the_peak() -> None:
    silence = np.zeros(16_000, np.float32)
    native = extract(silence, NATIVE, BOTH)
    np.testing.assert_allclose(native["spectrogram"], -120.0, atol=1e-4)
    np.testing.assert_allclose(native["mfcc"][:, 0], -120.0 * np.sqrt(64), rtol=1e-5)
    np.testing.assert_allclose(native["mfcc"][:, 1:], 0.0, atol=1e-3)
    np.testing.assert_allclose(extract(silence, PUBLISHED, ["spectrogram"])["spectrogram"], 0.0, atol=1e-4)


def test_loudness_is_kept_by_native_and_lost_by_published() -> None:
    loud, quiet = speech_like(), speech_like() * np.float32(0.1)
    kept = [extract(x, NATIVE, ["spectrogram"])["spectrogram"].max() for x in (loud, quiet)]
    lost = [extract(x, PUBLISHED, ["spectrogram"])["spectrogram"] for x in (loud, quiet)]
    assert kept[0] - kept[1] == pytest.approx(20.0, abs=0.01)
    np.testing.assert_allclose(lost[0], lost[1], atol=0.05)


def test_the_native_mel_filters_have_no_empty_band_and_128_would_share_bins() -> None:
    native, crowded = (spectral.mel_filters(800, n_mels, "htk") for n_mels in (64, 128))
    assert ((native > 0).sum(axis=0) >= 2).all()
    assert np.linalg.matrix_rank(native) == 64
    assert ((crowded > 0).sum(axis=0) == 1).sum() == 7
    assert np.linalg.matrix_rank(crowded) < 128


@pytest.mark.parametrize("n_fft", [400, 442, 800, 1022, 2048])
@pytest.mark.parametrize(("double", "tolerance"), [(False, 2e-6), (True, 2e-7)], ids=["single", "double"])
def test_the_power_spectrum_is_that_of_the_formula(n_fft: int, double: bool, tolerance: float) -> None:
    stft = spectral.Stft(n_fft, "hann", n_fft - 7)
    x = noise(24_000)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft - 7) / (n_fft - 7))
    yielded = spectral.power_blocks(x[None], stft, 151, double=double)
    blocks = [(frames, power[0].copy()) for frames, power in yielded]
    assert [f for frames, _ in blocks for f in range(frames.start, frames.stop)] == list(range(151))
    power = np.concatenate([power for _, power in blocks], axis=0)
    bins = np.arange(stft.n_bins)
    for frame in (10, 31, 32, 127, 128, 140):
        start = frame * 160 - n_fft // 2 + 3  # 7 zeros: 3 before, 4 after
        phase = 2 * np.pi / n_fft * np.outer(np.arange(n_fft - 7), bins)
        expected = np.abs((taper * x[start : start + n_fft - 7]) @ np.exp(-1j * phase)) ** 2
        error = np.abs(np.sqrt(power[frame]) - np.sqrt(expected)).max() / np.sqrt(expected.mean())
        assert error < tolerance  # of the largest error; what comes out is single precision either way


@pytest.mark.parametrize("n_samples", [1, 2, 3, 50, 301])
def test_beyond_its_ends_a_signal_is_its_mirror_image(n_samples: int) -> None:
    x = noise(n_samples)
    padded = np.pad(x, 700, mode="reflect") if n_samples > 1 else np.full(1401, x[0])
    for start, stop in itertools.product((-700, -49, -1, 0, 1), (2, 50, 51, 300, 302, 601, 900)):
        if stop <= n_samples + 700:
            mirrored = spectral._mirrored(np.stack([x, -x]), start, stop)
            expected = padded[start + 700 : stop + 700]
            np.testing.assert_array_equal(mirrored, [expected, -expected])


@pytest.mark.parametrize("options", PRESETS.values(), ids=PRESETS)
def test_no_matrix_product_is_large_enough_to_be_split_over_cores(options: FeatureOptions) -> None:
    n, limit = spectral.BLOCK_FRAMES, spectral.LARGEST_PRODUCT
    whisper = spectral.Stft(400, "hann", 400)
    for stft, n_mels in ((options.spectrogram_stft, 64), (options.mfcc_stft, options.n_mels), (whisper, 80)):
        for _, _, weights in spectral._mel_parts(stft.n_fft, n_mels, "htk"):
            assert n * weights.size <= limit
    assert n * spectral._cosines(options.n_mels, 40).size <= limit
    assert n * spectral.mel_filters(2048, 128, "htk").size > limit  # what a single product would be


def test_the_tables_are_scipys_and_librosas() -> None:
    import librosa
    from scipy.fft import dct
    from scipy.signal import get_window

    for name, length in (("hamming", 640), ("hann", 400)):
        np.testing.assert_allclose(spectral._taper(name, length, True), get_window(name, length), atol=1e-15)
    for n_fft, n_mels, scale in ((2048, 128, "htk"), (400, 80, "slaney")):
        expected = librosa.filters.mel(sr=RATE, n_fft=n_fft, n_mels=n_mels, htk=scale == "htk")
        np.testing.assert_allclose(spectral.mel_filters(n_fft, n_mels, scale), expected.T, atol=1e-8)
    expected = dct(np.eye(64), norm="ortho", axis=1)[:, :40]
    np.testing.assert_allclose(
        spectral.cosine_transform(np.eye(64, dtype=np.float32)[None], 40)[0], expected, atol=1e-7
    )


# Both presets


@pytest.mark.parametrize("options", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("n_samples", LENGTHS)
def test_shapes_and_dtypes_hold_at_every_length(options: FeatureOptions, n_samples: int) -> None:
    result = extract(noise(n_samples), options)
    assert list(result) == list(INPUTS)
    assert {name: values.shape for name, values in result.items()} == {
        "spectrogram": (n_frames(n_samples), 200),
        "mfcc": (n_frames(n_samples), 40),
        "waveform": (n_samples,),
        "log_mel": (n_samples // 160, 80),
    }
    for values in result.values():
        assert values.dtype == np.float32
        assert np.isfinite(values).all()


@pytest.mark.parametrize("options", PRESETS.values(), ids=PRESETS)
def test_a_delay_of_whole_hops_delays_the_frames(options: FeatureOptions) -> None:
    x = speech_like(32_000)
    late = np.concatenate([np.zeros(7 * 160, np.float32), x])
    a, b = extract(x, options, (*BOTH, "log_mel")), extract(late, options, (*BOTH, "log_mel"))
    for name, values in a.items():
        # 7 frames at each end see the mirror image; single precision, so 0.01 dB
        np.testing.assert_allclose(b[name][14:-7], values[7:-7], rtol=0, atol=0.01)


@pytest.mark.parametrize("options", PRESETS.values(), ids=PRESETS)
def test_a_double_precision_waveform_gives_the_same_single_precision_features(
    options: FeatureOptions,
) -> None:
    x = noise(3000)
    for name, values in extract(x.astype(np.float64)[::1], options).items():
        np.testing.assert_array_equal(values, extract(x, options)[name])
    np.testing.assert_array_equal(
        extract(np.repeat(x, 2)[::2], options)["mfcc"], extract(x, options)["mfcc"], "strided memory"
    )


def test_the_waveform_given_is_not_changed() -> None:
    x = noise(50_000)
    before = x.copy()
    for options in PRESETS.values():
        extract(x, options)
        segments(x, options)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("options", PRESETS.values(), ids=PRESETS)
def test_nothing_but_what_is_asked_for_is_computed(
    options: FeatureOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    transforms: list[int] = []
    real = extraction.power_blocks

    def counted(signal, stft, n, **kwargs):  # type: ignore[no-untyped-def]
        transforms.append(stft.n_fft)
        return real(signal, stft, n, **kwargs)

    monkeypatch.setattr(extraction, "power_blocks", counted)
    shared = options.preset == "native"
    for inputs, expected in {
        ("waveform",): [],
        ("log_mel",): [400],
        ("spectrogram",): [800],
        ("mfcc",): [800 if shared else 2048],
        ("mfcc", "spectrogram"): [800] if shared else [800, 2048],
    }.items():
        transforms.clear()
        assert set(extract(noise(1000), options, inputs)) == set(inputs)
        assert transforms == expected
        transforms.clear()
        segments(noise(1000), options, inputs)
        assert transforms == expected


@pytest.mark.parametrize(("options", "copies"), [(NATIVE, 0), (PUBLISHED, 1)], ids=["native", "published"])
def test_memory_is_the_answer_and_little_else(options: FeatureOptions, copies: int) -> None:
    x = noise(100 * RATE)
    extract(x[:1000], options, BOTH)  # fills the caches of tables
    tracemalloc.start()
    answer = extract(x, options, BOTH)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    bands = n_frames(len(x)) * options.n_mels * 4
    allowed = sum(values.nbytes for values in answer.values()) + bands + copies * x.nbytes + 2_000_000
    assert peak < allowed
    assert allowed - 2_000_000 + 2 * x.nbytes > allowed  # one float64 array of the signal's size would show


# Segments


@pytest.mark.parametrize(
    ("n_samples", "n_segments"),
    [(1, 1), (47_839, 1), (47_999, 1), (48_000, 2), (48_001, 2), (95_999, 2), (96_000, 3), (100_000, 3)],
)
def test_published_segments_are_as_many_as_the_frames_need(n_samples: int, n_segments: int) -> None:
    items = segments(noise(n_samples), PUBLISHED)
    assert len(items) == len(segment_spans(n_samples, PUBLISHED)) == n_segments
    for item in items:
        assert {name: values.shape for name, values in item.items()} == {
            "spectrogram": (300, 200),
            "mfcc": (300, 40),
            "waveform": (48_000,),
            "log_mel": (300, 80),
            "n_samples": (),
        }
        assert item["n_samples"] == 48_000
        assert item["n_samples"].dtype == np.int64
        assert all(item[name].dtype == np.float32 for name in INPUTS)


def test_an_utterance_of_exactly_3_s_has_an_extra_segment_of_one_frame_and_no_sound() -> None:
    x = noise(48_000)
    whole, (_, extra) = extract(x, PUBLISHED), segments(x, PUBLISHED)
    for name in BOTH:
        np.testing.assert_array_equal(extra[name][0], whole[name][300])
        assert (extra[name][1:] == 0.0).all()
    assert (extra["waveform"] == 0.0).all()
    assert segment_spans(48_000, PUBLISHED) == [(0, 48_000), (48_000, 48_000)]


def test_published_padding_is_at_the_back_of_the_features_and_at_the_front_of_the_waveform() -> None:
    from transformers import Wav2Vec2FeatureExtractor

    x = noise(60_000)
    whole, items = extract(x, PUBLISHED), segments(x, PUBLISHED)
    for name in BOTH:
        np.testing.assert_array_equal(items[0][name], whole[name][:300])
        np.testing.assert_array_equal(items[1][name][:76], whole[name][300:])
        assert (items[1][name][76:] == 0.0).all()
    wav2vec2 = Wav2Vec2FeatureExtractor(do_normalize=True)
    for item, rest in zip(items, (whole["waveform"][:48_000], whole["waveform"][48_000:]), strict=True):
        padded = np.pad(rest, (48_000 - len(rest), 0))
        expected = wav2vec2(padded, sampling_rate=RATE, return_tensors="np")["input_values"][0]
        np.testing.assert_allclose(item["waveform"], expected, rtol=0, atol=1e-5)
    assert len(np.unique(items[1]["waveform"][:36_000])) == 1
    np.testing.assert_array_equal(items[1]["log_mel"][80:], items[1]["log_mel"].min())


def test_published_silence_stays_zero_and_finite() -> None:
    for item in segments(np.zeros(50_000, np.float32), PUBLISHED):
        assert (item["waveform"] == 0.0).all()
        assert all(np.isfinite(values).all() for values in item.values())


def test_a_native_window_depends_on_its_own_samples_alone() -> None:
    x = noise(70_000)
    items, spans = segments(x, NATIVE), segment_spans(70_000, NATIVE)
    assert spans == [(0, 48_000), (16_000, 64_000), (22_000, 70_000)]
    for item, (start, stop) in zip(items, spans, strict=True):
        assert item["n_samples"] == stop - start
        for name, values in extract(x[start:stop].copy(), NATIVE).items():
            np.testing.assert_array_equal(item[name], values)


def test_a_native_window_of_zero_takes_the_whole_utterance_as_one_item() -> None:
    (item,) = segments(noise(123_456), replace(NATIVE, window=0.0))
    assert item["n_samples"] == 123_456
    assert item["spectrogram"].shape == (n_frames(123_456), 200)


@settings(deadline=None)
@given(
    n_samples=st.integers(1, 2_000_000),
    window=st.floats(0.01, 20.0),
    share=st.floats(0.05, 1.0),
)
def test_windows_cover_everything_at_full_length(n_samples: int, window: float, share: float) -> None:
    spans = windows(n_samples, window, window * share)
    length = min(round(window * RATE), n_samples)
    starts = [start for start, _ in spans]
    assert starts == sorted(set(starts))
    assert starts[0] == 0
    assert spans[-1][1] == n_samples
    assert all(stop - start == length for start, stop in spans)
    assert all(start <= stop for (_, stop), (start, _) in pairwise(spans))
    assert all(start == i * round(window * share * RATE) for i, start in enumerate(starts[:-1]))


@settings(deadline=None, max_examples=20)
@given(lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=4))
def test_padding_in_a_batch_does_not_change_an_item(lengths: list[int]) -> None:
    items = [segments(noise(n, seed=n), NATIVE)[0] for n in lengths]
    batch = collate(items)
    assert batch["n_samples"].tolist() == lengths
    assert batch["n_samples"].dtype == np.int64
    for name in INPUTS:
        longest = max(len(item[name]) for item in items)
        assert batch[name].shape == (len(items), longest, *items[0][name].shape[1:])
        assert batch[name].dtype == np.float32
        for row, item in zip(batch[name], items, strict=True):
            np.testing.assert_array_equal(row[: len(item[name])], item[name])
            assert (row[len(item[name]) :] == 0.0).all()


# Options


@pytest.mark.parametrize("options", PRESETS.values(), ids=PRESETS)
def test_options_survive_json(options: FeatureOptions) -> None:
    assert FeatureOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options
    assert FeatureOptions.from_dict({"preset": options.preset}) == options


def test_a_recipe_names_only_what_differs_from_its_preset() -> None:
    options = FeatureOptions.from_dict({"window": 2, "floor": -100})
    assert options == replace(NATIVE, window=2.0, floor=-100.0)
    assert json.dumps(options.to_dict()) == json.dumps(replace(NATIVE, window=2.0, floor=-100.0).to_dict())


def test_native_can_be_given_the_published_transforms() -> None:
    values = {**PUBLISHED.to_dict(), "preset": "native"}
    item, expected = (segments(noise(50_000), FeatureOptions(**v))[1] for v in (values, PUBLISHED.to_dict()))
    for name in item:
        np.testing.assert_array_equal(item[name], expected[name])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"preset": "ours"}, r"unknown preset 'ours'; expected one of \['native', 'published'\]"),
        ({"reference": "max"}, r"unknown reference 'max'; expected one of \['full_scale', 'peak'\]"),
        ({"segmentation": "cut"}, r"unknown segmentation 'cut'; expected one of \['padded', 'windows'\]"),
        ({"pre_emphasis": 1.0}, "pre_emphasis must be at least 0 and below 1, got 1.0"),
        ({"pre_emphasis": float("nan")}, "pre_emphasis must be at least 0 and below 1, got nan"),
        ({"floor": 0.0}, "floor must be between -200 and 0 dB, got 0.0"),
        ({"n_mels": 39}, "n_mels must be at least 40, the number of coefficients, got 39"),
        ({"n_mels": 64.0}, "n_mels must be of type int, got 64.0"),
        ({"n_mels": True}, "n_mels must be of type int, got True"),
        ({"window": "3"}, "window must be of type float, got '3'"),
        ({"window": -1.0}, r"window must be 0 \(everything\) or more seconds, got -1.0"),
        ({"hop": 0.0}, "hop must be at least one sample, got 0.0 s"),
        ({"hop": 4.0}, "a hop of 4.0 s leaves gaps between windows of 3.0 s"),
        ({"spectrogram_n_fft": 396, "spectrogram_taper_length": 396}, "396 has fewer than 200 bins"),
        ({"spectrogram_taper": "kaiser"}, r"unknown taper 'kaiser'; expected one of \['hamming', 'hann'\]"),
        ({"mfcc_n_fft": 801}, "n_fft must be even and positive, got 801"),
        ({"mfcc_taper_length": 1024}, "a taper of 1024 samples does not fit an FFT of 800"),
        ({"segmentation": "padded"}, "padded segments have window = hop = 3.0 s, got 3.0 and 1.0"),
        ({"preset": "published"}, "the preset 'published' has pre_emphasis = 0.97, got 0.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(values: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        FeatureOptions(**values)  # type: ignore[arg-type]


def test_a_recipe_with_an_unknown_key_is_told_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match=r"unknown feature option 'mels'; expected some of \['preset', .*'hop'\]"
    ):
        FeatureOptions.from_dict({"mels": 64})


def test_a_recipe_with_a_wrong_value_is_told_which() -> None:
    with pytest.raises(UsageError, match="feature option: the preset 'published' has n_mels = 128, got 64"):
        FeatureOptions.from_dict({"preset": "published", "n_mels": 64})


# Programmers' mistakes


@pytest.mark.parametrize("work", [extract, segments])
@pytest.mark.parametrize(
    ("waveform", "text"),
    [
        (np.zeros(0, np.float32), "a waveform must have at least one sample, got none"),
        (np.zeros((100, 2), np.float32), r"must be 1-D \(N,\), got shape \(100, 2\); mix the channels first"),
        (np.zeros(100, np.int16), "must be floating point with full scale 1, got int16"),
        (np.array([0.0, np.nan, 0.0]), "samples must be finite and at most 1e\\+06, got nan"),
        (np.array([0.0, -np.inf]), "samples must be finite and at most 1e\\+06, got inf"),
        (np.array([0.0, -1e30]), "samples must be finite and at most 1e\\+06, got 1e\\+30"),
    ],
)
def test_what_is_no_waveform_is_refused(work, waveform: np.ndarray, text: str) -> None:  # type: ignore[no-untyped-def]
    for options in PRESETS.values():
        with pytest.raises(ValueError, match=text):
            work(waveform, options)


@pytest.mark.parametrize("work", [extract, segments])
def test_an_unknown_input_is_refused(work) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(
        ValueError, match=r"unknown input 'mel'; expected one of \['spectrogram', 'mfcc', 'wave"
    ):
        work(noise(100), NATIVE, ["mfcc", "mel"])


def test_windows_of_nothing_are_refused() -> None:
    for options in PRESETS.values():
        with pytest.raises(ValueError, match="there must be at least one sample, got 0"):
            segment_spans(0, options)


def test_batches_that_do_not_fit_are_refused() -> None:
    one = {"mfcc": np.zeros((3, 40), np.float32)}
    with pytest.raises(ValueError, match="a batch needs at least one item"):
        collate([])
    with pytest.raises(ValueError, match=r"item 0 has \['mfcc'\], item 1 has \['waveform'\]"):
        collate([one, {"waveform": np.zeros(3, np.float32)}])
    with pytest.raises(ValueError, match=r"mfcc is \(3, 40\) in item 0 and \(3, 13\) in item 1"):
        collate([one, {"mfcc": np.zeros((3, 13), np.float32)}])


def test_the_cached_tables_are_locked() -> None:
    tables = (
        spectral.mel_filters(800, 64, "htk"),
        spectral._cosines(64, 40),
        spectral._taper("hann", 400, False),
        spectral._taper("hann", 400, True),
    )
    for table in tables:
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1


def test_the_examples_in_the_docstrings_run() -> None:
    failed, tried = doctest.testmod(features)
    assert tried >= 4
    assert failed == 0


@pytest.mark.parametrize("options", [NATIVE, PUBLISHED, replace(NATIVE, reference="peak", pre_emphasis=0.97)])
def test_many_waveforms_together_have_the_bits_of_each_alone(options: FeatureOptions) -> None:
    rng = np.random.default_rng(5)
    lengths = [48_000, 48_000, 1, 700, 48_000, 64_000, 80_123, 700, *[48_000] * 9]
    waveforms = [rng.normal(0, 10.0 ** -rng.integers(1, 4), n).astype(np.float32) for n in lengths]
    together = segments_of_all(waveforms, options)
    assert sum(map(len, together)) > features.TOGETHER
    for found, waveform in zip(together, waveforms, strict=True):
        alone = segments(waveform, options)
        assert len(found) == len(alone) == len(segment_spans(len(waveform), options))
        for one, other in zip(found, alone, strict=True):
            assert one.keys() == other.keys()
            for name in one:
                np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    assert segments_of_all([], options) == []
    with pytest.raises(ValueError, match="at least one sample"):
        segments_of_all([waveforms[0], np.zeros(0, np.float32)], options)
