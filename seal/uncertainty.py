"""Intervals and tests. Pure functions of arrays."""

import math
from collections.abc import Sequence
from copy import copy
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special  # scipy.stats would take a second to load in every stage

from seal.errors import InputError

LEAST_DEFINED = 0.9
"""An interval is that of the resamples in which the statistic is defined, and there is none where fewer than this share are."""

_CLUSTERS_AT_ONCE = 64
"""How many clusters' weights to hold as floats, which stay in the processor's cache."""

_EXACT_BITS = 24
"""Sums of whole numbers are exact in single precision as long as they stay below 2 to this power."""

_KEPT_BITS = 36
"""Of totals that are no whole numbers, at least."""

_DRAWN_AT_ONCE = 32
"""How many resamples to draw before they are laid beside the others."""

_COUNTED_AT_ONCE = 1_000_000
"""How many weights of observations to count at once in search of a median."""

_SPREADS = 6
"""Medians of the resamples are looked for among the observations whose ranks are so many standard errors from the middle."""


class Interval(NamedTuple):
    """Both ends of an interval."""

    low: float
    high: float


class Resampled(NamedTuple):
    """What its values in the resamples say of a statistic."""

    interval: Interval | None
    """The middle share `level` of them; None where too few are defined."""
    undefined: int
    """How many resamples leave the statistic undefined, and out of the interval."""


NO_INTERVAL = Resampled(None, 0)
"""Of a statistic that cannot be resampled: the observations share one cluster, or there are none."""


