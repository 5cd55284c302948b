"""Robustness scores: how much each flip of a label adds to the chance that a pair becomes misaligned (SEAL, arXiv 2408.10270).

One feature and side at a time, as SEAL publishes them, and all together, which tells flips apart that go together. Pure functions of
arrays.
"""

from typing import Any, NamedTuple

import numpy as np

from seal import regression
from seal.flips import Flips, levels_of
from seal.regression import Effect

MIN_EVENTS = 10
"""Events that a joint fit needs for each parameter (Peduzzi and others 1996); events are the rarer outcome, parameters the slopes: the
levels other than 0 that occur."""

COLUMNS = ("feature", "side", "level", "pairs", "estimate", "low", "high", "standard_error", "p", "p_holm", "reason")
"""Of a robustness score."""

_COLLINEAR = "collinear: the same pairs have other flips, or no pair is without this one"
_SEPARATION = "the flips together tell some outcomes perfectly (separation)"
_ONE_OUTCOME = "all pairs of this level that others leave have one outcome (separation)"


class _Coefficient(NamedTuple):
    """The effect of one level of a flip on the chance of becoming misaligned, against pairs without this flip."""

    feature: str
    side: str
    level: int
    pairs: int
    effect: Effect
    """NaN where there is none."""
    reason: str
    """Why there is no estimate or no error."""
    degrees: int | None
    """Of the t distribution; None for the normal."""


class Fit(NamedTuple):
    """The robustness scores of one model."""

    counts: dict[str, int]
    """Of a joint fit: pairs, those left out, events and parameters."""
    scores: list[dict[str, Any]] | None
    """A row in `COLUMNS` for each coefficient; None where the fit was refused or has no finite estimates."""
    reason: str
    """Why there are no scores."""


def fits(flips: Flips, misaligned: np.ndarray, population: np.ndarray, level: float) -> dict[str, Fit]:
    """The effect of each level of each flip on becoming misaligned, level 0 being the base; positive: the more fragile.

    `one_at_a_time` and `linear` are linear probability models with HC3 errors, of one feature and side, and of all together; their
    intervals and p are by the t distribution. `logistic` has average marginal effects of a logistic regression on all together, its errors
    by the sandwich and the delta method, its intervals and p by the normal distribution. `p_holm` is adjusted for all coefficients of a
    fit, and one at a time for all those of all features and sides.

    Parameters
    ----------
    flips
        [pairs] each.
    misaligned
        [pairs] whether a pair became misaligned.
    population
        [pairs] which pairs to take: all, or those at risk, that agreed before.
    level
        Of the intervals.

    Returns
    -------
    By way. An estimate that cannot be told from others is None; an error is None where one pair alone decides a coefficient, or where all
    pairs with the flip, or all without it, have one outcome, since an error made from residuals that happen to be none would be far too
    small. Joint fits leave out pairs that miss any label and count them; they are refused where there are fewer than `MIN_EVENTS` for each
    parameter.
    """
    return {
        "one_at_a_time": _one_at_a_time(flips, misaligned, population, level),
        **_joint(flips, misaligned, population, level),
    }


def summary(fit: Fit, level: float) -> dict[str, Any]:
    """Counts of a fit, of its coefficients, of those that have a test, and of those that are significant: whose p after Holm's adjustment
    is below 1 - level.

    All three are null with the reason where the fit has no scores.
    """
    if fit.scores is None:
        return {**fit.counts, "coefficients": None, "tested": None, "significant": None, "reason": fit.reason}
    tested = [score["p_holm"] for score in fit.scores if score["p_holm"] is not None]
    return {**fit.counts, "coefficients": len(fit.scores), "tested": len(tested), "significant": sum(p < 1 - level for p in tested)}


def _one_at_a_time(flips: Flips, misaligned: np.ndarray, population: np.ndarray, level: float) -> Fit:
    coefficients: list[_Coefficient] = []
    for key, flip in flips.items():
        rows = population & ~np.isnan(flip)
        coefficients += _linear(*_design({key: flip[rows]}), misaligned[rows].astype(float))
    return Fit({}, _scores(coefficients, level), "")


def _joint(flips: Flips, misaligned: np.ndarray, population: np.ndarray, level: float) -> dict[str, Fit]:
    labelled = ~np.isnan(np.stack(list(flips.values()))).any(axis=0)
    rows = population & labelled
    columns, design = _design({key: flip[rows] for key, flip in flips.items()})
    outcome = misaligned[rows].astype(float)
    events = int(min(outcome.sum(), len(outcome) - outcome.sum()))
    counts = {
        "pairs": len(outcome),
        "left_out_without_label": int((population & ~labelled).sum()),
        "events": events,
        "parameters": len(columns),
    }
    if not columns:
        refused = "no label flips on these pairs"
    elif events < MIN_EVENTS * len(columns):
        refused = f"{events} events for {len(columns)} parameters; a joint fit needs {MIN_EVENTS} for each"
    else:
        linear = Fit(counts, _scores(_linear(columns, design, outcome), level), "")
        logistic = _logistic(columns, design, outcome, level)
        return {"linear": linear, "logistic": logistic._replace(counts=counts | logistic.counts)}
    return dict.fromkeys(("linear", "logistic"), Fit(counts, None, refused))


