"""MELD, the Multimodal EmotionLines Dataset: the dialogues of a television series, with laughter and music.

Release      https://affective-meld.github.io, `MELD.Raw.tar.gz`: `train_sent_emo.csv`, `dev_sent_emo.csv`,
             `test_sent_emo.csv`, and clips `dia0_utt0.mp4` in `train_splits`, `dev_splits_complete` and
             `output_repeated_splits_test`.
Paper        S. Poria, D. Hazarika, N. Majumder, G. Naik, E. Cambria, R. Mihalcea, "MELD: A Multimodal Multi-Party
             Dataset for Emotion Recognition in Conversations", ACL 2019.
Licence      GPL-3.0, as its authors publish it; the clips are cut from a television series whose owners have their
             own rights.
Speakers     the names of the column Speaker. Six leads say most of it and are in train, dev and test alike. "All" and
             "Both" are several people, "Man", "Woman" or "Guy" a different one in each episode; each of these names
             counts as one speaker, so that it stays on one side.
Classes      angry 1607, disgust 361, fearful 358, happy 2308, neutral 6434 (6436 listed, see Traps), sad 1002,
             surprised 1636: 13706. By part: train 9988 (9989 listed), dev 1108 (1109 listed), test 2610.
File names   `dia0_utt0`: dialogue and utterance, counted anew in each part.
Traps        In the release `dia110_utt7` of dev has no clip and `dia125_utt3` of train cannot be decoded: both are left
             out. Clips without annotation lie among the others, in test with the prefix `final_videos_test`, and so do
             `._*` files of macOS. Some clips are cut wrongly and last minutes. The training texts hold the quotes of
             Windows-1252 as control characters. The official parts share their speakers: figures on them are
             speaker-dependent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from voxaffect.corpora.files import find, folder, media_files, name_of
from voxaffect.corpora.info import CorpusInfo, Download, Fact
from voxaffect.corpora.sheet import Row, read_sheet
from voxaffect.table import Utterance, UtteranceTable

LABELS = {
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "joy": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprise": "surprised",
}
PARTS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
"""Where the clips of each part lie."""
WITHOUT_SOUND = frozenset({"dev/dia110_utt7", "train/dia125_utt3"})
"""Listed by the release, but without a clip that can be decoded."""
N_READ = {"train": 9988, "dev": 1108, "test": 2610}

INFO = CorpusInfo(
    name="meld",
    title="MELD",
    licence="GPL-3.0; clips of a television series",
    licence_url="https://huggingface.co/datasets/declare-lab/MELD",
    citation='Poria et al., "MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations", '
    "ACL 2019",
    language="en",
    url="https://affective-meld.github.io",
    labels=tuple(LABELS.values()),
    expected={
        "angry": 1607,
        "disgust": 361,
        "fearful": 358,
        "happy": 2308,
        "neutral": 6434,
        "sad": 1002,
        "surprised": 1636,
    },
    file_pattern=r"dia\d+_utt\d+",
    how_to_get="unpack MELD.Raw.tar.gz and the three archives in it, give the folder that they were unpacked to",
    downloadable=True,
    downloads=(
        Download(  # size and checksum as its authors' repository states them
            url="https://huggingface.co/datasets/declare-lab/MELD/resolve/"
            "9abc51ee7903424ffb971297608aa6d3d0de3bfa/MELD.Raw.tar.gz",
            size=10_878_146_150,
            checksum="sha256:a56b4407d574195cbce470d86f9c9d72fcfea59b0e34502ecd4babee4a5c613e",
            nested=("MELD.Raw/train.tar.gz", "MELD.Raw/dev.tar.gz", "MELD.Raw/test.tar.gz"),
        ),
    ),
    notes=(
        "Two of the 13708 listed utterances have no clip that can be decoded and are left out.",
        "The official parts (session) share their speakers; splits by speaker are harder and say more.",
        "Names such as All, Man or Woman stand for several people and count as one speaker each.",
    ),
)

_COLUMNS = ("utterance", "speaker", "emotion", "dialogue_id", "utterance_id")
_WINDOWS = {code: bytes([code]).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)}
"""C1 control characters, which no text has, and what Windows-1252 means by their bytes."""


def read(root: Path) -> UtteranceTable:
    """The utterances of the three annotation files, which lie in `root` or at most three folders below.

    `session` is the official part. Attributes: `dialogue`, `sentiment`, `season`, `episode`.

    Raises:
        CorpusError: `no_such_folder`, what `read_sheet` finds, `unknown_label`, `bad_row`.
    """
    root = folder(root)
    return UtteranceTable.of(utterance for part in PARTS for utterance in _part(root, part))


def facts(table: UtteranceTable) -> tuple[Fact, ...]:
    """The size of each official part."""
    found = table.counts(lambda u: u.session or "")
    return tuple(Fact(f"utterances, {part}", found.get(part, 0), n) for part, n in N_READ.items())


def explain(path: Path) -> str | None:
    """Why a clip of the release is not among the utterances."""
    if name_of(path).startswith("final_videos_test"):
        return "clip without annotation"
    if not INFO.matches(name_of(path)):
        return None
    part = next((part for part, name in PARTS.items() if path.parent.name.casefold() == name), None)
    if f"{part}/{name_of(path)}" in WITHOUT_SOUND:
        return "cannot be decoded in the release"
    return "clip without annotation, or a second copy of one"


def _part(root: Path, part: str) -> Iterator[Utterance]:
    sheet = find(root, f"{part}_sent_emo.csv")
    if sheet is None:
        return
    clips = find(root, PARTS[part]) or root / PARTS[part]
    present: dict[str, Path] = {}
    for path in media_files(clips, recursive=False) if clips.is_dir() else ():
        present.setdefault(name_of(path), path)
    for row in read_sheet(sheet, _COLUMNS):
        utterance = _utterance(row, part, clips, present)
        if utterance.id.removeprefix("meld/") not in WITHOUT_SOUND:
            yield utterance


def _utterance(row: Row, part: str, clips: Path, present: dict[str, Path]) -> Utterance:
    dialogue, number, emotion = (row.required(c) for c in ("dialogue_id", "utterance_id", "emotion"))
    if not re.fullmatch(r"\d+", dialogue) or not re.fullmatch(r"\d+", number):
        raise row.error("bad_row", f"dialogue {dialogue!r} and utterance {number!r}; expected whole numbers")
    if emotion.casefold() not in LABELS:
        raise row.error("unknown_label", f"unknown emotion {emotion!r}; expected one of {list(LABELS)}")
    stem = f"dia{dialogue}_utt{number}"
    more = {column: row[column] for column in ("sentiment", "season", "episode") if row[column]}
    return Utterance(
        id=f"meld/{part}/{stem}",
        path=present.get(stem) or clips / f"{stem}.mp4",
        speaker=f"meld/{' '.join(_repaired(row.required('speaker')).split())}",
        label=LABELS[emotion.casefold()],
        corpus="meld",
        session=part,
        text=_repaired(row["utterance"]) or None,
        language="en",
        attributes={"dialogue": f"{part}/{dialogue}", **more},
    )


def _repaired(text: str) -> str:
    return text.translate(_WINDOWS)
