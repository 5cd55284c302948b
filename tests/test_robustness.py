"""Alignment robustness: by hand on small tables, on SEAL's published agreement, and against other implementations."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up_rewrites import (
    PUBLISHED,
    PUBLISHED_AGREEMENT,
    SIDES,
    fits,
    labels,
    margins,
    measure,
    outcomes,
    over,
    published_table,
    resampled,
    rewards_table,
    scores,
    table_of,
)
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from seal import rewrites, robustness
from seal.robustness import Measures


@pytest.fixture(scope="module")
def published() -> Measures:
    return measure(published_table()[0])


def test_the_published_agreement_before_and_after(published: Measures) -> None:
    figures = published.figures["aligned"]
    assert figures["original_agreement"] == pytest.approx(PUBLISHED_AGREEMENT["original"], abs=5e-7)
    assert figures["rewritten_agreement"] == pytest.approx(PUBLISHED_AGREEMENT["rewritten"], abs=5e-7)
    assert figures["agreement_change"] == pytest.approx((121 - 170) / 1608)
    assert [figures[name]["pairs"] for name in ("became_misaligned", "became_aligned", "unchanged")] == [170, 121, 1317]
    test = mcnemar([[0, 170], [121, 0]], exact=True)
    assert figures["independent_pairs"]["mcnemar_p"] == pytest.approx(test.pvalue)
    for name, count in (("original_agreement", 1177), ("rewritten_agreement", 1128)):
        low, high = proportion_confint(count, 1608, 0.05, method="wilson")
        assert [figures["independent_pairs"][f"{name}_{end}"] for end in ("low", "high")] == pytest.approx([low, high])


# --- agreement and rewards ---


def test_what_became_of_pairs_by_hand() -> None:
    # margins before and after: stayed, lost, lost to a tie, won, won from a tie, stayed wrong
    figures = measure(table_of(6, **margins([1, 2, 1, -1, 0, -3], [2, -1, 0, 1, 3, -3])), openings=list("aabbcc")).figures
    assert (figures["pairs"], figures["opening_prompts"], figures["equal_texts"]) == (6, 3, 0)
    found = figures["aligned"]
    assert (found["original_agreement"], found["rewritten_agreement"], found["agreement_change"]) == (0.5, 0.5, 0)
    assert (found["original_ties"], found["rewritten_ties"]) == (1, 1)
    assert found["equal_rewards"] == 6 + 1  # all rejected texts, and the last chosen one
    assert [found[name]["pairs"] for name in ("became_misaligned", "became_aligned", "unchanged")] == [2, 2, 2]
    assert found["became_misaligned"]["share"] == pytest.approx(1 / 3)
    low, high = proportion_confint(2, 6, 0.05, method="wilson")
    assert found["became_misaligned"]["independent_pairs"] == pytest.approx({"share_low": low, "share_high": high})
    assert figures["control"]["equal_rewards"] == 12


def test_texts_that_rewriting_left_as_they_are_are_counted() -> None:
    table = table_of(3)
    table.loc[1, "rewritten_rejected_text"] = table.loc[1, "original_rejected_text"]
    assert measure(table).figures["equal_texts"] == 1


def test_correlations_and_their_intervals_are_those_of_scipy_on_resampled_opening_prompts() -> None:
    table, original, rewritten = rewards_table(50, 1)
    clusters = np.arange(50) // 3
    figures = measure(table, clusters).figures["aligned"]["correlation"]
    for name, side in {"all_texts": slice(0, 2), "chosen": slice(0, 1), "rejected": slice(1, 2)}.items():
        assert figures[name]["texts"] == original[:, side].size
        assert figures[name]["pearson"] == pytest.approx(stats.pearsonr(original[:, side].ravel(), rewritten[:, side].ravel())[0])
        drawn = [stats.pearsonr(original[rows, side].ravel(), rewritten[rows, side].ravel())[0] for rows in resampled(50, clusters)]
        ends = np.quantile(drawn, [0.025, 0.975])
        assert (figures[name]["pearson_low"], figures[name]["pearson_high"]) == pytest.approx(tuple(ends), abs=1e-9)


# --- edges ---


def test_no_pair_is_only_counted() -> None:
    assert measure(table_of(0)) == Measures({"pairs": 0}, [], [], [])
    assert robustness.beyond(table_of(0), table_of(0), over(np.array([])), {"aligned": 1.0, "control": 1.0}) == {"pairs": 0}


def test_one_pair_has_figures_and_neither_intervals_nor_correlations() -> None:
    measures = measure(table_of(1, **labels("helpful", "chosen", [1]), **margins([1], [-1])))
    found = measures.figures["aligned"]
    assert (found["original_agreement"], found["original_agreement_low"], found["rewritten_agreement"]) == (1, None, 0)
    assert found["correlation"]["all_texts"]["pearson"] is None
    assert found["correlation"]["all_texts"]["pearson_reason"] == "1 pair(s); a correlation needs 3"
    assert outcomes(measures, "helpful", "chosen")[1]["share"] == 1
    assert outcomes(measures, "helpful", "chosen", "became_aligned", "at_risk")[1]["share"] is None
    assert scores(measures, "one_at_a_time")["helpful", "chosen", 1]["estimate"] is None
    assert measures.figures["flip_rates"]["helpful"]["chosen"]["flip_rate_low"] is None


def test_ties_everywhere_agree_nowhere_and_nothing_is_at_risk() -> None:
    measures = measure(table_of(12, **labels("helpful", "chosen", [1, 0] * 6), **margins([0] * 12, [0] * 12)))
    found = measures.figures["aligned"]
    assert (found["original_ties"], found["rewritten_ties"], found["original_agreement"], found["equal_rewards"]) == (12, 12, 0, 24)
    assert found["unchanged"]["share"] == 1
    assert found["correlation"]["chosen"]["pearson"] is None
    assert found["correlation"]["chosen"]["pearson_reason"] == "the original reward is the same for all 12 texts"
    at_risk = fits(measures, "at_risk")
    assert at_risk["one_at_a_time"] == {"coefficients": 0, "tested": 0, "significant": 0}
    assert scores(measures, "one_at_a_time", "at_risk") == {}
    assert at_risk["linear"]["reason"] == "no label flips on these pairs"
    score = scores(measures, "one_at_a_time")["helpful", "chosen", 1]
    assert (score["estimate"], score["standard_error"]) == (pytest.approx(0), None)


def test_a_reward_that_is_the_same_for_all_has_no_unit_to_measure_its_change_in() -> None:
    columns = {f"{version}_{side}_score_rm_aligned": np.full(20, 0.1) for version in ("original", "rewritten") for side in SIDES}
    measures = robustness.by_similarity(table_of(20, **columns), np.ones(20, dtype=bool), over(np.arange(20)))["all"]
    figures = measures.figures
    assert figures["aligned"]["reward_change"]["spread"] == 0
    assert "no unit" in figures["aligned"]["reward_change"]["reason"]
    assert "mean" in figures["control"]["reward_change"]["all_texts"]


def test_a_similarity_that_is_the_same_for_all_has_no_dose() -> None:
    measures = measure(table_of(20))
    found = measures.figures["aligned"]["reward_change"]["by_similarity"]
    assert measures.doses == []
    assert found["spearman"] is found["bands"] is None
    assert found["spearman_reason"] == found["bands_reason"] == "the similarity is the same for all 40 texts"


def test_no_label_at_all() -> None:
    columns: dict[str, Any] = {}
    for feature, side in PUBLISHED:
        columns |= labels(feature, side, [None] * 5)
    measures = measure(table_of(5, **columns))
    figures = measures.figures
    rate = figures["flip_rates"]["sentiment"]["rejected"]
    assert (rate["labelled_pairs"], rate["unlabelled_pairs"], rate["flip_rate"], rate["flip_rate_low"]) == (0, 5, None, None)
    assert rate["flip_rate_reason"] == "no pair has this label on both versions"
    assert rate["independent_pairs"] == {"flip_rate_low": None, "flip_rate_high": None}
    assert measures.flips == measures.scores == []
    assert figures["aligned"]["robustness_scores"]["all_pairs"]["linear"]["left_out_without_label"] == 5


# --- the report: similar pairs, and noise ---


def report(rewritten: pd.DataFrame, noise: dict[str, pd.DataFrame], openings: "pd.Series[Any] | None" = None) -> Any:
    known = pd.Series(range(100), index=range(100)) if openings is None else openings
    return json.loads(
        json.dumps(robustness.report(rewritten, noise, known.index.to_numpy(), over(known.to_numpy()), 0.9).figures, allow_nan=False)
    )


def test_similar_pairs_are_those_with_both_texts_similar_and_share_the_unit_of_all() -> None:
    similarity = {
        "original_to_rewritten_chosen_vector_cos_sim": np.array([0.9, 0.95, 0.5, 0.99]),
        "original_to_rewritten_rejected_vector_cos_sim": np.array([0.91, 0.89, 0.99, 1.0]),
    }
    figures = report(table_of(4, **similarity, **margins([1, 2, 3, 4], [-1, 2, 3, 5])), {})
    rewritten = figures["rewritten"]
    assert (rewritten["all"]["pairs"], rewritten["similar"]["pairs"]) == (4, 2)
    assert rewritten["similar"]["aligned"]["rewritten_agreement"] == 0.5
    spread = np.std([1, 2, 3, 4, 0, 0, 0, 0])
    for part in ("all", "similar"):
        assert rewritten[part]["aligned"]["reward_change"]["spread"] == pytest.approx(spread)
    assert rewritten["similar"]["aligned"]["reward_change"]["all_texts"]["mean"] == pytest.approx((-2 + 1) / 4 / spread)
    assert figures["noise_floor"] == {"trivial": None, "second": None, "between_rewrites": None}
    assert figures["beyond_noise"] == {"between_rewrites": None, "trivial": None}


def test_no_similar_pair_is_only_counted() -> None:
    low = {rewrites.similarity_column(side): np.full(3, 0.2) for side in SIDES}
    table = table_of(3, **low)
    figures = report(table, {"second": table})
    assert figures["rewritten"]["similar"] == figures["noise_floor"]["between_rewrites"]["similar"] == {"pairs": 0}
    assert figures["beyond_noise"]["between_rewrites"]["similar"] == {"pairs": 0}


def two_rewrites() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two rewrites of 6 pairs; the second lacks pair 0, has pair 9, and stands in another order."""
    first = table_of(6, **labels("helpful", "chosen", [1, 1, 0, 0, -1, None]), **margins([1] * 6, [-1, -1, 1, 1, 1, 1]))
    second = table_of(6, **labels("helpful", "chosen", [0, 1, 0, 1, 0, 0]), **margins([1] * 6, [1, 1, -1, 1, 1, -1]))
    second["row_id"] = [9, 1, 2, 3, 4, 5]
    return first, second.iloc[::-1].reset_index(drop=True)


