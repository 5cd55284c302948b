"""Join the versions of reworded pairs with their similarity, rewards and labels into tables in SEAL's columns."""

import command_line
from command_line import flag

# isort: split
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from seal import rewrites, scores, taxonomy, versions
from seal.errors import InputError
from seal.files import FIRST_ROW, read_csv, write_csv
from seal.versions import REWRITTEN, SECOND, TRIVIAL


@dataclass(frozen=True)
class Arguments:
    versions: str = flag("table of versions, as stages/rewrite.py writes it")
    similarity: str = flag("similarity of the versions with their originals, as stages/similarity.py writes it")
    control_scores: str = flag("rewards of the versions by the role control, as stages/compare.py writes them")
    aligned_scores: str = flag("rewards of the versions by the role aligned")
    taxonomy: str = flag("labels of the versions, as stages/taxonomy_process_batch.py writes them")
    out: str = flag("where to write the table of the reworded pairs (CSV)")
    second: str = flag("where to write the same of the second rewriting (CSV)")
    trivial: str = flag("where to write the same of the trivial change (CSV)")


def main(arguments: Arguments) -> None:
    if len({Path(path).resolve() for path in (arguments.out, arguments.second, arguments.trivial)}) < 3:
        raise InputError(
            f"out, second and trivial name one file twice ({arguments.out}, {arguments.second}, {arguments.trivial}); name three"
        )
    table = versions.read(arguments.versions)
    similarity = _similarity(arguments.similarity, table)
    rewards = {"aligned": scores.read(arguments.aligned_scores, table), "control": scores.read(arguments.control_scores, table)}
    labels = taxonomy.read_of_pairs(arguments.taxonomy, table, rewrites.FEATURES)
    for version, path in ((REWRITTEN, arguments.out), (SECOND, arguments.second), (TRIVIAL, arguments.trivial)):
        joined = rewrites.table(table, version, similarity, rewards, labels)
        if len(joined) != (table["version"] == version).sum():
            raise AssertionError("pairs were lost")
        write_csv(path, joined)
        print(f"{len(joined)} pairs in {path}", file=sys.stderr)
    print(f"{2 * len(table) - len(labels)} of {2 * len(table)} texts have no labels", file=sys.stderr)


def _similarity(path: str, table: pd.DataFrame) -> pd.DataFrame:
    """Read the similarities of all versions but the originals.

    Raises
    ------
    InputError
        If the file is missing or no such table, is one of other versions, or holds what is no cosine.
    """
    columns = ["row_id", "chosen_similarity", "rejected_similarity"]
    similarity = read_csv(path, "stages/similarity.py")
    missing = [column for column in columns if column not in similarity]
    if missing:
        raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}; run stages/similarity.py to write it")
    expected = sorted(table["row_id"][table["version"] != versions.ORIGINAL])
    if sorted(similarity["row_id"]) != expected:
        raise InputError(f"{path}: its row_ids are not those of the {len(expected)} versions; run stages/similarity.py on these versions")
    for column in columns[1:]:
        numbers = pd.to_numeric(similarity[column], errors="coerce")
        bad = np.flatnonzero(~(abs(numbers) <= 1 + rewrites.ROUNDING))
        if len(bad):
            raise InputError(
                f"{path}, row {bad[0] + FIRST_ROW}, column {column}: found {similarity[column].iloc[bad[0]]}, "
                "expected a cosine from -1 to 1; run stages/similarity.py on these versions"
            )
    return similarity


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
