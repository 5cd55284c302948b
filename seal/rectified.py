"""Coefficients of features that a labeler gets wrong now and then: corrected by gold, or bracketed by a second labeler. Pure functions.

Least squares on labels with errors gives wrong coefficients, and intervals around the wrong place. Where errors are independent of all
else, and features of each other, coefficients are too near to zero; otherwise they can be wrong either way, sign included. With gold
labels of a random part of the pairs the coefficients on true features can be had whatever the errors depend on (`rectified`); with a
second labeler alone, both ends of a range that holds them, if the two labelers err independently of each other and of all else (`bracket`).
"""

from typing import NamedTuple

import numpy as np

from seal import regression
from seal.files import text_hash
from seal.regression import Instrumented, Linear

WEAK = 10.0
"""Instruments with a smaller first-stage F are weak (Staiger and Stock 1997)."""

_LEAST_EIGENVALUE = 1e-6
"""Of the matrix that the coefficients are solved with, its diagonal being 1: a smaller one leaves some of them open."""


class Rectified(NamedTuple):
    """Coefficients on true features, from labels of all pairs and gold of some."""

    estimates: np.ndarray
    """[k]"""
    covariance: np.ndarray
    """[k, k], NaN where all gold is of one opening prompt or there are no more gold pairs than features."""
    tuning: float
    """How much the labels count, from 0, gold alone, to 1."""
    degrees: np.ndarray
    """[k] of the t distribution: opening prompts in which gold of a pair differs, less one."""


