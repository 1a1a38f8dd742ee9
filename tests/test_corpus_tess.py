"""TESS: two speakers, whatever the files and folders are called."""

from __future__ import annotations

import shutil
from pathlib import Path

from corpus_trees import write_audio
from corpus_trees_open import OPEN_BUILDERS
from voxaffect import corpora
from voxaffect.corpora import tess
from voxaffect.corpora.check import check


def test_the_name_becomes_fields(tmp_path: Path) -> None:
    write_audio(tmp_path / "YAF_pleasant_surprised" / "YAF_youth_ps.wav")
    (utterance,) = corpora.read("tess", tmp_path)
    assert utterance.id == "tess/YAF_youth_ps"
    assert (utterance.speaker, utterance.gender, utterance.label) == ("tess/YAF", "female", "surprised")
    assert utterance.text == "Say the word youth."
    assert utterance.attributes == {"text_code": "youth", "age": 26.0}


def test_the_misnamed_file_makes_no_third_speaker(tmp_path: Path) -> None:
    write_audio(tmp_path / "OA_bite_neutral.wav")
    (utterance,) = corpora.read("tess", tmp_path)
    assert (utterance.id, utterance.speaker) == ("tess/OAF_bite_neutral", "tess/OAF")


def test_the_tree_inside_the_tree_is_left_out_and_counted(tmp_path: Path) -> None:
    OPEN_BUILDERS["tess"](tmp_path)
    shutil.copytree(tmp_path / "OAF_angry", tmp_path / "TESS Toronto emotional speech set data" / "OAF_angry")
    report = check("tess", tmp_path)
    assert report.sound()
    assert report.table[0].path == tmp_path / "OAF_angry" / "OAF_back_angry.wav"
    assert report.left_out == {"a second copy of a clip": 1}


def test_the_spelling_of_names_does_not_matter(tmp_path: Path) -> None:
    write_audio(tmp_path / "oaf_back_Fear.wav")
    (utterance,) = corpora.read("tess", tmp_path)
    assert (utterance.speaker, utterance.label) == ("tess/OAF", "fearful")


def test_the_counts_are_those_of_two_speakers_and_200_words() -> None:
    assert tess.INFO.n_utterances == 2 * 200 * len(tess.LABELS) == 2800
