"""ESD, the Emotional Speech Dataset: ten Mandarin and ten English speakers, 350 sentences in five emotions.

Release      https://github.com/HLTSingapore/Emotional-Speech-Data (by a signed form): folders `0001` to `0020`, in each
             `0001.txt` and the folders `Angry`, `Happy`, `Neutral`, `Sad`, `Surprise` with 350 files each, some copies
             sorted further into `train`, `evaluation` and `test`.
Paper        K. Zhou, B. Sisman, R. Liu, H. Li, "Emotional voice conversion: Theory, databases and ESD", Speech
             Communication 137, 2022.
Licence      research only, after its licence form was sent to the authors.
Speakers     20: 0001 to 0010 Mandarin, 0011 to 0020 English; 10 female, 10 male, as its ReadMe says.
Classes      angry, happy, neutral, sad and surprised 7000 each: 35000.
File names   `0001_000351`: speaker and number; 1 to 350 neutral, to 700 angry, to 1050 happy, to 1400 sad, to 1750
             surprise. The same place in each block is the same sentence, for all speakers of a language.
Traps        The transcripts are in GB 2312, UTF-16, UTF-8 or Latin-1, by speaker. The release's train, evaluation and
             test share all speakers: they are for voice conversion and measure nothing here. A sentence is said by
             ten speakers in five emotions: split by speaker, and know that its text is never unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from voxaffect.corpora.files import name_of
from voxaffect.corpora.info import CorpusInfo
from voxaffect.corpora.named import clips, second_copy
from voxaffect.errors import CorpusError
from voxaffect.table import Utterance, UtteranceTable

LABELS = {
    "angry": "angry",
    "happy": "happy",
    "neutral": "neutral",
    "sad": "sad",
    "surprise": "surprised",
}
"""By the release's folders."""
BLOCKS = ("neutral", "angry", "happy", "sad", "surprise")
"""The folders in the order of the files' numbers."""
N_SENTENCES = 350
PARTS = ("train", "evaluation", "test")
FEMALE = frozenset({"0001", "0002", "0003", "0007", "0009", "0015", "0016", "0017", "0018", "0019"})
LAST_MANDARIN = "0010"

_EACH = 20 * N_SENTENCES

INFO = CorpusInfo(
    name="esd",
    title="ESD",
    licence="research only, by a signed form",
    licence_url="https://github.com/HLTSingapore/Emotional-Speech-Data",
    citation='Zhou et al., "Emotional voice conversion: Theory, databases and ESD", Speech Communication 137, 2022',
    language="en, zh",
    url="https://github.com/HLTSingapore/Emotional-Speech-Data",
    labels=tuple(LABELS.values()),
    expected=dict.fromkeys(LABELS.values(), _EACH),
    n_speakers=20,
    file_pattern=r"00(?:0[1-9]|1\d|20)_00(?!0000)(?:0\d{3}|1[0-6]\d\d|17[0-4]\d|1750)",
    how_to_get="send the licence form on its page to its authors, give the folder that holds 0001/ … 0020/",
    downloadable=False,
    not_fetched="its authors want a signed form first",
    notes=(
        "train, evaluation and test of the release share all speakers; they are no split for this purpose.",
        "All speakers of a language share 350 sentences: a text is never unseen, so splits are by speaker.",
    ),
)

_LINE = re.compile(r"(?P<stem>\d{4}_\d{6})\s+(?P<text>.*)")


def read(root: Path) -> UtteranceTable:
    """Every file of the dataset anywhere in `root`, once, with its transcript where there is one.

    The label is the folder's name, else the block of the file's number. The attribute `part` is train,
    evaluation or test where the copy is sorted so.

    Raises:
        CorpusError: `no_such_folder`, `unreadable_text`.
    """
    return UtteranceTable.of(_utterances(clips(INFO, root)))


def explain(path: Path) -> str | None:
    """`a second copy of a clip` for what is read elsewhere."""
    return second_copy(INFO, path)


def _utterances(paths: list[Path]) -> Iterator[Utterance]:
    texts: dict[Path, dict[str, str]] = {}
    for path in paths:
        stem = name_of(path)
        speaker, number = stem.split("_")
        transcript = _transcript_of(path, speaker)
        if transcript is not None and transcript not in texts:
            texts[transcript] = _texts(transcript, mandarin=speaker <= LAST_MANDARIN)
        place = path.parent
        part = place.name.casefold() if place.name.casefold() in PARTS else None
        named = (place.parent if part else place).name.casefold()
        language = "zh" if speaker <= LAST_MANDARIN else "en"
        attributes: dict[str, str | float] = {
            "text_code": f"{language}{(int(number) - 1) % N_SENTENCES + 1:03d}"
        }
        if part:
            attributes["part"] = part
        yield Utterance(
            id=f"esd/{stem}",
            path=path,
            speaker=f"esd/{speaker}",
            label=LABELS[named if named in LABELS else BLOCKS[(int(number) - 1) // N_SENTENCES]],
            corpus="esd",
            text=texts[transcript].get(stem) if transcript else None,
            gender="female" if speaker in FEMALE else "male",
            language=language,
            attributes=attributes,
        )


def _transcript_of(path: Path, speaker: str) -> Path | None:
    """`0001.txt` in the folder of the speaker, which is one to three above the file."""
    for above in list(path.parents)[:3]:
        if (above / f"{speaker}.txt").is_file():
            return above / f"{speaker}.txt"
    return None


def _texts(path: Path, *, mandarin: bool) -> dict[str, str]:
    """What was said, by file name; a line is name, text and emotion, with tabs or blanks between them."""
    texts = {}
    for line in _decoded(path, "gb18030" if mandarin else "latin-1").splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None:
            continue
        text, tab, _ = match["text"].rpartition("\t")
        if not tab:  # blanks in place of tabs
            text, _, last = match["text"].rpartition(" ")
            text = text if last.casefold() in LABELS else match["text"]
        texts[match["stem"]] = text.strip()
    return texts


def _decoded(path: Path, fallback: str) -> str:
    """UTF-16 with or without a mark, UTF-8, else `fallback`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError("unreadable_text", f"cannot read {path}: {error.strerror}") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    if b"\0" in data:
        return data.decode("utf-16-le", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode(fallback, errors="replace")
