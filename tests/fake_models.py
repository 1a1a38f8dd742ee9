"""A tiny ONNX model of known answer, and sounds to go with it.

It hears nothing but the mean absolute level of a window: the label whose centre is nearest wins. A square
wave of level 0.05 is sad, 0.2 neutral, 0.4 happy and 0.6 angry, whatever its length, padding or batch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from voxaffect.modelfile import DIGEST_KEY, EMPTY_DIGEST, METADATA_KEY, SCHEMA, write_digest

LEVELS = {"angry": 0.6, "happy": 0.4, "neutral": 0.2, "sad": 0.05}
SHARPNESS = 200.0
"""Logits are -200 (level - centre)^2: at a centre, the nearest other is at least 4.5 below."""
RATE = 16_000


def square(level: float, seconds: float, rate: int = RATE, hz: float = 100.0) -> np.ndarray:
    """A square wave (N,) float32 whose absolute value is `level` everywhere."""
    t = np.arange(round(seconds * rate))
    return np.where((t * hz / rate) % 1 < 0.5, level, -level).astype(np.float32)


def silence(seconds: float, rate: int = RATE) -> np.ndarray:
    """Digital silence (N,)."""
    return np.zeros(round(seconds * rate), dtype=np.float32)


def write_wav(path: Path, *parts: np.ndarray, rate: int = RATE) -> Path:
    """A 16-bit WAV of `parts` one after the other; (N,) or (N, C)."""
    soundfile.write(path, np.concatenate(parts), rate, subtype="PCM_16")
    return path


def expected_logits(level: float, shift: float = 0.0) -> np.ndarray:
    """The fake model's logits (K,) for a window of `level`, by the formula."""
    return -SHARPNESS * (level - np.array(list(LEVELS.values())) - shift) ** 2


def metadata(**changes: Any) -> dict[str, Any]:
    """What the fake model says of itself; a value of None takes the key away."""
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "name": "level",
        "version": "1.0",
        "labels": list(LEVELS),
        "members": 1,
        "vote": "majority",
        "licence": "CC0-1.0",
        "inputs": ["waveform"],
        "features": {"preset": "native"},
        "calibration": {"temperature": 1.0},
        "uncertain_below": 0.0,
        "card": "# level\n\nHears the level, nothing else.",
    }
    values.update(changes)
    return {key: value for key, value in values.items() if value is not None}


def model_bytes(
    shifts: Sequence[float] = (0.0,), *, divide_by_zero: bool = False, external: bool = False, **changes: Any
) -> bytes:
    """The model file: one member for each of `shifts`, by which its centres are moved."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    centres = np.array([[[c + shift for c in LEVELS.values()] for shift in shifts]], np.float32)  # (1, M, K)
    constants = {
        "centres": centres,
        "sharpness": np.array(-SHARPNESS, np.float32),
        "last": np.array([1], np.int64),
        "to_member_and_class": np.array([1, 2], np.int64),
        "zero": np.array(0.0 if divide_by_zero else 1.0, np.float32),
    }
    nodes = [
        helper.make_node("Abs", ["waveform"], ["absolute"]),
        helper.make_node("ReduceSum", ["absolute", "last"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["n_samples"], ["count"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["sum", "count"], ["level"]),
        helper.make_node("Unsqueeze", ["level", "to_member_and_class"], ["wide"]),
        helper.make_node("Sub", ["wide", "centres"], ["distance"]),
        helper.make_node("Mul", ["distance", "distance"], ["squared"]),
        helper.make_node("Mul", ["squared", "sharpness"], ["finite"]),
        helper.make_node("Div", ["finite", "zero"], ["logits"]),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    if external:
        tensors[0].ClearField("raw_data")
        tensors[0].data_location = TensorProto.EXTERNAL
        tensors[0].external_data.add(key="location", value="secret.bin")
    graph = helper.make_graph(
        nodes,
        "level",
        [
            helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "samples"]),
            helper.make_tensor_value_info("n_samples", TensorProto.INT64, ["batch"]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(shifts), len(LEVELS)])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    said = metadata(**{"members": len(shifts), **changes})
    helper.set_model_props(model, {METADATA_KEY: json.dumps(said), DIGEST_KEY: EMPTY_DIGEST})
    assert isinstance(model, onnx.ModelProto)
    return write_digest(model.SerializeToString())


def write_model(path: Path, shifts: Sequence[float] = (0.0,), **changes: Any) -> Path:
    """`model_bytes` in a file."""
    path.write_bytes(model_bytes(shifts, **changes))
    return path
