"""How long do the measures take on a whole data set, and how much memory? From tables on disk, each stage a process, as DVC runs them.

    python benchmarks/measures.py

Makes up as many pairs as HH-RLHF has for training, with texts of its lengths, rewards of two roles, labels of all 19 features by a
labeler, by a second one for 1,000 pairs and as gold for 1,000 texts, writes them to a temporary folder in the formats of the stages, and
prints wall time, processor time and largest memory of each stage and of all of them. At the end, gamma and regime of each pair the way
the published notebooks compute them, in a loop over the pairs of a `groupby`, beside the functions that the stages use, on the same tables.

--at-once 2
    Runs so many stages side by side; the memory of all is then that of the so many that need most.
--one-process
    Runs all stages in one process instead, which starts Python, reads each table and draws the resamples once; with --at-once 2, two
    at a time in forks of it.
--quick
    4,000 pairs, to see whether it works.

The made-up texts are stretches of made-up words. Their lengths are log-normal with the median and spread of 7,506 texts of HH-RLHF's
test splits; opening prompts are shared as in the embedded sample, by 2.5 pairs on average.
"""

import argparse
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from seal import agreement, labeler_preference, pairs, scores, taxonomy, uncertainty
from seal.features import BOOLEANS, FEATURES, LISTS, SENTIMENT, values
from seal.files import text_hash, write_csv, write_json

ROOT = Path(__file__).parent.parent
PAIRS = 160_800
QUICK = 4_000
PAIRS_PER_PROMPT = 2.5
GOLD_TEXTS = 1_000
CONTROL_PAIRS = 1_000
LOOP_PAIRS = 2_000
"""On which the published loop is timed; its time goes by the pairs."""

LOG_LENGTH, LOG_SPREAD = 6.25, 0.84
"""Of the characters of a text."""

SHARED = 0.72
"""Share of its characters that a text has in common with the other of the pair: the prompt."""

SOURCES = ("harmless-base", "helpful-base", "helpful-online", "helpful-rejection-sampled")


# --- tables on disk ---


def made_up_texts(random: np.random.Generator, lengths: np.ndarray) -> list[str]:
    """Stretches of one long row of made-up words."""
    letters = np.array(list("etaoinshrdlucmfwypvbg"))
    words = ["".join(random.choice(letters, size)) for size in random.integers(1, 11, size=5_000)]
    row = " ".join(words[place] for place in random.zipf(1.3, size=1_000_000) % len(words))
    starts = random.integers(len(row) - int(lengths.max(initial=0)), size=len(lengths))
    return [row[start : start + length] for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)]


def made_up_pairs(random: np.random.Generator, number: int) -> pd.DataFrame:
    """Pairs with the columns of `pairs.SCHEMA`: an opening prompt that some share, further turns, two responses."""
    openings = random.integers(int(number / PAIRS_PER_PROMPT / 0.92), size=number)  # some are drawn by no pair
    opening_texts = made_up_texts(random, random.integers(20, 200, size=openings.max() + 1))
    prompts = [opening_texts[opening] for opening in openings.tolist()]
    parts = random.choice(pairs.PARTS, size=openings.max() + 1, p=[0.7, 0.1, 0.2])[openings]
    lengths = np.exp(random.normal(LOG_LENGTH, LOG_SPREAD, size=number)).astype(int)
    middles = made_up_texts(random, np.maximum((SHARED * lengths).astype(int) - 140, 0))
    turns = np.where(np.array([len(middle) for middle in middles]) > 0, random.choice([4, 6, 8], size=number), 2)
    more = [f"\n\nAssistant: {middle}\n\nHuman: go on" if count > 2 else "" for middle, count in zip(middles, turns.tolist(), strict=True)]
    prompt = [f"\n\nHuman: {opening}{middle}" for opening, middle in zip(prompts, more, strict=True)]
    columns: dict[str, object] = {
        "row_id": np.arange(number),
        "source": random.choice(SOURCES, size=number, p=[0.26, 0.27, 0.14, 0.33]),
        "part": parts,
        "opening_prompt": prompts,
    }
    for preference in pairs.PREFERENCES:
        responses = made_up_texts(random, np.maximum(((1 - SHARED) * lengths * random.uniform(0.5, 1.5, size=number)).astype(int), 5))
        columns |= {
            f"{preference}_text": [f"{one}\n\nAssistant: {other}" for one, other in zip(prompt, responses, strict=True)],
            f"{preference}_prompt": prompt,
            f"{preference}_response": responses,
            f"{preference}_turns": turns,
        }
    return pd.DataFrame(columns)[pairs.SCHEMA.names]


