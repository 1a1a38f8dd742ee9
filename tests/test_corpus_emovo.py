"""EMOVO: its three codes."""

from __future__ import annotations

import shutil
from pathlib import Path

from corpus_trees import write_audio
from corpus_trees_open import OPEN_BUILDERS
from voxaffect import corpora
from voxaffect.corpora import emovo
from voxaffect.corpora.check import check


def test_the_codes_become_fields(tmp_path: Path) -> None:
    write_audio(tmp_path / "m2" / "pau-m2-d1.wav")
    (utterance,) = corpora.read("emovo", tmp_path)
    assert utterance.id == "emovo/pau-m2-d1"
    assert (utterance.speaker, utterance.gender, utterance.label) == ("emovo/m2", "male", "fearful")
    assert (utterance.text, utterance.language) == ("Sabato sera cosa farà?", "it")
    assert utterance.attributes == {"text_code": "d1"}


def test_each_emotion_has_its_word(tmp_path: Path) -> None:
    for code in ("dis", "gio", "neu", "pau", "rab", "sor", "tri"):
        write_audio(tmp_path / f"{code}-f1-b1.wav")
    labels = {u.id.split("/")[1][:3]: u.label for u in corpora.read("emovo", tmp_path)}
    assert labels == {
        "dis": "disgust",
        "gio": "happy",
        "neu": "neutral",
        "pau": "fearful",
        "rab": "angry",
        "sor": "surprised",
        "tri": "sad",
    }


def test_second_copies_are_left_out_and_counted(tmp_path: Path) -> None:
    OPEN_BUILDERS["emovo"](tmp_path)
    shutil.copytree(tmp_path / "EMOVO" / "f1", tmp_path / "EMOVO" / "copy" / "f1")
    report = check("emovo", tmp_path)
    assert report.sound() and report.left_out == {"a second copy of a clip": 2}


def test_the_counts_are_those_of_six_speakers_and_fourteen_sentences() -> None:
    assert len(emovo.TEXTS) == 14
    assert emovo.INFO.n_utterances == 6 * 14 * 7 == 588
