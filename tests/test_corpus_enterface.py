"""eNTERFACE'05: folders before names, and recordings that hold five sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from audio_files import peak_hz, tone, with_ffmpeg
from corpus_trees import BUILDERS, write_audio, write_video
from voxaffect import corpora
from voxaffect.corpora import enterface
from voxaffect.corpora.check import check
from voxaffect.corpora.enterface import Place, place_of
from voxaffect.errors import CorpusError
from voxaffect.examples import read_utterance


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("subject 1/anger/sentence 1/s1_an_1.avi", Place(1, "an", 1)),
        ("subject 3/surprise/sentence 2/s_3_su_2.avi", Place(3, "su", 2)),
        ("subject 3/surprise/sentence 2/clip.avi", Place(3, "su", 2)),
        ("Subject_44/HAPPINESS/Sentence-5/x.AVI", Place(44, "ha", 5)),
        ("subject 23/sadness/s23_sa_4.avi", Place(23, "sa", 4)),
        ("subject 9/fear/sentence 3/s8_di_1.avi", Place(9, "fe", 3)),  # folders come before a wrong name
        ("S12_DI_5.avi", Place(12, "di", 5)),
        ("subject 6/fear/s6_fe.avi", Place(6, "fe", None)),
        ("subject 6/fear/video.avi", Place(6, "fe", None)),
        ("subject 6/notes.avi", None),
        ("other/x.avi", None),
    ],
)
def test_folders_tell_what_a_recording_is_of_and_names_what_they_do_not(
    path: str, place: Place | None
) -> None:
    assert place_of(Path(path)) == place


def test_utterances_carry_the_right_names(tmp_path: Path) -> None:
    BUILDERS["enterface"](tmp_path)
    table = {u.id: u for u in corpora.read("enterface", tmp_path)}
    assert list(table) == [
        "enterface/s1_an_1",
        "enterface/s1_ha_5",
        "enterface/s23_sa_4",
        "enterface/s3_su_2",
    ]
    malformed = table["enterface/s3_su_2"]
    assert malformed.path.name == "s_3_su_2.avi"
    assert (malformed.speaker, malformed.label, malformed.text, malformed.gender) == (
        "enterface/03",
        "surprised",
        "sentence 2 of surprise",
        None,
    )


def test_the_database_s_own_folder_may_be_given_and_may_have_lost_its_name(tmp_path: Path) -> None:
    built = BUILDERS["enterface"](tmp_path)
    assert len(corpora.read("enterface", tmp_path / "enterface database")) == built.n_utterances
    (tmp_path / "enterface database").rename(tmp_path / "data")
    assert len(corpora.read("enterface", tmp_path)) == built.n_utterances


def test_recordings_of_all_sentences_are_left_out_and_counted(tmp_path: Path) -> None:
    BUILDERS["enterface"](tmp_path)
    report = check("enterface", tmp_path)
    assert report.sound()
    assert report.left_out == {"all sentences of an emotion in one recording": 1}
    assert report.formats == {"16000 Hz, 1 channel": 4}


def test_sound_comes_out_of_the_video(tmp_path: Path) -> None:
    path = tmp_path / "subject 2" / "anger" / "sentence 1" / "s2_an_1.avi"
    path.parent.mkdir(parents=True)
    path.write_bytes(with_ffmpeg("avi", "pcm_s16le", 48_000, tone(48_000, 0.5), video=True))
    (utterance,) = corpora.read("enterface", tmp_path)
    samples = read_utterance(utterance)
    assert len(samples) == 8_000 and peak_hz(samples) == pytest.approx(440, abs=2)


def test_a_sound_file_beside_its_video_takes_its_place(tmp_path: Path) -> None:
    BUILDERS["enterface"](tmp_path)
    video = tmp_path / "enterface database" / "subject 1" / "anger" / "sentence 1" / "s1_an_1.avi"
    sound = write_audio(video.with_suffix(".wav"))
    table = corpora.read("enterface", tmp_path)
    assert [u.path for u in table if u.id == "enterface/s1_an_1"] == [sound]
    report = check("enterface", tmp_path)
    assert report.left_out["video whose sound lies beside it"] == 1 and report.extra == ()


def test_two_recordings_of_one_sentence_are_refused(tmp_path: Path) -> None:
    BUILDERS["enterface"](tmp_path)
    write_video(tmp_path / "enterface database" / "subject 1" / "anger" / "sentence 1" / "again.avi")
    with pytest.raises(
        CorpusError, match=r"duplicate_id: 1 utterance ids stand twice, the first is '.*s1_an_1'"
    ):
        corpora.read("enterface", tmp_path)


def test_a_video_without_sound_is_named(tmp_path: Path) -> None:
    BUILDERS["enterface"](tmp_path)
    path = tmp_path / "enterface database" / "subject 23" / "sadness" / "s23_sa_4.avi"
    path.write_bytes(with_ffmpeg("avi", None, 16_000, video=True))
    report = check("enterface", tmp_path)
    assert report.unreadable == ("s23_sa_4.avi has video only",)


def test_the_study_s_counts_are_those_of_43_subjects() -> None:
    expected = enterface.INFO.expected
    assert expected["happy"] == 43 * 5 - 3
    assert {n for label, n in expected.items() if label != "happy"} == {43 * 5}
    assert np.sum(list(expected.values())) == 1287
