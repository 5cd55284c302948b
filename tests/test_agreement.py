"""Agreement, resistance and regimes: by hand on small tables, and on the published counts of SEAL (arXiv 2408.10270)."""

import math
import tracemalloc
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from seal import agreement, scores
from seal.errors import InputError
from seal.uncertainty import ClusterBootstrap

over = partial(ClusterBootstrap, resamples=200, seed=1, level=0.95)
"""Bootstrap over opening prompts, [pairs]."""

# Counts over all 160,800 pairs, and the agreement of the reward models before and after training on them, as SEAL's notebooks print them.
PUBLISHED = {"stayed_aligned": 77646, "got_aligned": 41445, "resists_alignment": 27644, "reversed_alignment": 14065}
PUBLISHED_AGREEMENT = {"control": 0.57, "aligned": 0.74}


def rewards(chosen: list[float], rejected: list[float]) -> pd.DataFrame:
    return scores.table(np.arange(len(chosen)), np.array(chosen, dtype=float), np.array(rejected, dtype=float))


def openings(*names: str) -> np.ndarray:
    return np.array(names, dtype=object)


def lengths(*sides: tuple[int, int]) -> np.ndarray:
    return np.array(sides).reshape(-1, 2)


# --- resistance ---


def test_resistance_by_hand() -> None:
    table = rewards([2, 1, 0, 5, 1, 3, -1], [1, 2, 0, 1, 0.5, 3, 1])  # margins 1, -1, 0, 4, 0.5, 0, -2
    figures = agreement.resistance(
        table,
        lengths((10, 9), (10, 9), (9, 10), (5, 5), (5, 5), (7, 3), (1, 2)),
        over(openings("a", "a", "b", "c", "d", "d", "e")),
    )
    assert figures["pairs"] == 7
    assert figures["opening_prompts"] == 5
    assert figures["agreement"] == pytest.approx(3 / 7)
    assert figures["resistance"] == pytest.approx(4 / 7)
    assert figures["ties"] == 2
    assert figures["margin_mean"] == pytest.approx(2.5 / 7)
    assert figures["margin_median"] == 0
    assert figures["length_agreement"] == pytest.approx(3 / 7)
    assert figures["length_ties"] == 2
    low, high = proportion_confint(3, 7, 0.05, method="wilson")
    assert figures["independent_pairs"] == pytest.approx({"agreement_low": low, "agreement_high": high})


def test_resistance_and_its_interval_mirror_agreement() -> None:
    random = np.random.default_rng(1)
    table = rewards(list(random.integers(0, 4, size=300)), list(random.integers(0, 4, size=300)))
    figures = agreement.resistance(table, random.integers(1, 9, size=(300, 2)), over(random.integers(0, 60, size=300)))
    assert figures["resistance"] == pytest.approx(1 - figures["agreement"])
    assert figures["resistance_low"] == pytest.approx(1 - figures["agreement_high"])
    assert figures["resistance_high"] == pytest.approx(1 - figures["agreement_low"])
    for name in ("agreement", "resistance", "margin_mean", "margin_median", "length_agreement"):
        assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"]
    assert figures["agreement_low"] < figures["agreement_high"]


def test_ties_count_as_no_agreement_for_rewards_and_for_lengths() -> None:
    figures = agreement.resistance(rewards([1, 1, 2], [1, 1, 1]), lengths((4, 4), (4, 4), (5, 4)), over(openings("a", "b", "c")))
    assert (figures["ties"], figures["length_ties"]) == (2, 2)
    assert figures["agreement"] == figures["length_agreement"] == pytest.approx(1 / 3)
    assert figures["resistance"] == pytest.approx(2 / 3)


def test_a_constant_reward_resists_everywhere_and_surely() -> None:
    figures = agreement.resistance(rewards([0.5] * 4, [0.5] * 4), lengths(*[(2, 1)] * 4), over(openings("a", "b", "c", "c")))
    assert figures["ties"] == 4
    assert (figures["resistance"], figures["resistance_low"], figures["resistance_high"]) == (1, 1, 1)
    assert (figures["margin_median"], figures["margin_median_low"], figures["margin_median_high"]) == (0, 0, 0)
    assert figures["independent_pairs"]["agreement_high"] > 0.4


