"""Metrics of a classifier, as pure functions of its confusion matrix.

A confusion matrix is (..., K, K): rows are the true class, columns the predicted one. Leading axes are kept,
so that thousands of resampled matrices are worked out at once. Sources: UA is the UAR of Schuller et al.,
Interspeech 2009 (balanced accuracy elsewhere); macro-F1 is the mean of per-class F1 (Opitz & Burst,
arXiv:1911.03347).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def confusion(truth: npt.ArrayLike, predicted: npt.ArrayLike, n_classes: int) -> npt.NDArray[np.int64]:
    """How often each true class (row) was taken for each class (column), (K, K) int64.

    Raises ValueError if the two (N,) arrays differ in length, hold anything but whole numbers, or a class is
    out of range.

    >>> confusion([0, 0, 1, 1, 1], [0, 1, 1, 1, 0], 2)
    array([[1, 1],
           [1, 2]])
    """
    t, p = np.asarray(truth), np.asarray(predicted)
    if t.shape != p.shape or t.ndim != 1:
        raise ValueError(
            f"truth and predicted must be one-dimensional and equally long, got {t.shape} and {p.shape}"
        )
    for name, values in (("truth", t), ("predicted", p)):
        if values.size and not np.issubdtype(values.dtype, np.integer):
            raise ValueError(f"{name} must hold whole numbers, got {values.dtype}")
        if values.size and (values.min() < 0 or values.max() >= n_classes):
            raise ValueError(
                f"{name} holds class {values.min()} to {values.max()}; expected 0 to {n_classes - 1}"
            )
    cells = t.astype(np.int64) * n_classes + p.astype(np.int64)
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)


def grouped_confusions(
    truth: npt.ArrayLike, predicted: npt.ArrayLike, groups: npt.ArrayLike, n_classes: int, n_groups: int
) -> npt.NDArray[np.int64]:
    """One confusion matrix per group, (G, K, K) int64; `groups` (N,) holds each utterance's, 0 to G-1.

    >>> grouped_confusions([0, 1, 1], [0, 1, 0], [0, 0, 1], 2, 2).tolist()
    [[[1, 0], [0, 1]], [[0, 0], [1, 0]]]
    """
    t, p, g = (np.asarray(a, dtype=np.int64) for a in (truth, predicted, groups))
    cells = (g * n_classes + t) * n_classes + p
    return np.bincount(cells, minlength=n_groups * n_classes**2).reshape(n_groups, n_classes, n_classes)


def wa(matrix: npt.ArrayLike) -> Floats:
    """Weighted accuracy: right / all. NaN where there is nothing.

    >>> float(wa([[1, 1], [1, 2]]))
    0.6
    """
    c = _matrix(matrix)
    return _ratio(np.trace(c, axis1=-2, axis2=-1), c.sum(axis=(-2, -1)))


def recalls(matrix: npt.ArrayLike) -> Floats:
    """Per class: right / all that are truly of the class, (..., K). NaN for a class that does not occur.

    >>> recalls([[1, 1], [1, 2]]).round(3).tolist()
    [0.5, 0.667]
    """
    c = _matrix(matrix)
    return _ratio(np.diagonal(c, axis1=-2, axis2=-1), c.sum(axis=-1))


def precisions(matrix: npt.ArrayLike) -> Floats:
    """Per class: right / all that were taken for the class, (..., K). NaN for a class never predicted.

    >>> precisions([[1, 1], [1, 2]]).round(3).tolist()
    [0.5, 0.667]
    """
    c = _matrix(matrix)
    return _ratio(np.diagonal(c, axis1=-2, axis2=-1), c.sum(axis=-2))


def ua(matrix: npt.ArrayLike) -> Floats:
    """Unweighted accuracy: the mean of the recalls of the classes that occur. NaN where there is nothing.

    >>> float(ua([[1, 1], [1, 2]]).round(3))
    0.583
    """
    return _mean_of_known(recalls(matrix))


def macro_f1(matrix: npt.ArrayLike) -> Floats:
    """The mean of the classes' F1 = 2 right / (true + predicted), over those that occur or are predicted.

    >>> float(macro_f1([[1, 1], [1, 2]]).round(3))
    0.583
    """
    c = _matrix(matrix)
    return _mean_of_known(_ratio(2 * np.diagonal(c, axis1=-2, axis2=-1), c.sum(axis=-1) + c.sum(axis=-2)))


def kappa(matrix: npt.ArrayLike) -> Floats:
    """Cohen's kappa of two raters: rows are what one said, columns what the other did. NaN where undefined.

    (p_o - p_e) / (1 - p_e), with the share of agreement p_o and what chance would give, p_e (Cohen, Educational and
    Psychological Measurement 20, 1960).

    >>> float(kappa([[20, 5], [10, 15]]).round(3))
    0.4
    """
    c = _matrix(matrix)
    n = c.sum(axis=(-2, -1))
    agreed = _ratio(np.trace(c, axis1=-2, axis2=-1), n)
    chance = _ratio((c.sum(axis=-2) * c.sum(axis=-1)).sum(axis=-1), n**2)
    return _ratio(agreed - chance, 1 - chance)


def _matrix(matrix: npt.ArrayLike) -> Floats:
    c = np.asarray(matrix, dtype=np.float64)
    if c.ndim < 2 or c.shape[-1] != c.shape[-2]:
        raise ValueError(f"a confusion matrix is (..., K, K), got {c.shape}")
    if not (c >= 0).all():
        raise ValueError("a confusion matrix holds no negative or missing counts")
    return c


def _ratio(part: Floats, whole: Floats) -> Floats:
    empty = np.full(np.shape(whole), np.nan)
    return np.asarray(np.divide(part, whole, out=empty, where=whole > 0), dtype=np.float64)


def _mean_of_known(values: Floats) -> Floats:
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))
