"""MELD: three annotation files, clips with sound in them, and the faults of the release."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_trees import write_audio, write_text
from corpus_trees_open import MELD_HEADER, MELD_ROWS, OPEN_BUILDERS, write_clip
from voxaffect import corpora
from voxaffect.audio import read_audio
from voxaffect.corpora import meld
from voxaffect.corpora.check import check
from voxaffect.errors import CorpusError


def test_rows_and_clips_become_utterances(tmp_path: Path) -> None:
    OPEN_BUILDERS["meld"](tmp_path)
    table = corpora.read("meld", tmp_path)
    assert table.ids == (
        "meld/dev/dia0_utt0",
        "meld/test/dia0_utt0",
        "meld/train/dia0_utt0",
        "meld/train/dia0_utt1",
    )
    train = table[2]
    assert train.path == tmp_path / "MELD.Raw" / "train" / "train_splits" / "dia0_utt0.mp4"
    assert (train.speaker, train.label, train.session) == ("meld/Ross", "happy", "train")
    assert train.attributes == {
        "dialogue": "train/0",
        "sentiment": "positive",
        "season": "4",
        "episode": "7",
    }
    seconds = len(read_audio(train.path).samples) / 16_000
    assert seconds == pytest.approx(0.1, abs=0.07)  # AAC pads to frames of 64 ms


def test_quotes_are_right_in_either_disguise(tmp_path: Path) -> None:
    OPEN_BUILDERS["meld"](tmp_path)
    texts = {u.id: u.text for u in corpora.read("meld", tmp_path)}
    assert texts["meld/train/dia0_utt0"] == "Hey, don\u2019t!"  # U+0092 in UTF-8
    assert texts["meld/dev/dia0_utt0"] == "Oh my God, he\u2019s lost it."
    rows = MELD_HEADER + MELD_ROWS["dev"]
    write_text(tmp_path / "MELD.Raw" / "dev_sent_emo.csv", rows, "cp1252")
    assert corpora.read("meld", tmp_path)[0].text == "Oh my God, he\u2019s lost it."


def test_the_faults_of_the_release_are_left_out_and_counted(tmp_path: Path) -> None:
    OPEN_BUILDERS["meld"](tmp_path)
    report = check("meld", tmp_path)
    assert report.sound() and len(report.table) == 4
    assert report.left_out == {
        "cannot be decoded in the release": 1,
        "clip without annotation": 1,
        "clip without annotation, or a second copy of one": 1,
    }
    assert [(f.name, f.found) for f in report.facts] == [
        ("utterances, train", 2),
        ("utterances, dev", 1),
        ("utterances, test", 1),
    ]


def test_a_listed_clip_that_is_not_there_is_missing(tmp_path: Path) -> None:
    OPEN_BUILDERS["meld"](tmp_path)
    (tmp_path / "MELD.Raw" / "train" / "train_splits" / "dia0_utt1.mp4").unlink()
    with pytest.raises(CorpusError, match=r"1 of 4 files of MELD are absent or empty: dia0_utt1\.mp4"):
        corpora.read("meld", tmp_path)


def test_one_part_alone_and_sound_taken_out_of_the_clips_are_read(tmp_path: Path) -> None:
    write_text(tmp_path / "dev_sent_emo.csv", MELD_HEADER + MELD_ROWS["dev"])
    write_audio(tmp_path / "dev_splits_complete" / "dia0_utt0.wav")
    (utterance,) = corpora.read("meld", tmp_path)
    assert utterance.path.suffix == ".wav"


def test_annotations_without_any_clips_list_what_is_missing(tmp_path: Path) -> None:
    write_text(tmp_path / "test_sent_emo.csv", MELD_HEADER + MELD_ROWS["test"])
    (utterance,) = corpora.listed("meld", tmp_path)
    assert utterance.path == tmp_path / "output_repeated_splits_test" / "dia0_utt0.mp4"


def test_a_folder_of_clips_without_annotations_is_recognised_by_its_videos(tmp_path: Path) -> None:
    write_clip(tmp_path / "train_splits" / "dia0_utt0.mp4")
    with pytest.raises(CorpusError, match=r"does not look like MELD \(1 of 1 names match\)"):
        corpora.read("meld", tmp_path)
    with pytest.raises(CorpusError, match=r"does not look like EmoDB \(0 of 1 .*; closest: MELD \(1\)"):
        corpora.read("emodb", tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            ",joy,",
            ",glee,",
            "unknown_label: test_sent_emo.csv line 2: unknown emotion 'glee'; expected one of",
        ),
        (",All,", ",,", "empty_cell: test_sent_emo.csv line 2: the column 'speaker' is empty"),
        (
            ",0,0,1,",
            ",0,x,1,",
            "bad_row: test_sent_emo.csv line 2: dialogue '0' and utterance 'x'; expected whole numbers",
        ),
        ("Emotion", "Mood", "missing_column: test_sent_emo.csv line 1: no column 'emotion'"),
    ],
)
def test_what_is_wrong_in_a_table_is_named_with_its_line(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    write_text(tmp_path / "test_sent_emo.csv", (MELD_HEADER + MELD_ROWS["test"]).replace(old, new, 1))
    with pytest.raises(CorpusError) as caught:
        corpora.listed("meld", tmp_path)
    assert str(caught.value).startswith(message)


def test_the_counts_are_the_published_ones_less_two_neutral_clips() -> None:
    """train, dev and test of the dataset's own table, by emotion."""
    published = {
        "angry": (1109, 153, 345),
        "disgust": (271, 22, 68),
        "fearful": (268, 40, 50),
        "happy": (1743, 163, 402),
        "neutral": (4710, 470, 1256),
        "sad": (683, 111, 208),
        "surprised": (1205, 150, 281),
    }
    totals = {label: sum(n) for label, n in published.items()}
    totals["neutral"] -= len(meld.WITHOUT_SOUND)
    assert totals == dict(meld.INFO.expected)
    parts = [sum(n[i] for n in published.values()) for i in range(3)]
    assert [parts[0] - 1, parts[1] - 1, parts[2]] == list(meld.N_READ.values())
