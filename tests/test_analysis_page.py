"""The page of a corpus analysis: whole in itself, escaped, and with the same numbers as the tables."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from corpus_trees import BUILDERS, write_audio, write_text
from html_tree import check_self_contained, section
from html_tree import table as table_of
from iemocap_tree import build_iemocap
from voxaffect import analysis, analysis_page, corpora
from voxaffect.analysis_page import MAX_SPEAKERS, html, write_page
from voxaffect.errors import ResourceError, UsageError
from voxaffect.table import Utterance, UtteranceTable

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> UtteranceTable:
    root = tmp_path_factory.mktemp("data")
    parts = [corpora.read(name, BUILDERS[name](root / name).root) for name in ("emodb", "ravdess")]
    return parts[0] + parts[1]


@pytest.fixture(scope="module")
def text(table: UtteranceTable) -> str:
    return html(table, analysis.durations(table))


def test_the_page_is_whole_in_itself_and_the_same_each_time(table: UtteranceTable, text: str) -> None:
    tree = check_self_contained(text)
    assert sum(tag == "img" for tag, _ in tree.elements) == 4
    assert all(attributes["alt"] for tag, attributes in tree.elements if tag == "img")
    assert text == html(table, analysis.durations(table))


def test_the_study_s_table_stands_beside_release_and_print(text: str) -> None:
    rows = table_of(text, "Data bases by the classes of the study")
    assert rows[0] == ["data base", *analysis.STUDY_CLASSES, "others", "total"]
    assert rows[1] == ["EmoDB", "-", "1", "1", "1", "1", "1", "1", "1", "7"]
    assert rows[2] == ["its official release", "-", "127", "71", "69", "62", "79", "46", "81", "535"]
    assert rows[3] == ["in the study's table", "-", "127", "71", "69", "62", "79", "81", "-", "489"]
    assert rows[4][0] == "RAVDESS" and rows[5][0] == "its official release"
    assert len(rows) == 6  # the study had no RAVDESS


def test_emodb_s_boredom_is_explained_and_differing_copies_are_named(text: str) -> None:
    said = section(text, "Classes")
    assert "gives 81 for disgust. That is EmoDB&#x27;s count of boredom; its count of disgust is 46." in said
    assert (
        "This copy of RAVDESS is not what the official release (in brackets) holds: utterances 4 (1440)"
        in said
    )


def test_classes_durations_genders_and_speakers_are_counted(table: UtteranceTable, text: str) -> None:
    classes = table_of(text, "Every class, as the corpora label it")
    assert classes[0] == ["class", "emodb", "ravdess", "total"]
    assert classes[-1] == ["total", "7", "4", "11"]
    assert table_of(text, "Durations of the utterances")[1] == ["EmoDB", "7", "0:00:00", *["0.05"] * 4]
    assert table_of(text, "Speakers by gender") == [
        ["data base", "female", "male"],
        ["EmoDB", "3 (5)", "1 (2)"],
        ["RAVDESS", "1 (2)", "1 (2)"],
    ]
    assert table_of(text, "RAVDESS: speakers by class") == [
        ["speaker", "angry", "calm", "neutral", "surprised", "total"],
        ["01", "1", "-", "1", "-", "2"],
        ["24", "-", "1", "-", "1", "2"],
    ]
    assert "11 utterances by 6 speakers, 0:00:01" in text


def test_the_data_sheets_are_there(text: str) -> None:
    said = section(text, "Where the corpora come from")
    for name in ("emodb", "ravdess"):
        info = corpora.get(name).INFO
        assert info.licence in said and info.url in said
        assert f"{info.n_utterances} utterances, {info.n_speakers} speakers" in said


def test_iemocap_has_its_four_classes_by_session_and_style(tmp_path: Path) -> None:
    table = corpora.read("iemocap", build_iemocap(tmp_path / "i", 1))
    text = html(table, [1.0] * len(table))
    said = section(text, "IEMOCAP&#x27;s four classes")
    assert "5531 utterances, by session 1085, 1023, 1151, 1031, 1241; improvised 2943, scripted 2588." in said
    assert table_of(text, "IEMOCAP: four classes by session")[-1] == ["total", *["10"] * 5, "50"]
    assert table_of(text, "IEMOCAP: four classes by style")[0] == [
        "iemocap",
        "improvised",
        "scripted",
        "total",
    ]
    assert sum(tag == "img" for tag, _ in check_self_contained(text).elements) == 6


def test_a_corpus_of_one_s_own_is_escaped_and_needs_no_sheet(tmp_path: Path) -> None:
    name = "<b>&own"
    write_audio(tmp_path / "x.wav")
    write_text(tmp_path / f"{name}.csv", f"path,label,speaker\nx.wav,sad,<i>{name}\n")
    table = corpora.read("folder", tmp_path / f"{name}.csv")
    text = html(table, [1.0])
    check_self_contained(text)
    assert "<b>" not in text and "<i>" not in text
    assert "Corpus analysis: folder-&lt;b&gt;&amp;own" in text
    assert "A corpus of your own; its terms are yours to know." in text
    assert table_of(text, "Data bases by the classes")[1][0] == f"folder-{name}"
    assert table_of(text, f"folder-{name}: speakers by class")[1] == [f"<i>{name}", "1", "1"]
    assert table_of(text, "Speakers by gender") == [["data base", "unknown"], [f"folder-{name}", "1 (1)"]]
    assert "For a comparison" not in text


def test_more_speakers_than_a_table_holds_are_counted() -> None:
    utterances = [
        Utterance(f"x/{i:03d}", Path("x"), f"x/{i:03d}", "sad", "x") for i in range(MAX_SPEAKERS + 5)
    ]
    utterances.append(Utterance("x/more", Path("x"), "x/104", "sad", "x"))
    text = html(UtteranceTable.of(utterances), [1.0] * len(utterances))
    rows = table_of(text, "x: speakers by class")
    assert len(rows) == 1 + MAX_SPEAKERS
    assert rows[-1] == ["104", "2", "2"]  # the one with the most is kept, whatever its name
    assert f"The {MAX_SPEAKERS} with the most utterances; 5 more have fewer." in text


def test_a_page_needs_a_known_ending_a_folder_and_a_place(
    table: UtteranceTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [1.0] * len(table)
    with pytest.raises(
        UsageError, match=r"page_format: cannot write a page to 'x\.pdf'; expected a name ending in"
    ):
        write_page(table, seconds, tmp_path / "x.pdf")
    with pytest.raises(UsageError, match=r"no_such_folder: .*absent is not a folder"):
        write_page(table, seconds, tmp_path / "absent" / "x.html")
    monkeypatch.setattr(analysis_page, "html", lambda table, seconds: "<!DOCTYPE html>")
    (tmp_path / "x.html").mkdir()
    with pytest.raises(ResourceError, match=r"cannot_write: the output cannot be written \(Is a directory\)"):
        write_page(table, seconds, tmp_path / "x.html")
    write_page(table, seconds, tmp_path / "y.HTM")
    assert (tmp_path / "y.HTM").read_text(encoding="utf-8") == "<!DOCTYPE html>"


def test_without_matplotlib_the_answer_is_how_to_install_it(
    table: UtteranceTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r'needs matplotlib, .* pip install "voxaffect\[plot\]"'):
        html(table, [1.0] * len(table))


def test_the_real_corpora_make_a_page(shared_corpora: Path) -> None:
    table = corpora.read("emodb", shared_corpora / "emodb")
    text = html(table, analysis.durations(table))
    check_self_contained(text)
    emodb = table_of(text, "Data bases by the classes")[1]
    assert emodb == ["EmoDB", "-", "127", "71", "-", "62", "79", "-", "-", "339"]
