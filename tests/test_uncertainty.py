"""Intervals and tests against other implementations, and against truths that were planted."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from seal import uncertainty
from seal.uncertainty import ClusterBootstrap, exact_mcnemar, newcombe, percentiles, wilson


def uneven_clusters(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values that go together within clusters of 1 to 6, and their clusters, in no order."""
    random = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(40), random.integers(1, 7, size=40))
    values = random.normal(size=40)[clusters] + random.normal(size=len(clusters))
    order = random.permutation(len(clusters))
    return values[order], clusters[order]


def resample_by_hand(values: np.ndarray, clusters: np.ndarray, resamples: int, seed: int) -> list[np.ndarray]:
    """Whole clusters drawn with replacement and laid end to end."""
    random = np.random.default_rng(seed)
    members = [values[clusters == cluster] for cluster in sorted(set(clusters))]
    return [np.concatenate([members[i] for i in random.integers(len(members), size=len(members))]) for _ in range(resamples)]


# --- the bootstrap against other implementations ---


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_interval_of_a_mean_is_that_of_resampled_whole_clusters(level: float) -> None:
    values, clusters = uneven_clusters(1)
    means = [drawn.mean() for drawn in resample_by_hand(values, clusters, 300, seed=7)]
    expected = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    assert ClusterBootstrap(clusters, 300, 7, level).intervals([values])[0].interval == pytest.approx(tuple(expected), rel=1e-12)


@pytest.mark.parametrize("spreads", [6, 0.5, 0])
@pytest.mark.parametrize("kind", ["all differ", "many are equal", "nearly all are equal"])
def test_interval_of_a_median_is_that_of_resampled_whole_clusters(kind: str, spreads: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncertainty, "_SPREADS", spreads)  # with few, most medians lie beyond what is counted first
    values, clusters = uneven_clusters(2)
    values = {"all differ": values, "many are equal": np.round(values), "nearly all are equal": (values > 2).astype(float)}[kind]
    medians = [np.median(drawn) for drawn in resample_by_hand(values, clusters, 300, seed=7)]
    expected = np.quantile(medians, [0.05, 0.95])
    assert ClusterBootstrap(clusters, 300, 7, 0.9).intervals(medians=[values])[0].interval == pytest.approx(tuple(expected), rel=1e-12)


def test_intervals_of_medians_of_a_few_observations_are_those_of_resampled_whole_clusters() -> None:
    random = np.random.default_rng(6)
    for case in range(60):
        clusters = random.integers(2, 6, size=random.integers(3, 12))
        values = random.integers(-3, 4, size=len(clusters)).astype(float)
        medians = [np.median(drawn) for drawn in resample_by_hand(values, clusters, 40, seed=case)]
        found = ClusterBootstrap(clusters, 40, case, 0.5).intervals(medians=[values])[0].interval
        assert found == (pytest.approx(tuple(np.quantile(medians, [0.25, 0.75]))) if len(set(clusters)) > 1 else None)


def test_intervals_in_one_draw_are_those_of_each_alone_in_their_order() -> None:
    values, clusters = uneven_clusters(3)
    draw = ClusterBootstrap(clusters, 100, 7, 0.9)
    alone = [draw.intervals([values])[0], draw.intervals([values > 0])[0], *draw.intervals(medians=[values])]
    together = draw.intervals(means=[values, values > 0], medians=[values])
    assert np.array([found.interval for found in together]) == pytest.approx(np.array([found.interval for found in alone]), rel=1e-12)
    assert draw.intervals() == []


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_equal_clusters_give_the_interval_of_scipys_bootstrap_over_cluster_means(level: float) -> None:
    random = np.random.default_rng(3)
    cluster_means = random.normal(size=50)
    offsets = random.normal(size=(50, 4))
    values = cluster_means[:, None] + offsets - offsets.mean(axis=1, keepdims=True)
    reference = stats.bootstrap(
        (cluster_means,), np.mean, n_resamples=8000, confidence_level=level, method="percentile", rng=np.random.default_rng(99)
    )
    interval = ClusterBootstrap(np.repeat(np.arange(50), 4), 8000, 1, level).intervals([values.ravel()])[0].interval
    # an end of the interval has a Monte Carlo error of about 0.03 standard errors at 8000 resamples, in either implementation
    assert interval == pytest.approx(tuple(reference.confidence_interval), abs=0.15 * reference.standard_error)


