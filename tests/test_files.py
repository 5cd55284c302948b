"""Files written whole or not at all, with bytes that depend on their content alone."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seal import files
from seal.errors import InputError


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "a.txt"
    files.write_text(target, "first")
    files.write_text(target, "second\n\u00e9")
    assert target.read_bytes() == b"second\n\xc3\xa9"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def stopped() -> None:
        with files.atomic_path(target) as draft:
            draft.write_text("half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stopped()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with target.open() as reader:
        with files.atomic_path(target) as draft:
            draft.write_text("new")
            assert target.read_text() == "old"
        assert reader.read() == "old"  # replaced, not written over: who reads it meanwhile never sees half of each
    assert target.read_text() == "new"


def test_json_is_rounded_to_six_digits_and_has_null_for_nan(tmp_path: Path) -> None:
    content = {
        "b": 2 / 3,
        "a": [math.nan, np.float64("nan"), 1234567.89],
        "n": np.int64(7),
        "t": np.bool_(True),
        "s": "\u00e9",
        "none": None,
    }
    files.write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert "\u00e9" in text
    read = json.loads(text)
    assert read == {"b": 0.666667, "a": [None, None, 1234570.0], "n": 7, "t": True, "s": "\u00e9", "none": None}
    assert list(read) == list(content)
    assert isinstance(read["n"], int)
    assert read["t"] is True


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1e-9 / 3, 3.33333e-10), (-123456.75, -123457.0), (0.1 + 0.2, 0.3), (np.float32(0.1), 0.1), (12345678, 12345678)],
)
def test_numbers_keep_six_significant_digits(number: float, expected: float) -> None:
    assert files.rounded(number) == expected


def test_infinity_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "a.json", {"x": [math.inf]})
    assert not any(tmp_path.iterdir())


def test_json_comes_back(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"x": [1, 0.5, None, "\u2028"]})
    assert files.read_json(tmp_path / "a.json") == {"x": [1, 0.5, None, "\u2028"]}


def test_a_missing_or_damaged_json_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.json: no such file"):
        files.read_json(tmp_path / "a.json")
    for damage in (b'{"x": ', b"", b"\xff\xfe"):
        (tmp_path / "a.json").write_bytes(damage)
        with pytest.raises(InputError, match=r"a\.json: not a JSON file"):
            files.read_json(tmp_path / "a.json")


def test_csv_has_the_shortest_floats_that_read_back_and_unix_line_ends(tmp_path: Path) -> None:
    numbers = [0.1, 1 / 3, 1e-300, -2.5, 123456789.123456789]
    files.write_csv(tmp_path / "a.csv", pd.DataFrame({"row_id": range(5), "x": numbers, "t": ["a", 'b "q", c', "d\ne", "", "f"]}))
    content = (tmp_path / "a.csv").read_bytes()
    assert content.startswith(b"row_id,x,t\n0,0.1,a\n1,0.3333333333333333,")
    assert b"\r" not in content
    assert pd.read_csv(tmp_path / "a.csv")["x"].tolist() == numbers


def test_a_fingerprint_depends_on_values_and_not_on_the_order_of_keys() -> None:
    assert files.fingerprint({"a": 1, "b": [2.5, "x"]}) == files.fingerprint({"b": [2.5, "x"], "a": 1})
    different = [
        files.fingerprint(*parts) for parts in ((), ([],), ("a", "b"), ("ab",), (["a", "b"],), ("1",), (1,), (1.5,), (None,), ("b", "a"))
    ]
    assert len(set(different)) == len(different)
    assert all(len(digest) == 32 and int(digest, 16) >= 0 for digest in different)


def test_hashes_are_plain_sha256(tmp_path: Path) -> None:
    assert files.text_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, example B.1
    (tmp_path / "a").write_bytes(b"abc")
    assert files.file_hash(tmp_path / "a") == files.text_hash("abc")
    assert files.text_hash("\u00e9") == hashlib.sha256(b"\xc3\xa9").hexdigest()


def test_a_folder_is_known_by_names_and_contents_wherever_it_lies(tmp_path: Path) -> None:
    def folder(name: str, content: dict[str, str]) -> str:
        for path, text in content.items():
            files.write_text(tmp_path / name / path, text)
        return files.folder_fingerprint(tmp_path / name)

    model = {"config.json": "{}", "adapter/weights": "1"}
    first = folder("a", model)
    assert folder("elsewhere/b", dict(reversed(model.items()))) == first
    assert folder("c", {"config.json": "{}", "adapter/weights": "2"}) != first
    assert folder("d", {"config.json": "{}", "adapter/heights": "1"}) != first
    assert folder("e", model | {"more": ""}) != first
