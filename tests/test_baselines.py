"""Guesses without audio: what they answer, what they may learn from, and how they are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.naive_bayes import GaussianNB

from experiments import SPEAKERS, predictions, write_run
from voxaffect.baselines import (
    Baselines,
    Guess,
    baselines,
    most_frequent,
    most_probable,
    read_baselines,
    write_baselines,
)
from voxaffect.errors import ArtefactError, CorpusError
from voxaffect.metadata import Metadata
from voxaffect.predictions import Predictions, concat, write_csv
from voxaffect.run_baselines import of_predictions
from voxaffect.trainings import Training

HALVES = (SPEAKERS[:3], SPEAKERS[3:])


def cross_validated(n: int = 10) -> tuple[Predictions, tuple[Training, ...]]:
    """Two folds: each half of the speakers tests what the other half trains."""
    p = predictions(n=n)
    p = replace(p, folds=tuple("a" if s in HALVES[0] else "b" for s in p.speakers))
    trainings = (
        Training(1, "a", HALVES[1][:2], HALVES[1][2:], HALVES[0]),
        Training(1, "b", HALVES[0][:2], HALVES[0][2:], HALVES[1]),
    )
    return p, trainings


def metadata_of(p: Predictions, **columns: list[str]) -> Metadata:
    labels = tuple(p.labels[t] for t in p.truth)
    return Metadata(
        p.ids, {"speaker": p.speakers, "label": labels, **{k: tuple(v) for k, v in columns.items()}}
    )


def guess(found: Baselines, name: str) -> Guess:
    return next(g for g in found.guesses if g.name == name)


def test_each_word_gets_the_class_that_it_had_most_often() -> None:
    words = ["a", "a", "a", "b", "b", ""]
    truth = np.array([0, 1, 1, 2, 0, 2])
    # b ties between 0 and 2, of which both stand twice: the first; an unknown word: the most frequent, 0 (a tie again)
    assert most_frequent(words, truth, ["a", "b", "c", ""], 3).tolist() == [1, 0, 0, 0]


def test_a_tie_goes_to_the_class_that_is_more_frequent_over_all() -> None:
    assert most_frequent(["a", "a", "b"], np.array([0, 1, 1]), ["a"], 2).tolist() == [1]


def test_durations_are_judged_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(3, 300, p=[0.6, 0.3, 0.1])
    seconds = np.exp(rng.normal([0.3, 0.9, 0.5], [0.2, 0.3, 0.5], (300, 3))[np.arange(300), truth])
    asked = np.exp(rng.normal(0.6, 0.5, 200))
    oracle = GaussianNB().fit(np.log(seconds)[:, None], truth).predict(np.log(asked)[:, None])
    assert most_probable(seconds, truth, asked, 3).tolist() == oracle.tolist()


def test_durations_that_are_all_alike_or_unknown_give_the_most_frequent_class() -> None:
    alike = np.ones(4)
    truth = np.array([0, 1, 1, 1])
    assert most_probable(alike, truth, np.array([1.0, np.nan]), 2).tolist() == [1, 1]
    assert most_probable(np.full(4, np.nan), truth, np.array([1.0]), 2).tolist() == [1]


def test_the_figures_are_those_of_the_answers() -> None:
    p, trainings = cross_validated()
    texts = [f"t{i % 4}" for i in range(len(p))]
    found = guess(baselines(p, metadata_of(p, text=texts), trainings), "text")
    answer = np.empty(len(p), dtype=int)
    for fold in ("a", "b"):
        test = np.array(p.folds) == fold
        heard = [text for text, t in zip(texts, test, strict=True) if not t]
        asked = [text for text, t in zip(texts, test, strict=True) if t]
        answer[test] = most_frequent(heard, p.truth[~test], asked, 3)
    assert found.measures["UA"] == pytest.approx(balanced_accuracy_score(p.truth, answer))
    assert found.measures["WA"] == pytest.approx(float((p.truth == answer).mean()))
    expected = f1_score(p.truth, answer, average="macro", labels=sorted({*p.truth, *answer}))
    assert found.measures["macro-F1"] == pytest.approx(expected)
    assert (found.n, found.known) == (60, 1.0)


def test_a_text_that_gives_the_class_away_scores_all() -> None:
    p, trainings = cross_validated()
    found = baselines(p, metadata_of(p, text=[f"Text {t}!" for t in p.truth]), trainings)
    assert guess(found, "text").measures["UA"] == 1.0
    assert guess(found, "majority class").measures["UA"] == pytest.approx(1 / 3)


def test_nothing_is_learned_from_the_test_speakers() -> None:
    """Each half has texts of its own: what the test half's would give away is never heard in training."""
    p, trainings = cross_validated()
    texts = [f"{fold}{t}" for fold, t in zip(p.folds, p.truth, strict=True)]
    found = baselines(p, metadata_of(p, text=texts), trainings)
    assert found.left_out["text"] == "what the test utterances have never occurs in training"


def test_dev_speakers_may_be_learned_from() -> None:
    p, trainings = cross_validated()
    dev = {s for t in trainings for s in t.dev}
    texts = [
        f"{t}" if s in dev else f"{t} of {s}" for s, t in zip(p.speakers, p.truth, strict=True)
    ]  # words in common with dev speakers alone
    found = guess(baselines(p, metadata_of(p, text=texts), trainings), "text")
    assert found.known == pytest.approx(1 / 3)


