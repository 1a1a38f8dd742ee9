"""TESS, the Toronto emotional speech set: two actresses say "Say the word …" with 200 words in seven emotions.

Release      https://doi.org/10.5683/SP2/E8H2MF (Borealis): 2800 files. A copy in wide circulation sorts them into
             folders `OAF_angry`, `OAF_Fear`, `YAF_pleasant_surprised` …, and holds that whole tree twice, one
             inside the other.
Paper        M. K. Pichora-Fuller, K. Dupuis, "Toronto emotional speech set (TESS)", Borealis, 2020.
Licence      CC BY-NC-ND 4.0.
Speakers     2: OAF is 64 years old, YAF 26.
Classes      angry, disgust, fearful, happy, neutral, sad and surprised ("pleasant surprise") 400 each: 2800.
File names   `OAF_back_angry`: speaker, word, emotion (angry, disgust, fear, happy, neutral, ps, sad).
Traps        One file is called `OA_bite_neutral` in the release itself; OA is no third speaker. `ps` is pleasant
             surprise. The folders' spelling varies, so only the file names are believed. With two speakers there
             is no test on an unseen one that has more than one voice to train on, and no dev speaker; random
             splits of it score near 100 % and mean nothing.
"""

from __future__ import annotations

from pathlib import Path

from voxaffect.corpora.files import name_of
from voxaffect.corpora.info import CorpusInfo
from voxaffect.corpora.named import clips, second_copy
from voxaffect.table import Utterance, UtteranceTable

LABELS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "sad": "sad",
    "ps": "surprised",
}
AGES = {"OAF": 64, "YAF": 26}
"""Years, by speaker."""

_EACH = 400

INFO = CorpusInfo(
    name="tess",
    title="TESS",
    licence="CC BY-NC-ND 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-nd/4.0/",
    citation='Pichora-Fuller and Dupuis, "Toronto emotional speech set (TESS)", Borealis, 2020, '
    "doi:10.5683/SP2/E8H2MF",
    language="en",
    url="https://doi.org/10.5683/SP2/E8H2MF",
    labels=tuple(LABELS.values()),
    expected=dict.fromkeys(LABELS.values(), _EACH),
    n_speakers=2,
    file_pattern=rf"(?i:(?:OAF?|YAF)_[a-z]+_(?:{'|'.join(LABELS)}))",
    how_to_get="download all files from its page, give the folder that they were unpacked to",
    downloadable=True,
    not_fetched="it is 2800 files whose checksums are not part of this program",
    notes=(
        "Two speakers only: there is no dev speaker when one of them tests.",
        "ps stands for pleasant surprise; OA_bite_neutral is spoken by OAF.",
        "Both say the same 200 words: a text is never unseen.",
    ),
)


def read(root: Path) -> UtteranceTable:
    """Every file of the set anywhere in `root`, once."""
    return UtteranceTable.of(map(_utterance, clips(INFO, root)))


def explain(path: Path) -> str | None:
    """`a second copy of a clip` for what a folder inside the folder repeats."""
    return second_copy(INFO, path)


def _utterance(path: Path) -> Utterance:
    prefix, word, emotion = name_of(path).split("_")
    speaker = "YAF" if prefix.upper() == "YAF" else "OAF"
    return Utterance(
        id=f"tess/{speaker}_{word}_{emotion.casefold()}",
        path=path,
        speaker=f"tess/{speaker}",
        label=LABELS[emotion.casefold()],
        corpus="tess",
        text=f"Say the word {word.casefold()}.",
        gender="female",
        language="en",
        attributes={"text_code": word.casefold(), "age": float(AGES[speaker])},
    )
