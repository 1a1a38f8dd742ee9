"""`voxaffect predict`, `demo` and `models` end to end: what is said, what is written, what it exits with."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest

from fake_models import LEVELS, RATE, model_bytes, silence, square, write_model, write_wav
from voxaffect import formats, modelfile
from voxaffect.answered import FILE_NAME as RECORD
from voxaffect.checkpoints import FOLDER_VARIABLE
from voxaffect.cli import demo, main
from voxaffect.errors import ExitCode

pytest.importorskip("onnx", reason="the fake model is made with onnx")
pytestmark = pytest.mark.usefixtures("sound_is_speech")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder to work in, and a bundled model called `level`."""
    bundled = tmp_path_factory.mktemp("bundled")
    write_model(bundled / "level.onnx")
    monkeypatch.setattr(modelfile, "BUNDLED", bundled)
    monkeypatch.setattr(modelfile, "DEFAULT", "level")
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def predict(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs `voxaffect predict`; exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["predict", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


Predict = Callable[..., tuple[int, str, str]]


def listed(folder: Path | str) -> list[str]:
    """The names in a folder, sorted, without the record of the answers."""
    return sorted(path.name for path in Path(folder).iterdir() if path.name != RECORD)


def happy(name: str = "a.wav", seconds: float = 1.0) -> str:
    """A recording whose answer is happy."""
    write_wav(Path(name), square(LEVELS["happy"], seconds))
    return name


def test_a_table_is_printed_and_nothing_is_written(predict: Predict, here: Path) -> None:
    happy()
    code, out, err = predict("a.wav")
    assert (code, err) == (ExitCode.OK, "")
    assert out.splitlines()[1] == "happy      ██████████ 1.00              1.0 s  a.wav"
    assert listed(here) == ["a.wav"]


def test_a_dash_for_the_folder_prints(predict: Predict, here: Path) -> None:
    happy()
    assert predict("a.wav", "-o", "-") == predict("a.wav")
    assert listed(here) == ["a.wav"]


def test_every_format_comes_out_of_stdout_alone(predict: Predict) -> None:
    happy()
    for name in formats.names():
        if formats.get(name).BINARY:
            continue
        code, out, err = predict("a.wav", "-f", name)
        assert (code, err) == (ExitCode.OK, "")
        assert "happy" in out
    assert json.loads(predict("a.wav", "-f", "json")[1])["id"] == "a.wav"
    assert len(json.loads(predict("a.wav", happy("b.wav"), "-f", "json")[1])) == 2


def test_options_reach_the_result(predict: Predict) -> None:
    write_wav(Path("s.wav"), np.stack([square(0.6, 8), square(0.2, 8)], axis=1))
    arguments = "--channels split --window 2 --hop 0.5 --start 0:01 --end 6 --no-vad --offline --device cpu"
    data = json.loads(predict("s.wav", "-f", "json", *arguments.split())[1])
    assert data["settings"] == {"window": 2.0, "hop": 0.5, "vad": False, "channels": "split"}
    assert [s["label"] for s in data["summary"]] == ["angry", "neutral"]
    assert (data["segments"][0]["start"], data["segments"][-1]["end"]) == (1.0, 6.0)
    assert json.loads(predict("s.wav", "-f", "json", "--channels", "1")[1])["label"] == "neutral"
    doubtful = json.loads(predict("s.wav", "-f", "json", "--uncertain-below", "1")[1])
    assert (doubtful["label"], doubtful["reason"]) == (None, "low_confidence")


def test_standard_input_that_is_closed_is_one_input_that_failed(
    predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # what a closed descriptor 0 becomes
    code, _, err = predict("-", happy())
    assert code == ExitCode.PARTIAL
    assert err.startswith("voxaffect: error: -: unreadable: stdin is closed; give the name of a file\n")


def test_standard_input_is_read(predict: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path(happy()).read_bytes()

    class Stdin:
        buffer = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]

    monkeypatch.setattr(sys, "stdin", Stdin)
    code, out, _ = predict("-", "-f", "json")
    assert code == ExitCode.OK
    assert json.loads(out)["label"] == "happy"


# --- the ten mistakes ---


def line(err: str) -> str:
    """The one line on stderr."""
    (only,) = err.splitlines()
    return only


def test_an_empty_file(predict: Predict) -> None:
    Path("rec.wav").touch()
    code, _, err = predict("rec.wav")
    assert code == ExitCode.NOTHING_USABLE
    assert line(err) == (
        "voxaffect: error: rec.wav: empty_file: rec.wav holds no audio (0 bytes); "
        "was the recording stopped early?"
    )


def test_a_header_without_samples(predict: Predict) -> None:
    write_wav(Path("rec.wav"), silence(0))
    code, _, err = predict("rec.wav")
    assert code == ExitCode.NOTHING_USABLE
    assert "rec.wav: no_audio: " in line(err)


def test_silence_a_click_and_too_little(predict: Predict) -> None:
    write_wav(Path("silence.wav"), silence(5))
    write_wav(Path("short.wav"), square(0.4, 0.05))
    code, out, err = predict("silence.wav", "short.wav", "-f", "jsonl")
    assert (code, err) == (ExitCode.OK, "")
    silent, short = (json.loads(text) for text in out.splitlines())
    assert (silent["label"], silent["reason"]) == (None, "no_speech")
    assert silent["warnings"][0]["message"] == "digital silence; check the microphone, or use --no-vad"
    assert (short["label"], short["reason"]) == (None, "too_short")


def test_video_without_sound(predict: Predict) -> None:
    import av

    with av.open("clip.mp4", "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    code, _, err = predict("clip.mp4")
    assert code == ExitCode.NOTHING_USABLE
    assert line(err).startswith("voxaffect: error: clip.mp4: no_audio_stream: clip.mp4 has video only")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"dear diary\n" * 20, "not_audio: notes.wav is not audio (it starts like text)"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
            "not_audio: notes.wav is not audio (it is a Git LFS pointer); run git lfs pull",
        ),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "not_audio: notes.wav is not audio (it is a PNG image)"),
        (b"<!DOCTYPE html><p>404", "not_audio: notes.wav is not audio (it is an HTML page)"),
        (
            b"ffconcat version 1.0\nfile '/etc/passwd'\n",
            "not_audio: notes.wav is not audio (it is a playlist)",
        ),
        (b'{"a": 1}', "not_audio: notes.wav is not audio (it starts like text)"),
    ],
)
def test_what_is_not_audio(predict: Predict, content: bytes, said: str) -> None:
    Path("notes.wav").write_bytes(content)
    code, _, err = predict("notes.wav")
    assert code == ExitCode.NOTHING_USABLE
    assert line(err).startswith(f"voxaffect: error: notes.wav: {said}")


