"""Feature imprint: the reward that a feature earns, as the coefficient of reward on features (SEAL, arXiv 2408.10270, section 3.3).

The headline compares the two texts of a pair with each other; beside it stand the pooled regression as it was published, the change from
one role to another, what can be said in spite of a labeler's errors, and which features go with misalignment. Pure functions of tables
and arrays.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from seal import regression
from seal.agreement import with_interval
from seal.errors import InputError
from seal.features import FEATURES, LISTS, SENTIMENT, values
from seal.pairs import PREFERENCES
from seal.rectified import WEAK, Bracket, bracket, rectified
from seal.regression import Effect, Instrumented, Linear
from seal.uncertainty import Interval

POWER = 0.8
"""At which a minimal detectable effect is given."""

MIN_PROMPTS = 10
"""A coefficient has no error where its feature differs on pairs of fewer opening prompts: the residuals of so few that the coefficient
itself was fitted to would make it far too small."""

OTHER = "other"
"""The aim of a feature that is neither a target nor a spoiler."""

COLUMNS = (
    *("estimator", "errors", "feature", "aim", "unit", "differs", "estimate", "standard_error", "low", "high"),
    *("in_sd", "in_sd_low", "in_sd_high", "p", "p_bonferroni", "p_holm", "p_benjamini_hochberg", "minimal_detectable", "reason"),
)
"""Of the table of coefficients. `differs` is the share of pairs on which the feature differs, by the labels that the estimator takes.
`minimal_detectable` is the effect that a test finds at `POWER`, where p has to be below 1 - level over the tests that Holm's method still
has to pay for: those that are not significant. A p that is too small for a float is 0."""

BY_PROMPT = "by opening prompt"
INTERCEPT = "intercept"

_SENTIMENTS = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
_EXACT = 1e-12
"""An outcome of which no larger share is left over is fitted exactly."""


# --- from labels to numbers ---


class Column(NamedTuple):
    """What a column of a regression is made of."""

    name: str
    feature: str
    value: str | None
    """Of a feature that is a list: the value that the column is an indicator of."""
    aim: str
    """target, spoiler or other"""


class Sides(NamedTuple):
    """Numbers of both texts of each pair, NaN where a text has no labels: [pairs, columns] each."""

    chosen: np.ndarray
    rejected: np.ndarray

    @property
    def differences(self) -> np.ndarray:
        """[pairs, columns] chosen less rejected."""
        return np.asarray(self.chosen - self.rejected)

    @property
    def known(self) -> np.ndarray:
        """[pairs] whether both texts have labels."""
        return np.asarray(~np.isnan(self.differences).any(axis=1))


class Columns(NamedTuple):
    """The columns that features give, and why other features give none."""

    taken: list[Column]
    left_out: dict[str, str]


def columns(features: Sequence[str], target: Sequence[str], spoiler: Sequence[str], indicators: Sequence[str]) -> Columns:
    """The columns that features give: one each, and one for each value of a list where indicators are asked for.

    Parameters
    ----------
    features
        Those that are labelled.
    target, spoiler
        Features that the data mean to teach, and that they may teach by accident.
    indicators
        Lists to be made indicators of; other lists are left out.

    Raises
    ------
    InputError
        If a feature is both target and spoiler, or is a list that is not made indicators of.
    """
    for feature in (*target, *spoiler):
        if feature in target and feature in spoiler:
            raise InputError(f"{feature} is both in target and in spoiler; take it out of one of them")
        if feature in LISTS and feature not in indicators:
            raise InputError(f"{feature} is a list and stands in target or spoiler; name it in indicators too, or take it out")
    aims = {**dict.fromkeys(target, "target"), **dict.fromkeys(spoiler, "spoiler")}
    made = Columns([], {})
    for feature in FEATURES:
        aim = aims.get(feature, OTHER)
        if feature in LISTS and feature not in indicators:
            made.left_out[feature] = "a list that indicators does not name"
        elif feature not in features:
            made.left_out[feature] = "the labels do not have it"
        elif feature in LISTS:
            made.taken.extend(Column(f"{feature}: {value}", feature, value, aim) for value in values(feature))
        else:
            made.taken.append(Column(feature, feature, None, aim))
    return made


def sides(labels: pd.DataFrame, row_ids: np.ndarray, columns: Sequence[Column]) -> Sides:
    """Labels as numbers, in the order of the pairs: True is 1 and False 0, sentiment is -1, 0 or 1, indicators are 1 or 0.

    Parameters
    ----------
    labels
        A table of labels, as `taxonomy.read` gives it.
    row_ids
        [pairs]
    """
    numbers = {column.name: _numbers(labels[column.feature], column) for column in columns}
    table = pd.DataFrame(numbers, index=labels.index)
    made = []
    for preference in PREFERENCES:
        rows = (labels["preference"] == preference).to_numpy()
        side = table[rows].set_axis(labels["row_id"].to_numpy()[rows])
        made.append(side.reindex(row_ids).to_numpy(dtype=float))
    return Sides(*made)


def _numbers(labels: pd.Series, column: Column) -> np.ndarray:
    if column.value is not None:
        return np.array([column.value in label for label in labels], dtype=float)
    if column.feature == SENTIMENT:
        return np.array([_SENTIMENTS[label] for label in labels], dtype=float)
    return labels.to_numpy(dtype=float)


# --- which columns can be told apart ---


class Kept(NamedTuple):
    """The columns that are left in a regression, and why the others are not."""

    places: list[int]
    dropped: dict[str, str]


def kept(design: np.ndarray, columns: Sequence[Column], max_inflation: float, constant: str) -> Kept:
    """Drop columns that are 0 throughout; then, as long as any variance inflation is larger than allowed, the column with the largest.

    Of columns that are collinear with each other alike, one that is neither target nor spoiler goes first, then the one that comes first
    among the features: those speak of the whole conversation, the later ones of the last response.

    Parameters
    ----------
    design
        [n, k] differences, or numbers less their means where the regression has an intercept.
    constant
        Why a column that is 0 throughout is dropped.
    """
    dropped = {
        column.name: constant for column, numbers in zip(columns, design.T, strict=True) if np.abs(numbers).max(initial=0.0) < _EXACT
    }
    places = [place for place, column in enumerate(columns) if column.name not in dropped]
    while len(places) > 1:
        inflation = regression.variance_inflation(design[:, places])
        largest = inflation.max()
        if largest <= max_inflation:
            break
        alike = [place for place, each in zip(places, inflation, strict=True) if each == largest or each > (1 - 1e-6) * largest]
        gone = min(alike, key=lambda place: (columns[place].aim != OTHER, place))
        others = [place for place in places if place != gone]
        sizes = np.linalg.norm(design[:, others], axis=0) * np.linalg.norm(design[:, gone])
        likeness = np.abs(design[:, others].T @ design[:, gone]) / sizes
        named = "infinite" if np.isinf(largest) else f"{largest:.3g}"
        dropped[columns[gone].name] = (
            f"variance inflation {named}, allowed {max_inflation:g}; most like {columns[others[int(likeness.argmax())]].name} "
            f"(correlation {likeness.max():.2f})"
        )
        places = others
    return Kept(places, dropped)


# --- from a design to rows of coefficients ---


class Estimates(NamedTuple):
    """Coefficients with their errors, and why there are none where there are none."""

    names: list[str]
    estimates: np.ndarray
    """[k] NaN where there is none."""
    errors: np.ndarray
    """[k] standard errors, NaN where there are none."""
    degrees: int | None
    """Of the t distribution."""
    reasons: list[str]
    """[k]"""


class Way(NamedTuple):
    """How rows of coefficients are to be made, the same for all of them."""

    level: float
    aims: Mapping[str, str]
    """target, spoiler or other, by feature; what has no aim is no feature and counts for no test."""


def _nothing(names: Sequence[str], reason: str) -> Estimates:
    unknown = np.full(len(names), np.nan)
    return Estimates(list(names), unknown, unknown, None, [reason] * len(names))


def _estimated(
    names: Sequence[str],
    estimates: np.ndarray,
    covariance: np.ndarray,
    degrees: int,
    moved: np.ndarray,
    reason: str = "",
    groups: str = "opening prompts",
) -> Estimates:
    """Estimates with their errors; none of a feature that differs in too few clusters, and none at all where there is a reason for all.

    Parameters
    ----------
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


