"""Memory while reading a pickle of several gigabytes, against the size of its largest speaker.

    python benchmarks/pickle_memory.py [--gigabytes 5] [--folder DIR] [--python] [--json]

A pickle in the published layout is written to DIR (default: the temporary folder) and deleted afterwards; it needs
that much room. Each way of reading runs in a process of its own, whose peak resident memory is read at its end, with
the pages of mapped files counted. `--python` also loads it as Python's own `pickle.load` does, which takes the memory
of the whole file.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

SHARES = {
    "1M": 0.8,
    "1F": 0.9,
    "2M": 0.85,
    "2F": 0.9,
    "3M": 1.0,
    "3F": 1.0,
    "4M": 0.9,
    "4F": 0.95,
    "5M": 1.2,
    "5F": 1.5,
}
"""How much of the pickle each speaker has, relative to the others; as in IEMOCAP, 5F and 5M have the most."""
SEGMENT_BYTES = 4 * (200 * 300 + 300 * 40 + 48_000)
WAYS = ("scan", "speakers", "utterances", "python")


def write_pickle(path: Path, n_bytes: int) -> int:
    """Write a pickle of about `n_bytes`, never more than one speaker of it in memory; the largest speaker's bytes."""
    largest = 0
    with path.open("wb") as file:
        file.write(b"\x80\x03}")  # protocol 3, an empty dict
        for speaker, share in SHARES.items():
            n = max(round(n_bytes * share / sum(SHARES.values()) / SEGMENT_BYTES), 2)
            largest = max(largest, n * SEGMENT_BYTES)
            file.write(_fragment(speaker))
            file.write(_fragment(_speaker(n)))
            file.write(b"s")  # put it into the dict
        file.write(b".")
    return largest


def _fragment(value: object) -> memoryview:
    """What pushes `value`: its pickle without head and end. Without a memo, fragments can follow each other."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, 3)
    pickler.fast = True
    pickler.dump(value)
    return buffer.getbuffer()[2:-1]


def _speaker(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    seg_num = np.array([2] * (n // 2) + [1] * (n % 2), np.int8)
    labels = rng.integers(0, 4, len(seg_num)).astype(np.int8)
    arrays: dict[str, np.ndarray] = defaultdict(None, {})
    for name, shape in (("seg_spec", (1, 200, 300)), ("seg_mfcc", (300, 40)), ("seg_audio", (48_000,))):
        row = rng.standard_normal(shape, np.float32)
        arrays[name] = np.repeat(row[np.newaxis], n, axis=0)
    arrays |= {"seg_label": np.repeat(labels, seg_num), "seg_num": seg_num, "utter_label": labels}
    return arrays


def read(way: str, path: Path) -> int:
    """Read the pickle in one way; how many segments were seen."""
    if way == "python":
        with path.open("rb") as file:
            return sum(len(speaker["seg_label"]) for speaker in pickle.load(file).values())
    from voxaffect import corpora
    from voxaffect.corpora.iemocap_pickle import read_pickle, segments

    if way == "scan":
        return sum(len(speaker.labels) for speaker in read_pickle(path).values())
    if way == "speakers":  # one after the other: nothing of the last is held while the next is read
        return sum(
            _touched([array.read() for array in (speaker.spec, speaker.mfcc, speaker.audio)])
            for speaker in read_pickle(path).values()
        )
    return sum(len(list(segments(utterance))) for utterance in corpora.read("iemocap-pickle", path))


def _touched(arrays: list[np.ndarray]) -> int:
    """The segments of one speaker, every page of whose arrays is looked at."""
    assert all(np.isfinite(array[:, ..., ::512]).all() for array in arrays)
    return len(arrays[0])


def peak_bytes() -> int:
    """The most memory that this process has had resident, mapped files included."""
    try:  # ru_maxrss begins with the memory of the process that started this one
        status = Path("/proc/self/status").read_text()
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Write the pickle, read it in each way, print what each took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=5.0, help="size of the pickle (default: 5)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where to write it")
    parser.add_argument("--python", action="store_true", help="load it with pickle.load as well")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--read", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        started = time.perf_counter()
        n = read(args.read[0], Path(args.read[1]))
        print(json.dumps({"segments": n, "seconds": time.perf_counter() - started, "peak": peak_bytes()}))
        return
    n_bytes = round(args.gigabytes * 1e9)
    if shutil.disk_usage(args.folder).free < 1.1 * n_bytes:
        sys.exit(f"{args.folder} has no room for {args.gigabytes:g} GB")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = Path(folder) / "features.pkl"
        largest = write_pickle(path, n_bytes)
        rows = {}
        for way in WAYS if args.python else WAYS[:-1]:
            command = [sys.executable, __file__, "--read", way, str(path)]
            rows[way] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        size = path.stat().st_size
    if args.json:
        print(json.dumps({"size": size, "largest_speaker": largest, "ways": rows}, indent=2))
        return
    print(f"pickle {size / 1e9:.2f} GB, largest speaker {largest / 1e6:.0f} MB")
    for way, row in rows.items():
        peak, seconds = row["peak"], row["seconds"]
        print(
            f"{way:10} {row['segments']} segments, {seconds:5.1f} s, peak {peak / 1e6:6.0f} MB: "
            f"{peak / largest:.2f} x the largest speaker"
        )


if __name__ == "__main__":
    main()
