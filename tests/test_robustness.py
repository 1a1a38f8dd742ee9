"""Altered test audio through the models of a finished run: blind, repeatable, against what the run said itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import training_corpus
from voxaffect.cli import main
from voxaffect.errors import ArtefactError, CorpusError, ExitCode, UsageError
from voxaffect.predictions import read_csv
from voxaffect.recipe import read_recipe
from voxaffect.table import Utterance, UtteranceTable

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("matplotlib", reason="needs the extra `plot`")
torch.set_num_threads(1)

from voxaffect.blind_judge import chosen, generator  # noqa: E402
from voxaffect.robustness import Robustness, robustness, voted  # noqa: E402

GROUPS = ["level", "length", "babble"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpus and a finished run of two seeds."""
    folder = tmp_path_factory.mktemp("corpus")
    training_corpus.build(folder / "clips")
    (folder / "tiny.toml").write_text(training_corpus.RECIPE, encoding="utf-8")
    recipe = read_recipe(folder / "tiny.toml", ["training.epochs=3", "protocol.seeds=[1, 2]"])
    training_corpus.train(recipe, folder / "run")
    return folder


@pytest.fixture(scope="module")
def measured(corpus: Path) -> Robustness:
    return robustness(corpus / "run", corpus / "out", groups=GROUPS, device="cpu", quiet=True)


def test_clean_answers_are_those_of_the_run_itself(corpus: Path, measured: Robustness) -> None:
    clean, own = read_csv(corpus / "out/predictions/clean.csv"), read_csv(corpus / "run/predictions.csv")
    assert (clean.ids, clean.seeds, clean.folds) == (own.ids, own.seeds, own.folds)
    assert clean.probs == pytest.approx(own.probs, abs=1e-4)  # batches differ, and six digits are written
    assert measured.notices == ()
    assert measured.heard[0].comparison.difference["UA"].value == 0


def test_every_condition_answers_for_every_utterance_of_every_seed(
    corpus: Path, measured: Robustness
) -> None:
    names = [h.condition.name for h in measured.heard]
    assert names[0] == "clean"
    assert {h.condition.group for h in measured.heard[1:]} == set(GROUPS)
    files = sorted((corpus / "out/predictions").iterdir())
    assert len(files) == len(names)
    for file in files:
        assert len(read_csv(file)) == 48
    assert (measured.n_utterances, measured.n_speakers, measured.seeds) == (24, 6, (1, 2))


def test_the_figures_are_those_of_the_predictions(corpus: Path, measured: Robustness) -> None:
    from voxaffect.evaluation import evaluate

    said = json.loads((corpus / "out/robustness.json").read_text())
    assert said == json.loads(json.dumps(measured.to_dict()))
    assert said["schema"] == "voxaffect.robustness/1"
    clean = evaluate(read_csv(corpus / "out/predictions/clean.csv"))
    for row in said["conditions"]:
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in row["condition"])
        altered = evaluate(read_csv(corpus / f"out/predictions/{name}.csv"))
        assert row["UA"] == pytest.approx(altered.ua.value)
        assert row["difference"]["UA"]["value"] == pytest.approx(altered.ua.value - clean.ua.value)
        assert row["ece"] == pytest.approx(altered.ece)
        assert sum(row["mean_probs"].values()) == pytest.approx(1, abs=1e-5)
        assert sum(row["answered"].values()) == pytest.approx(1)
    assert said["truth"] == {"angry": 0.5, "sad": 0.5}


def test_the_same_seed_gives_the_same_answers_with_jobs_and_another_seed_others(
    corpus: Path, measured: Robustness, tmp_path: Path
) -> None:
    robustness(corpus / "run", tmp_path / "a", groups=["babble"], jobs=2, device="cpu", quiet=True)
    robustness(corpus / "run", tmp_path / "b", groups=["babble"], seed=1, device="cpu", quiet=True)
    name = "predictions/babble__SNR_0_dB.csv"
    assert (tmp_path / "a" / name).read_bytes() == (corpus / "out" / name).read_bytes()
    assert (tmp_path / "b" / name).read_bytes() != (corpus / "out" / name).read_bytes()


