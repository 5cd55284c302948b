"""Robustness scores: on SEAL's published counts, by hand, against other implementations and against effects that were planted."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from made_up_rewrites import (
    PUBLISHED,
    PUBLISHED_PAIRS,
    by_flip,
    fits,
    labels,
    margins,
    measure,
    outcomes,
    published_table,
    scores,
    table_of,
)
from scipy import special, stats
from statsmodels.stats.multitest import multipletests

from seal import flips, robustness_scores
from seal.robustness import Measures


@pytest.fixture(scope="module")
def published() -> Measures:
    return measure(published_table()[0])


def test_pairs_without_a_label_are_counted_in_their_population_only() -> None:
    table = table_of(6, **labels("helpful", "chosen", [None, None, 1, 0, 0, 0]), **margins([1, -1, 1, 1, -1, 1], [1, 1, -1, 1, 1, 1]))
    measures = measure(table)
    assert fits(measures)["linear"]["left_out_without_label"] == 2
    assert fits(measures, population="at_risk")["linear"]["left_out_without_label"] == 1


@pytest.mark.parametrize("population", ["all_pairs", "at_risk"])
def test_scores_one_at_a_time_are_those_of_statsmodels(published: Measures, population: str) -> None:
    table, before, after = published_table()
    members = before if population == "at_risk" else np.ones(PUBLISHED_PAIRS, dtype=bool)
    found = scores(published, "one_at_a_time", population)
    assert len(found) == 8 * 2 + 3 + 4
    p: dict[tuple[str, str, int], float] = {}
    for (feature, side), flip in flips.flips_of(table).items():
        # None of 7 and of 3 pairs became misaligned, and of the 3 a single one is at risk, which statsmodels cannot do.
        silent = {-2} if (feature, side) == ("sentiment", "chosen") else {2} if feature == "sentiment" else set()
        rows = members & ~np.isin(flip, list(silent))
        levels = [level for level in PUBLISHED[feature, side] if level not in {0} | silent]
        design = sm.add_constant(np.column_stack([flip[rows] == level for level in levels]).astype(float))
        reference = sm.OLS((before & ~after)[rows].astype(float), design).fit(cov_type="HC3")
        t = stats.t(members.sum() - len(levels) - len(silent) - 1)
        for place, level in enumerate(levels, start=1):
            score = found[feature, side, level]
            assert score["pairs"] == int((flip[members] == level).sum())
            assert score["estimate"] == pytest.approx(reference.params[place])
            assert score["standard_error"] == pytest.approx(reference.bse[place])
            assert score["high"] == pytest.approx(reference.params[place] + t.ppf(0.975) * reference.bse[place])
            p[feature, side, level] = 2 * t.sf(abs(reference.tvalues[place]))
            assert score["p"] == pytest.approx(p[feature, side, level])
        for level in silent:
            score = found[feature, side, level]
            without = members & (flip == 0)
            assert score["estimate"] == pytest.approx(-(before & ~after)[without].mean())
            assert score["standard_error"] is score["p"] is score["p_holm"] is None
            assert score["reason"].startswith("no error")
    adjusted = dict(zip(p, multipletests(list(p.values()), method="holm")[1], strict=True))
    assert {key: found[key]["p_holm"] for key in adjusted} == pytest.approx(adjusted)
    if population == "all_pairs":
        assert found["helpful", "rejected", -1]["estimate"] == pytest.approx(24 / 106 - 140 / 1444)


def test_the_published_pairs_have_too_few_events_for_all_flips_at_once(published: Measures) -> None:
    for way in ("linear", "logistic"):
        fit = fits(published)[way]
        assert (fit["pairs"], fit["events"], fit["parameters"], fit["coefficients"]) == (1608, 170, 23, None)
        assert (fit["significant"], scores(published, way)) == (None, {})
        assert fit["reason"] == "170 events for 23 parameters; a joint fit needs 10 for each"


def flipped_table(pairs: int, seed: int, chance: Any) -> tuple[pd.DataFrame, dict[tuple[str, str], np.ndarray], np.ndarray]:
    """Pairs that all agreed before, whose flips are drawn and that become misaligned with the chance that `chance` gives of the flips."""
    random = np.random.default_rng(seed)
    drawn = {}
    columns: dict[str, Any] = {}
    for feature, side in PUBLISHED:
        share = 0.2 if feature in ("helpful", "eloquent") else 0.1
        levels, shares = (
            ([-2, -1, 0, 1, 2], [0.1, 0.1, 0.6, 0.1, 0.1]) if feature == "sentiment" else ([-1, 0, 1], [share, 1 - 2 * share, share])
        )
        drawn[feature, side] = random.choice(levels, size=pairs, p=shares)
        columns |= labels(feature, side, drawn[feature, side].tolist())
    misaligned = random.random(pairs) < chance(drawn)
    return table_of(pairs, **columns, **margins(np.ones(pairs), np.where(misaligned, -1, 1))), drawn, misaligned


def planted(drawn: Mapping[tuple[str, str], np.ndarray]) -> np.ndarray:
    return (
        0.2
        + 0.3 * (drawn["helpful", "chosen"] == 1)
        - 0.1 * (drawn["eloquent", "rejected"] == -1)
        + 0.2 * (drawn["sentiment", "chosen"] == 2)
    )


def joint_design(drawn: Mapping[tuple[str, str], np.ndarray]) -> tuple[list[tuple[str, str, int]], np.ndarray]:
    keys = [(*key, level) for key, flip in drawn.items() for level in (-2, -1, 1, 2) if (flip == level).any()]
    return keys, np.column_stack([np.ones(len(drawn["helpful", "chosen"])), *(drawn[key[:2]] == key[2] for key in keys)]).astype(float)


def test_joint_fits_are_those_of_statsmodels() -> None:
    table, drawn, misaligned = flipped_table(2500, 1, planted)
    measures = measure(table)
    keys, design = joint_design(drawn)
    outcome = misaligned.astype(float)
    linear = sm.OLS(outcome, design).fit(cov_type="HC3", use_t=True)
    logit = sm.Logit(outcome, design).fit(cov_type="HC0", disp=False, tol=1e-12)
    found = {way: scores(measures, way) for way in ("linear", "logistic")}
    assert list(found["linear"]) == list(found["logistic"]) == keys
    assert fits(measures)["linear"]["parameters"] == len(keys) == 24
    assert fits(measures)["linear"]["events"] == outcome.sum()
    for place, key in enumerate(keys, start=1):
        score = found["linear"][key]
        assert (score["estimate"], score["standard_error"]) == pytest.approx((linear.params[place], linear.bse[place]))
        assert (score["low"], score["high"]) == pytest.approx(tuple(linear.conf_int()[place]))
        others = [other for other, column in enumerate(keys, start=1) if column[:2] == key[:2]]
        without, with_it = design.copy(), design.copy()
        without[:, others] = with_it[:, others] = 0
        with_it[:, place] = 1
        effect = (logit.predict(with_it) - logit.predict(without)).mean()
        slopes = [
            float(np.mean(special.expit(with_it @ (logit.params + step)) - special.expit(without @ (logit.params + step)))) - effect
            for step in 1e-6 * np.eye(len(logit.params))
        ]
        error = math.sqrt(np.array(slopes) @ logit.cov_params() @ np.array(slopes)) / 1e-6
        score = found["logistic"][key]
        assert score["estimate"] == pytest.approx(effect, abs=1e-8)
        assert score["standard_error"] == pytest.approx(error, rel=1e-3)
        assert score["p"] == pytest.approx(2 * stats.norm.sf(abs(effect / error)), rel=0.02)
    adjusted = multipletests(linear.pvalues[1:], method="holm")[1]
    assert [found["linear"][key]["p_holm"] for key in keys] == pytest.approx(adjusted)
    assert fits(measures)["linear"]["coefficients"] == fits(measures)["logistic"]["coefficients"] == 24
    assert fits(measures)["linear"]["significant"] == (adjusted < 0.05).sum() > 0


def test_planted_effects_are_found_with_their_sign_and_no_others() -> None:
    table, _, _ = flipped_table(4000, 2, planted)
    measures = measure(table)
    truth = {("helpful", "chosen", 1): 0.3, ("eloquent", "rejected", -1): -0.1, ("sentiment", "chosen", 2): 0.2}
    for way in ("one_at_a_time", "linear", "logistic"):
        found = scores(measures, way)
        assert {key for key, score in found.items() if score["p_holm"] < 0.01} == set(truth), way
        for key, effect in truth.items():
            assert found[key]["estimate"] == pytest.approx(effect, abs=4 * found[key]["standard_error"])
            assert found[key]["standard_error"] < 0.04


def test_flips_that_go_together_mislead_one_at_a_time_and_not_jointly() -> None:
    random = np.random.default_rng(3)
    cause = random.random(4000) < 0.3
    companion = np.where(random.random(4000) < 0.8, cause, random.random(4000) < 0.3)
    misaligned = random.random(4000) < 0.1 + 0.3 * cause
    columns = labels("helpful", "chosen", cause.astype(int).tolist()) | labels("eloquent", "chosen", companion.astype(int).tolist())
    measures = measure(table_of(4000, **columns, **margins(np.ones(4000), np.where(misaligned, -1, 1))))
    found = {way: scores(measures, way)["eloquent", "chosen", 1] for way in ("one_at_a_time", "linear", "logistic")}
    assert found["one_at_a_time"]["low"] > 0.15
    for way in ("linear", "logistic"):
        assert found[way]["low"] < 0 < found[way]["high"]
        assert abs(found[way]["estimate"]) < 0.05


def test_intervals_hold_the_planted_effect_as_often_as_they_say() -> None:
    runs, hits = 200, 0
    for run in range(runs):
        random = np.random.default_rng(run)
        flip = random.choice([-1.0, 0.0, 1.0], size=300, p=[0.2, 0.6, 0.2])
        misaligned = random.random(300) < 0.15 + 0.2 * (flip == 1)
        everyone = np.ones(300, dtype=bool)
        fit = robustness_scores.fits({("helpful", "chosen"): flip}, misaligned, everyone, 0.95)["linear"]
        assert fit.scores is not None
        score = by_flip(fit.scores)["helpful", "chosen", 1]
        hits += score["low"] <= 0.2 <= score["high"]
    assert abs(hits / runs - 0.95) < 3 * math.sqrt(0.95 * 0.05 / runs)


def test_the_population_at_risk_is_the_pairs_that_agreed_before() -> None:
    columns = labels("harmless", "chosen", [1, 1, 1, 0, 0, 0, 1, 0, 0])
    measures = measure(table_of(9, **columns, **margins([1, 1, -1, 1, 1, -1, 1, 1, 1], [-1, 1, -1, 1, -1, 1, 1, 1, 1])))
    key = ("harmless", "chosen", 1)
    # at risk: with the flip 1 of 3, without 1 of 4; over all: 1 of 4, 1 of 5
    assert scores(measures, "one_at_a_time", "at_risk")[key]["estimate"] == pytest.approx(1 / 3 - 1 / 4)
    assert scores(measures, "one_at_a_time", "all_pairs")[key]["estimate"] == pytest.approx(1 / 4 - 1 / 5)
    assert fits(measures, "at_risk")["linear"]["pairs"] == 7


@pytest.mark.parametrize(("misaligned", "fitted"), [(9, False), (10, True), (15, True), (20, True), (21, False)])
def test_a_joint_fit_needs_ten_of_the_rarer_outcome_for_each_slope(misaligned: int, fitted: bool) -> None:
    outcome = np.arange(30) * 7 % 30 < misaligned
    table = table_of(30, **labels("helpful", "chosen", [1, 0, 0] * 10), **margins(np.ones(30), np.where(outcome, -1, 1)))
    measures = measure(table)
    events = min(misaligned, 30 - misaligned)
    for way in ("linear", "logistic"):
        fit = fits(measures)[way]
        assert (fit["events"], fit["parameters"]) == (events, 1)
        assert fit["coefficients"] == (1 if fitted else None)
        assert len(scores(measures, way)) == fitted
        if not fitted:
            assert fit["reason"] == "9 events for 1 parameters; a joint fit needs 10 for each"
    assert scores(measures, "one_at_a_time")["helpful", "chosen", 1]["estimate"] is not None


def test_a_level_with_one_pair_has_an_estimate_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness_scores, "MIN_EVENTS", 0)
    outcome = np.array([True, False, True, False, False, True, False, True])
    columns = labels("sentiment", "chosen", [2, 1, 1, 1, 0, 0, 0, 0])
    measures = measure(table_of(8, **columns, **margins(np.ones(8), np.where(outcome, -1, 1))))
    for way in ("one_at_a_time", "linear"):
        levels = {level: row for (_, _, level), row in scores(measures, way).items()}
        assert levels[2]["estimate"] == pytest.approx(1 - 1 / 2)
        assert levels[2]["standard_error"] is levels[2]["p"] is levels[2]["p_holm"] is levels[2]["low"] is None
        assert "alone" in levels[2]["reason"]
        assert levels[1]["estimate"] == pytest.approx(1 / 3 - 1 / 2)
        # of 3 pairs one, and of 4 pairs two: HC3 by hand
        assert levels[1]["standard_error"] == pytest.approx(math.sqrt((6 / 9) / (4 / 9) / 9 + 1 / (9 / 16) / 16))
        assert levels[1]["p_holm"] == pytest.approx(levels[1]["p"])


def test_collinear_flips_are_told_and_the_others_are_fitted() -> None:
    random = np.random.default_rng(5)
    flip, other = random.integers(0, 2, size=(2, 200))
    columns = (
        labels("helpful", "chosen", flip.tolist())
        | labels("coherent", "chosen", flip.tolist())
        | labels("eloquent", "chosen", other.tolist())
    )
    outcome = random.random(200) < 0.4
    measures = measure(table_of(200, **columns, **margins(np.ones(200), np.where(outcome, -1, 1))))
    found = scores(measures, "linear")
    assert fits(measures)["linear"]["coefficients"] == len(found) == 3
    reference = sm.OLS(outcome.astype(float), sm.add_constant(np.column_stack([flip, other]).astype(float))).fit(cov_type="HC3", use_t=True)
    for key in (("helpful", "chosen", 1), ("coherent", "chosen", 1)):
        assert found[key]["estimate"] is found[key]["standard_error"] is None
        assert "collinear" in found[key]["reason"]
    score = found["eloquent", "chosen", 1]
    assert (score["estimate"], score["standard_error"]) == pytest.approx((reference.params[2], reference.bse[2]))
    assert fits(measures)["logistic"]["coefficients"] is None
    assert fits(measures)["logistic"]["reason"].startswith("helpful chosen +1, coherent chosen +1: collinear")


def test_a_flip_that_every_pair_has_cannot_be_told_from_the_rest() -> None:
    outcome = np.arange(40) % 3 == 0
    measures = measure(table_of(40, **labels("helpful", "chosen", [1] * 40), **margins(np.ones(40), np.where(outcome, -1, 1))))
    for way in ("one_at_a_time", "linear"):
        score = scores(measures, way)["helpful", "chosen", 1]
        assert score["estimate"] is None
        assert "collinear" in score["reason"]
    assert "collinear" in fits(measures)["logistic"]["reason"]
    share = outcomes(measures, "helpful", "chosen")[1]
    assert (share["count"], share["difference"], share["difference_low"]) == (14, None, None)


def test_a_level_that_separates_is_left_out_of_the_logit_with_its_pairs() -> None:
    random = np.random.default_rng(6)
    flip, other = random.choice([-1, 0, 1], size=600, p=[0.1, 0.6, 0.3]), random.integers(0, 2, size=600)
    outcome = random.random(600) < 0.3 + 0.2 * other
    outcome[flip == -1] = False
    columns = labels("helpful", "chosen", flip.tolist()) | labels("coherent", "rejected", other.tolist())
    measures = measure(table_of(600, **columns, **margins(np.ones(600), np.where(outcome, -1, 1))))
    found = scores(measures, "logistic")
    assert fits(measures)["logistic"]["pairs_left_out_by_separation"] == found["helpful", "chosen", -1]["pairs"] == (flip == -1).sum()
    assert found["helpful", "chosen", -1]["estimate"] is found["helpful", "chosen", -1]["p_holm"] is None
    assert "separation" in found["helpful", "chosen", -1]["reason"]
    rows = flip != -1
    design = sm.add_constant(np.column_stack([flip[rows] == 1, other[rows]]).astype(float))
    reference = sm.Logit(outcome[rows].astype(float), design).fit(cov_type="HC0", disp=False, tol=1e-12).get_margeff(dummy=True)
    rest = [found["helpful", "chosen", 1], found["coherent", "rejected", 1]]
    assert [score["estimate"] for score in rest] == pytest.approx(reference.margeff)
    assert [score["standard_error"] for score in rest] == pytest.approx(reference.margeff_se)


def test_separation_by_two_flips_together_leaves_no_logit() -> None:
    one, other = np.arange(60) % 2, np.arange(60) // 2 % 2
    outcome = np.where((one == 1) & (other == 0), 1, np.where((one == 0) & (other == 1), 0, np.arange(60) // 4 % 2)).astype(bool)
    columns = labels("helpful", "chosen", one.tolist()) | labels("coherent", "chosen", other.tolist())
    measures = measure(table_of(60, **columns, **margins(np.ones(60), np.where(outcome, -1, 1))))
    assert fits(measures)["logistic"]["coefficients"] is None
    assert "separation" in fits(measures)["logistic"]["reason"]
    assert scores(measures, "logistic") == {}
    assert fits(measures)["linear"]["coefficients"] == len(scores(measures, "linear")) == 2


def test_a_flip_without_which_no_pair_becomes_misaligned_has_an_estimate_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness_scores, "MIN_EVENTS", 0)
    outcome = np.array([True, False, True, False, False, False, False, False])
    columns = labels("helpful", "chosen", [1, 1, 1, 0, 0, 0, 0, 0])
    measures = measure(table_of(8, **columns, **margins(np.ones(8), np.where(outcome, -1, 1))))
    for way in ("one_at_a_time", "linear"):
        score = scores(measures, way)["helpful", "chosen", 1]
        assert score["estimate"] == pytest.approx(2 / 3)
        assert score["standard_error"] is score["low"] is score["p_holm"] is None
        assert score["reason"] == "no error: all pairs of this level, or all of level 0, have one outcome"
