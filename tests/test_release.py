"""From a run to a model file: the members' own answers, dev calibration, and a card with the evidence's figures."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import training_corpus
from voxaffect.cli import main
from voxaffect.errors import ArtefactError, ExitCode, UsageError
from voxaffect.predictions import Predictions
from voxaffect.recipe import read_recipe

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("onnx", reason="needs the extra `train`")
torch.set_num_threads(1)

CARD = """
[card]
name = "tiny-1"
version = "0.1"
licence = "CC0-1.0"
text = "prose.md"
"""
PROSE = "It hears a tone's pitch and nothing else."
ALL = ("protocol.folds=all-speakers", "protocol.dev_speakers=2", "protocol.seeds=[2, 10]")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpus, its recipe with a card, and two runs: two seeds on all speakers, and evidence."""
    folder = tmp_path_factory.mktemp("corpus")
    training_corpus.build(folder / "clips")
    (folder / "tiny.toml").write_text(training_corpus.RECIPE + CARD, encoding="utf-8")
    (folder / "prose.md").write_text(PROSE, encoding="utf-8")
    trained(folder, "final", *ALL)
    trained(folder, "evidence")
    return folder


def trained(corpus: Path, name: str, *assignments: str) -> Path:
    from voxaffect.train import train

    recipe = read_recipe(corpus / "tiny.toml", ("training.epochs=2", *assignments))
    train(recipe, corpus / name, device="cpu", quiet=True)
    return corpus / name


@pytest.fixture(scope="module")
def released(corpus: Path) -> Path:
    from voxaffect.release import release

    release(corpus / "final", corpus / "out" / "tiny.onnx", evidence=corpus / "evidence")
    return corpus / "out" / "tiny.onnx"


def members(run: Path) -> list[Any]:
    """The run's torch models in the order of its folds (seeds 2, 10: not that of their folders' names)."""
    from voxaffect.model import CoAttention

    return [CoAttention.load(run / "parts" / f"{seed}-all" / "model") for seed in (2, 10)]


def test_the_file_says_what_it_was_made_of(corpus: Path, released: Path) -> None:
    from voxaffect.modelfile import read_model
    from voxaffect.run import RunFolder

    model = read_model(released)
    assert (model.name, model.version, model.licence) == ("tiny-1", "0.1", "CC0-1.0")
    assert (model.labels, model.inputs, model.members) == (("angry", "sad"), ("mfcc",), 2)
    assert model.features.window == 0.5
    training = model.metadata["training"]
    assert training["recipe"] == "tiny"
    assert training["digest"] == RunFolder(corpus / "final").recipe.digest
    assert training["corpora"] == ["folder"]
    assert [member["seed"] for member in training["members"]] == [2, 10]
    assert all(len(member["dev_speakers"]) == 2 for member in training["members"])
    assert model.metadata["created_with"]["torch"] == torch.__version__
    assert released.with_suffix(".md").read_text(encoding="utf-8") == model.card


def test_calibration_is_that_of_the_evidences_dev_speakers(corpus: Path, released: Path) -> None:
    from voxaffect.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE, nll
    from voxaffect.modelfile import read_model
    from voxaffect.predictions import read_csv

    model = read_model(released)
    tables = [read_csv(path) for path in sorted((corpus / "evidence").glob("parts/*/dev_predictions.csv"))]
    assert len(tables) == 2
    log_probs = np.log(np.maximum(np.concatenate([t.probs for t in tables]), 1e-12))
    truth = np.concatenate([t.truth for t in tables])
    ids = [i for t in tables for i in t.ids]
    grid = np.geomspace(MIN_TEMPERATURE, MAX_TEMPERATURE, 500)
    best = grid[np.argmin([nll(log_probs, truth, t, items=ids) for t in grid])]
    assert model.temperature == pytest.approx(best, rel=0.02)  # the grid's step is 1.2 %
    said = model.metadata["calibration"]
    assert said["dev_utterances"] == len(set(ids))
    assert said["answers_each"] == pytest.approx(len(ids) / len(set(ids)), abs=0.01)
    assert 0.8 <= said["certain"] <= 1
    assert f"fitted on {said['dev_utterances']} dev utterances" in model.card


def answers(seed: int, truth: np.ndarray, rng: np.random.Generator) -> Predictions:
    """What one member said of 200 dev utterances: far too sure of itself, wrong where others are not."""
    logits = 3.0 * np.eye(3)[truth] + 6.0 * rng.standard_normal((len(truth), 3))
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    n = len(truth)
    return Predictions(
        ids=tuple(f"c/{i}" for i in range(n)),
        speakers=("c/1",) * n,
        folds=("f1",) * n,
        labels=("angry", "happy", "sad"),
        truth=truth,
        probs=probs / probs.sum(axis=1, keepdims=True),
        seeds=(seed,) * n,
    )


