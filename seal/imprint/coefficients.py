"""From one regression to its rows in the table of coefficients: estimates with their errors, or the reason why there are none."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from seal import regression
from seal.imprint.columns import Column, Sides
from seal.regression import Effect

POWER = 0.8
"""At which a minimal detectable effect is given."""

MIN_PROMPTS = 10
"""A coefficient has no error where its feature differs on pairs of fewer opening prompts: the residuals of so few that the coefficient
itself was fitted to would make it far too small."""

PUBLISHED = "pooled_published"
"""The estimator that is SEAL's script's own."""

COLUMNS = (
    *("estimator", "errors", "feature", "aim", "unit", "differs", "estimate", "standard_error", "low", "high"),
    *("in_sd", "in_sd_low", "in_sd_high", "p", "p_bonferroni", "p_holm", "p_benjamini_hochberg", "minimal_detectable", "reason"),
)
"""Of the table of coefficients. `differs` is the share of pairs on which the feature differs, by the labels that the estimator takes.
`minimal_detectable` is the effect that a test finds at `POWER`, where p has to be below 1 - level over the tests that Holm's method still
has to pay for: those that are not significant. A p that is too small for a float is 0."""

BY_PROMPT = "by opening prompt"
INTERCEPT = "intercept"

_GUESSED_FROM = 1000
"""Rows, about, from which the value in the middle of a column is guessed."""

_EXACT = 1e-12
"""An outcome of which no larger share is left over is fitted exactly."""


# --- what is regressed ---


class Rewards(NamedTuple):
    """A role's rewards of both texts, [pairs] each."""

    chosen: np.ndarray
    rejected: np.ndarray

    @property
    def margins(self) -> np.ndarray:
        """[pairs] chosen less rejected."""
        return np.asarray(self.chosen - self.rejected)

    @property
    def spread(self) -> float:
        """Standard deviation over all texts; 0 where all have the same reward."""
        both = np.concatenate([self.chosen, self.rejected])
        return float(both.std()) if len(both) and np.ptp(both) > 0 else 0.0


def rewards_of(scores: pd.DataFrame) -> Rewards:
    """Of a role's table, as `scores.read` gives it."""
    return Rewards(scores["chosen_score"].to_numpy(dtype=float), scores["rejected_score"].to_numpy(dtype=float))


class Way(NamedTuple):
    """How rows of coefficients are to be made, the same for all of them."""

    level: float
    aims: Mapping[str, str]
    """target, spoiler or other, by feature; what has no aim is no feature and counts for no test."""


class Question(NamedTuple):
    """What is regressed: the pairs with labels, and the columns that are left of the features."""

    row_ids: np.ndarray
    """[pairs]"""
    clusters: np.ndarray
    """[pairs] number of each pair's opening prompt"""
    columns: list[Column]
    features: Sides
    """Of these columns, by the labeler; no NaN."""
    rewards: Rewards
    spread: float
    """Standard deviation of the rewards over all texts of the role, also those of no labelled pair."""
    way: Way
    max_inflation: float

    @property
    def names(self) -> list[str]:
        """[columns]"""
        return [column.name for column in self.columns]

    @property
    def scale(self) -> float:
        """The spread, NaN where there is none."""
        return self.spread or float("nan")


# --- estimates ---


class Estimates(NamedTuple):
    """Coefficients with their errors, and why there are none where there are none."""

    names: list[str]
    estimates: np.ndarray
    """[k] NaN where there is none."""
    errors: np.ndarray
    """[k] standard errors, NaN where there are none."""
    degrees: np.ndarray
    """[k] of the t distribution, NaN where there are no estimates."""
    reasons: list[str]
    """[k]"""


def nothing(names: Sequence[str], reason: str) -> Estimates:
    unknown = np.full(len(names), np.nan)
    return Estimates(list(names), unknown, unknown, unknown, [reason] * len(names))


def estimated(
    names: Sequence[str],
    estimates: np.ndarray,
    covariance: np.ndarray,
    degrees: np.ndarray,
    moved: np.ndarray,
    reason: str = "",
    groups: str = "opening prompts",
) -> Estimates:
    """Estimates with their errors; none of a feature that differs in too few clusters, and none at all where there is a reason for all.

    Parameters
    ----------
    degrees
        [k] of the t distribution.
    moved
        [k] in how many clusters each column differs.
    groups
        What the clusters are.
    """
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(np.diag(covariance))
    reasons = []
    for estimate, count in zip(estimates, moved, strict=True):
        if np.isnan(estimate):
            reasons.append("collinear with others")
        elif reason:
            reasons.append(reason)
        else:
            few = f"no error: it differs in {count} {groups}, and an error needs {MIN_PROMPTS}"
            reasons.append(few if count < MIN_PROMPTS else "")
    errors = np.where([bool(reason) for reason in reasons], np.nan, errors)
    return Estimates(list(names), estimates, errors, degrees, reasons)