def test_a_finished_condition_is_not_tried_again(corpus: Path, measured: Robustness, tmp_path: Path) -> None:
    shutil.copytree(corpus / "out", tmp_path / "out")
    (tmp_path / "out/predictions/first_1_s.csv").unlink()
    (tmp_path / "out/robustness.json").unlink()
    stamp = (tmp_path / "out/predictions/clean.csv").stat().st_mtime_ns
    options = {"groups": GROUPS, "device": "cpu", "quiet": True}
    again = robustness(corpus / "run", tmp_path / "out", resume=True, **options)  # type: ignore[arg-type]
    assert again == measured
    assert (tmp_path / "out/predictions/clean.csv").stat().st_mtime_ns == stamp
    with pytest.raises(UsageError, match="is not empty; add --resume, or choose another folder"):
        robustness(corpus / "run", tmp_path / "out", **options)  # type: ignore[arg-type]
    with pytest.raises(ArtefactError, match="was begun with another run, seed or --per-speaker"):
        robustness(corpus / "run", tmp_path / "out", resume=True, seed=5, **options)  # type: ignore[arg-type]


def test_a_vote_of_the_seeds_is_that_of_elect(corpus: Path, measured: Robustness) -> None:
    clean = read_csv(corpus / "out/predictions/clean.csv")
    both = voted(clean, "mean")
    one, two = clean.of_seed(1), clean.of_seed(2)
    at = {i: k for k, i in enumerate(two.ids)}
    mean = (one.probs + two.probs[[at[i] for i in one.ids]]) / 2
    assert both.ids == one.ids
    assert both.probs == pytest.approx(mean)
    assert np.array_equal(both.predicted, mean.argmax(axis=1))
    result = robustness(corpus / "run", groups=["level"], vote="majority", device="cpu", quiet=True)
    assert (result.vote, result.seeds) == ("majority", (1, 2))
    assert "2 seeds, which vote (majority)" in result.render()


def test_other_audio_than_the_run_was_judged_on_is_told(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus / "run", tmp_path / "run")
    file = tmp_path / "run/predictions.csv"
    lines = file.read_text().splitlines()
    cells = lines[1].split(",")
    lines[1] = ",".join([*cells[:-2], "0.5", "0.5"])
    file.write_text("\n".join(lines) + "\n")
    result = robustness(tmp_path / "run", groups=["clipping"], device="cpu", quiet=True)
    assert result.notices == (
        "1 of 48 clean answers are not those of the run's predictions.csv: other audio or software than it was "
        "judged with",
    )
    assert "note: 1 of 48 clean answers" in result.render()


