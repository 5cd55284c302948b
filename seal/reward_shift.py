"""Reward shift: how the rewards of each pair moved from control to aligned. Pure functions of arrays.

Theta is that of SEAL (arXiv 2408.10270): each role's rewards of a pair are a point (chosen, rejected) in the plane, and theta is the angle
at the origin from that of control to that of aligned. Its sign does not mean "towards the human": (1, 2) to (2, 1) and (-1, -2) to
(-2, -1) turn by the same angle, towards the chosen text the first time and away from it the second. And a reward's zero is arbitrary, so
that another zero gives another theta: hence the same after each role's rewards are centred, and beside it the change of margin, whose
sign does say so.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import special  # scipy.stats would take a second to load in every stage

from seal import regression
from seal.agreement import REGIMES
from seal.features import BOOLEANS, SENTIMENT, numbers
from seal.labeler_preference import PairLabels
from seal.regression import Effect, Linear
from seal.resampling import Statistic, mean, resolved
from seal.uncertainty import ClusterBootstrap, exact_mcnemar

FEATURES = (*BOOLEANS, SENTIMENT)
"""Of each side, that the shift is regressed on where the labels have them; sentiment counts as -1, 0, 1."""

QUADRANTS = {
    "both_positive": (1, 1),
    "only_chosen_positive": (1, -1),
    "both_negative": (-1, -1),
    "only_rejected_positive": (-1, 1),
}
"""Signs of the rewards of (chosen, rejected), in the order I, IV, III, II of the plane."""

MIN_OPENING_PROMPTS = 10
"""A coefficient has an error only where the rarer values of its feature stand in so many opening prompts: where they stand in one, its
residuals sum to 0 there, and an error made from such sums would be far too small."""

_BIN = 10
"""Degrees in a bin of the histogram."""

_ROUNDING = 4 * np.finfo(float).eps
_NO_ANGLE = "no pair has an angle: a role's rewards of both texts are 0"
_NO_DIRECTION = "the angles cancel out, or there are none"
_NO_CHANGE = "the margins do not vary, so they have no unit"


class Shift(NamedTuple):
    """How each pair moved, [pairs] each; NaN where that is undefined."""

    theta: np.ndarray
    """Degrees in (-180, 180], of the rewards as they are."""
    theta_centred: np.ndarray
    """The same, after the mean of a role's rewards over all texts is taken from them."""
    change_of_margin: np.ndarray
    """Margin of aligned less margin of control, in units of the standard deviation of this difference: positive is towards the human."""
    change_of_scaled_margin: np.ndarray
    """The same of margins that are each in units of their role's standard deviation, so that larger rewards alone are no shift."""


