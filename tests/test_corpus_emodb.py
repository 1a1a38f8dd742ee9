"""EmoDB: the letters of its file names."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_trees import write_audio
from voxaffect import corpora


@pytest.mark.parametrize(
    ("letter", "label"),
    [
        ("W", "angry"),
        ("L", "bored"),
        ("E", "disgust"),
        ("A", "fearful"),
        ("F", "happy"),
        ("T", "sad"),
        ("N", "neutral"),
    ],
)
def test_letters_are_german(letter: str, label: str, tmp_path: Path) -> None:
    write_audio(tmp_path / f"12b10{letter}b.wav")  # the files may also lie in the root itself
    (utterance,) = corpora.read("emodb", tmp_path)
    assert utterance.label == label
    assert (utterance.id, utterance.speaker) == (f"emodb/12b10{letter}b", "emodb/12")
    assert (utterance.gender, utterance.take, utterance.language) == ("male", "b", "de")
    assert utterance.text == "Die wird auf dem Platz sein, wo wir sie immer hinlegen."
    assert utterance.attributes == {"text_code": "b10", "age": 30.0}


def test_names_that_emodb_does_not_use_are_not_read(tmp_path: Path) -> None:
    for stem in ("03a01Fa", "04a01Fa", "03a03Fa", "03a01Xa", "03a01F", "xx03a01Fa"):
        write_audio(tmp_path / "wav" / f"{stem}.wav")
    assert corpora.read("emodb", tmp_path).ids == ("emodb/03a01Fa",)


def test_the_data_sheet_explains_the_studys_count_of_disgust() -> None:
    info = corpora.get("emodb").INFO
    assert (info.expected["bored"], info.expected["disgust"], info.n_utterances) == (81, 46, 535)
    assert any("81" in note and "boredom" in note for note in info.notes)


def test_half_of_the_speakers_are_female(shared_corpora: Path) -> None:
    table = corpora.read("emodb", shared_corpora / "emodb")
    genders = {u.speaker: u.gender for u in table}
    assert sorted(genders.values(), key=str) == ["female"] * 5 + ["male"] * 5
    assert len({u.text for u in table}) == 10
