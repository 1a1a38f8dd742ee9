"""The closed-form probe: against scikit-learn, cached against computed, and its own export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxaffect.errors import UsageError
from voxaffect.feature_options import NATIVE
from voxaffect.features import collate, extract

torch = pytest.importorskip("torch", reason="needs the extra `train`")
transformers = pytest.importorskip("transformers", reason="needs the extra `train`")

from voxaffect.closed_form import squared_distances  # noqa: E402
from voxaffect.encoders.speech import SpeechEncoder, SpeechOptions  # noqa: E402
from voxaffect.probe import (  # noqa: E402
    Choice,
    ProbeOptions,
    fit_probe,
    pool,
    pool_grid,
    read_probe_options,
)

K = 3


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Whisper encoder of random weights."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        num_mel_bins=80,
        max_source_positions=1500,
    )
    folder = tmp_path_factory.mktemp("whisper")
    WhisperEncoder(config).save_pretrained(folder)
    return folder


def dataset(n_speakers: int = 6, clips: int = 6) -> tuple[list[dict[str, np.ndarray]], np.ndarray, list[str]]:
    """Tones: pitch tells the class, noise differs."""
    rng = np.random.default_rng(0)
    items, targets, speakers = [], [], []
    for speaker in range(n_speakers):
        for clip in range(clips):
            k = clip % K
            n = 4800 + 160 * clip
            wave = 0.2 * np.sin(
                2 * np.pi * (150 * 2**k) * np.arange(n) / 16_000
            ) + 0.02 * rng.standard_normal(n)
            features = extract(wave.astype(np.float32), NATIVE, ("log_mel",))
            items.append({**features, "n_samples": np.array(n, np.int64)})
            targets.append(k)
            speakers.append(f"x/{speaker}")
    return items, np.array(targets), speakers


def cached_batches(encoder: SpeechEncoder, items: list[dict[str, np.ndarray]]) -> list[dict[str, Any]]:
    from voxaffect.fit import to_tensors

    stored = [{"speech_states": encoder.numpy_states(i), "n_samples": i["n_samples"]} for i in items]
    return [to_tensors(stored[:20]), to_tensors(stored[20:])]


def options(**changes: Any) -> ProbeOptions:
    return ProbeOptions(**{"layers": ((1,), (0, 2)), "penalties": (0.03, 0.3), "inner_folds": 3, **changes})


def fitted(encoder: SpeechEncoder, items: list[dict[str, np.ndarray]], *rest: Any) -> tuple[Any, Any, Any]:
    return fit_probe(
        encoder, options(), pool_grid(encoder, options(), cached_batches(encoder, items)), *rest, K, 1
    )


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("statistics", ["mean", "mean+std", "mean+std+thirds"])
def test_a_probe_learns_and_computes_what_it_was_fitted_on(
    checkpoint: Path, kernel: str, statistics: str
) -> None:
    encoder = SpeechEncoder(SpeechOptions(str(checkpoint))).eval()
    items, targets, speakers = dataset()
    batches = cached_batches(encoder, items)
    settings = options(kernels=(kernel,), statistics=(statistics,))
    probe, report, log_probs = fit_probe(
        encoder, settings, pool_grid(encoder, settings, batches), targets, speakers, K, seed=1
    )
    assert report["kernel"] == kernel
    assert report["inner_ua"] == pytest.approx(1.0)
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1.0, atol=1e-9)
    with torch.inference_mode():
        from_states = torch.cat([probe(batch) for batch in batches])
        collated = {k: torch.from_numpy(v) for k, v in collate(items).items()}
        from_audio = probe(collated)
    assert (from_states.argmax(1).numpy() == targets).all()
    # Cached states are float16: logits may differ by what that rounding moves them.
    torch.testing.assert_close(from_audio, from_states, atol=0.05 * float(probe.scale), rtol=0)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_the_ridge_solution_is_that_of_scikit_learn(checkpoint: Path, kernel: str) -> None:
    from sklearn.kernel_ridge import KernelRidge

    encoder = SpeechEncoder(SpeechOptions(str(checkpoint))).eval()
    items, targets, speakers = dataset()
    batches = cached_batches(encoder, items)
    settings = options(layers=((1,),), kernels=(kernel,), statistics=("mean",), penalties=(0.3,))
    probe, _, _ = fit_probe(
        encoder, settings, pool_grid(encoder, settings, batches), targets, speakers, K, seed=1
    )
    features = torch.cat(
        [pool(b["speech_states"], encoder.n_states(b["n_samples"]), (1,), "mean") for b in batches]
    )
    x = features.double().numpy()
    z = (x - x.mean(0)) / (x.std(0) + 1e-6)
    d = z.shape[1]
    gram = (
        z @ z.T / d + 1 if kernel == "linear" else np.exp(-0.5 * np.square(z[:, None] - z[None]).sum(-1) / d)
    )
    # Balanced classes: every weight is 1, and scikit-learn's alpha is the penalty.
    oracle = KernelRidge(alpha=0.3, kernel="precomputed").fit(gram, np.eye(K)[targets] - 1 / K)
    with torch.inference_mode():
        scores = torch.cat([probe(b) for b in batches]) / probe.scale
    np.testing.assert_allclose(scores.numpy(), oracle.predict(gram), atol=1e-4)  # float32 against float64


def test_padding_does_not_change_the_answer(checkpoint: Path) -> None:
    encoder = SpeechEncoder(SpeechOptions(str(checkpoint))).eval()
    items, targets, speakers = dataset()
    probe, _, _ = fitted(encoder, items, targets, speakers)
    with torch.inference_mode():
        together = probe({k: torch.from_numpy(v) for k, v in collate(items[:6]).items()})
        alone = probe({k: torch.from_numpy(v) for k, v in collate(items[:1]).items()})
    torch.testing.assert_close(together[:1], alone, atol=1e-4, rtol=1e-4)


def test_statistics_are_those_of_the_frames_that_exist() -> None:
    states = torch.randn(2, 3, 7, 4)
    counts = torch.tensor([7, 4])
    pooled = pool(states, counts, (0, 2), "mean+std")
    assert pooled.shape == (2, 16)
    real = states[1, 2, :4]
    torch.testing.assert_close(pooled[1, 8:12], real.mean(0))
    torch.testing.assert_close(pooled[1, 12:], real.std(0, correction=0))


def test_every_point_of_the_grid_is_pooled_as_if_alone(checkpoint: Path) -> None:
    encoder = SpeechEncoder(SpeechOptions(str(checkpoint))).eval()
    batches = cached_batches(encoder, dataset(n_speakers=4)[0])
    grid = pool_grid(encoder, options(layers=((1,), (2, 0))), batches)
    assert set(grid) == {(layers, s) for layers in ((1,), (2, 0)) for s in ("mean", "mean+std")}
    for (layers, statistics), values in grid.items():
        alone = [
            pool(b["speech_states"], encoder.n_states(b["n_samples"]), layers, statistics) for b in batches
        ]
        np.testing.assert_array_equal(values, torch.cat(alone).numpy())


def test_who_judges_chooses_and_is_not_learnt(checkpoint: Path) -> None:
    encoder = SpeechEncoder(SpeechOptions(str(checkpoint))).eval()
    items, targets, speakers = dataset()
    grid = pool_grid(encoder, options(), cached_batches(encoder, items))
    judges = np.array(speakers) == "x/5"
    wrong = np.where(judges, (targets + 1) % K, targets)  # the judges' labels mislead whoever learns them
    probe, report, log_probs = fit_probe(encoder, options(), grid, wrong, speakers, K, 1, judges=judges)
    assert report["inner_ua"] == 0.0
    assert log_probs.shape == (judges.sum(), K)
    rest = {point: values[~judges] for point, values in grid.items()}
    alone, _, _ = fit_probe(
        encoder,
        options(layers=(probe.choice.layers,), statistics=(probe.choice.statistics,), kernels=(probe.choice.kernel,),
                penalties=(probe.choice.penalty,)),
        rest, targets[~judges], [s for s in speakers if s != "x/5"], K, 1,
    )  # fmt: skip
    torch.testing.assert_close(probe.anchors, alone.anchors)
    torch.testing.assert_close(probe.dual, alone.dual)


def test_squared_distances_are_never_negative() -> None:
    a = torch.randn(5, 8)
    distances = squared_distances(a, a)
    assert (distances >= 0).all()
    torch.testing.assert_close(distances, torch.cdist(a, a) ** 2, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 9])
def test_thirds_are_the_means_of_the_frames_that_exist(n: int) -> None:
    states = torch.randn(1, 2, 9, 4)
    given = pool(states, torch.tensor([n]), (1,), "mean+std+thirds")[0].view(5, 4)
    x = states[0, 1, :n]
    torch.testing.assert_close(given[0], x.mean(0))
    torch.testing.assert_close(given[1], x.std(0, correction=0), atol=1e-5, rtol=1e-5)
    for third in range(3):
        start, stop = n * third // 3, n * (third + 1) // 3
        torch.testing.assert_close(given[2 + third], x[start : max(stop, start + 1)].mean(0))


def test_the_grid_pools_each_statistic_as_if_alone(checkpoint: Path) -> None:
    encoder = SpeechEncoder(SpeechOptions(str(checkpoint))).eval()
    batches = cached_batches(encoder, dataset()[0])
    names = ("mean", "mean+std", "mean+std+thirds")
    together = pool_grid(encoder, options(statistics=names), batches)
    for layers in ((1,), (0, 2)):
        for name in names:
            rows = [pool(b["speech_states"], encoder.n_states(b["n_samples"]), layers, name) for b in batches]
            np.testing.assert_array_equal(together[layers, name], torch.cat(rows).numpy())


def test_copies_are_fitted_on_with_their_speaker_and_never_judged(checkpoint: Path) -> None:
    encoder = SpeechEncoder(SpeechOptions(str(checkpoint))).eval()
    items, targets, speakers = dataset()
    settings = options(layers=((1,),), statistics=("mean",), kernels=("rbf",), penalties=(0.3,))
    pooled = pool_grid(encoder, settings, cached_batches(encoder, items))
    twice = {point: np.concatenate([values, values]) for point, values in pooled.items()}
    is_copy = np.arange(2 * len(targets)) >= len(targets)
    rest = (encoder, settings)
    probe, report, log_probs = fit_probe(
        *rest, twice, np.tile(targets, 2), speakers * 2, K, 1, copies=is_copy
    )
    assert len(probe.dual) == 2 * len(targets)
    assert len(log_probs) == len(targets)
    assert report["inner_ua"] == pytest.approx(1.0)
    # A copy of another class would be learnt by its own speaker's fold alone, if copies of who judges were fitted on.
    wrong = np.concatenate([targets, (targets + 1) % K])
    only = np.where(is_copy & (np.array(speakers * 2) != "x/0"), np.tile(targets, 2), wrong)
    *_, other = fit_probe(*rest, twice, only, speakers * 2, K, 1, copies=is_copy)
    judged = np.array(speakers) == "x/0"
    assert (other[judged].argmax(axis=1) == targets[judged]).all()


def test_a_probe_becomes_a_model_file(checkpoint: Path, tmp_path: Path) -> None:
    from voxaffect.export import export
    from voxaffect.modelfile import SCHEMA, read_model

    encoder = SpeechEncoder(SpeechOptions(str(checkpoint))).eval()
    items, targets, speakers = dataset()
    probe, _, _ = fitted(encoder, items, targets, speakers)
    metadata = {
        "schema": SCHEMA, "name": "probe", "version": "1", "labels": ["angry", "happy", "sad"], "vote": "majority",
        "licence": "CC0-1.0", "features": NATIVE.to_dict(), "calibration": {"temperature": 1.0},
        "uncertain_below": 0.0, "card": "",
    }  # fmt: skip
    exported = export([probe], tmp_path / "probe.onnx", metadata=metadata)
    assert exported.difference <= 1e-5
    assert read_model(tmp_path / "probe.onnx").inputs == ("log_mel",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernels": ("poly",)}, "unknown kernels 'poly'"),
        ({"statistics": ("max",)}, "unknown statistics 'max'"),
        ({"penalties": ()}, "grid is empty"),
        ({"inner_folds": 1}, "inner_folds is 1; expected 2 or more, or 0"),
    ],
)
def test_a_wrong_grid_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options(**changes)


def test_unknown_keys_of_a_probe_are_named() -> None:
    with pytest.raises(UsageError, match=r"unknown key 'layer' in \[model\]"):
        read_probe_options({"kind": "probe", "layer": [1], "speech": {"checkpoint": "x"}})


def test_the_choice_is_a_value() -> None:
    assert Choice((1,), "mean", "rbf", 0.1) == Choice((1,), "mean", "rbf", 0.1)
