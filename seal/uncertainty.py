"""Intervals and tests. Pure functions of arrays."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special  # scipy.stats would take a second to load in every stage

_WEIGHTS_AT_ONCE = 250_000
"""How many weights of clusters to hold in memory, where few totals are wanted: 2 MB, which stay in the processor's cache."""

_SPREADS = 6
"""Medians of the resamples are looked for among the observations whose ranks are so many standard errors from the middle."""

Statistic = Callable[[np.ndarray], np.ndarray]
"""From the weights of the clusters in some resamples, [some, clusters], to the statistic in each, [some, ...]."""


class Interval(NamedTuple):
    """Both ends of an interval."""

    low: float
    high: float


class ClusterBootstrap:
    """Percentile bootstrap over clusters of observations that are not independent of each other.

    Each resample draws as many clusters as there are, with replacement; every observation counts as often as its cluster was drawn.
    The same seed gives every statistic the same resamples (Efron and Tibshirani 1993, chapters 8 and 13).

    Parameters
    ----------
    clusters
        [n] any labels; observations with equal labels belong together.
    resamples
        How many resamples to draw.
    seed
        Seed of the draw.
    """

    def __init__(self, clusters: np.ndarray, resamples: int, seed: int) -> None:
        self.codes = _ranks(clusters)
        """[n] number of each observation's cluster, from 0."""
        self.clusters = int(self.codes.max(initial=-1)) + 1
        self._resamples = resamples
        self._seed = seed

    def intervals(self, level: float, means: Sequence[np.ndarray] = (), medians: Sequence[np.ndarray] = ()) -> list[Interval] | list[None]:
        """Intervals of means and medians of values, [n] each, all from one draw.

        Parameters
        ----------
        level
            For example 0.95.

        Returns
        -------
        Those of the means, then those of the medians, which lie halfway between the two values in the middle where there are two. None
        in place of each where there are fewer than two clusters.
        """
        if self.clusters < 2:
            return [None] * (len(means) + len(medians))
        statistics = [_totals(self.sums(means))] if means else []
        found = self._resampled([*statistics, *(_medians(values, self.codes) for values in medians)], 1 + len(means))
        columns = list((found[0][:, 1:] / found[0][:, :1]).T) if means else []
        return [percentile_interval(values, level) for values in [*columns, *found[len(statistics) :]]]

    def mean_interval(self, values: np.ndarray, level: float) -> Interval | None:
        """The interval of the mean of values, [n]."""
        return self.intervals(level, means=[values])[0]

    def sums(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """Number of observations of each cluster, and their sums of values, [n] each: [clusters, 1 + columns]."""
        sums = [np.bincount(self.codes, weights=values, minlength=self.clusters) for values in columns]
        return np.stack([np.bincount(self.codes, minlength=self.clusters), *sums], axis=1)

    def totals(self, by_cluster: np.ndarray) -> np.ndarray:
        """Totals over the observations of each resample, from the totals of each cluster alone.

        A statistic that is a function of totals, such as of a table of counts, can be computed for all resamples at once from these.

        Parameters
        ----------
        by_cluster
            [clusters, m] totals of m quantities over the observations of each cluster, in the order of `codes`; one cluster or more.

        Returns
        -------
        [resamples, m]
        """
        return self._resampled([_totals(by_cluster)], by_cluster.shape[1])[0]

    def _resampled(self, statistics: Sequence[Statistic], least: int) -> list[np.ndarray]:
        """Statistics of each resample, [resamples, ...] each, taking so many resamples or more at once.

        A product of weights with m totals of each cluster takes the least time with some m resamples.
        """

        def measured(drawn: np.ndarray) -> list[np.ndarray]:
            weights = np.empty(drawn.shape)
            for row, clusters in zip(weights, drawn, strict=True):
                row[:] = np.bincount(clusters, minlength=self.clusters)
            return [statistic(weights) for statistic in statistics]

        random = np.random.default_rng(self._seed)
        at_once = max(least, _WEIGHTS_AT_ONCE // self.clusters)
        found: list[list[np.ndarray]] = []
        waiting: Future[list[np.ndarray]] | None = None
        # Half of the time goes into drawing, which cannot be split up: the other half is spent beside it on what was drawn before.
        with ThreadPoolExecutor(1) as beside:
            for start in range(0, self._resamples, at_once):
                drawn = random.integers(self.clusters, size=(min(at_once, self._resamples - start), self.clusters), dtype=np.int32)
                if waiting:
                    found.append(waiting.result())
                waiting = beside.submit(measured, drawn)
            if waiting:
                found.append(waiting.result())
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def _ranks(labels: np.ndarray) -> np.ndarray:
    """[n] number of each label among those that there are, in their order: as `numpy.unique` has it, which sorts all n."""
    codes, found = pd.factorize(labels, use_na_sentinel=False)
    ranks = np.empty(len(found), dtype=np.intp)
    ranks[np.argsort(found, kind="stable")] = np.arange(len(found))
    return np.asarray(ranks[codes])


def _totals(by_cluster: np.ndarray) -> Statistic:
    return lambda weights: np.asarray(weights @ by_cluster)


def _medians(values: np.ndarray, codes: np.ndarray) -> Statistic:
    """The median of values, [n], of the clusters with these numbers, [n].

    Only the observations around the middle are counted one by one, those below them by cluster; a resample whose median lies elsewhere is
    counted again in full.
    """
    order = np.argsort(values, kind="stable")
    ordered, clusters, n = values[order], codes[order], len(values)
    sizes = np.bincount(codes)
    halves = np.bincount(clusters[: n // 2], minlength=len(sizes))
    reach = int(_SPREADS * np.sqrt(np.square(halves - sizes / 2).sum())) + 1

    start, end = max(0, n // 2 - reach), min(n, n // 2 + reach)
    below = np.bincount(clusters[:start], minlength=len(sizes))

    def between(weights: np.ndarray, first: int, last: int, under: np.ndarray) -> np.ndarray:
        """Medians that lie at these places of the order, NaN for others, where each cluster has so many observations under them."""
        least = weights @ under
        counted = least[:, None] + np.cumsum(weights[:, clusters[first:last]], axis=1)
        half = (weights @ sizes)[:, None] / 2
        low, high = first + (counted < half).sum(axis=1), first + (counted <= half).sum(axis=1)
        inside = (least < half[:, 0]) & (high < last)
        return np.where(inside, (ordered[np.minimum(low, n - 1)] + ordered[np.minimum(high, n - 1)]) / 2, np.nan)

    def medians(weights: np.ndarray) -> np.ndarray:
        found = np.empty(len(weights))
        at_once = max(1, _WEIGHTS_AT_ONCE // (end - start))
        for some in range(0, len(weights), at_once):
            found[some : some + at_once] = between(weights[some : some + at_once], start, end, below)
        for missed in np.flatnonzero(np.isnan(found)):
            found[missed] = between(weights[missed : missed + 1], 0, n, np.zeros(len(sizes)))[0]
        return found

    return medians


def percentile_interval(values: np.ndarray, level: float) -> Interval:
    """The middle share `level` of a statistic's values in the resamples, [resamples]."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def wilson(successes: int, n: int, level: float) -> Interval | None:
    """Wilson's score interval of a share of independent trials (Wilson 1927); None where n is 0."""
    if n == 0:
        return None
    share, z = successes / n, float(special.ndtri((1 + level) / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At the ends the formula gives 0 and 1 but for rounding.
    return Interval(float(centre - half) if successes else 0.0, float(centre + half) if successes < n else 1.0)


class McNemar(NamedTuple):
    """An exact test of whether two paired shares differ."""

    p: float
    """Two-sided; 0.0 where it is too small for a float, then see `log10_p`."""
    log10_p: float


def exact_mcnemar(only_first: int, only_second: int) -> McNemar:
    """McNemar's test by the binomial distribution: of the discordant pairs, half each way are expected (McNemar 1947).

    Parameters
    ----------
    only_first, only_second
        Pairs on which only the first, or only the second, of the two succeeds.
    """
    n = only_first + only_second
    if abs(only_first - only_second) <= 1:  # the two tails are all there is
        return McNemar(1.0, 0.0)
    # log of the lower tail, summed from logs so that it does not vanish
    k = np.arange(min(only_first, only_second) + 1)
    logs = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1) - n * np.log(2)
    log_p = min(0.0, float(special.logsumexp(logs)) + np.log(2))
    return McNemar(float(np.exp(log_p)), float(log_p / np.log(10)))
