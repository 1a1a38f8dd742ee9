"""Overlapping windows as a track: no overlap, nothing invented, the nearest window everywhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_result import make_result
from voxaffect import track
from voxaffect.audio import Source
from voxaffect.result import ChannelSummary, Failure, Result, Segment, Settings
from voxaffect.track import Piece, caption, cells, in_order, span, tracks

LABELS = ("angry", "happy", "sad")


def window(start: float, end: float, label: str = "angry", score: float = 0.5, **more: object) -> Segment:
    values = {
        "channel": 0,
        "start": start,
        "end": end,
        "label": label,
        "score": score,
        "probs": {label: score},
    }
    return Segment(**{**values, "votes": {label: 1}, "agreement": 1.0, **more})  # type: ignore[arg-type]


def result_of(*segments: Segment, channels: str | int = "mix", seconds: float = 10.0) -> Result:
    """A recording of which these windows were judged."""
    return replace(
        make_result(),
        segments=segments,
        source=Source("call.wav", "wav", "pcm_s16le", 16_000, 2, seconds),
        settings=Settings(3.0, 1.0, True, channels),
        summary=tuple(
            ChannelSummary(c, "angry", 0.5, 1.0, {}) for c in sorted({s.channel for s in segments})
        ),
    )


def pieces(*segments: Segment) -> list[tuple[float, float, str]]:
    (only,) = tracks(result_of(*segments))
    return [(p.start, p.end, p.label) for p in only.pieces]


def test_each_moment_takes_the_window_whose_centre_is_nearest() -> None:
    # Centres at 1.5, 2.5 and 3.5: the borders lie between them, at 2 and 3.
    assert pieces(window(0, 3, "angry"), window(1, 4, "sad"), window(2, 5, "happy")) == [
        (0, 2, "angry"),
        (2, 3, "sad"),
        (3, 5, "happy"),
    ]


def test_windows_of_different_lengths_share_the_time_as_well() -> None:
    found = pieces(window(0, 10, "angry"), window(0, 1, "sad"), window(8, 9, "happy"))
    assert found == [(0, 1, "sad"), (1, 8, "angry"), (8, 9, "happy"), (9, 10, "angry")]
    assert pieces(window(0, 4, "sad"), window(1, 3, "angry")) == [(0, 4, "sad")]  # as near: the earlier


def test_neighbours_that_say_the_same_become_one_with_the_mean_score_over_time() -> None:
    (only,) = tracks(result_of(window(0, 3, score=0.9), window(1, 4, score=0.6), window(6, 7, score=0.2)))
    assert only.pieces == (
        Piece(0.0, 4.0, "angry", pytest.approx((2 * 0.9 + 2 * 0.6) / 4), False),  # type: ignore[arg-type]
        Piece(6.0, 7.0, "angry", pytest.approx(0.2), False),  # type: ignore[arg-type]
    )


def test_what_is_uncertain_does_not_join_what_is_not() -> None:
    (only,) = tracks(result_of(window(0, 2), window(2, 4, uncertain=True), window(4, 6, uncertain=True)))
    assert [(p.start, p.end, p.uncertain) for p in only.pieces] == [(0, 2, False), (2, 6, True)]


@pytest.mark.parametrize(("start", "end"), [(1.0, 1.0), (2.0, 1.0), (-3.0, -1.0), (1.0001, 1.0004)])
def test_what_holds_no_time_is_in_no_track(start: float, end: float) -> None:
    assert pieces(window(start, end, "sad"), window(4, 5)) == [(4, 5, "angry")]


def test_what_begins_before_zero_begins_at_zero() -> None:
    assert pieces(window(-1, 2)) == [(0, 2, "angry")]


def test_tracks_are_named_by_role_then_channel_and_all_differ() -> None:
    split = result_of(window(0, 1), window(0, 1, channel=1, role="agent"), channels="split")
    assert [t.name for t in tracks(split)] == ["channel 0", "agent"]
    assert [t.name for t in tracks(result_of(window(0, 1)))] == [""]
    assert [t.name for t in tracks(result_of(window(0, 1, channel=1), channels=1))] == ["channel 1"]
    same = result_of(window(0, 1, role="me"), window(0, 1, channel=1, role="me"), channels="split")
    assert [t.name for t in tracks(same)] == ["me", "me (channel 1)"]


def test_a_silent_channel_has_an_empty_track_and_a_failure_none() -> None:
    silent = ChannelSummary(1, None, None, 0.0, {}, "agent")
    result = result_of(window(0, 1), channels="split")
    (_, agent) = tracks(replace(result, summary=(*result.summary, silent)))
    assert (agent.channel, agent.name, agent.pieces) == (1, "agent", ())
    assert tracks(Result(id="x", error=Failure("empty_file", "no audio"))) == ()


def test_a_label_without_windows_holds_throughout() -> None:
    whole = replace(result_of(seconds=2.5), summary=())
    assert tracks(whole)[0].pieces == (Piece(0.0, 2.5, "neutral", 0.61, False),)
    silent = replace(whole, label=None, reason="no_speech", score=None, probs={})
    assert tracks(silent)[0].pieces == ()
    assert tracks(replace(whole, source=None))[0].pieces == ()


def test_the_span_reaches_to_the_later_of_both_ends() -> None:
    assert span(result_of(window(0, 1), seconds=4.0)) == 4.0
    assert span(result_of(window(60, 63), seconds=4.0)) == 63.0
    assert span(Result(id="x", reason="too_short")) == 0.0


def test_captions_are_one_line_and_in_order_of_time() -> None:
    both = tracks(result_of(window(2, 3), window(0, 1, channel=1, role="a\nb"), channels="split"))
    assert [caption(*pair) for pair in in_order(both)] == ["a\\nb: angry 50%", "channel 0: angry 50%"]


moments = st.integers(-500, 12_000).map(lambda ms: ms / 1000)
windows = st.lists(
    st.builds(window, moments, moments, st.sampled_from(LABELS), st.floats(0, 1), uncertain=st.booleans()),
    max_size=12,
)


@given(windows)
@settings(max_examples=150, deadline=None)
def test_a_track_covers_what_the_windows_cover_by_the_nearest_of_them(segments: list[Segment]) -> None:
    found = list(cells(map(track.window, segments)))
    assert all(start < end for start, end, _ in found)
    assert all(one[1] <= other[0] for one, other in pairwise(found))
    bounds = [(max(0, round(1000 * s.start)), round(1000 * s.end)) for s in segments]
    edges = sorted(
        {edge for start, end, _ in found for edge in (start, end)} | {e for b in bounds for e in b}
    )
    for left, right in pairwise(edge for edge in edges if edge >= 0):
        moment = (left + right) / 2
        around = [(abs(a + b - 2 * moment), i) for i, (a, b) in enumerate(bounds) if a < moment < b]
        here = [cell for cell in found if cell[0] < moment < cell[1]]
        assert len(here) == bool(around)
        if (
            around and right - left > 2
        ):  # a border lies on a whole millisecond, up to half a one beside its place
            assert abs(here[0][2].start + here[0][2].end - 2 * moment) <= min(around)[0] + 2


@given(windows)
@settings(max_examples=100, deadline=None)
def test_pieces_keep_the_time_and_the_labels_of_the_windows(segments: list[Segment]) -> None:
    (only,) = tracks(replace(result_of(*segments), summary=(ChannelSummary(0, None, None, 0.0, {}),)))
    covered = sum(end - start for start, end, _ in cells(map(track.window, segments)))
    assert sum(p.end - p.start for p in only.pieces) == pytest.approx(covered / 1000)
    assert all(0 <= p.score <= 1 + 1e-9 for p in only.pieces)
    for one, other in pairwise(only.pieces):
        assert one.end < other.start or (one.label, one.uncertain) != (other.label, other.uncertain)


def test_ten_hours_of_windows_take_a_moment() -> None:
    import time

    long = [window(float(t), t + 3.0, LABELS[t // 40 % 3]) for t in range(36_000)]
    before = time.process_time()
    (only,) = tracks(result_of(*long, seconds=36_002.0))
    assert len(only.pieces) == 900
    assert time.process_time() - before < 5  # 0.2 s as measured; by pairs it would take minutes
