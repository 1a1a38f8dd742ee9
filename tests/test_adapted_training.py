"""Recipes with [adaptation], from a tiny corpus to a model file that enrols clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import training_corpus
from neural_inputs import save_speech
from training_corpus import train
from voxaffect.cli import main
from voxaffect.errors import ArtefactError, AudioError, UsageError, VoxaffectError
from voxaffect.predictions import read_csv
from voxaffect.predictor import load
from voxaffect.recipe import Recipe, read_recipe

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("transformers", reason="needs the extra `train`")
torch.set_num_threads(1)

RECIPE = f"""
name = "tiny"{training_corpus.DATA}seeds = [1]
[adaptation]
unit = "speaker"
[features]
window = 0.0
[model]
kind = "probe"
layers = [[0, 1], [1]]
kernels = ["linear", "rbf"]
penalties = [0.1, 1.0]
inner_folds = 2
[model.speech]
checkpoint = "whisper"
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips/, a tiny encoder of random weights and the recipe."""
    folder = tmp_path_factory.mktemp("adapted")
    training_corpus.build(folder / "clips", clips=4)
    save_speech("whisper", folder / "whisper")
    (folder / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    return folder


def tiny(corpus: Path, *assignments: str) -> Recipe:
    return read_recipe(corpus / "tiny.toml", assignments)


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    train(tiny(corpus), run)
    return run


@pytest.fixture(scope="module")
def model(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of all speakers."""
    from voxaffect.release import release

    folder = tmp_path_factory.mktemp("released")
    train(tiny(corpus, "protocol.folds=all-speakers"), folder / "run")
    return release(folder / "run", folder / "tiny.onnx").path


def test_adaptation_leaves_the_plain_answers_as_they_are(
    corpus: Path, finished: Path, tmp_path: Path
) -> None:
    train(tiny(corpus, "adaptation.unit=none"), tmp_path / "plain")
    assert (tmp_path / "plain/predictions.csv").read_bytes() == (finished / "predictions.csv").read_bytes()
    assert not (tmp_path / "plain/predictions_adapted.csv").exists()


def test_adapted_answers_are_kept_apart_and_named(finished: Path) -> None:
    plain, adapted = read_csv(finished / "predictions.csv"), read_csv(finished / "predictions_adapted.csv")
    assert adapted.ids == plain.ids
    assert not np.array_equal(adapted.probs, plain.probs)
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["adapted"]["what"] == "adapted, transductive"
    assert metrics["adapted"]["unit"] == "speaker"
    assert metrics["adapted"]["evaluation"]["n_utterances"] == len(plain)