def test_a_speaker_is_a_guess_only_where_the_same_one_trains() -> None:
    p, trainings = cross_validated()
    found = baselines(p, metadata_of(p), trainings)
    assert found.left_out["speaker"] == "what the test utterances have never occurs in training"
    everyone = tuple(replace(t, train=SPEAKERS) for t in trainings)
    ids = {"train": p.ids[::2], "dev": (), "test": p.ids[1::2]}
    mixed = replace(p.select(range(1, 60, 2)), folds=("r",) * 30)
    random = (Training(1, "r", SPEAKERS, (), SPEAKERS, ids),)
    assert guess(baselines(mixed, metadata_of(p), random), "speaker").known == 1.0
    assert guess(baselines(p, metadata_of(p), everyone), "majority class").n == 60


def test_what_all_have_in_common_is_no_guess() -> None:
    p, trainings = cross_validated()
    found = baselines(p, metadata_of(p, language=["en"] * 60, gender=[""] * 60), trainings)
    assert found.left_out["language"] == "the same for all utterances"
    assert found.left_out["gender"] == "not known"
    assert [g.name for g in found.guesses] == ["majority class"]


def test_utterances_of_other_classes_teach_nothing() -> None:
    p, trainings = cross_validated()
    known = metadata_of(p)
    more = Metadata(
        (*known.ids, "c/x", "c/y"),
        {
            "speaker": (*p.speakers, "c/1", "c/4"),
            "label": (*known.columns["label"], "bored", "bored"),
        },
    )
    assert baselines(p, more, trainings) == baselines(p, known, trainings)


def test_without_trainings_the_other_folds_teach_and_without_folds_the_other_speakers() -> None:
    p, _ = cross_validated()
    texts = [f"t{t}" for t in p.truth]
    assert guess(baselines(p, metadata_of(p, text=texts)), "text").measures["WA"] == 1.0
    own = [f"{s}{t}" for s, t in zip(p.speakers, p.truth, strict=True)]
    by_speaker = baselines(replace(p, folds=("",) * 60), metadata_of(p, text=own))
    assert by_speaker.left_out["text"] == "what the test utterances have never occurs in training"
    alone = baselines(replace(p, folds=("f",) * 60), metadata_of(p, text=texts))
    assert alone.guesses == ()
    assert set(alone.left_out.values()) == {"a fold has no other utterances to fit it on"}


def test_seeds_are_averaged() -> None:
    p, trainings = cross_validated()
    again = replace(p, seeds=(2,) * 60)
    both = baselines(
        concat([p, again]), metadata_of(p), (*trainings, *(replace(t, seed=2) for t in trainings))
    )
    assert guess(both, "majority class").n == 60
    one = guess(baselines(p, metadata_of(p), trainings), "majority class")
    assert guess(both, "majority class").measures == pytest.approx(one.measures)


def test_what_nobody_knows_is_refused() -> None:
    p, trainings = cross_validated()
    few = Metadata(p.ids[:-2], {"label": ("sad",) * 58})
    with pytest.raises(CorpusError, match="nothing is known of 2 utterances, the first is 'c/058'"):
        baselines(p, few, trainings)
    with pytest.raises(CorpusError, match="nothing says who trained fold 'b' of seed 1"):
        baselines(p, metadata_of(p), trainings[:1])


def test_they_survive_the_file(tmp_path: Path) -> None:
    p, trainings = cross_validated()
    made = baselines(p, metadata_of(p, gender=["female", "male"] * 30), trainings)
    write_baselines(made, tmp_path / "baselines.json")
    assert read_baselines(tmp_path / "baselines.json") == made
    table = json.loads((tmp_path / "baselines.json").read_text())
    assert list(table) == ["schema", "labels", "baselines", "left_out"]
    assert list(table["baselines"][0]) == ["name", "n", "known", "UA", "WA", "macro-F1"]
    assert {"name": "text", "reason": "not known"} in table["left_out"]


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "voxaffect.baselines/9"}'])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "baselines.json").write_text(text)
    with pytest.raises(ArtefactError, match="does not hold baselines of the schema"):
        read_baselines(tmp_path / "baselines.json")


def test_a_run_s_baselines_come_from_what_it_keeps(tmp_path: Path) -> None:
    p, _ = cross_validated()
    run = write_run(tmp_path, p, train=SPEAKERS, dev=())  # minus those that each fold tests
    rows = [f"{i},{s},{p.labels[t]},t{t}" for i, s, t in zip(p.ids, p.speakers, p.truth, strict=True)]
    (run / "utterances.csv").write_text("\n".join(["id,speaker,label,text", *rows]))
    found = of_predictions(run / "predictions.csv", p)
    assert found is not None
    assert guess(found, "text").measures["WA"] == 1.0
    kept = replace(found, guesses=found.guesses[:1])
    write_baselines(kept, run / "baselines.json")
    assert of_predictions(run / "predictions.csv", p) == kept


def test_an_older_run_needs_its_corpora_and_says_so(tmp_path: Path) -> None:
    p, _ = cross_validated()
    run = write_run(tmp_path, p)
    recipe = {"name": "old", "data": {"corpora": ["emodb"]}, "folder": str(tmp_path)}
    (run / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(CorpusError, match=r"corpora of the run cannot be read: .*emodb") as caught:
        of_predictions(run / "predictions.csv", p)
    assert caught.value.code == "corpus_absent"


def test_anyone_s_columns_make_guesses(tmp_path: Path) -> None:
    p, _ = cross_validated()
    write_csv(p, tmp_path / "theirs.csv")
    assert of_predictions(tmp_path / "theirs.csv", p) is None
    lines = (tmp_path / "theirs.csv").read_text().splitlines()
    truth = [p.labels[t] for t in p.truth]
    texts = dict(zip(p.ids, truth, strict=True))
    lines = [lines[0] + ",Text", *(f"{line},text of {texts[line.split(',')[0]]}" for line in lines[1:])]
    (tmp_path / "theirs.csv").write_text("\n".join(lines))
    found = of_predictions(tmp_path / "theirs.csv", p)
    assert found is not None
    assert guess(found, "text").measures["WA"] == 1.0