def test_a_codec_that_cannot_be_had_is_left_out_and_said(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voxaffect import degradation

    monkeypatch.setitem(degradation.CODECS, "MP3, 32 kbit/s", ("mp3", "no_such_encoder", 16_000, 32_000))
    result = robustness(corpus / "run", groups=["codec"], per_speaker=1, device="cpu", quiet=True)
    assert "MP3, 32 kbit/s" not in [h.condition.name for h in result.heard]
    assert "left out: MP3, 32 kbit/s: FFmpeg cannot write no_such_encoder here" in result.render()


def table_of(counts: dict[str, int]) -> UtteranceTable:
    return UtteranceTable(
        tuple(
            Utterance(f"x/{label}{i}", Path("x.wav"), "x/1", label, "x")
            for label, n in counts.items()
            for i in range(n)
        )
    )


def test_a_speaker_s_classes_take_turns_where_few_are_taken() -> None:
    table = table_of({"angry": 9, "sad": 2})
    rows = chosen(table, 4, 0)
    assert sorted(table[row].label for row in rows) == ["angry", "angry", "sad", "sad"]
    assert chosen(table, 0, 0) == set(range(11))
    assert chosen(table, 99, 0) == set(range(11))
    assert chosen(table, 4, 0) == rows
    assert any(chosen(table, 4, seed) != rows for seed in range(1, 6))


def test_what_is_drawn_depends_on_seed_condition_and_utterance_alone() -> None:
    draws = {generator(*key).random() for key in [(0, "a", "x"), (0, "a", "y"), (0, "b", "x"), (1, "a", "x")]}
    assert len(draws) == 4
    assert generator(0, "a", "x").random() == generator(0, "a", "x").random()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": ["wind"]}, "unknown conditions 'wind'; expected some of"),
        ({"vote": "loudest"}, r"unknown vote 'loudest'; expected one of \['majority', 'mean'\]"),
        ({"per_speaker": -1}, r"--per-speaker is -1; expected 0 \(all\) or more"),
    ],
)
def test_wrong_options_are_named(corpus: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        robustness(corpus / "run", device="cpu", quiet=True, **options)  # type: ignore[arg-type]


def test_a_run_that_cannot_be_judged_says_why(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="is no run folder"):
        robustness(tmp_path, device="cpu")
    shutil.copytree(corpus / "run", tmp_path / "run")
    weights = next((tmp_path / "run").rglob("model.safetensors"))
    weights.unlink()
    with pytest.raises(ArtefactError, match=r"holds 3 of 4 trained models in parts/; finish it with"):
        robustness(tmp_path / "run", device="cpu")
    recipe = json.loads((tmp_path / "run/recipe.json").read_text())
    recipe["model"] = {"kind": "probe"}
    (tmp_path / "run/recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(ArtefactError, match="holds 3 of 4 trained models in parts/; a probe keeps none"):
        robustness(tmp_path / "run", device="cpu")
    folds = json.loads((tmp_path / "run/folds.json").read_text())
    (tmp_path / "run/folds.json").write_text(json.dumps([{**fold, "test": []} for fold in folds]))
    with pytest.raises(CorpusError, match="tests no speaker; take a run with folds"):
        robustness(tmp_path / "run", device="cpu")


def test_one_seed_has_nobody_to_vote_with(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus / "run", tmp_path / "run")
    folds = json.loads((tmp_path / "run/folds.json").read_text())
    (tmp_path / "run/folds.json").write_text(json.dumps([f for f in folds if f["seed"] == 1]))
    with pytest.raises(UsageError, match="a vote needs a run of two seeds or more; leave --vote out"):
        robustness(tmp_path / "run", vote="mean", device="cpu")


def test_a_corpus_without_recordings_is_refused(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from voxaffect import corpora

    monkeypatch.setattr(corpora, "stored_segments", lambda utterance: [{}])
    with pytest.raises(
        UsageError, match="'folder-clips' holds features, not recordings that could be altered"
    ):
        robustness(corpus / "run", device="cpu", quiet=True)


def test_a_corpus_that_has_lost_its_test_speakers_is_refused(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus / "run", tmp_path / "run")
    folds = json.loads((tmp_path / "run/folds.json").read_text())
    gone = [{**f, "test": ["folder-clips/zoe"]} for f in folds]
    (tmp_path / "run/folds.json").write_text(json.dumps(gone))
    with pytest.raises(CorpusError, match=r"no test utterance of .*run is in \['folder'\]"):
        robustness(tmp_path / "run", device="cpu", quiet=True)


def test_the_command_prints_a_table_a_picture_and_json(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["robustness", str(corpus / "run"), "--conditions", "level", "--per-speaker", "2", "--quiet"]
    assert main([*words, "--plot", str(tmp_path / "p.png"), "-o", str(tmp_path / "out")]) == ExitCode.OK
    said = capsys.readouterr().out
    assert said.startswith("tiny\n  12 utterances of 6 speakers, 2 classes, 2 seeds\n\n  condition")
    for part in ("speech at -60 dBFS", "mean probability of", "share of the truth", "50.0      50.0"):
        assert part in said
    assert said.endswith(f"folder: {tmp_path / 'out'}\n")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out/robustness.png").read_bytes().startswith(b"\x89PNG")
    assert main([*words, "--json", "-o", str(tmp_path / "out"), "--resume"]) == ExitCode.OK
    assert len(json.loads(capsys.readouterr().out)["conditions"]) == 6
    for more, code in (
        (["--resume"], "--resume goes with -o DIR"),
        (["--plot", "p.bmp"], "cannot write a picture"),
    ):
        assert main([*words, *more]) == ExitCode.USAGE
        assert code in capsys.readouterr().err
