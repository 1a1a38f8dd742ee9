"""Spectrogram, MFCC, waveform and log-mel of speech: one implementation for training and for use.

Two presets. `published` is the co-attention method's own recipe with its traps, so that its paper can be
compared; `native` is ours: loudness kept, silence where silence is, nothing padded, and a window's features
depend on that window's samples alone, so that a stream and a file give the same answer.

Arrays are (time, feature), float32: spectrogram (T, 200) dB, mfcc (T, 40), waveform (N,), log_mel (N //
160, 80), with T = 1 + N // 160 frames of N samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from voxaffect.extraction import Shared, extracted, n_frames
from voxaffect.feature_options import (
    N_BINS,
    N_MFCC,
    NATIVE,
    PRESETS,
    PUBLISHED,
    SEGMENT_FRAMES,
    SEGMENT_SAMPLES,
    FeatureOptions,
    one_of,
    window_samples,
)
from voxaffect.overlap import Overlap, Place
from voxaffect.spectral import HOP_LENGTH, SAMPLE_RATE, Floats

__all__ = [
    "HOP_LENGTH",
    "INPUTS",
    "NATIVE",
    "N_BINS",
    "N_MFCC",
    "PRESETS",
    "PUBLISHED",
    "SAMPLE_RATE",
    "SEGMENT_FRAMES",
    "SEGMENT_SAMPLES",
    "FeatureOptions",
    "collate",
    "extract",
    "n_frames",
    "segment_spans",
    "segments",
    "segments_of_all",
    "windows",
]

INPUTS = ("spectrogram", "mfcc", "waveform", "log_mel")
"""What can be computed, in the order in which results hold it."""

TOGETHER = 8
"""Stretches whose features are computed together: more would leave the processor's cache."""

_LARGEST_SAMPLE = 1e6  # full scale is 1; far beyond it the squares leave single precision


def extract(
    waveform: ArrayLike, options: FeatureOptions, inputs: Sequence[str] = INPUTS
) -> dict[str, Floats]:
    """The features of the whole stretch as one; of `inputs` those named, and nothing else is computed.

    waveform: (N,) at 16 kHz, floating point, full scale 1, N >= 1.
    Returns: spectrogram (T, 200) dB, mfcc (T, 40), waveform (N,) after pre-emphasis (without it, this may
    be the memory that was given), log_mel (N // 160, 80): Whisper's input, always of the plain waveform.

    Raises: ValueError if the waveform is empty, not 1-D, not floating point, not finite or beyond 1e6, or
    if an input is unknown.

    Source: Zou et al., ICASSP 2022 (spectrogram, MFCC); Radford et al., 2022 (log_mel).

    >>> features = extract(np.zeros(16_000, np.float32), NATIVE, inputs=("spectrogram", "mfcc"))
    >>> {name: values.shape for name, values in features.items()}
    {'spectrogram': (101, 200), 'mfcc': (101, 40)}
    """
    return extracted([_checked(waveform)], options, _checked_inputs(inputs), Shared())[0]


def segments(
    waveform: ArrayLike, options: FeatureOptions, inputs: Sequence[str] = INPUTS
) -> list[dict[str, NDArray[Any]]]:
    """The items that a model sees, in time order; `segment_spans` says which samples each is of.

    `windows`: one item per window, each extracted from its own samples alone.

    `padded`: the published segments of 300 frames and 48 000 samples. References are the whole utterance's;
    the last segment's spectrogram and MFCC end in zeros (0 dB: the peak); its waveform *begins* with zeros,
    and each waveform is brought to zero mean and unit variance, padding included. An utterance of exactly
    n x 3 s has one more segment, of one frame and no sound. log_mel, unknown to that method, is of the plain
    samples and ends in silence.

    Each item also has `n_samples` (int64 scalar): the real samples in a window; 48 000 in a padded segment,
    whose padding is part of the method. Raises as `extract`.
    """
    return segments_of_all([waveform], options, inputs)[0]


