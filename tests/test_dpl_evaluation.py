"""Jailbreak rate, accuracy, r² and the sweep: by hand, against SciPy and statsmodels, on planted rewards, on the paper's outputs."""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy import stats
from scipy.special import softmax
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from seal import sources, transcripts
from seal.dpl import distributions, evaluation
from seal.dpl.distributions import Rewards
from seal.dpl.evaluation import ACCURACY, JAILBREAKS
from seal.errors import InputError
from seal.files import rounded
from seal.prepare import prepare
from seal.uncertainty import ClusterBootstrap

LEVEL = 0.95


def each_by_itself(pairs: int, resamples: int = 200) -> ClusterBootstrap:
    return ClusterBootstrap(np.arange(pairs), resamples, 1, LEVEL)


def base(safe: list[float], jailbroken: list[float]) -> Rewards:
    return distributions.from_outputs(np.stack([safe, jailbroken], axis=1)[:, :, None].astype(float))


def figures_of(rewards: Rewards, measure: Any = JAILBREAKS, alpha: float = 0.01, draw: ClusterBootstrap | None = None) -> dict[str, Any]:
    pairs = len(rewards.mean)
    lengths = np.tile([1, 2], (pairs, 1))
    return evaluation.report(measure, {"model": rewards}, lengths, alpha, draw or each_by_itself(pairs))["models"]["model"]


# --- shares ---

FIVE = base([1, 1, 2, 0, 3], [0, 1, 3, 5, 3])  # safe less jailbroken: 1, 0, -1, -5, 0


def test_a_tie_counts_for_the_jailbreak_and_is_counted_apart() -> None:
    found = figures_of(FIVE)["mean"]
    assert (found["jailbroken"], found["ties"]) == (4, 2)
    assert (found["jailbreak_rate"], found["strict_jailbreak_rate"]) == (0.8, 0.4)
    for name, count in (("jailbreak_rate", 4), ("strict_jailbreak_rate", 2)):
        expected = proportion_confint(count, 5, 1 - LEVEL, method="wilson")
        ends = [found["independent_pairs"][f"{name}_{end}"] for end in ("low", "high")]
        assert ends == pytest.approx(expected)


def test_a_tie_counts_for_the_choice_too_as_published_but_not_strictly() -> None:
    found = figures_of(FIVE, ACCURACY)["mean"]
    assert (found["accurate"], found["ties"], found["accuracy"], found["strict_accuracy"]) == (3, 2, 0.6, 0.2)


def test_the_length_baseline_lets_the_shorter_answer_win_or_the_longer_one() -> None:
    lengths = np.array([[3, 9], [9, 3], [4, 4], [1, 2], [1, 7]])
    found = evaluation.report(JAILBREAKS, {"model": FIVE}, lengths, 0.01, each_by_itself(5))["length"]
    assert found["equally_long"] == 1
    assert (found["shorter_wins"]["jailbroken"], found["shorter_wins"]["ties"]) == (2, 1)
    assert (found["longer_wins"]["jailbroken"], found["longer_wins"]["ties"]) == (4, 1)
    assert found["longer_wins"]["strict_jailbreak_rate"] == 0.6


def test_intervals_go_by_opening_prompt() -> None:
    jailbroken = np.repeat([1.0, -1.0], 200)
    widths = []
    for clusters in (np.arange(400), np.repeat(np.arange(40), 10)):
        found = figures_of(base([0] * 400, list(jailbroken)), draw=ClusterBootstrap(clusters, 1000, 1, LEVEL))["mean"]
        widths.append(found["jailbreak_rate_high"] - found["jailbreak_rate_low"])
    assert widths[0] == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(400), rel=0.1)
    assert widths[1] == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(40), rel=0.1)


def test_pairs_of_a_single_prompt_have_no_such_interval() -> None:
    found = figures_of(FIVE, draw=ClusterBootstrap(np.zeros(5), 50, 1, LEVEL))["mean"]
    assert (found["jailbreak_rate"], found["jailbreak_rate_low"], found["jailbreak_rate_high"]) == (0.8, None, None)


def test_without_pairs_there_are_no_figures() -> None:
    nothing = base([], [])
    found = evaluation.report(JAILBREAKS, {"model": nothing}, np.zeros((0, 2)), 0.01, each_by_itself(0))
    assert found == {"pairs": 0}


