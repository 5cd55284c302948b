"""How well two labelers agree, feature by feature, or a labeler with gold. Pure functions of arrays and tables.

Most statistics are functions of a confusion table of k classes: its rows are what the first labeler said, its columns what the second
one, or gold, said. They take tables [..., k, k] of counts, or of whole weights, and give an array [...] that is NaN where the statistic
is undefined; so one call computes a statistic for all resamples of a bootstrap.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from seal.features import BOOLEANS, FEATURES, LISTS, SENTIMENT, SHOWN_BY_WORDS, values
from seal.taxonomy import KEYS
from seal.uncertainty import ClusterBootstrap, percentiles, ratio

NO_TEXT = "no text is labelled by both"
ONE_CLASS = "both give one and the same class to every text"

Statistic = Callable[[np.ndarray], np.ndarray]


# --- statistics of confusion tables ---


def raw_agreement(tables: np.ndarray) -> np.ndarray:
    """Share of the texts to which both give the same class."""
    return ratio(_trace(tables), _total(tables))


def specific_agreement(tables: np.ndarray, label: int) -> np.ndarray:
    """Of all times that either gives a class, the share in which the other gives it too.

    Of True it is known as positive agreement, of False as negative agreement (Cicchetti and Feinstein 1990, High agreement but low
    kappa: II. Resolving the paradoxes). Undefined where neither gives the class.
    """
    return ratio(2 * tables[..., label, label], (_rows(tables) + _columns(tables))[..., label])


def cohen_kappa(tables: np.ndarray, disagreement: np.ndarray) -> np.ndarray:
    """Cohen's kappa: 1 minus the disagreement over that expected of two who give their classes as often, but independently.

    Cohen 1960; with weights, Cohen 1968. Undefined where both give one and the same class to every text. Near 0 for a rare class
    however well both agree on the others (Feinstein and Cicchetti 1990, High agreement but low kappa: I. The problems of two paradoxes).

    Parameters
    ----------
    tables
        [..., k, k]
    disagreement
        [k, k] how far two classes lie apart: `nominal(k)` or `linear(k)`.
    """
    expected = disagreement * _rows(tables)[..., :, None] * _columns(tables)[..., None, :]
    return 1.0 - ratio(_total(disagreement * tables) * _total(tables), _total(expected))


def gwet_ac1(tables: np.ndarray) -> np.ndarray:
    """Gwet's AC1: as kappa, but chance agreement is that of the texts which are hard to class, so that rare classes do not upset it.

    Gwet 2008, Computing inter-rater reliability and its variance in the presence of high agreement. All k classes count, given or not.
    """
    shares = ratio(_rows(tables) + _columns(tables), 2 * _total(tables)[..., None])
    chance = (shares * (1 - shares)).sum(axis=-1) / (tables.shape[-1] - 1)
    return ratio(raw_agreement(tables) - chance, 1 - chance)


def krippendorff_alpha(tables: np.ndarray) -> np.ndarray:
    """Krippendorff's alpha of two labelers who both label all texts, classes being names.

    Krippendorff 2011, Computing Krippendorff's alpha-reliability; with its correction for small samples, by which the expected
    disagreement is that of two labels drawn without replacement. Undefined where only one class is ever given.
    """
    return _alpha(tables, nominal(tables.shape[-1]))


def ordinal_alpha(tables: np.ndarray) -> np.ndarray:
    """Krippendorff's alpha of two labelers who both label all texts, classes being in order.

    Two classes lie as far apart as there are labels between them, half of those in the two themselves included (Krippendorff 2011,
    ordinal metric): the difference of their mean ranks among all labels of both. Undefined where only one class is ever given.
    """
    given = _rows(tables) + _columns(tables)
    ranks = np.cumsum(given, axis=-1) - given / 2
    distances = np.square(ranks[..., :, None] - ranks[..., None, :])
    return _alpha(tables, distances)


def recall(tables: np.ndarray, label: int) -> np.ndarray:
    """Of the texts to which gold gives a class, the share to which the labeler gives it: sensitivity of True, specificity of False."""
    return ratio(tables[..., label, label], _columns(tables)[..., label])


def balanced_accuracy(tables: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """Mean of the recalls of some classes, usually of those that gold gives at all; undefined where gold lacks one of them."""
    return np.asarray(np.mean([recall(tables, label) for label in labels], axis=0))


def nominal(k: int) -> np.ndarray:
    """Disagreement, [k, k], where any two classes are as far apart as any others."""
    return 1 - np.eye(k)


def linear(k: int) -> np.ndarray:
    """Disagreement, [k, k], that grows with the steps between two classes."""
    return np.abs(np.subtract.outer(np.arange(k), np.arange(k))).astype(float)


def _alpha(tables: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """1 minus observed over expected disagreement, both in pairs of labels: each text gives two, one in either order."""
    given = _rows(tables) + _columns(tables)
    observed = _total(distances * (tables + np.swapaxes(tables, -1, -2)))
    expected = _total(distances * given[..., :, None] * given[..., None, :])
    return 1.0 - ratio((2 * _total(tables) - 1) * observed, expected)


def _total(tables: np.ndarray) -> np.ndarray:
    return np.asarray(tables.sum(axis=(-2, -1)))


def _trace(tables: np.ndarray) -> np.ndarray:
    return np.asarray(np.trace(tables, axis1=-2, axis2=-1))


def _rows(tables: np.ndarray) -> np.ndarray:
    return np.asarray(tables.sum(axis=-1))


def _columns(tables: np.ndarray) -> np.ndarray:
    return np.asarray(tables.sum(axis=-2))


# --- from labels to totals by opening prompt ---


def confusion_by_cluster(first: np.ndarray, second: np.ndarray, k: int, clusters: np.ndarray, number: int) -> np.ndarray:
    """Confusion tables of each cluster, [number, k, k], from the classes 0 to k - 1 that both gave, [n], and the cluster numbers, [n]."""
    cells = (clusters * k + first) * k + second
    return np.bincount(cells, minlength=number * k * k).reshape(number, k, k).astype(float)


def jaccard(first: Sequence[str], second: Sequence[str]) -> float:
    """Size of what two lists share over the size of what stands in either, as sets (Jaccard 1901). Two empty lists agree: 1."""
    either = set(first) | set(second)
    return len(set(first) & set(second)) / len(either) if either else 1.0


def jaccard_by_cluster(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]], clusters: np.ndarray, number: int) -> np.ndarray:
    """Sum of the Jaccard indices of each cluster's texts, and number of these texts: [number, 2]."""
    indices = np.array([jaccard(one, other) for one, other in zip(first, second, strict=True)])
    return np.stack([np.bincount(clusters, indices, number), np.bincount(clusters, minlength=number)], axis=1).astype(float)