def segments_of_all(
    waveforms: Sequence[ArrayLike],
    options: FeatureOptions,
    inputs: Sequence[str] = INPUTS,
    places: Sequence[Place] = (),
) -> list[list[dict[str, NDArray[Any]]]]:
    """`segments` of each of `waveforms`, bit by bit. Windows of the same length are computed together, which is faster.

    `places` may say of each waveform where it stands in what signal: frames that it has in common with the stretch of
    that signal before it are then not computed again. Raises as `extract`.
    """
    plain = [_checked(waveform) for waveform in waveforms]
    wanted = _checked_inputs(inputs)
    if options.segmentation == "padded":
        return [_padded_segments(each, options, wanted) for each in plain]
    spans = [(i, *span) for i, each in enumerate(plain) for span in segment_spans(len(each), options)]
    shared = bool(places) and _shares(options, wanted)
    items: dict[int, dict[str, NDArray[Any]]] = {}
    left = list(range(len(spans)))
    while left:  # of one signal a stretch after the other, of different signals together
        taken: set[Overlap] = set()
        alike: dict[tuple[int, range, int], list[int]] = {}
        for at in left:
            i, start, stop = spans[at]
            common, shift = range(0), 0
            if shared:
                overlap, first = places[i]
                if overlap in taken:
                    continue
                taken.add(overlap)
                common, shift = overlap.common(first + start, stop - start, options.mfcc_stft)
            alike.setdefault((stop - start, common, shift), []).append(at)
        for (n_samples, common, shift), group in alike.items():
            for part in (group[k : k + TOGETHER] for k in range(0, len(group), TOGETHER)):
                cut = [plain[i][start:stop] for i, start, stop in (spans[at] for at in part)]
                before = [places[spans[at][0]][0].mfcc for at in part] if common else []
                found = extracted(cut, options, wanted, Shared(common, shift, before))
                for at, item in zip(part, found, strict=True):
                    items[at] = {**item, "n_samples": np.array(n_samples, np.int64)}
                    if shared:
                        overlap, first = places[spans[at][0]]
                        overlap.start, overlap.n_samples = first + spans[at][1], n_samples
                        overlap.mfcc = item["mfcc"]
        left = [at for at in left if at not in items]
    result: list[list[dict[str, NDArray[Any]]]] = [[] for _ in plain]
    for at, (i, _, _) in enumerate(spans):
        result[i].append(items[at])
    return result


def _shares(options: FeatureOptions, wanted: Sequence[str]) -> bool:
    """Whether a frame of the MFCC is the same in every stretch that holds it, and nothing else needs its spectrum."""
    own = options.reference != "peak" and options.pre_emphasis == 0.0
    return own and "mfcc" in wanted and "spectrogram" not in wanted


