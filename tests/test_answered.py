"""The record of answers: an answer passes for what it is, whatever a kill left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from voxaffect.answered import FILE_NAME, Answered
from voxaffect.errors import UsageError

WAY, OTHER = {"model": "a", "hop": 1.0}, {"model": "a", "hop": 0.5}


class Killed(BaseException):
    """Stands for a kill at this very point."""


def answer(folder: Path, way: dict[str, object], name: str = "a.json", *, killed: bool = False) -> Path:
    """The file of an answer given in that `way`; `killed` before it was written."""
    path = folder / name
    with Answered(folder, way).answering([path]):
        if killed:
            raise Killed
        path.write_text("answer")
    return path


def test_an_answer_of_the_same_way_is_kept_and_one_of_another_refused(tmp_path: Path) -> None:
    path = answer(tmp_path, WAY)
    Answered(tmp_path, WAY).check([[path]])
    with pytest.raises(UsageError, match=r"1 of the 1 answers in .* were given with another hop") as caught:
        Answered(tmp_path, OTHER).check([[path]])
    assert caught.value.code == "other_answers"
    assert caught.value.hint and caught.value.hint.startswith("use --overwrite to answer anew")


def test_the_last_way_counts(tmp_path: Path) -> None:
    path = answer(tmp_path, WAY)
    answer(tmp_path, OTHER)
    Answered(tmp_path, OTHER).check([[path]])
    with pytest.raises(UsageError, match="other_answers"):
        Answered(tmp_path, WAY).check([[path]])


def test_an_old_answer_that_was_to_be_replaced_does_not_pass_for_the_new_one(tmp_path: Path) -> None:
    path = answer(tmp_path, WAY)
    with pytest.raises(Killed):
        answer(tmp_path, OTHER, killed=True)
    for way in (WAY, OTHER):
        with pytest.raises(UsageError, match="a model and options that nothing tells"):
            Answered(tmp_path, way).check([[path]])


def test_a_line_that_a_kill_cut_off_spoils_no_other(tmp_path: Path) -> None:
    first = answer(tmp_path, WAY, "a.json")
    record = tmp_path / FILE_NAME
    whole = record.read_bytes()
    for end in range(len(whole)):
        record.write_bytes(whole[:end])
        second = answer(tmp_path, WAY, "b.json")
        second.unlink()
        Answered(tmp_path, WAY).check([[second]])
    Answered(tmp_path, WAY).check([])
    record.write_bytes(whole + b"\n[1]\n3\n{}\n\xff")
    Answered(tmp_path, WAY).check([[first]])


def test_names_that_are_no_text_are_told_apart(tmp_path: Path) -> None:
    odd = answer(tmp_path, WAY, "not-utf8-\udcff\n.json")
    Answered(tmp_path, WAY).check([[odd]])
    with pytest.raises(UsageError, match="nothing tells"):
        Answered(tmp_path, WAY).check([[tmp_path / "not-utf8-\udcfe\n.json"]])
