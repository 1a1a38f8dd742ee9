"""`voxaffect listen` with sources that need no sound card, and what is said where there is none."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import voxaffect
from voxaffect import live_view, microphone
from voxaffect.audio import read_audio
from voxaffect.cli import main
from voxaffect.errors import ExitCode
from voxaffect.events import StreamResult, UtteranceEnd, UtteranceStart
from voxaffect.live_view import LiveView, letters, meter

CLIPS = Path(voxaffect.__file__).parent / "clips"


class Played:
    """A source that plays a recording, and then ends as `at_end` says."""

    name, sample_rate, n_dropped = "a recording", 16_000, 0

    def __init__(self, samples: np.ndarray, at_end: type[BaseException] | None = None) -> None:
        self._blocks = [samples[i : i + 1_600] for i in range(0, len(samples), 1_600)]
        self._at_end = at_end

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *details: object) -> None:
        pass

    def read(self) -> np.ndarray | None:
        if self._blocks:
            return self._blocks.pop(0)
        if self._at_end is not None:
            raise self._at_end
        return None


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a source in the microphone's place."""

    def put(source: Played) -> None:
        monkeypatch.setattr(microphone, "open_microphone", lambda which: source)

    return put


def clip() -> np.ndarray:
    pause = np.zeros(16_000, np.float32)
    return np.concatenate([pause, read_audio(CLIPS / "slow.flac").samples[:, 0], pause])


@pytest.mark.parametrize("at_end", [None, KeyboardInterrupt])
def test_events_come_line_by_line_and_ctrl_c_ends_it_well(
    played: Any, capsys: pytest.CaptureFixture[str], at_end: type[BaseException] | None
) -> None:
    played(Played(clip(), at_end))
    assert main(["listen", "--json"]) == ExitCode.OK
    captured = capsys.readouterr()
    events = [json.loads(line) for line in captured.out.splitlines()]
    assert events[0]["type"] == "utterance.start"
    assert events[-1]["type"] == "utterance.end"
    assert {event["type"] for event in events} == {"utterance.start", "result", "utterance.end"}
    assert captured.err.startswith("voxaffect: listening to a recording at 16000 Hz; nothing is recorded")
    segments = voxaffect.load().predict((clip(), 16_000)).segments
    assert [e["end"] for e in events if e.get("final")] == [s.end for s in segments]