def test_a_vote_is_calibrated_as_the_vote_that_it_is() -> None:
    from voxaffect.calibrated_vote import Said, calibrated
    from voxaffect.calibration import ece, softmax
    from voxaffect.voting import elect

    rng = np.random.default_rng(0)
    truth, unseen = rng.integers(0, 3, 400), rng.integers(0, 3, 400)
    dev = [answers(seed, truth, rng) for seed in range(5)]
    test = np.stack([np.log(np.maximum(answers(s, unseen, rng).probs, 1e-12)) for s in range(5)])

    def error(temperature: float) -> float:
        vote = elect(test.argmax(axis=2), softmax(test, temperature))
        sure = vote.probs[np.arange(400), vote.winners]
        return ece(sure, vote.winners == unseen)

    five, one = calibrated(Said.of(dev, n_members=5)), calibrated(Said.of(dev, n_members=1))
    assert (five.dev_utterances, five.answers_each, one.answers_each) == (400, 5.0, 1.0)
    assert one.dev_utterances == 2000  # each answer by itself
    assert five.temperature < one.temperature
    assert error(five.temperature) < 0.5 * error(one.temperature)
    assert calibrated(Said.of(dev, n_members=2)).answers_each == 2  # no more than will vote


def test_no_more_than_a_fifth_of_the_answers_is_called_uncertain() -> None:
    from voxaffect.calibrated_vote import LEAST_COVERAGE, Said, calibrated

    rng = np.random.default_rng(1)
    guess = answers(1, rng.integers(0, 3, 300), rng)
    lost = replace(guess, truth=rng.integers(0, 3, 300))  # a third is right, whatever the confidence
    found = calibrated(Said.of([lost], n_members=1))
    assert found.certain == pytest.approx(LEAST_COVERAGE, abs=0.01)
    assert 1 / 3 < found.uncertain_below < 1


def test_without_evidence_the_runs_own_dev_speakers_calibrate_it(corpus: Path, tmp_path: Path) -> None:
    from voxaffect.calibrated_vote import Said, calibrated
    from voxaffect.modelfile import read_model
    from voxaffect.release import dev_predictions, release

    release(corpus / "final", tmp_path / "alone.onnx")
    model = read_model(tmp_path / "alone.onnx")
    dev = dev_predictions(corpus / "final")
    assert [len(p) for p in dev] == [8, 8]
    found = calibrated(Said.of(dev, n_members=2))
    assert (model.temperature, model.uncertain_below) == (found.temperature, found.uncertain_below)
    assert "Nothing: this file was released without a run on held-out speakers." in model.card


def test_the_cards_figures_are_the_evidences(corpus: Path, released: Path) -> None:
    from voxaffect.evaluation import evaluate
    from voxaffect.modelfile import read_model
    from voxaffect.predictions import read_run

    card = read_model(released).card
    evaluation = evaluate(read_run(corpus / "evidence"))
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines() if line[:1] == "|"
    ]
    by_name = {row[0]: row[1:] for row in rows}
    for name, m in evaluation.measures.items():
        span = f"{100 * m.low:.1f} to {100 * m.high:.1f}"
        assert by_name[name] == [
            f"{100 * m.value:.1f}",
            span,
            f"{100 * evaluation.baseline.measures[name]:.1f}",
        ]
    for c in evaluation.classes:
        assert by_name[c.label] == [str(c.n), f"{100 * c.recall:.1f}", f"{100 * c.precision:.1f}"]
    assert len(rows) == 2 * 2 + len(evaluation.measures) + len(evaluation.classes)
    assert "24 utterances of 6 speakers" in card
    assert PROSE in card
    assert card.startswith("# tiny-1 0.1\n")
    assert "members: 2, majority vote" in card
    assert "nan" not in card


def test_every_member_of_the_file_answers_as_its_torch_model(corpus: Path, released: Path) -> None:
    from voxaffect.fit import log_probabilities
    from voxaffect.modelfile import read_model
    from voxaffect.recogniser import open_recogniser

    recogniser = open_recogniser(read_model(released), device="cpu")
    store = prepared(corpus)
    rows = range(len(store.table))
    for number, member in enumerate(members(corpus / "final")):
        wanted = log_probabilities(member, store, list(rows))
        for row in rows:
            mean = recogniser.log_probs(store.judged(row))[:, number].mean(axis=0)
            given = np.exp(mean) / np.exp(mean).sum()
            np.testing.assert_allclose(given, np.exp(wanted[row]), atol=1e-5)  # float32 sums in another order


