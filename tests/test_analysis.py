"""Tables and durations of corpora, beside what the releases and the study have."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_trees import BUILDERS, write_audio, write_text
from iemocap_tree import build_iemocap
from voxaffect import analysis, corpora
from voxaffect.corpora.text import clock, counted, text_table
from voxaffect.errors import AudioError
from voxaffect.table import Utterance, UtteranceTable


@pytest.fixture
def table(tmp_path: Path) -> UtteranceTable:
    emodb, ravdess = (
        corpora.read(name, BUILDERS[name](tmp_path / name).root) for name in ("emodb", "ravdess")
    )
    return emodb + ravdess


def test_the_class_table_has_a_column_for_each_corpus_and_totals(table: UtteranceTable) -> None:
    assert analysis.class_table(table).text() == (
        "class      emodb  ravdess  total\n"
        "angry          1        1      2\n"
        "bored          1        -      1\n"
        "calm           -        1      1\n"
        "disgust        1        -      1\n"
        "fearful        1        -      1\n"
        "happy          1        -      1\n"
        "neutral        1        1      2\n"
        "sad            1        -      1\n"
        "surprised      -        1      1\n"
        "total          7        4     11"
    )


def test_genders_and_speakers_are_counted(table: UtteranceTable) -> None:
    genders = analysis.gender_table(table)
    assert (genders.rows, genders.columns) == (("female", "male"), ("emodb", "ravdess"))
    assert genders.counts == ((5, 2), (2, 2))
    speakers = analysis.speaker_table(table)
    assert speakers.rows == table.speakers and sum(map(sum, speakers.counts)) == len(table)


def test_durations_are_those_of_the_files(tmp_path: Path) -> None:
    for stem, seconds in (("03a01Fa", 0.5), ("03a01Wa", 1.0), ("08a01Wa", 3.0)):
        write_audio(tmp_path / f"{stem}.wav", seconds=seconds)
    table = corpora.read("emodb", tmp_path)
    seconds = analysis.durations(table)
    assert seconds == (0.5, 1.0, 3.0)
    (statistics,) = analysis.duration_statistics(table, seconds)
    assert statistics == analysis.DurationStatistics("emodb", 3, 4.5, 0.5, 1.0, 1.5, 3.0)


def test_a_stretch_is_as_long_as_its_times_say(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", seconds=2.0)
    rows = "a.wav,sad,ann,,0.5\na.wav,sad,ann,0.5,1.75\na.wav,sad,ann,1.75,\na.wav,sad,ann,0,9\n"
    path = write_text(tmp_path / "list.csv", "path,label,speaker,start,end\n" + rows)
    assert sorted(analysis.durations(corpora.read("folder", path))) == [0.25, 0.5, 1.25, 2.0]


def test_an_unreadable_file_has_no_duration(tmp_path: Path) -> None:
    write_text(tmp_path / "03a01Fa.wav", "not audio")
    with pytest.raises(AudioError, match=r"not_audio: 03a01Fa\.wav is not audio \(it starts like text\)"):
        analysis.durations(corpora.read("emodb", tmp_path))


def test_durations_of_another_table_are_refused(table: UtteranceTable) -> None:
    with pytest.raises(ValueError, match="3 durations for 11 utterances"):
        analysis.duration_statistics(table, (1.0, 2.0, 3.0))


def test_the_description_holds_all_tables(table: UtteranceTable) -> None:
    text = analysis.describe(table, analysis.durations(table))
    heads = [block.split()[0] for block in text.split("\n\n")]
    assert heads == ["class", "data", "gender", "duration", "speaker", "note:"]
    assert ["emodb", "7", "0:00:00", "0.05", "0.05", "0.05", "0.05"] in [
        line.split() for line in text.splitlines()
    ]


def test_text_tables_align_and_nouns_are_counted() -> None:
    assert text_table(["a", "n"], [["longer", "1"], ["b", "22"]]) == "a        n\nlonger   1\nb       22"
    assert (counted(1, "file"), counted(2, "file"), counted(0, "file")) == ("1 file", "2 files", "0 files")
    assert (clock(0.4), clock(61), clock(3723.6)) == ("0:00:00", "0:01:01", "1:02:04")


# --- the study's tables


def the_release(corpus: str) -> UtteranceTable:
    """As many utterances of each class as the official release has."""
    labels = [label for label, n in corpora.get(corpus).INFO.expected.items() for _ in range(n)]
    return UtteranceTable.of(
        Utterance(f"{corpus}/{i}", Path(f"{i}.wav"), f"{corpus}/{i % 10}", label, corpus)
        for i, label in enumerate(labels)
    )


@pytest.mark.parametrize("corpus", analysis.STUDY_COUNTS)
def test_the_study_s_table_is_what_the_releases_hold_but_for_emodb_s_disgust(corpus: str) -> None:
    found = analysis.study_table(the_release(corpus))
    assert found.columns[:7] == analysis.STUDY_CLASSES
    here = {
        label: n for label, n in zip(found.columns, found.counts[0], strict=True) if n and label != "others"
    }
    printed = dict(analysis.STUDY_COUNTS[corpus])
    if corpus == "emodb":
        assert printed.pop("disgust") == 81 == corpora.get("emodb").INFO.expected["bored"]
        assert here.pop("disgust") == 46
    if corpus == "iemocap":  # the study leaves these three out
        assert (here.pop("surprised"), here.pop("fearful"), here.pop("disgust")) == (107, 40, 2)
    assert here == printed


def test_the_printed_table_is_that_of_the_mission(shared_corpora: Path) -> None:
    """The study's figures in ../shared/mission.md, row by row."""
    text = (shared_corpora.parent / "mission.md").read_text(encoding="utf-8")
    names = {"EmoDB": "emodb", "eNTERFACE": "enterface", "AFEW 4.0": "afew", "IEMOCAP": "iemocap"}
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    for row in rows:
        if row and row[0] in names:
            numbers = [0 if cell == "-" else int(cell.split()[0]) for cell in row[1:]]
            printed = analysis.STUDY_COUNTS[names.pop(row[0])]
            assert numbers == [printed.get(label, 0) for label in analysis.STUDY_CLASSES]
    assert not names