def test_between_rewrites_goes_from_one_to_the_other_for_the_pairs_that_both_have() -> None:
    first, second = two_rewrites()
    second["original_to_rewritten_chosen_vector_cos_sim"] = [0.1, 0.95, 0.95, 0.95, 0.95, 0.95]  # row_ids 5, 4, 3, 2, 1, 9
    figures = report(first, {"second": second})["noise_floor"]["between_rewrites"]
    assert figures["all"]["pairs"] == 5
    assert figures["similar"]["pairs"] == 4  # 1, 2, 3, 4
    found = figures["all"]["aligned"]
    # pairs 1 to 5: margins -1, 1, 1, 1, 1 after the first, 1, -1, 1, 1, -1 after the second
    assert (found["original_agreement"], found["rewritten_agreement"]) == (pytest.approx(4 / 5), pytest.approx(3 / 5))
    assert [found[name]["pairs"] for name in ("became_misaligned", "became_aligned", "unchanged")] == [2, 1, 2]
    # labels after the first: False, True, True, True, True; after the second: False, True, False, True, True
    assert figures["all"]["flip_rates"]["helpful"]["chosen"]["flipped_pairs"] == 1
    flips = whole_report(first, {"second": second}).flips.query("table == 'between_rewrites' and subset == 'all' and role == 'aligned'")
    assert set(flips.query("feature == 'helpful' and side == 'chosen' and level == 1 and population == 'all_pairs'")["pairs"]) == {1}
    assert found["reward_change"]["by_similarity"] == {
        **dict.fromkeys(("spearman", "spearman_low", "spearman_high", "bands")),
        **dict.fromkeys(("spearman_reason", "bands_reason"), "nobody measured how similar these texts are"),
    }


