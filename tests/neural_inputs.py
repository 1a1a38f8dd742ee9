"""Random features for the tests of the neural parts, and tiny random checkpoints of every pretrained encoder."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from voxaffect.encoders.alexnet import AlexNet, AlexNetOptions
from voxaffect.encoders.checkpoint import quiet_transformers

SPEECH_KINDS = ("wav2vec2", "wav2vec2-layer", "hubert", "wavlm", "whisper")


def batch(n_samples: Sequence[int], padding: int = 0) -> dict[str, torch.Tensor]:
    """Features of items of `n_samples`, zero-padded to the longest and by `padding` samples more.

    Item i holds the same values whatever else is in the batch.
    """
    longest = max(n_samples) + padding
    n_frames = 1 + longest // 160
    inputs = {
        "spectrogram": torch.zeros(len(n_samples), n_frames, 200),
        "mfcc": torch.zeros(len(n_samples), n_frames, 40),
        "waveform": torch.zeros(len(n_samples), longest),
        "log_mel": torch.zeros(len(n_samples), longest // 160, 80),
        "n_samples": torch.tensor(n_samples),
    }
    for i, n in enumerate(n_samples):
        generator = torch.Generator().manual_seed(n)
        t = 1 + n // 160
        inputs["spectrogram"][i, :t] = -40 + 20 * torch.randn(t, 200, generator=generator)
        inputs["mfcc"][i, :t] = torch.randn(t, 40, generator=generator)
        inputs["waveform"][i, :n] = 0.1 * torch.randn(n, generator=generator)
        inputs["log_mel"][i, : t - 1] = torch.randn(t - 1, 80, generator=generator)
    return inputs


def taught_batch(n_samples: Sequence[int], dim: int, padding: int = 0) -> dict[str, torch.Tensor]:
    """`batch` with a teacher of one state of `dim` numbers for each pair of hops."""
    inputs = batch(n_samples, padding)
    longest = inputs["waveform"].shape[1]
    inputs["teacher_start"] = torch.zeros(len(n_samples), dtype=torch.int64)
    inputs["teacher"] = torch.zeros(len(n_samples), -(-(longest // 160) // 2), dim)
    for i, n in enumerate(n_samples):
        count = -(-(n // 160) // 2)
        inputs["teacher"][i, :count] = torch.randn(count, dim, generator=torch.Generator().manual_seed(n))
    return inputs


def segments(n_items: int) -> dict[str, torch.Tensor]:
    """Published segments: 300 frames and 48 000 samples, of which the features pad what is missing."""
    inputs = batch([48_000] * n_items)
    inputs["spectrogram"], inputs["mfcc"] = inputs["spectrogram"][:, :300], inputs["mfcc"][:, :300]
    inputs["n_samples"] = torch.arange(20_000, 20_000 + 1000 * n_items, 1000)
    return inputs


def save_speech(kind: str, folder: Path) -> Path:
    """Save a tiny encoder of one of SPEECH_KINDS with random weights, as `transformers` would."""
    with warnings.catch_warnings(), quiet_transformers():
        warnings.simplefilter("ignore")  # transformers' own
        import transformers
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        torch.manual_seed(0)
        if kind == "whisper":
            config = transformers.WhisperConfig(
                d_model=16,
                encoder_layers=3,
                encoder_attention_heads=2,
                encoder_ffn_dim=32,
                max_source_positions=600,
                architectures=["WhisperEncoder"],
            )
            model = WhisperEncoder(config)
        else:
            layer = kind == "wav2vec2-layer"
            family = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}[kind.split("-")[0]]
            config = getattr(transformers, f"{family}Config")(
                hidden_size=16,
                num_hidden_layers=3,
                num_attention_heads=2,
                intermediate_size=32,
                conv_dim=(8,) * 7,
                num_conv_pos_embeddings=16,
                num_conv_pos_embedding_groups=2,
                feat_extract_norm="layer" if layer else "group",
                do_stable_layer_norm=layer,
                conv_bias=layer,
            )
            model = getattr(transformers, f"{family}Model")(config)
            transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
        # Random biases and norms, so that a forgotten one shows.
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        model.save_pretrained(folder)
    return folder


def save_vit(folder: Path) -> Path:
    """Save a tiny vision transformer with random weights, as `transformers` would."""
    with warnings.catch_warnings(), quiet_transformers():
        warnings.simplefilter("ignore")  # transformers' own
        import transformers

        torch.manual_seed(1)
        config = transformers.ViTConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=224
        )
        model = transformers.ViTModel(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        model.save_pretrained(folder)
    return folder


def save_alexnet(file: Path) -> Path:
    """Save an AlexNet state dict with random weights under torchvision's names, a piece of its classifier too."""
    torch.manual_seed(2)
    features = AlexNet(AlexNetOptions()).features.state_dict()
    state = {f"features.{name}": value.clone() for name, value in features.items()}
    state["classifier.1.weight"] = torch.zeros(2, 2)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, file)
    return file
