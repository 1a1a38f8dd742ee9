"""Members of an ensemble: who they train on stands in the recipe, or is drawn evenly; nobody who tests is heard."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from speaker_tables import EMODB, GENDERS, IEMOCAP, RAVDESS, a_table
from voxaffect.errors import CorpusError, UsageError
from voxaffect.members import draw_members, fold_members, member_fold, resolved
from voxaffect.protocol_options import MemberOptions, ProtocolOptions
from voxaffect.recipe import DataOptions, Recipe
from voxaffect.splits import Fold

TEST = ("iemocap/Ses05F",)


def recipe(members: dict[str, MemberOptions]) -> Recipe:
    options = ProtocolOptions(folds="members", test_speakers=TEST)
    return Recipe("r", DataOptions(("iemocap",)), options, members=members)


def drawn(n: int, **protocol: Any) -> Recipe:
    options = ProtocolOptions(**{"folds": "members", "test_speakers": TEST, "members": n, **protocol})
    return Recipe("r", DataOptions(("iemocap",)), options)


M1 = MemberOptions(IEMOCAP[:4], IEMOCAP[4:5])
M2 = MemberOptions(IEMOCAP[2:6], IEMOCAP[6:7])


# --- drawn


def test_the_study_of_seven_is_drawn_evenly_and_without_the_partner() -> None:
    for seed in range(5):
        members = draw_members(a_table(IEMOCAP), 7, 4, 1, test=TEST, seed=seed)
        assert list(members) == [f"m{i}" for i in range(1, 8)]
        for member in members.values():
            assert Counter(GENDERS[s] for s in member.train) == {"female": 2, "male": 2}
            assert len(member.dev) == 1
            assert not {*member.train} & {*member.dev}
            assert not {"iemocap/Ses05F", "iemocap/Ses05M"} & {*member.train, *member.dev}
        assert len({member.train for member in members.values()}) == 7
        used = Counter(s for member in members.values() for s in member.train)
        assert set(used.values()) <= {3, 4}  # 28 places for eight speakers
        assert max(Counter(s for member in members.values() for s in member.dev).values()) <= 2


def test_more_speakers_share_less() -> None:
    test = ("ravdess/01", "ravdess/11", "ravdess/20", "ravdess/21")
    members = list(draw_members(a_table(RAVDESS), 7, 8, 2, test=test, seed=1).values())
    for member in members:
        assert Counter(GENDERS[s] for s in member.train) == {"female": 4, "male": 4}
        assert Counter(GENDERS[s] for s in member.dev) == {"female": 1, "male": 1}
        assert not {*member.train, *member.dev} & {*test}
    assert not {*members[0].train} & {*members[1].train}  # twenty speakers hold two members of eight
    assert all(len({*a.train} & {*b.train}) <= 5 for a, b in pairwise(members))


def test_the_same_seed_draws_the_same_members_whatever_the_order() -> None:
    first, other = (draw_members(a_table(s), 3, 4, 1, test=TEST, seed=7) for s in (IEMOCAP, IEMOCAP[::-1]))
    assert first == other
    assert first != draw_members(a_table(IEMOCAP), 3, 4, 1, test=TEST, seed=8)


def test_members_may_exhaust_what_can_be_chosen_but_not_go_beyond() -> None:
    table = a_table(EMODB[:5])
    members = draw_members(table, 4, 2, 1, test=EMODB[:1])  # two women and two men make four pairs of both
    assert len({m.train for m in members.values()}) == 4
    with pytest.raises(UsageError, match="4 speakers do not give 5 different choices of 2"):
        draw_members(table, 5, 2, 1, test=EMODB[:1])


@pytest.mark.parametrize(
    ("n", "n_train", "n_dev", "message"),
    [
        (
            2,
            8,
            1,
            "8 train and 1 dev speakers are more than the 8 who neither test nor share a session with one who",
        ),
        (3, 8, 0, "8 speakers do not give 3 different choices of 8; ask for fewer members"),
    ],
)
def test_too_few_speakers_are_refused(n: int, n_train: int, n_dev: int, message: str) -> None:
    with pytest.raises(UsageError, match=f"too_few_speakers: {message}"):
        draw_members(a_table(IEMOCAP), n, n_train, n_dev, test=TEST)


# --- drawn in each fold

FOLD = Fold("f1", RAVDESS[6:], RAVDESS[4:6], RAVDESS[:4])


def test_members_of_a_fold_take_turns_to_select_and_all_others_train() -> None:
    members = fold_members(FOLD, 7, 3, genders=GENDERS, seed=1)
    assert len({m.dev for m in members}) == 7
    for member in members:
        assert (member.name, member.test) == ("f1", FOLD.test)
        assert set(member.train) | set(member.dev) == set(RAVDESS[4:])
        assert len(Counter(GENDERS[s] for s in member.dev)) == 2
    turns = Counter(s for m in members for s in m.dev)
    assert max(turns.values()) <= 2  # 21 places for twenty speakers


def test_the_members_of_a_fold_are_the_same_for_the_same_seed_and_fold() -> None:
    drawn = fold_members(FOLD, 7, 3, genders=GENDERS, seed=1)
    again = fold_members(replace(FOLD, train=FOLD.train[::-1]), 7, 3, genders=GENDERS, seed=1)
    assert drawn == again
    assert drawn != fold_members(FOLD, 7, 3, genders=GENDERS, seed=2)
    other = fold_members(replace(FOLD, name="f2"), 7, 3, genders=GENDERS, seed=1)
    assert [m.dev for m in drawn] != [m.dev for m in other]


@pytest.mark.parametrize(
    ("n", "n_dev", "message"),
    [
        (2, 20, "fold 'f1' has 20 speakers who do not test; 20 dev speakers leave none to train on"),
        (21, 1, "the 20 speakers of fold 'f1' who do not test do not give 21 different choices of 1 dev"),
    ],
)
def test_too_few_speakers_in_a_fold_are_refused(n: int, n_dev: int, message: str) -> None:
    with pytest.raises(UsageError, match=f"too_few_speakers: {message}"):
        fold_members(FOLD, n, n_dev)


# --- in a recipe


def test_drawn_members_stand_in_the_recipe_from_then_on() -> None:
    asked = drawn(7, train_speakers=4, dev_speakers=1)
    named = resolved(asked, a_table(IEMOCAP))
    assert len(named.members) == 7
    assert named.protocol.members == 0
    assert resolved(named, a_table(IEMOCAP)) == named
    assert named.digest != asked.digest


def test_a_member_is_a_fold_of_its_own_speakers() -> None:
    both = recipe({"m1": M1, "m2": M2})
    assert resolved(both, a_table(IEMOCAP)) == both
    assert member_fold(both, "m2") == Fold("test", IEMOCAP[2:6], IEMOCAP[6:7], TEST)
    assert both.member("m2").members == {"m2": M2}
    assert both.member("m2").name == "r/m2"


def test_a_recipe_without_members_is_left_alone() -> None:
    plain = Recipe("r", DataOptions(("iemocap",)))
    assert resolved(plain, a_table(IEMOCAP)) is plain


def test_members_who_cannot_be_are_refused() -> None:
    table = a_table(IEMOCAP)
    with pytest.raises(
        UsageError, match=r"one_member: an ensemble needs two members or more, the recipe has \['m1'\]"
    ):
        resolved(recipe({"m1": M1}), table)
    with pytest.raises(
        CorpusError, match="member 'm2': speaker 'iemocap/Ses05F' is in both train and test of fold"
    ):
        resolved(recipe({"m1": M1, "m2": MemberOptions(TEST, IEMOCAP[:1])}), table)
    with pytest.raises(
        CorpusError, match="member 'm2': no utterance of iemocap/Ses06F is in the table; it has iemocap"
    ):
        resolved(recipe({"m1": M1, "m2": MemberOptions(("iemocap/Ses06F",), IEMOCAP[:1])}), table)
    with pytest.raises(CorpusError, match="test_speakers: no utterance of iemocap/Ses09F is in the table"):
        resolved(drawn(2, test_speakers=("iemocap/Ses09F",), train_speakers=4), table)


def test_each_member_of_a_recipe_is_its_own() -> None:
    with pytest.raises(
        ValueError, match="two members train and select on the same speakers; they would be one"
    ):
        recipe({"m1": M1, "m2": replace(M1, train=M1.train[::-1])})


def test_a_recipe_of_ordinary_folds_names_the_members_that_it_draws() -> None:
    drawn = Recipe("r", DataOptions(("ravdess",)), ProtocolOptions(folds="ravdess-emobox", members=3))
    assert drawn.is_study
    assert drawn.member_names == ("m1", "m2", "m3")
    assert resolved(drawn, a_table(RAVDESS)) is drawn
    second = drawn.member("m2")
    assert (second.name, second.protocol.member, second.is_study) == ("r/m2", 2, False)
    assert second.digest != drawn.member("m3").digest
