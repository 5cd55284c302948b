"""Reward shift: by hand, against scipy and statsmodels, and on planted turns and effects."""

import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests

from seal import reward_shift
from seal.agreement import REGIMES
from seal.labeler_preference import PairLabels
from seal.reward_shift import Shift
from seal.uncertainty import ClusterBootstrap

over = partial(ClusterBootstrap, resamples=400, seed=1, level=0.95)
"""Bootstrap over opening prompts, [pairs]."""
HELPFUL, HARMLESS, HONEST = "last_response_is_helpful", "last_response_is_harmless", "last_response_is_honest"
SENTIMENT = "last_response_sentiment"


def points(*rows: tuple[float, float]) -> np.ndarray:
    return np.array(rows, dtype=float).reshape(-1, 2)


def shift_of(theta: np.ndarray) -> Shift:
    return Shift(theta, theta, theta, theta)


def theta_figures(theta: Any, clusters: np.ndarray | None = None, resamples: int = 400) -> dict[str, Any]:
    angles = np.array(theta, dtype=float)
    draw = over(np.arange(len(angles)) if clusters is None else clusters, resamples=resamples)
    found: dict[str, Any] = reward_shift.figures(shift_of(angles), draw)
    return dict(found["theta"])


# --- theta ---


@pytest.mark.parametrize(
    ("control", "aligned", "degrees"),
    [
        ((1, 0), (0, 1), 90),
        ((0, 1), (1, 0), -90),
        ((1, 1), (2, 2), 0),
        ((1, 0), (-1, 0), 180),
        ((-1, 0), (1, 0), 180),
        ((1, 1), (-3, -3), 180),  # never -180
        ((1, -1), (-1, 1), 180),
        ((1, 0), (1, 1), 45),
        ((1, 0), (-1, -1), -135),
        ((1, 2), (2, 1), math.degrees(math.atan2(-3, 4))),
        ((-1, -2), (-2, -1), math.degrees(math.atan2(-3, 4))),  # the same angle, though the margin moves the other way
    ],
)
def test_theta_by_hand(control: tuple[float, float], aligned: tuple[float, float], degrees: float) -> None:
    assert reward_shift.theta(points(control), points(aligned))[0] == pytest.approx(degrees, abs=1e-12)


def test_theta_is_that_of_complex_numbers_and_does_not_depend_on_the_size_of_the_rewards() -> None:
    random = np.random.default_rng(1)
    control, aligned = random.normal(size=(500, 2)), random.normal(size=(500, 2))
    first, second = (rewards[:, 0] + 1j * rewards[:, 1] for rewards in (control, aligned))
    expected = np.angle(second * first.conj(), deg=True)
    np.testing.assert_allclose(reward_shift.theta(control, aligned), expected, rtol=1e-12, atol=1e-12)
    for size in (1e-200, 3.0, 1e200):
        np.testing.assert_allclose(reward_shift.theta(control * size, aligned / size), expected, rtol=1e-9)


def test_a_zero_vector_has_no_angle() -> None:
    found = reward_shift.theta(points((0, 0), (1, 1), (0, 0), (0, 1)), points((1, 1), (0, 0), (0, 0), (0, 2)))
    np.testing.assert_array_equal(found, [np.nan, np.nan, np.nan, 0])


@pytest.mark.parametrize("factor", [3.0, 0.7, 1 / 3])
def test_parallel_rewards_turn_by_exactly_nothing(factor: float) -> None:
    control = np.random.default_rng(2).normal(size=(1000, 2))
    assert set(reward_shift.theta(control, control * factor)) == {0.0}
    assert set(reward_shift.theta(control, control * -factor)) == {180.0}


