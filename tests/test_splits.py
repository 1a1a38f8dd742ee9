"""Folds: no speaker in two parts, every speaker tested once, the same seed the same folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from corpus_trees import write_text
from voxaffect import corpora, splits
from voxaffect.errors import CorpusError, UsageError
from voxaffect.splits import Fold
from voxaffect.table import Utterance, UtteranceTable

EMODB = tuple(f"emodb/{i:02d}" for i in (3, 8, 9, 10, 11, 12, 13, 14, 15, 16))
NEMO = tuple(f"nemo/{s}" for s in ("EB0", "KD0", "KS0", "MK0", "MP0", "SM0", "TP0"))
RAVDESS = tuple(f"ravdess/{i:02d}" for i in range(1, 25))
ALL = EMODB + NEMO + RAVDESS
GENDERS = {s: "female" if i % 2 else "male" for i, s in enumerate(ALL)}


def a_table(speakers: Sequence[str], sessions: Sequence[str | None] | None = None) -> UtteranceTable:
    return UtteranceTable(
        tuple(
            Utterance(
                id=f"{speaker}_{i}",
                path=Path("x.wav"),
                speaker=speaker,
                label="sad",
                corpus=speaker.partition("/")[0],
                gender=GENDERS.get(speaker),
                session=sessions[i] if sessions else None,
            )
            for i, speaker in enumerate(speakers)
        )
    )


def corpora_of(speakers: Sequence[str]) -> Counter[str]:
    return Counter(s.partition("/")[0] for s in speakers)


# --- Fold


def test_a_speaker_in_two_parts_is_refused() -> None:
    with pytest.raises(CorpusError) as caught:
        Fold("session1", train=("11", "12"), dev=("13",), test=("12",))
    assert caught.value.message == "speaker '12' is in both train and test of fold 'session1'"
    assert caught.value.code == "speaker_overlap"
    with pytest.raises(CorpusError, match="speaker 'b' is in both train and dev of fold 'f'"):
        Fold("f", train=("a", "b"), dev=("b",))
    with pytest.raises(CorpusError, match="speaker 'b' is in both dev and test of fold 'f'"):
        Fold("f", train=("a",), dev=("b",), test=("b",))


def test_a_speaker_twice_in_one_part_is_refused() -> None:
    with pytest.raises(CorpusError, match="duplicate_speaker: speaker 'b' is twice in train of fold 'f'"):
        Fold("f", train=("a", "b", "b"))


def test_a_fold_that_trains_on_nobody_is_refused() -> None:
    with pytest.raises(CorpusError, match="empty_part: fold 'f' has no train speakers"):
        Fold("f", train=(), test=("a",))


def test_parts_are_sorted_so_that_equal_folds_are_equal() -> None:
    assert Fold("f", ("b", "a"), ("d", "c")) == Fold("f", ("a", "b"), ("c", "d"))
    assert Fold("f", ("b",), ("a",), ("c",)).speakers == ("a", "b", "c")


def test_select_gives_each_part_its_utterances_and_names_the_unused() -> None:
    fold = Fold("f", train=("emodb/03",), dev=("emodb/08",), test=("emodb/09",))
    table = a_table(["emodb/09", "emodb/03", "emodb/08", "emodb/03", "emodb/16"])
    train, dev, test = fold.select(table)
    assert (train.ids, dev.ids, test.ids) == (("emodb/03_1", "emodb/03_3"), ("emodb/08_2",), ("emodb/09_0",))
    assert fold.unused(table) == ("emodb/16",)


def test_select_refuses_a_part_without_utterances_but_not_one_without_speakers() -> None:
    fold = Fold("f", train=("emodb/03",), test=("emodb/09",))
    with pytest.raises(CorpusError) as caught:
        fold.select(a_table(["emodb/03"]))
    assert str(caught.value) == (
        "empty_part: the table has no utterance of the test speakers of fold 'f': emodb/09"
    )
    train, dev, test = Fold("all", train=("emodb/03",)).select(a_table(["emodb/03"]))
    assert (len(train), len(dev), len(test)) == (1, 0, 0)


# --- what all kinds of folds have in common


def folds_of(kind: str, seed: int, speakers: Sequence[str]) -> tuple[Fold, ...]:
    return splits.make(kind, a_table(speakers), groups=5, n_dev=3, seed=seed)


@pytest.mark.parametrize("kind", ["leave-one-speaker-out", "speaker-groups", "all-speakers"])
def test_the_same_seed_gives_the_same_folds_whatever_the_order(kind: str) -> None:
    assert folds_of(kind, 1, ALL) == folds_of(kind, 1, ALL[::-1])
    assert folds_of(kind, 1, ALL) != folds_of(kind, 2, ALL)


def test_folds_are_the_same_on_every_python_and_system() -> None:
    (fold,) = splits.all_speakers(EMODB, n_dev=2, seed=0)
    assert fold.dev == ("emodb/09", "emodb/15")


@pytest.mark.parametrize("kind", ["leave-one-speaker-out", "speaker-groups"])
def test_every_speaker_tests_once_and_has_one_part_in_each_fold(kind: str) -> None:
    folds = folds_of(kind, 1, ALL)
    assert sorted(s for fold in folds for s in fold.test) == sorted(ALL)
    for fold in folds:
        assert fold.speakers == tuple(sorted(ALL))
        assert len(fold.dev) == 3


@pytest.mark.parametrize("kind", ["leave-one-speaker-out", "speaker-groups", "all-speakers"])
def test_dev_speakers_come_from_every_corpus_where_there_are_enough(kind: str) -> None:
    for seed in range(5):
        for fold in folds_of(kind, seed, ALL):
            assert corpora_of(fold.dev) == {"emodb": 1, "nemo": 1, "ravdess": 1}


def test_more_dev_speakers_are_drawn_from_the_larger_corpora() -> None:
    (fold,) = splits.all_speakers(ALL, n_dev=6, seed=1)
    assert corpora_of(fold.dev) == {
        "emodb": 2,
        "nemo": 1,
        "ravdess": 3,
    }  # Adams' divisors by hand: 24, 10, 7, 24/1, 24/2, 10/1


def test_dev_speakers_alternate_in_gender() -> None:
    for seed in range(5):
        (fold,) = splits.all_speakers(RAVDESS, n_dev=4, seed=seed, genders=GENDERS)
        assert Counter(GENDERS[s] for s in fold.dev) == {"female": 2, "male": 2}


def test_a_corpus_with_one_speaker_keeps_it_to_train_on() -> None:
    for seed in range(5):
        (fold,) = splits.all_speakers(("tiny/1", *EMODB), n_dev=2, seed=seed)
        assert "tiny/1" in fold.train


def test_too_many_dev_speakers_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        splits.leave_one_speaker_out(EMODB[:3], n_dev=2, seed=0)
    assert caught.value.message == (
        "fold 'emodb/03' has 2 speakers beside its 1 test speakers; 2 dev speakers leave none to train on"
    )
    with pytest.raises(UsageError, match="too_few_speakers"):
        splits.all_speakers(EMODB, n_dev=-1, seed=0)


# --- each kind


def test_leave_one_speaker_out_names_folds_after_their_speaker() -> None:
    folds = splits.leave_one_speaker_out(EMODB, n_dev=1, seed=0)
    assert [fold.name for fold in folds] == list(EMODB)
    assert all(fold.test == (fold.name,) and len(fold.train) == 8 for fold in folds)  # 8:1:1


def test_speaker_groups_are_balanced_in_size_corpus_and_gender() -> None:
    for seed in range(5):
        for fold in splits.speaker_groups(ALL, 5, n_dev=3, seed=seed, genders=GENDERS):
            assert len(fold.test) in (8, 9)
            assert set(corpora_of(fold.test)) == {"emodb", "nemo", "ravdess"}
            by_gender = Counter(GENDERS[s] for s in fold.test)
            assert abs(by_gender["female"] - by_gender["male"]) <= 3  # six strata, each dealt to within one


@pytest.mark.parametrize("k", [1, 11])
def test_impossible_numbers_of_groups_are_refused(k: int) -> None:
    with pytest.raises(UsageError, match=f"too_many_groups: {k} groups of 10 speakers; expected 2 to 10"):
        splits.speaker_groups(EMODB, k)


def test_one_session_tests_at_a_time() -> None:
    speakers = [f"iemocap/Ses0{i}{letter}" for i in range(1, 6) for letter in "FM"]
    table = a_table(speakers, [s[8:13] for s in speakers])
    folds = splits.make("leave-one-session-out", table, n_dev=1, seed=3)
    assert [fold.name for fold in folds] == [f"iemocap/Ses0{i}" for i in range(1, 6)]
    assert folds[0].test == ("iemocap/Ses01F", "iemocap/Ses01M")
    assert all(len(fold.train) == 7 and len(fold.dev) == 1 for fold in folds)


def test_sessions_must_be_known_and_share_no_speaker() -> None:
    with pytest.raises(CorpusError) as caught:
        splits.leave_one_session_out(a_table(["emodb/03", "emodb/08"], ["s1", None]))
    assert str(caught.value) == (
        "no_sessions: 1 utterances have no session, the first is 'emodb/08_1'; "
        "use leave-one-speaker-out or speaker-groups"
    )
    table = a_table(["emodb/03", "emodb/08", "emodb/03"], ["s1", "s1", "s2"])
    with pytest.raises(CorpusError, match="speaker 'emodb/03' is in both session 'emodb/s1' and 'emodb/s2'"):
        splits.leave_one_session_out(table)


def test_the_folds_of_emobox_test_each_actor_once() -> None:
    folds = splits.named("ravdess-emobox", RAVDESS, n_dev=4, seed=0)
    assert [fold.name for fold in folds] == ["f1", "f2", "f3", "f4", "f5", "f6"]
    assert folds[0].test == ("ravdess/01", "ravdess/11", "ravdess/20", "ravdess/21")
    assert sorted(s for fold in folds for s in fold.test) == list(RAVDESS)


def test_named_folds_keep_to_the_speakers_that_are_present() -> None:
    folds = splits.named("ravdess-emobox", RAVDESS[:4], n_dev=1, seed=0)
    assert {fold.name: fold.test for fold in folds} == {
        "f1": ("ravdess/01",),
        "f2": ("ravdess/04",),
        "f4": ("ravdess/03",),
        "f5": ("ravdess/02",),
    }


def test_named_folds_refuse_speakers_that_they_do_not_know() -> None:
    with pytest.raises(
        CorpusError, match="unlisted_speaker: the folds 'ravdess-emobox' gives 10 speakers no fold: emodb/03"
    ):
        splits.named("ravdess-emobox", RAVDESS + EMODB)
    with pytest.raises(UsageError, match=r"unknown folds 'ravdess-x'; expected one of \['ravdess-emobox'\]"):
        splits.named("ravdess-x", RAVDESS)


def test_folds_from_a_csv(tmp_path: Path) -> None:
    path = write_text(tmp_path / "folds.csv", "speaker;fold\r\nemodb/03;a\r\nemodb/08;b\r\nemodb/09;a\r\n")
    folds = splits.make(str(path), a_table(EMODB[:3]), n_dev=0)
    assert folds == (
        Fold("a", train=("emodb/08",), test=("emodb/03", "emodb/09")),
        Fold("b", train=("emodb/03", "emodb/09"), test=("emodb/08",)),
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "emodb/03,a\nemodb/03,b\n",
            "speaker_overlap: folds.csv line 3: speaker 'emodb/03' is in both fold 'a' and fold 'b'",
        ),
        (
            "emodb/03,a\nemodb/3,b\n",
            "unknown_speaker: folds.csv line 3: no utterance of the speaker 'emodb/3' is in the table",
        ),
        ("emodb/03,a\n", "unlisted_speaker: folds.csv gives 1 speakers no fold: emodb/08"),
        ("emodb/03,\n", "empty_cell: folds.csv line 2: the column 'fold' is empty"),
    ],
)
def test_a_wrong_csv_of_folds_is_refused(rows: str, message: str, tmp_path: Path) -> None:
    path = write_text(tmp_path / "folds.csv", "speaker,fold\n" + rows)
    with pytest.raises(CorpusError) as caught:
        splits.from_csv(path, EMODB[:2], n_dev=0)
    assert str(caught.value) == message


def test_unknown_kinds_of_folds_are_answered_with_the_known() -> None:
    with pytest.raises(UsageError) as caught:
        splits.make("ten-fold", a_table(EMODB))
    assert caught.value.message == (
        "unknown folds 'ten-fold'; expected one of ['leave-one-speaker-out', 'speaker-groups', "
        "'leave-one-session-out', 'all-speakers', 'ravdess-emobox'] or the path of a .csv"
    )


def test_the_real_ravdess_has_all_speakers_of_the_published_folds(shared_corpora: Path) -> None:
    table = corpora.read("ravdess", shared_corpora / "ravdess")
    for fold in splits.make("ravdess-emobox", table, n_dev=2, seed=1):
        train, dev, test = fold.select(table)
        assert (len(train), len(dev), len(test)) == (18 * 60, 2 * 60, 4 * 60)
        assert fold.unused(table) == ()
