"""Predictions: checked at construction, and the same after a trip through a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voxaffect.errors import ArtefactError, CorpusError, UsageError
from voxaffect.predictions import (
    Predictions,
    concat,
    names_of,
    predictions_file,
    read_column,
    read_csv,
    read_run,
    write_csv,
)

LABELS = ("angry", "happy", "sad")


def make(**changes: Any) -> Predictions:
    fields: dict[str, Any] = {
        "ids": ("c/1", "c/2", "c/3"),
        "speakers": ("c/a", "c/a", "c/b"),
        "folds": ("f1", "f1", "f2"),
        "labels": LABELS,
        "truth": np.array([0, 1, 2]),
        "probs": np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.2, 0.6]]),
    }
    return Predictions(**{**fields, **changes})


def same(a: Predictions, b: Predictions) -> bool:
    words = all(
        getattr(a, f) == getattr(b, f) for f in ("ids", "speakers", "folds", "labels", "seeds", "has_probs")
    )
    arrays = np.array_equal(a.truth, b.truth) and np.array_equal(a.predicted, b.predicted)
    return (
        words and arrays and np.allclose(a.probs, b.probs, rtol=0, atol=2e-6)
    )  # 6 digits, then made to add up


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


# the value


def test_the_prediction_is_the_most_probable_class_and_confidence_its_probability() -> None:
    p = make()
    assert p.predicted.tolist() == [0, 2, 2]
    assert p.confidence.tolist() == [0.7, 0.6, 0.6]
    assert p.seeds == (0, 0, 0)
    assert len(p) == 3


def test_a_vote_may_decide_against_the_most_probable_class() -> None:
    p = make(decisions=np.array([1, 2, 2]))
    assert p.predicted.tolist() == [1, 2, 2]
    assert p.confidence.tolist() == [0.2, 0.6, 0.6]
    assert make(decisions=np.array([0, 2, 2])).decisions is None


def test_arrays_cannot_be_changed_afterwards_and_are_copies() -> None:
    probs = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.2, 0.6]])
    p = make(probs=probs)
    probs[0] = 0
    assert p.probs[0, 0] == 0.7
    with pytest.raises(ValueError, match="read-only"):
        p.probs[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        p.truth[0] = 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("sad", "angry", "happy")}, "alphabetical order"),
        ({"labels": ("angry", "angry", "sad")}, "distinct"),
        ({"labels": ("angry",)}, "two or more"),
        ({"speakers": ("a",)}, "speakers has 1 entries for 3 ids"),
        ({"folds": ()}, "folds has 0 entries for 3 ids"),
        ({"seeds": (1, 2)}, "seeds has 2 entries for 3 ids"),
        ({"truth": np.array([0, 1])}, r"truth has shape \(2,\); expected \(3,\)"),
        ({"truth": np.array([0, 1, 3])}, "truth holds class 0 to 3; expected 0 to 2"),
        ({"truth": np.array([0, 1, -1])}, "truth holds class -1 to 1"),
        ({"truth": np.array([0.0, 1.0, 2.0])}, "truth must be whole numbers, got float64"),
        ({"decisions": np.array([0, 1, 9])}, "decisions holds class 0 to 9"),
        ({"probs": np.ones((3, 2)) / 2}, r"probs has shape \(3, 2\)"),
        ({"probs": np.full((3, 3), np.nan)}, "finite"),
        ({"probs": np.array([[1.5, -0.5, 0], [1, 0, 0], [1, 0, 0]])}, "not negative"),
        ({"probs": np.array([[1, 0, 0], [0.5, 0.2, 0], [1, 0, 0]])}, r"'c/2' add up to 0.7000, not 1"),
        ({"ids": ("c/1", "c/1", "c/3")}, "'c/1' stands 2 times in seed 0"),
    ],
)
def test_what_is_not_valid_is_refused_at_construction(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_the_same_id_may_stand_once_for_each_seed() -> None:
    p = make(ids=("c/1", "c/1", "c/2"), seeds=(0, 1, 1), speakers=("a", "a", "b"))
    assert p.distinct_seeds == (0, 1)
    assert p.of_seed(1).ids == ("c/1", "c/2")


def test_selecting_by_mask_and_by_index_agree() -> None:
    p = make(decisions=np.array([1, 2, 2]))
    assert same(p.select(np.array([False, True, True])), p.select([1, 2]))
    assert p.select([2, 0]).ids == ("c/3", "c/1")
    with pytest.raises(ValueError, match=r"mask has shape \(2,\)"):
        p.select(np.array([True, False]))


def test_putting_parts_together_keeps_every_field() -> None:
    p = make(decisions=np.array([1, 2, 2]), seeds=(3, 3, 3))
    parts = [p.select([0]), p.select([1, 2])]
    assert parts[1].decisions is None  # the vote differs in the first part only
    assert same(concat(parts), p)
    with pytest.raises(ValueError, match="labels differ"):
        concat([p, make(labels=("angry", "happy", "zzz"), ids=("x", "y", "z"))])
    with pytest.raises(ValueError, match="nothing to put together"):
        concat([])


# the file

NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8).map(
    lambda s: f'c/{s},";\n{s}'
)


@st.composite
def predictions(draw: st.DrawFn) -> Predictions:
    pairs = draw(st.lists(st.tuples(st.integers(0, 2), NAMES), min_size=1, max_size=6, unique=True))
    n = len(pairs)
    labels = tuple(sorted(draw(st.sets(st.sampled_from(["angry", "calm", "happy", "sad"]), min_size=2))))
    weights = st.lists(st.floats(0, 1), min_size=len(labels), max_size=len(labels)).filter(
        lambda w: sum(w) > 0.1
    )
    probs = np.array([draw(weights) for _ in range(n)])
    classes = st.lists(st.integers(0, len(labels) - 1), min_size=n, max_size=n)
    return Predictions(
        ids=tuple(name for _, name in pairs),
        speakers=tuple(draw(st.lists(st.sampled_from(["c/a", "c/ü", ""]), min_size=n, max_size=n))),
        folds=tuple(draw(st.lists(st.sampled_from(["f1", "f 2", ""]), min_size=n, max_size=n))),
        labels=labels,
        truth=np.array(draw(classes)),
        probs=probs / probs.sum(axis=1, keepdims=True),
        seeds=tuple(seed for seed, _ in pairs),
        decisions=np.array(draw(classes)),
    )


@given(predictions())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_again_in_sorted_order(tmp_path: Path, p: Predictions) -> None:
    write_csv(p, tmp_path / "predictions.csv")
    again = read_csv(tmp_path / "predictions.csv")
    assert same(again, p.sorted())
    write_csv(again, tmp_path / "again.csv")
    assert same(read_csv(tmp_path / "again.csv"), again)


def test_the_file_is_exactly_this(tmp_path: Path) -> None:
    p = make(
        seeds=(1, 0, 0),
        probs=np.array([[1 / 3, 1 / 3, 1 / 3], [0, 0.5, 0.5], [0, 0, 1]]),
        decisions=np.array([2, 1, 2]),
    )
    write_csv(p, tmp_path / "predictions.csv")
    assert (tmp_path / "predictions.csv").read_bytes().decode() == (
        "id,speaker,fold,seed,truth,prediction,prob_angry,prob_happy,prob_sad\n"
        "c/2,c/a,f1,0,happy,happy,0,0.5,0.5\n"
        "c/3,c/b,f2,0,sad,sad,0,0,1\n"
        "c/1,c/a,f1,1,angry,sad,0.333333,0.333333,0.333333\n"
    )
    assert [f.name for f in tmp_path.iterdir()] == ["predictions.csv"]


def test_a_file_without_probabilities_gets_none_and_says_so(tmp_path: Path) -> None:
    p = read_csv(write(tmp_path / "p.csv", "id,truth,prediction\na,sad,happy\nb,angry,angry\n"))
    assert p.labels == LABELS
    assert not p.has_probs
    assert p.predicted.tolist() == [1, 0]
    assert p.probs.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert not p.has_speakers
    write_csv(p, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text().splitlines()[0] == "id,speaker,fold,seed,truth,prediction"
    assert same(read_csv(tmp_path / "again.csv"), p)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("id;truth;prediction;prob_sad;prob_happy\r\nä;sad;sad;0,75;0,25\r\n\r\n", "utf-8-sig"),
        ("id\ttruth\tprediction\tprob_sad\tprob_happy\tmore\nä\tsad\tsad\t0.75\t0.25\tx\n", "utf-16"),
        ("prob_happy,id, truth ,prediction,prob_sad\n0.25,ä, sad,sad ,0.75", "cp1252"),
    ],
)
def test_spreadsheets_of_any_kind_are_read(tmp_path: Path, text: str, encoding: str) -> None:
    p = read_csv(write(tmp_path / "p.csv", text, encoding))
    assert p.ids == ("ä",)
    assert p.labels == ("happy", "sad")
    assert p.probs.tolist() == [[0.25, 0.75]]


def test_labels_keep_their_case_and_rounded_probabilities_are_scaled(tmp_path: Path) -> None:
    text = "id,truth,prediction,prob_Ang,prob_Hap,prob_Sad\n1,Ang,Hap,0.33,0.33,0.33\n2,Sad,Sad,0,0,1\n"
    p = read_csv(write(tmp_path / "p.csv", text))
    assert p.labels == ("Ang", "Hap", "Sad")
    assert p.probs[0].tolist() == pytest.approx([1 / 3] * 3)
    assert p.predicted.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", "empty_table", "empty"),
        ("id,truth,prediction\n", "empty_table", "no rows"),
        ("id,truth\na,sad\n", "missing_column", "no column 'prediction'"),
        ("id,truth,prediction,seed,seed\n1,sad,sad,1,1\n", "duplicate_column", "'seed' stands twice"),
        ("id,truth,prediction\n1,sad\n", "bad_row", "line 2: 2 cells for 3 columns"),
        ("id,truth,prediction\n1,sad,\n", "empty_cell", "line 2: the column 'prediction' is empty"),
        ("id,truth,prediction\n,sad,happy\n", "empty_cell", "line 2: the column 'id' is empty"),
        ("id,truth,prediction\n1,sad,sad\n", "too_few_labels", "only one label, 'sad'"),
        (
            "id,truth,prediction\n1,sad,happy\n2,sad,sad\n1,sad,sad\n",
            "duplicate_id",
            "line 4: id '1' stands in line 2",
        ),
        (
            "id,truth,prediction,seed\n1,sad,happy,x\n",
            "bad_seed",
            "line 2: seed is 'x'; expected a whole number",
        ),
        (
            "id,truth,prediction,prob_sad,prob_happy\n1,sad,angry,1,0\n",
            "unknown_label",
            "line 2: prediction is 'angry'",
        ),
        (
            "id,truth,prediction,prob_sad,prob_happy\n1,sad,sad,x,0\n",
            "bad_probability",
            "line 2: prob_sad is 'x'",
        ),
        (
            "id,truth,prediction,prob_sad,prob_happy\n1,sad,sad,nan,0\n",
            "bad_probability",
            "prob_sad is 'nan'",
        ),
        (
            "id,truth,prediction,prob_sad,prob_happy\n1,sad,sad,2,-1\n",
            "bad_probability",
            "expected a number from 0 to 1",
        ),
        (
            "id,truth,prediction,prob_sad,prob_happy\n1,sad,sad,0.5,0.4\n",
            "bad_probability",
            "add up to 0.9, not 1",
        ),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, code: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message) as caught:
        read_csv(write(tmp_path / "p.csv", text))
    assert caught.value.code == code


def test_a_further_column_is_read_by_id(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "id,truth,prediction,Gender\n1,sad,happy,female\n2,sad,sad,male\n")
    assert read_column(path, "gender") == {"1": "female", "2": "male"}
    with pytest.raises(CorpusError, match="no column 'age'"):
        read_column(path, "age")


def test_a_run_is_a_folder_or_a_file(tmp_path: Path) -> None:
    write_csv(make(), tmp_path / "predictions.csv")
    assert predictions_file(tmp_path) == predictions_file(tmp_path / "predictions.csv")
    assert same(read_run(tmp_path), make())
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ArtefactError, match="the folder holds no predictions") as caught:
        read_run(empty)
    assert caught.value.hint and "voxaffect train" in caught.value.hint
    with pytest.raises(ArtefactError, match="no such file or folder") as caught:
        read_run(tmp_path / "absent")
    assert caught.value.hint == "expected a run's folder, or a CSV with the columns id,truth,prediction"
    with pytest.raises(ArtefactError, match="no such file or folder") as caught:
        read_run(tmp_path / "predictoins.csv")
    assert caught.value.hint == f"did you mean {tmp_path / 'predictions.csv'}?"


def test_the_folder_of_several_runs_names_them(tmp_path: Path) -> None:
    for name in ("vit", "cnn"):
        write_csv(make(), tmp_path / "study" / name / "predictions.csv")
    with pytest.raises(ArtefactError, match="the folder holds no predictions") as caught:
        read_run(tmp_path / "study")
    assert caught.value.hint == f"name a run within it: {tmp_path / 'study/cnn'}, {tmp_path / 'study/vit'}"


def test_folds_say_why_predictions_are_optimistic() -> None:
    p = two_folds("OPTIMISTIC validation-on-test: f1", "OPTIMISTIC random-split: f2")
    assert p.optimistic == ("random-split", "validation-on-test")
    assert two_folds("OPTIMISTIC", "OPTIMISTIC ").optimistic == ("not said why",)
    assert two_folds("f1", "optimistic").optimistic == ()


def test_the_stamp_survives_the_file(tmp_path: Path) -> None:
    write_csv(two_folds("OPTIMISTIC validation-on-test: f1", "f2"), tmp_path / "p.csv")
    assert read_csv(tmp_path / "p.csv").optimistic == ("validation-on-test",)


def test_runs_are_named_by_the_shortest_end_of_their_paths(tmp_path: Path) -> None:
    for place in ("a/x", "b/x"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "predictions.csv").touch()
    (tmp_path / "theirs.csv").touch()
    files = [tmp_path / "a/x", tmp_path / "theirs.csv"]
    assert names_of(files) == ["x", "theirs"]
    assert names_of([*files, tmp_path / "b/x/predictions.csv"])[2] == "b/x"
    with pytest.raises(UsageError, match="is named twice"):
        names_of([tmp_path / "a/x", tmp_path / "a/x/predictions.csv"])


def two_folds(*folds: str) -> Predictions:
    return Predictions(
        ids=("1", "2"),
        speakers=("x", "y"),
        folds=folds,
        labels=("angry", "sad"),
        truth=np.array([0, 1]),
        probs=np.eye(2),
    )
