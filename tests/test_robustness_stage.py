"""The stage robustness: from tables of pairs and rewrites to the measures and the long tables."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import robustness as robustness_stage
from conftest import ROOT
from made_up_rewrites import SIDES, labels, margins, table_of
from robustness import Arguments

from seal import pairs, rewrites
from seal.errors import InputError
from seal.files import write_csv

OUTPUTS = ("metrics.json", "flips.csv", "robustness_scores.csv", "doses.csv")
BESIDE = {"rewriting": "coverage", "similarity": "similarity_check", "labels": "labels_coverage"}


def rewrites_of(pairs: int, seed: int, change: float) -> pd.DataFrame:
    """Rewrites of the same texts with the same original rewards, whatever the seed of the change."""
    original = np.random.default_rng(0).normal(0.5, 1, size=pairs)
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = margins(original, original + change * random.normal(size=pairs))
    columns |= labels("helpful", "chosen", random.choice([-1, 0, 1], size=pairs, p=[change / 4, 1 - change / 2, change / 4]).tolist())
    columns |= labels("sentiment", "rejected", random.choice([None, 0, 1, 2], size=pairs, p=[0.05, 0.85, 0.05, 0.05]).tolist())
    columns |= {rewrites.similarity_column(side): np.round(1 - change * random.beta(2, 10, size=pairs), 6) for side in SIDES}
    return table_of(pairs, **columns)


def write_pairs(path: Path, table: pd.DataFrame) -> None:
    columns: dict[str, Any] = {"row_id": table["row_id"], "source": "made up", "part": "train"}
    columns["opening_prompt"] = [f"question {row // 2}" for row in table["row_id"]]
    for side in SIDES:
        columns |= {f"{side}_text": table[f"original_{side}_text"], f"{side}_prompt": "", f"{side}_response": "", f"{side}_turns": 2}
    pairs.write(path, pd.DataFrame(columns))


@pytest.fixture
def arguments(tmp_path: Path) -> Arguments:
    """A folder with 40 pairs, their rewrites, and both tables of noise."""
    tables = {"rewrites": rewrites_of(40, 1, 0.8), "second": rewrites_of(40, 2, 0.8), "trivial": rewrites_of(40, 3, 0.1)}
    write_pairs(tmp_path / "pairs.parquet", tables["rewrites"])
    for name, table in tables.items():
        write_csv(tmp_path / f"{name}.csv", table)
    paths = {name: str(tmp_path / f"{name}.csv") for name in (*tables, "flips", "robustness_scores", "doses")}
    return Arguments(pairs=str(tmp_path / "pairs.parquet"), metrics=str(tmp_path / "metrics.json"), resamples=50, **paths)


def run(arguments: Arguments) -> Any:
    robustness_stage.main(arguments)
    return json.loads(Path(arguments.metrics).read_text(), parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


def numbers(content: Any) -> Iterator[Any]:
    for value in content.values():
        if isinstance(value, dict):
            yield from numbers(value)
        else:
            yield value


def test_the_measures_and_the_long_tables(arguments: Arguments) -> None:
    figures = run(arguments)
    assert list(figures) == [*BESIDE, "min_similarity", "rewritten", "noise_floor", "beyond_noise"]
    assert [figures[name] for name in BESIDE] == [None, None, None]
    assert list(figures["noise_floor"]) == ["trivial", "second", "between_rewrites"]
    for measured in (figures["rewritten"], *figures["noise_floor"].values()):
        assert list(measured) == ["all", "similar"]
        assert (measured["all"]["pairs"], measured["all"]["opening_prompts"]) == (40, 20)
        assert measured["similar"]["pairs"] < 40 or measured is figures["noise_floor"]["trivial"]
    table = rewrites.read(arguments.rewrites)
    before, after = (table[f"{version}_agreement_dataset_and_rm_aligned"] for version in ("original", "rewritten"))
    found = figures["rewritten"]["all"]["aligned"]
    assert found["became_misaligned"]["pairs"] == (before & ~after).sum() > 0
    assert found["rewritten_agreement"] == pytest.approx(after.mean())
    noise = figures["noise_floor"]["trivial"]["all"]["aligned"]["became_misaligned"]["share"]
    beyond = figures["beyond_noise"]["trivial"]["all"]["aligned"]["became_misaligned"]
    assert beyond == pytest.approx(found["became_misaligned"]["share"] - noise, abs=1e-5)
    flips = pd.read_csv(arguments.flips)
    assert list(flips["table"].unique()) == ["rewritten", "trivial", "second", "between_rewrites"]
    own = flips.query("table == 'rewritten' and subset == 'all' and role == 'aligned' and feature == 'helpful' and side == 'chosen'")
    name = "chosen_last_response_is_helpful"
    lost_label = table[f"original_{name}"].eq(True) & table[f"rewritten_{name}"].eq(False)
    for population, members in (("all_pairs", lost_label), ("at_risk", lost_label & before)):
        row = own.query(f"level == 1 and outcome == 'became_misaligned' and population == '{population}'").iloc[0]
        assert (row["pairs"], row["count"]) == (members.sum(), (members & before & ~after).sum())
        assert row["share"] == pytest.approx((before & ~after)[members].mean(), rel=1e-5)
    scores = pd.read_csv(arguments.robustness_scores)
    kept = (table[f"original_{name}"] == table[f"rewritten_{name}"]) & before
    row = scores.query(
        "table == 'rewritten' and subset == 'all' and role == 'aligned' and population == 'at_risk' and feature == 'helpful' and level == 1"
    ).iloc[0]
    assert (row["way"], row["side"], row["pairs"]) == ("one_at_a_time", "chosen", (lost_label & before).sum())
    assert row["estimate"] == pytest.approx((~after)[lost_label & before].mean() - (~after)[kept].mean(), rel=1e-5)
    doses = pd.read_csv(arguments.doses).query("table == 'rewritten' and subset == 'all' and role == 'aligned'")
    close = table[[rewrites.similarity_column(side) for side in SIDES]].to_numpy()
    assert found["reward_change"]["by_similarity"]["bands"] == len(doses) == 5
    assert (doses["texts"].sum(), doses["similarity_low"].min(), doses["similarity_high"].max()) == (80, close.min(), close.max())


def test_floats_of_all_files_have_the_digits_that_machines_share(arguments: Arguments) -> None:
    floats = [value for value in numbers(run(arguments)) if isinstance(value, float)]
    for path in (arguments.flips, arguments.robustness_scores, arguments.doses):
        table = pd.read_csv(path).select_dtypes("float")
        floats += [value for value in table.to_numpy().ravel() if not np.isnan(value)]
    assert len(floats) > 1000
    assert all(value == float(f"{value:.6g}") for value in floats)


def test_long_content_stays_out_of_the_metrics(arguments: Arguments) -> None:
    found = run(arguments)["rewritten"]["all"]["aligned"]
    assert "flips" not in found
    scores = pd.read_csv(arguments.robustness_scores).query("table == 'rewritten' and subset == 'all' and role == 'aligned'")
    counts = scores.groupby(["population", "way"]).size()
    for population, ways in found["robustness_scores"].items():
        assert list(ways) == ["one_at_a_time", "linear", "logistic"]
        for way, fit in ways.items():
            assert (fit["coefficients"] or 0) == counts.get((population, way), 0)
            assert ("reason" in fit) == (fit["coefficients"] is None)


# --- what other stages wrote beside their tables ---


def test_what_other_stages_wrote_is_published_as_it_is(arguments: Arguments, tmp_path: Path) -> None:
    contents = {
        "coverage": {"rewriter": "rules", **COUNTS, "reasons": {"unchanged": 4}},
        "similarity_check": {"model": "package:somewhere", "texts": 160, "comparisons": 240},
        "labels_coverage": {"labeler": "rules", "texts": 320, "coverage": 0.975, "reasons": {}},
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    alone = run(arguments)
    figures = run(replace(arguments, **{name: str(tmp_path / f"{name}.json") for name in contents}))
    assert {name: figures[name] for name in BESIDE} == {name: contents[flag] for name, flag in BESIDE.items()}
    assert {**figures, **dict.fromkeys(BESIDE)} == alone
    figures = run(replace(arguments, labels_coverage=str(tmp_path / "labels_coverage.json")))
    assert [figures[name] for name in BESIDE] == [None, None, contents["labels_coverage"]]


COUNTS = {"pairs_rewritten": 40, "pairs_rewritten_twice": 40, "pairs_changed_trivially": 40}


@pytest.mark.parametrize("name", list(COUNTS))
@pytest.mark.parametrize("found", [39, 41, None, "40"])
def test_coverage_of_other_rewrites_is_refused(arguments: Arguments, tmp_path: Path, name: str, found: Any) -> None:
    (tmp_path / "coverage.json").write_text(json.dumps({**COUNTS, name: found}))
    refused(
        replace(arguments, coverage=str(tmp_path / "coverage.json")),
        rf"coverage\.json: {name} is {found}, and the tables have 40; run the stages that rewrite these pairs again$",
    )


def test_coverage_of_something_else_is_refused(arguments: Arguments, tmp_path: Path) -> None:
    (tmp_path / "coverage.json").write_text(json.dumps({"labeler": "rules", "coverage": 1.0}))
    refused(
        replace(arguments, coverage=str(tmp_path / "coverage.json")),
        r"lacks pairs_rewritten, and the tables have 40; run the stages",
    )


@pytest.mark.parametrize("found", [238, 242, None])
@pytest.mark.parametrize("counted", [True, False], ids=["by the counts of the versions", "by the tables"])
def test_similarities_and_labels_of_other_versions_are_refused(arguments: Arguments, tmp_path: Path, found: Any, counted: bool) -> None:
    """40 pairs have an original, which has labels and no similarity, and 3 versions; each of them has 2 texts."""
    if counted:
        arguments = replace(arguments, coverage=str(tmp_path / "coverage.json"))
        Path(arguments.coverage).write_text(json.dumps(COUNTS))
    path = tmp_path / "beside.json"
    path.write_text(json.dumps({"comparisons": found, "texts": 320}))
    told = rf"beside\.json: comparisons is {found}, and the tables have 240; run the stages that rewrite these pairs again$"
    refused(replace(arguments, similarity_check=str(path)), told)
    path.write_text(json.dumps({"comparisons": 240, "texts": found}))
    told = rf"beside\.json: texts is {found}, and the tables have 320; run the stages that rewrite these pairs again$"
    refused(replace(arguments, labels_coverage=str(path)), told)


def test_versions_without_a_table_are_counted_where_stages_rewrite_told_of_them(arguments: Arguments, tmp_path: Path) -> None:
    coverage, beside = tmp_path / "coverage.json", tmp_path / "beside.json"
    coverage.write_text(json.dumps({**COUNTS, "pairs_rewritten_twice": 13}))
    arguments = replace(arguments, second="", similarity_check=str(beside), labels_coverage=str(beside))
    right = {"comparisons": 2 * (40 + 13 + 40), "texts": 2 * (40 + 40 + 13 + 40)}
    beside.write_text(json.dumps({**right, "comparisons": 240}))
    refused(replace(arguments, coverage=str(coverage)), "comparisons is 240, and the tables have 186")
    assert run(arguments)["similarity"]["comparisons"] == 240  # with no count of the second ones, any may be right
    beside.write_text(json.dumps(right))
    assert run(replace(arguments, coverage=str(coverage)))["labels"] == right


@pytest.mark.parametrize("name", list(BESIDE.values()))
def test_a_file_beside_a_table_that_is_none_is_refused(arguments: Arguments, tmp_path: Path, name: str) -> None:
    path = tmp_path / "beside.json"
    changed: dict[str, Any] = {name: str(path)}
    refused(replace(arguments, **changed), r"beside\.json: no such file")
    path.write_text("[1, 2]")
    refused(replace(arguments, **changed), r"beside\.json: found \[1, 2\], expected a JSON object; run the stage that writes it$")
    path.write_text("{")
    refused(replace(arguments, **changed), r"beside\.json: not a JSON file")


# --- tables of other sizes and orders ---


def test_noise_is_optional(arguments: Arguments) -> None:
    whole = run(arguments)
    figures = run(replace(arguments, trivial="", second=""))
    assert figures["rewritten"] == whole["rewritten"]
    assert set(figures["noise_floor"].values()) == set(figures["beyond_noise"].values()) == {None}
    assert set(pd.read_csv(arguments.flips)["table"]) == {"rewritten"}
    figures = run(replace(arguments, second=""))
    assert figures["beyond_noise"]["trivial"] == whole["beyond_noise"]["trivial"]
    assert figures["noise_floor"]["between_rewrites"] is None


def test_the_least_similarity_chooses_the_similar_pairs(arguments: Arguments) -> None:
    table = rewrites.read(arguments.rewrites)
    close = table[[rewrites.similarity_column(side) for side in SIDES]].min(axis=1)
    counts = []
    for least in (0.8, 0.9, -1.0):
        figures = run(replace(arguments, min_similarity=least))
        assert figures["min_similarity"] == least
        counts.append(figures["rewritten"]["similar"]["pairs"])
        assert counts[-1] == (close >= least).sum()
    assert counts[1] < counts[0] < counts[2] == 40


def test_rewrites_of_some_of_the_pairs_will_do(arguments: Arguments) -> None:
    table = rewrites.read(arguments.rewrites)
    write_csv(arguments.rewrites, table.iloc[::2])
    figures = run(arguments)
    assert (figures["rewritten"]["all"]["pairs"], figures["noise_floor"]["second"]["all"]["pairs"]) == (20, 40)
    assert figures["noise_floor"]["between_rewrites"]["all"]["pairs"] == figures["beyond_noise"]["trivial"]["all"]["pairs"] == 20


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_pair(arguments: Arguments, count: int) -> None:
    for path in (arguments.rewrites, arguments.second, arguments.trivial):
        write_csv(path, rewrites.read(path).iloc[:count])
    figures = run(arguments)
    assert figures["rewritten"]["all"]["pairs"] == count
    assert figures["beyond_noise"]["between_rewrites"]["all"]["pairs"] == count
    assert len(pd.read_csv(arguments.flips).columns) == 16
    assert len(pd.read_csv(arguments.robustness_scores).columns) == 16
    assert len(pd.read_csv(arguments.doses).columns) == 20


def test_the_same_bytes_again_whatever_the_order_of_the_rows(arguments: Arguments) -> None:
    folder = Path(arguments.metrics).parent
    run(arguments)
    written = {name: (folder / name).read_bytes() for name in OUTPUTS}
    for path in (arguments.rewrites, arguments.second):
        pd.read_csv(path, dtype=str, keep_default_na=False).iloc[::-1].to_csv(path, index=False)
    run(arguments)
    assert {name: (folder / name).read_bytes() for name in OUTPUTS} == written


def test_the_seed_moves_intervals_by_bootstrap_only(arguments: Arguments) -> None:
    before = run(arguments)
    tables = [Path(path).read_bytes() for path in (arguments.flips, arguments.robustness_scores, arguments.doses)]
    after = run(replace(arguments, seed=2))
    again = [Path(path).read_bytes() for path in (arguments.flips, arguments.robustness_scores, arguments.doses)]
    assert [one == other for one, other in zip(tables, again, strict=True)] == [True, True, False]
    role = "aligned"
    one, other = (figures["rewritten"]["all"][role] for figures in (before, after))
    assert {name for name in one if one[name] != other[name]} >= {"agreement_change_low"}
    assert one["robustness_scores"] == other["robustness_scores"]
    assert all(one[name] == other[name] for name in ("original_agreement", "rewritten_agreement", "independent_pairs"))


# --- mistakes ---


def refused(arguments: Arguments, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        robustness_stage.main(arguments)
    folder = Path(arguments.metrics).parent
    assert not [name for name in OUTPUTS if (folder / name).exists()]


@pytest.mark.parametrize("name", ["rewrites", "second", "trivial"])
def test_a_pair_that_is_not_among_the_pairs_is_refused(arguments: Arguments, name: str) -> None:
    path = getattr(arguments, name)
    table = rewrites.read(path)
    table.loc[3, "row_id"] = 77
    write_csv(path, table)
    refused(arguments, rf"{name}\.csv: row_id 77 is not in the pairs")


@pytest.mark.parametrize("name", ["rewrites", "second", "trivial"])
def test_another_original_text_is_refused(arguments: Arguments, name: str) -> None:
    path = getattr(arguments, name)
    table = rewrites.read(path)
    table.loc[5, "original_rejected_text"] = "something else"
    write_csv(path, table)
    refused(arguments, rf"{name}\.csv: row_id 5, column original_rejected_text: not the text of the pair")


@pytest.mark.parametrize("least", [1.1, -2.0, float("nan")])
def test_a_similarity_that_cannot_be_is_refused(arguments: Arguments, least: float) -> None:
    refused(replace(arguments, min_similarity=least), r"min-similarity is .*expected a cosine similarity from -1 to 1")


def test_a_missing_table_is_refused(arguments: Arguments) -> None:
    refused(replace(arguments, second=arguments.second + ".gone"), r"second\.csv\.gone: no such file")


def test_the_command_line_takes_every_flag_and_tells_a_mistake_in_one_line(arguments: Arguments) -> None:
    beside = Path(arguments.metrics).parent / "coverage.json"
    beside.write_text(json.dumps({**COUNTS, "comparisons": 240, "texts": 320}))
    arguments = replace(arguments, coverage=str(beside), similarity_check=str(beside), labels_coverage=str(beside))
    flags = {name.replace("_", "-"): str(value) for name, value in vars(arguments).items()}
    command = [sys.executable, str(ROOT / "stages" / "robustness.py"), *(word for name in flags for word in (f"--{name}", flags[name]))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    by_command = {name: (Path(arguments.metrics).parent / name).read_bytes() for name in OUTPUTS}
    run(arguments)
    assert {name: (Path(arguments.metrics).parent / name).read_bytes() for name in OUTPUTS} == by_command
    result = subprocess.run([*command, "--min-similarity", "7"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "error: min-similarity is 7.0; expected a cosine similarity from -1 to 1\n"
