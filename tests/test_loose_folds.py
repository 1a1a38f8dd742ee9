"""Folds that break a rule say which, in their name too; folds of utterances are disjoint all the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from corpus_trees import write_text
from speaker_tables import EMODB, a_table
from voxaffect import loose_folds, protocols
from voxaffect.errors import CorpusError, UsageError
from voxaffect.loose_folds import SelectedOnTest, UtteranceFold
from voxaffect.splits import Rows

TABLE = a_table(EMODB[:4] * 5)  # twenty utterances of four speakers


# --- selection on test


def test_selection_on_test_is_stamped_and_says_what_it_breaks() -> None:
    fold = SelectedOnTest("f1", train=("emodb/08", "emodb/03"), test=("emodb/09",))
    assert fold.name == "OPTIMISTIC validation-on-test: f1"
    assert fold.selects_on_test
    assert not fold.mixes_speakers
    rows = fold.rows(TABLE)
    assert rows.dev == rows.test == tuple(range(2, 20, 4))
    assert {TABLE[row].speaker for row in rows.train} == {"emodb/03", "emodb/08"}
    assert fold.to_dict() == {
        "name": "OPTIMISTIC validation-on-test: f1",
        "train": ("emodb/03", "emodb/08"),
        "dev": ("emodb/09",),
        "test": ("emodb/09",),
        "breaks": "selection on the test speakers",
    }


def test_the_stamp_is_put_on_once() -> None:
    fold = SelectedOnTest("f1", ("a",), ("b",))
    assert SelectedOnTest(fold.name, fold.train, fold.test) == fold


def test_even_so_no_test_speaker_trains() -> None:
    with pytest.raises(CorpusError, match="speaker 'a' is in both train and test of fold 'f'"):
        SelectedOnTest("f", ("a", "b"), ("a",))
    with pytest.raises(CorpusError, match="empty_part: fold 'f' has no test speakers to select on"):
        SelectedOnTest("f", ("a",), ())
    with pytest.raises(CorpusError, match="no utterance of the test speakers of fold 'OPTIMISTIC validation"):
        SelectedOnTest("f", ("emodb/03",), ("emodb/16",)).rows(TABLE)


# --- utterances


def test_a_random_split_tests_every_utterance_once_whoever_speaks() -> None:
    folds = loose_folds.random_split(TABLE, 10, seed=3)
    assert folds == loose_folds.random_split(TABLE, 10, seed=3)
    assert folds != loose_folds.random_split(TABLE, 10, seed=4)
    assert Counter(row for fold in folds for row in fold.rows(TABLE).test) == Counter(range(20))
    assert Counter(row for fold in folds for row in fold.rows(TABLE).dev) == Counter(range(20))
    for fold in folds:
        rows = fold.rows(TABLE)
        assert tuple(map(len, rows)) == (16, 2, 2)  # 8:1:1
        assert sorted(rows.train + rows.dev + rows.test) == list(range(20))
        assert fold.name.startswith("OPTIMISTIC random-split: group")
        assert fold.mixes_speakers
        assert not fold.selects_on_test


def test_a_random_split_is_the_same_whatever_the_order_of_the_table() -> None:
    turned = type(TABLE)(TABLE.utterances[::-1])
    for a, b in zip(loose_folds.random_split(TABLE, 5), loose_folds.random_split(turned, 5), strict=True):
        assert [set(ids) for ids in a.ids] == [set(ids) for ids in b.ids]


@pytest.mark.parametrize("k", [2, 21])
def test_impossible_numbers_of_random_groups_are_refused(k: int) -> None:
    with pytest.raises(
        UsageError, match=f"too_many_groups: {k} random groups of 20 utterances; expected 3 to 20"
    ):
        loose_folds.random_split(TABLE, k)


def test_a_fold_of_utterances_says_who_is_in_it_and_which() -> None:
    fold = UtteranceFold.of("f", TABLE, Rows((0, 1, 4), (2,), (3, 7)))
    assert fold.rows(TABLE) == Rows((0, 1, 4), (2,), (3, 7))
    assert fold.to_dict() == {
        "name": "f",
        "train": ("emodb/03", "emodb/08"),
        "dev": ("emodb/09",),
        "test": ("emodb/10",),
        "breaks": "",
        "utterances": {
            "train": ("emodb/03_0", "emodb/08_1", "emodb/03_4"),
            "dev": ("emodb/09_2",),
            "test": ("emodb/10_3", "emodb/10_7"),
        },
    }


def test_a_fold_of_utterances_cannot_hide_what_it_breaks() -> None:
    with pytest.raises(ValueError, match="fold 'f' tests speakers that it has seen; its name must say so"):
        UtteranceFold.of("f", TABLE, Rows((0,), (1,), (4,)))
    with pytest.raises(ValueError, match="its name must say so"):
        UtteranceFold.of("f", TABLE, Rows((0,), (1,), (5,)))  # seen in selection alone
    named = UtteranceFold.of("OPTIMISTIC seen-speakers: f", TABLE, Rows((0,), (1,), (4,)))
    assert named.to_dict()["breaks"] == "test speakers are seen in training or selection"


def test_parts_of_utterances_are_disjoint_and_none_is_empty() -> None:
    with pytest.raises(
        CorpusError, match="utterance 'emodb/03_0' is in both train and test of fold 'OPTIMISTIC x'"
    ):
        UtteranceFold.of("OPTIMISTIC x", TABLE, Rows((0,), (1,), (0,)))
    for rows, part in (
        (Rows((), (1,), (2,)), "train"),
        (Rows((0,), (), (2,)), "dev"),
        (Rows((0,), (1,), ()), "test"),
    ):
        with pytest.raises(CorpusError, match=f"empty_part: fold 'f' has no {part} utterances"):
            UtteranceFold.of("f", TABLE, rows)


def test_utterances_that_a_table_lacks_are_named() -> None:
    fold = UtteranceFold.of("f", TABLE, Rows((0,), (1,), (2,)))
    with pytest.raises(
        CorpusError, match=r"unknown_id: 1 utterances of fold 'f' are not in the table, .* 'emodb/09_2'"
    ):
        fold.rows(TABLE.where(lambda u: u.speaker != "emodb/09"))


# --- anyone's splits


def test_splits_of_ids_from_a_csv(tmp_path: Path) -> None:
    rows = ["id,fold,split,note", "emodb/03_0,a,train,x", "emodb/08_1,a,val,", "emodb/09_2,a,TEST,"]
    rows += ["emodb/09_2,b,train,", "emodb/08_1,b,validation,", "emodb/03_0,b,test,", "emodb/03_4,b,test,"]
    path = write_text(tmp_path / "splits.csv", "\n".join(rows))
    folds = protocols.make(str(path), TABLE)
    assert [fold.name for fold in folds] == ["a", "b"]
    assert folds[0].rows(TABLE) == Rows((0,), (1,), (2,))
    assert folds[1].rows(TABLE) == Rows((2,), (1,), (0, 4))
    assert not any(fold.mixes_speakers for fold in folds)


def test_a_csv_that_tests_seen_speakers_needs_permission_and_is_stamped(tmp_path: Path) -> None:
    text = "id,fold,split\nemodb/03_0,a,train\nemodb/08_1,a,dev\nemodb/03_4,a,test\n"
    path = write_text(tmp_path / "splits.csv", text)
    with pytest.raises(CorpusError) as caught:
        protocols.make(str(path), TABLE)
    assert str(caught.value) == (
        "speaker_overlap: fold 'a' tests 1 speakers who also train or select, the first is 'emodb/03'; "
        "set protocol.allow_speaker_overlap = true to train it all the same, stamped OPTIMISTIC"
    )
    (fold,) = protocols.make(str(path), TABLE, allow_speaker_overlap=True)
    assert fold.name == "OPTIMISTIC seen-speakers: a"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "emodb/99,a,train\n",
            "unknown_id: splits.csv line 2: no utterance 'emodb/99' is in the table; "
            "leave out the lines of classes that the recipe leaves out",
        ),
        (
            "emodb/03_0,a,eval\n",
            "unknown_split: splits.csv line 2: split is 'eval'; expected one of ['train', 'dev',",
        ),
        (
            "emodb/03_0,a,train\nemodb/03_0,a,test\n",
            "duplicate_id: splits.csv line 3: utterance 'emodb/03_0' stands in line 2 of fold 'a' already",
        ),
        ("emodb/03_0,a,\n", "empty_cell: splits.csv line 2: the column 'split' is empty"),
        ("emodb/03_0,a,train\nemodb/09_2,a,test\n", "empty_part: fold 'a' has no dev utterances"),
    ],
)
def test_wrong_splits_of_ids_are_refused(rows: str, message: str, tmp_path: Path) -> None:
    path = write_text(tmp_path / "splits.csv", "id,fold,split\n" + rows)
    with pytest.raises(CorpusError) as caught:
        protocols.make(str(path), TABLE)
    assert str(caught.value).startswith(message)


def test_a_csv_of_neither_kind_says_which_column_it_lacks(tmp_path: Path) -> None:
    path = write_text(tmp_path / "splits.csv", "id,fold\nemodb/03_0,a\n")
    with pytest.raises(CorpusError, match=r"missing_column: splits.csv line 1: no column 'speaker'"):
        protocols.make(str(path), TABLE)
