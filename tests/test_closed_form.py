"""Kernel ridge regression: scikit-learn's with all anchors, near it with few, chosen on those who judge."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
torch.set_num_threads(1)

from voxaffect.closed_form import (  # noqa: E402
    CAUTIONS,
    KernelOptions,
    KernelRidge,
    class_weights,
    dealt,
    joined_votes,
    kernel,
)

K, SIZES = 3, (4, 2)


def dataset(n: int = 60, spread: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, 6) features around three class means, unequally many of each class."""
    rng = np.random.default_rng(seed)
    targets = np.sort(rng.choice(K, n, p=[0.5, 0.3, 0.2]))
    means = 3 * np.random.default_rng(99).standard_normal((K, sum(SIZES)))
    return means[targets] + spread * rng.standard_normal((n, sum(SIZES))), targets


def fitted(
    features: np.ndarray, targets: np.ndarray, **options: object
) -> tuple[KernelRidge, dict[str, float]]:
    made = KernelRidge(SIZES, K, KernelOptions(**options))  # type: ignore[arg-type]
    judged, judges = dataset(40, seed=1)
    return made, made.fit(features, targets, judged, judges, seed=0)


def scores(made: KernelRidge, features: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return np.asarray((made(torch.from_numpy(features).float()) / made.gain).numpy())


def test_with_every_utterance_an_anchor_it_is_the_ridge_of_scikit_learn() -> None:
    from sklearn.kernel_ridge import KernelRidge as Oracle

    features, targets = dataset()
    made, _ = fitted(features, targets, penalties=(0.3,))
    z = (features - features.mean(0)) / features.std(0)
    gram = np.mean(
        [np.exp(-0.5 * np.square(b[:, None] - b[None]).mean(-1)) for b in (z[:, :4], z[:, 4:])], axis=0
    )
    weights = len(targets) / (K * np.bincount(targets)[targets])
    oracle = Oracle(alpha=0.3, kernel="precomputed").fit(
        gram, np.eye(K)[targets] - 1 / K, sample_weight=weights
    )
    np.testing.assert_allclose(scores(made, features), oracle.predict(gram), atol=1e-3)


def test_a_third_of_the_utterances_as_anchors_answer_nearly_the_same() -> None:
    features, targets = dataset(150, spread=2.0)
    whole, _ = fitted(features, targets, penalties=(0.3,))
    part, _ = fitted(features, targets, penalties=(0.3,), anchors=50)
    asked, _ = dataset(200, spread=2.0, seed=2)
    agree = scores(whole, asked).argmax(1) == scores(part, asked).argmax(1)
    assert part.anchors.shape == (50, 6)
    assert agree.mean() > 0.9
    assert not np.allclose(scores(whole, asked), scores(part, asked), atol=1e-3)


def test_the_same_seed_keeps_the_same_anchors() -> None:
    features, targets = dataset()
    first, second = (fitted(features, targets, anchors=20)[0] for _ in range(2))
    assert torch.equal(first.anchors, second.anchors)
    other = KernelRidge(SIZES, K, KernelOptions(anchors=20))
    other.fit(features, targets, *dataset(40, seed=1), seed=5)
    assert not torch.equal(first.anchors, other.anchors)


def test_those_who_judge_choose_the_penalty_and_no_others() -> None:
    """Two classes overlap in what is fitted; whether to follow every point of it the judges decide."""
    features, targets = dataset(60, spread=3.0)
    made = KernelRidge(SIZES, K, KernelOptions(penalties=(1e-3, 1e3)))
    strict = made.fit(features, targets, features, targets, seed=0)
    assert strict["penalty"] == 1e-3
    assert strict["dev_ua"] > 0.95  # the judges were fitted on, and one penalty reproduces them
    rng = np.random.default_rng(3)
    loose = made.fit(features, targets, features, rng.permutation(targets), seed=0)
    assert loose["dev_ua"] < 0.7


def test_the_gain_makes_probabilities_of_scores() -> None:
    from voxaffect.calibration import fit_temperature

    features, targets = dataset(spread=3.0)
    made = KernelRidge(SIZES, K, KernelOptions())
    judged, judges = dataset(40, spread=3.0, seed=1)
    made.fit(features, targets, judged, judges, seed=0)
    with torch.inference_mode():
        logits = made(torch.from_numpy(judged).float()).numpy()
    assert fit_temperature(logits, judges) == pytest.approx(1.0, abs=1e-2)


def test_before_it_is_fitted_every_class_is_as_likely() -> None:
    made = KernelRidge(SIZES, K, KernelOptions(anchors=5))
    assert torch.equal(made(torch.randn(2, 6)), torch.zeros(2, K))


def test_a_column_that_never_changes_changes_nothing() -> None:
    features, targets = dataset()
    features[:, 1] = 7.0
    made, report = fitted(features, targets)
    assert report["dev_ua"] > 0.5
    assert np.isfinite(scores(made, features)).all()


def test_every_class_weighs_the_same() -> None:
    weights = class_weights(np.array([0, 0, 0, 2]), 3)
    np.testing.assert_allclose(weights, [4 / 9, 4 / 9, 4 / 9, 4 / 3])


@pytest.mark.parametrize("name", ["linear", "rbf"])
def test_a_kernel_is_about_one_for_a_standardised_row_with_itself(name: str) -> None:
    rows = np.random.default_rng(0).standard_normal((200, 500))
    diagonal = np.diag(kernel(rows, rows, name, 0.5))
    assert diagonal.mean() == pytest.approx(2.0 if name == "linear" else 1.0, abs=0.02)


@pytest.mark.parametrize(
    "wrong", [{"anchors": 0}, {"penalties": ()}, {"penalties": (0.0,)}, {"scale": 0.0}], ids=str
)
def test_options_that_make_no_regression_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="anchors must be at least 1"):
        KernelOptions(**wrong)  # type: ignore[arg-type]