def _clusters_moved(design: np.ndarray, clusters: np.ndarray, intercept: bool) -> np.ndarray:
    """In how many clusters each column, [n, k], is another than 0, or than its usual value where there is an intercept."""
    usual = _usual(design) if intercept else np.zeros(design.shape[1])
    return np.array([_number(clusters[column != value]) for column, value in zip(design.T, usual, strict=True)], dtype=int)


def _usual(design: np.ndarray) -> np.ndarray:
    """The value in the middle of each column, [k], which is one that occurs."""
    middle = len(design) // 2
    return np.asarray(np.partition(design, middle, axis=0)[middle])


def _number(clusters: np.ndarray) -> int:
    """How many clusters there are; counted, since sorting them takes long where there are many."""
    return int(np.count_nonzero(np.bincount(clusters)))


def _least_squares(names: Sequence[str], design: np.ndarray, outcome: np.ndarray, clusters: np.ndarray, what: str) -> Estimates:
    """Least squares with clustered errors. A design that begins with the intercept is one whose first name is `INTERCEPT`.

    Parameters
    ----------
    what
        The outcome, for the reason of there being no estimate where it does not vary.
    """
    rows, size = design.shape
    intercept = size > 0 and names[0] == INTERCEPT
    if rows <= size:
        return _nothing(names, f"{rows} labelled pairs are too few for {size} coefficients")
    if np.ptp(outcome) == 0 and (intercept or outcome[0] == 0):
        return _nothing(names, f"{what} is the same for all pairs")
    fit = regression.ols(design, outcome)
    covariance = regression.clustered(fit, clusters)
    moved = _clusters_moved(design, clusters, intercept)
    if intercept:
        moved[0] = _number(clusters)
    degrees = _number(clusters) - 1
    return _estimated(names, fit.estimates, covariance, degrees, moved, _no_errors(fit.residuals, outcome, size, degrees + 1))


