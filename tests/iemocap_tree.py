"""IEMOCAP in its exact layouts, synthetic: the full release with sound that can be learnt, and the authors' pickle.

Ten speakers in five sessions, improvised and scripted dialogues, tones in place of voices: the class decides pitch
and how fast the tone swells, the speaker its timbre and level. The same call makes the same files.
"""

from __future__ import annotations

import pickle
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from voxaffect.features import PUBLISHED, segments

RATE = 16_000
SPEAKERS = tuple(f"Ses0{session}{letter}" for session in range(1, 6) for letter in "FM")
CODES = ("ang", "hap", "exc", "neu", "sad")
"""What the field's four classes are made of; every speaker also has one `fru` and one `xxx`."""
PITCH = {"ang": 380.0, "hap": 270.0, "exc": 290.0, "neu": 180.0, "sad": 120.0, "fru": 330.0, "xxx": 220.0}
SWELLS = {"ang": 9.0, "hap": 6.0, "exc": 7.0, "neu": 3.0, "sad": 1.5, "fru": 8.0, "xxx": 4.0}  # Hz
RATINGS = {"ang": (1.5, 4.0, 4.5), "hap": (4.0, 3.0, 3.0), "exc": (4.5, 4.0, 3.5), "neu": (3.0, 2.5, 3.0),
           "sad": (2.0, 2.0, 2.0), "fru": (2.0, 3.5, 3.5), "xxx": (2.5, 3.0, 3.0)}  # fmt: skip
SCENARIOS = {"ang": ("impro01", "script01_1"), "hap": ("impro03", "script01_3"), "exc": ("impro07", "script02_2"),
             "neu": ("impro04", "script03_2"), "sad": ("impro02", "script01_2"), "fru": ("impro05", "script02_1"),
             "xxx": ("impro08", "script03_1")}  # fmt: skip
"""Where each class is said: as in the real corpus, the scenario alone tells the class."""
PICKLE_LABELS = {"ang": 0, "sad": 1, "hap": 2, "exc": 2, "neu": 3}


@dataclass(frozen=True)
class Turn:
    """One utterance: its dialogue, who says it, its code, its number of the letter within the dialogue."""

    dialogue: str
    speaker: str
    code: str
    number: int
    seconds: float

    @property
    def name(self) -> str:
        return f"{self.dialogue}_{self.speaker[-1]}{self.number:03d}"


def voice(speaker: str, code: str, seconds: float, seed: int = 0) -> np.ndarray:
    """(N,) float32 of `speaker` in the mood of `code`."""
    rng = np.random.default_rng(zlib.crc32(f"{speaker} {code} {seconds} {seed}".encode()))
    who = SPEAKERS.index(speaker)
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = PITCH[code] * (1.0 + 0.02 * (who % 5)) * (1.35 if speaker.endswith("F") else 1.0)
    pitch *= rng.uniform(0.96, 1.04)
    tone = sum(np.sin(2 * np.pi * pitch * k * time) * (0.5 + 0.04 * who) ** (k - 1) for k in range(1, 9))
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * SWELLS[code] * time + rng.uniform(0, 6))
    noisy = 0.03 * (1 + 0.2 * who) * tone * swell + 0.003 * rng.standard_normal(len(time))
    return noisy.clip(-1, 1).astype(np.float32)