def mean_jaccard(totals: np.ndarray) -> np.ndarray:
    """Mean Jaccard index, [...], from sums and numbers of texts, [..., 2]."""
    return ratio(totals[..., 0], totals[..., 1])


# --- from two tables of labels to figures ---


class _Estimate(NamedTuple):
    """A statistic on the texts themselves and on each resample of them."""

    value: float
    resampled: np.ndarray
    undefined: str
    """Why it has no value, where it has none."""


class _Measure(NamedTuple):
    """A statistic and when it is undefined."""

    of: Statistic
    undefined: str = NO_TEXT


BOOLEAN_MEASURES = {
    "raw_agreement": _Measure(raw_agreement),
    "positive_agreement": _Measure(partial(specific_agreement, label=1), "neither ever says True"),
    "negative_agreement": _Measure(partial(specific_agreement, label=0), "neither ever says False"),
    "cohen_kappa": _Measure(partial(cohen_kappa, disagreement=nominal(2)), ONE_CLASS),
    "gwet_ac1": _Measure(gwet_ac1),
    "krippendorff_alpha": _Measure(krippendorff_alpha, ONE_CLASS),
}
"""Of the classes False and True."""

BOOLEAN_MEASURES_OF_GOLD = {
    "sensitivity": _Measure(partial(recall, label=1)),
    "specificity": _Measure(partial(recall, label=0)),
}

