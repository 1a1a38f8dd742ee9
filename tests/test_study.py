"""Studies: members vote, variants are compared, everything that agrees is computed once, a kill costs one epoch."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import training_corpus
from voxaffect.cli import main
from voxaffect.errors import ArtefactError, CorpusError, ExitCode, UsageError
from voxaffect.predictions import read_csv
from voxaffect.recipe import Recipe, read_recipe
from voxaffect.run import RunFolder

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("transformers", reason="needs the extra `train`")
torch.set_num_threads(1)

TEST = ("folder-clips/anna", "folder-clips/fred")
MEMBERS = {
    "m1": (("bert", "cleo"), "dora"),
    "m2": (("dora", "emil"), "bert"),
    "m3": (("cleo", "emil"), "dora"),
}
VARIANTS = """
[variants.wide]
title = "Twenty-four wide"
model.width = 24
[variants.heard.model.speech]
checkpoint = "whisper"
"""


@pytest.fixture(scope="module", autouse=True)
def undrawn() -> Iterator[None]:
    """Pictures are made but not painted: that would be most of the time, and test_plots looks at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("voxaffect.plots.png", lambda figure: b"\x89PNG")
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpus in clips/, a tiny Whisper in whisper/, and three recipes."""
    from neural_inputs import save_speech

    folder = tmp_path_factory.mktemp("corpus")
    training_corpus.build(folder / "clips")
    save_speech("whisper", folder / "whisper")
    plain = training_corpus.RECIPE.replace("window = 0.5\nhop = 0.25", "window = 0.0")
    plain = plain.replace("epochs = 6", "epochs = 2").replace('name = "tiny"', 'name = "study"')
    protocol = f'folds = "members"\ntest_speakers = {list(TEST)}\n'
    members = plain.replace('folds = "speaker-groups"\ngroups = 2\n', protocol)
    for name, (train, dev) in MEMBERS.items():
        speakers = [f"folder-clips/{s}" for s in train]
        members += f'[members.{name}]\ntrain = {speakers}\ndev = ["folder-clips/{dev}"]\n'
    (folder / "study.toml").write_text(members + VARIANTS, encoding="utf-8")
    (folder / "ensemble.toml").write_text(members, encoding="utf-8")
    (folder / "variants.toml").write_text(plain + VARIANTS, encoding="utf-8")
    return folder


def trained(recipe: Recipe, run: Path, **options: Any) -> Any:
    from voxaffect.study import train_study

    return train_study(recipe, run, device="cpu", quiet=True, **options)


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    run = tmp_path_factory.mktemp("finished") / "run"
    return run, trained(read_recipe(corpus / "study.toml"), run)


def results(run: Path) -> dict[str, bytes]:
    """Everything of a run that must not depend on how it came to its end."""
    names = (
        "predictions.csv",
        "folds.json",
        "ensemble.json",
        "comparison.json",
        "study.json",
        "metrics.jsonl",
    )
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted(run.rglob("*")) if p.name in names}


# --- what is left behind


def test_each_variant_is_an_ensemble_of_runs(finished: tuple[Path, Any]) -> None:
    run, study = finished
    for variant in ("wide", "heard"):
        folder = run / variant
        vote = read_csv(folder / "predictions.csv")
        assert set(vote.speakers) == set(TEST)
        members = json.loads((folder / "ensemble.json").read_text())["members"]
        assert [(m["name"], m["run"]) for m in members] == [(name, f"runs/{name}") for name in MEMBERS]
        for name, (train, dev) in MEMBERS.items():
            (fold,) = json.loads((folder / "runs" / name / "folds.json").read_text())
            assert fold["train"] == [f"folder-clips/{s}" for s in train]
            assert fold["dev"] == [f"folder-clips/{dev}"]
            assert fold["test"] == list(TEST)
            own = (folder / "runs" / name / "predictions.csv").read_text()
            assert own == (folder / "members" / f"{name}.csv").read_text()
        votes = np.stack([read_csv(folder / "members" / f"{name}.csv").predicted for name in MEMBERS])
        majority = (votes.sum(axis=0) * 2 > len(MEMBERS)).astype(int)  # two classes, three members: no tie
        np.testing.assert_array_equal(vote.predicted, majority)
        assert study.ensembles[variant].figures["WA"] == pytest.approx(np.mean(majority == vote.truth))


def test_the_study_says_who_its_members_are(finished: tuple[Path, Any]) -> None:
    run, _ = finished
    study = json.loads((run / "study.json").read_text())
    assert (study["schema"], study["variants"], study["vote"]) == (
        "voxaffect.study/1",
        ["wide", "heard"],
        "majority",
    )
    assert study["members"]["m2"] == {
        "train": ["folder-clips/dora", "folder-clips/emil"],
        "dev": ["folder-clips/bert"],
        "test": list(TEST),
    }
    assert RunFolder(run / "wide" / "runs" / "m2").recipe.title == "Twenty-four wide, m2"
    assert list(RunFolder(run / "wide" / "runs" / "m2").recipe.members) == ["m2"]


def test_the_variants_are_compared(finished: tuple[Path, Any]) -> None:
    from voxaffect.comparison import compare_runs

    run, study = finished
    again = compare_runs({v: read_csv(run / v / "predictions.csv") for v in ("wide", "heard")})
    assert json.loads((run / "comparison.json").read_text()) == json.loads(json.dumps(again.to_dict()))
    text = study.render()
    assert text.startswith("wide\n  3 members on 8 utterances of 2 speakers, 1 seed\n")
    assert f"\n\nstudy\n{again.render()}" in text


def test_a_member_is_trained_as_it_would_be_alone(
    corpus: Path, finished: tuple[Path, Any], tmp_path: Path
) -> None:
    """Sharing features and encoder states with other variants changes no bit."""
    trained(read_recipe(corpus / "study.toml", ["variants={wide={model={width=24}}}"]), tmp_path / "run")
    for name in MEMBERS:
        mine, other = (folder / "wide/runs" / name for folder in (tmp_path / "run", finished[0]))
        assert (mine / "predictions.csv").read_bytes() == (other / "predictions.csv").read_bytes()
        weights = [next(folder.rglob("model.safetensors")).read_bytes() for folder in (mine, other)]
        assert weights[0] == weights[1]


def test_members_side_by_side_give_the_same_numbers(
    corpus: Path, finished: tuple[Path, Any], tmp_path: Path
) -> None:
    trained(read_recipe(corpus / "study.toml"), tmp_path / "run", jobs=2)
    assert results(tmp_path / "run") == results(finished[0])


def test_members_without_variants_are_one_ensemble(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    study = trained(read_recipe(corpus / "ensemble.toml", ["ensemble.vote=mean"]), run)
    assert not (run / "study.json").exists()
    assert json.loads((run / "ensemble.json").read_text())["vote"] == "mean"
    assert sorted(p.name for p in (run / "runs").iterdir()) == list(MEMBERS)
    assert study.render().startswith("study\n  3 members on 8 utterances of 2 speakers, 1 seed\n")
    assert "variant" not in study.render()


def test_drawn_members_are_written_down(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    text = (corpus / "ensemble.toml").read_text(encoding="utf-8")
    text = text[: text.index("[members.m1]")].replace(
        "dev_speakers = 1", "dev_speakers = 1\nmembers = 2\ntrain_speakers = 2"
    )
    (corpus / "drawn.toml").write_text(text, encoding="utf-8")
    trained(read_recipe(corpus / "drawn.toml"), run)
    kept = RunFolder(run).recipe
    assert (kept.protocol.members, sorted(kept.members)) == (0, ["m1", "m2"])
    for name, member in kept.members.items():
        (fold,) = json.loads((run / "runs" / name / "folds.json").read_text())
        assert (tuple(fold["train"]), tuple(fold["dev"])) == (member.train, member.dev)
    trained(read_recipe(corpus / "drawn.toml"), run, resume=True)  # drawn again, they are the same


def test_members_drawn_in_each_fold_vote_on_every_speaker(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    asked = ["protocol.members=3", "protocol.dev_speakers=1", "variants.wide.members=['m1', 'm2']"]
    asked += ["variants.heard.members=['m2', 'm3']"]
    study = trained(read_recipe(corpus / "variants.toml", asked), run)
    assert json.loads((run / "study.json").read_text())["vote"] == "majority"
    for variant, members in (("wide", ("m1", "m2")), ("heard", ("m2", "m3"))):
        assert [m.name for m in study.ensembles[variant].members] == list(members)
        assert len(read_csv(run / variant / "predictions.csv")) == 24
        folds = [json.loads((run / variant / "runs" / m / "folds.json").read_text()) for m in members]
        for mine, theirs in zip(*folds, strict=True):
            assert mine["test"] == theirs["test"]
            assert mine["dev"] != theirs["dev"]
            for fold in (mine, theirs):
                assert len(fold["train"] + fold["dev"] + fold["test"]) == 6


def test_members_of_folds_of_utterances_are_refused(corpus: Path, tmp_path: Path) -> None:
    rows = ["id,fold,split"]
    recipe = read_recipe(corpus / "variants.toml")
    from voxaffect.train import read_table

    for u in read_table(recipe, quiet=True):
        part = {"anna": "test", "fred": "dev"}.get(u.speaker.partition("/")[2], "train")
        rows.append(f"{u.id},f1,{part}")
    (corpus / "by-id.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    asked = ["protocol.members=2", "protocol.folds=by-id.csv"]
    with pytest.raises(UsageError, match="bad_value: members take folds of speakers; 'f1' is of utterances"):
        trained(read_recipe(corpus / "variants.toml", asked), tmp_path / "run")


def test_variants_of_ordinary_folds_stand_side_by_side(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    study = trained(read_recipe(corpus / "variants.toml", ["variants.wide2.model.width=24"]), run)
    assert json.loads((run / "study.json").read_text())["members"] == {}
    assert json.loads((run / "study.json").read_text())["vote"] is None
    for variant in ("wide", "heard", "wide2"):
        assert len(read_csv(run / variant / "predictions.csv")) == 24
        assert (run / variant / "parts").is_dir()
    pairs = {(p.first, p.second): p for p in study.comparison.pairs}
    assert set(pairs) == {("wide", "heard"), ("wide", "wide2"), ("heard", "wide2")}
    assert pairs["wide", "wide2"].tests.difference["UA"].value == 0.0
    lines = study.render().split("\n")
    assert lines[:2] == ["study", "  variant         UA  95 % interval         WA  95 % interval"]
    assert re.sub(" +", " ", lines[6]) == " minus wide UA 95 % interval p WA 95 % interval p Holm, UA"
    assert re.sub(" +", " ", lines[8]) == " wide2 +0.0 +0.0 to +0.0 1.000 +0.0 +0.0 to +0.0 1.000 1.000"
    assert lines[-1] == "  Holm: p corrected over all 3 pairs of variants; all of them are in comparison.json"


def test_a_study_without_test_speakers_has_no_figures(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--set", "protocol.folds=all-speakers", "--set", "training.epochs=1", "--no-cache", "--quiet"]
    assert main(["train", str(corpus / "variants.toml"), "-o", str(tmp_path / "run"), *words]) == ExitCode.OK
    said = capsys.readouterr().out
    assert said.startswith("study: trained on all speakers; no test speakers, so no figures\n")
    assert len(list((tmp_path / "run").rglob("model.safetensors"))) == 2


# --- what is shared


def test_each_clip_is_heard_once_and_each_checkpoint_read_once(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voxaffect import examples
    from voxaffect.encoders import speech

    heard: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    read, states, load = examples.read_utterance, speech.SpeechEncoder.numpy_states, speech.load_encoder

    def reading(utterance: Any) -> np.ndarray:
        heard[utterance.id] += 1
        return read(utterance)

    def computing(self: Any, item: Any) -> Any:
        counts["states"] += 1
        return states(self, item)

    def loading(options: Any) -> Any:
        counts["checkpoints"] += 1
        return load(options)

    monkeypatch.setattr(examples, "read_utterance", reading)
    monkeypatch.setattr(speech.SpeechEncoder, "numpy_states", computing)
    monkeypatch.setattr(speech, "load_encoder", loading)
    recipe = read_recipe(
        corpus / "study.toml",
        ["variants.again.model.speech.checkpoint=whisper", "training.epochs=1", "augmentation.copies=0"],
    )
    trained(recipe, tmp_path / "run", cache_folder=tmp_path / "cache")
    assert set(heard.values()) == {1}  # by three variants of three members
    assert counts == {"states": 24, "checkpoints": 1}


def test_other_features_are_prepared_apart(corpus: Path, tmp_path: Path) -> None:
    recipe = read_recipe(
        corpus / "study.toml", ["variants.short.features={window=0.5, hop=0.5}", "training.epochs=1"]
    )
    study = trained(recipe, tmp_path / "run")
    assert list(study.ensembles) == ["wide", "heard", "short"]


# --- kills and refusals


class Killed(BaseException):
    """Stands for a kill at this very point."""


@pytest.mark.parametrize("kill_at", [1, 4, 9])
def test_a_killed_study_resumes_to_the_same_end_and_does_nothing_twice(
    corpus: Path, finished: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    from voxaffect.training_state import TrainingState

    save, calls = TrainingState.save, 0

    def saving(self: Any, path: Path, digest: str) -> None:
        nonlocal calls
        calls += 1
        save(self, path, digest)
        if calls == kill_at:
            raise Killed

    monkeypatch.setattr(TrainingState, "save", saving)
    run = tmp_path / "run"
    recipe = read_recipe(corpus / "study.toml")
    with pytest.raises(Killed):
        trained(recipe, run)
    done = {path: path.stat().st_mtime_ns for path in run.rglob("done.json")}
    trained(recipe, run, resume=True)
    assert calls == 12  # two epochs of six members, none of them twice
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert results(run) == results(finished[0])


def test_a_study_killed_while_it_gathers_resumes(
    corpus: Path, finished: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voxaffect import study

    def dying(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(study, "write", dying)
    run = tmp_path / "run"
    with pytest.raises(Killed):
        trained(read_recipe(corpus / "study.toml"), run)
    monkeypatch.undo()
    trained(read_recipe(corpus / "study.toml"), run, resume=True)
    assert results(run) == results(finished[0])


def test_a_study_is_kept_and_not_mixed_with_another(corpus: Path, finished: tuple[Path, Any]) -> None:
    with pytest.raises(UsageError, match="already holds a run"):
        trained(read_recipe(corpus / "study.toml"), finished[0])
    with pytest.raises(ArtefactError, match="was begun with another recipe"):
        trained(
            read_recipe(corpus / "study.toml", ["variants.wide.model.width=16"]), finished[0], resume=True
        )


def test_what_is_wrong_with_a_variant_is_said_before_anything_is_trained(
    corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="unknown key 'sise' in"):
        trained(read_recipe(corpus / "study.toml", ["variants.heard.model.mfcc.sise=3"]), tmp_path / "run")
    assert not list(tmp_path.rglob("done.json"))


def test_a_member_who_hears_a_test_speaker_is_refused(corpus: Path, tmp_path: Path) -> None:
    recipe = read_recipe(corpus / "study.toml", ['members.m2.dev=["folder-clips/anna"]'])
    with pytest.raises(CorpusError, match="member 'm2': speaker 'folder-clips/anna' is in both dev and test"):
        trained(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_study_is_no_single_run(corpus: Path, tmp_path: Path) -> None:
    from voxaffect.train import train

    with pytest.raises(ValueError, match="the recipe 'study' is a study; train_study trains it"):
        train(read_recipe(corpus / "study.toml"), tmp_path / "run")


# --- shortcuts, by permission


def test_selection_on_test_is_stamped_on_members_and_vote(corpus: Path, tmp_path: Path) -> None:
    changes = ["protocol.select_on=test", "protocol.allow_test_selection=true", "training.epochs=1"]
    study = trained(read_recipe(corpus / "ensemble.toml", changes), tmp_path / "run")
    assert study.ensembles[""].optimistic == ("validation-on-test",)
    assert set(read_csv(tmp_path / "run/predictions.csv").folds) == {"OPTIMISTIC validation-on-test: test"}
    part = tmp_path / "run/runs/m1/parts/1-OPTIMISTIC_validation-on-test__test"
    assert read_csv(part / "dev_predictions.csv").speakers == read_csv(part / "predictions.csv").speakers


def test_the_command_trains_a_study(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    words = ["--no-cache", "--device", "cpu", "--set", "training.epochs=1"]
    assert main(["train", str(corpus / "study.toml"), "-o", str(run), *words]) == ExitCode.OK
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith("wide\n  3 members")
    assert said.out.endswith(f"run folder: {run}\n")
