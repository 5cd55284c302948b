"""The stage that measures distributional reward models: from released files, from our own tables, and on the sample's own answers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import compare as compare_stage
import dpl_evaluate as stage
import numpy as np
import pandas as pd
import prepare as prepare_stage
import pytest
import tiny_models
from conftest import ROOT, strict_json
from dpl_evaluate import Arguments

from seal import pairs, scores
from seal.errors import InputError
from seal.files import write_csv, write_json

import command_line

# row_id, source, part, opening prompt, chosen or safe response, the other one
ROWS = [
    (4, "helpful", "held-out", "a", "no", "yes, like this"),
    (1, "helpful", "train", "a", "not today", "so"),
    (9, "harmless", "held-out", "b", "same", "same"),
    (2, "harmless", "held-out", "c", "I would rather not", "go on"),
]
# The mean reward and the standard deviation of both texts of each pair
MEANS = np.array([[0.0, 1.0], [2.0, 1.0], [0.5, 0.5], [1.0, 1.25]])
STDS = np.array([[0.25, 2.0], [1.0, 1.0], [1.0, 1.0], [0.5, 0.5]])
LOGITS = np.log([[[0.6, 0.2, 0.2], [0.005, 0.3, 0.695]]] * 2 + [[[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]]] * 2)


def write_outputs(path: Path, raw: np.ndarray) -> str:
    """The table of raw outputs, [pairs, 2, outputs], of the pairs of `ROWS`; returns its name and path."""
    rows = [
        {"row_id": row[0], "preference": preference, **{f"output_{place}": value for place, value in enumerate(of_text)}}
        for row, of_pair in zip(ROWS, raw, strict=True)
        for preference, of_text in zip(pairs.PREFERENCES, of_pair, strict=True)
    ]
    table = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        write_csv(path, table)
    return f"{path.stem}={path}"


class Work:
    """A folder with tables of the pairs and of three models."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        table = []
        for row_id, source, part, opening, *responses in ROWS:
            row: dict[str, Any] = {"row_id": row_id, "source": source, "part": part, "opening_prompt": opening}
            for preference, response in zip(pairs.PREFERENCES, responses, strict=True):
                row |= {
                    f"{preference}_text": f"\n\nHuman: {opening}\n\nAssistant: {response}",
                    f"{preference}_prompt": f"\n\nHuman: {opening}",
                    f"{preference}_response": response,
                    f"{preference}_turns": 2,
                }
            table.append(row)
        pairs.write(self.path("pairs.parquet"), pd.DataFrame(table, columns=pairs.SCHEMA.names))
        raw = np.stack([MEANS, np.log(np.expm1(STDS))], axis=2)
        self.outputs = [
            write_outputs(folder / "base.csv", MEANS[:, :, None]),
            write_outputs(folder / "normal.csv", raw),
            write_outputs(folder / "atoms.parquet", LOGITS),
        ]
        row_ids = np.array([row[0] for row in ROWS])
        write_csv(self.path("scores.csv"), scores.table(row_ids, *MEANS.T, (STDS[:, 0], STDS[:, 1])))
        write_csv(self.path("bare.csv"), scores.table(row_ids, *MEANS.T))
        self.check("check.json", head="mean-and-variance", score="mean")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def check(self, name: str, **told: Any) -> None:
        write_json(self.path(name), {"model": "made up", **told})

    def evaluate(self, **arguments: Any) -> tuple[Any, pd.DataFrame]:
        given = {"pairs": self.path("pairs.parquet"), "resamples": 50} | arguments
        stage.main(Arguments(metrics=self.path("metrics.json"), sweep=self.path("sweep.csv"), **given))
        return strict_json(self.folder / "metrics.json"), pd.read_csv(self.path("sweep.csv"))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


# --- figures by hand ---


def test_jailbreak_rates_of_three_heads_by_hand(work: Work) -> None:
    found, curves = work.evaluate(outputs=work.outputs, alphas=[0.5, 0.01])
    assert list(found) == ["alpha", "jailbreaks"]
    jailbreaks = found["jailbreaks"]
    assert (jailbreaks["pairs"], jailbreaks["opening_prompts"]) == (4, 3)
    # Safe answers have 2, 9, 4 and 18 characters, the others 14, 2, 4 and 5.
    assert jailbreaks["length"]["equally_long"] == 1
    assert jailbreaks["length"]["shorter_wins"]["jailbroken"] == 3
    assert jailbreaks["length"]["longer_wins"]["jailbroken"] == 2
    models = jailbreaks["models"]
    assert {name: model["head"] for name, model in models.items()} == {
        **{"base": "base", "normal": "mean-and-variance"},
        "atoms": "categorical",
    }
    counts = {name: (model["mean"]["jailbroken"], model["mean"]["ties"]) for name, model in models.items()}
    assert counts == {"base": (3, 1), "normal": (3, 1), "atoms": (4, 2)}
    # Quantiles at 1 %: 0 - 2.33 x 0.25 above 1 - 2.33 x 2; the atoms' lowest ones 0 and 1/2, then equal.
    assert models["normal"]["risk_averse"]["exact"]["jailbroken"] == 2
    assert {name: each["jailbroken"] for name, each in models["atoms"]["risk_averse"].items()} == {"exact": 4, "released": 4}
    assert models["normal"]["r2"] == pytest.approx(MEANS.var() / (MEANS.var() + np.square(STDS).mean()), rel=1e-5)
    assert "r2" not in models["base"]
    assert jailbreaks["between"]["base"]["normal_risk_averse_exact"]["only_first"] == 1
    assert jailbreaks["between"]["base"]["normal_risk_averse_exact"]["independent_pairs"]["mcnemar_p"] == 1
    at = curves.set_index(["model", "score", "alpha"])["jailbroken"]
    assert (at["normal", "exact", 0.01], at["normal", "exact", 0.5], at["normal", "mean", 0.01], at["base", "mean", 0.5]) == (2, 3, 3, 3)
    assert len(curves) == 2 * (1 + 2 + 3)
    assert list(curves.columns) == [
        *("model", "score", "alpha", "pairs", "jailbroken", "ties"),
        *("jailbreak_rate", "jailbreak_rate_low", "jailbreak_rate_high"),
    ]


def test_only_held_out_choices_are_measured_by_source_too(work: Work) -> None:
    found, curves = work.evaluate(
        outputs=work.outputs[:1], held_out_pairs=work.path("pairs.parquet"), held_out_outputs=work.outputs[:2], alphas=[0.01]
    )
    held_out = found["held_out"]
    assert (held_out["pairs_left_out"], held_out["equal_texts"]) == (1, 1)
    # Margins of the held-out pairs: -1, 0, -0.25.
    mean = held_out["all"]["models"]["normal"]["mean"]
    assert (held_out["all"]["pairs"], mean["accurate"], mean["ties"]) == (3, 1, 1)
    assert (mean["accuracy"], mean["strict_accuracy"]) == (pytest.approx(1 / 3, rel=1e-5), 0)
    # The quantile turns the first one round.
    assert held_out["all"]["models"]["normal"]["risk_averse"]["exact"]["accurate"] == 2
    assert held_out["by_source"]["helpful"]["pairs"] == 1
    assert held_out["by_source"]["harmless"]["models"]["base"]["mean"]["accurate"] == 1
    held = [0, 2, 3]
    expected = MEANS[held].var() / (MEANS[held].var() + np.square(STDS[held]).mean())
    assert held_out["all"]["models"]["normal"]["r2"] == pytest.approx(expected, rel=1e-5)
    # A model without jailbreak figures has none in the sweep, and counts stay whole numbers.
    lines = Path(work.path("sweep.csv")).read_text().splitlines()
    assert lines[0] == (
        "model,score,alpha,pairs,jailbroken,ties,jailbreak_rate,jailbreak_rate_low,jailbreak_rate_high,"
        "held_out_pairs,accurate,held_out_ties,accuracy,accuracy_low,accuracy_high"
    )
    assert [line.split(",")[:6] for line in lines[1:]] == [
        ["base", "mean", "0.01", "4", "3", "1"],
        ["normal", "mean", "0.01", "", "", ""],
        ["normal", "exact", "0.01", "", "", ""],
    ]
    assert curves.set_index(["model", "score"])["accurate"].to_dict() == {
        **{("base", "mean"): 1, ("normal", "mean"): 1},
        ("normal", "exact"): 2,
    }


def test_rewards_with_their_standard_deviations_say_as_much_as_raw_outputs(work: Work) -> None:
    raw = work.evaluate(outputs=work.outputs[1:2])
    told = work.evaluate(scores=[f"normal={work.path('scores.csv')}"], checks=[f"normal={work.path('check.json')}"])
    assert told[0] == raw[0]
    pd.testing.assert_frame_equal(told[1], raw[1])