def _no_errors(residuals: np.ndarray, outcome: np.ndarray, size: int, clusters: int, groups: str = "opening prompts") -> str:
    """Why no coefficient of a fit has an error, if so."""
    if clusters <= size:
        return f"no error: {clusters} {groups} are too few for {size} coefficients"
    if np.linalg.norm(residuals) <= _EXACT * np.linalg.norm(outcome):
        return "no error: the features tell the outcome exactly"
    return ""


def _rows(
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
        None if np.isnan(error) else regression.wald(Effect(estimate, error), way.level, found.degrees)
        for estimate, error in zip(found.estimates, found.errors, strict=True)
    ]
    tested = np.array([test.p if test and name in way.aims else np.nan for name, test in zip(found.names, tests, strict=True)], dtype=float)
    holm, hochberg = regression.holm(tested), regression.benjamini_hochberg(tested)
    number = int((~np.isnan(tested)).sum())
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
            "p_bonferroni": min(1.0, tested[place] * number) if not np.isnan(tested[place]) else None,
            "p_holm": holm[place],
            "p_benjamini_hochberg": hochberg[place],
            "minimal_detectable": regression.detectable(error, threshold, POWER, found.degrees) if undecided else None,
            "reason": found.reasons[place] or None,
        }
        rows.append({key: None if isinstance(value, float) and np.isnan(value) else value for key, value in row.items()})
    return rows


# --- the parts of the report ---


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