def made_up_labels(random: np.random.Generator, texts: int) -> pd.DataFrame:
    """Labels of all features, some of them rare."""
    columns: dict[str, object] = {}
    for feature in FEATURES:
        if feature in BOOLEANS:
            columns[feature] = random.random(texts) < random.choice([0.05, 0.3, 0.6, 0.9])
        elif feature in LISTS:
            most = 3 if feature == "topics" else 1
            counts = random.integers(0, most + 1, size=texts) if most > 1 else random.random(texts) < 0.05
            drawn = random.integers(len(values(feature)), size=(texts, most))
            names = np.array(values(feature))
            columns[feature] = [list(dict.fromkeys(names[row[:count]])) for row, count in zip(drawn, counts.tolist(), strict=True)]
        else:
            columns[feature] = random.choice(values(SENTIMENT), size=texts, p=[0.2, 0.5, 0.3])
    return pd.DataFrame(columns)


def mistaken(random: np.random.Generator, labels: pd.DataFrame) -> pd.DataFrame:
    """The same labels by somebody who gives a tenth of the texts the labels of others."""
    places = np.arange(len(labels))
    other = random.random(len(labels)) < 0.1
    places[other] = random.permutation(places)[other]
    return labels.iloc[places].reset_index(drop=True)


def rewards(random: np.random.Generator, labels: pd.DataFrame, strength: float) -> np.ndarray:
    """[texts] rewards that some features earn, in the precision of a model's."""
    earned = (
        0.8 * labels["last_response_is_helpful"] + 0.5 * labels["last_response_is_harmless"] - 0.3 * labels["last_response_is_creative"]
    )
    return (strength * earned.to_numpy(dtype=float) + random.normal(size=len(labels))).astype(np.float32).astype(float)


