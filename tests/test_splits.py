"""Folds: no speaker in two parts, every speaker tested once, the same seed the same folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from speaker_tables import ALL, EMODB, GENDERS, RAVDESS, a_table
from voxaffect import protocols, splits
from voxaffect.errors import CorpusError, UsageError
from voxaffect.splits import Fold, Rows


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


def test_rows_give_each_part_its_utterances_and_name_the_unused() -> None:
    fold = Fold("f", train=("emodb/03",), dev=("emodb/08",), test=("emodb/09",))
    table = a_table(["emodb/09", "emodb/03", "emodb/08", "emodb/03", "emodb/16"])
    assert fold.rows(table) == Rows(train=(1, 3), dev=(2,), test=(0,))
    assert fold.unused(table) == ("emodb/16",)


def test_rows_refuse_a_part_without_utterances_but_not_one_without_speakers() -> None:
    fold = Fold("f", train=("emodb/03",), test=("emodb/09",))
    with pytest.raises(CorpusError) as caught:
        fold.rows(a_table(["emodb/03"]))
    assert str(caught.value) == (
        "empty_part: the table has no utterance of the test speakers of fold 'f': emodb/09"
    )
    assert Fold("all", train=("emodb/03",)).rows(a_table(["emodb/03"])) == Rows((0,), (), ())


def test_a_fold_breaks_no_rule_and_says_who_is_in_it() -> None:
    fold = Fold("f", train=("b", "a"), dev=("c",), test=("d",))
    assert not fold.selects_on_test
    assert not fold.mixes_speakers
    assert fold.to_dict() == {"name": "f", "train": ("a", "b"), "dev": ("c",), "test": ("d",)}


# --- what all kinds of folds have in common


def folds_of(kind: str, seed: int, speakers: Sequence[str]) -> tuple[Fold, ...]:
    folds = protocols.make(kind, a_table(speakers), groups=5, n_dev=3, seed=seed)
    assert all(isinstance(fold, Fold) for fold in folds)
    return folds


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
