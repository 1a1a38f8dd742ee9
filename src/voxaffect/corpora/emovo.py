"""EMOVO: six Italian actors say fourteen sentences in seven emotions.

Release      http://voice.fub.it/activities/corpora/emovo/index.html: folders `f1` to `f3` and `m1` to `m3`, 588
             files.
Paper        G. Costantini, I. Iaderola, A. Paoloni, M. Todisco, "EMOVO Corpus: an Italian Emotional Speech
             Database", LREC 2014.
Licence      we know of no stated one; ask its authors before anything but research.
Speakers     6 (3 female, 3 male).
Classes      angry, disgust, fearful, happy, neutral, sad and surprised 84 each: 588.
File names   `dis-f1-b1`: emotion (dis disgusto, gio gioia, neu neutro, pau paura, rab rabbia, sor sorpresa, tri
             tristezza), speaker, sentence (b short, l long, n nonsense, d question).
Traps        All actors share fourteen sentences, five of them without sense: split by speaker.
"""

from __future__ import annotations

from pathlib import Path

from voxaffect.corpora.files import name_of
from voxaffect.corpora.info import CorpusInfo
from voxaffect.corpora.named import clips, second_copy
from voxaffect.table import Utterance, UtteranceTable

LABELS = {
    "rab": "angry",
    "dis": "disgust",
    "pau": "fearful",
    "gio": "happy",
    "neu": "neutral",
    "tri": "sad",
    "sor": "surprised",
}
TEXTS = {
    "b1": "Gli operai si alzano presto.",
    "b2": "I vigili sono muniti di pistola.",
    "b3": "La cascata fa molto rumore.",
    "d1": "Sabato sera cosa farà?",
    "d2": "Porti con te quella cosa?",
    "l1": "L'autunno prossimo Tony partirà per la Spagna nella prima metà di ottobre.",
    "l2": "Ora prendo la felpa di là ed esco per fare una passeggiata.",
    "l3": "Un attimo dopo s'è incamminato ed è inciampato.",
    "l4": "Vorrei il numero telefonico del Signor Piatti.",
    "n1": "La casa forte vuole col pane.",
    "n2": "La forza trova il passo e l'aglio rosso.",
    "n3": "Il gatto sta scorrendo nella pera.",
    "n4": "Insalata pastasciutta coscia d'agnello limoncello.",
    "n5": "Uno quarantatré dieci mille cinquantasette venti.",
}

_EACH = 6 * len(TEXTS)  # six speakers

INFO = CorpusInfo(
    name="emovo",
    title="EMOVO",
    licence="not stated",
    licence_url="",
    citation='Costantini et al., "EMOVO Corpus: an Italian Emotional Speech Database", LREC 2014',
    language="it",
    url="http://voice.fub.it/activities/corpora/emovo/index.html",
    labels=tuple(LABELS.values()),
    expected=dict.fromkeys(LABELS.values(), _EACH),
    n_speakers=6,
    file_pattern=rf"(?:{'|'.join(LABELS)})-[fm][123]-(?:{'|'.join(TEXTS)})",
    how_to_get="download it from its page, give the folder that holds f1/ … m3/",
    downloadable=False,
    not_fetched="no terms are stated that would let a program download it",
    notes=("All speakers share fourteen sentences: a text is never unseen, so splits are by speaker.",),
)


def read(root: Path) -> UtteranceTable:
    """Every file of the corpus anywhere in `root`, once."""
    return UtteranceTable.of(map(_utterance, clips(INFO, root)))


def explain(path: Path) -> str | None:
    """`a second copy of a clip` for what is read elsewhere."""
    return second_copy(INFO, path)


def _utterance(path: Path) -> Utterance:
    stem = name_of(path)
    emotion, speaker, sentence = stem.split("-")
    return Utterance(
        id=f"emovo/{stem}",
        path=path,
        speaker=f"emovo/{speaker}",
        label=LABELS[emotion],
        corpus="emovo",
        text=TEXTS[sentence],
        gender="female" if speaker.startswith("f") else "male",
        language="it",
        attributes={"text_code": sentence},
    )