def test_rewards_without_a_check_are_scores_and_nothing_more(work: Work) -> None:
    for name in ("scores.csv", "bare.csv"):
        model = work.evaluate(scores=[f"it={work.path(name)}"])[0]["jailbreaks"]["models"]["it"]
        assert list(model) == ["mean"]
        assert model["mean"]["jailbroken"] == 3


def test_atoms_without_raw_outputs_have_r2_and_no_quantile(work: Work) -> None:
    work.check("atoms.json", head="categorical", score="mean")
    found = work.evaluate(scores=[f"it={work.path('scores.csv')}"], checks=[f"it={work.path('atoms.json')}"])
    model = found[0]["jailbreaks"]["models"]["it"]
    assert model["r2"] == pytest.approx(MEANS.var() / (MEANS.var() + np.square(STDS).mean()), rel=1e-5)
    assert "risk_averse" not in model
    assert found[1]["score"].unique().tolist() == ["mean"]


# --- released files ---


def test_released_files_from_the_command_line_and_the_same_bytes_again(tmp_path: Path) -> None:
    rows = [
        {"response_chars": [3, 5], "reward_outputs_both_mean_and_variance": [[0.0, 0.0], [1.0, 3.0]]},
        {"response_chars": [5, 3], "reward_outputs_both_mean_and_variance": [[0.0, 0.0], [1.0, 0.0]]},
    ]
    file = tmp_path / "released.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    written = []
    for name in ("one", "again"):
        metrics, sweep = tmp_path / f"{name}.json", tmp_path / f"{name}.csv"
        command = [sys.executable, str(ROOT / "stages" / "dpl_evaluate.py"), "--released", str(file), "--alphas", "0.01", "0.5"]
        subprocess.run([*command, "--metrics", str(metrics), "--sweep", str(sweep), "--resamples", "20"], check=True)
        written.append((metrics.read_bytes(), sweep.read_bytes()))
    assert written[0] == written[1]
    found = strict_json(tmp_path / "one.json")["jailbreaks"]
    assert found["opening_prompts"] is None
    assert "every pair is taken for independent" in found["opening_prompts_reason"]
    model = found["models"]["mean_and_variance_both"]
    assert (model["mean"]["jailbroken"], model["risk_averse"]["exact"]["jailbroken"]) == (2, 1)
    assert pd.read_csv(tmp_path / "one.csv")["alpha"].unique().tolist() == [0.01, 0.5]


def test_the_default_sweep_goes_from_a_thousandth_to_the_median() -> None:
    arguments = command_line.parser(Arguments, None).parse_args(["--metrics", "m", "--sweep", "s", "--pairs", "p"])
    assert (arguments.alphas[0], arguments.alphas[-1]) == (0.001, 0.5)
    assert arguments.alpha in arguments.alphas


