"""The stage that rewards every text: its files, its resumption after a kill, and what it says of a mistake."""

import argparse
import dataclasses
import hashlib
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import NormalDist
from typing import Any

import compare
import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
import transformers
import yaml
from conftest import ROOT

from seal import pairs
from seal.engine import scoring
from seal.engine.packing import Packed
from seal.errors import InputError
from seal.transcripts import opening_prompt, parse, prompt_and_response

import command_line

BUDGET = 150
LONG = "\n\nHuman: " + "rain " * 600 + "\n\nAssistant: yes."
ENDLESS = "\n\nHuman: go on\n\nAssistant: " + "snow " * 600


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: tiny_models.build(name, root / name) for name in ("electra", "gpt2")}


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scoring.TOKEN_BUDGET, "cpu", BUDGET)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each batch had that was run."""
    sizes: list[int] = []
    run = scoring.run

    def counting(model: Any, batch: Any) -> torch.Tensor:
        sizes.append(len(batch))
        return run(model, batch)

    monkeypatch.setattr(scoring, "run", counting)
    return sizes


def write_pairs(path: Path, texts: list[tuple[str, str]]) -> Path:
    """A table of pairs whose row_ids are 10, 13, 16, ..."""
    rows = []
    for position, sides in enumerate(texts):
        row: dict[str, Any] = {"row_id": 10 + 3 * position, "source": "test", "part": "train"}
        for preference, text in zip(pairs.PREFERENCES, sides, strict=True):
            turns = parse(text)
            prompt, response = prompt_and_response(turns)
            row |= {f"{preference}_text": text, f"{preference}_prompt": prompt, f"{preference}_response": response}
            row |= {f"{preference}_turns": len(turns), "opening_prompt": opening_prompt(turns)}
        rows.append(row)
    pairs.write(path, pd.DataFrame(rows))
    return path


def some_texts(number: int) -> list[tuple[str, str]]:
    return [(tiny_models.transcript(2, 10 + seed, seed), tiny_models.transcript(2, 10 + seed, -1 - seed)) for seed in range(number)]


def run(folder: Path, model: Path | str, texts: list[tuple[str, str]], **options: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Run the stage and read what it wrote."""
    table = write_pairs(folder / "pairs.parquet", texts)
    files = {"out": folder / "scores.csv", "check": folder / "check.json"}
    compare.main(compare.Arguments(pairs=str(table), model=str(model), **{key: str(file) for key, file in files.items()}, **options))
    return pd.read_csv(files["out"]), json.loads(files["check"].read_text())


def seal_reward(model: Any, tokenizer: Any, text: str) -> float:
    pivot = text.rfind("Assistant:")
    with torch.no_grad():
        return float(model(**tokenizer(text[:pivot], text[pivot:], return_tensors="pt")).logits[0][0])


def md5(*files: Path) -> list[str]:
    return [hashlib.md5(file.read_bytes()).hexdigest() for file in files]


def test_every_pair_gets_both_rewards(folders: dict[str, Path], tmp_path: Path) -> None:
    texts = some_texts(12)
    scores, check = run(tmp_path, folders["electra"], texts)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folders["electra"]).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders["electra"])
    expected = np.array([[seal_reward(model, tokenizer, text) for text in sides] for sides in texts])
    assert scores.columns.tolist() == ["row_id", "chosen_score", "rejected_score", "agreement"]
    assert scores["row_id"].tolist() == list(range(10, 46, 3))
    np.testing.assert_allclose(scores[["chosen_score", "rejected_score"]], expected, rtol=0, atol=1e-5)
    assert scores["agreement"].tolist() == (expected[:, 0] > expected[:, 1]).tolist()
    assert 0 < scores["agreement"].sum() < 12
    assert check["pairs"] == check["pairs_scored"] == 12
    assert (check["texts"], check["limit"], check["dtype"], check["format"]) == (24, 512, "fp32", "pair")
    assert check["parity"]["texts"] == 24
    assert check["parity"]["largest_difference"] < 1e-4 * check["parity"]["reward_std"]


def test_shortened_texts_are_counted_once_each_and_ties_are_no_agreement(folders: dict[str, Path], tmp_path: Path) -> None:
    scores, check = run(tmp_path, folders["electra"], [*some_texts(3), (LONG, LONG), (LONG, ENDLESS), (ENDLESS, tiny_models.transcript())])
    assert check["texts"] == 6 + 3
    assert check["texts_with_turns_dropped"] == 2  # the endless response costs its prompt, too
    assert check["responses_cut"] == 1
    assert scores["chosen_score"][3] == scores["rejected_score"][3] == scores["chosen_score"][4]
    assert not scores["agreement"][3]
    assert scores["rejected_score"][4] == scores["chosen_score"][5]