class Gold(NamedTuple):
    """Gold labels of the same pairs, and how much of them is taken."""

    features: Sides
    """[pairs, columns] of all columns, NaN where there is none."""
    drawn: np.ndarray
    """[pairs] whether the gold of a pair is taken where there is any."""
    share: float
    """With which probability it is."""


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
    within = _within_pair(question)
    intercept = _with_intercept(question)
    change, change_rows = _change(question, before, known)
    corrected, corrected_rows = _corrected(question, gold and _gold_of(gold, known, left.places))
    bracketed, bracket_rows = _bracketed(question, control and (control[0], _taken(control[1], known)))
    misalignment, misalignment_rows = _misalignment(question, columns.taken, labelled)
    figures = {
        "pairs": len(row_ids),
        "unlabelled_pairs": int((~known).sum()),
        "opening_prompts": _number(question.clusters),
        "reward_sd": question.spread,
        "dropped": columns.left_out | left.dropped,
        "within_pair": {**_counts(within), "features": _headline(within)},
        "chosen_beyond_features": _chosen_beyond_features(intercept),
        "change": change,
        "corrected": corrected,
        "bracket_if_errors_are_independent": bracketed,
        "misalignment": misalignment,
    }
    rows = [*within, *intercept, *_pooled(question), *change_rows, *corrected_rows, *bracket_rows, *misalignment_rows]
    return Report(figures, pd.DataFrame(rows, columns=list(COLUMNS)))


def _never(labelled: Sides) -> str:
    return "differs on no pair" if len(labelled.chosen) else "no pair has labels on both texts"


def _taken(features: Sides, rows: np.ndarray) -> Sides:
    return Sides(features.chosen[rows], features.rejected[rows])


def _gold_of(gold: Gold, known: np.ndarray, places: list[int]) -> Gold:
    features = Sides(gold.features.chosen[known][:, places], gold.features.rejected[known][:, places])
    return Gold(features, gold.drawn[known], gold.share)


