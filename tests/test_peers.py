"""Every estimator of a coefficient against other packages: pyfixest for least squares and fixed effects, linearmodels for instruments.

Small samples. pyfixest's `ssc()` has the two corrections that CR1 has: G / (G - 1) for the clusters, (n - 1) / (n - k) for the rows. A fit
on differences takes it as it is. A fit with fixed effects of pairs counts 2n texts as rows, where differences have n: it takes
`ssc(k_adj=False)`, without the second correction, which is put in by hand. linearmodels puts in both if told `debiased=True`.
Tests and intervals of clustered fits are by the t distribution with G - 1 degrees of freedom in pyfixest. Here a coefficient has those of
the clusters in which its column differs, less one: intervals and p expected are made of the peers' errors with these.
"""

import math
from typing import Any, NamedTuple

import linearmodels
import numpy as np
import pandas as pd
import pytest
from pyfixest import feols, ssc
from scipy import stats

from seal import imprint, rectified, reward_shift
from seal.features import SENTIMENT
from seal.imprint.coefficients import Rewards
from seal.imprint.columns import Column, Columns, Sides
from seal.imprint.corrected import Gold
from seal.labeler_preference import PairLabels

PAIRS, PROMPTS, WITH_GOLD, BY_BOTH = 600, 220, 300, 400
FEATURES = ["last_response_is_helpful", "last_response_is_harmless", "last_response_is_eloquent", SENTIMENT]
TRUTH = [1.0, 0.6, 0.0, -0.3]
BY_PROMPT = {"CRV1": "prompt"}
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # which pyfixest uses
FOR_FIXED_EFFECTS = ssc(k_adj=False)
"""G / (G - 1) alone."""


class MadeUp(NamedTuple):
    """Features by three who name them, rewards that the true ones earn, and opening prompts that pairs share."""

    truth: Sides
    labels: Sides
    second: Sides
    before: Rewards
    rewards: Rewards
    prompts: np.ndarray


@pytest.fixture(scope="module")
def data() -> MadeUp:
    random = np.random.default_rng(5)
    prompts = random.integers(PROMPTS, size=PAIRS)
    sides = [(random.random((PAIRS, len(FEATURES))) < (0.5, 0.7, 0.3, 0.4)).astype(float) for _ in range(2)]
    for side in sides:
        side[:, 3] *= random.choice([-1, 1], size=PAIRS)
    taste = random.normal(scale=0.7, size=PROMPTS)[prompts]
    base = random.normal(size=PAIRS)
    rewards, before = (
        Rewards(*(strength * side @ TRUTH + taste * side[:, 0] + base + random.normal(size=PAIRS) + 0.2 for side in sides))
        for strength in (1.0, 0.4)
    )

    def named(chance: float) -> Sides:
        return Sides(*(np.where(random.random(side.shape) < chance, random.permutation(side), side) for side in sides))

    return MadeUp(Sides(*sides), named(0.15), named(0.25), before, rewards, prompts)


@pytest.fixture(scope="module")
def coefficients(data: MadeUp) -> pd.DataFrame:
    """The whole table of coefficients of a report."""
    columns = [Column(name, name, None, "other") for name in FEATURES]
    seen, both = np.arange(PAIRS) % 2 == 0, np.arange(PAIRS) < BY_BOTH
    found = imprint.report(
        row_ids=np.arange(PAIRS),
        openings=np.array([f"prompt {prompt}" for prompt in data.prompts], dtype=object),
        rewards=data.rewards,
        columns=Columns(columns, {}),
        features=data.labels,
        level=0.95,
        max_inflation=10.0,
        before=data.before,
        gold=Gold(data.truth, seen, 0.5),
        control=(columns, Sides(*(np.where(both[:, None], side, math.nan) for side in data.second))),
    )
    return found.coefficients.set_index(["estimator", "errors", "feature"]).sort_index()


def pairs_of(data: MadeUp, features: Sides) -> pd.DataFrame:
    """One row for each pair: differences of features, x0 to x3, and of rewards."""
    table = pd.DataFrame(features.differences, columns=["x0", "x1", "x2", "x3"])
    gained = data.rewards.margins / data.rewards.spread - data.before.margins / data.before.spread
    return table.assign(margin=data.rewards.margins, gained=gained, prompt=data.prompts, pair=np.arange(PAIRS))


