"""Pieces of many streams heard together, by a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_models import silence, square, write_model
from voxaffect.audio import Notice
from voxaffect.errors import UsageError, VoxaffectError
from voxaffect.intake import Opening
from voxaffect.modelfile import ModelFile, read_model
from voxaffect.predictor import load
from voxaffect.result import Settings
from voxaffect.segmenter import Window
from voxaffect.serve import channel, child, hearing
from voxaffect.serve.hearing import (
    Answer,
    Asked,
    Ear,
    Heard,
    Hearing,
    HearingPool,
    HearingProcess,
    weight_of,
)

OPENING = Opening(Settings(window=3.0, hop=1.0, vad="level", channels="mix"), 16_000)


class Told:
    """Remembers what an ear was told."""

    def __init__(self, ears: Hearing | HearingPool, opening: Opening = OPENING) -> None:
        self.answers: list[Heard] = []
        self.came: list[float] = []
        self.ear: Ear = ears.open(opening, self.heard)

    def heard(self, answer: Heard, came: float) -> None:
        self.answers.append(answer)
        self.came.append(came)


class Fake:
    """A process that says what it was asked, in place of cues."""

    calls: list[list[Asked]]
    opened: list[int]
    dropped: list[int]
    alive = True

    def __init__(self, model: Any) -> None:
        pass

    def wait_ready(self) -> None:
        pass

    def open(self, number: int, opening: Opening) -> None:
        self.opened.append(number)

    def drop(self, number: int) -> None:
        self.dropped.append(number)

    def hear(self, asked: Sequence[Asked]) -> list[Answer | VoxaffectError]:
        assert threading.current_thread().name.startswith("voxaffect-hearing")
        self.calls.append(list(asked))
        for piece, error in ((b"crash", channel.ChannelError("gone")), (b"odd", KeyError("answers"))):
            if any(each.piece == piece for each in asked):
                raise error
        bad = VoxaffectError("non_finite", "no")
        return [
            bad
            if each.piece == b"bad"
            else Answer([each.then or each.piece], 1.5, 2, [Notice("narrowband", "8 kHz")])  # type: ignore[list-item]
            for each in asked
        ]

    def kill(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[Asked]]:
    """What each call asks of a Fake."""
    Fake.calls, Fake.opened, Fake.dropped = [], [], []
    monkeypatch.setattr(hearing, "HearingProcess", Fake)
    return Fake.calls


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    return read_model(write_model(tmp_path_factory.mktemp("model") / "level.onnx"))


def played(scenario: Callable[[Hearing], Awaitable[None]], model: Any = None) -> list[str]:
    """Run `scenario` with a Hearing of its own: why the process was replaced, each time."""
    reasons: list[str] = []

    async def whole() -> None:
        with closing(Hearing(model, on_replace=reasons.append)) as ears:
            await scenario(ears)

    asyncio.run(whole())
    return reasons


def test_pieces_are_joined_in_order_and_streams_heard_together(calls: list[list[Asked]]) -> None:
    async def scenario(ears: Hearing) -> None:
        a, b = Told(ears), Told(ears)
        for piece in (b"1", b"2"):
            ears.take(a.ear, piece, 0.1)
            ears.take(b.ear, piece * 2, 0.1)
        assert a.ear.seconds == pytest.approx(0.2)
        await ears.all_of(a.ear)
        await ears.all_of(b.ear)
        assert a.answers == [[b"12"]]
        assert b.answers == [[b"1122"]]
        assert (a.ear.received_seconds, a.ear.n_utterances) == (1.5, 2)
        assert a.ear.warnings == [Notice("narrowband", "8 kHz")]
        ears.take(a.ear, b"3", 0.1)
        await ears.all_of(a.ear)
        assert a.answers[1:] == [[b"3"]]
        assert a.came == sorted(a.came)
        assert a.ear.seconds == 0.0
        await ears.all_of(a.ear)  # nothing is left: no waiting

    played(scenario)
    assert [len(call) for call in calls] == [2, 1]


def test_much_of_one_stream_is_heard_in_parts(calls: list[list[Asked]]) -> None:
    async def scenario(ears: Hearing) -> None:
        much, little = Told(ears), Told(ears)
        for piece in (b"1", b"2", b"3"):
            ears.take(much.ear, piece, 0.5)
        ears.take(little.ear, b"a", 0.1)
        await ears.all_of(much.ear)
        assert much.answers == [[b"1"], [b"2"], [b"3"]]
        assert little.answers == [[b"a"]]

    played(scenario)
    assert [len(call) for call in calls] == [2, 1, 1]


def test_what_is_wrong_with_one_is_told_to_it_alone(calls: list[list[Asked]]) -> None:
    async def scenario(ears: Hearing) -> None:
        good, bad = Told(ears), Told(ears)
        ears.take(good.ear, b"good", 0.1)
        ears.take(bad.ear, b"bad", 0.1)
        await ears.all_of(good.ear)
        await ears.all_of(bad.ear)
        assert good.answers == [[b"good"]]
        assert isinstance(bad.answers[0], VoxaffectError)

    played(scenario)


def test_who_left_is_told_nothing(calls: list[list[Asked]]) -> None:
    async def scenario(ears: Hearing) -> None:
        gone, stays = Told(ears), Told(ears)
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
        assert await ears.finish(gone.ear) == []

    played(scenario)
    assert Fake.opened == [1, 2]
    assert Fake.dropped == [1]


def test_no_more_is_heard_at_once_than_the_others_can_wait_for(calls: list[list[Asked]]) -> None:
    async def scenario(ears: Hearing) -> None:
        told = [Told(ears) for _ in range(50)]
        for each in told:
            ears.take(each.ear, b"x", 1.0)
        for each in told:
            await ears.all_of(each.ear)
        assert all(each.answers == [[b"x"]] for each in told)

    played(scenario)
    assert [len(call) for call in calls] == [16, 16, 16, 2]


def test_who_asks_for_more_windows_weighs_more(calls: list[list[Asked]]) -> None:
    settings = Settings(window=10.0, hop=0.25, vad="level", channels="split")
    heavy = Opening(settings, 16_000, channels=2, interval=0.25)
    assert weight_of(heavy) == pytest.approx(2 * 4 * 10 / 3)
    assert weight_of(OPENING) == 1.0

    async def scenario(ears: Hearing) -> None:
        told = [Told(ears, heavy) for _ in range(3)] + [Told(ears) for _ in range(16)]
        for each in told:
            ears.take(each.ear, b"x", 0.5)
        for each in told:
            await ears.all_of(each.ear)
        assert all(each.answers == [[b"x"]] for each in told)

    played(scenario)
    assert [len(call) for call in calls] == [2, 7, 10]


def test_streams_are_shared_out_by_their_weight(calls: list[list[Asked]]) -> None:
    heavy = Opening(Settings(window=10.0, hop=0.25, vad="level", channels="mix"), 16_000, interval=0.25)

    async def scenario() -> None:
        with closing(HearingPool(None, 2)) as pool:  # type: ignore[arg-type]
            await pool.start()
            first = Told(pool, heavy).ear
            light = [Told(pool).ear for _ in range(3)]
            assert {ear.hearing for ear in light} == {light[0].hearing}
            assert first.hearing is not light[0].hearing
            first.hearing.forget(first)
            first.hearing.forget(first)
            assert first.hearing.burden == 0.0
            assert Told(pool).ear.hearing is first.hearing

    asyncio.run(scenario())


def test_a_pause_comes_after_what_was_taken_before(calls: list[list[Asked]]) -> None:
    async def scenario(ears: Hearing) -> None:
        told = Told(ears)
        ears.take(told.ear, b"1", 0.1)
        assert await ears.pause(told.ear) == ["pause"]
        assert await ears.finish(told.ear) == ["finish"]
        assert told.answers == [[b"1"]]

    played(scenario)
    assert [[(each.piece, each.then) for each in call] for call in calls] == [
        [(b"1", None)],
        [(b"", "pause")],
        [(b"", "finish")],
    ]


@pytest.mark.parametrize("piece", [b"crash", b"odd"])
def test_when_the_process_breaks_down_a_new_one_hears(calls: list[list[Asked]], piece: bytes) -> None:
    async def scenario(ears: Hearing) -> None:
        told = Told(ears)
        ears.take(told.ear, piece, 0.1)
        await ears.all_of(told.ear)
        (error,) = told.answers
        assert isinstance(error, VoxaffectError)
        assert error.code == "hearing_crashed"
        after = Told(ears)
        ears.take(after.ear, b"1", 0.1)
        await ears.all_of(after.ear)
        assert after.answers == [[b"1"]]

    assert played(scenario) == ["crashed"]


def test_a_process_that_does_not_start_is_reported(model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(ears: Hearing) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(child.sys, "executable", "/bin/false")
            with pytest.raises(RuntimeError, match="the process that hears does not start"):
                await ears.start()
            told = Told(ears)  # and a stream meanwhile is told
            ears.take(told.ear, b"\0\0", 0.1)
            await ears.all_of(told.ear)
            assert isinstance(told.answers[0], VoxaffectError)
        await ears.start()

    played(scenario, model)


def test_a_process_that_stands_still_is_replaced(model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "PATIENCE", 0.2)

    async def scenario(ears: Hearing) -> None:
        await ears.start()
        assert ears._process is not None
        os.kill(ears._process.pid, signal.SIGSTOP)
        told = Told(ears)
        ears.take(told.ear, b"\0\0", 0.1)
        await ears.all_of(told.ear)
        assert isinstance(told.answers[0], VoxaffectError)
        monkeypatch.setattr(hearing, "PATIENCE", 60.0)
        after = Told(ears)
        ears.take(after.ear, b"\0\0", 0.1)
        await ears.all_of(after.ear)
        assert after.answers == [[]]

    assert played(scenario, model) == ["crashed"]


def test_one_that_ended_while_nobody_spoke_is_replaced_when_a_stream_opens(model: ModelFile) -> None:
    async def scenario(ears: Hearing) -> None:
        await ears.start()
        before = Told(ears)
        assert ears._process is not None
        ears._process.kill()
        ears._process._process.wait()
        after = Told(ears)
        ears.take(after.ear, b"\0\0", 0.1)
        await ears.all_of(after.ear)
        assert after.answers == [[]]
        with pytest.raises(VoxaffectError, match="open the stream again"):
            await ears.finish(before.ear)

    assert played(scenario, model) == ["crashed"]


def test_the_process_says_what_a_stream_says_itself(model: ModelFile, tmp_path: Path) -> None:
    """Cues, items, what is known of a stream, and its errors."""
    process = HearingProcess(model)
    process.wait_ready()
    x = np.concatenate([silence(0.5), square(0.4, 4.5), silence(1.0), square(0.2, 0.3)])
    data = x.astype("<f4").tobytes()
    opening = Opening(OPENING.settings, 16_000, "pcm_f32le")
    here = opening.intake()
    process.open(1, opening)
    process.open(2, Opening(OPENING.settings, 8_000))
    first, odd = process.hear([Asked(1, data), Asked(2, b"\0\0\0")])
    assert isinstance(first, Answer)
    assert isinstance(odd, Answer)
    last, paused = process.hear([Asked(1, b"", "finish"), Asked(2, b"", "finish")])
    assert isinstance(last, Answer)
    assert isinstance(paused, Answer)
    assert [notice.code for notice in paused.warnings] == ["narrowband", "truncated"]
    assert last.received_seconds == pytest.approx(len(x) / 16_000)
    assert last.n_utterances == 2
    expected = here.accept(data) + here.finish()
    recogniser = load(model.path)._recogniser
    for heard, cue in zip(first.cues + last.cues, expected, strict=True):
        assert (heard.cue.channel, heard.cue.utterance, heard.cue.flags) == (
            cue.channel,
            cue.utterance,
            cue.flags,
        )
        if isinstance(cue.step, Window):
            assert isinstance(heard.cue.step, Window)
            for name in ("start", "stop", "at", "final", "trigger"):
                assert getattr(heard.cue.step, name) == getattr(cue.step, name)
            assert cue.samples is not None
            for item, wanted in zip(heard.items, recogniser.items(cue.samples), strict=True):
                assert item.keys() == wanted.keys()
                for name in item:
                    np.testing.assert_array_equal(item[name], wanted[name])
        else:
            assert heard.cue.step == cue.step
            assert heard.items == ()
    closed, unknown = process.hear([Asked(1, data), Asked(9, data)])
    assert isinstance(closed, UsageError)
    assert closed.code == "stream_closed"
    assert isinstance(unknown, VoxaffectError)
    assert unknown.code == "hearing_crashed"
    process.drop(1)
    (gone,) = process.hear([Asked(1, b"\0")])
    assert isinstance(gone, VoxaffectError)
    process.open(3, opening)
    channel.send(process.sink, {"type": "hear", "pieces": [{"stream": 3}]})
    header, _ = channel.receive(process.source)
    assert header["answers"][0]["error"]["code"] == "bug"
    assert process.hear([Asked(3, b"")]) == [Answer([], 0.0, 0, [])]  # it goes on
    process.close()
    assert not process.alive


def test_what_is_no_cue_is_refused() -> None:
    from voxaffect.serve.cues import unpack

    for value in ([1], [0, 1, [], ["start"], []], [0, 1, [], ["window", 0], []], [0, 1, [], 3, []], None):
        with pytest.raises(channel.ChannelError):
            unpack([value], b"")
    with pytest.raises(channel.ChannelError):
        unpack([[0, 1, [], ["start", 0, 0], [{"x": ["float32", 3]}]]], b"")
