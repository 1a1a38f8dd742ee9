"""What models train on and are judged by: crops kept aligned, windows as in prediction, states computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from voxaffect.cache import ArrayCache
from voxaffect.errors import AudioError, CorpusError, UsageError
from voxaffect.examples import ExampleStore, crop, read_utterance
from voxaffect.feature_options import NATIVE, PUBLISHED, FeatureOptions
from voxaffect.features import INPUTS, extract, segment_spans, segments
from voxaffect.recipe import AugmentationOptions, SurroundingsOptions
from voxaffect.table import Utterance, UtteranceTable

RATE = 16_000


def noise(n: int, seed: int = 0) -> np.ndarray:
    """(N,) float32: loud enough everywhere that no floor below a maximum is reached."""
    return (0.2 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def utterance(path: Path, position: int = 0, **changes: Any) -> Utterance:
    values = {
        "id": f"x/{position}",
        "path": path,
        "speaker": f"x/s{position}",
        "label": "sad" if position % 2 else "angry",
        "corpus": "x",
    }
    return Utterance(**{**values, **changes})


def table(folder: Path, lengths: tuple[int, ...]) -> UtteranceTable:
    """Utterances of `lengths` samples, written as float WAV so that reading gives the same numbers."""
    utterances = []
    for position, n in enumerate(lengths):
        path = folder / f"{position}.wav"
        soundfile.write(path, noise(n, position), RATE, subtype="FLOAT")
        utterances.append(utterance(path, position))
    return UtteranceTable(tuple(utterances))


def windowed(window: float, hop: float = 0.2) -> FeatureOptions:
    return FeatureOptions.from_dict({"preset": "native", "window": window, "hop": hop})


def store(
    utterances: UtteranceTable,
    options: FeatureOptions = NATIVE,
    inputs: tuple[str, ...] = ("mfcc",),
    augmentation: AugmentationOptions | None = None,
    frozen: tuple[Any, ...] = (),
    cache: Path | None = None,
    **changes: Any,
) -> ExampleStore:
    made = ExampleStore(
        utterances,
        ("angry", "sad"),
        options,
        inputs,
        augmentation or AugmentationOptions(),
        frozen,
        ArrayCache(cache),
        **changes,
    )
    made.prepare()
    return made


class CountingEncoder:
    """Stands for a speech encoder with 50 states a second, each its log-mel's mean, and counts its runs.

    `fewer` states are missing at the end, as with encoders that do not pad.
    """

    inputs = ("log_mel",)
    states_name = "speech_states"
    dim = 3
    stride = 1

    def __init__(self, digest: str = "one", fewer: int = 0) -> None:
        self.digest, self.fewer, self.runs = digest, fewer, 0
        self.states_key = digest

    def numpy_states(self, item: dict[str, np.ndarray]) -> np.ndarray:
        self.runs += 1
        log_mel = item["log_mel"]
        n = -(-len(log_mel) // 2) - self.fewer
        means = np.array([log_mel[2 * i : 2 * i + 2].mean() for i in range(n)])
        layers = means[:, None, None] * np.array([1.0, 2.0])[None, :, None]
        return np.repeat(layers, self.dim, axis=2).astype(np.float16)  # (T', L + 1, D)


@pytest.mark.parametrize("options", [NATIVE, windowed(0.5)], ids=["3 s", "0.5 s"])
def test_a_crop_holds_what_its_own_samples_would_give(options: FeatureOptions) -> None:
    n = round(options.window * RATE) + 20_000
    whole = {**extract(noise(n), options, INPUTS), "n_samples": np.array(n, np.int64)}
    starts = set()
    for seed in range(5):
        cut = crop(whole, options.window, np.random.default_rng(seed))
        width = round(options.window * RATE)
        assert int(cut["n_samples"]) == len(cut["waveform"]) == width
        start = next(
            s for s in range(n - width + 1) if (whole["waveform"][s : s + 9] == cut["waveform"][:9]).all()
        )
        starts.add(start)
        assert start % 320 == 0
        own = extract(noise(n)[start : start + width], options, INPUTS)
        np.testing.assert_array_equal(cut["waveform"], own["waveform"])
        for name in ("spectrogram", "mfcc", "log_mel"):
            assert cut[name].shape == own[name].shape, name
            # The outer frames look beyond the cut; within, one sum over the same samples (float32, dB).
            np.testing.assert_allclose(cut[name][3:-3], own[name][3:-3], atol=2e-3, err_msg=name)
    assert len(starts) > 1


@pytest.mark.parametrize("window", [0.4, 0.51])
def test_the_teacher_of_a_crop_is_that_of_its_own_moments(window: float) -> None:
    n = 16_160
    pairs = -(-(n // 160) // 2)
    whole = {
        "log_mel": np.arange(n // 160, dtype=np.float32)[:, None],
        "teacher": np.arange(pairs, dtype=np.float16)[:, None],
        "n_samples": np.array(n, np.int64),
    }
    for seed in range(20):
        cut = crop(whole, window, np.random.default_rng(seed))
        assert len(cut["teacher"]) == -(-len(cut["log_mel"]) // 2)
        np.testing.assert_array_equal(cut["teacher"][:, 0], cut["log_mel"][::2, 0] / 2)


@pytest.mark.parametrize("n", [7_999, 8_000])
def test_an_utterance_that_fits_is_not_cropped(n: int) -> None:
    whole = {"waveform": noise(n), "n_samples": np.array(n, np.int64)}
    assert crop(whole, 0.5, np.random.default_rng(0)) is whole


@pytest.mark.parametrize(
    "options", [windowed(0.5), windowed(0.0), PUBLISHED], ids=["windows", "whole", "published"]
)
def test_what_is_judged_is_what_prediction_sees(tmp_path: Path, options: FeatureOptions) -> None:
    utterances = table(tmp_path, (12_345, 5_000))
    made = store(utterances, options, ("spectrogram", "mfcc"))
    for index, n in enumerate((12_345, 5_000)):
        judged = made.judged(index)
        wanted = segments(noise(n, index), options, ("spectrogram", "mfcc"))
        assert len(judged) == len(segment_spans(n, options)) == len(wanted)
        for mine, theirs in zip(judged, wanted, strict=True):
            assert mine.keys() == theirs.keys()
            for name in theirs:
                np.testing.assert_array_equal(mine[name], theirs[name])


def test_training_draws_the_original_and_every_copy(tmp_path: Path) -> None:
    louder = AugmentationOptions(copies=2, gain=12.0)
    made = store(table(tmp_path, (4_000,)), windowed(0.0), ("waveform",), louder)
    levels = {
        float(np.abs(made.training_item((0, 0), np.random.default_rng(i))["waveform"]).max())
        for i in range(40)
    }
    assert len(levels) == 3
    assert float(np.abs(noise(4_000)).max()) in levels


def test_copies_are_the_same_for_the_same_seed_and_others_for_another(tmp_path: Path) -> None:
    utterances = table(tmp_path, (4_000,))
    louder = AugmentationOptions(copies=1, gain=12.0)

    def copies(seed: int) -> set[bytes]:
        made = store(utterances, windowed(0.0), ("waveform",), louder, seed=seed)
        return {made.training_item((0, 0), np.random.default_rng(i))["waveform"].tobytes() for i in range(20)}

    assert copies(1) == copies(1)
    assert len(copies(1) & copies(2)) == 1  # the original


def test_judged_audio_is_never_altered(tmp_path: Path) -> None:
    utterances = table(tmp_path, (12_345,))
    altered = AugmentationOptions(copies=2, gain=12.0, noise=1.0, filter=1.0, speed=(0.8, 1.2), time_mask=9)
    before = store(utterances, windowed(0.5)).judged(0)
    made = store(utterances, windowed(0.5), augmentation=altered)
    for i in range(20):
        made.training_item((0, 0), np.random.default_rng(i))
    for mine, theirs in zip(made.judged(0), before, strict=True):
        np.testing.assert_array_equal(mine["mfcc"], theirs["mfcc"])


def test_an_epoch_sees_each_utterance_once_where_it_crops_and_each_segment_where_not(tmp_path: Path) -> None:
    utterances = table(tmp_path, (12_345, 5_000))
    assert store(utterances, windowed(0.2, 0.1)).training_keys([1, 0]) == [(1, 0), (0, 0)]
    long = table(tmp_path, (50_000, 5_000))
    assert store(long, PUBLISHED).training_keys([0, 1]) == [(0, 0), (0, 1), (1, 0)]


def test_a_copy_with_fewer_segments_gives_its_last(tmp_path: Path) -> None:
    """Played fast, an utterance of a little over 3 s has one published segment, not two."""
    fast = AugmentationOptions(copies=1, speed=(1.5, 1.5))
    made = store(table(tmp_path, (50_000,)), PUBLISHED, ("mfcc",), fast)
    items = [made.training_item((0, 1), np.random.default_rng(i)) for i in range(20)]
    assert len({item["mfcc"].tobytes() for item in items}) == 2


def test_a_stride_thins_the_states_of_every_item_and_the_cache_serves_all_strides(tmp_path: Path) -> None:
    utterances, cache = table(tmp_path, (16_000,)), tmp_path / "cache"
    plain = CountingEncoder()
    (every,) = store(utterances, windowed(0.0), (), frozen=(plain,), cache=cache).judged(0)
    thinning = CountingEncoder()
    thinning.stride = 4
    (item,) = store(utterances, windowed(0.0), (), frozen=(thinning,), cache=cache).judged(0)
    assert (plain.runs, thinning.runs) == (1, 0)
    states = every["speech_states"].astype(np.float32)
    wanted = [states[i : i + 4].mean(axis=0) for i in range(0, 50, 4)]
    np.testing.assert_allclose(item["speech_states"], wanted, rtol=1e-3)
    assert item["speech_states"].dtype == np.float16


def test_targets_are_the_numbers_of_the_labels(tmp_path: Path) -> None:
    targets = store(table(tmp_path, (4_000, 4_000, 4_000))).targets
    assert targets.dtype == np.int64
    assert targets.tolist() == [0, 1, 0]


@pytest.mark.parametrize("options", [windowed(0.0), PUBLISHED], ids=["whole", "published"])
def test_a_frozen_encoder_hears_each_sound_once(tmp_path: Path, options: FeatureOptions) -> None:
    utterances = table(tmp_path, (8_000, 9_000))
    louder = AugmentationOptions(copies=1, gain=6.0)
    first = CountingEncoder()
    made = store(utterances, options, ("mfcc",), louder, (first,))
    assert first.runs == 4  # two utterances and a copy of each, judged and trained on alike, no folder needed
    assert made.judged(0)[0].keys() == {"mfcc", "n_samples", "speech_states"}

    cache = tmp_path / "cache"
    for encoder, runs in ((CountingEncoder(), 4), (CountingEncoder(), 0), (CountingEncoder("other"), 4)):
        again = store(utterances, options, ("mfcc",), louder, (encoder,), cache)
        assert encoder.runs == runs
        for mine, theirs in zip(again.judged(1), made.judged(1), strict=True):
            np.testing.assert_array_equal(mine["speech_states"], theirs["speech_states"])


def test_where_training_crops_the_encoder_is_given_its_own_features(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    made = store(table(tmp_path, (12_000,)), windowed(0.5), ("mfcc",), frozen=(encoder,))
    assert encoder.runs == len(made.judged(0)) == 3
    item = made.training_item((0, 0), np.random.default_rng(0))
    assert item.keys() == {"mfcc", "log_mel", "n_samples"}
    assert len(item["log_mel"]) == 50


def test_training_items_alone_carry_the_teacher(tmp_path: Path) -> None:
    teacher = CountingEncoder()
    made = store(
        table(tmp_path, (12_000,)),
        windowed(0.5),
        augmentation=AugmentationOptions(copies=1, gain=6.0),
        cache=tmp_path / "cache",
        teacher=teacher,
        teacher_layers=(0, 1),
    )
    assert teacher.runs == 2
    assert all("teacher" not in item for item in made.judged(0))
    item = made.training_item((0, 0), np.random.default_rng(0))
    assert (item["teacher"].shape, item["teacher"].dtype) == ((25, 3), np.float16)


def test_the_teachers_states_are_the_mean_of_its_layers(tmp_path: Path) -> None:
    utterances = table(tmp_path, (8_000,))

    def taught(*layers: int) -> np.ndarray:
        made = store(utterances, windowed(0.0), teacher=CountingEncoder(), teacher_layers=layers)
        return made.training_item((0, 0), np.random.default_rng(0))["teacher"].astype(np.float64)

    log_mel = extract(noise(8_000), NATIVE, ("log_mel",))["log_mel"]
    pairs = log_mel.reshape(25, -1).mean(axis=1)
    np.testing.assert_allclose(taught(0)[:, 0], pairs, atol=1e-3)  # float16
    np.testing.assert_allclose(taught(0, 1)[:, 0], 1.5 * pairs, atol=2e-3)


def test_a_teacher_that_gives_a_state_less_has_its_last_repeated(tmp_path: Path) -> None:
    made = store(
        table(tmp_path, (8_000,)), windowed(0.0), teacher=CountingEncoder(fewer=1), teacher_layers=(0,)
    )
    taught = made.training_item((0, 0), np.random.default_rng(0))["teacher"]
    assert len(taught) == 25
    np.testing.assert_array_equal(taught[24], taught[23])


def test_distillation_of_published_segments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="distillation takes whole utterances or random crops of them"):
        store(table(tmp_path, (50_000,)), PUBLISHED, teacher=CountingEncoder(), teacher_layers=(0,))


def test_progress_is_asked_for_every_position(tmp_path: Path) -> None:
    seen: list[int] = []
    made = ExampleStore(
        table(tmp_path, (4_000, 4_000)),
        ("angry", "sad"),
        NATIVE,
        ("mfcc",),
        AugmentationOptions(),
        (),
        ArrayCache(None),
    )
    made.prepare(lambda positions: (seen.append(p) or p for p in positions))  # type: ignore[func-returns-value]
    assert seen == [0, 1]


def test_an_utterance_is_cut_out_of_its_file_and_its_channels_averaged(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    samples = np.stack([noise(RATE, 1), noise(RATE, 2)], axis=1)
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    cut = read_utterance(utterance(path, start=0.25, end=0.75))
    assert (cut.shape, cut.dtype) == ((8_000,), np.float32)
    np.testing.assert_allclose(cut, samples[4_000:12_000].mean(axis=1), atol=1e-7)
    np.testing.assert_allclose(
        read_utterance(utterance(path, end=0.5)), samples[:8_000].mean(axis=1), atol=1e-7
    )
    np.testing.assert_allclose(
        read_utterance(utterance(path, start=0.5)), samples[8_000:].mean(axis=1), atol=1e-7
    )


def test_another_rate_becomes_16_khz(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000), 48_000)
    samples = read_utterance(utterance(path))
    assert len(samples) == RATE
    assert np.abs(np.fft.rfft(samples)).argmax() == 440


def test_an_utterance_of_over_a_minute_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(61 * 1_000), 1_000)
    with pytest.raises(AudioError, match="0:01:01 is over the limit of 0:01:00"):
        read_utterance(utterance(path))
    assert len(read_utterance(utterance(path, start=1.0, end=60.5))) == round(59.5 * RATE)


def test_a_stretch_without_samples_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, noise(48_000), 48_000)
    with pytest.raises(AudioError, match="start_past_end"):
        read_utterance(utterance(path, start=2.0))
    with pytest.raises(CorpusError, match="utterance 'x/0' has no samples") as caught:
        read_utterance(utterance(path, start=0.5, end=0.50001))
    assert caught.value.where == str(path)


def test_versions_in_rooms_and_noises_have_the_teacher_of_what_they_are_of(tmp_path: Path) -> None:
    """The teacher hears the audio before; a cut takes the states of its own moments."""
    options = SurroundingsOptions(
        versions=2, short=1.0, length=(0.3, 0.3), room=0.0, noise=1.0, telephone=0.0
    )
    teacher = CountingEncoder()
    made = store(
        table(tmp_path, (RATE,)),
        windowed(2.0),
        augmentation=AugmentationOptions(copies=1, gain=6.0),
        surroundings=options,
        teacher=teacher,
        teacher_layers=(0,),
    )
    assert teacher.runs == 2  # the recording and its copy, not their four versions
    assert len(made.altered(0)) == 5
    whole = made.whole(0)["teacher"]
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        item = made.training_item((0, 0), rng)
        n, start = int(item["n_samples"]), int(item["teacher_start"])
        seen.add((n, start))
        if n < RATE:
            assert n == round(0.3 * RATE)
            assert len(item["teacher"]) == 15
            assert len(item["mfcc"]) == 31
    assert len(seen) == 5  # the whole one, plain or copied, and four cuts
    assert len(whole) == 50


def test_without_a_teacher_versions_are_copies_like_others(tmp_path: Path) -> None:
    plain = store(table(tmp_path, (RATE,)))
    made = store(table(tmp_path, (RATE,)), surroundings=SurroundingsOptions(versions=3, short=0.0, noise=1.0))
    np.testing.assert_array_equal(made.judged(0)[0]["mfcc"], plain.judged(0)[0]["mfcc"])
    rng = np.random.default_rng(0)
    drawn = {made.training_item((0, 0), rng)["mfcc"].tobytes() for _ in range(60)}
    assert len(drawn) == 4
    assert made.training_keys([0]) == plain.training_keys([0])
