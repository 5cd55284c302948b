"""Coefficients in spite of a labeler's errors: against statsmodels, against the equations solved another way, and on planted truth."""

import hashlib
import math
import sys

import numpy as np
import pytest
import statsmodels.api as sm
from conftest import ROOT
from scipy import optimize
from statsmodels.sandbox.regression.gmm import IV2SLS

from seal import rectified, regression

sys.path.insert(0, str(ROOT / "benchmarks"))
import imprint_coverage as coverage

SMALL = coverage.Setup(pairs=600, prompts=200, gold=150, by_length=False)


@pytest.fixture(scope="module")
def small() -> coverage.Planted:
    """Few pairs, in clusters, with gold of a quarter."""
    return coverage.planted(SMALL, 3)


def corrected(data: coverage.Planted, tuning: float | None = None, probability: float = 0.25) -> rectified.Rectified:
    found = rectified.rectified(data.labels, data.gold, data.margins, data.known, probability, data.prompts, tuning)
    assert found is not None
    return found


# --- which gold is taken ---


def test_a_draw_is_that_of_the_hash_and_of_no_other_pair() -> None:
    row_ids = np.array([5, 900, 17, 3, 44])
    first = [int(hashlib.sha256(f"gold-share\n7\n{row}".encode()).hexdigest()[:16], 16) / 2**64 for row in row_ids]
    assert rectified.drawn(row_ids, 0.5, 7).tolist() == [value < 0.5 for value in first]
    assert rectified.drawn(row_ids[::-1], 0.5, 7).tolist() == [value < 0.5 for value in first[::-1]]


def test_draws_have_their_share_grow_with_it_and_change_with_the_seed() -> None:
    row_ids = np.arange(20_000)
    fifth, half, other = (rectified.drawn(row_ids, share, seed) for share, seed in ((0.2, 1), (0.5, 1), (0.2, 2)))
    assert abs(fifth.mean() - 0.2) < 4 * math.sqrt(0.16 / 20_000)
    assert (half | ~fifth).all()
    assert abs((fifth & other).mean() - 0.04) < 4 * math.sqrt(0.04 / 20_000)
    assert rectified.drawn(row_ids, 1.0, 1).all()


# --- against other ways to the same figures ---


@pytest.mark.parametrize("probability", [0.25, 0.9])
def test_without_labels_it_is_least_squares_on_the_pairs_with_gold(small: coverage.Planted, probability: float) -> None:
    found = corrected(small, tuning=0.0, probability=probability)
    known = small.known
    groups = {"groups": small.prompts[known]}
    reference = sm.OLS(small.margins[known], small.gold[known]).fit(cov_type="cluster", cov_kwds=groups, use_t=True)
    assert found.estimates == pytest.approx(reference.params)
    assert found.covariance == pytest.approx(reference.cov_params())
    assert found.degrees.tolist() == [len(set(small.prompts[known & (column != 0)])) - 1 for column in small.gold.T]


@pytest.mark.parametrize("tuning", [None, 0.0, 0.4, 1.0])
def test_with_gold_of_all_pairs_labels_count_for_nothing(small: coverage.Planted, tuning: float | None) -> None:
    found = corrected(small._replace(known=np.ones(600, dtype=bool)), tuning, probability=1.0)
    reference = sm.OLS(small.margins, small.gold).fit(cov_type="cluster", cov_kwds={"groups": small.prompts})
    assert found.estimates == pytest.approx(reference.params)
    assert found.covariance == pytest.approx(reference.cov_params())


def moments(data: coverage.Planted, estimates: np.ndarray, tuning: float, probability: float = 0.25) -> np.ndarray:
    """What each pair adds to the equations, [pairs, 6], one pair after the other."""
    added = []
    for labels, gold, margin, known in zip(data.labels, data.gold, data.margins, data.known, strict=True):
        from_labels = labels * (margin - labels @ estimates)
        rectifier = (gold * (margin - gold @ estimates) - tuning * from_labels) / probability if known else 0.0
        added.append(tuning * from_labels + rectifier)
    return np.array(added)


