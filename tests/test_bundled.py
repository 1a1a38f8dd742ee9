"""The bundled model and clips: small, whole, honest about what was measured, and quick to answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from voxaffect.calibration import ece
from voxaffect.cli import main
from voxaffect.cli.demo import CLIPS
from voxaffect.evaluation import evaluate
from voxaffect.modelfile import find_model, read_model
from voxaffect.predictions import read_csv
from voxaffect.predictor import load
from voxaffect.significance import compare

ROOT = Path(__file__).resolve().parents[1]
EVIDENCE = ROOT / "results" / "bundled"


def test_the_bundled_model_is_small_and_whole() -> None:
    model = read_model(find_model(None))
    folder = model.path.parent
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 10e6
    assert model.labels == ("angry", "happy", "neutral", "sad")
    assert model.inputs == ("mfcc",)
    assert model.members == 7
    assert model.adapts
    assert model.licence == "CC-BY-NC-SA-4.0"
    assert model.path.with_suffix(".md").read_text(encoding="utf-8") == model.card


def test_the_card_says_what_the_committed_run_measured() -> None:
    card = read_model(find_model(None)).card
    evaluation = evaluate(read_csv(EVIDENCE / "predictions.csv"))
    for name, interval in evaluation.measures.items():
        low, high = 100 * interval.low, 100 * interval.high
        assert f"| {name} | {100 * interval.value:.1f} | {low:.1f} to {high:.1f} |" in card
    for word in ("perceived", "CC BY-NC-SA 4.0", "AI Act", "never heard that speaker"):
        assert word in card


def test_card_and_readme_say_what_another_corpus_does_to_it() -> None:
    run = read_csv(ROOT / "results/bundled-corpora/predictions.csv")
    card, readme = read_model(find_model(None)).card, (ROOT / "README.md").read_text(encoding="utf-8")
    for corpus in ("emodb", "nemo", "ravdess"):
        rows = [i for i, fold in enumerate(run.folds) if fold == corpus]
        assert {run.speakers[i].split("/")[0] for i in rows} == {corpus}
        ua = f"{100 * evaluate(run.select(rows), n_bootstrap=100).ua.value:.1f} on "
        assert ua in card
        assert ua in readme
    said = f"calibration error {100 * ece(run.confidence, run.predicted == run.truth):.1f} %"
    assert said in card
    assert said in readme


def test_the_readme_says_what_three_seeds_of_it_gave() -> None:
    said = []
    for name in ("predictions.csv", "predictions_adapted.csv"):
        run = read_csv(ROOT / "results/bundled-corpora-seeds" / name)
        assert set(run.distinct_seeds) == {1, 2, 3}
        of = {
            corpus: evaluate(
                run.select([i for i, fold in enumerate(run.folds) if fold == corpus]), n_bootstrap=100
            )
            for corpus in ("emodb", "nemo", "ravdess")
        }
        said.append("{:.1f}, {:.1f} and {:.1f}".format(*(100 * each.ua.value for each in of.values())))
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"(`bundled-corpora-seeds`) {said[0]}, and {said[1]} adapted" in readme


def what_it_loses(name: str) -> tuple[dict[str, Any], dict[str, float]]:
    """The table of robustness `name`, and the points of UA that each condition costs; its answers give what it says."""
    folder = ROOT / "results" / name
    table = json.loads((folder / "robustness.json").read_text(encoding="utf-8"))
    ua = {c["condition"]: 100 * c["UA"] for c in table["conditions"]}
    found = sorted(
        round(100 * evaluate(read_csv(file), n_bootstrap=100).ua.value, 6)
        for file in (folder / "predictions").glob("*.csv")
    )
    assert found == pytest.approx(sorted(ua.values()), abs=1e-5)
    return table, {condition: ua["clean"] - value for condition, value in ua.items()}


def test_what_noise_costs_it_is_what_its_answers_give() -> None:
    table, lost = what_it_loses("bundled-robustness")
    assert len(lost) == 36
    card, readme = read_model(find_model(None)).card, (ROOT / "README.md").read_text(encoding="utf-8")
    at_10 = [points for name, points in lost.items() if name.endswith("SNR 10 dB")]
    rooms = [lost[f"room, RT60 {t} s"] for t in ("0.3", "0.6")]
    of_group = {
        g: max(lost[c["condition"]] for c in table["conditions"] if c["group"] == g)
        for g in ("codec", "level")
    }
    words = " ".join(card.split())
    assert f"{min(at_10):.0f} to {max(at_10):.0f} points of UA at an SNR of 10 dB" in words
    assert f"{rooms[0]:.0f} and {rooms[1]:.0f} in rooms that ring" in words
    assert f"{lost['first 0.5 s']:.0f} on half a second" in words
    assert f"coding cost {lost['mu-law, 8 kHz']:.0f} points, codecs at most {of_group['codec']:.0f}" in words
    assert f"level (-60 dBFS to full scale) at most {of_group['level']:.0f}" in words
    assert f"lose {min(at_10):.0f} (speech-shaped noise) to {max(at_10):.0f} points (babble)" in " ".join(
        readme.split()
    )


def test_what_noise_costs_other_seeds_is_what_their_answers_give() -> None:
    table_of_eight, eight = what_it_loses("bundled-robustness-seeds")
    table_of_every, every = what_it_loses("bundled-telephone")
    assert table_of_eight["seeds"] == table_of_every["seeds"] == [2, 3]
    assert len(eight) == 36
    at_10 = [points for name, points in eight.items() if name.endswith("SNR 10 dB")]
    telephone = "mu-law, 8 kHz"
    (change,) = [c["difference"]["UA"] for c in table_of_every["conditions"] if c["condition"] == telephone]
    low, high = (-100 * change[side] for side in ("high", "low"))
    said = (
        f"lose {min(at_10):.0f} to {max(at_10):.0f}, {eight['room, RT60 0.6 s']:.0f} in that room and "
        f"{eight[telephone]:.0f} by telephone coding; asked about all 2240 utterances, {every[telephone]:.1f} by "
        f"telephone coding ({low:.1f} to {high:.1f}, `bundled-telephone`)"
    )
    assert said in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def test_the_evidence_is_of_the_recipe_that_made_the_model() -> None:
    """The two runs share everything but the protocol."""
    recipe = json.loads((EVIDENCE / "recipe.json").read_text(encoding="utf-8"))
    training = read_model(find_model(None)).metadata["training"]
    assert training["recipe"] == recipe["name"]
    assert training["corpora"] == recipe["data"]["corpora"]
    for fold in json.loads((EVIDENCE / "folds.json").read_text(encoding="utf-8")):
        sides = [set(fold[side]) for side in ("train", "dev", "test")]
        assert sum(map(len, sides)) == len(set.union(*sides))


def test_it_is_clearly_better_than_egemaps_on_the_same_speakers() -> None:
    """Paired, over the very same utterances, each judged by models blind to its speaker."""
    svm = read_csv(EVIDENCE / "egemaps" / "predictions.csv")
    run = read_csv(EVIDENCE / "predictions.csv")
    assert sorted(svm.ids) == sorted(run.ids)
    found = compare(svm, run).to_dict()
    stored = json.loads((EVIDENCE / "egemaps" / "comparison.json").read_text(encoding="utf-8"))["comparison"]
    assert json.loads(json.dumps(found)) == stored
    assert found["difference"]["UA"]["low"] > 0.02  # type: ignore[index]  # on other speakers, too
    assert found["speakers"]["second_better"] > 4 * found["speakers"]["first_better"]  # type: ignore[index]


def test_models_verify_accepts_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify"]) == 0
    assert capsys.readouterr().out.startswith("ok ")


def test_the_demo_tells_every_clip_and_what_it_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    for clip in CLIPS.iterdir():
        assert clip.name in out
    assert "no speech" in out
    assert "synthetic speech" in out


def test_the_clips_show_the_formats_that_people_have() -> None:
    results = {r.source.path: r for r in load().predict_many(sorted(CLIPS.iterdir())) if r.source is not None}
    codecs = {r.source.codec for r in results.values() if r.source is not None}
    assert codecs >= {"pcm_mulaw", "opus", "mp3", "aac", "flac"}
    silence = next(r for path, r in results.items() if path and path.endswith("silence.flac"))
    assert (silence.label, silence.reason) == (None, "no_speech")


def test_the_level_of_a_clip_hardly_moves_its_probabilities() -> None:
    """A guard against a model that hears the level: quiet is not sad by itself."""
    from voxaffect.audio import mono, read_audio

    model = load()
    n_heard = 0
    for clip in sorted(CLIPS.iterdir()):
        result = model.predict(clip)
        if result.label is None or not result.probs:
            continue
        n_heard += 1
        samples = mono(read_audio(clip).samples)
        for gain, most in ((0.25, 0.1), (0.7, 0.03), (1.4, 0.03)):
            probs = model.predict((samples * gain, 16_000)).probs
            assert probs is not None
            assert max(abs(probs[label] - p) for label, p in result.probs.items()) < most
    assert n_heard >= 5


def test_real_speech_of_a_corpus_gets_finite_answers(shared_corpora: Path) -> None:
    files = sorted((shared_corpora / "originals" / "ravdess").rglob("*.wav"))
    for result in load().predict_many(files):
        assert result.error is None
        assert result.probs is not None
        assert sum(result.probs.values()) == pytest.approx(1.0, abs=1e-6)
