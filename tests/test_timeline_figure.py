"""The picture of an answer: what its columns say, and that anything can be drawn."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fake_models import RATE, silence, square, write_wav
from test_formats import plain, results
from test_track import result_of, window
from voxaffect.columns import column_keys, column_probabilities
from voxaffect.envelope import read_envelope
from voxaffect.errors import AudioError, UsageError, VoxaffectError
from voxaffect.labels import EMOTIONS
from voxaffect.result import ChannelSummary, Result
from voxaffect.timeline_figure import (
    N_COLUMNS,
    N_WIDE,
    _clock,
    label_colours,
    timeline_figure,
)
from voxaffect.track import Piece

pytest.importorskip("matplotlib")


def call(name: str = "customer") -> Result:
    return result_of(
        window(0, 3, "angry", 0.9, role=name),
        window(1, 4, "sad", 0.4, role=name, uncertain=True),
        window(6, 9, "happy", 0.7, channel=1),
        channels="split",
    )


def test_a_column_shows_what_holds_most_of_it() -> None:
    edges = np.linspace(0, 4, 5)
    pieces = [Piece(0.0, 1.4, "angry", 0.9, False), Piece(1.4, 2.4, "sad", 0.5, True)]
    assert column_keys(pieces, edges) == [("angry", False), ("sad", True), None, None]
    assert column_keys([Piece(-1.0, 9.0, "sad", 1.0, False)], edges) == [("sad", False)] * 4
    assert column_keys([], edges) == [None] * 4


def test_the_probabilities_are_those_of_the_windows_around() -> None:
    one, two = window(0, 2, "angry", 0.9), window(1, 3, "sad", 0.5)
    shares = column_probabilities([one, two], ("angry", "sad"), np.linspace(0, 4, 9))
    assert shares[:, 0] == pytest.approx([0.9, 0.0])
    assert shares[:, 5] == pytest.approx([0.0, 0.5])
    assert np.isnan(shares[:, 6:]).all()
    # At 1.25 s the windows' centres are 0.25 and 0.75 s away: weights 0.75 and 0.25.
    assert shares[:, 2] == pytest.approx([0.75 * 0.9, 0.25 * 0.5], rel=1e-4)


def test_no_window_is_lost_between_wide_columns() -> None:
    windows = [window(t, t + 3.0, "angry", 0.5) for t in (0.0, 100.0, 2000.0, 9997.0)]
    shares = column_probabilities(windows, ("angry",), np.linspace(0, 10_000, 401))
    assert np.flatnonzero(~np.isnan(shares[0])).tolist() == [0, 4, 80, 399]


def test_labels_have_colours_of_their_own() -> None:
    colours = label_colours(EMOTIONS[:10])
    assert len(set(colours.values())) == 10
    assert list(label_colours(EMOTIONS)) == list(EMOTIONS)
    assert label_colours(("sad",)) == {"sad": "#0072B2"}


@pytest.mark.parametrize(
    ("seconds", "step", "longest", "said"),
    [
        (0.5, 0.5, 3.0, "0.5 s"),
        (20.0, 5, 50.0, "20 s"),
        (75.0, 15, 300.0, "1:15"),
        (3675.0, 900, 7200.0, "1:01:15"),
        (61.5, 0.5, 62.0, "1:01.5"),
    ],
)
def test_times_are_written_as_long_as_they_need(
    seconds: float, step: float, longest: float, said: str
) -> None:
    assert _clock(seconds, step, longest) == said


def test_every_channel_has_a_waveform_a_strip_and_probabilities() -> None:
    both = np.stack([square(0.5, 10.0), square(0.2, 10.0)], axis=1)
    envelope = read_envelope((both, RATE), 0.0, 10.0, channels="split", n_columns=N_COLUMNS)
    figure = timeline_figure(call(), envelope)
    assert len(figure.axes) == 6
    assert len(timeline_figure(call()).axes) == 4  # no waveform without the audio
    words = [text.get_text() for text in figure.texts]
    assert words[:2] == ["customer   angry 50%", "channel 1   angry 50%"]
    assert words[2] == "call.wav"
    strip = figure.axes[1]
    assert [text.get_text() for text in strip.texts] == ["angry", "sad"]
    certain, uncertain = strip.patches
    assert (certain.get_hatch(), uncertain.get_hatch()) == (None, "/////")
    assert (certain.get_x(), certain.get_width()) == pytest.approx((0.0, 2.0))  # type: ignore[attr-defined]
    assert figure.axes[0].get_xlim() == (0.0, 10.0)
    assert (envelope.high.max(axis=1) > 0).all()


def test_a_channel_that_was_judged_alone_has_its_own_waveform() -> None:
    both = np.stack([square(0.5, 10.0), square(0.05, 10.0)], axis=1)
    envelope = read_envelope((both, RATE), 0.0, 10.0, channels="split")
    agent = result_of(window(0, 10, channel=1, role="agent"), channels="split")
    tops, _, bottoms = timeline_figure(agent, envelope).axes[0].patches[0].get_data()  # type: ignore[attr-defined]
    assert (np.nanmax(tops), np.min(bottoms)) == pytest.approx((0.05, -0.05))
    alone = read_envelope((both, RATE), 0.0, 10.0, channels=1)
    assert alone.high == pytest.approx(envelope.high[1:])


def test_a_long_recording_has_wider_columns() -> None:
    long = result_of(*(window(float(t), t + 3.0) for t in range(0, 3600, 2)), seconds=3602.0)
    short = result_of(window(0, 3), seconds=30.0)
    for result, n in ((long, N_WIDE), (short, N_COLUMNS)):
        (_, probabilities) = timeline_figure(result).axes
        assert len(probabilities.patches[0].get_data().edges) == n + 1  # type: ignore[attr-defined]


def test_a_stretch_is_drawn_where_it_is(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", silence(8), square(0.5, 4.0))
    stretch = replace(result_of(window(8, 11), seconds=4.0), path=str(path))
    stretch.plot(tmp_path / "x.png", start=8.0)
    assert timeline_figure(stretch, start=8.0).axes[0].get_xlim() == (8.0, 12.0)


@pytest.mark.parametrize("ending", [".png", ".pdf", ".svg", ".PNG"])
def test_a_result_is_drawn_into_a_file(ending: str, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "Größe $x_1$ 医生.wav", square(0.5, 10.0))
    result = replace(call("$\\frac$ 医生\n"), id=str(path), path=str(path))
    result = replace(result, settings=replace(result.settings, channels="mix"))
    result.plot(tmp_path / f"x{ending}")
    begins = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[ending.lower()]
    assert (tmp_path / f"x{ending}").read_bytes().startswith(begins)


def test_the_waveform_may_come_from_what_was_judged(tmp_path: Path) -> None:
    samples = replace(result_of(window(0, 3), seconds=3.0), path=None, id="array:0")
    samples.plot(tmp_path / "with.png", audio=(square(0.5, 3.0), RATE))
    samples.plot(tmp_path / "without.png")
    assert (tmp_path / "with.png").read_bytes() != (tmp_path / "without.png").read_bytes()


@pytest.mark.parametrize(
    "result",
    [
        results()[1],
        plain(),
        Result(id="x", reason="too_short"),
        result_of(window(2, 2), window(3, 1), window(-5, 1), seconds=3.0),
        result_of(*(window(0, 1, channel=c) for c in range(9)), channels="split"),
        replace(call(), label=None, score=None, agreement=None, reason="low_confidence"),
        replace(call(), id="x" * 300 + ".wav", model=None, source=None, settings=None),
        replace(call(), summary=(ChannelSummary(0, None, None, 0.0, {}, "silent"),), segments=()),
    ],
)
def test_anything_but_a_failure_can_be_drawn(result: Result, tmp_path: Path) -> None:
    replace(result, path=None).plot(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 5000


def test_what_cannot_be_drawn_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"plot_format: cannot write a picture as '\.bmp'"):
        plain().plot(tmp_path / "x.bmp")
    with pytest.raises(VoxaffectError, match=r"empty_file: empty\.wav holds no audio"):
        results()[2].plot(tmp_path / "x.png")
    with pytest.raises(AudioError, match="not_found"):
        plain(name="gone.wav").plot(tmp_path / "x.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match="missing_dependency: this needs matplotlib"):
        replace(plain(), path=None).plot(tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []
