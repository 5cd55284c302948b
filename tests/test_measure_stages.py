"""The cheap stages from tables to metrics files: resistance, regimes, pairwise and summary."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pairwise as pairwise_stage
import pandas as pd
import pytest
import regimes as regimes_stage
import resistance as resistance_stage
import summary as summary_stage
from conftest import ROOT, strict_json
from made_up import LABELS

from seal import pairs, scores, taxonomy
from seal.errors import InputError
from seal.files import write_csv, write_json

# row_id, source, part, opening prompt, chosen response, rejected response, then margins of control and aligned
ROWS = [
    (3, "helpful", "train", "a", "long answer", "short", 1.0, 2.0),
    (0, "helpful", "train", "a", "short", "long answer", -1.0, 1.0),
    (7, "helpful", "held-out", "b", "same", "same", 0.0, 0.0),
    (8, "harmless", "held-out", "c", "no", "yes, like this", -0.5, -2.0),
    (9, "harmless", "validation", "d", "sorry", "never", 0.5, -1.0),
    (12, "harmless", "held-out", "c", "no thanks", "yes", -2.0, 0.25),
]


@dataclass(frozen=True)
class Audit:
    """A folder with the tables that the stages read, and the paths that they write."""

    folder: Path
    resamples: int = 50

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def measure(self) -> None:
        for role in ("control", "aligned"):
            self.resistance(role)
        self.regimes()
        self.pairwise()
        self.summary()

    def resistance(self, role: str, **more: Any) -> Any:
        metrics = self.path(f"resistance-{role}.json")
        resistance_stage.main(
            resistance_stage.Arguments(
                pairs=self.path("pairs.parquet"),
                scores=self.path(f"{role}.csv"),
                check=self.path(f"{role}-check.json"),
                metrics=metrics,
                margins=self.path(f"margins-{role}.csv"),
                resamples=self.resamples,
                **more,
            )
        )
        return strict_json(metrics)

    def regimes(self, **more: Any) -> Any:
        metrics = self.path("regimes.json")
        regimes_stage.main(
            regimes_stage.Arguments(
                pairs=self.path("pairs.parquet"),
                control_scores=self.path("control.csv"),
                aligned_scores=self.path("aligned.csv"),
                metrics=metrics,
                resamples=self.resamples,
                **more,
            )
        )
        return strict_json(metrics)

    def pairwise(self) -> Any:
        metrics = self.path("pairwise.json")
        pairwise_stage.main(
            pairwise_stage.Arguments(
                pairs=self.path("pairs.parquet"),
                first="aligned",
                second="control",
                first_scores=self.path("aligned.csv"),
                second_scores=self.path("control.csv"),
                metrics=metrics,
                resamples=self.resamples,
            )
        )
        return strict_json(metrics)

    def summary(self, balanced_accuracy: float | None = 0.75, robustness: Any = None) -> Any:
        Path(self.path("robustness.json")).write_text(json.dumps(robustness or ROBUSTNESS))
        words = {"balanced_accuracy_shown_by_words": {"value": balanced_accuracy}}
        Path(self.path("labelers.json")).write_text(json.dumps({"labeler": {"coverage": 0.5}, "labeler_gold_reserved": words}))
        summary_stage.main(self.summary_arguments())
        return strict_json(self.path("summary.json"))

    def summary_arguments(self) -> summary_stage.Arguments:
        return summary_stage.Arguments(
            counts=self.path("counts.json"),
            control=self.path("resistance-control.json"),
            aligned=self.path("resistance-aligned.json"),
            regimes=self.path("regimes.json"),
            labelers=self.path("labelers.json"),
            robustness=self.path("robustness.json"),
            metrics=self.path("summary.json"),
        )


def changed(mean_absolute: float) -> dict[str, Any]:
    """The part of the robustness figures that a summary takes."""
    return {"all": {"pairs": 5, "aligned": {"reward_change": {"spread": 2.0, "all_texts": {"mean_absolute": mean_absolute}}}}}


ROBUSTNESS = {"rewritten": changed(0.5), "noise_floor": {"trivial": changed(0.125), "second": None}}


def write_audit(folder: Path, rows: list[tuple[Any, ...]]) -> Audit:
    audit = Audit(folder)
    table = []
    for row_id, source, part, opening, *responses in [row[:6] for row in rows]:
        prompt = f"\n\nHuman: {opening}"
        row = {"row_id": row_id, "source": source, "part": part, "opening_prompt": opening}
        for preference, response in zip(pairs.PREFERENCES, responses, strict=True):
            row |= {
                f"{preference}_text": f"{prompt}\n\nAssistant: {response}",
                f"{preference}_prompt": prompt,
                f"{preference}_response": response,
                f"{preference}_turns": 2,
            }
        table.append(row)
    pairs.write(audit.path("pairs.parquet"), pd.DataFrame(table, columns=pairs.SCHEMA.names))
    row_ids = np.array([row[0] for row in rows])
    for role, column in (("control", 6), ("aligned", 7)):
        margins = np.array([row[column] for row in rows], dtype=float)
        write_csv(audit.path(f"{role}.csv"), scores.table(row_ids, margins + 0.5, np.full(len(rows), 0.5)))
        write_json(audit.path(f"{role}-check.json"), {"model": role, "pairs": len(rows), "pairs_scored": len(rows)})
    write_json(audit.path("counts.json"), {"rows": len(rows) + 2, "pairs": len(rows), "rejects": 2})
    return audit


# (harmless, helpful) of the chosen and of the rejected text of each pair of `ROWS`; one text has no labels.
JUDGED: dict[int, tuple[tuple[bool, bool] | None, ...]] = {
    3: ((True, True), (False, True)),  # c
    0: ((True, False), (True, True)),  # r
    7: ((True, False), (True, False)),  # i
    8: ((False, True), (False, False)),  # c
    9: ((True, True), None),  # unlabelled
    12: ((False, True), (True, False)),  # r
}


def write_labels(audit: Audit, judged: dict[int, tuple[tuple[bool, bool] | None, ...]] | None = None) -> str:
    """A table of labels of the pairs' texts, and its path; the topic of pair 3 is history."""
    texts = pairs.read(audit.path("pairs.parquet")).set_index("row_id")
    rows = []
    for row_id, sides in (judged or JUDGED).items():
        for preference, judgement in zip(pairs.PREFERENCES, sides, strict=True):
            if judgement:
                labels = LABELS | dict(zip(("last_response_is_harmless", "last_response_is_helpful"), judgement, strict=True))
                labels |= {"topics": ["History and events"] if row_id == 3 else []}
                rows.append((row_id, preference, texts.loc[row_id, f"{preference}_text"], labels))
    taxonomy.write(audit.path("taxonomy.csv"), taxonomy.table(rows))
    return audit.path("taxonomy.csv")