@pytest.mark.parametrize("turn", [30.0, -75.0, 170.0])
def test_a_planted_turn_is_found(turn: float) -> None:
    random = np.random.default_rng(3)
    control = random.normal(size=(2000, 2))
    angle = np.radians(turn + random.normal(scale=20, size=2000))
    rotated = np.stack(
        [control[:, 0] * np.cos(angle) - control[:, 1] * np.sin(angle), control[:, 0] * np.sin(angle) + control[:, 1] * np.cos(angle)],
        axis=1,
    )
    found = theta_figures(reward_shift.theta(control, rotated * random.uniform(0.1, 9, size=(2000, 1))))
    assert found["circular_mean_low"] <= turn <= found["circular_mean_high"]
    assert found["circular_mean"] == pytest.approx(turn, abs=2)
    # of a wrapped normal distribution, the resultant length is exp(-s^2 / 2)
    assert found["resultant_length"] == pytest.approx(math.exp(-(math.radians(20) ** 2) / 2), abs=0.01)


# --- where shifts lie ---


def test_figures_of_angles_are_those_of_scipy() -> None:
    random = np.random.default_rng(4)
    theta = np.concatenate([random.vonmises(0.7, 1.0, size=300) * 180 / np.pi, [0.0, 0.0]])
    found = theta_figures(np.append(theta, np.nan))
    assert (found["undefined"], found["zero"]) == (1, 2)
    assert found["mean"] == pytest.approx(np.mean(theta))
    assert found["median"] == pytest.approx(np.median(theta))
    assert found["circular_mean"] == pytest.approx(stats.circmean(theta, high=180, low=-180))
    assert found["resultant_length"] == pytest.approx(1 - stats.circvar(theta, high=180, low=-180))
    positive, negative = int((theta > 0).sum()), int((theta < 0).sum())
    assert found["share_positive"] == pytest.approx(positive / 302)
    tests = found["independent_pairs"]
    assert tests["sign_test_p"] == pytest.approx(stats.binomtest(positive, positive + negative).pvalue)
    t = stats.ttest_1samp(theta, 0)
    assert (tests["t"], tests["t_test_p"]) == pytest.approx((t.statistic, t.pvalue))
    for name in ("mean", "share_positive", "circular_mean", "resultant_length"):
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]


def test_intervals_are_those_of_a_bootstrap_by_scipy() -> None:
    theta = np.random.default_rng(5).normal(20, 60, size=200)
    found = theta_figures(theta, resamples=4000)
    for name, statistic in (
        ("mean", np.mean),
        ("circular_mean", lambda each, axis: stats.circmean(each, high=180, low=-180, axis=axis)),
        ("resultant_length", lambda each, axis: 1 - stats.circvar(each, high=180, low=-180, axis=axis)),
    ):
        expected = stats.bootstrap((theta,), statistic, n_resamples=4000, method="percentile", rng=7).confidence_interval
        width = expected.high - expected.low
        assert found[f"{name}_low"] == pytest.approx(expected.low, abs=0.08 * width)
        assert found[f"{name}_high"] == pytest.approx(expected.high, abs=0.08 * width)


def test_angles_on_both_sides_of_180_have_a_circular_mean_and_a_narrow_interval_there() -> None:
    found = theta_figures([170, -170] * 50)
    assert found["mean"] == pytest.approx(0)  # which says nothing
    assert abs(found["circular_mean"]) == pytest.approx(180)
    assert found["circular_mean_high"] - found["circular_mean_low"] < 10
    assert found["circular_mean_low"] <= found["circular_mean"] <= found["circular_mean_high"]


def test_angles_that_cancel_out_have_no_circular_mean() -> None:
    found = theta_figures([0, 90, 180, -90])
    assert found["circular_mean"] is None
    assert found["circular_mean_low"] is None
    assert found["circular_mean_reason"]
    assert found["resultant_length"] == pytest.approx(0, abs=1e-12)


