"""Feature imprint: by hand, against statsmodels, on planted truth, and what is said where a figure cannot be had."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import special, stats
from statsmodels.stats.multitest import multipletests

from seal import imprint, rectified, taxonomy
from seal.errors import InputError
from seal.features import BOOLEANS, FEATURES, LISTS, SENTIMENT
from seal.imprint import Report
from seal.imprint import coefficients as imprint_coefficients
from seal.imprint import columns as imprint_columns
from seal.imprint.coefficients import Rewards
from seal.imprint.columns import Column, Columns, Sides
from seal.imprint.corrected import Gold

PAIRS, PROMPTS = 400, 150
TRUTH = {"last_response_is_helpful": 1.0, "last_response_is_harmless": 0.6, "last_response_is_eloquent": 0.0, SENTIMENT: -0.3}
NAMES = list(TRUTH)


def columns(names: list[str] = NAMES, **aims: str) -> Columns:
    return Columns([Column(name, name, None, aims.get(name, "other")) for name in names], {})


def made(pairs: int = PAIRS, prompts: int = PROMPTS, seed: int = 1) -> tuple[Sides, Rewards, np.ndarray]:
    """Features, rewards that they earn, and opening prompts that share a taste for the first feature."""
    random = np.random.default_rng(seed)
    sides = [(random.random((pairs, len(NAMES))) < (0.5, 0.7, 0.3, 0.4)).astype(float) for _ in range(2)]
    for side in sides:
        side[:, 3] *= random.choice([-1, 1], size=pairs)
    openings = np.sort(random.integers(prompts, size=pairs)).astype(str).astype(object)
    taste = random.normal(scale=0.5, size=prompts)[openings.astype(int)]
    base = random.normal(size=pairs)
    chosen, rejected = (base + side @ list(TRUTH.values()) + taste * side[:, 0] + random.normal(size=pairs) for side in sides)
    return Sides(*sides), Rewards(chosen + 0.4, rejected), openings


def report(sides: Sides, rewards: Rewards, openings: np.ndarray, named: Columns | None = None, **more: Any) -> Report:
    chosen = named or columns()
    found = imprint.report(np.arange(len(openings)) * 3, openings, rewards, chosen, sides, more.pop("level", 0.95), 10.0, **more)
    assert list(found.coefficients.columns) == list(imprint_coefficients.COLUMNS)
    rows = found.coefficients.to_dict("records")
    cells = [value for row in rows for value in row.values() if isinstance(value, float)]
    assert all(math.isfinite(value) or math.isnan(value) for value in cells)  # pandas writes None as NaN, and both as an empty cell
    json.dumps(found.figures, allow_nan=False, default=lambda value: value.item())
    return found


def rows(found: Report, estimator: str, errors: str = imprint_coefficients.BY_PROMPT) -> pd.DataFrame:
    table = found.coefficients
    return table[(table["estimator"] == estimator) & (table["errors"] == errors)].set_index("feature")


def clustered(outcome: np.ndarray, design: np.ndarray, groups: np.ndarray) -> Any:
    return sm.OLS(outcome, design).fit(cov_type="cluster", cov_kwds={"groups": pd.factorize(groups)[0]}, use_t=True)


def degrees_of(reference: Any) -> np.ndarray:
    """Degrees of freedom of each coefficient of a fit; where errors are clustered, the groups in which its column differs, less one."""
    groups, design = reference.cov_kwds.get("groups"), np.asarray(reference.model.exog)
    if groups is None:
        return np.full(design.shape[1], reference.df_resid)
    with_intercept = (design[:, 0] == 1).all()
    usual = np.sort(design, axis=0)[len(design) // 2] if with_intercept else 0
    differing = [len(set(groups[column])) for column in (design != usual).T]
    return np.array([len(set(groups)), *differing[1:]] if with_intercept else differing) - 1


def same(table: pd.DataFrame, names: list[str], reference: Any, places: list[int]) -> None:
    """Estimates, errors, intervals and p of these features are those of these places of a fit."""
    found = table.loc[names]
    estimates, errors = (np.asarray(values)[places] for values in (reference.params, reference.bse))
    assert found["estimate"].to_numpy(dtype=float) == pytest.approx(estimates)
    assert found["standard_error"].to_numpy(dtype=float) == pytest.approx(errors)
    t = stats.t(degrees_of(reference)[places])
    assert found["low"].to_numpy(dtype=float) == pytest.approx(estimates - t.ppf(0.975) * errors)
    assert found["high"].to_numpy(dtype=float) == pytest.approx(estimates + t.ppf(0.975) * errors)
    assert found["p"].to_numpy(dtype=float) == pytest.approx(2 * t.sf(np.abs(estimates / errors)))


# --- from labels to numbers ---


def labels_of(texts: list[tuple[int, str, dict[str, Any]]]) -> pd.DataFrame:
    base: dict[str, Any] = dict.fromkeys(BOOLEANS, False) | {feature: [] for feature in LISTS} | {SENTIMENT: "neutral"}
    return taxonomy.table([(row, side, "text", base | labels) for row, side, labels in texts])


def test_labels_become_numbers_in_the_order_of_the_pairs() -> None:
    labels = labels_of(
        [
            (7, "chosen", {"last_response_is_helpful": True, SENTIMENT: "negative", "topics": ["People and self"]}),
            (7, "rejected", {SENTIMENT: "positive", "topics": ["Human activities", "People and self"]}),
            (2, "rejected", {"last_response_is_helpful": True}),
        ]
    )
    wanted = [
        Column("last_response_is_helpful", "last_response_is_helpful", None, "target"),
        Column(SENTIMENT, SENTIMENT, None, "other"),
        Column("topics: Human activities", "topics", "Human activities", "other"),
    ]
    sides = imprint_columns.sides(labels, np.array([7, 2, 5]), wanted)
    nan = math.nan
    assert sides.chosen.tolist()[0] == [1, -1, 0]
    assert np.isnan(sides.chosen[1:]).all()
    assert sides.rejected[:2].tolist() == [[0, 1, 1], [1, 0, 0]]
    assert np.array_equal(sides.differences[0], [1, -2, -1], equal_nan=True)
    assert np.array_equal(sides.differences[1], [nan] * 3, equal_nan=True)
    assert sides.known.tolist() == [True, False, False]


def test_each_feature_is_a_column_or_left_out_for_a_reason() -> None:
    labelled = [feature for feature in FEATURES if feature != "last_response_is_refusal"]
    found = imprint_columns.columns(labelled, ["last_response_is_helpful"], ["topics"], ["topics"])
    names = [column.name for column in found.taken]
    assert len(names) == len(set(names)) == 16 + 12
    assert "topics: Religion and belief systems" in names
    assert {column.aim for column in found.taken if column.feature == "topics"} == {"spoiler"}
    assert {column.name: column.aim for column in found.taken}["last_response_is_helpful"] == "target"
    assert {column.name: column.aim for column in found.taken}["last_response_is_honest"] == "other"
    assert found.left_out == {
        "last_response_is_refusal": "the labels do not have it",
        "last_response_is_discriminating_against": "a list that indicators does not name",
    }


def test_aims_that_contradict_each_other_or_name_a_list_are_refused() -> None:
    with pytest.raises(InputError, match="last_response_is_honest is both in target and in spoiler"):
        imprint_columns.columns(FEATURES, ["last_response_is_honest"], ["last_response_is_honest"], [])
    with pytest.raises(InputError, match=r"topics is a list .* name it in indicators too"):
        imprint_columns.columns(FEATURES, [], ["topics"], [])


# --- which columns are dropped ---


def design_of(*numbers: Any) -> np.ndarray:
    return np.stack([np.asarray(each, dtype=float) for each in numbers], axis=1)


def test_constant_and_collinear_columns_are_dropped_with_their_reasons() -> None:
    random = np.random.default_rng(1)
    one, two = random.choice([-1, 0, 1], size=(2, 300))
    near = np.where(random.random(300) < 0.02, -two, two)
    taken = columns(["a", "b", "c", "d", "e"]).taken
    found = imprint_columns.kept(design_of(one, two, np.zeros(300), one, near), taken, 10.0, "differs on no pair")
    assert found.places == [3, 4]
    assert list(found.dropped) == ["c", "a", "b"]
    assert found.dropped["c"] == "differs on no pair"
    assert found.dropped["a"] == "variance inflation infinite, allowed 10; most like d (correlation 1.00)"
    reference = 1 / (1 - sm.OLS(two, design_of(one, near)).fit().rsquared)
    assert reference > 10
    assert found.dropped["b"].startswith(f"variance inflation {reference:.3g}, allowed 10; most like e (correlation 0.9")
    assert imprint_columns.kept(design_of(one, two, near), taken[:3], 2 * reference, "").places == [0, 1, 2]


def test_of_two_that_are_the_same_a_target_stays() -> None:
    random = np.random.default_rng(2)
    one, two = random.choice([-1, 0, 1], size=(2, 100))
    found = imprint_columns.kept(design_of(one, two, one), columns(["a", "b", "c"], a="target").taken, 10.0, "")
    assert found.places == [0, 1]
    assert list(found.dropped) == ["c"]


def test_a_spoiler_stays_where_a_feature_that_nobody_asked_for_tells_nearly_the_same() -> None:
    """Though its own inflation is the larger one."""
    random = np.random.default_rng(3)
    one, two = random.choice([-1, 0, 1], size=(2, 500))
    near = np.where(random.random(500) < 0.02, two, one)
    design = design_of(near, one, two + one)
    inflations = [1 / (1 - sm.OLS(each, np.delete(design, place, axis=1)).fit().rsquared) for place, each in enumerate(design.T)]
    assert inflations[1] > inflations[0] > 10
    found = imprint_columns.kept(design, columns(["a", "b", "c"], b="spoiler").taken, 10.0, "")
    assert found.places == [1, 2]
    assert found.dropped["a"].startswith(f"variance inflation {inflations[0]:.3g}, allowed 10; most like b ")


def test_targets_and_spoilers_go_where_only_they_are_left() -> None:
    random = np.random.default_rng(2)
    one, two = random.choice([-1, 0, 1], size=(2, 100))
    found = imprint_columns.kept(design_of(one, two, one), columns(["a", "b", "c"], a="target", c="spoiler").taken, 10.0, "")
    assert (found.places, list(found.dropped)) == ([1, 2], ["a"])


# --- within the pair ---


def test_the_headline_is_the_regression_with_fixed_effects_of_pairs() -> None:
    sides, rewards, openings = made()
    found = rows(report(sides, rewards, openings), "within_pair")
    dummies = np.tile(np.eye(PAIRS), (2, 1))
    design = np.column_stack([np.concatenate(sides), dummies])
    with_dummies = sm.OLS(np.concatenate(rewards), design).fit()
    assert found["estimate"].to_numpy(dtype=float) == pytest.approx(with_dummies.params[: len(NAMES)])
    same(found, NAMES, clustered(rewards.margins, sides.differences, openings), list(range(len(NAMES))))
    assert set(found["unit"]) == {"reward"}


def test_the_intercept_is_what_being_chosen_earns_beyond_the_features() -> None:
    sides, rewards, openings = made()
    found = report(sides, rewards, openings)
    reference = clustered(rewards.margins, sm.add_constant(sides.differences), openings)
    same(rows(found, "within_pair_with_intercept"), ["intercept", *NAMES], reference, list(range(5)))
    beyond = found.figures["chosen_beyond_features"]
    assert beyond["estimate"] == pytest.approx(reference.params[0])
    assert beyond["low"] <= 0.4 <= beyond["high"]  # as planted


def test_units_of_the_reward_s_standard_deviation_are_those_of_all_its_texts() -> None:
    sides, rewards, openings = made()
    found, doubled = (report(sides, Rewards(*(factor * side for side in rewards)), openings).figures for factor in (1, 2))
    spread = np.concatenate(rewards).std()
    assert found["reward_sd"] == pytest.approx(spread)
    for name in NAMES:
        one, two = (figures["within_pair"]["features"][name] for figures in (found, doubled))
        for end in ("estimate", "low", "high"):
            in_sd = "in_sd" if end == "estimate" else f"in_sd_{end}"
            assert one[in_sd] == pytest.approx(one[end] / spread) == pytest.approx(two[in_sd])
            assert two[end] == pytest.approx(2 * one[end])


def test_p_is_adjusted_for_the_features_of_a_fit_and_for_nothing_else() -> None:
    found = report(*made())
    for estimator in ("within_pair", "within_pair_with_intercept", "pooled_published", "pooled_with_side"):
        table = rows(found, estimator).loc[NAMES]
        p = table["p"].to_numpy(dtype=float)
        for column, method in (("p_bonferroni", "bonferroni"), ("p_holm", "holm"), ("p_benjamini_hochberg", "fdr_bh")):
            if (estimator, method) == ("pooled_published", "bonferroni"):  # over the intercept and row_id, too, as SEAL's script has it
                assert table[column].to_numpy(dtype=float) == pytest.approx(np.minimum(1, (len(NAMES) + 2) * p))
            else:
                assert table[column].to_numpy(dtype=float) == pytest.approx(multipletests(p, method=method)[1])
        others = rows(found, estimator).drop(NAMES)
        assert others["p"].notna().all()
        assert others[["p_bonferroni", "p_holm", "aim"]].isna().all(axis=None)


def test_what_is_not_significant_tells_what_could_have_been_found() -> None:
    found = report(*made())
    figures = found.figures["within_pair"]
    table = rows(found, "within_pair")
    silent = [name for name in NAMES if figures["features"][name]["p_holm"] >= 0.05]
    assert silent == ["last_response_is_eloquent"]
    assert (figures["tested"], figures["significant"]) == (4, 3)
    # three of four are significant, so that the last is tested at the whole level: about 1.96 + 0.84 errors
    effect = figures["features"][silent[0]]["minimal_detectable"]
    assert effect == pytest.approx((1.96 + 0.8416) * table.loc[silent[0], "standard_error"], rel=0.01)
    assert all("minimal_detectable" not in figures["features"][name] for name in NAMES if name not in silent)


def test_shares_of_pairs_that_differ_aims_and_counts() -> None:
    sides, rewards, openings = made()
    named = columns(last_response_is_helpful="target", last_response_is_eloquent="spoiler")
    sides.chosen[5, 2] = math.nan
    found = report(sides, rewards, openings, named)
    known = np.arange(PAIRS) != 5
    assert (found.figures["pairs"], found.figures["unlabelled_pairs"]) == (PAIRS, 1)
    assert found.figures["opening_prompts"] == len(set(openings[known]))
    for place, name in enumerate(NAMES):
        differ = (sides.chosen[known, place] != sides.rejected[known, place]).mean()
        assert found.figures["within_pair"]["features"][name]["differs"] == pytest.approx(differ)
    aims = [feature["aim"] for feature in found.figures["within_pair"]["features"].values()]
    assert aims == ["target", "other", "spoiler", "other"]
    same(rows(found, "within_pair"), NAMES, clustered(rewards.margins[known], sides.differences[known], openings[known]), list(range(4)))
    assert found.figures["reward_sd"] == pytest.approx(np.concatenate(rewards).std())  # over all texts, labelled or not


def test_a_coefficient_has_the_degrees_of_freedom_of_the_prompts_in_which_its_feature_differs_by_hand() -> None:
    # 12 of 26 opening prompts, of one pair each, differ in helpful: margins 3, -1, …, mean 1, residuals 2; the others' are 2, 1, …
    helpful = np.repeat([1.0, 0.0], [12, 14])[:, None]
    margins = np.concatenate([np.tile([3.0, -1.0], 6), np.tile([2.0, 1.0], 7)])
    found = report(Sides(helpful, np.zeros((26, 1))), Rewards(margins, np.zeros(26)), np.arange(26).astype(object), columns(NAMES[:1]))
    beside = "within_pair_with_intercept"
    of_helpful, of_others = 12 * 2**2 / 12**2, 14 * 0.5**2 / 14**2
    for estimator, name, estimate, error, degrees in (
        ("within_pair", NAMES[0], 1.0, math.sqrt(26 / 25 * of_helpful), 11),
        (beside, NAMES[0], 1.0 - 1.5, math.sqrt(26 / 24 * (of_helpful + of_others)), 11),
        (beside, "intercept", 1.5, math.sqrt(26 / 24 * of_others), 25),
    ):
        row, t = rows(found, estimator).loc[name], stats.t(degrees)
        assert (row["estimate"], row["standard_error"]) == pytest.approx((estimate, error))
        assert (row["low"], row["high"]) == pytest.approx((estimate - t.ppf(0.975) * error, estimate + t.ppf(0.975) * error))
        assert row["p"] == pytest.approx(2 * t.sf(abs(estimate) / error))
        if name != "intercept":  # which is no feature that would be tested
            assert row["minimal_detectable"] == pytest.approx((t.ppf(0.975) + t.ppf(0.8)) * error)


def test_a_feature_of_few_prompts_that_earns_nothing_is_found_about_as_often_as_told() -> None:
    """450 pairs of 178 opening prompts, in 13 of which a feature differs, beside one that differs in most.

    By theory it is found in 5.8 % of the runs, since an error made of 13 residuals is a little too small, and with 177 degrees of freedom
    in 8.2 %.
    """
    random = np.random.default_rng(20)
    runs, found, usual = 2000, 0, 0
    clusters = np.repeat(np.arange(178), np.repeat([2, 3], [84, 94]))
    starts = np.flatnonzero(np.diff(clusters, prepend=-1))
    way = imprint_coefficients.Way(0.95, dict.fromkeys(NAMES[:2], "other"))
    for _ in range(runs):
        design = random.integers(-1, 2, size=(450, 2)).astype(float)
        design[:, 0] = 0
        design[starts[random.permutation(178)[:13]], 0] = random.choice([-1, 1], size=13)
        margins = random.normal(scale=0.5, size=178)[clusters] + random.normal(size=450)
        estimates = imprint_coefficients.least_squares(NAMES[:2], design, margins, clusters, "")
        row = imprint_coefficients.rows_of(estimates, way, "", "", 1.0, {})[0]
        found += row["p"] < 0.05
        usual += 2 * special.stdtr(177, -abs(row["estimate"] / row["standard_error"])) < 0.05
    error = math.sqrt(0.05 * 0.95 / runs)
    assert found / runs <= 0.05 + 3 * error, found
    assert usual / runs > 0.05 + 3 * error, usual  # by G - 1 degrees of freedom


def test_intervals_hold_what_was_planted_where_pairs_share_prompts() -> None:
    runs, hits = 200, np.zeros(len(NAMES))
    for run in range(runs):
        sides, rewards, openings = made(seed=1000 + run)
        table = rows(report(sides, Rewards(rewards.chosen - 0.4, rewards.rejected), openings), "within_pair")
        truth = np.array(list(TRUTH.values()))
        hits += (table["low"].to_numpy(dtype=float) <= truth) & (truth <= table["high"].to_numpy(dtype=float))
    error = math.sqrt(0.95 * 0.05 / runs)
    assert (np.abs(hits / runs - 0.95) <= 3 * error).all(), hits


# --- pooled, as published ---


def test_pooled_estimates_and_their_three_kinds_of_errors_are_those_of_statsmodels() -> None:
    sides, rewards, openings = made()
    found = report(sides, rewards, openings)
    both, reward = np.concatenate(sides), np.concatenate(rewards)
    row_ids = np.tile(np.arange(PAIRS) * 3.0, 2)
    side = np.repeat([1.0, 0.0], PAIRS)
    designs = {
        "pooled_published": (["intercept", "row_id"], [np.ones(2 * PAIRS), (row_ids - row_ids.mean()) / row_ids.std()]),
        "pooled": (["intercept"], [np.ones(2 * PAIRS)]),
        "pooled_with_side": (["intercept", "chosen"], [np.ones(2 * PAIRS), side]),
    }
    for estimator, (first, regressors) in designs.items():
        design = np.column_stack([*regressors, both])
        references = {
            "classical": sm.OLS(reward, design).fit(),
            "by pair": clustered(reward, design, np.tile(np.arange(PAIRS), 2)),
            "by opening prompt": clustered(reward, design, np.tile(openings, 2)),
        }
        for errors, reference in references.items():
            same(rows(found, estimator, errors), [*first, *NAMES], reference, list(range(design.shape[1])))
    plain = sm.OLS(reward, np.column_stack([np.ones(2 * PAIRS), row_ids, both])).fit()
    published = rows(found, "pooled_published", "classical").loc[NAMES]
    assert published["p"].to_numpy(dtype=float) == pytest.approx(plain.pvalues[2:])  # the unit of row_id moves nothing else


# --- change of imprint ---


def test_the_change_is_the_difference_of_two_imprints_with_an_interval_of_its_own() -> None:
    sides, aligned, openings = made()
    random = np.random.default_rng(5)
    control = Rewards(*(0.2 * reward + 0.3 * random.normal(size=PAIRS) for reward in aligned))
    found = report(sides, aligned, openings, before=control)
    change = rows(found, "change")
    after, before = (rows(report(sides, role, openings), "within_pair") for role in (aligned, control))
    assert change["estimate"].to_numpy(dtype=float) == pytest.approx((after["in_sd"] - before["in_sd"]).to_numpy(dtype=float))
    gained = aligned.margins / np.concatenate(aligned).std() - control.margins / np.concatenate(control).std()
    same(change, NAMES, clustered(gained, sides.differences, openings), list(range(4)))
    # rewards of the two roles go together, so that taking them for independent would make the errors too large
    independent = np.hypot(
        *(table["standard_error"] / role_spread for table, role_spread in zip((after, before), spreads(aligned, control), strict=True))
    )
    assert (change["standard_error"] < independent).all()
    figures = found.figures["change"]["features"][NAMES[0]]
    assert figures == {name: change.loc[NAMES[0], name] for name in ("estimate", "low", "high", "p_holm")}


def spreads(*roles: Rewards) -> list[float]:
    return [float(np.concatenate(role).std()) for role in roles]


def test_no_change_has_no_error() -> None:
    sides, rewards, openings = made()
    found = report(sides, rewards, openings, before=rewards)
    for feature in found.figures["change"]["features"].values():
        nothing = dict.fromkeys(("estimate", "low", "high", "p_holm"))
        assert feature == {**nothing, "reason": "the difference between the roles is the same for all pairs"}
    assert report(sides, rewards, openings).figures["change"] == {"features": None, "reason": "no role to start from is given"}


# --- held-out pairs alone ---


def test_held_out_pairs_alone_are_fitted_as_statsmodels_fits_them() -> None:
    sides, rewards, openings = made()
    before = made(seed=6)[1]
    held_out = openings.astype(int) % 3 == 0
    found = report(sides, rewards, openings, before=before, held_out=held_out)
    few = found.figures["held_out"]
    assert (few["pairs"], few["opening_prompts"]) == (held_out.sum(), len(set(openings[held_out])))
    design, margins, groups = sides.differences[held_out], rewards.margins[held_out], openings[held_out]
    same(rows(found, "within_pair_held_out"), NAMES, clustered(margins, design, groups), list(range(4)))
    beside = clustered(margins, sm.add_constant(design), groups)
    same(rows(found, "within_pair_with_intercept_held_out"), ["intercept", *NAMES], beside, list(range(5)))
    assert few["chosen_beyond_features"]["estimate"] == pytest.approx(beside.params[0])
    spread, spread_before = spreads(rewards, before)  # over all texts, held out or not, so that the figures have the unit of the others
    gained = margins / spread - before.margins[held_out] / spread_before
    same(rows(found, "change_held_out"), NAMES, clustered(gained, design, groups), list(range(4)))
    table = rows(found, "within_pair_held_out")
    for name, feature in few["within_pair"]["features"].items():
        assert feature["estimate"] == table.loc[name, "estimate"]
        assert feature["in_sd"] == pytest.approx(feature["estimate"] / spread)
        assert feature["differs"] == pytest.approx((design[:, NAMES.index(name)] != 0).mean())
        assert few["change"]["features"][name]["estimate"] == rows(found, "change_held_out").loc[name, "estimate"]


def test_what_a_model_remembers_of_its_training_pairs_is_not_in_the_held_out_figures() -> None:
    """Of the pairs that it was trained on it has learnt by heart which text was chosen, and of features only what the others show, too."""
    sides, rewards, openings = made()
    held_out = openings.astype(int) % 2 == 0
    remembered = Rewards(rewards.chosen - 0.4 + 3.0 * ~held_out, rewards.rejected)
    found = report(sides, remembered, openings, held_out=held_out).figures
    beyond, beyond_few = (of["chosen_beyond_features"] for of in (found, found["held_out"]))
    assert beyond["low"] > 1.0
    assert beyond_few["low"] < 0 < beyond_few["high"] < 0.5
    misled, planted = (of["within_pair"]["features"]["last_response_is_helpful"] for of in (found, found["held_out"]))
    assert planted["low"] < TRUTH["last_response_is_helpful"] < planted["high"]
    assert misled["p_holm"] < 0.05


def test_held_out_pairs_without_labels_and_columns_that_only_they_lack_are_left_out_and_told() -> None:
    sides, rewards, openings = made()
    held_out = openings.astype(int) % 2 == 0
    sides.chosen[:40] = math.nan
    for side in sides:
        side[held_out, 2] = 0.0
    found = report(sides, rewards, openings, held_out=held_out).figures
    few = found["held_out"]
    assert few["pairs"] == held_out[40:].sum()
    assert few["dropped"] == {"last_response_is_eloquent": "differs on none of these pairs"}
    assert list(few["within_pair"]["features"]) == [name for name in NAMES if name != "last_response_is_eloquent"]
    assert list(found["within_pair"]["features"]) == NAMES


@pytest.mark.parametrize("held_out", [None, np.zeros(PAIRS, dtype=bool)])
def test_where_no_pair_is_held_out_nothing_is_said_of_them(held_out: np.ndarray | None) -> None:
    few = report(*made(), held_out=held_out).figures["held_out"]
    assert (few["pairs"], few["opening_prompts"], few["within_pair"]["features"]) == (0, 0, {})
    assert few["dropped"] == dict.fromkeys(NAMES, "differs on none of these pairs")
    assert few["chosen_beyond_features"]["estimate"] is None
    assert few["chosen_beyond_features"]["reason"] == "0 labelled pairs are too few for 1 coefficients"


# --- corrected for labeler error ---


def labelled_wrongly(sides: Sides, share: float, seed: int) -> Sides:
    random = np.random.default_rng(seed)
    wrong = [np.where(random.random(side.shape) < share, random.permutation(side), side) for side in sides]
    return Sides(*wrong)


def test_the_corrected_imprint_is_the_rectified_estimator_on_pairs_with_gold_on_both_sides() -> None:
    truth, rewards, openings = made(1500, 700)
    labels = labelled_wrongly(truth, 0.2, 1)
    gold = Sides(truth.chosen.copy(), truth.rejected.copy())
    gold.chosen[:300] = math.nan
    gold.rejected[200:400] = math.nan
    drawn = np.random.default_rng(2).random(1500) < 0.3
    found = report(labels, rewards, openings, gold=Gold(gold, drawn, 0.3))
    figures = found.figures["corrected"]
    known = drawn & (np.arange(1500) >= 400)
    assert (figures["gold_pairs"], figures["share_with_gold"]) == (known.sum(), pytest.approx(1100 / 1500))
    assert figures["probability"] == pytest.approx(0.3 * 1100 / 1500)
    reference = rectified.rectified(
        labels.differences, truth.differences, rewards.margins, known, 0.3 * 1100 / 1500, pd.factorize(openings)[0]
    )
    assert reference is not None
    table = rows(found, "corrected")
    assert table["estimate"].to_numpy(dtype=float) == pytest.approx(reference.estimates)
    assert table["standard_error"].to_numpy(dtype=float) == pytest.approx(np.sqrt(np.diag(reference.covariance)))
    assert figures["tuning"] == pytest.approx(reference.tuning)
    same(rows(found, "gold_only"), NAMES, clustered(rewards.margins[known], truth.differences[known], openings[known]), list(range(4)))
    same(rows(found, "labels_only"), NAMES, clustered(rewards.margins, labels.differences, openings), list(range(4)))
    helpful = figures["features"][NAMES[0]]
    assert helpful["labels_only"] < helpful["low"] < TRUTH[NAMES[0]] < helpful["high"]


def test_a_feature_that_gold_hardly_ever_sees_differ_is_dropped_from_the_corrected_imprint_and_from_what_stands_beside_it() -> None:
    truth, rewards, openings = made()
    gold = Sides(truth.chosen.copy(), truth.rejected.copy())
    gold.chosen[:, 2], gold.rejected[:, 2] = 0, 0
    gold.chosen[:3, 2] = 1
    found = report(truth, rewards, openings, gold=Gold(gold, np.ones(PAIRS, dtype=bool), 1.0))
    prompts = len(set(openings[:3]))
    reason = f"differs by gold on pairs of {prompts} opening prompts, and 10 are needed"
    assert found.figures["corrected"]["dropped"] == {NAMES[2]: reason}
    others = [0, 1, 3]
    reference = clustered(rewards.margins, truth.differences[:, others], openings)
    for estimator in ("corrected", "gold_only", "labels_only"):
        same(rows(found, estimator), [NAMES[place] for place in others], reference, [0, 1, 2])


@pytest.mark.parametrize("case", ["none", "nothing drawn", "too few"])
def test_without_enough_gold_there_is_no_corrected_imprint_and_the_reason(case: str) -> None:
    sides, rewards, openings = made()
    drawn = np.zeros(PAIRS, dtype=bool)
    if case == "too few":
        drawn[:8] = True
    found = report(sides, rewards, openings, gold=None if case == "none" else Gold(sides, drawn, 0.1))
    reasons = {
        "none": "no gold is set for these pairs",
        "nothing drawn": "gold knows both texts of no labelled pair that was drawn",
        "too few": "by gold no feature differs in enough opening prompts",
    }
    assert (found.figures["corrected"]["features"], found.figures["corrected"]["reason"]) == (None, reasons[case])
    assert rows(found, "corrected").empty


# --- the bracket of a second labeler ---


def test_the_bracket_stands_on_pairs_and_features_that_both_labelers_know() -> None:
    truth, rewards, openings = made(3000, 1500)
    labels, second = labelled_wrongly(truth, 0.2, 1), labelled_wrongly(truth, 0.3, 2)
    second.rejected[2000:] = math.nan
    control = Sides(second.chosen[:, [3, 0, 2]], second.rejected[:, [3, 0, 2]])
    found = report(labels, rewards, openings, control=(columns([SENTIMENT, NAMES[0], NAMES[2]]).taken, control))
    figures = found.figures["bracket_if_errors_are_independent"]
    assert figures["pairs"] == 2000
    assert figures["dropped"] == {NAMES[1]: "the second labeler does not name it"}
    places = [0, 2, 3]
    reference = rectified.bracket(
        labels.differences[:2000][:, places],
        second.differences[:2000][:, places],
        rewards.margins[:2000],
        pd.factorize(openings)[0][:2000],
    )
    assert reference is not None
    helpful = figures["features"][NAMES[0]]
    ways = np.array([reference.by_control.estimates, reference.by_labeler.estimates])
    assert helpful["least_squares"] == pytest.approx(reference.least_squares.estimates[0])
    assert helpful["instrumental_variables"] == pytest.approx(np.abs(ways[:, 0]).min())
    assert helpful["first_stage_f"] == pytest.approx(reference.first_stage[reference.nearer[0], 0])
    ends = [rows(found, f"bracket_{name}").loc[NAMES[0]] for name in ("least_squares", "labeler_by_control", "control_by_labeler")]
    assert [end["estimate"] for end in ends] == pytest.approx([helpful["least_squares"], *ways[:, 0]])
    assert helpful["either_low"] == pytest.approx(ends[0]["low"])
    assert helpful["either_high"] == pytest.approx(ends[1 + reference.nearer[0]]["high"])
    assert helpful["least_squares"] < TRUTH[NAMES[0]] < helpful["instrumental_variables"]


def test_a_weak_second_labeler_leaves_the_far_end_open() -> None:
    truth, rewards, openings = made(1000, 500)
    second = Sides(truth.chosen.copy(), truth.rejected.copy())
    random = np.random.default_rng(3)
    for side in second:
        side[:, 0] = random.permutation(side[:, 0])
    found = report(truth, rewards, openings, control=(columns().taken, second))
    helpful = found.figures["bracket_if_errors_are_independent"]["features"][NAMES[0]]
    assert helpful["least_squares"] is not None
    assert helpful["instrumental_variables"] is helpful["either_low"] is helpful["either_high"] is None
    assert helpful["first_stage_f"] < 10
    assert helpful["reason"] == "weak instruments: first-stage F below 10"
    weak = rows(found, "bracket_labeler_by_control").loc[NAMES[0]]
    assert weak[["estimate", "low", "p_holm"]].isna().all()
    assert weak["reason"].startswith("weak instrument: first-stage F is ")


def test_a_second_labeler_that_says_the_same_leaves_no_room_between_the_ends() -> None:
    sides, rewards, openings = made(1000, 500)
    found = report(sides, rewards, openings, control=(columns().taken, sides))
    helpful = json.loads(json.dumps(found.figures, allow_nan=False, default=float))["bracket_if_errors_are_independent"]["features"][
        NAMES[0]
    ]
    assert helpful["instrumental_variables"] == pytest.approx(helpful["least_squares"])
    assert helpful["first_stage_f"] is None
    assert helpful["first_stage_f_reason"] == "infinite: the labels of one follow from those of the other"


def test_a_second_labeler_of_hardly_any_pair_gives_no_bracket() -> None:
    sides, rewards, openings = made()
    few = Sides(*(np.where(np.arange(PAIRS)[:, None] < 4, side, math.nan) for side in sides))
    figures = report(sides, rewards, openings, control=(columns().taken, few)).figures["bracket_if_errors_are_independent"]
    assert (figures["pairs"], figures["features"]) == (4, None)
    assert set(figures["dropped"]) == set(NAMES)
    assert figures["reason"] == "no feature differs on enough pairs that both labelers label"
    assert report(sides, rewards, openings).figures["bracket_if_errors_are_independent"]["reason"] == "no second labeler is given"


# --- features that go with misalignment ---


def test_effects_on_misalignment_are_those_of_a_linear_probability_model_of_both_sides() -> None:
    sides, rewards, openings = made()
    rewards.rejected[0] = rewards.chosen[0]  # a tie is no agreement
    found = report(sides, rewards, openings)
    resists = (rewards.chosen <= rewards.rejected).astype(float)
    design = np.column_stack([np.ones(PAIRS), sides.chosen, sides.rejected])
    names = [f"{side} {name}" for side in ("chosen", "rejected") for name in NAMES]
    same(rows(found, "misalignment"), ["intercept", *names], clustered(resists, design, openings), list(range(9)))
    figures = found.figures["misalignment"]
    assert (figures["pairs"], figures["misaligned"], figures["tested"]) == (PAIRS, resists.sum(), 8)
    helpful = [figures[side][NAMES[0]]["estimate"] for side in ("chosen", "rejected")]
    assert helpful[0] < 0 < helpful[1]  # help is rewarded: on the chosen side it agrees with the human, on the other it does not


def test_one_feature_s_effect_on_misalignment_by_hand() -> None:
    # helpful on the chosen side alone varies: 20 pairs with it, of which 5 resist, and 20 without, of which 15 do
    chosen = np.repeat([1.0, 0.0], 20)[:, None]
    resists = np.concatenate([np.arange(20) < 5, np.arange(20) < 15])
    rewards = Rewards(np.where(resists, 0.0, 1.0), np.full(40, 0.5))
    found = report(Sides(chosen, np.ones((40, 1))), rewards, np.arange(40).astype(object), columns(NAMES[:1]))
    figures = found.figures["misalignment"]
    assert figures["chosen"][NAMES[0]]["estimate"] == pytest.approx(5 / 20 - 15 / 20)
    assert figures["rejected"] == {}
    assert figures["dropped"] == {f"rejected {NAMES[0]}": "the same on all pairs"}


def test_a_feature_with_which_all_pairs_agree_has_an_effect_without_an_error() -> None:
    chosen = np.repeat([1.0, 0.0], [12, 40])[:, None]
    resists = np.concatenate([np.zeros(12, dtype=bool), np.arange(40) < 15])
    rewards = Rewards(np.where(resists, 0.0, 1.0), np.full(52, 0.5))
    found = report(Sides(chosen, np.ones((52, 1))), rewards, np.arange(52).astype(object), columns(NAMES[:1]))
    effect = found.figures["misalignment"]["chosen"][NAMES[0]]
    assert effect["estimate"] == pytest.approx(-15 / 40)
    assert effect["low"] is effect["p_holm"] is None
    assert effect["reason"] == "no error: all pairs with it, or all without it, have one outcome"


# --- what cannot be had ---


def reasons(found: Report) -> set[str]:
    return {feature.get("reason", "") for feature in found.figures["within_pair"]["features"].values()}


def test_a_constant_reward_has_no_imprint() -> None:
    sides, _, openings = made()
    same_for_all = Rewards(np.full(PAIRS, 0.1), np.full(PAIRS, 0.1))
    found = report(sides, same_for_all, openings, before=made(seed=9)[1], gold=Gold(sides, np.ones(PAIRS, dtype=bool), 1.0))
    assert found.figures["reward_sd"] == 0
    assert reasons(found) == {"the difference of the rewards is the same for all pairs"}
    assert all(feature["estimate"] is feature["in_sd"] is None for feature in found.figures["within_pair"]["features"].values())
    assert found.figures["change"]["reason"] == "a role's reward is the same for all texts"
    assert found.figures["chosen_beyond_features"]["estimate"] is None
    assert found.figures["corrected"]["features"] is None
    assert set(rows(found, "pooled", "classical")["reason"]) == {"the reward is the same for all texts"}
    assert found.figures["misalignment"]["misaligned"] == PAIRS
    assert {feature["reason"] for feature in found.figures["misalignment"]["chosen"].values()} == {
        "agreement with the human is the same for all pairs"
    }


@pytest.mark.parametrize("pairs", [0, 1])
def test_one_pair_or_none_has_no_imprint(pairs: int) -> None:
    sides, rewards, openings = (part for part in made())
    cut = Sides(sides.chosen[:pairs], sides.rejected[:pairs])
    roles = Rewards(rewards.chosen[:pairs], rewards.rejected[:pairs])
    everything = Gold(cut, np.ones(pairs, dtype=bool), 1.0)
    found = report(cut, roles, openings[:pairs], before=roles, gold=everything, control=(columns().taken, cut))
    assert found.coefficients[["estimate", "p"]].isna().all(axis=None)
    assert found.coefficients["reason"].notna().all()
    figures = found.figures
    assert (figures["pairs"], figures["within_pair"]["tested"], figures["within_pair"]["significant"]) == (pairs, 0, 0)
    assert set(figures["dropped"]) | set(figures["within_pair"]["features"]) == set(NAMES)
    assert figures["chosen_beyond_features"]["reason"].startswith(f"{pairs} labelled pairs are too few for ")
    if not pairs:
        assert set(figures["dropped"].values()) == {"no pair has labels on both texts"}


@pytest.mark.parametrize("kept_of", [slice(0), slice(1)])
def test_where_no_feature_differs_within_any_pair_there_are_no_coefficients_and_the_reasons(kept_of: slice) -> None:
    """On all pairs, or on held-out ones alone."""
    sides, rewards, openings = made()
    alike = Sides(sides.chosen, sides.chosen.copy())
    held_out = openings.astype(int) % 3 == 0
    alike.rejected[kept_of] = 1.0 - alike.chosen[kept_of]  # of the very first pair
    held_out[kept_of] = False
    found = report(alike, rewards, openings, before=made(seed=6)[1], held_out=held_out, gold=Gold(alike, held_out, 0.5))
    few = found.figures["held_out"]
    assert few["pairs"] == held_out.sum()
    assert few["within_pair"] == {"tested": 0, "significant": 0, "features": {}}
    assert few["change"]["features"] == {}
    assert set(few["dropped"].values()) <= {"differs on none of these pairs"}
    assert few["chosen_beyond_features"]["estimate"] == pytest.approx(rewards.margins[held_out].mean())
    if kept_of == slice(0):
        assert found.figures["dropped"] == dict.fromkeys(NAMES, "differs on no pair")
        assert found.figures["within_pair"]["features"] == {}


def test_pairs_of_one_opening_prompt_have_estimates_and_no_errors() -> None:
    sides, rewards, _ = made()
    found = report(sides, rewards, np.full(PAIRS, "the same", dtype=object))
    assert reasons(found) == {"no error: 1 opening prompts are too few for 4 coefficients"}
    table = rows(found, "within_pair")
    assert table["estimate"].to_numpy(dtype=float) == pytest.approx(sm.OLS(rewards.margins, sides.differences).fit().params)
    assert table[["standard_error", "low", "p", "p_holm", "minimal_detectable"]].isna().all(axis=None)
    assert rows(found, "pooled", "by pair")["standard_error"].notna().all()


def test_a_feature_of_too_few_prompts_has_no_error_and_counts_for_no_test() -> None:
    sides, rewards, openings = made()
    sides.chosen[:, 2], sides.rejected[:, 2] = 0, 0
    sides.chosen[100, 2] = 1  # one pair alone decides its coefficient: the residual that is left of it is 0, and so would be the error
    found = report(sides, rewards, openings)
    lone = found.figures["within_pair"]["features"][NAMES[2]]
    assert lone["estimate"] is not None
    assert lone["low"] is lone["p_holm"] is None
    assert lone["reason"] == "no error: it differs in 1 opening prompts, and an error needs 10"
    assert found.figures["within_pair"]["tested"] == 3
    table = rows(found, "within_pair").drop(NAMES[2])
    assert table["p_bonferroni"].to_numpy(dtype=float) == pytest.approx(np.minimum(1, 3 * table["p"].to_numpy(dtype=float)))


def test_rewards_that_are_nothing_but_features_have_no_errors() -> None:
    sides, _, openings = made()
    exact = Rewards(*(side @ [1.0, 2.0, 0.0, -1.0] for side in sides))
    found = report(sides, exact, openings)
    assert reasons(found) == {"no error: the features tell the outcome exactly"}
    assert rows(found, "within_pair")["estimate"].to_numpy(dtype=float) == pytest.approx([1, 2, 0, -1], abs=1e-9)


@pytest.mark.parametrize(("prompts", "error"), [(9, False), (10, True)])
def test_a_feature_that_differs_in_ten_prompts_has_an_error(prompts: int, error: bool) -> None:
    sides, rewards, _ = made()
    sides.chosen[:, 2], sides.rejected[:, 2] = 0, 0
    sides.chosen[:prompts, 2] = 1
    feature = report(sides, rewards, np.arange(PAIRS).astype(object)).figures["within_pair"]["features"][NAMES[2]]
    assert (feature["low"] is not None, "reason" not in feature) == (error, error)


def test_as_many_opening_prompts_as_coefficients_are_too_few() -> None:
    sides, rewards, _ = made()
    found = report(sides, rewards, (np.arange(PAIRS) % 4).astype(object))
    assert reasons(found) == {"no error: 4 opening prompts are too few for 4 coefficients"}


def test_a_column_goes_where_its_inflation_is_just_above_what_is_allowed() -> None:
    random = np.random.default_rng(6)
    one, two = random.choice([-1.0, 1.0], size=(2, 300))
    near = np.where(random.random(300) < 0.2, two, one)
    reference = 1 / (1 - sm.OLS(one, near).fit().rsquared)  # without an intercept, as differences are
    taken = columns(["a", "b"]).taken
    assert imprint_columns.kept(design_of(one, near), taken, 1.01 * reference, "").places == [0, 1]
    assert imprint_columns.kept(design_of(one, near), taken, 0.99 * reference, "").places == [1]


def test_an_instrumented_coefficient_has_the_degrees_of_freedom_of_the_labeler_that_sees_it_differ_in_fewer_prompts() -> None:
    sides, rewards, openings = made(1000, 500)
    second = Sides(sides.chosen.copy(), sides.rejected.copy())
    for side in second:
        side[200:, 2] = 0
    found = report(sides, rewards, openings, control=(columns().taken, second))
    fewer = len(set(openings[second.differences[:, 2] != 0]))
    assert 10 < fewer < len(set(openings[sides.differences[:, 2] != 0])) / 2
    for way in ("labeler_by_control", "control_by_labeler"):
        row = rows(found, f"bracket_{way}").loc[NAMES[2]]
        assert (row["high"] - row["low"]) / 2 / row["standard_error"] == pytest.approx(stats.t(fewer - 1).ppf(0.975))


def test_a_feature_without_which_all_pairs_agree_has_an_effect_without_an_error() -> None:
    chosen = np.repeat([1.0, 0.0], [12, 40])[:, None]
    resists = np.concatenate([np.arange(12) < 5, np.zeros(40, dtype=bool)])
    rewards = Rewards(np.where(resists, 0.0, 1.0), np.full(52, 0.5))
    found = report(Sides(chosen, np.ones((52, 1))), rewards, np.arange(52).astype(object), columns(NAMES[:1]))
    effect = found.figures["misalignment"]["chosen"][NAMES[0]]
    assert effect["estimate"] == pytest.approx(5 / 12)
    assert effect["low"] is effect["p_holm"] is None
    assert effect["reason"] == "no error: all pairs with it, or all without it, have one outcome"