def usual_values(design: np.ndarray) -> np.ndarray:
    """The value in the middle of each column, [k], which is one that occurs."""
    middle = len(design) // 2
    some = design[:: len(design) // _GUESSED_FROM + 1]
    found: np.ndarray = np.partition(some, len(some) // 2, axis=0)[len(some) // 2]
    # Counting which lie before a guess takes a fraction of the time of putting them in order.
    wrong = ((design < found).sum(axis=0) > middle) | ((design <= found).sum(axis=0) <= middle)
    found[wrong] = np.partition(design[:, wrong], middle, axis=0)[middle]
    return found


def number_of(clusters: np.ndarray) -> int:
    """How many clusters there are; counted, since sorting them takes long where there are many."""
    return int(np.count_nonzero(np.bincount(clusters)))


def least_squares(names: Sequence[str], design: np.ndarray, outcome: np.ndarray, clusters: np.ndarray, what: str) -> Estimates:
    """Least squares with clustered errors. A design that begins with the intercept is one whose first name is `INTERCEPT`.

    Parameters
    ----------
    what
        The outcome, for the reason of there being no estimate where it does not vary.
    """
    rows, size = design.shape
    if not size:
        return nothing([], "")
    intercept = names[0] == INTERCEPT
    if rows <= size:
        return nothing(names, f"{rows} labelled pairs are too few for {size} coefficients")
    if np.ptp(outcome) == 0 and (intercept or outcome[0] == 0):
        return nothing(names, f"{what} is the same for all pairs")
    fit = regression.ols(design, outcome)
    covariance = regression.clustered(fit, clusters)
    moved = regression.clusters_moved(design != (usual_values(design) if intercept else 0.0), clusters)
    if intercept:
        moved[0] = number_of(clusters)
    reason = no_errors(fit.residuals, outcome, size, number_of(clusters))
    return estimated(names, fit.estimates, covariance, regression.own_degrees(moved), moved, reason)


def no_errors(residuals: np.ndarray, outcome: np.ndarray, size: int, clusters: int, groups: str = "opening prompts") -> str:
    """Why no coefficient of a fit has an error, if so."""
    if clusters <= size:
        return f"no error: {clusters} {groups} are too few for {size} coefficients"
    if np.linalg.norm(residuals) <= _EXACT * np.linalg.norm(outcome):
        return "no error: the features tell the outcome exactly"
    return ""


# --- rows of coefficients ---


def rows_of(
    found: Estimates,
    way: Way,
    estimator: str,
    unit: str,
    scale: float,
    differs: Mapping[str, float],
    errors: str = BY_PROMPT,
) -> list[dict[str, Any]]:
    """Rows in `COLUMNS`, None for what a coefficient does not have; values of p are adjusted for the features of this fit.

    Parameters
    ----------
    scale
        The reward's standard deviation in the unit of the coefficients; NaN where they are in no unit of reward.
    differs
        Share of the pairs on which each feature differs.
    """
    tests = [
        None if np.isnan(error) else regression.wald(Effect(estimate, error), way.level, degrees)
        for estimate, error, degrees in zip(found.estimates, found.errors, found.degrees, strict=True)
    ]
    tested = np.array([test.p if test and name in way.aims else np.nan for name, test in zip(found.names, tests, strict=True)], dtype=float)
    holm, hochberg = regression.holm(tested), regression.benjamini_hochberg(tested)
    number = int((~np.isnan(tested)).sum())
    # SEAL's script adjusted for all coefficients that it printed, intercept and row_id with them.
    bonferroni = sum(test is not None for test in tests) if estimator == PUBLISHED else number
    significant = int((holm < 1 - way.level).sum())
    rows = []
    for place, (name, test) in enumerate(zip(found.names, tests, strict=True)):
        estimate, error = found.estimates[place], found.errors[place]
        undecided = holm[place] >= 1 - way.level  # not so where it is NaN
        threshold = (1 - way.level) / max(number - significant, 1)
        ends = {
            "in_sd": estimate / scale,
            "in_sd_low": test.low / scale if test else np.nan,
            "in_sd_high": test.high / scale if test else np.nan,
        }
        row = {
            "estimator": estimator,
            "errors": errors,
            "feature": name,
            "aim": way.aims.get(name),
            "unit": unit,
            "differs": differs.get(name),
            "estimate": estimate,
            "standard_error": error,
            "low": test and test.low,
            "high": test and test.high,
            **ends,
            "p": test and test.p,
            "p_bonferroni": min(1.0, tested[place] * bonferroni) if not np.isnan(tested[place]) else None,
            "p_holm": holm[place],
            "p_benjamini_hochberg": hochberg[place],
            "minimal_detectable": regression.detectable(error, threshold, POWER, found.degrees[place]) if undecided else None,
            "reason": found.reasons[place] or None,
        }
        rows.append({key: None if isinstance(value, float) and np.isnan(value) else value for key, value in row.items()})
    return rows


def shares_that_differ(differences: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Share of the pairs on which each column, [pairs, columns], differs."""
    if not len(differences):
        return {}
    return dict(zip(names, (differences != 0).mean(axis=0).tolist(), strict=True))


# --- figures of rows ---


def none(reason: str) -> dict[str, Any]:
    return {"features": None, "reason": reason}


def brief(row: dict[str, Any]) -> dict[str, Any]:
    names = ("estimate", "low", "high", "p_holm")
    return {name: row[name] for name in names} | ({"reason": row["reason"]} if row["reason"] else {})


def counts_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many features were tested, and how many of them are significant: whose p after Holm's adjustment is below 1 - level."""
    tested = [row for row in rows if row["p_holm"] is not None]
    return {"tested": len(tested), "significant": sum(row["minimal_detectable"] is None for row in tested)}