def test_a_single_member_predicts_its_torch_models_probabilities(corpus: Path, tmp_path: Path) -> None:
    import voxaffect
    from voxaffect.fit import log_probabilities
    from voxaffect.model import CoAttention
    from voxaffect.release import release

    run = trained(corpus, "single", *ALL, "protocol.seeds=[2]")
    release(run, tmp_path / "single.onnx", evidence=corpus / "evidence")
    predictor = voxaffect.load(tmp_path / "single.onnx")
    temperature = predictor._recogniser.model.temperature
    store = prepared(corpus)
    model = CoAttention.load(run / "parts" / "2-all" / "model")
    wanted = np.exp(log_probabilities(model, store, list(range(len(store.table)))))
    for row, utterance in enumerate(store.table):
        result = predictor.predict(str(utterance.path), vad=False)
        calibrated = np.array([result.probs[label] for label in store.labels])
        raw = calibrated**temperature
        np.testing.assert_allclose(raw / raw.sum(), wanted[row], atol=1e-5)  # float32 sums in another order
        assert result.label == store.labels[wanted[row].argmax()]


def prepared(corpus: Path) -> Any:
    from voxaffect.cache import ArrayCache
    from voxaffect.preparation import Encoders, needs_of, prepare
    from voxaffect.run import RunFolder
    from voxaffect.train import read_table

    recipe = RunFolder(corpus / "final").recipe
    encoders = Encoders()
    (store,) = prepare([recipe], [needs_of(recipe, encoders)], read_table(recipe), encoders, ArrayCache(None))
    return store


def test_two_members_vote(corpus: Path, released: Path) -> None:
    import voxaffect

    predictor = voxaffect.load(released)
    result = predictor.predict(str(corpus / "clips/angry/anna/anna_0.wav"), vad="level")
    assert sum(result.votes.values()) == 2
    assert predictor.model.version == "0.1"


