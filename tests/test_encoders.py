"""Encoders: padding, lengths, and agreement with transformers, torch's own layers and the formulas."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from neural_inputs import SPEECH_KINDS, batch, save_speech, save_vit
from voxaffect.encoders import Encoder, Fitted, Moments
from voxaffect.encoders.alexnet import AlexNet, AlexNetOptions
from voxaffect.encoders.bilstm import BiLstm, BiLstmOptions
from voxaffect.encoders.image import IMAGENET_MEAN, IMAGENET_STD, FittedImage, SpectrogramImage
from voxaffect.encoders.low_rank import add_low_rank
from voxaffect.encoders.masking import length_after, stretch
from voxaffect.encoders.speech import SpeechEncoder, SpeechOptions
from voxaffect.encoders.vit import VisionTransformer, VitOptions
from voxaffect.encoders.waveform import WaveformEncoder, WaveformOptions, mel_filters
from voxaffect.errors import ArtefactError, UsageError
from voxaffect.model import CoAttention, ModelOptions

torch.set_num_threads(1)

LENGTHS = [1_600, 7_777, 20_800, 48_000, 48_001, 160_000]
"""0.1 s to 10 s; 48 000 and 48 001 samples both hold 300 whole hops."""

SMALL_VIT = {"dim": 32, "depth": 2, "heads": 4}
ENCODERS: dict[str, Callable[[], Encoder]] = {
    "vit": lambda: VisionTransformer(VitOptions(**SMALL_VIT)),
    "vit-cls-published-image": lambda: VisionTransformer(
        VitOptions(**SMALL_VIT, pooling="cls", image="published")
    ),
    "vit-conv-stem": lambda: VisionTransformer(VitOptions(**SMALL_VIT, stem="conv", n_channels=1)),
    "vit-oblong-patch": lambda: VisionTransformer(VitOptions(**SMALL_VIT, patch=(25, 12))),
    "vit-224": lambda: VisionTransformer(VitOptions(**SMALL_VIT, patch=(16, 16), resolution="224")),
    "alexnet-native": lambda: AlexNet(AlexNetOptions(resolution="native")),
    "alexnet": lambda: AlexNet(AlexNetOptions()),
    "bilstm": lambda: BiLstm(BiLstmOptions(hidden=8)),
    "bilstm-stacked": lambda: BiLstm(BiLstmOptions(hidden=8, layers=1, stack=4, normalise="standardise")),
    "bilstm-centred": lambda: BiLstm(BiLstmOptions(hidden=8, layers=1, stack=2, normalise="centre")),
    "waveform": lambda: WaveformEncoder(WaveformOptions()),
}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save_speech(kind, tmp_path_factory.mktemp(kind)) for kind in SPEECH_KINDS}


def speech(checkpoint: Path, **options: object) -> SpeechEncoder:
    return SpeechEncoder(SpeechOptions(str(checkpoint), **options)).eval()  # type: ignore[arg-type]


def assert_padding_changes_nothing(encoder: Encoder, atol: float = 1e-5) -> None:
    with torch.no_grad():
        states, mask = encoder(batch(LENGTHS, padding=5_000))
        assert states.shape[:2] == mask.shape
        assert states.shape[2] == encoder.dim
        assert mask.any(1).all()
        for i, n in enumerate(LENGTHS):
            alone, exists = encoder(batch([n]))
            torch.testing.assert_close(states[i][mask[i]], alone[0][exists[0]], atol=atol, rtol=0)


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_does_not_change_the_states_at_any_length(name: str) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[name]()
    assert isinstance(encoder, nn.Module)
    assert_padding_changes_nothing(encoder.eval())  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", SPEECH_KINDS)
def test_padding_does_not_change_pretrained_states_group_normalisation_included(
    kind: str, checkpoints: dict[str, Path]
) -> None:
    assert_padding_changes_nothing(speech(checkpoints[kind]))


def test_the_padding_test_can_fail(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(AssertionError):
        assert_padding_changes_nothing(speech(checkpoints["whisper"], masked=False))


def test_every_encoder_keeps_the_protocol(checkpoints: dict[str, Path]) -> None:
    for encoder in [*(make() for make in ENCODERS.values()), *(speech(c) for c in checkpoints.values())]:
        assert isinstance(encoder, Encoder)
        assert set(encoder.inputs) <= {"spectrogram", "mfcc", "waveform", "log_mel"}


def test_three_seconds_give_whole_hops_despite_the_301st_frame() -> None:
    inputs = batch([48_000])
    counts = {name: int(ENCODERS[name]()(inputs)[1].sum()) for name in ("vit", "bilstm", "waveform")}
    assert counts == {"vit": 10 * 15, "bilstm": 300, "waveform": 150}


def test_inputs_too_short_for_one_state_are_refused(checkpoints: dict[str, Path]) -> None:
    inputs = batch([100])
    with pytest.raises(ValueError, match=r"needs at least 2 frames \(160 samples\), got 1"):
        ENCODERS["vit"]()(inputs)
    with pytest.raises(ValueError, match="needs at least 160 samples, got 100"):
        ENCODERS["waveform"]()(inputs)
    with pytest.raises(ValueError, match="hubert needs at least 400 samples, got 100"):
        speech(checkpoints["hubert"])(inputs)


# Lengths and images


def test_stretch_is_bilinear_interpolation_with_half_pixel_centres() -> None:
    x = torch.randn(2, 30, 3)
    for n_from, n_to in ((30, 30), (30, 45), (30, 11), (7, 45), (1, 5)):
        wanted = F.interpolate(x[:, :n_from].mT, size=n_to, mode="linear", align_corners=False).mT
        given = stretch(x, torch.full((2,), n_from), torch.full((2,), n_to), n_to)
        torch.testing.assert_close(given, wanted, atol=1e-5, rtol=0)  # float32 coordinates


def test_length_after_agrees_with_torch() -> None:
    for kernel, stride, padding in ((11, 4, 2), (3, 2, 0), (5, 1, 2)):
        for n in range(11, 60):
            wanted = nn.Conv1d(1, 1, kernel, stride, padding)(torch.zeros(1, 1, n)).shape[2]
            assert int(length_after(torch.tensor([n]), kernel, stride, padding)) == wanted


def fitted_image(image: FittedImage, inputs: dict[str, Tensor]) -> FittedImage:
    moments = Moments()
    moments.add(image.measure(inputs))
    image.fit(moments)
    return image


def test_the_published_image_is_the_published_recipe() -> None:
    inputs = batch([48_000])
    db = inputs["spectrogram"][:, :300]
    image = FittedImage(published=True, size=(256, 384), n_channels=3)
    image = fitted_image(image, {"spectrogram": db[:, :200], "n_samples": torch.tensor([32_000])})
    given, n_columns = image(db, torch.tensor([48_000]))
    low, high = db[0, :200].amin(0), db[0, :200].amax(0)
    x = ((db[0] - low) / (high - low)).clip(0, 1).numpy()
    assert x.min() == 0
    assert x.max() == 1  # later frames go beyond the fitted range
    x8 = (x * np.float32(255)).astype(np.uint8).T[::-1].copy()  # truncated to 8 bit, high on top
    x = torch.from_numpy(x8)[None, None] / 255
    x = F.interpolate(x, size=(256, 384), mode="bilinear", align_corners=False).expand(1, 3, 256, 384)
    wanted = (x - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]
    torch.testing.assert_close(given, wanted, atol=2e-5, rtol=0)  # float32, divided by 0.22
    assert n_columns.tolist() == [384]


def test_the_native_image_is_standardised_by_existing_training_frames() -> None:
    inputs = batch([48_000, 16_000])
    image = fitted_image(FittedImage(), inputs)
    rows = torch.cat([inputs["spectrogram"][0, :300], inputs["spectrogram"][1, :100]]).double().numpy()
    np.testing.assert_allclose(image.mean.numpy(), rows.mean(0), atol=1e-5)
    np.testing.assert_allclose(image.std.numpy(), rows.std(0), atol=1e-5)
    given, n_columns = image(inputs["spectrogram"], inputs["n_samples"])
    assert n_columns.tolist() == [300, 100]
    assert given[1, 0, :, 100:].abs().max() == 0
    wanted = ((rows[:300] - rows.mean(0)) / rows.std(0))[:, ::-1].T
    np.testing.assert_allclose(given[0, 0, :, :300].numpy(), wanted, atol=1e-4)


def test_an_image_has_one_or_three_channels() -> None:
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        SpectrogramImage(n_channels=2)
    one = SpectrogramImage(published=True)(*(batch([8_000])[k] for k in ("spectrogram", "n_samples")))[0]
    assert one.shape[1] == 1


def test_moments_without_frames_are_refused() -> None:
    moments = Moments()
    moments.add(torch.zeros(0, 3))
    for ask in (moments.mean_std, moments.low_high):
        with pytest.raises(ValueError, match="at least one frame of training data, got none"):
            ask()


# ViT


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_vit(tmp_path_factory.mktemp("vit"))


TINY_IMAGENET = {"dim": 32, "depth": 2, "heads": 4, "mlp_ratio": 2.0}


def test_the_transformer_agrees_with_transformers_at_224(imagenet: Path) -> None:
    import transformers

    options = VitOptions(
        **TINY_IMAGENET, patch=(16, 16), resolution="224", pooling="cls", weights=str(imagenet)
    )
    ours = VisionTransformer(options).eval()
    theirs = transformers.ViTModel.from_pretrained(imagenet, add_pooling_layer=False).eval()
    image = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        states, mask = ours.encode(image, torch.tensor([224, 224]))
        wanted = theirs(image).last_hidden_state
    assert mask.all()
    # Theirs is row by row, ours column by column.
    patches = states[:, 1:].unflatten(1, (14, 14)).transpose(1, 2).flatten(1, 2)
    torch.testing.assert_close(states[:, 0], wanted[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(patches, wanted[:, 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.pool(states, mask), wanted[:, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_imagenet_weights_load_at_native_resolution(imagenet: Path, n_channels: int) -> None:
    vit = VisionTransformer(VitOptions(**TINY_IMAGENET, n_channels=n_channels, weights=str(imagenet)))
    state = load_file(imagenet / "model.safetensors")
    names = {name.removeprefix("vit."): value for name, value in state.items()}
    kernel = names["embeddings.patch_embeddings.projection.weight"]
    # A flat image gives the same embedding whatever the patch size: the area is made up for. Edge pixels
    # weigh differently after resampling, hence the tolerance.
    flat = vit.stem.convs[0] if hasattr(vit.stem, "convs") else vit.stem.conv
    torch.testing.assert_close(flat.weight.sum((1, 2, 3)), kernel.sum((1, 2, 3)), atol=0.5, rtol=0.1)
    grid = names["embeddings.position_embeddings"][0, 1:].reshape(1, 14, 14, 32).permute(0, 3, 1, 2)
    wanted = F.interpolate(grid, size=(10, 15), mode="bilinear", align_corners=False)[0].permute(2, 1, 0)
    torch.testing.assert_close(vit.positions.detach(), wanted)


def test_imagenet_weights_of_another_shape_or_place_are_refused(imagenet: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"model_mismatch: .* holds .*\(32, 2, 4, 64\).* ask for \(32, 3"):
        VisionTransformer(VitOptions(dim=32, depth=3, heads=4, mlp_ratio=2.0, weights=str(imagenet)))
    with pytest.raises(ArtefactError, match=r"model_mismatch.* with a conv stem"):
        VisionTransformer(VitOptions(**TINY_IMAGENET, stem="conv", weights=str(imagenet)))
    with pytest.raises(
        ArtefactError, match=r"looked in .*nowhere.*; on a connected machine: voxaffect models"
    ):
        VisionTransformer(VitOptions(**TINY_IMAGENET, weights=str(tmp_path / "nowhere")))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ArtefactError, match=r"model_damaged: .* cannot be read"):
        VisionTransformer(VitOptions(**TINY_IMAGENET, weights=str(tmp_path)))


def test_positions_are_the_learned_grid_at_3_s_and_interpolated_elsewhere() -> None:
    vit = VisionTransformer(VitOptions(**SMALL_VIT))
    given = vit._positions(torch.tensor([15, 10]), 15).detach()
    torch.testing.assert_close(given[0], vit.positions.detach())
    grid = vit.positions.detach().permute(2, 1, 0)[None]
    wanted = F.interpolate(grid, size=(10, 10), mode="bilinear", align_corners=False)[0].permute(2, 1, 0)
    torch.testing.assert_close(given[1, :10], wanted, atol=1e-6, rtol=0)


def test_mean_pooling_counts_existing_patches_only() -> None:
    vit = VisionTransformer(VitOptions(**SMALL_VIT)).eval()
    states, mask = vit(batch([16_000, 48_000]))
    torch.testing.assert_close(vit.pool(states, mask)[0], states[0][mask[0]].mean(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stem": "deep"}, r"vit stem 'deep'; expected one of \['patch', 'conv'\]"),
        ({"resolution": "384"}, r"vit resolution '384'; expected one of \['native', '224'\]"),
        ({"n_channels": 2}, r"vit n_channels 2; expected one of \[1, 3\]"),
        ({"dim": 30, "heads": 4}, "vit dim 30 is no multiple of its 4 heads"),
        ({"patch": (30, 20)}, r"vit patch \(30, 20\) does not divide 200 rows"),
        ({"patch": (20, 10), "stem": "conv"}, r"multiples of 4, got \(20, 10\)"),
    ],
)
def test_impossible_vit_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        VitOptions(**options)  # type: ignore[arg-type]


# AlexNet


def test_alexnet_pools_like_torch_at_the_published_size() -> None:
    alexnet = AlexNet(AlexNetOptions()).eval()
    inputs = batch([48_000, 20_000])
    with torch.no_grad():
        states, mask = alexnet(inputs)
        image, _ = alexnet.image(inputs["spectrogram"], inputs["n_samples"])
        wanted = F.adaptive_avg_pool2d(alexnet.features(image), 6)
    assert image.shape == (2, 3, 256, 384)
    torch.testing.assert_close(states, wanted.permute(0, 3, 1, 2).flatten(2), atol=1e-5, rtol=0)
    assert alexnet.pool(states, mask).shape == (2, 9216)


def test_alexnet_at_native_size_equals_the_plain_layers_over_whole_items() -> None:
    alexnet = AlexNet(AlexNetOptions(resolution="native")).eval()
    inputs = batch([48_000])
    with torch.no_grad():
        states, _ = alexnet(inputs)
        image, _ = alexnet.image(inputs["spectrogram"], inputs["n_samples"])
        wanted = F.adaptive_avg_pool2d(alexnet.features(image[..., :300]), 6)
    torch.testing.assert_close(states, wanted.permute(0, 3, 1, 2).flatten(2), atol=1e-5, rtol=0)


def test_alexnet_loads_torchvision_state_dicts(tmp_path: Path) -> None:
    source = AlexNet(AlexNetOptions())
    state = {f"features.{k}": v.clone() for k, v in source.features.state_dict().items()}
    assert set(state) >= {"features.0.weight", "features.3.bias", "features.10.weight"}
    state["classifier.1.weight"] = torch.zeros(2, 2)
    torch.save(state, tmp_path / "alexnet.pth")
    save_file(state, tmp_path / "alexnet.safetensors")
    for name in ("alexnet.pth", "alexnet.safetensors"):
        loaded = AlexNet(AlexNetOptions(weights=str(tmp_path / name)))
        assert torch.equal(loaded.features[10].weight, source.features[10].weight)


def test_missing_and_damaged_alexnet_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"looked in .*alexnet.pth: no weights file .*alexnet.pth'"):
        AlexNet(AlexNetOptions(weights=str(tmp_path / "alexnet.pth")))
    (tmp_path / "alexnet.pth").write_bytes(b"not weights")
    with pytest.raises(ArtefactError, match=r"model_damaged: .*alexnet.pth is no AlexNet state dict"):
        AlexNet(AlexNetOptions(weights=str(tmp_path / "alexnet.pth")))


def test_impossible_alexnet_options_are_refused() -> None:
    with pytest.raises(
        UsageError, match=r"alexnet resolution '224'; expected one of \['256x384', 'native'\]"
    ):
        AlexNetOptions(resolution="224")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"alexnet image 'rgb'; expected one of \['published', 'native'\]"):
        AlexNetOptions(image="rgb")  # type: ignore[arg-type]


# BiLSTM


def test_the_bilstm_agrees_with_torchs_bidirectional_lstm() -> None:
    ours = BiLstm(BiLstmOptions(hidden=8, layers=2)).eval()
    theirs = nn.LSTM(40, 8, num_layers=2, batch_first=True, bidirectional=True)
    for layer in range(2):
        for suffix, module in (("", ours.forwards[layer]), ("_reverse", ours.backwards[layer])):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(theirs, f"{name}_l{layer}{suffix}").data.copy_(getattr(module, f"{name}_l0").data)
    inputs = batch([16_000])
    with torch.no_grad():
        states, mask = ours(inputs)
        wanted, _ = theirs(F.normalize(inputs["mfcc"][:, :100], dim=2))
    torch.testing.assert_close(states[:, mask[0]], wanted, atol=1e-6, rtol=0)


def test_centred_frames_do_not_tell_what_an_item_always_has() -> None:
    """A filter that never changes adds the same to every frame of the MFCCs."""
    encoder = BiLstm(BiLstmOptions(hidden=8, normalise="centre")).eval()
    inputs = batch([16_000, 8_000])
    filtered = {**inputs, "mfcc": inputs["mfcc"] + 30 * torch.randn(2, 1, 40)}
    with torch.inference_mode():
        torch.testing.assert_close(encoder(filtered)[0], encoder(inputs)[0], atol=1e-4, rtol=1e-3)
        assert not torch.allclose(
            encoder({**inputs, "mfcc": 2 * inputs["mfcc"]})[0], encoder(inputs)[0], atol=0.01
        )


def test_stacked_frames_are_neighbours_in_order() -> None:
    from voxaffect.encoders.bilstm import _stack

    x = torch.arange(5.0)[None, :, None]
    assert _stack(x, 2)[0].tolist() == [[0, 1], [2, 3], [4, 0]]


def test_impossible_bilstm_options_are_refused() -> None:
    with pytest.raises(
        UsageError, match=r"bilstm normalise 'max'; expected one of \['l2', 'standardise', 'centre', 'none'\]"
    ):
        BiLstmOptions(normalise="max")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="hidden, layers and stack must be at least 1"):
        BiLstmOptions(stack=0)


# Waveform


def test_the_first_filterbank_hears_each_tone_in_the_filter_of_its_mel_band() -> None:
    filters = mel_filters(40)
    torch.testing.assert_close(filters.norm(dim=1), torch.ones(80))
    mel = np.linspace(*(2595 * math.log10(1 + f / 700) for f in (50.0, 7600.0)), 42)[1:-1]
    time = torch.arange(400) / 16_000
    for k in range(3, 40, 4):
        tone = torch.sin(2 * math.pi * 700 * (10 ** (mel[k] / 2595) - 1) * time)
        power = (filters @ tone).square().view(2, 40).sum(0)
        assert abs(int(power.argmax()) - k) <= 1


def test_the_waveform_encoder_keeps_the_loudness() -> None:
    encoder = WaveformEncoder(WaveformOptions())
    inputs = batch([16_000])
    quiet, n = encoder.log_power(inputs)
    loud, _ = encoder.log_power({**inputs, "waveform": inputs["waveform"] * 10})
    assert n.tolist() == [100]
    # The floor under the logarithm takes a little where a filter hears next to nothing.
    torch.testing.assert_close(loud - quiet, torch.full_like(loud, math.log(100)), atol=0.2, rtol=0)


def test_impossible_waveform_options_are_refused() -> None:
    with pytest.raises(UsageError, match="kernel must be odd, got 8"):
        WaveformOptions(kernel=8)
    with pytest.raises(UsageError, match="filters, dim and expansion must be at least 1"):
        WaveformOptions(dim=0)


def test_fitted_encoders_standardise_what_they_measure() -> None:
    inputs = batch([48_000, 16_000])
    bilstms = [BiLstm(BiLstmOptions(normalise=name)) for name in ("standardise", "centre")]
    for encoder in (WaveformEncoder(WaveformOptions()), *bilstms):
        assert isinstance(encoder, Fitted)
        moments = Moments()
        moments.add(encoder.measure(inputs))
        encoder.fit(moments)
        rows = (encoder.measure(inputs) - encoder.mean) / encoder.std
        assert len(rows) == 400
        torch.testing.assert_close(rows.mean(0), torch.zeros(rows.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(rows.std(0, correction=0), torch.ones(rows.shape[1]), atol=1e-3, rtol=0)


# Pretrained speech encoders


@pytest.mark.parametrize("kind", [kind for kind in SPEECH_KINDS if kind != "whisper"])
def test_every_layer_agrees_with_transformers(kind: str, checkpoints: dict[str, Path]) -> None:
    import transformers

    theirs = transformers.AutoModel.from_pretrained(checkpoints[kind]).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(checkpoints[kind])
    inputs = batch([20_800])
    values = extractor(inputs["waveform"][0].numpy(), sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        wanted = theirs(values, output_hidden_states=True)
        states = speech(checkpoints[kind]).states(inputs)
    n = wanted.last_hidden_state.shape[1]
    assert states.shape[1] == len(wanted.hidden_states) == 4
    assert int(speech(checkpoints[kind]).n_states(inputs["n_samples"])) == n
    torch.testing.assert_close(states[:, -1, :n], wanted.last_hidden_state, atol=1e-5, rtol=0)
    for layer in range(3):
        torch.testing.assert_close(states[:, layer, :n], wanted.hidden_states[layer], atol=1e-5, rtol=0)


def test_whisper_agrees_with_transformers_on_its_full_length(checkpoints: dict[str, Path]) -> None:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    theirs = WhisperEncoder.from_pretrained(checkpoints["whisper"]).eval()
    inputs = batch([192_000])  # 1200 frames, twice the tiny model's 600 positions
    with torch.no_grad():
        wanted = theirs(inputs["log_mel"].mT, output_hidden_states=True)
        states = speech(checkpoints["whisper"]).states(inputs)
    assert states.shape[1:] == (4, 600, 16)
    torch.testing.assert_close(states[:, -1], wanted.last_hidden_state, atol=1e-5, rtol=0)
    for layer in range(3):
        torch.testing.assert_close(states[:, layer], wanted.hidden_states[layer], atol=1e-5, rtol=0)


def test_whisper_refuses_more_frames_than_it_has_positions(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match=r"this Whisper takes 12 s at most, got 12\.5 s"):
        speech(checkpoints["whisper"])(batch([200_000]))


def test_a_whole_whisper_checkpoint_gives_its_encoder(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    import transformers

    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 60, "pad_token_id": 0}
    sizes |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_source_positions": 100}
    sizes |= {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "bos_token_id": 1, "eos_token_id": 1}
    model = transformers.WhisperModel(transformers.WhisperConfig(**sizes, decoder_start_token_id=1))
    model.save_pretrained(tmp_path)
    encoder = speech(tmp_path)
    assert torch.equal(encoder.encoder.conv1.weight, model.encoder.conv1.weight)
    assert encoder.states(batch([16_000])).shape == (1, 2, 50, 16)


def test_the_real_whisper_agrees_with_transformers_and_runs_on_short_clips(shared_weights: Path) -> None:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    folder = shared_weights / "whisper-tiny.en-encoder"
    ours = speech(folder, mix=2)
    theirs = WhisperEncoder.from_pretrained(folder, dtype=torch.float32).eval()
    inputs = batch([480_000])
    with torch.no_grad():
        wanted = theirs(inputs["log_mel"].mT, output_hidden_states=True).hidden_states[2]
        given = ours.states(inputs, (2,))[:, 0]
        states, mask = ours(batch([16_000, 48_000]))
    assert ours.dim == 384
    assert ours.n_layers == 5
    # States reach a few hundred; relative to that, float32.
    torch.testing.assert_close(given, wanted, atol=1e-4 * float(wanted.abs().max()), rtol=0)
    assert states.shape == (2, 150, 384)
    assert mask.sum(1).tolist() == [50, 150]


def test_frozen_encoders_get_no_gradient_and_stay_in_evaluation(checkpoints: dict[str, Path]) -> None:
    for kind, checkpoint in checkpoints.items():
        encoder = speech(checkpoint).train()
        assert not encoder.encoder.training
        assert encoder.cacheable
        encoder(batch([16_000]))[0].sum().backward()
        assert [name for name, p in encoder.named_parameters() if p.grad is not None] == ["mix"], kind


@pytest.mark.parametrize("kind", SPEECH_KINDS)
def test_tuning_the_last_block_leaves_the_rest_frozen(kind: str, checkpoints: dict[str, Path]) -> None:
    encoder = speech(checkpoints[kind], tune_last=1, mix=-1, layer_norm=False).train()
    assert not encoder.cacheable
    assert encoder.blocks[-1].training
    assert not encoder.blocks[0].training
    encoder(batch([16_000]))[0].square().sum().backward()
    assert any(p.grad is not None for p in encoder.blocks[-1].parameters())
    assert all(p.grad is None for p in encoder.blocks[:-1].parameters())


@pytest.mark.parametrize("kind", SPEECH_KINDS)
def test_low_rank_updates_begin_as_nothing_and_alone_are_learnt(
    kind: str, checkpoints: dict[str, Path]
) -> None:
    torch.manual_seed(0)
    options = {"tune_last": 1, "mix": -1, "layer_norm": False}
    inputs = batch([16_000])
    encoder = speech(checkpoints[kind], **options, lora_rank=2)
    plain = speech(checkpoints[kind], **options)
    torch.testing.assert_close(encoder(inputs)[0], plain(inputs)[0])
    learnt = {name: p for name, p in encoder.named_parameters() if p.requires_grad}
    assert len(learnt) == 4  # two matrices for each of the queries and values of one block
    assert all("q_proj" in name or "v_proj" in name for name in learnt)
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    optimizer = torch.optim.SGD(learnt.values(), lr=1.0)
    for _ in range(2):  # the first step moves only what was zero
        optimizer.zero_grad()
        encoder.train()(inputs)[0].square().sum().backward()
        optimizer.step()
    moved = {name for name, p in encoder.named_parameters() if not torch.equal(p, before[name])}
    assert moved == set(learnt)
    assert not torch.allclose(encoder.eval()(inputs)[0], plain(inputs)[0])


def test_a_model_with_low_rank_updates_is_saved_and_loaded(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    options = SpeechOptions(str(checkpoints["whisper"]), tune_last=2, lora_rank=3)
    model = CoAttention(ModelOptions(3, speech=options, width=16)).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(".up"):
                p.normal_()
    model.save(tmp_path / "model")
    again = CoAttention.load(tmp_path / "model")
    inputs = batch([16_000, 9_000])
    with torch.no_grad():
        assert torch.equal(again(inputs), model(inputs))


def test_a_block_without_queries_and_values_has_no_low_rank_updates() -> None:
    with pytest.raises(ValueError, match=r"Sequential has none of the layers \['q_proj', 'v_proj'\]"):
        add_low_rank(torch.nn.Sequential(torch.nn.Linear(2, 2)), 1)


@pytest.mark.parametrize("kind", SPEECH_KINDS)
def test_unfrozen_encoders_train_throughout(kind: str, checkpoints: dict[str, Path]) -> None:
    torch.manual_seed(0)
    encoder = speech(checkpoints[kind], frozen=False, layer_norm=False)
    encoder.encoder.config.layerdrop = 0.0
    encoder.train()(batch([16_000, 12_000]))[0].square().sum().backward()
    front = (
        encoder.encoder.conv1 if kind == "whisper" else encoder.encoder.feature_extractor.conv_layers[0].conv
    )
    assert front.weight.grad is not None
    assert front.weight.grad.abs().max() > 0


@pytest.mark.parametrize("mix", ["learned", 1, -1])
def test_cached_states_give_the_same_answer(mix: object, checkpoints: dict[str, Path]) -> None:
    encoder = speech(checkpoints["whisper"], mix=mix)
    inputs = batch([16_000])
    item = {name: value[0].numpy() for name, value in inputs.items()}
    cached = encoder.numpy_states(item)
    assert cached.shape == (50, 4 if mix == "learned" else 1, 16)  # no more than the mix needs
    assert cached.dtype == np.float16
    with torch.no_grad():
        wanted, mask = encoder(inputs)
        kept = torch.from_numpy(cached)[None].transpose(1, 2)
        given, cached_mask = encoder({"speech_states": kept, "n_samples": inputs["n_samples"]})
        torch.testing.assert_close(given, wanted, atol=0.01, rtol=0)  # float16
        assert torch.equal(mask, cached_mask)
        if mix == 1:
            states = encoder.states(inputs)
            every = encoder({"speech_states": states, "n_samples": inputs["n_samples"]})[0]
            first = encoder({"speech_states": states[:, :2], "n_samples": inputs["n_samples"]})[0]
            assert torch.equal(every, wanted)
            assert torch.equal(first, wanted)


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2"])
def test_a_stride_averages_neighbours_and_padding_counts_for_nothing(
    kind: str, checkpoints: dict[str, Path]
) -> None:
    plain, thinned = speech(checkpoints[kind], mix=1), speech(checkpoints[kind], mix=1, stride=4)
    inputs = batch([16_000, 9_000], padding=2_000)
    with torch.no_grad():
        states, given = plain.states(inputs, (1,)), thinned.states(inputs, (1,))
        mask = thinned(inputs)[1]
        for i, n in enumerate(plain.n_states(inputs["n_samples"]).tolist()):
            wanted = torch.stack([part.mean(0) for part in states[i, 0, :n].split(4)])
            torch.testing.assert_close(given[i, 0, : len(wanted)], wanted, atol=1e-5, rtol=1e-5)
            assert int(mask[i].sum()) == len(wanted)


def test_states_cached_before_the_stride_give_the_same_answer(checkpoints: dict[str, Path]) -> None:
    from voxaffect.examples import averaged

    encoder = speech(checkpoints["whisper"], stride=3)
    inputs = batch([16_000])
    item = {name: value[0].numpy() for name, value in inputs.items()}
    cached = encoder.numpy_states(item)
    assert cached.shape[0] == 50  # of every stride the same
    assert encoder.states_key == speech(checkpoints["whisper"]).states_key
    kept = torch.from_numpy(averaged(cached, encoder.stride))[None].transpose(1, 2)
    with torch.no_grad():
        wanted, mask = encoder(inputs)
        given, cached_mask = encoder({"speech_states": kept, "n_samples": inputs["n_samples"]})
    assert given.shape[1] == 17
    torch.testing.assert_close(given, wanted, atol=0.01, rtol=0)  # float16
    assert torch.equal(mask, cached_mask)


def test_what_decides_the_cached_states_is_in_their_key(checkpoints: dict[str, Path]) -> None:
    whisper, wav2vec2 = checkpoints["whisper"], checkpoints["wav2vec2"]
    encoders = [
        speech(whisper),
        speech(whisper, mix=1),
        speech(whisper, mix=2),
        speech(whisper, masked=False),
        speech(wav2vec2),
        speech(wav2vec2, normalise="never"),
    ]
    assert len({encoder.states_key for encoder in encoders}) == len(encoders)
    assert speech(whisper, mix=-1).states_key == speech(whisper, mix=3).states_key
    assert speech(whisper, layer_norm=False).states_key == encoders[0].states_key  # done after the cache


@pytest.mark.parametrize("layer_norm", [True, False])
def test_the_learned_mix_is_the_weighted_sum_of_normalised_states(
    layer_norm: bool, checkpoints: dict[str, Path]
) -> None:
    encoder = speech(checkpoints["whisper"], layer_norm=layer_norm)
    states = 3 * torch.randn(2, 4, 50, 16) + torch.tensor([0.0, 1.0, -5.0, 20.0])[None, :, None, None]
    states[1, 2, 7] = 4.0  # no deviation at all
    states.requires_grad_()
    with torch.no_grad():
        encoder.mix.copy_(torch.randn(4))
    given = encoder({"speech_states": states, "n_samples": torch.tensor([16_000, 16_000])})[0]
    normed = F.layer_norm(states, (16,)) if layer_norm else states
    wanted = torch.einsum("l,bltd->btd", encoder.mix.softmax(0), normed)
    torch.testing.assert_close(given, wanted, atol=1e-4, rtol=0)  # a mean of 20 costs three digits
    ours, theirs = (
        torch.autograd.grad(mixed.square().sum(), (encoder.mix, states), retain_graph=True)
        for mixed in (given, wanted)
    )
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-3, atol=1e-3)
    existing = torch.ones(50, dtype=torch.bool).index_fill(0, torch.tensor([7]), False)
    torch.testing.assert_close(ours[1][:, :, existing], theirs[1][:, :, existing], rtol=1e-3, atol=1e-3)


def test_too_few_cached_layers_are_refused(checkpoints: dict[str, Path]) -> None:
    inputs = {"speech_states": torch.zeros(1, 2, 50, 16), "n_samples": torch.tensor([16_000])}
    with pytest.raises(ValueError, match="hold 2 layers; the mix needs 4, up to number 3"):
        speech(checkpoints["whisper"])(inputs)


def test_a_missing_checkpoint_says_where_it_looked_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = "model_missing: looked in .*; on a connected machine: voxaffect models download"
    with pytest.raises(ArtefactError, match=f"{message} nowhere -o DIR"):
        speech(tmp_path / "nowhere")
    monkeypatch.setenv("VOXAFFECT_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ArtefactError, match=f"{message} someone/wav2vec2-of-theirs -o DIR"):
        speech(Path("someone/wav2vec2-of-theirs"))


def test_a_local_folder_never_touches_the_network(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for checkpoint in checkpoints.values():
        speech(checkpoint)


def test_damaged_checkpoints_are_refused(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    config = (checkpoints["whisper"] / "config.json").read_text()
    weights = (checkpoints["whisper"] / "model.safetensors").read_bytes()
    (tmp_path / "config.json").write_text(config[: len(config) // 2])
    with pytest.raises(ArtefactError, match=r"model_damaged: .* cannot be read"):
        speech(tmp_path)
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ArtefactError, match=r"model_damaged: .* cannot be read"):
        speech(tmp_path)  # no weights at all
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ArtefactError, match=r"model_damaged: .* cannot be read"):
        speech(tmp_path)
    state = load_file(checkpoints["whisper"] / "model.safetensors")
    del state["conv1.weight"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ArtefactError, match=r"1 weights are missing, first 'conv1.weight'"):
        speech(tmp_path)


def test_models_of_other_types_are_refused(imagenet: Path, tmp_path: Path) -> None:
    expected = r"expected one of \['wav2vec2', 'hubert', 'wavlm', 'whisper'\]"
    with pytest.raises(UsageError, match=f"is a 'vit' model; {expected}"):
        speech(imagenet)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "martian"}))
    with pytest.raises(UsageError, match=f"unknown_encoder: .*martian.*{expected}"):
        speech(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mix": "mean"}, "speech mix 'mean'; expected 'learned' or a state's number"),
        ({"mix": True}, "speech mix True"),
        ({"stride": 0}, "speech stride 0; expected at least 1"),
        ({"normalise": "yes"}, r"speech normalise 'yes'; expected one of \['auto', 'always', 'never'\]"),
        ({"frozen": False, "tune_last": 1}, "tune_last 1 needs frozen = true"),
        ({"lora_rank": 4}, "lora_rank 4 needs tune_last"),
        ({"tune_last": 1, "lora_rank": -1}, "lora_rank -1 needs tune_last, and must not be negative"),
        ({"mix": 7}, "speech mix 7; the checkpoint has 4 states"),
        ({"tune_last": 9}, "tune_last 9; the checkpoint has 3 blocks"),
    ],
)
def test_impossible_speech_options_are_refused(
    options: dict[str, object], message: str, checkpoints: dict[str, Path]
) -> None:
    with pytest.raises(UsageError, match=message):
        speech(checkpoints["whisper"], **options)


def test_normalisation_follows_the_preprocessor_unless_told(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    checkpoint = checkpoints["wav2vec2-layer"]
    assert speech(checkpoint).normalise
    assert not speech(checkpoint, normalise="never").normalise
    assert not speech(checkpoints["whisper"], normalise="always").normalise
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((checkpoint / name).read_bytes())
    assert speech(tmp_path).normalise  # the extractor's default
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    assert not speech(tmp_path).normalise
    assert speech(tmp_path, normalise="always").normalise


def test_equal_weights_have_equal_digests(checkpoints: dict[str, Path]) -> None:
    first, second = speech(checkpoints["hubert"]), speech(checkpoints["hubert"], frozen=False)
    assert first.digest == second.digest
    assert first.digest != speech(checkpoints["wavlm"]).digest