def _design(flips: Flips) -> tuple[list[tuple[str, str, int]], np.ndarray]:
    """Feature, side and level of each indicator, and the design, [pairs, 1 + indicators], that begins with the intercept."""
    columns = [(*key, level) for key, flip in flips.items() for level in levels_of(flip) if level != 0]
    pairs = len(next(iter(flips.values())))
    indicators = [flips[feature, side] == level for feature, side, level in columns]
    return columns, np.stack([np.ones(pairs), *indicators], axis=1).astype(float)


def _alternatives(columns: list[tuple[str, str, int]], column: int) -> list[int]:
    """Places in the design of all levels of the same feature and side."""
    return [place for place, other in enumerate(columns, start=1) if other[:2] == columns[column - 1][:2]]


def _linear(columns: list[tuple[str, str, int]], design: np.ndarray, outcome: np.ndarray) -> list[_Coefficient]:
    if not columns:
        return []
    fit = regression.ols(design, outcome)
    errors = regression.hc3(fit)
    coefficients = []
    for place, column in enumerate(columns, start=1):
        with_flip = design[:, place] == 1
        without = ~design[:, _alternatives(columns, place)].any(axis=1)
        estimate, error, reason = float(fit.estimates[place]), float(errors[place]), ""
        if np.isnan(estimate):
            reason = _COLLINEAR
        elif np.isnan(error):
            reason = "no error: a pair that no other is like decides this coefficient alone"
        elif min(np.ptp(outcome[with_flip]), np.ptp(outcome[without])) == 0:
            reason, error = "no error: all pairs of this level, or all of level 0, have one outcome", np.nan
        coefficients.append(_Coefficient(*column, int(with_flip.sum()), Effect(estimate, error), reason, fit.degrees))
    return coefficients


def _logistic(columns: list[tuple[str, str, int]], design: np.ndarray, outcome: np.ndarray, level: float) -> Fit:
    """Average marginal effects over the pairs that a logistic regression can be fitted to; a level that separates has none."""
    rows, kept = regression.without_separating(design, outcome)
    places = np.flatnonzero(kept)
    design_kept, columns_kept = design[np.ix_(rows, places)], [columns[place - 1] for place in places[1:]]
    unknown = [column for column, known in zip(columns_kept, regression.determined(design_kept)[1:], strict=True) if not known]
    fit = regression.logit(design_kept, outcome[rows]) if columns_kept and not unknown else None
    counts = {"pairs_left_out_by_separation": int((~rows).sum())}
    if fit is None:
        names = ", ".join(f"{feature} {side} {each:+d}" for feature, side, each in unknown)
        return Fit(counts, None, f"{names}: {_COLLINEAR}" if unknown else f"no finite estimate: {_SEPARATION}")
    covariance = regression.sandwich(fit, design_kept)
    effects = {
        column: regression.average_effect(fit, covariance, design_kept, place, _alternatives(columns_kept, place))
        for place, column in enumerate(columns_kept, start=1)
    }
    nothing = Effect(np.nan, np.nan)
    coefficients = [
        _Coefficient(
            *column, int(pairs), effects.get(column, nothing), "" if column in effects else f"no finite estimate: {_ONE_OUTCOME}", None
        )
        for column, pairs in zip(columns, design[:, 1:].sum(axis=0), strict=True)
    ]
    return Fit(counts, _scores(coefficients, level), "")


def _scores(coefficients: list[_Coefficient], level: float) -> list[dict[str, Any]]:
    """Rows in `COLUMNS`; None for what a coefficient does not have."""
    tests = [_test(coefficient, level) for coefficient in coefficients]
    adjusted = regression.holm(np.array([np.nan if test is None else test.p for test in tests]))
    rows = []
    for coefficient, test, p_holm in zip(coefficients, tests, adjusted, strict=True):
        estimate, error = (None if np.isnan(value) else value for value in coefficient.effect)
        rows.append(
            {
                "feature": coefficient.feature,
                "side": coefficient.side,
                "level": coefficient.level,
                "pairs": coefficient.pairs,
                "estimate": estimate,
                "low": test and test.low,
                "high": test and test.high,
                "standard_error": error,
                "p": test and test.p,
                "p_holm": None if test is None else float(p_holm),
                "reason": coefficient.reason or None,
            }
        )
    return rows


def _test(coefficient: _Coefficient, level: float) -> regression.Wald | None:
    if np.isnan(coefficient.effect.error):
        return None
    return regression.wald(coefficient.effect, level, coefficient.degrees)
