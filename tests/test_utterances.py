"""Utterances and windows of known speech: a detector that hears what it is told."""

from __future__ import annotations

import numpy as np
import pytest

from voxaffect.features import windows
from voxaffect.segmenter import Segmenter
from voxaffect.utterances import AFTER, BEFORE, End, Start, Step, Utterances, Window
from voxaffect.vad import LevelDetector

RATE = 16_000


def sound(*spoken: tuple[float, float], seconds: float) -> np.ndarray:
    """A square wave from each start to each end, silence elsewhere."""
    t = np.arange(round(seconds * RATE)) / RATE
    on = np.any([(a <= t) & (t < b) for a, b in spoken], axis=0)
    return np.where(on, np.where(np.arange(len(t)) % 2, 0.1, -0.1), 0.0).astype(np.float32)


def steps(
    x: np.ndarray, *, interval: float | None = None, window: float = 3.0, hop: float = 1.0
) -> list[Step]:
    cutter = Utterances(
        LevelDetector(),
        window=round(window * RATE),
        hop=round(hop * RATE),
        interval=None if interval is None else round(interval * RATE),
    )
    return [*cutter.feed(x), *cutter.flush()]


def spans(found: list[Step], *, final: bool = True) -> list[tuple[float, float]]:
    return [
        (step.start / RATE, step.stop / RATE)
        for step in found
        if isinstance(step, Window) and step.final is final
    ]


def test_an_utterance_has_padding_and_ends_at_a_pause() -> None:
    found = steps(sound((1.0, 2.0), (2.4, 3.0), (4.0, 4.5), seconds=6))
    assert [type(step) for step in found] == [Start, Window, End] * 2
    starts = [step.start / RATE for step in found if isinstance(step, Start)]
    ends = [step for step in found if isinstance(step, End)]
    assert starts == [1.0 - BEFORE, 4.0 - BEFORE]
    assert [end.stop / RATE for end in ends] == [3.0 + AFTER, 4.5 + AFTER]
    assert [end.speech / RATE for end in ends] == [1.6, 0.5]
    assert [end.at / RATE for end in ends] == [3.5, 5.0]


def test_padding_stays_within_the_recording_and_the_utterance_before() -> None:
    found = steps(sound((0.0, 1.0), (1.5, 2.0), seconds=2.1))
    starts = [step.start / RATE for step in found if isinstance(step, Start)]
    ends = [step.stop / RATE for step in found if isinstance(step, End)]
    assert starts == [0.0, 1.0 + AFTER]
    assert ends == [1.0 + AFTER, 2.1]


def test_a_click_begins_no_utterance() -> None:
    assert steps(sound((1.0, 1.08), (2.0, 2.08), seconds=4)) == []
    assert len(steps(sound((1.0, 1.1), seconds=4))) == 3


@pytest.mark.parametrize("length", [0.5, 2.35, 2.36, 3.2, 5.0, 7.77])
@pytest.mark.parametrize(("window", "hop"), [(3.0, 1.0), (2.0, 0.7), (1.0, 1.0)])
def test_an_utterance_has_the_windows_of_a_recording(length: float, window: float, hop: float) -> None:
    found = steps(sound((1.0, 1.0 + length), seconds=length + 3), window=window, hop=hop)
    first, last = found[0], found[-1]
    assert isinstance(first, Start)
    assert isinstance(last, End)
    expected = windows(last.stop - first.start, window, hop)
    assert [(s.start, s.stop) for s in found if isinstance(s, Window)] == [
        (first.start + a, first.start + b) for a, b in expected
    ]


def test_a_short_utterance_is_heard_with_what_came_before_but_no_other_utterance() -> None:
    x = sound((4.0, 5.0), (5.6, 6.0), seconds=8)
    one, two = (step for step in steps(x) if isinstance(step, Window))
    assert (one.start, one.stop) == (round(3.8 * RATE), round(5.45 * RATE))
    np.testing.assert_array_equal(one.samples, x[one.stop - 3 * RATE : one.stop])
    assert two.start == one.stop
    np.testing.assert_array_equal(two.samples, x[two.start : two.stop])