@pytest.mark.parametrize("pairs", [1, 5])
def test_a_single_opening_prompt_leaves_figures_without_intervals(pairs: int) -> None:
    figures = agreement.resistance(rewards([1] * pairs, [0] * pairs), lengths(*[(2, 1)] * pairs), over(openings(*["a"] * pairs)))
    assert (figures["pairs"], figures["opening_prompts"], figures["agreement"]) == (pairs, 1, 1)
    for name in ("agreement", "resistance", "margin_mean", "margin_median", "length_agreement"):
        assert figures[f"{name}_low"] is None
        assert figures[f"{name}_high"] is None
    assert figures["independent_pairs"]["agreement_high"] == pytest.approx(1)


def test_pairs_that_share_an_opening_prompt_widen_the_interval() -> None:
    agrees = np.tile([True] * 10 + [False] * 10, 20)  # whole runs of 10 agree or not
    table = rewards(list(agrees.astype(float)), [0] * 400)
    sizes = np.ones((400, 2))
    widths = []
    for clusters in (np.arange(400), np.arange(400) // 10):
        figures = agreement.resistance(table, sizes, over(clusters))
        widths.append(figures["agreement_high"] - figures["agreement_low"])
    assert widths[1] / widths[0] == pytest.approx(math.sqrt(10), rel=0.25)


def test_an_audit_of_the_papers_size_is_finite_and_takes_a_byte_for_each_opening_prompt_and_resample() -> None:
    random = np.random.default_rng(1)
    pairs = 160_800
    table = scores.table(np.arange(pairs), random.normal(size=pairs), random.normal(size=pairs))
    sizes = random.integers(1, 2000, size=(pairs, 2))
    clusters = np.concatenate([np.arange(130_000), random.integers(0, 130_000, size=pairs - 130_000)])
    peaks, figures = [], {}
    for resamples in (64, 200):
        tracemalloc.start()
        figures = agreement.resistance(table, sizes, ClusterBootstrap(clusters, resamples, 1, 0.95))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert figures["opening_prompts"] == 130_000
    assert all(math.isfinite(value) for name, value in figures.items() if name != "independent_pairs")
    assert figures["agreement_high"] - figures["agreement_low"] == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(pairs), rel=0.5)
    assert peaks[0] < 60 * 8 * pairs  # bytes: 60 columns of floats
    assert peaks[1] - peaks[0] == pytest.approx(136 * 130_000, rel=0.2)


# --- resistance in groups ---


def test_resistance_in_groups_by_hand() -> None:
    table = rewards([2, 1, 0, 5, 1], [1, 2, 0, 1, 0.5])  # margins 1, -1, 0, 4, 0.5
    groups = {
        "some": np.array([True, True, True, True, False]),
        "one": np.array([False, False, True, False, False]),
        "none": np.zeros(5, dtype=bool),
    }
    figures = agreement.resistance_by({"of some": groups}, table, over(openings("a", "a", "b", "c", "d")))["of some"]
    assert (figures["some"]["pairs"], figures["some"]["opening_prompts"], figures["some"]["ties"]) == (4, 3, 1)
    assert figures["some"]["resistance"] == 0.5
    assert figures["some"]["resistance_low"] < 0.5 < figures["some"]["resistance_high"]
    low, high = proportion_confint(2, 4, 0.05, method="wilson")
    assert figures["some"]["independent_pairs"] == pytest.approx({"resistance_low": low, "resistance_high": high})
    assert (figures["one"]["resistance"], figures["one"]["resistance_low"]) == (1, None)
    assert figures["none"] == {"pairs": 0}


def test_a_group_of_all_pairs_has_the_resistance_of_the_role() -> None:
    random = np.random.default_rng(5)
    table = rewards(list(random.integers(0, 4, size=300)), list(random.integers(0, 4, size=300)))
    clusters = random.integers(0, 60, size=300)
    whole = agreement.resistance(table, random.integers(1, 9, size=(300, 2)), over(clusters))
    found = agreement.resistance_by({"": {"all": np.ones(300, dtype=bool)}}, table, over(clusters))[""]["all"]
    for name in ("pairs", "opening_prompts", "ties", "resistance", "resistance_low", "resistance_high"):
        assert found[name] == pytest.approx(whole[name])