def test_beyond_noise_is_the_difference_of_shares_on_the_same_pairs() -> None:
    first, second = two_rewrites()
    trivial = table_of(6, **labels("helpful", "chosen", [0, 0, 0, 1, 0, 0]), **margins([1] * 6, [1, 1, 1, 1, 1, -1]))
    trivial.loc[2, "original_chosen_score_rm_control"] = 0.5
    beyond = report(first, {"trivial": trivial, "second": second})["beyond_noise"]
    assert beyond["trivial"]["original_rewards_differ"] == {"aligned": 0, "control": 1}
    found = beyond["trivial"]["all"]
    assert found["pairs"] == 6
    assert found["aligned"]["became_misaligned"] == pytest.approx(2 / 6 - 1 / 6)
    assert found["aligned"]["agreement_change"] == pytest.approx(-2 / 6 + 1 / 6)
    assert found["control"]["became_misaligned"] == 0
    flips = found["flip_rates"]["helpful"]["chosen"]
    assert (flips["labelled_pairs"], flips["flip_rate"]) == (5, pytest.approx(3 / 5 - 1 / 5))
    found = beyond["between_rewrites"]["all"]
    assert found["pairs"] == 5
    # rewriting lost pair 1; between the two rewrites 2 and 5 are lost and 1 is won
    assert found["aligned"]["became_misaligned"] == pytest.approx(1 / 5 - 2 / 5)
    assert found["aligned"]["became_aligned"] == pytest.approx(0 - 1 / 5)
    assert found["aligned"]["became_misaligned_low"] <= -1 / 5 <= found["aligned"]["became_misaligned_high"]
    flips = found["flip_rates"]["helpful"]["chosen"]
    assert (flips["labelled_pairs"], flips["flip_rate"]) == (4, pytest.approx(2 / 4 - 1 / 4))


