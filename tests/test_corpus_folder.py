"""A corpus of one's own: CSV files as people write them, and class-named folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_trees import write_audio, write_text
from voxaffect import corpora
from voxaffect.corpora.check import check
from voxaffect.corpora.folder import SYNONYMS, to_label
from voxaffect.errors import CorpusError
from voxaffect.labels import EMOTIONS

HEADER = "path,label,speaker\n"


def written(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    write_audio(tmp_path / "a.wav", seconds=1.0)
    write_audio(tmp_path / "b.wav", seconds=1.0)
    return write_text(tmp_path / "mine.csv", text, encoding)


def error_of(path: Path) -> str:
    with pytest.raises(CorpusError) as caught:
        corpora.read("folder", path)
    return str(caught.value)


def test_every_known_column_becomes_a_field_and_others_attributes(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "path,label,speaker,id,gender,language,session,text,take,start,end,valence,rater\n"
        "a.wav,angry,ann,one,F,en,s1,hello,2,0.25,0.5,3.5,r1\n"
        "b.wav,sad,bob,two,male,,,,,,,,r2\n",
    )
    one, two = corpora.read("folder", path)
    assert (one.id, one.speaker, one.corpus) == ("folder-mine/one", "folder-mine/ann", "folder-mine")
    assert (one.gender, one.language, one.session, one.text, one.take) == ("female", "en", "s1", "hello", "2")
    assert (one.start, one.end, one.attributes) == (0.25, 0.5, {"valence": 3.5, "rater": "r1"})
    assert (two.gender, two.language, two.session, two.text, two.take) == ("male", None, None, None, None)
    assert (two.start, two.end, two.attributes) == (None, None, {"rater": "r2"})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiters_encodings_and_line_ends_do_not_matter(
    encoding: str, delimiter: str, newline: str, tmp_path: Path
) -> None:
    rows = (
        ("Path", " Label ", "SPEAKER", "text"),
        ("a.wav", "Angry ", "Zoë", "ja"),
        ("b.wav", " SAD", "Zoë", "nein"),
    )
    text = newline.join(delimiter.join(row) for row in rows) + newline * 3
    table = corpora.read("folder", written(tmp_path, text, encoding))
    assert [(u.label, u.speaker, u.text) for u in table] == [
        ("angry", "folder-mine/Zoë", "ja"),
        ("sad", "folder-mine/Zoë", "nein"),
    ]


def test_quoted_cells_may_hold_delimiters_and_line_breaks_and_lines_still_count(tmp_path: Path) -> None:
    path = written(tmp_path, 'path,label,speaker,text\na.wav,sad,ann,"one,\ntwo"\n\nb.wav,bad,bob,x\n')
    assert error_of(path).startswith(
        "unknown_label: mine.csv line 5: unknown label 'bad'; expected one of ['angry'"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty_table: {path} is empty; expected a header with the columns ['path', 'label', 'speaker']"),
        (HEADER, "empty_table: {path} has a header but no rows"),
        (
            "path,label\na.wav,sad\n",
            "missing_column: mine.csv line 1: no column 'speaker'; it has ['path', 'label'], "
            "needed are ['path', 'label', 'speaker']",
        ),
        (
            "path,label,label,speaker\n",
            "duplicate_column: mine.csv line 1: the column 'label' stands twice",
        ),
        (
            HEADER + "a.wav,sad\n",
            "bad_row: mine.csv line 2: 2 cells for 3 columns; "
            "put quotes around cells that contain the delimiter",
        ),
        (HEADER + 'a.wav,"sad,ann\n', "bad_row: mine.csv line 2: unexpected end of data"),
        (HEADER + "a.wav,,ann\n", "empty_cell: mine.csv line 2: the column 'label' is empty"),
        (HEADER + "a.wav,sad, \n", "empty_cell: mine.csv line 2: the column 'speaker' is empty"),
        (HEADER + ",sad,ann\n", "empty_cell: mine.csv line 2: the column 'path' is empty"),
        (
            "path,label,speaker,gender\na.wav,sad,ann,x\n",
            "bad_row: mine.csv line 2: gender is 'x'; expected 'female', 'male' or nothing",
        ),
        (
            HEADER + "a.wav,sad,ann\nA.wav,sad,bob\n",
            "duplicate_id: mine.csv line 3: the id 'folder-mine/A' is that of line 2 "
            "(upper and lower case count as the same); "
            "give an id column, or write each stretch of a file once",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    assert error_of(path) == message.format(path=path)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("0.5", "0.2", "start is 0.5 s and end is 0.2 s; expected 0 <= start < end"),
        ("-1", "", "start is -1.0 s and end is None s; expected 0 <= start < end"),
        ("", "0", "start is None s and end is 0.0 s; expected 0 <= start < end"),
        ("soon", "", "start is 'soon'; expected seconds such as 12.5"),
        ("", "nan", "end is 'nan'; expected seconds such as 12.5"),
    ],
)
def test_impossible_times_are_refused(start: str, end: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"path,label,speaker,start,end\na.wav,sad,ann,{start},{end}\n")
    assert error_of(path) == f"bad_times: mine.csv line 2: {message}"


def test_stretches_of_one_file_have_ids_of_their_own(tmp_path: Path) -> None:
    rows = "a.wav,sad,ann,,0.25\na.wav,angry,ann,0.25,0.5\na.wav,sad,ann,0.5,\n"
    table = corpora.read("folder", written(tmp_path, "path,label,speaker,start,end\n" + rows))
    assert table.ids == ("folder-mine/a@0-0.25", "folder-mine/a@0.25-0.5", "folder-mine/a@0.5-end")


def test_times_beyond_the_end_of_the_file_are_found_by_check(tmp_path: Path) -> None:
    rows = "a.wav,sad,ann,0.5,2\nb.wav,sad,ann,3,\nb.wav,sad,ann,0,1\n"
    report = check("folder", written(tmp_path, "path,label,speaker,start,end\n" + rows))
    assert report.conflicts == (
        "folder-mine/a@0.5-2 reaches to 2 s, but a.wav ends at 1.00 s",
        "folder-mine/b@3-end reaches to 3 s, but b.wav ends at 1.00 s",
    )
    assert not report.sound(allow_missing=True)
    assert report.seconds == pytest.approx(1.5)


def test_more_delimiters_at_a_line_end_than_columns_are_harmless(tmp_path: Path) -> None:
    assert len(corpora.read("folder", written(tmp_path, HEADER + "a.wav,sad,ann,,\n"))) == 1


def test_a_folder_with_one_table_is_read_and_with_two_refused(tmp_path: Path) -> None:
    written(tmp_path, HEADER + "a.wav,sad,ann\n")
    assert len(corpora.read("folder", tmp_path)) == 1
    write_text(tmp_path / "other.tsv", HEADER)
    assert error_of(tmp_path) == (
        f"several_tables: {tmp_path} holds 2 tables: mine.csv, other.tsv; "
        "give the path of the one that lists the utterances"
    )


def test_paths_are_relative_to_the_table_and_may_have_backslashes(tmp_path: Path) -> None:
    file = write_audio(tmp_path / "wavs" / "c.wav")
    path = written(tmp_path, HEADER + "wavs\\c.wav,sad,ann\n")
    (utterance,) = corpora.read("folder", path)
    assert (utterance.id, utterance.path) == ("folder-mine/wavs/c", file)


def test_labels_are_never_guessed() -> None:
    assert all(to_label(label.upper() + " ") == label for label in EMOTIONS)
    assert set(SYNONYMS.values()) <= set(EMOTIONS) and not set(SYNONYMS) & set(EMOTIONS)
    assert to_label("Happiness") == "happy"
    assert to_label("meh") is None and to_label("") is None


def test_a_files_speaker_is_never_guessed(tmp_path: Path) -> None:
    write_audio(tmp_path / "angry" / "ann_1.wav")
    write_audio(tmp_path / "angry" / "bob" / "1.wav")
    assert error_of(tmp_path) == (
        f"unknown_speaker: {tmp_path / 'angry'} holds 1 files directly: who speaks in ann_1.wav is unknown; "
        "sort them into angry/SPEAKER/, or write a CSV with the columns path, label, speaker"
    )


def test_a_folder_that_is_no_emotion_is_named_unless_it_holds_no_audio(tmp_path: Path) -> None:
    write_audio(tmp_path / "angry" / "bob" / "1.wav")
    write_text(tmp_path / "docs" / "readme.txt", "x")
    assert len(corpora.read("folder", tmp_path)) == 1
    write_audio(tmp_path / "hangry" / "bob" / "1.wav")
    assert error_of(tmp_path).startswith(
        f"unknown_label: {tmp_path / 'hangry'} is not named after an emotion; expected"
    )


def test_two_own_corpora_share_no_speaker(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_audio(tmp_path / name / "sad" / "01" / "x.wav")
    one, two = (corpora.read("folder", tmp_path / name) for name in ("one", "two"))
    assert not set(one.speakers) & set(two.speakers)
    assert len(one + two) == 2