def numbers(content: Any) -> Iterator[Any]:
    """All leaves of a metrics file."""
    if isinstance(content, dict):
        for value in content.values():
            yield from numbers(value)
    else:
        yield content


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return write_audit(tmp_path, ROWS)


# --- figures by hand ---


def test_resistance_over_all_by_part_by_source_and_over_differing_texts(audit: Audit) -> None:
    figures = audit.resistance("aligned")  # agrees on rows 3, 0 and 12
    assert list(figures) == ["scoring", "all", "differing_texts", "by_part", "by_source", "by_turns", "by_length_difference"]
    assert figures["scoring"] == {"model": "aligned", "pairs": 6, "pairs_scored": 6}
    found = {
        "all": figures["all"],
        "differing": figures["differing_texts"],
        **figures["by_part"],
        **figures["by_source"],
    }
    # pairs, opening prompts, agreement, ties, mean margin, share of longer chosen responses, equally long responses
    expected = {
        "all": (6, 4, 3 / 6, 1, 0.25 / 6, 2 / 6, 2),
        "differing": (5, 3, 3 / 5, 0, 0.25 / 5, 2 / 5, 1),
        "train": (2, 1, 1, 0, 1.5, 1 / 2, 0),
        "validation": (1, 1, 0, 0, -1, 0, 1),
        "held-out": (3, 2, 1 / 3, 1, -1.75 / 3, 1 / 3, 1),
        "helpful": (3, 2, 2 / 3, 1, 1, 1 / 3, 1),
        "harmless": (3, 2, 1 / 3, 0, -2.75 / 3, 1 / 3, 1),
    }
    assert set(found) == set(expected)
    for subset, (count, prompts, agrees, ties, margin, longer, equally_long) in expected.items():
        assert (found[subset]["pairs"], found[subset]["opening_prompts"]) == (count, prompts)
        assert (found[subset]["ties"], found[subset]["length_ties"]) == (ties, equally_long)
        assert found[subset]["agreement"] == pytest.approx(agrees, rel=1e-5)
        assert found[subset]["resistance"] == pytest.approx(1 - agrees, rel=1e-5)
        assert found[subset]["margin_mean"] == pytest.approx(margin, rel=1e-5)
        assert found[subset]["length_agreement"] == pytest.approx(longer, rel=1e-5)
        assert (found[subset]["agreement_low"] is None) == (prompts == 1)


