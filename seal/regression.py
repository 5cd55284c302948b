"""Regressions, with errors that hold where the variance is not the same everywhere or rows belong together. Pure functions of arrays.

A design is [n, k]: its first column is usually the intercept, the others say of each row whether something is so, or how much. NaN
stands for an estimate or an error that the data do not determine; whoever publishes a figure says why it is missing.
"""

from typing import NamedTuple

import numpy as np
from scipy import special  # scipy.stats would take a second to load in every stage

_ALONE = 1 - 1e-9
"""A row with this leverage or more is fitted exactly, whatever its outcome."""

_COLLINEAR = 1e-9
"""A column is collinear with others if they leave no larger share of it unexplained."""

_TALL = 10_000
"""Rows from which on a design is decomposed by way of its [k, k] products."""

_LEAST_EIGENVALUE = 1e-8
"""Of the products of columns of length 1: with a smaller one the design is decomposed as it is."""

_NEWTON_STEPS = 30
"""Where the likelihood has a maximum, Newton's method is there within some ten steps; where it has none, each step adds about 1 to a
coefficient for ever, and the probabilities reach 0 or 1 to the last bit only after more than these."""


class Linear(NamedTuple):
    """A least-squares fit, and what errors of any kind are made from."""

    design: np.ndarray
    """[n, k]"""
    estimates: np.ndarray
    """[k] coefficients; NaN where a column is collinear with others, so that the data leave its coefficient open."""
    influence: np.ndarray
    """[k, n] how much each coefficient moves with each outcome: the pseudo-inverse of the design."""
    residuals: np.ndarray
    """[n]"""
    degrees: int
    """Degrees of freedom: rows less the rank of the design."""

    @property
    def leverages(self) -> np.ndarray:
        """[n] how much each fitted value moves with its own outcome, from 0 to 1."""
        return np.asarray(np.einsum("nk,kn->n", self.design, self.influence))


def ols(design: np.ndarray, outcome: np.ndarray) -> Linear:
    """Least squares of an outcome, [n], on a design, [n, k]; of an outcome of 0 and 1 this is the linear probability model."""
    influence = _inverse_by_products(design) if len(design) >= _TALL else None
    given = np.ones(design.shape[1], dtype=bool)
    rank = design.shape[1]
    if influence is None:
        left, scales, right = _decomposed(design)
        influence, given, rank = (right.T / scales) @ left.T, _determined(right), len(scales)
    estimates = influence @ outcome
    return Linear(
        design=design,
        estimates=np.where(given, estimates, np.nan),
        influence=influence,
        residuals=outcome - design @ estimates,
        degrees=len(design) - rank,
    )


def with_outcome(fit: Linear, outcome: np.ndarray) -> Linear:
    """The fit of another outcome, [n], on the same design, for which only products are left to be made."""
    estimates = fit.influence @ outcome
    residuals = outcome - fit.design @ estimates
    return fit._replace(estimates=np.where(np.isnan(fit.estimates), np.nan, estimates), residuals=residuals)


def determined(design: np.ndarray) -> np.ndarray:
    """Which coefficients the rows of a design, [n, k], determine, [k] booleans; the others belong to columns that are collinear."""
    return _determined(_decomposed(design)[2])


