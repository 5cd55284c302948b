"""Feature imprint: the reward that a feature earns, as the coefficient of reward on features (SEAL, arXiv 2408.10270).

The headline compares the two texts of a pair with each other; beside it stand the pooled regression as it was published, the change from
one role to another, what can be said in spite of a labeler's errors, and which features go with misalignment. Pure functions of tables
and arrays.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from seal import regression
from seal.imprint.coefficients import (
    BY_PROMPT,
    COLUMNS,
    INTERCEPT,
    PUBLISHED,
    Estimates,
    Question,
    Rewards,
    Way,
    brief,
    counts_of,
    estimated,
    least_squares,
    no_errors,
    none,
    nothing,
    number_of,
    rows_of,
    shares_that_differ,
    usual_values,
)
from seal.imprint.columns import Column, Columns, Sides, kept
from seal.imprint.corrected import Gold, bracketed_by_second_labeler, corrected_by_gold
from seal.pairs import PREFERENCES

HELD_OUT = "_held_out"
"""Ends the name of an estimator in the table of coefficients where it is of held-out pairs alone."""


class Report(NamedTuple):
    """Figures for the metrics file, and the table of all coefficients, in `COLUMNS`."""

    figures: dict[str, Any]
    coefficients: pd.DataFrame


def report(
    row_ids: np.ndarray,
    openings: np.ndarray,
    rewards: Rewards,
    columns: Columns,
    features: Sides,
    level: float,
    max_inflation: float,
    held_out: np.ndarray | None = None,
    before: Rewards | None = None,
    gold: Gold | None = None,
    control: tuple[Sequence[Column], Sides] | None = None,
) -> Report:
    """Feature imprint of one role.

    Parameters
    ----------
    row_ids
        [pairs]
    openings
        [pairs] opening prompts; pairs that share one depend on each other.
    rewards
        Of the role.
    columns, features
        Columns, and their numbers by the labeler: pairs without labels are left out and counted.
    level
        Of the intervals; what is significant has a p, adjusted by Holm's method, below 1 - level.
    max_inflation
        See `kept`.
    held_out
        [pairs] whether no training has seen the pair; none where it is not given. Of these alone the regressions within pairs are made
        once more, for what the role remembers of its training pairs is in all others.
    before
        Rewards of the role that the change of imprint starts from.
    gold
        Gold labels in the same columns.
    control
        Columns and numbers of a second labeler, of all pairs or some.

    Returns
    -------
    Coefficients are in units of the reward, and `in_sd` in units of its standard deviation over all texts, which counts as known. Errors
    are clustered by opening prompt unless the table says otherwise. Figures that cannot be had are null with a `reason`.
    """
    codes = np.asarray(pd.factorize(openings)[0])
    known = features.known
    labelled = Sides(features.chosen[known], features.rejected[known])
    left = kept(labelled.differences, columns.taken, max_inflation, _never(labelled))
    question = Question(
        row_ids=row_ids[known],
        clusters=codes[known],
        columns=[columns.taken[place] for place in left.places],
        features=Sides(labelled.chosen[:, left.places], labelled.rejected[:, left.places]),
        rewards=Rewards(rewards.chosen[known], rewards.rejected[known]),
        spread=rewards.spread,
        way=Way(level, {column.name: column.aim for column in columns.taken}),
        max_inflation=max_inflation,
    )
    earned = _earned(question, before, known)
    unseen = known & (False if held_out is None else held_out)
    few, dropped_of_few = _of(question, unseen[known])
    of_held_out = _earned(few, before, unseen)
    corrected, corrected_rows = corrected_by_gold(question, gold and _gold_of(gold, known, left.places))
    bracketed, bracket_rows = bracketed_by_second_labeler(question, control and (control[0], _taken(control[1], known)))
    misalignment, misalignment_rows = _misalignment(question, columns.taken, labelled)
    figures = {
        "pairs": len(row_ids),
        "unlabelled_pairs": int((~known).sum()),
        "opening_prompts": number_of(question.clusters),
        "reward_sd": question.spread,
        "dropped": columns.left_out | left.dropped,
        **earned.figures,
        "held_out": {
            "pairs": len(few.row_ids),
            "opening_prompts": number_of(few.clusters),
            "dropped": dropped_of_few,
            **of_held_out.figures,
        },
        "corrected": corrected,
        "bracket_if_errors_are_independent": bracketed,
        "misalignment": misalignment,
    }
    rows = [*earned.rows, *_pooled(question), *corrected_rows, *bracket_rows, *misalignment_rows]
    rows += [{**row, "estimator": f"{row['estimator']}{HELD_OUT}"} for row in of_held_out.rows]
    return Report(figures, pd.DataFrame(rows, columns=list(COLUMNS)))


def _of(question: Question, rows: np.ndarray) -> tuple[Question, dict[str, str]]:
    """The same question of some of its pairs, and why they leave out some of its columns."""
    features = _taken(question.features, rows)
    left = kept(features.differences, question.columns, question.max_inflation, "differs on none of these pairs")
    few = question._replace(
        row_ids=question.row_ids[rows],
        clusters=question.clusters[rows],
        columns=[question.columns[place] for place in left.places],
        features=Sides(features.chosen[:, left.places], features.rejected[:, left.places]),
        rewards=Rewards(question.rewards.chosen[rows], question.rewards.rejected[rows]),
    )
    return few, left.dropped


class _Earned(NamedTuple):
    figures: dict[str, Any]
    rows: list[dict[str, Any]]


def _earned(question: Question, before: Rewards | None, taken: np.ndarray) -> _Earned:
    """What features earn within pairs, and how that changed from another role.

    Parameters
    ----------
    before
        That role's rewards of all pairs.
    taken
        Which of all pairs are those of the question.
    """
    within, intercept = _within_pair(question), _with_intercept(question)
    change, change_rows = _change(question, before, taken)
    figures = {
        "within_pair": {**counts_of(within), "features": _headline(within)},
        "within_pair_with_intercept": {**counts_of(intercept), "features": _beside_intercept(intercept)},
        "chosen_beyond_features": _chosen_beyond_features(intercept),
        "change": change,
    }
    return _Earned(figures, [*within, *intercept, *change_rows])


def _never(labelled: Sides) -> str:
    return "differs on no pair" if len(labelled.chosen) else "no pair has labels on both texts"


def _taken(features: Sides, rows: np.ndarray) -> Sides:
    return Sides(features.chosen[rows], features.rejected[rows])


def _gold_of(gold: Gold, known: np.ndarray, places: list[int]) -> Gold:
    features = Sides(gold.features.chosen[known][:, places], gold.features.rejected[known][:, places])
    return Gold(features, gold.drawn[known], gold.share)


def _within_pair(question: Question) -> list[dict[str, Any]]:
    """Differences of reward on differences of features: with two texts a pair these are fixed effects of pairs (Wooldridge 2010, 10.5)."""
    names, differences = question.names, question.features.differences
    found = least_squares(names, differences, question.rewards.margins, question.clusters, "the difference of the rewards")
    return rows_of(found, question.way, "within_pair", "reward", question.scale, shares_that_differ(differences, names))


def _with_intercept(question: Question) -> list[dict[str, Any]]:
    """The same with an intercept: what being chosen earns beyond the features."""
    names, differences = question.names, question.features.differences
    design, margins = np.column_stack([np.ones(len(differences)), differences]), question.rewards.margins
    found = least_squares([INTERCEPT, *names], design, margins, question.clusters, "the difference of the rewards")
    return rows_of(found, question.way, "within_pair_with_intercept", "reward", question.scale, shares_that_differ(differences, names))


def _pooled(question: Question) -> list[dict[str, Any]]:
    """All texts at once, as the published script did: with an intercept, and with row_id as if it were a feature.

    The script takes no notice of which texts belong to a pair. It has row_id among its regressors, here in its standard deviations, and
    the errors that it asks for, clustered, it does not get. `pooled_published` with classical errors is what it printed.
    """
    names, pairs = question.names, len(question.row_ids)
    row_id = np.tile(question.row_ids - question.row_ids.mean(), 2) / (question.row_ids.std() or 1.0) if pairs else np.zeros(0)
    side = np.repeat([1.0, 0.0], pairs)
    regressors = [INTERCEPT, "row_id", "chosen", *names]
    columns = np.column_stack([np.ones(2 * pairs), row_id, side, np.concatenate(question.features)])
    moved = _moved_by_kind(columns, question.clusters)
    differs = shares_that_differ(question.features.differences, names)
    rows = []
    for estimator, without in ((PUBLISHED, {"chosen"}), ("pooled", {"chosen", "row_id"}), ("pooled_with_side", {"row_id"})):
        places = [place for place, name in enumerate(regressors) if name not in without]
        of_these = {kind: counts[places] for kind, counts in moved.items()}
        found = _pooled_estimates([regressors[place] for place in places], columns[:, places], question, of_these)
        for errors, estimates in found.items():
            rows += rows_of(estimates, question.way, estimator, "reward", question.scale, differs, errors)
    return rows


_BY = {"classical": "texts", "by pair": "pairs", BY_PROMPT: "opening prompts"}
"""Kinds of errors of the pooled regression, and what each takes to be independent."""


def _moved_by_kind(columns: np.ndarray, clusters: np.ndarray) -> dict[str, np.ndarray]:
    """By kind of errors, in how many of what it takes to be independent each column differs from its usual value, [columns].

    Parameters
    ----------
    columns
        [texts, columns] the chosen texts, then the rejected ones; the first is the intercept, which is at work in all.
    clusters
        [pairs]
    """
    if not len(columns):
        return {kind: np.zeros(columns.shape[1], dtype=int) for kind in _BY}
    differs = columns != usual_values(columns)
    differs[:, 0] = True
    chosen, rejected = np.split(differs, 2)
    of_pairs = chosen | rejected
    counts = (differs.sum(axis=0), of_pairs.sum(axis=0), regression.clusters_moved(of_pairs, clusters))
    return dict(zip(_BY, counts, strict=True))


def _pooled_estimates(names: list[str], design: np.ndarray, question: Question, moved: Mapping[str, np.ndarray]) -> dict[str, Estimates]:
    """The same estimates with errors of three kinds, each by the t distribution."""
    rows, size = design.shape
    rewards = np.concatenate(question.rewards)
    if rows <= size:
        return dict.fromkeys(_BY, nothing(names, f"{rows} texts are too few for {size} coefficients"))
    if np.ptp(rewards) == 0:
        return dict.fromkeys(_BY, nothing(names, "the reward is the same for all texts"))
    fit = regression.ols(design, rewards)
    chosen, rejected = np.split(fit.influence * fit.residuals, 2, axis=1)
    by_pair = (chosen + rejected).T
    covariances = (
        regression.classical(fit),
        regression.clustered_by_totals(fit, by_pair),
        regression.clustered_by_totals(fit, regression.cluster_totals(by_pair, question.clusters)),
    )
    made = {}
    for (kind, groups), covariance in zip(_BY.items(), covariances, strict=True):
        number = int(moved[kind][0])
        degrees = np.full(size, fit.degrees) if kind == "classical" else regression.own_degrees(moved[kind])
        reason = no_errors(fit.residuals, rewards, size, number, groups)
        made[kind] = estimated(names, fit.estimates, covariance, degrees, moved[kind], reason, groups)
    return made


def _change(question: Question, before: Rewards | None, taken: np.ndarray) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same regression on the difference of two roles' differences, each in its own standard deviation."""
    if before is None:
        return none("no role to start from is given"), []
    if min(before.spread, question.spread) == 0:
        return none("a role's reward is the same for all texts"), []
    names, differences = question.names, question.features.differences
    gained = question.rewards.margins / question.spread - before.margins[taken] / before.spread
    found = least_squares(names, differences, gained, question.clusters, "the difference between the roles")
    rows = rows_of(found, question.way, "change", "sd", 1.0, shares_that_differ(differences, names))
    return {**counts_of(rows), "features": {row["feature"]: brief(row) for row in rows}}, rows


