"""Finding and reading `transformers` checkpoints: local folders without the network, hub names through its
cache.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from voxaffect.errors import ArtefactError, UsageError

if TYPE_CHECKING:
    from voxaffect.encoders.speech import SpeechOptions

MODEL_TYPES = ("wav2vec2", "hubert", "wavlm", "whisper")
OFFLINE_VARIABLES = ("VOXAFFECT_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
"""Environment variables that forbid the network when they are set to anything but 0."""


def load_encoder(options: SpeechOptions) -> tuple[Any, bool]:
    """Load the checkpoint in float32 and say whether its waveforms are to be normalised.

    Raises:
        ArtefactError: `model_missing`, or `model_damaged` if it cannot be read or lacks weights.
        UsageError: `unknown_encoder` if it is a model of another type.
    """
    name = options.checkpoint
    folder = Path(name).expanduser()
    local = folder.is_dir() or folder.is_absolute() or name.startswith(".") or name.count("/") != 1
    offline = options.offline or any(os.environ.get(v, "0") not in ("", "0") for v in OFFLINE_VARIABLES)
    from transformers import AutoConfig

    places = str(folder) if local else f"{folder}, the Hugging Face cache"
    missing = ArtefactError(
        "model_missing",
        f"looked in {places}: no speech encoder {name!r}",
        hint=f"on a connected machine: voxaffect models download {folder.name if local else name} -o DIR",
    )
    if local and not (folder / "config.json").is_file():
        raise missing
    source = str(folder) if local else name
    only_local = True
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=True)
    except OSError as error:
        if local:
            raise _damaged(source, error) from None
        if offline:
            raise missing from None
        only_local = False
        try:
            config = AutoConfig.from_pretrained(source)
        except OSError:
            raise missing from None
    except ValueError as error:
        raise UsageError(
            "unknown_encoder", f"{source}: {_first_line(error)}; expected one of {list(MODEL_TYPES)}"
        ) from None
    if config.model_type not in MODEL_TYPES:
        raise UsageError(
            "unknown_encoder",
            f"{name} is a {config.model_type!r} model; expected one of {list(MODEL_TYPES)}",
        )
    try:
        with quiet_transformers():
            encoder, found = _model_class(config).from_pretrained(
                source,
                config=config,
                local_files_only=only_local,
                dtype=torch.float32,
                attn_implementation=_attention(config),
                output_loading_info=True,
            )
    except Exception as error:  # safetensors, pickle and shape errors are of many types
        raise _damaged(source, error) from error
    # transformers would go on with random weights. SpecAugment's mask is absent where it was not trained.
    absent = sorted(set(found["missing_keys"]) - {"masked_spec_embed"})
    if absent:
        raise _damaged(source, f"{len(absent)} weights are missing, first {absent[0]!r}")
    encoder = encoder.get_encoder() if _is_whole_whisper(config) else encoder
    return encoder, _normalises(source, config, options)


def build_encoder(source: dict[str, Any]) -> Any:
    """Build an encoder with random weights from a `SpeechEncoder.description`."""
    from transformers import AutoConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    settings = dict(source["config"])
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    config._attn_implementation = _attention(config)
    return WhisperEncoder(config) if config.model_type == "whisper" else _model_class(config)(config)


def _damaged(source: str, error: object) -> ArtefactError:
    return ArtefactError("model_damaged", f"{source} cannot be read: {_first_line(error)}")


def _first_line(error: object) -> str:
    return str(error).strip().split("\n")[0]


def _model_class(config: Any) -> Any:
    if config.model_type != "whisper":
        from transformers import HubertModel, Wav2Vec2Model, WavLMModel

        return {"wav2vec2": Wav2Vec2Model, "hubert": HubertModel, "wavlm": WavLMModel}[config.model_type]
    from transformers import WhisperModel
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    return WhisperModel if _is_whole_whisper(config) else WhisperEncoder


def _is_whole_whisper(config: Any) -> bool:
    """Whether the checkpoint holds Whisper's decoder too."""
    return config.model_type == "whisper" and "WhisperEncoder" not in (config.architectures or [])


def _attention(config: Any) -> str:
    return "eager" if config.model_type == "wavlm" else "sdpa"


def _normalises(source: str, config: Any, options: SpeechOptions) -> bool:
    if config.model_type == "whisper" or options.normalise != "auto":
        return config.model_type != "whisper" and options.normalise == "always"
    from transformers.utils import cached_file

    path = cached_file(
        source,
        "preprocessor_config.json",
        local_files_only=True,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if path is None:
        return True  # the feature extractor's own default
    return bool(json.loads(Path(path).read_text(encoding="utf-8")).get("do_normalize", True))


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep progress bars and reports of unused weights (a checkpoint's other heads) off the terminal."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
