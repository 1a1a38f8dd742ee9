"""CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset: 91 actors, twelve English sentences.

Release      https://github.com/CheyneyComputerScience/CREMA-D: folder `AudioWAV` with 7442 files (16 kHz, mono)
             in Git LFS; `AudioMP3` and `VideoFlash` hold what the raters heard and saw.
Paper        H. Cao, D. G. Cooper, M. K. Keutmann, R. C. Gur, A. Nenkova, R. Verma, "CREMA-D: Crowd-sourced
             Emotional Multimodal Actors Dataset", IEEE Transactions on Affective Computing 5(4), 2014.
Licence      Open Database License 1.0, contents under the Database Contents License 1.0. The authors ask users
             to fill in a form that the repository's README links.
Speakers     91 (43 female, 48 male), aged 20 to 74; sex, age, race and ethnicity, as the release codes them, are
             in `VideoDemographics.csv`. Copies without that file have no genders.
Classes      what the actor was asked for: angry, disgust, fearful and happy 1271 each, neutral 1087, sad 1270 (1271
             in the release, see Traps): 7441. The raters' votes (`processedResults`) are another matter.
File names   `1001_DFA_ANG_XX`: actor, sentence, emotion, level (LO, MD, HI; XX unspecified).
Traps        `1076_MTI_SAD_XX.wav` is silent, as its authors document: it is left out and counted. Older copies
             call one file `1040_ITH_SAD_X`. A clone without Git LFS, and the ZIP of the repository, hold text
             pointers in place of the audio: run `git lfs pull`. All actors share twelve sentences.
"""

from __future__ import annotations

import re
from pathlib import Path

from voxaffect.corpora.files import audio_files, folder, name_of, one_of_each, subfolder
from voxaffect.corpora.info import CorpusInfo
from voxaffect.corpora.sheet import Row, read_sheet
from voxaffect.table import Utterance, UtteranceTable

LABELS = {"ANG": "angry", "DIS": "disgust", "FEA": "fearful", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
TEXTS = {
    "DFA": "Don't forget a jacket.",
    "IEO": "It's eleven o'clock.",
    "IOM": "I'm on my way to the meeting.",
    "ITH": "I think I have a doctor's appointment.",
    "ITS": "I think I've seen this before.",
    "IWL": "I would like a new alarm clock.",
    "IWW": "I wonder what this is about.",
    "MTI": "Maybe tomorrow it will be cold.",
    "TAI": "The airplane is almost full.",
    "TIE": "That is exactly what happened.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified", "X": "unspecified"}
SILENT = "1076_MTI_SAD_XX"
"""The one file of the release without a sound in it."""

_EACH = 1271

INFO = CorpusInfo(
    name="cremad",
    title="CREMA-D",
    licence="ODbL 1.0 and DbCL 1.0",
    licence_url="https://opendatacommons.org/licenses/odbl/1.0/",
    citation='Cao et al., "CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset", IEEE Transactions on '
    "Affective Computing 5(4), 2014",
    language="en",
    url="https://github.com/CheyneyComputerScience/CREMA-D",
    labels=tuple(LABELS.values()),
    expected={
        "angry": _EACH,
        "disgust": _EACH,
        "fearful": _EACH,
        "happy": _EACH,
        "neutral": 1087,
        "sad": _EACH - 1,  # without SILENT
    },
    n_speakers=91,
    file_pattern=rf"10(?:0[1-9]|[1-8]\d|9[01])_(?:{'|'.join(TEXTS)})_(?:{'|'.join(LABELS)})_(?:{'|'.join(LEVELS)})",
    how_to_get="git clone https://github.com/CheyneyComputerScience/CREMA-D with Git LFS installed, which checks "
    "every file itself; give the folder that holds AudioWAV/",
    downloadable=True,
    not_fetched="it is 7442 files in Git LFS and no archive; git checks each of them",
    notes=(
        "1076_MTI_SAD_XX is silent in the release and left out: 7441 of its 7442 files are read.",
        "Labels are what the actors were asked for, not what the raters heard.",
        "Gender needs VideoDemographics.csv beside AudioWAV/.",
        "All actors share twelve sentences: a text is never unseen, so splits are by speaker.",
    ),
)

_DEMOGRAPHICS = "VideoDemographics.csv"
_COLUMNS = ("actorid", "age", "sex", "race", "ethnicity")


def read(root: Path) -> UtteranceTable:
    """The clips in `root/AudioWAV`, or in `root` itself.

    Raises:
        CorpusError: `no_such_folder`; what `read_sheet` finds and `bad_row` for VideoDemographics.csv.
    """
    audio = subfolder(folder(root), "AudioWAV") or root
    table = root / _DEMOGRAPHICS
    actors = {row.required("actorid"): row for row in read_sheet(table, _COLUMNS)} if table.is_file() else {}
    return UtteranceTable.of(
        _utterance(path, actors)
        for path in one_of_each(audio_files(audio, recursive=False))
        if INFO.matches(name_of(path)) and name_of(path) != SILENT
    )


def explain(path: Path) -> str | None:
    """`silent in the release` for the one file that is, `mp3 that the raters heard` for those of AudioMP3."""
    if not INFO.matches(name_of(path)):
        return None
    if path.parent.name.casefold() == "audiomp3":
        return "mp3 that the raters heard"
    return "silent in the release" if name_of(path) == SILENT else "a second copy of a clip"


def _utterance(path: Path, actors: dict[str, Row]) -> Utterance:
    actor, sentence, emotion, level = name_of(path).split("_")
    stem = f"{actor}_{sentence}_{emotion}_{'XX' if level == 'X' else level}"
    row = actors.get(actor)
    about: dict[str, str | float] = {}
    if row is not None:
        if not re.fullmatch(r"\d+", row["age"]):
            raise row.error("bad_row", f"age is {row['age']!r}; expected whole years")
        about = {"age": float(row["age"]), "race": row["race"], "ethnicity": row["ethnicity"]}
    return Utterance(
        id=f"cremad/{stem}",
        path=path,
        speaker=f"cremad/{actor}",
        label=LABELS[emotion],
        corpus="cremad",
        text=TEXTS[sentence],
        gender=_gender(row) if row is not None else None,
        language="en",
        attributes={"text_code": sentence, "level": LEVELS[level], **about},
    )


def _gender(row: Row) -> str:
    sex = row["sex"].casefold()
    if sex not in ("female", "male"):
        raise row.error("bad_row", f"sex is {row['sex']!r}; expected 'Female' or 'Male'")
    return sex
