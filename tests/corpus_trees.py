"""Small folders in the true format of each corpus; the contract test walks them all."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from audio_files import with_ffmpeg
from iemocap_tree import speaker_layout


@dataclass(frozen=True)
class Tree:
    """What a builder made: the folder to read and what must be found in it."""

    root: Path
    n_utterances: int
    speakers: tuple[str, ...]
    labels: tuple[str, ...]


def write_audio(path: Path, *, seconds: float = 0.05, sample_rate: int = 16_000, channels: int = 1) -> Path:
    """Noise that depends on the file's name alone, so that no two files of a tree are the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    samples = rng.uniform(-0.1, 0.1, (round(seconds * sample_rate), channels))
    known = path.suffix[1:].upper() in soundfile.available_formats()
    soundfile.write(path, samples, sample_rate, format=None if known else "WAV")
    return path


def write_video(path: Path, *, seconds: float = 0.1, sample_rate: int = 16_000) -> Path:
    """Black pictures with noise that depends on the file's name alone, as AVI or MP4 by that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    samples = rng.uniform(-0.1, 0.1, round(seconds * sample_rate)).astype(np.float32)
    muxer, encoder = ("avi", "pcm_s16le") if path.suffix == ".avi" else ("mp4", "aac")
    path.write_bytes(with_ffmpeg(muxer, encoder, sample_rate, samples, video=True))
    return path


def write_text(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def emodb(root: Path) -> Tree:
    for stem in ("03a01Fa", "03a01Wa", "08a02Na", "09b10Td", "16a07La", "16a07Ea", "16b01Ab"):
        write_audio(root / "wav" / f"{stem}.wav")
    labels = ("angry", "bored", "disgust", "fearful", "happy", "neutral", "sad")
    return Tree(root, 7, ("emodb/03", "emodb/08", "emodb/09", "emodb/16"), labels)


def ravdess(root: Path) -> Tree:
    stems = ("03-01-01-01-01-01-01", "03-01-05-02-02-01-01", "03-01-08-01-01-02-24", "03-01-02-01-01-02-24")
    for stem in stems:
        write_audio(root / f"Actor_{stem[-2:]}" / f"{stem}.wav", sample_rate=48_000)
    return Tree(root, 4, ("ravdess/01", "ravdess/24"), ("angry", "calm", "neutral", "surprised"))


NEMO_HEADER = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n"
NEMO_ROWS = (
    "EB0_anger_1.wav\tanger\tLubię czytać przed snem.\tlubię czytać przed snem\t        EB0\tfemale\t27\n"
    "EB0_fear_1.wav\tfear\tLubię czytać przed snem.\tlubię czytać przed snem\t        EB0\tfemale\t27\n"
    "WR0_surprised_38.wav\tsurprised\t„Ród smoka” to serial.\tród smoka to serial\t        WR0\tmale\t23\n"
)


def nemo(root: Path) -> Tree:
    write_text(root / "data.tsv", NEMO_HEADER + NEMO_ROWS)
    for stem in ("EB0_anger_1", "EB0_fear_1", "WR0_surprised_38"):
        write_audio(root / "samples" / f"{stem}.wav", sample_rate=24_000)
    return Tree(root, 3, ("nemo/EB0", "nemo/WR0"), ("angry", "fearful", "surprised"))


EVALUATION = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[7.5712 - 10.4750]\tSes01F_impro01_M000\texc\t[4.0000, 4.5000, 3.0000]
C-E2:\tExcited;\t()

[11.0000 - 12.0000]\tSes01F_impro01_M001\txxx\t[2.0000, 3.0000, 3.0000]

"""
SCRIPTED = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[1.0000 - 2.5000]\tSes05M_script01_1b_F012\tang\t[1.5000, 4.0000, 4.5000]
[3.0000 - 4.5000]\tSes05M_script01_1b_M003\tsad\t[2.0000, 2.0000, 2.0000]
"""
TRANSCRIPT = """Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
Ses01F_impro01_M000 [007.5712-010.4750]: Do you have your forms?
M: [LAUGHTER]
"""


def iemocap(root: Path) -> Tree:
    first, last = root / "Session1", root / "Session5"
    write_text(first / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt", EVALUATION)
    write_text(first / "dialog" / "EmoEvaluation" / "._Ses01F_impro01.txt", "\0\5\26\7Mac OS X")
    write_text(
        first / "dialog" / "EmoEvaluation" / "Categorical" / "Ses01F_impro01_e2_cat.txt", "[not a label]\n"
    )
    write_text(first / "dialog" / "transcriptions" / "Ses01F_impro01.txt", TRANSCRIPT)
    write_text(last / "dialog" / "EmoEvaluation" / "Ses05M_script01_1b.txt", SCRIPTED)
    write_audio(first / "dialog" / "wav" / "Ses01F_impro01.wav")
    for name in ("F000", "M000", "M001"):
        write_audio(first / "sentences" / "wav" / "Ses01F_impro01" / f"Ses01F_impro01_{name}.wav")
    write_text(
        first / "sentences" / "wav" / "Ses01F_impro01" / "._Ses01F_impro01_F000.wav", "\0\5\26\7Mac OS X"
    )
    for name in ("F012", "M003"):
        write_audio(last / "sentences" / "wav" / "Ses05M_script01_1b" / f"Ses05M_script01_1b_{name}.wav")
    speakers = tuple(f"iemocap/{s}" for s in ("Ses01F", "Ses01M", "Ses05F", "Ses05M"))
    return Tree(root, 5, speakers, ("angry", "excited", "neutral", "sad", "unknown"))


def folder(root: Path) -> Tree:
    for name in ("angry/ann/1", "angry/bob/2", "Sadness/ann/3"):
        write_audio(root / f"{name}.wav")
    return Tree(root, 3, tuple(f"folder-{root.name}/{s}" for s in ("ann", "bob")), ("angry", "sad"))


# --- corpora of the study


def iemocap_pickle(root: Path) -> Tree:
    rng = np.random.default_rng(0)
    layout = {
        speaker: speaker_layout([(label, rng.uniform(-0.1, 0.1, n)) for label, n in utterances])
        for speaker, utterances in {"5F": ((0, 800), (2, 48_000)), "1M": ((3, 1600),)}.items()
    }
    root.mkdir(parents=True, exist_ok=True)
    (root / "IEMOCAP.pkl").write_bytes(pickle.dumps(layout))
    speakers = ("iemocap-pickle/Ses01M", "iemocap-pickle/Ses05F")
    return Tree(root, 3, speakers, ("angry", "happy", "neutral"))


def enterface(root: Path) -> Tree:
    database = root / "enterface database"
    for folder, name in (
        ("subject 1/anger/sentence 1", "s1_an_1"),
        ("subject 1/happiness/sentence 5", "s1_ha_5"),
        ("subject 3/surprise/sentence 2", "s_3_su_2"),
        ("subject 6/fear", "s6_fe"),
        ("subject 23/sadness", "s23_sa_4"),
    ):
        write_video(database / folder / f"{name}.avi")
    (database / "subject 1" / "Thumbs.db").write_bytes(b"")
    speakers = ("enterface/01", "enterface/03", "enterface/23")
    return Tree(root, 4, speakers, ("angry", "happy", "sad", "surprised"))


def afew(root: Path) -> Tree:
    for name in ("Train/Angry/000046280", "Train/Surprise/000046360", "Val/Neutral/003017040"):
        write_video(root / f"{name}.avi")
    write_video(root / "Test" / "010005080.avi")
    return Tree(root, 3, ("afew/unknown-train", "afew/unknown-val"), ("angry", "neutral", "surprised"))


BUILDERS: dict[str, Callable[[Path], Tree]] = {
    "afew": afew,
    "emodb": emodb,
    "enterface": enterface,
    "folder": folder,
    "iemocap": iemocap,
    "iemocap-pickle": iemocap_pickle,
    "nemo": nemo,
    "ravdess": ravdess,
}
