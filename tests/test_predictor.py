"""Prediction with a model whose answer is known: it hears the level, nothing else."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import voxaffect
from fake_models import LEVELS, RATE, expected_logits, silence, square, write_model, write_wav
from voxaffect import prediction
from voxaffect.audio import AudioInput
from voxaffect.errors import ArtefactError, AudioError, UsageError, VoxaffectError
from voxaffect.events import StreamResult
from voxaffect.predictor import Predictor, load
from voxaffect.result import Result

pytest.importorskip("onnx", reason="the fake model is made with onnx")
pytestmark = pytest.mark.usefixtures("sound_is_speech")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(write_model(tmp_path_factory.mktemp("model") / "level.onnx"))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Three members; the second and third hear louder and softer than is."""
    path = tmp_path_factory.mktemp("model") / "three.onnx"
    return load(write_model(path, (0.0, -0.12, 0.12), calibration={"temperature": 2.0}))


def softmax(logits: np.ndarray) -> np.ndarray:
    values = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(values / values.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("label", LEVELS)
def test_each_level_has_its_label_and_the_probabilities_of_the_formula(model: Predictor, label: str) -> None:
    result = model.predict((square(LEVELS[label], 2.0), RATE))
    assert result.label == label
    assert result.votes == {label: 1}
    # float32 in the model: the mean of 32,000 samples is exact to about 1e-7, times a slope of at most 240
    np.testing.assert_allclose(
        list(result.probs.values()), softmax(expected_logits(LEVELS[label])), atol=1e-4
    )
    assert result.score == result.probs[label]


def test_members_vote_and_their_cooled_probabilities_are_averaged(three: Predictor) -> None:
    result = three.predict((square(0.3, 2.0), RATE))
    logits = np.array([expected_logits(0.3, shift) for shift in (0.0, -0.12, 0.12)])
    names = [list(LEVELS)[k] for k in logits.argmax(axis=1)]
    assert names[1:] == ["happy", "neutral"]
    assert sum(result.votes.values()) == 3
    assert result.agreement == pytest.approx(2 / 3)
    log_probs = np.log(softmax(logits))
    np.testing.assert_allclose(list(result.probs.values()), softmax(log_probs / 2.0).mean(axis=0), atol=1e-4)


def test_a_path_bytes_a_file_and_samples_have_the_same_answer(model: Predictor, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", square(0.4, 4.3))
    samples, rate = soundfile.read(path, dtype="float32")
    inputs: list[AudioInput] = [
        path,
        str(path),
        path.read_bytes(),
        io.BytesIO(path.read_bytes()),
        (samples, rate),
    ]
    results = [model.predict(audio) for audio in inputs]
    assert {r.label for r in results} == {"happy"}
    assert len({r.score for r in results}) == 1
    assert results[0].id == results[0].path == str(path)
    assert results[2].id.startswith("bytes:")
    assert results[3].id == "stream"
    assert results[4].id.startswith("array:")
    assert [r.segments for r in results] == [results[0].segments] * 5


def test_the_same_input_has_the_same_id_and_another_another(model: Predictor) -> None:
    one, two = square(0.4, 1.0), square(0.2, 1.0)
    assert model.predict((one, RATE)).id == model.predict((one, RATE)).id
    assert model.predict((one, RATE)).id != model.predict((two, RATE)).id
    assert model.predict((one, RATE)).id != model.predict((one, 8000)).id


def test_the_bytes_of_a_file_are_the_same_input_however_they_are_held(
    model: Predictor, tmp_path: Path
) -> None:
    data = write_wav(tmp_path / "a.wav", square(0.4, 1.0)).read_bytes()
    views = [data, bytearray(data), memoryview(data)]
    assert len({model.predict(view).id for view in views}) == 1  # type: ignore[arg-type]


def test_segments_follow_the_recording(model: Predictor, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", square(0.05, 6), silence(6), square(0.6, 6.5))
    result = model.predict(path)
    assert result.source is not None
    assert result.source.duration == pytest.approx(18.5)
    starts = [s.start for s in result.segments]
    assert starts == pytest.approx([0, 1, 2, 3, 3.45, 11.8, 12.8, 13.8, 14.8, 15.5])
    assert all(s.end - s.start == pytest.approx(3.0) for s in result.segments)
    assert [s.label for s in result.segments[:4]] == ["sad"] * 4
    assert [s.label for s in result.segments[-4:]] == ["angry"] * 4
    summary = result.summary[0]
    assert summary.speech_seconds == pytest.approx(6 + 6.5)
    assert sum(summary.share.values()) == pytest.approx(1)
    assert result.settings is not None
    assert (result.settings.window, result.settings.hop) == (3.0, 1.0)


def test_the_whole_answer_is_the_vote_on_mean_log_probabilities(three: Predictor) -> None:
    result = three.predict((np.concatenate([square(0.2, 3), square(0.35, 3)]), RATE), hop=3.0)
    assert len(result.segments) == 2
    logits = np.array([[expected_logits(x, shift) for shift in (0.0, -0.12, 0.12)] for x in (0.2, 0.35)])
    mean = np.log(softmax(logits)).mean(axis=0)
    np.testing.assert_allclose(list(result.probs.values()), softmax(mean / 2.0).mean(axis=0), atol=1e-4)
    assert (
        result.votes == three.predict((square(0.275, 3), RATE)).votes
    )  # by the formula, whose logits are quadratic


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_the_batch_does_not_change_the_answer(
    model: Predictor, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    audio = (np.concatenate([square(0.2, 20), square(0.35, 20.2)]), RATE)
    expected = model.predict(audio)
    monkeypatch.setattr("voxaffect.listening.BATCH", batch)
    monkeypatch.setattr("voxaffect.recogniser.BATCH", batch)
    found = model.predict(audio)
    assert found.probs == pytest.approx(expected.probs, abs=1e-6)
    assert [s.probs for s in found.segments] == [pytest.approx(s.probs, abs=1e-6) for s in expected.segments]


def test_channels_are_mixed_split_or_picked(model: Predictor, tmp_path: Path) -> None:
    left, right = square(0.6, 4), square(0.2, 4)
    path = write_wav(tmp_path / "a.wav", np.stack([left, right], axis=1))
    assert model.predict(path).label == "happy"  # the mean, 0.4
    split = model.predict(path, channels="split")
    assert [(s.channel, s.label) for s in split.summary] == [(0, "angry"), (1, "neutral")]
    assert [(s.start, s.channel) for s in split.segments] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    one = model.predict(path, channels=1)
    assert (one.label, one.summary[0].channel, one.segments[0].channel) == ("neutral", 1, 1)
    with pytest.raises(
        AudioError, match="no_such_channel: channel 2 is asked for; there are 2, counted from 0"
    ):
        model.predict(path, channels=2)


def test_start_and_end_cut_and_the_times_are_those_of_the_file(model: Predictor, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", square(0.05, 10), square(0.6, 10))
    result = model.predict(path, start=12.0, end=16.5)
    assert result.label == "angry"
    assert (result.segments[0].start, result.segments[-1].end) == (12.0, 16.5)


def test_a_window_of_ones_own(model: Predictor) -> None:
    result = model.predict((square(0.4, 10), RATE), window=5.0, hop=2.5)
    assert [(s.start, s.end) for s in result.segments] == [(0, 5), (2.5, 7.5), (5, 10)]
    assert model.predict((square(0.4, 10), RATE), window=0.5).segments[1].start == 0.5


def test_silence_has_no_label_and_says_how_loud_it_was(model: Predictor) -> None:
    rng = np.random.default_rng(0)
    quiet = (10 ** (-71 / 20) * rng.standard_normal(5 * RATE)).astype(np.float32)
    for samples, text in (
        (silence(5), "digital silence; check the microphone, or use --no-vad"),
        (quiet, "loudest -71 dBFS; check the microphone, or use --no-vad"),
    ):
        result = model.predict((samples, RATE))
        assert (result.label, result.reason, result.score) == (None, "no_speech", None)
        assert (result.segments, result.probs, result.votes) == ((), {}, {})
        assert result.summary[0].label is None
        (warning,) = [w for w in result.warnings if w.code == "no_speech"]
        if "71" in text:  # the loudest of 250 frames of noise is about a decibel over its mean
            assert warning.message in (text, text.replace("71", "70"))
        else:
            assert warning.message == text
    assert model.predict((silence(5), RATE), vad=False).label == "sad"


@pytest.mark.parametrize("n_samples", [1, 800, 3_199])
def test_too_short_has_no_label(model: Predictor, n_samples: int) -> None:
    result = model.predict((square(0.4, 1.0)[:n_samples], RATE))
    assert (result.label, result.reason) == (None, "too_short")
    assert result.warnings[-1].message.endswith("s of audio; at least 0.2 s are needed")
    assert model.predict((square(0.4, 0.2), RATE)).label == "happy"
    assert (
        model.predict((square(0.4, 1.0)[:1], 48_000)).reason == "too_short"
    )  # a third of a sample at 16 kHz


def test_flags_name_what_is_wrong_with_the_signal(model: Predictor) -> None:
    clipped = model.predict((square(1.0, 4), RATE))
    assert clipped.segments[0].flags == ("clipped",)
    assert ("clipped", "4 of 4 seconds are clipped: recorded too loud") in [
        (w.code, w.message) for w in clipped.warnings
    ]
    offset = model.predict((square(0.3, 2) + 0.3, RATE))
    assert offset.segments[0].flags == ("dc",)
    telephone = model.predict((square(0.4, 2, 8000), 8000))
    assert telephone.segments[0].flags == ("narrowband",)
    assert [w.code for w in telephone.warnings] == ["narrowband"]
    constant = model.predict((np.full(5 * RATE, 0.9, np.float32), RATE))
    assert (constant.label, constant.reason) == (None, "no_speech")
    assert "dc" in [w.code for w in constant.warnings]


def test_a_tied_vote_is_uncertain_and_flagged(tmp_path: Path) -> None:
    pair = load(write_model(tmp_path / "pair.onnx", (-0.12, 0.12)))
    result = pair.predict((square(0.32, 2), RATE))
    assert sorted(result.votes) == ["happy", "neutral"]
    assert result.label == max(result.probs, key=lambda label: result.probs[label])
    assert result.uncertain
    assert result.segments[0].flags == ("tie",)
    assert result.segments[0].uncertain
    assert result.warnings[0].message.startswith("the vote is tied: ")


def test_the_models_threshold_marks_and_ones_own_takes_the_label(tmp_path: Path) -> None:
    doubtful = load(write_model(tmp_path / "m.onnx", uncertain_below=0.9))
    audio = (square(0.3, 2), RATE)  # halfway between happy and neutral
    marked = doubtful.predict(audio)
    assert marked.label is not None
    assert marked.uncertain
    assert marked.segments[0].uncertain
    asked = doubtful.predict(audio, uncertain_below=0.8)
    assert (asked.label, asked.reason, asked.score, asked.uncertain) == (None, "low_confidence", None, True)
    assert asked.probs == marked.probs
    assert "is below 0.8" in asked.warnings[-1].message
    assert asked.segments[0].label in ("happy", "neutral")
    assert not doubtful.predict((square(0.4, 2), RATE), uncertain_below=0.5).uncertain


def test_a_cut_file_is_answered_with_a_warning_or_refused_when_strict(
    model: Predictor, tmp_path: Path
) -> None:
    path = write_wav(tmp_path / "a.wav", square(0.4, 5.0))
    path.write_bytes(path.read_bytes()[: 44 + 2 * round(2.6 * RATE)])
    result = model.predict(path)
    assert result.label == "happy"
    assert ("truncated", "2.6 s of 5.0 s") in [(w.code, w.message) for w in result.warnings]
    with pytest.raises(AudioError, match=r"truncated: a\.wav: 2\.6 s of 5\.0 s"):
        model.predict(path, strict=True)


def test_raw_samples_without_a_rate_are_refused(model: Predictor) -> None:
    with pytest.raises(
        AudioError, match=r"sample_rate: raw samples need their sample rate; pass \(samples, 8000\)"
    ):
        model.predict(square(0.4, 1.0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"channels": "left"},
            "channels is 'left'; expected 'mix', 'split' or the number of a channel, from 0",
        ),
        ({"channels": -1}, "channels is -1; expected"),
        ({"window": 0.1}, "window is 0.1; expected 0.2 to 60 seconds"),
        ({"window": 61}, "window is 61; expected 0.2 to 60 seconds"),
        ({"hop": 4.0}, "hop is 4.0; expected 0.01 seconds to the window's 3"),
        ({"start": -1.0}, "start is -1.0; expected 0 seconds or more"),
        ({"start": 3.0, "end": 2.0}, "end is 2.0; expected more than the start, 3 seconds"),
        ({"uncertain_below": 1.5}, "uncertain-below is 1.5; expected a probability, 0 to 1"),
        ({"max_seconds": 0}, "max-duration is 0; expected more than 0 seconds"),
    ],
)
def test_options_out_of_range_are_named(model: Predictor, options: dict[str, float], text: str) -> None:
    with pytest.raises(UsageError, match="bad_value") as caught:
        model.predict((square(0.4, 1.0), RATE), **options)  # type: ignore[arg-type]
    assert text in caught.value.message
    with pytest.raises(UsageError, match="bad_value"):
        model.predict_many([], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("jobs", [1, 3])
def test_many_keep_their_order_and_lose_nobody(model: Predictor, tmp_path: Path, jobs: int) -> None:
    paths = [write_wav(tmp_path / f"{i:02}.wav", square(0.05 * (i + 1), 1 + i % 3)) for i in range(10)]
    paths[4].write_bytes(b"")
    results = list(model.predict_many(paths, on_error="record", jobs=jobs))
    assert [r.path for r in results] == [str(p) for p in paths]
    assert [i for i, r in enumerate(results) if r.error] == [4]
    error = results[4].error
    assert error is not None
    assert (error.code, error.where) == ("empty_file", str(paths[4]))
    assert results[4].model == model.model
    with pytest.raises(AudioError, match="empty_file"):
        list(model.predict_many(paths, jobs=jobs))


def test_many_read_only_as_far_ahead_as_there_are_jobs(model: Predictor) -> None:
    taken = []

    def inputs() -> Iterator[AudioInput]:
        for i in range(100):
            taken.append(i)
            yield square(0.4, 0.5), RATE

    results = model.predict_many(inputs(), jobs=2)
    next(results)
    results.close()
    assert len(taken) <= 4


def test_a_stop_ends_the_work_on_long_recordings(model: Predictor) -> None:
    stop = threading.Event()
    stop.set()
    options = prediction.check_options(model._recogniser)
    with pytest.raises(VoxaffectError, match="interrupted: stopped before the end"):
        prediction.predict_one(model._recogniser, (square(0.4, 5.0), RATE), options, stop)


def test_wrong_arguments_for_many_are_named(model: Predictor) -> None:
    with pytest.raises(ValueError, match="unknown on_error 'ignore'; expected 'raise' or 'record'"):
        model.predict_many([], on_error="ignore")
    for one in ("a.wav", Path("a.wav"), b"RIFF"):
        with pytest.raises(TypeError, match=r"inputs is a single one; expected several, as in \[path\]"):
            model.predict_many(one)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="bad_value: jobs is 0; expected at least 1"):
        model.predict_many([], jobs=0)


def test_a_surprise_in_one_input_is_recorded_as_a_bug(
    model: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(*args: object, **options: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(prediction, "open_audio", surprise)
    (result,) = model.predict_many(["a.wav"], on_error="record")
    assert result.error is not None
    assert (result.error.code, result.error.message) == ("bug", "ZeroDivisionError: division by zero")

    def exhausted(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(prediction, "open_audio", exhausted)
    (result,) = model.predict_many(["a.wav"], on_error="record")
    assert result.error is not None
    assert (result.error.code, result.error.hint) == ("out_of_memory", "use fewer --jobs")


def test_numbers_that_are_none_never_reach_a_result(tmp_path: Path) -> None:
    broken = load(write_model(tmp_path / "nan.onnx", divide_by_zero=True))
    with pytest.raises(
        VoxaffectError, match="inference_failed: the model 'level' failed: it gave numbers that are not"
    ):
        broken.predict((square(0.3, 1.0), RATE))


def test_logits_of_another_shape_are_refused(tmp_path: Path) -> None:
    wrong = load(write_model(tmp_path / "wrong.onnx", (0.0, 0.1), members=3))
    with pytest.raises(VoxaffectError, match=r"its logits have shape \(1, 2, 4\) instead of \(1, 3, 4\)"):
        wrong.predict((square(0.3, 1.0), RATE))


def test_a_runtime_that_fails_is_quoted(model: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "voxaffect.recogniser.collate", lambda items: {"waveform": np.zeros((1, 2, 3)), "n_samples": 1}
    )
    with pytest.raises(VoxaffectError, match=r"inference_failed: .* the runtime says: "):
        model.predict((square(0.3, 1.0), RATE))


def test_the_published_preset_averages_the_segments_of_a_window(tmp_path: Path) -> None:
    published = load(write_model(tmp_path / "p.onnx", features={"preset": "published"}))
    result = published.predict((square(0.3, 7.0), RATE))
    assert [(s.start, s.end) for s in result.segments] == [(0, 3), (3, 6), (4, 7)]
    assert result.label is not None


def test_a_model_of_whole_utterances_gets_windows_of_three_seconds(tmp_path: Path) -> None:
    whole = load(write_model(tmp_path / "w.onnx", features={"window": 0.0}))
    result = whole.predict((square(0.4, 5.0), RATE))
    assert [(s.start, s.end) for s in result.segments] == [(0, 3), (1, 4), (2, 5)]


def test_loading_is_lazy_from_the_package_and_checks_the_model(tmp_path: Path) -> None:
    path = write_model(tmp_path / "level.onnx")
    model = voxaffect.load(path)
    assert isinstance(model, voxaffect.Predictor)
    assert model.labels == tuple(LEVELS)
    assert model.model.name == "level"
    assert isinstance(model.predict((square(0.4, 1.0), RATE)), Result)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtefactError, match="model_damaged"):
        voxaffect.load(path)


def test_a_recording_is_said_as_it_is_heard(model: Predictor, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", square(0.05, 6), silence(6), square(0.6, 6.5))
    hearing = model.hear(path, hop=1.5)
    assert hearing.result is None
    events = list(hearing.events())
    assert hearing.result == model.predict(path, hop=1.5)
    said = [event for event in events if isinstance(event, StreamResult)]
    assert all(event.final for event in said)
    assert [(e.start, e.label) for e in said] == [(s.start, s.label) for s in hearing.result.segments]
    with pytest.raises(UsageError, match="bad_value: hop is 9; expected"):
        model.hear(path, hop=9)


def test_progress_is_told_in_seconds(model: Predictor, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", square(0.4, 7.5))
    told: list[tuple[float, float | None]] = []
    list(model.predict_many([path], progress=lambda done, whole: told.append((done, whole))))
    assert [done for done, _ in told] == [2.0, 4.0, 6.0, 7.5]
    assert {whole for _, whole in told} == {7.5}
    told.clear()
    list(model.predict_many([path], start=1.0, end=4.0, progress=lambda *each: told.append(each)))
    assert told == [(2.0, 3.0), (3.0, 3.0)]


def test_smoothing_remembers_within_an_utterance_alone(model: Predictor) -> None:
    """Half of what was heard a second earlier, by the formula; and the whole answer is none the wiser."""
    x = np.concatenate([square(0.2, 3), square(0.4, 1)])
    smooth, raw = model.predict((x, RATE), vad=False), model.predict((x, RATE), vad=False, smoothing=False)
    logs = [np.log([s.probs[label] for label in model.labels]) for s in raw.segments]
    expected = np.exp((logs[0] + logs[1]) / 2)
    found = [smooth.segments[1].probs[label] for label in model.labels]
    assert found == pytest.approx((expected / expected.sum()).tolist())
    assert smooth.segments[0] == raw.segments[0]
    assert smooth.probs == raw.probs
    assert raw.to_dict()["settings"]["smoothing"] is False
    assert "smoothing" not in smooth.to_dict()["settings"]
    assert Result.from_dict(raw.to_dict()) == raw
    apart = np.concatenate([square(0.2, 2), silence(2), square(0.4, 2)])
    assert model.predict((apart, RATE)) == replace_settings(model.predict((apart, RATE), smoothing=False))


def replace_settings(result: Result) -> Result:
    assert result.settings is not None
    return replace(result, settings=replace(result.settings, smoothing=True))
