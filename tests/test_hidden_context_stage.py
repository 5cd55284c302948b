"""The stage hidden_context: from tables of pairs, rewards with standard deviations and labels to metrics and deciles."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import hidden_context as stage
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from conftest import ROOT, strict_json
from made_up import LABELS
from scipy import stats
from sklearn.metrics import roc_auc_score

from seal import pairs, scores, taxonomy
from seal.errors import InputError
from seal.files import write_csv

PAIRS = 240
HELPFUL, HARMLESS, ELOQUENT = "last_response_is_helpful", "last_response_is_harmless", "last_response_is_eloquent"


class Work:
    """A folder with tables in which resistance is frequent where the distributional model is unsure."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        random = np.random.default_rng(4)
        row_ids = random.permutation(PAIRS) * 3
        rows, labels = [], []
        self.held_out = np.arange(PAIRS) % 3 == 0
        self.flags = {name: random.random((PAIRS, 2)) < 0.5 for name in (HELPFUL, HARMLESS, ELOQUENT)}
        for place, row_id in enumerate(row_ids.tolist()):
            part = "held-out" if self.held_out[place] else "train"
            row: dict[str, Any] = {"row_id": row_id, "source": "made up", "part": part, "opening_prompt": f"{place // 2}"}
            for side, preference in enumerate(pairs.PREFERENCES):
                text = f"\n\nHuman: {place // 2}\n\nAssistant: {'x' * (1 + (7 * place + 11 * side) % 50)}{row_id}"
                row |= {f"{preference}_text": text, f"{preference}_prompt": "", f"{preference}_turns": 2}
                row[f"{preference}_response"] = text.rpartition(": ")[2]
                given = {name: bool(of[place, side]) for name, of in self.flags.items()}
                labels.append((row_id, preference, text, {**LABELS, **given}))
            rows.append(row)
        pairs.write(self.path("pairs.parquet"), pd.DataFrame(rows, columns=pairs.SCHEMA.names))
        taxonomy.write(self.path("taxonomy.csv"), taxonomy.table(labels))
        self.stds = random.gamma(3, size=(PAIRS, 2))
        self.unsure = np.sqrt((self.stds**2).sum(axis=1))
        self.margins = np.where(random.random(PAIRS) < np.clip(self.unsure / 10, 0, 0.9), -1, 1) * random.exponential(size=PAIRS)
        difference = {name: of[:, 0].astype(float) - of[:, 1] for name, of in self.flags.items()}
        # Helpful earns 1 by the mean and nothing by the quantile; harmless earns 1 by both.
        noise = 0.1 * random.normal(size=(2, PAIRS))
        mean = difference[HELPFUL] + difference[HARMLESS] + noise[0]
        averse = difference[HARMLESS] + noise[1]
        order = random.permutation(PAIRS)  # tables need not be in the order of the pairs
        zeros = np.zeros(PAIRS)
        for name, margins in (("aligned", self.margins), ("mean", mean), ("averse", averse)):
            stds = (self.stds[:, 0], self.stds[:, 1]) if name == "mean" else None
            write_csv(self.path(f"{name}.csv"), scores.table(row_ids, margins, zeros, stds).iloc[order])
        self.mean, self.averse = mean, averse
        self.difference = np.stack(list(difference.values()), axis=1)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def arguments(self, **more: Any) -> stage.Arguments:
        given = {
            "pairs": self.path("pairs.parquet"),
            "aligned_scores": self.path("aligned.csv"),
            "distribution_scores": self.path("mean.csv"),
            "risk_averse_scores": self.path("averse.csv"),
            "taxonomy": self.path("taxonomy.csv"),
            "target": [HELPFUL],
            "metrics": self.path("metrics.json"),
            "deciles": self.path("deciles.csv"),
            "resamples": 200,
        }
        return stage.Arguments(**(given | more))

    def measure(self, **more: Any) -> Any:
        stage.main(self.arguments(**more))
        return strict_json(self.path("metrics.json"))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def test_the_metrics_hold_all_pairs_and_held_out_ones(work: Work) -> None:
    found = work.measure()
    assert list(found) == ["all", "held_out", "imprint"]
    for population, members in (("all", np.ones(PAIRS, dtype=bool)), ("held_out", work.held_out)):
        figures, resists, unsure = found[population], work.margins[members] <= 0, work.unsure[members]
        assert figures["pairs"] == members.sum()
        assert figures["resisting"] == resists.sum()
        assert figures["auc"] == pytest.approx(roc_auc_score(resists, unsure), abs=1e-5)
        assert figures["auc_low"] < figures["auc"] < figures["auc_high"]
        assert figures["uncertainty"]["most"] == pytest.approx(unsure.max(), abs=1e-4)
        assert list(figures["within"]) == ["margin", "close_margins", "gamma", "length_difference"]
        prefers = 2 * work.difference[members, 1] + work.difference[members, 0]
        for gamma, of in (("c", prefers > 0), ("r", prefers < 0), ("i", prefers == 0)):
            stratum = figures["within"]["gamma"]["strata"][gamma]
            assert stratum["pairs"] == of.sum()
            assert stratum["auc"] == pytest.approx(roc_auc_score(resists[of], unsure[of]), abs=1e-5)
    assert found["all"]["auc_low"] > 0.6
    table = pd.read_csv(work.path("deciles.csv"))
    assert list(table["population"]) == ["all"] * 10 + ["held_out"] * 8
    assert (table["wilson_low"] < table["resistance"]).all()
    assert table["pairs"].groupby(table["population"]).sum().to_dict() == {"all": PAIRS, "held_out": 80}