def _misalignment(question: Question, columns: Sequence[Column], labelled: Sides) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How much each side's features add to the chance that the role does not agree with the human: linear probability model."""
    resists = (question.rewards.margins <= 0).astype(float)
    counts: dict[str, Any] = {"pairs": len(resists), "misaligned": int(resists.sum())}
    numbers = np.concatenate([labelled.chosen, labelled.rejected], axis=1)
    both = [column._replace(name=f"{side} {column.name}") for side in PREFERENCES for column in columns]
    centred = numbers - numbers.mean(axis=0) if len(numbers) else numbers
    left = kept(centred, both, question.max_inflation, "the same on all pairs" if len(numbers) else _never(labelled))
    names = [both[place].name for place in left.places]
    design = np.column_stack([np.ones(len(numbers)), numbers[:, left.places]])
    found = least_squares([INTERCEPT, *names], design, resists, question.clusters, "agreement with the human")
    found = _without_one_outcome(found, design, resists)
    way = question.way._replace(aims={column.name: column.aim for column in both})
    rows = rows_of(found, way, "misalignment", "probability", float("nan"), {})
    sided: dict[str, dict[str, Any]] = {side: {} for side in PREFERENCES}
    for row in rows[1:]:
        side, _, name = row["feature"].partition(" ")
        sided[side][name] = brief(row)
    return {**counts, **counts_of(rows), "dropped": left.dropped, **sided}, rows


