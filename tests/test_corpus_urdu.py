"""URDU: names whose digits vary, and speakers that give the class away."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from corpus_trees import write_audio
from corpus_trees_open import OPEN_BUILDERS
from voxaffect import corpora
from voxaffect.corpora import urdu
from voxaffect.corpora.check import check


@pytest.mark.parametrize(
    ("name", "speaker", "gender", "label"),
    [
        ("SM1_F1_A01", "urdu/SM1", "male", "angry"),
        ("SM4_F48_A0100", "urdu/SM4", "male", "angry"),
        ("SF10_F2_S02", "urdu/SF10", "female", "sad"),
        ("SM20_F10_N014", "urdu/SM20", "male", "neutral"),
    ],
)
def test_the_name_becomes_fields(name: str, speaker: str, gender: str, label: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "any" / f"{name}.wav")
    (utterance,) = corpora.read("urdu", tmp_path)
    assert utterance.id == f"urdu/{name}"
    assert (utterance.speaker, utterance.gender, utterance.label) == (speaker, gender, label)


def test_second_copies_are_left_out_and_counted(tmp_path: Path) -> None:
    OPEN_BUILDERS["urdu"](tmp_path)
    shutil.copytree(tmp_path / "Happy", tmp_path / "copy" / "Happy")
    report = check("urdu", tmp_path)
    assert report.sound() and report.left_out == {"a second copy of a clip": 1}


def test_the_whole_repository_is_complete_with_its_29_codes(tmp_path: Path) -> None:
    """Speakers and numbers as its file listing has them."""
    listing = {
        "A": {"SM1": 22, "SM2": 28, "SM3": 2, "SM4": 48},
        "H": {"SF1": 12, "SF2": 2, "SF3": 2, "SF4": 4, "SF5": 4, "SF6": 14, "SF7": 6, "SF8": 2}
        | {"SM17": 2, "SM18": 2, "SM19": 2, "SM3": 2, "SM5": 8, "SM6": 10, "SM7": 28},
        "N": {"SF9": 4, "SM20": 10, "SM21": 4, "SM22": 2, "SM3": 8, "SM5": 72},
        "S": {"SF10": 2, "SF11": 4, "SM23": 6, "SM24": 38, "SM25": 40, "SM26": 2, "SM27": 4, "SM6": 4},
    }
    for letter, speakers in listing.items():
        number = 0
        for speaker, n in speakers.items():
            for i in range(n):
                number += 1
                path = tmp_path / urdu.LABELS[letter] / f"{speaker}_F{i + 1}_{letter}0{number}.wav"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(b"x")
    table = corpora.read("urdu", tmp_path)
    assert table.counts(lambda u: u.label) == dict(urdu.INFO.expected)
    assert len(table.speakers) == urdu.INFO.n_speakers == 29
    one_class = [s for s in table.speakers if len({u.label for u in table if u.speaker == s}) == 1]
    assert len(one_class) == 26
