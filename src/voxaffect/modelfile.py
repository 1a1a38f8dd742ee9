"""The model file: one ONNX that holds labels, features, calibration and card, and proves its own integrity.

Its metadata has two entries: `voxaffect`, a JSON object of schema `voxaffect.model/1`, and
`voxaffect-digest`,
`voxaffect-sha256:` followed by the SHA-256 of the whole file taken with these 64 digits as zeros. Digest,
schema and the absence of external data are checked before the runtime sees a byte.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxaffect import onnx_fields
from voxaffect.checkpoints import FOLDER_VARIABLE, own_folders
from voxaffect.errors import ArtefactError, UsageError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from voxaffect.features import FeatureOptions
    from voxaffect.result import ModelInfo

SCHEMA = "voxaffect.model/1"
METADATA_KEY = "voxaffect"
DIGEST_KEY = "voxaffect-digest"
DIGEST_MARKER = b"voxaffect-sha256:"
EMPTY_DIGEST = DIGEST_MARKER.decode() + "0" * 64
"""What `voxaffect-digest` holds until `write_digest` fills it in."""

INPUTS = ("spectrogram", "mfcc", "waveform", "log_mel")
OFFSET, STATISTICS, ADAPTED, VOICE = "offset", "statistics", "adapted_logits", "voice"
"""An input that may be left out, and outputs, of a model that can adapt: see `voxaffect.export`."""
VOTES = ("majority", "mean")
DEVICES = ("auto", "cpu", "cuda")
BUNDLED = Path(__file__).parent / "models"
DEFAULT = "bundled"
"""The model that answers where none is asked for, of those in `BUNDLED`."""

_DIGEST = re.compile(re.escape(DIGEST_MARKER) + rb"([0-9a-f]{64})")


@dataclass(frozen=True)
class ModelFile:
    """A verified model: what its metadata says, and the bytes that were verified.

    `sha256` is that of the whole file. `temperature` divides the logits before their softmax.
    """

    path: Path
    sha256: str
    name: str
    version: str
    labels: tuple[str, ...]
    members: int
    vote: str
    licence: str
    inputs: tuple[str, ...]
    temperature: float
    uncertain_below: float
    card: str
    metadata: Mapping[str, Any] = field(repr=False, compare=False)
    data: bytes = field(repr=False, compare=False)

    @property
    def features(self) -> FeatureOptions:
        """How the model's inputs are computed.

        Raises ArtefactError `model_refused` if this edition has no such features.
        """
        from voxaffect.errors import VoxaffectError
        from voxaffect.features import FeatureOptions

        try:
            return FeatureOptions.from_dict(self.metadata["features"])
        except (ValueError, TypeError, KeyError, VoxaffectError) as error:
            raise _refused(
                self.path, f"its features are not those of this edition ({error})", self.sha256
            ) from error

    @property
    def adapts(self) -> bool:
        """Whether it can adapt to enrolled audio."""
        return "adaptation" in self.metadata

    @property
    def info(self) -> ModelInfo:
        """What a result says about its model."""
        from voxaffect.result import ModelInfo

        return ModelInfo(
            self.name, self.version, self.sha256, self.labels, self.members, self.vote, self.licence
        )


def read_model(path: str | os.PathLike[str]) -> ModelFile:
    """The verified model in `path`; nothing of it is run.

    Raises ArtefactError `model_missing` if it cannot be read, `model_damaged` if it is not what was written,
    and
    `model_refused` if it is no voxaffect model, of another schema, or takes weights from other files.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtefactError(
            "model_missing", f"{path} cannot be read ({error.strerror})", where=str(path)
        ) from error
    sha256 = check_digest(data, path)
    try:
        properties = onnx_fields.metadata(data)
        external = onnx_fields.has_external_data(data)
    except ValueError as error:
        raise _refused(path, f"it is no ONNX file ({error})", sha256) from error
    if external:
        raise _refused(path, "it takes weights from other files", sha256)
    if METADATA_KEY not in properties:
        raise _refused(path, f"its metadata has no entry {METADATA_KEY!r}", sha256)
    try:
        metadata = json.loads(properties[METADATA_KEY])
        return _model(path, data, sha256, metadata)
    except (ValueError, TypeError, KeyError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise _refused(path, f"its metadata is not usable: {reason}", sha256) from error


def check_digest(data: bytes, path: str | os.PathLike[str] = "the model") -> str:
    """The SHA-256 (hex) of `data` as it is, once `data` has proved to be what `write_digest` returned.

    Raises ArtefactError `model_damaged` or `model_refused`, naming `path` and the digests.
    """
    if data.startswith(b"version https://git-lfs"):
        raise ArtefactError(
            "model_damaged",
            f"{path} is a Git LFS pointer, not the model",
            hint="run git lfs pull",
            where=str(path),
        )
    places = list(_DIGEST.finditer(data))
    if len(places) != 1:
        raise _without_digest(data, path, len(places))
    start, end = places[0].span(1)
    whole = hashlib.sha256(data[:start])
    blank = whole.copy()
    blank.update(b"0" * 64)
    whole.update(data[start:end])
    rest = memoryview(data)[end:]
    blank.update(rest)
    whole.update(rest)
    recorded = places[0].group(1).decode()
    if blank.hexdigest() != recorded:
        raise ArtefactError(
            "model_damaged",
            f"{path} is not what was written: it records sha256 {recorded} and has {blank.hexdigest()}",
            hint="copy or download it again",
            where=str(path),
        )
    return whole.hexdigest()


def described(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The properties of an ONNX file that hold `metadata`, and a digest that `write_digest` is to fill in.

    Raises ValueError where `metadata` holds what only the digest may.
    """
    text = json.dumps(metadata, ensure_ascii=False)
    if DIGEST_MARKER.decode() in text:
        raise ValueError(f"the metadata holds {DIGEST_MARKER.decode()!r}, which only the digest may")
    return {METADATA_KEY: text, DIGEST_KEY: EMPTY_DIGEST}


def write_digest(data: bytes) -> bytes:
    """`data`, an ONNX file with `EMPTY_DIGEST` in its metadata, with the digest filled in.

    Raises ValueError unless the marker stands in `data` exactly once.
    """
    places = list(_DIGEST.finditer(data))
    if len(places) != 1:
        raise ValueError(
            f"expected {EMPTY_DIGEST[:24]!r}... exactly once in the file, found it {len(places)} times"
        )
    start, end = places[0].span(1)
    blank = hashlib.sha256(data[:start] + b"0" * 64 + data[end:]).hexdigest()
    return data[:start] + blank.encode() + data[end:]


def find_model(model: str | os.PathLike[str] | None = None) -> Path:
    """The file of `model`: a file, a folder with one `.onnx`, the name of a model here, None for the bundled.

    Names are looked up among the bundled models, then in the folders of the environment variable
    `VOXAFFECT_MODELS`.
    Raises ArtefactError `model_missing`, saying where it looked.
    """
    if model is None:
        bundled = BUNDLED / f"{DEFAULT}.onnx"
        if bundled.is_file():
            return bundled
        raise _missing("no bundled model", [bundled], "voxaffect was installed without it: install it again")
    path = Path(model)
    if os.path.isfile(model):  # noqa: PTH113  (Path raises where the system will not look)
        return path
    if os.path.isdir(model):  # noqa: PTH112
        inside = sorted(path.glob("*.onnx"))
        if len(inside) == 1:
            return inside[0]
        names = ", ".join(p.name for p in inside) or "none"
        is_run = not inside and (path / "recipe.json").is_file()
        raise ArtefactError(
            "model_missing",
            f"{path} should hold one .onnx file; it holds {names}",
            hint=f"a run becomes a model by: voxaffect models export {path} -o NAME.onnx" if is_run else None,
            where=str(path),
        )
    name = os.fspath(model)
    for folder in model_folders():
        for candidate in (folder / f"{name}.onnx", folder / name / f"{name}.onnx"):
            if os.path.isfile(candidate):  # noqa: PTH113
                return candidate
    if path.suffix == ".onnx" or len(path.parts) > 1:
        raise ArtefactError(
            "model_missing",
            f"there is no file or folder {path}",
            hint="what is here is said by: voxaffect models list",
            where=name,
        )
    close = get_close_matches(name, [file.stem for file in list_models()], n=1)
    raise _missing(
        f"no model {name!r}",
        [path, *model_folders()],
        f"did you mean {close[0]}?"
        if close
        else f"what is here is said by: voxaffect models list; {FOLDER_VARIABLE} may name more folders",
    )


def model_folders() -> list[Path]:
    """Where models are looked up by name."""
    return [BUNDLED, *own_folders()]


def list_models() -> list[Path]:
    """The files of all models that can be had by name, the bundled ones first."""
    return [
        path
        for folder in model_folders()
        for path in sorted(
            [*folder.glob("*.onnx"), *(p for p in folder.glob("*/*.onnx") if p.stem == p.parent.name)]
        )
    ]


def open_session(
    model: ModelFile, *, device: str = "auto", threads: int = 1, plain: bool = False
) -> InferenceSession:
    """A runtime session of the verified bytes of `model`; a `plain` one gives logits alone and need do less for them.

    `threads` is how many threads one inference may use. Raises UsageError `no_gpu` if device "cuda" is asked
    for and not there, and ArtefactError `model_refused` if the runtime cannot load the model.
    """
    if device not in DEVICES:
        raise ValueError(f"unknown device {device!r}; expected one of {list(DEVICES)}")
    if threads < 1:
        raise ValueError(f"threads is {threads}; expected at least 1")
    from voxaffect.runtime import onnxruntime, session_options

    ort = onnxruntime()
    ort.set_default_logger_severity(3)
    has_cuda = "CUDAExecutionProvider" in ort.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise _no_gpu()
    options = session_options(threads)
    providers = ["CPUExecutionProvider"]
    if has_cuda and device != "cpu":
        providers.insert(0, "CUDAExecutionProvider")
    try:
        data = onnx_fields.with_outputs(model.data, ("logits",)) if plain else model.data
        session = ort.InferenceSession(data, options, providers=providers)
    except Exception as error:  # the runtime's own exceptions share no base class
        raise _refused(
            model.path, f"the runtime cannot load it ({str(error).splitlines()[0]})", model.sha256
        ) from error
    if device == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise _no_gpu()
    _check_graph(model, session)
    return session


def _model(path: Path, data: bytes, sha256: str, metadata: Any) -> ModelFile:
    if not isinstance(metadata, dict):
        raise ValueError(f"it is {type(metadata).__name__}, not an object")
    if metadata.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {metadata.get('schema')!r}; this edition reads {SCHEMA!r}")
    labels, inputs = metadata["labels"], metadata["inputs"]
    if not _words(labels) or len(labels) < 2 or len(set(labels)) != len(labels):
        raise ValueError(f"labels is {labels!r}; expected two or more different words")
    if not _words(inputs) or not inputs or not set(inputs) <= set(INPUTS):
        raise ValueError(f"inputs is {inputs!r}; expected some of {list(INPUTS)}")
    if metadata["vote"] not in VOTES:
        raise ValueError(f"vote is {metadata['vote']!r}; expected one of {list(VOTES)}")
    members = metadata["members"]
    if not isinstance(members, int) or members < 1:
        raise ValueError(f"members is {members!r}; expected a count")
    temperature = float(metadata.get("calibration", {}).get("temperature", 1.0))
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature is {temperature}; expected a number above 0")
    uncertain_below = float(metadata.get("uncertain_below", 0.0))
    if not 0 <= uncertain_below <= 1:
        raise ValueError(f"uncertain_below is {uncertain_below}; expected a probability")
    return ModelFile(
        path=path,
        sha256=sha256,
        name=str(metadata["name"]),
        version=str(metadata["version"]),
        labels=tuple(labels),
        members=members,
        vote=metadata["vote"],
        licence=str(metadata["licence"]),
        inputs=tuple(inputs),
        temperature=temperature,
        uncertain_below=uncertain_below,
        card=str(metadata.get("card", "")),
        metadata=metadata,
        data=data,
    )


def _words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _check_graph(model: ModelFile, session: InferenceSession) -> None:
    # The exporter drops an input that nothing reads, so a graph may have fewer than these, never others.
    expected = {*model.inputs, "n_samples"}
    inputs = {value.name for value in session.get_inputs()}
    outputs = onnx_fields.outputs(model.data)
    if not inputs <= expected or "logits" not in outputs:
        reason = f"its graph takes {sorted(inputs)} and gives {outputs}"
        raise _refused(model.path, f"{reason}; expected {sorted(expected)} and ['logits']", model.sha256)
    if model.adapts and not {STATISTICS, ADAPTED, VOICE} <= set(outputs):
        raise _refused(
            model.path, f"its metadata says that it adapts, its graph gives only {outputs}", model.sha256
        )


def _without_digest(data: bytes, path: str | os.PathLike[str], count: int) -> ArtefactError:
    sha256 = hashlib.sha256(data).hexdigest()
    if count:
        return _refused(path, f"it holds {count} digests instead of one", sha256)
    try:
        onnx_fields.metadata(data)
        if data:
            return _refused(path, "it holds no voxaffect digest, so it is no voxaffect model", sha256)
        reason = "it is empty"
    except ValueError as error:
        reason = str(error)
    return ArtefactError(
        "model_damaged",
        f"{path} holds no voxaffect digest and is no whole ONNX file: {reason} (sha256 {sha256})",
        hint="copy or download it again",
        where=str(path),
    )


def _refused(path: str | os.PathLike[str], reason: str, sha256: str) -> ArtefactError:
    return ArtefactError("model_refused", f"{path} is refused: {reason} (sha256 {sha256})", where=str(path))


def _missing(what: str, places: list[Path], hint: str) -> ArtefactError:
    return ArtefactError("model_missing", f"{what}: looked in {', '.join(str(p) for p in places)}", hint=hint)


def _no_gpu() -> UsageError:
    return UsageError("no_gpu", "no CUDA device", hint="use --device cpu")