def test_data_bases_are_rows_and_what_the_study_leaves_out_is_counted(table: UtteranceTable) -> None:
    assert analysis.study_table(table).text() == (
        "data base  surprised  angry  happy  fearful  sad  neutral  disgust  others  total\n"
        "emodb              -      1      1        1    1        1        1       1      7\n"
        "ravdess            1      1      -        -    -        1        -       1      4\n"
        "total              1      2      1        1    1        2        1       2     11"
    )
    assert "others" not in analysis.study_table(table.where(lambda u: u.label == "angry")).columns


def test_iemocap_s_four_classes_are_counted_by_session_and_style(tmp_path: Path) -> None:
    by_session, by_style = analysis.iemocap_tables(corpora.read("iemocap", build_iemocap(tmp_path / "i", 1)))
    assert (by_session.rows, by_session.columns) == (
        ("angry", "happy", "neutral", "sad"),
        ("Ses01", "Ses02", "Ses03", "Ses04", "Ses05"),
    )
    assert by_session.counts == ((2,) * 5, (4,) * 5, (2,) * 5, (2,) * 5)  # excited is happy
    assert by_style.columns == ("improvised", "scripted")
    assert [sum(row) for row in by_style.counts] == [10, 20, 10, 10]


def test_the_pickle_s_four_classes_have_no_style(tmp_path: Path) -> None:
    table = corpora.read("iemocap-pickle", BUILDERS["iemocap-pickle"](tmp_path).root)
    (by_session,) = analysis.iemocap_tables(table)
    assert by_session.columns == ("Ses01", "Ses05")
    assert analysis.durations(table) == pytest.approx((0.1, 0.05, 3.0), abs=0.011)


def test_other_corpora_have_no_such_tables(table: UtteranceTable) -> None:
    assert analysis.iemocap_tables(table) == ()


def test_notes_tell_where_a_copy_differs_and_what_emodb_s_81_is(
    table: UtteranceTable, tmp_path: Path
) -> None:
    differs, also, emodb = analysis.notes(table)
    assert differs.startswith(
        "This copy of EmoDB is not what the official release (in brackets) holds: utterances 7"
    )
    assert also.startswith("This copy of RAVDESS is not")
    assert emodb == (
        "EmoDB: the study's table gives 81 for disgust. That is EmoDB's count of boredom; its count of disgust is "
        "46. The tables here show what the files hold."
    )
    assert analysis.describe(table, [1.0] * len(table)).endswith(f"note: {emodb}\n")
    own = corpora.read("folder", BUILDERS["folder"](tmp_path / "own").root)
    assert analysis.notes(own) == ()
    assert analysis.describe(own, [1.0] * len(own)).endswith("3\n")