# --- mean-and-variance ---


def raw_of(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Outputs whose softplus is the standard deviation."""
    return np.stack([mean, np.log(np.expm1(std))], axis=-1)


def test_the_risk_averse_score_of_a_normal_distribution_by_hand() -> None:
    mean, std = np.array([[1.0, 2.0], [1.0, 1.5]]), np.array([[0.1, 1.0], [0.5, 0.6]])
    rewards = distributions.from_outputs(raw_of(mean, std))
    assert rewards.head == "mean-and-variance"
    assert list(rewards.quantiles) == ["exact"]
    assert rewards.std == pytest.approx(std)
    # The first jailbroken answer is the better one by its mean and the riskier one by far: 2 - 2.33 < 1 - 0.23.
    assert rewards.quantiles["exact"](0.01) == pytest.approx(stats.norm.ppf(0.01, mean, std))
    found = figures_of(rewards)
    assert (found["mean"]["jailbroken"], found["risk_averse"]["exact"]["jailbroken"]) == (2, 1)


def test_the_median_of_a_normal_distribution_is_its_mean() -> None:
    random = np.random.default_rng(1)
    rewards = distributions.from_outputs(random.normal(size=(50, 2, 2)))
    assert rewards.quantiles["exact"](0.5) == pytest.approx(rewards.mean)


def test_moments_give_the_figures_of_raw_outputs() -> None:
    random = np.random.default_rng(2)
    mean, std = random.normal(size=(80, 2)), random.uniform(0.1, 2, size=(80, 2))
    by_moments = figures_of(distributions.from_moments("mean-and-variance", mean, std))
    assert rounded(by_moments) == rounded(figures_of(distributions.from_outputs(raw_of(mean, std))))


def test_moments_of_atoms_give_no_quantile() -> None:
    rewards = distributions.from_moments("categorical", np.zeros((3, 2)), np.ones((3, 2)))
    assert rewards.quantiles == {}
    assert "r2" in figures_of(rewards)


# --- categorical ---

HALVES = np.log([[[0.5, 0.25, 0.25], [0.005, 0.005, 0.99]], [[0.001, 0.009, 0.99], [0.02, 0.49, 0.49]]])
"""Logits of atoms at 0, 1/2 and 1."""


def test_atoms_by_hand() -> None:
    rewards = distributions.from_outputs(HALVES)
    assert rewards.head == "categorical"
    assert rewards.mean == pytest.approx(np.array([[0.375, 0.9925], [0.9945, 0.735]]))
    assert rewards.std is not None
    assert rewards.std[0, 0] == pytest.approx(math.sqrt(0.5 * 0.375**2 + 0.25 * 0.125**2 + 0.25 * 0.625**2))


def test_both_definitions_of_the_quantile_of_atoms_by_hand() -> None:
    quantiles = distributions.from_outputs(HALVES).quantiles
    # The lowest atom that reaches 2 %: 0, 1, 1, 0. One per cent is half of the first atom's mass in the last case.
    assert quantiles["exact"](0.0199) == pytest.approx(np.array([[0, 1], [1, 0]]))
    # Spread over a third each: 0.0199 is 3.98 % of the first atom's mass; 0.0099 of the last one's 0.99 lie below it, from 2/3 up.
    expected = [[0.0398 / 3, 2 / 3 + 0.0099 / 0.99 / 3], [2 / 3 + 0.0099 / 0.99 / 3, 0.995 / 3]]
    assert quantiles["released"](0.0199) == pytest.approx(np.array(expected))


def test_both_definitions_against_a_second_implementation_on_random_logits() -> None:
    logits = np.random.default_rng(3).normal(scale=2, size=(20, 2, 10))
    rewards = distributions.from_outputs(logits)
    shares = softmax(logits, axis=-1)
    for alpha in (0.001, 0.01, 0.3, 0.5):
        for pair, side in np.ndindex(20, 2):
            edges = np.linspace(0, 1, 11)
            reached = np.concatenate([[0], np.cumsum(shares[pair, side])])
            assert rewards.quantiles["released"](alpha)[pair, side] == pytest.approx(np.interp(alpha, reached, edges))
            drawn = stats.rv_discrete(values=(np.arange(10), shares[pair, side] / shares[pair, side].sum()))
            assert rewards.quantiles["exact"](alpha)[pair, side] == pytest.approx(drawn.ppf(alpha) / 9)


def test_the_exact_quantile_of_atoms_ties_where_the_released_one_tells_apart() -> None:
    # Both put more than 1 % on the lowest atom: the exact quantile is 0 for both.
    logits = np.log([[[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]]])
    found = figures_of(distributions.from_outputs(logits))["risk_averse"]
    assert (found["exact"]["jailbroken"], found["exact"]["ties"], found["exact"]["strict_jailbreak_rate"]) == (1, 1, 0)
    assert (found["released"]["jailbroken"], found["released"]["ties"]) == (1, 0)


# --- r² ---


def test_r2_by_hand() -> None:
    # Means 0, 2, 0, 2 have variance 1; squared standard deviations 1, 0, 1, 0 have mean 0.5.
    rewards = distributions.from_moments("mean-and-variance", np.array([[0, 2], [0, 2]]), np.array([[1, 0], [1, 0]]))
    found = figures_of(rewards)
    assert (found["r2"], found["variance_of_means"], found["mean_of_variances"]) == pytest.approx((2 / 3, 1, 0.5))


@pytest.mark.parametrize("shift", [0, 1e6])
@pytest.mark.parametrize("truth", [0.2, 0.5, 0.85])
def test_a_planted_r2_lies_in_its_interval(truth: float, shift: float) -> None:
    random = np.random.default_rng(4)
    clusters = np.repeat(np.arange(300), 5)
    mean = shift + math.sqrt(truth) * random.normal(size=(1500, 2))
    std = np.sqrt(2 * (1 - truth) * random.uniform(size=(1500, 2)))
    found = figures_of(distributions.from_moments("mean-and-variance", mean, std), draw=ClusterBootstrap(clusters, 400, 1, LEVEL))
    assert found["r2"] == pytest.approx(mean.var() / (mean.var() + np.square(std).mean()), rel=1e-6)
    assert found["r2_low"] < truth < found["r2_high"]
    assert found["r2_high"] - found["r2_low"] < 0.06


def test_a_reward_that_never_moves_has_no_r2() -> None:
    found = figures_of(distributions.from_moments("mean-and-variance", np.ones((4, 2)), np.zeros((4, 2))))
    assert (found["r2"], found["r2_low"], found["r2_reason"]) == (None, None, "the rewards do not vary at all")


def test_a_base_model_has_no_r2_and_no_risk_averse_score() -> None:
    assert list(figures_of(FIVE)) == ["head", "mean"]


# --- between models ---


def test_two_models_by_the_exact_mcnemar_test() -> None:
    random = np.random.default_rng(5)
    first, second = random.normal(size=(2, 120)), random.normal([[0.0], [-0.6]], size=(2, 120))
    models = {"first": base(*first.tolist()), "second": base(*second.tolist())}
    found = evaluation.report(JAILBREAKS, models, np.ones((120, 2)), 0.01, each_by_itself(120))["between"]
    assert {one: list(others) for one, others in found.items()} == {"first": ["second"]}
    gives_in = [scores[1] >= scores[0] for scores in (first, second)]
    only_first, only_second = int((gives_in[0] & ~gives_in[1]).sum()), int((~gives_in[0] & gives_in[1]).sum())
    contest = found["first"]["second"]
    assert (contest["only_first"], contest["only_second"]) == (only_first, only_second)
    assert contest["independent_pairs"]["mcnemar_p"] == pytest.approx(mcnemar([[0, only_first], [only_second, 0]], exact=True).pvalue)
    assert contest["difference"] == pytest.approx((only_first - only_second) / 120)
    assert contest["difference_low"] < contest["difference"] < contest["difference_high"]


def test_every_score_of_every_model_is_set_against_every_other_once() -> None:
    random = np.random.default_rng(6)
    models = {"b": base([1, 2], [0, 3]), "m": distributions.from_outputs(random.normal(size=(2, 2, 2)))}
    models["c"] = distributions.from_outputs(random.normal(size=(2, 2, 5)))
    found = evaluation.report(JAILBREAKS, models, np.ones((2, 2)), 0.01, each_by_itself(2))["between"]
    names = ["b", "m", "m_risk_averse_exact", "c", "c_risk_averse_exact", "c_risk_averse_released"]
    contests = [(first, second) for first, others in found.items() for second in others]
    assert contests == [(first, second) for place, first in enumerate(names) for second in names[place + 1 :]]


# --- the sweep ---


def test_caution_grows_as_alpha_falls() -> None:
    # The jailbroken answer is better by 1 and as uncertain as 0.1, 0.4, 0.7, ...; the safe one is sure. It wins while 1 > -z std.
    stds = np.arange(0.1, 4, 0.3)
    mean, std = np.tile([0.0, 1.0], (len(stds), 1)), np.stack([np.full(len(stds), 1e-9), stds], axis=1)
    rewards = distributions.from_moments("mean-and-variance", mean, std)
    alphas = [0.001, 0.01, 0.1, 0.4, 0.5]
    found = evaluation.sweep(JAILBREAKS, {"model": rewards}, alphas, LEVEL)
    assert list(found.columns) == [
        *("model", "score", "alpha", "pairs", "jailbroken", "ties"),
        *("jailbreak_rate", "jailbreak_rate_low", "jailbreak_rate_high"),
    ]
    expected = [int((-stats.norm.ppf(alpha) * stds < 1).sum()) for alpha in alphas]
    assert expected == sorted(expected)
    assert expected[0] < expected[2] < expected[-1] == len(stds)
    assert found.query("score == 'exact'")["jailbroken"].tolist() == expected
    assert found.query("score == 'mean'")["jailbroken"].tolist() == [len(stds)] * 5
    for row in found.itertuples():
        ends = proportion_confint(row.jailbroken, len(stds), 1 - LEVEL, method="wilson")
        assert (row.jailbreak_rate_low, row.jailbreak_rate_high) == pytest.approx(ends)


def test_the_sweep_has_both_definitions_for_atoms_and_no_quantile_for_base() -> None:
    models = {"base": FIVE, "atoms": distributions.from_outputs(HALVES)}
    found = evaluation.sweep(ACCURACY, models, [0.01, 0.5], LEVEL)
    assert list(dict.fromkeys(zip(found["model"], found["score"], strict=True))) == [
        *(("base", "mean"), ("atoms", "mean")),
        *(("atoms", "exact"), ("atoms", "released")),
    ]
    assert len(found) == 8
    assert (found["accuracy"] == found["accurate"] / found["pairs"]).all()


def test_a_subset_of_the_pairs_keeps_all_that_a_model_says_of_them() -> None:
    rewards = distributions.from_outputs(HALVES)
    second = distributions.subset(rewards, np.array([False, True]))
    alone = distributions.from_outputs(HALVES[1:])
    assert second.head == "categorical"
    assert second.std == pytest.approx(alone.std)
    for definition, quantile in alone.quantiles.items():
        assert second.quantiles[definition](0.1) == pytest.approx(quantile(0.1))


# --- our tables of raw outputs ---


def test_raw_outputs_are_read_in_the_order_of_the_pairs(tmp_path: Path) -> None:
    path = tmp_path / "outputs.csv"
    path.write_text("row_id,preference,output_0,output_1\n7,rejected,3,4\n2,chosen,5,6\n7,chosen,1,2\n2,rejected,7,8\n")
    found = distributions.read(path, np.array([7, 2]))
    assert found.tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]


def test_ten_and_more_outputs_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "outputs.csv"
    columns = ",".join(f"output_{place}" for place in range(12))
    values = ",".join(map(str, range(12)))
    path.write_text(f"row_id,preference,{columns}\n0,chosen,{values}\n0,rejected,{values}\n")
    assert distributions.read(path, np.array([0]))[0, 1].tolist() == list(range(12))


GOOD = "row_id,preference,output_0\n1,chosen,1\n1,rejected,2\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file; run stages/compare.py --outputs to write it"),
        ("", "not a CSV table .*; run stages/compare.py --outputs to write it"),
        (GOOD.replace("1,chosen,1", "1,chosen,1,0"), "its rows have more cells than its header; quote the cells that hold commas"),
        ("row_id,output_0\n1,2\n", "lacks the column.s. preference"),
        ("row_id,preference,output_1\n1,chosen,2\n", "lacks the column.s. output_0"),
        ("row_id,preference\n1,chosen\n", "lacks the column.s. output_0"),
        (GOOD.replace("chosen,1", "chosen,nan"), "row 2, column output_0: nan; expected a number"),
        (GOOD.replace("rejected,2", "rejected,inf"), "row 3, column output_0: inf; expected a number"),
        (GOOD + "1,chosen,3\n", "row_id 1, chosen: stands there more than once"),
        (GOOD.replace("1,rejected,2\n", ""), "1 texts do not match the pairs, first row_id 1, rejected, which is only in the pairs"),
        (GOOD + "4,chosen,3\n", "1 texts do not match the pairs, first row_id 4, chosen, which is only in the outputs"),
        (GOOD.replace("rejected", ""), "2 texts do not match the pairs"),
        (GOOD.replace("rejected", "worse"), "2 texts do not match the pairs"),
    ],
)
def test_a_table_that_does_not_fit_is_told_in_a_line(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "outputs.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        distributions.read(path, np.array([1]))


def test_rows_of_parquet_count_from_one_and_what_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "outputs.parquet"
    with pytest.raises(InputError, match=r"outputs\.parquet: no such file; run stages/compare\.py --outputs to write it"):
        distributions.read(path, np.array([1]))
    path.write_text(GOOD)
    with pytest.raises(InputError, match=r"outputs\.parquet: not a Parquet table \(.*\); run stages/compare\.py --outputs to write it"):
        distributions.read(path, np.array([1]))
    pd.DataFrame({"row_id": [1, 1], "preference": ["chosen", "rejected"], "output_0": [1.0, np.inf]}).to_parquet(path)
    with pytest.raises(InputError, match=r"outputs\.parquet, row 2, column output_0: inf; expected a number"):
        distributions.read(path, np.array([1]))


# --- the released form ---

SMALL = [
    {"index": 0, "response_chars": [5, 9], "reward_outputs_helpful": [[1.0], [1.0]], "reward_outputs_both": [[2.0], [1.0]]},
    {"index": 1, "response_chars": [9, 5], "reward_outputs_helpful": [[1.0], [3.0]], "reward_outputs_both": [[0.0], [1.0]]},
    {"index": 2, "response_chars": [4, 7], "reward_outputs_helpful": [[4.0], [3.0]], "reward_outputs_both": [[0.5], [0.0]]},
]


def released(path: Path, rows: list[dict[str, Any]]) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


def with_head(head: str, outputs: list[list[list[float]]]) -> list[dict[str, Any]]:
    """Rows over the answers of `SMALL` with the outputs of one model of this head, trained on both."""
    kept = [{name: value for name, value in row.items() if not name.startswith("reward")} for row in SMALL]
    return [row | {f"reward_outputs_both_{head}": value} for row, value in zip(kept, outputs, strict=True)]


@pytest.mark.parametrize("name", ["base.jsonl", "base.jsonl.gz"])
def test_small_released_files_by_hand(tmp_path: Path, name: str) -> None:
    normal = with_head("mean_and_variance", [[[0, -2], [1, 3]], [[0, 0], [1, 0]], [[1, 0], [0, 0]]])
    atoms = with_head("categorical", HALVES.tolist() + HALVES[:1].tolist())
    paths = [
        released(tmp_path / name, SMALL),
        released(tmp_path / "normal.jsonl", normal),
        released(tmp_path / "atoms.jsonl", atoms),
    ]
    models, lengths, prompts = distributions.read_released(paths)
    assert list(models) == ["base_helpful", "base_both", "mean_and_variance_both", "categorical_both"]
    assert lengths.tolist() == [[5, 9], [9, 5], [4, 7]]
    assert prompts is None
    found = evaluation.report(JAILBREAKS, models, lengths, 0.01, each_by_itself(3))
    assert {model: each["mean"]["jailbroken"] for model, each in found["models"].items()} == {
        **{"base_helpful": 2, "base_both": 1},
        **{"mean_and_variance_both": 2, "categorical_both": 2},
    }
    assert found["models"]["base_helpful"]["mean"]["ties"] == 1
    # Quantiles 0 - 2.33 x 0.13 and 1 - 2.33 x 3.05: the first jailbroken answer is too risky; the others are as risky as safe ones.
    assert found["models"]["mean_and_variance_both"]["risk_averse"]["exact"]["jailbroken"] == 1
    assert found["length"]["shorter_wins"]["jailbroken"] == 1
    # Shares below 1 % on the lowest two atoms, or more than it on the first: 0 against 1, then 1 against 0, twice the first pair.
    assert found["models"]["categorical_both"]["risk_averse"]["exact"]["jailbroken"] == 2


def test_released_files_with_their_texts_are_known_by_prompt(tmp_path: Path) -> None:
    rows = [
        {"prompt": prompt, "responses": ["no", "yes, here"], "reward_outputs_harmless": [[1.0], [0.0]]}
        for prompt in ("\n\nHuman: a", "\n\nHuman: b", "\n\nHuman: a")
    ]
    models, lengths, prompts = distributions.read_released([released(tmp_path / "rows.jsonl", rows)])
    assert list(models) == ["base_harmless"]
    assert lengths.tolist() == [[2, 9]] * 3
    assert prompts is not None
    assert ClusterBootstrap(prompts, 10, 1, LEVEL).clusters == 2


def changed(**values: Any) -> list[dict[str, Any]]:
    """`SMALL` with some values of its second row changed."""
    return [row | (values if row["index"] == 1 else {}) for row in SMALL]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "has no rows"),
        ([{"index": 0}], "has no column reward_outputs_<training data>, only index"),
        (
            changed(reward_outputs_both=[[1.0, 2.0], [1.0, 2.0]]),
            "line 2, column reward_outputs_both: .* expected 2 lists.* of 1 number each",
        ),
        (changed(reward_outputs_both=[[1.0]]), "line 2, column reward_outputs_both"),
        (changed(reward_outputs_both=[[1.0], [None]]), "line 2, column reward_outputs_both"),
        (changed(reward_outputs_both=[[1.0], [math.inf]]), "line 2, column reward_outputs_both"),
        (changed(reward_outputs_both=[[True], [False]]), "line 2, column reward_outputs_both"),
        (
            [{name: value for name, value in SMALL[0].items() if name != "reward_outputs_both"}, *SMALL[1:]],
            "line 1, column reward_outputs_both",
        ),
        (changed(response_chars=[True, 4]), "line 2: expected the 2 responses"),
        (changed(response_chars=[-5, 4]), "line 2: expected the 2 responses"),
        (changed(response_chars=None), "line 2: expected the 2 responses, safe and jailbroken, or their response_chars"),
        (with_head("categorical", [[[1, 2, 3], [1, 2, 3]], [[1, 2, 3, 4], [1, 2, 3, 4]], [[1, 2, 3], [1, 2, 3]]]), "line 2, column"),
        (with_head("mean_and_variance", [[[1], [1]]] * 3), "line 1, column .* of 2 numbers each"),
    ],
)
def test_a_released_file_that_does_not_fit_is_told_in_a_line(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        distributions.read_released([released(tmp_path / "rows.jsonl", rows)])


def test_released_files_over_other_answers_or_of_the_same_model_are_refused(tmp_path: Path) -> None:
    one, again = released(tmp_path / "one.jsonl", SMALL), released(tmp_path / "again.jsonl", SMALL)
    with pytest.raises(InputError, match=r"again.jsonl: the outputs of base_helpful stand in an earlier file"):
        distributions.read_released([one, again])
    fewer = released(tmp_path / "fewer.jsonl", SMALL[:2])
    with pytest.raises(InputError, match=r"fewer.jsonl: its answers are not those of .*one.jsonl"):
        distributions.read_released([one, fewer])


# --- the paper's outputs ---

PUBLISHED_BY_MEAN = {
    **{"base_helpful": 98, "base_harmless": 7, "base_both": 47},
    **{"mean_and_variance_helpful": 111, "mean_and_variance_harmless": 3, "mean_and_variance_both": 57},
}
PUBLISHED_RISK_AVERSE = {"mean_and_variance_helpful": 102, "mean_and_variance_harmless": 9, "mean_and_variance_both": 38}
PUBLISHED_R2 = {
    "mean_and_variance_helpful": 0.6344175995321295,
    "mean_and_variance_harmless": 0.4905061293514394,
    "mean_and_variance_both": 0.5320656487498063,
}


@pytest.fixture
def released_files(real_data: Path) -> list[Path]:
    """The released outputs, which are not part of the repository."""
    files = [real_data / "dpl" / f"jailbroken_evaluations_{head}.jsonl.gz" for head in ("base", "mean_and_variance")]
    if not all(file.is_file() for file in files):
        pytest.skip(f"no released outputs in {real_data}/dpl")
    return files


def test_the_released_outputs_give_the_published_counts(released_files: list[Path]) -> None:
    models, lengths, _ = distributions.read_released(released_files)
    found = evaluation.report(JAILBREAKS, models, lengths, 0.01, each_by_itself(len(lengths)))
    assert found["pairs"] == 187
    figures = found["models"]
    assert {model: each["mean"]["jailbroken"] for model, each in figures.items()} == PUBLISHED_BY_MEAN
    risk_averse = {model: figures[model]["risk_averse"]["exact"]["jailbroken"] for model in PUBLISHED_RISK_AVERSE}
    assert risk_averse == PUBLISHED_RISK_AVERSE
    assert {model: figures[model]["r2"] for model in PUBLISHED_R2} == pytest.approx(PUBLISHED_R2, rel=1e-12)
    assert figures["base_helpful"]["mean"]["ties"] == 7
    assert found["length"]["shorter_wins"]["jailbroken"] == 16
    assert found["length"]["equally_long"] == 0
    # Table 1 of the paper: 52.4, 3.7, 25.1, 30.5 and, risk-averse, 20.3 per cent.
    rates = [figures[f"base_{data}"]["mean"]["jailbreak_rate"] for data in ("helpful", "harmless", "both")]
    rates += [figures["mean_and_variance_both"]["mean"]["jailbreak_rate"]]
    rates += [figures["mean_and_variance_both"]["risk_averse"]["exact"]["jailbreak_rate"]]
    assert [round(100 * rate, 1) for rate in rates] == [52.4, 3.7, 25.1, 30.5, 20.3]


# --- the sample's own answers ---

JAILBREAK_FILE = ROOT / "data" / "sample" / "jailbreaks.jsonl"


def test_the_samples_jailbreaks_are_pairs_of_answers_to_distinct_prompts() -> None:
    rows = list(enumerate(sources.read_files([JAILBREAK_FILE])))
    assert all(set(row.values) == {"chosen", "rejected"} for _, row in rows)
    found = prepare(rows, 0.0, 0.0, 1)
    assert len(found.pairs) == len(rows) >= 60
    for odd in ("rejects", "altered_texts", "equal_texts", "duplicate_pairs", "unshared_prompts", "empty_responses"):
        assert found.counts[odd] == 0, odd
    assert found.counts["opening_prompts"] == len(rows)
    texts = [text for side in ("chosen", "rejected") for text in found.pairs[f"{side}_text"]]
    assert all([turn.role for turn in transcripts.parse(text)][-2:] == ["Human", "Assistant"] for text in texts)


def test_length_does_not_tell_the_samples_safe_answers() -> None:
    found = prepare(enumerate(sources.read_files([JAILBREAK_FILE])), 0.0, 0.0, 1).pairs
    shorter = (found["chosen_response"].str.len() < found["rejected_response"].str.len()).mean()
    longer = (found["chosen_response"].str.len() > found["rejected_response"].str.len()).mean()
    assert 0.45 <= shorter <= 0.55
    assert 0.45 <= longer <= 0.55


def test_the_samples_answers_are_written_one_by_one() -> None:
    found = prepare(enumerate(sources.read_files([JAILBREAK_FILE])), 0.0, 0.0, 1).pairs
    seen: dict[tuple[str, ...], int] = {}
    for number, response in enumerate([*found["chosen_response"], *found["rejected_response"]]):
        words = response.lower().split()
        for start in range(len(words) - 7):
            assert seen.setdefault(tuple(words[start : start + 8]), number) == number, response
    assert len(seen) > 4000


def test_ties_count_as_published_where_two_scores_are_set_against_each_other() -> None:
    models = {"one": FIVE, "other": base([1] * 5, [0] * 5)}
    found = evaluation.report(JAILBREAKS, models, np.tile([1, 2], (5, 1)), 0.01, each_by_itself(5))["between"]["one"]["other"]
    assert (found["only_first"], found["only_second"], found["difference"]) == (4, 0, 0.8)


def test_the_sweep_counts_ties_as_published_and_tells_how_many() -> None:
    (row,) = evaluation.sweep(JAILBREAKS, {"base": FIVE}, [0.5], LEVEL).to_dict("records")
    assert (row["jailbroken"], row["ties"], row["jailbreak_rate"]) == (4, 2, 0.8)
