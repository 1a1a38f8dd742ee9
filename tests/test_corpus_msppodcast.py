"""MSP-Podcast: consensus labels, unknown speakers, releases and what they withdraw."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_trees import write_audio, write_text
from corpus_trees_open import MSP_HEADER, MSP_ROWS, OPEN_BUILDERS
from voxaffect import corpora
from voxaffect.corpora.check import check
from voxaffect.errors import CorpusError, ExitCode


def test_rows_become_utterances(tmp_path: Path) -> None:
    OPEN_BUILDERS["msppodcast"](tmp_path)
    first, second, third, _ = corpora.read("msppodcast", tmp_path)
    assert first.id == "msppodcast/MSP-PODCAST_0001_0008"
    assert (first.speaker, first.gender, first.label) == ("msppodcast/30", "male", "neutral")
    assert (first.session, first.language, first.text) == ("Test1", "en", None)
    assert first.attributes == {
        "podcast": "0001",
        "valence": 4.0,
        "activation": 2.2,
        "dominance": 2.6,
        "release": "1.12",
    }
    assert (second.label, second.gender) == ("unknown", "female")
    assert (third.label, third.gender, third.speaker) == ("contempt", None, "msppodcast/Unknown")


def test_unknown_speakers_are_one_so_that_none_is_on_both_sides(tmp_path: Path) -> None:
    OPEN_BUILDERS["msppodcast"](tmp_path)
    table = corpora.read("msppodcast", tmp_path)
    assert {u.attributes["podcast"] for u in table if u.speaker.endswith("/Unknown")} == {"0023", "0024"}


def test_every_class_has_its_word(tmp_path: Path) -> None:
    classes = "ASHUFDCNOX"
    rows = "".join(f"MSP-PODCAST_0001_{i:04d}.wav,{c},4,4,4,1,Male,Train\n" for i, c in enumerate(classes))
    write_text(tmp_path / "Labels" / "labels_consensus.csv", MSP_HEADER + rows)
    assert [u.label for u in corpora.listed("msppodcast", tmp_path)] == [
        "angry",
        "sad",
        "happy",
        "surprised",
        "fearful",
        "disgust",
        "contempt",
        "neutral",
        "other",
        "unknown",
    ]


def test_the_number_of_turns_is_compared_with_that_of_the_release(tmp_path: Path) -> None:
    OPEN_BUILDERS["msppodcast"](tmp_path)
    (fact,) = check("msppodcast", tmp_path).facts
    assert (fact.name, fact.found, fact.expected) == ("turns of release 1.12", 4, 207_136)
    write_text(tmp_path / "readme.txt", "no word of it")
    assert check("msppodcast", tmp_path).facts == ()
    assert "release" not in corpora.read("msppodcast", tmp_path)[0].attributes


def test_withdrawn_files_are_named_by_release(tmp_path: Path) -> None:
    """Labels of one release with the audio of a later one, which keeps what it took back in a folder of its own."""
    OPEN_BUILDERS["msppodcast"](tmp_path)
    removed = tmp_path / "Previous_releases_information" / "files_removed_from_prev_versions"
    for release, name in (("1.10", "MSP-PODCAST_0001_0008"), ("1.11", "MSP-PODCAST_0023_0047")):
        (tmp_path / "Audios" / f"{name}.wav").unlink()
        write_audio(removed / f"v{release}_removed_files" / f"{name}.wav")
    (tmp_path / "Audios" / "MSP-PODCAST_0001_0009.wav").unlink()  # missing for another reason
    (removed / "transcripts").mkdir()
    report = check("msppodcast", tmp_path)
    assert len(report.missing) == 3
    assert report.withdrawn == {
        "release 1.10": ("MSP-PODCAST_0001_0008.wav",),
        "release 1.11": ("MSP-PODCAST_0023_0047.wav",),
    }
    assert "of those not there, withdrawn after release 1.11: 1\n  MSP-PODCAST_0023_0047.wav" in report.text()
    assert report.left_out == {"withdrawn after release 1.10": 1, "withdrawn after release 1.11": 1}
    assert report.exit_code() == ExitCode.NOTHING_USABLE
    assert report.exit_code(allow_missing=True) == ExitCode.OK
    with pytest.raises(CorpusError, match="3 of 4 files of MSP-Podcast are absent or empty"):
        corpora.read("msppodcast", tmp_path)


def test_missing_files_of_a_copy_that_tells_of_no_releases_are_just_missing(tmp_path: Path) -> None:
    OPEN_BUILDERS["msppodcast"](tmp_path)
    (tmp_path / "Audios" / "MSP-PODCAST_0001_0009.wav").unlink()
    report = check("msppodcast", tmp_path)
    assert len(report.missing) == 1 and report.withdrawn == {}


def test_a_folder_more_or_less_above_does_not_matter(tmp_path: Path) -> None:
    OPEN_BUILDERS["msppodcast"](tmp_path / "MSP-PODCAST-Publish-1.12")
    assert len(corpora.read("msppodcast", tmp_path)) == 4
    assert corpora.read("msppodcast", tmp_path)[0].attributes["release"] == "1.12"
    write_text(tmp_path / "flat" / "labels_consensus.csv", MSP_HEADER + MSP_ROWS)
    write_audio(tmp_path / "flat" / "Audios" / "MSP-PODCAST_0001_0008.wav")
    assert len(corpora.read("msppodcast", tmp_path / "flat", allow_missing=True)) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",N,", ",Q,", "unknown_label: labels_consensus.csv line 2: unknown class 'Q'; expected one of"),
        (",30,", ",,", "empty_cell: labels_consensus.csv line 2: the column 'spkrid' is empty"),
        (
            ",Male,",
            ",M,",
            "bad_row: labels_consensus.csv line 2: gender is 'M'; expected Female, Male or Unknown",
        ),
        (",2.2,", ",7.5,", "bad_row: labels_consensus.csv line 2: emoact is '7.5'; expected 1 to 7"),
        (",2.2,", ",nan,", "bad_row: labels_consensus.csv line 2: emoact is 'nan'; expected 1 to 7"),
        (",2.2,", ",high,", "bad_row: labels_consensus.csv line 2: emoact is 'high'; expected 1 to 7"),
        (
            "MSP-PODCAST_0001_0008",
            "talk",
            "bad_row: labels_consensus.csv line 2: 'talk.wav' is not named MSP-PODCAST_PODCAST_TURN.wav",
        ),
    ],
)
def test_what_is_wrong_in_the_labels_is_named_with_its_line(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    write_text(tmp_path / "Labels" / "labels_consensus.csv", (MSP_HEADER + MSP_ROWS).replace(old, new, 1))
    with pytest.raises(CorpusError) as caught:
        corpora.listed("msppodcast", tmp_path)
    assert str(caught.value).startswith(message)