def theta(control: np.ndarray, aligned: np.ndarray) -> np.ndarray:
    """Reward shift: the signed angle from control to aligned, atan2(cross, dot), counter-clockwise positive.

    Parameters
    ----------
    control, aligned
        [pairs, 2] rewards of chosen and rejected.

    Returns
    -------
    [pairs] degrees in (-180, 180]; NaN where either vector is zero.
    """
    (x, y), (u, v) = _unit(control).T, _unit(aligned).T
    cross, dot = x * v - y * u, x * u + y * v
    # Of two parallel vectors only rounding is left, whose sign would count as a turn.
    cross = np.where(np.abs(cross) <= _ROUNDING * (np.abs(x * v) + np.abs(y * u)), 0.0, cross)
    defined = control.any(axis=1) & aligned.any(axis=1)
    return np.where(defined, np.degrees(np.arctan2(cross, dot)), np.nan)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of a size near 1, by powers of 2, which lose no digit: products of very large or small rewards would be infinite or 0."""
    return np.asarray(np.ldexp(vectors, -np.frexp(np.abs(vectors).max(axis=1))[1][:, None]))


def centred(rewards: np.ndarray) -> np.ndarray:
    """Rewards of one role, [pairs, 2], less their mean over all texts; exactly 0 where only rounding is left."""
    moved = rewards - (rewards.mean() if rewards.size else 0.0)
    return np.where(np.abs(moved) <= 1e-12 * np.abs(rewards).max(initial=0.0), 0.0, moved)


def shift(control: np.ndarray, aligned: np.ndarray) -> Shift:
    """How each pair moved from control to aligned.

    Parameters
    ----------
    control, aligned
        [pairs, 2] rewards of chosen and rejected; standard deviations are over all these pairs.
    """
    before, after = (rewards[:, 0] - rewards[:, 1] for rewards in (control, aligned))
    return Shift(
        theta=theta(control, aligned),
        theta_centred=theta(centred(control), centred(aligned)),
        change_of_margin=_scaled(after - before),
        change_of_scaled_margin=_scaled(after) - _scaled(before),
    )


def _scaled(values: np.ndarray) -> np.ndarray:
    """Values in units of their standard deviation; NaN where they do not vary but for rounding."""
    return np.asarray(values / values.std()) if _varies(values) else np.full(len(values), np.nan)


def _varies(values: np.ndarray) -> bool:
    return len(values) > 1 and float(np.ptp(values)) > 1e-12 * float(np.abs(values).max())


def figures(shift: Shift, draw: ClusterBootstrap) -> dict[str, Any]:
    """Where the shifts of some pairs lie, and whether they are off zero.

    Parameters
    ----------
    shift
        Of these pairs.
    draw
        Bootstrap over the opening prompts of these pairs.

    Returns
    -------
    For each kind of shift: mean and share of positive ones with intervals by bootstrap over opening prompts, median, and under
    `independent_pairs` an exact sign test and a t-test of a mean of 0. For angles also the circular mean, whose interval can reach beyond
    180 degrees, and the resultant length: 1 where all angles are the same, near 0 where they point everywhere (Mardia and Jupp 2000,
    Directional Statistics, section 2.2). Null with a reason where a figure is undefined; shifts that are undefined are left out and
    counted.
    """
    pairs = len(shift.theta)
    if pairs == 0:
        return {"pairs": 0}
    statistics = {
        "theta": {**_angular(shift.theta), **_linear(shift.theta, _NO_ANGLE)},
        "theta_centred": {**_angular(shift.theta_centred), **_linear(shift.theta_centred, _NO_ANGLE)},
        "change_of_margin": _linear(shift.change_of_margin, _NO_CHANGE),
        "change_of_scaled_margin": _linear(shift.change_of_scaled_margin, _NO_CHANGE),
    }
    return {"pairs": pairs, "opening_prompts": draw.clusters, **resolved(statistics, draw)}


def _linear(values: np.ndarray, missing: str) -> dict[str, Any]:
    defined = ~np.isnan(values)
    known = values[defined]
    return {
        "undefined": len(values) - len(known),
        "zero": int((known == 0).sum()),
        "mean": mean(values, defined, missing),
        **({"median": float(np.median(known))} if len(known) else {"median": None, "median_reason": missing}),
        "share_positive": mean(values > 0, defined, missing),
        "independent_pairs": {**_sign_test(known), **_t_test(known)},
    }


def _angular(theta: np.ndarray) -> dict[str, Statistic]:
    """Both from the sums of the unit vectors of the angles."""
    defined = ~np.isnan(theta)
    angles = np.radians(np.where(defined, theta, 0.0))
    parts = np.stack([np.cos(angles), np.sin(angles), np.ones(len(theta))], axis=1) * defined[:, None]
    centre = float(np.nan_to_num(_direction(parts.sum(axis=0))))

    def circular_mean(totals: np.ndarray) -> np.ndarray:
        # As a way from the sample's, so that resamples on either side of 180 degrees lie side by side.
        away = _direction(totals) - centre
        return np.asarray(centre + (away + 180) % 360 - 180)

    return {
        "circular_mean": Statistic(parts, circular_mean, _NO_DIRECTION),
        "resultant_length": Statistic(parts, _resultant_length, _NO_ANGLE),
    }


def _direction(totals: np.ndarray) -> np.ndarray:
    """Degrees of sums of unit vectors, [..., 3], NaN where only rounding is left of them."""
    length = _resultant_length(totals)
    points = ~np.isnan(length) & (np.nan_to_num(length) > 1e-9)
    return np.where(points, np.degrees(np.arctan2(totals[..., 1], totals[..., 0])), np.nan)


def _resultant_length(totals: np.ndarray) -> np.ndarray:
    cosines, sines, n = (totals[..., place] for place in range(3))
    some = n > 0
    return np.where(some, np.minimum(1.0, np.hypot(cosines, sines) / np.where(some, n, 1.0)), np.nan)


def _sign_test(values: np.ndarray) -> dict[str, Any]:
    """Whether positive and negative values are as frequent; zeros are left out."""
    positive, negative = int((values > 0).sum()), int((values < 0).sum())
    if positive + negative == 0:
        return {"sign_test_p": None, "sign_test_reason": "no value is positive or negative"}
    test = exact_mcnemar(positive, negative)  # the same test: of these, half are expected on each side
    return {"sign_test_p": test.p, "sign_test_log10_p": test.log10_p}


def _t_test(values: np.ndarray) -> dict[str, Any]:
    """Student's t of a mean of 0, two-sided; where p is 0.0, it is too small for a float."""
    if not _varies(values):
        return {"t": None, "t_test_p": None, "t_test_reason": "there are fewer than two values, or all are the same"}
    t = float(values.mean() / (values.std(ddof=1) / np.sqrt(len(values))))
    return {"t": t, "t_test_p": float(2 * special.stdtr(len(values) - 1, -abs(t)))}