def test_pairs_that_share_an_opening_prompt_widen_the_interval() -> None:
    theta = np.tile([30.0] * 10 + [-10.0] * 10, 20)
    narrow, wide = (theta_figures(theta, clusters) for clusters in (np.arange(400), np.arange(400) // 10))
    assert (wide["mean_high"] - wide["mean_low"]) / (narrow["mean_high"] - narrow["mean_low"]) == pytest.approx(math.sqrt(10), rel=0.25)
    assert wide["independent_pairs"] == narrow["independent_pairs"]


def test_a_single_opening_prompt_leaves_figures_without_intervals() -> None:
    found = theta_figures([10, 20, -5], np.array(["a", "a", "a"]))
    assert (found["mean"], found["mean_low"], found["circular_mean_high"]) == (pytest.approx(25 / 3), None, None)


@pytest.mark.parametrize("theta", [[30.0], [33.3] * 7])
def test_values_that_do_not_vary_have_no_t_test(theta: list[float]) -> None:
    found = theta_figures(theta)
    tests = found["independent_pairs"]
    assert (tests["t"], tests["t_test_p"]) == (None, None)
    assert tests["t_test_reason"]
    assert tests["sign_test_p"] == pytest.approx(stats.binomtest(len(theta), len(theta)).pvalue)
    assert (found["mean"], found["median"], found["circular_mean"]) == pytest.approx((theta[0],) * 3)


def test_without_any_angle_every_figure_is_null_with_a_reason() -> None:
    found = theta_figures([np.nan, np.nan])
    assert found["undefined"] == 2
    for name in ("mean", "median", "share_positive", "circular_mean", "resultant_length"):
        assert found[name] is None
        assert found[f"{name}_reason"]
    assert found["independent_pairs"]["sign_test_p"] is None


def test_groups_are_measured_apart_and_empty_ones_counted() -> None:
    theta = np.array([10.0, 20.0, -30.0])
    groups = {"first": np.array([True, True, False]), "none": np.zeros(3, dtype=bool)}
    found = reward_shift.by_group(shift_of(theta), groups, over(np.array(["a", "b", "b"])))
    assert found["none"] == {"pairs": 0}
    assert (found["first"]["pairs"], found["first"]["opening_prompts"], found["first"]["theta"]["mean"]) == (2, 2, 15)


# --- centring and margins ---


def test_centring_takes_a_roles_mean_over_both_texts_of_all_pairs() -> None:
    np.testing.assert_allclose(reward_shift.centred(points((1, 2), (3, 6))), points((-2, -1), (0, 3)))


def test_another_zero_of_the_rewards_moves_theta_but_not_the_centred_one() -> None:
    random = np.random.default_rng(6)
    control, aligned = random.normal(size=(50, 2)), random.normal(size=(50, 2))
    before, after = reward_shift.shift(control, aligned), reward_shift.shift(control, aligned + 5)
    assert np.abs(before.theta - after.theta).max() > 10
    np.testing.assert_allclose(before.theta_centred, after.theta_centred, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(before.change_of_margin, after.change_of_margin, rtol=1e-9)


@pytest.mark.parametrize("reward", [0.1, -3.7, 0.0])
def test_a_constant_reward_has_no_angle_after_centring_and_its_margins_no_unit(reward: float) -> None:
    constant, other = np.full((7, 2), reward), np.random.default_rng(7).normal(size=(7, 2))
    found = reward_shift.shift(other, constant)
    assert np.isnan(found.theta_centred).all()
    assert np.isnan(found.theta).all() == (reward == 0)
    assert not np.isnan(found.change_of_margin).any()
    assert np.isnan(found.change_of_scaled_margin).all()
    figures = reward_shift.figures(found, over(np.arange(7)))
    assert figures["theta_centred"]["undefined"] == 7
    assert "do not vary" in figures["change_of_scaled_margin"]["mean_reason"]


def test_the_change_of_margin_by_hand() -> None:
    control, aligned = points((1, 0), (0, 1), (2, 2)), points((3, 0), (1, 0), (0, 1))
    # margins 1, -1, 0 become 3, 1, -1: changes 2, 2, -1 with a standard deviation of sqrt(2)
    found = reward_shift.shift(control, aligned)
    np.testing.assert_allclose(found.change_of_margin, np.array([2, 2, -1]) / math.sqrt(2))
    # standard deviations sqrt(2 / 3) and sqrt(8 / 3)
    np.testing.assert_allclose(
        found.change_of_scaled_margin, np.array([3, 1, -1]) / math.sqrt(8 / 3) - np.array([1, -1, 0]) * math.sqrt(1.5)
    )


def test_larger_rewards_alone_are_a_change_of_margin_but_not_of_scaled_margins() -> None:
    control = np.random.default_rng(8).normal([0.5, 0], 1, size=(300, 2))
    found = reward_shift.shift(control, 4 * control)
    assert found.change_of_margin.mean() > 0.2
    np.testing.assert_allclose(found.change_of_scaled_margin, 0, atol=1e-12)


def test_a_change_that_is_the_same_for_all_has_no_unit() -> None:
    control = np.random.default_rng(9).normal(size=(20, 2))
    assert np.isnan(reward_shift.shift(control, control + np.array([0.3, 0])).change_of_margin).all()
    assert np.isnan(reward_shift.shift(control, control).change_of_margin).all()
    assert np.isnan(reward_shift.shift(control[:1], -control[:1]).change_of_margin).all()


# --- quadrants and histogram ---


def test_quadrants_by_hand() -> None:
    rewards = points((1, 2), (3, 1), (1, -1), (-1, -2), (-2, 1), (0, 1), (0, 0), (-1, -1))
    assert reward_shift.quadrants(rewards) == {
        "both_positive": 2 / 8,
        "only_chosen_positive": 1 / 8,
        "both_negative": 2 / 8,
        "only_rejected_positive": 1 / 8,
        "on_an_axis": 2 / 8,
    }
    assert set(reward_shift.quadrants(points()).values()) == {None}


def test_the_histogram_has_each_angle_in_one_bin_of_10_degrees() -> None:
    theta = np.array([-179.9, -0.1, 0, 9.9, 10, 179.9, 180, np.nan])
    regimes = np.array(["got_aligned"] * 3 + ["stayed_aligned"] * 4 + ["reversed_alignment"], dtype=object)
    found = reward_shift.histogram(theta, regimes)
    assert list(found.columns) == ["theta", "regime", "pairs", "share"]
    assert len(found) == 36 * (1 + len(REGIMES))
    counts = {regime: table.set_index("theta")["pairs"] for regime, table in found[found["pairs"] > 0].groupby("regime")}
    assert counts["all"].to_dict() == {-175: 1, -5: 1, 5: 2, 15: 1, 175: 2}
    assert counts["got_aligned"].to_dict() == {-175: 1, -5: 1, 5: 1}
    shares = found[found["regime"] == "stayed_aligned"].set_index("theta")["share"]
    assert shares[shares > 0].to_dict() == {5: 0.25, 15: 0.25, 175: 0.5}
    assert found.loc[found["regime"] == "reversed_alignment", "share"].isna().all()  # its only pair has no angle


# --- regression on the features of both sides ---


def made_up_labels(pairs: int, random: np.random.Generator, labelled: np.ndarray | None = None) -> PairLabels:
    known = np.ones(pairs, dtype=bool) if labelled is None else labelled
    n = int(known.sum())
    sides = [
        pd.DataFrame(
            {
                HELPFUL: random.random(n) < 0.4,
                HARMLESS: random.random(n) < 0.7,
                HONEST: np.ones(n, dtype=bool),
                SENTIMENT: random.choice(["negative", "neutral", "positive"], size=n),
            }
        )
        for _ in range(2)
    ]
    return PairLabels(*sides, known)


def numbers(labels: PairLabels) -> np.ndarray:
    """The design by another way: intercept, then helpful, harmless and sentiment of chosen and of rejected."""
    codes = {"negative": -1, "neutral": 0, "positive": 1}
    columns = [
        column
        for side in (labels.chosen, labels.rejected)
        for column in ([int(x) for x in side[HELPFUL]], [int(x) for x in side[HARMLESS]], [codes[x] for x in side[SENTIMENT]])
    ]
    return np.column_stack([np.ones(len(labels.chosen)), *columns]).astype(float)


FITTED = [(side, feature) for side in ("chosen", "rejected") for feature in (HELPFUL, HARMLESS, SENTIMENT)]


def test_the_regression_is_that_of_statsmodels_with_clustered_errors() -> None:
    random = np.random.default_rng(10)
    labelled = random.random(500) < 0.9
    labels = made_up_labels(500, random, labelled)
    clusters = np.array([f"prompt {number}" for number in random.integers(0, 120, size=500)], dtype=object)
    outcome = random.normal(size=500) + np.array([int(name.split()[1]) % 7 for name in clusters])
    outcome[labelled] += 3 * labels.chosen[HELPFUL].to_numpy()
    outcome[:4] = np.nan
    found = reward_shift.regressed({"shift": outcome}, labels, clusters, 0.9)["shift"]
    rows = labelled & ~np.isnan(outcome)
    groups = pd.factorize(clusters[rows])[0]
    expected = sm.OLS(outcome[rows], numbers(labels)[rows[labelled]]).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "df_correction": True}, use_t=True
    )
    assert (found["pairs"], found["opening_prompts"]) == (rows.sum(), len(set(clusters[rows])))
    assert found["left_out_unlabelled"] == (~labelled).sum()
    assert found["left_out_undefined"] == labelled[:4].sum()
    coefficients = found["coefficients"]
    fitted = [coefficients["intercept"], *(coefficients[side][feature] for side, feature in FITTED)]
    assert [each["estimate"] for each in fitted] == pytest.approx(expected.params)
    # degrees of freedom: of the intercept all opening prompts less one, of a feature those with one of its rarer values
    rarer = [groups[column != stats.mode(column).mode] for column in numbers(labels)[rows[labelled]].T[1:]]
    t = stats.t([len(set(prompts)) - 1 for prompts in (groups, *rarer)])
    half, p = t.ppf(0.95) * expected.bse, 2 * t.sf(np.abs(expected.tvalues))
    assert [each["low"] for each in fitted] == pytest.approx(expected.params - half)
    assert [each["high"] for each in fitted] == pytest.approx(expected.params + half)
    assert [each["p"] for each in fitted] == pytest.approx(p)
    assert [each["p_holm"] for each in fitted[1:]] == pytest.approx(multipletests(p[1:], method="holm")[1])
    # a feature that does not vary
    assert coefficients["chosen"][HONEST] == coefficients["rejected"][HONEST] == {"estimate": None, "reason": "the feature does not vary"}


def test_each_outcome_is_regressed_as_if_it_were_the_only_one() -> None:
    """Whether it has the pairs of the one before it or others, and whether the one before could be regressed or not."""
    random = np.random.default_rng(12)
    labels = made_up_labels(300, random)
    clusters = np.arange(300) // 2
    first, second, third = random.normal(size=(3, 300))
    second[::7] = np.nan
    outcomes = {"first": first, "same": np.ones(300), "third": third, "second": second, "again": first + second}
    together = reward_shift.regressed(outcomes, labels, clusters, 0.95)
    assert list(together) == list(outcomes)
    for name, outcome in outcomes.items():
        alone = reward_shift.regressed({name: outcome}, labels, clusters, 0.95)[name]
        assert together[name]["pairs"] == alone["pairs"]
        assert together[name].get("reason") == alone.get("reason")
        assert (together[name]["coefficients"] is None) == (name == "same")
        if name != "same":
            for side, feature in FITTED:
                assert together[name]["coefficients"][side][feature] == pytest.approx(alone["coefficients"][side][feature], rel=1e-9)


def test_planted_effects_lie_in_their_intervals_as_often_as_told() -> None:
    random = np.random.default_rng(11)
    truth = np.array([1.0, 2.0, -1.0, 0.0, 0.0, 0.5, 0.3])
    inside, runs = np.zeros(7), 150
    for _ in range(runs):
        labels = made_up_labels(400, random)
        clusters = np.arange(400) // 4
        outcome = numbers(labels) @ truth + random.normal(size=100)[clusters] + random.normal(size=400)
        coefficients = reward_shift.regressed({"shift": outcome}, labels, clusters, 0.95)["shift"]["coefficients"]
        fitted = [coefficients["intercept"], *(coefficients[side][feature] for side, feature in FITTED)]
        inside += [each["low"] <= true <= each["high"] for each, true in zip(fitted, truth, strict=True)]
    # of 1050 intervals that are nearly independent, within 4 standard errors of the level
    assert inside.sum() / (7 * runs) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / (7 * runs)))