def _decomposed(design: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Singular value decomposition without what is 0 but for rounding: [n, rank], [rank], [rank, k]."""
    left, scales, right = np.linalg.svd(design, full_matrices=False)
    kept = scales > scales.max(initial=0.0) * max(design.shape) * np.finfo(float).eps
    return left[:, kept], scales[kept], right[kept]


def _inverse_by_products(design: np.ndarray) -> np.ndarray | None:
    """The pseudo-inverse, [k, n], of a long design of full rank; None where columns are near to collinear.

    Cholesky QR, twice (Yamamoto and others 2015, Roundoff error analysis of the CholeskyQR2 algorithm): as exact as Householder's where
    the condition is well below 1e8, and made of products of matrices, which take far less time.
    """
    once = _upper(design)
    if once is None:
        return None
    inverse = np.linalg.inv(once)
    columns = design @ inverse
    twice = _upper(columns)
    if twice is None:
        return None
    again = np.linalg.inv(twice)
    return np.asarray((inverse @ again @ again.T) @ columns.T)


def _upper(design: np.ndarray) -> np.ndarray | None:
    """The triangle, [k, k], whose inverse makes the columns of a design orthonormal; None where they are near to collinear."""
    products = design.T @ design
    sizes = np.sqrt(np.diag(products))
    if not sizes.all():
        return None
    products = products / np.outer(sizes, sizes)
    if np.linalg.eigvalsh(products).min(initial=1.0) < _LEAST_EIGENVALUE:
        return None
    return np.asarray(np.linalg.cholesky(products).T * sizes)


def _determined(right: np.ndarray) -> np.ndarray:
    """A coefficient is determined if it lies in the row space whole, given an orthonormal basis of it, [rank, k]."""
    return np.asarray(np.square(right).sum(axis=0) > _ALONE)


def hc3(fit: Linear) -> np.ndarray:
    """Standard errors, [k], that hold where the variance differs between rows: HC3 (MacKinnon and White 1985).

    Each residual is divided by 1 - leverage, which makes it that of a fit without its row. A row that is fitted exactly has no such
    residual: the errors of the coefficients that it decides are NaN, and the others do not depend on it.
    """
    alone = fit.leverages >= _ALONE
    left_out = np.where(alone, 0.0, fit.residuals) / np.where(alone, 1.0, 1 - fit.leverages)
    errors = np.sqrt(np.square(fit.influence) @ np.square(left_out))
    size = np.linalg.norm(fit.influence, axis=1, keepdims=True)
    decided = (np.abs(fit.influence[:, alone]) > 1e-8 * size).any(axis=1)
    return np.where(decided | np.isnan(fit.estimates), np.nan, errors)


def classical(fit: Linear) -> np.ndarray:
    """Covariance of the coefficients, [k, k], that holds where rows are independent and vary equally; NaN without degrees of freedom."""
    variance = np.square(fit.residuals).sum() / fit.degrees if fit.degrees else np.nan
    return np.asarray(variance * fit.influence @ fit.influence.T)


class Instrumented(NamedTuple):
    """A fit by instrumental variables, one for each column, and what errors are made from."""

    estimates: np.ndarray
    """[k]"""
    influence: np.ndarray
    """[k, n] how much each coefficient moves with each outcome."""
    residuals: np.ndarray
    """[n]"""
    degrees: int
    """Degrees of freedom: rows less columns."""


def instrumented(design: np.ndarray, instruments: np.ndarray, outcome: np.ndarray) -> Instrumented | None:
    """Regression of an outcome, [n], on a design, [n, k], by as many instruments, [n, k]: solves Z'(y - Xb) = 0.

    Wooldridge 2010, Econometric Analysis, section 5.1.

    Returns
    -------
    None where the instruments leave a coefficient open.
    """
    sizes = np.linalg.norm(instruments, axis=0), np.linalg.norm(design, axis=0)
    products = instruments.T @ design
    if min(*sizes[0], *sizes[1]) == 0 or not determined(products / np.outer(*sizes)).all():
        return None
    influence = np.linalg.solve(products, instruments.T)
    estimates = influence @ outcome
    return Instrumented(estimates, influence, outcome - design @ estimates, len(design) - design.shape[1])


def first_stage_f(design: np.ndarray, instruments: np.ndarray, fit: Instrumented, clusters: np.ndarray) -> np.ndarray:
    """How strongly the instruments move each column apart from what they move in all others, [k]: conditional F, errors clustered.

    Sanderson and Windmeijer 2016, A weak instrument F-test in linear IV models with multiple endogenous variables. The usual F of each
    column on all instruments is large even where all columns move with one and the same combination of them. With as many instruments
    as columns, what is left of a column after the others (by two-stage least squares) is moved by one combination alone, and that is
    the column's row of `influence`. Of a single column this is the usual F. 0 where an instrument does nothing of its own.
    """
    basis, _ = np.linalg.qr(instruments)
    left = np.empty_like(design)
    for column in range(design.shape[1]):
        others = np.delete(design, column, axis=1)
        slopes = np.linalg.lstsq(basis.T @ others, basis.T @ design[:, column], rcond=None)[0]
        left[:, column] = design[:, column] - others @ slopes
    directions = fit.influence.T  # their product with `left` is 1, so that the slope of the first stage is 1 over their square
    residuals = left - directions / np.square(directions).sum(axis=0)
    totals = cluster_totals(directions * residuals, clusters)
    factor = few_clusters(len(design), design.shape[1], len(totals))
    return np.asarray(1 / (factor * np.square(totals).sum(axis=0)))


def clustered(fit: Linear | Instrumented, clusters: np.ndarray) -> np.ndarray:
    """Covariance of the coefficients, [k, k], that holds where rows of a cluster depend on each other (Liang and Zeger 1986).

    With the usual correction for few clusters, G / (G - 1) * (n - 1) / (n - k), known as CR1 (Cameron and Miller 2015, A practitioner's
    guide to cluster-robust inference); intervals go by the t distribution with each coefficient's `own_degrees`. NaN where there are fewer
    than two clusters or no degrees of freedom.

    Parameters
    ----------
    clusters
        [n] whole numbers from 0; rows with equal ones belong together.
    """
    return clustered_by_totals(fit, cluster_totals((fit.influence * fit.residuals).T, clusters))


def clustered_by_totals(fit: Linear | Instrumented, totals: np.ndarray) -> np.ndarray:
    """The same from the totals, [clusters, k], of what the rows of each cluster move the coefficients by: influence times residual."""
    rows = len(fit.residuals)
    return np.asarray(few_clusters(rows, rows - fit.degrees, len(totals)) * totals.T @ totals)


def cluster_totals(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Totals, [clusters, k], of values, [n, k], over the rows of each cluster."""
    present = np.bincount(clusters) > 0
    return np.stack([np.bincount(clusters, weights=column)[present] for column in values.T], axis=1)


def clusters_moved(differs: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """In how many clusters each column, [n, k] booleans, is true for some row."""
    if not len(clusters):
        return np.zeros(differs.shape[1], dtype=int)
    order = np.argsort(clusters, kind="stable")
    starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    return np.asarray(np.logical_or.reduceat(differs[order], starts, axis=0).sum(axis=0))


def own_degrees(moved: np.ndarray) -> np.ndarray:
    """Degrees of freedom of clustered coefficients for the t distribution, [k]: one less than the clusters that each learns from.

    G - 1 for all, which is usual, makes tests of a column that differs in few of the G clusters too sure: its estimate and its error are
    made of what these few say. Carter, Schnepel and Steigerwald (2017, Asymptotic behavior of a t-test robust to cluster heterogeneity)
    work out an effective number of clusters, and MacKinnon and Webb (2018, The wild bootstrap for few (treated) clusters) tell how tests
    fail. This is a simple, conservative stand-in for them: never more than G - 1. It does not mend all: it takes the clusters that differ
    for equally telling, and CR1 leaves the error of a column that differs in m clusters too small, by about 1 / (2 m). With one normal
    residual in each of them and G = 178, a test at 5 % rejects 6.0 % for m = 10 and 5.8 % for m = 13; with G - 1, 9.3 and 8.2 %.

    Parameters
    ----------
    moved
        [k] in how many clusters each column differs from its usual value, as `clusters_moved` counts them; G for an intercept.
    """
    return np.asarray(moved - 1)


def few_clusters(rows: int, columns: int, clusters: int) -> float:
    """What CR1 multiplies a clustered covariance by; NaN where there are fewer than two clusters or no more rows than columns."""
    if clusters < 2 or rows <= columns:
        return float("nan")
    return clusters / (clusters - 1) * (rows - 1) / (rows - columns)


def variance_inflation(design: np.ndarray) -> np.ndarray:
    """How much larger the variance of each coefficient is than if its column were alone, [k]; infinite where it is collinear with others.

    The columns, [n, k], are taken as they are, not from their means: centre them for a design with an intercept. None may be 0 throughout.
    """
    sizes = np.linalg.norm(design, axis=0)
    alike = design.T @ design / np.outer(sizes, sizes)
    inflation = np.ones(len(alike))
    for column in range(len(alike)):
        others = np.delete(np.arange(len(alike)), column)
        slopes = np.linalg.lstsq(alike[np.ix_(others, others)], alike[others, column], rcond=1e-10)[0]
        unexplained = 1 - slopes @ alike[others, column]
        inflation[column] = 1 / unexplained if unexplained > _COLLINEAR else np.inf
    return inflation


class Logit(NamedTuple):
    """A logistic fit, and what errors of any kind are made from."""

    estimates: np.ndarray
    """[k] coefficients, in log odds."""
    inverse_information: np.ndarray
    """[k, k]"""
    residuals: np.ndarray
    """[n] outcome less fitted probability."""


def logit(design: np.ndarray, outcome: np.ndarray) -> Logit | None:
    """Logistic regression of an outcome of 0 and 1, [n], on a design, [n, k], by maximum likelihood with Newton's method.

    Returns
    -------
    None where no finite coefficients are best: columns are collinear, or together tell the outcome perfectly for some rows, which is
    known as separation (Albert and Anderson 1984).
    """
    estimates = np.zeros(design.shape[1])
    for _ in range(_NEWTON_STEPS):
        probabilities = special.expit(design @ estimates)
        information = _information(design, probabilities)
        try:
            step = np.linalg.solve(information, design.T @ (outcome - probabilities))
        except np.linalg.LinAlgError:
            return None
        # A whole step can lead beyond the maximum, and further with each one.
        while _log_likelihood(design, outcome, estimates + step) < _log_likelihood(design, outcome, estimates) - 1e-9:
            step /= 2
        estimates = estimates + step
        if np.abs(step).max(initial=0.0) < 1e-8:
            probabilities = special.expit(design @ estimates)
            return Logit(estimates, np.linalg.inv(_information(design, probabilities)), outcome - probabilities)
    return None


def without_separating(design: np.ndarray, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take out of a logistic regression the indicators that tell an outcome perfectly, together with their rows.

    The likelihood is the higher the further the coefficient of such an indicator goes, and in the limit the other coefficients are those
    of a fit without it and without the rows that have it (Albert and Anderson 1984).

    Parameters
    ----------
    design
        [n, k]: the intercept, then indicators of 0 and 1.
    outcome
        [n] of 0 and 1.

    Returns
    -------
    Rows, [n], and columns, [k], that are left, as booleans. Without some rows another indicator can come to tell the outcome of the
    others perfectly, or to be 0 throughout: it is taken out as well.
    """
    rows, columns = np.ones(len(design), dtype=bool), np.ones(design.shape[1], dtype=bool)
    settled = False
    while not settled:
        settled = True
        for column in np.flatnonzero(columns)[1:]:
            members = rows & (design[:, column] == 1)
            if len(np.unique(outcome[members])) < 2:
                rows, columns[column], settled = rows & ~members, False, False
    return rows, columns


def _information(design: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return np.asarray((design * (probabilities * (1 - probabilities))[:, None]).T @ design)


def _log_likelihood(design: np.ndarray, outcome: np.ndarray, estimates: np.ndarray) -> float:
    signed = np.where(outcome > 0, 1.0, -1.0)
    return float(special.log_expit(signed * (design @ estimates)).sum())


def sandwich(fit: Logit, design: np.ndarray) -> np.ndarray:
    """Covariance of the coefficients, [k, k], that holds where the model is not quite true (White 1982); HC0 elsewhere."""
    scores = design * fit.residuals[:, None]
    return np.asarray(fit.inverse_information @ (scores.T @ scores) @ fit.inverse_information)


class Effect(NamedTuple):
    """An estimate with its standard error."""

    estimate: float
    error: float


def average_effect(fit: Logit, covariance: np.ndarray, design: np.ndarray, column: int, alternatives: list[int]) -> Effect:
    """Average marginal effect of an indicator: how much the probability changes from 0 to 1, averaged over the rows.

    The error is that of the delta method, the rows being given (Wooldridge 2010, Econometric Analysis, section 15.6).

    Parameters
    ----------
    covariance
        [k, k] of the coefficients.
    design
        [n, k] of the fit.
    column
        The indicator.
    alternatives
        Columns of which at most one can be 1, the indicator's own among them: all are 0 before the change, and all others after it.
    """
    without = design.copy()
    without[:, alternatives] = 0.0
    with_it = without.copy()
    with_it[:, column] = 1.0
    before, after = special.expit(without @ fit.estimates), special.expit(with_it @ fit.estimates)
    gradient = ((after * (1 - after))[:, None] * with_it - (before * (1 - before))[:, None] * without).mean(axis=0)
    return Effect(float((after - before).mean()), float(np.sqrt(gradient @ covariance @ gradient)))


class Wald(NamedTuple):
    """Both ends of an estimate's interval, and the two-sided p of there being no effect."""

    low: float
    high: float
    p: float


def wald(effect: Effect, level: float, degrees: int | None = None) -> Wald:
    """Interval and p of an estimate, by the t distribution with these degrees of freedom, or by the normal where there are none given."""
    ratio = abs(effect.estimate / effect.error)
    if degrees is None:
        half, p = special.ndtri((1 + level) / 2), 2 * special.ndtr(-ratio)
    else:
        half, p = special.stdtrit(degrees, (1 + level) / 2), 2 * special.stdtr(degrees, -ratio)
    return Wald(float(effect.estimate - half * effect.error), float(effect.estimate + half * effect.error), float(p))


def holm(p: np.ndarray) -> np.ndarray:
    """Values of p, [m], adjusted so that the chance of any false finding among them stays below the level chosen (Holm 1979).

    NaN stays NaN and counts for no test.
    """
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    raised = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    adjusted[order] = np.minimum(1.0, raised)
    return adjusted


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Values of p, [m], adjusted so that, of the findings below the level chosen, no larger share is expected to be false.

    Benjamini and Hochberg 1995. NaN stays NaN and counts for no test.
    """
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(-p[tested], kind="stable")]
    raised = np.minimum.accumulate(p[order] * len(order) / np.arange(len(order), 0, -1))
    adjusted[order] = np.minimum(1.0, raised)
    return adjusted


def detectable(error: float, threshold: float, power: float, degrees: int | None = None) -> float:
    """The effect that a two-sided test of an estimate with this error finds with this power (Bloom 1995, Minimum detectable effects).

    Parameters
    ----------
    threshold
        Below which p has to be: the level, divided by the tests that it has to pay for.
    degrees
        Of the t distribution; None for the normal.
    """
    if degrees is None:
        return float(error * (special.ndtri(1 - threshold / 2) + special.ndtri(power)))
    return float(error * (special.stdtrit(degrees, 1 - threshold / 2) + special.stdtrit(degrees, power)))
