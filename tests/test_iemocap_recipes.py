"""The IEMOCAP recipes end to end, unchanged but for size, on a synthetic release and a synthetic pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from iemocap_tree import SPEAKERS, build_iemocap, build_iemocap_pickle
from neural_inputs import save_alexnet, save_speech, save_vit
from voxaffect.cli import main
from voxaffect.errors import ExitCode
from voxaffect.predictions import read_csv
from voxaffect.recipe import read_recipe

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("transformers", reason="needs the extra `train`")
torch.set_num_threads(1)

RECIPES = Path(__file__).parents[1] / "recipes"
VIT = "dim = 32, depth = 2, heads = 4, mlp_ratio = 2.0"


@pytest.fixture(scope="module", autouse=True)
def undrawn() -> Iterator[None]:
    """Pictures are made but not painted, which would take longer than the trainings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("voxaffect.plots.png", lambda figure: b"\x89PNG")
        yield


@pytest.fixture(scope="module")
def iemocap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the release, the pickle, tiny encoders and a cache of their states."""
    folder = tmp_path_factory.mktemp("iemocap")
    build_iemocap(folder / "release", per_class=1)
    build_iemocap_pickle(folder / "pickle" / "IEMOCAP.pkl", utterances_per_class=1)
    save_speech("wav2vec2", folder / "wav2vec2")
    save_vit(folder / "vit")
    save_alexnet(folder / "alexnet.pth")
    return folder


def small(folder: Path) -> list[str]:
    """Small encoders that stay frozen, so that each segment meets them once; one epoch."""
    return [
        f"model.speech.checkpoint={folder / 'wav2vec2'}",
        "model.speech.frozen=true",
        "model.spectrogram.frozen=true",
        "model.mfcc={hidden = 4, layers = 1}",
        "model.width=8",
        "training.epochs=1",
        "protocol.seeds=[111]",
    ]


def train(name: str, run: Path, folder: Path, changes: list[str]) -> None:
    words = [word for change in [*small(folder), *changes] for word in ("--set", change)]
    cache = ["--cache", str(folder / "cache"), "--device", "cpu", "--quiet"]
    assert main(["train", str(RECIPES / f"{name}.toml"), "-o", str(run), *words, *cache]) == ExitCode.OK


def release(folder: Path) -> list[str]:
    return [f"data.roots.iemocap={folder / 'release'}"]


@pytest.mark.slow
def test_the_study_runs_in_one_command(
    iemocap: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    changes = [
        f"variants.camser-alexnet.model.spectrogram.weights={iemocap / 'alexnet.pth'}",
        f"variants.camser-vit.model.spectrogram={{weights = '{iemocap / 'vit'}', {VIT}}}",
    ]
    train("iemocap-study", run, iemocap, release(iemocap) + changes)
    said = capsys.readouterr().out
    members = read_recipe(RECIPES / "iemocap-study.toml").members
    for variant in ("camser-alexnet", "camser-vit"):
        vote = read_csv(run / variant / "predictions.csv")
        assert set(vote.speakers) == {"iemocap/Ses05F"}
        assert len(vote) == 5  # one each of angry, happy, excited, neutral and sad
        assert vote.labels == ("angry", "happy", "neutral", "sad")
        ensemble = json.loads((run / variant / "ensemble.json").read_text())
        assert [m["name"] for m in ensemble["members"]] == [f"m{i}" for i in range(1, 8)]
        for row in ensemble["members"]:
            assert (row["train"], row["dev"]) == (
                list(members[row["name"]].train),
                list(members[row["name"]].dev),
            )
        assert f"\n{variant}\n  7 members on 5 utterances of 1 speakers, 1 seed\n" in f"\n{said}"
    assert json.loads((run / "study.json").read_text())["variants"] == ["camser-alexnet", "camser-vit"]
    assert "OPTIMISTIC" not in said


@pytest.mark.slow
def test_the_paper_runs_on_ten_folds_and_the_partner_never_trains(iemocap: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(
        "iemocap-paper",
        run,
        iemocap,
        [*release(iemocap), f"model.spectrogram.weights={iemocap / 'alexnet.pth'}"],
    )
    folds = json.loads((run / "folds.json").read_text())
    assert [fold["name"] for fold in folds] == [f"iemocap/{s}" for s in sorted(SPEAKERS)]
    for fold in folds:
        session = fold["name"][:-1]
        assert sorted(fold["dev"] + fold["test"]) == [f"{session}F", f"{session}M"]
        assert len(fold["train"]) == 8
        assert not any(speaker.startswith(session) for speaker in fold["train"])
    predictions = read_csv(run / "predictions.csv")
    assert len(predictions) == len(set(predictions.ids)) == 50


@pytest.mark.slow
def test_the_paper_as_published_is_stamped_all_over(
    iemocap: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    changes = [f"model.spectrogram.weights={iemocap / 'alexnet.pth'}"]
    train("iemocap-paper-as-published", run, iemocap, release(iemocap) + changes)
    for fold in json.loads((run / "folds.json").read_text()):
        assert fold["name"].startswith("OPTIMISTIC validation-on-test: ")
        assert fold["dev"] == fold["test"]
        assert len(fold["train"]) == 9  # all others, the partner among them
    said = capsys.readouterr().out
    figures = [line for line in said.splitlines() if line.startswith(("  UA", "  WA"))]
    assert figures
    assert all("OPTIMISTIC" in line for line in figures)
    assert json.loads((run / "metrics.json").read_text())["evaluation"]["optimistic"] == "validation-on-test"


@pytest.mark.slow
def test_the_paper_runs_on_the_published_pickle(iemocap: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    changes = [
        'data.corpora=["iemocap-pickle"]',
        f"data.roots={{iemocap-pickle = '{iemocap / 'pickle' / 'IEMOCAP.pkl'}'}}",
        f"model.spectrogram.weights={iemocap / 'alexnet.pth'}",
    ]
    train("iemocap-paper", run, iemocap, changes)
    predictions = read_csv(run / "predictions.csv")
    assert set(predictions.speakers) == {f"iemocap-pickle/{s}" for s in SPEAKERS}
    assert len(predictions) == 40


@pytest.mark.slow
def test_everything_is_fine_tuned_where_the_recipe_says_so(iemocap: Path, tmp_path: Path) -> None:
    """As published, wav2vec2 trains too; a tiny one does so here, for two of the ten folds' speakers."""
    from safetensors.torch import load_file

    run = tmp_path / "run"
    changes = [
        "data.where={session = ['Ses01', 'Ses02']}",
        "model.speech.frozen=false",
        f"model.spectrogram.weights={iemocap / 'alexnet.pth'}",
        "training.encoder_learning_rate=1e-2",
    ]
    train("iemocap-paper", run, iemocap, release(iemocap) + changes)
    weights = [load_file(path) for path in sorted(run.rglob("model.safetensors"))]
    assert len(weights) == 4
    name = next(name for name in weights[0] if name.startswith("speech.encoder.") and name.endswith("weight"))
    assert not torch.equal(weights[0][name], weights[1][name])  # each fold tuned a copy of its own
