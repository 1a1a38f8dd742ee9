"""One self-describing ONNX file from one or more trained members, written only if it agrees with torch.

The file has an output "logits" (batch, members, classes), any batch and any length, no external data, and
metadata as `voxaffect.modelfile` reads it. Of members that can adapt (`voxaffect.adapted_probe`) it also has what
`voxaffect.enrolling` needs: "statistics" (batch, D), D over all members, "voice" (1 + classes, D), the same
whatever is heard, and "adapted_logits", which are shifted by the input "offset" (D); that input may be left out.

The exporter is torch's tracing one (dynamo=False): torch.export's
non-strict mode fixes the number of steps of an LSTM (torch 2.13), and its strict mode, which does not, took
40 s for a single one where tracing takes a fraction of a second. What tracing could get wrong, a length or
batch size baked in, the parity check finds.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from voxaffect.adaptive import Adaptive
from voxaffect.closed_form import KernelRidge
from voxaffect.encoders.masking import HOP_LENGTH, is_tracing
from voxaffect.encoders.spectrogram import SpectrogramEncoder
from voxaffect.encoders.speech import SpeechEncoder
from voxaffect.errors import ArtefactError
from voxaffect.files import write_bytes
from voxaffect.modelfile import (
    ADAPTED,
    OFFSET,
    STATISTICS,
    VOICE,
    described,
    write_digest,
)

if TYPE_CHECKING:
    import onnx

OPSET = 18
TOLERANCE = 1e-5
"""Largest difference of a probability between torch and ONNX Runtime: float32 sums in another order."""
SAMPLE_RATE = 16_000
AXES: Mapping[str, Mapping[int, str]] = {
    "spectrogram": {0: "batch", 1: "frames"},
    "mfcc": {0: "batch", 1: "frames"},
    "waveform": {0: "batch", 1: "samples"},
    "log_mel": {0: "batch", 1: "mel_frames"},
    "n_samples": {0: "batch"},
}
HALVED_FROM = 1024
"""Numbers that a tensor must have for half precision to keep it in 16 bits: smaller ones save nothing."""
ADAPTATION_OUTPUTS = (STATISTICS, ADAPTED, VOICE)
PARITY_SECONDS = ((1.3,), (3.0, 1.3, 0.7))
"""Item lengths of the batches that torch and ONNX Runtime are compared on; the second one is padded."""
PUBLISHED_SECONDS = ((3.0,), (3.0, 3.0, 3.0))


@dataclass(frozen=True)
class Exported:
    """What was written: where, how many bytes, and the largest difference of a probability from torch.

    `rounding` is the largest difference that half precision made before that, 0 without it.
    """

    path: Path
    n_bytes: int
    difference: float
    rounding: float = 0.0


def export(
    models: Sequence[nn.Module],
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, Any],
    tolerance: float = TOLERANCE,
    half: bool = False,
) -> Exported:
    """Write `models` (CoAttention or Probe: `inputs`, features to logits) as one ONNX file with one member
    each.

    `metadata` is the JSON object of the model file; its `members`, `inputs` and `adaptation` are filled in here.
    Members may read different features. Members with the very same frozen encoder share it. With `half` the weights
    are rounded to 16 bits and kept so, half the size; they are computed with in 32 bits, as without it.

    Raises:
        ArtefactError: `parity` if ONNX Runtime and torch differ by more than `tolerance`; nothing is
            written then.
        ValueError: no models, models of different numbers of classes, or the digest's marker in the metadata.
    """
    if not models:
        raise ValueError("export needs at least one model")
    description = {**metadata, "members": sum(map(n_members, models))}
    if half:
        description["weights"] = "float16"
        models, rounding = _rounded(models)
    else:
        rounding = 0.0
    ensemble = Ensemble(models)
    was_training = [model.training for model in models]
    devices = [next(iter([*model.parameters(), *model.buffers()])).device for model in models]
    try:
        ensemble.eval().cpu()
        description["inputs"] = list(ensemble.features)
        if ensemble.adapts:
            description["adaptation"] = _adaptation(ensemble)
        graph = _trace(ensemble)
        _narrow(graph.graph, half=half)
        _describe(graph, description)
        content = write_digest(graph.SerializeToString())
        difference = _checked_parity(ensemble, content, Path(path).name)
    finally:
        for model, training, device in zip(models, was_training, devices, strict=True):
            model.train(training).to(device)
    if not difference <= tolerance:  # NaN included
        raise ArtefactError(
            "parity",
            f"ONNX Runtime and torch differ by up to {difference:.3g} in a probability; "
            f"allowed is {tolerance:.3g}; {Path(path).name} was not written",
        )
    write_bytes(Path(path), content)
    return Exported(Path(path), len(content), difference, rounding)


def _rounded(models: Sequence[nn.Module]) -> tuple[list[nn.Module], float]:
    """Copies with every larger weight rounded to 16 bits, and the largest difference of a probability it makes."""
    copies = [copy.deepcopy(model).cpu().eval() for model in models]
    batch = _example((3.0, 1.3, 0.7), published=_is_fixed(Ensemble(copies)))
    with torch.no_grad():
        whole = [made(batch).softmax(-1) for made in copies]
        for made in copies:
            # Dual weights stay as they are: large ones of either sign cancel out, and there are few.
            kept = {id(m.dual) for m in made.modules() if isinstance(m, KernelRidge)}
            for values in (*made.parameters(), *made.buffers()):
                wide = values.dtype == torch.float32 and values.numel() >= HALVED_FROM
                if wide and id(values) not in kept:
                    values.copy_(values.half().float())
        rounded = [made(batch).softmax(-1) for made in copies]
    return copies, max(float((a - b).abs().max()) for a, b in zip(whole, rounded, strict=True))


def _narrow(graph: onnx.GraphProto, *, half: bool) -> None:
    """Keep every large initializer in as few bits as hold it exactly, 32 or with `half` 16, and cast it before use."""
    from onnx import TensorProto, helper, numpy_helper

    narrower = {TensorProto.DOUBLE: [np.float32], TensorProto.FLOAT: []}
    casts = []
    defaults = {
        value.name for value in graph.input
    }  # of inputs that may be left out: they keep name and type
    for tensor in graph.initializer:
        if tensor.data_type not in narrower or tensor.name in defaults:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < HALVED_FROM:
            continue
        kinds: list[type[np.floating[Any]]] = [*([np.float16] if half else []), *narrower[tensor.data_type]]
        for kind in kinds:
            kept = values.astype(kind)
            if np.array_equal(kept.astype(values.dtype), values):
                name, wide = tensor.name, tensor.data_type
                tensor.CopyFrom(numpy_helper.from_array(kept, name + "/narrow"))
                casts.append(helper.make_node("Cast", [tensor.name], [name], to=wide, name=name + "/cast"))
                break
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _checked_parity(ensemble: Ensemble, content: bytes, name: str) -> float:
    """`parity`, with the runtime's refusal to run the graph as an ArtefactError."""
    try:
        return parity(ensemble, content)
    except Exception as error:  # the runtime's exceptions share no base class of their own
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        reason = str(error).split("\n")[0]
        raise ArtefactError(
            "parity", f"ONNX Runtime cannot run the exported graph: {reason}; {name} was not written"
        ) from error