@pytest.mark.parametrize("tuning", [0.3, 1.0])
def test_the_estimates_solve_the_equations_and_the_errors_are_those_of_their_linearisation(small: coverage.Planted, tuning: float) -> None:
    found = corrected(small, tuning)
    root = optimize.root(lambda estimates: moments(small, estimates, tuning).mean(axis=0), np.zeros(6), tol=1e-10)
    assert found.estimates == pytest.approx(root.x, abs=1e-7)
    steps = 0.5 * np.eye(6)  # the equations are linear, so that a step of any size gives their slope
    slope = np.array(
        [moments(small, root.x + step, tuning).sum(axis=0) - moments(small, root.x - step, tuning).sum(axis=0) for step in steps]
    )
    inverse = np.linalg.inv(slope.T)
    middle = np.zeros((6, 6))
    added = moments(small, root.x, tuning)
    for prompt in np.unique(small.prompts):
        total = added[small.prompts == prompt].sum(axis=0)
        middle += np.outer(total, total)
    rows, groups = small.known.sum(), len(np.unique(small.prompts[small.known]))
    factor = groups / (groups - 1) * (rows - 1) / (rows - 6)
    assert found.covariance == pytest.approx(factor * inverse @ middle @ inverse.T, rel=1e-5)


def test_the_tuning_makes_the_sum_of_the_variances_least(small: coverage.Planted) -> None:
    start = corrected(small, tuning=0.0).estimates
    inverse = np.linalg.inv(small.gold[small.known].T @ small.gold[small.known])

    def trace(tuning: float) -> float:
        added = moments(small, start, tuning) @ inverse
        return sum(float(np.square(added[small.prompts == prompt].sum(axis=0)).sum()) for prompt in np.unique(small.prompts))

    best = optimize.minimize_scalar(trace, bounds=(0, 1), method="bounded", options={"xatol": 1e-8}).x
    assert 0.1 < best < 0.9
    assert corrected(small).tuning == pytest.approx(best, abs=1e-5)


def test_perfect_labels_count_in_full_and_labels_of_chance_hardly() -> None:
    data = coverage.planted(coverage.SETUPS["random errors"], 4)
    probability = 800 / 20_000
    perfect = corrected(data._replace(labels=data.gold), probability=probability)
    assert perfect.tuning > 0.9
    everything = sm.OLS(data.margins, data.gold).fit(cov_type="cluster", cov_kwds={"groups": data.prompts})
    assert np.sqrt(np.diag(perfect.covariance)) == pytest.approx(everything.bse, rel=0.15)
    shuffled = np.random.default_rng(1).permutation(data.labels)
    chance = corrected(data._replace(labels=shuffled), probability=probability)
    assert chance.tuning < 0.1
    assert corrected(data, probability=probability).tuning > 0.3


def test_gold_that_leaves_a_coefficient_open_gives_none(small: coverage.Planted) -> None:
    silent = small.gold.copy()
    silent[small.known, 2] = 0
    doubled = small.gold.copy()
    doubled[:, 3] = doubled[:, 1]
    for gold in (silent, doubled):
        assert rectified.rectified(small.labels, gold, small.margins, small.known, 0.25, small.prompts) is None


def test_gold_where_it_is_not_known_is_not_looked_at(small: coverage.Planted) -> None:
    hidden = np.where(small.known[:, None], small.gold, np.nan)
    assert corrected(small._replace(gold=hidden)).estimates.tolist() == corrected(small).estimates.tolist()


# --- planted truth ---

RUNS = 150


@pytest.mark.parametrize("name", ["random errors", "errors by length"])
def test_corrected_intervals_hold_the_planted_coefficients_and_naive_ones_do_not(name: str) -> None:
    found = coverage.repeated(coverage.SETUPS[name], RUNS)
    naive, corrected = found.coverage
    planted = coverage.TRUTH != 0
    assert (naive[planted] < 0.5).all(), naive
    error = math.sqrt(0.95 * 0.05 / RUNS)
    assert 0.93 <= corrected.mean() <= 0.97, corrected
    assert (np.abs(corrected - 0.95) <= 3 * error).all(), corrected
    assert np.abs(found.bias[1]).max() < 0.02 * np.abs(coverage.TRUTH).max(), found.bias[1]
    # every planted coefficient comes out too near to zero, the largest of them by more than a fifth
    assert (np.abs(coverage.TRUTH + found.bias[0]) < np.abs(coverage.TRUTH))[planted].all(), found.bias[0]
    assert found.bias[0][0] < -0.2


