"""Printed figures are those of the mission, and stand beside their own protocol only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from report_runs import ACTORS, STUDY_COUNTS, predict
from voxaffect.predictions import Predictions, concat
from voxaffect.printed import PROTOCOLS, protocol_of

TEST = "iemocap/Ses05F"


def study(speaker: str = TEST) -> Predictions:
    return predict({(speaker, label): n for label, n in STUDY_COUNTS.items()}, 0.6)


def paper(by_session: bool) -> Predictions:
    """5531 utterances of ten actors, in folds by session or by speaker."""
    sizes = [553] * 9 + [554]
    return concat(
        [
            predict({actor: n}, 0.6, fold=actor[:-1] if by_session else actor)
            for actor, n in zip(ACTORS, sizes, strict=True)
        ]
    )


def test_the_study_s_percentages_are_whole_counts_of_its_utterances() -> None:
    for result in PROTOCOLS[0].results:
        for wa in result.wa:
            right = wa / 100 * PROTOCOLS[0].n_utterances
            assert right == pytest.approx(round(right), abs=0.03)  # two decimals of 590 are 0.03 utterances
            assert result.n_right is None or result.n_right == round(right)


def test_each_protocol_is_known_by_its_corpus_utterances_and_tested_speakers() -> None:
    for predictions, name in (
        (study(), "study"),
        (paper(True), "paper-sessions"),
        (paper(False), "paper-speakers"),
    ):
        found = protocol_of(predictions)
        assert found is not None and found.name == name


def test_another_speaker_corpus_number_or_fold_is_another_protocol() -> None:
    whole = study()
    assert protocol_of(study("iemocap/Ses05M")) is None
    assert protocol_of(whole.select(range(589))) is None  # type: ignore[arg-type]
    assert protocol_of(replace(whole, ids=tuple(i.replace("iemocap", "emodb") for i in whole.ids))) is None
    assert protocol_of(replace(whole, labels=("angry", "happy", "neutral", "surprised"))) is None
    assert protocol_of(replace(paper(True), folds=("all",) * 5531)) is None


def test_the_caveat_of_the_ten_folds_is_said() -> None:
    found = protocol_of(paper(False))
    assert found is not None and "speaker that it tests on" in found.caveat
