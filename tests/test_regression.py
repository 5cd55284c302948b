"""Regressions against statsmodels, against what can be worked out by hand, and against effects that were planted."""

import math
import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize, special, stats
from statsmodels.sandbox.regression.gmm import IV2SLS
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.outliers_influence import variance_inflation_factor

from seal import regression
from seal.imprint import coefficients
from seal.regression import Effect


def indicators(rows: int, seed: int, shares: tuple[float, ...] = (0.3, 0.5, 0.15)) -> np.ndarray:
    """A design: the intercept, then indicators that are 1 as often as that."""
    random = np.random.default_rng(seed)
    return np.column_stack([np.ones(rows), *(random.random(rows) < share for share in shares)]).astype(float)


def uneven(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A design with an intercept and numbers, and an outcome whose variance grows with one of them."""
    random = np.random.default_rng(seed)
    design = np.column_stack([np.ones(rows), random.normal(size=rows), random.exponential(size=rows)])
    return design, design @ [1.0, -2.0, 0.5] + random.normal(size=rows) * (0.1 + design[:, 2])


def flips_and_outcome(
    rows: int, seed: int, slopes: tuple[float, ...] = (0.8, -0.5, 1.2), base: float = -1.0
) -> tuple[np.ndarray, np.ndarray]:
    design = indicators(rows, seed)
    chances = special.expit(design @ [base, *slopes])
    return design, (np.random.default_rng(seed + 1000).random(rows) < chances).astype(float)


# --- least squares ---


@pytest.mark.parametrize(("rows", "seed"), [(6, 1), (40, 2), (500, 3)])
def test_least_squares_and_hc3_are_those_of_statsmodels(rows: int, seed: int) -> None:
    design, outcome = uneven(rows, seed)
    fit = regression.ols(design, outcome)
    reference = sm.OLS(outcome, design).fit(cov_type="HC3", use_t=True)
    assert fit.estimates == pytest.approx(reference.params)
    assert regression.hc3(fit) == pytest.approx(reference.bse)
    assert fit.residuals == pytest.approx(reference.resid)
    assert fit.leverages == pytest.approx(reference.get_influence().hat_matrix_diag)
    assert fit.degrees == reference.df_resid == rows - 3


def test_hc3_is_made_of_residuals_of_fits_without_the_row() -> None:
    design, outcome = uneven(30, 5)
    left_out = np.empty(30)
    for row in range(30):
        others = np.arange(30) != row
        left_out[row] = outcome[row] - design[row] @ np.linalg.lstsq(design[others], outcome[others], rcond=None)[0]
    inverse = np.linalg.inv(design.T @ design)
    expected = np.sqrt(np.diag(inverse @ (design.T * left_out**2) @ design @ inverse))
    assert regression.hc3(regression.ols(design, outcome)) == pytest.approx(expected)


def test_the_error_of_a_difference_of_two_means_by_hand() -> None:
    # without: 0, 1, 2; with: 1, 5. HC3: sum of (residual / (1 - 1 / n))^2 / n^2 in each group.
    design = np.array([[1, 0], [1, 0], [1, 0], [1, 1], [1, 1]], dtype=float)
    fit = regression.ols(design, np.array([0, 1, 2, 1, 5], dtype=float))
    assert fit.estimates == pytest.approx([1, 2])
    without, with_it = (1.5**2 + 0 + 1.5**2) / 9, (4**2 + 4**2) / 4
    assert regression.hc3(fit) == pytest.approx([math.sqrt(without), math.sqrt(without + with_it)])


def test_a_row_that_alone_has_an_indicator_leaves_its_coefficient_without_an_error_and_the_others_as_they_are() -> None:
    design, outcome = uneven(40, 7)
    alone = np.column_stack([design, np.arange(40) == 11]).astype(float)
    fit = regression.ols(alone, outcome)
    others = np.arange(40) != 11
    reference = sm.OLS(outcome[others], design[others]).fit(cov_type="HC3", use_t=True)
    assert fit.estimates[:3] == pytest.approx(reference.params)
    assert fit.estimates[3] == pytest.approx(outcome[11] - design[11] @ reference.params)
    errors = regression.hc3(fit)
    assert errors[:3] == pytest.approx(reference.bse)
    assert math.isnan(errors[3])


def test_collinear_columns_have_no_coefficients_and_leave_the_others_theirs() -> None:
    design, outcome = uneven(40, 8)
    doubled = np.column_stack([design, design[:, 1]])
    fit = regression.ols(doubled, outcome)
    assert regression.determined(doubled).tolist() == [True, False, True, False]
    assert np.isnan(fit.estimates).tolist() == np.isnan(regression.hc3(fit)).tolist() == [False, True, False, True]
    reference = sm.OLS(outcome, design).fit(cov_type="HC3", use_t=True)
    assert fit.estimates[[0, 2]] == pytest.approx(reference.params[[0, 2]])
    assert regression.hc3(fit)[[0, 2]] == pytest.approx(reference.bse[[0, 2]])
    assert fit.degrees == 37


def test_an_indicator_that_is_always_1_is_collinear_with_the_intercept() -> None:
    design = np.ones((5, 2))
    assert regression.determined(design).tolist() == [False, False]
    assert np.isnan(regression.ols(design, np.arange(5.0)).estimates).all()


def test_fewer_rows_than_columns_determine_only_what_they_can() -> None:
    design = np.array([[1, 0, 0], [1, 1, 0]], dtype=float)
    fit = regression.ols(design, np.array([2.0, 5.0]))
    assert fit.estimates[:2] == pytest.approx([2, 3])
    assert math.isnan(fit.estimates[2])
    assert np.isnan(regression.hc3(fit)).all()
    assert fit.degrees == 0


# --- clusters ---


def in_clusters(rows: int, clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `uneven`, with residuals that rows of a cluster share in part, and clusters of any size, some of one row and some of none."""
    random = np.random.default_rng(seed)
    design, outcome = uneven(rows, seed)
    codes = (clusters * random.random(rows) ** 2).astype(int)
    return design, outcome + random.normal(size=clusters)[codes] * design[:, 1], codes


@pytest.mark.parametrize(("rows", "clusters"), [(12, 5), (300, 40), (2000, 1500)])
def test_clustered_and_classical_covariances_are_those_of_statsmodels(rows: int, clusters: int) -> None:
    design, outcome, codes = in_clusters(rows, clusters, 21)
    fit = regression.ols(design, outcome)
    reference = sm.OLS(outcome, design).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
    assert regression.clustered(fit, codes) == pytest.approx(reference.cov_params())
    assert regression.classical(fit) == pytest.approx(sm.OLS(outcome, design).fit().cov_params())
    covariance, degrees = regression.clustered(fit, codes), len(np.unique(codes)) - 1
    found = regression.wald(Effect(fit.estimates[1], math.sqrt(covariance[1, 1])), 0.95, degrees)
    assert (found.low, found.high) == pytest.approx(tuple(reference.conf_int()[1]))
    assert found.p == pytest.approx(reference.pvalues[1])


def test_the_clustered_error_of_a_mean_by_hand() -> None:
    # residuals -2, -1, 0, 3 in the clusters 0, 0, 4, 7: totals -3, 0, 3; n = 4, G = 3, and the mean has one column
    fit = regression.ols(np.ones((4, 1)), np.array([1.0, 2.0, 3.0, 6.0]))
    expected = (9 + 0 + 9) / 16 * (3 / 2) * (3 / 3)
    assert regression.clustered(fit, np.array([0, 0, 4, 7])) == pytest.approx(np.array([[expected]]))


def test_one_cluster_or_no_degrees_of_freedom_leave_no_covariance() -> None:
    design, outcome, _ = in_clusters(12, 5, 22)
    assert np.isnan(regression.clustered(regression.ols(design, outcome), np.zeros(12, dtype=int))).all()
    full = regression.ols(design[:3], outcome[:3])
    assert np.isnan(regression.clustered(full, np.arange(3))).all()
    assert np.isnan(regression.classical(full)).all()


def test_degrees_of_freedom_are_the_clusters_that_a_column_moves_in_less_one() -> None:
    differs = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=bool)
    moved = regression.clusters_moved(differs, np.array([0, 0, 4, 4, 7]))
    assert regression.own_degrees(moved).tolist() == [2, 1, 0]