def test_evaluate_shows_the_adapted_figure_second(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(finished), "--bootstrap", "100"]) == 0
    out = capsys.readouterr().out
    assert out.index("95 % interval") < out.index("adapted, transductive: a second figure")
    assert main(["evaluate", str(finished), "--bootstrap", "100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["measures"]["UA"]["value"] == found["adapted_transductive"]["first"]["UA"]


def test_a_report_names_the_adapted_figure(finished: Path) -> None:
    from voxaffect.report import report

    page = report(finished, n_bootstrap=100)
    assert "Adapted, transductive" in page
    assert page.index("WA and UA in percent") < page.index("Adapted, transductive")


def test_a_recipe_of_before_keeps_its_digest(corpus: Path) -> None:
    text = RECIPE.replace('[adaptation]\nunit = "speaker"\n', "")
    (corpus / "before.toml").write_text(text, encoding="utf-8")
    assert read_recipe(corpus / "before.toml").digest == tiny(corpus, "adaptation.unit=none").digest
    assert read_recipe(corpus / "before.toml").digest != tiny(corpus).digest


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["adaptation.unit=actor"], "unknown unit 'actor'"),
        (["adaptation.shrinkage=0"], "seconds must be 0 or more and shrinkage above 0"),
        (["adaptation.unit=none", "adaptation.seconds=3"], "seconds and shrinkage need unit"),
        (["adaptation.second=3"], "unknown key 'second'"),
        (["model={}"], r"needs model.kind = 'probe' or model.wiring = 'kernel', not 'coattention'"),
        (["protocol.allow_speaker_overlap=true"], "test speakers who neither train nor select"),
    ],
)
def test_a_wrong_adaptation_is_refused(corpus: Path, assignments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tiny(corpus, *assignments)


def test_a_corpus_is_a_condition(corpus: Path, tmp_path: Path) -> None:
    train(tiny(corpus, "adaptation.unit=condition", "adaptation.seconds=2"), tmp_path / "run")
    assert (tmp_path / "run/predictions_adapted.csv").is_file()


def test_a_curve_tells_seconds_and_the_one_emotion_test(
    corpus: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "curve"
    command = ["adapt-curve", str(corpus / "tiny.toml"), "-o", str(out), "--no-cache", "--quiet"]
    assert main([*command, "--seconds", "1,2", "--draws", "2"]) == 0
    text = capsys.readouterr().out
    assert "one emotion, judged on the same" in text
    curve = json.loads((out / "adapt_curve.json").read_text())
    assert [p["seconds"] for p in curve["points"]] == [0, 1, 2]
    metrics = json.loads((finished / "metrics.json").read_text())
    assert curve["points"][0]["ua"] == pytest.approx(metrics["evaluation"]["measures"]["UA"]["value"])
    assert curve["all"]["ua"] == pytest.approx(metrics["adapted"]["evaluation"]["measures"]["UA"]["value"])
    assert (out / "adapt_curve.png").read_bytes().startswith(b"\x89PNG")
    assert main(command) == 2
    assert "run_exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seconds", "a"], "--seconds is 'a'; expected numbers"),
        (["--seconds", "-1"], "seconds above 0"),
        (["--draws", "0"], "draws must be at least 1"),
        (["--set", "adaptation.unit=none"], "adapts to nothing"),
        (["--set", "protocol.folds=all-speakers"], "no test speakers to adapt to"),
        (["--jobs", "2"], "one after another"),
        (["--set", "variants.x.title=x"], "is a study; name one without variants"),
        (
            ["--set", 'model.kind="coattention"', "--set", 'model.wiring="kernel"'],
            "is no probe; others would be",
        ),
    ],
)
def test_a_wrong_curve_is_refused(
    corpus: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["adapt-curve", str(corpus / "tiny.toml"), "--no-cache", "--quiet", *options]) == 2
    assert message in capsys.readouterr().err


def clips(corpus: Path, label: str = "*") -> list[Any]:
    return sorted((corpus / "clips").glob(f"{label}/fred/*.wav"))


@pytest.mark.usefixtures("sound_is_speech")
def test_a_released_probe_adapts_to_enrolled_clips_and_says_so(corpus: Path, model: Path) -> None:
    predictor = load(model)
    clip = clips(corpus)[0]
    plain = predictor.predict(clip)
    adapted = predictor.predict(clip, enrol=clips(corpus))
    assert adapted.probs != plain.probs
    assert plain.settings is not None
    assert adapted.settings is not None
    assert plain.settings.enrolled_seconds is None
    assert "enrolled_seconds" not in plain.to_dict()["settings"]
    assert adapted.to_dict()["settings"]["enrolled_seconds"] == pytest.approx(5.4, abs=0.01)
    notice = next(w for w in adapted.warnings if w.code == "adapted")
    assert notice.message.startswith("to 5.4 s of speech in 8 clips; 10 s and more do better")
    assert type(adapted).from_dict(adapted.to_dict()) == adapted
    assert predictor.predict(clip) == plain


