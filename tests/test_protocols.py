"""The folds that recipes name: sessions of two, published folds, anyone's CSV."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_trees import write_text
from speaker_tables import EMODB, IEMOCAP, RAVDESS, a_table
from voxaffect import corpora, protocols
from voxaffect.errors import CorpusError, UsageError
from voxaffect.splits import Fold


def test_one_session_tests_at_a_time() -> None:
    folds = protocols.make("leave-one-session-out", a_table(IEMOCAP), n_dev=1, seed=3)
    assert [fold.name for fold in folds] == [f"iemocap/Ses0{i}" for i in range(1, 6)]
    assert folds[0].test == ("iemocap/Ses01F", "iemocap/Ses01M")
    assert all(len(fold.train) == 7 and len(fold.dev) == 1 for fold in folds)


def test_sessions_must_be_known_and_share_no_speaker() -> None:
    with pytest.raises(CorpusError) as caught:
        protocols.leave_one_session_out(a_table(["emodb/03", "emodb/08"], ["s1", None]))
    assert str(caught.value) == (
        "no_sessions: 1 utterances have no session, the first is 'emodb/08_1'; "
        "use leave-one-speaker-out or speaker-groups"
    )
    table = a_table(["emodb/03", "emodb/08", "emodb/03"], ["s1", "s1", "s2"])
    with pytest.raises(CorpusError, match="speaker 'emodb/03' is in both session 'emodb/s1' and 'emodb/s2'"):
        protocols.leave_one_session_out(table)


# --- sessions of two


def session_of(speaker: str) -> str:
    return speaker[:-1]


def test_by_speaker_the_partner_selects_and_neither_trains() -> None:
    folds = protocols.make("8:1:1-by-speaker", a_table(IEMOCAP), seed=1)
    assert [fold.name for fold in folds] == list(IEMOCAP)
    for fold in folds:
        assert isinstance(fold, Fold)
        assert fold.test == (fold.name,)
        (dev,) = fold.dev
        assert dev != fold.name
        assert session_of(dev) == session_of(fold.name)
        assert len(fold.train) == 8
        assert session_of(fold.name) not in map(session_of, fold.train)


def test_by_session_one_of_each_two_tests_the_other_selects() -> None:
    drawn = set()
    for seed in range(6):
        folds = protocols.make("8:1:1-by-session", a_table(IEMOCAP), seed=seed)
        assert folds == protocols.make("8:1:1-by-session", a_table(IEMOCAP[::-1]), seed=seed)
        assert [fold.name for fold in folds] == [f"iemocap/Ses0{i}" for i in range(1, 6)]
        for fold in folds:
            assert isinstance(fold, Fold)
            assert {*fold.dev, *fold.test} == {f"{fold.name}F", f"{fold.name}M"}
            assert len(fold.train) == 8
            assert not {*fold.train} & {*fold.dev, *fold.test}
        drawn.add(tuple(fold.test for fold in folds))
    assert len(drawn) > 1


def test_sessions_of_two_may_be_of_any_corpus() -> None:
    table = a_table(EMODB[:6], ["a", "a", "b", "b", "c", "c"])
    folds = protocols.partner_selects(table)
    assert folds[0] == Fold("emodb/03", train=EMODB[2:6], dev=("emodb/08",), test=("emodb/03",))


@pytest.mark.parametrize("kind", ["8:1:1-by-speaker", "8:1:1-by-session"])
def test_sessions_of_another_number_are_refused(kind: str) -> None:
    table = a_table(EMODB[:5], ["a", "a", "b", "b", "b"])
    with pytest.raises(CorpusError) as caught:
        protocols.make(kind, table)
    assert str(caught.value) == (
        "not_pairs: session 'emodb/b' has 3 speakers (emodb/09, emodb/10, emodb/11); these folds take sessions of "
        "two; use leave-one-session-out"
    )
    with pytest.raises(CorpusError, match="no_sessions: 10 utterances have no session"):
        protocols.make(kind, a_table(EMODB))


def test_a_single_session_leaves_nobody_to_train() -> None:
    with pytest.raises(CorpusError, match="fold 'emodb/03' has no train speakers"):
        protocols.partner_selects(a_table(EMODB[:2], ["a", "a"]))


# --- as others publish them


def test_emobox_tests_one_session_of_iemocap_at_a_time() -> None:
    folds = protocols.make("iemocap-emobox", a_table(IEMOCAP), n_dev=1, seed=0)
    assert [fold.name for fold in folds] == ["f1", "f2", "f3", "f4", "f5"]
    assert [fold.test for fold in folds] == [IEMOCAP[2 * i : 2 * i + 2] for i in range(5)]


def test_the_folds_of_emobox_test_each_actor_once() -> None:
    folds = protocols.named("ravdess-emobox", RAVDESS, n_dev=4, seed=0)
    assert [fold.name for fold in folds] == ["f1", "f2", "f3", "f4", "f5", "f6"]
    assert folds[0].test == ("ravdess/01", "ravdess/11", "ravdess/20", "ravdess/21")
    assert sorted(s for fold in folds for s in fold.test) == list(RAVDESS)


def test_named_folds_keep_to_the_speakers_that_are_present() -> None:
    folds = protocols.named("ravdess-emobox", RAVDESS[:4], n_dev=1, seed=0)
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
        protocols.named("ravdess-emobox", RAVDESS + EMODB)
    with pytest.raises(
        UsageError, match=r"unknown folds 'ravdess-x'; expected one of \['ravdess-emobox', 'iemocap-emobox'\]"
    ):
        protocols.named("ravdess-x", RAVDESS)


def test_folds_from_a_csv(tmp_path: Path) -> None:
    path = write_text(tmp_path / "folds.csv", "speaker;fold\r\nemodb/03;a\r\nemodb/08;b\r\nemodb/09;a\r\n")
    folds = protocols.make(str(path), a_table(EMODB[:3]), n_dev=0)
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
        protocols.from_csv(path, EMODB[:2], n_dev=0)
    assert str(caught.value) == message


def test_unknown_kinds_of_folds_are_answered_with_the_known() -> None:
    with pytest.raises(UsageError) as caught:
        protocols.make("ten-fold", a_table(EMODB))
    assert caught.value.message == (
        "unknown folds 'ten-fold'; expected one of ['leave-one-speaker-out', 'speaker-groups', "
        "'leave-one-session-out', 'leave-one-corpus-out', '8:1:1-by-speaker', '8:1:1-by-session', 'all-speakers', "
        "'random', "
        "'ravdess-emobox', 'iemocap-emobox'], 'members' or the path of a .csv"
    )


def test_the_real_ravdess_has_all_speakers_of_the_published_folds(shared_corpora: Path) -> None:
    table = corpora.read("ravdess", shared_corpora / "ravdess")
    for fold in protocols.make("ravdess-emobox", table, n_dev=2, seed=1):
        assert isinstance(fold, Fold)
        assert tuple(map(len, fold.rows(table))) == (18 * 60, 2 * 60, 4 * 60)
        assert fold.unused(table) == ()


# --- corpora


def test_one_corpus_tests_at_a_time_and_none_of_its_speakers_trains() -> None:
    table = a_table([*EMODB, *RAVDESS])
    folds = protocols.make("leave-one-corpus-out", table, n_dev=3, seed=2)
    assert [fold.name for fold in folds] == ["emodb", "ravdess"]
    for fold in folds:
        assert {s.split("/")[0] for s in fold.test} == {fold.name}
        assert fold.name not in {s.split("/")[0] for s in (*fold.train, *fold.dev)}
        assert len(fold.dev) == 3
        assert set(fold.speakers) == set(table.speakers)
    assert folds == protocols.make("leave-one-corpus-out", a_table([*RAVDESS, *EMODB]), n_dev=3, seed=2)


def test_a_single_corpus_cannot_be_left_out() -> None:
    with pytest.raises(UsageError) as caught:
        protocols.make("leave-one-corpus-out", a_table(EMODB))
    assert str(caught.value) == (
        "one_corpus: leave-one-corpus-out needs two corpora or more, the table has ['emodb']; "
        "name more in data.corpora, or use leave-one-speaker-out"
    )
