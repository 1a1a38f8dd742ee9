"""Counters for Prometheus, in its text format 0.0.4. No label holds anything that a client sent."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters, histograms and gauges of one server; `text` is what Prometheus reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._help: dict[str, str] = {}
        self._counts: dict[str, dict[Labels, float]] = defaultdict(lambda: defaultdict(float))
        self._times: dict[str, dict[Labels, list[float]]] = defaultdict(dict)
        self._gauges: dict[str, Callable[[], float]] = {}

    def count(self, name: str, meaning: str, by: float = 1.0, /, **labels: str) -> None:
        """Add `by` to the counter `name`."""
        with self._lock:
            self._help[name] = meaning
            self._counts[name][tuple(sorted(labels.items()))] += by

    def time(self, name: str, meaning: str, seconds: float, /, **labels: str) -> None:
        """Put `seconds` into the histogram `name`."""
        with self._lock:
            self._help[name] = meaning
            row = self._times[name].setdefault(
                tuple(sorted(labels.items())), [0.0] * (len(SECONDS) + 1) + [0.0]
            )
            row[bisect_left(SECONDS, seconds)] += 1
            row[-1] += seconds

    def gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Read the gauge `name` from `value` whenever it is asked for."""
        self._help[name] = meaning
        self._gauges[name] = value

    def total(self, name: str, **labels: str) -> float:
        """The counter `name` so far, over all series that have `labels`."""
        wanted = set(labels.items())
        with self._lock:
            return sum(n for series, n in self._counts[name].items() if wanted <= set(series))

    def text(self) -> str:
        """All of it."""
        gauges = {name: value() for name, value in self._gauges.items()}
        lines: list[str] = []
        with self._lock:
            for name in sorted(self._help):
                kind = "gauge" if name in gauges else "histogram" if name in self._times else "counter"
                lines += [f"# HELP {name} {self._help[name]}", f"# TYPE {name} {kind}"]
                if name in gauges:
                    lines.append(f"{name} {gauges[name]:g}")
                for series, n in sorted(self._counts[name].items()) if name in self._counts else ():
                    lines.append(f"{name}{_braces(series)} {n:.10g}")
                for series, row in sorted(self._times[name].items()) if name in self._times else ():
                    lines += _histogram(name, series, row)
        return "\n".join(lines) + "\n"


def _histogram(name: str, series: Labels, row: list[float]) -> list[str]:
    lines, total = [], 0.0
    for bound, n in zip([*map(str, SECONDS), "+Inf"], row[:-1], strict=True):
        total += n
        lines.append(f"{name}_bucket{_braces((*series, ('le', bound)))} {total:g}")
    return [*lines, f"{name}_sum{_braces(series)} {row[-1]:g}", f"{name}_count{_braces(series)} {total:g}"]


def _braces(series: Labels | Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{value}"' for name, value in dict(series).items())
    return f"{{{pairs}}}" if pairs else ""


def process_gauges(metrics: Metrics) -> None:
    """Memory, CPU and open files of this process, where the system tells."""
    import resource
    import time
    from pathlib import Path

    page = resource.getpagesize()
    statm, descriptors = Path("/proc/self/statm"), Path("/proc/self/fd")
    if statm.exists():
        metrics.gauge(
            "process_resident_memory_bytes",
            "Memory in use.",
            lambda: float(statm.read_text().split()[1]) * page,
        )
        metrics.gauge("process_open_fds", "Open files.", lambda: float(sum(1 for _ in descriptors.iterdir())))
    metrics.gauge("process_cpu_seconds_total", "CPU time of this process.", time.process_time)
