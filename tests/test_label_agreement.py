"""Agreement of labelers: published figures, other implementations, by hand, and truths that were planted."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import krippendorff
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from seal import label_agreement
from seal.features import BOOLEANS, FEATURES, LISTS, SENTIMENT, SHOWN_BY_WORDS
from seal.label_agreement import (
    cohen_kappa,
    compare,
    gwet_ac1,
    krippendorff_alpha,
    linear,
    nominal,
    ordinal_alpha,
    raw_agreement,
    specific_agreement,
)
from seal.uncertainty import ClusterBootstrap

SENTIMENTS = ["negative", "neutral", "positive"]
REFUSAL, HELPFUL, INSULT = "last_response_is_refusal", "last_response_is_helpful", "last_response_contains_insult"
over = partial(ClusterBootstrap, resamples=200, seed=1, level=0.95)
"""Bootstrap over opening prompts, [pairs]."""


def labels(n: int, **given: Any) -> pd.DataFrame:
    """A table of labels in which all booleans are False, sentiments neutral and lists empty, but for what is given."""
    table: dict[str, Any] = {"row_id": np.arange(n), "preference": ["chosen"] * n}
    for feature in FEATURES:
        empty: Any = [[] for _ in range(n)] if feature in LISTS else ["neutral"] * n if feature == SENTIMENT else [False] * n
        table[feature] = given.get(feature, empty)
    return pd.DataFrame(table)


def confusion(first: Any, second: Any, k: int) -> np.ndarray:
    return np.array([[sum(a == i and b == j for a, b in zip(first, second, strict=True)) for j in range(k)] for i in range(k)], dtype=float)


def compared(first: pd.DataFrame, second: pd.DataFrame, clusters: Any = None, gold: bool = True, **changes: Any) -> dict[str, Any]:
    names = ("labeler", "gold" if gold else "control")
    openings = np.arange(len(first)) if clusters is None else np.array(clusters, dtype=object)
    return compare(first, second, names, over(openings, **changes), gold=gold)


# --- published figures ---


def test_the_abstractors_of_irrcac_have_its_figures() -> None:
    # cont3x3abstractors of the R package irrCAC, and what its vignette prints for it
    table = np.array([[13.0, 0, 0], [0, 20, 7], [0, 4, 56]])
    assert raw_agreement(table) == pytest.approx(0.89)
    assert cohen_kappa(table, nominal(3)) == pytest.approx(0.7964094, abs=5e-8)
    assert gwet_ac1(table) == pytest.approx(0.8493305, abs=5e-8)
    assert krippendorff_alpha(table) == pytest.approx(0.7972585, abs=5e-8)


def test_a_rare_class_breaks_kappa_and_not_ac1() -> None:
    # of 125 texts, one labeler calls 5 rare and the other 2, never the same: agreement 118/125
    table = np.array([[118.0, 5], [2, 0]])
    share = (123 + 120) / 250  # of all labels, the frequent one
    chance = 2 * share * (1 - share)
    assert gwet_ac1(table) == pytest.approx((118 / 125 - chance) / (1 - chance))
    assert gwet_ac1(table) == pytest.approx(0.9408, abs=5e-5)  # Gwet's figure
    assert cohen_kappa(table, nominal(2)) == pytest.approx(-0.0234, abs=5e-5)


@pytest.mark.parametrize(
    ("table", "kappa", "positive", "negative"),
    [
        ([[40, 9], [6, 45]], 0.70, 80 / 95, 90 / 105),
        ([[80, 10], [5, 5]], 0.32, 160 / 175, 10 / 25),
    ],
)
def test_the_paradox_of_feinstein_and_cicchetti(table: list[list[int]], kappa: float, positive: float, negative: float) -> None:
    # both tables agree on 85 of 100, theirs count the positive class first
    tables = np.array(table, dtype=float)
    assert raw_agreement(tables) == pytest.approx(0.85)
    assert cohen_kappa(tables, nominal(2)) == pytest.approx(kappa, abs=0.005)
    assert (specific_agreement(tables, 0), specific_agreement(tables, 1)) == pytest.approx((positive, negative))


@pytest.mark.parametrize(
    ("first", "second", "alpha"),
    [("0100000010", "1110010000", 0.095), ("aabbdcccedda", "babbbccceddd", 0.692)],
)
def test_the_examples_of_krippendorff(first: str, second: str, alpha: float) -> None:
    classes = sorted(set(first + second))
    table = confusion([classes.index(label) for label in first], [classes.index(label) for label in second], len(classes))
    assert krippendorff_alpha(table) == pytest.approx(alpha, abs=0.0005)


# --- other implementations ---


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("seed", range(8))
def test_kappa_alpha_and_recall_are_those_of_scikit_learn_and_krippendorff(k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    second = random.choice(k, size=60, p=random.dirichlet(np.ones(k)))
    second[:k] = np.arange(k)  # every class is there, so that the references know of it
    first = np.where(random.random(60) < 0.6, second, random.integers(k, size=60))
    table, classes = confusion(first, second, k), list(range(k))
    assert raw_agreement(table) == pytest.approx(metrics.accuracy_score(second, first))
    assert cohen_kappa(table, nominal(k)) == pytest.approx(metrics.cohen_kappa_score(first, second))
    assert cohen_kappa(table, linear(k)) == pytest.approx(metrics.cohen_kappa_score(first, second, weights="linear"))
    for level, alpha in (("nominal", krippendorff_alpha), ("ordinal", ordinal_alpha)):
        expected = krippendorff.alpha(reliability_data=[first, second], value_domain=classes, level_of_measurement=level)
        assert alpha(table) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    recalls = metrics.recall_score(second, first, labels=classes, average=None)
    assert [float(label_agreement.recall(table, label)) for label in classes] == pytest.approx(list(recalls))
    assert label_agreement.balanced_accuracy(table, classes) == pytest.approx(metrics.balanced_accuracy_score(second, first))
    shares = metrics.f1_score(second, first, labels=classes, average=None)  # of one class, positive agreement by another name
    assert [float(specific_agreement(table, label)) for label in classes] == pytest.approx(list(shares))


@pytest.mark.parametrize("sizes", [(1, 2), (2, 2), (3, 7)])
def test_alpha_of_few_labels_has_the_correction_for_small_samples(sizes: tuple[int, int]) -> None:
    agreeing, differing = sizes
    first, second = [1] * agreeing + [0] * differing, [1] * (agreeing + differing)
    expected = krippendorff.alpha(reliability_data=[first, second], value_domain=[0, 1], level_of_measurement="nominal")
    assert krippendorff_alpha(confusion(first, second, 2)) == pytest.approx(expected)


STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "raw": raw_agreement,
    "positive": lambda tables: specific_agreement(tables, 1),
    "kappa": lambda tables: cohen_kappa(tables, nominal(3)),
    "linear kappa": lambda tables: cohen_kappa(tables, linear(3)),
    "ac1": gwet_ac1,
    "alpha": krippendorff_alpha,
    "ordinal alpha": ordinal_alpha,
    "recall": lambda tables: label_agreement.recall(tables, 1),
    "balanced accuracy": lambda tables: label_agreement.balanced_accuracy(tables, [0, 1, 2]),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_many_tables_at_once_give_each_tables_figure(name: str) -> None:
    tables = np.random.default_rng(1).integers(0, 9, size=(4, 5, 3, 3)).astype(float)
    tables[0, 0] = 0  # and one of them has no text
    together = STATISTICS[name](tables)
    assert together.shape == (4, 5)
    assert math.isnan(together[0, 0])
    one_by_one = [[float(STATISTICS[name](table)) for table in row] for row in tables]
    assert together == pytest.approx(np.array(one_by_one), rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", STATISTICS)
def test_perfect_agreement_is_one(name: str) -> None:
    assert STATISTICS[name](np.diag([3.0, 1, 4])) == 1


def test_where_only_one_class_is_given_chance_corrected_figures_are_undefined_but_ac1() -> None:
    table = np.array([[7.0, 0], [0, 0]])
    assert math.isnan(cohen_kappa(table, nominal(2)))
    assert math.isnan(krippendorff_alpha(table))
    assert math.isnan(specific_agreement(table, 1))
    assert (specific_agreement(table, 0), gwet_ac1(table), raw_agreement(table)) == (1, 1, 1)


# --- lists ---


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (["a", "b"], ["b", "a"], 1),
        (["a", "b"], ["b", "c"], 1 / 3),
        (["a"], [], 0),
        ([], [], 1),
        (["a", "a"], ["a"], 1),
    ],
)
def test_jaccard_is_of_sets_and_two_empty_ones_agree(first: list[str], second: list[str], expected: float) -> None:
    assert label_agreement.jaccard(first, second) == pytest.approx(expected)
    assert label_agreement.jaccard(second, first) == pytest.approx(expected)


def test_lists_have_their_mean_jaccard_and_tell_how_many_are_empty_on_both_sides() -> None:
    history, logic = "History and events", "Mathematics and logic"
    first = labels(4, topics=[[history, logic], [], [], [logic]])
    second = labels(4, topics=[[history], [], [logic], [logic]])
    found = compared(first, second)["features"]["topics"]
    assert list(found) == ["n", "both_empty_counted_as_1", "mean_jaccard"]
    assert (found["n"], found["both_empty_counted_as_1"]) == (4, 1)
    assert found["mean_jaccard"]["value"] == pytest.approx((1 / 2 + 1 + 0 + 1) / 4)


# --- the figures of a comparison ---


def test_a_boolean_by_hand() -> None:
    said = [True, True, True, False, False, False, False, False]
    truth = [True, True, False, True, False, False, False, False]
    found = compared(labels(8, **{REFUSAL: said}), labels(8, **{REFUSAL: truth}), clusters=list("aabbccdd"))
    assert (found["texts"], found["opening_prompts"]) == (8, 4)
    figures = found["features"][REFUSAL]
    assert (figures["n"], figures["positives"]) == (8, {"labeler": 3, "gold": 3})
    expected = {  # both True 2, only the labeler 1, only gold 1, neither 4
        "raw_agreement": 6 / 8,
        "positive_agreement": 4 / 6,
        "negative_agreement": 8 / 10,
        "cohen_kappa": (48 - 34) / (64 - 34),  # by chance 3 * 3 + 5 * 5 of 64
        "gwet_ac1": (6 / 8 - 30 / 64) / (1 - 30 / 64),  # chance 2 * 3/8 * 5/8
        "krippendorff_alpha": 1 - 15 * 2 * 2 / (2 * 6 * 10),
        "sensitivity": 2 / 3,
        "specificity": 4 / 5,
        "balanced_accuracy": (2 / 3 + 4 / 5) / 2,
    }
    assert list(figures) == ["n", "positives", *expected]
    for name, value in expected.items():
        assert figures[name]["value"] == pytest.approx(value), name


def test_sentiment_by_hand() -> None:
    said = ["negative", "neutral", "neutral", "positive", "neutral"]
    truth = ["negative", "negative", "neutral", "neutral", "neutral"]
    figures = compared(labels(5, **{SENTIMENT: said}), labels(5, **{SENTIMENT: truth}))["features"][SENTIMENT]
    assert list(figures) == ["n", "raw_agreement", "linear_kappa", "ordinal_alpha", "balanced_accuracy"]
    assert figures["raw_agreement"]["value"] == pytest.approx(3 / 5)
    # gold has 2 negative and 3 neutral; the labeler finds 1 and 2 of them, and positive is nowhere in gold
    assert figures["balanced_accuracy"]["value"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    # steps apart: 2 in 5 texts; expected by (1, 3, 1) against (2, 3, 0): 1 * 3 + 3 * 2 + 1 * (2 * 2 + 3) of 25
    assert figures["linear_kappa"]["value"] == pytest.approx(1 - (2 / 5) / (16 / 25))


def test_without_gold_neither_side_is_a_yardstick() -> None:
    first = labels(4, **{REFUSAL: [True, True, False, False]})
    second = labels(4, **{REFUSAL: [True, False, False, False]})
    one, other = compared(first, second, gold=False), compared(second, first, gold=False)
    assert list(one) == ["texts", "opening_prompts", "features"]
    assert list(one["features"]) == list(FEATURES)
    names = {name for figures in one["features"].values() for name in figures}
    assert not names & {"sensitivity", "specificity", "balanced_accuracy"}
    assert one["features"][REFUSAL]["positives"] == {"labeler": 2, "control": 1}
    for name in ("raw_agreement", "positive_agreement", "negative_agreement", "cohen_kappa", "gwet_ac1", "krippendorff_alpha"):
        assert one["features"][REFUSAL][name]["value"] == pytest.approx(other["features"][REFUSAL][name]["value"])


def test_two_labelers_that_never_say_true_have_null_where_there_is_nothing_to_measure() -> None:
    figures = compared(labels(4), labels(4), gold=False)["features"]
    nothing = {"value": None, "low": None, "high": None}
    assert figures[REFUSAL]["positive_agreement"] == {**nothing, "reason": "neither ever says True"}
    for name in ("cohen_kappa", "krippendorff_alpha"):
        assert figures[REFUSAL][name] == {**nothing, "reason": "both give one and the same class to every text"}
    assert figures[SENTIMENT]["linear_kappa"]["reason"] == "both give one and the same class to every text"
    assert figures[REFUSAL]["negative_agreement"] == figures[REFUSAL]["gwet_ac1"] == {"value": 1, "low": 1, "high": 1}


def test_a_feature_with_one_class_in_gold_is_null_with_the_reason() -> None:
    said = labels(4, **{REFUSAL: [True, False, False, False]}, topics=[["History and events"], [], [], []])
    gold = labels(4, **{HELPFUL: [True] * 4, INSULT: [True, False, False, False]})
    found = compared(said, gold)
    reasons = {REFUSAL: "False", HELPFUL: "True", SENTIMENT: "neutral", "topics": "[]"}
    for feature, label in reasons.items():
        figures = [figure for figure in found["features"][feature].values() if isinstance(figure, dict) and "value" in figure]
        assert figures
        for figure in figures:
            assert figure == {"value": None, "low": None, "high": None, "reason": f"gold has one class only: {label}"}
    assert found["features"][REFUSAL]["positives"] == {"labeler": 1, "gold": 0}
    assert found["features"][INSULT]["sensitivity"]["value"] == 0
    # a mean over other features than elsewhere would not be the same measure
    shown = found["balanced_accuracy_shown_by_words"]
    assert shown["value"] is None
    assert shown["reason"].startswith(
        "undefined for assistant_is_anthropomorphic, last_response_is_anthropomorphic, last_response_is_refusal, "
    )
    assert INSULT not in shown["reason"]


def test_no_text_at_all_gives_nulls() -> None:
    for gold in (True, False):
        found = compared(labels(0), labels(0), gold=gold)
        assert (found["texts"], found["opening_prompts"]) == (0, 0)
        for figures in found["features"].values():
            assert figures["n"] == 0
            assert {figure["reason"] for figure in figures.values() if isinstance(figure, dict) and "value" in figure} == {
                "no text is labelled by both"
            }
    assert compared(labels(0), labels(0))["balanced_accuracy_shown_by_words"]["reason"] == "no text is labelled by both"


def test_tables_are_aligned_by_row_id_and_preference() -> None:
    first = labels(4).assign(row_id=[5, 5, 2, 9], preference=["rejected", "chosen", "chosen", "chosen"], mark=list("abcd"))
    second = labels(4).assign(row_id=[2, 5, 9, 7], preference=["chosen", "rejected", "rejected", "chosen"], mark=list("wxyz"))
    one, other = label_agreement.aligned(first, second)
    assert (one["mark"].tolist(), other["mark"].tolist()) == (["a", "c"], ["x", "w"])
    nothing = label_agreement.aligned(first[:0], second)
    assert [len(side) for side in nothing] == [0, 0]


# --- intervals ---


def noisy(n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Gold, a labeler that often agrees with it, and uneven clusters."""
    random = np.random.default_rng(seed)
    gold, said = {}, {}
    for feature in BOOLEANS:
        gold[feature] = random.random(n) < 0.4
        said[feature] = np.where(random.random(n) < 0.8, gold[feature], random.random(n) < 0.5)
    gold[SENTIMENT] = random.choice(SENTIMENTS, size=n)
    said[SENTIMENT] = np.where(random.random(n) < 0.7, gold[SENTIMENT], random.choice(SENTIMENTS, size=n))
    for feature in LISTS:
        lists = [[], ["Gender"], ["Gender", "Political Belief"]]
        gold[feature], said[feature] = ([lists[i] for i in random.integers(3, size=n)] for _ in range(2))
    return labels(n, **said), labels(n, **gold), np.array([f"opening {i}" for i in random.integers(n // 4, size=n)], dtype=object)


def resamples(clusters: np.ndarray, number: int, seed: int) -> list[np.ndarray]:
    """Rows of whole clusters drawn with replacement and laid end to end."""
    random = np.random.default_rng(seed)
    members = [np.flatnonzero(clusters == cluster) for cluster in sorted(set(clusters))]
    return [np.concatenate([members[i] for i in random.integers(len(members), size=len(members))]) for _ in range(number)]


def test_intervals_are_those_of_resampled_whole_opening_prompts() -> None:
    said, gold, clusters = noisy(120, seed=3)
    found = compared(said, gold, clusters, resamples=80, seed=9, level=0.9)
    assert found["opening_prompts"] == len(set(clusters))
    drawn = resamples(clusters, 80, seed=9)

    def ends(statistic: Callable[[np.ndarray], float]) -> tuple[float, float]:
        low, high = np.quantile([statistic(rows) for rows in drawn], [0.05, 0.95])
        return float(low), float(high)

    def column(table: pd.DataFrame, feature: str, rows: np.ndarray) -> np.ndarray:
        return table[feature].to_numpy()[rows]

    def balanced(feature: str, rows: np.ndarray) -> float:
        return float(metrics.balanced_accuracy_score(column(gold, feature, rows), column(said, feature, rows)))

    def overlap(rows: np.ndarray) -> float:
        sides = zip(column(said, "topics", rows), column(gold, "topics", rows), strict=True)
        return float(np.mean([len(set(a) & set(b)) / len(set(a) | set(b)) if a or b else 1 for a, b in sides]))

    expected = {
        (REFUSAL, "cohen_kappa"): lambda rows: metrics.cohen_kappa_score(column(said, REFUSAL, rows), column(gold, REFUSAL, rows)),
        (REFUSAL, "sensitivity"): lambda rows: metrics.recall_score(column(gold, REFUSAL, rows), column(said, REFUSAL, rows)),
        (INSULT, "krippendorff_alpha"): lambda rows: krippendorff.alpha(
            reliability_data=[column(table, INSULT, rows).astype(int) for table in (said, gold)], level_of_measurement="nominal"
        ),
        (SENTIMENT, "ordinal_alpha"): lambda rows: krippendorff.alpha(
            reliability_data=[[SENTIMENTS.index(label) for label in column(table, SENTIMENT, rows)] for table in (said, gold)],
            level_of_measurement="ordinal",
        ),
        (SENTIMENT, "balanced_accuracy"): lambda rows: balanced(SENTIMENT, rows),
        ("topics", "mean_jaccard"): overlap,
    }
    for (feature, name), statistic in expected.items():
        figure = found["features"][feature][name]
        assert figure["value"] == pytest.approx(statistic(np.arange(120))), (feature, name)
        assert (figure["low"], figure["high"]) == pytest.approx(ends(statistic)), (feature, name)
        assert figure["low"] < figure["high"]
    shown = found["balanced_accuracy_shown_by_words"]
    assert shown["value"] == pytest.approx(np.mean([balanced(feature, np.arange(120)) for feature in SHOWN_BY_WORDS]))
    assert (shown["low"], shown["high"]) == pytest.approx(
        ends(lambda rows: float(np.mean([balanced(feature, rows) for feature in SHOWN_BY_WORDS])))
    )


def test_what_words_alone_can_show_are_eight_features() -> None:
    assert set(SHOWN_BY_WORDS) == {
        *("last_response_is_refusal", "last_response_contains_insult", "last_response_is_sexually_explicit"),
        *("last_response_breaks_privacy", "last_response_is_discriminatory", "assistant_is_anthropomorphic"),
        *("last_response_is_anthropomorphic", "last_response_sentiment"),
    }
    assert len(SHOWN_BY_WORDS) == 8


@pytest.mark.parametrize("carriers", [1, 2, 3, 4, 8])
def test_resamples_without_a_class_are_left_out_and_counted_and_void_the_interval_beyond_a_tenth(carriers: int) -> None:
    # each of 12 clusters is one text; so many of them are True in gold, and a resample misses all with (1 - carriers / 12) ** 12
    truth = np.arange(12) < carriers
    said = truth ^ (np.arange(12) == 11)
    figure = compared(labels(12, **{REFUSAL: said}), labels(12, **{REFUSAL: truth}), resamples=500)["features"][REFUSAL]["sensitivity"]
    missed = sum(not truth[rows].any() for rows in resamples(np.arange(12), 500, seed=1))
    assert figure["value"] == 1
    if missed > 50:
        assert figure == {"value": 1, "low": None, "high": None, "reason": f"no interval: undefined in {missed} of 500 resamples"}
    else:
        assert (figure["low"], figure["high"]) == (1, 1)
        assert figure.get("undefined_resamples", 0) == missed
    assert (missed > 50) == (carriers < 3)
    assert missed > 0 or carriers == 8


def test_one_opening_prompt_leaves_figures_without_intervals() -> None:
    said, gold, _ = noisy(40, seed=4)
    found = compared(said, gold, clusters=["one"] * 40)
    figures = [
        found["features"][REFUSAL]["cohen_kappa"],
        found["features"]["topics"]["mean_jaccard"],
        found["balanced_accuracy_shown_by_words"],
    ]
    for figure in figures:
        assert isinstance(figure["value"], float)
        assert (figure["low"], figure["high"]) == (None, None)
        assert figure["reason"] == "no interval: all texts share one opening prompt"


def test_the_order_of_texts_does_not_matter() -> None:
    said, gold, clusters = noisy(60, seed=5)
    order = np.random.default_rng(1).permutation(60)
    before, after = compared(said, gold, clusters), compared(said.iloc[order], gold.iloc[order], clusters[order])
    for name, figure in before["features"][REFUSAL].items():
        assert after["features"][REFUSAL][name] == pytest.approx(figure) if name != "positives" else True


# --- planted truths ---

SENSITIVITY, SPECIFICITY, PREVALENCE = 0.8, 0.9, 0.3
SIMULATIONS = 40


def planted(random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Labels of all booleans with the planted sensitivity and specificity on average; each differs from one opening prompt to another."""
    clusters = np.repeat(np.arange(150), random.integers(1, 7, size=150))
    gold, said = {}, {}
    for feature in BOOLEANS:
        prevalence = random.beta(3, 7, size=150)[clusters]
        finds, spares = random.beta(8, 2, size=150)[clusters], random.beta(9, 1, size=150)[clusters]
        gold[feature] = random.random(len(clusters)) < prevalence
        said[feature] = random.random(len(clusters)) < np.where(gold[feature], finds, 1 - spares)
    n = len(clusters)
    return labels(n, **said), labels(n, **gold), clusters


def truths() -> dict[str, float]:
    """By the definitions, from the shares of texts that both, one or neither calls True."""
    both, missed = PREVALENCE * SENSITIVITY, PREVALENCE * (1 - SENSITIVITY)
    false = (1 - PREVALENCE) * (1 - SPECIFICITY)
    neither = 1 - both - missed - false
    agree, said = both + neither, both + false
    middle = (said + PREVALENCE) / 2
    by_kappa = said * PREVALENCE + (1 - said) * (1 - PREVALENCE)
    by_alpha, by_ac1 = middle**2 + (1 - middle) ** 2, 2 * middle * (1 - middle)
    return {
        "raw_agreement": agree,
        "positive_agreement": 2 * both / (2 * both + missed + false),
        "negative_agreement": 2 * neither / (2 * neither + missed + false),
        "cohen_kappa": (agree - by_kappa) / (1 - by_kappa),
        "gwet_ac1": (agree - by_ac1) / (1 - by_ac1),
        "krippendorff_alpha": (agree - by_alpha) / (1 - by_alpha),
        "sensitivity": SENSITIVITY,
        "specificity": SPECIFICITY,
        "balanced_accuracy": (SENSITIVITY + SPECIFICITY) / 2,
    }


def test_estimates_come_near_the_planted_truth_and_intervals_hold_it_as_often_as_they_say() -> None:
    random = np.random.default_rng(2024)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in truths()}
    for _ in range(SIMULATIONS):
        figures = compared(*planted(random), resamples=1000, seed=int(random.integers(2**31)))["features"]
        for name, of_features in found.items():
            of_features += [figures[feature][name] for feature in BOOLEANS]
    checks = SIMULATIONS * len(BOOLEANS)
    error = math.sqrt(0.95 * 0.05 / checks)
    for name, truth in truths().items():
        values = np.array([figure["value"] for figure in found[name]])
        assert values.mean() == pytest.approx(truth, abs=4 * values.std() / math.sqrt(checks) + 0.002), name  # ratios are a little biased
        holds = np.mean([figure["low"] <= truth <= figure["high"] for figure in found[name]])
        # percentile intervals of 150 clusters hold it up to a percent less often than they say
        assert 0.94 - 3 * error <= holds <= 0.95 + 3 * error, name


def test_features_that_only_one_labelled_are_left_out_and_the_mean_says_so() -> None:
    first, second = labels(4), labels(4).drop(columns=["topics", "last_response_is_refusal"])
    figures = compared(first, second)
    assert not {"topics", "last_response_is_refusal"} & figures["features"].keys()
    assert len(figures["features"]) == 17
    mean = figures["balanced_accuracy_shown_by_words"]
    assert mean["value"] is None
    assert mean["reason"] == "not labelled by both: last_response_is_refusal"
