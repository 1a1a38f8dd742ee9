"""AFEW 4.0: official sets, speakers that nobody tells, sound out of films."""

from __future__ import annotations

from pathlib import Path

import pytest

from audio_files import peak_hz, tone, with_ffmpeg
from corpus_trees import BUILDERS, write_audio, write_video
from voxaffect import corpora, protocols
from voxaffect.corpora import afew
from voxaffect.corpora.check import check
from voxaffect.errors import UsageError
from voxaffect.examples import read_utterance
from voxaffect.table import Utterance, UtteranceTable


def the_release(*, test: bool) -> UtteranceTable:
    """As many clips of each class and set as the release has; with the challenge's test labels if `test`."""
    labels = [label for label, n in afew.INFO.expected.items() for _ in range(n)]
    sets = ["train"] * 578 + ["val"] * 383
    if test:
        more = [label for label, n in afew.INFO.optional.items() for _ in range(n)]
        labels, sets = labels + more, sets + ["test"] * len(more)
    return UtteranceTable.of(
        Utterance(f"afew/{i:09d}", Path(f"{i}.avi"), f"afew/unknown-{part}", label, "afew", session=part)
        for i, (label, part) in enumerate(zip(labels, sets, strict=True))
    )


def test_sets_are_sessions_and_all_of_a_set_one_unknown_speaker(tmp_path: Path) -> None:
    BUILDERS["afew"](tmp_path)
    table = corpora.read("afew", tmp_path)
    assert [(u.id, u.speaker, u.session, u.label) for u in table] == [
        ("afew/000046280", "afew/unknown-train", "train", "angry"),
        ("afew/000046360", "afew/unknown-train", "train", "surprised"),
        ("afew/003017040", "afew/unknown-val", "val", "neutral"),
    ]
    assert all(u.gender is None and u.text is None for u in table)


def test_test_clips_without_labels_are_left_out_and_counted(tmp_path: Path) -> None:
    BUILDERS["afew"](tmp_path)
    report = check("afew", tmp_path)
    assert report.left_out == {"test set, without labels": 1}
    assert [(fact.name, fact.found, fact.expected) for fact in report.facts] == [
        ("set train", 2, 578),
        ("set val", 1, 383),
    ]


def test_test_clips_in_folders_of_classes_are_read(tmp_path: Path) -> None:
    write_video(tmp_path / "AFEW" / "Test_AFEW" / "Fear" / "010005080.avi")
    write_video(tmp_path / "AFEW" / "train afew" / "sad" / "000000001.mp4")
    write_video(tmp_path / "AFEW" / "Validation" / "Sad" / "000000002.avi")
    table = corpora.read("afew", tmp_path)
    assert [(u.session, u.label) for u in table] == [("train", "sad"), ("val", "sad"), ("test", "fearful")]


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_sound_comes_out_of_the_video(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "Train" / "Happy" / f"000000001{suffix}"
    path.parent.mkdir(parents=True)
    muxer, encoder = ("avi", "pcm_s16le") if suffix == ".avi" else ("mp4", "aac")
    path.write_bytes(with_ffmpeg(muxer, encoder, 48_000, tone(48_000, 1.0), video=True))
    (utterance,) = corpora.read("afew", tmp_path)
    samples = read_utterance(utterance)
    assert len(samples) == pytest.approx(16_000, abs=1200)  # AAC adds a frame or two of 1024 at 48 kHz
    assert peak_hz(samples) == pytest.approx(440, abs=2)


def test_a_sound_file_beside_its_video_takes_its_place(tmp_path: Path) -> None:
    BUILDERS["afew"](tmp_path)
    sound = write_audio(tmp_path / "Val" / "Neutral" / "003017040.WAV")
    assert [u.path for u in corpora.read("afew", tmp_path) if u.session == "val"] == [sound]
    assert check("afew", tmp_path).left_out["video whose sound lies beside it"] == 1


def test_splits_never_divide_a_set() -> None:
    three = the_release(test=True)
    folds = protocols.make("leave-one-session-out", three, n_dev=1)
    assert [fold.name for fold in folds] == ["afew/test", "afew/train", "afew/val"]
    assert all(len(fold.speakers) == 3 for fold in folds)
    with pytest.raises(
        UsageError, match=r"too_few_speakers: fold 'afew/train' has 1 speakers .* leave none to train"
    ):
        protocols.make("leave-one-session-out", the_release(test=False), n_dev=1)


def test_the_release_is_complete_with_and_without_the_test_labels(tmp_path: Path) -> None:
    BUILDERS["afew"](tmp_path)
    report = check("afew", tmp_path)
    for test in (False, True):
        whole = type(report)(**{**vars(report), "table": the_release(test=test)})
        assert whole.complete and not whole.surplus
        assert corpora.difference("afew", whole.table) is None
    doubled = UtteranceTable.of([*the_release(test=True), *more_sad_clips()])
    surplus = type(report)(**{**vars(report), "table": doubled})
    assert surplus.surplus == ("sad: 199 here, 145 official",)


def more_sad_clips() -> list[Utterance]:
    return [Utterance("afew/x", Path("x.avi"), "afew/unknown-train", "sad", "afew", session="train")]


def test_the_counts_add_up() -> None:
    assert afew.INFO.n_utterances == sum(afew.SETS.values()) == 961
    assert sum(afew.INFO.optional.values()) == 407
