"""Tables of labels on disk: row_id, preference, text, then the features, as SEAL names them."""

import ast
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import hexdigits
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from seal.errors import InputError
from seal.features import BOOLEANS, FEATURES, LISTS, Label, values
from seal.files import FIRST_ROW, read_csv, write_csv
from seal.pairs import PREFERENCES

KEYS = ["row_id", "preference"]

_COLUMNS = (*KEYS, "text", "text_sha256", *FEATURES)
_BLOCK = 16 * 2**20
"""Bytes of a file that are read at once; a row must fit."""


def write(path: str | Path, labels: pd.DataFrame) -> None:
    """Write a table of labels: booleans as True and False, lists as JSON."""
    lists = [feature for feature in LISTS if feature in labels]
    write_csv(path, labels.assign(**{feature: labels[feature].map(_json) for feature in lists}))


def table(rows: Iterable[tuple[int, str, str, dict[str, Label]]], features: Sequence[str] = FEATURES) -> pd.DataFrame:
    """A table of labels from (row_id, preference, text, labels), sorted by row_id, chosen before rejected."""
    records: list[dict[str, Any]] = [{"row_id": row, "preference": side, "text": text, **labels} for row, side, text, labels in rows]
    records.sort(key=lambda record: (record["row_id"], PREFERENCES.index(record["preference"])))
    return pd.DataFrame(records, columns=[*KEYS, "text", *features])


def features_of(path: str | Path) -> tuple[str, ...]:
    """The features that a table of labels has columns for, in the order of `FEATURES`.

    Raises
    ------
    InputError
        If the file is missing or no table, or has none of them.
    """
    columns = _as_written(path, nrows=0).columns
    features = tuple(feature for feature in FEATURES if feature in columns)
    if not features:
        raise InputError(f"{path}: has no column of a feature; a table of labels has {', '.join([*KEYS, 'text', *FEATURES])}")
    return features


def read(path: str | Path, features: Sequence[str] = FEATURES, text: bool = True) -> pd.DataFrame:
    """Read a table of labels, ours or SEAL's, whose lists are written as Python writes them.

    Parameters
    ----------
    features
        Those that must be there; others are left out.
    text
        Whether there must be a column `text`; a table of gold has `text_sha256` in its place.

    Returns
    -------
    One row for each text: row_id [int], preference, text or text_sha256, then the features: bool, str or list of str.

    Raises
    ------
    InputError
        If the file is missing, lacks a column, holds a text twice, or has a value that a feature cannot take.
    """
    columns = [*KEYS, "text" if text else "text_sha256", *features]
    labels = _cells(path)
    missing = [column for column in columns if column not in labels]
    if missing:
        raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}; a table of labels has {', '.join(columns)}")
    labels = labels[columns]
    labels = labels.assign(**{column: _values(path, labels[column]) for column in columns if column != "text"})
    twice = labels[labels.duplicated(KEYS)]
    if len(twice):
        raise InputError(f"{path}: row_id {twice['row_id'].iloc[0]}, {twice['preference'].iloc[0]}, stands there more than once")
    return labels


def read_of_pairs(path: str | Path, pairs: pd.DataFrame, features: Sequence[str] = ()) -> pd.DataFrame:
    """Read labels of the texts of these pairs, or of some of them.

    Parameters
    ----------
    pairs
        As `pairs.read` gives them.
    features
        As for `read`; by default those that the table has.

    Raises
    ------
    InputError
        As `read`, or if a row_id is not in the pairs or stands there with another text.
    """
    labels = read(path, features or features_of(path))
    places = pd.Index(pairs["row_id"]).get_indexer(pd.Index(labels["row_id"]))
    differs = np.zeros(len(labels), dtype=bool)
    for preference in PREFERENCES:
        texts = pairs[f"{preference}_text"].array
        rows = np.flatnonzero((labels["preference"] == preference).to_numpy() & (places >= 0))
        in_order = np.array_equal(places[rows], np.arange(len(pairs)))  # as mostly: texts are long, and need not be copied
        differs[rows] = labels["text"].array.take(rows) != (texts if in_order else texts.take(places[rows]))
    for row in np.flatnonzero(differs | (places < 0))[:1]:
        row_id, preference = labels["row_id"].iloc[row], labels["preference"].iloc[row]
        if places[row] < 0:
            raise InputError(f"{path}: row_id {row_id} is not in the pairs; label these pairs")
        raise InputError(f"{path}: row_id {row_id}, {preference}: the labelled text is not that of the pair; label these pairs")
    return labels


def _cells(path: str | Path) -> pd.DataFrame:
    """All cells as they are written. Arrow reads several times as fast as pandas, but nothing that is irregular."""
    try:
        table = csv.read_csv(
            path,
            csv.ReadOptions(block_size=_BLOCK),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(column_types=dict.fromkeys(_COLUMNS, pa.large_string())),
        )
        names = table.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return _as_written(path)  # which reads rows that are too short, or says what is wrong
    if len(set(names)) < len(names):
        return _as_written(path)
    cells: pd.DataFrame = table.select([name for name in names if name in _COLUMNS]).combine_chunks().to_pandas()
    return cells


def _as_written(path: str | Path, nrows: int | None = None) -> pd.DataFrame:
    return read_csv(path, dtype=str, keep_default_na=False, nrows=nrows)


def _json(labels: list[str]) -> str:
    return json.dumps(labels, ensure_ascii=False)


def _values(path: str | Path, cells: "pd.Series[str]") -> Any:
    """The values of a column's cells. Each way in which one is written is read once, so that equal lists are one and the same."""
    if cells.name == "row_id" and cells.str.fullmatch("[0-9]{1,18}").all():
        return cells.to_numpy(dtype=np.int64)
    codes, written = pd.factorize(cells)
    first = np.flatnonzero(~pd.Series(codes).duplicated())
    column = str(cells.name)
    found = [_value(path, place + FIRST_ROW, column, cell) for place, cell in zip(first.tolist(), written.tolist(), strict=True)]
    return pd.Series(found).array.take(codes) if found else np.zeros(0)


def _value(path: str | Path, number: int, column: str, written: str) -> Any:
    """The value of a cell.

    Raises
    ------
    InputError
        With the row, counted as `files.read_csv` says, the column and what was expected.
    """
    found: Any = written.strip()
    if column == "row_id":
        expected = "a whole number"
        if found.removeprefix("-").isdecimal():
            return int(found)
    elif column == "preference":
        expected = "chosen or rejected"
        if found in PREFERENCES:
            return found
    elif column == "text_sha256":
        expected = "64 hexadecimal digits"
        if len(found) == 64 and set(found) <= set(hexdigits):
            return found
    elif column in BOOLEANS:
        expected = "True or False"
        if found in ("True", "False", "true", "false"):
            return found in ("True", "true")
    elif column in LISTS:
        expected = f"a list out of {', '.join(values(column))}"
        parsed = _list(found)
        if parsed is not None and set(parsed) <= set(values(column)):
            return parsed
    else:
        expected = f"one of {', '.join(values(column))}"
        if found in values(column):
            return found
    raise InputError(f"{path}: row {number}, column {column}: found {found[:60]!r}, expected {expected}")


def _list(written: str) -> list[str] | None:
    """A list as JSON or as Python writes it."""
    for reader in (json.loads, ast.literal_eval):
        try:
            content = reader(written)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(content, list) and all(isinstance(item, str) for item in content):
            return list(dict.fromkeys(content))
    return None
