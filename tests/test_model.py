"""The co-attention model: both wirings, any subset of branches, options, normalisation, saving."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neural_inputs import batch, save_speech, segments
from voxaffect.encoders.bilstm import BiLstmOptions
from voxaffect.encoders.speech import SpeechOptions
from voxaffect.encoders.vit import VitOptions
from voxaffect.encoders.waveform import WaveformOptions
from voxaffect.errors import ArtefactError, UsageError
from voxaffect.model import PRESETS, CoAttention, ModelOptions, as_batch, camser_alexnet, camser_vit, small
from voxaffect.wiring import AttentiveStatistics, FeatureNorm, MaskedCoAttention

torch.set_num_threads(1)

LENGTHS = [1_600, 7_777, 48_000, 160_000]
VIT = VitOptions(dim=32, depth=1, heads=4, stem="conv", n_channels=1)
BILSTM = BiLstmOptions(hidden=8, layers=1, stack=4)
WAVEFORM = WaveformOptions(filters=16, dim=24, depth=1)


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_speech("wav2vec2", tmp_path_factory.mktemp("wav2vec2")))


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_speech("whisper", tmp_path_factory.mktemp("whisper")))


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    torch.manual_seed(0)
    yield


def subsets() -> Iterator[ModelOptions]:
    for bits in range(1, 8):
        yield ModelOptions(
            5,
            spectrogram=VIT if bits & 1 else None,
            mfcc=BILSTM if bits & 2 else None,
            speech=WAVEFORM if bits & 4 else None,
            width=16,
        )


def name_of(options: ModelOptions) -> str:
    return "+".join(b for b in ("spectrogram", "mfcc", "speech") if getattr(options, b) is not None)


@pytest.mark.parametrize("options", list(subsets()), ids=name_of)
def test_padding_does_not_change_the_answer_whatever_branches_are_on(options: ModelOptions) -> None:
    model = CoAttention(options).eval()
    inputs = batch(LENGTHS, padding=3_000)
    model.fit_normalisation([inputs])
    with torch.no_grad():
        logits = model(inputs)
        assert logits.shape == (4, 5)
        for i, n in enumerate(LENGTHS):
            torch.testing.assert_close(logits[i], model(batch([n]))[0], atol=1e-5, rtol=0)


def test_branches_that_are_concatenated_do_not_attend() -> None:
    options = ModelOptions(5, spectrogram=VIT, mfcc=BILSTM, speech=WAVEFORM, width=16)
    attending, joined = (
        CoAttention(options),
        CoAttention(dataclasses.replace(options, fusion="concatenation")),
    )
    assert {n for n in attending.state_dict() if "co_attention" not in n} == {*joined.state_dict()}
    inputs = batch(LENGTHS, padding=3_000)
    joined.fit_normalisation([inputs])
    joined.eval()
    with torch.no_grad():
        logits = joined(inputs)
        for i, n in enumerate(LENGTHS):
            torch.testing.assert_close(logits[i], joined(batch([n]))[0], atol=1e-5, rtol=0)
    # What speech gives is then the same whatever the others say.
    speech = joined.wiring.vectors["speech"]
    heard = []
    speech.register_forward_hook(lambda *call: heard.append(call[2]))
    with torch.no_grad():
        joined(inputs)
        joined({**inputs, "mfcc": inputs["mfcc"] + 1.0, "spectrogram": inputs["spectrogram"] * 0.5})
    assert torch.equal(heard[0], heard[1])


def test_published_branches_that_are_concatenated_average_the_speech_states(whisper: str) -> None:
    options = ModelOptions(
        4, mfcc=BILSTM, speech=SpeechOptions(whisper), wiring="published", width=16, fusion="concatenation"
    )
    model = CoAttention(options).eval()
    assert not any("attention" in name for name in model.wiring.state_dict())
    heard = []
    model.wiring.speech.register_forward_hook(lambda module, given, _: heard.append(given[0]))
    inputs = segments(2)
    with torch.no_grad():
        assert model(inputs).shape == (2, 4)
        states, _ = model.branch_states(inputs)["speech"]
    torch.testing.assert_close(heard[0], states.mean(1))


def test_batch_norm_gives_each_feature_its_own_scale_and_padding_changes_nothing() -> None:
    model = CoAttention(ModelOptions(5, mfcc=BILSTM, speech=WAVEFORM, width=16, norm="batch"))
    inputs = batch(LENGTHS, padding=3_000)
    model.fit_normalisation([inputs])
    seen = []
    model.wiring.vectors["speech"][0].register_forward_hook(lambda *call: seen.append(call[2]))
    for _ in range(200):
        model.train()(inputs)
    torch.testing.assert_close(seen[-1].mean(0), torch.zeros_like(seen[-1][0]), atol=1e-4, rtol=0)
    model.eval()
    with torch.no_grad():
        logits = model(inputs)
        for i, n in enumerate(LENGTHS):
            torch.testing.assert_close(logits[i], model(batch([n]))[0], atol=1e-5, rtol=0)


def test_an_item_alone_in_a_training_batch_is_normed_as_in_use() -> None:
    norm = FeatureNorm(3)
    norm.train()(torch.tensor([[1.0, 5.0, 0.0], [3.0, 5.0, 2.0]]))
    running = norm.running_mean.clone()
    alone = torch.tensor([[2.0, 4.0, 1.0]])
    given = norm(alone)
    assert torch.equal(norm.running_mean, running)
    torch.testing.assert_close(given, norm.eval()(alone))


def test_a_model_reads_the_features_of_its_branches_only() -> None:
    assert [CoAttention(options).inputs for options in subsets()] == [
        ("spectrogram",),
        ("mfcc",),
        ("spectrogram", "mfcc"),
        ("waveform",),
        ("spectrogram", "waveform"),
        ("mfcc", "waveform"),
        ("spectrogram", "mfcc", "waveform"),
    ]


@pytest.mark.parametrize("pooling", ["attentive-statistics", "mean"])
def test_the_class_token_stands_for_the_spectrogram_where_the_vit_has_one(pooling: str) -> None:
    vit = dataclasses.replace(VIT, pooling="cls")
    model = CoAttention(ModelOptions(3, spectrogram=vit, mfcc=BILSTM, width=16, pooling=pooling)).eval()  # type: ignore[arg-type]
    assert model.wiring.vectors["spectrogram"][0].normalized_shape == (32,)
    assert model(batch([8_000])).shape == (1, 3)


# Published wiring


def test_the_published_method_has_the_shapes_of_its_table(wav2vec2: str) -> None:
    options = camser_alexnet(weights=None, speech=wav2vec2)
    model = CoAttention(options).eval()
    wiring = model.wiring
    assert tuple(wiring.spectrogram[1].weight.shape) == (128, 9216)
    assert tuple(wiring.mfcc[1].weight.shape) == (128, 153_600)
    assert tuple(wiring.attention[1].weight.shape) == (149, 256)
    assert [tuple(layer[1].weight.shape) for layer in wiring.fusion] == [(128, 384), (128, 128)]
    assert tuple(wiring.head.weight.shape) == (4, 128)
    with torch.no_grad():
        assert model(segments(1)).shape == (1, 4)


def small_published(checkpoint: str, **changes: object) -> ModelOptions:
    options = camser_alexnet(weights=None, speech=checkpoint)
    vit = VitOptions(
        patch=(16, 16), dim=16, depth=1, heads=2, resolution="224", pooling="cls", image="published"
    )
    assert isinstance(options.speech, SpeechOptions)
    return dataclasses.replace(
        options, **{"spectrogram": vit, "mfcc": BiLstmOptions(hidden=4), "width": 8, **changes}
    )


def test_the_published_attention_is_a_sum_with_relu_weights(wav2vec2: str) -> None:
    model = CoAttention(small_published(wav2vec2)).eval()
    inputs = segments(2)
    wiring = model.wiring
    with torch.no_grad():
        vit = model.spectrogram.pool(*model.spectrogram({**inputs, "n_samples": torch.tensor([48_000] * 2)}))
        mfcc = model.mfcc({**inputs, "n_samples": torch.tensor([48_000] * 2)})[0].flatten(1)
        s, m = F.relu(wiring.spectrogram[1](vit)), F.relu(wiring.mfcc[1](mfcc))
        weights = F.relu(wiring.attention[1](torch.cat([s, m], 1)))
        states = model.speech.states(inputs)[:, -1, :149]
        read = F.relu(wiring.speech[1](torch.einsum("bt,btd->bd", weights, states)))
        x = torch.cat([s, m, read], 1)
        for layer in wiring.fusion:
            x = F.relu(layer[1](x))
        torch.testing.assert_close(model(inputs), wiring.head(x), atol=1e-5, rtol=0)


def test_published_wiring_takes_the_features_padding_for_signal(wav2vec2: str) -> None:
    model = CoAttention(small_published(wav2vec2)).eval()
    inputs = segments(1)
    with torch.no_grad():
        assert torch.equal(model(inputs), model({**inputs, "n_samples": torch.tensor([48_000])}))


@pytest.mark.parametrize("off", [("spectrogram",), ("mfcc",), ("spectrogram", "mfcc"), ("speech",)])
def test_published_wiring_works_with_branches_off(off: tuple[str, ...], wav2vec2: str) -> None:
    model = CoAttention(small_published(wav2vec2, **dict.fromkeys(off))).eval()
    with torch.no_grad():
        assert model(segments(2)).shape == (2, 4)


def test_whisper_can_stand_in_for_wav2vec2_in_published_wiring(whisper: str) -> None:
    model = CoAttention(small_published(whisper)).eval()
    inputs = segments(1)
    assert tuple(model.wiring.attention[1].weight.shape) == (150, 16)
    item = {name: value[0].numpy() for name, value in inputs.items()}
    cached = torch.from_numpy(model.speech.numpy_states(item))[None].transpose(1, 2)
    with torch.no_grad():
        wanted = model(inputs)
        del inputs["log_mel"]
        torch.testing.assert_close(model({**inputs, "speech_states": cached}), wanted, atol=0.01, rtol=0)


def test_published_wiring_refuses_other_lengths(wav2vec2: str) -> None:
    with pytest.raises(ValueError, match=r"published wiring takes 300 MFCC states .*, got 101; use native"):
        CoAttention(small_published(wav2vec2, spectrogram=None, speech=None))(batch([16_000]))
    with pytest.raises(ValueError, match=r"published wiring takes 149 speech states .*, got 49"):
        inputs = segments(1)
        inputs["waveform"] = inputs["waveform"][:, :16_000]
        CoAttention(small_published(wav2vec2, spectrogram=None))(inputs)


def test_the_proposal_puts_a_vit_in_alexnets_place() -> None:
    options = camser_vit(4, "published", speech="some/checkpoint", weights="vit")
    assert options.spectrogram == VitOptions(
        patch=(16, 16), resolution="224", pooling="cls", image="published", weights="vit"
    )


# Native wiring


def test_attentive_statistics_with_equal_scores_are_mean_and_standard_deviation() -> None:
    pool = AttentiveStatistics(6)
    torch.nn.init.zeros_(pool.score[2].weight)
    states, mask = torch.randn(1, 9, 6), torch.arange(9)[None] < 7
    given = pool(states, mask)[0].detach()
    torch.testing.assert_close(given[:6], states[0, :7].mean(0))
    torch.testing.assert_close(given[6:], states[0, :7].std(0, correction=0), atol=1e-5, rtol=1e-5)


def test_co_attention_agrees_with_scaled_dot_product_attention() -> None:
    attention = MaskedCoAttention(query_dim=5, speech_dim=6, heads=2, width=8)
    query, states, mask = torch.randn(1, 5), torch.randn(1, 9, 6), torch.arange(9)[None] < 7
    normed = attention.norm(states)
    q, k, v = attention.query(query)[:, None], attention.key(normed), attention.value(normed)
    q, k, v = (x.view(1, -1, 2, 4).transpose(1, 2) for x in (q, k, v))
    wanted = F.scaled_dot_product_attention(q, k[:, :, :7], v[:, :, :7]).flatten(1)
    torch.testing.assert_close(attention(query, states, mask), wanted)


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match="model width 10 is no multiple of its 4 heads"):
        CoAttention(ModelOptions(3, speech=WAVEFORM, width=10))


def test_the_small_model_is_small_and_every_weight_learns() -> None:
    model = CoAttention(small(8)).train()
    assert model.inputs == ("spectrogram", "mfcc", "waveform")
    assert sum(p.numel() for p in model.parameters()) < 1_500_000
    F.cross_entropy(model(batch([16_000, 9_000])), torch.tensor([0, 7])).backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == ["wiring.co_attention.key.bias"]  # the same for all states, it changes no weight


def test_a_small_model_learns_what_it_is_shown() -> None:
    options = ModelOptions(2, spectrogram=VIT, mfcc=BILSTM, speech=WAVEFORM, width=16, dropout=0.0)
    model = CoAttention(options).train()
    inputs, targets = batch([8_000, 8_100, 8_200, 8_300]), torch.tensor([0, 1, 0, 1])
    model.fit_normalisation([inputs])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(25):
        loss = F.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_frozen_speech_gets_no_gradient_and_what_is_pretrained_is_known(whisper: str) -> None:
    model = CoAttention(ModelOptions(3, mfcc=BILSTM, speech=SpeechOptions(whisper), width=16)).train()
    model(batch([16_000])).sum().backward()
    assert all(p.grad is None for p in model.speech.encoder.parameters())
    assert model.speech.mix.grad is not None
    assert {id(p) for p in model.pretrained_parameters()} == {
        id(p) for p in model.speech.encoder.parameters()
    }
    assert model.speech_layers == (0, 1, 2, 3)
    without = CoAttention(ModelOptions(3, mfcc=BILSTM, width=16))
    assert without.pretrained_parameters() == []
    assert without.speech_layers == ()


# Normalisation


def test_normalisation_is_the_same_in_batches_in_items_and_in_arrays() -> None:
    inputs = batch([16_000, 9_000])
    items = [{name: value.numpy() for name, value in batch([n]).items()} for n in (16_000, 9_000)]
    single = [{name: value[0] for name, value in item.items()} for item in items]
    fitted = []
    for batches in ([inputs], items, single):
        model = CoAttention(ModelOptions(3, spectrogram=VIT, mfcc=BILSTM, speech=WAVEFORM, width=16))
        model.fit_normalisation(batches)
        fitted.append(dict(model.named_buffers()))
    assert {name.rsplit(".", 1)[1] for name in fitted[0]} == {"low", "high", "mean", "std"}
    for name, value in fitted[0].items():
        for other in fitted[1:]:
            torch.testing.assert_close(other[name], value, atol=1e-4, rtol=1e-4)


def test_normalisation_without_data_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one frame of training data, got none"):
        CoAttention(ModelOptions(3, mfcc=BILSTM, width=16)).fit_normalisation([])


def test_arrays_become_a_batch() -> None:
    item = {"mfcc": np.zeros((5, 40), np.float64), "n_samples": np.int64(800)}
    tensors = as_batch(item)
    assert tensors["mfcc"].shape == (1, 5, 40)
    assert tensors["mfcc"].dtype == torch.float32
    assert tensors["n_samples"].tolist() == [800]


# Options


@pytest.mark.parametrize(
    "options",
    [*subsets(), *(preset(5, wiring) for preset in PRESETS.values() for wiring in ("native", "published"))],
)
def test_options_survive_json(options: ModelOptions) -> None:
    assert ModelOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options


def test_a_branch_without_a_kind_is_the_first_of_its_kinds() -> None:
    options = ModelOptions.from_dict({"n_classes": 3, "spectrogram": {"dim": 24, "heads": 2}})
    assert options.spectrogram == VitOptions(dim=24, heads=2)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"n_classes": 3, "widht": 4},
            r"unknown_key: unknown key 'widht' in \[model\]; expected some of .*'width'",
        ),
        (
            {"n_classes": 3, "mfcc": {"size": 4}},
            r"unknown key 'size' in \[model.mfcc\]; expected some of .*'hidden'",
        ),
        ({"n_classes": 3, "speech": {"kind": "ear"}}, r"unknown kind 'ear' of model.speech; expected one of"),
        ({"n_classes": 3}, r"all branches are off; switch on one of \['spectrogram', 'mfcc', 'speech'\]"),
        ({"mfcc": {}}, r"bad_value: \[model\]: .*n_classes"),
        ({"n_classes": "3", "mfcc": {}}, r"bad_value: \[model\]"),
        ({"n_classes": 1, "mfcc": {}}, "at least 2 classes, got 1"),
        (
            {"n_classes": 3, "mfcc": {}, "wiring": "star"},
            r"wiring 'star'; expected one of \['native', 'published', 'kernel'\]",
        ),
        ({"n_classes": 3, "mfcc": {}, "pooling": "max"}, "pooling 'max'; expected one of"),
        ({"n_classes": 3, "mfcc": {}, "norm": "none"}, r"norm 'none'; expected one of \['layer', 'batch'\]"),
        (
            {"n_classes": 3, "mfcc": {}, "norm": "batch", "wiring": "kernel"},
            "model.norm goes with wiring = 'native', not with 'kernel'",
        ),
        ({"n_classes": 3, "mfcc": {}, "dropout": 1.0}, r"dropout in \[0, 1\)"),
    ],
)
def test_wrong_options_are_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ModelOptions.from_dict(table)


# Saving


def test_a_saved_model_gives_the_same_answer(tmp_path: Path) -> None:
    model = CoAttention(small(5)).eval()
    inputs = batch([9_000])
    model.fit_normalisation([inputs])
    model.save(tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"model.json", "model.safetensors"}
    loaded = CoAttention.load(tmp_path / "run")
    assert not loaded.training
    assert loaded.options == model.options
    with torch.no_grad():
        assert torch.equal(loaded(inputs), model(inputs))


def test_a_frozen_speech_encoder_is_saved_by_name_and_digest(whisper: str, tmp_path: Path) -> None:
    model = CoAttention(ModelOptions(3, speech=SpeechOptions(whisper), width=16)).eval()
    model.save(tmp_path / "run")
    moved = tmp_path / "moved"
    Path(whisper).rename(moved)
    try:
        with pytest.raises(ArtefactError, match="model_missing: looked in"):
            CoAttention.load(tmp_path / "run")
        loaded = CoAttention.load(tmp_path / "run", speech_checkpoint=str(moved))
        other = save_speech("whisper", tmp_path / "other")
        from safetensors.torch import load_file, save_file

        state = load_file(other / "model.safetensors")
        state["conv1.bias"] += 1
        save_file(state, other / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ArtefactError, match=r"model_mismatch: the speech encoder .*other is not the one"):
            CoAttention.load(tmp_path / "run", speech_checkpoint=str(other))
    finally:
        moved.rename(whisper)
    with torch.no_grad():
        torch.testing.assert_close(loaded(batch([9_000])), model(batch([9_000])), atol=0, rtol=0)


@pytest.mark.parametrize("kind", ["wav2vec2", "wav2vec2-layer", "hubert", "wavlm", "whisper"])
def test_a_tuned_speech_encoder_is_saved_whole(kind: str, tmp_path: Path) -> None:
    speech = SpeechOptions(str(save_speech(kind, tmp_path / "speech")), frozen=False)
    model = CoAttention(ModelOptions(3, speech=speech, width=16)).eval()
    model.save(tmp_path / "run")
    (tmp_path / "speech").rename(tmp_path / "gone")
    with torch.no_grad():
        assert torch.equal(CoAttention.load(tmp_path / "run")(batch([9_000])), model(batch([9_000])))


def test_imagenet_weights_are_not_needed_again(tmp_path: Path) -> None:
    options = ModelOptions(3, spectrogram=VIT, width=16)
    model = CoAttention(options)
    model.options = dataclasses.replace(options, spectrogram=dataclasses.replace(VIT, weights="gone"))
    model.save(tmp_path)
    CoAttention.load(tmp_path)


def test_damaged_and_missing_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"model_missing: looked in .*: no model.json"):
        CoAttention.load(tmp_path)
    CoAttention(ModelOptions(3, mfcc=BILSTM, width=16)).save(tmp_path)
    weights, description = tmp_path / "model.safetensors", tmp_path / "model.json"
    whole, said = weights.read_bytes(), description.read_text()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    for content in (whole[:-4], bytes(flipped)):
        weights.write_bytes(content)
        with pytest.raises(ArtefactError, match=r"model_damaged: .*has sha256 .*; expected"):
            CoAttention.load(tmp_path)
    weights.write_bytes(whole)
    description.write_text(said.replace("voxaffect.weights/1", "voxaffect.weights/9"))
    with pytest.raises(
        ArtefactError, match=r"has schema 'voxaffect.weights/9'; expected 'voxaffect.weights/1'"
    ):
        CoAttention.load(tmp_path)
    description.write_text(said[:30])
    with pytest.raises(ArtefactError, match=r"model_damaged: .*is no JSON"):
        CoAttention.load(tmp_path)
    description.write_text("[]")
    with pytest.raises(ArtefactError, match="has schema None; expected"):
        CoAttention.load(tmp_path)
    table = json.loads(said)
    table["options"]["mfcc"]["layers"] = 2
    description.write_text(json.dumps(table))
    with pytest.raises(ArtefactError, match=r"8 weights missing and 0 unknown, first 'mfcc.forwards.1"):
        CoAttention.load(tmp_path)