def make(folder: Path, number: int) -> None:
    """Write all tables that the stages read."""
    random = np.random.default_rng(1)
    table = made_up_pairs(random, number)
    pairs.write(folder / "pairs.parquet", table)
    keys = pd.DataFrame({"row_id": np.repeat(np.arange(number), 2), "preference": np.tile(pairs.PREFERENCES, number)})
    texts = table[["chosen_text", "rejected_text"]].to_numpy().reshape(-1)
    truth = made_up_labels(random, 2 * number)
    taxonomy.write(folder / "taxonomy.csv", pd.concat([keys.assign(text=texts), mistaken(random, truth)], axis=1))
    known = np.repeat(np.arange(number) % max(number // (GOLD_TEXTS // 2), 1) == 0, 2)
    hashes = [text_hash(text) for text in texts[known]]
    taxonomy.write(folder / "gold.csv", pd.concat([keys[known].assign(text_sha256=hashes), truth[known]], axis=1))
    second = np.repeat(np.arange(number) % max(number // CONTROL_PAIRS, 1) == 0, 2)
    taxonomy.write(folder / "second.csv", pd.concat([keys.assign(text=texts), mistaken(random, truth)], axis=1)[second])
    for role, strength in (("control", 0.3), ("aligned", 1.0)):
        both = rewards(random, truth, strength).reshape(-1, 2) + np.array([0.2 * strength, 0.0])
        write_csv(folder / f"{role}.csv", scores.table(table["row_id"].to_numpy(), both[:, 0], both[:, 1]))
        write_json(folder / f"{role}.json", {"model": role, "pairs_scored": number})
    write_json(folder / "coverage.json", {"texts": 2 * number, "labelled": 2 * number})
    write_json(folder / "second.json", {"pairs_labelled": int(second.sum()) // 2})


# --- the stages ---


def command_lines(folder: Path) -> dict[str, list[str]]:
    """Stage and flags, by what it measures."""

    def flags(**paths: str) -> list[str]:
        return [part for name, path in paths.items() for part in (f"--{name.replace('_', '-')}", str(folder / path))]

    tables = flags(pairs="pairs.parquet")
    both = flags(control_scores="control.csv", aligned_scores="aligned.csv")
    labels = flags(taxonomy="taxonomy.csv")
    roles = ("control", "aligned")
    imprint = {
        f"imprint {role}": [
            *("imprint.py", *tables, *labels),
            *flags(scores=f"{role}.csv", control_scores="control.csv", control_taxonomy="second.csv", gold="gold.csv"),
            *flags(metrics=f"imprint_{role}.json", coefficients=f"imprint_{role}.csv"),
        ]
        for role in roles
    }
    resistance = {
        f"resistance {role}": [
            *("resistance.py", *tables, *labels),
            *flags(scores=f"{role}.csv", check=f"{role}.json", metrics=f"resistance_{role}.json", margins=f"margins_{role}.csv"),
        ]
        for role in roles
    }
    # The longest first, so that side by side they end together.
    return {
        **imprint,
        "reward shift": ["reward_shift.py", *tables, *both, *labels, *flags(metrics="reward_shift.json", theta="theta.csv")],
        **resistance,
        "regimes": ["regimes.py", *tables, *both, *labels, *flags(metrics="regimes.json")],
        "pairwise": [
            *("pairwise.py", *tables, "--first", "aligned", "--second", "control"),
            *flags(first_scores="aligned.csv", second_scores="control.csv", metrics="pairwise.json"),
        ],
        "labelers": [
            *("labelers.py", *tables, *labels),
            *flags(control_taxonomy="second.csv", coverage="coverage.json", control_coverage="second.json", gold="gold.csv"),
            *flags(metrics="labelers.json"),
        ],
    }


class Cost(NamedTuple):
    """What a process took."""

    seconds: float
    processor: float
    """Seconds of all its threads on a core, which other processes on the machine do not stretch as much."""
    gigabytes: float
    """Of memory at its largest."""


def run(arguments: list[str], at_once: int = 1) -> Cost:
    """Run Python on these arguments, with as many threads for products of matrices as leave cores for the others that run at once.

    Raises
    ------
    SystemExit
        If it fails.
    """
    start = time.perf_counter()
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // at_once))}
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=threads | os.environ)  # noqa: S603
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20)


def read_once() -> None:
    """Let the stages of this process read each table once, and draw once: they ask for the same by the same functions.

    What they would read again is kept by its path, and the draw by its size and seed.
    """
    pairs.read = by_first(pairs.read)
    taxonomy.read_of_pairs = by_first(taxonomy.read_of_pairs)
    scores.read = by_first(scores.read)
    uncertainty._drawn = cache(uncertainty._drawn)


def by_first(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called once for each first argument; further ones, which say what can be left out, or name the pairs, do not count."""
    found: dict[str, Any] = {}

    def kept(path: str, *others: Any, **more: Any) -> Any:
        if path not in found:
            found[path] = function(path, *others, **more)
        return found[path]

    return kept


def run_stage(name: str, stage: str, flags: list[str]) -> None:
    """Run a stage in this process, and print what it took."""
    start, processor = time.perf_counter(), time.process_time()
    sys.argv = [stage, *flags]
    runpy.run_path(str(ROOT / "stages" / stage), run_name="__main__")
    print(f"{name:20}{time.perf_counter() - start:8.1f}{time.process_time() - processor:8.1f}", flush=True)


def run_in_one_process(folder: Path, at_once: int) -> None:
    """Run all stages in this process; with more than one at once, in forks of it, which share what it has read and drawn."""
    lines = command_lines(folder)
    sys.path.insert(0, str(ROOT / "stages"))
    read_once()
    pa.set_cpu_count(os.cpu_count())  # what limits the threads of products limits Arrow's, too
    start, processor = time.perf_counter(), time.process_time()
    table = pairs.read(str(folder / "pairs.parquet"), without=pairs.PROMPTS)
    with ThreadPoolExecutor(1) as beside:  # Arrow reads tables outside of Python, which can draw meanwhile
        drawn = beside.submit(uncertainty.ClusterBootstrap(table["opening_prompt"].to_numpy(), 2000, 1, 0.95)._weights)
        for role in ("control", "aligned"):
            scores.read(str(folder / f"{role}.csv"), table)
        for labels in ("taxonomy.csv", "second.csv"):
            taxonomy.read_of_pairs(str(folder / labels), table)
        drawn.result()
    print(f"{'reading, drawing':20}{time.perf_counter() - start:8.1f}{time.process_time() - processor:8.1f}", flush=True)
    waiting = list(lines.items())
    running: dict[int, str] = {}
    while waiting or running:
        if at_once == 1:
            name, (stage, *flags) = waiting.pop(0)
            run_stage(name, stage, flags)
            continue
        if waiting and len(running) < at_once:
            name, (stage, *flags) = waiting.pop(0)
            child = os.fork()
            if not child:
                run_stage(name, stage, flags)
                os._exit(0)
            running[child] = name
            continue
        child, status = os.wait()
        ended = running.pop(child)
        if status:
            raise SystemExit(f"{ended} failed")


ONE_PROCESS = """
import sys
from pathlib import Path
sys.path[:0] = ["benchmarks", "stages"]
import measures
measures.run_in_one_process(Path(sys.argv[1]), int(sys.argv[2]))
"""


def run_all(lines: dict[str, list[str]], at_once: int) -> None:
    """Run each stage as a process and print what it took."""
    print(f"{'stage':20}{'seconds':>8}{'of CPU':>8}{'GB':>8}")
    processor = 0.0
    start = time.perf_counter()
    memory = []
    with ThreadPoolExecutor(at_once) as pool:
        costs = pool.map(lambda line: run([f"stages/{line[0]}", *line[1:]], at_once), lines.values())
        for name, cost in zip(lines, costs, strict=True):
            print(f"{name:20}{cost.seconds:8.1f}{cost.processor:8.1f}{cost.gigabytes:8.2f}", flush=True)
            memory.append(cost.gigabytes)
            processor += cost.processor
    largest = sum(sorted(memory, reverse=True)[:at_once])
    print(f"{'all':20}{time.perf_counter() - start:8.1f}{processor:8.1f}{largest:8.2f}")


# --- the published loop beside ours ---


def published_loop(labels: pd.DataFrame, control: pd.DataFrame, aligned: pd.DataFrame) -> list[tuple[str, str]]:
    """Gamma and regime of each pair, taking the rows of a `groupby` one by one."""
    agrees = {role: table.set_index("row_id")["agreement"] for role, table in (("control", control), ("aligned", aligned))}
    found = []
    for row_id, group in labels.groupby("row_id"):
        chosen = group[group["preference"] == "chosen"].iloc[0]
        rejected = group[group["preference"] == "rejected"].iloc[0]
        if chosen["last_response_is_harmless"] != rejected["last_response_is_harmless"]:
            gamma = "c" if chosen["last_response_is_harmless"] else "r"
        elif chosen["last_response_is_helpful"] != rejected["last_response_is_helpful"]:
            gamma = "c" if chosen["last_response_is_helpful"] else "r"
        else:
            gamma = "i"
        before, after = agrees["control"].loc[row_id], agrees["aligned"].loc[row_id]
        regime = ("stayed_aligned" if after else "reversed_alignment") if before else ("got_aligned" if after else "resists_alignment")
        found.append((gamma, regime))
    return found


def ours(labels: pd.DataFrame, control: pd.DataFrame, aligned: pd.DataFrame) -> list[tuple[str, str]]:
    """The same by the functions that the stages use."""
    row_ids = control["row_id"].to_numpy()
    gammas = labeler_preference.gamma(labeler_preference.by_pair(labels, row_ids, labeler_preference.COMPARED, "labels"))
    regimes = agreement.regime_names(control["agreement"].to_numpy(), aligned["agreement"].to_numpy())
    return list(zip(gammas.tolist(), regimes.tolist(), strict=True))


def timed(function: Callable[[], list[tuple[str, str]]]) -> tuple[float, list[tuple[str, str]]]:
    start = time.perf_counter()
    found = function()
    return time.perf_counter() - start, found


def compare_loops(folder: Path) -> None:
    """Time both ways on the tables on disk, and hold their results against each other."""
    table = pairs.read(folder / "pairs.parquet")
    labels = taxonomy.read_of_pairs(folder / "taxonomy.csv", table)
    roles = [scores.read(folder / f"{role}.csv", table) for role in ("control", "aligned")]
    part = labels[labels["row_id"] < LOOP_PAIRS]
    loop, by_loop = timed(lambda: published_loop(part, *roles))
    fast, by_functions = timed(lambda: ours(labels, *roles))
    if by_loop != by_functions[: len(by_loop)]:
        raise SystemExit("the loop and the functions differ")
    whole = loop * len(table) / len(by_loop)
    print(f"\ngamma and regime of each of {len(table)} pairs, tables in memory")
    print(f"loop over a groupby {whole:10.2f} s, extrapolated from {len(by_loop)} pairs in {loop:.2f} s")
    print(f"these functions     {fast:10.2f} s, {whole / fast:.0f} times as fast; the same results")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--one-process", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--folder", type=Path, help="where the tables are, or are to be written to and stay; a temporary folder if not given"
    )
    arguments = parser.parse_args()
    number = QUICK if arguments.quick else PAIRS
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if not (folder / "second.json").exists():  # which is written last
            make(folder, number)
        print(f"{number} pairs, {(folder / 'taxonomy.csv').stat().st_size / 1e6:.0f} MB of labels and texts; {os.cpu_count()} cores")
        lines = command_lines(folder)
        if arguments.one_process:
            cost = run(["-c", ONE_PROCESS, str(folder), str(arguments.at_once)], arguments.at_once)
            print(f"{'all, in one process':20}{cost.seconds:8.1f}{cost.processor:8.1f}{cost.gigabytes:8.2f}")
        else:
            run_all(lines, arguments.at_once)
        compare_loops(folder)


if __name__ == "__main__":
    main()
