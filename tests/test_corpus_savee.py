"""SAVEE: the original folders and the flat copy, two-letter emotions, video."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_trees import write_audio, write_text
from corpus_trees_open import OPEN_BUILDERS
from voxaffect import corpora
from voxaffect.corpora import savee
from voxaffect.corpora.check import check


@pytest.mark.parametrize("name", ["AudioData/JE/su07.wav", "JE/su07.wav", "ALL/JE_su07.wav", "JE_su07.wav"])
def test_the_speaker_is_the_folder_or_the_prefix(name: str, tmp_path: Path) -> None:
    write_audio(tmp_path / name)
    (utterance,) = corpora.read("savee", tmp_path)
    assert utterance.id == "savee/JE_su07"
    assert (utterance.speaker, utterance.gender, utterance.label) == ("savee/JE", "male", "surprised")
    assert utterance.attributes == {"sentence": "su07"}


def test_a_file_whose_speaker_nobody_tells_is_not_guessed_at(tmp_path: Path) -> None:
    OPEN_BUILDERS["savee"](tmp_path)
    write_audio(tmp_path / "AudioData" / "a05.wav")
    report = check("savee", tmp_path)
    assert report.extra == (str(Path("AudioData") / "a05.wav"),)
    assert len(report.table) == 4


def test_s_alone_and_sentence_31_are_no_names() -> None:
    assert [savee.INFO.matches(stem) for stem in ("sa01", "s01", "n30", "n31", "a00", "XX_a01")] == [
        True,
        False,
        True,
        False,
        False,
        False,
    ]


def test_video_and_second_copies_are_left_out_and_counted(tmp_path: Path) -> None:
    OPEN_BUILDERS["savee"](tmp_path)
    write_audio(tmp_path / "AudioData" / "AudioData" / "DC" / "a01.wav")
    write_text(tmp_path / "AudioVisualClip" / "DC" / "a1.avi", "not opened")
    report = check("savee", tmp_path)
    assert report.sound()
    assert report.left_out == {"a second copy of a clip": 1, "video": 1}


def test_the_counts_are_those_of_four_speakers() -> None:
    assert savee.INFO.n_utterances == 4 * (6 * 15 + 30) == 480
