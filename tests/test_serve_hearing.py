"""Pieces of many streams heard together, by a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from voxaffect.errors import AudioError
from voxaffect.serve import hearing
from voxaffect.serve.hearing import Ear, Heard, Hearing


class Told:
    """Remembers what an ear was told."""

    def __init__(self) -> None:
        self.answers: list[Heard] = []
        self.came: list[float] = []
        self.ear = Ear(object(), self.heard)  # type: ignore[arg-type]

    def heard(self, answer: Heard, came: float) -> None:
        self.answers.append(answer)
        self.came.append(came)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """The pieces of each call that hears; the "cues" of a piece are the piece itself."""
    made: list[list[Any]] = []

    def accept_all(pieces: Any) -> list[Any]:
        assert threading.current_thread().name.startswith("voxaffect-hearing")
        made.append([piece for _, piece in pieces])
        if any(isinstance(piece, bytes) and piece == b"mistake" for _, piece in pieces):
            raise RuntimeError("a mistake of ours")
        bad = AudioError("non_finite", "no")
        return [bad if isinstance(piece, bytes) and piece == b"bad" else [piece] for _, piece in pieces]

    monkeypatch.setattr(hearing, "accept_all", accept_all)
    return made


def played(scenario: Callable[[Hearing], Awaitable[None]]) -> None:
    """Run `scenario` with a Hearing of its own."""

    async def whole() -> None:
        with closing(Hearing()) as ears:
            await scenario(ears)

    asyncio.run(whole())


def test_pieces_are_joined_in_order_and_streams_heard_together(calls: list[list[Any]]) -> None:
    async def scenario(ears: Hearing) -> None:
        a, b = Told(), Told()
        for piece in (b"1", b"2"):
            ears.take(a.ear, piece, 0.1)
        ears.take(b.ear, np.ones((2, 1), np.float32), 0.1)
        ears.take(b.ear, np.zeros((1, 1), np.float32), 0.1)
        assert a.ear.seconds == pytest.approx(0.2)
        await ears.all_of(a.ear)
        await ears.all_of(b.ear)
        assert a.answers == [[b"12"]]
        np.testing.assert_array_equal(b.answers[0][0], [[1], [1], [0]])  # type: ignore[index]
        ears.take(a.ear, b"3", 0.1)
        await ears.all_of(a.ear)
        assert a.answers[1:] == [[b"3"]]
        assert a.came == sorted(a.came)
        assert a.ear.seconds == 0.0
        await ears.all_of(a.ear)  # nothing is left: no waiting

    played(scenario)
    assert [len(call) for call in calls] == [2, 1]


def test_much_of_one_stream_is_heard_in_parts(calls: list[list[Any]]) -> None:
    async def scenario(ears: Hearing) -> None:
        much, little = Told(), Told()
        for piece in (b"1", b"2", b"3"):
            ears.take(much.ear, piece, 0.5)
        ears.take(little.ear, b"a", 0.1)
        await ears.all_of(much.ear)
        assert much.answers == [[b"1"], [b"2"], [b"3"]]
        assert little.answers == [[b"a"]]

    played(scenario)
    assert [len(call) for call in calls] == [2, 1, 1]


def test_what_is_wrong_with_one_is_told_to_it_alone(calls: list[list[Any]]) -> None:
    async def scenario(ears: Hearing) -> None:
        good, bad = Told(), Told()
        ears.take(good.ear, b"good", 0.1)
        ears.take(bad.ear, b"bad", 0.1)
        await ears.all_of(good.ear)
        await ears.all_of(bad.ear)
        assert good.answers == [[b"good"]]
        assert isinstance(bad.answers[0], AudioError)
        ears.take(good.ear, b"mistake", 0.1)
        await ears.all_of(good.ear)
        assert isinstance(good.answers[1], RuntimeError)
        ears.take(good.ear, b"on", 0.1)  # others are heard all the same
        await ears.all_of(good.ear)
        assert good.answers[2] == [b"on"]

    played(scenario)


def test_who_left_is_told_nothing(calls: list[list[Any]]) -> None:
    async def scenario(ears: Hearing) -> None:
        gone, stays = Told(), Told()
        ears.take(gone.ear, b"1", 0.1)
        ears.take(stays.ear, b"2", 0.1)
        ears.forget(gone.ear)
        await ears.all_of(stays.ear)
        ears.take(gone.ear, b"3", 0.1)
        await asyncio.sleep(0)  # being heard, perhaps
        ears.forget(gone.ear)
        ears.take(stays.ear, b"4", 0.1)
        await ears.all_of(stays.ear)
        assert gone.answers == []
        assert stays.answers == [[b"2"], [b"4"]]

    played(scenario)


def test_no_more_is_heard_at_once_than_the_others_can_wait_for(calls: list[list[Any]]) -> None:
    async def scenario(ears: Hearing) -> None:
        told = [Told() for _ in range(50)]
        for each in told:
            ears.take(each.ear, b"x", 1.0)
        for each in told:
            await ears.all_of(each.ear)
        assert all(each.answers == [[b"x"]] for each in told)

    played(scenario)
    assert [len(call) for call in calls] == [16, 16, 16, 2]
