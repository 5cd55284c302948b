"""Scoring on Ray: what it gives is what this process gives, to the byte, whatever dies in between; and nothing of it stays or listens."""

import hashlib
import importlib.util
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import compare
import numpy as np
import psutil
import pyarrow
import pytest
import tiny_models
import torch
from conftest import ROOT
from safetensors.torch import load_file, save_file
from test_compare_stage import some_texts, write_pairs

from seal.engine import on_ray, reward_models, scoring
from seal.engine.inputs import Input
from seal.engine.reward_models import RewardModel
from seal.engine.scoring import RunBatches, Scored
from seal.errors import InputError
from seal.journal import Journal

BUDGET = 120
TEXTS = [tiny_models.transcript(1 + seed % 4, 3 + 2 * seed, seed) for seed in range(10)]
TEXTS += [TEXTS[7][:-1] + ending for ending in "!?:;"]
LONG = "\n\nHuman: " + "rain " * 600 + "\n\nAssistant: " + "snow " * 600

with_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is not installed")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: tiny_models.build(name, root / name) for name in ("bert", "electra", "llama")}


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """A Ray that the tests share: two CPUs, so a pool of one actor and a reader."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 2)
        with on_ray._ray(torch.get_num_threads()):
            yield


class Counting:
    """An engine that notes how many texts each batch had."""

    def __init__(self, run_batches: RunBatches) -> None:
        self.run_batches = run_batches
        self.sizes: list[int] = []

    def __call__(self, model: RewardModel, batches: Iterator[list[Input]]) -> Any:
        for number, outputs in self.run_batches(model, batches):
            self.sizes.append(len(outputs))
            yield number, outputs


def loader(folder: Path) -> Any:
    return partial(reward_models.load, str(folder), format="pair")


def score(folder: Path, texts: Sequence[str], path: Path, run_batches: RunBatches | None = None) -> Scored:
    with Journal(path) as journal:
        return scoring.score(loader(folder)(), texts, journal, BUDGET, run_batches)


@with_ray
def test_ray_goes_on_with_a_run_and_gives_the_bytes_of_this_process(
    ray_here: None, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "WINDOW", 5)
    folder, texts = folders["llama"], [LONG, *TEXTS]
    whole = score(folder, texts, tmp_path / "whole")
    run, calls = scoring.run, iter(range(1000))

    def failing(model: RewardModel, batch: Sequence[Input]) -> torch.Tensor:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return run(model, batch)

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "run", failing)
        with pytest.raises(KeyboardInterrupt):
            score(folder, texts, tmp_path / "resumed")
    counting = Counting(partial(on_ray.run_batches, loader(folder)))
    resumed = score(folder, texts[::-1], tmp_path / "resumed", counting)
    assert [array[::-1].tobytes() for array in resumed] == [array.tobytes() for array in whole]
    lines = [(tmp_path / name).read_bytes().splitlines() for name in ("whole", "resumed")]
    assert len(counting.sizes) == len(lines[0]) - 1 - 3 > 3
    assert sorted(lines[0]) == sorted(lines[1])  # batches come back in any order
    assert lines[0][-1] == lines[1][-1] == b'{"finished": true}'
    counting.sizes.clear()
    score(folder, texts, tmp_path / "resumed", counting)
    assert not counting.sizes


class Starts:
    """Room for so many starts of actors."""

    def __init__(self, room: int) -> None:
        self.room = room

    def put_nowait(self, _: None) -> None:
        self.room -= 1
        if self.room < 0:
            raise queue.Full


def actor(load: Any, fingerprint: str, starts: int = 1) -> on_ray._Scorer:
    return on_ray._Scorer(load, fingerprint, torch.get_num_threads(), str(Path.cwd()), Starts(starts))


def test_an_actor_gives_the_outputs_of_a_batch_or_tells_the_mistake(folders: dict[str, Path], tmp_path: Path) -> None:
    load = loader(folders["bert"])
    model = load()
    batch = model.encode(TEXTS[:3])
    table = pyarrow.Table.from_pylist([on_ray._row(7, batch)])

    def mistake(of: on_ray._Scorer) -> str:
        (answer,) = of(table).to_pylist()
        assert answer["outputs"] == b""
        return str(answer["mistake"])

    (answer,) = actor(load, model.fingerprint())(table).to_pylist()
    ((_, outputs),) = scoring.in_process(model, iter([batch]))
    assert answer == {"number": 7, "shape": [3, 1], "outputs": outputs.tobytes(), "mistake": ""}
    other = loader(tiny_models.build("bert", tmp_path / "other", seed=1))
    assert ": its model is another than here" in mistake(actor(other, model.fingerprint()))
    assert ": model /nowhere: no such folder" in mistake(actor(loader(Path("/nowhere")), model.fingerprint()))
    assert ": actors die again and again" in mistake(actor(load, model.fingerprint(), starts=0))


@with_ray
def test_a_mistake_in_a_text_is_told(ray_here: None, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "WINDOW", 5)
    encode = RewardModel.encode

    def refusing(model: RewardModel, texts: Sequence[str]) -> list[Input]:
        if sorted(TEXTS)[7] in texts:
            raise InputError("no such text")
        return encode(model, texts)

    monkeypatch.setattr(RewardModel, "encode", refusing)
    with pytest.raises(InputError, match="no such text"):
        score(folders["bert"], TEXTS, tmp_path / "journal", partial(on_ray.run_batches, loader(folders["bert"])))


VICTIM = """
import json, os, sys, time
os.cpu_count = lambda: 2
sys.path[:0] = [{root!r}, {stages!r}]
import torch
torch.set_num_threads({threads})
from seal import journal
append = journal.Journal.append
def slowly(self, record):
    append(self, record)
    time.sleep(0.4)
