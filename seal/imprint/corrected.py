"""Feature imprint in spite of a labeler's errors: corrected by gold, or bracketed by a second labeler."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from seal import regression
from seal.agreement import with_interval
from seal.imprint.coefficients import (
    MIN_PROMPTS,
    Estimates,
    Question,
    brief,
    counts_of,
    estimated,
    least_squares,
    none,
    number_of,
    rows_of,
    shares_that_differ,
)
from seal.imprint.columns import Column, Kept, Sides, kept
from seal.rectified import WEAK, Bracket, bracket, rectified
from seal.regression import Instrumented, Linear
from seal.uncertainty import Interval


class Gold(NamedTuple):
    """Gold labels of the same pairs, and how much of them is taken."""

    features: Sides
    """[pairs, columns] of all columns, NaN where there is none."""
    drawn: np.ndarray
    """[pairs] whether the gold of a pair is taken where there is any."""
    share: float
    """With which probability it is."""


def corrected_by_gold(question: Question, gold: Gold | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Coefficients on true features: see `rectified.rectified`.

    Gold of some pairs only counts as gold of a random part of them: a pair has gold with the probability that it is drawn, times the
    share of the pairs that gold knows.
    """
    if gold is None:
        return none("no gold is set for these pairs"), []
    covered = gold.features.known
    known = covered & gold.drawn
    counts: dict[str, Any] = {"gold_pairs": int(known.sum()), "share_with_gold": covered.mean() if len(covered) else None}
    counts["probability"] = gold.share * covered.mean() if len(covered) else None
    if not known.any():
        return {**counts, **none("gold knows both texts of no labelled pair that was drawn")}, []
    left = _moved_enough(gold.features.differences[known], question, question.clusters[known], "by gold")
    names = [question.columns[place].name for place in left.places]
    labels, truth = question.features.differences[:, left.places], gold.features.differences[:, left.places]
    margins, clusters = question.rewards.margins, question.clusters
    counts["dropped"] = left.dropped
    if not names:
        return {**counts, **none("by gold no feature differs in enough opening prompts")}, []
    gold_only = least_squares(names, truth[known], margins[known], clusters[known], "the difference of the rewards")
    refused = next((reason for reason in gold_only.reasons if reason), "")
    solution = None if refused else rectified(labels, truth, margins, known, counts["probability"], clusters)
    if solution is None:
        return {**counts, **none(f"on the pairs with gold: {refused}" if refused else "the pairs with gold leave coefficients open")}, []
    moved = regression.clusters_moved(truth[known] != 0, clusters[known])
    labels_only = least_squares(names, labels, margins, clusters, "the difference of the rewards")
    corrected = estimated(names, solution.estimates, solution.covariance, solution.degrees, moved)
    by_gold, by_labels = shares_that_differ(truth[known], names), shares_that_differ(labels, names)
    rows, only_gold, naive = (
        rows_of(found, question.way, estimator, "reward", question.scale, differs)
        for estimator, found, differs in (
            ("corrected", corrected, by_gold),
            ("gold_only", gold_only, by_gold),
            ("labels_only", labels_only, by_labels),
        )
    )
    features = {row["feature"]: {**brief(row), "labels_only": beside["estimate"]} for row, beside in zip(rows, naive, strict=True)}
    return {**counts, "tuning": solution.tuning, **counts_of(rows), "features": features}, [*rows, *only_gold, *naive]


def _moved_enough(differences: np.ndarray, question: Question, clusters: np.ndarray, by: str) -> Kept:
    """The columns that, by other labels on some of the pairs, differ in enough opening prompts and can be told apart."""
    moved = regression.clusters_moved(differences != 0, clusters)
    rare = {
        column.name: f"differs {by} on pairs of {count} opening prompts, and {MIN_PROMPTS} are needed"
        for column, count in zip(question.columns, moved, strict=True)
        if count < MIN_PROMPTS
    }
    places = [place for place, column in enumerate(question.columns) if column.name not in rare]
    left = kept(differences[:, places], [question.columns[place] for place in places], question.max_inflation, "")
    return Kept([places[place] for place in left.places], rare | {name: f"{by}: {reason}" for name, reason in left.dropped.items()})


def bracketed_by_second_labeler(
    question: Question, control: tuple[Sequence[Column], Sides] | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The range that a second labeler leaves for coefficients on true features: see `rectified.bracket`."""
    if control is None:
        return none("no second labeler is given"), []
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
    names, prompts = shared.names, number_of(clusters)
    counts = {"pairs": int(known.sum()), "dropped": dropped}
    if not names:
        return {**counts, **none("no feature differs on enough pairs that both labelers label")}, []
    if min(len(margins), prompts) <= len(names) or np.ptp(margins) == 0:
        return {**counts, **none(f"{len(margins)} pairs of {prompts} opening prompts do not tell {len(names)} coefficients")}, []
    found = bracket(labels, second, margins, clusters)
    if found is None:
        return {**counts, **none("one labeler's labels leave a coefficient on the other's open")}, []
    by_labels, by_second = shares_that_differ(labels, names), shares_that_differ(second, names)
    moved = regression.clusters_moved(labels != 0, clusters)
    # An instrumented coefficient learns from prompts that move the instrument and that move what is instrumented.
    moved_both = np.minimum(moved, regression.clusters_moved(second != 0, clusters))
    rows = [
        rows_of(estimates, question.way, f"bracket_{name}", "reward", question.scale, differs)
        for name, estimates, differs in (
            ("least_squares", _instrumented(names, found.least_squares, clusters, moved), by_labels),
            ("labeler_by_control", _instrumented(names, found.by_control, clusters, moved_both, found.first_stage[0]), by_labels),
            ("control_by_labeler", _instrumented(names, found.by_labeler, clusters, moved_both, found.first_stage[1]), by_second),
        )
    ]
    features = {name: _ends(found, place, *(row[place] for row in rows)) for place, name in enumerate(names)}
    return {**counts, "features": features}, [row for each in rows for row in each]


def _instrumented(
    names: Sequence[str], fit: Linear | Instrumented, clusters: np.ndarray, moved: np.ndarray, first_stage: np.ndarray | None = None
) -> Estimates:
    """A fit with its errors, and nothing where instruments are weak."""
    made = estimated(names, fit.estimates, regression.clustered(fit, clusters), regression.own_degrees(moved), moved)
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
