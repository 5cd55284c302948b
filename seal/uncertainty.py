"""Intervals and tests. Pure functions of arrays."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special  # scipy.stats would take a second to load in every stage

_WEIGHTS_AT_ONCE = 4_000_000
"""How many weights of clusters to hold in memory: 32 MB."""


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
        self.codes = np.unique(clusters, return_inverse=True)[1].reshape(-1)
        """[n] number of each observation's cluster, from 0."""
        self.clusters = int(self.codes.max(initial=-1)) + 1
        self._resamples = resamples
        self._seed = seed

    def interval(self, statistic: Callable[[np.ndarray], float], level: float) -> Interval | None:
        """The interval of a statistic.

        Parameters
        ----------
        statistic
            A function of the weights of the observations, [n].
        level
            For example 0.95.

        Returns
        -------
        None where there are fewer than two clusters, or a resample leaves the statistic undefined.
        """
        if self.clusters < 2:
            return None
        random = np.random.default_rng(self._seed)
        values = np.empty(self._resamples)
        for resample in range(self._resamples):
            drawn = np.bincount(random.integers(self.clusters, size=self.clusters), minlength=self.clusters)
            values[resample] = statistic(drawn[self.codes])
        if not np.isfinite(values).all():
            return None
        return percentile_interval(values, level)

    def mean_interval(self, values: np.ndarray, level: float) -> Interval | None:
        """The interval of a mean, from the sums of each cluster alone; as `interval` would give it, but faster."""
        if self.clusters < 2:
            return None
        sums = np.bincount(self.codes, weights=values, minlength=self.clusters)
        sizes = np.bincount(self.codes, minlength=self.clusters)
        random = np.random.default_rng(self._seed)
        means = np.empty(self._resamples)
        for resample in range(self._resamples):
            drawn = random.integers(self.clusters, size=self.clusters)
            means[resample] = sums[drawn].sum() / sizes[drawn].sum()
        return percentile_interval(means, level)

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
        random = np.random.default_rng(self._seed)
        totals = np.empty((self._resamples, by_cluster.shape[1]))
        at_once = max(1, _WEIGHTS_AT_ONCE // self.clusters)
        for start in range(0, self._resamples, at_once):
            weights = np.empty((min(at_once, self._resamples - start), self.clusters))
            for drawn in weights:
                drawn[:] = np.bincount(random.integers(self.clusters, size=self.clusters), minlength=self.clusters)
            totals[start : start + len(weights)] = weights @ by_cluster
        return totals


def percentile_interval(values: np.ndarray, level: float) -> Interval:
    """The middle share `level` of a statistic's values in the resamples, [resamples]."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def weighted_median(values: np.ndarray) -> Callable[[np.ndarray], float]:
    """The median as a function of the weights of the observations: halfway between the two in the middle where there are two."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]

    def median(weights: np.ndarray) -> float:
        total = np.cumsum(weights[order])
        half = total[-1] / 2
        return float((ordered[np.searchsorted(total, half)] + ordered[np.searchsorted(total, half, side="right")]) / 2)

    return median


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
