"""Tables of rewards: what is written reads back, SEAL's own files serve, and what is wrong is named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import complaint

from seal import scores
from seal.files import write_csv

HEADER = "row_id,chosen_score,rejected_score,agreement\n"


def pairs(*row_ids: int) -> pd.DataFrame:
    return pd.DataFrame({"row_id": row_ids}, dtype="int64")


def file(folder: Path, content: str | bytes) -> Path:
    path = folder / "aligned.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_tie_is_no_agreement() -> None:
    table = scores.table(np.array([4, 5, 6]), np.array([1.0, 2.0, 2.0]), np.array([2.0, 2.0, 1.0]))
    assert table["agreement"].tolist() == [False, False, True]


def test_rewards_read_back_to_the_last_bit_as_written(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    rewards = random.normal(size=(4000, 2)) * 10.0 ** random.integers(-12, 12, size=(4000, 2))
    rewards[::2] = rewards[::2].astype(np.float32)
    rewards[0] = [0.1 + 0.2, 0.3]  # an agreement by the last bit alone
    table = scores.table(np.arange(4000), rewards[:, 0], rewards[:, 1])
    write_csv(tmp_path / "role.csv", table)
    read = scores.read(tmp_path / "role.csv", pairs(*range(4000)))
    pd.testing.assert_frame_equal(read, table, check_exact=True)
    assert read["agreement"].iloc[0]


def test_rewards_come_in_the_order_of_the_pairs(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + "7,1.5,0.5,True\n2,-1.0,0.0,False\n11,3,3,False\n")
    read = scores.read(path, pairs(11, 7, 2))
    assert read.to_dict("list") == {
        "row_id": [11, 7, 2],
        "chosen_score": [3.0, 1.5, -1.0],
        "rejected_score": [3.0, 0.5, 0.0],
        "agreement": [False, True, False],
    }


@pytest.mark.parametrize(
    "content",
    [
        ",row_id,chosen_score,rejected_score,agreement\n0,1,0.25,0.5,False\n1,0,2.0,-1.0,True\n",
        "chosen_score,agreement,rejected_score,row_id\r\n0.25,False,0.5,1\r\n2.0,True,-1.0,0\r\n",
        "row_id,chosen_score,chosen_length,rejected_score\n0,2.0,7,-1.0\n1,0.25,8,0.5\n",
        '"row_id","chosen_score","rejected_score","agreement"\n"0","2.0","-1.0","True"\n"1","0.25","0.5","False"\n',
    ],
    ids=["index of pandas, rows in another order", "columns in another order, CRLF", "more columns, no agreement", "all quoted"],
)
def test_seals_own_files_and_their_like_read_as_well(tmp_path: Path, content: str) -> None:
    read = scores.read(file(tmp_path, content), pairs(0, 1))
    assert list(read.columns) == ["row_id", "chosen_score", "rejected_score", "agreement"]
    assert read.to_numpy().tolist() == [[0, 2.0, -1.0, True], [1, 0.25, 0.5, False]]


def test_standard_deviations_come_with_the_rewards_where_there_are_some(tmp_path: Path) -> None:
    table = scores.table(np.array([3, 4]), np.array([1.0, 2.0]), np.array([0.0, 3.0]), (np.array([0.5, 0.25]), np.array([0.0, 0.75])))
    write_csv(tmp_path / "role.csv", table)
    read = scores.read(tmp_path / "role.csv", pairs(4, 3))
    assert read.to_dict("list") == {
        "row_id": [4, 3],
        "chosen_score": [2.0, 1.0],
        "rejected_score": [3.0, 0.0],
        "agreement": [False, True],
        "chosen_std": [0.25, 0.5],
        "rejected_std": [0.75, 0.0],
    }


@pytest.mark.parametrize("found", ["-0.1", "nan", "wide", "inf"])
def test_what_is_no_standard_deviation_is_named_by_row_and_column(tmp_path: Path, found: str) -> None:
    header = "row_id,chosen_score,rejected_score,chosen_std,rejected_std\n"
    message = complaint(scores.read, file(tmp_path, f"{header}7,1,2,0.1,0.2\n8,1,2,0.1,{found}\n"), pairs(7, 8))
    assert message.startswith(f", row 3, column rejected_std: {found}; expected a number from 0 up to 1e+30;")


def test_one_column_of_standard_deviations_without_the_other_is_told(tmp_path: Path) -> None:
    message = complaint(scores.read, file(tmp_path, "row_id,chosen_score,rejected_score,rejected_std\n7,1,2,0.1\n"), pairs(7))
    assert message == ": has the column rejected_std alone; expected both of chosen_std, rejected_std, or none of them"


def test_agreement_follows_the_rewards_where_the_files_own_column_counts_a_tie(tmp_path: Path) -> None:
    read = scores.read(file(tmp_path, HEADER + "0,1.0,1.0,True\n"), pairs(0))
    assert read["agreement"].tolist() == [False]


def test_no_pairs_have_no_rewards(tmp_path: Path) -> None:
    assert len(scores.read(file(tmp_path, HEADER), pairs())) == 0


def test_a_missing_file_says_what_writes_it(tmp_path: Path) -> None:
    assert complaint(scores.read, tmp_path / "none.csv", pairs(0)) == ": no such file; run stages/compare.py to write it, or `dvc repro`"


@pytest.mark.parametrize("content", ["", b"\xff\xfe\x00", HEADER + "0,1,2,False\n1,2,3,4,5,6,7,8\n"], ids=["empty", "not UTF-8", "ragged"])
def test_what_is_no_table_says_so_and_what_writes_one(tmp_path: Path, content: str | bytes) -> None:
    message = complaint(scores.read, file(tmp_path, content), pairs(0))
    assert message.startswith(": not a CSV table (")
    assert message.endswith("; run stages/compare.py to write it")


def test_rows_longer_than_the_header_are_refused(tmp_path: Path) -> None:
    # pandas would take 0 and 1 for an index
    message = complaint(scores.read, file(tmp_path, HEADER + "0,1,2,False,\n1,1,2,False,\n"), pairs(0))
    assert message == ": its rows have more cells than its header; quote the cells that hold commas"


def test_a_folder_in_place_of_a_table_says_so(tmp_path: Path) -> None:
    assert complaint(scores.read, tmp_path, pairs(0)).startswith(": not a CSV table (")


def test_missing_columns_are_all_named(tmp_path: Path) -> None:
    message = complaint(scores.read, file(tmp_path, "row_id,reward,rejected\n0,1,2\n"), pairs(0))
    assert message.startswith(": lacks the column(s) chosen_score, rejected_score; expected row_id, chosen_score, rejected_score")
    assert message.endswith("run stages/compare.py to write it")


@pytest.mark.parametrize(
    ("line", "column", "found"),
    [
        ("8,,0.5,True", "chosen_score", "nan"),
        ("8,NaN,0.5,True", "chosen_score", "nan"),
        ("8,0.5,inf,False", "rejected_score", "inf"),
        ("8,0.5,high,False", "rejected_score", "high"),
        ("8,0.5,-1e154,False", "rejected_score", "-1e+154"),
        (",0.5,1,False", "row_id", "nan"),
        ("x8,0.5,1,False", "row_id", "x8"),
    ],
)
def test_what_is_no_number_is_named_by_row_and_column(tmp_path: Path, line: str, column: str, found: str) -> None:
    message = complaint(scores.read, file(tmp_path, f"{HEADER}7,1,2,False\n{line}\n9,1,2,False\n"), pairs(7, 8, 9))
    assert message == f", row 3, column {column}: {found}; expected a number up to 1e+30; score the pairs again with stages/compare.py"


def test_a_row_id_that_stands_there_twice_is_named(tmp_path: Path) -> None:
    message = complaint(scores.read, file(tmp_path, HEADER + "7,1,2,False\n8,1,2,False\n8,1,2,False\n"), pairs(7, 8))
    assert message == ": row_id 8 stands there more than once; row_ids must be unique"


@pytest.mark.parametrize(
    ("row_ids", "count", "first", "where"),
    [((7, 8, 9, 12), 2, 9, "the pairs"), ((7,), 1, 8, "the rewards"), ((1, 2), 4, 1, "the pairs"), ((), 2, 7, "the rewards")],
    ids=["too few rewards", "too many rewards", "another data set", "no pairs"],
)
def test_rewards_of_other_pairs_are_refused_with_the_first_that_is_alone(
    tmp_path: Path, row_ids: tuple[int, ...], count: int, first: int, where: str
) -> None:
    message = complaint(scores.read, file(tmp_path, HEADER + "8,1,2,False\n7,1,2,False\n"), pairs(*row_ids))
    assert f"{count} row_ids do not match the pairs, first {first}, which is only in {where};" in message
    assert message.endswith("score these pairs with stages/compare.py")
