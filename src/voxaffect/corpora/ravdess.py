"""RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech and Song: 24 actors, two English sentences.

Release      https://zenodo.org/records/1188976, `Audio_Speech_Actors_01-24.zip`: folders `Actor_01` to
             `Actor_24`, 1440 files, 48 kHz, 16 bit, mono (five of them stereo).
Paper        S. R. Livingstone, F. A. Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song
             (RAVDESS)", PLoS ONE 13(5), e0196391, 2018.
Licence      CC BY-NC-SA 4.0: a model trained on it carries that licence.
Speakers     24 (12 female, 12 male): even actors are female, odd ones male.
Classes      neutral 96; calm, happy, sad, angry, fearful, disgust and surprised 192 each, in two intensities
             (neutral: one), two statements and two repetitions.
File names   `03-01-06-01-02-01-12`: modality (03 audio only), channel (01 speech, 02 song), emotion (01
             neutral, 02 calm, 03 happy, 04 sad, 05 angry, 06 fearful, 07 disgust, 08 surprised), intensity
             (01 normal, 02 strong), statement (01 kids, 02 dogs), repetition, actor.
Traps        Song and video files share the folders and the naming: only audio-only speech is read, `corpus
             check` counts the rest. One copy in wide circulation holds every file twice, in a second folder
             inside the first. Actor 07's happy `03-01-03-01-02-01-07` and `-02-02-07` are the same bytes. 176
             clips are quieter than -50 dBFS RMS; they are not silent. Two sentences only: a text is never
             unseen.
"""

from __future__ import annotations

from pathlib import Path

from voxaffect.corpora.files import audio_files, folder, folders, name_of
from voxaffect.corpora.info import CorpusInfo, Download
from voxaffect.table import Utterance, UtteranceTable

LABELS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
INTENSITIES = {"01": "normal", "02": "strong"}
MODALITIES = {"01": "audio and video", "02": "video only", "03": "audio only"}
CHANNELS = {"01": "speech", "02": "song"}

_EACH = 192
_ACTOR = "(?:0[1-9]|1[0-9]|2[0-4])"

INFO = CorpusInfo(
    name="ravdess",
    title="RAVDESS",
    licence="CC BY-NC-SA 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    citation='Livingstone and Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song '
    '(RAVDESS)", PLoS ONE 13(5), 2018',
    language="en",
    url="https://zenodo.org/records/1188976",
    labels=("angry", "calm", "disgust", "fearful", "happy", "neutral", "sad", "surprised"),
    expected={
        "angry": _EACH,
        "calm": _EACH,
        "disgust": _EACH,
        "fearful": _EACH,
        "happy": _EACH,
        "neutral": _EACH // 2,  # neutral has no strong intensity
        "sad": _EACH,
        "surprised": _EACH,
    },
    n_speakers=24,
    file_pattern=rf"03-01-0[1-8]-0[12]-0[12]-0[12]-{_ACTOR}",
    how_to_get="unpack Audio_Speech_Actors_01-24.zip of the Zenodo record, give the folder of Actor_01 …",
    downloadable=True,
    downloads=(
        Download(  # size and checksum as the record states them
            url="https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip?download=1",
            size=208_468_073,
            checksum="md5:bc696df654c87fed845eb13823edef8a",
        ),
    ),
    known_duplicates=(frozenset({"03-01-03-01-02-01-07", "03-01-03-01-02-02-07"}),),
    notes=(
        "Only audio-only speech is read; song and video files of the release are counted and left out.",
        "All actors share two sentences: a text is never unseen, so splits are by speaker.",
        "A model trained on it carries CC BY-NC-SA 4.0.",
    ),
)


def read(root: Path) -> UtteranceTable:
    """The audio-only speech in the folders `Actor_XX` of `root`, else of its folders, else in `root`."""
    actors = _actor_folders(folder(root)) or [a for child in folders(root) for a in _actor_folders(child)]
    return UtteranceTable.of(
        _utterance(path)
        for actor in actors or [root]
        for path in audio_files(actor, recursive=False)
        if INFO.matches(name_of(path))
    )


def explain(path: Path) -> str | None:
    """`song`, `audio and video` or the like for files of the release's other parts."""
    codes = name_of(path).split("-")
    if len(codes) != 7 or codes[0] not in MODALITIES or codes[1] not in CHANNELS:
        return None
    if (codes[0], codes[1]) != ("03", "01"):
        return f"{CHANNELS[codes[1]]}, {MODALITIES[codes[0]]}"
    return (
        "outside the Actor folders that were read (a second copy of the release?)"
        if INFO.matches(name_of(path))
        else None
    )


def _actor_folders(root: Path) -> list[Path]:
    return [path for path in folders(root) if path.name.casefold().startswith("actor_")]


def _utterance(path: Path) -> Utterance:
    stem = name_of(path)
    _, _, emotion, intensity, statement, repetition, actor = stem.split("-")
    return Utterance(
        id=f"ravdess/{stem}",
        path=path,
        speaker=f"ravdess/{actor}",
        label=LABELS[emotion],
        corpus="ravdess",
        text=STATEMENTS[statement],
        take=str(int(repetition)),
        gender="male" if int(actor) % 2 else "female",
        language="en",
        attributes={"intensity": INTENSITIES[intensity]},
    )
