"""Finding and reading `transformers` checkpoints: local folders without the network, hub names through its
cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from voxaffect.checkpoints import VIT, find_folder, is_offline, is_path, missing
from voxaffect.errors import ArtefactError, UsageError

if TYPE_CHECKING:
    from voxaffect.encoders.speech import SpeechOptions

SPEECH_TYPES = ("wav2vec2", "hubert", "wavlm", "whisper")


def load_encoder(options: SpeechOptions) -> tuple[Any, bool]:
    """Load the checkpoint in float32 and say whether its waveforms are to be normalised.

    Raises:
        ArtefactError: `model_missing`, or `model_damaged` if it cannot be read or lacks weights.
        UsageError: `unknown_encoder` if it is a model of another type.
    """
    source, config, only_local = read_config(
        options.checkpoint, "speech encoder", SPEECH_TYPES, offline=options.offline
    )
    # SpecAugment's mask is absent where it was not trained.
    encoder = _load(
        _model_class(config),
        source,
        {"masked_spec_embed"},
        config=config,
        local_files_only=only_local,
        attn_implementation=_attention(config),
    )
    encoder = encoder.get_encoder() if _is_whole_whisper(config) else encoder
    return encoder, _normalises(source, config, options)


def load_vit(name: str) -> Any:
    """Load the vision transformer `name`, a folder or hub name, without its classifier, in float32.

    Raises: as `load_encoder`.
    """
    source, _, only_local = read_config(name, "vision transformer", ("vit",), usual=VIT)
    from transformers import ViTModel

    return _load(ViTModel, source, set(), add_pooling_layer=False, local_files_only=only_local).eval()


def read_config(
    name: str, what: str, types: Sequence[str], *, offline: bool = False, usual: str | None = None
) -> tuple[str, Any, bool]:
    """Where the checkpoint `name` is to be read from, its configuration, and whether without the network.

    What is here is never asked for on the network: an own folder goes before the hub's cache, and that before the hub.
    """
    from transformers import AutoConfig

    found, places = find_folder(name)
    local = found is not None or is_path(name)
    if local and found is None:
        raise missing(what, name, places, usual or Path(name).name)
    source = found or name
    absent = missing(what, name, [*places, "the Hugging Face cache"])
    only_local = True
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=True)
    except OSError as error:
        if local:
            raise _damaged(source, error) from None
        if offline or is_offline():
            raise absent from None
        only_local = False
        try:
            config = AutoConfig.from_pretrained(source)
        except OSError:
            raise absent from None
    except ValueError as error:
        raise UsageError(
            "unknown_encoder", f"{source}: {_first_line(error)}; expected one of {list(types)}"
        ) from None
    if config.model_type not in types:
        raise UsageError(
            "unknown_encoder", f"{name} is a {config.model_type!r} model; expected one of {list(types)}"
        )
    return source, config, only_local


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over the names, shapes and float32 values of the weights and buffers that `module` saves."""
    total = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        total.update(f"{name}{tuple(value.shape)}".encode())
        total.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def build_encoder(source: dict[str, Any]) -> Any:
    """Build an encoder with random weights from a `SpeechEncoder.description`."""
    from transformers import AutoConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    settings = dict(source["config"])
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    config._attn_implementation = _attention(config)
    return WhisperEncoder(config) if config.model_type == "whisper" else _model_class(config)(config)


def _load(cls: Any, source: str, may_be_absent: set[str], **settings: Any) -> Any:
    """The model of class `cls` in `source`, refused where weights are missing: they would be random ones."""
    try:
        with quiet_transformers():
            model, found = cls.from_pretrained(
                source, dtype=torch.float32, output_loading_info=True, **settings
            )
    except Exception as error:  # safetensors, pickle and shape errors are of many types
        raise _damaged(source, error) from error
    absent = sorted(set(found["missing_keys"]) - may_be_absent)
    if absent:
        raise _damaged(source, f"{len(absent)} weights are missing, first {absent[0]!r}")
    return model


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
