"""A model calibrated on labelled clips: its answers stay, its confidence becomes that of the place."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fake_models import LEVELS, expected_logits, silence, square, write_model, write_wav
from voxaffect.calibrated_vote import LINE_START
from voxaffect.calibration import ece, softmax
from voxaffect.cli import main
from voxaffect.errors import CorpusError, UsageError, VoxaffectError
from voxaffect.modelfile import ModelFile, read_model
from voxaffect.predictor import Predictor
from voxaffect.recalibration import LEAST, Recalibrated, recalibrate

onnx = pytest.importorskip("onnx", reason="makes the model that is calibrated")

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.usefixtures("sound_is_speech")


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    """Three members that are too sure."""
    return read_model(write_model(tmp_path / "level.onnx", (0.0, 0.03, -0.03)))


def clips(folder: Path, n: int = 60) -> Path:
    """`n` clips of two speakers whose labels are as likely as a model would say that is four times less sure."""
    rng = np.random.default_rng(3)
    for i in range(n):
        level = float(rng.uniform(0.03, 0.65))
        label = rng.choice(list(LEVELS), p=softmax(expected_logits(level), 4.0))
        place = folder / label / f"s{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        write_wav(place / f"{i}.wav", square(level, 0.5))
    return folder


def made(model: ModelFile, folder: Path, output: Path, **options: object) -> tuple[Recalibrated, ModelFile]:
    found = recalibrate(model, str(folder), output, **options)  # type: ignore[arg-type]
    return found, read_model(output)


def said(model: ModelFile, files: list[Path]) -> tuple[np.ndarray, np.ndarray, list[str | None]]:
    """Score of each clip, whether its label is that of its folder, and the label."""
    results = [Predictor(model).predict(file) for file in files]
    right = [result.label == file.parts[-3] for result, file in zip(results, files, strict=True)]
    return np.array([r.score for r in results]), np.array(right), [r.label for r in results]


def test_scores_become_as_high_as_answers_are_right_and_no_answer_changes(
    model: ModelFile, tmp_path: Path
) -> None:
    folder = clips(tmp_path / "mine", 160)
    files = sorted(folder.rglob("*.wav"))
    before, right, labels = said(model, files)
    found, new = made(model, folder, tmp_path / "new.onnx")
    after, right_now, labels_now = said(new, files)
    assert labels_now == labels
    assert before.mean() > right.mean() + 0.1  # too sure
    assert abs(after.mean() - right_now.mean()) < 0.05
    assert 2.5 < new.temperature < 6
    assert found.ece_before == pytest.approx(ece(before, right), abs=1e-4)
    assert found.calibration.ece == pytest.approx(ece(after, right_now), abs=1e-4)
    assert found.calibration.ece < found.ece_before
    assert found.skipped == 0


def test_its_temperature_is_that_of_the_vote(model: ModelFile, tmp_path: Path) -> None:
    """Near it, no temperature makes what the new file says of the clips more likely."""
    folder = clips(tmp_path / "mine")
    _, new = made(model, folder, tmp_path / "new.onnx")
    files = sorted(folder.rglob("*.wav"))

    def loss(temperature: float) -> float:
        results = [Predictor(replace(new, temperature=temperature)).predict(file) for file in files]
        likely = [r.probs[file.parts[-3]] for r, file in zip(results, files, strict=True)]
        return -float(np.log(likely).mean())

    best = loss(new.temperature)
    assert best < loss(0.9 * new.temperature)
    assert best < loss(1.1 * new.temperature)


def test_the_file_says_what_it_was_calibrated_on_and_is_whole(model: ModelFile, tmp_path: Path) -> None:
    found, new = made(model, clips(tmp_path / "mine"), tmp_path / "new.onnx")
    assert (new.name, new.version) == ("level", "1.0+calibrated")
    assert new.metadata["calibration"]["fitted_on"] == "mine"
    assert new.metadata["calibration"]["dev_utterances"] == 60
    assert new.metadata["calibration"]["answers_each"] == 3
    assert new.uncertain_below == found.calibration.uncertain_below > 0
    assert new.sha256 != model.sha256
    assert {key: new.metadata[key] for key in ("labels", "features", "licence")} == {
        key: model.metadata[key] for key in ("labels", "features", "licence")
    }
    (line,) = [line for line in new.card.splitlines() if line.startswith(LINE_START)]
    assert "fitted on 60 labelled clips of mine" in line
    assert new.card.startswith("# level\n\nHears the level, nothing else.")
    assert (tmp_path / "new.md").read_text(encoding="utf-8") == new.card
    assert onnx.load(new.path).graph == onnx.load(model.path).graph
    assert main(["models", "verify", str(tmp_path / "new.onnx")]) == 0


def test_a_second_time_replaces_what_the_card_says(tmp_path: Path) -> None:
    card = "# level 1.0\n\nText.\n\n- temperature 1, fitted on 5 dev utterances\n- made by hand\n"
    model = read_model(write_model(tmp_path / "level.onnx", card=card))
    _, new = made(model, clips(tmp_path / "mine"), tmp_path / "new.onnx", version="2.0")
    title, *_, line, last = new.card.splitlines()
    assert (title, last) == ("# level 2.0", "- made by hand")
    assert line.startswith(f"- temperature {new.temperature:g}, fitted on 60 labelled clips")
    _, again = made(new, tmp_path / "mine", tmp_path / "new.onnx", version="2.1", overwrite=True)
    assert again.version == "2.1"
    assert again.card.splitlines()[-2] == line
    assert (
        again.temperature == new.temperature
    )  # it is fitted to what the model says, not to what it said last


def test_clips_without_speech_or_with_other_labels_are_skipped_and_counted(
    model: ModelFile, tmp_path: Path
) -> None:
    folder = clips(tmp_path / "mine", 40)
    (folder / "bored" / "s0").mkdir(parents=True)
    write_wav(folder / "bored" / "s0" / "x.wav", square(0.4, 0.6))
    write_wav(folder / "sad" / "s0" / "silent.wav", silence(1.0))
    found, _ = made(model, folder, tmp_path / "new.onnx")
    assert (found.calibration.dev_utterances, found.skipped) == (40, 2)


def test_too_few_clips_are_refused_and_nothing_is_written(model: ModelFile, tmp_path: Path) -> None:
    folder = clips(tmp_path / "mine", LEAST - 1)
    with pytest.raises(UsageError, match=f"{LEAST - 1} of {LEAST - 1} clips") as caught:
        recalibrate(model, str(folder), tmp_path / "new.onnx")
    assert caught.value.code == "too_few"
    assert caught.value.hint == "its labels are angry, happy, neutral, sad"
    assert not list(tmp_path.glob("new.*"))


def test_none_that_fits_is_too_few(model: ModelFile, tmp_path: Path) -> None:
    (tmp_path / "mine" / "bored" / "s0").mkdir(parents=True)
    write_wav(tmp_path / "mine" / "bored" / "s0" / "x.wav", square(0.4, 0.6))
    with pytest.raises(UsageError, match="0 of 1 clips"):
        recalibrate(model, str(tmp_path / "mine"), tmp_path / "new.onnx")


@pytest.mark.parametrize("there", ["new.onnx", "new.md"])
def test_what_is_there_is_not_written_over(model: ModelFile, tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(UsageError) as caught:
        recalibrate(model, str(tmp_path), tmp_path / "new.onnx")
    assert caught.value.code == "output_exists"
    assert (tmp_path / there).read_text() == "mine"


def test_what_cannot_be_heard_is_an_error_that_names_it(model: ModelFile, tmp_path: Path) -> None:
    folder = clips(tmp_path / "mine", 40)
    (folder / "sad" / "s1" / "broken.wav").write_bytes(b"no audio")
    with pytest.raises(VoxaffectError) as caught:
        recalibrate(model, str(folder), tmp_path / "new.onnx")
    assert "broken.wav" in str(caught.value.where)
    for place, error, code in (
        (str(tmp_path / "absent"), CorpusError, "no_such_folder"),
        (f"radio={folder}", UsageError, "unknown_corpus"),
    ):
        with pytest.raises(error) as wrong:
            recalibrate(model, place, tmp_path / "new.onnx")
        assert wrong.value.code == code
    assert not list(tmp_path.glob("new.*"))


def test_features_in_place_of_recordings_cannot_be_heard(
    model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voxaffect import corpora

    monkeypatch.setattr(corpora, "stored_segments", lambda utterance: [{}])
    with pytest.raises(CorpusError, match="features in place of recordings"):
        recalibrate(model, str(clips(tmp_path / "mine", 40)), tmp_path / "new.onnx")


def test_the_command_says_what_changed(
    model: ModelFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = clips(tmp_path / "mine", 40)
    write_wav(folder / "sad" / "s0" / "silent.wav", silence(1.0))
    new = tmp_path / "new.onnx"
    command = ["models", "calibrate", str(model.path), "--on", f"folder={folder}", "-o", str(new)]
    assert main([*command, "--version", "1.1"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(
        f"{new}  temperature {read_model(new).temperature:g} (was 1)  calibration error "
    )
    assert told.out.endswith("on the 40 clips that it was fitted on\n")
    assert "1 clips skipped" in told.err
    assert read_model(new).version == "1.1"
    assert main(command) == 2
    assert "output_exists" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_one_that_becomes_far_surer_is_asked_whether_it_knew_the_speakers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unsure = write_model(tmp_path / "level.onnx", calibration={"temperature": 20.0})
    command = ["models", "calibrate", str(unsure), "--on", str(clips(tmp_path / "mine")), "-o"]
    assert main([*command, str(tmp_path / "new.onnx")]) == 0
    assert "if it was trained on these speakers" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "quiet.onnx"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments",
    [["-o", "x.onnx"], ["--on", "mine"], ["--on", "mine", "-o", "x.bin"], ["a", "b", "--on", "m"]],
)
def test_what_the_command_lacks_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "calibrate", *arguments]) == 2
    assert "--on CLIPS and -o FILE.onnx" in capsys.readouterr().err


def test_what_a_few_labels_are_said_to_do_is_what_the_answers_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the draws, whose figures lie within two points of all."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import few_labels
    from voxaffect.predictions import read_run

    stored = json.loads((ROOT / "results/benchmarks/few-labels.json").read_text(encoding="utf-8"))
    run = read_run(ROOT / "results" / stored["run"])
    assert stored["draws"] == few_labels.DRAWS
    monkeypatch.setattr(few_labels, "DRAWS", few_labels.DRAWS // 10)
    for corpus, figures in stored["corpora"].items():
        found = few_labels.figures(run, corpus)
        assert found == pytest.approx(figures, abs=0.02)
    sys.modules.pop("few_labels")
