"""JL-Corpus: primary emotions by their names, secondary ones as other, texts beside the audio."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from corpus_trees import write_audio, write_text
from corpus_trees_open import OPEN_BUILDERS
from voxaffect import corpora
from voxaffect.corpora import jlcorpus
from voxaffect.corpora.check import check


def test_name_and_text_become_fields(tmp_path: Path) -> None:
    OPEN_BUILDERS["jlcorpus"](tmp_path)
    utterance = corpora.read("jlcorpus", tmp_path)[0]
    assert utterance.id == "jlcorpus/female1_angry_10a_1"
    assert (utterance.speaker, utterance.gender, utterance.label) == ("jlcorpus/female1", "female", "angry")
    assert (utterance.text, utterance.take) == ("Linda asked for more darts.", "a1")
    assert utterance.attributes == {"emotion": "angry", "sentence": "10"}


@pytest.mark.parametrize("emotion", ["anxious", "apologetic", "assertive", "concerned", "encouraging"])
def test_secondary_emotions_are_other_and_keep_their_name(emotion: str, tmp_path: Path) -> None:
    write_audio(tmp_path / f"male1_{emotion}_15b_2.wav")
    (utterance,) = corpora.read("jlcorpus", tmp_path)
    assert (utterance.label, utterance.attributes["emotion"]) == ("other", emotion)
    assert (utterance.gender, utterance.text) == ("male", None)


def test_an_empty_text_is_none(tmp_path: Path) -> None:
    write_audio(tmp_path / "male1_sad_1a_1.wav")
    write_text(tmp_path / "male1_sad_1a_1.txt", " \n")
    assert [u.text for u in corpora.read("jlcorpus", tmp_path)] == [None]


def test_second_copies_are_left_out_and_counted(tmp_path: Path) -> None:
    built = OPEN_BUILDERS["jlcorpus"](tmp_path / "one")
    shutil.copytree(built.root, tmp_path / "one" / "two" / "three")
    report = check("jlcorpus", tmp_path)
    assert report.sound() and report.left_out == {"a second copy of a clip": 3}


def test_the_counts_are_those_of_four_speakers() -> None:
    assert jlcorpus.INFO.n_utterances == 4 * 10 * 15 * 4 == 2400
    assert jlcorpus.INFO.expected["other"] == 1200
