"""The stage of the reward shift, from tables to its metrics and its histogram."""

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import reward_shift as reward_shift_stage
from test_measure_stages import ROOT, ROWS, Audit, numbers, strict_json, wide_audit, write_audit, write_labels

from seal import scores
from seal.errors import InputError
from seal.files import write_csv

# row_id: rewards of chosen and rejected by control, by aligned, and theta
MOVED = {
    3: ((1, 0), (0, 1), 90.0),
    0: ((0, 1), (1, 0), -90.0),
    7: ((1, 1), (1, 1), 0.0),
    8: ((-1, 1), (1, -1), 180.0),
    9: ((1, 0), (1, 1), 45.0),
    12: ((0, 0), (1, 2), None),
}


def moved(folder: Path) -> Audit:
    """An audit of these rewards: control agrees on 3 and 9, aligned on 0 and 8."""
    audit = write_audit(folder, ROWS)
    row_ids = np.array(list(MOVED))
    for role, place in (("control", 0), ("aligned", 1)):
        rewards = np.array([row[place] for row in MOVED.values()], dtype=float)
        write_csv(audit.path(f"{role}.csv"), scores.table(row_ids, rewards[:, 0], rewards[:, 1]))
    return audit


def measured(audit: Audit, **more: Any) -> Any:
    reward_shift_stage.main(
        reward_shift_stage.Arguments(
            pairs=audit.path("pairs.parquet"),
            control_scores=audit.path("control.csv"),
            aligned_scores=audit.path("aligned.csv"),
            metrics=audit.path("reward_shift.json"),
            theta=audit.path("theta.csv"),
            **{"resamples": audit.resamples, **more},
        )
    )
    return strict_json(audit.path("reward_shift.json"))


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return moved(tmp_path)


def test_the_shift_over_all_held_out_by_regime_and_by_gamma(audit: Audit) -> None:
    figures = measured(audit, taxonomy=write_labels(audit))
    assert list(figures) == ["all", "held_out", "by_regime", "by_gamma", "regression", "quadrants"]
    found = {"all": figures["all"], "held_out": figures["held_out"], **figures["by_regime"], **figures["by_gamma"]}
    # pairs, then of theta: undefined, mean, median, share of positive ones
    expected = {
        "all": (6, 1, 45, 45, 3 / 5),
        "held_out": (3, 1, 90, 90, 1 / 2),  # rows 7, 8 and 12
        "got_aligned": (2, 0, 45, 45, 1 / 2),  # rows 0 and 8
        "resists_alignment": (2, 1, 0, 0, 0),  # rows 7 and 12
        "reversed_alignment": (2, 0, 67.5, 67.5, 1),  # rows 3 and 9
        "c": (2, 0, 135, 135, 1),  # rows 3 and 8
        "r": (2, 1, -90, -90, 0),  # rows 0 and 12
        "i": (1, 0, 0, 0, 0),
        "unlabelled": (1, 0, 45, 45, 1),
    }
    for name, (count, undefined, mean, median, positive) in expected.items():
        assert (found[name]["pairs"], found[name]["theta"]["undefined"]) == (count, undefined), name
        assert (found[name]["theta"]["mean"], found[name]["theta"]["median"]) == (mean, median), name
        assert found[name]["theta"]["share_positive"] == positive, name
    assert found["stayed_aligned"] == {"pairs": 0}
    # of 4 angles off 0, 3 are positive: 2 (1 + 4) / 16
    assert figures["all"]["theta"]["independent_pairs"]["sign_test_p"] == 0.625
    # unit vectors at 90, -90, 0, 180 and 45 degrees add up to the last one
    assert figures["all"]["theta"]["circular_mean"] == pytest.approx(45)
    assert figures["all"]["theta"]["resultant_length"] == pytest.approx(0.2)
    # of 6 changes of margin, -2, 2, 0, 4, -1 and -1: mean 1/3, mean square 26/6
    spread = math.sqrt(26 / 6 - 1 / 9)
    assert figures["all"]["change_of_margin"]["mean"] == pytest.approx(1 / 3 / spread, rel=1e-5)
    assert figures["by_gamma"]["c"]["change_of_margin"]["mean"] == pytest.approx(1 / spread, rel=1e-5)


