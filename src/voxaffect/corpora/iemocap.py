"""IEMOCAP, the Interactive Emotional Dyadic Motion Capture database: five sessions of two actors, 12 hours.

Release      https://sail.usc.edu/iemocap/ (on request), `IEMOCAP_full_release`: for each session N
             `SessionN/sentences/wav/<dialogue>/<utterance>.wav` (16 kHz, mono),
             `SessionN/dialog/EmoEvaluation/<dialogue>.txt` (labels) and
             `SessionN/dialog/transcriptions/<dialogue>.txt` (what was said).
Paper        C. Busso et al., "IEMOCAP: Interactive emotional dyadic motion capture database", Language
             Resources and Evaluation 42, 2008.
Licence      Research use by agreement with USC; not to be passed on.
Speakers     10: Ses01F, Ses01M … Ses05F, Ses05M, in English.
Classes      angry 1103, happy 595, excited 1041, sad 1084, frustrated 1849, fearful 40, surprised 107,
             neutral 1708, disgust 2, other 3, and 2507 without a majority (xxx, our `unknown`): 10039. The
             four classes that the field reports (excited counted as happy) are 5531: angry 1103, happy 1636,
             neutral 1708, sad 1084; by session 1085, 1023, 1151, 1031, 1241; improvised 2943, scripted 2588.
Labels       lines of EmoEvaluation that begin with `[`: `[start - end]`, utterance, label, `[valence,
             activation, dominance]` from 1 to 5, the means of the raters, tab-separated.
Traps        The speaker is the letter before the utterance's last number, not the prefix:
             `Ses01F_impro01_M003` is spoken by Ses01M (F says who wore the motion-capture markers). Copies
             hold `._*.txt` files of macOS that are no text. The scenario alone predicts the class well: score
             it as a baseline, and beware of scripted texts that return in every session. The two actors of a
             session talk to each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from voxaffect.corpora.files import audio_files, folder, name_of, read_text, subfolder
from voxaffect.corpora.info import CorpusInfo, Fact
from voxaffect.errors import CorpusError
from voxaffect.table import Utterance, UtteranceTable

LABELS = {
    "ang": "angry",
    "dis": "disgust",
    "exc": "excited",
    "fea": "fearful",
    "fru": "frustrated",
    "hap": "happy",
    "neu": "neutral",
    "oth": "other",
    "sad": "sad",
    "sur": "surprised",
    "xxx": "unknown",
}

FOUR_CLASS_SESSIONS = {"Ses01": 1085, "Ses02": 1023, "Ses03": 1151, "Ses04": 1031, "Ses05": 1241}
STYLES = {"improvised": 2943, "scripted": 2588}
SES05F = 590
"""Utterances of the four classes by session, by style, and by the actor on whom the study tests."""
SESSIONS = {"Ses01": 1819, "Ses02": 1811, "Ses03": 2136, "Ses04": 2103, "Ses05": 2170}

INFO = CorpusInfo(
    name="iemocap",
    title="IEMOCAP",
    licence="research use by agreement with USC",
    licence_url="https://sail.usc.edu/iemocap/iemocap_release.htm",
    citation='Busso et al., "IEMOCAP: Interactive emotional dyadic motion capture database", '
    "Language Resources and Evaluation 42, 2008",
    language="en",
    url="https://sail.usc.edu/iemocap/",
    labels=(
        "angry",
        "disgust",
        "excited",
        "fearful",
        "frustrated",
        "happy",
        "neutral",
        "other",
        "sad",
        "surprised",
        "unknown",
    ),
    expected={
        "angry": 1103,
        "disgust": 2,
        "excited": 1041,
        "fearful": 40,
        "frustrated": 1849,
        "happy": 595,
        "neutral": 1708,
        "other": 3,
        "sad": 1084,
        "surprised": 107,
        "unknown": 2507,
    },
    n_speakers=10,
    file_pattern=r"Ses0[1-5][FM]_(?:impro|script)\d\d\w*_[FM](?:XX)?\d+",
    how_to_get="ask for the full release at the address above, give the folder that holds Session1 …",
    downloadable=False,
    notes=(
        "The speaker is the letter before an utterance's number: Ses01F_impro01_M003 is spoken by Ses01M.",
        "Four classes with excited as happy (mapping 'excited-is-happy') are 5531 utterances.",
        "The scenario's name alone predicts the class well; a score needs that baseline beside it.",
    ),
)

_LINE = re.compile(
    r"\[(?P<start>[\d.]+)\s*-\s*(?P<end>[\d.]+)\]\s+(?P<name>\S+)\s+(?P<label>\S+)\s+"
    r"\[(?P<valence>-?[\d.]+),\s*(?P<activation>-?[\d.]+),\s*(?P<dominance>-?[\d.]+)\]\s*"
)
_NAME = re.compile(r"(?P<dialogue>(?P<session>Ses\d\d)[FM]_(?P<scenario>\w+))_(?P<letter>[FM])(?:XX)?\d+")
_TRANSCRIPT = re.compile(r"(?P<name>Ses\S+)\s+\[[\d.\s-]+\]:\s*(?P<text>.*)")
_DIALOGUE_FOLDER = re.compile(r"/Session\d/dialog/", re.IGNORECASE)
_GENDERS = {"F": "female", "M": "male"}


def read(root: Path) -> UtteranceTable:
    """Every utterance that the EmoEvaluation files list, with all eleven labels; `root` holds `Session1` …

    `session` is `Ses01`, `text` the transcription where there is one. Attributes: `dialogue`, `scenario`
    (`impro01`, `script01_1`), `style` (`improvised` or `scripted`), `valence`, `activation`, `dominance`, and
    the seconds `dialogue_start` and `dialogue_end` of the utterance within its dialogue.

    Raises:
        CorpusError: `no_such_folder`, `bad_row` or `unknown_label` with file and line.
    """
    root = subfolder(folder(root), "IEMOCAP_full_release") or root
    return UtteranceTable.of(
        utterance
        for number in range(1, 6)
        if (session := subfolder(root, f"Session{number}"))
        for utterance in _session(session)
    )


def facts(table: UtteranceTable) -> tuple[Fact, ...]:
    """The published counts of the release as a whole and of the four classes, beside those of `table`."""
    four = table.relabelled({"excited": "happy"}).where(
        lambda u: u.label in ("angry", "happy", "neutral", "sad")
    )
    by_session = four.counts(lambda u: u.session or "")
    by_style = four.counts(lambda u: str(u.attributes["style"]))
    by_speaker = four.counts(lambda u: u.speaker)
    everything = table.counts(lambda u: u.session or "")
    return (
        *(Fact(f"all labels, {name}", everything.get(name, 0), n) for name, n in SESSIONS.items()),
        Fact("four classes", len(four), 5531),
        Fact("four classes, happy and excited", four.counts(lambda u: u.label).get("happy", 0), 1636),
        *(
            Fact(f"four classes, {name}", by_session.get(name, 0), n)
            for name, n in FOUR_CLASS_SESSIONS.items()
        ),
        *(Fact(f"four classes, {style}", by_style.get(style, 0), n) for style, n in STYLES.items()),
        Fact("four classes, Ses05F", by_speaker.get("iemocap/Ses05F", 0), SES05F),
    )


def explain(path: Path) -> str | None:
    """`recording of a whole dialogue` for what lies in `dialog/`."""
    return "recording of a whole dialogue" if _DIALOGUE_FOLDER.search(path.as_posix()) else None


def _session(session: Path) -> Iterator[Utterance]:
    evaluations = subfolder(session, "dialog", "EmoEvaluation")
    if evaluations is None:
        return
    wav = subfolder(session, "sentences", "wav") or session / "sentences" / "wav"
    present = {name_of(path): path for path in audio_files(wav)} if wav.is_dir() else {}
    texts = _transcriptions(subfolder(session, "dialog", "transcriptions"))
    for file in _text_files(evaluations):
        for number, line in enumerate(read_text(file).splitlines(), start=1):
            if line.startswith("["):
                yield _utterance(file, number, line, wav, present, texts)


def _utterance(
    file: Path, number: int, line: str, wav: Path, present: dict[str, Path], texts: dict[str, str]
) -> Utterance:
    where = f"{file.name} line {number}"
    match = _LINE.fullmatch(line)
    name = _NAME.fullmatch(match["name"]) if match else None
    if match is None or name is None:
        raise CorpusError(
            "bad_row",
            f"{where}: {line!r} is not [start - end] utterance label [valence, activation, dominance]",
            where=str(file),
        )
    if match["label"] not in LABELS:
        raise CorpusError(
            "unknown_label",
            f"{where}: unknown label {match['label']!r}; expected one of {list(LABELS)}",
            where=str(file),
        )
    stem, dialogue = match["name"], name["dialogue"]
    return Utterance(
        id=f"iemocap/{stem}",
        path=present.get(stem, wav / dialogue / f"{stem}.wav"),
        speaker=f"iemocap/{name['session']}{name['letter']}",
        label=LABELS[match["label"]],
        corpus="iemocap",
        session=name["session"],
        text=texts.get(stem),
        gender=_GENDERS[name["letter"]],
        language="en",
        attributes={
            "dialogue": dialogue,
            "scenario": name["scenario"],
            "style": "improvised" if name["scenario"].startswith("impro") else "scripted",
            "valence": float(match["valence"]),
            "activation": float(match["activation"]),
            "dominance": float(match["dominance"]),
            "dialogue_start": float(match["start"]),
            "dialogue_end": float(match["end"]),
        },
    )


def _transcriptions(directory: Path | None) -> dict[str, str]:
    lines = (
        [line for file in _text_files(directory) for line in read_text(file).splitlines()]
        if directory
        else []
    )
    matches = filter(None, map(_TRANSCRIPT.fullmatch, lines))
    return {match["name"]: match["text"].strip() for match in matches}


def _text_files(directory: Path) -> list[Path]:
    """The text files directly in `directory`, without the `._*` files that macOS leaves."""
    return sorted(
        p for p in directory.iterdir() if p.suffix.casefold() == ".txt" and not p.name.startswith(".")
    )
