"""A tiny corpus that can be learnt: pitch tells the class, level and timbre tell the speaker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
PITCH = {"angry": 700.0, "sad": 180.0}
SPEAKERS = ("anna", "bert", "cleo", "dora", "emil", "fred")


def build(root: Path, *, clips: int = 2, seconds: float = 0.6) -> Path:
    """`root` as class-named folders of speaker folders of `clips` wav files; the same on every call."""
    rng = np.random.default_rng(0)
    for label, pitch in PITCH.items():
        for position, speaker in enumerate(SPEAKERS):
            folder = root / label / speaker
            folder.mkdir(parents=True)
            for clip in range(clips):
                n = round((seconds + 0.05 * clip) * RATE)
                time = np.arange(n) / RATE
                samples = np.sin(2 * np.pi * pitch * (1 + 0.02 * position) * time) * 0.05 * (position + 1)
                noisy = samples + 0.01 * rng.standard_normal(n)
                soundfile.write(folder / f"{speaker}_{clip}.wav", noisy.astype(np.float32), RATE)
    return root


RECIPE = """
name = "tiny"
[data]
corpora = ["folder"]
roots = {folder = "clips"}
labels = ["angry", "sad"]
[protocol]
folds = "speaker-groups"
groups = 2
dev_speakers = 1
seeds = [1]
[features]
window = 0.5
hop = 0.25
[model]
width = 16
heads = 2
[model.mfcc]
kind = "bilstm"
hidden = 8
layers = 1
stack = 4
normalise = "standardise"
dropout = 0.1
[training]
epochs = 6
batch_size = 4
learning_rate = 2e-2
patience = 4
[augmentation]
copies = 1
gain = 3.0
time_mask = 3
"""
