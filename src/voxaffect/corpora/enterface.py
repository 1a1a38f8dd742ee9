"""eNTERFACE'05: subjects of 14 nations act six emotions in English, five sentences each, on video.

Release      https://enterface.net/enterface05/, `project2_database.zip`: `enterface database/subject N/EMOTION/
             sentence M/sN_em_M.avi` (N 1 to 44, M 1 to 5), DivX with sound in 48 kHz.
Paper        O. Martin, I. Kotsia, B. Macq, I. Pitas, "The eNTERFACE'05 Audio-Visual Emotion Database", ICDE
             Workshops 2006. It speaks of 42 subjects and 1166 clips; the release holds more.
Licence      free for scientific research, as its paper says; no licence is named. Not to be passed on.
Speakers     43 whose sentences are cut apart (four in five are men; who is not told).
Classes      angry 215, disgust 215, fearful 215, happy 212, sad 215, surprised 215: 1287.
File names   `s1_an_1`: subject, emotion (an, di, fe, ha, sa, su), sentence.
Traps        Some names are malformed, as `s_3_su_2.avi` is: subject, emotion and sentence are taken from the folders,
             and from the name what no folder tells. Subject 6 has one recording for each emotion, with all five
             sentences in it, right in the emotion's folder: left out, `corpus check` counts it. Subject 23 lacks
             three happy sentences, and its sentences may lie right in the emotion's folder. Each sentence is said in
             one emotion only, so that the words alone tell the class: score that as a baseline.
Sound        is taken from the video files. Where somebody has put a .wav beside its video, the .wav is read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from voxaffect.corpora.files import folder, has_sound_beside, media_files, name_of, subfolder
from voxaffect.corpora.info import CorpusInfo
from voxaffect.table import Utterance, UtteranceTable

LABELS = {"an": "angry", "di": "disgust", "fe": "fearful", "ha": "happy", "sa": "sad", "su": "surprised"}
FOLDERS = {"anger": "an", "disgust": "di", "fear": "fe", "happiness": "ha", "sadness": "sa", "surprise": "su"}
"""The emotions' folders."""

INFO = CorpusInfo(
    name="enterface",
    title="eNTERFACE'05",
    licence="free for scientific research",
    licence_url="https://enterface.net/enterface05/",
    citation='Martin, Kotsia, Macq and Pitas, "The eNTERFACE\'05 Audio-Visual Emotion Database", '
    "ICDE Workshops 2006",
    language="en",
    url="https://enterface.net/enterface05/",
    labels=("angry", "disgust", "fearful", "happy", "sad", "surprised"),
    expected={"angry": 215, "disgust": 215, "fearful": 215, "happy": 212, "sad": 215, "surprised": 215},
    n_speakers=43,
    file_pattern=rf"(?i:s_?\d{{1,2}}_(?:{'|'.join(LABELS)})(?:_[1-5])?)",
    how_to_get="unpack project2_database.zip of that page, give the folder that holds 'enterface database'",
    downloadable=False,
    notes=(
        "Each sentence is said in one emotion only: the words alone tell the class.",
        "Subject 6's recordings hold five sentences each and are left out, as in the study's table.",
        "Sound comes from the video files; a .wav beside its video is read in its place.",
    ),
)

_SUBJECT = re.compile(r"subject[ _-]?(\d{1,2})", re.IGNORECASE)
_SENTENCE = re.compile(r"sentence[ _-]?(\d)", re.IGNORECASE)
_NAME = re.compile(rf"s_?(\d{{1,2}})_({'|'.join(LABELS)})(?:_(\d))?", re.IGNORECASE)


class Place(NamedTuple):
    """What a recording is of; no sentence: all five of them."""

    subject: int
    emotion: str
    sentence: int | None


def read(root: Path) -> UtteranceTable:
    """The sentences below `root`, wherever their folders or names tell subject, emotion and sentence.

    `text` is the sentence's number within its emotion, which no two emotions share.
    """
    root = subfolder(folder(root), "enterface database") or root
    recordings = [(path, place_of(path.relative_to(root))) for path in media_files(root)]
    return UtteranceTable.of(
        _utterance(path, place)
        for path, place in recordings
        if place is not None and place.sentence is not None and not has_sound_beside(path)
    )


def explain(path: Path) -> str | None:
    """Why a recording of the release is left out: five sentences in one, or its sound lies beside it."""
    place = place_of(path)
    if place is None:
        return None
    if place.sentence is None:
        return "all sentences of an emotion in one recording"
    return "video whose sound lies beside it" if has_sound_beside(path) else None


def place_of(path: Path) -> Place | None:
    """Subject, emotion and sentence: from the nearest folder that tells each, else from the file's name."""
    subject = emotion = sentence = None
    for part in reversed(path.parts[:-1]):
        subject = subject or _number(_SUBJECT, part)
        sentence = sentence or _number(_SENTENCE, part)
        emotion = emotion or FOLDERS.get(part.strip().casefold())
    named = _NAME.fullmatch(name_of(path))
    if named:
        subject, emotion = subject or int(named[1]), emotion or named[2].casefold()
        sentence = sentence or (int(named[3]) if named[3] else None)
    return Place(subject, emotion, sentence) if subject and emotion else None


def _number(pattern: re.Pattern[str], part: str) -> int | None:
    match = pattern.fullmatch(part.strip())
    return int(match[1]) if match else None


def _utterance(path: Path, place: Place) -> Utterance:
    noun = next(name for name, code in FOLDERS.items() if code == place.emotion)
    return Utterance(
        id=f"enterface/s{place.subject}_{place.emotion}_{place.sentence}",
        path=path,
        speaker=f"enterface/{place.subject:02d}",
        label=LABELS[place.emotion],
        corpus="enterface",
        text=f"sentence {place.sentence} of {noun}",
        language="en",
    )
