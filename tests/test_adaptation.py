"""Adaptation: the offset against the additive model it comes from, and the one-emotion speaker."""

from __future__ import annotations

import json

import numpy as np
import pytest

from voxaffect.adaptation import Gauge, Voice, contrasts, enrol, fit_gauge, fit_voice

K, D, UNITS, CLIPS = 3, 8, 6, 12


def answers(targets: np.ndarray, rng: np.random.Generator, lean: np.ndarray | float = 0.0) -> np.ndarray:
    """Log-probabilities (N, K) that are mostly right; `lean` is what a voice adds to all of its own."""
    logits = 4.0 * np.eye(K)[targets] + 0.3 * rng.standard_normal((len(targets), K)) + lean
    return np.asarray(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))


def world() -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray, np.ndarray]:
    """Statistics that are exactly unit + class, the classes, the units, and both parts; classes are uneven."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, K, UNITS * CLIPS)
    targets[:K] = range(K)
    numbers = np.repeat(np.arange(UNITS), CLIPS)
    of_unit, of_class = rng.standard_normal((UNITS, D)), rng.standard_normal((K, D))
    of_class -= of_class.mean(axis=0)
    return of_unit[numbers] + of_class[targets], targets, [f"s{n}" for n in numbers], of_unit, of_class


def gauge() -> Gauge:
    _, targets, units, *_ = world()
    return fit_gauge(answers(targets, np.random.default_rng(1)), targets, units)


def test_the_parts_of_an_additive_world_are_found_exactly() -> None:
    statistics, targets, units, of_unit, of_class = world()
    voice = fit_voice(statistics, targets, units, K, shrinkage=5.0)
    np.testing.assert_allclose(voice.shifts, of_class, atol=1e-9)
    np.testing.assert_allclose(voice.mean, of_unit.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(voice.shifts.sum(axis=0), 0.0, atol=1e-9)


def test_the_shifts_are_those_of_a_regression_on_dummies() -> None:
    statistics, targets, units, *_ = world()
    noisy = statistics + np.random.default_rng(2).standard_normal(statistics.shape)
    dummies = np.array([[u == f"s{n}" for n in range(UNITS)] for u in units], float)
    design = np.concatenate([dummies, np.eye(K)[targets][:, 1:]], axis=1)
    beta = np.linalg.lstsq(design, noisy, rcond=None)[0]
    by_class = np.concatenate([np.zeros((1, D)), beta[UNITS:]])
    voice = fit_voice(noisy, targets, units, K, shrinkage=5.0)
    np.testing.assert_allclose(voice.shifts, by_class - by_class.mean(axis=0), atol=1e-9)


def test_half_the_offset_counts_at_as_many_seconds_as_the_shrinkage() -> None:
    voice = Voice(np.zeros(D), np.zeros((K, D)), shrinkage=5.0)
    logs = np.full((2, K), -np.log(K))
    for seconds, share in ((5.0, 0.5), (15.0, 0.75)):
        enrolment = enrol(np.ones((2, D)), logs, [seconds / 2] * 2, gauge())
        np.testing.assert_allclose(voice.offset(enrolment), share)


def test_longer_clips_weigh_more() -> None:
    enrolment = enrol([[0.0], [1.0]], np.log(np.full((2, K), 1 / K)), [1.0, 3.0], gauge())
    assert enrolment.mean[0] == pytest.approx(0.75)
    assert enrolment.seconds == 4.0


def test_a_mix_is_known_from_one_class_whatever_the_voice_leans_to() -> None:
    rng = np.random.default_rng(3)
    for lean in (0.0, np.array([3.0, 0.0, 0.0])):
        mixed = answers(np.arange(30) % K, rng, lean)
        assert gauge().mixture(mixed) == 1.0
        for k in range(K):
            assert gauge().mixture(answers(np.full(30, k), rng, lean)) == 0.0


def test_a_speaker_of_one_emotion_keeps_it() -> None:
    statistics, targets, units, of_unit, of_class = world()
    voice = fit_voice(statistics, targets, units, K, shrinkage=1e-9)
    new = np.random.default_rng(4).standard_normal(D)
    angry = np.zeros(10, int)
    certain = np.log(np.clip(np.eye(K)[angry], 1e-9, 1))
    enrolment = enrol(new + of_class[angry], certain, np.ones(10), gauge())
    np.testing.assert_allclose(voice.offset(enrolment), new - of_unit.mean(axis=0), atol=1e-6)
    even = voice.offset(
        enrol(new + of_class, answers(np.arange(K), np.random.default_rng(5)), np.ones(K), gauge())
    )
    np.testing.assert_allclose(even, new - of_unit.mean(axis=0), atol=1e-6)


def test_a_single_clip_counts_as_one_class() -> None:
    assert gauge().variety(answers(np.array([1]), np.random.default_rng(6))) == 0.0


def test_the_gauge_of_one_class_and_of_whole_units_is_0_and_1_on_training_data() -> None:
    _, targets, units, *_ = world()
    logs = answers(targets, np.random.default_rng(1))
    measured = fit_gauge(logs, targets, units)
    names = np.array(units)
    whole = [measured.variety(logs[names == u]) for u in sorted(set(units))]
    assert np.mean(whole) == pytest.approx(1.0)
    cells = [
        measured.variety(logs[(names == u) & (targets == k)])
        for u in sorted(set(units))
        for k in range(K)
        if ((names == u) & (targets == k)).sum() > 2
    ]
    assert abs(np.mean(cells)) < 0.1


def test_logits_and_log_probabilities_are_measured_alike() -> None:
    logs = answers(np.arange(9) % K, np.random.default_rng(7))
    np.testing.assert_allclose(contrasts(logs + np.arange(9)[:, None]), contrasts(logs), atol=1e-12)


def test_a_gauge_survives_json() -> None:
    first = gauge()
    again = Gauge.from_dict(json.loads(json.dumps(first.to_dict())), K)
    np.testing.assert_array_equal(again.whitening, first.whitening)
    assert again.spread == first.spread


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"whitening": [[1.0]]}, r"whitening has shape \(1, 1\); expected \(3, Q\)"),
        ({"spread": 0.0}, "spread above 0"),
        ({"spread": float("nan")}, "must be finite"),
    ],
)
def test_a_gauge_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gauge.from_dict({**gauge().to_dict(), **changes}, K)


def test_nothing_enrols_nobody() -> None:
    with pytest.raises(ValueError, match="expected one or more pieces alike"):
        enrol(np.zeros((0, D)), np.zeros((0, K)), [], gauge())


def test_a_gauge_needs_units_that_vary() -> None:
    targets = np.arange(K)
    logs = answers(targets, np.random.default_rng(0))
    with pytest.raises(ValueError, match="no unit has two utterances of one class"):
        fit_gauge(logs, targets, ["a"] * K)
    same = np.zeros(12, int)
    with pytest.raises(ValueError, match="vary no more than those about one class"):
        fit_gauge(answers(same, np.random.default_rng(0)), same, ["a"] * 12)