def test_the_file_adapts_like_the_probe_that_was_trained(corpus: Path, model: Path) -> None:
    from voxaffect.encoders.speech import SpeechEncoder, SpeechOptions
    from voxaffect.enrolling import adapted
    from voxaffect.examples import read_utterance
    from voxaffect.probe_file import load_probe
    from voxaffect.table import Utterance

    recogniser = load(model)._recogniser
    ready, _ = adapted(recogniser, clips(corpus), window=3.0, vad=False)
    speech = SpeechEncoder(SpeechOptions(str(corpus / "whisper"))).eval()
    place = next((model.parent / "run/parts").iterdir()) / "model"
    probe = load_probe(place, speech)
    waves = [read_utterance(Utterance(f"x/{p.stem}", p, "x/fred", "sad", "x")) for p in clips(corpus)]
    items = [recogniser.items(wave)[0] for wave in waves]
    with torch.inference_mode():
        batches = [{k: torch.from_numpy(np.asarray(v))[None] for k, v in item.items()} for item in items]
        x = np.concatenate([probe.centred.features(b).numpy() for b in batches]).astype(np.float64)
        z = np.concatenate([probe(b).log_softmax(-1).numpy() for b in batches]).astype(np.float64)
    wanted = probe.adapted_log_probs(x, probe.enrol(x, z, np.array([len(w) / 16_000 for w in waves])))
    # float32 sums in another order
    np.testing.assert_allclose(np.exp(ready.log_probs(items)[:, 0]), np.exp(wanted), atol=1e-4)


