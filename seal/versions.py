"""The versions of rewritten pairs on disk: a table of pairs in which every row is one version of one pair."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from seal import pairs
from seal.errors import InputError
from seal.files import atomic_path
from seal.transcripts import Turn, parse

ORIGINAL, REWRITTEN, SECOND, TRIVIAL = "original", "rewritten", "second", "trivial"
VERSIONS = (ORIGINAL, REWRITTEN, SECOND, TRIVIAL)
"""As the data have a pair; reworded; reworded again, with another seed; changed in a way that means nothing."""

SCHEMA = pa.schema([*pairs.SCHEMA, ("pair_row_id", pa.int64()), ("version", pa.string())])
"""A row's `row_id` is its position in this table, so that whatever reads a table of pairs reads this one, too; `pair_row_id` is the row_id
of the pair that it is a version of. `opening_prompt`, `source` and `part` are the original's."""


def write(path: str | Path, versions: pd.DataFrame) -> None:
    """Write the table as Parquet."""
    with atomic_path(path) as draft:
        parquet.write_table(pa.Table.from_pandas(versions, SCHEMA, preserve_index=False).replace_schema_metadata(), draft)


def read(path: str | Path) -> pd.DataFrame:
    """Read a table of versions.

    Raises
    ------
    InputError
        As `pairs.read`, or if a version is none of `VERSIONS`, stands there twice for one pair, or a pair has no original.
    """
    versions = pairs.read_as(SCHEMA, path, (), "rewrite")
    unknown = set(versions["version"]) - set(VERSIONS)
    if unknown:
        raise InputError(f"{path}, column version: found {min(unknown)!r}, expected one of {', '.join(VERSIONS)}; run stages/rewrite.py")
    twice = versions[versions.duplicated(["pair_row_id", "version"])]
    if len(twice):
        first = twice.iloc[0]
        raise InputError(f"{path}: the version {first['version']} of pair {first['pair_row_id']} stands there more than once")
    orphans = set(versions["pair_row_id"]) - set(versions["pair_row_id"][versions["version"] == ORIGINAL])
    if orphans:
        raise InputError(f"{path}: pair {min(orphans)} has versions and no original; run stages/rewrite.py to write the table")
    return versions


def with_turns(text: str, turns: Sequence[Turn]) -> str:
    """A transcript with other words in its turns, and its white space between them as it was, so that nothing else differs.

    Parameters
    ----------
    text
        A transcript.
    turns
        As many turns, by the same roles; their words open no turn.
    """
    parts, end = [], 0
    for old, new in zip(parse(text), turns, strict=True):
        start = text.index(old.content, text.index(f"{old.role}:", end) + len(old.role) + 1)
        parts += [text[end:start], new.content]
        end = start + len(old.content)
    changed = "".join([*parts, text[end:]])
    if parse(changed) != list(turns):
        raise AssertionError("a turn was lost")
    return changed
