"""CREMA-D: names, demographics, and what of the release is not read."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_trees import write_audio, write_text
from corpus_trees_open import DEMOGRAPHICS, OPEN_BUILDERS
from voxaffect import corpora
from voxaffect.corpora import cremad
from voxaffect.corpora.check import check
from voxaffect.errors import CorpusError


def test_name_and_demographics_become_fields(tmp_path: Path) -> None:
    OPEN_BUILDERS["cremad"](tmp_path)
    utterance = corpora.read("cremad", tmp_path)[1]
    assert utterance.id == "cremad/1001_IEO_FEA_HI"
    assert (utterance.speaker, utterance.gender, utterance.label) == ("cremad/1001", "male", "fearful")
    assert utterance.text == "It's eleven o'clock."
    assert utterance.attributes == {
        "text_code": "IEO",
        "level": "high",
        "age": 51.0,
        "race": "Caucasian",
        "ethnicity": "Not Hispanic",
    }


def test_without_the_table_of_actors_there_is_no_gender(tmp_path: Path) -> None:
    write_audio(tmp_path / "1002_TAI_SAD_XX.wav")
    (utterance,) = corpora.read("cremad", tmp_path)
    assert utterance.gender is None
    assert utterance.attributes == {"text_code": "TAI", "level": "unspecified"}


def test_the_silent_file_is_left_out_and_counted(tmp_path: Path) -> None:
    OPEN_BUILDERS["cremad"](tmp_path)
    write_audio(tmp_path / "AudioWAV" / "1076_MTI_SAD_XX.wav")
    report = check("cremad", tmp_path)
    assert len(report.table) == 3 and report.sound()
    assert report.left_out == {"mp3 that the raters heard": 3, "silent in the release": 1}


def test_the_misnamed_file_of_older_copies_gets_its_right_id(tmp_path: Path) -> None:
    write_audio(tmp_path / "AudioWAV" / "1040_ITH_SAD_X.wav")
    assert corpora.read("cremad", tmp_path).ids == ("cremad/1040_ITH_SAD_XX",)


def test_a_clip_in_two_formats_is_read_once_as_wav(tmp_path: Path) -> None:
    for suffix in (".flac", ".wav"):
        write_audio(tmp_path / f"1002_TAI_SAD_XX{suffix}")
    report = check("cremad", tmp_path)
    assert [u.path.suffix for u in report.table] == [".wav"]
    assert report.left_out == {"a second copy of a clip": 1}


def test_a_pointer_in_place_of_audio_is_named_with_the_command_that_helps(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 72862\n"
    write_text(tmp_path / "AudioWAV" / "1001_DFA_ANG_XX.wav", pointer)
    (reason,) = check("cremad", tmp_path).unreadable
    assert reason == "1001_DFA_ANG_XX.wav is not audio (it is a Git LFS pointer)"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"Male"',
            '"M"',
            "bad_row: VideoDemographics.csv line 2: sex is 'M'; expected 'Female' or 'Male'",
        ),
        (",51,", ",old,", "bad_row: VideoDemographics.csv line 2: age is 'old'; expected whole years"),
        ('"Sex"', '"Gender"', "missing_column: VideoDemographics.csv line 1: no column 'sex'"),
    ],
)
def test_what_is_wrong_with_the_actors_is_named_with_its_line(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    OPEN_BUILDERS["cremad"](tmp_path)
    write_text(tmp_path / "VideoDemographics.csv", DEMOGRAPHICS.replace(old, new, 1))
    with pytest.raises(CorpusError) as caught:
        corpora.read("cremad", tmp_path)
    assert str(caught.value).startswith(message)


def test_the_counts_are_those_of_91_actors_less_the_silent_file() -> None:
    """The release has 7442 files: 1271 of each emotion, 1087 of neutral."""
    assert cremad.INFO.n_utterances == 5 * 1271 + 1087 - 1 == 7441
    assert [cremad.INFO.matches(f"{actor}_DFA_ANG_XX") for actor in (1000, 1001, 1091, 1092)] == [
        False,
        True,
        True,
        False,
    ]