def by_group(shift: Shift, groups: Mapping[str, np.ndarray], draw: ClusterBootstrap) -> dict[str, Any]:
    """The figures of each group of pairs, given by name and mask, [pairs]."""
    return {name: figures(Shift(*(values[members] for values in shift)), draw[members]) for name, members in groups.items()}


def quadrants(rewards: np.ndarray) -> dict[str, float | None]:
    """Share of the pairs in each quadrant of the plane of (chosen, rejected), [pairs, 2], and of those on an axis; None without pairs."""
    if len(rewards) == 0:
        return {**dict.fromkeys(QUADRANTS), "on_an_axis": None}
    signs = np.sign(rewards)
    shares: dict[str, float | None] = {name: float((signs == each).all(axis=1).mean()) for name, each in QUADRANTS.items()}
    return {**shares, "on_an_axis": float((signs == 0).any(axis=1).mean())}


def histogram(theta: np.ndarray, regimes: np.ndarray) -> pd.DataFrame:
    """Counts and shares of theta in bins of 10 degrees, over all pairs and over those of each regime.

    Parameters
    ----------
    theta
        [pairs] degrees; undefined ones are left out.
    regimes
        [pairs] name of each pair's regime.

    Returns
    -------
    theta (the middle of the bin; its lower end belongs to it, and to the last bin both), regime, pairs, share of the regime's pairs that
    have an angle: None where there are none.
    """
    edges = np.arange(-180, 180 + _BIN, _BIN)
    tables = []
    for name in ("all", *REGIMES):
        members = ~np.isnan(theta) & ((regimes == name) | (name == "all"))
        counts, _ = np.histogram(theta[members], edges)
        shares = [round(float(count / members.sum()), 6) if members.any() else None for count in counts]
        tables.append(pd.DataFrame({"theta": (edges[:-1] + edges[1:]) // 2, "regime": name, "pairs": counts, "share": shares}))
    return pd.concat(tables, ignore_index=True)


def regressed(outcomes: Mapping[str, np.ndarray], labels: PairLabels, clusters: np.ndarray, level: float) -> dict[str, Any]:
    """Least squares of shifts on the features of both sides at once, with errors clustered by opening prompt.

    Parameters
    ----------
    outcomes
        [pairs] each, kinds of `Shift` by name. An angle is taken for a number: 179 and -179 degrees lie far apart.
    labels
        Of the pairs; those without are left out, and so are those without an outcome. Both are counted.
    clusters
        [pairs] opening prompt of each pair.
    level
        Of the intervals, which are by the t distribution with each coefficient's `regression.own_degrees`.

    Returns
    -------
    For each outcome counts, the intercept, and for each side and feature the estimate with interval, p, and p adjusted for all features of
    both sides (Holm 1979). A feature that does not vary is taken out first. An estimate that the data do not determine is null with its
    reason, and all are where there are no more opening prompts than coefficients, since clustered errors would be far too small then.
    """
    columns = {
        (side, feature): numbers(table[feature])
        for side, table in (("chosen", labels.chosen), ("rejected", labels.rejected))
        for feature in FEATURES
        if feature in table
    }
    found: dict[str, Any] = {}
    made: dict[bytes, _Regressors] = {}  # by pairs, which are mostly the same for all outcomes
    fits: dict[bytes, Linear] = {}
    for name, outcome in outcomes.items():
        rows = labels.labelled & ~np.isnan(outcome)
        pairs = rows.tobytes()
        regressors = made.get(pairs) or made.setdefault(pairs, _regressors(columns, rows[labels.labelled], clusters[rows]))
        counts = {
            "pairs": int(rows.sum()),
            "opening_prompts": regressors.prompts,
            "left_out_unlabelled": int((~labels.labelled).sum()),
            "left_out_undefined": int((labels.labelled & np.isnan(outcome)).sum()),
        }
        reason = _no_regression(regressors, outcome[rows])
        if reason:
            found[name] = {**counts, "coefficients": None, "reason": reason}
            continue
        known = fits.get(pairs)
        fit = regression.with_outcome(known, outcome[rows]) if known else regression.ols(regressors.design, outcome[rows])
        fits[pairs] = fit
        if np.abs(fit.residuals).max() <= 1e-9 * np.ptp(outcome[rows]):
            found[name] = {**counts, "coefficients": None, "reason": "the features tell the outcome exactly, which leaves no error"}
        else:
            found[name] = {**counts, "coefficients": _coefficients(fit, regressors, level)}
    return found


class _Regressors(NamedTuple):
    """What shifts are regressed on."""

    design: np.ndarray
    """[pairs, 1 + features]"""
    names: list[tuple[str, str]]
    """Side and feature of each column after the intercept."""
    constant: list[tuple[str, str]]
    """Of those that do not vary, and have no column."""
    codes: np.ndarray
    """[pairs] number of each pair's opening prompt, from 0."""
    prompts: int


def _regressors(columns: Mapping[tuple[str, str], np.ndarray], rows: np.ndarray, clusters: np.ndarray) -> _Regressors:
    """Of some of the pairs, given by a mask of those that the columns are of, with their opening prompts."""
    taken = {name: column[rows] for name, column in columns.items()}
    names = [name for name, column in taken.items() if len(column) and np.ptp(column) > 0]
    design = np.column_stack([np.ones(int(rows.sum())), *(taken[name] for name in names)])
    found, codes = np.unique(clusters, return_inverse=True)
    return _Regressors(design, names, [name for name in taken if name not in names], codes, len(found))


def _no_regression(regressors: _Regressors, outcome: np.ndarray) -> str:
    """Why there is none, if so."""
    prompts, needed = regressors.prompts, regressors.design.shape[1]
    if prompts <= needed:
        return f"{prompts} opening prompts for {needed} coefficients; clustered errors need more of them than coefficients"
    return "" if _varies(outcome) else "the outcome does not vary"


def _coefficients(fit: Linear, regressors: _Regressors, level: float) -> dict[str, Any]:
    """Of the intercept, and by side and feature."""
    errors = np.sqrt(np.diag(regression.clustered(fit, regressors.codes)))
    others = regressors.design[:, 1:] != _modes(regressors.design[:, 1:])
    moved = np.array([regressors.prompts, *regression.clusters_moved(others, regressors.codes)])
    errors[1:][moved[1:] < MIN_OPENING_PROMPTS] = np.nan
    degrees = regression.own_degrees(moved)
    coefficients = [_coefficient(*found, level=level) for found in zip(fit.estimates, errors, degrees, strict=True)]
    adjusted = regression.holm(np.array([found.get("p", np.nan) for found in coefficients[1:]], dtype=float))
    nested: dict[str, Any] = {"intercept": coefficients[0], "chosen": {}, "rejected": {}}
    for (side, feature), found, p_holm in zip(regressors.names, coefficients[1:], adjusted, strict=True):
        nested[side][feature] = {**found, "p_holm": p_holm} if "p" in found else found
    for side, feature in regressors.constant:
        nested[side][feature] = {"estimate": None, "reason": "the feature does not vary"}
    return nested


def _modes(columns: np.ndarray) -> np.ndarray:
    """The most frequent value of each column, [pairs, k], of numbers of `features.numbers`, which are -1, 0 and 1."""
    return np.asarray(np.stack([(columns == value).sum(axis=0) for value in (-1, 0, 1)]).argmax(axis=0) - 1)


def _coefficient(estimate: float, error: float, degrees: int, level: float) -> dict[str, Any]:
    if np.isnan(estimate):
        return {"estimate": None, "reason": "collinear with other features"}
    if np.isnan(error):
        return {"estimate": estimate, "reason": f"no error: its rarer values stand in fewer than {MIN_OPENING_PROMPTS} opening prompts"}
    test = regression.wald(Effect(estimate, error), level, degrees)
    return {"estimate": estimate, "low": test.low, "high": test.high, "p": test.p}
