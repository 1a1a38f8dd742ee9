"""Intervals and tests: known answers, scipy, and simulations whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from voxaffect import metrics
from voxaffect.errors import CorpusError
from voxaffect.predictions import Predictions
from voxaffect.significance import (
    Interval,
    bootstrap,
    cluster,
    compare,
    holm,
    interval,
    mcnemar,
    paired_difference,
)

RNG = np.random.default_rng


def speakers_of_unlike_skill(n_speakers: int, n: int, seed: int) -> np.ndarray:
    """Confusions (G, 2, 2) of speakers who are heard rightly with chances spread evenly over 0.5 to 0.9."""
    rng = RNG(seed)
    right = rng.binomial(n, rng.uniform(0.5, 0.9, n_speakers))
    confusions = np.zeros((n_speakers, 2, 2), dtype=np.int64)
    confusions[:, 0, 0], confusions[:, 0, 1] = right, n - right
    return confusions


def single_utterances(confusions: np.ndarray) -> np.ndarray:
    """The same utterances, each a cluster of its own."""
    cells = confusions.sum(axis=0).ravel()
    return np.eye(len(cells), dtype=np.int64)[np.repeat(np.arange(len(cells)), cells)].reshape(
        -1, *confusions.shape[1:]
    )


def width(i: Interval) -> float:
    return i.high - i.low


# the bootstrap


def test_resampling_speakers_widens_the_interval_where_speakers_differ() -> None:
    confusions = speakers_of_unlike_skill(20, 50, 0)
    by_speaker = interval(confusions, metrics.wa)
    by_utterance = interval(single_utterances(confusions), metrics.wa, clusters="utterances")
    assert by_speaker.value == by_utterance.value
    assert width(by_speaker) > 1.5 * width(by_utterance)


def test_where_speakers_do_not_differ_it_does_not() -> None:
    rng = RNG(1)
    right = rng.binomial(50, 0.7, 20)
    confusions = np.zeros((20, 2, 2), dtype=np.int64)
    confusions[:, 0, 0], confusions[:, 0, 1] = right, 50 - right
    ratio = width(interval(confusions, metrics.wa)) / width(
        interval(single_utterances(confusions), metrics.wa)
    )
    assert 0.6 < ratio < 1.4


def test_the_interval_holds_the_true_value_about_as_often_as_it_says() -> None:
    intervals = [
        interval(speakers_of_unlike_skill(30, 40, seed), metrics.wa, n_bootstrap=400, seed=seed)
        for seed in range(200)
    ]
    covered = np.mean([i.low <= 0.7 <= i.high for i in intervals])
    assert (
        0.89 <= covered <= 0.99
    )  # 0.95 less what the percentile bootstrap loses at 30, within 3 standard errors


def test_the_draws_are_those_of_a_plain_loop() -> None:
    confusions = RNG(2).integers(0, 9, (6, 3, 3))
    value, draws = bootstrap(confusions, metrics.ua, n_bootstrap=50, seed=7)
    times = RNG(7).multinomial(6, np.full(6, 1 / 6), size=50)
    loop = [float(metrics.ua(sum(t * c for t, c in zip(row, confusions, strict=True)))) for row in times]
    assert draws == pytest.approx(loop, abs=1e-12)
    assert value == float(metrics.ua(confusions.sum(axis=0)))


def test_alike_clusters_are_drawn_as_often_as_they_stand() -> None:
    utterances = single_utterances(np.array([[[30, 10], [5, 15]]]))
    value, draws = bootstrap(utterances, metrics.wa, n_bootstrap=4000)
    assert value == 0.75
    assert draws.mean() == pytest.approx(0.75, abs=0.004)  # 4 standard errors
    assert draws.std() == pytest.approx(np.sqrt(0.75 * 0.25 / 60), rel=0.05)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    confusions = speakers_of_unlike_skill(10, 30, 0)
    assert interval(confusions, metrics.wa, seed=1) == interval(confusions, metrics.wa, seed=1)
    assert interval(confusions, metrics.wa, seed=1) != interval(confusions, metrics.wa, seed=2)


def test_of_several_seeds_the_mean_is_resampled() -> None:
    a, b = RNG(3).integers(0, 9, (2, 8, 4, 4))
    value, draws = bootstrap(np.stack([a, b]), metrics.ua, n_bootstrap=100)
    (value_a, draws_a), (value_b, draws_b) = (bootstrap(x, metrics.ua, n_bootstrap=100) for x in (a, b))
    assert value == pytest.approx((value_a + value_b) / 2)
    assert draws == pytest.approx((draws_a + draws_b) / 2)


def test_few_speakers_are_marked_unreliable() -> None:
    assert not interval(speakers_of_unlike_skill(4, 30, 0), metrics.wa).reliable
    assert interval(speakers_of_unlike_skill(5, 30, 0), metrics.wa).reliable
    assert not Interval(0.5, 0.4, 0.6, 1000, "utterances").reliable


def test_no_cluster_or_no_draw_is_refused() -> None:
    with pytest.raises(ValueError, match=r"with G > 0, got \(1, 0, 2, 2\)"):
        bootstrap(np.zeros((0, 2, 2)), metrics.wa)
    with pytest.raises(ValueError, match="n_bootstrap must be above 0, got 0"):
        bootstrap(np.ones((2, 2, 2)), metrics.wa, n_bootstrap=0)


# paired


def test_pairing_narrows_the_interval_of_a_difference() -> None:
    first = speakers_of_unlike_skill(20, 50, 0)
    second = first.copy()
    second[:, 0, 0] += 2
    second[:, 0, 1] -= 2
    d, p = paired_difference(first, second, metrics.wa)
    assert d.value == pytest.approx(0.04)
    assert width(d) < 1e-9 < width(interval(first, metrics.wa))
    assert p < 0.01


def test_a_system_does_not_differ_from_itself() -> None:
    confusions = speakers_of_unlike_skill(8, 20, 0)
    d, p = paired_difference(confusions, confusions, metrics.ua)
    assert (d.value, d.low, d.high, p) == (0, 0, 0, 1)


def test_two_systems_of_equal_skill_seldom_differ_significantly() -> None:
    p = [
        paired_difference(
            speakers_of_unlike_skill(30, 20, seed),
            speakers_of_unlike_skill(30, 20, seed + 500),
            metrics.wa,
            n_bootstrap=300,
        )[1]
        for seed in range(150)
    ]
    assert (
        np.mean(np.array(p) < 0.05) < 0.13
    )  # 0.05 within 3 standard errors, and the bootstrap's small excess


def test_unlike_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match="3 and 4 clusters are not paired"):
        paired_difference(np.ones((3, 2, 2)), np.ones((4, 2, 2)), metrics.wa)


@pytest.mark.parametrize(
    ("b", "c"), [(0, 0), (0, 1), (1, 8), (8, 1), (10, 10), (45, 55), (300, 380), (2000, 2500)]
)
def test_mcnemar_is_the_exact_binomial_test(b: int, c: int) -> None:
    result = mcnemar([True] * b + [False] * c + [True, False], [False] * b + [True] * c + [True, False])
    assert (result.only_first, result.only_second) == (b, c)
    expected = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert result.p == pytest.approx(expected, rel=1e-9)  # scipy's own rounding


def test_the_study_s_ten_more_right_of_590_are_chance() -> None:
    first, second = np.zeros((2, 590), dtype=bool)
    first[:369] = True
    second[45:424] = True  # 379 right; the two disagree on 100
    result = mcnemar(first, second)
    assert result.only_first + result.only_second == 100
    assert result.p == pytest.approx(stats.binomtest(45, 100, 0.5).pvalue)
    assert result.p > 0.3


def test_lists_of_unlike_length_are_refused() -> None:
    with pytest.raises(ValueError, match="equally long"):
        mcnemar([True], [True, False])


# two runs


def run(
    answers: str,
    truth: str = "aabbaabb",
    speakers: str = "11223344",
    labels: str = "ab",
    seed: int = 0,
    skip: int = 0,
) -> Predictions:
    classes = sorted(labels)
    n = len(truth)
    return Predictions(
        ids=tuple(f"u{i}" for i in range(skip, n)),
        speakers=tuple(speakers[skip:]) if speakers else ("",) * (n - skip),
        folds=("",) * (n - skip),
        labels=tuple(classes),
        truth=np.array([classes.index(x) for x in truth[skip:]]),
        probs=np.eye(len(classes))[[classes.index(x) for x in answers[skip:]]],
        seeds=(seed,) * (n - skip),
    )


def test_two_runs_are_compared_on_what_they_share() -> None:
    c = compare(run("aabbaabb"), run("abbbbbbb", skip=1))
    assert (c.n_shared, c.n_first, c.n_second) == (7, 8, 7)
    assert c.first["WA"] == 1
    assert c.second["WA"] == pytest.approx(4 / 7)
    assert c.difference["UA"].value == pytest.approx(0.5 - 1)
    assert (c.mcnemar.only_first, c.mcnemar.only_second) == (3, 0)
    text = c.render("cnn", "vit")
    assert "7 utterances; intervals resample 4 speakers; shared by 8 of cnn and 7 of vit; too few" in text
    assert "utterances right in cnn alone 3, vit alone 0: exact McNemar p = 0.25" in text
    assert c.to_dict()["n_shared"] == 7


def test_speakers_are_counted_by_who_hears_them_better() -> None:
    """Speaker 1 (a, b) is heard better by the first, 2 alike, 3 and 4 better by the second."""
    first = run("abab" + "aaaa", truth="abab" + "abab", speakers="11223344")
    second = run("aaab" + "abab", truth="abab" + "abab", speakers="11223344")
    tally = compare(first, second).speakers
    assert tally is not None
    assert (tally.first_better, tally.second_better) == (1, 2)
    assert tally.p == pytest.approx(stats.binomtest(1, 3, 0.5).pvalue)
    assert (tally.first, tally.second) == (pytest.approx((1 + 1 + 0.5 + 0.5) / 4), pytest.approx(3.5 / 4))
    text = compare(first, second).render("cnn", "vit")
    assert "speakers heard better by cnn 1, vit 2: exact sign test p = 1\n" in text
    assert "UA averaged over speakers: cnn 75.0, vit 87.5\n" in text


def test_a_speaker_of_one_class_counts_by_that_class_and_seeds_are_averaged() -> None:
    from voxaffect.predictions import concat

    first = concat(
        [run("aabb", truth="aabb", speakers="1122"), run("abbb", truth="aabb", speakers="1122", seed=1)]
    )
    tally = compare(first, run("abba", truth="aabb", speakers="1122")).speakers
    assert tally is not None
    assert tally.first == pytest.approx(((1 + 0.5) / 2 + 1) / 2)
    assert (tally.first_better, tally.second_better) == (2, 0)


def test_the_order_of_rows_and_a_class_that_one_file_lacks_do_not_matter() -> None:
    a, b = run("aabbaabb"), run("aabbaaba", labels="abc")
    shuffled = a.select([3, 1, 0, 2, 7, 6, 5, 4])
    assert compare(a, b) == compare(shuffled, b)
    assert compare(a, b).second["WA"] == 7 / 8


def test_seeds_are_averaged_and_an_id_that_one_seed_lacks_is_not_shared() -> None:
    from voxaffect.predictions import concat

    both = concat([run("aabbaabb"), run("bbbbbbbb", seed=1, skip=2)])
    c = compare(both, run("aabbaabb"))
    assert c.n_first == 6
    assert c.first["WA"] == pytest.approx((1 + 4 / 6) / 2)


def test_runs_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(CorpusError, match="no utterance is in both; first ids: 'u0', 'u8'"):
        compare(run("aabbaabb"), run("a" * 12, truth="a" * 12, speakers="1" * 12, skip=8))
    with pytest.raises(CorpusError, match="'u0' is 'a' in one and 'b' in the other"):
        compare(run("aabbaabb"), run("aabbaabb", truth="babbaabb"))
    with pytest.raises(CorpusError, match="'u0' is of '1' in one and '2' in the other"):
        compare(run("aabbaabb"), run("aabbaabb", speakers="21223344"))


def test_without_speakers_utterances_are_resampled() -> None:
    c = compare(run("aabbaabb", speakers=""), run("bbbbbbbb", speakers=""))
    assert c.speakers is None
    assert "speakers heard better" not in c.render()
    assert c.difference["WA"].clusters == "utterances"
    assert compare(run("aabbaabb", speakers=""), run("bbbbbbbb")).difference["WA"].clusters == "speakers"


def test_clusters_are_speakers_unless_one_is_unknown_or_alone() -> None:
    groups, names, kind = cluster(("s2", "s1", "s2"), ("x", "y", "z"))
    assert (groups.tolist(), names, kind) == ([1, 0, 1], ("s1", "s2"), "speakers")
    assert cluster(("s1", "", "s2"), ("x", "y", "z"))[1:] == (("x", "y", "z"), "utterances")
    assert cluster(("s1", "s1"), ("x", "x"))[0].tolist() == [0, 0]


def test_holm_agrees_with_its_definition() -> None:
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    assert holm([0.01, 0.02, 0.03, 0.9]) == pytest.approx([0.04, 0.06, 0.06, 0.9])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.uniform(0, 0.2, 6)
        order = np.argsort(p)
        expected = np.empty(6)
        expected[order] = np.minimum(np.maximum.accumulate((6 - np.arange(6)) * p[order]), 1)
        assert holm(p.tolist()) == pytest.approx(expected)


def test_a_comparison_with_an_optimistic_system_says_so() -> None:
    labels = ("angry", "sad")

    def system(fold: str) -> Predictions:
        return Predictions(
            ids=("1", "2"),
            speakers=("x", "y"),
            folds=(fold,) * 2,
            labels=labels,
            truth=np.array([0, 1]),
            probs=np.eye(2),
        )

    c = compare(system("f1"), system("OPTIMISTIC validation-on-test: f1"), n_bootstrap=100)
    assert c.optimistic == ("", "validation-on-test")
    text = c.render("ours", "theirs")
    assert text.startswith("  OPTIMISTIC: theirs (validation-on-test)\n")
    assert all("OPTIMISTIC" in line for line in text.split("\n") if any(ch.isdigit() for ch in line))
    assert "OPTIMISTIC" not in compare(system("f1"), system("f1"), n_bootstrap=100).render()
