"""The tables that plots are drawn from, by hand and against second implementations."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from seal import label_agreement, labeler_preference, plot_tables, scores
from seal.labeler_preference import PairLabels
from seal.uncertainty import ClusterBootstrap

over = partial(ClusterBootstrap, resamples=200, seed=1, level=0.95)
"""Bootstrap over opening prompts, [pairs]."""
HELPFUL, SENTIMENT = "last_response_is_helpful", "last_response_sentiment"


def names(values: str) -> np.ndarray:
    return np.array(list(values), dtype=object)


def rewards(*pairs: tuple[float, float]) -> pd.DataFrame:
    values = np.array(pairs, dtype=float).reshape(-1, 2)
    return scores.table(np.arange(len(values)), values[:, 0], values[:, 1])


def by_resampling(values: np.ndarray, clusters: np.ndarray, members: np.ndarray) -> list[float]:
    """The interval of a mean over members, from one resample of whole clusters of all after the other."""
    random = np.random.default_rng(1)
    groups = [values[(clusters == cluster) & members] for cluster in np.unique(clusters)]
    means = []
    for _ in range(200):
        drawn = random.integers(len(groups), size=len(groups))
        means.append(np.concatenate([groups[number] for number in drawn]).mean())
    return list(np.quantile(means, [0.025, 0.975]))


def cells(table: pd.DataFrame) -> list[list[object]]:
    """Rows with None where a cell is empty."""
    return [[None if pd.isna(value) else value for value in row] for row in table.to_numpy().tolist()]


# --- agreement by gamma ---

GAMMAS = names("crcicccr")
CONTROL = np.array([1, 0, 1, 0, 0, 0, 0, 1], dtype=bool)
ALIGNED = np.array([1, 1, 1, 1, 1, 0, 0, 1], dtype=bool)


def mosaic(gammas: np.ndarray = GAMMAS, clusters: str = "abcdefgh") -> pd.DataFrame:
    return plot_tables.agreement_by_gamma({"control": CONTROL, "aligned": ALIGNED}, gammas, over(names(clusters)))


def test_the_mosaic_by_hand() -> None:
    table = mosaic()
    columns = ["role", "gamma", "n", "agrees", "share", "x0", "x1", "y0", "y1"]
    assert list(table.columns) == ["role", "gamma", "n", "agrees", "share", "low", "high", "x0", "x1", "y0", "y1"]
    assert table[columns].to_numpy().tolist() == [
        ["control", "c", 5, 2, 0.4, 0, 0.625, 0, 0.4],
        ["control", "i", 1, 0, 0, 0.625, 0.75, 0, 0],
        ["control", "r", 2, 1, 0.5, 0.75, 1, 0, 0.5],
        ["aligned", "c", 5, 3, 0.6, 0, 0.625, 0, 0.6],
        ["aligned", "i", 1, 1, 1, 0.625, 0.75, 0, 1],
        ["aligned", "r", 2, 2, 1, 0.75, 1, 0, 1],
    ]


def test_the_areas_of_the_mosaic_add_up_to_the_agreement_of_the_role() -> None:
    table = mosaic().astype({name: float for name in ("x0", "x1", "y0", "y1")})
    areas = ((table["x1"] - table["x0"]) * (table["y1"] - table["y0"])).groupby(table["role"]).sum()
    assert areas.to_dict() == pytest.approx({"control": 3 / 8, "aligned": 6 / 8})


def test_intervals_of_the_mosaic_are_by_opening_prompt_within_gamma() -> None:
    random = np.random.default_rng(3)
    gammas, agrees, clusters = random.choice(names("cri"), 400), random.random(400) < 0.6, random.integers(0, 60, 400)
    table = plot_tables.agreement_by_gamma({"aligned": agrees}, gammas, over(clusters)).set_index("gamma")
    for gamma in "cri":
        members = gammas == gamma
        expected = by_resampling(agrees, clusters, members)
        assert table.loc[gamma, ["low", "high"]].tolist() == pytest.approx(expected, rel=1e-5)


def test_a_gamma_of_one_opening_prompt_has_no_interval_and_one_of_no_pair_no_width() -> None:
    table = mosaic(names("ccccccci"), "aaaaaaab").set_index(["role", "gamma"])
    assert table.loc[("aligned", "c"), "share"] == pytest.approx(5 / 7, rel=1e-5)
    assert cells(table[["low", "high"]].loc[[("aligned", "c")]]) == [[None, None]]
    assert cells(table[["n", "share", "x0", "x1"]].loc[[("aligned", "r")]]) == [[0, None, 1, 1]]


def test_unlabelled_pairs_have_a_rectangle_of_their_own_where_there_are_any() -> None:
    gammas = GAMMAS.copy()
    gammas[:2] = labeler_preference.UNLABELLED
    table = mosaic(gammas)
    assert table["gamma"].tolist() == 2 * ["c", "i", "r", "unlabelled"]
    assert table.iloc[3][["n", "agrees", "x0", "x1"]].tolist() == [2, 1, 0.75, 1]


# --- regimes by gamma ---


def test_regimes_by_gamma_are_those_of_the_measure() -> None:
    gammas = GAMMAS.copy()
    gammas[7] = labeler_preference.UNLABELLED
    figures = labeler_preference.regimes_by_gamma(CONTROL, ALIGNED, gammas, over(names("abcdefgh")))
    table = plot_tables.regimes_by_gamma(figures)
    assert list(table.columns) == ["gamma", "regime", "n", "pairs", "share", "low", "high"]
    assert len(table) == 16
    found = {(gamma, regime): (n, pairs, share) for gamma, regime, n, pairs, share in table.iloc[:, :5].to_numpy() if pairs}
    assert found == {
        ("c", "stayed_aligned"): (5, 2, 0.4),
        ("c", "got_aligned"): (5, 1, 0.2),
        ("c", "resists_alignment"): (5, 2, 0.4),
        ("i", "got_aligned"): (1, 1, 1),
        ("r", "got_aligned"): (1, 1, 1),
        ("unlabelled", "stayed_aligned"): (1, 1, 1),
    }
    share = figures["c"]["stayed_aligned"]
    assert table.iloc[0][["low", "high"]].tolist() == pytest.approx([share["share_low"], share["share_high"]], rel=1e-5)


def test_a_gamma_without_pairs_keeps_its_rows_and_unlabelled_pairs_have_none_where_all_are_labelled() -> None:
    figures = labeler_preference.regimes_by_gamma(CONTROL, ALIGNED, names("cccccccc"), over(names("abcdefgh")))
    table = plot_tables.regimes_by_gamma(figures)
    assert table["gamma"].tolist() == 4 * ["c"] + 4 * ["i"] + 4 * ["r"]
    empty = table[table["gamma"] == "i"]
    assert empty["n"].tolist() == empty["pairs"].tolist() == [0] * 4
    assert empty[["share", "low", "high"]].isna().all(axis=None)


# --- rewards ---


def test_the_histogram_of_rewards_by_hand() -> None:
    # from 0 to 4, in four bins: an edge belongs to the bin above it, the last one to the bin below
    table = plot_tables.rewards_histogram(rewards((0, 4), (0.5, 3.5), (1, 0), (1.9, 0.9), (1.5, 1.2), (4, 4)), bins=4)
    assert table.to_numpy().tolist() == [
        [0, 1, 3, 4, 2, 0, pytest.approx(2 / 6, rel=1e-5)],
        [1, 2, 0, 1, 2, 2, pytest.approx(2 / 6, rel=1e-5)],
        [1, 2, 1, 2, 1, 1, pytest.approx(1 / 6, rel=1e-5)],
        [3, 4, 3, 4, 1, 0, pytest.approx(1 / 6, rel=1e-5)],
    ]


def test_the_histogram_of_rewards_is_that_of_numpy() -> None:
    values = np.random.default_rng(1).uniform(-3, 5, size=(2000, 2))
    table = plot_tables.rewards_histogram(rewards(*map(tuple, values)))
    edges = np.linspace(values.min(), values.max(), 31)
    expected, _, _ = np.histogram2d(values[:, 0], values[:, 1], bins=[edges, edges])
    assert len(table) == np.count_nonzero(expected)
    for row in table.itertuples():
        place = tuple(int(np.abs(edges[:-1] - low).argmin()) for low in (row.chosen_low, row.rejected_low))
        assert row.pairs == expected[place]
    assert table["agrees"].sum() == (values[:, 0] > values[:, 1]).sum()
    assert table["share"].sum() == pytest.approx(1, rel=1e-4)


def test_a_reward_far_from_all_others_counts_in_the_bin_at_the_end() -> None:
    values = [(float(n % 5), float(n % 3)) for n in range(300)]
    table = plot_tables.rewards_histogram(rewards(*values, (1000.0, 0.0)))
    assert table["pairs"].sum() == 301
    spread = np.std([*np.ravel(values), 1000.0, 0.0])
    assert table["chosen_high"].max() == pytest.approx(np.mean([*np.ravel(values), 1000.0, 0.0]) + 4 * spread, rel=1e-5)
    assert table["rejected_low"].min() == 0


@pytest.mark.parametrize("same", [0.0, 7.0, 1e-300])
def test_a_reward_that_is_the_same_for_all_is_one_square_that_can_be_drawn(same: float) -> None:
    table = plot_tables.rewards_histogram(rewards((same, same), (same, same)))
    assert (len(table), table["pairs"][0], table["agrees"][0]) == (1, 2, 0)
    assert table["chosen_low"][0] <= same < table["chosen_high"][0]


def test_no_pair_is_no_square() -> None:
    assert len(plot_tables.rewards_histogram(rewards())) == 0


# --- agreement of labelers ---


def labelled(helpful: list[bool], sentiment: list[str], topics: list[list[str]]) -> pd.DataFrame:
    keys = {"row_id": range(len(helpful)), "preference": "chosen"}
    return pd.DataFrame({**keys, HELPFUL: helpful, SENTIMENT: sentiment, "topics": topics})


def test_agreement_of_labelers_by_hand() -> None:
    first = labelled([True, True, False, False], ["neutral"] * 4, [["People and self"], [], [], []])
    second = labelled([True, False, False, False], ["neutral", "neutral", "negative", "positive"], [[], [], [], []])
    compared = label_agreement.compare(first, second, ("labeler", "gold"), over(names("abcd")), gold=True)
    between = label_agreement.compare(first, second, ("labeler", "control"), over(names("abcd")), gold=False)
    nothing = label_agreement.without_gold("none")
    figures = {"labeler_gold": compared, "labeler_gold_reserved": nothing, "control_gold": nothing, "labeler_control": between}
    table = plot_tables.labeler_agreement({**figures, "gold": {"texts": 4}})
    assert list(table.columns) == ["comparison", "feature", "coefficient", "value", "low", "high", "n", "reason"]
    assert set(table["n"]) == {4}
    found = {tuple(row[:3]): row[3] for row in cells(table)}
    # helpful: both 1, only the first 1, neither 2; recalls 1 and 2/3, kappa (12 - 8) / (16 - 8)
    helpful = {"cohen_kappa": 0.5, "gwet_ac1": pytest.approx((0.75 - 2 * 15 / 64) / (1 - 2 * 15 / 64), rel=1e-5)}
    sentiment, topics = {"linear_kappa": 0}, {"mean_jaccard": 0.75}
    expected = {
        ("labeler_control", feature, name): value
        for feature, figures in ((HELPFUL, helpful), (SENTIMENT, sentiment), ("topics", topics))
        for name, value in figures.items()
    }
    expected |= {
        ("labeler_gold", feature, name): value
        for feature, figures in ((HELPFUL, helpful), (SENTIMENT, sentiment))
        for name, value in figures.items()
    }
    expected[("labeler_gold", HELPFUL, "balanced_accuracy")] = pytest.approx(5 / 6, rel=1e-5)
    expected[("labeler_gold", SENTIMENT, "balanced_accuracy")] = pytest.approx(1 / 3, rel=1e-5)
    expected[("labeler_gold", "topics", "mean_jaccard")] = None  # gold names no topic of any text
    assert found == expected
    assert "gold has one class only" in table.set_index(["comparison", "feature"]).loc[("labeler_gold", "topics"), "reason"]


# --- mean labels ---


def sides(chosen: list[bool], rejected: list[bool], tones: tuple[list[str], list[str]], labelled: list[bool]) -> PairLabels:
    tables = [pd.DataFrame({HELPFUL: side, SENTIMENT: tone}) for side, tone in zip((chosen, rejected), tones, strict=True)]
    return PairLabels(*tables, np.array(labelled))


def test_mean_labels_by_hand() -> None:
    tones = (["positive", "neutral", "negative", "positive"], ["negative", "negative", "negative", "neutral"])
    labels = sides([True, True, True, False], [True, False, False, False], tones, [True, True, False, True, True])
    table = plot_tables.label_means(labels, over(names("aabcd")))
    assert list(table.columns) == ["feature", "side", "mean", "low", "high", "n", "left_out"]
    assert table[["feature", "side", "mean"]].to_numpy().tolist() == [
        [HELPFUL, "chosen", 0.75],
        [HELPFUL, "rejected", 0.25],
        [HELPFUL, "difference", 0.5],
        [SENTIMENT, "chosen", 0.25],
        [SENTIMENT, "rejected", -0.75],
        [SENTIMENT, "difference", 1],
    ]
    assert set(table["n"]) == {4}
    assert set(table["left_out"]) == {1}


def test_intervals_of_mean_labels_are_by_opening_prompt() -> None:
    random = np.random.default_rng(5)
    chosen, rejected = (random.random(300) < share for share in (0.7, 0.4))
    clusters = random.integers(0, 50, 300)
    tones = (["neutral"] * 300, ["neutral"] * 300)
    table = plot_tables.label_means(sides(list(chosen), list(rejected), tones, [True] * 300), over(clusters)).set_index(["feature", "side"])
    difference = chosen.astype(float) - rejected
    for side, values in {"chosen": chosen, "rejected": rejected, "difference": difference}.items():
        assert table.loc[(HELPFUL, side), ["low", "high"]].tolist() == pytest.approx(
            by_resampling(values, clusters, np.ones(300, dtype=bool)), rel=1e-5
        )


@pytest.mark.parametrize("pairs", [0, 1])
def test_mean_labels_of_one_pair_have_no_interval_and_of_none_no_value(pairs: int) -> None:
    labels = sides([True] * pairs, [False] * pairs, (["neutral"] * pairs, ["neutral"] * pairs), [False] * (3 - pairs) + [True] * pairs)
    table = plot_tables.label_means(labels, over(names("abc")))
    assert cells(table[["mean"]]) == [[value] for value in ([1, 0, 1, 0, 0, 0] if pairs else [None] * 6)]
    assert table[["low", "high"]].isna().all(axis=None)
    assert set(table["left_out"]) == {3 - pairs}


def test_labels_without_any_feature_that_has_a_mean_give_an_empty_table() -> None:
    empty = pd.DataFrame({"topics": [["People and self"]]})
    assert len(plot_tables.label_means(PairLabels(empty, empty, np.array([True])), over(names("a")))) == 0