class ClusterBootstrap:
    """Percentile bootstrap over clusters of observations that are not independent of each other.

    Each resample draws as many clusters as there are, with replacement; every observation counts as often as its cluster was drawn
    (Efron and Tibshirani 1993, chapters 8 and 13). The draw is made once, when first asked for, and serves all statistics of all groups.

    A group of observations is a view, `draw[members]`, whose statistics are domain estimates: its totals in each resample of all clusters,
    divided by how many of its observations that resample holds, which varies (Särndal, Swensson and Wretman 1992, Model Assisted Survey
    Sampling, chapter 10). A resample that holds none leaves a mean or median of the group undefined. It is left out and counted.

    Parameters
    ----------
    clusters
        [n] any labels; observations with equal labels belong together.
    resamples
        How many resamples to draw.
    seed
        Seed of the draw.
    level
        Share of intervals that hold the truth, for example 0.95.

    Raises
    ------
    InputError
        If no interval could be made like that.
    """

    def __init__(self, clusters: np.ndarray, resamples: int, seed: int, level: float) -> None:
        if resamples < 1 or seed < 0 or not 0 < level < 1:
            raise InputError(
                f"intervals: resamples {resamples}, seed {seed}, level {level}; expected 1 or more, 0 or more, a share between 0 and 1"
            )
        self.codes = _ranks(clusters)
        """[n] number of each observation's cluster among those that the group has, from 0."""
        self.clusters = int(self.codes.max(initial=-1)) + 1
        """How many clusters the group has."""
        self.level = level
        self._places = np.arange(self.clusters)
        """[clusters] number of each among all that are drawn from."""
        self._weights = cache(partial(_drawn, self.clusters, resamples, seed))

    def __len__(self) -> int:
        """How many observations the group has."""
        return len(self.codes)

    def __getitem__(self, members: np.ndarray) -> "ClusterBootstrap":
        """The same draw for some of the observations, given by a mask, [n], or by their places, which may repeat."""
        group = copy(self)
        codes = self.codes[members]
        present = np.bincount(codes, minlength=self.clusters) > 0
        group.codes = (np.cumsum(present) - 1)[codes]
        group.clusters = int(present.sum())
        group._places = self._places[present]
        return group

    def intervals(self, means: Sequence[np.ndarray] = (), medians: Sequence[np.ndarray] = ()) -> list[Resampled]:
        """Intervals of means and medians of values, [n] each.

        Returns
        -------
        Those of the means, then those of the medians, which lie halfway between the two values in the middle where there are two.
        `NO_INTERVAL` in place of each where there are fewer than two clusters.
        """
        if self.clusters < 2:
            return [NO_INTERVAL] * (len(means) + len(medians))
        middles = [_middle(values, self.codes, self.clusters) for values in medians]
        below = [middle.below[:, None] for middle in middles]
        totals = self.totals(np.concatenate([self.sums(means), *below], axis=1))
        size, sums, under = np.split(totals, [1, 1 + len(means)], axis=1)
        found = [ratio(column, size[:, 0]) for column in sums.T]
        found += [self._medians(middle, size[:, 0], least) for middle, least in zip(middles, under.T, strict=True)]
        return [percentiles(values, self.level) for values in found]

    def mean_intervals_of_groups(self, values: np.ndarray, groups: Sequence[np.ndarray]) -> list[Resampled]:
        """The interval of the mean of values, [n], in each of some groups, given by masks, [n]: as `intervals` of their views."""
        if not groups:
            return []
        counts = np.stack([np.bincount(self.codes[members], minlength=self.clusters) for members in groups], axis=1)
        sums = [np.bincount(self.codes[members], values[members], self.clusters) for members in groups]
        sizes, totals = np.split(self.totals(np.concatenate([counts, np.stack(sums, axis=1)], axis=1)), 2, axis=1)
        return [
            percentiles(ratio(total, size), self.level) if clusters > 1 else NO_INTERVAL
            for total, size, clusters in zip(totals.T, sizes.T, (counts > 0).sum(axis=0), strict=True)
        ]

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
        [resamples, m], exact of whole numbers; of others each is rounded at 2**-37 of the column's largest. All are split into whole
        numbers so small that single precision sums them without rounding: that is fast, and gives the same whatever is added first.
        """
        weights, largest = self._weights()
        bits = _EXACT_BITS - math.ceil(math.log2(_CLUSTERS_AT_ONCE * largest))
        digits, owners, units = _whole_numbers(by_cluster, bits)
        sums = np.zeros((len(digits), weights.shape[1]))
        for start in range(0, self.clusters, _CLUSTERS_AT_ONCE):
            some = slice(start, start + _CLUSTERS_AT_ONCE)
            drawn = weights[some] if self.clusters == len(weights) else weights[self._places[some]]
            sums += digits[:, some] @ drawn.astype(np.float32)
        totals = np.zeros((by_cluster.shape[1], weights.shape[1]))
        np.add.at(totals, owners, sums * units[:, None])
        return totals.T

    def _medians(self, middle: "_Middle", size: np.ndarray, least: np.ndarray) -> np.ndarray:
        """The median of each resample, [resamples]; NaN where it holds no observation.

        Only the observations around the middle are counted one by one; a resample whose median lies elsewhere is counted again in full.

        Parameters
        ----------
        size, least
            [resamples] observations in each, and how many of them lie before the middle ones.
        """
        found = np.full(len(size), np.nan)
        at_once = max(1, _COUNTED_AT_ONCE // (middle.end - middle.start))
        for start in range(0, len(size), at_once):
            some = slice(start, start + at_once)
            found[some] = self._medians_between(middle, middle.start, middle.end, some, size[some], least[some])
        for missed in np.flatnonzero(np.isnan(found) & (size > 0)):
            one = slice(missed, missed + 1)
            found[one] = self._medians_between(middle, 0, len(middle.ordered), one, size[one], np.zeros(1))
        return found

    def _medians_between(
        self, middle: "_Middle", first: int, last: int, resamples: slice, size: np.ndarray, least: np.ndarray
    ) -> np.ndarray:
        """Medians that lie at these places of the order, NaN for others."""
        counted = self._weights()[0][self._places[middle.codes[first:last]], resamples].astype(np.int32)
        np.cumsum(counted, axis=0, out=counted)
        counted, half = counted + least.astype(np.int32), size / 2
        low, high = first + (counted < half).sum(axis=0), first + (counted <= half).sum(axis=0)
        inside = (least < half) & (high < last)
        most = len(middle.ordered) - 1
        return np.where(inside, (middle.ordered[np.minimum(low, most)] + middle.ordered[np.minimum(high, most)]) / 2, np.nan)


def _drawn(clusters: int, resamples: int, seed: int) -> tuple[np.ndarray, int]:
    """How often each resample draws each cluster, [clusters, resamples]: rows lie together, as a group needs those of its clusters. And
    how often any is drawn at most.

    A byte holds them: of 255 clusters or fewer none can be drawn more often, and of more the chance is far below any that floats can tell.
    """
    random = np.random.default_rng(seed)
    weights = np.empty((clusters, resamples), dtype=np.uint8)
    for start in range(0, resamples, _DRAWN_AT_ONCE):
        drawn = random.integers(clusters, size=(min(_DRAWN_AT_ONCE, resamples - start), clusters), dtype=np.int32)
        counts = np.empty((len(drawn), clusters), dtype=np.uint8)
        for row, of_row in zip(drawn, counts, strict=True):
            of_row[:] = np.bincount(row, minlength=clusters)
        weights[:, start : start + len(drawn)] = counts.T
    return weights, int(weights.max(initial=1))


def _whole_numbers(columns: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split columns, [n, m], into whole numbers below 2 to the power of `bits`, single precision.

    Returns
    -------
    Those numbers, [digits, n]; of which column each is a part, [digits]; and what it is to be multiplied by, [digits]. A column of
    numbers that are that small and whole is its only digit.
    """
    digits, owners, units = [], [], []
    for owner, column in enumerate(columns.T):
        largest = np.abs(column).max(initial=0.0)
        if largest < 2**bits and (column == np.rint(column)).all():
            digits.append(column)
            owners.append(owner)
            units.append(1.0)
            continue
        exponent = math.frexp(largest)[1]
        left = np.ldexp(column, -exponent)
        for place in range(1, math.ceil(_KEPT_BITS / (bits - 1)) + 1):
            left = np.ldexp(left, bits - 1)
            digits.append(np.rint(left))
            left -= digits[-1]
            owners.append(owner)
            units.append(math.ldexp(1.0, exponent - place * (bits - 1)))
    return np.stack(digits, dtype=np.float32, casting="same_kind"), np.array(owners), np.array(units)