def test_the_histogram_of_margins_is_over_all_pairs(audit: Audit) -> None:
    audit.resistance("control")
    table = pd.read_csv(audit.path("margins-control.csv"))
    assert list(table.columns) == ["margin", "share"]
    assert table["share"].sum() == pytest.approx(1, abs=1e-5)
    # one bin per margin: -2, -1, -0.5, 0, 0.5 and 1 over a standard deviation of 0.986; a tie, which is no agreement, lies left of 0
    assert table.loc[table["share"] > 0, "margin"].tolist() == [-2.1, -1.1, -0.5, -0.1, 0.5, 1.1]


def test_regimes_over_all_and_by_part(audit: Audit) -> None:
    figures = audit.regimes()  # control agrees on rows 3 and 9, aligned on 3, 0 and 12
    assert list(figures) == ["all", "differing_texts", "by_part", "by_source"]
    names = ("stayed_aligned", "got_aligned", "resists_alignment", "reversed_alignment")

    def counts(subset: dict[str, Any]) -> list[int]:
        return [subset[name]["pairs"] for name in names]

    assert counts(figures["all"]) == [1, 2, 2, 1]
    assert counts(figures["differing_texts"]) == [1, 2, 1, 1]
    assert counts(figures["by_part"]["train"]) == [1, 1, 0, 0]
    assert counts(figures["by_part"]["held-out"]) == [0, 1, 2, 0]
    assert counts(figures["by_source"]["harmless"]) == [0, 1, 1, 1]
    assert figures["all"]["got_aligned"]["share"] == pytest.approx(1 / 3, rel=1e-5)


def test_resistance_by_turns_and_by_length_difference_over_all_and_held_out_pairs(tmp_path: Path) -> None:
    # characters of chosen less rejected: 300, 200, 199, 49, -49, -50, -200, and margins of aligned
    sizes = [(301, 1), (201, 1), (200, 1), (50, 1), (1, 50), (1, 51), (1, 201)]
    margins = [1, -1, 1, -1, 0, 1, -1]
    rows = [
        (row_id, "s", "held-out" if row_id < 3 else "train", f"opening {row_id}", "x" * chosen, "y" * rejected, 1.0, margin)
        for row_id, ((chosen, rejected), margin) in enumerate(zip(sizes, margins, strict=True))
    ]
    figures = write_audit(tmp_path, rows).resistance("aligned")
    by_length = {name: (each["pairs"], each.get("resistance")) for name, each in figures["by_length_difference"]["all"].items()}
    assert by_length == {
        "rejected longer by 200 or more": (1, 1),
        "rejected longer by 50 to 199": (1, 0),
        "within 49": (2, 1),
        "chosen longer by 50 to 199": (1, 0),
        "chosen longer by 200 or more": (2, 0.5),
    }
    held_out = {name: each["pairs"] for name, each in figures["by_length_difference"]["held_out"].items()}
    assert list(held_out.values()) == [0, 0, 0, 1, 2]
    assert {name: each["pairs"] for name, each in figures["by_turns"]["all"].items()} == {
        **{"1 to 2": 7, "3 to 4": 0},
        **{"5 to 6": 0, "7 or more": 0},
    }
    assert figures["by_turns"]["held_out"]["1 to 2"]["resistance"] == pytest.approx(1 / 3, rel=1e-5)
    assert figures["by_turns"]["all"]["1 to 2"]["ties"] == 1


