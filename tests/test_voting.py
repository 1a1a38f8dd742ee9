"""The vote of members, against counts and means by hand."""

from __future__ import annotations

import numpy as np
import pytest

from voxaffect.voting import Answer, elect, vote

LABELS = ("angry", "happy", "sad")


def test_the_most_votes_win_against_the_higher_mean_probability() -> None:
    logits = np.log([[0.1, 0.5, 0.4], [0.1, 0.5, 0.4], [0.01, 0.01, 0.98]])
    answer = vote(logits, LABELS)
    assert answer.label == "happy"
    assert answer.votes == {"happy": 2, "sad": 1}
    assert answer.agreement == pytest.approx(2 / 3)
    assert answer.probs == pytest.approx({"angry": 0.07, "happy": 1.01 / 3, "sad": 1.78 / 3})
    assert answer.score == pytest.approx(1.01 / 3)
    assert not answer.tied
    by_mean = vote(logits, LABELS, rule="mean")
    assert (by_mean.label, by_mean.agreement) == ("sad", pytest.approx(1 / 3))


def test_a_tie_goes_to_the_higher_mean_probability_and_is_said() -> None:
    answer = vote(np.log([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]), LABELS)
    assert (answer.label, answer.tied) == ("sad", True)
    assert list(answer.votes.items()) == [("sad", 1), ("angry", 1)]
    assert not vote(np.log([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]), LABELS, rule="mean").tied


def test_a_label_outside_the_tie_cannot_win_it() -> None:
    rows = [[0.4, 0.39, 0.21], [0.4, 0.39, 0.21], [0.21, 0.39, 0.4], [0.21, 0.39, 0.4]]
    answer = vote(np.log(rows), LABELS)
    assert max(answer.probs, key=lambda label: answer.probs[label]) == "happy"
    assert answer.label in ("angry", "sad")
    assert answer.tied


def test_temperature_flattens_each_member_before_the_mean() -> None:
    logits = np.array([[2.0, 0.0, -2.0], [0.0, 1.0, 0.0]])
    cooled = np.exp(logits / 4)
    expected = (cooled / cooled.sum(axis=1, keepdims=True)).mean(axis=0)
    answer = vote(logits, LABELS, temperature=4.0)
    np.testing.assert_allclose(list(answer.probs.values()), expected, rtol=1e-12)


def test_a_single_member_never_ties() -> None:
    answer = vote([[1.0, 1.0, 1.0]], LABELS)
    assert (answer.label, answer.agreement, answer.tied) == ("angry", 1.0, False)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="unknown rule 'loudest'; expected 'majority' or 'mean'"):
        vote([[0.0, 0.0, 0.0]], LABELS, rule="loudest")
    with pytest.raises(ValueError, match=r"logits has shape \(1, 2\); expected \(members, 3\)"):
        vote([[0.0, 0.0]], LABELS)


def test_runs_are_decided_by_the_very_rule_of_prediction() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1, (4, 200, 3)).round(1)
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    for rule in ("majority", "mean"):
        election = elect(logits.argmax(axis=2), probs, rule=rule)
        for i in range(200):
            answer = vote(logits[:, i], LABELS, rule=rule)
            assert answer.label == LABELS[election.winners[i]]
            assert answer.tied == election.tied[i]
            assert list(answer.probs.values()) == pytest.approx(election.probs[i])
            assert answer.votes == {label: n for label, n in zip(LABELS, election.votes[i], strict=True) if n}
    assert election.tied.sum() == 0  # a mean has no ties


def test_a_choice_may_differ_from_the_most_probable_class() -> None:
    probs = [[[0.6, 0.4, 0.0]], [[0.6, 0.4, 0.0]], [[0.6, 0.4, 0.0]]]
    assert elect([[1], [1], [0]], probs).winners.tolist() == [1]


def test_weights_weigh_the_mean() -> None:
    probs = [[[0.8, 0.2, 0.0]], [[0.1, 0.9, 0.0]]]
    election = elect([[0], [1]], probs, rule="mean", weights=[3, 1])
    assert election.probs[0] == pytest.approx([0.625, 0.375, 0.0])
    assert election.winners.tolist() == [0]


def test_wrong_elections_are_refused() -> None:
    probs = np.full((2, 1, 3), 1 / 3)
    with pytest.raises(ValueError, match=r"choices must be \(M, N\) and probs \(M, N, K\)"):
        elect([[0, 1], [0, 1]], probs)
    with pytest.raises(ValueError, match="weights go with the rule 'mean', not with 'majority'"):
        elect([[0], [1]], probs, weights=[1, 1])
    for wrong in ([1, -1], [0, 0], [1, 1, 1]):
        with pytest.raises(ValueError, match="weights must be"):
            elect([[0], [1]], probs, rule="mean", weights=wrong)


def test_an_answer_without_a_majority_is_contested() -> None:
    def answer(*choices: int) -> Answer:
        return vote(np.eye(4)[list(choices)], ("a", "b", "c", "d"))

    assert not answer(0, 0, 0, 0, 1, 2, 3).contested
    assert answer(0, 0, 0, 1, 1, 2, 3).contested
    assert answer(0, 0, 1, 1).contested and answer(0, 0, 1, 1).tied
    assert answer(0, 0, 1, 2).contested and not answer(0, 0, 1, 2).tied
    assert not answer(0).contested
