"""What the benchmarks of the server share: a server as a process, its CPU and memory, percentiles."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CLIPS = ROOT / "src" / "voxaffect" / "clips"
BUSY = tuple(
    f"voxaffect_{name} " for name in ("requests_active", "streams", "upload_bytes", "windows_waiting")
)
"""Gauges that are 0 at rest."""
REST = 5
"""Looks in a row, 0.2 s apart, that find the same."""
PLACE = re.compile(r"http://127\.0\.0\.1:(\d+)")


class Server:
    """A server that was started for a measurement."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    @property
    def pids(self) -> list[int]:
        """The server and its workers."""
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        children = [int(pid) for t in threads for pid in (t / "children").read_text().split()]
        return [self.process.pid, *children]

    def cpu_seconds(self) -> float:
        """CPU time of the server and its workers so far."""
        total = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        """Memory of the server and its workers."""
        return sum(self.resident_each_mb())

    def resident_each_mb(self) -> list[float]:
        """Memory of the server and of each of its workers."""
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids]
        return [n * os.sysconf("SC_PAGE_SIZE") / 1e6 for n in pages]

    def open_files(self) -> int:
        """Open files of the server and its workers."""
        return sum(1 for pid in self.pids for _ in Path(f"/proc/{pid}/fd").iterdir())

    def wait_idle(self, seconds: float = 60.0) -> None:
        """Return once no request is open, and nothing has started or ended for a while; RuntimeError if it stays so."""
        end, before, at_rest = time.monotonic() + seconds, None, 0
        while at_rest < REST:
            if time.monotonic() > end:
                raise RuntimeError("the server does not come to rest")
            time.sleep(0.2)
            state = (self.pids, self.open_files())
            at_rest = at_rest + 1 if state == before and not self._busy() else 0
            before = state

    def _busy(self) -> bool:
        with urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return any(line.startswith(BUSY) and not line.endswith(" 0") for line in lines)

    def stop(self, timeout: float = 60.0) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


@contextmanager
def running(*arguments: str) -> Iterator[Server]:
    """A server on a free port, ready to answer."""
    process = subprocess.Popen(
        [sys.executable, "-m", "voxaffect", "serve", "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert process.stderr is not None
    try:
        found = None
        while found is None:
            line = process.stderr.readline().decode()
            if not line:
                raise RuntimeError("the server did not start")
            found = PLACE.search(line)
        yield Server(process, int(found.group(1)))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


def voice(seconds: float, rate: int = 16_000) -> np.ndarray:
    """Synthetic speech with hardly a pause (N,), from the bundled clips."""
    import soundfile
    import soxr

    parts = []
    for name in ("slow.flac", "lively.ogg", "forceful.mp3"):
        samples, own = soundfile.read(CLIPS / name, dtype="float32")
        parts.append(soxr.resample(samples, own, rate))
    once = np.concatenate(parts)
    return np.tile(once, int(np.ceil(seconds * rate / len(once))))[: round(seconds * rate)]


def percentile(values: Sequence[float], q: float) -> float:
    """The q-th percentile; NaN of nothing."""
    return float(np.percentile(values, q)) if len(values) else float("nan")


def own_share(before: tuple[float, float]) -> float:
    """This process's CPU over wall time since `before`, which is (process_time, perf_counter)."""
    return (time.process_time() - before[0]) / (time.perf_counter() - before[1])


def report(figures: dict[str, object], as_json: bool) -> None:
    """Print what was measured."""
    if as_json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:<58}{value:>12.2f}" if isinstance(value, float) else f"{name:<58}{value!s:>12}")
