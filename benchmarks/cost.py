"""What voxaffect costs: import, a cold command, 3 s of audio on one thread, an install.

    python benchmarks/cost.py [--model MODEL] [--repeats N] [--json] [--install]

Whole processes are measured in turn with their counterpart (A B A B …), CPU seconds of the process and its
children, medians quoted. `--install` makes a fresh virtual environment of the core and measures its
site-packages (it needs a package index, and takes a minute).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "src" / "voxaffect" / "clips" / "slow.flac"


def cpu_seconds(command: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of one run of `command`."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - started


def in_turn(first: list[str], second: list[str], repeats: int) -> list[tuple[float, float]]:
    """Median (cpu, wall) seconds of both commands, run in turn after one run of each that does not count."""
    runs: list[list[tuple[float, float]]] = [[], []]
    for repeat in range(repeats + 1):
        for k, command in enumerate((first, second)):
            measured = cpu_seconds(command)
            if repeat:
                runs[k].append(measured)
    return [(statistics.median(c for c, _ in run), statistics.median(w for _, w in run)) for run in runs]


def core_milliseconds(work: Callable[[], object], repeats: int) -> float:
    """Median CPU milliseconds of `work` in this process, all its threads counted."""
    work()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(1000 * (time.process_time() - started))
    return statistics.median(times)


def model_costs(name: str | None, repeats: int) -> dict[str, float]:
    """Core-milliseconds for one 3 s window: features, the network, and both with the vote."""
    from voxaffect.modelfile import find_model, read_model
    from voxaffect.recogniser import open_recogniser

    recogniser = open_recogniser(read_model(find_model(name)), device="cpu")
    rng = np.random.default_rng(0)
    t = np.arange(48_000) / 16_000
    voice = np.sin(2 * np.pi * 120 * t) * (1 + np.sin(2 * np.pi * 4 * t)) / 4
    window = (voice + 0.01 * rng.standard_normal(len(t))).astype(np.float32)
    items = recogniser.items(window)
    return {
        "features": core_milliseconds(lambda: recogniser.items(window), repeats),
        "network": core_milliseconds(lambda: recogniser.log_probs(items), repeats),
        "features + network": core_milliseconds(
            lambda: recogniser.log_probs(recogniser.items(window)), repeats
        ),
    }


def install_megabytes() -> float:
    """MB of the site-packages of a fresh environment with the core of voxaffect, pip itself left out."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", ROOT],
            check=True,
            capture_output=True,
        )
        (packages,) = Path(folder).glob("lib/python3*/site-packages")
        for unwanted in ("setuptools", "pip"):  # pip last: nothing else could remove the other
            subprocess.run(
                [python, "-m", "pip", "uninstall", "--quiet", "--yes", unwanted], capture_output=True
            )
        return sum(f.stat().st_size for f in packages.rglob("*") if f.is_file()) / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    bare, imported = in_turn(
        [sys.executable, "-c", "pass"], [sys.executable, "-c", "import voxaffect"], args.repeats
    )
    with tempfile.TemporaryDirectory() as folder:
        import soundfile

        wav = Path(folder) / "one.wav"
        soundfile.write(wav, *soundfile.read(CLIP))
        model = ["-m", args.model] if args.model else []
        command = [sys.executable, "-m", "voxaffect", "predict", str(wav), *model]
        _, predicted = in_turn([sys.executable, "-c", "pass"], command, args.repeats)
    figures = {
        "import voxaffect over bare python, ms wall": 1000 * (imported[1] - bare[1]),
        "import voxaffect over bare python, ms CPU": 1000 * (imported[0] - bare[0]),
        "voxaffect predict one.wav, cold, CPU s": predicted[0],
        "voxaffect predict one.wav, cold, wall s": predicted[1],
        **{f"3 s window, {k}, core-ms": v for k, v in model_costs(args.model, 10 * args.repeats).items()},
    }
    if args.install:
        figures["core install, site-packages, MB"] = install_megabytes()
    if args.json:
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:<48}{value:10.2f}")


if __name__ == "__main__":
    main()
