from __future__ import annotations

import pytest

from voxaffect.result import Segment
from voxaffect.segments import Segments


def segment(start: float, channel: int = 0, label: str = "angry", flags: tuple[str, ...] = ()) -> Segment:
    probs = {"angry": 0.1 + start / 100, "happy": 0.9 - start / 100}
    return Segment(
        channel,
        start,
        start + 3,
        label,
        probs[label],
        probs,
        {"happy": 2, "angry": 1},
        2 / 3,
        start > 1,
        flags,
    )


def test_what_goes_in_comes_out_in_order() -> None:
    given = [
        segment(4.0),
        segment(0.0, 1, "happy", ("narrowband", "tie")),
        segment(0.0),
        segment(2.0, 0, "happy"),
    ]
    kept = Segments(("angry", "happy"))
    kept.extend(given)
    expected = (given[2], given[1], given[3], given[0])
    assert list(kept) == list(expected)
    assert kept == expected
    assert expected == kept
    assert (kept[0], kept[-1], kept[1:3]) == (expected[0], expected[3], expected[1:3])
    assert [s.votes for s in kept] == [{"happy": 2, "angry": 1}] * 4
    assert list(kept[0].votes) == ["happy", "angry"]
    kept.append(segment(1.0))
    assert [s.start for s in kept] == [0.0, 0.0, 1.0, 2.0, 4.0]


def test_roles_are_those_of_the_channels() -> None:
    kept = Segments(("angry", "happy"), {1: "customer"})
    kept.extend([segment(0.0), segment(0.0, 1)])
    assert [s.role for s in kept] == [None, "customer"]


def test_it_is_a_sequence() -> None:
    kept = Segments(("angry", "happy"))
    assert kept == () == kept
    assert kept != "nothing"
    assert not kept
    with pytest.raises(IndexError, match="segment 0 of 0"):
        kept[0]
    kept.extend(segment(float(i)) for i in range(4))
    assert kept != [segment(0.0)]
    assert repr(kept) == "<Segments: 4>"
    assert repr(Segments(("angry",))) == "Segments([])"


def test_a_segment_takes_little_memory() -> None:
    kept = Segments(("angry", "happy"))
    kept.extend(segment(float(i)) for i in range(100))
    assert sum(a.itemsize * len(a) for a in (kept._times, kept._values, kept._counts)) <= 100 * 100