def test_a_member_never_saw_its_share_of_the_speakers() -> None:
    features, targets = dataset(90)
    shares = np.arange(90) % 3
    judged, judges = dataset(40, seed=1)

    def votes(labels: np.ndarray) -> np.ndarray:
        made = KernelRidge(SIZES, K, KernelOptions(members=3, penalties=(0.3,)))
        made.fit(features, labels, judged, judges, seed=0, shares=shares)
        with torch.inference_mode():
            found = made.votes(torch.from_numpy(judged).float()) / made.gain
        assert found.shape == (40, 3, K)
        return np.asarray(found.numpy())

    told = targets.copy()
    told[shares == 1] = np.roll(targets[shares == 1], 7)  # as many of each class
    before, after = votes(targets), votes(told)
    np.testing.assert_allclose(after[:, 1], before[:, 1], atol=1e-4)
    assert np.abs(after[:, 0] - before[:, 0]).max() > 0.05
    assert np.abs(after[:, 2] - before[:, 2]).max() > 0.05


def test_each_member_is_the_ridge_of_the_others_speakers() -> None:
    from sklearn.kernel_ridge import KernelRidge as Oracle

    features, targets = dataset(60)
    shares = np.arange(60) % 2
    made = KernelRidge(SIZES, K, KernelOptions(members=2, penalties=(0.3,)))
    made.fit(features, targets, *dataset(40, seed=1), seed=0, shares=shares)
    z = (features - features.mean(0)) / features.std(0)
    across = np.mean(
        [np.exp(-0.5 * np.square(b[:, None] - b[None]).mean(-1)) for b in (z[:, :4], z[:, 4:])], axis=0
    )
    rows = shares != 0
    weights = rows.sum() / (K * np.bincount(targets[rows])[targets[rows]])
    one_hot = np.eye(K)[targets[rows]] - 1 / K
    # All utterances are anchors, the member's own too: the penalty is that of the function, not of their weights.
    oracle = Oracle(alpha=0.3, kernel="precomputed").fit(
        across[np.ix_(rows, rows)], one_hot, sample_weight=weights
    )
    with torch.inference_mode():
        found = made.votes(torch.from_numpy(features).float())[:, 0] / made.gain
    np.testing.assert_allclose(found.numpy(), oracle.predict(across[:, rows]), atol=2e-3)