def test_quadrants_of_both_roles_before_and_after_centring(audit: Audit) -> None:
    figures = measured(audit)["quadrants"]
    assert list(figures["rewards"]["control"].values()) == pytest.approx([1 / 6, 0, 0, 1 / 6, 4 / 6], rel=1e-5)
    assert list(figures["rewards"]["aligned"].values()) == pytest.approx([3 / 6, 1 / 6, 0, 0, 2 / 6], rel=1e-5)
    # means 5/12 and 8/12: of aligned, (0, 1), (1, 0), (1, 1), (1, -1), (1, 1) and (1, 2) lie in II, IV, I, IV, I and I
    assert list(figures["centred_rewards"]["aligned"].values()) == pytest.approx([3 / 6, 2 / 6, 0, 1 / 6, 0], rel=1e-5)


def test_the_histogram_counts_each_angle_by_regime(audit: Audit) -> None:
    measured(audit)
    table = pd.read_csv(audit.path("theta.csv"))
    assert list(table.columns) == ["theta", "regime", "pairs", "share"]
    counts = {tuple(row) for row in table.loc[table["pairs"] > 0, ["regime", "theta", "pairs"]].itertuples(index=False)}
    assert counts == {
        *(("all", theta, 1) for theta in (-85, 5, 45, 95, 175)),
        *(("got_aligned", theta, 1) for theta in (-85, 175)),
        ("resists_alignment", 5, 1),
        *(("reversed_alignment", theta, 1) for theta in (45, 95)),
    }
    assert table[table["regime"] == "stayed_aligned"]["share"].isna().all()
    assert table.groupby("regime")["share"].sum()["all"] == pytest.approx(1)


def test_the_drawings_have_all_pairs_by_role_and_by_regime(audit: Audit) -> None:
    paths = {name: audit.path(f"plots/{name}.svg") for name in ("reward_directions", "theta_rose")}
    plain = measured(audit)
    assert measured(audit, **paths) == plain
    directions, rose = (re.findall(r"<text [^>]*>([^<]*)</text>", Path(path).read_text()) for path in paths.values())
    # one pair of control's has no direction; 1/6 of them are positive on both sides, and 3/6 of aligned's
    assert directions[directions.index("control") + 1] == "n = 5, 1 without angle"
    assert directions[directions.index("aligned") + 1] == "n = 6"
    assert {"17%", "50%"} <= set(directions)
    counted = {"all pairs": 5, "stayed aligned": 0, "got aligned": 2, "resists alignment": 1, "reversed alignment": 2}
    for name, count in counted.items():
        assert rose[rose.index(name) + 1].split(",")[0] == f"n = {count}"
    assert rose[rose.index("all pairs") + 2] == "mean 45°, length 0.20"


def test_without_labels_what_needs_them_is_null_with_the_reason(audit: Audit) -> None:
    with_labels, without = measured(audit, taxonomy=write_labels(audit)), measured(audit)
    for name in ("by_gamma", "regression"):
        assert without.pop(name) is None
        assert without.pop(f"{name}_reason") == "no table of labels is given"
        del with_labels[name]
    assert without == with_labels


def test_the_regression_says_what_it_left_out_and_why_it_has_no_coefficients(audit: Audit) -> None:
    found = measured(audit, taxonomy=write_labels(audit))["regression"]
    assert list(found) == ["theta", "change_of_margin"]
    assert (found["theta"]["pairs"], found["theta"]["left_out_unlabelled"], found["theta"]["left_out_undefined"]) == (4, 1, 1)
    assert (found["change_of_margin"]["pairs"], found["change_of_margin"]["left_out_undefined"]) == (5, 0)
    assert found["theta"]["coefficients"] is None
    assert "3 opening prompts" in found["theta"]["reason"]  # a, b and c