def test_meanwhile_there_is_a_result_each_interval() -> None:
    found = steps(sound((1.0, 6.0), seconds=9), interval=1.0)
    assert spans(found, final=False) == [(0.8, 1.8), (0.8, 2.8)]  # from 3.8 on, final windows end there
    assert spans(found) == [(0.8, 3.8), (1.8, 4.8), (2.8, 5.8), (3.45, 6.45)]
    by_time = [step.at / RATE for step in found if isinstance(step, Window)]
    assert by_time == pytest.approx([1.8, 2.8, 3.8, 4.8, 5.8, 6.5], abs=0.02)
    triggers = [step.trigger for step in found if isinstance(step, Window) and step.final]
    assert triggers == ["interval"] * 3 + ["speech_ended"]


def test_no_result_is_given_of_a_pause() -> None:
    found = steps(sound((1.0, 1.3), seconds=4), interval=0.3)
    assert spans(found, final=False) == [
        (0.8, 1.1),
        (0.8, 1.4),
    ]  # the next would be at 1.7, after 0.4 s of silence


def test_final_windows_are_the_same_with_and_without_results_meanwhile() -> None:
    x = sound((0.5, 4.1), (4.9, 5.2), (6.0, 12.0), seconds=14)
    for interval in (0.25, 0.7, 1.0):
        assert spans(steps(x, interval=interval, hop=0.7)) == spans(steps(x, hop=0.7))


def test_without_a_detector_everything_is_one_utterance() -> None:
    x = sound((1.0, 2.0), seconds=7.3)
    cutter = Utterances(None, window=3 * RATE, hop=RATE)
    found = [*cutter.feed(x[:5_000]), *cutter.feed(x[5_000:]), *cutter.flush()]
    assert [(s.start, s.stop) for s in found if isinstance(s, Window)] == windows(len(x), 3.0, 1.0)
    assert found[-1] == End(len(x), found[-1].at, len(x))
    assert list(cutter.flush()) == []


def test_less_than_a_frame_without_a_detector_is_an_utterance_too() -> None:
    cutter = Utterances(None, window=3 * RATE, hop=RATE)
    found = [*cutter.feed(np.ones(100, np.float32)), *cutter.flush()]
    assert [type(step) for step in found] == [Start, Window, End]
    assert (found[1].start, found[1].stop) == (0, 100)  # type: ignore[union-attr]


def test_little_is_held_however_long_nobody_or_somebody_speaks() -> None:
    for detector in (LevelDetector(), None):
        for x in (sound((0, 1), seconds=1), sound((0, 0.0), seconds=1)):
            cutter = Utterances(detector, window=3 * RATE, hop=RATE, interval=RATE)
            for _ in range(300):
                list(cutter.feed(x))
                assert cutter.n_held <= 5 * RATE
            assert cutter.n_samples == 300 * RATE


def test_windows_without_gaps_only() -> None:
    with pytest.raises(ValueError, match="hop is 11 and window 10 samples; expected 1 <= hop <= window"):
        Utterances(None, window=10, hop=11)


def test_utterances_of_several_channels_are_numbered_as_they_begin() -> None:
    left, right = sound((1.0, 2.0), seconds=8), sound((0.5, 1.5), (4.0, 4.5), seconds=8)
    cutter = Segmenter((2, 5), LevelDetector, window=3 * RATE, hop=RATE)
    cues = cutter.feed(np.stack([left, right], axis=1)) + cutter.flush()
    begun = [(c.channel, c.utterance) for c in cues if isinstance(c.step, Start)]
    assert begun == [(5, 1), (2, 2), (5, 3)]
    assert cutter.n_utterances == 3
    assert [c.step.at for c in cues] == sorted(c.step.at for c in cues)
    with pytest.raises(ValueError, match="a block has 1 channels; expected 2"):
        cutter.feed(left[:, None])
