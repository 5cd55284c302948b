"""Dose and response: how rewards change, and how that goes with similarity, against other implementations."""

import numpy as np
import pytest
from made_up_rewrites import measure, over, resampled, rewards_table
from scipy import stats

from seal import doses, robustness


def test_reward_change_is_in_units_of_the_spread_and_its_intervals_are_of_resampled_opening_prompts() -> None:
    table, original, rewritten = rewards_table(50, 2)
    clusters = np.arange(50) // 3
    measures = robustness.measure(table, over(clusters), {"aligned": 2.5, "control": 1.0})
    figures = measures.figures["aligned"]["reward_change"]
    change = (rewritten - original) / 2.5
    assert figures["spread"] == 2.5
    found = figures["all_texts"]
    assert found["texts"] == 100
    assert found["mean"] == pytest.approx(change.mean())
    assert found["mean_absolute"] == pytest.approx(np.abs(change).mean())
    assert found["standard_deviation"] == pytest.approx(change.std())
    for percent in (5, 25, 50, 75, 95):
        assert found[f"quantile_{percent:02d}"] == pytest.approx(np.percentile(change, percent))
    ends = np.quantile([np.abs(change[rows]).mean() for rows in resampled(50, clusters)], [0.025, 0.975])
    assert (found["mean_absolute_low"], found["mean_absolute_high"]) == pytest.approx(tuple(ends))


def test_dose_and_response_by_bands_and_by_spearman() -> None:
    table, original, rewritten = rewards_table(60, 3)
    measures = measure(table)
    figures = measures.figures["aligned"]["reward_change"]["by_similarity"]
    close = robustness.similarities(table)
    change = rewritten - original
    assert figures["spearman"] == pytest.approx(stats.spearmanr(1 - close.ravel(), np.abs(change).ravel())[0])
    assert 0 < figures["spearman_low"] < figures["spearman"] < figures["spearman_high"] < 0.9
    bands = [row for row in measures.doses if row["role"] == "aligned"]
    assert [band["band"] for band in bands] == [1, 2, 3, 4, 5]
    assert figures["bands"] == 5
    assert sum(band["texts"] for band in bands) == 120
    assert (bands[0]["similarity_low"], bands[-1]["similarity_high"]) == (close.min(), close.max())
    for place, band in enumerate(bands):
        members = (close >= band["similarity_low"]) & ((close < band["similarity_high"]) | (place == 4))
        assert band["texts"] == members.sum() >= 10
        assert band["mean"] == pytest.approx(change[members].mean())
        assert band["mean_absolute"] == pytest.approx(np.abs(change[members]).mean())
        assert band["standard_deviation"] == pytest.approx(change[members].std())
        assert band["quantile_25"] == pytest.approx(np.percentile(change[members], 25))
        assert band["mean_absolute_low"] < band["mean_absolute"] < band["mean_absolute_high"]
    assert bands[0]["mean_absolute"] > bands[-1]["mean_absolute"]


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        ([0.5] * 9, []),
        (list(range(19)), [0, 18]),
        (list(range(20)), [0, 9.5, 19]),
        (list(range(50)), [0, 9.8, 19.6, 29.4, 39.2, 49]),
        ([1.0] * 45 + [0.1, 0.2, 0.3, 0.4, 0.5], [0.1, 1.0]),  # five below 1 are too few for a band of their own
        ([1.0] * 30 + [0.5] * 20, [0.5, 0.8, 1.0]),  # of 50, two in five lie 0.6 of the way from the 20th to the 21st
    ],
)
def test_edges_of_bands(values: list[float], edges: list[float]) -> None:
    assert doses.band_edges(np.array(values, dtype=float)) == pytest.approx(np.array(edges))


def test_ranks_are_those_of_scipy() -> None:
    values = np.random.default_rng(1).integers(0, 9, size=(20, 2)).astype(float)
    assert doses.ranks(values) == pytest.approx(stats.rankdata(values).reshape(20, 2))