def test_flips_beyond_noise_are_tested_as_scipy_and_statsmodels_test_them() -> None:
    random = np.random.default_rng(9)
    by_rewriting, by_noise = (
        {name: (random.random(60) < rate).astype(float) for name, rate in rates.items()}
        for rates in ({"helpful": 0.3, "coherent": 0.05}, {"helpful": 0.1, "coherent": 0.4})
    )
    by_rewriting["helpful"][:5], by_noise["helpful"][5:9] = np.nan, np.nan
    tables = []
    for flips in (by_rewriting, by_noise):
        columns: dict[str, Any] = {}
        for name, flip in flips.items():
            columns |= labels(name, "chosen", [None if np.isnan(each) else each for each in flip])
        tables.append(table_of(60, **columns))
    found = report(tables[0], {"trivial": tables[1]})["beyond_noise"]["trivial"]["all"]["flip_rates"]
    of_all = [of for sides in found.values() for of in sides.values()]
    for name in by_rewriting:
        only = int(((by_rewriting[name] == 1) & (by_noise[name] == 0)).sum())
        only_noise = int(((by_rewriting[name] == 0) & (by_noise[name] == 1)).sum())
        assert only + only_noise > 5
        of = found[name]["chosen"]
        assert (of["rewriting_only"], of["noise_only"]) == (only, only_noise)
        assert of["independent_pairs"]["mcnemar_p"] == pytest.approx(stats.binomtest(only, only + only_noise).pvalue)
    tested = [of["independent_pairs"] for of in of_all if of["independent_pairs"]["mcnemar_p"] is not None]
    adjusted = multipletests([each["mcnemar_p"] for each in tested], method="holm")[1]
    assert [each["mcnemar_p_holm"] for each in tested] == pytest.approx(adjusted)


