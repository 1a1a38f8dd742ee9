"""The benchmark of the pickle's memory measures what it says, and what it measures stays small."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from voxaffect.corpora.iemocap_pickle import read_pickle

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "pickle_memory.py"


def load() -> ModuleType:
    spec = spec_from_file_location("pickle_memory", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


benchmark = load()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    path = tmp_path_factory.mktemp("large") / "x.pkl"
    return path, benchmark.write_pickle(path, 60_000_000)


def test_the_pickle_is_one_that_python_loads_and_we_read_alike(written: tuple[Path, int]) -> None:
    path, largest = written
    loaded, read = pickle.loads(path.read_bytes()), read_pickle(path)
    assert list(loaded) == list(read) == list(benchmark.SHARES)
    for name, speaker in read.items():
        np.testing.assert_array_equal(speaker.spec.read(), loaded[name]["seg_spec"])
        np.testing.assert_array_equal(speaker.seg_num, loaded[name]["seg_num"])
    assert max(speaker.n_bytes for speaker in read.values()) == largest
    assert 50_000_000 < path.stat().st_size < 70_000_000


def test_reading_utterance_by_utterance_takes_far_less_than_the_file(written: tuple[Path, int]) -> None:
    path, _ = written
    peaks = {}
    for way in ("scan", "utterances", "python"):
        command = [sys.executable, str(BENCHMARK), "--read", way, str(path)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        assert row["segments"] == sum(len(s.labels) for s in read_pickle(path).values())
        peaks[way] = row["peak"]
    assert peaks["utterances"] - peaks["scan"] < 12_000_000  # a segment is half a megabyte
    assert peaks["python"] - peaks["scan"] > 40_000_000  # the measure can fail: this one holds the file
