"""Measure what rewriting adds to the default pipeline: `dvc repro` from nothing with its stages and without them, in turn.

    git clone . /tmp/seal && (cd /tmp/seal && dvc pull)
    python benchmarks/rewriting_time.py --clone /tmp/seal --rounds 5

Every stage but the trainings, which have no part in it, is run by one command, `dvc repro --force --single-item`, with an empty folder
for unfinished work, so that no stage finds anything done: all reading, scoring, labelling and writing, and what DVC itself takes. Each
round runs both, the first one of a round being the second one of the next. What other machines on the same host took of the cores
(`steal`) stands beside each time, since it belongs to neither.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REWRITING = ("rewrite", "similarity", "robustness")
"""How the names of the stages start that rewriting adds."""

_RUNNING = "Running stage '"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clone", required=True, help="a clone with its results pulled and nothing changed; its stages are run anew there")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    _refuse_changes(arguments.clone, "commit them, or take a fresh clone")
    stages = [name for name in _planned(arguments.clone) if not name.startswith("train@")]
    without = [name for name in stages if not name.startswith(REWRITING)]
    print(f"{len(stages)} stages, {len(stages) - len(without)} of them by rewriting\n")
    print("| round | with, s (steal) | without, s (steal) | difference, s | its stages, s |\n| --- | --- | --- | --- | --- |", flush=True)
    differences: list[float] = []
    stage_spans: list[dict[str, float]] = []
    for number in range(1, arguments.rounds + 1):
        runs = {len(names): _timed(arguments.clone, names) for names in ([stages, without] if number % 2 else [without, stages])}
        (total, steal, spans), (base, base_steal, _) = runs[len(stages)], runs[len(without)]
        differences.append(total - base)
        stage_spans.append({name: seconds for name, seconds in spans.items() if name.startswith(REWRITING)})
        its = sum(stage_spans[-1].values())
        print(f"| {number} | {total:.1f} ({steal:.1f}) | {base:.1f} ({base_steal:.1f}) | {differences[-1]:.1f} | {its:.1f} |", flush=True)
    found = {"difference": differences, "its stages": [sum(spans.values()) for spans in stage_spans]}
    found |= {name: [spans[name] for spans in stage_spans] for name in stage_spans[0]}
    print()
    for what, values in found.items():
        print(f"{what}: median {statistics.median(values):.1f} s, {min(values):.1f} to {max(values):.1f}")
    _refuse_changes(arguments.clone, "the same inputs gave other bytes than those committed")


def _planned(clone: str) -> list[str]:
    """The names of all stages, in the order in which DVC runs them."""
    command = [*_DVC, "repro", "--force", "--dry"]
    plan = subprocess.run(command, cwd=clone, env=_environment(), check=True, capture_output=True, text=True)  # noqa: S603
    return [line.split("'")[1] for line in plan.stdout.splitlines() if line.startswith(_RUNNING)]


def _timed(clone: str, names: list[str]) -> tuple[float, float, dict[str, float]]:
    """Seconds of the whole command, those of them taken by other machines, and from each stage's start to that of the next."""
    with tempfile.TemporaryDirectory() as work:
        steal, start = _steal(), time.perf_counter()
        command = [*_DVC, "repro", "--force", "--single-item", *names]
        environment = _environment() | {"SEAL_WORK": work, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603
        assert process.stdout
        starts, lines = {}, []
        for line in process.stdout:
            lines.append(line)
            if line.startswith(_RUNNING):
                starts[line.split("'")[1]] = time.perf_counter()
        if process.wait():
            sys.exit(f"error: dvc repro failed in {clone}:\n{''.join(lines[-20:])}")
        end = time.perf_counter()
    ends = [*list(starts.values())[1:], end]
    spans = {name: after - before for (name, before), after in zip(starts.items(), ends, strict=True)}
    return end - start, _steal() - steal, spans


def _steal() -> float:
    """Seconds that other machines on the host have taken, by all cores, since it was started; 0 where the system doesn't tell."""
    stat = Path("/proc/stat")
    return int(stat.read_text().split()[8]) / os.sysconf("SC_CLK_TCK") if stat.exists() else 0.0


def _refuse_changes(clone: str, remedy: str) -> None:
    status = ["git", "status", "--porcelain"]
    changed = subprocess.run(status, cwd=clone, check=True, capture_output=True, text=True).stdout.splitlines()  # noqa: S603
    if changed:
        sys.exit(f"error: {clone}: found {len(changed)} changed files, the first {changed[0]}; {remedy}")


_DVC = [sys.executable, "-m", "dvc"]


def _environment() -> dict[str, str]:
    """Stages are started as `python`: this one's."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


if __name__ == "__main__":
    main()
