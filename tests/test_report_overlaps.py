"""Overlaps between test utterances and those that trained or selected are found, each kind, and nothing else is."""

from __future__ import annotations

from voxaffect.report.overlaps import KINDS, Overlap, broken_rules, overlaps
from voxaffect.trainings import Training

FACTS = {
    "c/1": {
        "id": "c/1",
        "speaker": "c/a",
        "corpus": "c",
        "session": "s1",
        "text": "Hello,  there!",
        "label": "sad",
    },
    "c/2": {
        "id": "c/2",
        "speaker": "c/b",
        "corpus": "c",
        "session": "s1",
        "text": "hello there",
        "label": "sad",
    },
    "c/3": {"id": "c/3", "speaker": "c/c", "corpus": "c", "session": "s2", "text": "bye", "label": "sad"},
    "c/4": {"id": "c/4", "speaker": "c/c", "corpus": "c", "session": "s2", "text": "", "label": "angry"},
    "d/5": {"id": "d/5", "speaker": "d/e", "corpus": "d", "session": "s1", "text": "bye", "label": "sad"},
}


def found(*trainings: Training) -> dict[tuple[str, str], Overlap]:
    return {(o.kind, o.part): o for o in overlaps(trainings, FACTS)}


def test_a_session_and_a_text_that_are_met_again_are_counted() -> None:
    o = found(Training(1, "f", ("c/b",), ("c/c",), ("c/a",)))
    assert o["speaker", "train"].shared == 0
    assert (o["session", "train"].shared, o["session", "train"].known) == (1, 1)
    assert (o["text", "train"].shared, o["text", "train"].example) == (1, "c / hello there")
    assert o["session", "dev"].shared == o["text", "dev"].shared == 0


def test_a_session_or_text_of_another_corpus_is_another() -> None:
    o = found(Training(1, "f", ("d/e",), ("c/c",), ("c/a",)))
    assert o["session", "train"].shared == 0
    o = found(Training(1, "f", ("d/e",), (), ("c/c",)))
    assert (o["text", "train"].shared, o["text", "train"].known) == (0, 1)  # c/4 says no text


def test_a_speaker_on_both_sides_is_found_with_takes() -> None:
    o = found(Training(1, "f", ("c/c",), (), ("c/c",)))
    assert (o["speaker", "train"].shared, o["speaker", "train"].known) == (2, 2)
    assert (o["take", "train"].shared, o["take", "train"].known) == (1, 1)


def test_a_fold_of_utterances_is_read_by_its_ids() -> None:
    ids = {"train": ("c/3",), "dev": ("c/1",), "test": ("c/4",)}
    o = found(Training(1, "f", ("c/c",), ("c/a",), ("c/c",), ids))
    assert (o["speaker", "train"].shared, o["speaker", "train"].known) == (1, 1)
    assert o["speaker", "dev"].shared == 0


def test_folds_add_up_and_those_that_share_are_counted() -> None:
    o = found(Training(1, "f1", ("c/b",), (), ("c/a",)), Training(1, "f2", ("c/b",), (), ("c/c",)))
    session = o["session", "train"]
    assert (session.shared, session.known, session.folds, session.of_folds) == (1, 3, 1, 2)


def test_what_is_not_known_of_any_utterance_is_no_kind() -> None:
    assert {kind for kind, _ in found(Training(1, "f", ("c/b",), (), ("c/a",)))} == set(KINDS) - {"dialogue"}


def test_without_folds_or_facts_there_is_nothing_to_say() -> None:
    assert overlaps([], FACTS) == ()
    assert overlaps([Training(1, "f", ("c/a",), (), ())], FACTS) == ()  # nobody tests
    assert overlaps([Training(1, "f", ("c/a",), (), ("c/b",))], {}) == ()


def test_broken_rules_are_named() -> None:
    assert broken_rules([Training(1, "f", ("c/a",), ("c/b",), ("c/c",))]) == ()
    assert broken_rules([Training(1, "f", ("c/a",), (), ("c/a",))]) == ("test speakers are trained on",)
    assert broken_rules([Training(1, "f", (), ("c/a",), ("c/a",))]) == (
        "the epoch is chosen on test speakers",
    )
