"""Figures with intervals: against what resampled opening prompts give one by one, and by hand where there is nothing to give."""

import json
from typing import Any

import numpy as np
import pytest
from made_up_rewrites import RESAMPLES, margins, measure, over, resampled, table_of
from scipy import stats

from seal.resampling import correlation, mean, pearson, resolved, undefined
from seal.uncertainty import ClusterBootstrap

CLUSTERS = np.arange(40) // 4
ENDS = [0.025, 0.975]


def figures_of(figures: dict[str, Any], clusters: np.ndarray = CLUSTERS) -> Any:
    """As they would be read from a metrics file: with no NaN in them."""
    found = resolved(figures, over(clusters))
    return json.loads(json.dumps(found, allow_nan=False))


def test_a_mean_and_its_interval_are_those_of_resampled_opening_prompts() -> None:
    values = np.random.default_rng(1).normal(size=40)
    found = figures_of({"height": mean(values)})
    ends = np.quantile([values[rows].mean() for rows in resampled(40, CLUSTERS)], ENDS)
    assert list(found) == ["height", "height_low", "height_high"]
    assert list(found.values()) == pytest.approx([values.mean(), *ends])


def test_a_mean_over_members_counts_every_text_of_a_pair() -> None:
    random = np.random.default_rng(2)
    values, members = random.normal(size=(40, 2)), random.random((40, 2)) < 0.7
    values[~members] = np.nan  # what is no member has no part in it
    found = figures_of({"height": mean(values, members)})
    ends = np.quantile([np.nanmean(values[rows]) for rows in resampled(40, CLUSTERS)], ENDS)
    assert list(found.values()) == pytest.approx([np.nanmean(values), *ends])


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_a_correlation_and_its_interval_are_those_of_scipy_far_from_0_too(offset: float) -> None:
    random = np.random.default_rng(3)
    first = random.normal(size=(40, 2))
    second = first + random.normal(size=(40, 2))
    found = figures_of({"pearson": correlation(first + offset, second - offset, "")})
    drawn = [stats.pearsonr(first[rows].ravel(), second[rows].ravel())[0] for rows in resampled(40, CLUSTERS)]
    assert list(found.values()) == pytest.approx([stats.pearsonr(first.ravel(), second.ravel())[0], *np.quantile(drawn, ENDS)], abs=1e-7)


def test_statistics_stay_in_their_place_among_what_is_none() -> None:
    one, other = np.arange(40.0), np.arange(40.0) ** 2
    found = figures_of(
        {"name": "a", "first": {"height": mean(one), "pairs": 40}, "second": {"third": {"height": mean(other)}}, "none": None}
    )
    alone = figures_of({"height": mean(other)})
    assert list(found) == ["name", "first", "second", "none"]
    assert (found["name"], found["none"]) == ("a", None)
    assert list(found["first"]) == ["height", "height_low", "height_high", "pairs"]
    assert (found["first"]["height"], found["second"]["third"]["height"]) == (19.5, pytest.approx(39 * 79 / 6))
    assert found["second"]["third"] == pytest.approx(alone)  # the same resamples, whatever stands beside it


def test_what_is_undefined_is_null_with_its_reason() -> None:
    nobody = np.zeros(40, dtype=bool)
    nothing = {"height": None, "height_low": None, "height_high": None, "height_reason": "nobody is tall"}
    assert figures_of({"height": mean(np.ones(40), nobody, "nobody is tall")}) == nothing == undefined("height", "nobody is tall")
    found = figures_of({"pearson": correlation(np.ones(40), np.arange(40.0), "all the same")})
    assert (found["pearson"], found["pearson_reason"]) == (None, "all the same")


def test_a_single_opening_prompt_leaves_a_value_and_no_interval() -> None:
    assert figures_of({"height": mean(np.arange(40.0))}, np.zeros(40)) == {"height": 19.5, "height_low": None, "height_high": None}


