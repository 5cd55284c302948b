"""The table of preference pairs on disk: one typed row for each pair."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from seal.errors import InputError
from seal.files import atomic_path

PREFERENCES = ("chosen", "rejected")
PARTS = ("train", "validation", "held-out")

SCHEMA = pa.schema(
    [("row_id", pa.int64()), ("source", pa.string()), ("part", pa.string()), ("opening_prompt", pa.string())]
    + [
        (f"{preference}_{column}", kind)
        for preference in PREFERENCES
        for column, kind in (("text", pa.string()), ("prompt", pa.string()), ("response", pa.string()), ("turns", pa.int64()))
    ]
)
"""`text` is a side's whole transcript; `prompt` all but its last turn; `response` the words of that turn; `turns` their number."""


PARTS_OF_TEXTS = tuple(f"{preference}_{column}" for preference in PREFERENCES for column in ("prompt", "response"))
"""Columns that repeat a part of the text."""


def write(path: str | Path, pairs: pd.DataFrame) -> None:
    """Write the table of pairs as Parquet."""
    with atomic_path(path) as draft:
        parquet.write_table(pa.Table.from_pandas(pairs, SCHEMA, preserve_index=False).replace_schema_metadata(), draft)


def read(path: str | Path, without: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table of pairs.

    Parameters
    ----------
    without
        Columns that are not needed, such as texts, which take most of the time. They must be there.

    Raises
    ------
    InputError
        If the file is missing, lacks a column, or holds a row_id twice.
    """
    try:
        there = parquet.read_schema(path).names
        pairs = pd.read_parquet(path, columns=[column for column in there if column not in without])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run stages/prepare.py, or `dvc repro prepare`") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a Parquet file ({error}); run stages/prepare.py to write it") from error
    missing = [column for column in SCHEMA.names if column not in there]
    if missing:
        raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}; run stages/prepare.py to write it")
    twice = pairs["row_id"][pairs["row_id"].duplicated()]
    if len(twice):
        raise InputError(f"{path}: row_id {twice.iloc[0]} stands there more than once; row_ids must be unique")
    return pairs