def test_the_change_of_rewards_beyond_noise_is_that_of_the_same_texts_in_one_unit() -> None:
    random = np.random.default_rng(10)
    clusters = np.arange(60) // 3
    before = random.normal(size=(60, 2))
    moved, by_noise = (random.normal(scale=scale, size=(60, 2)) for scale in (0.5, 0.2))
    both = [before + moved, before + by_noise]
    names = [[f"{version}_{side}_score_rm_aligned" for side in ("chosen", "rejected")] for version in ("original", "rewritten")]
    level = dict.fromkeys(
        (name.replace("aligned", "control") for name in [*names[0], *names[1]]), 0.0
    )  # nothing to tell control's texts apart
    tables = [table_of(60, **dict(zip([*names[0], *names[1]], [*before.T, *after.T], strict=True)), **level) for after in both]
    part = np.arange(60) % 4 != 0
    found = report(tables[0], {"trivial": tables[1][part].reset_index(drop=True)}, pd.Series(clusters))["beyond_noise"]["trivial"]["all"]
    differences = (np.abs(moved) - np.abs(by_noise)) / before.std()
    drawn = [differences[rows[part[rows]]].mean() for rows in resampled(60, clusters)]
    of = found["aligned"]["reward_change"]
    assert of["texts"] == 2 * part.sum()
    figures = (of["mean_absolute"], of["mean_absolute_low"], of["mean_absolute_high"])
    assert figures == pytest.approx((differences[part].mean(), *np.quantile(drawn, [0.025, 0.975])))
    assert found["control"]["reward_change"]["mean_absolute"] is None
    assert "no unit" in found["control"]["reward_change"]["mean_absolute_reason"]


def test_similar_pairs_beyond_noise_are_similar_in_both_tables() -> None:
    tables = [table_of(5), table_of(5)]
    for table, far in zip(tables, (1, 3), strict=True):
        table.loc[far, "original_to_rewritten_chosen_vector_cos_sim"] = 0.1
    assert report(tables[0], {"trivial": tables[1]})["beyond_noise"]["trivial"]["similar"]["pairs"] == 3


def test_a_tie_is_no_agreement_beyond_noise_either() -> None:
    tied, untied = table_of(4, **margins([1] * 4, [0, 1, 1, 1])), table_of(4)
    found = report(tied, {"trivial": untied})["beyond_noise"]["trivial"]["all"]["aligned"]
    assert (found["became_misaligned"], found["became_aligned"]) == (1 / 4, 0)
    won = table_of(4, **margins([0, 1, 1, 1], [1] * 4))
    found = report(won, {"trivial": untied})["beyond_noise"]["trivial"]["all"]["aligned"]
    assert (found["became_misaligned"], found["became_aligned"]) == (0, 1 / 4)


def test_the_interval_beyond_noise_is_that_of_paired_opening_prompts() -> None:
    random = np.random.default_rng(7)
    lost, noise = random.random(60) < 0.4, random.random(60) < 0.2
    tables = [table_of(60, **margins(np.ones(60), np.where(each, -1, 1))) for each in (lost, noise)]
    clusters = np.arange(60) // 4
    found = report(tables[0], {"trivial": tables[1]}, pd.Series(clusters))["beyond_noise"]["trivial"]["all"]["aligned"]
    ends = np.quantile([lost[rows].mean() - noise[rows].mean() for rows in resampled(60, clusters)], [0.025, 0.975])
    assert (found["became_misaligned_low"], found["became_misaligned_high"]) == pytest.approx(tuple(ends))