def test_observations_in_clusters_of_one_give_the_plain_bootstrap_and_about_wilsons_interval() -> None:
    agrees = np.arange(1000) < 640
    interval = ClusterBootstrap(np.arange(1000), 4000, 1, 0.95).intervals([agrees])[0].interval
    assert interval == pytest.approx(proportion_confint(640, 1000, 0.05, method="wilson"), abs=0.003)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values, clusters = uneven_clusters(4)
    first, again, other = (ClusterBootstrap(clusters, 200, seed, 0.95).intervals([values])[0].interval for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_labels_of_clusters_may_be_any_texts_and_are_counted_once() -> None:
    values, clusters = uneven_clusters(5)
    named = np.array([f"opening {cluster:02}" for cluster in clusters], dtype=object)
    bootstrap = ClusterBootstrap(named, 100, 1, 0.9)
    assert bootstrap.codes.tolist() == np.unique(named, return_inverse=True)[1].tolist()
    assert bootstrap.clusters == 40
    assert bootstrap.intervals([values])[0] == ClusterBootstrap(clusters, 100, 1, 0.9).intervals([values])[0]


@pytest.mark.parametrize("clusters", [[], ["one"], ["one"] * 5])
def test_fewer_than_two_clusters_leave_no_interval(clusters: list[str]) -> None:
    bootstrap = ClusterBootstrap(np.array(clusters, dtype=object), 10, 1, 0.95)
    values = np.arange(len(clusters), dtype=float)
    assert bootstrap.clusters == len(set(clusters))
    assert bootstrap.intervals(means=[values, values], medians=[values]) == [(None, 0)] * 3
    assert bootstrap.mean_intervals_of_groups(values, [np.ones(len(values), dtype=bool)]) == [(None, 0)]


@pytest.mark.parametrize("at_once", [1, 7, 500])
def test_totals_are_those_of_resampled_whole_clusters_however_many_are_drawn_at_once(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_CLUSTERS_AT_ONCE", "_DRAWN_AT_ONCE"):
        monkeypatch.setattr(uncertainty, name, at_once)
    values, clusters = uneven_clusters(6)
    bootstrap = ClusterBootstrap(clusters, 60, 3, 0.95)
    by_cluster = np.stack([np.bincount(bootstrap.codes, values), np.bincount(bootstrap.codes)], axis=1)
    expected = [(drawn.sum(), len(drawn)) for drawn in resample_by_hand(values, clusters, 60, seed=3)]
    found = bootstrap.totals(by_cluster)
    assert found[:, 0] == pytest.approx(np.array(expected)[:, 0], rel=1e-9)
    assert found[:, 1].tolist() == [size for _, size in expected]


@pytest.mark.parametrize("scale", [1.0, 1e300, 1e-300])
def test_totals_of_the_largest_and_the_smallest_numbers_keep_their_digits(scale: float) -> None:
    """Exact sums of fractions, by Python's own `fsum`."""
    values, clusters = uneven_clusters(6)
    bootstrap = ClusterBootstrap(clusters, 20, 3, 0.95)
    by_cluster = np.bincount(bootstrap.codes, values)[:, None] * scale
    drawn = resample_by_hand(np.arange(len(values)), clusters, 20, seed=3)
    counts = [np.bincount(bootstrap.codes[rows], minlength=40) / np.bincount(bootstrap.codes) for rows in drawn]
    expected = [math.fsum(one * value for one, value in zip(count.tolist(), by_cluster[:, 0].tolist(), strict=True)) for count in counts]
    assert bootstrap.totals(by_cluster)[:, 0] == pytest.approx(expected, rel=1e-9, abs=np.abs(by_cluster).max() * 1e-9)


def test_totals_of_what_is_no_number_are_none() -> None:
    """And those of a column beside it are what they are without."""
    _, clusters = uneven_clusters(6)
    bootstrap = ClusterBootstrap(clusters, 20, 3, 0.95)
    ones = np.bincount(bootstrap.codes).astype(float)
    spoilt = ones.copy()
    spoilt[3] = np.nan
    found = bootstrap.totals(np.stack([spoilt, ones], axis=1))
    assert np.isnan(found[:, 0]).all()
    assert found[:, 1].tolist() == bootstrap.totals(ones[:, None])[:, 0].tolist()


# --- groups ---


def of_group_by_hand(values: np.ndarray, clusters: np.ndarray, members: np.ndarray, resamples: int, seed: int) -> list[np.ndarray]:
    """Values of a group's members in resamples of all clusters."""
    both = resample_by_hand(np.stack([values, members], axis=1), clusters, resamples, seed)
    return [drawn[drawn[:, 1] == 1, 0] for drawn in both]


def group_of(kind: str, clusters: np.ndarray) -> np.ndarray:
    """A third of the observations, those of three of the 40 clusters, or those of some clusters, but for one of each."""
    if kind == "anyone":
        return np.random.default_rng(8).random(len(clusters)) < 1 / 3
    if kind == "three clusters":
        return np.isin(clusters, (3, 17, 39))
    return (clusters % 2 == 0) & (np.diff(clusters, prepend=-1) != 0)


@pytest.mark.parametrize("spreads", [6, 0])
@pytest.mark.parametrize("kind", ["anyone", "three clusters", "half of the clusters"])
def test_intervals_of_a_group_are_those_of_its_members_in_resamples_of_all_clusters(
    kind: str, spreads: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uncertainty, "_SPREADS", spreads)
    values, clusters = uneven_clusters(9)
    members = group_of(kind, clusters)
    drawn = of_group_by_hand(values, clusters, members, 300, seed=7)
    lacking = sum(not len(found) for found in drawn)
    assert (lacking > 0) == (kind == "three clusters")  # (37 / 40)^40 = 4 % of the resamples have none of them
    group = ClusterBootstrap(clusters, 300, 7, 0.9)[members]
    mean, median = group.intervals(means=[values[members]], medians=[values[members]])
    assert (group.clusters, len(group)) == (len(set(clusters[members])), members.sum())
    assert mean.undefined == median.undefined == lacking
    for found, statistic in ((mean, np.mean), (median, np.median)):
        expected = np.quantile([statistic(each) for each in drawn if len(each)], [0.05, 0.95])
        assert found.interval == pytest.approx(tuple(expected), rel=1e-12)


def test_intervals_of_several_groups_at_once_are_those_of_each_by_hand() -> None:
    values, clusters = uneven_clusters(10)
    groups = [group_of(kind, clusters) for kind in ("anyone", "three clusters")] + [clusters == 5, np.zeros(len(clusters), dtype=bool)]
    found = ClusterBootstrap(clusters, 200, 7, 0.8).mean_intervals_of_groups(values, groups)
    for members, of_group in zip(groups[:2], found, strict=False):
        means = [each.mean() for each in of_group_by_hand(values, clusters, members, 200, seed=7) if len(each)]
        assert of_group.interval == pytest.approx(tuple(np.quantile(means, [0.1, 0.9])), rel=1e-12)
        assert of_group.undefined == 200 - len(means)
    assert found[2:] == [(None, 0), (None, 0)]  # one cluster, and none
    assert ClusterBootstrap(clusters, 200, 7, 0.8).mean_intervals_of_groups(values, []) == []


def test_a_group_of_a_group_is_that_of_all() -> None:
    values, clusters = uneven_clusters(11)
    outer, inner = clusters > 12, np.arange(len(clusters)) % 3 > 0
    draw = ClusterBootstrap(clusters, 100, 7, 0.9)
    both = outer & inner
    drawn = of_group_by_hand(values, clusters, both, 100, seed=7)
    expected = np.quantile([each.mean() for each in drawn], [0.05, 0.95])
    for group in (draw[outer][inner[outer]], draw[np.flatnonzero(both)]):
        assert group.intervals([values[both]])[0].interval == pytest.approx(tuple(expected), rel=1e-12)


def test_a_group_that_too_many_resamples_lack_has_no_interval() -> None:
    # Two of 40 clusters: (38 / 40)^40 = 13 % of the resamples have neither, more than a tenth.
    values, clusters = uneven_clusters(12)
    members = clusters < 2
    lacking = sum(not len(each) for each in of_group_by_hand(values, clusters, members, 500, seed=7))
    group = ClusterBootstrap(clusters, 500, 7, 0.9)[members]
    assert lacking > 50
    assert group.intervals(means=[values[members]], medians=[values[members]]) == [(None, lacking)] * 2


# --- the bootstrap against planted truths ---

SIMULATIONS = 400
MONTE_CARLO_ERROR = math.sqrt(0.95 * 0.05 / SIMULATIONS)


def coverage(simulate: Callable[[np.random.Generator], bool]) -> float:
    random = np.random.default_rng(2024)
    return float(np.mean([simulate(random) for _ in range(SIMULATIONS)]))


def agreement_that_goes_by_cluster(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Pairs in clusters of 2 to 8, each with an agreement of its own, and the agreement planted on average."""
    clusters = np.repeat(np.arange(120), random.integers(2, 9, size=120))
    agrees = random.random(len(clusters)) < random.beta(0.7, 0.3, size=120)[clusters]
    return agrees, clusters, 0.7


def test_intervals_over_clusters_hold_the_planted_agreement_as_often_as_they_say() -> None:
    def holds(random: np.random.Generator) -> bool:
        agrees, clusters, truth = agreement_that_goes_by_cluster(random)
        interval = ClusterBootstrap(clusters, 300, int(random.integers(2**31)), 0.95).intervals([agrees])[0].interval
        assert interval is not None
        return interval.low <= truth <= interval.high

    assert coverage(holds) == pytest.approx(0.95, abs=3 * MONTE_CARLO_ERROR)


def test_taking_clustered_pairs_for_independent_holds_the_planted_agreement_far_too_seldom() -> None:
    def holds(random: np.random.Generator) -> bool:
        agrees, _, truth = agreement_that_goes_by_cluster(random)
        interval = wilson(int(agrees.sum()), len(agrees), 0.95)
        assert interval is not None
        return interval.low <= truth <= interval.high

    # a correlation of 0.5 within clusters of 5 at least triples the variance: 1.96 / sqrt(3) standard errors hold 74 %
    assert coverage(holds) < 0.80


def test_intervals_of_a_paired_difference_hold_the_planted_one_as_often_as_they_say() -> None:
    def holds(random: np.random.Generator) -> bool:
        clusters = np.repeat(np.arange(120), random.integers(2, 9, size=120))
        ease = random.beta(1, 1, size=120)[clusters]
        first, second = random.random(len(clusters)) < 0.3 + 0.6 * ease, random.random(len(clusters)) < 0.8 * ease
        difference = first.astype(float) - second.astype(float)
        interval = ClusterBootstrap(clusters, 300, int(random.integers(2**31)), 0.95).intervals([difference])[0].interval
        assert interval is not None
        return interval.low <= 0.2 <= interval.high

    assert coverage(holds) == pytest.approx(0.95, abs=3 * MONTE_CARLO_ERROR)


def test_intervals_of_a_median_hold_the_planted_one_as_often_as_they_say() -> None:
    def holds(random: np.random.Generator) -> bool:
        clusters = np.repeat(np.arange(80), random.integers(1, 6, size=80))
        margins = 1.5 + random.normal(size=80)[clusters] + random.normal(size=len(clusters))
        interval = ClusterBootstrap(clusters, 200, int(random.integers(2**31)), 0.95).intervals(medians=[margins])[0].interval
        assert interval is not None
        return interval.low <= 1.5 <= interval.high

    assert coverage(holds) == pytest.approx(0.95, abs=3 * MONTE_CARLO_ERROR)


# --- Wilson and McNemar ---


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 30), (30, 30), (7, 12), (119091, 160800)])
def test_wilson_is_that_of_statsmodels(successes: int, n: int, level: float) -> None:
    interval = wilson(successes, n, level)
    assert interval == pytest.approx(proportion_confint(successes, n, 1 - level, method="wilson"), abs=1e-12)
    assert interval is not None
    assert 0 <= interval.low <= successes / n <= interval.high <= 1


def test_wilson_of_nothing_is_no_interval() -> None:
    assert wilson(0, 0, 0.95) is None


@pytest.mark.parametrize("only_first", [0, 1, 2, 5, 17, 60, 200])
@pytest.mark.parametrize("only_second", [0, 1, 2, 6, 18, 55, 200])
def test_exact_mcnemar_is_that_of_statsmodels(only_first: int, only_second: int) -> None:
    test = exact_mcnemar(only_first, only_second)
    expected = mcnemar([[3, only_first], [only_second, 4]], exact=True).pvalue
    assert test.p == pytest.approx(expected, rel=1e-9)
    assert test.log10_p == pytest.approx(math.log10(expected), abs=1e-9)
    assert test == exact_mcnemar(only_second, only_first)


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (3, 3), (3, 2), (100, 101), (41445, 41446)])
def test_exact_mcnemar_without_a_direction_is_exactly_one(only_first: int, only_second: int) -> None:
    # with one pair more on one side, the two tails still are the whole distribution; its rounding noise has no place in a metrics file
    assert exact_mcnemar(only_first, only_second) == (1.0, 0.0)


@pytest.mark.parametrize(("only_first", "only_second"), [(2000, 0), (10, 5000), (41445, 14065)])
def test_exact_mcnemar_that_underflows_has_its_logarithm(only_first: int, only_second: int) -> None:
    n, tail, term = only_first + only_second, 0, 1
    for k in range(min(only_first, only_second) + 1):  # binomial coefficients as whole numbers of any size
        tail += term
        term = term * (n - k) // (k + 1)
    expected = math.log10(2 * tail) - n * math.log10(2)
    test = exact_mcnemar(only_first, only_second)
    assert expected < -320
    assert test.p == 0.0
    assert test.log10_p == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("counts", [(3, 10, 5, 40), (0, 7, 4, 9), (8, 8, 0, 5), (1, 1, 0, 1)])
def test_the_interval_of_a_difference_is_that_of_statsmodels(counts: tuple[int, int, int, int]) -> None:
    expected = confint_proportions_2indep(*counts, compare="diff", method="newcomb", alpha=0.1)
    assert newcombe(*counts, 0.9) == pytest.approx(expected)


def test_there_is_no_interval_of_a_difference_from_no_pairs() -> None:
    assert newcombe(0, 0, 1, 5, 0.95) is newcombe(1, 5, 0, 0, 0.95) is None


def test_an_interval_of_which_just_a_tenth_is_undefined_is_that_of_the_others() -> None:
    drawn = np.append(np.arange(9.0), np.nan)
    assert percentiles(drawn, 0.5) == ((2.0, 6.0), 1)
    assert percentiles(np.append(drawn, np.nan), 0.5) == (None, 2)
