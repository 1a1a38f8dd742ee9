"""Frames that windows of a signal have in common are computed once, and no bit of them differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from voxaffect import extraction, spectral
from voxaffect.features import NATIVE, PUBLISHED, FeatureOptions, segments, segments_of_all
from voxaffect.overlap import Overlap

RATE = 16_000


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def check(
    signals: list[np.ndarray],
    spans: list[tuple[int, int, int]],
    options: FeatureOptions = NATIVE,
    inputs: tuple[str, ...] = ("mfcc",),
    at_once: int = 100,
) -> None:
    """The stretches `spans` (signal, start, stop) are what they are by themselves, `at_once` in each call."""
    overlaps = [Overlap() for _ in signals]
    for k in range(0, len(spans), at_once):
        part = spans[k : k + at_once]
        found = segments_of_all(
            [signals[i][start:stop] for i, start, stop in part],
            options,
            inputs,
            [(overlaps[i], start) for i, start, _ in part],
        )
        for (i, start, stop), items in zip(part, found, strict=True):
            alone = segments(signals[i][start:stop], options, inputs)
            assert len(items) == len(alone)
            for item, wanted in zip(items, alone, strict=True):
                assert list(item) == list(wanted)
                for name in item:
                    np.testing.assert_array_equal(item[name], wanted[name])


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many blocks of frames were computed in each pass."""
    counts: list[int] = []

    def counted(*arguments: Any, **named: Any) -> Iterator[Any]:
        counts.append(0)
        for each in spectral.power_blocks(*arguments, **named):
            counts[-1] += 1
            yield each

    monkeypatch.setattr(extraction, "power_blocks", counted)
    return counts


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_windows_of_streams_share_their_frames(at_once: int, blocks: list[int]) -> None:
    signals = [noise(9.0, seed) for seed in range(3)]
    spans = [(i, k * RATE, (k + 3) * RATE) for k in range(7) for i in range(3)]
    check(signals, spans, at_once=at_once)
    assert min(blocks) == 7  # of 13: six are known from the window before
    shared = [n for n in blocks if n < 13]
    assert len(shared) == (6 if at_once > 1 else 18)


def test_any_stretches_in_any_order_are_right() -> None:
    rng = np.random.default_rng(1)
    signals = [noise(8.0, seed) for seed in range(2)]
    spans = []
    for _ in range(60):
        start = int(rng.integers(0, 10)) * (RATE // 4) + int(rng.choice([0, 0, 0, 1, 160]))
        length = int(rng.choice([3 * RATE, 3 * RATE, 2 * RATE, 5000, 400, 1]))
        spans.append((int(rng.integers(2)), start, start + length))
    check(signals, spans, at_once=4)


def test_a_stretch_of_several_windows_shares_within_itself(blocks: list[int]) -> None:
    check([noise(7.0)], [(0, 0, 7 * RATE)])
    assert blocks[0] == 13
    assert 7 in blocks


@pytest.mark.parametrize(
    ("options", "inputs"),
    [
        (NATIVE, ("spectrogram", "mfcc")),
        (NATIVE, ("waveform", "log_mel")),
        (NATIVE, ("mfcc", "waveform", "log_mel")),
        (replace(NATIVE, pre_emphasis=0.97), ("mfcc",)),
        (replace(NATIVE, reference="peak", floor=-80.0), ("mfcc",)),
        (replace(NATIVE, mfcc_n_fft=512, mfcc_taper_length=400), ("mfcc",)),
        (PUBLISHED, ("spectrogram", "mfcc")),
    ],
)
def test_what_depends_on_the_whole_window_is_not_shared(
    options: FeatureOptions, inputs: tuple[str, ...]
) -> None:
    check([noise(6.0)], [(0, k * RATE, (k + 3) * RATE) for k in range(4)], options, inputs)


def test_what_cannot_be_read_leaves_what_is_known(blocks: list[int]) -> None:
    x = noise(5.0)
    overlap = Overlap()
    segments_of_all([x[: 3 * RATE]], NATIVE, ("mfcc",), [(overlap, 0)])
    with pytest.raises(ValueError, match="finite"):
        segments_of_all([x[: 3 * RATE] * np.nan], NATIVE, ("mfcc",), [(overlap, RATE)])
    assert (overlap.start, overlap.n_samples) == (0, 3 * RATE)


def test_blocks_that_see_beyond_the_ends_are_no_inner_ones() -> None:
    stft = spectral.Stft(800, "hamming", 640)
    assert stft.reach == 320
    assert stft.inner_blocks(3 * RATE) == range(1, 11)
    assert list(stft.inner_blocks(1000)) == []
    block = spectral.BLOCK_FRAMES * spectral.HOP_LENGTH
    assert stft.inner_blocks(2 * block + 160) == range(1, 2)  # its last frame ends with the last sample
    assert list(stft.inner_blocks(2 * block + 159)) == []
