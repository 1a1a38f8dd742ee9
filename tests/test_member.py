"""Runs as members: read back, refused where they saw a speaker that they answer for, brought into one order."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import SPEAKERS, predictions, write_run
from voxaffect.errors import ArtefactError, CorpusError, UsageError
from voxaffect.member import Member, align, check_blind, read_member, read_members
from voxaffect.predictions import concat, write_csv
from voxaffect.trainings import Training, read_trainings


def member(seed: int = 0, *, train: tuple[str, ...] = ("c/8",), dev: tuple[str, ...] = ("c/7",)) -> Member:
    p = predictions(seed)
    return Member(f"runs/{seed}", p, (Training(1, "f1", train, dev, SPEAKERS),))


def test_a_run_is_read_with_its_speakers_and_dev_answers(tmp_path: Path) -> None:
    p, dev = predictions(1), predictions(2, speakers=("c/7",))
    run = write_run(tmp_path / "a", p, dev_predictions=dev)
    m = read_member(run)
    assert m.run == str(run)
    assert sorted(m.predictions.ids) == sorted(p.ids)
    assert m.training(1, "f1") == Training(1, "f1", ("c/8", "c/9"), ("c/7",), SPEAKERS)
    assert m.training(2, "f1") is None
    assert m.dev[1, "f1"].ids == dev.ids
    assert m.metadata is None


def test_a_predictions_file_is_a_member_of_which_nothing_more_is_known(tmp_path: Path) -> None:
    write_csv(predictions(), tmp_path / "theirs.csv")
    m = read_member(tmp_path / "theirs.csv")
    assert (m.trainings, dict(m.dev)) == ((), {})


def test_folds_of_utterances_are_read_back(tmp_path: Path) -> None:
    ids = {"train": ["c/1"], "dev": ["c/2"], "test": ["c/3"]}
    run = write_run(tmp_path, predictions(), more={"utterances": ids, "breaks": "something"})
    (training,) = read_trainings(run)
    assert training.utterances == {"train": ("c/1",), "dev": ("c/2",), "test": ("c/3",)}
    rows = training.rows(["c/3", "c/1", "c/9"], ["s", "s", "s"])
    assert rows == {"train": [1], "dev": [], "test": [0]}
    assert training.to_dict()["utterances"] == training.utterances
    by_speaker = replace(training, utterances={})
    assert by_speaker.rows(["c/3", "c/1"], ["c/8", "c/1"]) == {"train": [0], "dev": [], "test": [1]}
    assert "utterances" not in by_speaker.to_dict()


def test_members_are_named_after_what_tells_them_apart(tmp_path: Path) -> None:
    for place in ("cnn/a", "cnn/b", "vit/a"):
        write_run(tmp_path / place, predictions())
    runs = [tmp_path / "cnn/a", tmp_path / "cnn/b"]
    assert list(read_members(runs)) == ["a", "b"]
    assert list(read_members([*runs, tmp_path / "vit/a/predictions.csv"])) == ["cnn/a", "cnn/b", "vit/a"]
    with pytest.raises(UsageError, match="is named twice"):
        read_members([runs[0], runs[0] / "predictions.csv"])


def test_of_one_run_the_seeds_are_members(tmp_path: Path) -> None:
    n = len(predictions())
    both = concat([predictions(1), predictions(2, seeds=(2,) * n)])
    members = read_members([write_run(tmp_path / "run", both)])
    assert list(members) == ["seed 1", "seed 2"]
    assert members["seed 2"].predictions.distinct_seeds == (2,)
    assert [t.seed for t in members["seed 2"].trainings] == [2]
    with pytest.raises(UsageError, match="needs two members or more, got one run of one seed") as caught:
        read_members([write_run(tmp_path / "one", predictions())])
    assert caught.value.hint == "name several runs, or one run of several seeds"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"folds\.json is not JSON"),
        ("[1]", r"folds\.json holds int where an object is expected"),
        ('[{"seed": 1, "name": "f1", "train": [], "dev": []}]', r"folds\.json lacks 'folds\[0\]\.test'"),
        ("{}", r"folds\.json is no list"),
    ],
)
def test_damaged_folds_are_refused(tmp_path: Path, text: str, message: str) -> None:
    run = write_run(tmp_path, predictions())
    (run / "folds.json").write_text(text)
    with pytest.raises(ArtefactError, match=f"damaged_file: {message}"):
        read_member(run)


def test_a_blind_member_may_vote() -> None:
    check_blind("cnn", member())


@pytest.mark.parametrize(("part", "said"), [("train", "trained on"), ("dev", "was selected on")])
def test_a_member_that_saw_a_test_speaker_is_refused(part: str, said: str) -> None:
    seen = {"train": ("c/8",), "dev": ("c/7",), part: ("c/3", "c/9")}
    with pytest.raises(
        CorpusError, match=f"member 'cnn' {said} speaker 'c/3', for whom it answers"
    ) as caught:
        check_blind("cnn", member(train=seen["train"], dev=seen["dev"]))
    assert caught.value.code == "member_saw_test_speaker"
    with pytest.raises(CorpusError, match="speaker 'c/3'"):  # nor does trust help against what is known
        check_blind("cnn", member(train=seen["train"], dev=seen["dev"]), trust=True)


def test_it_is_judged_by_the_fold_and_seed_that_answered() -> None:
    """In a cross-validation each test speaker trains the other folds."""
    p = predictions()
    folds = tuple("a" if s in SPEAKERS[:3] else "b" for s in p.speakers)
    p = predictions(folds=folds)
    both = (
        Training(1, "a", SPEAKERS[3:], (), SPEAKERS[:3]),
        Training(1, "b", SPEAKERS[:3], (), SPEAKERS[3:]),
    )
    check_blind("cnn", Member("run", p, both))
    swapped = tuple(replace(t, train=t.test) for t in both)
    with pytest.raises(CorpusError, match="trained on speaker 'c/1'"):
        check_blind("cnn", Member("run", p, swapped))
    with pytest.raises(CorpusError, match="does not say who trained fold 'b' of seed 1"):
        check_blind("cnn", Member("run", p, both[:1]))


def test_a_fold_that_owns_up_to_it_may_vote() -> None:
    name = "OPTIMISTIC validation-on-test: f1"
    p = predictions(fold=name)
    check_blind("cnn", Member("run", p, (Training(1, name, ("c/8",), SPEAKERS, SPEAKERS),)))


def test_what_nobody_knows_is_refused_unless_it_is_trusted() -> None:
    unknown = Member("theirs.csv", predictions())
    with pytest.raises(CorpusError, match="nothing says which speakers trained it") as caught:
        check_blind("theirs", unknown)
    assert (caught.value.code, caught.value.where) == ("training_unknown", "theirs.csv")
    check_blind("theirs", unknown, trust=True)
    nameless = replace(member(), predictions=predictions(speakers=[""], n=60))
    with pytest.raises(CorpusError, match="do not say whose utterances they are"):
        check_blind("cnn", nameless)


def test_members_come_into_one_order() -> None:
    a, b = member(0), member(1)
    shuffled = np.random.default_rng(0).permutation(len(b.predictions))
    aligned = align({"a": a, "b": replace(b, predictions=b.predictions.select(shuffled))})
    assert aligned["a"].predictions.ids == aligned["b"].predictions.ids
    np.testing.assert_array_equal(aligned["b"].predictions.probs, b.predictions.probs)


def test_seeds_of_single_repetitions_need_not_agree() -> None:
    a = member(0)
    p = predictions(1, seeds=(7,) * len(a.predictions))
    dev = {(7, "f1"): predictions(2, speakers=["c/7"])}
    b = Member("b", p, (Training(7, "f1", ("c/8",), ("c/7",), SPEAKERS),), dev)
    aligned = align({"a": a, "b": b})
    assert aligned["a"].predictions.distinct_seeds == aligned["b"].predictions.distinct_seeds == (0,)
    assert aligned["b"].training(0, "f1") is not None
    assert list(aligned["b"].dev) == [(0, "f1")]


def test_members_that_differ_are_refused_with_numbers() -> None:
    a = member(0)
    p = a.predictions

    def against(other: Member) -> CorpusError:
        with pytest.raises(CorpusError) as caught:
            align({"cnn": a, "vit": other})
        return caught.value

    error = against(replace(a, predictions=p.select(range(1, 60))))
    assert error.code == "utterances_differ"
    assert error.message == "cnn gives 60 answers, vit 59; they share 59"
    wrong = np.array(p.truth)
    wrong[[3, 5]] = (wrong[[3, 5]] + 1) % 3
    error = against(replace(a, predictions=replace(p, truth=wrong, decisions=None)))
    assert error.code == "truth_differs"
    assert error.message.startswith("2 of 60 truths differ; 'c/003' is ")
    error = against(replace(a, predictions=replace(p, speakers=("c/x", *p.speakers[1:]))))
    assert (error.code, error.message) == (
        "speaker_differs",
        "'c/000' is of 'c/1' in cnn and of 'c/x' in vit",
    )
    error = against(replace(a, predictions=replace(p, labels=("angry", "bored", "sad"))))
    assert (error.code, error.message) == (
        "labels_differ",
        "cnn knows ['angry', 'happy', 'sad'], vit ['angry', 'bored', 'sad']; one set is needed",
    )
    two = concat([p, replace(p, seeds=(2,) * 60)])
    error = against(replace(a, predictions=two))
    assert error.message == "members have different seeds (cnn: [1]; vit: [1, 2])"


def test_an_ensemble_can_be_a_member(tmp_path: Path) -> None:
    from voxaffect.ensemble import ensemble

    runs = [write_run(tmp_path / f"m{i}", predictions(i), train=(f"c/{20 + i}",)) for i in range(4)]
    for name, pair in (("first", runs[:2]), ("second", runs[2:])):
        ensemble(read_members(pair), tmp_path / name)
    both = ensemble(read_members([tmp_path / "first", tmp_path / "second"]), tmp_path / "all")
    assert json.loads((tmp_path / "all" / "folds.json").read_text())[0]["train"] == [
        "c/20",
        "c/21",
        "c/22",
        "c/23",
    ]
    assert [m.train for m in both.members] == [("c/20", "c/21"), ("c/22", "c/23")]
