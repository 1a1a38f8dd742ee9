"""nEMO: its table, official and derived, and what can be wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_trees import NEMO_HEADER, NEMO_ROWS, write_audio, write_text
from voxaffect import corpora
from voxaffect.errors import CorpusError


def test_the_official_table_is_read(tmp_path: Path) -> None:
    write_text(tmp_path / "data.tsv", NEMO_HEADER + NEMO_ROWS)
    utterance = corpora.listed("nemo", tmp_path)[2]
    assert utterance.id == "nemo/WR0_surprised_38"
    assert (utterance.speaker, utterance.gender, utterance.label) == ("nemo/WR0", "male", "surprised")
    assert utterance.text == "„Ród smoka” to serial."
    assert utterance.attributes == {"text_code": "38", "age": 23.0}
    assert utterance.path == tmp_path / "WR0_surprised_38.wav"  # absent: there is no samples folder


def test_the_derived_table_is_read(tmp_path: Path) -> None:
    header = "file,speaker,emotion,code,gender,age,language,text_id,text,duration_s\n"
    row = 'samples/EB0_sadness_1.flac,EB0,sadness,sadness,female,27,pl,1,"Tak, nie.",1.9\n'
    write_text(tmp_path / "labels.csv", header + row)
    path = write_audio(tmp_path / "samples" / "EB0_sadness_1.flac")
    (utterance,) = corpora.read("nemo", tmp_path)
    assert (utterance.path, utterance.label, utterance.text) == (path, "sad", "Tak, nie.")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "\tanger\t",
            "\tbored\t",
            "unknown_label: data.tsv line 2: unknown emotion 'bored'; expected one of",
        ),
        ("\tanger\t", "\t\t", "empty_cell: data.tsv line 2: the column 'emotion' is empty"),
        (
            " EB0\tfemale",
            " XX0\tfemale",
            "bad_row: data.tsv line 2: 'EB0_anger_1.wav' is not named SPEAKER_EMOTION_NUMBER",
        ),
        (
            "anger_1.wav",
            "anger_x.wav",
            "bad_row: data.tsv line 2: 'EB0_anger_x.wav' is not named SPEAKER_EMOTION_NUMBER",
        ),
        ("\tfemale\t", "\tf\t", "bad_row: data.tsv line 2: gender is 'f'; expected 'female' or 'male'"),
        ("\t27\n", "\tyoung\n", "bad_row: data.tsv line 2: age is 'young'; expected whole years"),
        ("gender\t", "sex\t", "missing_column: data.tsv line 1: no column 'gender'; it has"),
    ],
)
def test_what_is_wrong_in_the_table_is_named_with_its_line(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    write_text(tmp_path / "data.tsv", (NEMO_HEADER + NEMO_ROWS).replace(old, new, 1))
    with pytest.raises(CorpusError) as caught:
        corpora.listed("nemo", tmp_path)
    assert str(caught.value).startswith(message)


def test_a_clip_listed_twice_is_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "data.tsv", NEMO_HEADER + NEMO_ROWS + NEMO_ROWS)
    with pytest.raises(
        CorpusError, match="duplicate_id: 3 utterance ids stand twice, the first is 'nemo/EB0_anger_1'"
    ):
        corpora.listed("nemo", tmp_path)