journal.Journal.append = slowly
from seal.engine import scoring
scoring.TOKEN_BUDGET["cpu"] = {budget}
import command_line
import compare
compare.main(compare.Arguments(**json.loads({arguments!r})))
"""


@pytest.fixture
def short_path() -> Iterator[str]:
    """Where Ray keeps its sockets, whose paths must be short. A kill leaves them."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield folder


def start(folder: Path, model: Path, short_path: str) -> "subprocess.Popen[str]":
    """The stage on a Ray of its own. Its processes are known by a mark in their environment."""
    folder.mkdir()
    arguments = {"pairs": write_pairs(folder / "pairs.parquet", some_texts(12)), "model": model}
    arguments |= {"out": folder / "scores.csv", "check": folder / "check.json"}
    script = VICTIM.format(
        root=str(ROOT),
        stages=str(ROOT / "stages"),
        threads=torch.get_num_threads(),
        budget=BUDGET,
        arguments=json.dumps({key: str(value) for key, value in arguments.items()}),
    )
    environment = os.environ | {"SEAL_ENGINE": "ray", "SEAL_WORK": str(folder / "work"), "SEAL_MARK": str(folder)}
    environment["RAY_TMPDIR"] = short_path
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, env=environment)


def marked(folder: Path) -> list[psutil.Process]:
    """The processes that a start in this folder has brought about, and that still run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SEAL_MARK") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:  # gone, or another's
            continue
    return found


def end_within(seconds: float, folder: Path) -> bool:
    deadline = time.monotonic() + seconds
    while marked(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not marked(folder)


@with_ray
def test_a_killed_run_goes_on_elsewhere_and_nothing_listens_or_stays(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_path: str
) -> None:

    monkeypatch.setitem(scoring.TOKEN_BUDGET, "cpu", BUDGET)
    there, here = tmp_path / "there", tmp_path / "here"
    victim = start(there, folders["electra"], short_path)
    try:
        deadline = time.monotonic() + 300
        while sum(file.read_bytes().count(b"\n") for file in there.rglob("*.jsonl")) < 3:
            assert victim.poll() is None, victim.stderr and victim.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        processes = marked(there)
        listening = {
            connection.laddr.ip for process in processes for connection in process.net_connections() if connection.status == "LISTEN"
        }
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    assert len(processes) > 5
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert listening
    assert end_within(30, there)
    assert not (there / "scores.csv").exists()
    (journal,) = there.rglob("*.jsonl")
    finished = journal.read_bytes().count(b"\n")

    here.mkdir()
    sums = []
    for folder in (there, here):
        monkeypatch.setenv("SEAL_WORK", str(folder / "work"))
        counting = Counting(scoring.in_process)
        monkeypatch.setattr(on_ray, "engine", lambda _, counting=counting: counting)
        table = write_pairs(folder / "pairs.parquet", some_texts(12))
        files = {"out": str(folder / "scores.csv"), "check": str(folder / "check.json")}
        compare.main(compare.Arguments(pairs=str(table), model=str(folders["electra"]), **files))
        sums.append([hashlib.md5((folder / name).read_bytes()).hexdigest() for name in ("scores.csv", "check.json")])
        batches = len(counting.sizes) + (finished if folder == there else 0)
        assert batches == len(next((folder / "work").rglob("*.jsonl")).read_bytes().splitlines()) - 1
    assert sums[0] == sums[1]


@with_ray
def test_a_reward_that_is_no_number_is_told_in_one_line_and_no_process_stays(tmp_path: Path, short_path: str) -> None:
    broken = tiny_models.build("electra", tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["classifier.out_proj.bias"].fill_(float("nan"))
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    stage = start(tmp_path / "run", broken, short_path)
    _, told = stage.communicate(timeout=300)
    assert stage.returncode == 1
    (line,) = (line for line in told.splitlines() if not line.startswith("["))  # those are Ray's own
    assert line.startswith("error: the reward of the text that starts with ")
    assert "is nan, not a finite number" in line
    assert end_within(30, tmp_path / "run")


@pytest.mark.parametrize(
    ("nodes", "threads", "size"),
    [
        ([2], 1, 1),  # two actors would leave the reader none
        ([2], 2, 0),
        ([16], 1, 15),
        ([16], 8, 1),
        ([17], 8, 2),
        ([4, 4], 4, 1),
        ([4, 5], 4, 2),  # the reader takes the fifth
        ([0, 8, 3], 2, 5),
        ([], 1, -1),
    ],
)
def test_the_pool_leaves_a_cpu_to_the_reader(nodes: list[float], threads: int, size: int) -> None:
    assert on_ray.pool_size(nodes, threads) == size


@pytest.mark.parametrize("types", [True, False])
def test_a_batch_survives_the_way(types: bool) -> None:
    batch = [Input(np.arange(length, dtype=np.int32), np.full(length, 1, np.int32) if types else None, 0, 0) for length in (3, 1, 4)]
    row = on_ray._row(7, batch)
    assert row["number"] == 7
    back = on_ray._batch(row)
    assert [item.ids.tolist() for item in back] == [[0, 1, 2], [0], [0, 1, 2, 3]]  # type: ignore[union-attr]
    assert [item.types is not None and item.types.tolist() for item in back] == ([[1] * 3, [1], [1] * 4] if types else [False] * 3)  # type: ignore[union-attr]


def test_the_environment_names_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEAL_ENGINE", raising=False)
    assert on_ray.engine(reward_models.load) is scoring.in_process
    monkeypatch.setenv("SEAL_ENGINE", "Ray")
    with pytest.raises(InputError, match="SEAL_ENGINE is Ray; set it to local or ray, or unset it"):
        on_ray.engine(reward_models.load)
    monkeypatch.setenv("SEAL_ENGINE", "ray")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="the package ray is not installed; run pip install"):
        on_ray.engine(reward_models.load)


def test_a_run_without_batches_needs_no_ray(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    load = loader(folders["bert"])
    assert not list(on_ray.run_batches(load, load(), iter([])))