def test_the_command_writes_the_same_file_and_says_so(
    corpus: Path, released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tiny.onnx"
    code = main(
        ["models", "export", str(corpus / "final"), "-o", str(out), "--evidence", str(corpus / "evidence")]
    )
    said = capsys.readouterr()
    assert (code, said.err) == (ExitCode.OK, "")
    assert re.fullmatch(
        rf"{re.escape(str(out))}  \d+\.\d\d MB  largest difference from torch \d\.\de-\d\d\n", said.out
    )
    assert out.read_bytes() == released.read_bytes()
    assert main(["models", "verify", str(out)]) == ExitCode.OK


def unfinished(corpus: Path, where: Path) -> Path:
    """The final run as a kill between its two seeds leaves it."""
    shutil.copytree(corpus / "final", where)
    shutil.rmtree(where / "parts/10-all")
    return where


def test_a_run_that_is_not_finished_is_refused(corpus: Path, tmp_path: Path) -> None:
    from voxaffect.release import release

    run = unfinished(corpus, tmp_path / "run")
    with pytest.raises(ArtefactError, match="run holds 1 of 2 trained members; finish it with"):
        release(run, tmp_path / "x.onnx")
    (tmp_path / "run/parts/2-all/done.json").unlink()  # weights are written before the part is done
    with pytest.raises(ArtefactError, match="holds 0 of 2 trained members"):
        release(run, tmp_path / "x.onnx")
    (tmp_path / "run/folds.json").unlink()
    with pytest.raises(ArtefactError, match="holds 0 of 0 trained members"):
        release(run, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_neither_model_nor_card_is_written_over_unasked(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, card = tmp_path / "mine.onnx", tmp_path / "mine.md"
    export = ["models", "export", str(corpus / "final"), "-o", str(out)]
    card.write_text("my own notes")
    assert main(export) == ExitCode.USAGE
    assert capsys.readouterr().err == (
        f"voxaffect: error: output_exists: {card} is there already; use --overwrite, or another name\n"
    )
    assert (card.read_text(), out.exists()) == ("my own notes", False)
    assert main([*export, "--overwrite"]) == ExitCode.OK
    assert card.read_text().startswith("# tiny-1 0.1\n")
    card.unlink()
    before = out.read_bytes()
    assert main(export) == ExitCode.USAGE
    assert f"output_exists: {out} is there already" in capsys.readouterr().err
    assert (out.read_bytes(), card.exists()) == (before, False)


def test_an_ensemble_becomes_one_model_that_votes_as_it_does(corpus: Path, tmp_path: Path) -> None:
    from voxaffect.ensemble import ensemble
    from voxaffect.member import read_members
    from voxaffect.modelfile import read_model
    from voxaffect.release import dev_predictions, release

    runs = [corpus / "evidence", trained(corpus, "second", "protocol.seeds=[2]")]
    ensemble(read_members(runs), tmp_path / "vote", "mean")
    release(tmp_path / "vote", tmp_path / "vote.onnx", evidence=tmp_path / "vote")
    model = read_model(tmp_path / "vote.onnx")
    assert (model.members, model.vote, model.name) == (4, "mean", "tiny-1")
    assert [member["seed"] for member in model.metadata["training"]["members"]] == [1, 1, 2, 2]
    assert "- members: 4, mean of probabilities\n" in model.card
    assert "24 utterances of 6 speakers" in model.card
    dev = [p for run in runs for p in dev_predictions(run)]
    from voxaffect.calibration import fit_temperature

    logits = np.log(np.maximum(np.concatenate([p.probs for p in dev]), 1e-12))
    assert model.temperature == pytest.approx(
        fit_temperature(logits, np.concatenate([p.truth for p in dev])), abs=1e-4
    )


def test_an_ensemble_that_is_no_one_model_is_refused(corpus: Path, tmp_path: Path) -> None:
    from voxaffect.release import release

    def voting(rule: str, *runs: str) -> Path:
        folder = tmp_path / f"vote-{rule}-{len(runs)}"
        folder.mkdir()
        members = [{"name": run, "run": str(corpus / run)} for run in runs]
        (folder / "ensemble.json").write_text(json.dumps({"vote": rule, "members": members}))
        return folder

    with pytest.raises(
        UsageError, match=r"votes 'weighted'; a model file can hold one of \['majority', 'mean'\]"
    ):
        release(voting("weighted", "final"), tmp_path / "x.onnx")
    trained(corpus, "narrow", "model.width=8")
    with pytest.raises(
        ArtefactError, match=r"narrow was trained with another recipe than .*final; the runs of one"
    ):
        release(voting("majority", "final", "narrow"), tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_what_keeps_no_weights_or_is_several_systems_says_so(corpus: Path, tmp_path: Path) -> None:
    from voxaffect.recipe import recipe_to_json
    from voxaffect.release import release

    def begun(name: str, text: str) -> Path:
        (corpus / f"{name}.toml").write_text(text, encoding="utf-8")
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.json").write_text(recipe_to_json(read_recipe(corpus / f"{name}.toml")))
        return tmp_path / name

    probe = begun("probe", training_corpus.RECIPE.partition("[model]")[0] + '[model]\nkind = "probe"\n')
    with pytest.raises(
        ArtefactError,
        match=r"no_weights: .*probe holds 0 of 0 trained members; a probe keeps its weights where",
    ):
        release(probe, tmp_path / "x.onnx")
    study = begun(
        "study", training_corpus.RECIPE + "[variants.a.model]\nwidth = 8\n[variants.b.model]\nwidth = 4\n"
    )
    with pytest.raises(
        ArtefactError, match=r"study is a study of several systems; name one of them: .*a, .*b$"
    ):
        release(study, tmp_path / "x.onnx")


def test_evidence_of_another_recipe_is_refused(corpus: Path, tmp_path: Path) -> None:
    from voxaffect.release import release

    other = trained(corpus, "other", "model.width=8")
    with pytest.raises(
        UsageError, match="was trained with another recipe than the run; they may differ in"
    ) as caught:
        release(corpus / "final", tmp_path / "x.onnx", evidence=other)
    assert caught.value.code == "other_recipe"
    assert not (tmp_path / "x.onnx").exists()


def test_evidence_without_test_speakers_is_refused(corpus: Path, tmp_path: Path) -> None:
    from voxaffect.release import release

    with pytest.raises(ArtefactError, match="the folder holds no predictions"):
        release(corpus / "final", tmp_path / "x.onnx", evidence=corpus / "final")


def test_a_folder_that_is_no_run_is_refused(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "export", str(tmp_path), "-o", str(tmp_path / "x.onnx")]) == ExitCode.ARTEFACT
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(
        r"voxaffect: error: not_a_run: .* is no run folder: it has no recipe\.json; .*\n", said.err
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "-o", "x.onnx"],
        ["export", "run"],
        ["export", "run", "run2", "-o", "x.onnx"],
        ["export", "run", "-o", "x.bin"],
    ],
)
def test_wrong_words_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", *arguments]) == ExitCode.USAGE
    assert "bad_value: models export takes one run folder and -o FILE.onnx" in capsys.readouterr().err


def test_without_torch_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["models", "export", "run", "-o", "x.onnx"]) == ExitCode.USAGE
    assert 'needs torch, which is not installed; install it with: pip install "voxaffect[train]"' in (
        capsys.readouterr().err
    )
