"""Small folders in the true format of the corpora beyond the first five; see corpus_trees."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from audio_files import with_ffmpeg
from corpus_trees import Tree, write_audio, write_text

DEMOGRAPHICS = (
    '"ActorID","Age","Sex","Race","Ethnicity"\n'
    '1001,51,"Male","Caucasian","Not Hispanic"\n'
    '1091,29,"Female","Asian","Not Hispanic"\n'
)


def cremad(root: Path) -> Tree:
    write_text(root / "VideoDemographics.csv", DEMOGRAPHICS)
    for stem in ("1001_DFA_ANG_XX", "1001_IEO_FEA_HI", "1091_WSI_NEU_XX"):
        write_audio(root / "AudioWAV" / f"{stem}.wav")
        write_audio(root / "AudioMP3" / f"{stem}.mp3")
    return Tree(root, 3, ("cremad/1001", "cremad/1091"), ("angry", "fearful", "neutral"))


def savee(root: Path) -> Tree:
    for speaker, name in (("DC", "a01"), ("DC", "sa15"), ("KL", "su02"), ("KL", "n30")):
        path = write_audio(root / "AudioData" / speaker / f"{name}.wav", sample_rate=44_100)
        path.write_bytes(path.read_bytes() + speaker.encode())  # its name alone would not tell them apart
    return Tree(root, 4, ("savee/DC", "savee/KL"), ("angry", "neutral", "sad", "surprised"))


def tess(root: Path) -> Tree:
    for folder, name in (
        ("OAF_angry", "OAF_back_angry"),
        ("OAF_neutral", "OA_bite_neutral"),
        ("OAF_Fear", "OAF_back_fear"),
        ("YAF_pleasant_surprised", "YAF_youth_ps"),
    ):
        write_audio(root / folder / f"{name}.wav", sample_rate=24_414)
    return Tree(root, 4, ("tess/OAF", "tess/YAF"), ("angry", "fearful", "neutral", "surprised"))


def emovo(root: Path) -> Tree:
    for name in ("dis-f1-b1", "gio-f1-n5", "rab-m3-l4"):
        write_audio(root / "EMOVO" / name.split("-")[1] / f"{name}.wav", sample_rate=48_000, channels=2)
    return Tree(root, 3, ("emovo/f1", "emovo/m3"), ("angry", "disgust", "happy"))


def urdu(root: Path) -> Tree:
    for folder, name in (("Angry", "SM1_F1_A01"), ("Angry", "SM4_F48_A0100"), ("Happy", "SF1_F10_H010")):
        write_audio(root / folder / f"{name}.wav")
    return Tree(root, 3, ("urdu/SF1", "urdu/SM1", "urdu/SM4"), ("angry", "happy"))


def cafe(root: Path) -> Tree:
    for folder, name in (
        ("Colère/Faible", "01-C-1-1"),
        ("Dégoût/Fort", "12-D-2-6"),
        ("Neutre", "03-N-1"),
        ("Neutre", "02-N-1-3"),
    ):
        write_audio(root / "CaFE_48k" / folder / f"{name}.wav", sample_rate=48_000)
    speakers = ("cafe/01", "cafe/02", "cafe/03", "cafe/12")
    return Tree(root, 4, speakers, ("angry", "disgust", "neutral"))


def esd(root: Path) -> Tree:
    home = root / "Emotion Speech Dataset"
    write_text(home / "0001" / "0001.txt", "0001_000351\t打远一看，它们的确很是美丽，\t生气\n", "gb2312")
    write_text(home / "0011" / "0011.txt", "0011_000001\tThe nine the eggs, I keep.\tNeutral\n", "utf-16")
    write_audio(home / "0001" / "Angry" / "0001_000351.wav")
    write_audio(home / "0011" / "Neutral" / "evaluation" / "0011_000001.wav")
    write_audio(home / "0011" / "Surprise" / "train" / "0011_001750.wav")
    return Tree(root, 3, ("esd/0001", "esd/0011"), ("angry", "neutral", "surprised"))


def jlcorpus(root: Path) -> Tree:
    home = root / "Raw JL corpus (unchecked and unannotated)" / "JL(wav+txt)"
    for name in ("female1_angry_10a_1", "female1_apologetic_1b_2", "male2_excited_15a_1"):
        write_audio(home / f"{name}.wav", sample_rate=44_100)
    write_text(home / "female1_angry_10a_1.txt", "Linda asked for more darts.\r\n")
    return Tree(root, 3, ("jlcorpus/female1", "jlcorpus/male2"), ("angry", "excited", "other"))


MELD_HEADER = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
)
MELD_ROWS = {
    "train": '1,"Hey, don\x92t!",Ross,joy,positive,0,0,4,7,"00:20:57,256","00:21:00,049"\n'
    '2,What?,Phoebe,surprise,negative,0,1,4,7,"0:21:01,927","0:21:03,261"\n'
    '3,"Oh, no-no-no",Ross,neutral,neutral,125,3,4,18,"00:02:42,287","00:02:48,021"\n',
    "dev": '1,"Oh my God, he\u2019s lost it.",Phoebe,sadness,negative,0,0,4,7,"0:20:57,256","0:21:00,049"\n'
    '1153,Did they tell you anything?,Phoebe,neutral,neutral,110,7,6,11,"00:07:11,764","00:07:13,890"\n',
    "test": "1,Hi!,All,joy,positive,0,0,1,1,00:00:01,00:00:02\n",
}
MELD_CLIPS = {
    "train/train_splits": ("dia0_utt0", "dia0_utt1", "dia125_utt3"),
    "dev/dev_splits_complete": ("dia0_utt0", "dia66_utt9"),
    "test/output_repeated_splits_test": ("dia0_utt0", "final_videos_testdia0_utt0"),
}


def write_clip(path: Path, seconds: float = 0.1) -> Path:
    """A video with black pictures and noise that depends on the whole path."""
    rng = np.random.default_rng(zlib.crc32("/".join(path.parts[-3:]).encode()))
    noise = rng.uniform(-0.1, 0.1, round(seconds * 16_000)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(with_ffmpeg("mp4", "aac", 16_000, noise, video=True))
    return path


def meld(root: Path) -> Tree:
    for part, rows in MELD_ROWS.items():
        home = root / "MELD.Raw" / "train" if part == "train" else root / "MELD.Raw"
        write_text(home / f"{part}_sent_emo.csv", MELD_HEADER + rows)
    for folder, names in MELD_CLIPS.items():
        for name in names:
            write_clip(root / "MELD.Raw" / folder / f"{name}.mp4")
    write_text(root / "MELD.Raw" / "dev" / "dev_splits_complete" / "._dia0_utt0.mp4", "\0\5\26\7Mac OS X")
    speakers = ("meld/All", "meld/Phoebe", "meld/Ross")
    return Tree(root, 4, speakers, ("happy", "sad", "surprised"))


MSP_HEADER = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n"
MSP_ROWS = (
    "MSP-PODCAST_0001_0008.wav,N,2.2,4.0,2.6,30,Male,Test1\n"
    "MSP-PODCAST_0001_0009.wav,X,3.777778,3.555556,3.777778,39,Female,Test1\n"
    "MSP-PODCAST_0023_0047.wav,C,4.125,4.75,4.0,Unknown,Unknown,Train\n"
    "MSP-PODCAST_0024_0001_0002.wav,U,7,1,4,Unknown,Male,Train\n"
)


def msppodcast(root: Path) -> Tree:
    write_text(root / "readme.txt", "##  MSP-PODCAST Database  ##\n#  Release 1.12 (June 6, 2024)  #\n")
    write_text(root / "Labels" / "labels_consensus.csv", MSP_HEADER + MSP_ROWS)
    for line in MSP_ROWS.splitlines():
        write_audio(root / "Audios" / line.split(",")[0])
    speakers = ("msppodcast/30", "msppodcast/39", "msppodcast/Unknown")
    return Tree(root, 4, speakers, ("contempt", "neutral", "surprised", "unknown"))


OPEN_BUILDERS: dict[str, Callable[[Path], Tree]] = {
    "cafe": cafe,
    "cremad": cremad,
    "emovo": emovo,
    "esd": esd,
    "jlcorpus": jlcorpus,
    "meld": meld,
    "msppodcast": msppodcast,
    "savee": savee,
    "tess": tess,
    "urdu": urdu,
}