def test_the_logits_of_members_are_the_logarithm_of_their_mean_probabilities() -> None:
    votes = torch.randn(5, 3, K)
    expected = votes.softmax(-1).mean(1)
    torch.testing.assert_close(joined_votes(votes).exp(), expected)


def test_speakers_are_dealt_whole_and_those_of_a_corpus_apart() -> None:
    speakers = [f"{corpus}/{i}" for corpus in ("a", "b") for i in range(4) for _ in range(3)]
    shares = dealt(speakers, 4)
    by_speaker = {s: {int(x) for x, t in zip(shares, speakers, strict=True) if t == s} for s in speakers}
    assert all(len(found) == 1 for found in by_speaker.values())
    for corpus in ("a", "b"):
        assert {min(by_speaker[f"{corpus}/{i}"]) for i in range(4)} == {0, 1, 2, 3}


def test_several_members_need_shares_and_there_are_no_less_than_one() -> None:
    made = KernelRidge(SIZES, K, KernelOptions(members=2))
    with pytest.raises(ValueError, match="2 members need the share that each of 60 rows is in"):
        made.fit(*dataset(), *dataset(40, seed=1), seed=0)
    with pytest.raises(ValueError, match="members must be at least 1"):
        KernelOptions(members=0)


def two_corpora(n: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, 6), classes, shares and corpora: those of the second lie far off and follow other rules."""
    features, targets = dataset(n, spread=1.5)
    corpora = np.array(["a", "b"])[np.random.default_rng(5).integers(0, 2, n)]
    features[corpora == "b"] = 6.0 - features[corpora == "b"]
    return features, targets, np.arange(n) % 3, corpora


def cautious(*data: np.ndarray, **options: object) -> tuple[KernelRidge, dict[str, float]]:
    made = KernelRidge(SIZES, K, KernelOptions(members=3, cautious=True, **options))  # type: ignore[arg-type]
    features, targets, shares, corpora = data
    return made, made.fit(
        features, targets, *dataset(40, spread=1.5, seed=1), seed=0, shares=shares, corpora=corpora
    )


def test_a_cautious_head_is_less_sure_of_what_is_like_nothing_it_knows() -> None:
    data = two_corpora()
    made, report = cautious(*data)
    assert report["caution"] > 0
    plain = KernelRidge(SIZES, K, KernelOptions(members=3))
    plain.fit(data[0], data[1], *dataset(40, spread=1.5, seed=1), seed=0, shares=data[2])
    near, _ = dataset(40, spread=1.5, seed=2)
    far = near + 4.0

    def sureness(head: KernelRidge, x: np.ndarray) -> float:
        with torch.inference_mode():
            return float(head(torch.from_numpy(x).float()).softmax(-1).amax(-1).mean())

    assert sureness(made, far) < sureness(plain, far) - 0.02
    assert sureness(made, near) > sureness(made, far)
    with torch.inference_mode():  # no answer changes but in how sure it is
        x = torch.from_numpy(near).float()
        assert torch.equal(made.votes(x).argmax(-1), plain.votes(x).argmax(-1))


def test_altered_copies_judge_no_caution_and_one_corpus_teaches_none() -> None:
    features, targets, shares, corpora = two_corpora()
    _, report = cautious(features, targets, shares, np.full(len(targets), "a"))
    assert report["caution"] == 0
    told = targets.copy()
    copies = np.arange(len(targets)) % 2 == 1
    made = KernelRidge(SIZES, K, KernelOptions(members=3, cautious=True))
    judged = dataset(40, spread=1.5, seed=1)
    first = made.fit(features, told, *judged, 0, shares, corpora, ~copies)["caution"]
    assert first in CAUTIONS


def test_a_cautious_head_needs_corpora_and_members() -> None:
    made = KernelRidge(SIZES, K, KernelOptions(members=2, cautious=True))
    with pytest.raises(ValueError, match="needs the corpus that each of 60 rows is of"):
        made.fit(*dataset(), *dataset(40, seed=1), seed=0, shares=np.arange(60) % 2)
    with pytest.raises(ValueError, match="cautious needs two members or more"):
        KernelOptions(cautious=True)