def drawn(row_ids: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Draw pairs, each with probability `share` and by itself, [pairs] booleans.

    By a hash of row_id and seed: whether a pair is drawn depends on no other pair, and a greater share adds to what a smaller one draws.
    """
    return np.array([int(text_hash(f"gold-share\n{seed}\n{row_id}")[:16], 16) / 2**64 < share for row_id in row_ids.tolist()], dtype=bool)


def rectified(
    labels: np.ndarray,
    gold: np.ndarray,
    outcome: np.ndarray,
    known: np.ndarray,
    probability: float,
    clusters: np.ndarray,
    tuning: float | None = None,
) -> Rectified | None:
    """Least squares of an outcome on true features, without an intercept, by prediction-powered inference.

    Solves t * mean(p(labels)) + mean(known / probability * (p(gold) - t * p(labels))) = 0 over all pairs, with p(X) = X (y - Xb): what
    labels say of all pairs, less what they are wrong by on the pairs with gold (Angelopoulos and others 2023, Prediction-powered
    inference, and with the tuning t 2023, PPI++). The covariance is made of what each pair moves the estimates by, summed within
    clusters; a pair with gold is among all pairs too, and both count together.

    Parameters
    ----------
    labels
        [n, k] features by the labeler.
    gold
        [n, k] features by gold; rows that are not known may hold anything.
    outcome
        [n]
    known
        [n] which pairs have gold: a random part of them.
    probability
        With which each pair was to have gold.
    clusters
        [n] whole numbers from 0; pairs with equal ones depend on each other.
    tuning
        From 0 to 1; None for the one that makes the sum of the variances least. At 0, and with gold for all pairs, this is least squares
        on the pairs with gold, with its clustered errors.

    Returns
    -------
    None where the pairs with gold leave coefficients open.
    """
    weights = np.where(known, 1 / probability, 0.0)
    truth = np.where(known[:, None], gold, 0.0)
    start = _solved(labels, truth, outcome, weights, 0.0)
    if start is None:
        return None
    if tuning is None:
        tuning = _least_variance(labels, truth, outcome, weights, clusters, *start)
    solution = _solved(labels, truth, outcome, weights, tuning)
    if solution is None:
        return None
    estimates, inverse = solution
    from_labels, from_gold = _parts(labels, truth, outcome, weights, estimates)
    totals = regression.cluster_totals((from_gold + tuning * from_labels) @ inverse, clusters)
    gold_clusters = int(np.count_nonzero(np.bincount(clusters[known])))
    factor = regression.few_clusters(int(known.sum()), labels.shape[1], gold_clusters)
    degrees = regression.own_degrees(regression.clusters_moved(truth != 0, clusters))  # of gold that is known: the rest is 0
    return Rectified(estimates, factor * totals.T @ totals, tuning, degrees)


def _solved(
    labels: np.ndarray, truth: np.ndarray, outcome: np.ndarray, weights: np.ndarray, tuning: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Estimates, [k], and the inverse, [k, k], of the matrix that they are solved with."""
    by_labels = tuning * (1 - weights)[:, None] * labels
    by_gold = weights[:, None] * truth
    matrix = by_labels.T @ labels + by_gold.T @ truth
    diagonal = np.diag(matrix)
    if diagonal.min(initial=np.inf) <= 0:
        return None
    if np.linalg.eigvalsh(matrix / np.sqrt(np.outer(diagonal, diagonal))).min(initial=np.inf) < _LEAST_EIGENVALUE:
        return None
    inverse = np.linalg.inv(matrix)
    return inverse @ ((by_labels + by_gold).T @ outcome), inverse


def _parts(
    labels: np.ndarray, truth: np.ndarray, outcome: np.ndarray, weights: np.ndarray, estimates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What each pair adds to the equations, [n, k]: by its labels, for each unit of the tuning, and by its gold."""
    from_labels = ((1 - weights) * (outcome - labels @ estimates))[:, None] * labels
    from_gold = (weights * (outcome - truth @ estimates))[:, None] * truth
    return from_labels, from_gold


def _least_variance(
    labels: np.ndarray,
    truth: np.ndarray,
    outcome: np.ndarray,
    weights: np.ndarray,
    clusters: np.ndarray,
    estimates: np.ndarray,
    inverse: np.ndarray,
) -> float:
    """The tuning that makes the sum of the variances least, which is a parabola of it; judged at the estimates of gold alone."""
    from_labels, from_gold = (
        regression.cluster_totals(part @ inverse, clusters) for part in _parts(labels, truth, outcome, weights, estimates)
    )
    curvature = np.square(from_labels).sum()
    return float(np.clip(-(from_labels * from_gold).sum() / curvature, 0.0, 1.0)) if curvature > 0 else 0.0


class Bracket(NamedTuple):
    """Two ends between which the coefficients on true features lie if two labelers err independently of each other and of the rewards."""

    least_squares: Linear
    """On the labeler's labels: too near to zero, if errors are independent of all else."""
    by_control: Instrumented
    """On the labeler's labels, by the control labeler's as instruments: too far from zero."""
    by_labeler: Instrumented
    """The other way round."""
    first_stage: np.ndarray
    """[2, k] F of the first stage of `by_control` and of `by_labeler`."""
    nearer: np.ndarray
    """[k] which of the two is nearer to zero, 0 or 1, of those whose first stage is not weak; -1 where both are."""


def bracket(labels: np.ndarray, control: np.ndarray, outcome: np.ndarray, clusters: np.ndarray) -> Bracket | None:
    """The range that two labelers leave for the coefficients of an outcome, [n], on true features.

    A label that is wrong at random makes least squares too small. A second labeler's label as instrument takes away the first one's
    noise, but errors in a feature of two values are also such that a true 1 can only be too low and a true 0 too high, which makes the
    instrumented coefficient too large (Kane, Rouse and Staiger 1999, Estimating returns to schooling when schooling is misreported;
    Black, Berger and Scott 2000, Bounding parameter estimates with nonclassical measurement error). Where both labelers are wrong on the
    same texts the range can miss the truth. Near zero the two ends can differ in sign by chance.

    Parameters
    ----------
    labels, control
        [n, k] features by the labeler and by the control labeler.
    clusters
        [n] whole numbers from 0; pairs with equal ones depend on each other.

    Returns
    -------
    None where one labeler's labels leave a coefficient on the other's open.
    """
    by_control = regression.instrumented(labels, control, outcome)
    by_labeler = regression.instrumented(control, labels, outcome)
    if by_control is None or by_labeler is None:
        return None
    first_stage = np.stack(
        [
            regression.first_stage_f(labels, control, by_control, clusters),
            regression.first_stage_f(control, labels, by_labeler, clusters),
        ]
    )
    strong = first_stage >= WEAK  # not so where F is NaN
    sizes = np.where(strong, np.abs([by_control.estimates, by_labeler.estimates]), np.inf)
    nearer = np.where(strong.any(axis=0), sizes.argmin(axis=0), -1)
    return Bracket(regression.ols(labels, outcome), by_control, by_labeler, first_stage, nearer)
