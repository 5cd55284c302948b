"""The table of preference pairs on disk: one typed row for each pair."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
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

PROMPTS = tuple(f"{preference}_prompt" for preference in PREFERENCES)
"""The longer ones among them, which measures of the responses do without."""


def write(path: str | Path, pairs: pd.DataFrame) -> None:
    """Write the table of pairs as Parquet."""
    with atomic_path(path) as draft:
        parquet.write_table(pa.Table.from_pandas(pairs, SCHEMA, preserve_index=False).replace_schema_metadata(), draft)


def read(path: str | Path, without: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table of pairs: the columns of `SCHEMA`, and no others.

    Parameters
    ----------
    without
        Columns that are not needed, such as texts, which take most of the time. They must be there.

    Raises
    ------
    InputError
        If the file is missing, lacks a column or has it twice, holds a value of another type, an empty value or an unknown part, or has a
        row_id twice.
    """
    return read_as(SCHEMA, path, without, "prepare")


def read_as(schema: pa.Schema, path: str | Path, without: Sequence[str], written_by: str) -> pd.DataFrame:
    """Read a table of pairs that has further columns; see `read`.

    Parameters
    ----------
    schema
        `SCHEMA` and the others.
    written_by
        The stage that writes such tables.
    """
    remedy = f"run stages/{written_by}.py to write it"
    try:
        file = parquet.ParquetFile(path)
        there = file.schema_arrow.names
        wanted = [column for column in schema.names if column not in without]
        table = file.read([column for column in wanted if column in there])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run stages/{written_by}.py, or `dvc repro {written_by}`") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a Parquet file ({error}); {remedy}") from error
    missing = [column for column in schema.names if column not in there]
    if missing:
        raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}; {remedy}")
    twice = [column for column in schema.names if there.count(column) > 1]
    if twice:
        raise InputError(f"{path}: has the column {twice[0]} more than once; {remedy}")
    columns = {column: _typed(path, table[column], schema.field(column), remedy) for column in wanted}
    if "part" in columns:
        unknown = pc.invert(pc.is_in(columns["part"], pa.array(PARTS))).to_numpy()
        for place in np.flatnonzero(unknown)[:1]:
            found = columns["part"][int(place)].as_py()
            raise InputError(f"{path}, row {place + 1}, column part: found {found[:60]!r}, expected one of {', '.join(PARTS)}; {remedy}")
    pairs: pd.DataFrame = pa.table(columns).to_pandas()
    repeated = pairs["row_id"][pairs["row_id"].duplicated()]
    if len(repeated):
        raise InputError(f"{path}: row_id {repeated.iloc[0]} stands there more than once; row_ids must be unique")
    return pairs


def _typed(path: str | Path, column: pa.ChunkedArray, field: pa.Field, remedy: str) -> pa.ChunkedArray:
    """A column in the type that it must have.

    Raises
    ------
    InputError
        With its name if its values cannot be such, or with the row, counted from 1, of the first one that is empty.
    """
    expected = "whole numbers" if pa.types.is_integer(field.type) else "texts"
    if pa.types.is_boolean(column.type) or pa.types.is_temporal(column.type):  # of which Arrow would make numbers, or texts
        raise InputError(f"{path}, column {field.name}: found {column.type}, expected {expected}; {remedy}")
    try:  # texts that are together too long for the type's offsets stay as they are; pandas makes the same of them
        typed = column if (column.type, field.type) == (pa.large_string(), pa.string()) else column.cast(field.type)
    except pa.ArrowException as error:
        raise InputError(f"{path}, column {field.name}: found {column.type} ({error}), expected {expected}; {remedy}") from error
    if typed.null_count:
        row = int(np.flatnonzero(typed.is_null().to_numpy())[0]) + 1
        raise InputError(f"{path}, row {row}, column {field.name}: found nothing (null), expected {expected}; {remedy}")
    return typed


def response_lengths(pairs: pd.DataFrame) -> np.ndarray:
    """Characters of both responses of each pair, [pairs, 2]."""
    return np.stack([pairs[f"{preference}_response"].str.len().to_numpy(dtype=int) for preference in PREFERENCES], axis=1)
