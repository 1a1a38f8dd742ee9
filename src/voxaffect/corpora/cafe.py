"""CaFE, the Canadian French Emotional speech dataset: twelve actors say six sentences in seven emotions.

Release      https://zenodo.org/records/1478765: `CaFE_48k.zip` (wav, 48 kHz), and the same as `CaFE_192k_1.zip` and
             `_2.zip` (aiff, 192 kHz, 24 bit). Folders `Colère/Faible`, `Colère/Fort` … `Neutre`; 936 files.
Paper        P. Gournay, O. Lahaie, R. Lefebvre, "A Canadian French Emotional Speech Dataset", ACM MMSys 2018.
Licence      CC BY-NC-SA 4.0: a model trained on it carries that licence.
Speakers     12 (6 female, 6 male), aged 15 to 64: even actors are women, odd ones men.
Classes      angry, disgust, fearful, happy, sad and surprised 144 each in two intensities, neutral 72: 936.
File names   `01-C-1-1`: actor, emotion (C colère, D dégoût, J joie, N neutre, P peur, S surprise, T tristesse),
             intensity (1 faible, 2 fort), sentence. Neutral has no intensity: `01-N-1`, `01-N-1-1` is the same.
Traps        The aiff files need no conversion, they are decoded as they are; where both copies lie in one folder, the
             wav is read. Folder names hold accents, which ZIP programs mangle: only file names are believed. All
             actors share six sentences.
"""

from __future__ import annotations

import re
from pathlib import Path

from voxaffect.corpora.files import name_of
from voxaffect.corpora.info import CorpusInfo
from voxaffect.corpora.named import clips, second_copy
from voxaffect.table import Utterance, UtteranceTable

LABELS = {
    "C": "angry",
    "D": "disgust",
    "P": "fearful",
    "J": "happy",
    "N": "neutral",
    "T": "sad",
    "S": "surprised",
}
AGES = {
    "01": 46,
    "02": 64,
    "03": 18,
    "04": 50,
    "05": 22,
    "06": 34,
    "07": 15,
    "08": 25,
    "09": 42,
    "10": 20,
    "11": 35,
    "12": 37,
}
"""Years, by actor."""
TEXTS = {
    "1": "Un cheval fou dans mon jardin.",
    "2": "Deux ânes aigris au pelage brun.",
    "3": "Trois cygnes aveugles au bord du lac.",
    "4": "Quatre vieilles truies éléphantesques.",
    "5": "Cinq pumas fiers et passionnés.",
    "6": "Six ours aimants domestiqués.",
}
INTENSITIES = {"1": "low", "2": "high"}

_EACH = len(AGES) * len(INTENSITIES) * len(TEXTS)

INFO = CorpusInfo(
    name="cafe",
    title="CaFE",
    licence="CC BY-NC-SA 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    citation='Gournay, Lahaie and Lefebvre, "A Canadian French Emotional Speech Dataset", ACM MMSys 2018',
    language="fr",
    url="https://zenodo.org/records/1478765",
    labels=tuple(LABELS.values()),
    expected={label: _EACH if label != "neutral" else _EACH // 2 for label in LABELS.values()},
    n_speakers=12,
    file_pattern=r"(?:0[1-9]|1[0-2])-(?:[CDJPST]-[12]|N(?:-1)?)-[1-6]",
    how_to_get="unpack CaFE_48k.zip of the Zenodo record, give the folder that it was unpacked to",
    downloadable=True,
    not_fetched="the checksum of its archive is not part of this program; compare it with that of the Zenodo record",
    notes=(
        "All actors share six sentences: a text is never unseen, so splits are by speaker.",
        "A model trained on it carries CC BY-NC-SA 4.0.",
    ),
)

_NAME = re.compile(r"(?P<actor>\d\d)-(?P<emotion>[A-Z])(?:-(?P<intensity>\d))?-(?P<sentence>\d)")


def read(root: Path) -> UtteranceTable:
    """Every file of the dataset anywhere in `root`, once; of a clip in both formats the wav."""
    return UtteranceTable.of(map(_utterance, clips(INFO, root)))


def explain(path: Path) -> str | None:
    """`a second copy of a clip` for what is read elsewhere or in another format."""
    return second_copy(INFO, path)


def _utterance(path: Path) -> Utterance:
    match = _NAME.fullmatch(name_of(path))
    assert match is not None, path  # file_pattern is narrower than _NAME
    actor, emotion, sentence = match["actor"], match["emotion"], match["sentence"]
    attributes: dict[str, str | float] = {"text_code": sentence, "age": float(AGES[actor])}
    if emotion == "N":
        stem = f"{actor}-N-{sentence}"
    else:
        stem = name_of(path)
        attributes["intensity"] = INTENSITIES[match["intensity"]]
    return Utterance(
        id=f"cafe/{stem}",
        path=path,
        speaker=f"cafe/{actor}",
        label=LABELS[emotion],
        corpus="cafe",
        text=TEXTS[sentence],
        gender="male" if int(actor) % 2 else "female",
        language="fr",
        attributes=attributes,
    )
