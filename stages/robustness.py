"""Measure alignment robustness: how rewards, labels and agreement with the human choice move when both texts of a pair are reworded."""

import command_line
from command_line import flag

# isort: split
from dataclasses import dataclass
from typing import Any, Dict, Optional

import numpy as np
import pandas as pd

from seal import pairs, rewrites, robustness
from seal.errors import InputError
from seal.files import read_json, rounded, write_csv, write_json
from seal.uncertainty import ClusterBootstrap

COUNTS = {"rewritten": "pairs_rewritten", "trivial": "pairs_changed_trivially", "second": "pairs_rewritten_twice"}
"""Under which name the counts of stages/rewrite.py have the rows of a table."""


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    rewrites: str = flag("table of rewrites: texts, similarities, rewards and labels of both versions of each pair (CSV)")
    metrics: str = flag("where to write the measures (JSON)")
    flips: str = flag("where to write what became of the pairs at each level of a flip (CSV)")
    robustness_scores: str = flag("where to write the robustness score of each flip (CSV)")
    doses: str = flag("where to write how the rewards changed in each band of similarity (CSV)")
    trivial: str = flag("such a table of the same pairs after a change that means nothing; none if not given", "")
    second: str = flag("such a table of the same pairs, reworded anew with another seed; none if not given", "")
    coverage: str = flag("counts that stages/rewrite.py wrote beside its versions (JSON), published as they are; none if not given", "")
    similarity_check: str = flag(
        "what stages/similarity.py wrote beside its similarities (JSON), published as it is; none if not given", ""
    )
    labels_coverage: str = flag(
        "counts that the labeler's stage wrote beside its labels (JSON), published as they are; none if not given", ""
    )
    min_similarity: float = flag("similarity of both texts to their originals from which a pair counts as similar", 0.9)
    resamples: int = flag("bootstrap resamples", 2000)
    level: float = flag("share of intervals that hold the truth", 0.95)
    seed: int = flag("seed of the bootstrap", 1)


def main(arguments: Arguments) -> None:
    if not -1 <= arguments.min_similarity <= 1:
        raise InputError(f"min-similarity is {arguments.min_similarity}; expected a cosine similarity from -1 to 1")
    table = pairs.read(arguments.pairs)
    rewritten = read_rewrites(arguments.rewrites, table)
    noise = {name: read_rewrites(path, table) for name, path in (("trivial", arguments.trivial), ("second", arguments.second)) if path}
    coverage = read_beside(arguments.coverage)
    tables = {"rewritten": rewritten, **noise}
    check_counts(arguments.coverage, coverage, {COUNTS[name]: len(of) for name, of in tables.items()})
    beside = {
        "rewriting": coverage,
        "similarity": read_beside(arguments.similarity_check),
        "labels": read_beside(arguments.labels_coverage),
    }
    # How many pairs are reworded was decided, and is the same in each resample.
    reworded = table[table["row_id"].isin(np.concatenate([of["row_id"] for of in tables.values()]))]
    draw = ClusterBootstrap(reworded["opening_prompt"].to_numpy(), arguments.resamples, arguments.seed, arguments.level)
    report = robustness.report(rewritten, noise, reworded["row_id"].to_numpy(), draw, arguments.min_similarity)
    # As metrics, these tables are compared across commits and machines, whose last digits differ.
    write_csv(arguments.flips, report.flips.map(rounded))
    write_csv(arguments.robustness_scores, report.scores.map(rounded))
    write_csv(arguments.doses, report.doses.map(rounded))
    write_json(arguments.metrics, {**beside, **report.figures})


def read_beside(path: str) -> Optional[Dict[str, Any]]:
    """Read what another stage wrote beside its table; None where there is none.

    Raises
    ------
    InputError
        If the file does not exist or is no JSON object.
    """
    if not path:
        return None
    found = read_json(path)
    if not isinstance(found, dict):
        raise InputError(f"{path}: found {str(found)[:60]}, expected a JSON object; run the stage that writes it")
    return found


def check_counts(path: str, coverage: Optional[Dict[str, Any]], rows: Dict[str, int]) -> None:
    """Hold the counts beside the versions against the tables, so that no pair is lost between two stages.

    Raises
    ------
    InputError
        If one is missing or another.
    """
    if coverage is None:
        return
    for name, number in rows.items():
        if coverage.get(name) != number:
            raise InputError(
                f"{path}: {name} is {coverage.get(name)}, and its table has {number} rows; run the stages that rewrite these pairs again"
            )


def read_rewrites(path: str, table: pd.DataFrame) -> pd.DataFrame:
    """Read rewrites of these pairs, or of some of them.

    Raises
    ------
    InputError
        As `rewrites.read`, or if a row_id is not in the pairs or stands there with another text.
    """
    found = rewrites.read(path)
    known = table.set_index("row_id")
    strangers = found.loc[~found["row_id"].isin(known.index), "row_id"]
    if len(strangers):
        raise InputError(f"{path}: row_id {strangers.iloc[0]} is not in the pairs; rewrite these pairs")
    for side in pairs.PREFERENCES:
        column = f"original_{side}_text"
        others = found.loc[found[column].to_numpy() != known.loc[found["row_id"], f"{side}_text"].to_numpy(), "row_id"]
        if len(others):
            raise InputError(f"{path}: row_id {others.iloc[0]}, column {column}: not the text of the pair; rewrite these pairs")
    return found


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