def test_the_regression_finds_what_a_feature_does_to_the_margin(tmp_path: Path) -> None:
    audit = wide_audit(tmp_path)
    random = np.random.default_rng(2)
    judged = {row_id: tuple((bool(a), bool(b)) for a, b in random.random((2, 2)) < 0.5) for row_id in range(300)}
    helpful = np.array([judged[row_id][0][1] for row_id in range(300)])
    aligned = scores.table(np.arange(300), random.normal(scale=0.1, size=300) + 5 * helpful, np.zeros(300))
    write_csv(audit.path("aligned.csv"), aligned)
    write_csv(audit.path("control.csv"), scores.table(np.arange(300), random.normal(size=300), np.zeros(300)))
    found = measured(audit, taxonomy=write_labels(audit, judged))["regression"]["change_of_margin"]["coefficients"]
    # 5 over the standard deviation: 5 times a coin of 1/2 has 2.5, beside noise of 1
    effect = found["chosen"]["last_response_is_helpful"]
    assert effect["low"] < 5 / math.hypot(2.5, 1) < effect["high"]
    assert effect["p_holm"] < 1e-6
    assert found["rejected"]["last_response_is_helpful"]["p_holm"] > 0.001
    assert found["chosen"]["last_response_is_refusal"] == {"estimate": None, "reason": "the feature does not vary"}


@pytest.mark.parametrize("rows", [1, 0])
def test_an_audit_of_one_pair_or_none_runs_without_intervals(tmp_path: Path, rows: int) -> None:
    audit = write_audit(tmp_path, ROWS[:rows])
    figures = measured(audit)
    if rows:
        assert figures["all"]["theta"]["mean_low"] is None
        assert figures["all"]["change_of_margin"]["mean"] is None
    else:
        assert figures["all"] == {"pairs": 0}
        assert set(figures["quadrants"]["rewards"]["control"].values()) == {None}


def test_a_reward_that_is_the_same_for_all_leaves_reasons_and_no_figures(tmp_path: Path) -> None:
    audit = write_audit(tmp_path, [(*row[:6], row[6], 0.0) for row in ROWS])
    figures = measured(audit)["all"]
    assert figures["theta"]["undefined"] == 0  # (0.5, 0.5) is a vector
    assert figures["theta_centred"]["undefined"] == 6
    assert figures["theta_centred"]["mean"] is None
    assert figures["theta_centred"]["mean_reason"]
    assert figures["change_of_scaled_margin"]["mean"] is None


def test_the_files_are_rounded_and_have_the_same_bytes_again(tmp_path: Path) -> None:
    audit = wide_audit(tmp_path)
    written = []
    for _ in range(2):
        figures = measured(audit)
        written.append([Path(audit.path(name)).read_bytes() for name in ("reward_shift.json", "theta.csv")])
    assert written[0] == written[1]
    floats = [value for value in numbers(figures) if isinstance(value, float)]
    assert len(floats) > 50
    assert all(value == float(f"{value:.6g}") for value in floats)


def test_rewards_and_labels_of_other_pairs_are_refused_and_nothing_is_written(audit: Audit) -> None:
    labels = Path(write_labels(audit))
    labels.write_text(labels.read_text().replace("12,chosen", "13,chosen"))
    with pytest.raises(InputError, match=r"taxonomy\.csv: row_id 13 is not in the pairs; label these pairs"):
        measured(audit, taxonomy=str(labels))
    path = Path(audit.path("control.csv"))
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match=r"control\.csv: 1 row_ids do not match the pairs"):
        measured(audit)
    assert not {name for name in ("reward_shift.json", "theta.csv") if (audit.folder / name).exists()}


def test_labels_that_lack_harmless_or_helpful_are_refused(audit: Audit) -> None:
    path = write_labels(audit)
    pd.read_csv(path, dtype=str).drop(columns="last_response_is_helpful").to_csv(path, index=False)
    with pytest.raises(InputError, match=r"taxonomy\.csv: lacks the column\(s\) last_response_is_helpful"):
        measured(audit, taxonomy=path)


def test_the_command_line_tells_a_mistake_in_one_line_without_a_traceback(audit: Audit) -> None:
    flags = {"pairs": "pairs.parquet", "control-scores": "control.csv", "aligned-scores": "gone.csv", "metrics": "m.json", "theta": "t.csv"}
    command = [sys.executable, str(ROOT / "stages" / "reward_shift.py")]
    command += [word for name, file in flags.items() for word in (f"--{name}", audit.path(file))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == f"error: {audit.path('gone.csv')}: no such file; run stages/compare.py to write it, or `dvc repro`\n"