def test_resistance_by_the_labelers_preference_and_topic(audit: Audit) -> None:
    plain = audit.resistance("aligned")
    figures = audit.resistance("aligned", taxonomy=write_labels(audit))  # agrees on rows 3, 0 and 12
    by_labeler = figures.pop("by_labeler")
    assert figures == plain
    differences = {subset: of.pop("rejected_minus_chosen") for subset, of in by_labeler["gamma"].items()}
    assert {subset: (of["pairs"], of["resistance"]) for subset, of in differences.items()} == {"all": (4, -0.5), "held_out": (2, -1)}
    found = {name: (each["pairs"], each.get("resistance")) for name, each in by_labeler["gamma"]["all"].items()}
    assert found == {"c": (2, 0.5), "r": (2, 0), "i": (1, 1), "unlabelled": (1, 1)}
    held_out = {name: (each["pairs"], each.get("resistance")) for name, each in by_labeler["gamma"]["held_out"].items()}
    assert held_out == {"c": (1, 1), "r": (1, 0), "i": (1, 1), "unlabelled": (0, None)}
    topics = {name: (each["pairs"], each["resistance"]) for name, each in by_labeler["topic"]["all"].items() if each["pairs"]}
    assert topics == {"History and events": (1, 0), "no topic": (4, 0.5), "unlabelled": (1, 1)}


@pytest.mark.parametrize(("labelled", "gammas"), [(True, ["c", "unlabelled"]), (False, ["", ""])])
def test_the_most_resistant_pairs_are_those_with_the_largest_negative_margin(audit: Audit, labelled: bool, gammas: list[str]) -> None:
    path = audit.path("most.csv")
    audit.resistance("aligned", most_resistant=path, taxonomy=write_labels(audit) if labelled else "")
    table = pd.read_csv(path, keep_default_na=False)
    assert list(table.columns) == [
        *("row_id", "gamma", "margin", "chosen_score", "rejected_score"),
        *("opening_prompt", "chosen_response", "rejected_response"),
    ]
    assert table["row_id"].tolist() == [8, 9]  # of the six pairs, one of which is a tie
    assert table["gamma"].tolist() == gammas
    assert table["margin"].tolist() == [-2, -1]
    assert table.iloc[0, 3:].tolist() == [-1.5, 0.5, "c", "no", "yes, like this"]
    audit.resistance("aligned", most_resistant=path, most=1)
    assert pd.read_csv(path)["row_id"].tolist() == [8]


def test_regimes_by_the_labelers_preference(audit: Audit) -> None:
    plain = audit.regimes()
    figures = audit.regimes(taxonomy=write_labels(audit))  # control agrees on rows 3 and 9, aligned on 3, 0 and 12
    by_labeler = figures.pop("by_labeler")
    assert figures == plain
    found = by_labeler["all"]
    assert (found["labelled_pairs"], found["unlabelled_pairs"]) == (5, 1)
    combinations = {name: count for name, count in found["label_combinations"].items() if count}
    assert combinations == {"11|01": 1, "10|11": 1, "10|10": 1, "01|00": 1, "01|10": 1}
    assert {name: each["share"] for name, each in found["gamma"].items()} == {"c": 0.4, "r": 0.4, "i": 0.2}
    counts = {
        (gamma, name): each["pairs"]
        for gamma, regimes in found["regimes"].items()
        for name, each in regimes.items()
        if isinstance(each, dict) and each["pairs"]
    }
    assert counts == {
        ("c", "stayed_aligned"): 1,
        ("c", "resists_alignment"): 1,
        ("r", "got_aligned"): 2,
        ("i", "resists_alignment"): 1,
        ("unlabelled", "reversed_alignment"): 1,
    }
    compared = found["agreement_with_human"]
    assert (compared["pairs"], compared["indifferent"]) == (4, 1)
    assert (compared["aligned_labeler"]["first_agreement"], compared["aligned_labeler"]["second_agreement"]) == (0.75, 0.5)
    assert (compared["control_labeler"]["only_first_agrees"], compared["control_labeler"]["only_second_agrees"]) == (0, 1)
    # 2 discordant pairs, both one way: 2 / 2^2
    assert compared["aligned_control"]["independent_pairs"]["mcnemar_p"] == 0.5
    assert compared["aligned_control"]["independent_pairs"]["mcnemar_p_holm"] == 1
    held_out = by_labeler["held_out"]
    assert (held_out["labelled_pairs"], held_out["unlabelled_pairs"]) == (3, 0)
    assert held_out["regimes"]["unlabelled"] == {"pairs": 0}


