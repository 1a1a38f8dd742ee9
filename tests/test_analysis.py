"""Tables, durations and pictures of a corpus."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from corpus_trees import BUILDERS, write_audio, write_text
from voxaffect import analysis, corpora
from voxaffect.corpora.text import clock, counted, text_table
from voxaffect.errors import AudioError, ResourceError, UsageError
from voxaffect.table import UtteranceTable


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
    assert [block.split()[0] for block in text.split("\n\n")] == ["class", "gender", "duration", "speaker"]
    assert ["emodb", "7", "0:00:00", "0.05", "0.05", "0.05", "0.05"] in [
        line.split() for line in text.splitlines()
    ]


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".PDF", b"%PDF"), (".svg", b"<?xml")])
def test_pictures_are_written_in_the_format_of_their_name(
    suffix: str, magic: bytes, table: UtteranceTable, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"picture{suffix}"
    analysis.plot(table, analysis.durations(table), path)
    assert path.read_bytes().startswith(magic)


def test_a_picture_names_classes_corpora_and_speakers(table: UtteranceTable, tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # letters stay letters
        analysis.plot(table, analysis.durations(table), tmp_path / "x.svg")
    text = (tmp_path / "x.svg").read_text(encoding="utf-8")
    for word in (
        "Class distribution",
        "emodb (7)",
        "ravdess (4)",
        "surprised",
        "Durations",
        "Speakers (6)",
        ">16<",
    ):
        assert word in text


def test_drawing_loads_no_pyplot(
    table: UtteranceTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would now fail
    analysis.plot(table, analysis.durations(table), tmp_path / "x.png")


def test_a_picture_needs_a_known_format_and_a_folder(table: UtteranceTable, tmp_path: Path) -> None:
    seconds = [1.0] * len(table)
    with pytest.raises(
        UsageError, match=r"plot_format: cannot draw to 'x\.bmp'; expected a name ending in \['\.png', "
    ):
        analysis.plot(table, seconds, tmp_path / "x.bmp")
    with pytest.raises(UsageError, match=r"no_such_folder: .*absent is not a folder"):
        analysis.plot(table, seconds, tmp_path / "absent" / "x.png")


def test_a_picture_that_cannot_be_written_is_a_resource_error(table: UtteranceTable, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "x.png").mkdir()
    with pytest.raises(ResourceError, match=r"cannot_write: cannot write .*x\.png: Is a directory"):
        analysis.plot(table, [1.0] * len(table), tmp_path / "x.png")


def test_without_matplotlib_the_answer_is_how_to_install_it(
    table: UtteranceTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r'needs matplotlib, .* pip install "voxaffect\[plot\]"'):
        analysis.plot(table, [1.0] * len(table), tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_text_tables_align_and_nouns_are_counted() -> None:
    assert text_table(["a", "n"], [["longer", "1"], ["b", "22"]]) == "a        n\nlonger   1\nb       22"
    assert (counted(1, "file"), counted(2, "file"), counted(0, "file")) == ("1 file", "2 files", "0 files")
    assert (clock(0.4), clock(61), clock(3723.6)) == ("0:00:00", "0:01:01", "1:02:04")