@pytest.mark.usefixtures("sound_is_speech")
def test_the_command_enrols(corpus: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = str(clips(corpus)[0])
    folder = str(corpus / "clips/sad/fred")
    assert main(["predict", clip, "-m", str(model), "--enrol", folder, "-f", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["enrolled_seconds"] > 2
    assert main(["predict", clip, "-m", str(model), "--enrol", str(corpus / "none.wav")]) == 4
    assert "not_found" in capsys.readouterr().err
    assert main(["predict", clip, "-m", str(model), "--enrol", folder]) == 0
    assert "(adapted: to 2.7 s of speech in 4 clips" in capsys.readouterr().out
    assert main(["models", "show", str(model)]) == 0
    assert "to a speaker" in capsys.readouterr().out


def probe_of(corpus: Path, model: Path) -> Any:
    from voxaffect.encoders.speech import SpeechEncoder, SpeechOptions
    from voxaffect.probe_file import load_probe

    speech = SpeechEncoder(SpeechOptions(str(corpus / "whisper"))).eval()
    return load_probe(next((model.parent / "run/parts").iterdir()) / "model", speech)


def test_members_adapt_each_by_its_own_statistics(corpus: Path, model: Path, tmp_path: Path) -> None:
    from voxaffect.enrolling import adapted
    from voxaffect.export import export

    first, second = probe_of(corpus, model), probe_of(corpus, model)
    second.centred.scale.mul_(0.5)
    metadata = {**load(model)._recogniser.model.metadata, "name": "two"}
    path = export([first, second], tmp_path / "two.onnx", metadata=metadata).path
    one, two = load(model)._recogniser, load(path)._recogniser
    assert len(two.model.metadata["adaptation"]["members"]) == 2
    items = one.items(np.sin(np.arange(16_000) / 9).astype(np.float32))
    single, _ = adapted(one, clips(corpus), window=3.0, vad=False)
    both, _ = adapted(two, clips(corpus), window=3.0, vad=False)
    assert both.offset is not None
    assert single.offset is not None
    np.testing.assert_allclose(both.offset, np.tile(single.offset, 2), atol=1e-6)
    alone, together = single.log_probs(items)[:, 0], both.log_probs(items)
    np.testing.assert_allclose(together[:, 0], alone, atol=1e-5)
    flat = alone / 2 - np.log(np.exp(alone / 2).sum(axis=-1, keepdims=True))  # half the scale
    np.testing.assert_allclose(together[:, 1], flat, atol=1e-5)
    np.testing.assert_allclose(two.log_probs(items)[:, 0], one.log_probs(items)[:, 0], atol=1e-5)


def test_parity_looks_at_the_adapted_head_and_the_voice(corpus: Path, model: Path) -> None:
    from voxaffect.export import Ensemble, parity

    content = model.read_bytes()
    assert parity(Ensemble([probe_of(corpus, model)]).eval(), content) <= 1e-5
    for change in ("centred.scale", "voice_shifts"):
        other = probe_of(corpus, model)
        other.get_buffer(change).mul_(-1.0)
        assert not parity(Ensemble([other]).eval(), content) <= 1e-5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": []}, "0 members, not 1"),
        ({"members": [{"width": 3}]}, "lacks 'shrinkage'"),
        ({"members": None}, "is not iterable"),
        ({"width": 1}, "its members have 1 statistics, its graph"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(
    corpus: Path, model: Path, changes: dict[str, Any], message: str
) -> None:
    from dataclasses import replace

    from voxaffect.enrolling import adapted

    recogniser = load(model)._recogniser
    metadata = json.loads(json.dumps(recogniser.model.metadata))
    if "width" in changes:
        metadata["adaptation"]["members"][0]["width"] = changes["width"]
    else:
        metadata["adaptation"] |= changes
    wrong = replace(recogniser, model=replace(recogniser.model, metadata=metadata))
    with pytest.raises(ArtefactError, match=f"what it says of its adaptation is not usable: .*{message}"):
        adapted(wrong, clips(corpus), window=3.0, vad=False)


def test_no_clips_enrol_nobody(model: Path) -> None:
    from voxaffect.enrolling import adapted

    with pytest.raises(UsageError, match="there are no clips to enrol"):
        adapted(load(model)._recogniser, [], window=3.0)


def test_statistics_that_are_not_finite_are_refused(corpus: Path, model: Path) -> None:
    recogniser = load(model)._recogniser
    item = recogniser.items(np.ones(16_000, np.float32))[0]
    item["log_mel"] = np.full_like(item["log_mel"], np.nan)
    with pytest.raises(VoxaffectError, match="it gave numbers that are not finite"):
        recogniser.statistics([item])


@pytest.mark.usefixtures("sound_is_speech")
def test_a_long_recording_enrols_every_second_once(corpus: Path, model: Path, tmp_path: Path) -> None:
    from fake_models import square, write_wav

    long = write_wav(tmp_path / "long.wav", square(0.2, 7.5))
    result = load(model).predict(clips(corpus)[0], enrol=[long])
    assert result.settings is not None
    assert result.settings.enrolled_seconds == pytest.approx(7.5)


def test_utterances_that_tell_nothing_of_voices_are_refused(corpus: Path) -> None:
    from voxaffect.adapted_probe import fit_adapted_probe
    from voxaffect.probe import ProbeOptions
    from voxaffect.protocol_options import AdaptationOptions

    probe: Any = None  # it is not looked at
    with pytest.raises(UsageError, match="nothing to adapt by: no unit has two utterances of one class"):
        fit_adapted_probe(
            probe, np.log(np.full((2, 2), 0.5)), ProbeOptions(), AdaptationOptions("speaker"), {},
            np.array([0, 1]), ["a", "a"], ["a", "a"], np.ones(2), 1,
        )  # fmt: skip


def test_a_shortcut_is_measured_without_adapting(corpus: Path, tmp_path: Path) -> None:
    from voxaffect.cheat_cost import cheat_cost

    result = cheat_cost(tiny(corpus), None, text_groups=2, cache_folder=None, quiet=True)
    assert "validation-on-test" in json.dumps(result.to_dict())


def test_what_cannot_adapt_says_so(tmp_path: Path, corpus: Path) -> None:
    from fake_models import square, write_model, write_wav

    predictor = load(write_model(tmp_path / "level.onnx"))
    clip = write_wav(tmp_path / "a.wav", square(0.2, 1.0))
    with pytest.raises(UsageError, match="the model 'level' cannot adapt: it has no input for it"):
        predictor.predict(clip, enrol=[clip])
    with pytest.raises(TypeError, match="enrol is a single clip"):
        predictor.predict(clip, enrol=str(clip))


def test_silence_enrols_nobody(tmp_path: Path, corpus: Path, model: Path) -> None:
    from fake_models import silence, write_wav

    quiet = write_wav(tmp_path / "quiet.wav", silence(2.0))
    with pytest.raises(AudioError, match="there is no speech in the clip to enrol"):
        load(model).predict(clips(corpus)[0], enrol=[quiet])


def test_a_file_whose_adaptation_is_not_whole_is_refused(tmp_path: Path) -> None:
    from fake_models import write_model

    path = write_model(tmp_path / "level.onnx", adaptation={"unit": "speaker", "members": []})
    with pytest.raises(ArtefactError, match="its metadata says that it adapts, its graph gives only"):
        load(path)


def test_a_damaged_probe_and_another_encoder_are_refused(corpus: Path, model: Path, tmp_path: Path) -> None:
    import shutil

    from voxaffect.encoders.speech import SpeechEncoder, SpeechOptions
    from voxaffect.probe_file import load_probe

    place = next((model.parent / "run/parts").iterdir()) / "model"
    torch.manual_seed(9)
    other = SpeechEncoder(SpeechOptions(str(save_speech("whisper", tmp_path / "other")))).eval()
    own = SpeechEncoder(SpeechOptions(str(corpus / "whisper"))).eval()
    if other.digest != own.digest:
        with pytest.raises(ArtefactError, match="was fitted on the encoder"):
            load_probe(place, other)
    shutil.copytree(place, tmp_path / "damaged")
    (tmp_path / "damaged/model.safetensors").write_bytes(b"x")
    with pytest.raises(ArtefactError, match=r"model_damaged: .*model.safetensors has sha256"):
        load_probe(tmp_path / "damaged", own)


ADAPTED = sorted(path.parent for path in Path(__file__).parents[1].glob("results/*/predictions_adapted.csv"))


@pytest.mark.parametrize("run", ADAPTED, ids=lambda run: run.name)
def test_committed_adapted_figures_are_what_the_committed_answers_give(run: Path) -> None:
    from voxaffect.evaluation import evaluate

    adapted, plain = read_csv(run / "predictions_adapted.csv"), read_csv(run / "predictions.csv")
    assert (adapted.ids, adapted.seeds) == (plain.ids, plain.seeds)
    stored = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["adapted"]["evaluation"]
    found = evaluate(adapted).to_dict()["measures"]
    assert isinstance(found, dict)
    for name, measure in found.items():
        assert stored["measures"][name]["value"] == pytest.approx(measure["value"], abs=1e-9)


def test_dev_speakers_who_choose_alone_and_adaptation_do_not_go_together(
    corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"bad_value: \[adaptation\] needs answers about all speakers"):
        train(tiny(corpus, "model.inner_folds=0"), tmp_path / "run")


@pytest.mark.parametrize("versions", [0, 1])
def test_copies_join_the_training_speakers_and_the_dev_speakers_choose(
    corpus: Path, tmp_path: Path, versions: int
) -> None:
    recipe = tiny(
        corpus,
        "adaptation.unit=none",
        "model.inner_folds=0",
        "augmentation.copies=2",
        "augmentation.gain=3.0",
        f"surroundings.versions={versions}",
    )
    train(recipe, tmp_path / "run")
    for place in sorted((tmp_path / "run" / "parts").iterdir()):
        (fold,) = [
            f
            for f in json.loads((tmp_path / "run" / "folds.json").read_text())
            if place.name == f"{f['seed']}-{f['name']}"
        ]
        judged = read_csv(place / "dev_predictions.csv")
        assert set(judged.speakers) == set(fold["dev"])