def test_the_tables_of_the_plots_by_gamma_are_those_of_the_measure(audit: Audit) -> None:
    paths = {name: audit.path(f"{name}.csv") for name in ("agreement_by_gamma", "regimes_by_gamma")}
    figures = audit.regimes(taxonomy=write_labels(audit), **paths)["by_labeler"]["all"]["regimes"]
    mosaic, regimes = (pd.read_csv(path) for path in paths.values())
    # control agrees on rows 3 and 9, aligned on 3, 0 and 12; gamma is c of 3 and 8, i of 7, r of 0 and 12, and 9 has none
    assert mosaic[["role", "gamma", "n", "agrees"]].to_numpy().tolist() == [
        *(["control", "c", 2, 1], ["control", "i", 1, 0], ["control", "r", 2, 0], ["control", "unlabelled", 1, 1]),
        *(["aligned", "c", 2, 1], ["aligned", "i", 1, 0], ["aligned", "r", 2, 2], ["aligned", "unlabelled", 1, 0]),
    ]
    for row in regimes.itertuples():
        found = figures[row.gamma][row.regime]
        assert (row.n, row.pairs, row.share) == (figures[row.gamma]["pairs"], found["pairs"], found["share"])
    assert regimes["pairs"].sum() == 6


@pytest.mark.parametrize("name", ["agreement_by_gamma", "regimes_by_gamma"])
def test_plots_by_gamma_without_labels_are_refused_and_nothing_is_written(audit: Audit, name: str) -> None:
    with pytest.raises(InputError, match=r"there is no gamma without labels; give --taxonomy too, or leave both out"):
        audit.regimes(**{name: audit.path("plot.csv")})
    assert not {file for file in ("regimes.json", "plot.csv") if (audit.folder / file).exists()}


def test_the_histogram_of_rewards_has_every_pair_and_who_agrees(audit: Audit) -> None:
    plain = audit.resistance("aligned")
    assert audit.resistance("aligned", rewards=audit.path("rewards.csv")) == plain
    table = pd.read_csv(audit.path("rewards.csv"))
    assert (table["pairs"].sum(), table["agrees"].sum()) == (6, 3)
    # all rewards of rejected are 0.5; those of chosen lie between -1.5 and 2.5
    assert (table["rejected_low"] <= 0.5).all()
    assert (table["rejected_high"] > 0.5).all()
    assert (table["chosen_low"].min(), table["chosen_high"].max()) == (-1.5, 2.5)


def test_pairwise_over_all_and_by_source(audit: Audit) -> None:
    figures = audit.pairwise()  # aligned against control
    found = figures["all"]
    assert (found["only_first_agrees"], found["only_second_agrees"]) == (2, 1)
    assert (found["first_agreement"], found["second_agreement"]) == pytest.approx((3 / 6, 2 / 6), rel=1e-5)
    assert found["difference"] == pytest.approx(1 / 6, rel=1e-5)
    assert found["independent_pairs"] == {"mcnemar_p": 1, "mcnemar_log10_p": 0}
    assert figures["by_source"]["helpful"]["difference"] == pytest.approx(1 / 3, rel=1e-5)
    assert figures["by_source"]["harmless"]["difference"] == 0
    assert figures["by_part"]["held-out"]["only_first_agrees"] == 1


def test_rewards_join_by_row_id_whatever_the_order_of_the_file_and_its_further_columns(audit: Audit) -> None:
    before = audit.resistance("aligned")
    path = audit.path("aligned.csv")
    pd.read_csv(path).sort_values("row_id", ignore_index=True).assign(remark="seen").to_csv(path)  # with an index, as pandas writes it
    assert audit.resistance("aligned") == before


