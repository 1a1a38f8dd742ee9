"""docs/predict.md leaves out no code, no column, no option and no field that prediction can give."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from voxaffect import formats
from voxaffect.cli import predict
from voxaffect.errors import ExitCode
from voxaffect.formats import csv_
from voxaffect.result import REASONS, SEGMENT_FIELDS, SOURCE_FIELDS, SUMMARY_FIELDS

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "predict.md").read_text(encoding="utf-8")
MODULES = [
    "files",
    "audio",
    "audio_input",
    "decoders",
    "wav",
    "ffmpeg",
    "mp4",
    "truncation",
    "listening",
    "recogniser",
    "predictor",
    "prediction",
    "enrolling",
    "roles",
    "speech_detector",
    "pcm",
    "stream",
    "result",
    "modelfile",
    "inputs",
    "answered",
    "outputs",
    "pictures",
    "formats/__init__",
    "cli/__init__",
    "cli/predict",
    "cli/predict_options",
    "cli/demo",
]
CODE = re.compile(
    r'(?:Error|Notice|Failure|[._]error|refused|_missing)\(\s*(?:\w+,\s+)?"([a-z]+(?:_[a-z]+)*)"\s*[,)]'
)


def codes_in(source: str) -> set[str]:
    """The codes of the errors and warnings that `source` makes."""
    return set(CODE.findall(source))


def test_every_code_is_explained() -> None:
    given = set().union(
        *(codes_in((ROOT / "src/voxaffect" / f"{m}.py").read_text(encoding="utf-8")) for m in MODULES)
    )
    assert {"empty_file", "no_audio_files", "narrowband", "disk_full", "bug"} <= given
    assert len(given) > 30
    assert sorted(code for code in given if f"`{code}`" not in TEXT) == []


def test_the_codes_are_found_wherever_they_stand() -> None:
    assert codes_in('raise AudioError(\n    "one_two", "x")\nself._error("three_four")') == {
        "one_two",
        "three_four",
    }
    assert codes_in('_missing(name, "five_six", "x")\nNotice("tie", y)') == {"five_six", "tie"}


def test_every_exit_code_is_explained() -> None:
    section = TEXT.split("## Exit codes")[1].split("##")[0]
    assert [code.name for code in ExitCode if not re.search(rf"\b{int(code)}\b", section)] == []


def test_every_format_field_and_reason_is_there() -> None:
    assert [name for name in formats.names() if f"**{name}**" not in TEXT] == []
    assert ",".join(csv_.COLUMNS) in TEXT
    fields = {*SEGMENT_FIELDS, *SUMMARY_FIELDS, *SOURCE_FIELDS, *REASONS}
    assert sorted(field for field in fields if f"`{field}`" not in TEXT) == []


def test_every_option_that_changes_the_answer_is_there() -> None:
    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    options = {action.option_strings[-1] for action in parser._actions if action.option_strings}
    left_out = {option for option in options if option not in TEXT}
    assert left_out <= {"--help", "-m", "--offline"}
