"""The stage labelers, from tables of labels and gold to metrics/labelers.json."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import labelers as labelers_stage
import pandas as pd
import pytest
from conftest import ROOT, strict_json

from seal import pairs, taxonomy
from seal.errors import InputError
from seal.features import BOOLEANS, FEATURES, LISTS, SENTIMENT, SHOWN_BY_WORDS
from seal.files import write_json

REFUSAL, INSULT = "last_response_is_refusal", "last_response_contains_insult"
GOLD_COMPARISONS = ("labeler_gold", "labeler_gold_reserved", "control_gold")

Key = tuple[int, str]

# Opening prompts by row_id. Reserved is what the SHA-256 of "gold", a new line and the prompt has in its first half.
OPENINGS = {4: "a", 0: "a", 7: "d", 8: "c", 9: "e", 12: "c"}
RESERVED = {prompt for prompt in OPENINGS.values() if hashlib.sha256(f"gold\n{prompt}".encode()).digest()[0] < 128}


def text(key: Key) -> str:
    return f"\n\nHuman: {OPENINGS.get(key[0], 'z')}\n\nAssistant: {key[1]} {key[0]}"


KEYS: list[Key] = [(row_id, preference) for row_id in OPENINGS for preference in pairs.PREFERENCES]


def labels(keys: list[Key], **true: set[Key]) -> pd.DataFrame:
    """Labels of these texts: booleans are True where `true` says so, and sentiment is negative where it has the text."""
    rows = []
    for key in keys:
        row: dict[str, Any] = {feature: key in true.get(feature, set()) for feature in BOOLEANS}
        row |= {feature: [] for feature in LISTS} | {SENTIMENT: "negative" if key in true.get(SENTIMENT, set()) else "neutral"}
        rows.append((*key, text(key), row))
    return taxonomy.table(rows)


def as_gold(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="text").assign(text_sha256=[hashlib.sha256(each.encode()).hexdigest() for each in table["text"]])


@dataclass(frozen=True)
class Labelling:
    """A folder with the tables that the stage reads."""

    folder: Path
    gold: str = "gold.csv"
    resamples: int = 50

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def arguments(self) -> labelers_stage.Arguments:
        return labelers_stage.Arguments(
            pairs=self.path("pairs.parquet"),
            taxonomy=self.path("taxonomy.csv"),
            control_taxonomy=self.path("control.csv"),
            gold=self.gold if self.gold == "none" else self.path(self.gold),
            coverage=self.path("coverage.json"),
            control_coverage=self.path("control-coverage.json"),
            metrics=self.path("labelers.json"),
            resamples=self.resamples,
        )

    def measure(self) -> Any:
        labelers_stage.main(self.arguments())
        return strict_json(self.path("labelers.json"))

    def write(self, name: str, table: pd.DataFrame) -> None:
        """Write a table, and beside labels the counts of them."""
        taxonomy.write(self.path(name), table)
        if name == "taxonomy.csv":
            write_json(self.path("coverage.json"), {"texts": 12, "labelled": len(table), "cost": {"usd": 0.25}})
        elif name == "control.csv":
            write_json(self.path("control-coverage.json"), {"pairs_labelled": int((table["row_id"].value_counts() == 2).sum())})


@pytest.fixture
def labelling(tmp_path: Path) -> Labelling:
    """Six pairs over four opening prompts; the labeler labels all texts, the control all but those of pair 4, gold all but those of 9."""
    made = Labelling(tmp_path)
    rows = []
    for row_id, opening in OPENINGS.items():
        row: dict[str, Any] = {"row_id": row_id, "source": "s", "part": "train", "opening_prompt": opening}
        for preference in pairs.PREFERENCES:
            whole = text((row_id, preference))
            row |= {f"{preference}_text": whole, f"{preference}_prompt": "p", f"{preference}_response": "r", f"{preference}_turns": 2}
        rows.append(row)
    pairs.write(made.path("pairs.parquet"), pd.DataFrame(rows, columns=pairs.SCHEMA.names))
    truth = {REFUSAL: {(4, "chosen"), (0, "chosen"), (7, "chosen"), (8, "rejected")}, SENTIMENT: {(4, "chosen"), (8, "chosen")}}
    said = {REFUSAL: {(4, "chosen"), (0, "chosen"), (12, "rejected"), (9, "chosen")}, SENTIMENT: {(8, "chosen"), (9, "chosen")}}
    other = {REFUSAL: {(0, "chosen"), (7, "chosen"), (8, "rejected")}}
    made.write("taxonomy.csv", labels(KEYS, **said))
    made.write("control.csv", labels([key for key in KEYS if key[0] != 4], **other))
    made.write("gold.csv", as_gold(labels([key for key in KEYS if key[0] != 9], **truth)))
    return made


# --- figures by hand ---


def test_the_file_has_coverage_gold_and_every_comparison_by_feature(labelling: Labelling) -> None:
    figures = labelling.measure()
    assert list(figures) == ["labeler", "control", "gold", *GOLD_COMPARISONS, "labeler_control"]
    assert figures["labeler"] == {"texts": 12, "labelled": 12, "cost": {"usd": 0.25}}
    assert figures["control"] == {"pairs_labelled": 5}
    for name in (*GOLD_COMPARISONS, "labeler_control"):
        assert list(figures[name]["features"]) == list(FEATURES)
        assert ("balanced_accuracy_shown_by_words" in figures[name]) == (name != "labeler_control")


def test_numbers_of_texts_and_opening_prompts_are_those_that_both_sides_know(labelling: Labelling) -> None:
    figures = labelling.measure()
    kept = [key for key in KEYS if key[0] != 9 and OPENINGS[key[0]] in RESERVED]
    assert 0 < len(kept) < 10
    assert figures["gold"] == {"texts": 10, "reserved": len(kept)}
    numbers = {name: (figures[name]["texts"], figures[name]["opening_prompts"]) for name in (*GOLD_COMPARISONS, "labeler_control")}
    assert numbers == {
        "labeler_gold": (10, 3),
        "labeler_gold_reserved": (len(kept), len({OPENINGS[row_id] for row_id, _ in kept})),
        "control_gold": (8, 3),
        "labeler_control": (10, 4),
    }
    for name, (texts, _) in numbers.items():
        assert {feature["n"] for feature in figures[name]["features"].values()} == {texts}


def test_the_labeler_against_gold(labelling: Labelling) -> None:
    found = labelling.measure()["labeler_gold"]
    refusal = found["features"][REFUSAL]
    # of 10 texts: both 2, only the labeler 1, only gold 2, neither 5
    assert refusal["positives"] == {"labeler": 3, "gold": 4}
    expected = {"raw_agreement": 7 / 10, "positive_agreement": 4 / 7, "negative_agreement": 10 / 13, "cohen_kappa": (70 - 54) / (100 - 54)}
    expected |= {"sensitivity": 2 / 4, "specificity": 5 / 6, "balanced_accuracy": (2 / 4 + 5 / 6) / 2}
    for name, value in expected.items():
        assert refusal[name]["value"] == pytest.approx(value, rel=1e-5), name
        assert refusal[name]["low"] <= refusal[name]["value"] <= refusal[name]["high"], name
    # gold has 2 negative and 8 neutral texts; the labeler finds 1 and 8
    assert found["features"][SENTIMENT]["balanced_accuracy"]["value"] == pytest.approx((1 / 2 + 1) / 2, rel=1e-5)


def test_the_control_against_gold_and_against_the_labeler(labelling: Labelling) -> None:
    figures = labelling.measure()
    refusal = figures["control_gold"]["features"][REFUSAL]
    assert refusal["positives"] == {"control": 3, "gold": 3}
    assert {name: refusal["cohen_kappa"][name] for name in ("value", "low", "high")} == {"value": 1, "low": 1, "high": 1}
    refusal = figures["labeler_control"]["features"][REFUSAL]
    # of 10 texts: both 1, only the labeler 2, only the control 2, neither 5
    assert refusal["positives"] == {"labeler": 3, "control": 3}
    assert refusal["raw_agreement"]["value"] == pytest.approx(6 / 10, rel=1e-5)
    assert refusal["cohen_kappa"]["value"] == pytest.approx((60 - 58) / (100 - 58), rel=1e-5)
    assert not {"sensitivity", "specificity", "balanced_accuracy"} & set(refusal)


def test_the_reserved_part_is_that_of_its_opening_prompts_alone(labelling: Labelling) -> None:
    refusals = {REFUSAL: {key for key in KEYS if key[1] == "chosen"}}
    wrong = {REFUSAL: {key for key in KEYS if (key[1] == "chosen") == (OPENINGS[key[0]] in RESERVED)}}
    labelling.write("gold.csv", as_gold(labels(KEYS, **refusals)))
    labelling.write("taxonomy.csv", labels(KEYS, **wrong))  # right on all of the reserved part, wrong on all of the rest
    figures = labelling.measure()
    assert figures["labeler_gold_reserved"]["features"][REFUSAL]["raw_agreement"]["value"] == 1
    assert 0 < figures["labeler_gold"]["features"][REFUSAL]["raw_agreement"]["value"] < 1


def test_what_words_can_show_is_one_mean_where_gold_has_both_classes_of_each(labelling: Labelling) -> None:
    every = {feature: {key for key in KEYS if key[1] == "chosen"} for feature in SHOWN_BY_WORDS}
    labelling.write("gold.csv", as_gold(labels(KEYS, **every)))
    labelling.write("taxonomy.csv", labels(KEYS, **(every | {INSULT: set()})))
    figures = labelling.measure()
    # seven features are all right, of insults none is found and nothing else is called one
    assert figures["labeler_gold"]["balanced_accuracy_shown_by_words"] == {"value": 0.9375, "low": 0.9375, "high": 0.9375}


# --- the tables of the plots ---


def test_the_table_of_agreement_holds_the_figures_of_every_comparison(labelling: Labelling) -> None:
    plain = labelling.measure()
    path = labelling.path("agreement.csv")
    labelers_stage.main(replace(labelling.arguments(), agreement=path))
    assert strict_json(labelling.path("labelers.json")) == plain
    table = pd.read_csv(path, keep_default_na=False)
    assert set(table["comparison"]) == {*GOLD_COMPARISONS, "labeler_control"}
    assert table.groupby("comparison")["feature"].nunique().to_dict() == dict.fromkeys(sorted(set(table["comparison"])), len(FEATURES))
    for row in table.to_dict("records"):
        found = plain[row["comparison"]]["features"][row["feature"]]
        for name in ("value", "low", "high"):
            assert row[name] == ("" if found[row["coefficient"]][name] is None else str(found[row["coefficient"]][name]))
        assert (row["n"], row["reason"]) == (found["n"], found[row["coefficient"]].get("reason", ""))


def test_the_table_of_mean_labels_is_of_the_labeler_by_side(labelling: Labelling) -> None:
    path = labelling.path("means.csv")
    labelling.write(
        "taxonomy.csv",
        labels([key for key in KEYS if key != (9, "rejected")], **{REFUSAL: {(4, "chosen"), (0, "chosen"), (12, "rejected")}}),
    )
    labelers_stage.main(replace(labelling.arguments(), means=path))
    table = pd.read_csv(path)
    assert set(table["feature"]) == {*BOOLEANS, SENTIMENT}
    refusal = table[table["feature"] == REFUSAL].set_index("side")
    assert refusal["mean"].to_dict() == pytest.approx({"chosen": 2 / 5, "rejected": 1 / 5, "difference": 1 / 5})
    assert set(table["n"]) == {5}  # pair 9 lacks a text's labels
    assert set(table["left_out"]) == {1}


def test_without_gold_the_table_of_agreement_has_the_labelers_alone(labelling: Labelling) -> None:
    path = labelling.path("agreement.csv")
    labelers_stage.main(replace(replace(labelling, gold="none").arguments(), agreement=path))
    assert set(pd.read_csv(path)["comparison"]) == {"labeler_control"}


# --- what can be missing ---


def test_without_gold_its_comparisons_are_null_with_the_reason_and_the_labelers_are_still_compared(labelling: Labelling) -> None:
    with_gold, figures = labelling.measure(), replace(labelling, gold="none").measure()
    assert figures["gold"] == {"texts": 0, "reserved": 0}
    reason = "no gold is set for these pairs"
    for name in GOLD_COMPARISONS:
        assert figures[name]["features"] is None
        assert figures[name]["reason"] == reason
        assert figures[name]["balanced_accuracy_shown_by_words"] == {"value": None, "low": None, "high": None, "reason": reason}
    assert figures["labeler_control"] == with_gold["labeler_control"]


def test_gold_of_no_labelled_text_gives_nulls_with_the_reason(labelling: Labelling) -> None:
    labelling.write("gold.csv", as_gold(labels([(100, "chosen"), (101, "chosen")], **{REFUSAL: {(100, "chosen")}})))
    figures = labelling.measure()
    assert figures["gold"] == {"texts": 0, "reserved": 0}
    for name in GOLD_COMPARISONS:
        assert figures[name]["texts"] == 0
        for feature in figures[name]["features"].values():
            reasons = {figure["reason"] for figure in feature.values() if isinstance(figure, dict) and "value" in figure}
            assert reasons == {"no text is labelled by both"}


def test_a_feature_with_one_class_in_gold_is_null_with_the_reason(labelling: Labelling) -> None:
    figures = labelling.measure()["labeler_gold"]
    insult = figures["features"][INSULT]
    assert insult["positives"] == {"labeler": 0, "gold": 0}
    assert insult["cohen_kappa"] == {"value": None, "low": None, "high": None, "reason": "gold has one class only: False"}
    assert insult["cohen_kappa"] == insult["raw_agreement"] == insult["balanced_accuracy"]
    assert figures["balanced_accuracy_shown_by_words"]["value"] is None
    assert INSULT in figures["balanced_accuracy_shown_by_words"]["reason"]


def test_labelers_that_share_no_text_give_nulls(labelling: Labelling) -> None:
    labelling.write("taxonomy.csv", labels([key for key in KEYS if key[0] == 4]))
    found = labelling.measure()["labeler_control"]
    assert (found["texts"], found["opening_prompts"]) == (0, 0)
    assert found["features"][REFUSAL]["gwet_ac1"]["reason"] == "no text is labelled by both"


# --- the file ---


def test_the_same_tables_in_any_order_give_the_same_bytes(labelling: Labelling) -> None:
    labelling.measure()
    before = Path(labelling.path("labelers.json")).read_bytes()
    for name in ("taxonomy.csv", "control.csv"):
        labelling.write(name, taxonomy.read(labelling.path(name)).iloc[::-1])
    labelling.measure()
    assert Path(labelling.path("labelers.json")).read_bytes() == before


def test_the_seed_moves_intervals_and_nothing_else(labelling: Labelling) -> None:
    before = labelling.measure()["labeler_gold"]["features"][REFUSAL]["cohen_kappa"]
    labelers_stage.main(replace(labelling.arguments(), seed=5, resamples=37))
    after = strict_json(labelling.path("labelers.json"))["labeler_gold"]["features"][REFUSAL]["cohen_kappa"]
    assert after["value"] == before["value"]
    assert after != before


# --- errors ---


def test_gold_of_another_text_is_refused_and_nothing_is_written(labelling: Labelling) -> None:
    other = labels(KEYS)
    other.loc[other["row_id"] == 7, "text"] = "another text"
    labelling.write("gold.csv", as_gold(other))
    with pytest.raises(InputError, match=r"gold\.csv: row_id 7, chosen: .* set gold to none, or to gold of these texts"):
        labelling.measure()
    assert not Path(labelling.path("labelers.json")).exists()


def test_gold_that_only_the_control_meets_is_checked_too(labelling: Labelling) -> None:
    labelling.write("taxonomy.csv", labels([key for key in KEYS if key[0] == 4]))
    other = labels([key for key in KEYS if key[0] == 7]).assign(text="another text")
    labelling.write("gold.csv", as_gold(other))
    with pytest.raises(InputError, match=r"gold\.csv: row_id 7, chosen"):
        labelling.measure()


@pytest.mark.parametrize("name", ["taxonomy.csv", "control.csv"])
def test_labels_of_other_pairs_are_refused(labelling: Labelling, name: str) -> None:
    labelling.write(name, labels([*KEYS, (77, "chosen")]))
    with pytest.raises(InputError, match=rf"{name}: row_id 77 is not in the pairs; label these pairs"):
        labelling.measure()
    other = labels(KEYS)
    other.loc[3, "text"] += "."
    labelling.write(name, other)
    place = f"row_id {other['row_id'][3]}, {other['preference'][3]}"
    with pytest.raises(InputError, match=rf"{name}: {place}: the labelled text is not that of the pair; label these pairs"):
        labelling.measure()


@pytest.mark.parametrize("name", ["pairs.parquet", "taxonomy.csv", "control.csv", "gold.csv", "coverage.json", "control-coverage.json"])
def test_a_missing_file_is_named(labelling: Labelling, name: str) -> None:
    Path(labelling.path(name)).unlink()
    with pytest.raises(InputError, match=rf"{name}: no such file; run "):
        labelling.measure()


@pytest.mark.parametrize(
    ("name", "counts", "complaint"),
    [
        ("coverage.json", {"texts": 10, "labelled": 12}, "texts is 10, and the tables have 12"),
        ("coverage.json", {"texts": 12, "labelled": 11}, "labelled is 11, and the tables have 12"),
        ("coverage.json", {}, "lacks texts, and the tables have 12"),
        ("control-coverage.json", {"pairs_labelled": 6}, "pairs_labelled is 6, and the tables have 5"),
    ],
)
def test_texts_that_got_lost_between_two_stages_are_missed(labelling: Labelling, name: str, counts: Any, complaint: str) -> None:
    write_json(labelling.path(name), counts)
    with pytest.raises(InputError, match=rf"{name}: {complaint}; run the stages that label these pairs again"):
        labelling.measure()


def test_a_pair_of_which_the_control_labels_one_text_is_not_counted_as_labelled(labelling: Labelling) -> None:
    both = [key for key in KEYS if key[0] in (0, 8)]
    labelling.write("control.csv", labels([*both, *((row_id, "chosen") for row_id in (4, 7, 9, 12))]))
    write_json(labelling.path("control-coverage.json"), {"pairs_labelled": 2})  # half of the eight texts would be 4
    assert labelling.measure()["control"] == {"pairs_labelled": 2}


@pytest.mark.parametrize("name", ["coverage.json", "control-coverage.json"])
def test_counts_that_are_no_object_are_refused(labelling: Labelling, name: str) -> None:
    write_json(labelling.path(name), [12])
    with pytest.raises(InputError, match=rf"{name}: found \[12\], expected a JSON object; run the stage that writes it"):
        labelling.measure()


def test_gold_that_is_not_set_is_told(labelling: Labelling) -> None:
    with pytest.raises(InputError, match="gold is not set; name a table of gold labels, or none"):
        labelers_stage.main(replace(labelling.arguments(), gold="None"))


def test_no_resamples_are_refused(labelling: Labelling) -> None:
    with pytest.raises(InputError, match="intervals: resamples 0"):
        replace(labelling, resamples=0).measure()


def test_the_command_line_runs_the_stage_and_tells_a_mistake_in_one_line(labelling: Labelling) -> None:
    flags = {name.replace("_", "-"): str(value) for name, value in vars(labelling.arguments()).items()}
    command = [
        sys.executable,
        str(ROOT / "stages" / "labelers.py"),
        *(word for name, value in flags.items() for word in (f"--{name}", value)),
    ]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    by_command = Path(labelling.path("labelers.json")).read_bytes()
    labelling.measure()
    assert Path(labelling.path("labelers.json")).read_bytes() == by_command
    labelling.write("gold.csv", labels(KEYS))
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {labelling.path('gold.csv')}: lacks the column(s) text_sha256")
    assert result.stderr.count("\n") == 1
