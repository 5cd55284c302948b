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
from seal.files import check_counts, read_json_object, rounded, write_csv, write_json
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
    tables = {"rewritten": rewritten, **noise}
    beside = read_beside(arguments, {name: len(of) for name, of in tables.items()})
    # How many pairs are reworded was decided, and is the same in each resample.
    reworded = table[table["row_id"].isin(np.concatenate([of["row_id"] for of in tables.values()]))]
    draw = ClusterBootstrap(reworded["opening_prompt"].to_numpy(), arguments.resamples, arguments.seed, arguments.level)
    report = robustness.report(rewritten, noise, reworded["row_id"].to_numpy(), draw, arguments.min_similarity)
    # As metrics, these tables are compared across commits and machines, whose last digits differ.
    write_csv(arguments.flips, report.flips.map(rounded))
    write_csv(arguments.robustness_scores, report.scores.map(rounded))
    write_csv(arguments.doses, report.doses.map(rounded))
    write_json(arguments.metrics, {**beside, **report.figures})


def read_beside(arguments: Arguments, rows: Dict[str, int]) -> Dict[str, Optional[Dict[str, Any]]]:
    """Read what other stages wrote beside their tables, None where it is not given, and hold its counts against the tables.

    Parameters
    ----------
    rows
        Of each table that is given, by its name in `COUNTS`.

    Raises
    ------
    InputError
        If a file does not exist or is no JSON object, or its counts are not those of the tables.
    """
    paths = {"rewriting": arguments.coverage, "similarity": arguments.similarity_check, "labels": arguments.labels_coverage}
    beside = {name: read_json_object(path) if path else None for name, path in paths.items()}
    remedy = "run the stages that rewrite these pairs again"
    rewriting, similarity, labels = beside.values()
    versions: Dict[str, Any] = {**rows}
    if rewriting is not None:
        check_counts(arguments.coverage, rewriting, {COUNTS[name]: number for name, number in rows.items()}, remedy)
        versions = {name: rewriting.get(count) for name, count in COUNTS.items()}
    # Texts were compared and labelled of all versions; where one has no table and no count, nobody knows how many these are.
    if all(isinstance(versions.get(name), int) for name in COUNTS):
        changed = sum(versions.values())
        if similarity is not None:
            check_counts(arguments.similarity_check, similarity, {"comparisons": 2 * changed}, remedy)
        if labels is not None:
            check_counts(arguments.labels_coverage, labels, {"texts": 2 * (versions["rewritten"] + changed)}, remedy)  # and the originals
    return beside


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