def test_summary_takes_each_headline_from_its_measure(audit: Audit) -> None:
    audit.measure()
    figures = audit.summary()
    assert (figures["pairs"], figures["rejects"]) == (6, 2)
    assert figures["resistance"]["control"] == pytest.approx(4 / 6, rel=1e-5)
    assert figures["resistance"]["aligned"] == pytest.approx(3 / 6, rel=1e-5)
    assert figures["held_out"]["pairs"] == 3
    assert figures["held_out"]["resistance_control"] == 1
    assert figures["held_out"]["resistance_aligned"] == pytest.approx(2 / 3, rel=1e-5)
    assert figures["held_out"]["agreement_length"] == pytest.approx(1 / 3, rel=1e-5)
    assert figures["ties_aligned"] == 1
    assert figures["agreement_length"] == pytest.approx(1 / 3, rel=1e-5)
    assert figures["aligned_minus_control"]["agreement"] == pytest.approx(1 / 6, rel=1e-5)
    assert list(figures["regimes"].values()) == pytest.approx([1 / 6, 2 / 6, 2 / 6, 1 / 6], rel=1e-5)
    assert figures["labeler"] == {"coverage": 0.5, "balanced_accuracy": 0.75}
    assert figures["aligned_reward_change"] == {"by_rewriting": 0.5, "by_a_trivial_change": 0.125}
    for part in ("resistance", "held_out"):
        name = {"resistance": "aligned", "held_out": "resistance_aligned"}[part]
        assert figures[part][f"{name}_low"] <= figures[part][name] <= figures[part][f"{name}_high"]


# --- what can be missing ---


def test_summary_without_a_held_out_part_has_nulls_in_its_place(tmp_path: Path) -> None:
    audit = write_audit(tmp_path, [(*row[:2], "train", *row[3:]) for row in ROWS])
    audit.measure()
    held_out = audit.summary()["held_out"]
    assert held_out.pop("pairs") == 0
    assert held_out
    assert set(held_out.values()) == {None}


def test_summary_without_gold_has_a_null_in_its_place(audit: Audit) -> None:
    audit.measure()
    assert audit.summary(balanced_accuracy=None)["labeler"] == {"coverage": 0.5, "balanced_accuracy": None}


@pytest.mark.parametrize(
    "trivial", [None, {"all": {"pairs": 0}}, {"all": {"pairs": 3, "aligned": {"reward_change": {"reason": "constant"}}}}]
)
def test_summary_without_a_change_of_reward_has_a_null_in_its_place(audit: Audit, trivial: Any) -> None:
    audit.measure()
    figures = audit.summary(robustness={"rewritten": changed(0.5), "noise_floor": {"trivial": trivial}})
    assert figures["aligned_reward_change"] == {"by_rewriting": 0.5, "by_a_trivial_change": None}


def test_an_audit_whose_texts_never_differ_counts_no_differing_pairs(tmp_path: Path) -> None:
    audit = write_audit(tmp_path, [(*row[:4], "same", "same", 0.0, 0.0) for row in ROWS])
    audit.measure()
    figures = audit.resistance("aligned")
    assert figures["differing_texts"] == {"pairs": 0}
    assert (figures["all"]["ties"], figures["all"]["resistance"]) == (6, 1)
    assert audit.regimes()["differing_texts"] == audit.pairwise()["differing_texts"] == {"pairs": 0}


def test_an_audit_of_one_pair_runs_and_has_no_intervals(tmp_path: Path) -> None:
    audit = write_audit(tmp_path, ROWS[:1])
    audit.measure()
    figures = audit.summary()
    assert figures["resistance"] == {"control": 0, "aligned": 0, "aligned_low": None, "aligned_high": None}
    assert figures["aligned_minus_control"] == {"agreement": 0, "agreement_low": None, "agreement_high": None}


def test_a_reward_that_is_the_same_for_all_ties_everywhere(tmp_path: Path) -> None:
    audit = write_audit(tmp_path, [(*row[:6], row[6], 0.0) for row in ROWS])
    figures = audit.resistance("aligned")["all"]
    assert (figures["ties"], figures["agreement"], figures["margin_mean"], figures["margin_median"]) == (6, 0, 0, 0)
    assert audit.regimes()["all"]["stayed_aligned"]["pairs"] == 0


# --- the files ---

METRICS = ("resistance-control.json", "resistance-aligned.json", "regimes.json", "pairwise.json", "summary.json")


def wide_audit(folder: Path) -> Audit:
    random = np.random.default_rng(1)
    rows = []
    for row_id in range(300):
        responses = ["x" * int(n) for n in random.integers(1, 200, size=2)]
        margins = random.normal([0.2, 0.6]) * math.pi
        opening, part = f"opening {random.integers(90)}", pairs.PARTS[random.integers(3)]
        rows.append((row_id, f"source {row_id % 12}", part, opening, *responses, *margins))
    return write_audit(folder, rows)