@pytest.mark.parametrize("ranges", [agreement.TURNS, agreement.LENGTH_DIFFERENCES])
def test_every_whole_number_lies_in_one_range(ranges: dict[str, tuple[float, float]]) -> None:
    values = np.arange(1 if ranges is agreement.TURNS else -10_000, 10_000)
    masks = np.stack(list(agreement.in_ranges(values, ranges).values()))
    assert set(masks.sum(axis=0)) == {1}
    assert masks.any(axis=1).all()


def test_the_most_resistant_pairs_come_largest_negative_margin_first_and_of_equal_ones_the_lower_row_id() -> None:
    table = rewards([0, 0, 0, 0, 2], [1, 3, 1, 0, 1])  # margins -1, -3, -1, 0, 1
    pairs = pd.DataFrame({"row_id": [9, 5, 4, 2, 1], "opening_prompt": list("vwxyz"), "chosen_response": "c", "rejected_response": "r"})
    found = agreement.most_resistant(pairs, table, openings(*"crici"), 10)
    assert found["row_id"].tolist() == [5, 4, 9]
    assert found["gamma"].tolist() == ["r", "i", "c"]
    assert found["opening_prompt"].tolist() == ["w", "x", "v"]
    assert agreement.most_resistant(pairs, table, openings(*"crici"), 2)["row_id"].tolist() == [5, 4]


# --- regimes ---


def test_regimes_by_hand() -> None:
    control = np.array([True, True, True, False, False, False, False, True])
    aligned = np.array([True, True, True, True, True, False, False, False])
    figures = agreement.regimes(control, aligned, over(openings(*"aabbccdd")))
    assert (figures["pairs"], figures["opening_prompts"]) == (8, 4)
    expected = {"stayed_aligned": 3, "got_aligned": 2, "resists_alignment": 2, "reversed_alignment": 1}
    for name, count in expected.items():
        assert figures[name]["pairs"] == count
        assert figures[name]["share"] == pytest.approx(count / 8)
        assert figures[name]["share_low"] <= count / 8 <= figures[name]["share_high"]
        low, high = proportion_confint(count, 8, 0.05, method="wilson")
        assert figures[name]["independent_pairs"] == pytest.approx({"share_low": low, "share_high": high})


@pytest.mark.parametrize(
    ("control", "aligned", "regime"),
    [
        (True, True, "stayed_aligned"),
        (False, True, "got_aligned"),
        (False, False, "resists_alignment"),
        (True, False, "reversed_alignment"),
    ],
)
def test_each_pair_of_agreements_is_one_regime(control: bool, aligned: bool, regime: str) -> None:
    figures = agreement.regimes(np.array([control]), np.array([aligned]), over(openings("a")))
    for name in agreement.REGIMES:
        assert figures[name]["pairs"] == (name == regime)
        assert figures[name]["share_low"] is None


def published_agreements() -> tuple[np.ndarray, np.ndarray]:
    """(control, aligned) of each pair, in no order, rebuilt from the published counts."""
    kinds = {"stayed_aligned": (1, 1), "got_aligned": (0, 1), "resists_alignment": (0, 0), "reversed_alignment": (1, 0)}
    rows = np.repeat([kinds[name] for name in PUBLISHED], list(PUBLISHED.values()), axis=0).astype(bool)
    rows = np.random.default_rng(1).permutation(rows)
    return rows[:, 0], rows[:, 1]