def test_rewrites_that_differ_by_chance_alone_are_not_beyond_the_noise_between_them() -> None:
    random = np.random.default_rng(8)
    truth = random.normal(0.3, 1, size=800)
    noisy = [truth + random.normal(0, 0.7, size=800) for _ in range(3)]  # the original is no less a matter of chance than its rewrites
    first, second = (table_of(800, **margins(noisy[0], noisy[place])) for place in (1, 2))
    known = pd.Series(range(800))
    found = report(first, {"second": second}, known)
    beyond = found["beyond_noise"]["between_rewrites"]["all"]["aligned"]
    assert found["rewritten"]["all"]["aligned"]["became_misaligned"]["share"] > 0.1
    assert beyond["became_misaligned_low"] < 0 < beyond["became_misaligned_high"]


# --- the long tables ---


def whole_report(rewritten: pd.DataFrame, noise: dict[str, pd.DataFrame]) -> robustness.Report:
    return robustness.report(rewritten, noise, np.arange(100), over(np.arange(100)), 0.9)


def test_the_table_of_flips_has_a_row_for_each_level_outcome_and_population_of_all_tables() -> None:
    first, second = two_rewrites()
    flips = whole_report(first, {"second": second, "trivial": table_of(6)}).flips
    assert list(flips.columns) == [
        *("table", "subset", "role", "feature", "side", "level", "outcome", "population", "pairs", "count"),
        *("share", "share_low", "share_high", "difference", "difference_low", "difference_high"),
    ]
    keys = ["table", "subset", "role", "feature", "side", "level", "outcome", "population"]
    assert not flips.duplicated(keys).any()
    # Of the chosen text's helpfulness 3 levels occur, after the second rewriting 2, between them 3, and none but 0 of the 9 others.
    levels = {"rewritten": 9 + 3, "trivial": 10, "second": 9 + 2, "between_rewrites": 9 + 2}
    assert flips.groupby("table", sort=False).size().to_dict() == {name: each * 2 * 2 * 2 * 2 for name, each in levels.items()}
    for subset in ("all", "similar"):
        rows = flips.query(
            f"table == 'rewritten' and subset == '{subset}' and role == 'aligned' and feature == 'helpful' and side == 'chosen'"
        )
        lost = rows.query("outcome == 'became_misaligned' and population == 'all_pairs'").set_index("level")
        # Pairs 0 and 1 lost the label and became misaligned; 2 and 3 kept it, 4 gained it, and of 5 it is not known.
        assert lost["pairs"].to_dict() == {-1: 1, 0: 2, 1: 2}
        assert lost["count"].to_dict() == {-1: 0, 0: 0, 1: 2}
        low, high = proportion_confint(2, 2, 0.05, method="wilson")
        assert lost.loc[1, ["share", "share_low", "share_high", "difference"]].tolist() == pytest.approx([1, low, high, 1])
        won = rows.query("outcome == 'became_aligned' and population == 'at_risk'")
        assert won["pairs"].tolist() == [0, 0, 0]
        assert won["share"].isna().all()