def test_a_recording_cut_short(predict: Predict) -> None:
    path = Path(happy("cut.wav", 5.0))
    path.write_bytes(path.read_bytes()[: 44 + 2 * round(2.6 * RATE)])
    code, out, err = predict("cut.wav", "-f", "json")
    assert (code, err) == (ExitCode.OK, "")
    assert {"code": "truncated", "message": "2.6 s of 5.0 s"} in json.loads(out)["warnings"]
    code, _, err = predict("cut.wav", "--strict")
    assert code == ExitCode.NOTHING_USABLE
    assert "cut.wav: truncated: cut.wav: 2.6 s of 5.0 s; leave out --strict" in line(err)


def test_a_recording_too_long(predict: Predict) -> None:
    code, _, err = predict(happy(seconds=70.0), "--max-duration", "1:00")
    assert code == ExitCode.NOTHING_USABLE
    assert "a.wav: too_long: 0:01:10 is over the limit of 0:01:00; use --start and --end" in line(err)


def test_a_model_that_is_not_here(predict: Predict) -> None:
    code, out, err = predict(happy(), "-m", "big")
    assert (code, out) == (ExitCode.ARTEFACT, "")
    assert line(err) == (
        f"voxaffect: error: model_missing: no model 'big': looked in big, {modelfile.BUNDLED}; "
        "what is here is said by: voxaffect models list; VOXAFFECT_MODELS may name more folders"
    )


def test_a_model_that_is_damaged_or_of_another_schema(predict: Predict) -> None:
    happy()
    data = bytearray(model_bytes())
    data[100] ^= 4
    Path("bad.onnx").write_bytes(data)
    code, out, err = predict("a.wav", "-m", "bad.onnx")
    assert (code, out) == (ExitCode.ARTEFACT, "")
    assert "bad.onnx: model_damaged: bad.onnx is not what was written: it records sha256 " in line(err)
    write_model(Path("new.onnx"), schema="voxaffect.model/2")
    code, out, err = predict("a.wav", "-m", "new.onnx")
    assert (code, out) == (ExitCode.ARTEFACT, "")
    assert "model_refused: new.onnx is refused: its metadata is not usable: its schema is" in line(err)