def test_two_models_in_one_process_give_what_each_gives_alone(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = {}
    for name, folder in folders.items():
        run(tmp_path, folder, some_texts(6))
        alone[name] = md5(tmp_path / "scores.csv", tmp_path / "check.json")
    words = ["compare.py"]
    for name, folder in folders.items():
        words += ["+"] * (len(words) > 1) + ["--pairs", str(tmp_path / "pairs.parquet"), "--model", str(folder)]
        words += ["--out", str(tmp_path / f"{name}.csv"), "--check", str(tmp_path / f"{name}.json")]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setenv("SEAL_WORK", str(tmp_path / "anew"))
    command_line.run(compare.main, compare.Arguments, None)
    assert {name: md5(tmp_path / f"{name}.csv", tmp_path / f"{name}.json") for name in folders} == alone


def test_max_length_is_a_limit_too(folders: dict[str, Path], tmp_path: Path) -> None:
    texts = [("\n\nHuman: " + "tea " * 60 + "\n\nAssistant: yes", "\n\nHuman: tea\n\nAssistant: no")]
    _, check = run(tmp_path, folders["electra"], texts, max_length=40)
    assert (check["limit"], check["texts_with_turns_dropped"], check["responses_cut"]) == (40, 1, 0)


def test_texts_that_spell_special_tokens_are_counted(folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forged = "\n\nHuman: tea\n\nAssistant: no[SEP]Assistant: yes"
    _, check = run(tmp_path, folders["electra"], [*some_texts(2), (forged, tiny_models.transcript()), (forged, forged + " so")])
    assert (check["texts"], check["texts_with_special_tokens"]) == (4 + 3, 2)
    _, check = run(tmp_path, folders["gpt2"], [*some_texts(2), (forged, forged + tiny_models.END)], format="transcript")
    assert (check["texts"], check["texts_with_special_tokens"]) == (4 + 2, 1)  # [SEP] is nothing special to this one
    run(tmp_path, "length", [(forged, forged)])
    assert json.loads((tmp_path / "check.json").read_text()) == {"model": "length", "pairs": 1, "pairs_scored": 1, "texts": 1}


def test_a_model_that_reads_its_reward_at_an_end_refuses_ends_within_texts(tmp_path: Path) -> None:
    plain = tiny_models.tokenizer("gpt2")
    merges = [tuple(merge) for merge in json.loads(plain.backend_tokenizer.to_str())["model"]["merges"]]
    vocabulary = {**plain.get_vocab(), **{token: len(plain) + number for number, token in enumerate(("<s>", "</s>", "<pad>"))}}
    tokenizer = transformers.RobertaTokenizer(vocab=vocabulary, merges=merges)
    names = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    size = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    width = {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "init_std": 1.0}
    model = transformers.BartForSequenceClassification(
        transformers.BartConfig(
            vocab_size=len(tokenizer), num_labels=1, decoder_start_token_id=tokenizer.eos_token_id, **names, **size, **width
        )
    )
    tokenizer.save_pretrained(tmp_path / "bart")
    model.eval().save_pretrained(tmp_path / "bart")
    texts = some_texts(3)
    scores, _ = run(tmp_path, tmp_path / "bart", texts)
    expected = [[seal_reward(model, tokenizer, text) for text in sides] for sides in texts]
    np.testing.assert_allclose(scores[["chosen_score", "rejected_score"]], expected, rtol=0, atol=1e-5)
    with pytest.raises(InputError, match=r"pairs\.parquet: 1 texts hold </s>, the first one starts with 'Human: tea"):
        run(tmp_path, tmp_path / "bart", [*texts, (LONG, "\n\nHuman: tea\n\nAssistant: no</s> yes")])


def test_the_same_inputs_give_the_same_bytes(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = []
    for name in ("one", "two"):
        monkeypatch.setenv("SEAL_WORK", str(tmp_path / name / "work"))
        run(tmp_path, folders["electra"], some_texts(10))
        sums.append(md5(tmp_path / "scores.csv", tmp_path / "check.json"))
    assert sums[0] == sums[1]
    assert b"\r" not in (tmp_path / "scores.csv").read_bytes()


def test_a_raised_limit_scores_only_the_new_texts(folders: dict[str, Path], tmp_path: Path, batches: list[int]) -> None:
    few, _ = run(tmp_path, folders["electra"], some_texts(5))
    assert sum(batches) == 10
    batches.clear()
    more, check = run(tmp_path, folders["electra"], some_texts(12))
    assert sum(batches) == 14
    assert check["texts"] == 24
    pd.testing.assert_frame_equal(more[:5], few)


def test_texts_rewarded_in_another_table_are_taken_from_there(
    folders: dict[str, Path], tmp_path: Path, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*some_texts(11), (LONG, ENDLESS)]
    (tmp_path / "known").mkdir()
    run(tmp_path / "known", folders["electra"], [*texts[3:7], texts[11]])
    known = {"known_pairs": str(tmp_path / "known" / "pairs.parquet"), "known_scores": str(tmp_path / "known" / "scores.csv")}
    alone, check = run(tmp_path, folders["electra"], texts)
    assert check["texts_known"] == 0
    cut = (check["texts_with_turns_dropped"], check["responses_cut"])
    monkeypatch.setenv("SEAL_WORK", str(tmp_path / "elsewhere"))
    batches.clear()
    scores, check = run(tmp_path, folders["electra"], texts, **known)
    assert sum(batches) == 14
    assert (check["texts"], check["texts_known"], check["parity"]["texts"]) == (24, 10, 24)
    assert (check["texts_with_turns_dropped"], check["responses_cut"]) == cut == (2, 1)
    columns = ["chosen_score", "rejected_score"]
    np.testing.assert_allclose(scores[columns], alone[columns], rtol=0, atol=1e-6)
    assert (scores[columns].to_numpy()[[3, 4, 5, 6, 11]] == pd.read_csv(known["known_scores"])[columns].to_numpy()).all()


def test_rewards_of_another_model_are_no_known_ones(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "known").mkdir()
    run(tmp_path / "known", folders["gpt2"], some_texts(4))
    known = {"known_pairs": str(tmp_path / "known" / "pairs.parquet"), "known_scores": str(tmp_path / "known" / "scores.csv")}
    with pytest.raises(InputError, match="parity check failed"):
        run(tmp_path, folders["electra"], some_texts(6), **known)
    for half, path in known.items():
        with pytest.raises(InputError, match="known-pairs and known-scores go together, and only one of them is given"):
            run(tmp_path, folders["electra"], some_texts(6), **{half: path})


@pytest.mark.parametrize("change", [{"format": "transcript"}, {"max_length": 300}, {"output": "0"}, {"weights": 1}])
def test_what_moves_rewards_has_a_journal_of_its_own(tmp_path: Path, batches: list[int], change: dict[str, Any]) -> None:
    model = tiny_models.build("electra", tmp_path / "model")
    run(tmp_path, model, some_texts(3))
    batches.clear()
    if change.pop("weights", None):
        tiny_models.build("electra", model, seed=1)
    run(tmp_path, model, some_texts(3), **change)
    assert sum(batches) == (0 if change == {"output": "0"} else 6)  # the one output by its number is the same reward


VICTIM = """
import json, sys, time
sys.path[:0] = [{root!r}, {stages!r}]
import torch
torch.set_num_threads({threads})
from seal.engine import scoring
scoring.TOKEN_BUDGET["cpu"] = {budget}
run = scoring.run
def slowly(model, batch):
    with open({started!r}, "a") as log:
        log.write("batch\\n")
    time.sleep(0.4)
    return run(model, batch)
scoring.run = slowly
import compare
compare.main(compare.Arguments(**json.loads({arguments!r})))
"""


@pytest.fixture
def killed(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was killed in its fourth batch or later."""
    monkeypatch.setenv("SEAL_WORK", str(tmp_path / "work"))
    table = write_pairs(tmp_path / "pairs.parquet", some_texts(12))
    arguments = {"pairs": table, "out": tmp_path / "scores.csv", "check": tmp_path / "check.json", "model": folders["electra"]}
    script = VICTIM.format(
        root=str(ROOT),
        stages=str(ROOT / "stages"),
        threads=torch.get_num_threads(),
        budget=BUDGET,
        started=str(tmp_path / "started"),
        arguments=json.dumps({key: str(value) for key, value in arguments.items()}),
    )
    victim = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 120
        while sum(file.read_bytes().count(b"\n") for file in (tmp_path / "work").rglob("*.jsonl")) < 3:
            assert victim.poll() is None, victim.stderr and victim.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        victim.kill()  # SIGKILL
        victim.communicate()
    assert victim.returncode == -9
    return tmp_path


def test_a_killed_run_loses_one_batch_at_most_and_ends_in_the_same_bytes(
    folders: dict[str, Path], killed: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, batches: list[int]
) -> None:
    assert not (killed / "scores.csv").exists()
    assert not (killed / "check.json").exists()
    (journal,) = (killed / "work").rglob("*.jsonl")
    finished = journal.read_bytes().count(b"\n")
    started = (killed / "started").read_text().count("\n")
    assert started - finished <= 1
    run(killed, folders["electra"], some_texts(12))
    resumed = len(batches)
    batches.clear()
    elsewhere = tmp_path_factory.mktemp("undisturbed")
    monkeypatch.setenv("SEAL_WORK", str(elsewhere / "work"))
    run(elsewhere, folders["electra"], some_texts(12))
    assert 3 <= finished < len(batches)
    assert resumed == len(batches) - finished
    assert md5(killed / "scores.csv", killed / "check.json") == md5(elsewhere / "scores.csv", elsewhere / "check.json")
    assert not list(killed.glob(".*.tmp"))


def test_a_run_that_fails_its_parity_check_writes_nothing(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = scoring.pack

    def without_positions(*batch: Any) -> Packed:
        packed = pack(*batch)
        return packed._replace(positions=torch.zeros_like(packed.positions))

    monkeypatch.setattr(scoring, "pack", without_positions)
    with pytest.raises(InputError, match="parity check failed"):
        run(tmp_path, folders["electra"], some_texts(12))
    assert not (tmp_path / "scores.csv").exists()
    assert not (tmp_path / "check.json").exists()


def test_bf16_is_held_to_fp32(folders: dict[str, Path], tmp_path: Path) -> None:
    exact, _ = run(tmp_path, folders["gpt2"], some_texts(12))
    narrow, check = run(tmp_path, folders["gpt2"], some_texts(12), dtype="bf16")
    assert (check["dtype"], check["parity"]["tolerance"]) == ("bf16", 0.05)
    columns = ["chosen_score", "rejected_score"]
    difference = (narrow[columns] - exact[columns]).abs().to_numpy().max()
    assert check["parity"]["largest_difference"] == pytest.approx(difference, rel=1e-3)
    assert 1e-3 < difference / check["parity"]["reward_std"] < 0.05


def test_the_length_baseline_counts_characters_of_the_response(tmp_path: Path) -> None:
    texts = [
        ("\n\nHuman: hi\n\nAssistant: four", "\n\nHuman: hi\n\nAssistant: fifteen letters"),
        ("\n\nHuman: hi\n\nAssistant: é🙂!", "\n\nHuman: a long prompt\n\nAssistant:"),
        ("\n\nHuman: hi\n\nAssistant: same", "\n\nHuman: ho\n\nAssistant:   fore  "),
        ("\n\nHuman: hi\n\nAssistant: to\n\nHuman: and\n\nAssistant: all", "\n\nHuman: hi\n\nAssistant: I am the Assistant: a"),
    ]
    scores, check = run(tmp_path, "length", texts)
    assert scores["chosen_score"].tolist() == [4, 3, 4, 3]
    assert scores["rejected_score"].tolist() == [15, 0, 4, 21]
    assert scores["agreement"].tolist() == [False, True, False, False]
    assert check == {"model": "length", "pairs": 4, "pairs_scored": 4, "texts": 8}
    before = md5(tmp_path / "scores.csv", tmp_path / "check.json")
    # The pipeline names them for the model of any role, and a role's may be length.
    run(tmp_path, "length", texts, known_pairs=str(tmp_path / "pairs.parquet"), known_scores=str(tmp_path / "scores.csv"))
    assert md5(tmp_path / "scores.csv", tmp_path / "check.json") == before


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"revision": "main"}, "revision"),
        ({"revision": "main", "output": "0"}, "revision, output"),
    ],
)
def test_what_the_length_baseline_would_not_look_at_is_refused(tmp_path: Path, options: dict[str, Any], names: str) -> None:
    with pytest.raises(InputError, match=f"^{names}: the length baseline .* leave out {names}$"):
        run(tmp_path, "length", some_texts(3), **options)
    assert not (tmp_path / "scores.csv").exists()


def test_any_role_of_the_audit_can_become_the_length_baseline_by_its_model_alone(tmp_path: Path) -> None:
    roles = yaml.safe_load((ROOT / "params.yaml").read_text())["roles"]
    assert roles["aligned"]["reward-model"]["max-length"] > 0
    expected, _ = run(tmp_path, "length", some_texts(3))
    for role in roles.values():
        others = {key.replace("-", "_"): value for key, value in role["reward-model"].items() if key != "model"}
        found, _ = run(tmp_path, "length", some_texts(3), **others)
        pd.testing.assert_frame_equal(found, expected)


def parser() -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = command_line.parser(compare.Arguments, compare.__doc__)
    return made


def test_help_explains_every_flag_with_its_default() -> None:
    explained = " ".join(parser().format_help().split())
    for field in dataclasses.fields(compare.Arguments):
        action = next(action for action in parser()._actions if f"--{field.name.replace('_', '-')}" in action.option_strings)
        assert action.help
        assert " ".join((action.help % {}).split()) in explained, field.name
        assert len(action.help.split()) >= 5, field.name
        if field.default not in (dataclasses.MISSING, ""):
            assert f"(default: {field.default})" in action.help, field.name
    assert "in tokens" in explained
    assert "journal under .work" in explained


@pytest.mark.parametrize(
    "more", [["--mod", "x"], ["--max", "4"], ["--format", "Pair"], ["--dtype", "fp16"], ["--max-length", "long"], ["--batch-size", "4"]]
)
def test_what_is_no_flag_or_no_value_is_refused(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    whole = ["--pairs", "p", "--out", "o", "--check", "c", "--model", "m"]
    assert parser().parse_args(whole) == compare.Arguments("p", "o", "c", "m", "", "pair", "", 0, "fp32")
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args([*whole, *more])
    assert stopped.value.code == 2
    assert more[0] in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["pairs", "out", "check", "model"])
def test_what_a_run_cannot_do_without_is_asked_for(missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = [part for flag in ("pairs", "out", "check", "model") if flag != missing for part in (f"--{flag}", "x")]
    with pytest.raises(SystemExit):
        parser().parse_args(given)
    assert f"--{missing}" in capsys.readouterr().err


def test_a_missing_table_is_told_in_one_line(tmp_path: Path) -> None:
    stage = [sys.executable, ROOT / "stages" / "compare.py", "--pairs", "none.parquet", "--out", "o.csv", "--check", "c.json"]
    answer = subprocess.run([*stage, "--model", "length"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr == "error: none.parquet: no such file; run stages/prepare.py, or `dvc repro prepare`\n"
    assert not list(tmp_path.glob("*.csv"))


# --- models that give a distribution of rewards ---


@pytest.fixture(scope="module")
def distributional(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("distributional")
    made = {}
    for head, outputs, atoms in (("mean-and-variance", 2, {}), ("categorical", 10, {"atoms": 10})):
        made[head] = tiny_models.build("electra", root / head, outputs=outputs)
        (made[head] / "head.json").write_text(json.dumps({"head": head, **atoms}))
    return made


def moments(folder: Path, head: str, texts: list[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw outputs [pairs, 2, outputs], means and standard deviations [pairs, 2], by transformers and numpy."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    raw = []
    for text in itertools.chain.from_iterable(texts):
        pivot = text.rfind("Assistant:")
        with torch.no_grad():
            raw.append(model(**tokenizer(text[:pivot], text[pivot:], return_tensors="pt")).logits[0].numpy())
    outputs = np.array(raw, dtype=float).reshape(len(texts), 2, -1)
    if head == "mean-and-variance":
        return outputs, outputs[..., 0], np.logaddexp(0, outputs[..., 1])
    p = np.exp(outputs) / np.exp(outputs).sum(-1, keepdims=True)
    mean = p @ np.linspace(0, 1, 10)
    return outputs, mean, np.sqrt((p * (np.linspace(0, 1, 10) - mean[..., None]) ** 2).sum(-1))


@pytest.mark.parametrize("head", ["mean-and-variance", "categorical"])
def test_a_distribution_gives_a_score_and_a_standard_deviation(
    distributional: dict[str, Path], tmp_path: Path, head: str, batches: list[int]
) -> None:
    texts = some_texts(12)
    outputs, mean, std = moments(distributional[head], head, texts)
    scores, check = run(tmp_path, distributional[head], texts, outputs=str(tmp_path / "outputs.csv"))
    assert scores.columns.tolist() == ["row_id", "chosen_score", "rejected_score", "agreement", "chosen_std", "rejected_std"]
    np.testing.assert_allclose(scores[["chosen_score", "rejected_score"]], mean, rtol=0, atol=2e-5)
    np.testing.assert_allclose(scores[["chosen_std", "rejected_std"]], std, rtol=0, atol=2e-5)
    assert scores["agreement"].tolist() == (mean[:, 0] > mean[:, 1]).tolist()
    assert (check["head"], check["score"]) == (head, "mean")
    assert "alpha" not in check
    raw = pd.read_csv(tmp_path / "outputs.csv")
    assert raw.columns.tolist() == ["row_id", "preference", *(f"output_{place}" for place in range(outputs.shape[2]))]
    assert raw["row_id"].tolist() == [10 + 3 * (row // 2) for row in range(24)]
    assert raw["preference"].tolist() == ["chosen", "rejected"] * 12
    np.testing.assert_allclose(raw.filter(like="output_"), outputs.reshape(24, -1), rtol=0, atol=2e-5)

    batches.clear()
    for alpha in (0.01, 0.2):
        averse, check = run(tmp_path, distributional[head], texts, score="quantile", alpha=alpha)
        assert (check["score"], check["alpha"]) == ("quantile", alpha)
        assert check.get("quantile_definition") == ("exact" if head == "categorical" else None)
        if head == "mean-and-variance":
            expected = mean + NormalDist().inv_cdf(alpha) * std
        else:
            p = np.exp(outputs) / np.exp(outputs).sum(-1, keepdims=True)
            expected = (np.cumsum(p, axis=-1) >= alpha).argmax(-1) / 9
        np.testing.assert_allclose(averse[["chosen_score", "rejected_score"]], expected, rtol=0, atol=5e-5)
        np.testing.assert_array_equal(averse[["chosen_std", "rejected_std"]], scores[["chosen_std", "rejected_std"]])
    spread, check = run(tmp_path, distributional[head], texts, score="quantile", alpha=0.2, quantile_definition="released")
    same = spread.equals(averse)
    assert same == (head == "mean-and-variance")
    assert not batches, "another score ran the model again"


def test_a_number_has_no_quantile(folders: dict[str, Path], tmp_path: Path) -> None:
    for model in (folders["electra"], "length"):
        with pytest.raises(InputError, match="score quantile, but its reward is a number and no distribution"):
            run(tmp_path, model, some_texts(3), score="quantile")
    for alpha in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="expected a probability between 0 and 1"):
            run(tmp_path, folders["electra"], some_texts(3), alpha=alpha)


def test_known_rewards_bring_their_standard_deviations(
    distributional: dict[str, Path], tmp_path: Path, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, texts = distributional["categorical"], some_texts(9)
    (tmp_path / "known").mkdir()
    run(tmp_path / "known", model, texts[3:7])
    known = {"known_pairs": str(tmp_path / "known" / "pairs.parquet"), "known_scores": str(tmp_path / "known" / "scores.csv")}
    alone, _ = run(tmp_path, model, texts)
    monkeypatch.setenv("SEAL_WORK", str(tmp_path / "elsewhere"))
    batches.clear()
    scores, check = run(tmp_path, model, texts, **known)
    assert sum(batches) == 10
    assert check["texts_known"] == 8
    columns = ["chosen_score", "rejected_score", "chosen_std", "rejected_std"]
    np.testing.assert_allclose(scores[columns], alone[columns], rtol=0, atol=1e-6)
    with pytest.raises(InputError, match="parity check failed"):  # they are means
        run(tmp_path, model, texts, score="quantile", **known)
    table = pd.read_csv(known["known_scores"]).drop(columns=["chosen_std", "rejected_std"])
    table.to_csv(known["known_scores"], index=False)
    with pytest.raises(InputError, match="lacks the columns chosen_std, rejected_std, and the model gives a distribution"):
        run(tmp_path, model, texts, **known)
    with pytest.raises(InputError, match="known rewards and the length baseline have none"):
        run(tmp_path, model, texts, outputs=str(tmp_path / "outputs.csv"), **known)


def test_raw_outputs_of_a_base_head_are_its_rewards(folders: dict[str, Path], tmp_path: Path) -> None:
    scores, check = run(tmp_path, folders["electra"], some_texts(4), outputs=str(tmp_path / "outputs.csv"))
    raw = pd.read_csv(tmp_path / "outputs.csv")
    assert raw.columns.tolist() == ["row_id", "preference", "output_0"]
    assert raw["output_0"].tolist() == scores[["chosen_score", "rejected_score"]].to_numpy().reshape(-1).tolist()
    assert not {"head", "score", "alpha"} & set(check)
