"""Read preference pairs from the sample, from files or from a hub, and write one typed table of pairs.

Rows that are no pair go to the rejects table with their reason; more of them than --max-rejects allows stop the stage.
"""

import command_line
from command_line import flag

# isort: split
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, List, Literal, Tuple

from seal import pairs, prepare, sources
from seal.errors import InputError
from seal.files import write_csv, write_json

SAMPLE_PAIRS = Path(__file__).parent.parent / "data" / "sample" / "pairs.jsonl"


@dataclass(frozen=True)
class Arguments:
    source: Literal["sample", "file", "hub"] = flag(
        "where the pairs come from: the embedded sample, --files, or a --name on the hub", "sample"
    )
    files: List[str] = flag("with source file: one or more .jsonl, .jsonl.gz, .json, .csv or .parquet", [], nargs="*")
    name: str = flag("with source hub: the data set's id, owner/name", "")
    data_dir: str = flag("with source hub: a folder of the data set; empty for all of it", "")
    split: str = flag("with source hub: the split", "train")
    revision: str = flag("with source hub: a commit, or main; required there", "")
    limit: int = flag("take only the first so many rows; 0 for all", 0)
    sample: int = flag("then draw so many rows at random, without replacement; 0 for all", 0)
    max_rejects: float = flag("share of rows, 0 to 1, that may be set aside as no pair before the stage fails", 0.0)
    held_out: float = flag("share of opening prompts, 0 to 1, whose pairs are held out from all training", 0.2)
    validation: float = flag("share of opening prompts, 0 to 1, whose pairs choose the epoch in training", 0.1)
    seed: int = flag("seed of the split and of the random sample", 1)
    out: str = flag("where to write the table of pairs (Parquet)", "data/prepare/pairs.parquet")
    rejects: str = flag("where to write the rejected rows with their reasons (CSV)", "data/prepare/rejects.csv")
    counts: str = flag("where to write how many rows, pairs and rejects there are (JSON)", "data/prepare/counts.json")


def main(arguments: Arguments) -> None:
    _check(arguments)
    read, commit = _rows(arguments)
    rows = list(enumerate(read))
    taken = rows[: arguments.limit] if arguments.limit else rows
    for name, asked, there in (("limit", arguments.limit, len(rows)), ("sample", arguments.sample, len(taken))):
        if asked > there:
            print(f"{name} {asked} is beyond the {there} rows there are: all of them are taken", file=sys.stderr)
    taken = [taken[position] for position in prepare.selection(len(taken), arguments.sample, arguments.seed)]
    if not taken:
        raise InputError("the source has no rows; name a source that holds preference pairs")
    prepared = prepare.prepare(taken, arguments.held_out, arguments.validation, arguments.seed)
    if len(prepared.pairs) + len(prepared.rejects) != len(taken):
        raise AssertionError("rows were lost")
    prepare.raise_if_too_many(prepared.rejects, len(taken), arguments.max_rejects)
    if prepared.pairs.empty:
        raise InputError(f"none of the {len(taken)} rows is a pair; the first: {prepared.rejects.iloc[0].to_dict()}; mend the source")
    pairs.write(arguments.out, prepared.pairs)
    write_csv(arguments.rejects, prepared.rejects)
    write_json(arguments.counts, {"revision": commit, "rows_in_source": len(rows), **prepared.counts})
    print(f"{len(prepared.pairs)} pairs of {len(taken)} rows, {len(prepared.rejects)} rejected", file=sys.stderr)


def _check(arguments: Arguments) -> None:
    if arguments.source == "file" and not arguments.files:
        raise InputError("source file without files; name one or more with --files")
    if arguments.source == "hub" and not arguments.name:
        raise InputError("source hub without a name; name the data set with --name")
    for given, source in (("files", "file"), ("name", "hub")):
        if getattr(arguments, given) and arguments.source != source:
            raise InputError(f"{given} is given, and source is {arguments.source}; set source {source} to read it, or leave {given} out")
    for name, count in (("limit", arguments.limit), ("sample", arguments.sample)):
        if count < 0:
            raise InputError(f"{name} is {count}; expected 0 for all, or a number of rows")
    if arguments.seed < 0:
        raise InputError(f"seed is {arguments.seed}; expected 0 or more")
    for name, share in (("max-rejects", arguments.max_rejects), ("held-out", arguments.held_out), ("validation", arguments.validation)):
        if not 0 <= share <= 1:
            raise InputError(f"{name} is {share}; expected a share from 0 to 1")
    if arguments.held_out + arguments.validation > 1:
        raise InputError(f"held-out {arguments.held_out} and validation {arguments.validation} sum to more than 1; lower one")


def _rows(arguments: Arguments) -> Tuple[Iterable[sources.Row], str]:
    """The rows of the source, and the commit that they are from where it is on a hub."""
    if arguments.source == "hub":
        commit, rows = sources.read_hub(arguments.name, arguments.data_dir, arguments.split, arguments.revision)
        return rows, commit
    if arguments.source == "file":
        return sources.read_files(arguments.files), ""
    return (row._replace(source=sources.SAMPLE) for row in sources.read_files([SAMPLE_PAIRS])), ""


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