def test_a_mean_whose_members_a_few_resamples_lack_counts_them() -> None:
    # Members in 3 of 10 opening prompts: 0.7^10 = 0.03 of the resamples lack them; in 1 of 10, 0.9^10 = 0.35 do, more than a tenth.
    values = np.random.default_rng(4).normal(size=40)
    for prompts, has_interval in ((3, True), (1, False)):
        members = np.isin(CLUSTERS, range(prompts))
        found = figures_of({"height": mean(values, members)})
        drawn = [values[rows][members[rows]].mean() for rows in resampled(40, CLUSTERS) if members[rows].any()]
        assert found["height"] == pytest.approx(values[members].mean())
        assert found["height_undefined_resamples"] == RESAMPLES - len(drawn) > 0
        ends = pytest.approx(np.quantile(drawn, ENDS).tolist()) if has_interval else [None, None]
        assert [found["height_low"], found["height_high"]] == ends


def test_a_correlation_that_a_few_resamples_lack_is_that_of_the_others_and_they_are_counted() -> None:
    # Where 1 of 4 pairs has another reward, (3/4)^4 = 0.32 of the resamples lack it, more than a tenth; where 3 of 12, (3/4)^12 = 0.03.
    for pairs, odd, low in ((4, 1, None), (12, 3, -1)):
        before = np.ones(pairs)
        before[:odd] = 3
        after = before + np.arange(pairs) / 50
        found = measure(table_of(pairs, **margins(before, after))).figures["aligned"]["correlation"]["chosen"]
        assert found["pearson"] == pytest.approx(stats.pearsonr(before, after)[0])
        assert 0 < found["pearson_undefined_resamples"] < 200
        assert (found["pearson_low"] is None) == (low is None)


def test_a_correlation_needs_three_pairs() -> None:
    two = np.array([[1.0, 2.0], [4.0, 3.0]])
    assert pearson(two, two**2, "one", "other") == undefined("pearson", "2 pair(s); a correlation needs 3")
    assert list(pearson(np.append(two, two, axis=0)[:3], np.append(two, two, axis=0)[:3] ** 2, "one", "other")) == ["pearson"]


@pytest.mark.parametrize("usual", [0.189, -0.802, 1.101])
def test_resamples_that_do_not_vary_but_for_rounding_have_no_correlation(usual: float) -> None:
    before, after = np.full(12, usual), np.random.default_rng(7).normal(size=12)
    before[:3] += 0.7
    found = figures_of({"pearson": correlation(before[:, None], after[:, None], "")}, np.arange(12))
    alike = sum(np.ptp(before[rows]) == 0 for rows in resampled(12, np.arange(12)))
    assert found["pearson_undefined_resamples"] == alike > 0


def test_a_correlation_that_one_pair_nearly_makes_alone_is_defined_without_it() -> None:
    random = np.random.default_rng(8)
    first, second = random.normal(size=(2, 40, 1))
    first[0] = 1000.0
    found = figures_of({"pearson": correlation(first, second, "")}, np.arange(40))
    drawn = [stats.pearsonr(first[rows].ravel(), second[rows].ravel())[0] for rows in resampled(40, np.arange(40))]
    assert list(found) == ["pearson", "pearson_low", "pearson_high"]
    assert list(found.values())[1:] == pytest.approx(np.quantile(drawn, ENDS).tolist(), abs=1e-6)


def test_with_many_resamples_too_those_that_do_not_vary_have_no_correlation() -> None:
    before, after = np.full(300, -0.802), np.random.default_rng(7).normal(size=300)
    before[:3] += 0.7
    draw = ClusterBootstrap(np.arange(300), 2000, 1, 0.95)
    lacking = int((draw.totals((np.arange(300) < 3)[:, None].astype(float)) == 0).sum())
    assert resolved({"p": correlation(before[:, None], after[:, None], "")}, draw)["p_undefined_resamples"] == lacking == 90