SENTIMENT_MEASURES = {
    "raw_agreement": _Measure(raw_agreement),
    "linear_kappa": _Measure(partial(cohen_kappa, disagreement=linear(len(values(SENTIMENT)))), ONE_CLASS),
    "ordinal_alpha": _Measure(ordinal_alpha, ONE_CLASS),
}
"""Of the classes negative, neutral and positive."""

LIST_MEASURES = {"mean_jaccard": _Measure(mean_jaccard)}


def aligned(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of two tables of labels whose row_id and preference stand in both, in the order of the first."""
    places = pd.MultiIndex.from_frame(second[KEYS]).get_indexer(pd.MultiIndex.from_frame(first[KEYS]))
    return first[places >= 0].reset_index(drop=True), second.iloc[places[places >= 0]].reset_index(drop=True)


def compare(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str], draw: ClusterBootstrap, gold: bool) -> dict[str, Any]:
    """Agreement of two tables of labels, with intervals by bootstrap over opening prompts.

    Parameters
    ----------
    first, second
        Tables of labels, as `taxonomy.read` gives them, of the same texts in the same order. Features that only one has are left out.
    names
        What to call the first and the second.
    draw
        Bootstrap over the opening prompts of these texts.
    gold
        Whether the second is gold: then there are sensitivity, specificity and balanced accuracy too, and a feature that has one value in
        gold has no figures, since whoever says the same always would look perfect.

    Returns
    -------
    Numbers of texts and opening prompts, for gold the mean balanced accuracy over `SHOWN_BY_WORDS`, and under `features` the figures of
    each feature. A figure is its `value` and the `low` and `high` end of its interval, null with a `reason` where undefined. A resample
    can lack a class that a statistic needs: the interval is that of the other resamples and `undefined_resamples` says how many were
    left out; it is null where they are more than a tenth. No resample disagrees where no text does, so an interval without
    width says that none was seen, not that there is none. Two empty lists count as a Jaccard index of 1, and
    `both_empty_counted_as_1` tells of how many texts that is so.
    """
    shared = [feature for feature in FEATURES if feature in first and feature in second]
    by_cluster = {feature: _by_cluster(feature, first[feature], second[feature], draw) for feature in shared}
    resampled = _resampled(by_cluster, draw)
    features: dict[str, Any] = {}
    accuracies: dict[str, _Estimate] = {}
    for feature in shared:
        observed = by_cluster[feature].sum(axis=0)
        measures = _measures(feature, observed, gold)
        missing = _why_without_figures(second[feature], gold)
        estimates = {name: _estimate(measure, observed, resampled[feature], missing) for name, measure in measures.items()}
        features[feature] = {
            "n": len(first),
            **_counts(feature, first[feature], second[feature], names),
            **{name: _figure(estimate, draw.level) for name, estimate in estimates.items()},
        }
        if feature in SHOWN_BY_WORDS and gold:
            accuracies[feature] = estimates["balanced_accuracy"]
    return {
        "texts": len(first),
        "opening_prompts": draw.clusters,
        **({"balanced_accuracy_shown_by_words": _figure(_mean(accuracies), draw.level)} if gold else {}),
        "features": features,
    }


def without_gold(reason: str) -> dict[str, Any]:
    """What stands in the place of a comparison with gold where there is none."""
    nothing = {"value": None, "low": None, "high": None, "reason": reason}
    return {"texts": 0, "opening_prompts": 0, "balanced_accuracy_shown_by_words": nothing, "features": None, "reason": reason}


def _by_cluster(feature: str, first: pd.Series, second: pd.Series, draw: ClusterBootstrap) -> np.ndarray:
    """What the feature's statistics are functions of, for each cluster: [clusters, ...]."""
    if feature in LISTS:
        return jaccard_by_cluster(first.tolist(), second.tolist(), draw.codes, draw.clusters)
    classes = _classes(feature)
    given, expected = (np.array([classes.index(label) for label in side], dtype=np.intp) for side in (first, second))
    return confusion_by_cluster(given, expected, len(classes), draw.codes, draw.clusters)


def _classes(feature: str) -> tuple[bool | str, ...]:
    return (False, True) if feature in BOOLEANS else values(feature)


def _resampled(by_cluster: dict[str, np.ndarray], draw: ClusterBootstrap) -> dict[str, np.ndarray]:
    """The same totals over each resample, [resamples, ...]; no resample at all where there are fewer than two clusters."""
    if draw.clusters < 2:
        return {feature: totals[:0] for feature, totals in by_cluster.items()}
    flat = [totals.reshape(draw.clusters, -1) for totals in by_cluster.values()]
    ends = np.cumsum([totals.shape[1] for totals in flat])
    parts = np.split(draw.totals(np.concatenate(flat, axis=1)), ends[:-1], axis=1)
    return {feature: part.reshape(-1, *by_cluster[feature].shape[1:]) for feature, part in zip(by_cluster, parts, strict=True)}


def _measures(feature: str, observed: np.ndarray, gold: bool) -> dict[str, _Measure]:
    if feature in LISTS:
        return LIST_MEASURES
    measures = BOOLEAN_MEASURES if feature in BOOLEANS else SENTIMENT_MEASURES
    if not gold:
        return measures
    present = np.flatnonzero(_columns(observed)).tolist()
    against = BOOLEAN_MEASURES_OF_GOLD if feature in BOOLEANS else {}
    return measures | against | {"balanced_accuracy": _Measure(partial(balanced_accuracy, labels=present))}


def _why_without_figures(reference: pd.Series, gold: bool) -> str | None:
    """Why a feature has no figures at all, if it has none."""
    found = {frozenset(label) if isinstance(label, list) else label for label in reference}
    if not found:
        return NO_TEXT
    if gold and len(found) == 1:
        return f"gold has one class only: {reference.iloc[0]}"
    return None


def _estimate(measure: _Measure, observed: np.ndarray, resampled: np.ndarray, missing: str | None) -> _Estimate:
    if missing:
        return _Estimate(np.nan, np.full(len(resampled), np.nan), missing)
    return _Estimate(float(measure.of(observed)), measure.of(resampled), measure.undefined)


def _mean(estimates: dict[str, _Estimate]) -> _Estimate:
    """The mean over `SHOWN_BY_WORDS`, on the texts and on each resample; undefined where it is so for any of them."""
    unlabelled = [feature for feature in SHOWN_BY_WORDS if feature not in estimates]
    if unlabelled:
        return _Estimate(np.nan, np.zeros(0), f"not labelled by both: {', '.join(unlabelled)}")
    without = {feature: estimate.undefined for feature, estimate in estimates.items() if np.isnan(estimate.value)}
    return _Estimate(
        float(np.mean([estimate.value for estimate in estimates.values()])),
        np.mean([estimate.resampled for estimate in estimates.values()], axis=0),
        NO_TEXT if set(without.values()) == {NO_TEXT} else f"undefined for {', '.join(without)}",
    )


def _counts(feature: str, first: pd.Series, second: pd.Series, names: tuple[str, str]) -> dict[str, Any]:
    """What helps to read a feature's figures: how often each side says True, or how often both lists are empty."""
    if feature in BOOLEANS:
        return {"positives": {name: int(side.sum()) for name, side in zip(names, (first, second), strict=True)}}
    if feature in LISTS:
        return {"both_empty_counted_as_1": sum(not one and not other for one, other in zip(first, second, strict=True))}
    return {}


def _figure(estimate: _Estimate, level: float) -> dict[str, Any]:
    """A figure with its interval, or null with the reason."""
    value = None if np.isnan(estimate.value) else estimate.value
    nothing = {"value": value, "low": None, "high": None}
    if value is None:
        return {**nothing, "reason": estimate.undefined}
    if len(estimate.resampled) == 0:
        return {**nothing, "reason": "no interval: all texts share one opening prompt"}
    interval, undefined = percentiles(estimate.resampled, level)
    if interval is None:
        return {**nothing, "reason": f"no interval: undefined in {undefined} of {len(estimate.resampled)} resamples"}
    ends = {"low": interval.low, "high": interval.high}
    return {"value": value, **ends, **({"undefined_resamples": undefined} if undefined else {})}
