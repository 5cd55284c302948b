"""Gamma and what goes with it: by hand, against statsmodels, and on the published tables of SEAL (arXiv 2408.10270)."""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up import LABELS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from seal import labeler_preference
from seal.errors import InputError
from seal.features import values
from seal.labeler_preference import COMPARED, PairLabels
from seal.uncertainty import ClusterBootstrap

over = partial(ClusterBootstrap, resamples=50, seed=1, level=0.95)
"""Bootstrap over opening prompts, [pairs]."""

# SEAL's published table of labels: <harmless><helpful> of chosen | of rejected, over all 160,800 pairs.
PUBLISHED_COMBINATIONS = {
    **{"11|11": 102151, "11|10": 19071, "10|10": 12093, "10|11": 8917, "00|00": 7131, "10|00": 4860, "11|00": 3628, "00|10": 819},
    **{"00|11": 725, "11|01": 453, "10|01": 263, "00|01": 193, "01|00": 168, "01|11": 153, "01|01": 142, "01|10": 33},
}
PUBLISHED_GAMMA = {"c": 28443, "r": 10840, "i": 121517}

# SEAL's published table of what control prefers | gamma | what aligned prefers.
PUBLISHED_BY_LABELER = {
    **{"c|i|c": 58350, "r|i|c": 29154, "r|i|r": 22907, "c|i|r": 11106},
    **{"c|c|c": 16531, "r|c|c": 9065, "r|c|r": 1623, "c|c|r": 1410},
    **{"c|r|c": 2765, "r|r|c": 3226, "r|r|r": 3114, "c|r|r": 1549},
}
# Its gamma has a slip: a printed array is compared with "[1, 1]", while NumPy prints "[1 1]", so that pairs with chosen 01 and rejected 11
# or 10, of which the labeler prefers the rejected text, are counted under c.
SLIPPED = 153 + 33