def test_the_published_counts_give_the_published_regimes_and_agreements() -> None:
    control, aligned = published_agreements()
    pairs = len(control)
    figures = agreement.regimes(control, aligned, ClusterBootstrap(np.arange(pairs) // 2, 20, 1, 0.95))
    assert figures["pairs"] == pairs == 160_800
    assert figures["opening_prompts"] == 80_400
    assert {name: figures[name]["pairs"] for name in PUBLISHED} == PUBLISHED
    # 48.3 %, 25.8 %, 17.2 %, 8.7 %
    assert [round(100 * figures[name]["share"], 1) for name in PUBLISHED] == [48.3, 25.8, 17.2, 8.7]
    for role, agrees in (("control", control), ("aligned", aligned)):
        table = rewards(list(agrees), [0.5] * pairs)
        role_figures = agreement.resistance(table, np.ones((pairs, 2)), ClusterBootstrap(np.arange(pairs) // 2, 20, 1, 0.95))
        assert round(role_figures["agreement"], 2) == PUBLISHED_AGREEMENT[role]
    # of the aligned role: resists + reversed
    assert role_figures["resistance"] == pytest.approx((27644 + 14065) / 160800)


def test_regimes_have_the_intervals_of_their_means() -> None:
    random = np.random.default_rng(6)
    control, aligned, clusters = random.random(300) < 0.6, random.random(300) < 0.7, random.integers(0, 60, size=300)
    figures = agreement.regimes(control, aligned, over(clusters))
    draw = over(clusters)
    for name, (before, after) in agreement.REGIMES.items():
        members = (control == bool(before)) & (aligned == bool(after))
        assert (figures[name]["share_low"], figures[name]["share_high"]) == draw.intervals([members])[0].interval
    gained = draw.intervals([aligned.astype(float) - control])[0].interval
    assert (figures["agreement_gained_low"], figures["agreement_gained_high"]) == gained


def test_each_pair_has_the_name_of_its_regime() -> None:
    names = agreement.regime_names(np.array([True, False, False, True]), np.array([True, True, False, False]))
    assert names.tolist() == ["stayed_aligned", "got_aligned", "resists_alignment", "reversed_alignment"]


# --- pairwise ---


def test_pairwise_by_hand() -> None:
    first = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 1], dtype=bool)
    second = np.array([1, 1, 0, 0, 0, 0, 1, 0, 0, 0], dtype=bool)
    figures = agreement.pairwise(first, second, over(openings(*"aabbccddee")))
    assert (figures["pairs"], figures["opening_prompts"]) == (10, 5)
    assert figures["first_agreement"] == pytest.approx(0.7)
    assert figures["second_agreement"] == pytest.approx(0.3)
    assert figures["difference"] == pytest.approx(0.4)
    assert figures["difference_low"] <= 0.4 <= figures["difference_high"]
    assert (figures["only_first_agrees"], figures["only_second_agrees"]) == (5, 1)
    # of 6 discordant pairs, 0 or 1 one way, or the other way: 2 (1 + 6) / 64
    assert figures["independent_pairs"]["mcnemar_p"] == pytest.approx(14 / 64)
    assert figures["independent_pairs"]["mcnemar_log10_p"] == pytest.approx(math.log10(14 / 64))


def test_pairwise_turns_its_sign_with_the_order_of_the_roles() -> None:
    random = np.random.default_rng(2)
    first, second, clusters = random.random(200) < 0.7, random.random(200) < 0.5, random.integers(0, 40, size=200)
    one, other = agreement.pairwise(first, second, over(clusters)), agreement.pairwise(second, first, over(clusters))
    assert one["difference"] == pytest.approx(-other["difference"])
    assert (one["difference_low"], one["difference_high"]) == pytest.approx((-other["difference_high"], -other["difference_low"]))
    assert one["independent_pairs"] == other["independent_pairs"]
    table = [[0, one["only_first_agrees"]], [one["only_second_agrees"], 0]]
    assert one["independent_pairs"]["mcnemar_p"] == pytest.approx(mcnemar(table, exact=True).pvalue)


def test_a_role_does_not_differ_from_itself() -> None:
    agrees = np.array([True, False, True, True])
    figures = agreement.pairwise(agrees, agrees, over(openings(*"abcd")))
    assert (figures["difference"], figures["difference_low"], figures["difference_high"]) == (0, 0, 0)
    assert figures["independent_pairs"] == {"mcnemar_p": 1, "mcnemar_log10_p": 0}


def test_pairwise_on_the_published_counts() -> None:
    control, aligned = published_agreements()
    figures = agreement.pairwise(aligned, control, ClusterBootstrap(np.arange(len(control)), 20, 1, 0.95))
    assert (figures["only_first_agrees"], figures["only_second_agrees"]) == (41445, 14065)
    assert figures["difference"] == pytest.approx((41445 - 14065) / 160800)
    assert figures["independent_pairs"]["mcnemar_p"] == 0
    assert figures["independent_pairs"]["mcnemar_log10_p"] < -3000


@pytest.mark.parametrize("pairs", [1, 3])
def test_pairwise_of_a_single_opening_prompt_has_no_interval(pairs: int) -> None:
    figures = agreement.pairwise(np.ones(pairs, dtype=bool), np.zeros(pairs, dtype=bool), over(openings(*["a"] * pairs)))
    assert (figures["difference"], figures["difference_low"], figures["difference_high"]) == (1, None, None)
    assert figures["independent_pairs"]["mcnemar_p"] == pytest.approx({1: 1, 3: 0.25}[pairs])


# --- subsets ---


def test_an_empty_subset_is_only_counted() -> None:
    none = np.zeros(0, dtype=bool)
    assert agreement.resistance(rewards([], []), lengths(), over(openings())) == {"pairs": 0}
    assert agreement.regimes(none, none, over(openings())) == {"pairs": 0}
    assert agreement.pairwise(none, none, over(openings())) == {"pairs": 0}


def test_figures_are_given_over_all_over_differing_texts_by_part_and_by_source() -> None:
    pairs = pd.DataFrame(
        {
            "chosen_text": ["a", "b", "c", "d"],
            "rejected_text": ["a", "x", "x", "d"],
            "part": ["train", "held-out", "train", "train"],
            "source": ["helpful", "helpful", "harmless", "helpful"],
        }
    )

    def rows(mask: np.ndarray) -> dict[str, Any]:
        return {"rows": list(np.flatnonzero(mask))}

    assert agreement.by_subset(pairs, rows) == {
        "all": {"rows": [0, 1, 2, 3]},
        "differing_texts": {"rows": [1, 2]},
        "by_part": {"held-out": {"rows": [1]}, "train": {"rows": [0, 2, 3]}},
        "by_source": {"harmless": {"rows": [2]}, "helpful": {"rows": [0, 1, 3]}},
    }


# --- the histogram of margins ---


def test_margins_beyond_four_standard_deviations_count_at_the_ends() -> None:
    margins = [-50.0, 50.0] + [-1.0, 1.0] * 499
    table = agreement.margin_histogram(rewards(margins, [0] * 1000))
    assert len(table) == 40
    shares = dict(zip(table["margin"], table["share"], strict=True))
    assert (shares[-3.9], shares[3.9]) == (0.001, 0.001)
    # the standard deviation is sqrt((2 * 2500 + 998) / 1000) = 2.45, and 1 / 2.45 = 0.41
    assert (shares[-0.5], shares[0.5]) == (0.499, 0.499)
    assert table["share"].sum() == pytest.approx(1)


def test_ties_lie_left_of_0_in_the_histogram() -> None:
    table = agreement.margin_histogram(rewards([0.0, 0.0, 1e-9, 2.0], [0] * 4))
    assert table["share"][table["margin"] > 0].sum() == pytest.approx(0.5)


@pytest.mark.parametrize("margins", [[0.0], [0.0, 0.0, 0.0], [0.5, 0.5]])
def test_margins_that_are_all_alike_have_a_histogram(margins: list[float]) -> None:
    table = agreement.margin_histogram(rewards(margins, [0] * len(margins)))
    assert table["share"].sum() == pytest.approx(1)
    assert (table["share"] > 0).sum() == 1


def test_the_agreement_gained_is_what_got_aligned_less_what_was_reversed() -> None:
    control = np.array([True, False, False, True, False, False])
    aligned = np.array([True, True, True, False, False, True])
    figures = agreement.regimes(control, aligned, ClusterBootstrap(np.array(list("aabbcc")), 200, 1, 0.95))
    assert figures["agreement_gained"] == pytest.approx((3 - 1) / 6)
    assert figures["agreement_gained_low"] <= figures["agreement_gained"] <= figures["agreement_gained_high"]


@pytest.mark.parametrize(
    ("resamples", "seed", "level"), [(0, 1, 0.95), (100, -1, 0.95), (100, 1, 95), (100, 1, 0.0), (100, 1, float("nan"))]
)
def test_intervals_that_cannot_be_made_are_refused(resamples: int, seed: int, level: float) -> None:
    with pytest.raises(InputError, match=r"^intervals: resamples"):
        ClusterBootstrap(np.arange(3), resamples, seed, level)
