"""The columns of an imprint's regressions: which features they stand for, their numbers, and which of them can be told apart."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from seal import regression
from seal.errors import InputError
from seal.features import FEATURES, LISTS, SENTIMENT, values
from seal.pairs import PREFERENCES

OTHER = "other"
"""The aim of a feature that is neither a target nor a spoiler."""

_ZERO = 1e-12
"""A column without any larger number is 0 throughout."""


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
        Those that are labelled; other names, as a table of labels has them among its columns, do not count.
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
        return np.asarray((labels == "positive").astype(float) - (labels == "negative").astype(float))
    return labels.to_numpy(dtype=float)


# --- which columns can be told apart ---


class Kept(NamedTuple):
    """The columns that are left in a regression, and why the others are not."""

    places: list[int]
    dropped: dict[str, str]


def kept(design: np.ndarray, columns: Sequence[Column], max_inflation: float, constant: str) -> Kept:
    """Drop columns that are 0 throughout; then, as long as any variance inflation is larger than allowed, one of those whose is.

    Of these the ones that are neither target nor spoiler go before the others, as the audit asks for these by name; then the one with the
    largest inflation; and of equal ones the one that comes first among the features: the first speak of the whole conversation, the later
    ones of the last response.

    Parameters
    ----------
    design
        [n, k] differences, or numbers less their means where the regression has an intercept.
    constant
        Why a column that is 0 throughout is dropped.
    """
    dropped = {column.name: constant for column, numbers in zip(columns, design.T, strict=True) if np.abs(numbers).max(initial=0.0) < _ZERO}
    places = [place for place, column in enumerate(columns) if column.name not in dropped]
    while len(places) > 1:
        inflation = regression.variance_inflation(design[:, places])
        if inflation.max() <= max_inflation:
            break
        large = {place: each for place, each in zip(places, inflation, strict=True) if each > max_inflation}
        unnamed = {place: each for place, each in large.items() if columns[place].aim == OTHER} or large
        largest = max(unnamed.values())
        # Of collinear columns the inflation is the same but for rounding.
        gone = min(place for place, each in unnamed.items() if each == largest or each > (1 - 1e-6) * largest)
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
