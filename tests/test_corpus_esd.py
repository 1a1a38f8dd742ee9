"""ESD: two languages, transcripts in four encodings, copies with and without parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_trees import write_audio, write_text
from corpus_trees_open import OPEN_BUILDERS
from voxaffect import corpora
from voxaffect.corpora import esd
from voxaffect.corpora.check import check
from voxaffect.errors import CorpusError


def test_folders_and_numbers_become_fields(tmp_path: Path) -> None:
    OPEN_BUILDERS["esd"](tmp_path)
    mandarin, english, last = corpora.read("esd", tmp_path)
    assert (mandarin.id, mandarin.speaker, mandarin.gender) == ("esd/0001_000351", "esd/0001", "female")
    assert (mandarin.label, mandarin.language) == ("angry", "zh")
    assert mandarin.text == "打远一看，它们的确很是美丽，"
    assert mandarin.attributes == {"text_code": "zh001"}
    assert (english.label, english.gender, english.language) == ("neutral", "male", "en")
    assert english.text == "The nine the eggs, I keep."
    assert english.attributes == {"text_code": "en001", "part": "evaluation"}
    assert (last.label, last.text) == ("surprised", None)
    assert last.attributes == {"text_code": "en350", "part": "train"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb2312"])
def test_mandarin_is_read_in_every_encoding_of_the_release(encoding: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "0004" / "Sad" / "0004_001051.wav")
    write_text(tmp_path / "0004" / "0004.txt", "0004_001051\t打远一看\t伤心\r\n", encoding)
    assert [u.text for u in corpora.read("esd", tmp_path)] == ["打远一看"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("0016_000001\tCaf\u00e9, please.\tNeutral", "Caf\u00e9, please."),
        ("0016_000001   Caf\u00e9, please.  Neutral", "Caf\u00e9, please."),
        ("0016_000001 Caf\u00e9, please.", "Caf\u00e9, please."),
        ("a heading", None),
    ],
)
def test_english_lines_are_read_with_tabs_or_blanks(line: str, text: str | None, tmp_path: Path) -> None:
    write_audio(tmp_path / "0016" / "Neutral" / "0016_000001.wav")
    write_text(tmp_path / "0016" / "0016.txt", f"{line}\n", "latin-1")
    assert [u.text for u in corpora.read("esd", tmp_path)] == [text]


@pytest.mark.parametrize(
    ("number", "label"),
    [(1, "neutral"), (350, "neutral"), (351, "angry"), (1050, "happy"), (1051, "sad"), (1750, "surprised")],
)
def test_without_folders_the_number_tells_the_emotion(number: int, label: str, tmp_path: Path) -> None:
    write_audio(tmp_path / f"0020_{number:06d}.wav")
    assert [u.label for u in corpora.read("esd", tmp_path)] == [label]


def test_names_end_with_1750_and_speaker_20() -> None:
    stems = ("0001_000000", "0001_001750", "0001_001751", "0020_000001", "0021_000001", "0000_000001")
    assert [esd.INFO.matches(s) for s in stems] == [False, True, False, True, False, False]


def test_a_transcript_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_audio(tmp_path / "0016" / "Neutral" / "0016_000001.wav")
    write_text(tmp_path / "0016" / "0016.txt", "x")

    def fail(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(CorpusError, match=r"unreadable_text: cannot read .*0016\.txt: Permission denied"):
        corpora.listed("esd", tmp_path)


def test_second_copies_are_left_out_and_counted(tmp_path: Path) -> None:
    OPEN_BUILDERS["esd"](tmp_path)
    write_audio(tmp_path / "deep" / "er" / "copy" / "0001_000351.wav")
    assert check("esd", tmp_path).left_out == {"a second copy of a clip": 1}


def test_the_counts_and_sexes_are_those_of_twenty_speakers() -> None:
    assert esd.INFO.n_utterances == 20 * 350 * 5 == 35_000
    assert len(esd.FEMALE) == 10