def texts_of(data: MadeUp) -> pd.DataFrame:
    """One row for each text."""
    table = pd.DataFrame(np.concatenate(data.labels), columns=["x0", "x1", "x2", "x3"])
    row_id = np.tile(np.arange(PAIRS), 2)
    return table.assign(
        reward=np.concatenate(data.rewards),
        side=np.repeat([1.0, 0.0], PAIRS),
        pair=row_id,
        row_id=(row_id - row_id.mean()) / row_id.std(),
        prompt=np.tile(data.prompts, 2),
    )


def same(found: pd.DataFrame, fit: Any, names: list[str], table: pd.DataFrame | None = None, cluster: str = "prompt") -> None:
    """Estimates and errors are those of pyfixest; so are intervals and p, but for the degrees of freedom where errors are clustered.

    Parameters
    ----------
    table
        What the fit is of, where its errors are clustered by the column `cluster`.
    """
    reference = fit.tidy().loc[names]
    expected = {"estimate": reference["Estimate"], "standard_error": reference["Std. Error"]}
    if table is None:
        expected |= {"low": reference["2.5%"], "high": reference["97.5%"], "p": reference["Pr(>|t|)"]}
    else:
        with_intercept = "Intercept" in fit.coef().index
        t = stats.t([degrees(table, name, cluster, with_intercept) for name in names])
        half = t.ppf(0.975) * expected["standard_error"]
        expected |= {"low": expected["estimate"] - half, "high": expected["estimate"] + half}
        expected["p"] = pd.Series(2 * t.sf(fit.tstat().loc[names].abs()))
    for ours, theirs in expected.items():
        assert found[ours].to_numpy(dtype=float) == pytest.approx(theirs.to_numpy(), rel=1e-6, abs=1e-12), ours