class Ensemble(nn.Module):
    """Members side by side: features in the order of `features`, then `n_samples`, to logits (B, M, K)."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(models)
        wanted = {name for model in models for name in _inputs(model)}
        self.features: tuple[str, ...] = tuple(name for name in AXES if name in wanted)
        encoders = [getattr(model, "speech", None) for model in models]
        digests = [e.digest if isinstance(e, SpeechEncoder) and e.cacheable else None for e in encoders]
        shared = len(models) > 1 and None not in digests and len(set(digests)) == 1
        self.shared: SpeechEncoder | None = encoders[0] if shared else None
        images = [getattr(model, "spectrogram", None) for model in models]
        keys = [e.states_key if isinstance(e, SpectrogramEncoder) and e.cacheable else None for e in images]
        shared = len(models) > 1 and None not in keys and len(set(keys)) == 1
        self.shared_image: SpectrogramEncoder | None = images[0] if shared else None
        # States are known by their number, so the first ones are computed as far as a member needs them.
        adapting = tuple(model for model in models if isinstance(model, Adaptive))
        self.adapting = adapting if len(adapting) == len(models) else ()
        """The members where all can adapt; else none does."""
        deepest = [max(getattr(model, "speech_layers", (10_000,)), default=0) for model in models]
        first = encoders[0] if self.adapts else self.shared
        self.speech: SpeechEncoder | None = first if isinstance(first, SpeechEncoder) else None
        n_layers = self.speech.n_layers if self.speech is not None else 0
        self.layers = tuple(range(min(max(deepest) + 1, n_layers)))

    @property
    def adapts(self) -> bool:
        """Whether its members can adapt."""
        return bool(self.adapting)

    @property
    def names(self) -> tuple[str, ...]:
        """What `forward` takes, in order."""
        return (*self.features, "n_samples", *((OFFSET,) if self.adapts else ()))

    @property
    def outputs(self) -> tuple[str, ...]:
        """What `forward` returns, in order."""
        return ("logits", *(ADAPTATION_OUTPUTS if self.adapts else ()))

    @property
    def widths(self) -> list[int]:
        """How many statistics each member has."""
        return [len(member.voice_mean) for member in self.adapting]

    def forward(self, *features: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return logits (B, M, K); of members that adapt, also `ADAPTATION_OUTPUTS`."""
        inputs = dict(zip(self.names, features, strict=True))
        if self.shared is not None:
            inputs["speech_states"] = self.shared.states(inputs, self.layers)
        if self.shared_image is not None:
            inputs["spectrogram_states"] = self.shared_image(inputs)[0]
        if self.adapts:
            return self._adapted(inputs)
        logits = [_votes(member, inputs) for member in self.members]
        if not is_tracing() and len({values.shape[2] for values in logits}) > 1:
            raise ValueError(f"members of {[v.shape[2] for v in logits]} classes; all must have the same")
        return torch.cat(logits, dim=1)

    def _adapted(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        if self.speech is not None and "speech_states" not in inputs:
            inputs["speech_states"] = self.speech.states(inputs, self.layers)
        votes, statistics = zip(*(member.heard(inputs) for member in self.adapting), strict=True)
        offsets = torch.split(inputs[OFFSET], self.widths)
        pairs = list(zip(self.adapting, offsets, strict=True))
        adapted = [m.score(x - o) for (m, o), x in zip(pairs, statistics, strict=True)]
        # Less the offset, which is 0 where the voice is asked for: a constant is no output that outlives an optimiser.
        voices = [torch.cat([m.voice_mean[None], m.voice_shifts]) - offset[None] for m, offset in pairs]
        return (
            torch.cat(votes, dim=1),
            torch.cat(statistics, dim=1),
            torch.cat(adapted, dim=1),
            torch.cat(voices, dim=1),
        )


def n_members(model: nn.Module) -> int:
    """How many members `model` is in a model file: those that share its branches are one each."""
    return int(getattr(model, "n_members", 1))


def _votes(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    votes: Callable[[dict[str, Tensor]], Tensor] | None = getattr(model, "votes", None)
    logits: Tensor = model(inputs).unsqueeze(1) if votes is None else votes(inputs)
    return logits


@torch.inference_mode()
def parity(ensemble: Ensemble, content: bytes, seconds: Sequence[Sequence[float]] | None = None) -> float:
    """Return the largest difference of a probability between torch and ONNX Runtime over several batches.

    `seconds` are the batches' item lengths; by default one of 1.3 s and a padded one of up to 3 s.
    """
    from voxaffect.runtime import onnxruntime

    ort = onnxruntime()

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for lengths in seconds or (PUBLISHED_SECONDS if _is_fixed(ensemble) else PARITY_SECONDS):
        batch = _example(lengths, published=_is_fixed(ensemble))
        batch[OFFSET] = 0.1 * torch.randn(sum(ensemble.widths), generator=torch.Generator().manual_seed(0))
        wanted = ensemble(*(batch[name] for name in ensemble.names))
        given = session.run(list(ensemble.outputs), {name: batch[name].numpy() for name in ensemble.names})
        for name, theirs, ours in zip(
            ensemble.outputs, given, wanted if isinstance(wanted, tuple) else (wanted,), strict=True
        ):
            worst = max(worst, _difference(name, torch.from_numpy(theirs), ours))
            if not worst < float("inf"):
                return float("nan")
    return worst


def _difference(output: str, given: Tensor, wanted: Tensor) -> float:
    """The largest difference: of a probability, or in parts of the largest of statistics; inf where it is none."""
    if given.shape != wanted.shape or not torch.isfinite(given).all():
        return float("inf")
    if output.endswith("logits"):
        return float((given.softmax(-1) - wanted.softmax(-1)).abs().max())
    return float((given - wanted).abs().max() / wanted.abs().max().clamp(min=1.0))


def _adaptation(ensemble: Ensemble) -> dict[str, Any]:
    """What `voxaffect.enrolling` needs besides the graph."""
    members = ensemble.adapting
    return {
        "unit": members[0].unit,
        "members": [
            {"width": width, "members": n_members(member), **member.description()}
            for member, width in zip(members, ensemble.widths, strict=True)
        ],
    }


def _trace(ensemble: Ensemble) -> onnx.ModelProto:
    """Trace the ensemble with a padded batch of two; the exporter's warnings and messages stay in here."""
    import onnx

    names = ensemble.names
    published = _is_fixed(ensemble)
    batch = _example((3.0, 3.0) if published else (2.0, 1.1), published=published)
    batch[OFFSET] = torch.zeros(sum(ensemble.widths))
    buffer = io.BytesIO()
    with torch.inference_mode(False), torch.no_grad(), _quiet():
        ensemble(*(batch[name] for name in names))  # fails in torch's words if it cannot run
        torch.onnx.export(
            ensemble,
            tuple(batch[name] for name in names),
            buffer,  # type: ignore[arg-type]
            input_names=list(names),
            output_names=list(ensemble.outputs),
            dynamic_axes={
                **{name: dict(AXES[name]) for name in names if name != OFFSET},
                **{name: {0: "batch"} for name in ensemble.outputs if name != VOICE},
            },
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load_from_string(_folded(buffer.getvalue()))
    for node in graph.graph.node:
        node.ClearField("doc_string")  # source lines with the exporting machine's paths
        node.ClearField("metadata_props")
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = len(ensemble.members)
    _declare_inputs(graph, {name: batch[name] for name in names})
    if ensemble.adapts:  # who leaves the input out asks for the plain answer
        graph.graph.initializer.append(onnx.numpy_helper.from_array(batch[OFFSET].numpy(), OFFSET))
    onnx.checker.check_model(graph)
    return graph


def _declare_inputs(graph: onnx.ModelProto, batch: Mapping[str, Tensor]) -> None:
    """Give the graph every promised input in order: tracing drops those that no member looks at."""
    from onnx import TensorProto, helper

    inputs = []
    for name, value in batch.items():
        axes = AXES.get(name, {})  # the offset has none that varies
        shape = [axes.get(axis, size) for axis, size in enumerate(value.shape)]
        kind = TensorProto.INT64 if name == "n_samples" else TensorProto.FLOAT
        inputs.append(helper.make_tensor_value_info(name, kind, shape))
    del graph.graph.input[:]
    graph.graph.input.extend(inputs)


def _folded(content: bytes) -> bytes:
    """Fold constants and drop what does nothing: ONNX Runtime's basic rewrites, which keep to standard
    operators.

    Half the nodes go, and with them a third of the time to load. The graph stays as it was, should the
    runtime have put in operators of its own.
    """
    import onnx

    from voxaffect.runtime import onnxruntime

    ort = onnxruntime()

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    with tempfile.TemporaryDirectory(prefix="voxaffect-") as folder:
        file = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(file)
        ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        graph = onnx.load(file)
    if any(node.domain for node in graph.graph.node):
        return content
    opsets = [opset for opset in graph.opset_import if not opset.domain]
    del graph.opset_import[:]
    graph.opset_import.extend(opsets)
    folded: bytes = graph.SerializeToString()
    return folded


def _describe(graph: onnx.ModelProto, description: Mapping[str, Any]) -> None:
    """Replace the exporter's signature and metadata by ours."""
    import onnx

    properties = described(description)
    graph.producer_name, graph.producer_version = "voxaffect", ""
    graph.doc_string = ""
    graph.graph.name, graph.graph.doc_string = "voxaffect", ""
    onnx.helper.set_model_props(graph, properties)


def _example(lengths: Sequence[float], *, published: bool) -> dict[str, Tensor]:
    """Random features of items of `lengths` seconds, padded with zeros; the same at each call."""
    from voxaffect.features import N_BINS, N_MFCC

    rng = np.random.default_rng(0)
    n_samples = [round(length * SAMPLE_RATE) for length in lengths]
    items: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in AXES}
    longest = max(n_samples)
    for n in n_samples:
        # A published segment has 300 frames, without the last one of the centred transform.
        n_frames, hops = n // HOP_LENGTH + (0 if published else 1), n // HOP_LENGTH
        total_frames = longest // HOP_LENGTH + (0 if published else 1)
        for name, values, total in (
            ("spectrogram", -40.0 + 15.0 * rng.standard_normal((n_frames, N_BINS)), total_frames),
            ("mfcc", 10.0 * rng.standard_normal((n_frames, N_MFCC)), total_frames),
            ("waveform", 0.1 * rng.standard_normal(n), longest),
            ("log_mel", 0.5 * rng.standard_normal((hops, 80)), longest // HOP_LENGTH),
        ):
            padding = [(0, total - len(values))] + [(0, 0)] * (values.ndim - 1)
            items[name].append(np.pad(values, padding).astype(np.float32))
    batch = {name: torch.from_numpy(np.stack(values)) for name, values in items.items() if values}
    batch["n_samples"] = torch.tensor(n_samples)
    return batch


def _inputs(model: nn.Module) -> tuple[str, ...]:
    names = model.inputs
    assert isinstance(names, tuple)
    return names


def _is_fixed(ensemble: Ensemble) -> bool:
    """Whether a member takes only the published segments of 3 s."""
    return any(
        getattr(getattr(member, "options", None), "wiring", "") == "published" for member in ensemble.members
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's warnings and log records to itself: what they fear, the parity check tests."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(level)
