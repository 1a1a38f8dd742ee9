"""A long recording through the bundled model: peak memory, and how many times real time; one thread.

    python benchmarks/long_recording.py CORPORA [--hours 10] [--format wav]

Clips of the FLAC files in CORPORA, each followed by a pause of a second, are repeated until the recording is long
enough; it is written to a temporary file first. What is measured is the command's own process.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

from voxaffect.audio import SAMPLE_RATE, mono, read_audio


def write(path: Path, corpora: Path, hours: float) -> float:
    """Write the recording; how much of it is clips, 0 to 1."""
    files = sorted(corpora.rglob("*.flac"))[::37]
    clips = [mono(read_audio(file).samples) for file in files]
    spoken = sum(map(len, clips))
    pause = np.zeros(SAMPLE_RATE, np.float32)
    once = np.concatenate([part for clip in clips for part in (clip, pause)])
    data = (once.clip(-1, 1) * 32767).astype("<i2").tobytes()
    left = round(hours * 3600 * SAMPLE_RATE) * 2
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        while left > 0:
            file.writeframesraw(data[:left])
            left -= len(data)
    return spoken / len(once)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("-f", dest="format", default="jsonl", help="output format (default: jsonl)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.wav"
        share = write(path, args.corpora, args.hours)
        command = [sys.executable, "-m", "voxaffect", "predict", str(path), "-f", args.format]
        with (Path(folder) / "out").open("wb") as out:
            subprocess.run(command, stdout=out, check=True)
        size = (Path(folder) / "out").stat().st_size
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime
    print(
        f"{args.hours:g} h, {100 * share:.0f} % clips, to {args.format} ({size / 1e6:.1f} MB): "
        f"{used.ru_maxrss / 1024:.0f} MiB at most, {seconds:.1f} core-s, "
        f"{args.hours * 3600 / seconds:.0f} x real time"
    )


if __name__ == "__main__":
    main()