def _ranks(labels: np.ndarray) -> np.ndarray:
    """[n] number of each label among those that there are, in their order: as `numpy.unique` has it, which sorts all n."""
    codes, found = pd.factorize(labels, use_na_sentinel=False)
    ranks = np.empty(len(found), dtype=np.intp)
    ranks[np.argsort(found, kind="stable")] = np.arange(len(found))
    return np.asarray(ranks[codes])


class _Middle(NamedTuple):
    """Where the medians of resamples of some values are looked for."""

    ordered: np.ndarray
    """[n] the values in order."""
    codes: np.ndarray
    """[n] cluster of each, in this order."""
    start: int
    end: int
    """Places of the order around the middle: from `start` to before `end`."""
    below: np.ndarray
    """[clusters] observations of each before `start`."""


def _middle(values: np.ndarray, codes: np.ndarray, clusters: int) -> _Middle:
    order = np.argsort(values, kind="stable")
    ordered, n = codes[order], len(values)
    halves = np.bincount(ordered[: n // 2], minlength=clusters)
    reach = int(_SPREADS * np.sqrt(np.square(halves - np.bincount(codes, minlength=clusters) / 2).sum())) + 1
    start, end = max(0, n // 2 - reach), min(n, n // 2 + reach)
    return _Middle(values[order], ordered, start, end, np.bincount(ordered[:start], minlength=clusters))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part by whole, broadcast against each other; NaN where the whole is 0."""
    found = np.full(np.broadcast_shapes(np.shape(part), np.shape(whole)), np.nan)
    np.divide(part, whole, out=found, where=np.not_equal(whole, 0))
    return found


def percentiles(values: np.ndarray, level: float) -> Resampled:
    """The percentile interval of a statistic's values in the resamples, [resamples], NaN where it is undefined.

    It is that of the others, and there is none where these are fewer than `LEAST_DEFINED` of all.
    """
    defined = values[np.isfinite(values)]
    undefined = len(values) - len(defined)
    enough = len(defined) > 0 and len(defined) >= LEAST_DEFINED * len(values)
    return Resampled(percentile_interval(defined, level) if enough else None, undefined)


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


def newcombe(first: int, first_n: int, second: int, second_n: int, level: float) -> Interval | None:
    """Hybrid score interval of the difference of two independent shares (Newcombe 1998, Interval estimation for the difference between
    independent proportions, method 10); None where either n is 0."""
    one, other = wilson(first, first_n, level), wilson(second, second_n, level)
    if one is None or other is None:
        return None
    share, base = first / first_n, second / second_n
    below, above = np.hypot(share - one.low, other.high - base), np.hypot(one.high - share, base - other.low)
    return Interval(share - base - float(below), share - base + float(above))


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
