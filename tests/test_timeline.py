"""Windows of a stream are those of the whole, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from voxaffect.features import windows
from voxaffect.timeline import Windows


@pytest.mark.parametrize("n_samples", [1, 4799, 48_000, 48_001, 64_000, 79_999, 80_000, 200_123])
@pytest.mark.parametrize(("window", "hop"), [(3.0, 1.0), (3.0, 3.0), (2.0, 0.7)])
@pytest.mark.parametrize("block", [1_000, 32_000, 500_000])
def test_a_stream_has_the_windows_of_the_whole(n_samples: int, window: float, hop: float, block: int) -> None:
    samples = np.arange(2 * n_samples, dtype=np.float32).reshape(n_samples, 2)
    stream = Windows(round(window * 16_000), round(hop * 16_000))
    found = []
    for start in range(0, n_samples, block):
        found += [(at, values.copy()) for at, values in stream.feed(samples[start : start + block])]
    found += [(at, values.copy()) for at, values in stream.finish()]
    assert stream.n_samples == n_samples
    assert [(at, at + len(values)) for at, values in found] == windows(n_samples, window, hop)
    for at, values in found:
        np.testing.assert_array_equal(values, samples[at : at + len(values)])


def test_memory_does_not_grow_with_the_length() -> None:
    stream = Windows(48_000, 16_000)
    block = np.zeros((32_000, 1), np.float32)
    sizes = set()
    for _ in range(200):
        list(stream.feed(block))
        sizes.add(stream._buffer.nbytes)
    assert max(sizes) <= 4 * (2 * 48_000 + 32_000)


def test_no_audio_has_no_windows() -> None:
    assert list(Windows(10, 5).finish()) == []


def test_windows_without_gaps_only() -> None:
    with pytest.raises(ValueError, match="hop is 11 and window 10 samples; expected 1 <= hop <= window"):
        Windows(10, 11)


def test_the_number_of_channels_stays() -> None:
    stream = Windows(10, 5)
    list(stream.feed(np.zeros((3, 1), np.float32)))
    with pytest.raises(ValueError, match="a block has 2 channels after 1"):
        list(stream.feed(np.zeros((3, 2), np.float32)))
