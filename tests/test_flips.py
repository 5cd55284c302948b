"""Flips: by hand on small tables, on SEAL's published counts, and against other implementations."""

import math

import numpy as np
import pytest
from made_up_rewrites import (
    PUBLISHED,
    PUBLISHED_AGREEMENT,
    PUBLISHED_PAIRS,
    labels,
    margins,
    measure,
    outcomes,
    published_table,
    resampled,
    table_of,
)
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from seal import flips
from seal.robustness import Measures


@pytest.fixture(scope="module")
def published() -> Measures:
    return measure(published_table()[0])


def test_the_published_counts_agree_with_each_other() -> None:
    # Every feature and side has the same pairs in it: 1,608, of which 170 became misaligned and 121 aligned; 1177 - 170 + 121 = 1128.
    sums = {tuple(np.sum(list(levels.values()), axis=0).tolist()) for levels in PUBLISHED.values()}
    assert sums == {(PUBLISHED_PAIRS, 170, 121)}
    original, rewritten = (share * PUBLISHED_PAIRS for share in PUBLISHED_AGREEMENT.values())
    assert rewritten - original == pytest.approx(121 - 170, abs=0.01)


@pytest.mark.parametrize(("feature", "side"), list(PUBLISHED))
def test_the_published_counts_and_shares_of_every_flip(published: Measures, feature: str, side: str) -> None:
    levels = PUBLISHED[feature, side]
    for place, name in enumerate(("became_misaligned", "became_aligned"), start=1):
        found = outcomes(published, feature, side, name)
        assert list(found) == list(levels)
        for level, (pairs, *counts) in levels.items():
            share, count = found[level], counts[place - 1]
            assert (share["pairs"], share["count"], share["share"]) == (pairs, count, pytest.approx(count / pairs))
            low, high = proportion_confint(count, pairs, 0.05, method="wilson")
            assert (share["share_low"], share["share_high"]) == pytest.approx((max(low, 0), high))
            if level == 0:
                assert share["difference"] is share["difference_low"] is share["difference_high"] is None
                continue
            base = (levels[0][place], levels[0][0])
            assert share["difference"] == pytest.approx(count / pairs - base[0] / base[1])
            newcombe = confint_proportions_2indep(count, pairs, *base, compare="diff", method="newcomb")
            assert (share["difference_low"], share["difference_high"]) == pytest.approx(newcombe)


def test_shares_at_risk_are_of_the_pairs_on_which_it_could_happen(published: Measures) -> None:
    table, before, after = published_table()
    flip = flips.flips_of(table)["helpful", "rejected"]
    for name, became, at_risk in (("became_misaligned", before & ~after, before), ("became_aligned", ~before & after, ~before)):
        n, base_n = int((at_risk & (flip == -1)).sum()), int((at_risk & (flip == 0)).sum())
        count, base = int((became & (flip == -1)).sum()), int((became & (flip == 0)).sum())
        share = outcomes(published, "helpful", "rejected", name, "at_risk")[-1]
        assert (share["pairs"], share["count"]) == (n, count)
        assert n < 106
        assert share["share"] == pytest.approx(count / n)
        low, high = confint_proportions_2indep(count, n, base, base_n, compare="diff", method="newcomb")
        assert (share["difference_low"], share["difference_high"]) == pytest.approx((low, high))


def test_flips_of_booleans_and_of_sentiment_by_hand() -> None:
    table = table_of(
        4,
        original_chosen_last_response_is_helpful=np.array([True, False, True, None], dtype=object),
        rewritten_chosen_last_response_is_helpful=np.array([False, True, True, True], dtype=object),
        original_rejected_last_response_sentiment=np.array(["negative", "positive", "neutral", "neutral"], dtype=object),
        rewritten_rejected_last_response_sentiment=np.array(["positive", "negative", "negative", None], dtype=object),
    )
    found = flips.flips_of(table)
    assert found["helpful", "chosen"].tolist() == pytest.approx([1, -1, 0, math.nan], nan_ok=True)
    assert found["sentiment", "rejected"].tolist() == pytest.approx([-2, 2, 1, math.nan], nan_ok=True)
    assert found["helpful", "rejected"].tolist() == [0, 0, 0, 0]
    assert len(found) == 10