def test_without_a_terminal_results_are_told_in_words(
    played: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Played(clip())
    source.n_dropped = 20
    played(source)
    assert main(["listen", "--interval", "0.5"]) == ExitCode.OK
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "0:00:01  speech begins"
    assert lines[-1].endswith("speech ends")
    assert any(line.endswith("so far") for line in lines)
    assert "2.0 s were lost: this machine is too slow" in captured.err


def test_a_terminal_shows_level_label_and_course(
    played: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    played(Played(clip()))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for name, value in (("NO_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "80")):
        monkeypatch.setenv(name, value)
    assert main(["listen", "--quiet"]) == ExitCode.OK
    captured = capsys.readouterr()
    assert captured.err == ""
    last = captured.out.split("\x1b[7A")[-1].replace("\r\x1b[K", "").splitlines()
    assert len(last) == 7
    assert last[0].startswith("0:00:07  level ····················")
    assert last[1].startswith("silent: ")
    assert [line.split()[1] for line in last[2:6]] == ["angry", "happy", "neutral", "sad"]
    assert last[6].startswith("last 60 s |")
    assert set("?AHNS") & set(last[6].split("|")[1])


def test_it_ends_after_the_seconds_asked_for(played: Any, capsys: pytest.CaptureFixture[str]) -> None:
    played(Played(np.zeros(160_000, np.float32), AssertionError))
    assert main(["listen", "--seconds", "2", "--quiet"]) == ExitCode.OK
    assert capsys.readouterr() == ("", "")


def test_wrong_options_are_named(played: Any, capsys: pytest.CaptureFixture[str]) -> None:
    played(Played(clip()))
    assert main(["listen", "--seconds", "0"]) == ExitCode.USAGE
    assert "bad_value: seconds is 0.0; expected more than 0" in capsys.readouterr().err
    assert main(["listen", "--interval", "0"]) == ExitCode.USAGE
    assert "bad_value: interval is 0.0; expected 0.25 to 60 seconds" in capsys.readouterr().err


def test_a_missing_package_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert main(["listen"]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert "missing_dependency: this needs sounddevice" in err
    assert 'pip install "voxaffect[listen]"' in err


class RefusedError(Exception):
    """What PortAudio raises."""


class InputStream:
    """Calls back once when it starts, twice as often as anyone reads."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        if options["device"] == 3:
            raise RefusedError("device unavailable")

    def start(self) -> None:
        for value in range(microphone.MAX_WAITING + 2):
            self.options["callback"](np.full((4, 1), value, np.float32), 4, None, None)

    def close(self) -> None:
        self.options["callback"] = None


def sound_card(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Devices 1, 2 ... with these names are microphones, device 0 is not; 2 is the default."""
    devices = [{"name": "speaker", "max_input_channels": 0, "default_samplerate": 48_000.0}]
    devices += [{"name": name, "max_input_channels": 2, "default_samplerate": 44_100.0} for name in names]
    fake = SimpleNamespace(
        query_devices=lambda: devices,
        default=SimpleNamespace(device=(2, 0)),
        InputStream=InputStream,
        PortAudioError=RefusedError,
    )
    monkeypatch.setitem(sys.modules, "sounddevice", fake)


def test_microphones_are_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    sound_card(monkeypatch, "built-in", "headset")
    assert main(["listen", "--list", "devices"]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines() == [
        "  1  built-in, 2 channels, 44100 Hz",
        "  2  headset, 2 channels, 44100 Hz  (default)",
    ]


def test_a_machine_without_a_microphone_is_told_apart(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound_card(monkeypatch)
    assert main(["listen", "--list"]) == ExitCode.NOTHING_USABLE
    assert "there is no microphone on this machine" in capsys.readouterr().err
    assert main(["listen"]) == ExitCode.RESOURCE
    err = capsys.readouterr().err
    assert "no_microphone: there is no microphone on this machine; plug one in" in err


def test_a_microphone_is_chosen_by_number_or_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound_card(monkeypatch, "built-in", "headset", "headset two")
    assert microphone.open_microphone().name == "headset"
    assert microphone.open_microphone("1").name == "built-in"
    assert microphone.open_microphone("BUILT").name == "built-in"
    assert main(["listen", "--microphone", "headset"]) == ExitCode.USAGE
    assert "unknown_microphone: several microphones are called 'headset'" in capsys.readouterr().err
    assert main(["listen", "--microphone", "0"]) == ExitCode.USAGE
    assert "unknown_microphone: no microphone is called '0'; expected one of" in capsys.readouterr().err
    assert main(["listen", "--microphone", "3"]) == ExitCode.RESOURCE
    assert "microphone_refused: headset two cannot be opened (device unavailable)" in capsys.readouterr().err


def test_blocks_wait_to_be_read_and_what_is_too_much_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    sound_card(monkeypatch, "built-in", "headset")
    with microphone.open_microphone() as source:
        assert source.sample_rate == 44_100
        first = source.read()
        assert first is not None
        assert first.tolist() == [0, 0, 0, 0]
        assert source.n_dropped == 2


def test_a_missing_library_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert main(["listen"]) == ExitCode.RESOURCE
    assert "no_audio_system: the sound library PortAudio is not there" in capsys.readouterr().err


def result(label: str | None, *, uncertain: bool = False, final: bool = True) -> StreamResult:
    probs = {"angry": 0.75, "sad": 0.25} if label else {}
    score = 0.75 if label else None
    reason = None if label else "too_short"
    return StreamResult(1, 0, 3, "interval", final, label, score, probs, {}, None, uncertain, reason)


def test_the_view_shows_what_was_heard_and_said() -> None:
    view = LiveView(["angry", "sad"])
    assert view.lines()[0] == f"0:00:00  level {live_view.EMPTY * 20} no signal"
    assert view.lines()[1] == "silent: nobody has spoken yet"
    view.say(UtteranceStart(1, 0.0))
    view.say(result("angry"))
    view.heard(2.2, 10 ** (-30 / 20))
    view.say(result("angry", uncertain=True))
    view.heard(3.0, 1.0)
    lines = view.lines()
    assert lines[0] == f"0:00:03  level {live_view.FULL * 20} 0 dBFS"
    assert lines[1] == "speaking: angry 0.75, uncertain"
    assert lines[2] == f"  A angry {live_view.FULL * 15}{live_view.EMPTY * 5} 0.75"
    assert lines[3] == f"  S sad   {live_view.FULL * 5}{live_view.EMPTY * 15} 0.25"
    assert lines[4] == f"last 60 s |{' ' * 57}AA?| now"
    view.say(UtteranceEnd(1, 3.0))
    view.say(result(None))
    view.heard(64.0, 0.0)
    assert view.lines()[1] == "silent: too short to be judged"
    assert view.lines()[4] == f"last 60 s |{' ' * 60}| now"


@pytest.mark.parametrize("columns", [40, 53, 80, 200])
def test_no_line_is_longer_than_the_terminal(columns: int) -> None:
    """It would be broken, and the view drawn over itself in the wrong place."""
    view = live_view.LiveView(["angry", "disappointed", "sad"], colour=True)
    view.say(UtteranceStart(1, 0.0))
    view.say(result("disappointed", uncertain=True))
    for second in range(1, 71):
        view.heard(float(second + 35_990), 0.001)
    lines = [re.sub(r"\x1b\[\d+m", "", line) for line in view.lines(columns)]
    assert max(map(len, lines)) <= columns
    seconds = min(60, columns - 16)
    assert lines[-1] == f"last {seconds} s |{'?' * seconds}| now"


@pytest.mark.parametrize(("term", "columns"), [("dumb", "80"), ("xterm", "30")])
def test_a_terminal_that_cannot_be_drawn_in_has_words(
    term: str, columns: str, played: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", columns)
    played(Played(clip()))
    assert main(["listen"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert said.startswith("0:00:01  speech begins\n")


def test_colours_are_for_terminals() -> None:
    view = LiveView(["angry", "sad"], colour=True)
    view.say(UtteranceStart(1, 0.0))
    view.say(result("angry"))
    view.heard(1.0, 0.1)
    assert "\x1b[31mangry\x1b[0m 0.75" in view.lines()[1]
    assert "\x1b[31mA\x1b[0m| now" in view.lines()[4]


def test_words_for_what_has_no_label() -> None:
    assert live_view.spoken_line(result(None)) == "0:00:03  no label (too_short)"
    assert live_view.spoken_line(result("sad", uncertain=True)) == "0:00:03  sad 0.75, uncertain"


def test_letters_and_meters() -> None:
    assert letters(["sad", "surprise", "neutral", "s"]) == {
        "sad": "S",
        "surprise": "U",
        "neutral": "N",
        "s": "3",
    }
    assert meter(-60.0) == meter(-np.inf) == live_view.EMPTY * 20
    assert meter(3.0) == live_view.FULL * 20
