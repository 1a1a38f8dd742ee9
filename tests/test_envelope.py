"""The outline of a recording against NumPy over all samples at once, and its memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fake_models import RATE, silence, square, write_wav
from voxaffect.envelope import read_envelope
from voxaffect.errors import AudioError


@pytest.mark.parametrize("n_columns", [7, 100, 1600])
def test_each_column_has_the_extremes_of_its_samples(n_columns: int) -> None:
    rng = np.random.default_rng(0)
    samples = rng.uniform(-1, 1, (5 * RATE + 123, 2)).astype(np.float32)
    seconds = len(samples) / RATE
    envelope = read_envelope((samples, RATE), 0.0, seconds, channels="split", n_columns=n_columns)
    columns = np.minimum(np.arange(len(samples)) / (seconds * RATE / n_columns), n_columns - 1).astype(int)
    for column in range(n_columns):
        own = samples[columns == column]
        np.testing.assert_array_equal(envelope.low[:, column], own.min(axis=0))
        np.testing.assert_array_equal(envelope.high[:, column], own.max(axis=0))


def test_the_channels_are_those_that_were_judged() -> None:
    both = np.stack([square(0.5, 1.0), -square(0.25, 1.0)], axis=1)
    mix, one, split = (
        read_envelope((both, RATE), 0.0, 1.0, channels=c, n_columns=4) for c in ("mix", 1, "split")
    )
    assert (mix.high.shape, one.high.shape, split.high.shape) == ((1, 4), (1, 4), (2, 4))
    assert mix.high.max() == pytest.approx(0.125)
    assert one.high.max() == pytest.approx(0.25)
    assert split.high.max(axis=1) == pytest.approx([0.5, 0.25])


def test_a_stretch_is_read_alone_and_what_is_missing_is_still(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", silence(1), square(0.5, 1.0))
    stretch = read_envelope(path, 1.0, 3.0, n_columns=4)
    assert stretch.high[0] == pytest.approx([0.5, 0.5, 0, 0], abs=1e-3)
    assert (stretch.start, stretch.end) == (1.0, 3.0)


def test_fewer_samples_than_columns_leave_no_holes() -> None:
    envelope = read_envelope((np.array([0.1, 0.2, 0.3, 0.4], np.float32), RATE), 0.0, 4 / RATE, n_columns=9)
    assert envelope.low[0] == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.4])


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(AudioError, match="not_found"):
        read_envelope("gone.wav", 0.0, 1.0)
    with pytest.raises(ValueError, match=r"start 1\.0 s and end 1\.0 s; expected 0 <= start < end"):
        read_envelope((silence(1), RATE), 1.0, 1.0)


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "long.wav", *[square(0.4, 10.0)] * 60)

    def peak(seconds: float) -> int:
        tracemalloc.start()
        read_envelope(path, 0.0, seconds)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    assert peak(600.0) < peak(30.0) + 500_000  # all samples would be 38 MB