def test_the_table_of_scores_has_both_populations_and_all_ways_of_all_tables_and_subsets() -> None:
    random = np.random.default_rng(9)
    lost = np.arange(90) * 7 % 10 < 5  # 45 of 90, and 40 of the first 80: enough for 3 parameters
    columns = labels("helpful", "chosen", random.choice([-1, 0, 1], size=90).tolist())
    columns |= labels("eloquent", "rejected", ([1] + [0] * 89))
    table = table_of(90, **columns, **margins(np.ones(90), np.where(lost, -1, 1)))
    table.loc[80:, rewrites.similarity_column("chosen")] = 0.5
    found = whole_report(table, {"second": table, "trivial": table})
    assert list(found.scores.columns) == [
        *("table", "subset", "role", "population", "way", "feature", "side", "level"),
        *("pairs", "estimate", "low", "high", "standard_error", "p", "p_holm", "reason"),
    ]
    assert not found.scores.duplicated(["table", "subset", "role", "population", "way", "feature", "side", "level"]).any()
    assert set(found.scores["table"]) == {"rewritten", "second", "trivial"}  # between the same rewrites no label flips
    own = found.scores.query("table == 'rewritten' and role == 'aligned' and population == 'all_pairs'")
    assert own.groupby(["subset", "way"]).size().to_dict() == {
        (subset, way): 3 for subset in ("all", "similar") for way in ("one_at_a_time", "linear", "logistic")
    }
    for subset, pairs in (("all", 90), ("similar", 80)):
        flip = np.array([columns[f"{version}_chosen_last_response_is_helpful"][:pairs] for version in ("original", "rewritten")], dtype=int)
        without, with_it = (lost[:pairs][flip[0] - flip[1] == level] for level in (0, 1))
        row = own.query(f"subset == '{subset}' and way == 'one_at_a_time' and feature == 'helpful' and level == 1").iloc[0]
        assert (row["pairs"], row["estimate"]) == (len(with_it), pytest.approx(with_it.mean() - without.mean()))
    assert own.query("feature == 'eloquent' and way == 'linear'")["reason"].str.startswith("no error").all()
    assert own.query("feature == 'helpful'")["reason"].isna().all()


def test_the_table_of_doses_has_the_bands_of_every_table_whose_similarity_is_known() -> None:
    table = rewards_table(60, 3)[0]
    found = whole_report(table, {"second": rewards_table(60, 4)[0], "trivial": table_of(60)})
    assert list(found.doses.columns) == [
        *("table", "subset", "role", "band", "similarity_low", "similarity_high", "texts", "undefined_resamples"),
        *("mean", "mean_low", "mean_high", "mean_absolute", "mean_absolute_low", "mean_absolute_high", "standard_deviation"),
        *("quantile_05", "quantile_25", "quantile_50", "quantile_75", "quantile_95"),
    ]
    assert set(found.doses["table"]) == {"rewritten", "second"}
    for (name, subset, role), rows in found.doses.groupby(["table", "subset", "role"]):
        figures = found.figures["rewritten"] if name == "rewritten" else found.figures["noise_floor"][name]
        assert rows["band"].tolist() == list(range(1, figures[subset][role]["reward_change"]["by_similarity"]["bands"] + 1))
        assert rows["texts"].sum() == 2 * figures[subset]["pairs"]
    for name in ("rewritten", "second"):
        rows = found.doses.query(f"table == '{name}' and subset == 'all' and role == 'control'")
        assert rows["band"].tolist() == [1, 2, 3, 4, 5]
        assert rows["mean_absolute"].tolist() == [0] * 5  # no reward of this role moves


def test_resamples_without_a_text_of_a_band_are_counted() -> None:
    # All texts of the first band are of one opening prompt out of 4: (3/4)^4 = 0.32 of the resamples lack it.
    close, clusters = np.arange(48) / 48, np.arange(48) // 12
    columns = {rewrites.similarity_column(side): close for side in SIDES}
    table = table_of(48, **columns, **margins(np.arange(48), np.arange(48) + np.sin(np.arange(48))))
    first = measure(table, clusters).doses[0]
    members = close < first["similarity_high"]
    assert set(clusters[members]) == {0}
    assert first["undefined_resamples"] == sum(not members[rows].any() for rows in resampled(48, clusters)) > 20
    assert first["mean"] == pytest.approx(np.sin(np.arange(48))[members].sum() / (2 * members.sum()))
    assert first["mean_low"] is first["mean_absolute_high"] is None


def test_long_tables_of_no_pairs_have_their_columns() -> None:
    found = whole_report(table_of(0), {})
    assert len(found.flips) == len(found.scores) == len(found.doses) == 0
    assert {"outcome", "difference_high"} < set(found.flips.columns)
    assert {"way", "p_holm"} < set(found.scores.columns)
    assert {"band", "quantile_95"} < set(found.doses.columns)
