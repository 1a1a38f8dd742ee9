"""Pictures of a corpus analysis."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from corpus_trees import BUILDERS
from iemocap_tree import build_iemocap
from voxaffect import analysis, corpora
from voxaffect.analysis_figures import MAX_SPEAKER_NAMES, panels, pictures, plot
from voxaffect.errors import ResourceError, UsageError
from voxaffect.table import Utterance, UtteranceTable


@pytest.fixture
def table(tmp_path: Path) -> UtteranceTable:
    emodb, ravdess = (
        corpora.read(name, BUILDERS[name](tmp_path / name).root) for name in ("emodb", "ravdess")
    )
    return emodb + ravdess


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".PDF", b"%PDF"), (".svg", b"<?xml")])
def test_pictures_are_written_in_the_format_of_their_name(
    suffix: str, magic: bytes, table: UtteranceTable, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"picture{suffix}"
    plot(table, analysis.durations(table), path)
    assert path.read_bytes().startswith(magic)


def test_a_picture_names_classes_corpora_and_speakers(table: UtteranceTable, tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # letters stay letters
        plot(table, analysis.durations(table), tmp_path / "x.svg")
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
    plot(table, analysis.durations(table), tmp_path / "x.png")


def test_a_picture_needs_a_known_format_and_a_folder(table: UtteranceTable, tmp_path: Path) -> None:
    seconds = [1.0] * len(table)
    with pytest.raises(
        UsageError, match=r"plot_format: cannot draw to 'x\.bmp'; expected a name ending in \['\.png', "
    ):
        plot(table, seconds, tmp_path / "x.bmp")
    with pytest.raises(UsageError, match=r"no_such_folder: .*absent is not a folder"):
        plot(table, seconds, tmp_path / "absent" / "x.png")


def test_a_picture_that_cannot_be_written_is_a_resource_error(table: UtteranceTable, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "x.png").mkdir()
    with pytest.raises(ResourceError, match=r"cannot_write: the output cannot be written \(Is a directory\)"):
        plot(table, [1.0] * len(table), tmp_path / "x.png")


def test_without_matplotlib_the_answer_is_how_to_install_it(
    table: UtteranceTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r'needs matplotlib, .* pip install "voxaffect\[plot\]"'):
        plot(table, [1.0] * len(table), tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_each_picture_is_a_png_and_iemocap_has_its_own(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    table = corpora.read("iemocap", build_iemocap(tmp_path / "i", 1))
    drawn = pictures(table, [1.0] * len(table))
    assert list(drawn) == ["classes", "iemocap 0", "iemocap 1", "durations", "genders", "speakers"]
    assert all(picture.startswith(b"\x89PNG") for picture in drawn.values())


def test_a_picture_grows_with_its_speakers_up_to_a_limit() -> None:
    def height(n: int) -> float:
        utterances = (Utterance(f"x/{i}", Path("x"), f"x/{i}", "sad", "x") for i in range(n))
        return panels(UtteranceTable.of(utterances), [1.0] * n)["speakers"].height

    assert height(5) < height(50) < height(MAX_SPEAKER_NAMES) == height(500)


def test_many_speakers_are_drawn_without_names(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    utterances = [
        Utterance(f"x/{i}", Path("x"), f"x/name{i}", "sad", "x") for i in range(MAX_SPEAKER_NAMES + 1)
    ]
    for n in (MAX_SPEAKER_NAMES, MAX_SPEAKER_NAMES + 1):
        with matplotlib.rc_context({"svg.fonttype": "none"}):
            plot(UtteranceTable.of(utterances[:n]), [1.0] * n, tmp_path / "x.svg")
        assert (">name7<" in (tmp_path / "x.svg").read_text(encoding="utf-8")) == (n == MAX_SPEAKER_NAMES)