def turns(per_class: int) -> Iterator[Turn]:
    """Every utterance of the tree: `per_class` of each of CODES and one of each other code, by speaker."""
    numbers: dict[tuple[str, str], int] = defaultdict(int)
    for who, speaker in enumerate(SPEAKERS):
        counts = {**dict.fromkeys(CODES, per_class), "fru": 1, "xxx": 1}
        for position, (code, n) in enumerate(counts.items()):
            for k in range(n):
                scenario = SCENARIOS[code][(k + position + who // 2) % 2]
                wearer = "FM"[(k // 2 + position) % 2]  # of the markers: not always the one who speaks
                dialogue = f"{speaker[:5]}{wearer}_{scenario}"
                seconds = (1.0, 3.0, 1.7, 5.0, 2.4)[
                    (k + 2 * position + who) % 5
                ]  # 3.0: the method's odd case
                yield Turn(dialogue, speaker, code, numbers[dialogue, speaker], seconds)
                numbers[dialogue, speaker] += 1


def build_iemocap(root: Path, per_class: int = 2) -> Path:
    """`root` as the full release: ten speakers with `per_class` utterances of each of ang, hap, exc, neu and sad."""
    dialogues: dict[str, list[Turn]] = defaultdict(list)
    for turn in turns(per_class):
        dialogues[turn.dialogue].append(turn)
    for dialogue, members in sorted(dialogues.items()):
        session = root / f"Session{dialogue[4]}"
        labels, texts, start = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n"], [], 1.0
        for position, turn in enumerate(members):
            valence, activation, dominance = RATINGS[turn.code]
            end = start + turn.seconds
            labels.append(
                f"[{start:.4f} - {end:.4f}]\t{turn.name}\t{turn.code}\t"
                f"[{valence:.4f}, {activation:.4f}, {dominance:.4f}]\n"
                f"C-E2:\tNeutral;\t()\nC-F1:\tNeutral;\t()\nA-E3:\tval 3; act 3; dom  3;\t()\n"
            )
            said = (
                dialogue[7:] if "script" in dialogue else turn.name
            )  # scripted lines return in every session
            texts.append(f"{turn.name} [{start:08.4f}-{end:08.4f}]: Line {position} of {said}.\n")
            wav = session / "sentences" / "wav" / dialogue / f"{turn.name}.wav"
            wav.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(
                wav, voice(turn.speaker, turn.code, turn.seconds, position), RATE, subtype="PCM_16"
            )
            start = end + 0.5
        _write(session / "dialog" / "EmoEvaluation" / f"{dialogue}.txt", "\n".join(labels))
        _write(session / "dialog" / "transcriptions" / f"{dialogue}.txt", "".join(texts))
        _write(session / "dialog" / "EmoEvaluation" / "Categorical" / f"{dialogue}_e2_cat.txt", ":Neutral;\n")
    return root


def build_iemocap_pickle(path: Path, utterances_per_class: int = 2) -> Path:
    """`path` as the authors' pickle: ten speakers with `utterances_per_class` of each of the four classes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        pickle.dump(pickle_layout(utterances_per_class), file)
    return path


def pickle_layout(utterances_per_class: int = 2) -> dict[str, dict[str, np.ndarray]]:
    """What the pickle holds, by speaker `1M`, `1F` … `5F`: the published features of the tree's voices."""
    layout: dict[str, dict[str, np.ndarray]] = defaultdict(None, {})
    for session in range(1, 6):
        for letter in "MF":
            speaker = f"Ses0{session}{letter}"
            utterances = [
                (PICKLE_LABELS[code], voice(speaker, code, (1.0, 2.0, 3.2)[(k + i) % 3], k))
                for k in range(utterances_per_class)
                for i, code in enumerate(("neu", "ang", "sad", "exc" if k % 2 else "hap"))
            ]
            layout[f"{session}{letter}"] = speaker_layout(utterances)
    return layout


def speaker_layout(utterances: list[tuple[int, np.ndarray]]) -> dict[str, np.ndarray]:
    """One speaker's arrays from (label, (N,) samples) of each utterance."""
    items: list[list[dict[str, Any]]] = [
        segments(samples, PUBLISHED, ("spectrogram", "mfcc", "waveform")) for _, samples in utterances
    ]
    flat = [item for of_utterance in items for item in of_utterance]
    labels, numbers = [label for label, _ in utterances], [len(of_utterance) for of_utterance in items]
    arrays: dict[str, np.ndarray] = defaultdict(None, {})
    arrays["seg_spec"] = np.stack([item["spectrogram"].T[np.newaxis] for item in flat])  # (n, 1, 200, 300)
    arrays["utter_label"] = np.array(labels, np.int8)
    arrays["seg_label"] = np.repeat(labels, numbers).astype(np.int8)
    arrays["seg_num"] = np.array(numbers, np.int8)
    arrays["seg_mfcc"] = np.stack([item["mfcc"] for item in flat])  # (n, 300, 40)
    arrays["seg_audio"] = np.stack([item["waveform"] for item in flat])  # (n, 48000)
    return arrays


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