def test_totals_of_clusters_by_hand() -> None:
    found = regression.cluster_totals(np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]]), np.array([5, 1, 5]))
    assert found.tolist() == [[2.0, 20.0], [5.0, 50.0]]


# --- instruments ---


def with_instruments(rows: int, seed: int, columns: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A design whose columns are noisy, as many instruments, an outcome and clusters."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=(rows, columns))
    design, instruments = (truth + random.normal(size=truth.shape) for _ in range(2))
    codes = random.integers(rows // 3, size=rows)
    shared = random.normal(size=rows // 3)[codes]
    return design, instruments, truth.sum(axis=1) + random.normal(size=rows) + shared * truth[:, 0], codes


def test_instrumented_estimates_are_those_of_statsmodels_and_their_errors_those_of_the_formula() -> None:
    design, instruments, outcome, codes = with_instruments(400, 31)
    fit = regression.instrumented(design, instruments, outcome)
    assert fit is not None
    reference = IV2SLS(outcome, design, instruments).fit()
    assert fit.estimates == pytest.approx(reference.params)
    # Wooldridge 2010, section 5.2.5, with totals of clusters in the middle
    residuals = outcome - design @ reference.params
    outer = np.linalg.inv(instruments.T @ design)
    middle = np.zeros((2, 2))
    for code in np.unique(codes):
        total = instruments[codes == code].T @ residuals[codes == code]
        middle += np.outer(total, total)
    groups = len(np.unique(codes))
    expected = groups / (groups - 1) * 399 / 398 * outer @ middle @ outer.T
    assert regression.clustered(fit, codes) == pytest.approx(expected)


def test_the_first_stage_of_one_column_is_the_usual_f() -> None:
    design, instruments, outcome, codes = with_instruments(300, 32, columns=1)
    fit = regression.instrumented(design, instruments, outcome)
    assert fit is not None
    reference = sm.OLS(design[:, 0], instruments).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
    assert regression.first_stage_f(design, instruments, fit, codes) == pytest.approx(np.atleast_1d(reference.fvalue))


def test_the_conditional_first_stage_is_that_of_what_two_stages_leave_of_a_column() -> None:
    design, instruments, outcome, codes = with_instruments(500, 33, columns=3)
    fit = regression.instrumented(design, instruments, outcome)
    assert fit is not None
    found = regression.first_stage_f(design, instruments, fit, codes)
    for column in range(3):
        others = np.delete(design, column, axis=1)
        left = design[:, column] - others @ IV2SLS(design[:, column], others, instruments).fit().params
        fitted = sm.OLS(left, instruments).fit().fittedvalues
        reference = sm.OLS(left, fitted).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
        assert found[column] == pytest.approx(reference.tvalues[0] ** 2 * (500 - 3) / (500 - 1))


def test_instruments_that_move_two_columns_alike_are_weak_for_each_though_the_usual_f_is_large() -> None:
    random = np.random.default_rng(34)
    instruments = random.normal(size=(1000, 2))
    common = instruments.sum(axis=1)
    design = np.column_stack([common, common]) + random.normal(size=(1000, 2))
    fit = regression.instrumented(design, instruments, common + random.normal(size=1000))
    assert fit is not None
    assert (regression.first_stage_f(design, instruments, fit, np.arange(1000)) < 10).all()
    assert sm.OLS(design[:, 0], instruments).fit().fvalue > 100


def test_instruments_that_leave_a_coefficient_open_give_none() -> None:
    design, instruments, outcome, _ = with_instruments(50, 35)
    assert regression.instrumented(design, np.column_stack([instruments[:, 0], instruments[:, 0]]), outcome) is None
    assert regression.instrumented(design, np.column_stack([instruments[:, 0], np.zeros(50)]), outcome) is None


# --- variance inflation ---


def test_variance_inflation_is_that_of_statsmodels() -> None:
    random = np.random.default_rng(41)
    design = random.normal(size=(200, 4)) @ random.normal(size=(4, 4)) + random.normal(size=4)
    expected = [1 / (1 - sm.OLS(design[:, column], np.delete(design, column, axis=1)).fit().rsquared) for column in range(4)]
    assert max(expected) > 2
    assert regression.variance_inflation(design) == pytest.approx(expected)
    # statsmodels takes columns from their means, as an intercept does
    centred = design - design.mean(axis=0)
    assert regression.variance_inflation(centred) == pytest.approx([variance_inflation_factor(design, column) for column in range(4)])


def test_collinear_columns_have_infinite_inflation_and_leave_the_others_theirs() -> None:
    random = np.random.default_rng(42)
    design = random.normal(size=(100, 3))
    found = regression.variance_inflation(np.column_stack([design, design[:, 0] - 2 * design[:, 1]]))
    assert np.isinf(found).tolist() == [True, True, False, True]
    assert found[2] == pytest.approx(1 / (1 - sm.OLS(design[:, 2], design[:, :2]).fit().rsquared))
    assert regression.variance_inflation(design[:, :1]).tolist() == [1.0]


# --- logistic regression ---


@pytest.mark.parametrize(("rows", "seed", "base"), [(80, 1, -1.0), (1000, 2, -1.0), (5000, 3, -5.0)])
def test_the_logit_and_its_sandwich_are_those_of_statsmodels(rows: int, seed: int, base: float) -> None:
    design, outcome = flips_and_outcome(rows, seed, base=base)
    fit = regression.logit(design, outcome)
    reference = sm.Logit(outcome, design).fit(cov_type="HC0", disp=False, tol=1e-12)
    assert fit is not None
    assert fit.estimates == pytest.approx(reference.params, rel=1e-6)
    assert regression.sandwich(fit, design) == pytest.approx(reference.cov_params(), rel=1e-5)
    assert fit.residuals == pytest.approx(outcome - reference.predict())


def test_a_logit_on_one_indicator_has_the_log_odds_of_its_groups() -> None:
    # 3 of 10 without, 6 of 8 with
    design = np.column_stack([np.ones(18), np.arange(18) >= 10]).astype(float)
    outcome = np.array([1] * 3 + [0] * 7 + [1] * 6 + [0] * 2, dtype=float)
    fit = regression.logit(design, outcome)
    assert fit is not None
    assert fit.estimates == pytest.approx([math.log(3 / 7), math.log(6 / 2) - math.log(3 / 7)])


@pytest.mark.parametrize("case", ["an indicator tells all", "a combination tells all", "one outcome", "collinear"])
def test_a_logit_that_has_no_finite_best_is_none(case: str) -> None:
    design, outcome = flips_and_outcome(200, 4)
    if case == "an indicator tells all":
        outcome = design[:, 1]
    elif case == "a combination tells all":
        outcome = ((design[:, 1] + design[:, 2]) > 0).astype(float)
    elif case == "one outcome":
        outcome = np.zeros(200)
    else:
        design = np.column_stack([design, design[:, 1]])
    assert regression.logit(design, outcome) is None


def test_quasi_separation_by_a_combination_is_none() -> None:
    # Whoever has both flips always has the outcome; each flip alone, and none, has either. Without an interaction that separates nothing,
    # with one it does.
    design, outcome = flips_and_outcome(400, 5)
    both = (design[:, 1] * design[:, 2]).astype(bool)
    outcome[both] = 1.0
    assert regression.logit(design, outcome) is not None
    assert regression.logit(np.column_stack([design, both]).astype(float), outcome) is None


def test_what_separates_is_taken_out_and_the_rest_is_the_limit_of_its_coefficient_going_on_for_ever() -> None:
    design, outcome = flips_and_outcome(600, 6)
    outcome[design[:, 3] == 1] = 0.0
    rows, columns = regression.without_separating(design, outcome)
    assert columns.tolist() == [True, True, True, False]
    assert rows.tolist() == (design[:, 3] == 0).tolist()
    fit = regression.logit(design[np.ix_(rows, columns)], outcome[rows])
    assert fit is not None
    signs = 2 * outcome - 1

    def loss(coefficients: np.ndarray) -> float:
        return -float(special.log_expit(signs * (design @ [*coefficients, -25.0])).sum())

    assert fit.estimates == pytest.approx(optimize.minimize(loss, np.zeros(3), tol=1e-10).x, abs=1e-4)


def test_taking_out_goes_on_where_what_is_left_separates_again() -> None:
    #  intercept, first, second, third: the first has outcome 0 only; without it the second has outcome 1 only, and the third no row
    design = np.array([[1, 1, 1, 0], [1, 1, 0, 1], [1, 0, 1, 0], [1, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]], dtype=float)
    outcome = np.array([0, 0, 1, 1, 0, 1], dtype=float)
    rows, columns = regression.without_separating(design, outcome)
    assert rows.tolist() == [False, False, False, False, True, True]
    assert columns.tolist() == [True, False, False, False]


def test_nothing_is_taken_out_where_nothing_separates() -> None:
    design, outcome = flips_and_outcome(300, 7)
    rows, columns = regression.without_separating(design, outcome)
    assert rows.all()
    assert columns.all()


# --- average marginal effects ---


def test_average_effects_of_indicators_are_those_of_statsmodels() -> None:
    design, outcome = flips_and_outcome(800, 8)
    fit = regression.logit(design, outcome)
    assert fit is not None
    covariance = regression.sandwich(fit, design)
    reference = sm.Logit(outcome, design).fit(cov_type="HC0", disp=False, tol=1e-12).get_margeff(at="overall", dummy=True)
    effects = [regression.average_effect(fit, covariance, design, column, [column]) for column in (1, 2, 3)]
    assert [effect.estimate for effect in effects] == pytest.approx(reference.margeff, rel=1e-6)
    assert [effect.error for effect in effects] == pytest.approx(reference.margeff_se, rel=1e-5)


def test_an_effect_among_alternatives_by_hand_and_its_error_by_differences() -> None:
    random = np.random.default_rng(9)
    levels = random.choice([-1, 0, 1], size=500, p=[0.2, 0.6, 0.2])
    design = np.column_stack([np.ones(500), levels == -1, levels == 1, random.random(500) < 0.4]).astype(float)
    outcome = (random.random(500) < special.expit(design @ [-1, 0.7, -0.6, 0.9])).astype(float)
    fit = regression.logit(design, outcome)
    assert fit is not None
    covariance = regression.sandwich(fit, design)

    def effect(coefficients: np.ndarray) -> float:
        rest = coefficients[0] + coefficients[3] * design[:, 3]
        return float(np.mean([1 / (1 + math.exp(-row - coefficients[2])) - 1 / (1 + math.exp(-row)) for row in rest]))

    step = 1e-6 * np.eye(4)
    slopes = np.array([(effect(fit.estimates + each) - effect(fit.estimates - each)) / 2e-6 for each in step])
    found = regression.average_effect(fit, covariance, design, 2, [1, 2])
    assert found.estimate == pytest.approx(effect(fit.estimates))
    assert found.error == pytest.approx(math.sqrt(slopes @ covariance @ slopes), rel=1e-6)


def test_the_effect_of_a_lone_indicator_is_the_difference_of_two_shares() -> None:
    design = np.column_stack([np.ones(18), np.arange(18) >= 10]).astype(float)
    outcome = np.array([1] * 3 + [0] * 7 + [1] * 6 + [0] * 2, dtype=float)
    fit = regression.logit(design, outcome)
    assert fit is not None
    found = regression.average_effect(fit, regression.sandwich(fit, design), design, 1, [1])
    assert found.estimate == pytest.approx(6 / 8 - 3 / 10)
    assert found.error == pytest.approx(math.sqrt(0.75 * 0.25 / 8 + 0.3 * 0.7 / 10))


# --- intervals, p and their adjustment ---


def test_intervals_and_p_are_those_of_statsmodels() -> None:
    design, outcome = uneven(12, 10)
    fit = regression.ols(design, outcome)
    errors = regression.hc3(fit)
    for degrees, by_t in ((fit.degrees, True), (None, False)):
        reference = sm.OLS(outcome, design).fit(cov_type="HC3", use_t=by_t)
        for column in range(3):
            found = regression.wald(Effect(fit.estimates[column], errors[column]), 0.9, degrees)
            assert (found.low, found.high) == pytest.approx(tuple(reference.conf_int(0.1)[column]))
            assert found.p == pytest.approx(reference.pvalues[column])


@pytest.mark.parametrize("size", [0, 1, 2, 30])
def test_holm_is_that_of_statsmodels(size: int) -> None:
    p = np.random.default_rng(size).random(size) ** 4
    expected = multipletests(p, method="holm")[1] if size else []
    assert regression.holm(p) == pytest.approx(expected)


def test_holm_by_hand_with_ties_and_what_was_not_tested() -> None:
    found = regression.holm(np.array([0.03, np.nan, 0.01, 0.01, 0.9]))
    assert found[[0, 2, 3, 4]] == pytest.approx([0.06, 0.04, 0.04, 0.9])
    assert math.isnan(found[1])


@pytest.mark.parametrize("size", [0, 1, 2, 30])
def test_benjamini_hochberg_is_that_of_statsmodels(size: int) -> None:
    p = np.random.default_rng(size).random(size) ** 4
    expected = multipletests(p, method="fdr_bh")[1] if size else []
    assert regression.benjamini_hochberg(p) == pytest.approx(expected)


def test_benjamini_hochberg_by_hand_with_ties_and_what_was_not_tested() -> None:
    found = regression.benjamini_hochberg(np.array([0.03, np.nan, 0.01, 0.01, 0.9]))
    assert found[[0, 2, 3, 4]] == pytest.approx([0.04, 0.02, 0.02, 0.9])
    assert math.isnan(found[1])


@pytest.mark.parametrize("degrees", [30, 200, None])
def test_a_detectable_effect_is_found_as_often_as_that(degrees: int | None) -> None:
    effect = regression.detectable(0.25, 0.005, 0.8, degrees)
    if degrees is None:
        power = stats.norm.sf(stats.norm.isf(0.0025) - effect / 0.25)
    else:
        power = stats.nct.sf(stats.t.isf(0.0025, degrees), degrees, effect / 0.25)
    assert power == pytest.approx(0.8, abs=1e-9 if degrees is None else 0.01)


# --- planted effects ---

RUNS = 400


def covered(hits: int) -> bool:
    """Whether so many of `RUNS` intervals of level 0.95 may hold the truth, within three Monte Carlo errors, or HC3's known caution."""
    error = math.sqrt(0.95 * 0.05 / RUNS)
    return 0.95 - 3 * error <= hits / RUNS <= 0.98 + 3 * error


def test_intervals_of_the_linear_probability_model_hold_the_planted_effects() -> None:
    chances = np.array([0.1, 0.25, -0.06])  # base, then what two flips add
    hits = np.zeros(2)
    for run in range(RUNS):
        design = indicators(400, run, (0.2, 0.3))
        outcome = (np.random.default_rng(10_000 + run).random(400) < design @ chances).astype(float)
        fit = regression.ols(design, outcome)
        errors = regression.hc3(fit)
        for column in (1, 2):
            found = regression.wald(Effect(fit.estimates[column], errors[column]), 0.95, fit.degrees)
            hits[column - 1] += found.low <= chances[column] <= found.high
    assert covered(int(hits[0])), hits
    assert covered(int(hits[1])), hits


def test_intervals_of_average_effects_hold_the_planted_effects() -> None:
    design = indicators(500, 1, (0.2, 0.3))
    coefficients = np.array([-1.5, 1.2, -0.7])
    truths = []
    for column in (1, 2):
        with_it, without = design.copy(), design.copy()
        with_it[:, column], without[:, column] = 1, 0
        truths.append(float((special.expit(with_it @ coefficients) - special.expit(without @ coefficients)).mean()))
    hits = np.zeros(2)
    for run in range(RUNS):
        outcome = (np.random.default_rng(10_000 + run).random(500) < special.expit(design @ coefficients)).astype(float)
        fit = regression.logit(design, outcome)
        assert fit is not None
        covariance = regression.sandwich(fit, design)
        for column in (1, 2):
            found = regression.wald(regression.average_effect(fit, covariance, design, column, [column]), 0.95)
            hits[column - 1] += found.low <= truths[column - 1] <= found.high
    assert covered(int(hits[0])), hits
    assert covered(int(hits[1])), hits


def test_nothing_warns() -> None:
    design, outcome = flips_and_outcome(60, 11)
    outcome[design[:, 3] == 1] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        regression.hc3(regression.ols(np.column_stack([design, design[:, 1], np.arange(60) == 3]).astype(float), outcome))
        assert regression.logit(design, outcome) is None


# --- the same design again, and clusters ---


@pytest.mark.parametrize("rows", [40, 20_000])
def test_another_outcome_on_the_same_design_has_the_fit_of_its_own(rows: int) -> None:
    random = np.random.default_rng(5)
    design = np.column_stack([np.ones(rows), random.integers(0, 2, size=(rows, 3))]).astype(float)
    design = np.column_stack([design, design[:, 1]]) if rows < 10_000 else design  # collinear
    one, other = random.normal(size=(2, rows))
    found = regression.with_outcome(regression.ols(design, one), other)
    expected = regression.ols(design, other)
    assert found.estimates == pytest.approx(expected.estimates, nan_ok=True)
    assert found.residuals == pytest.approx(expected.residuals)
    assert found.degrees == expected.degrees


def test_clusters_in_which_a_column_is_true_somewhere_by_hand() -> None:
    differs = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 1], [1, 0, 1]], dtype=bool)
    assert regression.clusters_moved(differs, np.array([3, 3, 0, 7])).tolist() == [2, 0, 3]
    assert regression.clusters_moved(differs[:0], np.array([], dtype=int)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("rows", [1, 2, 3, 500, 5_001])
def test_the_usual_value_is_the_one_in_the_middle(rows: int) -> None:
    random = np.random.default_rng(rows)
    design = np.column_stack([random.integers(-1, 2, size=rows), random.normal(size=rows), np.arange(rows) > rows // 2, np.arange(rows)])
    expected = [sorted(column)[rows // 2] for column in design.T.tolist()]
    assert coefficients.usual_values(design.astype(float)).tolist() == expected


def test_a_row_with_nearly_all_of_the_leverage_has_an_error_like_any_other() -> None:
    design, outcome = uneven(40, 11)
    design[0, 1] = 300.0
    fit = regression.ols(design, outcome)
    assert 0.999 < fit.leverages[0] < 1 - 1e-6
    assert regression.hc3(fit) == pytest.approx(sm.OLS(outcome, design).fit(cov_type="HC3").bse)


def test_collinear_columns_of_a_long_design_have_no_coefficients_and_leave_the_others_theirs() -> None:
    design, outcome = uneven(20_000, 8)
    doubled = np.column_stack([design, design[:, 1] / 3])
    fit = regression.ols(doubled, outcome)
    assert np.isnan(fit.estimates).tolist() == [False, True, False, True]
    assert fit.estimates[[0, 2]] == pytest.approx(sm.OLS(outcome, design).fit().params[[0, 2]])
    assert fit.degrees == 20_000 - 3
