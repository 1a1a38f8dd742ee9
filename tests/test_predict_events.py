"""`predict --events` and `Predictor.hear_many`: what is heard is said before the recording ends, in its final words."""

from __future__ import annotations

import io
import json
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fake_models import LEVELS, RATE, silence, square, write_model, write_wav
from voxaffect import prediction
from voxaffect.answered import FILE_NAME as RECORD
from voxaffect.cli import BROKEN_PIPE, main
from voxaffect.errors import ExitCode, UsageError
from voxaffect.files import HALF_WRITTEN
from voxaffect.formats import rounded
from voxaffect.predictor import Predictor, load

pytest.importorskip("onnx", reason="the fake model is made with onnx")
pytestmark = pytest.mark.usefixtures("sound_is_speech")

Predict = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a model."""
    write_model(tmp_path / "level.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def predict(capsys: pytest.CaptureFixture[str]) -> Predict:
    """Runs `voxaffect predict` with the model; exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["predict", "-m", "level.onnx", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def call(name: str = "call.wav", turns: int = 3) -> str:
    """A recording of turns, happy and sad in turn, with pauses between."""
    parts = [(square(LEVELS["happy" if i % 2 else "sad"], 5.0), silence(2.0)) for i in range(turns)]
    write_wav(Path(name), *(part for pair in parts for part in pair))
    return name


def listed(folder: str) -> list[str]:
    """The names in a folder, hidden ones too, without the record of the answers."""
    return sorted(path.name for path in Path(folder).iterdir() if path.name != RECORD)


def parsed(text: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The events and the results among lines of JSON; each result stands behind its own events."""
    lines = [json.loads(line) for line in text.splitlines()]
    for i, line in enumerate(lines[:-1]):
        if "type" in line:
            later = [each for each in lines[i:] if "schema" in each]
            assert later[0]["id"] == line["id"]
    return [line for line in lines if "type" in line], [line for line in lines if "schema" in line]


def test_the_line_of_the_result_is_what_it_is_without_events(predict: Predict) -> None:
    names = [call("a.wav"), call("b.wav", 1)]
    code, plain, err = predict(*names, "-f", "jsonl")
    assert (code, err, len(plain.splitlines())) == (ExitCode.OK, "", 2)
    code, out, err = predict(*names, "--events")
    assert (code, err) == (ExitCode.OK, "")
    assert [line for line in out.splitlines() if '"schema"' in line] == plain.splitlines()
    assert predict(*names, "--events", "-f", "jsonl")[1] == out


def test_an_event_is_the_message_of_a_stream_with_the_id_of_its_recording(predict: Predict) -> None:
    _, out, _ = predict(call(), "--events")
    events, (result,) = parsed(out)
    heard = load("level.onnx").hear("call.wav")
    assert events == [{**rounded(event.to_dict()), "id": "call.wav"} for event in heard.events()]
    assert [event["type"] for event in events if event["type"] != "result"] == [
        "utterance.start",
        "utterance.end",
    ] * 3
    windows = [event for event in events if event["type"] == "result"]
    assert [(w["start"], w["end"], w["label"], w["probs"]) for w in windows] == [
        (s["start"], s["end"], s["label"], s["probs"]) for s in result["segments"]
    ]


def test_what_fails_is_one_line_and_the_rest_goes_on(predict: Predict) -> None:
    Path("bad.wav").touch()
    whole = Path(call("cut.wav")).read_bytes()
    Path("cut.wav").write_bytes(whole[: len(whole) // 2])
    code, out, err = predict("bad.wav", "cut.wav", "gone.wav", call("a.wav"), "--events", "--strict")
    assert code == ExitCode.PARTIAL
    events, results = parsed(out)
    assert [(r["error"] or {"code": None})["code"] for r in results] == [
        "empty_file",
        "truncated",
        "not_found",
        None,
    ]
    assert {event["id"] for event in events} >= {"a.wav"}
    assert len(err.splitlines()) == 4


class Fed(io.RawIOBase):
    """A stream that counts what was read of it and cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._data[self.at : self.at + min(len(buffer), RATE)]  # half a second
        buffer[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)


@pytest.fixture
def model() -> Predictor:
    return load("level.onnx")


def test_events_come_before_the_input_has_ended(model: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        prediction.time, "monotonic", iter(range(1_000)).__next__
    )  # each look is a second later
    data = Path(call(turns=4)).read_bytes()
    source = Fed(data)
    at = []
    hearing = model.hear(source)
    for event in hearing.events():
        at.append((source.at, event))
    seconds_of = {position: (position - 44) / 2 / RATE for position, _ in at}
    for position, event in at[:-1]:
        told = getattr(event, "end", getattr(event, "start", 0.0))
        assert (
            told <= seconds_of[position] + 0.5 <= told + 6
        )  # two blocks of 2 s, the pause that ends an utterance
    assert hearing.result is not None
    assert hearing.result.segments == load("level.onnx").predict("call.wav").segments


def test_windows_wait_for_company_where_the_audio_comes_fast(
    model: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    means = type(model._recogniser).means
    monkeypatch.setattr(
        type(model._recogniser),
        "means",
        lambda self, *given: sizes.append(len(given[0])) or means(self, *given),
    )
    monkeypatch.setattr(prediction.time, "monotonic", lambda: 0.0)
    for _ in model.hear(write_wav(Path("long.wav"), square(0.4, 40.0))).events():
        pass
    assert sizes[:-1] == [16, 16]


def test_recordings_are_heard_one_after_the_other(model: Predictor) -> None:
    Path("bad.wav").touch()
    heard = list(model.hear_many([call(), "bad.wav"], on_error="record"))
    assert [hearing.id for hearing in heard] == ["call.wav", "bad.wav"]
    assert list(heard[1].events()) == []
    assert heard[1].result is not None
    assert heard[1].result.error is not None
    assert heard[1].result.error.code == "empty_file"
    with pytest.raises(UsageError, match="hop is 9"):
        model.hear_many(["call.wav"], hop=9)
    with pytest.raises(TypeError, match="inputs is a single one"):
        model.hear_many("call.wav")
    with pytest.raises(ValueError, match="unknown on_error 'skip'"):
        model.hear_many(["call.wav"], on_error="skip")


def command(*arguments: str) -> list[str]:
    start = [sys.executable, "-m", "voxaffect", "predict", "-m", "level.onnx", "--no-vad"]
    return [*start, *arguments]


def test_a_pipe_gets_lines_while_it_is_still_being_fed() -> None:
    data = Path(write_wav(Path("a.wav"), square(0.4, 60.0))).read_bytes()
    with subprocess.Popen(command("-", "--events"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        at = 0
        while not select.select([running.stdout], [], [], 0.3)[0]:  # however slow this machine is
            running.stdin.write(data[at : at + 2 * RATE])
            running.stdin.flush()
            at += 2 * RATE
            assert at < len(data), "all was fed, and nothing said"
        first = json.loads(running.stdout.readline())
        assert (first["type"], first["id"]) == ("utterance.start", "<stdin>")
        running.stdin.write(data[at:])
        running.stdin.close()
        lines = running.stdout.read().splitlines()
    assert running.returncode == ExitCode.OK
    assert len(json.loads(lines[-1])["segments"]) == 58
    assert len(lines) == 58 + 1 + 1


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    call("long.wav", 40)
    with subprocess.Popen(
        command("long.wav", "--events"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == BROKEN_PIPE


def test_files_hold_the_same_lines_and_appear_whole(predict: Predict, here: Path) -> None:
    names = [call("a.wav"), call("b.wav", 1)]
    lines = predict(*names, "--events")[1].splitlines()
    code, out, err = predict(*names, "--events", "-f", "jsonl,csv", "-o", "out")
    assert (code, out, err) == (ExitCode.OK, "", "")
    written = Path("out/a.jsonl").read_text() + Path("out/b.jsonl").read_text()
    assert written.splitlines() == lines
    assert listed("out") == ["a.csv", "a.jsonl", "b.csv", "b.jsonl"]
    assert "sad" in Path("out/a.csv").read_text()
    code, _, err = predict(*names, "--events", "-o", "out", "--resume", "-f", "jsonl")
    assert (code, err) == (ExitCode.OK, "voxaffect: 2 of 2 are there already\n")
    code, _, err = predict(*names, "-o", "out", "--resume", "-f", "jsonl")
    assert code == ExitCode.USAGE
    assert "other_answers: 2 of the 2 answers in out were given with another events" in err


def test_what_fails_leaves_no_file_and_keeps_the_old_one(predict: Predict) -> None:
    call("a.wav")
    assert predict("a.wav", "--events", "-o", "out")[0] == ExitCode.OK
    before = Path("out/a.jsonl").read_bytes()
    data = Path("a.wav").read_bytes()
    Path("a.wav").write_bytes(data[: len(data) // 2])
    Path("b.wav").touch()
    code, _, _ = predict("a.wav", "b.wav", "gone.wav", "--events", "-o", "out", "--strict", "--overwrite")
    assert code == ExitCode.NOTHING_USABLE
    assert Path("out/a.jsonl").read_bytes() == before
    assert listed("out") == ["a.jsonl", "errors.jsonl"]


def test_a_signal_amid_a_recording_leaves_no_half_file() -> None:
    with subprocess.Popen(
        command("-", "--events", "-o", "out"), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdin is not None
        running.stdin.write(write_wav(Path("a.wav"), square(0.4, 60.0)).read_bytes()[:-4_000])
        running.stdin.flush()
        while not any(path.stat().st_size for path in Path("out").glob(f".*{HALF_WRITTEN}")):
            assert running.poll() is None
        running.send_signal(signal.SIGTERM)
        assert running.wait() == ExitCode.TERMINATED
    assert listed("out") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-f", "csv"], "bad_value: csv has no events; lines of JSON have; add -f jsonl"),
        (["--jobs", "2"], "bad_value: --events hears one recording at a time; leave out --jobs"),
    ],
)
def test_what_events_do_not_go_with_is_named(predict: Predict, arguments: list[str], said: str) -> None:
    code, out, err = predict(call(), "--events", *arguments)
    assert (code, out) == (ExitCode.USAGE, "")
    assert err == f"voxaffect: error: {said}\n"


def test_memory_does_not_grow_with_the_recording(model: Predictor) -> None:
    import tracemalloc

    long = write_wav(Path("long.wav"), *[part for _ in range(60) for part in (square(0.4, 2), silence(8))])

    def peak(seconds: float) -> int:
        tracemalloc.start()
        for _ in model.hear(long, end=seconds).events():
            pass
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(10.0)
    assert peak(600.0) < peak(200.0) + 2_000_000  # the audio would be 38 MB
