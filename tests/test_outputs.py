"""Names of output files: one for each input and format, always the same, never twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voxaffect.errors import UsageError
from voxaffect.inputs import InputFile
from voxaffect.outputs import plan_outputs, refuse_existing


def names(*relative: str, formats: tuple[str, ...] = ("json",)) -> list[str]:
    files = [InputFile(name, name) for name in relative]
    plan = plan_outputs("out", files, formats)
    return [path.relative_to("out").as_posix() for group in plan.paths for path in group]


def test_an_output_is_called_like_its_input() -> None:
    assert names("call.wav", formats=("json", "csv")) == ["call.json", "call.csv"]
    assert names("sub/call.wav", "call.wav") == ["sub/call.json", "call.json"]
    assert names("a.b.wav", "-") == ["a.b.json", "-.json"]


def test_names_that_meet_keep_their_extension_or_get_a_number() -> None:
    assert names("call.wav", "call.mp3") == ["call.wav.json", "call.mp3.json"]
    assert names("call.wav", "CALL.wav") == ["call.wav.json", "CALL.wav-2.json"]
    assert names("call.wav", "call.wav", "call.wav") == [
        "call.wav.json",
        "call.wav-2.json",
        "call.wav-3.json",
    ]
    assert names("\u00e9.wav", "e\u0301.wav") == ["\u00e9.wav.json", "e\u0301.wav-2.json"]  # é in two ways
    assert names("errors.wav", formats=("jsonl",)) == ["errors.wav.jsonl"]
    assert names(".voxaffect-answers.wav", formats=("jsonl",)) == [".voxaffect-answers.wav.jsonl"]


def test_an_extension_of_two_parts_meets_no_other_file() -> None:
    both = ("table", "audacity")
    found = names("call.wav", "call.labels.wav", formats=both)
    assert found == ["call.txt", "call.labels.txt", "call.labels.wav.txt", "call.labels.wav.labels.txt"]
    found = names("call.labels.wav", "CALL.wav", formats=both)
    assert found == ["call.labels.txt", "call.labels.labels.txt", "CALL.wav.txt", "CALL.wav.labels.txt"]
    assert names("call.wav", "call.labels.wav") == [
        "call.json",
        "call.labels.wav.json",
    ]  # whatever the formats
    assert names("call.wav", "call.json.wav") == ["call.json", "call.json.json"]  # these do not meet


def test_a_name_that_is_too_long_is_cut_and_marked() -> None:
    long = "ü" * 125
    (one, two) = names(long + "a.wav", long + "b.wav")
    assert one != two
    assert max(len(os.fsencode(name)) for name in (one, two)) < 215


def test_what_is_there_is_never_written_over_unasked(tmp_path: Path) -> None:
    plan = plan_outputs(tmp_path, [InputFile(name, name) for name in ("a.wav", "b.wav")], ["json"])
    refuse_existing(plan)
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UsageError) as caught:
        refuse_existing(plan)
    assert str(caught.value) == (
        f"output_exists: {tmp_path / 'a.json'} is there already and 1 more; "
        "use --resume to keep what is there and do the rest, or --overwrite"
    )
    assert [plan.done(i) for i in range(2)] == [True, True]


def test_a_folder_without_a_name_is_refused() -> None:
    with pytest.raises(UsageError, match="not_a_folder: -o is an empty name; expected a folder, there or to"):
        plan_outputs("", [InputFile("a.wav", "a.wav")], ["json"])


def test_an_unknown_format_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match="unknown format 'yaml'"):
        names("a.wav", formats=("yaml",))