def test_imprint_by_mean_and_risk_averse_score_and_their_difference_are_those_of_statsmodels(work: Work) -> None:
    found = work.measure()["imprint"]
    clusters = np.arange(PAIRS) // 2
    for population, members in (("all", np.ones(PAIRS, dtype=bool)), ("held_out", work.held_out)):
        figures = found[population]
        scaled = {}
        for name, margins in (("mean", work.mean[members]), ("risk_averse", work.averse[members])):
            spread = np.concatenate([margins, np.zeros(len(margins))]).std()
            assert figures[name]["reward_sd"] == pytest.approx(spread, abs=1e-5)
            scaled[name] = margins / spread
        expected = {
            **{name: (figures[name]["features"], "in_sd", "in_sd_low", outcome) for name, outcome in scaled.items()},
            "difference": (figures["risk_averse_less_mean"]["features"], "estimate", "low", scaled["risk_averse"] - scaled["mean"]),
        }
        for features, value, low, outcome in expected.values():
            fit = sm.OLS(outcome, work.difference[members]).fit(cov_type="cluster", cov_kwds={"groups": clusters[members]}, use_t=True)
            assert set(features) == {HELPFUL, HARMLESS, ELOQUENT}
            for place, name in enumerate((HELPFUL, HARMLESS, ELOQUENT)):
                assert features[name][value] == pytest.approx(fit.params[place], abs=2e-5)
                prompts = len(set(clusters[members][work.difference[members, place] != 0]))  # in which the feature differs
                half = stats.t.ppf(0.975, prompts - 1) * fit.bse[place]
                assert features[name][low] == pytest.approx(fit.params[place] - half, abs=2e-5)
        assert figures["mean"]["features"][HELPFUL]["aim"] == "target"
        assert figures["risk_averse_less_mean"]["features"][HELPFUL]["high"] < 0
        assert figures["risk_averse_less_mean"]["features"][HARMLESS]["low"] > 0  # of a smaller spread it is more


def test_without_labels_or_quantile_the_rest_is_measured(work: Work) -> None:
    with_all = work.measure()
    without = work.measure(risk_averse_scores="", taxonomy="")
    assert without["imprint"] == {"reason": "no labels are given"}
    assert "gamma" not in without["all"]["within"]
    assert without["all"]["auc"] == with_all["all"]["auc"]
    assert work.measure(risk_averse_scores="")["imprint"] == {"reason": "no rewards by a lower quantile are given"}


def test_without_held_out_pairs_there_is_no_pair(work: Work) -> None:
    table = pd.read_parquet(work.path("pairs.parquet"))
    table["part"] = "train"
    table.to_parquet(work.path("pairs.parquet"))
    found = work.measure()
    assert found["held_out"] == {"pairs": 0}
    assert found["imprint"]["held_out"] == {"pairs": 0}
    assert set(pd.read_csv(work.path("deciles.csv"))["population"]) == {"all"}


def test_what_does_not_fit_is_named(work: Work) -> None:
    with pytest.raises(InputError, match=r"aligned\.csv: lacks chosen_std, rejected_std; expected the rewards of a model with the head"):
        work.measure(distribution_scores=work.path("aligned.csv"))
    with pytest.raises(InputError, match="risk-averse-scores: there is no imprint on them without labels; give --taxonomy"):
        work.measure(taxonomy="")
    with pytest.raises(InputError, match=r"max-vif is 1\.0; expected more than 1"):
        work.measure(max_vif=1.0)
    with pytest.raises(InputError, match="resamples 0"):
        work.measure(resamples=0)
    assert not Path(work.path("metrics.json")).exists()


def test_the_same_files_give_the_same_bytes_from_the_command_line(work: Work) -> None:
    work.measure()
    first = [Path(work.path(name)).read_bytes() for name in ("metrics.json", "deciles.csv")]
    flags = []
    for name, value in vars(work.arguments()).items():
        if value not in ([], ""):
            flags += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    subprocess.run([sys.executable, str(ROOT / "stages" / "hidden_context.py"), *flags], check=True)
    assert [Path(work.path(name)).read_bytes() for name in ("metrics.json", "deciles.csv")] == first