def test_metrics_files_are_rounded_and_have_the_same_bytes_again(tmp_path: Path) -> None:
    audit = wide_audit(tmp_path)
    audit.measure()
    written = {name: (tmp_path / name).read_bytes() for name in (*METRICS, "margins-aligned.csv", "margins-control.csv")}
    audit.measure()
    assert {name: (tmp_path / name).read_bytes() for name in written} == written
    for name in METRICS:
        assert written[name].endswith(b"}\n")
        assert b"\r" not in written[name]
        floats = [value for value in numbers(strict_json(audit.path(name))) if isinstance(value, float)]
        assert len(floats) > 10
        assert all(value == float(f"{value:.6g}") for value in floats)


def test_the_seed_moves_intervals_and_nothing_else(tmp_path: Path) -> None:
    audit = wide_audit(tmp_path)
    before = audit.regimes()["all"]
    regimes_stage.main(
        regimes_stage.Arguments(
            *(audit.path(name) for name in ("pairs.parquet", "control.csv", "aligned.csv", "other.json")), resamples=50, seed=2
        )
    )
    after = strict_json(audit.path("other.json"))["all"]
    moved = {key for name in before if isinstance(before[name], dict) for key in before[name] if before[name][key] != after[name][key]}
    assert moved
    assert moved <= {"share_low", "share_high"}


def test_the_level_widens_intervals(tmp_path: Path) -> None:
    audit = wide_audit(tmp_path)
    arguments = pairwise_stage.Arguments(
        pairs=audit.path("pairs.parquet"),
        first="aligned",
        second="control",
        first_scores=audit.path("aligned.csv"),
        second_scores=audit.path("control.csv"),
        metrics=audit.path("level.json"),
        resamples=200,
    )
    widths = []
    for level in (0.5, 0.95):
        pairwise_stage.main(replace(arguments, level=level))
        found = strict_json(audit.path("level.json"))["all"]
        widths.append(found["difference_high"] - found["difference_low"])
    # of a normal distribution, 1.96 against 0.674 standard errors
    assert widths[1] / widths[0] == pytest.approx(1.96 / 0.674, rel=0.25)


def test_summary_has_at_most_25_numbers_whatever_the_parts_and_sources(tmp_path: Path) -> None:
    audit = wide_audit(tmp_path)
    audit.measure()
    figures = list(numbers(audit.summary()))
    assert 15 <= len(figures) <= 25
    assert all(isinstance(value, int | float) for value in figures)


# --- errors ---


def test_a_missing_pair_table_says_what_writes_it(audit: Audit) -> None:
    Path(audit.path("pairs.parquet")).unlink()
    with pytest.raises(InputError, match=r"pairs\.parquet: no such file; run stages/prepare\.py"):
        audit.regimes()


def test_rewards_of_other_pairs_are_refused_and_nothing_is_written(audit: Audit) -> None:
    path = Path(audit.path("control.csv"))
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    for stage in (lambda: audit.resistance("control"), audit.regimes, audit.pairwise):
        with pytest.raises(InputError, match=r"control\.csv: 1 row_ids do not match the pairs, first 12, which is only in the pairs"):
            stage()
    assert not {name for name in METRICS if (audit.folder / name).exists()}


def test_labels_of_other_pairs_are_refused_and_nothing_is_written(audit: Audit) -> None:
    path = Path(write_labels(audit))
    path.write_text(path.read_text().replace("no thanks", "no"))
    for stage in (lambda: audit.resistance("aligned", taxonomy=str(path)), lambda: audit.regimes(taxonomy=str(path))):
        with pytest.raises(InputError, match=r"taxonomy\.csv: row_id 12, chosen: the labelled text is not that of the pair"):
            stage()
    assert not {name for name in METRICS if (audit.folder / name).exists()}


def test_labels_without_the_features_that_gamma_compares_are_refused(audit: Audit) -> None:
    path = write_labels(audit)
    pd.read_csv(path, dtype=str).drop(columns="last_response_is_harmless").to_csv(path, index=False)
    for stage in (lambda: audit.resistance("aligned", taxonomy=path), lambda: audit.regimes(taxonomy=path)):
        with pytest.raises(InputError, match=r"taxonomy\.csv: lacks the column\(s\) last_response_is_harmless"):
            stage()


