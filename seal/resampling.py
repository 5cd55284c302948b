"""Figures with intervals: every statistic of a table from the same resamples of its opening prompts. Pure functions of arrays."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from seal.agreement import with_interval
from seal.uncertainty import ClusterBootstrap, percentiles, ratio


class Statistic(NamedTuple):
    """A figure that is a function of totals over the pairs, so that all resamples of a table's figures can be had at once."""

    parts: np.ndarray
    """[pairs, m] what each pair adds to the totals."""
    of: Callable[[np.ndarray], np.ndarray]
    """From totals, [..., m], to the figure, [...], NaN where it is undefined."""
    missing: str
    """Why it has no value, where it has none."""


def mean(values: np.ndarray, members: np.ndarray | None = None, missing: str = "") -> Statistic:
    """The mean of values, [pairs] or [pairs, texts], over those that are members: all, if not told."""
    counted = np.ones(values.shape, dtype=bool) if members is None else members
    kept = np.where(counted, values, 0.0)
    parts = np.stack([_by_pair(kept), _by_pair(counted)], axis=1)
    return Statistic(parts, lambda totals: ratio(totals[..., 0], totals[..., 1]), missing)


def difference(values: np.ndarray, first: np.ndarray, second: np.ndarray, missing: str) -> Statistic:
    """The mean of values, [pairs], over the first group less that over the second, groups given by masks, [pairs]."""
    parts = np.stack([np.where(group, of_pair, 0.0) for group in (first, second) for of_pair in (values, 1.0)], axis=1)
    return Statistic(parts, lambda totals: ratio(totals[..., 0], totals[..., 1]) - ratio(totals[..., 2], totals[..., 3]), missing)


def correlation(first: np.ndarray, second: np.ndarray, missing: str) -> Statistic:
    """Pearson's correlation of two values, [pairs, texts], over all texts; undefined where one of them does not vary."""
    # From their means, so that sums of squares lose no digits; the correlation is the same.
    x, y = first - first.mean(), second - second.mean()
    parts = np.stack([_by_pair(part) for part in (np.ones_like(x), x, y, x * x, y * y, x * y)], axis=1)
    least = 2.0**-32 * parts[:, 3:5].max(axis=0, initial=0.0)  # above what `ClusterBootstrap.totals` rounds, at up to 64 pairs a prompt

    def of(totals: np.ndarray) -> np.ndarray:
        n, x, y, xx, yy, xy = (totals[..., place] for place in range(6))
        n = np.where(n > 0, n, np.nan)
        x_variance, y_variance = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
        varies = (x_variance > least[0]) & (y_variance > least[1])
        spreads = np.sqrt(np.where(varies, x_variance * y_variance, 0.0))
        return np.asarray(np.clip(ratio(np.where(varies, xy / n - x * y / n**2, np.nan), spreads), -1.0, 1.0))

    return Statistic(parts, of, missing)


def pearson(first: np.ndarray, second: np.ndarray, first_name: str, second_name: str, name: str = "pearson") -> dict[str, Any]:
    """A correlation under its name, or null with the reason."""
    if len(first) < 3:
        return undefined(name, f"{len(first)} pair(s); a correlation needs 3")
    for values, what in ((first, first_name), (second, second_name)):
        if np.ptp(values) == 0:
            return undefined(name, f"the {what} is the same for all {values.size} texts")
    return {name: correlation(first, second, "")}


def resolved(figures: Mapping[str, Any], draw: ClusterBootstrap) -> dict[str, Any]:
    """Replace every statistic in nested figures by its value and the ends of its interval, `_low` and `_high`.

    A value that is undefined is null with its `_reason`. A resample can leave a statistic undefined: the interval is that of the others,
    `_undefined_resamples` says how many were left out, and it is null where they are more than a tenth. The ends are null
    also where all pairs share one opening prompt.
    """
    statistics = list(_statistics(figures))
    # Parts that are the same, such as the count of all pairs, are added up once.
    distinct: dict[bytes, int] = {}
    places = [distinct.setdefault(part.tobytes(), len(distinct)) for statistic in statistics for part in statistic.parts.T]
    by_cluster = np.stack([np.bincount(draw.codes, np.frombuffer(part), draw.clusters) for part in distinct], axis=1)
    observed = by_cluster.sum(axis=0)[places]
    resampled = draw.totals(by_cluster)[:, places] if draw.clusters > 1 else np.empty((0, len(places)))
    ends = np.cumsum([statistic.parts.shape[1] for statistic in statistics])[:-1]
    estimates = (
        (float(statistic.of(totals)), statistic.of(drawn))
        for statistic, totals, drawn in zip(statistics, np.split(observed, ends), np.split(resampled, ends, axis=1), strict=True)
    )
    return _filled(figures, estimates, draw.level)


def undefined(name: str, reason: str) -> dict[str, Any]:
    """A figure that cannot be had: null, and so are the ends of its interval, with the reason beside them."""
    return {name: None, **with_interval(name, None, None), f"{name}_reason": reason}


def _statistics(figures: Mapping[str, Any]) -> Iterator[Statistic]:
    for content in figures.values():
        if isinstance(content, Statistic):
            yield content
        elif isinstance(content, Mapping):
            yield from _statistics(content)


def _filled(figures: Mapping[str, Any], estimates: Iterator[tuple[float, np.ndarray]], level: float) -> dict[str, Any]:
    """The figures with each statistic replaced by the next of the estimates, which come in the same order."""
    filled: dict[str, Any] = {}
    for name, content in figures.items():
        if isinstance(content, Statistic):
            filled |= _figure(name, content.missing, *next(estimates), level)
        elif isinstance(content, Mapping):
            filled[name] = _filled(content, estimates, level)
        else:
            filled[name] = content
    return filled


def _figure(name: str, missing: str, value: float, resampled: np.ndarray, level: float) -> dict[str, Any]:
    if np.isnan(value):
        return undefined(name, missing)
    return with_interval(name, value, percentiles(resampled, level))


def _by_pair(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.reshape(len(values), -1).sum(axis=1), dtype=float)
