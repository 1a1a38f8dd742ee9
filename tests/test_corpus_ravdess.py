"""RAVDESS: its seven codes, its layouts, and what of the release is no audio-only speech."""

from __future__ import annotations

import shutil
from pathlib import Path

from corpus_trees import BUILDERS, write_audio, write_text
from voxaffect import corpora
from voxaffect.corpora.check import check


def test_the_codes_become_fields(tmp_path: Path) -> None:
    write_audio(tmp_path / "Actor_12" / "03-01-06-02-01-02-12.wav")
    (utterance,) = corpora.read("ravdess", tmp_path)
    assert utterance.id == "ravdess/03-01-06-02-01-02-12"
    assert (utterance.speaker, utterance.gender, utterance.label) == ("ravdess/12", "female", "fearful")
    assert (utterance.text, utterance.take) == ("Kids are talking by the door", "2")
    assert utterance.attributes == {"intensity": "strong"}


def test_the_folder_of_the_archive_may_stand_between(tmp_path: Path) -> None:
    BUILDERS["ravdess"](tmp_path / "Audio_Speech_Actors_01-24")
    assert len(corpora.read("ravdess", tmp_path)) == 4


def test_files_may_lie_in_one_folder(tmp_path: Path) -> None:
    write_audio(tmp_path / "03-01-06-02-01-02-12.wav")
    assert len(corpora.read("ravdess", tmp_path)) == 1


def test_song_and_video_are_left_out_and_counted(tmp_path: Path) -> None:
    BUILDERS["ravdess"](tmp_path)
    write_audio(tmp_path / "Actor_01" / "03-02-01-01-01-01-01.wav")
    write_audio(tmp_path / "Actor_24" / "03-02-01-01-01-01-24.wav")
    write_text(tmp_path / "Actor_01" / "01-01-01-01-01-01-01.mp4", "not opened")
    write_text(tmp_path / "Actor_01" / "02-01-01-01-01-01-01.mp4", "not opened")
    report = check("ravdess", tmp_path)
    assert len(report.table) == 4 and report.sound()
    assert report.left_out == {"song, audio only": 2, "speech, audio and video": 1, "speech, video only": 1}
    assert "left out: 2 files (song, audio only)" in report.text()


def test_a_second_copy_inside_the_first_is_left_out_and_counted(tmp_path: Path) -> None:
    BUILDERS["ravdess"](tmp_path)
    shutil.copytree(tmp_path / "Actor_01", tmp_path / "audio_speech_actors_01-24" / "Actor_01")
    report = check("ravdess", tmp_path)
    assert len(report.table) == 4 and report.sound()
    assert report.left_out == {"outside the Actor folders that were read (a second copy of the release?)": 2}


def test_other_names_are_extra_files(tmp_path: Path) -> None:
    BUILDERS["ravdess"](tmp_path)
    write_audio(tmp_path / "Actor_01" / "03-01-09-01-01-01-01.wav")
    write_audio(tmp_path / "Actor_01" / "09-01-01-01-01-01-01.wav")
    assert [Path(name).stem for name in check("ravdess", tmp_path).extra] == [
        "03-01-09-01-01-01-01",
        "09-01-01-01-01-01-01",
    ]