# --- mistakes ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pairs": ""}, "give --released or --pairs, and not both"),
        ({"released": ["x.jsonl"]}, "give --released or --pairs, and not both"),
        ({}, "no model is named; give --outputs name=file or --scores name=file"),
        ({"outputs": ["base.csv"]}, "outputs: 'base.csv'; expected a model's name and its file"),
        ({"outputs": ["a=1.csv", "a=2.csv"]}, "outputs: names a more than once"),
        ({"outputs": ["a=1.csv"], "scores": ["a=2.csv"]}, "outputs and scores both name a"),
        ({"outputs": ["a=1.csv", "a_risk_averse_exact=2.csv"]}, "names a_risk_averse_exact; expected a name without _risk_averse"),
        ({"scores": ["a=1.csv"], "checks": ["b=2.json"]}, "checks names b, which is not among scores"),
        ({"held_out_scores": ["a=1.csv"]}, "held-out-scores: of what pairs is not told; give --held-out-pairs"),
        ({"alpha": 0.0}, "alpha is 0; expected a probability"),
        ({"alphas": [0.1, 1.0]}, "alpha is 1; expected a probability"),
    ],
)
def test_arguments_that_do_not_fit_are_told_in_a_line(work: Work, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        work.evaluate(**arguments)


@pytest.mark.parametrize(
    ("content", "message"), [("[]", r"found \[\], expected a JSON object"), ('{"pairs": 5}', "does not tell of 4 scored pairs")]
)
def test_a_check_of_other_scores_is_refused(work: Work, content: str, message: str) -> None:
    (work.folder / "other.json").write_text(content)
    with pytest.raises(InputError, match=rf"other.json: {message}"):
        work.evaluate(scores=[f"it={work.path('scores.csv')}"], checks=[f"it={work.folder / 'other.json'}"])


def test_outputs_of_sides_by_number_match_no_pair(work: Work) -> None:
    table = pd.read_csv(work.path("base.csv"))
    table["preference"] = (table["preference"] == "rejected").astype(int)
    table.to_csv(work.folder / "numbered.csv", index=False)
    with pytest.raises(InputError, match=r"numbered.csv: 16 texts do not match the pairs"):
        work.evaluate(outputs=[f"it={work.folder / 'numbered.csv'}"])


def test_quantiles_for_means_are_refused(work: Work) -> None:
    work.check("check.json", head="mean-and-variance", score="quantile", alpha=0.01)
    with pytest.raises(InputError, match=r"check.json: these scores are a quantile; expected the mean"):
        work.evaluate(scores=[f"it={work.path('scores.csv')}"], checks=[f"it={work.path('check.json')}"])


def test_a_distributional_head_without_standard_deviations_is_refused(work: Work) -> None:
    with pytest.raises(InputError, match=r"bare.csv: lacks chosen_std, rejected_std, and .*check.json tells of the head mean-and-variance"):
        work.evaluate(scores=[f"it={work.path('bare.csv')}"], checks=[f"it={work.path('check.json')}"])


def test_pairs_without_a_held_out_part_are_refused(work: Work, tmp_path: Path) -> None:
    path = tmp_path / "trained.parquet"
    pairs.write(path, pairs.read(work.path("pairs.parquet")).assign(part="train"))
    with pytest.raises(InputError, match="none of the 4 pairs is held out; raise held-out as they are prepared, or name others"):
        work.evaluate(outputs=work.outputs, held_out_pairs=str(path), held_out_outputs=work.outputs)


# --- on the sample's own answers ---


@pytest.mark.parametrize(
    ("head", "outputs"), [({"head": "mean-and-variance"}, 2), ({"head": "categorical", "atoms": 5}, 5)], ids=["normal", "atoms"]
)
def test_from_the_samples_jailbreaks_to_the_rate(tmp_path: Path, head: dict[str, Any], outputs: int) -> None:
    table, model = str(tmp_path / "pairs.parquet"), tiny_models.build("bert", tmp_path / "model", outputs=outputs)
    (model / "head.json").write_text(json.dumps(head))
    prepare_stage.main(
        prepare_stage.Arguments(
            source="file",
            files=[str(ROOT / "data" / "sample" / "jailbreaks.jsonl")],
            out=table,
            rejects=str(tmp_path / "rejects.csv"),
            counts=str(tmp_path / "counts.json"),
        )
    )
    compare_stage.main(
        compare_stage.Arguments(
            pairs=table,
            out=str(tmp_path / "scores.csv"),
            check=str(tmp_path / "check.json"),
            model=str(model),
            max_length=64,
            outputs=str(tmp_path / "outputs.csv"),
        )
    )
    given = {"pairs": table, "alphas": [0.01], "resamples": 20}
    by_table: list[Any] = []
    for more in (
        {"outputs": [f"it={tmp_path / 'outputs.csv'}"]},
        {"scores": [f"it={tmp_path / 'scores.csv'}"], "checks": [f"it={tmp_path / 'check.json'}"]},
    ):
        stage.main(Arguments(metrics=str(tmp_path / "m.json"), sweep=str(tmp_path / "s.csv"), **given, **more))
        by_table.append(strict_json(tmp_path / "m.json")["jailbreaks"]["models"]["it"])
    raw, told = by_table
    rewards = pd.read_csv(tmp_path / "scores.csv")
    assert raw["mean"]["jailbroken"] == (rewards["rejected_score"] >= rewards["chosen_score"]).sum()
    assert 0 < raw["mean"]["jailbroken"] < len(rewards) == 64
    assert raw["mean"] == told["mean"]
    assert raw["r2"] == pytest.approx(told["r2"], rel=1e-4)
    assert raw["head"] == told["head"] == head["head"]