def segment_spans(n_samples: int, options: FeatureOptions) -> list[tuple[int, int]]:
    """Which samples each item of `segments` is of: (start, stop), the same count and order.

    Raises: ValueError if there are no samples.
    """
    if options.segmentation == "windows":
        return windows(n_samples, options.window, options.hop)
    if n_samples < 1:
        raise ValueError(f"there must be at least one sample, got {n_samples}")
    n_segments = -(-n_frames(n_samples) // SEGMENT_FRAMES)  # of the frames: hence the extra one at n x 3 s
    edges = [min(i * SEGMENT_SAMPLES, n_samples) for i in range(n_segments + 1)]
    return list(pairwise(edges))


def windows(n_samples: int, window_s: float, hop_s: float) -> list[tuple[int, int]]:
    """Sample spans (start, stop) of windows of `window_s` seconds, one each `hop_s`, that cover everything.

    One span if everything fits, or if `window_s` is 0. Otherwise all have full length, and the last is
    shifted back so that it ends at the end.

    Raises: ValueError if there are no samples, or window and hop leave gaps or stand still.

    >>> windows(80_000, 3.0, 1.0)
    [(0, 48000), (16000, 64000), (32000, 80000)]
    >>> windows(50_000, 3.0, 1.0)
    [(0, 48000), (2000, 50000)]
    """
    window, hop = window_samples(window_s, hop_s)
    if n_samples < 1:
        raise ValueError(f"there must be at least one sample, got {n_samples}")
    if window == 0 or n_samples <= window:
        return [(0, n_samples)]
    starts = list(range(0, n_samples - window + 1, hop))
    if starts[-1] + window < n_samples:
        starts.append(n_samples - window)
    return [(start, start + window) for start in starts]


def collate(items: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Stack items into a batch: (B, T, F), (B, N); what is shorter ends in zeros, scalars become (B,).

    Real lengths are told by `n_samples` alone: a zero in a spectrogram is 0 dB, no silence.

    Raises: ValueError if there are no items, or they do not have the same names and feature sizes.
    """
    if not items:
        raise ValueError("a batch needs at least one item")
    batch: dict[str, NDArray[Any]] = {}
    for i, item in enumerate(items):
        if item.keys() != items[0].keys():
            raise ValueError(f"item 0 has {sorted(items[0])}, item {i} has {sorted(item)}")
    for name in items[0]:
        arrays = [np.asarray(item[name]) for item in items]
        for i, array in enumerate(arrays):
            if array.ndim != arrays[0].ndim or array.shape[1:] != arrays[0].shape[1:]:
                raise ValueError(f"{name} is {arrays[0].shape} in item 0 and {array.shape} in item {i}")
        if arrays[0].ndim == 0:
            batch[name] = np.stack(arrays)
        else:
            shape = (len(arrays), max(len(array) for array in arrays), *arrays[0].shape[1:])
            batch[name] = padded = np.zeros(shape, np.result_type(*arrays))
            for i, array in enumerate(arrays):
                padded[i, : len(array)] = array
    return batch


def _padded_segments(
    plain: Floats, options: FeatureOptions, wanted: Sequence[str]
) -> list[dict[str, NDArray[Any]]]:
    whole = extract(plain, options, [name for name in wanted if name != "log_mel"])
    items: list[dict[str, NDArray[Any]]] = []
    for i, (start, stop) in enumerate(segment_spans(len(plain), options)):
        frames = slice(i * SEGMENT_FRAMES, (i + 1) * SEGMENT_FRAMES)
        item: dict[str, NDArray[Any]] = {}
        for name in wanted:
            if name == "waveform":
                padded = np.zeros(SEGMENT_SAMPLES, np.float32)
                padded[SEGMENT_SAMPLES - (stop - start) :] = whole[name][start:stop]
                item[name] = _standardised(padded)
            elif name == "log_mel":
                item[name] = extract(_padded(plain[start:stop], SEGMENT_SAMPLES), options, [name])[name]
            else:
                item[name] = _padded(whole[name][frames], SEGMENT_FRAMES)
        item["n_samples"] = np.array(SEGMENT_SAMPLES, np.int64)
        items.append(item)
    return items


def _standardised(signal: Floats) -> Floats:
    """Zero mean and unit variance; the constant, wav2vec2's own, leaves an all-zero segment at zero."""
    standardised: Floats = (signal - signal.mean()) / np.sqrt(signal.var() + np.float32(1e-7))
    return standardised


def _padded(array: NDArray[Any], length: int) -> NDArray[Any]:
    """The array with zeros at the back, to `length` along its first axis; a copy."""
    padded = np.zeros((length, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded


def _checked(waveform: ArrayLike) -> Floats:
    samples = np.asarray(waveform)
    if samples.ndim != 1:
        raise ValueError(f"a waveform must be 1-D (N,), got shape {samples.shape}; mix the channels first")
    if samples.size == 0:
        raise ValueError("a waveform must have at least one sample, got none")
    if samples.dtype.kind != "f":
        raise ValueError(f"a waveform must be floating point with full scale 1, got {samples.dtype}")
    loudest = max(float(samples.max()), -float(samples.min()))
    if not loudest <= _LARGEST_SAMPLE:  # written so that NaN is caught too
        raise ValueError(f"waveform samples must be finite and at most {_LARGEST_SAMPLE:g}, got {loudest}")
    return np.ascontiguousarray(samples, np.float32)


def _checked_inputs(inputs: Sequence[str]) -> tuple[str, ...]:
    for name in inputs:
        one_of("input", name, INPUTS)
    return tuple(name for name in INPUTS if name in inputs)
