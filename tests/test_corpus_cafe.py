"""CaFE: four fields or three, wav or aiff, whatever became of the accents in its folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_trees import write_audio
from corpus_trees_open import OPEN_BUILDERS
from voxaffect import corpora
from voxaffect.corpora import cafe
from voxaffect.corpora.check import check


def test_the_codes_become_fields(tmp_path: Path) -> None:
    write_audio(tmp_path / "Col+¿re" / "Fort" / "08-C-2-4.wav")
    (utterance,) = corpora.read("cafe", tmp_path)
    assert utterance.id == "cafe/08-C-2-4"
    assert (utterance.speaker, utterance.gender, utterance.label) == ("cafe/08", "female", "angry")
    assert (utterance.text, utterance.language) == ("Quatre vieilles truies éléphantesques.", "fr")
    assert utterance.attributes == {"text_code": "4", "age": 25.0, "intensity": "high"}


@pytest.mark.parametrize("name", ["03-N-1", "03-N-1-1"])
def test_neutral_has_no_intensity_in_either_spelling(name: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "Neutre" / f"{name}.wav")
    (utterance,) = corpora.read("cafe", tmp_path)
    assert (utterance.id, utterance.label, utterance.gender) == ("cafe/03-N-1", "neutral", "male")
    assert "intensity" not in utterance.attributes


def test_aiff_is_read_and_checked_as_it_is(tmp_path: Path) -> None:
    write_audio(tmp_path / "CaFE_192k_1" / "Joie" / "Faible" / "06-J-1-2.aiff", sample_rate=192_000)
    report = check("cafe", tmp_path)
    assert report.sound() and report.formats == {"192000 Hz, 1 channel": 1}


def test_of_both_copies_the_wav_is_read_and_the_other_counted(tmp_path: Path) -> None:
    write_audio(tmp_path / "CaFE_192k_1" / "Joie" / "06-J-1-2.aiff")
    write_audio(tmp_path / "CaFE_48k" / "deeper" / "Joie" / "06-J-1-2.wav")
    report = check("cafe", tmp_path)
    assert [u.path.suffix for u in report.table] == [".wav"]
    assert report.left_out == {"a second copy of a clip": 1}


def test_names_that_the_scheme_does_not_have_are_extra_files(tmp_path: Path) -> None:
    OPEN_BUILDERS["cafe"](tmp_path)
    for name in ("13-C-1-1", "01-C-3-1", "01-C-1-7", "01-N-2-1"):
        write_audio(tmp_path / f"{name}.wav")
    assert len(check("cafe", tmp_path).extra) == 4


def test_the_counts_are_those_of_twelve_actors() -> None:
    assert cafe.INFO.n_utterances == 12 * 6 * (6 * 2 + 1) == 936