def side(harmless: list[bool], helpful: list[bool], **others: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({COMPARED[0]: harmless, COMPARED[1]: helpful, **others})


def labels_of(combinations: list[str]) -> PairLabels:
    """Labels of pairs with these combinations, such as 11|10."""
    bits = np.array([[digit == "1" for digit in each if digit != "|"] for each in combinations], dtype=bool).reshape(-1, 4)
    return PairLabels(
        side(list(bits[:, 0]), list(bits[:, 1])), side(list(bits[:, 2]), list(bits[:, 3])), np.ones(len(combinations), dtype=bool)
    )


def table(*rows: tuple[int, str, bool, bool]) -> pd.DataFrame:
    """A table of labels from row_id, preference, harmless, helpful."""
    return pd.DataFrame(
        [{"row_id": row, "preference": side, "text": "", **LABELS, COMPARED[0]: harm, COMPARED[1]: help} for row, side, harm, help in rows]
    )


def published_rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(control agrees, gamma, aligned agrees) of each pair, in no order, rebuilt from the published counts."""
    kinds = np.array([key.split("|") for key in PUBLISHED_BY_LABELER], dtype=object)
    rows = np.random.default_rng(1).permutation(np.repeat(kinds, list(PUBLISHED_BY_LABELER.values()), axis=0))
    return rows[:, 0] == "c", rows[:, 1], rows[:, 2] == "c"


# --- gamma ---


@pytest.mark.parametrize(
    ("chosen", "rejected", "expected"),
    [
        # <harmless><helpful>: whatever is harmless beats whatever is not
        *[(chosen, rejected, "c") for chosen, rejected in product(("10", "11"), ("00", "01"))],
        *[(chosen, rejected, "r") for chosen, rejected in product(("00", "01"), ("10", "11"))],
        # as harmless: the helpful one wins
        *[("11", "10", "c"), ("01", "00", "c"), ("10", "11", "r"), ("00", "01", "r")],
        *[(same, same, "i") for same in ("00", "01", "10", "11")],
    ],
)
def test_gamma_of_each_combination(chosen: str, rejected: str, expected: str) -> None:
    assert labeler_preference.gamma(labels_of([f"{chosen}|{rejected}"])).tolist() == [expected]


def test_published_labels_give_the_published_gamma() -> None:
    labels = labels_of(list(np.repeat(list(PUBLISHED_COMBINATIONS), list(PUBLISHED_COMBINATIONS.values()))))
    gammas = labeler_preference.gamma(labels)
    assert {name: int((gammas == name).sum()) for name in "cri"} == PUBLISHED_GAMMA
    assert labeler_preference.label_combinations(labels) == PUBLISHED_COMBINATIONS
    shares = labeler_preference.gamma_shares(gammas, ClusterBootstrap(np.arange(len(gammas)) // 2, 2, 1, 0.95))
    assert {name: found["pairs"] for name, found in shares.items()} == PUBLISHED_GAMMA
    assert [found["share"] for found in shares.values()] == [28443 / 160800, 10840 / 160800, 121517 / 160800]


def test_a_pair_of_which_a_text_has_no_labels_has_no_gamma() -> None:
    labels = table((7, "rejected", True, False), (5, "chosen", True, True), (7, "chosen", False, True), (9, "rejected", True, True))
    joined = labeler_preference.by_pair(labels, np.array([5, 7, 8, 9]), COMPARED, "labels.csv")
    assert joined.labelled.tolist() == [False, True, False, False]
    assert labeler_preference.gamma(joined).tolist() == ["unlabelled", "r", "unlabelled", "unlabelled"]
    groups = labeler_preference.gamma_groups(labeler_preference.gamma(joined))
    assert {name: members.sum() for name, members in groups.items()} == {"c": 0, "r": 1, "i": 0, "unlabelled": 3}


def test_labels_join_by_row_id_whatever_their_order() -> None:
    rows = [(row, side, row % 2 == 0, side == "chosen") for row in (4, 1, 3, 2) for side in ("rejected", "chosen")]
    # 4 and 2: both harmless, chosen helpful; so of 1 and 3, of which neither is harmless
    extra = [(5, "chosen", False, True), (5, "rejected", True, False)]
    joined = labeler_preference.by_pair(table(*rows, *extra), np.array([5, 1, 2, 3, 4]), COMPARED, "labels.csv")
    assert labeler_preference.gamma(joined).tolist() == ["r", "c", "c", "c", "c"]
    assert labeler_preference.label_combinations(joined) == dict.fromkeys(PUBLISHED_COMBINATIONS, 0) | {"01|10": 1, "01|00": 2, "11|10": 2}
    kept = labeler_preference.subset(joined, np.array([True, False, False, False, True]))
    assert labeler_preference.gamma(kept).tolist() == ["r", "c"]


def test_labels_without_what_gamma_compares_are_refused() -> None:
    labels = table((1, "chosen", True, True), (1, "rejected", True, True)).drop(columns=COMPARED[1])
    with pytest.raises(InputError, match=r"^labels\.csv: lacks the column\(s\) last_response_is_helpful; label the texts"):
        labeler_preference.by_pair(labels, np.array([1]), COMPARED, "labels.csv")


def test_without_any_labelled_pair_there_are_counts_and_nulls() -> None:
    joined = labeler_preference.by_pair(table((1, "chosen", True, True)), np.array([1, 2]), COMPARED, "labels.csv")
    agrees = np.array([True, False])
    figures = labeler_preference.regimes_report(agrees, agrees, joined, over(np.array(["a", "b"])))
    assert (figures["labelled_pairs"], figures["unlabelled_pairs"]) == (0, 2)
    assert figures["gamma"]["c"] == {"pairs": 0, "share": None, "share_low": None, "share_high": None}
    assert figures["regimes"]["unlabelled"]["stayed_aligned"]["pairs"] == 1
    assert figures["regimes"]["c"] == {"pairs": 0}
    assert figures["agreement_with_human"] == {"pairs": 0, "indifferent": 0}


# --- topics ---


def test_a_pair_has_the_topics_of_either_text() -> None:
    history, religion = "History and events", "Religion and belief systems"
    chosen = side([True] * 3, [True] * 3, topics=[[history], [], [history, religion]])
    rejected = side([True] * 3, [True] * 3, topics=[[religion], [], [history]])
    groups = labeler_preference.topic_groups(PairLabels(chosen, rejected, np.array([True, False, True, True])))
    assert list(groups) == [*values("topics"), "no topic", "unlabelled"]
    found = {name: np.flatnonzero(members).tolist() for name, members in groups.items() if members.any()}
    assert found == {history: [0, 3], religion: [0, 3], "no topic": [2], "unlabelled": [1]}


# --- regimes by gamma ---


def test_the_published_table_of_regimes_by_labeler() -> None:
    control, gammas, aligned = published_rows()
    assert len(gammas) == 160_800
    # the slip moves 186 pairs from r to c, and nothing else
    assert {name: int((gammas == name).sum()) for name in "cri"} == {"c": 28443 + SLIPPED, "r": 10840 - SLIPPED, "i": 121517}
    found = labeler_preference.regimes_by_gamma(control, aligned, gammas, ClusterBootstrap(np.arange(len(gammas)) // 2, 2, 1, 0.95))
    for name, (before, after) in {
        "stayed_aligned": "cc",
        "got_aligned": "rc",
        "resists_alignment": "rr",
        "reversed_alignment": "cr",
    }.items():
        for gamma, pairs in (("i", 121517), ("c", 28629), ("r", 10654)):
            count = PUBLISHED_BY_LABELER[f"{before}|{gamma}|{after}"]
            assert found[gamma][name]["pairs"] == count
            assert found[gamma][name]["share"] == count / pairs
    assert found["unlabelled"] == {"pairs": 0}
    # over all gammas, the published regimes
    totals = [sum(found[gamma][name]["pairs"] for gamma in "cri") for name in ("stayed_aligned", "got_aligned", "resists_alignment")]
    assert totals == [77646, 41445, 27644]


# --- control, aligned and the labeler against the human ---


def test_the_published_table_sets_control_aligned_and_the_labeler_against_each_other() -> None:
    control, gammas, aligned = published_rows()
    found = labeler_preference.agreement_with_human(control, aligned, gammas, ClusterBootstrap(np.arange(len(gammas)), 2, 1, 0.95))
    assert (found["pairs"], found["indifferent"]) == (28629 + 10654, 121517)
    discordant = {name: (each["only_first_agrees"], each["only_second_agrees"]) for name, each in found.items() if isinstance(each, dict)}
    assert discordant == {
        "aligned_control": (9065 + 3226, 1410 + 1549),
        "aligned_labeler": (2765 + 3226, 1623 + 1410),  # aligned agrees where gamma is r; does not where it is c
        "control_labeler": (2765 + 1549, 9065 + 1623),
    }
    shares = {name: (each["first_agreement"], each["second_agreement"]) for name, each in found.items() if isinstance(each, dict)}
    assert shares["aligned_control"] == pytest.approx(((16531 + 9065 + 2765 + 3226) / 39283, (16531 + 1410 + 2765 + 1549) / 39283))
    assert shares["control_labeler"][1] == pytest.approx(28629 / 39283)
    for each in (found["aligned_control"], found["control_labeler"]):
        assert each["independent_pairs"]["mcnemar_log10_p"] < -300
        assert each["independent_pairs"]["mcnemar_p_holm"] == 0


def test_the_three_tests_are_those_of_statsmodels_adjusted_by_its_holm() -> None:
    random = np.random.default_rng(3)
    control, aligned = random.random(400) < 0.5, random.random(400) < 0.58
    gammas = random.choice(["c", "r", "i", "unlabelled"], size=400, p=[0.4, 0.3, 0.2, 0.1]).astype(object)
    found = labeler_preference.agreement_with_human(control, aligned, gammas, over(random.integers(0, 99, size=400)))
    decided = (gammas == "c") | (gammas == "r")
    sides = {"control": control[decided], "aligned": aligned[decided], "labeler": gammas[decided] == "c"}
    names = ["aligned_control", "aligned_labeler", "control_labeler"]
    expected = [
        mcnemar(pd.crosstab(*(sides[side] for side in name.split("_"))).to_numpy(), exact=True).pvalue  # type: ignore[arg-type]
        for name in names
    ]
    tests = [found[name]["independent_pairs"] for name in names]
    assert [test["mcnemar_p"] for test in tests] == pytest.approx(expected)
    assert [test["mcnemar_p_holm"] for test in tests] == pytest.approx(multipletests(expected, method="holm")[1])
    assert 1e-6 < min(expected) < 0.05


def test_a_role_that_follows_the_labeler_does_not_differ_from_it() -> None:
    gammas = np.array(["c", "r", "i", "c", "r", "unlabelled"], dtype=object)
    control, aligned = gammas == "c", gammas != "c"
    found = labeler_preference.agreement_with_human(control, aligned, gammas, over(np.arange(6)))
    assert (found["control_labeler"]["difference"], found["control_labeler"]["independent_pairs"]["mcnemar_p"]) == (0, 1)
    assert (found["aligned_labeler"]["only_first_agrees"], found["aligned_labeler"]["only_second_agrees"]) == (2, 2)


def test_more_resistance_where_the_labeler_prefers_the_rejected_text_is_a_difference_over_the_same_resamples() -> None:
    random = np.random.default_rng(4)
    clusters = np.arange(90) // 3
    gammas = random.choice(np.array(["c", "r", "i", "unlabelled"], dtype=object), size=90)
    resists = random.random(90) < np.where(gammas == "r", 0.6, 0.2)
    found = labeler_preference.rejected_minus_chosen(resists, gammas, over(clusters))
    drawn = np.random.default_rng(1).integers(30, size=(50, 30), dtype=np.int32)
    rows = [np.concatenate([np.flatnonzero(clusters == cluster) for cluster in draw]) for draw in drawn]
    ends = np.quantile(
        [resists[each][gammas[each] == "r"].mean() - resists[each][gammas[each] == "c"].mean() for each in rows], [0.025, 0.975]
    )
    assert (found["pairs"], found["opening_prompts"]) == (
        np.isin(gammas, ["r", "c"]).sum(),
        len(set(clusters[np.isin(gammas, ["r", "c"])])),
    )
    difference = resists[gammas == "r"].mean() - resists[gammas == "c"].mean()
    assert (found["resistance"], found["resistance_low"], found["resistance_high"]) == pytest.approx((difference, *ends))
    counts = [count for gamma in "rc" for count in (int(resists[gammas == gamma].sum()), int((gammas == gamma).sum()))]
    expected = confint_proportions_2indep(*counts, compare="diff", method="newcomb")
    assert tuple(found["independent_pairs"].values()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("gammas", "reason"), [("cic", "rejected text of no pair"), ("rri", "chosen text of no pair"), ("i", "rejected text of")]
)
def test_without_pairs_of_both_kinds_there_is_no_difference(gammas: str, reason: str) -> None:
    found = labeler_preference.rejected_minus_chosen(np.ones(len(gammas), dtype=bool), np.array(list(gammas)), over(np.arange(len(gammas))))
    assert found["resistance"] is None
    assert reason in found["resistance_reason"]


def test_one_pair_has_figures_without_intervals() -> None:
    agrees = np.array([True])
    figures = labeler_preference.regimes_report(agrees, ~agrees, labels_of(["11|00"]), over(np.array(["a"])))
    assert figures["gamma"]["c"] == {"pairs": 1, "share": 1, "share_low": None, "share_high": None}
    assert figures["regimes"]["c"]["reversed_alignment"]["pairs"] == 1
    assert figures["agreement_with_human"]["aligned_labeler"]["difference_low"] is None
    assert figures["agreement_with_human"]["aligned_labeler"]["difference"] == -1
