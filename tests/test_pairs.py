"""The table of pairs on disk."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import complaint
from pyarrow import parquet

from seal import pairs
from seal.errors import InputError


def table(rows: int = 3) -> pd.DataFrame:
    columns: dict[str, list] = {name: [f"{name} \u00e9\n{row}" for row in range(rows)] for name in pairs.SCHEMA.names}
    numbers = {"row_id": [7 * row for row in range(rows)], "chosen_turns": [2] * rows, "rejected_turns": [4] * rows}
    return pd.DataFrame(columns | numbers | {"part": [pairs.PARTS[row % 3] for row in range(rows)]})


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    pairs.write(tmp_path / "a.parquet", table())
    pd.testing.assert_frame_equal(pairs.read(tmp_path / "a.parquet"), table(), check_dtype=False)


@pytest.mark.parametrize("rows", [0, 3])
def test_columns_have_their_types_even_where_there_are_no_rows(tmp_path: Path, rows: int) -> None:
    pairs.write(tmp_path / "a.parquet", table(rows))
    schema = parquet.read_schema(tmp_path / "a.parquet")
    whole = {"row_id", "chosen_turns", "rejected_turns"}
    assert {field.name: field.type for field in schema} == {
        name: pa.int64() if name in whole else pa.string()
        for name in (
            *("row_id", "source", "part", "opening_prompt"),
            *("chosen_text", "chosen_prompt", "chosen_response", "chosen_turns"),
            *("rejected_text", "rejected_prompt", "rejected_response", "rejected_turns"),
        )
    }
    assert not schema.metadata
    assert len(pairs.read(tmp_path / "a.parquet")) == rows


def test_the_bytes_depend_on_the_rows_alone(tmp_path: Path) -> None:
    shuffled = table().iloc[::-1].reset_index(drop=True).iloc[::-1]  # another index and columns in another order
    pairs.write(tmp_path / "a.parquet", table())
    pairs.write(tmp_path / "b.parquet", shuffled[sorted(shuffled)])
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.parquet: no such file; run stages/prepare\.py"):
        pairs.read(tmp_path / "a.parquet")


@pytest.mark.parametrize("content", [b"", b"row_id,chosen_text\n1,a\n", b"PAR1" + b"\0" * 50])
def test_a_file_of_another_kind_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet: not a Parquet file"):
        pairs.read(tmp_path / "a.parquet")


def test_missing_columns_are_named(tmp_path: Path) -> None:
    table().drop(columns=["part", "rejected_text"]).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"lacks the column\(s\) part, rejected_text"):
        pairs.read(tmp_path / "a.parquet")


def test_a_row_id_that_stands_there_twice_is_named(tmp_path: Path) -> None:
    pairs.write(tmp_path / "a.parquet", table().assign(row_id=[1, 5, 5]))
    with pytest.raises(InputError, match="row_id 5 stands there more than once"):
        pairs.read(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("column", "found", "told"),
    [
        ("row_id", None, ", row 2, column row_id: found nothing (null), expected whole numbers"),
        ("rejected_turns", None, ", row 2, column rejected_turns: found nothing (null), expected whole numbers"),
        ("chosen_text", None, ", row 2, column chosen_text: found nothing (null), expected texts"),
        ("source", None, ", row 2, column source: found nothing (null), expected texts"),
        ("part", None, ", row 2, column part: found nothing (null), expected texts"),
        ("part", "test", ", row 2, column part: found 'test', expected one of train, validation, held-out"),
        ("part", "Train", ", row 2, column part: found 'Train', expected one of train, validation, held-out"),
        ("part", "", ", row 2, column part: found '', expected one of train, validation, held-out"),
        ("row_id", 7.5, ", column row_id: found double (Float value 7.500000 was truncated converting to int64), expected whole numbers"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_its_column(tmp_path: Path, column: str, found: Any, told: str) -> None:
    rows = table()
    rows[column] = [rows[column][0], found, rows[column][2]]
    rows.to_parquet(tmp_path / "a.parquet")
    assert complaint(pairs.read, tmp_path / "a.parquet") == f"{told}; run stages/prepare.py to write it"


@pytest.mark.parametrize(
    ("column", "values", "kind", "expected"),
    [
        ("chosen_turns", ["two", "two", "two"], "string", "whole numbers"),
        ("row_id", [[0], [7], [14]], "list", "whole numbers"),
        ("rejected_text", [["a"], ["b"], ["c"]], "list", "texts"),
        ("opening_prompt", [b"\xff", b"b", b"c"], "binary", "texts"),
    ],
)
def test_a_column_of_another_type_is_told(tmp_path: Path, column: str, values: list[Any], kind: str, expected: str) -> None:
    content = table().to_dict("list") | {column: values}
    parquet.write_table(pa.table(content), tmp_path / "a.parquet")
    message = complaint(pairs.read, tmp_path / "a.parquet")
    assert message.startswith(f", column {column}: found {kind}")
    assert message.endswith(f"), expected {expected}; run stages/prepare.py to write it")


@pytest.mark.parametrize(
    ("column", "values", "kind", "expected"),
    [
        ("row_id", [True, False, True], "bool", "whole numbers"),
        ("row_id", [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)], "timestamp[us, tz=UTC]", "whole numbers"),
        ("rejected_text", [False, False, True], "bool", "texts"),
    ],
)
def test_what_is_neither_number_nor_text_is_not_taken_for_one(
    tmp_path: Path, column: str, values: list[Any], kind: str, expected: str
) -> None:
    parquet.write_table(pa.table(table().to_dict("list") | {column: values}), tmp_path / "a.parquet")
    told = f", column {column}: found {kind}, expected {expected}; run stages/prepare.py to write it"
    assert complaint(pairs.read, tmp_path / "a.parquet") == told


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_texts_and_numbers_of_other_widths_and_further_columns_make_no_difference(tmp_path: Path, kind: pa.DataType) -> None:
    pairs.write(tmp_path / "a.parquet", table())
    typed = [
        pa.array(table()[name], type=kind if pa.types.is_string(of) else pa.int32())
        for name, of in zip(pairs.SCHEMA.names, pairs.SCHEMA.types, strict=True)
    ]
    names = [*pairs.SCHEMA.names, "remark"]
    parquet.write_table(pa.table([*typed, pa.array([None, 1.5, None])], names=names).select(names[::-1]), tmp_path / "b.parquet")
    pd.testing.assert_frame_equal(pairs.read(tmp_path / "a.parquet"), pairs.read(tmp_path / "b.parquet"))


def test_an_index_of_pandas_makes_no_difference(tmp_path: Path) -> None:
    table().set_index(pd.Index([5, 3, 4], name="place")).to_parquet(tmp_path / "a.parquet")
    read = pairs.read(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(read, table(), check_dtype=False)
    assert read["row_id"].dtype == np.int64


def test_a_column_that_is_not_needed_is_not_looked_at(tmp_path: Path) -> None:
    table().assign(chosen_prompt=None).to_parquet(tmp_path / "a.parquet")
    read = pairs.read(tmp_path / "a.parquet", without=pairs.PARTS_OF_TEXTS)
    assert list(read) == [name for name in pairs.SCHEMA.names if name not in pairs.PARTS_OF_TEXTS]
    assert complaint(pairs.read, tmp_path / "a.parquet").startswith(", row 1, column chosen_prompt: found nothing (null), expected texts")


def test_a_column_that_stands_there_twice_is_told(tmp_path: Path) -> None:
    once = pa.Table.from_pandas(table(), pairs.SCHEMA, preserve_index=False)
    parquet.write_table(once.append_column("part", once["part"]), tmp_path / "a.parquet")
    assert complaint(pairs.read, tmp_path / "a.parquet") == ": has the column part more than once; run stages/prepare.py to write it"


def test_a_row_id_that_comes_again_further_down_is_named(tmp_path: Path) -> None:
    pairs.write(tmp_path / "a.parquet", table().assign(row_id=[5, 1, 5]))
    with pytest.raises(InputError, match="row_id 5 stands there more than once"):
        pairs.read(tmp_path / "a.parquet")