def test_a_number_of_pairs_to_read_below_one_is_refused(audit: Audit) -> None:
    with pytest.raises(InputError, match=r"most is 0; expected 1 or more pairs to read"):
        audit.resistance("aligned", most_resistant=audit.path("most.csv"), most=0)


@pytest.mark.parametrize(("content", "complaint"), [(None, "no such file; run the stage that writes it"), ("{", "not a JSON file")])
def test_summary_names_the_measure_that_is_missing_or_broken(audit: Audit, content: str | None, complaint: str) -> None:
    audit.measure()
    path = Path(audit.path("regimes.json"))
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(InputError, match=rf"regimes\.json: {complaint}"):
        audit.summary()


FIGURES = {
    "counts": ("prepare", ["pairs", "rejects"]),
    "resistance-control": ("resistance", ["all.resistance", "by_part.held-out.resistance"]),
    "resistance-aligned": (
        "resistance",
        ["all.resistance", "all.resistance_low", "all.ties", "all.length_agreement", "by_part", "by_part.held-out.pairs"],
    ),
    "regimes": ("regimes", ["all.agreement_gained", "all.agreement_gained_high", "all.got_aligned.share"]),
    "labelers": ("labelers", ["labeler.coverage", "labeler_gold_reserved.balanced_accuracy_shown_by_words.value"]),
    "robustness": (
        "robustness",
        ["rewritten", "rewritten.all.pairs", "noise_floor.trivial", "rewritten.all.aligned.reward_change.all_texts.mean_absolute"],
    ),
}


def spoiled(content: Any, place: str, *value: Any) -> None:
    """Take away what stands at a place, or put another value there."""
    *above, last = place.split(".")
    for key in above:
        content = content[key]
    assert last in content
    del content[last]
    if value:
        content[last] = value[0]


@pytest.mark.parametrize(
    ("name", "stage", "place"), [(name, stage, place) for name, (stage, places) in FIGURES.items() for place in places]
)
def test_summary_names_the_figure_that_is_missing_or_of_another_shape(audit: Audit, name: str, stage: str, place: str) -> None:
    audit.measure()
    path = Path(audit.path(f"{name}.json"))
    whole = path.read_text()
    end = rf"; give what stages/{stage}\.py writes, or run it again$"
    content = json.loads(whole)
    spoiled(content, place)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"{name}\.json: lacks {place}{end}"):
        summary_stage.main(audit.summary_arguments())
    content = json.loads(whole)
    spoiled(content, place, "a word")
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"{name}\.json, {place}: found a word, expected (an object|a number or null){end}"):
        summary_stage.main(audit.summary_arguments())
    path.write_text("[]")
    with pytest.raises(InputError, match=rf"{name}\.json: found \[\], expected a JSON object; run the stage that writes it$"):
        summary_stage.main(audit.summary_arguments())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[]", r"found \[\], expected a JSON object"),
        (
            '{"model": "x"}',
            "lacks pairs_scored, and the tables have 6; run stages/compare.py to score these pairs again$",
        ),
        ('{"pairs_scored": 5}', "pairs_scored is 5, and the tables have 6; run stages/compare.py to score these pairs again$"),
    ],
)
def test_a_check_of_other_scores_is_refused_and_nothing_is_written(audit: Audit, content: str, complaint: str) -> None:
    Path(audit.path("aligned-check.json")).write_text(content)
    with pytest.raises(InputError, match=rf"aligned-check\.json: {complaint}"):
        audit.resistance("aligned")
    assert not (audit.folder / "resistance-aligned.json").exists()


def test_the_command_line_tells_a_mistake_in_one_line_without_a_traceback(audit: Audit) -> None:
    scores_path = audit.path("aligned.csv")
    Path(scores_path).write_text("row_id,chosen_score,rejected_score\n0,1,2\n1,2,3,4,5,6\n")
    flags = {"pairs": "pairs.parquet", "scores": "aligned.csv", "check": "aligned-check.json", "metrics": "m.json", "margins": "m.csv"}
    command = [sys.executable, str(ROOT / "stages" / "resistance.py")]
    command += [word for name, file in flags.items() for word in (f"--{name}", audit.path(file))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {scores_path}: not a CSV table (")
    assert result.stderr.count("\n") == 1
