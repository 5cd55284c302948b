"""The table of pairs on disk."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from seal import pairs
from seal.errors import InputError


def table(rows: int = 3) -> pd.DataFrame:
    columns: dict[str, list] = {name: [f"{name} \u00e9\n{row}" for row in range(rows)] for name in pairs.SCHEMA.names}
    return pd.DataFrame(columns | {"row_id": [7 * row for row in range(rows)], "chosen_turns": [2] * rows, "rejected_turns": [4] * rows})


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