# --- the bracket of two labelers ---


def two_labelers(seed: int, together: bool, pairs: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels by two labelers that are wrong on texts of their own, or both on the same ones; margins; opening prompts."""
    random = np.random.default_rng(seed)
    features = random.random((2, pairs, len(coverage.TRUTH))) < coverage.SHARES
    wrong = [random.random(features.shape) < chance for chance in (0.12, 0.16)]
    if together:
        wrong[1] = wrong[0] | (random.random(features.shape) < 0.05)
    labels, control = ((features ^ each).astype(float) for each in wrong)
    margins = (features[0].astype(float) - features[1]) @ coverage.TRUTH + random.normal(size=pairs)
    return labels[0] - labels[1], control[0] - control[1], margins, random.integers(pairs // 2, size=pairs)


def test_errors_of_two_labelers_that_are_independent_leave_the_truth_in_the_bracket() -> None:
    labels, control, margins, prompts = two_labelers(1, together=False)
    found = rectified.bracket(labels, control, margins, prompts)
    assert found is not None
    far = np.where(found.nearer == 0, found.by_control.estimates, found.by_labeler.estimates)
    size = np.abs(coverage.TRUTH)
    planted = size > 0
    assert (found.first_stage > 100).all()
    # by theory least squares gives about 0.76 of each, or less, and the labeler that errs on 12 % of the texts 1 / 0.76 of it
    assert (np.abs(found.least_squares.estimates)[planted] < 0.85 * size[planted]).all()
    assert (np.abs(far)[planted] > size[planted]).all()
    assert far[:3] == pytest.approx(coverage.TRUTH[:3] / 0.76, abs=0.1)  # errors are about 0.03
    assert found.by_labeler.estimates[:3] == pytest.approx(coverage.TRUTH[:3] / 0.68, abs=0.12)
    assert (found.nearer[:3] == 0).all()


def test_errors_that_two_labelers_share_leave_the_truth_outside_the_bracket() -> None:
    labels, control, margins, prompts = two_labelers(1, together=True)
    found = rectified.bracket(labels, control, margins, prompts)
    assert found is not None
    far = np.where(found.nearer == 0, found.by_control.estimates, found.by_labeler.estimates)
    assert (np.abs(far[:3]) < 0.95 * np.abs(coverage.TRUTH[:3])).all()


def test_the_ends_of_the_bracket_are_those_of_statsmodels() -> None:
    labels, control, margins, prompts = two_labelers(2, together=False, pairs=500)
    found = rectified.bracket(labels, control, margins, prompts)
    assert found is not None
    assert found.least_squares.estimates == pytest.approx(sm.OLS(margins, labels).fit().params)
    assert found.by_control.estimates == pytest.approx(IV2SLS(margins, labels, control).fit().params)
    assert found.by_labeler.estimates == pytest.approx(IV2SLS(margins, control, labels).fit().params)
    smaller = np.abs(found.by_labeler.estimates) < np.abs(found.by_control.estimates)
    assert found.nearer.tolist() == smaller.astype(int).tolist()
    assert found.first_stage[0] == pytest.approx(regression.first_stage_f(labels, control, found.by_control, prompts))
    assert found.first_stage[1] == pytest.approx(regression.first_stage_f(control, labels, found.by_labeler, prompts))


def test_a_second_labeler_that_guesses_is_a_weak_instrument() -> None:
    labels, control, margins, prompts = two_labelers(3, together=False, pairs=1000)
    guesses = control.copy()
    guesses[:, 1] = np.random.default_rng(1).permutation(control[:, 1])
    found = rectified.bracket(labels, guesses, margins, prompts)
    assert found is not None
    assert found.nearer[1] == -1
    assert (found.nearer[[0, 2, 3, 4, 5]] >= 0).all()
    assert rectified.bracket(labels, np.column_stack([control[:, :5], control[:, 0]]), margins, prompts) is None
