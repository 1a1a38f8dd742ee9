"""`voxaffect train`: recipe in, run folder and figures out; its options, exit codes and silence."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import training_corpus
from voxaffect.cli import main
from voxaffect.errors import ExitCode
from voxaffect.predictions import read_csv
from voxaffect.run_baselines import of_predictions

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("transformers", reason="needs the extra `train`")
torch.set_num_threads(1)

PROBE = f"""
name = "probed"{training_corpus.DATA}
[features]
window = 0.0
[model]
kind = "probe"
layers = [[1]]
statistics = ["mean"]
kernels = ["linear"]
penalties = [0.3]
inner_folds = 2
[model.speech]
checkpoint = "whisper"
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpus in clips/, a tiny Whisper in whisper/, and two recipes."""
    from neural_inputs import save_speech

    folder = tmp_path_factory.mktemp("corpus")
    training_corpus.build(folder / "clips", clips=1)
    save_speech("whisper", folder / "whisper")
    (folder / "tiny.toml").write_text(training_corpus.RECIPE, encoding="utf-8")
    (folder / "probed.toml").write_text(PROBE, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder, so that no test finds or leaves anything in the real one."""
    monkeypatch.setenv("VOXAFFECT_CACHE", str(tmp_path / "user-cache"))
    return tmp_path / "user-cache"


def train(recipe: Path, run: Path, *words: str) -> int:
    return main(["train", str(recipe), "-o", str(run), "--device", "cpu", *words])


ONE_EPOCH = ("--set", "training.epochs=1")


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    assert train(corpus / "tiny.toml", run, *ONE_EPOCH, "--no-cache", "--quiet") == ExitCode.OK
    return run