def test_cuda_that_is_not_there(predict: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    code, out, err = predict(happy(), "--device", "cuda")
    assert (code, out) == (ExitCode.USAGE, "")
    assert line(err) == "voxaffect: error: no_gpu: no CUDA device; use --device cpu"


# --- batches ---


def test_one_bad_input_of_many_is_not_fatal(predict: Predict) -> None:
    names = [happy(f"{i:02}.wav", 0.3) for i in range(20)]
    Path(names[7]).write_bytes(b"")
    for jobs in ("1", "4"):
        code, out, err = predict(*names, "-f", "jsonl", "--jobs", jobs)
        results = [json.loads(text) for text in out.splitlines()]
        assert code == ExitCode.PARTIAL
        assert [r["id"] for r in results] == names
        assert [r["label"] for r in results].count("happy") == 19
        assert results[7]["error"]["code"] == "empty_file"
        assert err.splitlines()[1:] == ["voxaffect: 1 of 20 inputs failed"]


def test_urls_pipes_devices_and_loops_are_never_opened(predict: Predict) -> None:
    os.mkfifo("fifo.wav")
    Path("loop.wav").symlink_to("loop.wav")
    inputs = [
        "http://127.0.0.1:9/a.wav",
        "concat:a.wav|b.wav",
        "file:a.wav",
        "fifo.wav",
        "loop.wav",
        "/dev/zero",
        "gone.wav",
    ]
    code, out, err = predict(happy(), *inputs, "-f", "jsonl")
    assert code == ExitCode.PARTIAL
    codes = [(json.loads(text)["error"] or {"code": None})["code"] for text in out.splitlines()]
    assert codes == [None, *["urls_not_supported"] * 3, "not_a_file", "not_a_file", "not_a_file", "not_found"]
    assert len(err.splitlines()) == 8


def test_a_folder_that_was_named_counts_what_it_passed_over(predict: Predict) -> None:
    Path("calls").mkdir()
    happy("calls/a.wav")
    Path("calls/readme.txt").touch()
    code, out, err = predict("calls", "calls/a.wav")
    assert code == ExitCode.OK
    assert out.count("calls/a.wav") == 1
    assert err.splitlines() == [
        "voxaffect: 1 file named more than once, read once",
        "voxaffect: 1 file in folders passed over: no audio by their names",
    ]
    assert predict("calls", "--quiet")[2] == ""


ODD_NAMES = [
    b"-rf.wav",
    b"two words.wav",
    b"new\nline.wav",
    b'"; touch x;".wav',
    "emoji😀.wav".encode(),
    "é.wav".encode(),
    "é.wav".encode(),
    b"not-utf8-\xff.wav",
    b"x" * 251 + b".wav",
    b"=cmd.wav",
    b"[1].wav",
]


@pytest.mark.parametrize("raw", ODD_NAMES)
def test_any_name_works_and_is_printed_on_one_line(predict: Predict, here: Path, raw: bytes) -> None:
    name = os.fsdecode(raw)
    happy("plain.wav")
    try:
        Path("plain.wav").rename(name)
    except OSError as error:
        pytest.skip(f"this file system refuses the name: {error}")
    code, out, _ = predict("-f", "jsonl", "--", name)
    assert code == ExitCode.OK
    assert json.loads(out)["source"]["path"] == name
    code, out, _ = predict("--", name)
    assert (code, len(out.splitlines())) == (ExitCode.OK, 2)
    code, out, err = predict("-o", "out", "-f", "json,csv", "--", name)
    assert (code, err) == (ExitCode.OK, "")
    assert len(listed("out")) == 2
    assert listed(here) == sorted([name, "out"])
    cells = list(csv.DictReader(io.StringIO(next(Path("out").glob("*.csv")).read_text("utf-8"))))
    assert cells[0]["label"] == "happy"
    if raw == b"=cmd.wav":
        assert cells[0]["file"] == "'=cmd.wav"


# --- output folders ---


def test_a_folder_gets_a_file_for_each_input_and_format(predict: Predict) -> None:
    Path("calls/monday").mkdir(parents=True)
    happy("calls/monday/a.wav")
    happy("calls/b.wav")
    code, out, err = predict("calls", "-o", "out", "-f", "json, csv,table")
    assert (code, out, err) == (ExitCode.OK, "", "")
    found = sorted(p.relative_to("out").as_posix() for p in Path("out").rglob("*.*") if p.name != RECORD)
    assert found == ["b.csv", "b.json", "b.txt", "monday/a.csv", "monday/a.json", "monday/a.txt"]
    assert json.loads(Path("out/b.json").read_text())["label"] == "happy"


def test_every_format_is_written_to_a_folder_and_resumed(predict: Predict) -> None:
    names = [happy("a.wav"), happy("a.labels.wav"), "bad.wav"]
    Path("bad.wav").touch()
    chosen = ",".join(formats.names())
    assert predict(*names, "-o", "out", "-f", chosen)[0] == ExitCode.PARTIAL
    found = listed("out")
    assert len(found) == 2 * len(formats.names()) + 1  # and errors.jsonl; none for what failed
    assert {"a.txt", "a.labels.txt", "a.labels.wav.labels.txt", "a.TextGrid", "a.parquet"} <= set(found)
    assert json.loads(Path("out/errors.jsonl").read_text("utf-8"))["error"]["code"] == "empty_file"
    code, _, err = predict(*names, "-o", "out", "-f", "srt")
    assert (code, "out/a.srt is there already and 2 more" in err) == (ExitCode.USAGE, True)
    Path("out/a.eaf").unlink()
    Path("out/a.labels.wav.srt").write_text("mine")
    code, _, err = predict(*names[:2], "-o", "out", "-f", chosen, "--resume")
    assert (code, err) == (ExitCode.OK, "voxaffect: 1 of 2 are there already\n")
    assert Path("out/a.eaf").exists()
    assert Path("out/a.labels.wav.srt").read_text("utf-8") == "mine"
    assert predict(*names[:2], "-o", "out", "-f", chosen, "--overwrite")[0] == ExitCode.OK
    assert "happy" in Path("out/a.labels.wav.srt").read_text("utf-8")


def test_what_failed_is_said_where_the_format_cannot_say_it(predict: Predict) -> None:
    Path("bad.wav").touch()
    for name in ("srt", "vtt", "textgrid", "eaf", "audacity", "rttm"):
        code, out, err = predict("bad.wav", "-f", name)
        assert code == ExitCode.NOTHING_USABLE
        assert out in ("", "WEBVTT\n\n")
        assert "bad.wav: empty_file: bad.wav holds no audio" in line(err)
    code, out, err = predict(happy(), "bad.wav", "-f", "rttm")
    assert (code, out.split()[1]) == (ExitCode.PARTIAL, "a.wav")
    assert "bad.wav: empty_file" in err


# --- pictures ---


def test_a_picture_is_drawn_beside_the_answer(predict: Predict, here: Path) -> None:
    pytest.importorskip("matplotlib")
    code, out, err = predict(happy(seconds=4.0), "--plot", "a.png")
    assert (code, err) == (ExitCode.OK, "")
    assert "happy" in out
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    assert (
        predict("a.wav", "--plot", "a.png", "--start", "1")[0] == ExitCode.OK
    )  # a file that is named is replaced
    assert predict("a.wav", "--plot", "new/a.svg")[0] == ExitCode.OK
    assert listed(here) == ["a.png", "a.wav", "new"]


def test_many_recordings_are_drawn_into_a_folder(predict: Predict) -> None:
    pytest.importorskip("matplotlib")
    Path("calls/a").mkdir(parents=True)
    happy("calls/a/x.wav")
    happy("calls/y.wav")
    Path("calls/z.wav").touch()
    arguments = ["calls", "-o", "out", "--plot", "pictures"]
    code, _, err = predict(*arguments)
    assert code == ExitCode.PARTIAL
    assert listed("pictures") == ["a", "y.png"]
    assert listed("pictures/a") == ["x.png"]
    code, _, err = predict("calls", "--plot", "pictures")
    assert code == ExitCode.USAGE
    assert "output_exists: pictures/a/x.png is there already and 1 more" in line(err)
    Path("calls/z.wav").unlink()
    Path("pictures/y.png").unlink()
    code, _, err = predict(*arguments, "--resume")
    assert (code, err) == (ExitCode.OK, "voxaffect: 1 of 2 are there already\n")
    assert Path("pictures/y.png").exists()
    assert predict("calls", "--plot", "pictures", "--overwrite")[0] == ExitCode.OK
    code, _, err = predict("calls", "--plot", "all.png")
    assert code == ExitCode.USAGE
    assert line(err) == (
        "voxaffect: error: one_picture: all.png is one picture; there are 2 recordings; "
        "name a folder, as in --plot pictures/"
    )


def test_a_picture_without_its_recording_lacks_the_waveform_only(
    predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    from voxaffect import timeline_figure
    from voxaffect.errors import AudioError

    def gone(*arguments: Any, **options: Any) -> Any:
        raise AudioError("not_found", "there is no file a.wav")

    monkeypatch.setattr(timeline_figure, "read_envelope", gone)
    code, _, err = predict(happy(), "--plot", "a.png")
    assert (code, err) == (ExitCode.OK, "")
    assert Path("a.png").stat().st_size > 5000


def test_pictures_that_cannot_be_drawn_are_refused_before_anything_is_read(
    predict: Predict, monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    Path("file").touch()
    for place, said in (
        ("", "not_a_folder: --plot is an empty name"),
        ("file", "not_a_folder: --plot file is"),
    ):
        code, _, err = predict(happy(), "--plot", place)
        assert (code, said in line(err)) == (ExitCode.USAGE, True)
    code, _, err = predict(happy(), "--plot", "file/a.png")
    assert (code, "cannot_write" in line(err)) == (ExitCode.RESOURCE, True)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = predict("a.wav", "--plot", "a.png")
    assert code == ExitCode.USAGE
    assert line(err).endswith(
        'matplotlib, which is not installed; install it with: pip install "voxaffect[plot]"'
    )
    assert listed(here) == ["a.wav", "file"]


def test_parquet_without_pyarrow_says_what_to_install(
    predict: Predict, monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = predict(happy(), "-f", "parquet", "-o", "out")
    assert code == ExitCode.USAGE
    assert line(err) == (
        "voxaffect: error: missing_dependency: this needs pyarrow, which is not installed; "
        'install it with: pip install "voxaffect[parquet]"'
    )
    assert listed(here) == ["a.wav"]


def test_what_is_there_is_kept_or_replaced_as_asked(predict: Predict) -> None:
    names = [happy("a.wav"), happy("b.wav")]
    assert predict("a.wav", "-o", "out")[0] == ExitCode.OK
    Path("out/a.json").write_text("mine")
    code, out, err = predict(*names, "-o", "out")
    assert (code, out) == (ExitCode.USAGE, "")
    assert line(err) == (
        "voxaffect: error: output_exists: out/a.json is there already; "
        "use --resume to keep what is there and do the rest, or --overwrite"
    )
    code, _, err = predict(*names, "-o", "out", "--resume")
    assert (code, err) == (ExitCode.OK, "voxaffect: 1 of 2 are there already\n")
    assert Path("out/a.json").read_text() == "mine"
    assert json.loads(Path("out/b.json").read_text())["label"] == "happy"
    assert predict(*names, "-o", "out", "--resume")[0] == ExitCode.OK
    assert predict(*names, "-o", "out", "--overwrite")[0] == ExitCode.OK
    assert json.loads(Path("out/a.json").read_text())["label"] == "happy"


def test_answers_of_another_model_or_other_options_are_not_kept(predict: Predict) -> None:
    names = [happy("a.wav"), happy("b.wav", 4.0)]
    write_model(Path("other.onnx"), name="other")
    assert predict("a.wav", "-o", "out")[0] == ExitCode.OK
    before = Path("out/a.json").read_bytes()
    for words, what in (
        (["-m", "other.onnx"], "model"),
        (["--hop", "0.5", "--no-vad"], "hop, vad"),
        (["--uncertain-below", "0.9", "-m", "other.onnx"], "model, uncertain_below"),
    ):
        code, out, err = predict(*names, "-o", "out", "--resume", *words)
        assert (code, out) == (ExitCode.USAGE, "")
        assert line(err) == (
            f"voxaffect: error: other_answers: 1 of the 1 answers in out were given with another {what}; "
            "use --overwrite to answer anew, the model and options of then, or another folder"
        )
    assert (Path("out/a.json").read_bytes(), Path("out/b.json").exists()) == (before, False)
    assert predict("b.wav", "-o", "out", "--hop", "0.5")[0] == ExitCode.OK  # none of its files was there
    code, _, err = predict(*names, "-o", "out", "--resume")
    assert code == ExitCode.USAGE
    assert "1 of the 2 answers in out were given with another hop" in line(err)
    assert predict(*names, "-o", "out", "--overwrite")[0] == ExitCode.OK
    assert predict(*names, "-o", "out", "--resume")[0] == ExitCode.OK


def test_answers_of_which_nothing_is_recorded_are_not_kept(predict: Predict) -> None:
    happy("a.wav")
    Path("out").mkdir()
    Path("out/a.json").write_text("whose?")
    code, _, err = predict("a.wav", "-o", "out", "--resume")
    assert code == ExitCode.USAGE
    assert "were given with a model and options that nothing tells" in line(err)
    assert Path("out/a.json").read_text() == "whose?"


def test_failures_are_listed_beside_the_answers_until_they_are_mended(predict: Predict) -> None:
    happy("a.wav")
    Path("b.wav").touch()
    code, _, _ = predict("a.wav", "b.wav", "none*.wav", "-o", "out")
    assert code == ExitCode.PARTIAL
    assert listed("out") == ["a.json", "errors.jsonl"]
    rows = [json.loads(text) for text in Path("out/errors.jsonl").read_text().splitlines()]
    assert [(r["id"], r["error"]["code"]) for r in rows] == [
        ("b.wav", "empty_file"),
        ("none*.wav", "not_found"),
    ]
    assert predict("c.wav", "-o", "out")[0] == ExitCode.USAGE  # would write over errors.jsonl
    happy("b.wav")
    code, _, _ = predict("a.wav", "b.wav", "-o", "out", "--resume")
    assert code == ExitCode.OK
    assert listed("out") == ["a.json", "b.json"]


def test_an_interrupted_run_keeps_whole_results_and_resumes(
    predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [happy(f"{i}.wav", 0.3) for i in range(6)]
    save, count = formats.save, iter(range(100))

    def save_and_interrupt(*arguments: Any) -> None:
        save(*arguments)
        if next(count) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(formats, "save", save_and_interrupt)
    for jobs in ("1", "3"):
        code, _, err = predict(*names, "-o", f"out{jobs}", "--jobs", jobs)
        assert (code, err) == (ExitCode.INTERRUPTED, "voxaffect: interrupted\n")
        kept = listed(f"out{jobs}")
        assert kept == ["0.json", "1.json", "2.json"]
        before = {name: Path(f"out{jobs}", name).stat().st_mtime_ns for name in kept}
        assert all(json.loads(Path(f"out{jobs}", name).read_text())["label"] == "happy" for name in kept)
        assert predict(*names, "-o", f"out{jobs}", "--resume", "--jobs", jobs)[0] == ExitCode.OK
        assert listed(f"out{jobs}") == [f"{i}.json" for i in range(6)]
        assert before == {name: Path(f"out{jobs}", name).stat().st_mtime_ns for name in kept}
        count = iter(range(100))


def test_a_full_disk_ends_the_run_without_half_a_file(
    predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [happy("a.wav"), happy("b.wav")]
    json_format = formats.get("json")
    write = json_format.write

    def write_until_full(results: list[Any], stream: io.TextIOBase) -> None:
        if results[0].id == "b.wav":
            stream.write("{")
            raise OSError(28, "No space left on device")
        write(results, stream)  # type: ignore[arg-type]

    monkeypatch.setattr(json_format, "write", write_until_full)
    code, _, err = predict(*names, "-o", "out")
    assert code == ExitCode.RESOURCE
    assert line(err) == (
        "voxaffect: error: out/b.json: disk_full: no space left for the output; make room and run it again"
    )
    assert listed("out") == ["a.json"]


def test_a_disk_that_is_really_full_keeps_what_is_whole(here: Path) -> None:
    """A file system of a few pages, in a name space of its own."""
    mount = 'mkdir small && mount -t tmpfs -o size=24k none small && "$@"; code=$?; ls -A small; exit $code'
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if not which("unshare") or subprocess.run([*alone[:4], "true"], capture_output=True).returncode:
        pytest.skip("needs name spaces of mounts")
    names = [happy(f"{i}.wav") for i in range(9)]
    done = subprocess.run(
        [*alone, sys.executable, "-m", "voxaffect", "predict", *names, "-o", "small", "--no-vad"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == ExitCode.RESOURCE, done
    assert re.fullmatch(r"voxaffect: error: small\S*: disk_full: no space left .*\n", done.stderr)
    written = [name for name in done.stdout.split() if name != RECORD]
    assert 0 < len(written) < 9
    assert all(re.fullmatch(r"\d\.json", name) for name in written)


def test_a_folder_that_cannot_be_made_is_said(predict: Predict) -> None:
    Path("out").write_text("a file")
    code, _, err = predict(happy(), "-o", "out")
    assert code == ExitCode.USAGE
    assert "not_a_folder: -o out is a file; expected a folder, there or to be made" in line(err)
    code, _, err = predict(happy(), "-o", "out/below")
    assert code == ExitCode.RESOURCE
    assert "out/below: cannot_write: the output cannot be written (Not a directory)" in line(err)
    code, _, err = predict(happy(), "-o", "x" * 300)
    assert code == ExitCode.RESOURCE
    assert "cannot_write: the output cannot be written (File name too long)" in line(err)


def test_a_name_that_no_file_can_have_lets_the_rest_be_read(predict: Predict) -> None:
    code, out, err = predict(happy(), "x" * 300 + ".wav", "-f", "jsonl")
    assert code == ExitCode.PARTIAL
    assert [json.loads(text)["label"] for text in out.splitlines()] == ["happy", None]
    assert "not_found: there is no file xxx" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-f", "json,csv"], "several_formats: 2 formats cannot share stdout; add -o DIR"),
        (
            ["-f", "yaml"],
            f"unknown_format: unknown format 'yaml'; expected some of {formats.names()}",
        ),
        (["-f", "parquet"], "not_text: parquet is no text to print; add -o DIR"),
        (
            ["b.wav", "-f", "srt"],
            "several_recordings: srt holds the timeline of one recording; there are 2; add -o DIR",
        ),
        (["--resume"], "no_output_folder: --resume and --overwrite are about files; add -o DIR"),
        (["--window", "0"], "bad_value: window is 0.0; expected 0.2 to 60 seconds"),
        (["--jobs", "0"], "bad_value: jobs is 0; expected at least 1"),
    ],
)
def test_wrong_options_are_named(predict: Predict, arguments: list[str], said: str) -> None:
    code, out, err = predict(happy(), *arguments)
    assert (code, out) == (ExitCode.USAGE, "")
    assert line(err) == f"voxaffect: error: {said}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--channels", "left"], "'left' is not mix, split or the number of a channel"),
        (["--start", "soon"], "'soon' is no time; expected seconds, M:SS or H:MM:SS"),
        (["--end", "1:2:3:4"], "'1:2:3:4' is no time"),
        (["--resume", "--overwrite"], "not allowed with argument"),
        ([], "the following arguments are required: INPUT"),
    ],
)
def test_options_that_cannot_be_read_are_named(predict: Predict, arguments: list[str], said: str) -> None:
    code, _, err = predict(*([happy(), *arguments] if arguments else []))
    assert code == ExitCode.USAGE
    assert said in err


def test_a_progress_bar_is_for_terminals_and_several_files(
    predict: Predict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.wav").touch()
    names = [happy("a.wav"), "bad.wav"]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _, out, err = predict(*names, "-f", "jsonl")
    assert "file" in err
    assert "voxaffect: error: bad.wav: empty_file" in err
    assert len(out.splitlines()) == 2
    assert predict("a.wav", "-f", "jsonl")[2] == ""
    assert "it/s" not in predict(*names, "-f", "jsonl", "--quiet")[2]


def test_an_input_that_shows_a_bug_lets_the_rest_be_written(
    predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voxaffect import prediction

    open_audio = prediction.open_audio

    def surprise(audio: Any, **options: Any) -> Any:
        if audio == "b.wav":
            raise ZeroDivisionError("division by zero")
        return open_audio(audio, **options)

    monkeypatch.setattr(prediction, "open_audio", surprise)
    code, out, err = predict(happy("a.wav"), happy("b.wav"), "-f", "jsonl")
    assert code == ExitCode.BUG
    assert [json.loads(text)["label"] for text in out.splitlines()] == ["happy", None]
    assert "b.wav: bug: ZeroDivisionError: division by zero; please report it with this file" in err


# --- demo and models ---


def test_the_demo_predicts_the_clips_and_says_what_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    clips = here / "clips"
    clips.mkdir()
    happy("clips/one.wav")
    (clips / "README.md").touch()
    monkeypatch.setattr(demo, "CLIPS", clips)
    assert main(["demo"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "happy" in out.splitlines()[1]
    assert "These clips are synthetic speech: they prove that the install works" in out
    assert "Next: voxaffect predict YOUR.wav" in out
    (clips / "one.wav").unlink()
    assert main(["demo"]) == ExitCode.ARTEFACT
    assert "clips_missing: no clips in" in capsys.readouterr().err


def test_models_are_listed_the_damaged_ones_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    write_model(here / "mine.onnx", (0.0, 0.1))
    (here / "bad.onnx").write_bytes(b"no model")
    monkeypatch.setenv(FOLDER_VARIABLE, str(here))
    assert main(["models"]) == ExitCode.OK
    here_now, _ = capsys.readouterr().out.split("\nby recipe")
    rows = [row.split() for row in here_now.splitlines()]
    assert rows == [
        ["level", "1.0", "1", "member", "0.0", "MB", *LEVELS],
        ["bad", "model_damaged"],
        ["mine", "1.0", "2", "members", "0.0", "MB", *LEVELS],
    ]
    assert main(["models", "list", "level"]) == ExitCode.USAGE
    assert "bad_value: models list takes no names; voxaffect models show NAME" in capsys.readouterr().err


def test_no_models_at_all_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    monkeypatch.setattr(modelfile, "BUNDLED", here)
    assert main(["models", "list"]) == ExitCode.OK
    assert (
        capsys.readouterr().err == f"voxaffect: no models in {here}; VOXAFFECT_MODELS may name more folders\n"
    )


def test_a_model_is_shown_with_its_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "model:       level 1.0\n" in out
    assert "licence:     CC0-1.0\n" in out
    assert out.endswith("# level\n\nHears the level, nothing else.\n")
    assert main(["models", "show", "level", "--json"]) == ExitCode.OK
    data = json.loads(capsys.readouterr().out)
    assert data["labels"] == list(LEVELS)
    assert len(data["sha256"]) == 64


def test_models_are_verified_by_digest_and_by_running_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify"]) == ExitCode.OK
    captured = capsys.readouterr()
    assert captured.out.startswith(f"ok       {modelfile.BUNDLED / 'level.onnx'}  sha256 ")
    assert captured.err == ""
    Path("cut.onnx").write_bytes(model_bytes()[:-5])
    write_model(Path("nan.onnx"), divide_by_zero=True)
    assert main(["models", "verify", "level", "cut.onnx", "nan.onnx"]) == ExitCode.ARTEFACT
    captured = capsys.readouterr()
    assert [row.split()[0] for row in captured.out.splitlines()] == ["ok", "refused", "refused"]
    assert "model_damaged" in captured.out
    assert "inference_failed: the model 'level' failed: it gave numbers that are not finite" in captured.err


# --- the real thing, in a process of its own ---


def test_the_installed_command_answers_and_stays_quiet_when_its_reader_leaves() -> None:
    names = [happy(f"{i}.wav", 0.3) for i in range(3)]
    command = [
        sys.executable,
        "-m",
        "voxaffect",
        "predict",
        "-m",
        str(modelfile.BUNDLED / "level.onnx"),
        "--no-vad",
        "-f",
        "jsonl",
    ]
    done = subprocess.run([*command, *names], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert [json.loads(text)["label"] for text in done.stdout.splitlines()] == ["happy"] * 3
    reading, writing = os.pipe()
    os.close(reading)
    left = subprocess.run([*command, *names], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (left.returncode, left.stderr) == (141, "")


def test_ten_minutes_are_worked_through_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard of the shape, not of the figure: the predictor never holds more than a few blocks at a time."""
    import tracemalloc

    from voxaffect.predictor import load

    model = load()
    long = write_wav(Path("long.wav"), *[part for _ in range(60) for part in (square(0.4, 2), silence(8))])
    model.predict(long, end=10.0)

    def peak(seconds: float) -> int:
        tracemalloc.start()
        model.predict(long, end=seconds)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    short = peak(200.0)  # with as many windows as go through the model together
    assert peak(600.0) < short + 2_000_000  # the segments themselves; the audio would be 38 MB