def _differs(differences: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Share of the pairs on which each column, [pairs, columns], differs."""
    if not len(differences):
        return {}
    return dict(zip(names, (differences != 0).mean(axis=0).tolist(), strict=True))


def _within_pair(question: Question) -> list[dict[str, Any]]:
    """Differences of reward on differences of features: with two texts a pair these are fixed effects of pairs (Wooldridge 2010, 10.5)."""
    names, differences = question.names, question.features.differences
    found = _least_squares(names, differences, question.rewards.margins, question.clusters, "the difference of the rewards")
    return _rows(found, question.way, "within_pair", "reward", question.scale, _differs(differences, names))


def _with_intercept(question: Question) -> list[dict[str, Any]]:
    """The same with an intercept: what being chosen earns beyond the features."""
    names, differences = question.names, question.features.differences
    design, margins = np.column_stack([np.ones(len(differences)), differences]), question.rewards.margins
    found = _least_squares([INTERCEPT, *names], design, margins, question.clusters, "the difference of the rewards")
    return _rows(found, question.way, "within_pair_with_intercept", "reward", question.scale, _differs(differences, names))


def _pooled(question: Question) -> list[dict[str, Any]]:
    """All texts at once, as the published script did: with an intercept, and with row_id as if it were a feature.

    The script takes no notice of which texts belong to a pair. It has row_id among its regressors, here in its standard deviations, and
    the errors that it asks for, clustered, it does not get. `pooled_published` with classical errors is what it printed.
    """
    names, both = question.names, np.concatenate(question.features)
    rewards = np.concatenate(question.rewards)
    pairs = len(question.row_ids)
    row_id = np.tile(question.row_ids - question.row_ids.mean(), 2) / (question.row_ids.std() or 1.0) if pairs else np.zeros(0)
    side = np.repeat([1.0, 0.0], pairs)
    intercept = np.ones(2 * pairs)
    designs = {
        "pooled_published": ([INTERCEPT, "row_id", *names], [intercept, row_id, *both.T]),
        "pooled": ([INTERCEPT, *names], [intercept, *both.T]),
        "pooled_with_side": ([INTERCEPT, "chosen", *names], [intercept, side, *both.T]),
    }
    by_pair, by_prompt = np.tile(np.arange(pairs), 2), np.tile(question.clusters, 2)
    differs = _differs(question.features.differences, names)
    rows = []
    for estimator, (regressors, numbers) in designs.items():
        design = np.stack(numbers, axis=1)
        for errors, found in _pooled_estimates(regressors, design, rewards, by_pair, by_prompt).items():
            rows += _rows(found, question.way, estimator, "reward", question.scale, differs, errors)
    return rows


def _pooled_estimates(
    names: list[str], design: np.ndarray, rewards: np.ndarray, by_pair: np.ndarray, by_prompt: np.ndarray
) -> dict[str, Estimates]:
    """The same estimates with errors of three kinds, each by the t distribution."""
    rows, size = design.shape
    kinds = {"classical": (np.arange(rows), "texts"), "by pair": (by_pair, "pairs"), BY_PROMPT: (by_prompt, "opening prompts")}
    if rows <= size:
        return dict.fromkeys(kinds, _nothing(names, f"{rows} texts are too few for {size} coefficients"))
    if np.ptp(rewards) == 0:
        return dict.fromkeys(kinds, _nothing(names, "the reward is the same for all texts"))
    fit = regression.ols(design, rewards)
    made = {}
    for kind, (codes, groups) in kinds.items():
        number = _number(codes)
        covariance = regression.classical(fit) if kind == "classical" else regression.clustered(fit, codes)
        degrees = fit.degrees if kind == "classical" else number - 1
        moved = _clusters_moved(design, codes, intercept=True)
        moved[0] = number
        reason = _no_errors(fit.residuals, rewards, size, number, groups)
        made[kind] = _estimated(names, fit.estimates, covariance, degrees, moved, reason, groups)
    return made


def _change(question: Question, before: Rewards | None, known: np.ndarray) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same regression on the difference of two roles' differences, each in its own standard deviation."""
    if before is None:
        return _none("no role to start from is given"), []
    if min(before.spread, question.spread) == 0:
        return _none("a role's reward is the same for all texts"), []
    names, differences = question.names, question.features.differences
    gained = question.rewards.margins / question.spread - before.margins[known] / before.spread
    found = _least_squares(names, differences, gained, question.clusters, "the difference between the roles")
    rows = _rows(found, question.way, "change", "sd", 1.0, _differs(differences, names))
    return {**_counts(rows), "features": {row["feature"]: _brief(row) for row in rows}}, rows


def _corrected(question: Question, gold: Gold | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Coefficients on true features: see `rectified.rectified`.

    Gold of some pairs only counts as gold of a random part of them: a pair has gold with the probability that it is drawn, times the
    share of the pairs that gold knows.
    """
    if gold is None:
        return _none("no gold is set for these pairs"), []
    covered = gold.features.known
    known = covered & gold.drawn
    counts: dict[str, Any] = {"gold_pairs": int(known.sum()), "share_with_gold": covered.mean() if len(covered) else None}
    counts["probability"] = gold.share * covered.mean() if len(covered) else None
    if not known.any():
        return {**counts, **_none("gold knows both texts of no labelled pair that was drawn")}, []
    left = _moved_enough(gold.features.differences[known], question, question.clusters[known], "by gold")
    names = [question.columns[place].name for place in left.places]
    labels, truth = question.features.differences[:, left.places], gold.features.differences[:, left.places]
    margins, clusters = question.rewards.margins, question.clusters
    counts["dropped"] = left.dropped
    if not names:
        return {**counts, **_none("by gold no feature differs in enough opening prompts")}, []
    gold_only = _least_squares(names, truth[known], margins[known], clusters[known], "the difference of the rewards")
    refused = next((reason for reason in gold_only.reasons if reason), "")
    solution = None if refused else rectified(labels, truth, margins, known, counts["probability"], clusters)
    if solution is None:
        return {**counts, **_none(f"on the pairs with gold: {refused}" if refused else "the pairs with gold leave coefficients open")}, []
    enough = np.full(len(names), _number(clusters[known]))
    labels_only = _least_squares(names, labels, margins, clusters, "the difference of the rewards")
    corrected = _estimated(names, solution.estimates, solution.covariance, solution.degrees, enough)
    by_gold, by_labels = _differs(truth[known], names), _differs(labels, names)
    rows, only_gold, naive = (
        _rows(found, question.way, estimator, "reward", question.scale, differs)
        for estimator, found, differs in (
            ("corrected", corrected, by_gold),
            ("gold_only", gold_only, by_gold),
            ("labels_only", labels_only, by_labels),
        )
    )
    features = {row["feature"]: {**_brief(row), "labels_only": beside["estimate"]} for row, beside in zip(rows, naive, strict=True)}
    return {**counts, "tuning": solution.tuning, **_counts(rows), "features": features}, [*rows, *only_gold, *naive]


def _moved_enough(differences: np.ndarray, question: Question, clusters: np.ndarray, by: str) -> Kept:
    """The columns that, by other labels on some of the pairs, differ in enough opening prompts and can be told apart."""
    moved = _clusters_moved(differences, clusters, intercept=False)
    rare = {
        column.name: f"differs {by} on pairs of {count} opening prompts, and {MIN_PROMPTS} are needed"
        for column, count in zip(question.columns, moved, strict=True)
        if count < MIN_PROMPTS
    }
    places = [place for place, column in enumerate(question.columns) if column.name not in rare]
    left = kept(differences[:, places], [question.columns[place] for place in places], question.max_inflation, "")
    return Kept([places[place] for place in left.places], rare | {name: f"{by}: {reason}" for name, reason in left.dropped.items()})


def _bracketed(question: Question, control: tuple[Sequence[Column], Sides] | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The range that a second labeler leaves for coefficients on true features: see `rectified.bracket`."""
    if control is None:
        return _none("no second labeler is given"), []
    theirs = [column.name for column in control[0]]
    both = [place for place, column in enumerate(question.columns) if column.name in theirs]
    dropped = {column.name: "the second labeler does not name it" for column in question.columns if column.name not in theirs}
    known = control[1].known
    shared = question._replace(columns=[question.columns[place] for place in both])
    clusters, margins = question.clusters[known], question.rewards.margins[known]
    labels = question.features.differences[known][:, both]
    second = control[1].differences[known][:, [theirs.index(name) for name in shared.names]]
    for by in ("by the second labeler", "by the labeler"):
        left = _moved_enough(second if by == "by the second labeler" else labels, shared, clusters, by)
        dropped |= left.dropped
        labels, second = labels[:, left.places], second[:, left.places]
        shared = shared._replace(columns=[shared.columns[place] for place in left.places])
    names, prompts = shared.names, _number(clusters)
    counts = {"pairs": int(known.sum()), "dropped": dropped}
    if not names:
        return {**counts, **_none("no feature differs on enough pairs that both labelers label")}, []
    if min(len(margins), prompts) <= len(names) or np.ptp(margins) == 0:
        return {**counts, **_none(f"{len(margins)} pairs of {prompts} opening prompts do not tell {len(names)} coefficients")}, []
    found = bracket(labels, second, margins, clusters)
    if found is None:
        return {**counts, **_none("one labeler's labels leave a coefficient on the other's open")}, []
    by_labels, by_second = _differs(labels, names), _differs(second, names)
    rows = [
        _rows(estimates, question.way, f"bracket_{name}", "reward", question.scale, differs)
        for name, estimates, differs in (
            ("least_squares", _instrumented(names, found.least_squares, clusters), by_labels),
            ("labeler_by_control", _instrumented(names, found.by_control, clusters, found.first_stage[0]), by_labels),
            ("control_by_labeler", _instrumented(names, found.by_labeler, clusters, found.first_stage[1]), by_second),
        )
    ]
    features = {name: _ends(found, place, *(row[place] for row in rows)) for place, name in enumerate(names)}
    return {**counts, "features": features}, [row for each in rows for row in each]


def _instrumented(
    names: Sequence[str], fit: Linear | Instrumented, clusters: np.ndarray, first_stage: np.ndarray | None = None
) -> Estimates:
    """A fit with its errors, and nothing where instruments are weak."""
    prompts = _number(clusters)
    made = _estimated(names, fit.estimates, regression.clustered(fit, clusters), prompts - 1, np.full(len(names), prompts))
    if first_stage is None:
        return made
    weak = ~(first_stage >= WEAK)
    reasons = [
        f"weak instrument: first-stage F is {f:.3g}, below {WEAK:g}" if unsure else reason
        for f, unsure, reason in zip(first_stage, weak, made.reasons, strict=True)
    ]
    return made._replace(estimates=np.where(weak, np.nan, made.estimates), errors=np.where(weak, np.nan, made.errors), reasons=reasons)


def _ends(found: Bracket, place: int, near: dict[str, Any], *ways: dict[str, Any]) -> dict[str, Any]:
    """Both ends of a feature's bracket, and the interval that holds the intervals of both."""
    way = int(found.nearer[place])
    figures = {"least_squares": near["estimate"]}
    if way < 0:
        nothing = {"instrumental_variables": None, **_strength(found.first_stage[:, place].max())}
        return {**figures, **nothing, **with_interval("either", None, None), "reason": f"weak instruments: first-stage F below {WEAK:g}"}
    far = ways[way]
    span = None if near["low"] is None or far["low"] is None else Interval(min(near["low"], far["low"]), max(near["high"], far["high"]))
    ends = {"instrumental_variables": far["estimate"], **_strength(found.first_stage[way, place])}
    return {**figures, **ends, **with_interval("either", None, span)}


def _strength(f: float) -> dict[str, Any]:
    """First-stage F, null where it is infinite but for rounding, which JSON does not have."""
    if f > 1e12:
        return {"first_stage_f": None, "first_stage_f_reason": "infinite: the labels of one follow from those of the other"}
    return {"first_stage_f": f}


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
    found = _least_squares([INTERCEPT, *names], design, resists, question.clusters, "agreement with the human")
    found = _without_one_outcome(found, design, resists)
    way = question.way._replace(aims={column.name: column.aim for column in both})
    rows = _rows(found, way, "misalignment", "probability", float("nan"), {})
    sided: dict[str, dict[str, Any]] = {side: {} for side in PREFERENCES}
    for row in rows[1:]:
        side, _, name = row["feature"].partition(" ")
        sided[side][name] = _brief(row)
    return {**counts, **_counts(rows), "dropped": left.dropped, **sided}, rows


def _without_one_outcome(found: Estimates, design: np.ndarray, resists: np.ndarray) -> Estimates:
    """Take away the errors of indicators with which, or without which, all pairs have one outcome: their residuals are none of chance."""
    if not len(design):
        return found
    reasons, errors = list(found.reasons), found.errors.copy()
    for place, (numbers, usual) in enumerate(zip(design.T, _usual(design), strict=True)):
        other = numbers != usual
        alike = other.any() and min(np.ptp(resists[other]), np.ptp(resists[~other])) == 0
        if alike and not reasons[place]:
            reasons[place], errors[place] = "no error: all pairs with it, or all without it, have one outcome", np.nan
    return found._replace(errors=errors, reasons=reasons)


# --- figures of rows ---


def _none(reason: str) -> dict[str, Any]:
    return {"features": None, "reason": reason}


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    names = ("estimate", "low", "high", "p_holm")
    return {name: row[name] for name in names} | ({"reason": row["reason"]} if row["reason"] else {})


def _counts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many features were tested, and how many of them are significant: whose p after Holm's adjustment is below 1 - level."""
    tested = [row for row in rows if row["p_holm"] is not None]
    return {"tested": len(tested), "significant": sum(row["minimal_detectable"] is None for row in tested)}


def _headline(rows: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("aim", "differs", "estimate", "low", "high", "in_sd", "in_sd_low", "in_sd_high", "p_holm")
    return {
        row["feature"]: {name: row[name] for name in names}
        | {name: row[name] for name in ("minimal_detectable", "reason") if row[name] is not None}
        for row in rows
    }


def _chosen_beyond_features(rows: list[dict[str, Any]]) -> dict[str, Any]:
    row = rows[0]
    names = ("estimate", "low", "high", "in_sd", "in_sd_low", "in_sd_high", "p")
    return {name: row[name] for name in names} | ({"reason": row["reason"]} if row["reason"] else {})
