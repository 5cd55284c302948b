"""The stage imprint, from tables of pairs, rewards, labels and gold to metrics and coefficients."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import imprint as imprint_stage
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from conftest import ROOT, strict_json
from scipy import stats

from seal import pairs, scores, taxonomy
from seal.errors import InputError
from seal.features import BOOLEANS, FEATURES, LISTS, SENTIMENT
from seal.files import write_csv
from seal.imprint import coefficients as imprint_coefficients

HELPFUL, HARMLESS = "last_response_is_helpful", "last_response_is_harmless"
COUNT = 300
ROW_IDS = np.random.default_rng(1).permutation(np.arange(COUNT) * 2)
HELD_OUT_BELOW = 50
"""Row numbers, less whole multiples of 120, below which a pair is held out: its opening prompt is that number."""


@dataclass(frozen=True)
class Audit:
    """A folder with the tables that the stage reads."""

    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def arguments(self, **more: Any) -> imprint_stage.Arguments:
        given = {
            "pairs": self.path("pairs.parquet"),
            "scores": self.path("aligned.csv"),
            "control_scores": self.path("control.csv"),
            "taxonomy": self.path("taxonomy.csv"),
            "control_taxonomy": self.path("second.csv"),
            "gold": self.path("gold.csv"),
            "gold_share": 0.5,
            "target": [HELPFUL],
            "metrics": self.path("imprint.json"),
            "coefficients": self.path("coefficients.csv"),
        }
        return imprint_stage.Arguments(**(given | more))

    def measure(self, **more: Any) -> Any:
        imprint_stage.main(self.arguments(**more))
        return strict_json(self.path("imprint.json"))

    def coefficients(self) -> pd.DataFrame:
        return pd.read_csv(self.path("coefficients.csv"))


def text(row_id: int, preference: str) -> str:
    return f"\n\nHuman: {row_id % 120}\n\nAssistant: {preference} {row_id}"


def as_gold(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="text").assign(text_sha256=[hashlib.sha256(each.encode()).hexdigest() for each in table["text"]])


def wrong(labels: pd.DataFrame, features: list[str], share: float, seed: int) -> pd.DataFrame:
    """The same labels, of which these features are turned round on a random share of the texts."""
    random = np.random.default_rng(seed)
    return labels.assign(**{feature: labels[feature].astype(bool) ^ (random.random(len(labels)) < share) for feature in features})


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """Helpful earns 1 and harmless a half; the labeler errs on one text in ten, and so does the second one, who knows two features."""
    made = Audit(tmp_path)
    random = np.random.default_rng(2)
    rows, truth, rewards = [], [], {preference: np.zeros(COUNT) for preference in pairs.PREFERENCES}
    for place, row_id in enumerate(ROW_IDS.tolist()):
        part = "held-out" if row_id % 120 < HELD_OUT_BELOW else "train"
        row: dict[str, Any] = {"row_id": row_id, "source": "s", "part": part, "opening_prompt": str(row_id % 120)}
        for preference in pairs.PREFERENCES:
            whole = text(row_id, preference)
            row |= {f"{preference}_text": whole, f"{preference}_prompt": "p", f"{preference}_response": "r", f"{preference}_turns": 2}
            labels: dict[str, Any] = {feature: bool(random.random() < 0.4) for feature in BOOLEANS} | {feature: [] for feature in LISTS}
            labels |= {
                SENTIMENT: str(random.choice(["negative", "neutral", "positive"])),
                "topics": ["People and self"] * int(random.integers(2)),
            }
            truth.append((row_id, preference, whole, labels))
            rewards[preference][place] = labels[HELPFUL] + 0.5 * labels[HARMLESS] + random.normal(scale=0.5)
        rows.append(row)
    pairs.write(made.path("pairs.parquet"), pd.DataFrame(rows, columns=pairs.SCHEMA.names))
    table = taxonomy.table(truth)
    taxonomy.write(made.path("gold.csv"), as_gold(table))
    taxonomy.write(made.path("taxonomy.csv"), wrong(table, [HELPFUL, HARMLESS], 0.1, 3))
    second = wrong(table, [HELPFUL, HARMLESS], 0.1, 4)[["row_id", "preference", "text", HELPFUL, HARMLESS]]
    taxonomy.write(made.path("second.csv"), second)
    write_csv(made.path("aligned.csv"), scores.table(ROW_IDS, rewards["chosen"], rewards["rejected"]))
    noise = random.normal(size=(2, COUNT))
    write_csv(made.path("control.csv"), scores.table(ROW_IDS, noise[0], noise[1]))
    return made


# --- what it writes ---


def test_the_file_has_every_part_and_the_table_every_estimator(audit: Audit) -> None:
    figures = audit.measure()
    assert list(figures) == [
        *("pairs", "unlabelled_pairs", "opening_prompts", "reward_sd", "dropped"),
        *("within_pair", "within_pair_with_intercept", "chosen_beyond_features"),
        *("change", "held_out", "corrected", "bracket_if_errors_are_independent", "misalignment"),
    ]
    assert (figures["pairs"], figures["unlabelled_pairs"], figures["opening_prompts"]) == (COUNT, 0, 60)
    assert figures["dropped"] == dict.fromkeys(
        ("last_response_is_discriminating_against", "topics"), "a list that indicators does not name"
    )
    taken = [feature for feature in FEATURES if feature not in LISTS]
    for part in ("within_pair", "within_pair_with_intercept", "change", "corrected"):
        assert list(figures[part]["features"]) == taken, part
    assert list(figures["bracket_if_errors_are_independent"]["features"]) == [HELPFUL, HARMLESS]
    table = audit.coefficients()
    assert list(table.columns) == list(imprint_coefficients.COLUMNS)
    assert not table.duplicated(["estimator", "errors", "feature"]).any()
    sizes = {"within_pair": 17, "pooled_published": 3 * 19, "pooled": 3 * 18, "change": 17, "gold_only": 17, "misalignment": 35}
    counted = table["estimator"].value_counts()
    assert {name: counted[name] for name in sizes} == sizes


def test_the_headline_is_that_of_the_tables_whatever_their_order(audit: Audit) -> None:
    figures = audit.measure()
    labels = taxonomy.read(audit.path("taxonomy.csv")).set_index(["row_id", "preference"])
    numbers = (
        labels[[feature for feature in FEATURES if feature not in LISTS]]
        .replace({"negative": -1, "neutral": 0, "positive": 1})
        .astype(float)
    )
    rewards = pd.read_csv(audit.path("aligned.csv")).set_index("row_id")
    order = sorted(ROW_IDS)
    design = numbers.xs("chosen", level=1).loc[order] - numbers.xs("rejected", level=1).loc[order]
    margins = (rewards["chosen_score"] - rewards["rejected_score"]).loc[order]
    groups = {"groups": np.array(order) % 120}
    reference = sm.OLS(margins, design).fit(cov_type="cluster", cov_kwds=groups, use_t=True)
    held_out = np.array(order) % 120 < HELD_OUT_BELOW
    assert figures["held_out"]["pairs"] == held_out.sum()
    of_held_out = sm.OLS(margins[held_out], design[held_out]).fit().params
    for name in design.columns:
        assert figures["held_out"]["within_pair"]["features"][name]["estimate"] == pytest.approx(of_held_out[name], rel=1e-4)
        found = figures["within_pair"]["features"][name]
        prompts = len(set(groups["groups"][design[name] != 0]))  # in which the feature differs
        assert found["aim"] == ("target" if name == HELPFUL else "other")
        half = stats.t.ppf(0.975, prompts - 1) * reference.bse[name]
        expected = [reference.params[name], reference.params[name] - half, reference.params[name] + half]
        assert [found["estimate"], found["low"], found["high"]] == pytest.approx(expected, rel=1e-4)


def test_gold_brings_the_imprint_nearer_to_what_was_planted(audit: Audit) -> None:
    figures = audit.measure(gold_share=1.0)
    assert figures["corrected"]["gold_pairs"] == COUNT
    assert figures["corrected"]["probability"] == 1
    for name, planted in ((HELPFUL, 1.0), (HARMLESS, 0.5)):
        corrected = figures["corrected"]["features"][name]
        assert corrected["low"] <= planted <= corrected["high"]
    assert figures["within_pair"]["features"][HELPFUL]["high"] < 1
    labels_only = figures["corrected"]["features"][HELPFUL]["labels_only"]
    assert labels_only == figures["within_pair"]["features"][HELPFUL]["estimate"]


def test_half_of_the_gold_is_drawn_by_pair_and_seed(audit: Audit) -> None:
    first, again, other = (audit.measure(seed=seed)["corrected"] for seed in (1, 1, 2))
    assert first == again
    assert first["features"] != other["features"]
    assert first["probability"] == 0.5
    assert 0.35 * COUNT < first["gold_pairs"] < 0.65 * COUNT


def test_indicators_are_taken_on_request(audit: Audit) -> None:
    figures = audit.measure(indicators=["topics"], spoiler=["topics"])
    assert figures["within_pair"]["features"]["topics: People and self"]["aim"] == "spoiler"
    assert figures["dropped"]["topics: Mathematics and logic"] == "differs on no pair"
    assert "topics" not in figures["dropped"]


def test_the_same_tables_in_any_order_give_the_same_bytes(audit: Audit) -> None:
    audit.measure()
    before = [Path(audit.path(name)).read_bytes() for name in ("imprint.json", "coefficients.csv")]
    for name in ("taxonomy.csv", "second.csv"):
        table = taxonomy.read(audit.path(name), taxonomy.features_of(audit.path(name)))
        taxonomy.write(audit.path(name), table.sample(frac=1, random_state=1))
    taxonomy.write(audit.path("gold.csv"), taxonomy.read(audit.path("gold.csv"), text=False).iloc[::-1])
    for name in ("aligned.csv", "control.csv"):
        write_csv(audit.path(name), pd.read_csv(audit.path(name)).iloc[::-1])
    audit.measure()
    assert [Path(audit.path(name)).read_bytes() for name in ("imprint.json", "coefficients.csv")] == before


# --- what can be missing ---


def test_without_what_is_not_required_the_parts_are_null_with_the_reason(audit: Audit) -> None:
    everything = audit.measure()
    figures = audit.measure(control_scores="", control_taxonomy="", gold="none")
    assert figures["change"] == {"features": None, "reason": "no role to start from is given"}
    assert figures["corrected"] == {"features": None, "reason": "no gold is set for these pairs"}
    assert figures["bracket_if_errors_are_independent"] == {"features": None, "reason": "no second labeler is given"}
    assert figures["within_pair"] == everything["within_pair"]


def test_texts_and_features_that_the_labels_lack_are_counted_and_named(audit: Audit) -> None:
    labels = taxonomy.read(audit.path("taxonomy.csv")).iloc[3:].drop(columns=HARMLESS)
    taxonomy.write(audit.path("taxonomy.csv"), labels)
    figures = audit.measure()
    assert figures["unlabelled_pairs"] == 2
    assert figures["misalignment"]["pairs"] == COUNT - 2
    assert figures["dropped"][HARMLESS] == "the labels do not have it"
    assert HARMLESS not in figures["within_pair"]["features"]


def test_gold_of_a_part_of_the_pairs_makes_the_probability_smaller(audit: Audit) -> None:
    gold = taxonomy.read(audit.path("gold.csv"), text=False)
    kept = gold["row_id"].isin(ROW_IDS[:240]) & ~((gold["row_id"] == ROW_IDS[0]) & (gold["preference"] == "chosen"))
    taxonomy.write(audit.path("gold.csv"), gold[kept])
    figures = audit.measure(gold_share=1.0)["corrected"]
    assert figures["gold_pairs"] == 239
    assert figures["probability"] == figures["share_with_gold"] == pytest.approx(239 / COUNT, rel=1e-5)


def test_a_constant_reward_is_told(audit: Audit) -> None:
    write_csv(audit.path("aligned.csv"), scores.table(ROW_IDS, np.ones(COUNT), np.ones(COUNT)))
    figures = audit.measure()
    assert figures["reward_sd"] == 0
    assert figures["change"]["reason"] == "a role's reward is the same for all texts"
    assert {feature["estimate"] for feature in figures["within_pair"]["features"].values()} == {None}
    assert audit.coefficients()["estimate"].notna().sum() == 0


# --- errors ---


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"level": 1.0}, "level is 1.0; expected a share between 0 and 1"),
        ({"gold_share": 0.0}, "gold-share is 0.0; expected more than 0 and at most 1"),
        ({"gold_share": 1.5}, "gold-share is 1.5"),
        ({"max_vif": 1.0}, "max-vif is 1.0; expected more than 1"),
        ({"max_vif": float("nan")}, "max-vif is nan; expected more than 1"),
        ({"gold": "None"}, "gold is not set; name a table of gold labels, or none"),
        ({"spoiler": [HELPFUL]}, f"{HELPFUL} is both in target and in spoiler"),
        ({"target": ["topics"]}, "topics is a list and stands in target or spoiler; name it in indicators too"),
    ],
)
def test_odd_arguments_are_refused(audit: Audit, more: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        audit.measure(**more)
    assert not Path(audit.path("imprint.json")).exists()


@pytest.mark.parametrize("name", ["pairs.parquet", "aligned.csv", "control.csv", "taxonomy.csv", "second.csv", "gold.csv"])
def test_a_missing_file_is_named(audit: Audit, name: str) -> None:
    Path(audit.path(name)).unlink()
    with pytest.raises(InputError, match=rf"{name}: no such file; run "):
        audit.measure()


@pytest.mark.parametrize("name", ["aligned.csv", "control.csv"])
def test_rewards_that_are_no_numbers_or_do_not_join_are_refused(audit: Audit, name: str) -> None:
    table = pd.read_csv(audit.path(name))
    write_csv(audit.path(name), table.assign(chosen_score=table["chosen_score"].where(table.index != 4)))
    with pytest.raises(InputError, match=rf"{name}, row 6, column chosen_score: nan; expected a number up to 1e\+30"):
        audit.measure()
    write_csv(audit.path(name), table.iloc[1:])
    with pytest.raises(InputError, match=rf"{name}: 1 row_ids do not match the pairs"):
        audit.measure()
    write_csv(audit.path(name), pd.concat([table, table.iloc[:1]]))
    with pytest.raises(InputError, match=rf"{name}: row_id {ROW_IDS[0]} stands there more than once"):
        audit.measure()


@pytest.mark.parametrize("name", ["taxonomy.csv", "second.csv"])
def test_labels_of_other_pairs_twice_or_empty_are_refused(audit: Audit, name: str) -> None:
    features = taxonomy.features_of(audit.path(name))
    table = taxonomy.read(audit.path(name), features)
    taxonomy.write(audit.path(name), table.assign(row_id=table["row_id"].where(table.index != 3, 77)))
    with pytest.raises(InputError, match=rf"{name}: row_id 77 is not in the pairs; label these pairs"):
        audit.measure()
    taxonomy.write(audit.path(name), pd.concat([table, table.iloc[:1]]))
    with pytest.raises(InputError, match=rf"{name}: row_id 0, chosen, stands there more than once"):
        audit.measure()
    taxonomy.write(audit.path(name), table.assign(**{HELPFUL: table[HELPFUL].where(table.index != 3, "")}))
    with pytest.raises(InputError, match=rf"{name}: row 5, column {HELPFUL}: found '', expected True or False"):
        audit.measure()


def test_gold_of_another_text_is_refused(audit: Audit) -> None:
    gold = taxonomy.read(audit.path("gold.csv"), text=False)
    taxonomy.write(audit.path("gold.csv"), gold.assign(text_sha256=["0" * 64, *gold["text_sha256"][1:]]))
    with pytest.raises(InputError, match=r"gold\.csv: row_id 0, chosen: .* set gold to none, or to gold of these texts"):
        audit.measure()


# --- the command line ---


def test_the_command_line_runs_the_stage_and_tells_a_mistake_in_one_line(audit: Audit) -> None:
    audit.measure(spoiler=[HARMLESS, SENTIMENT])
    expected = [Path(audit.path(name)).read_bytes() for name in ("imprint.json", "coefficients.csv")]
    command = [sys.executable, str(ROOT / "stages" / "imprint.py")]
    for name, value in vars(audit.arguments(spoiler=[HARMLESS, SENTIMENT])).items():
        command += [f"--{name.replace('_', '-')}", *(value if isinstance(value, list) else [str(value)])]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert [Path(audit.path(name)).read_bytes() for name in ("imprint.json", "coefficients.csv")] == expected
    Path(audit.path("aligned.csv")).write_text("row_id\n1\n", encoding="utf-8")
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {audit.path('aligned.csv')}: lacks the column(s) chosen_score, rejected_score")
    assert result.stderr.count("\n") == 1


def test_a_feature_that_is_none_is_refused(audit: Audit) -> None:
    command = [sys.executable, str(ROOT / "stages" / "imprint.py"), "--target", "helpful"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "invalid choice: 'helpful'" in result.stderr


def test_the_stage_loads_nothing_that_takes_seconds() -> None:
    slow = "('torch', 'transformers', 'scipy.stats')"
    script = f"import sys; sys.path.insert(0, 'stages'); import imprint; print([name for name in {slow} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_arguments_left_out_are_those_of_the_command_line() -> None:
    given = imprint_stage.Arguments(pairs="p", scores="s", taxonomy="t", metrics="m", coefficients="c")
    assert (given.control_scores, given.control_taxonomy, given.gold, given.gold_share) == ("", "", "none", 0.25)
    assert replace(given, target=[HELPFUL]).spoiler == []
