"""IEMOCAP: speakers, labels and dialogues of the full release."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_trees import BUILDERS, EVALUATION, write_text
from voxaffect import corpora
from voxaffect.corpora import iemocap
from voxaffect.corpora.check import check
from voxaffect.errors import CorpusError
from voxaffect.table import Utterance, UtteranceTable


def test_the_speaker_is_the_letter_before_the_number_not_the_prefix(tmp_path: Path) -> None:
    BUILDERS["iemocap"](tmp_path)
    speakers = {u.id: (u.speaker, u.gender) for u in corpora.read("iemocap", tmp_path)}
    assert speakers["iemocap/Ses01F_impro01_M000"] == ("iemocap/Ses01M", "male")
    assert speakers["iemocap/Ses01F_impro01_F000"] == ("iemocap/Ses01F", "female")
    assert speakers["iemocap/Ses05M_script01_1b_F012"] == ("iemocap/Ses05F", "female")


def test_session_text_and_ratings_are_kept(tmp_path: Path) -> None:
    BUILDERS["iemocap"](tmp_path)
    table = {u.id.partition("/")[2]: u for u in corpora.read("iemocap", tmp_path)}
    improvised, scripted = table["Ses01F_impro01_M000"], table["Ses05M_script01_1b_M003"]
    assert (improvised.session, improvised.text, improvised.label) == (
        "Ses01",
        "Do you have your forms?",
        "excited",
    )
    assert improvised.attributes == {
        "dialogue": "Ses01F_impro01",
        "scenario": "impro01",
        "style": "improvised",
        "valence": 4.0,
        "activation": 4.5,
        "dominance": 3.0,
        "dialogue_start": 7.5712,
        "dialogue_end": 10.475,
    }
    assert (scripted.session, scripted.text) == ("Ses05", None)
    assert (scripted.attributes["scenario"], scripted.attributes["style"]) == ("script01_1b", "scripted")
    assert table["Ses01F_impro01_M001"].label == "unknown"
    assert improvised.start is None and improvised.end is None  # the file holds the utterance alone


def test_the_folder_of_the_release_may_stand_between(tmp_path: Path) -> None:
    BUILDERS["iemocap"](tmp_path / "IEMOCAP_full_release")
    assert len(corpora.read("iemocap", tmp_path)) == 5


def test_recordings_of_whole_dialogues_are_left_out_and_counted(tmp_path: Path) -> None:
    BUILDERS["iemocap"](tmp_path)
    report = check("iemocap", tmp_path)
    assert report.left_out == {"recording of a whole dialogue": 1}
    assert report.extra == ()


def test_a_sentence_that_no_label_lists_is_extra_and_a_label_without_sentence_missing(tmp_path: Path) -> None:
    BUILDERS["iemocap"](tmp_path)
    sentences = tmp_path / "Session1" / "sentences" / "wav" / "Ses01F_impro01"
    (sentences / "Ses01F_impro01_F000.wav").rename(sentences / "Ses01F_impro01_F999.wav")
    report = check("iemocap", tmp_path)
    assert [Path(name).stem for name in report.extra] == ["Ses01F_impro01_F999"]
    assert report.missing == ("there is no file Ses01F_impro01_F000.wav (No such file or directory)",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "\tneu\t",
            "\thmm\t",
            "unknown_label: Ses01F_impro01.txt line 3: unknown label 'hmm'; expected one of",
        ),
        ("[2.5000, 2.5000, 2.5000]", "[2.5]", "bad_row: Ses01F_impro01.txt line 3: '[6.2901 - 8.2357]"),
        ("_F000\tneu", "_X000\tneu", "bad_row: Ses01F_impro01.txt line 3: '[6.2901 - 8.2357]"),
    ],
)
def test_what_is_wrong_in_a_label_file_is_named_with_its_line(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    BUILDERS["iemocap"](tmp_path)
    file = tmp_path / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt"
    write_text(file, EVALUATION.replace(old, new, 1))
    with pytest.raises(CorpusError) as caught:
        corpora.read("iemocap", tmp_path)
    assert str(caught.value).startswith(message)
    assert caught.value.where == str(file)


def test_the_published_counts_agree_with_each_other() -> None:
    expected = iemocap.INFO.expected
    four = sum(expected[label] for label in ("angry", "happy", "excited", "neutral", "sad"))
    assert iemocap.INFO.n_utterances == sum(iemocap.SESSIONS.values()) == 10039
    assert four == sum(iemocap.FOUR_CLASS_SESSIONS.values()) == 2943 + 2588 == 5531
    assert expected["happy"] + expected["excited"] == 1636


def the_whole_release() -> UtteranceTable:
    """As many utterances of each label, session and style as the release has."""
    labels = [label for label, n in iemocap.INFO.expected.items() for _ in range(n)]
    four = [x for x in labels if x in ("angry", "happy", "excited", "neutral", "sad")]
    rest = [x for x in labels if x not in ("angry", "happy", "excited", "neutral", "sad")]
    utterances = []
    for session, n_all in iemocap.SESSIONS.items():
        n_four = iemocap.FOUR_CLASS_SESSIONS[session]
        for i in range(n_all):
            label = four.pop() if i < n_four else rest.pop()
            female = i < 590 or (i >= n_four and i % 2 == 0)
            speaker = f"iemocap/{session}{'F' if female else 'M'}"
            style = "scripted" if i < n_four and len(four) < 2588 else "improvised"
            utterances.append(
                Utterance(
                    id=f"iemocap/{session}_{i}",
                    path=Path(f"{session}_{i}.wav"),
                    speaker=speaker,
                    label=label,
                    corpus="iemocap",
                    session=session,
                    attributes={"style": style},
                )
            )
    return UtteranceTable.of(utterances)


def test_every_fact_agrees_for_a_table_of_the_whole_release() -> None:
    found = iemocap.facts(the_whole_release())
    assert [fact for fact in found if fact.found != fact.expected] == []
    assert {"four classes", "four classes, Ses05F", "all labels, Ses03"} <= {fact.name for fact in found}


def test_the_report_shows_the_facts(tmp_path: Path) -> None:
    BUILDERS["iemocap"](tmp_path)
    lines = [line.split() for line in check("iemocap", tmp_path).text().splitlines()]
    assert ["four", "classes", "4", "5531"] in lines
    assert ["four", "classes,", "Ses05F", "1", "590"] in lines
    assert ["unknown", "1", "2507"] in lines