def test_it_prints_the_evaluation_and_nothing_else(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(corpus / "tiny.toml", run, *ONE_EPOCH) == ExitCode.OK
    said = capsys.readouterr()
    assert said.err == ""  # no progress bars where stderr is no terminal
    assert main(["evaluate", str(run)]) == ExitCode.OK
    evaluated = capsys.readouterr().out
    printed, _, confidence = evaluated.partition("\n\n  confidence ")
    assert "UA gained at 80 %" in confidence
    assert said.out == printed.replace(f"{run}\n", "tiny\n", 1) + f"\nrun folder: {run}\n"
    assert said.out.startswith(
        "tiny\n  12 utterances of folder-clips; 6 speakers, 2 classes, 2 folds, 1 seed\n"
    )


def test_the_figures_on_file_are_those_of_evaluate(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--json", str(finished)]) == ExitCode.OK
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated.pop("run") == str(finished)
    assert evaluated.pop("certainty")["schema"] == "voxaffect.certainty/1"
    assert json.loads((finished / "metrics.json").read_text())["evaluation"] == evaluated


def test_the_run_needs_no_corpus_to_be_evaluated_or_audited(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(finished)]) == ExitCode.OK
    evaluated = capsys.readouterr().out
    assert "  without audio" in evaluated
    elsewhere = tmp_path / "copy"
    shutil.copytree(finished, elsewhere)
    recipe = json.loads((elsewhere / "recipe.json").read_text())
    (elsewhere / "recipe.json").write_text(json.dumps({**recipe, "folder": str(tmp_path / "gone")}))
    assert main(["evaluate", str(elsewhere)]) == ExitCode.OK
    assert capsys.readouterr().out == evaluated.replace(str(finished), str(elsewhere), 1)
    kept = (elsewhere / "baselines.json").read_text()
    (elsewhere / "baselines.json").unlink()
    predictions = read_csv(elsewhere / "predictions.csv")
    found = of_predictions(elsewhere / "predictions.csv", predictions)  # computed anew, from utterances.csv
    assert found is not None
    assert json.loads(kept) == found.to_dict()
    assert main(["audit", str(elsewhere)]) == ExitCode.OK
    assert "the corpora are not here" in capsys.readouterr().out


def test_a_title_heads_the_figures(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(corpus / "tiny.toml", tmp_path / "run", *ONE_EPOCH, "--set", "title=Tones, two classes")
    assert capsys.readouterr().out.startswith("Tones, two classes\n")


def test_set_changes_the_recipe_and_the_run_tells(corpus: Path, finished: Path) -> None:
    recipe = json.loads((finished / "recipe.json").read_text())
    assert recipe["training"]["epochs"] == 1
    assert len((finished / "metrics.jsonl").read_text().splitlines()) == 2  # an epoch of each fold
    command = json.loads((finished / "environment.json").read_text())["command"]
    assert command[0] == "voxaffect"


def test_two_jobs_give_the_same_figures(
    corpus: Path, finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(corpus / "tiny.toml", run, *ONE_EPOCH, "--jobs", "2") == ExitCode.OK
    said = capfd.readouterr()  # of the workers as well
    assert said.err == ""
    assert said.out.count("run folder: ") == 1
    for name in ("predictions.csv", "metrics.json"):
        mine, other = ((folder / name).read_text() for folder in (run, finished))
        assert _without_times(mine) == _without_times(other)


def _without_times(text: str) -> list[str]:
    return [line for line in text.splitlines() if '"seconds"' not in line]


def test_a_finished_run_is_taken_up_and_printed_again(
    corpus: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "predictions.csv").read_bytes()
    assert train(corpus / "tiny.toml", finished, *ONE_EPOCH, "--resume") == ExitCode.OK
    assert capsys.readouterr().out.startswith("tiny\n")
    assert (finished / "predictions.csv").read_bytes() == before


def test_all_speakers_say_that_there_are_no_figures(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(corpus / "tiny.toml", run, *ONE_EPOCH, "--set", "protocol.folds=all-speakers") == ExitCode.OK
    assert capsys.readouterr().out == (
        f"tiny: trained on all speakers; no test speakers, so no figures\nrun folder: {run}\n"
    )


def files_in(folder: Path) -> int:
    return len([path for path in folder.rglob("*") if path.is_file()]) if folder.exists() else 0


def test_states_are_kept_in_the_users_cache_or_where_it_is_told_or_nowhere(
    corpus: Path, cache: Path, tmp_path: Path
) -> None:
    recipe, mine = corpus / "probed.toml", tmp_path / "mine"
    assert train(recipe, tmp_path / "none", "--no-cache") == ExitCode.OK
    assert files_in(cache) == 0
    assert train(recipe, tmp_path / "told", "--cache", str(mine)) == ExitCode.OK
    assert (files_in(mine), files_in(cache)) == (12, 0)
    assert train(recipe, tmp_path / "users") == ExitCode.OK
    assert files_in(cache) == 12
    written = {path: path.stat().st_ino for path in mine.rglob("*.npy")}
    assert train(recipe, tmp_path / "again", "--cache", str(mine)) == ExitCode.OK
    assert {path: path.stat().st_ino for path in mine.rglob("*.npy")} == written  # none was written anew
    predictions = {
        (tmp_path / run / "predictions.csv").read_bytes() for run in ("none", "told", "users", "again")
    }
    assert len(predictions) == 1


def test_damaged_and_removed_entries_of_the_cache_are_counted_on_stderr(
    corpus: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = corpus / "probed.toml"
    assert train(recipe, tmp_path / "first") == ExitCode.OK
    assert "cache at" not in capsys.readouterr().err
    entries = sorted(cache.rglob("*.npy"))
    for entry in entries[:2]:
        entry.write_bytes(entry.read_bytes()[:-1])
    assert train(recipe, tmp_path / "second") == ExitCode.OK
    said = capsys.readouterr().err
    assert f"voxaffect: warning: cache at {cache}: damaged entries, computed anew: 2\n" in said
    size = sum(entry.stat().st_size for entry in cache.rglob("*.npy"))
    monkeypatch.setenv("VOXAFFECT_CACHE_LIMIT", str(size / 2e9))
    entries[0].unlink()  # so that something is written
    assert train(recipe, tmp_path / "third") == ExitCode.OK
    said = capsys.readouterr().err
    assert re.search(
        r"cache at .*: entries used longest ago, removed for want of room: \d+; VOXAFFECT_", said
    )
    assert sum(entry.stat().st_size for entry in cache.rglob("*.npy")) <= size / 2
    answers = {(tmp_path / run / "predictions.csv").read_bytes() for run in ("first", "second", "third")}
    assert len(answers) == 1
    for entry in cache.rglob("*.npy"):
        entry.write_bytes(b"")
    assert train(recipe, tmp_path / "fourth", "--quiet") == ExitCode.OK
    assert "cache at" not in capsys.readouterr().err


def test_a_limit_of_the_cache_that_is_none_is_refused_before_anything_is_written(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VOXAFFECT_CACHE_LIMIT", "20GB")
    assert train(corpus / "probed.toml", tmp_path / "run") == ExitCode.USAGE
    assert "VOXAFFECT_CACHE_LIMIT is '20GB'; expected a number of GB above 0" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["--set", "training.epoch=1"],
            ExitCode.USAGE,
            "unknown_key: unknown key 'epoch' in [tiny.training]; expected some of [",
        ),
        (
            ["--set", "training.epochs"],
            ExitCode.USAGE,
            "bad_assignment: --set 'training.epochs' is not of the form",
        ),
        (["--set", "model.kind=svm"], ExitCode.USAGE, "unknown_model: unknown model kind 'svm'"),
        (
            ["--set", "data.roots={folder = 'nowhere'}"],
            ExitCode.NOTHING_USABLE,
            "nowhere",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: ExitCode,
    message: str,
) -> None:
    assert train(corpus / "tiny.toml", tmp_path / "run", *words) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("voxaffect: error: ")
    assert said.err.count("\n") == 1
    assert message in said.err


def test_a_missing_recipe_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path / "none.toml", tmp_path / "run") == ExitCode.USAGE
    assert f"recipe_missing: no recipe at {tmp_path / 'none.toml'}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_kept(corpus: Path, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "predictions.csv").read_bytes()
    assert train(corpus / "tiny.toml", finished, *ONE_EPOCH) == ExitCode.USAGE
    assert "run_exists: " in (err := capsys.readouterr().err)
    assert "add --resume, or choose another folder" in err
    assert (finished / "predictions.csv").read_bytes() == before


def test_a_run_of_another_recipe_is_not_resumed(
    corpus: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        train(corpus / "tiny.toml", finished, "--resume", "--set", "training.epochs=3") == ExitCode.ARTEFACT
    )
    assert "other_recipe: " in capsys.readouterr().err


def test_without_an_output_folder_nothing_is_trained(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(corpus / "tiny.toml")]) == ExitCode.USAGE
    assert "the following arguments are required: -o/--output" in capsys.readouterr().err


def test_a_probe_stays_on_the_cpu(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # it is not: whatever is moved there fails
    run = tmp_path / "run"
    assert (
        main(["train", str(corpus / "probed.toml"), "-o", str(run), "--no-cache", "--quiet"]) == ExitCode.OK
    )


def test_jobs_are_for_the_cpu(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    arguments = [
        "train",
        str(corpus / "tiny.toml"),
        "-o",
        str(tmp_path / "run"),
        "--device",
        "cuda",
        "--jobs",
        "2",
    ]
    assert main(arguments) == ExitCode.USAGE
    assert "bad_value: --jobs is for the CPU, not for cuda; leave --jobs out" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
