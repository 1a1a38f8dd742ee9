"""What is known of utterances is kept in a CSV and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from voxaffect.errors import CorpusError
from voxaffect.metadata import (
    COLUMNS,
    Metadata,
    of_table,
    plain_text,
    read_metadata,
    seconds_of,
    write_metadata,
)
from voxaffect.table import Utterance, UtteranceTable


def table(folder: Path) -> UtteranceTable:
    soundfile.write(folder / "a.wav", np.zeros(24_000), 16_000)
    (folder / "b.wav").write_bytes(b"no audio at all")
    whole = Utterance("c/1", folder / "a.wav", "c/x", "sad", "c", text="Oh, no", take="2", gender="female")
    cut = Utterance(
        "c/2",
        folder / "b.wav",
        "c/y",
        "angry",
        "c",
        "S1",
        start=1.5,
        end=4.0,
        attributes={"scenario": "impro01"},
    )
    unknown = Utterance("c/3", folder / "b.wav", "c/y", "angry", "c", language="en")
    return UtteranceTable((whole, cut, unknown))


def test_a_table_s_metadata_survive_the_file(tmp_path: Path) -> None:
    found = of_table(table(tmp_path))
    write_metadata(found, tmp_path / "utterances.csv")
    assert read_metadata(tmp_path / "utterances.csv") == found
    header, first, second, third = (tmp_path / "utterances.csv").read_text().splitlines()
    assert header == "id," + ",".join(COLUMNS)
    assert first == 'c/1,c/x,c,sad,,"Oh, no",2,female,,1.500,,'
    assert second == "c/2,c/y,c,angry,S1,,,,,2.500,impro01,"
    assert third == "c/3,c/y,c,angry,,,,,en,,,"  # no header, no duration


def test_durations_can_be_left_out(tmp_path: Path) -> None:
    assert of_table(table(tmp_path), durations=False).column("duration") == ("", "2.500", "")


def test_columns_that_are_not_there_are_empty() -> None:
    m = Metadata(("1", "2"), {"label": ("a", "b")})
    assert m.column("text") == ("", "")


def test_wrong_metadata_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no column 'label'"):
        Metadata(("1",), {"text": ("a",)})
    with pytest.raises(ValueError, match="column 'label' has 2 cells for 1 ids"):
        Metadata(("1",), {"label": ("a", "b")})
    with pytest.raises(ValueError, match="an id stands twice"):
        Metadata(("1", "1"), {"label": ("a", "b")})


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("1,a,2.0\n1,b,1.0", "line 3: id '1' stands in line 2 already"),
        ("1,a,-1", "line 2: duration is '-1'; expected seconds above 0"),
        ("1,a,long", "line 2: duration is 'long'; expected seconds above 0"),
        ("1,a,inf", "line 2: duration is 'inf'; expected seconds above 0"),
        ("1,,1.0", "line 2: the column 'label' is empty"),
    ],
)
def test_wrong_cells_are_named_by_line(tmp_path: Path, rows: str, said: str) -> None:
    (tmp_path / "u.csv").write_text(f"id,label,duration\n{rows}\n")
    with pytest.raises(CorpusError, match=said):
        read_metadata(tmp_path / "u.csv")


def test_seconds_may_have_a_decimal_comma() -> None:
    assert seconds_of("1,25") == 1.25


def test_texts_are_told_apart_by_their_words_alone() -> None:
    assert plain_text("  Kids are\ttalking, by the DOOR! ") == plain_text("kids are talking by the door")
    assert plain_text("o\u0308l") == plain_text("\u00f6l")
    assert plain_text("we're") != plain_text("were")