def degrees(table: pd.DataFrame, name: str, cluster: str, with_intercept: bool) -> int:
    """Clusters in which a column differs, less one: from 0, or beside an intercept from its middle value."""
    if name == "Intercept":
        return int(table[cluster].nunique()) - 1
    usual = table[name].sort_values().iloc[len(table) // 2] if with_intercept else 0
    return int(table.loc[table[name] != usual, cluster].nunique()) - 1


X = ["x0", "x1", "x2", "x3"]


# --- within pairs ---


def test_within_pairs_is_a_regression_with_fixed_effects_of_pairs(data: MadeUp, coefficients: pd.DataFrame) -> None:
    found = coefficients.loc["within_pair", "by opening prompt"].loc[FEATURES]
    table = pairs_of(data, data.labels)
    same(found, feols("margin ~ -1 + x0 + x1 + x2 + x3", table, BY_PROMPT), X, table)
    fit = feols("reward ~ x0 + x1 + x2 + x3 | pair", texts_of(data), BY_PROMPT, ssc=FOR_FIXED_EFFECTS)
    assert found["estimate"].to_numpy(dtype=float) == pytest.approx(fit.coef().to_numpy())
    rows = math.sqrt((PAIRS - 1) / (PAIRS - len(X)))
    assert found["standard_error"].to_numpy(dtype=float) == pytest.approx(rows * fit.se().to_numpy())


def test_the_intercept_is_the_effect_of_the_side_with_fixed_effects_of_pairs(data: MadeUp, coefficients: pd.DataFrame) -> None:
    found = coefficients.loc["within_pair_with_intercept", "by opening prompt"].loc[["intercept", *FEATURES]]
    table = pairs_of(data, data.labels)
    same(found, feols("margin ~ x0 + x1 + x2 + x3", table, BY_PROMPT), ["Intercept", *X], table)
    fit = feols("reward ~ side + x0 + x1 + x2 + x3 | pair", texts_of(data), BY_PROMPT, ssc=FOR_FIXED_EFFECTS)
    assert found["estimate"].to_numpy(dtype=float) == pytest.approx(fit.coef().to_numpy())
    rows = math.sqrt((PAIRS - 1) / (PAIRS - 1 - len(X)))
    assert found["standard_error"].to_numpy(dtype=float) == pytest.approx(rows * fit.se().to_numpy())


def test_the_change_is_a_regression_of_the_difference_of_two_roles(data: MadeUp, coefficients: pd.DataFrame) -> None:
    found = coefficients.loc["change", "by opening prompt"].loc[FEATURES]
    table = pairs_of(data, data.labels)
    same(found, feols("gained ~ -1 + x0 + x1 + x2 + x3", table, BY_PROMPT), X, table)


# --- all texts at once ---


@pytest.mark.parametrize(
    ("estimator", "formula", "first", "regressors"),
    [
        ("pooled_published", "reward ~ row_id + x0 + x1 + x2 + x3", ["intercept", "row_id"], ["Intercept", "row_id"]),
        ("pooled", "reward ~ x0 + x1 + x2 + x3", ["intercept"], ["Intercept"]),
        ("pooled_with_side", "reward ~ side + x0 + x1 + x2 + x3", ["intercept", "chosen"], ["Intercept", "side"]),
    ],
)
def test_pooled_regressions_with_errors_of_three_kinds(
    data: MadeUp, coefficients: pd.DataFrame, estimator: str, formula: str, first: list[str], regressors: list[str]
) -> None:
    table = texts_of(data)
    same(coefficients.loc[estimator, "classical"].loc[[*first, *FEATURES]], feols(formula, table, "iid"), [*regressors, *X])
    for errors, cluster in {"by pair": "pair", "by opening prompt": "prompt"}.items():
        found = coefficients.loc[estimator, errors].loc[[*first, *FEATURES]]
        same(found, feols(formula, table, {"CRV1": cluster}), [*regressors, *X], table, cluster)


# --- in spite of errors of the labeler ---


def test_gold_alone_and_labels_alone(data: MadeUp, coefficients: pd.DataFrame) -> None:
    by_gold = pairs_of(data, data.truth).iloc[::2]
    assert len(by_gold) == WITH_GOLD
    found = coefficients.loc["gold_only", "by opening prompt"].loc[FEATURES]
    same(found, feols("margin ~ -1 + x0 + x1 + x2 + x3", by_gold, BY_PROMPT), X, by_gold)
    table = pairs_of(data, data.labels)
    found = coefficients.loc["labels_only", "by opening prompt"].loc[FEATURES]
    same(found, feols("margin ~ -1 + x0 + x1 + x2 + x3", table, BY_PROMPT), X, table)


def test_the_rectified_estimator_is_a_difference_of_regressions_where_the_features_are_right(data: MadeUp) -> None:
    """With labels that are right, gold adds noise alone, and at tuning 1 all of it is taken away: least squares on all pairs."""
    clusters = np.unique(data.prompts, return_inverse=True)[1]
    known = np.arange(PAIRS) % 2 == 0
    differences, margins = data.truth.differences, data.rewards.margins
    found = rectified.rectified(differences, differences, margins, known, 0.5, clusters, tuning=1.0)
    fit = feols("margin ~ -1 + x0 + x1 + x2 + x3", pairs_of(data, data.truth), BY_PROMPT, ssc=ssc(k_adj=False, G_adj=False))
    assert found is not None
    assert found.estimates == pytest.approx(fit.coef().to_numpy())
    rows, groups = WITH_GOLD, len(np.unique(clusters[known]))
    factor = math.sqrt(groups / (groups - 1) * (rows - 1) / (rows - len(X)))  # of the pairs with gold, since these are the few
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(factor * fit.se().to_numpy())


@pytest.mark.parametrize("way", ["labeler_by_control", "control_by_labeler"])
def test_the_far_end_of_the_bracket_is_that_of_instrumental_variables(data: MadeUp, coefficients: pd.DataFrame, way: str) -> None:
    labels, second = (features.differences[:BY_BOTH] for features in (data.labels, data.second))
    design, instruments = (labels, second) if way == "labeler_by_control" else (second, labels)
    fit = linearmodels.IV2SLS(data.rewards.margins[:BY_BOTH], None, design, instruments).fit(
        cov_type="clustered", clusters=data.prompts[:BY_BOTH], debiased=True
    )
    found = coefficients.loc[f"bracket_{way}", "by opening prompt"].loc[FEATURES]
    assert found["estimate"].to_numpy(dtype=float) == pytest.approx(fit.params.to_numpy())
    assert found["standard_error"].to_numpy(dtype=float) == pytest.approx(fit.std_errors.to_numpy())
    counts = [[len(set(data.prompts[:BY_BOTH][column != 0])) for column in features.T] for features in (labels, second)]
    t = stats.t(np.min(counts, axis=0) - 1)  # linearmodels goes by n - k
    half = t.ppf(0.975) * fit.std_errors.to_numpy()
    assert found["low"].to_numpy(dtype=float) == pytest.approx(fit.params.to_numpy() - half)
    assert found["high"].to_numpy(dtype=float) == pytest.approx(fit.params.to_numpy() + half)
    assert found["p"].to_numpy(dtype=float) == pytest.approx(2 * t.sf(fit.tstats.abs().to_numpy()))


def test_the_near_end_of_the_bracket_is_that_of_least_squares(data: MadeUp, coefficients: pd.DataFrame) -> None:
    found = coefficients.loc["bracket_least_squares", "by opening prompt"].loc[FEATURES]
    table = pairs_of(data, data.labels).iloc[:BY_BOTH]
    same(found, feols("margin ~ -1 + x0 + x1 + x2 + x3", table, BY_PROMPT), X, table)


def test_the_first_stage_of_one_feature_is_the_square_of_its_t(data: MadeUp) -> None:
    clusters = np.unique(data.prompts, return_inverse=True)[1]
    found = rectified.bracket(data.labels.differences[:, :1], data.second.differences[:, :1], data.rewards.margins, clusters)
    table = pairs_of(data, data.labels).assign(z=data.second.differences[:, 0])
    assert found is not None
    assert found.first_stage[0] == pytest.approx(feols("x0 ~ -1 + z", table, BY_PROMPT).tstat().to_numpy() ** 2)
    assert found.first_stage[1] == pytest.approx(feols("z ~ -1 + x0", table, BY_PROMPT).tstat().to_numpy() ** 2)


# --- both sides at once ---


def sides_of(data: MadeUp) -> pd.DataFrame:
    """One row for each pair: c0 to c3 of the chosen text, r0 to r3 of the rejected one."""
    table = pd.DataFrame(np.column_stack(data.labels), columns=[f"{side}{place}" for side in "cr" for place in range(4)])
    return table.assign(resists=(data.rewards.margins <= 0).astype(float), prompt=data.prompts)


BOTH_SIDES = " + ".join(f"{side}{place}" for side in "cr" for place in range(4))


def test_effects_on_misalignment_are_those_of_a_linear_probability_model(data: MadeUp, coefficients: pd.DataFrame) -> None:
    names = [f"{side} {feature}" for side in ("chosen", "rejected") for feature in FEATURES]
    found = coefficients.loc["misalignment", "by opening prompt"].loc[["intercept", *names]]
    table = sides_of(data)
    same(found, feols(f"resists ~ {BOTH_SIDES}", table, BY_PROMPT), ["Intercept", *BOTH_SIDES.split(" + ")], table)


def test_the_regression_of_the_reward_shift_on_both_sides(data: MadeUp) -> None:
    control, aligned = (np.column_stack(rewards) for rewards in (data.before, data.rewards))
    shift = reward_shift.shift(control, aligned).change_of_margin
    words = {-1.0: "negative", 0.0: "neutral", 1.0: "positive"}
    labels = [
        pd.DataFrame({name: side[:, place] == 1 for place, name in enumerate(FEATURES[:3])}).assign(
            **{SENTIMENT: [words[number] for number in side[:, 3]]}
        )
        for side in data.labels
    ]
    found = reward_shift.regressed({"shift": shift}, PairLabels(*labels, np.ones(PAIRS, dtype=bool)), data.prompts, 0.95)["shift"][
        "coefficients"
    ]
    table = sides_of(data).assign(shift=shift)
    rows = pd.DataFrame([found["intercept"], *(found[side][feature] for side in ("chosen", "rejected") for feature in FEATURES)])
    fit = feols(f"shift ~ {BOTH_SIDES}", table, BY_PROMPT)
    names = ["Intercept", *BOTH_SIDES.split(" + ")]
    same(rows.assign(standard_error=fit.se().loc[names].to_numpy()), fit, names, table)  # which the regression does not tell