def test_collinear_features_have_no_estimates_and_the_others_do() -> None:
    random = np.random.default_rng(12)
    labels = made_up_labels(300, random)
    labels.rejected[HELPFUL] = labels.chosen[HELPFUL]
    found = reward_shift.regressed({"shift": random.normal(size=300)}, labels, np.arange(300), 0.95)["shift"]["coefficients"]
    for side in ("chosen", "rejected"):
        assert found[side][HELPFUL] == {"estimate": None, "reason": "collinear with other features"}
        assert found[side][HARMLESS]["low"] < found[side][HARMLESS]["estimate"] < found[side][HARMLESS]["high"]


def test_a_feature_of_few_opening_prompts_has_an_estimate_but_no_error() -> None:
    random = np.random.default_rng(13)
    labels = made_up_labels(300, random)
    labels.chosen[HELPFUL] = np.arange(300) < 90  # in 90 pairs, but of 9 opening prompts
    found = reward_shift.regressed({"shift": random.normal(size=300)}, labels, np.arange(300) // 10, 0.95)["shift"]["coefficients"]
    assert set(found["chosen"][HELPFUL]) == {"estimate", "reason"}
    labels.chosen[HELPFUL] = np.arange(300) < 100
    found = reward_shift.regressed({"shift": random.normal(size=300)}, labels, np.arange(300) // 10, 0.95)["shift"]["coefficients"]
    assert found["chosen"][HELPFUL]["p_holm"] >= found["chosen"][HELPFUL]["p"] > 0


@pytest.mark.parametrize(
    ("pairs", "prompts", "outcome", "reason"),
    [
        (300, 7, None, "7 opening prompts for 7 coefficients"),
        (300, 300, 1.5, "does not vary"),
        (300, 300, np.nan, "0 opening prompts"),
        (1, 1, 2.0, "1 opening prompts"),
    ],
)
def test_a_regression_that_cannot_be_had_is_null_with_its_reason(pairs: int, prompts: int, outcome: float | None, reason: str) -> None:
    random = np.random.default_rng(14)
    values = random.normal(size=pairs) if outcome is None else np.full(pairs, outcome)
    found = reward_shift.regressed({"shift": values}, made_up_labels(pairs, random), np.arange(pairs) % prompts, 0.95)["shift"]
    assert found["coefficients"] is None
    assert reason in found["reason"]


def test_features_that_tell_the_outcome_exactly_leave_no_error() -> None:
    labels = made_up_labels(300, np.random.default_rng(15))
    found = reward_shift.regressed({"shift": 2.0 * labels.chosen[HELPFUL].to_numpy()}, labels, np.arange(300), 0.95)["shift"]
    assert found["coefficients"] is None
    assert "exactly" in found["reason"]


def test_the_t_test_of_few_values_is_that_of_scipy() -> None:
    theta = [10.0, 25.0, -5.0, 40.0]
    tests = theta_figures(theta)["independent_pairs"]
    assert tests["t_test_p"] == pytest.approx(stats.ttest_1samp(theta, 0).pvalue)


def test_p_is_adjusted_for_the_features_and_not_for_the_intercept() -> None:
    random = np.random.default_rng(21)
    labels = made_up_labels(400, random)
    outcome = random.normal(size=400) + 0.5 * (labels.chosen[HELPFUL].to_numpy() - 0.5)
    found = reward_shift.regressed({"shift": outcome}, labels, np.arange(400), 0.95)["shift"]["coefficients"]
    fitted = [found[side][feature] for side, feature in FITTED]
    p = [each["p"] for each in fitted]
    assert found["intercept"]["p"] > min(p)  # else it would take the first step of Holm's method, and change no other
    assert [each["p_holm"] for each in fitted] == pytest.approx(multipletests(p, method="holm")[1])