def _without_one_outcome(found: Estimates, design: np.ndarray, resists: np.ndarray) -> Estimates:
    """Take away the errors of indicators with which, or without which, all pairs have one outcome: their residuals are none of chance."""
    if not len(design):
        return found
    reasons, errors = list(found.reasons), found.errors.copy()
    for place, (numbers, usual) in enumerate(zip(design.T, usual_values(design), strict=True)):
        other = numbers != usual
        alike = other.any() and min(np.ptp(resists[other]), np.ptp(resists[~other])) == 0
        if alike and not reasons[place]:
            reasons[place], errors[place] = "no error: all pairs with it, or all without it, have one outcome", np.nan
    return found._replace(errors=errors, reasons=reasons)


# --- figures of rows ---


def _headline(rows: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("aim", "differs", "estimate", "low", "high", "in_sd", "in_sd_low", "in_sd_high", "p_holm")
    return {
        row["feature"]: {name: row[name] for name in names}
        | {name: row[name] for name in ("minimal_detectable", "reason") if row[name] is not None}
        for row in rows
    }


def _beside_intercept(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {row["feature"]: brief(row) for row in rows if row["feature"] != INTERCEPT}


def _chosen_beyond_features(rows: list[dict[str, Any]]) -> dict[str, Any]:
    row = rows[0]
    names = ("estimate", "low", "high", "in_sd", "in_sd_low", "in_sd_high", "p")
    return {name: row[name] for name in names} | ({"reason": row["reason"]} if row["reason"] else {})
