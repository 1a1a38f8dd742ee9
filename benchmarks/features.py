"""Time the features of 3 s clips on one core, beside librosa's in the same process on the same audio.

    python benchmarks/features.py [--clips 8] [--repeats 20] [--json]

Milliseconds are CPU time, over clips and repeats; a ratio is the median of librosa's time over ours, clip by
clip, both timed in turn so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable

# One thread, for all libraries: has to be said before NumPy is imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import librosa  # noqa: E402
import numpy as np  # noqa: E402

from voxaffect.features import NATIVE, PUBLISHED, SAMPLE_RATE, SEGMENT_SAMPLES, extract  # noqa: E402

Work = Callable[[np.ndarray], object]


def published_by_librosa(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The published spectrogram (200, T) and MFCC (40, T), as the method's own program calls librosa."""
    x = librosa.effects.preemphasis(waveform, coef=0.97, zi=[0.0])
    stft = librosa.stft(x, n_fft=800, win_length=640, hop_length=160, window="hamming", pad_mode="reflect")
    spectrogram = librosa.amplitude_to_db(np.abs(stft), ref=np.max)[:200]
    mfcc = librosa.feature.mfcc(y=x, sr=SAMPLE_RATE, n_mfcc=40, hop_length=160, htk=True, pad_mode="reflect")
    return spectrogram, mfcc


def published(waveform: np.ndarray) -> object:
    """Our `published` preset: the same two features."""
    return extract(waveform, PUBLISHED, ("spectrogram", "mfcc"))


def native(waveform: np.ndarray) -> object:
    """Our `native` preset: spectrogram, MFCC and waveform from one transform."""
    return extract(waveform, NATIVE, ("spectrogram", "mfcc", "waveform"))


def log_mel(waveform: np.ndarray) -> object:
    """Whisper's input."""
    return extract(waveform, NATIVE, ("log_mel",))


WORKS: dict[str, Work] = {
    "librosa": published_by_librosa,
    "published": published,
    "native": native,
    "log_mel": log_mel,
}


def made_clips(n_clips: int, seed: int = 0) -> list[np.ndarray]:
    """Clips of 3 s of noise under a syllable rhythm; a transform costs the same whatever is said."""
    rng = np.random.default_rng(seed)
    rhythm = np.sin(2 * np.pi * 2 * np.arange(SEGMENT_SAMPLES) / SAMPLE_RATE) ** 2
    return [(0.1 * rhythm * rng.standard_normal(SEGMENT_SAMPLES)).astype(np.float32) for _ in range(n_clips)]


def measure(n_clips: int, repeats: int) -> dict[str, dict[str, float]]:
    """For each work, `ms` (median and best milliseconds of a clip) and `ratio` to librosa."""
    clips = made_clips(n_clips)
    for work in WORKS.values():
        work(clips[0])  # tables and imports
    seconds: dict[str, list[float]] = {name: [] for name in WORKS}
    for _ in range(repeats):
        for clip in clips:
            for name, work in WORKS.items():
                start = time.process_time()
                work(clip)
                seconds[name].append(time.process_time() - start)
    base = np.array(seconds["librosa"])
    return {
        name: {
            "ms_per_3_s": 1e3 * float(np.median(times)),
            "best_ms_per_3_s": 1e3 * min(times),
            "librosa_over_this": float(np.median(base / np.array(times))),
        }
        for name, times in seconds.items()
    }


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=8, help="how many clips of 3 s (default 8)")
    parser.add_argument("--repeats", type=int, default=20, help="how often each is timed (default 20)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.clips, arguments.repeats)
    if arguments.json:
        print(
            json.dumps({"clips": arguments.clips, "repeats": arguments.repeats, "works": figures}, indent=2)
        )
        return
    print(f"{'features of 3 s':<18}{'median ms':>10}{'best ms':>10}{'librosa / this':>16}")
    for name, row in figures.items():
        print("{:<18}{:>10.2f}{:>10.2f}{:>16.2f}".format(name, *row.values()))


if __name__ == "__main__":
    main()
