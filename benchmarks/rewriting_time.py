"""Measure what rewriting adds to the default pipeline: `dvc repro` from nothing with its stages and without them, in turn.

    git clone . /tmp/seal && (cd /tmp/seal && dvc pull)
    python benchmarks/rewriting_time.py --clone /tmp/seal --rounds 5

Every stage but the trainings, which have no part in it, is forgotten: taken out of the clone's dvc.lock, with an empty folder for
unfinished work and no cache of runs, so that `dvc repro` does it all anew, its own work included. Without rewriting, its stages are out
of dvc.yaml, too; what they wrote stays, so that the summary and the report read the same files. Each round runs both, the first one of a
round being the second one of the next. What other machines on the same host took of the cores (`steal`) stands beside each time, since it
belongs to neither.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import scipy.stats
import yaml

TRAINING = "train"
"""How the names of the stages start that are left as they are."""

REWRITING = ("rewrite", "similarity", "robustness")
"""How the names of the stages start that rewriting adds."""

_RUNNING = "Running stage '"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clone", required=True, help="a clone with its results pulled and nothing changed; its stages are run anew there")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    clone = Path(arguments.clone)
    _refuse_changes(clone)
    print("| round | with, s (steal) | without, s (steal) | difference, s | its stages, s |\n| --- | --- | --- | --- | --- |", flush=True)
    differences: list[float] = []
    stage_spans: list[dict[str, float]] = []
    for number in range(1, arguments.rounds + 1):
        runs = {rewriting: _timed(clone, rewriting=rewriting) for rewriting in ([True, False] if number % 2 else [False, True])}
        (total, steal, spans), (base, base_steal, _) = runs[True], runs[False]
        differences.append(total - base)
        stage_spans.append({name: seconds for name, seconds in spans.items() if name.startswith(REWRITING)})
        its = sum(stage_spans[-1].values())
        print(f"| {number} | {total:.1f} ({steal:.1f}) | {base:.1f} ({base_steal:.1f}) | {differences[-1]:.1f} | {its:.1f} |", flush=True)
    found = {"difference": differences, "its stages": [sum(spans.values()) for spans in stage_spans]}
    found |= {name: [spans[name] for spans in stage_spans] for name in stage_spans[0]}
    print()
    for what, values in found.items():
        print(f"{what}: {_mean(values)}; median {statistics.median(values):.1f}, all {min(values):.1f} to {max(values):.1f}")


def _mean(values: list[float]) -> str:
    """The mean with its 95 % interval by Student's t."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.1f} s, n = 1"
    reach = float(scipy.stats.t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return f"mean {mean:.1f} s ({mean - reach:.1f} to {mean + reach:.1f}), n = {len(values)}"


def _timed(clone: Path, *, rewriting: bool) -> tuple[float, float, dict[str, float]]:
    """Seconds of the whole command, those of them taken by other machines, and from each stage's start to that of the next."""
    try:
        _keep(clone / "dvc.lock", lambda name: name.startswith(TRAINING))
        if not rewriting:
            _keep(clone / "dvc.yaml", lambda name: not name.startswith(REWRITING))
        steal, start = _steal(), time.perf_counter()
        starts = _repro(clone)
        end, steal = time.perf_counter(), _steal() - steal
        remembered = _stages(clone / "dvc.lock")
    finally:  # after Ctrl-C, too; what a stage was about to write then, `dvc checkout` brings back
        subprocess.run(["git", "checkout", "--quiet", "."], cwd=clone, check=True)  # noqa: S607
    if any(name.startswith(TRAINING) for name in starts):
        sys.exit(f"error: {clone}: a training ran; pull its results, so that its time doesn't count")
    committed = {name: stage for name, stage in _stages(clone / "dvc.lock").items() if rewriting or not name.startswith(REWRITING)}
    if remembered != committed:
        sys.exit(f"error: {clone}: the same inputs gave other bytes than those committed")
    ends = [*list(starts.values())[1:], end]
    spans = {name: after - before for (name, before), after in zip(starts.items(), ends, strict=True)}
    return end - start, steal, spans


def _repro(clone: Path) -> dict[str, float]:
    """Run `dvc repro` there; when each stage started."""
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "dvc", "repro", "--no-run-cache"]
        # Stages are started as `python`: this one's.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "SEAL_WORK": work, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603
        assert process.stdout
        starts, lines = {}, []
        for line in process.stdout:
            lines.append(line)
            if line.startswith(_RUNNING):
                starts[line.split("'")[1]] = time.perf_counter()
        if process.wait():
            sys.exit(f"error: dvc repro failed in {clone}:\n{''.join(lines[-20:])}")
    return starts


def _keep(path: Path, wanted: Callable[[str], bool]) -> None:
    """Take all stages but some out of a dvc.yaml or dvc.lock."""
    content = yaml.safe_load(path.read_bytes())
    content["stages"] = {name: stage for name, stage in content["stages"].items() if wanted(name)}
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def _stages(path: Path) -> dict[str, Any]:
    stages: dict[str, Any] = yaml.safe_load(path.read_bytes())["stages"]
    return stages


def _steal() -> float:
    """Seconds that other machines on the host have taken, by all cores, since it was started; 0 where the system doesn't tell."""
    stat = Path("/proc/stat")
    return int(stat.read_text().split()[8]) / os.sysconf("SC_CLK_TCK") if stat.exists() else 0.0


def _refuse_changes(clone: Path) -> None:
    status = ["git", "status", "--porcelain"]
    changed = subprocess.run(status, cwd=clone, check=True, capture_output=True, text=True).stdout.splitlines()  # noqa: S603
    if changed:
        sys.exit(f"error: {clone}: found {len(changed)} changed files, the first {changed[0]}; commit them, or take a fresh clone")


if __name__ == "__main__":
    main()
