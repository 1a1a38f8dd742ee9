"""`voxaffect doctor` finds what is absent or broken, says what to do, and exits by it; the core is enough for it."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fake_models import write_model
from voxaffect import doctor
from voxaffect.cli import main
from voxaffect.doctor import FAILED, NOTE, OK, Finding, Timing
from voxaffect.errors import ExitCode


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "level.onnx")


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_all_is_well_here(model: Path) -> None:
    findings = by_name(list(doctor.examine(str(model), "cpu")))
    for name in (
        "numpy",
        "onnxruntime",
        "av",
        "reads mp3",
        "reads m4a",
        "codecs",
        "speech detector",
        "devices",
    ):
        assert findings[name].state == OK, findings[name]
    assert findings["model"].state == OK
    assert "level 1.0, angry happy neutral sad" in findings["model"].message
    assert "libavcodec" in findings["av"].message


def test_the_command_prints_it_and_json_says_the_same(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "-m", str(model)]) == ExitCode.OK
    text = capsys.readouterr().out
    assert "ok      model" in text
    assert "live streams" in text
    assert main(["doctor", "-m", str(model), "--json"]) == ExitCode.OK
    data = json.loads(capsys.readouterr().out)
    assert [f["name"] for f in data["findings"]] == [
        line.split(maxsplit=1)[1][:20].strip() for line in text.splitlines()[:-2]
    ]
    assert data["timing"]["streams"] > 0
    assert data["timing"]["model_ms"] > 0


def test_a_model_that_is_damaged_is_5(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    assert main(["doctor", "-m", str(model)]) == ExitCode.ARTEFACT
    said = capsys.readouterr()
    assert "failed  model" in said.out
    assert "live streams" not in said.out
    assert said.err.startswith("voxaffect: 1 of ")
    assert main(["doctor", "-m", "nowhere", "--json", "--no-timing"]) == ExitCode.ARTEFACT
    assert json.loads(capsys.readouterr().out)["timing"] is None


def test_a_model_that_gives_no_numbers_is_found(tmp_path: Path) -> None:
    broken = write_model(tmp_path / "nan.onnx", divide_by_zero=True)
    assert by_name(list(doctor.examine(str(broken), "cpu")))["model"].state == FAILED


def test_a_core_package_that_is_broken_is_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.import_module

    def broken(name: str, *rest: Any) -> ModuleType:
        if name == "soxr":
            raise ImportError("libsoxr.so: cannot open\nshared object")
        return real(name, *rest)

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    assert main(["doctor", "--no-timing"]) == ExitCode.NOTHING_USABLE
    out = capsys.readouterr().out
    assert (
        "failed  soxr                 cannot be imported (libsoxr.so: cannot open); install it again" in out
    )
    assert "model" not in out  # what needs it is not tried


def test_an_extra_that_is_absent_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        doctor.importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "uvicorn" else real(name, *rest),
    )
    (finding,) = [f for f in doctor.examine("nowhere", "cpu") if f.name == "extra serve"]
    assert finding.state == NOTE
    assert finding.message == "not installed: uvicorn"
    assert finding.hint == 'if you want it: pip install "voxaffect[serve]"'


def test_a_codec_that_is_absent_and_a_clip_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Path
) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.flac").write_bytes(b"fLaC" + bytes(100))
    monkeypatch.setattr(doctor, "CLIPS", tmp_path / "clips")
    monkeypatch.setattr(doctor, "DECODERS", ("flac", "no_such_codec"))
    findings = by_name(list(doctor.examine(str(model), "cpu")))
    assert findings["reads flac"].state == FAILED
    assert findings["codecs"].state == NOTE
    assert findings["codecs"].message == "this FFmpeg lacks no_such_codec"


def test_a_timing_is_worth_what_it_says() -> None:
    timing = Timing(engine_ms=1.0, model_ms=3.0, cores=2)
    assert timing.times_real_time == 250
    assert timing.streams == 175  # what is not timed here is more than half of the work
    assert Timing(engine_ms=1.0, model_ms=3.0, cores=64).streams == 350  # one event loop holds no more


def test_neither_torch_nor_the_server_is_loaded(model: Path) -> None:
    code = (
        f"import sys; from voxaffect.cli import main; main(['doctor', '-m', {str(model)!r}, '--no-timing', '--json']);"
        "print(sorted({'torch', 'uvicorn', 'starlette', 'transformers'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