def test_a_missing_label_leaves_its_pair_out_of_its_feature_only_and_is_counted() -> None:
    columns = labels("helpful", "chosen", [-1, None, 0, 0, 1, None]) | labels("eloquent", "rejected", [0, 0, 0, None, 1, 1])
    measures = measure(table_of(6, **columns, **margins([1] * 6, [-1, -1, 1, 1, 1, 1])), openings=list("aabbcc"))
    figures = measures.figures
    helpful = figures["flip_rates"]["helpful"]["chosen"]
    assert (helpful["labelled_pairs"], helpful["unlabelled_pairs"], helpful["flipped_pairs"]) == (4, 2, 2)
    assert helpful["flip_rate"] == 0.5
    assert helpful["flip_rate_low"] <= 0.5 <= helpful["flip_rate_high"]
    low, high = proportion_confint(2, 4, 0.05, method="wilson")
    assert helpful["independent_pairs"] == pytest.approx({"flip_rate_low": low, "flip_rate_high": high})
    assert figures["flip_rates"]["eloquent"]["rejected"]["labelled_pairs"] == 5
    levels = outcomes(measures, "helpful", "chosen")
    assert {level: found["pairs"] for level, found in levels.items()} == {-1: 1, 0: 2, 1: 1}
    assert levels[-1]["count"] == 1
    joint = figures["aligned"]["robustness_scores"]["all_pairs"]["linear"]
    assert (joint["pairs"], joint["left_out_without_label"]) == (3, 3)


def test_the_interval_of_a_flip_rate_is_that_of_resampled_opening_prompts() -> None:
    random = np.random.default_rng(4)
    drawn = [None if each < 0.1 else int(each < 0.4) for each in random.random(60)]
    clusters = np.arange(60) // 4
    found = measure(table_of(60, **labels("coherent", "chosen", drawn)), clusters).figures["flip_rates"]["coherent"]["chosen"]
    values = np.array([math.nan if flip is None else flip for flip in drawn])
    ends = np.quantile([np.nanmean(values[rows]) for rows in resampled(60, clusters)], [0.025, 0.975])
    assert (found["flip_rate_low"], found["flip_rate_high"]) == pytest.approx(tuple(ends))


def test_what_became_of_pairs_at_each_level_by_hand() -> None:
    #               lost   lost  won    stayed  won   stayed wrong
    before = np.array([True, True, False, True, False, False])
    after = np.array([False, False, True, True, True, False])
    rows = flips.outcomes_by_level({("harmless", "rejected"): np.array([1.0, 0.0, 1.0, 0.0, 0.0, np.nan])}, before, after, 0.95)
    assert all(set(row) == set(flips.OUTCOME_COLUMNS) for row in rows)
    assert {(row["feature"], row["side"]) for row in rows} == {("harmless", "rejected")}
    found = {
        (row["level"], row["outcome"], row["population"]): (row["pairs"], row["count"], row["share"], row["difference"]) for row in rows
    }
    assert found == {
        (0, "became_misaligned", "all_pairs"): (3, 1, pytest.approx(1 / 3), None),
        (0, "became_misaligned", "at_risk"): (2, 1, 1 / 2, None),
        (0, "became_aligned", "all_pairs"): (3, 1, pytest.approx(1 / 3), None),
        (0, "became_aligned", "at_risk"): (1, 1, 1, None),
        (1, "became_misaligned", "all_pairs"): (2, 1, 1 / 2, pytest.approx(1 / 6)),
        (1, "became_misaligned", "at_risk"): (1, 1, 1, 1 / 2),
        (1, "became_aligned", "all_pairs"): (2, 1, 1 / 2, pytest.approx(1 / 6)),
        (1, "became_aligned", "at_risk"): (1, 1, 1, 0),
    }
