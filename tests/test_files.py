"""Files written whole or not at all, with bytes that depend on their content alone."""

import errno
import hashlib
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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


def test_a_folder_in_the_place_of_a_file_is_told_by_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(InputError) as told:
        files.write_text(tmp_path, "a")
    assert str(told.value) == f"{tmp_path}: a folder stands there; name a file"
    with pytest.raises(InputError, match=r"^\.: a folder stands there; name a file$"):
        files.write_json(".", {})
    assert not any(tmp_path.iterdir())


def test_a_pipe_stays_a_pipe_and_a_link_to_a_file_is_replaced(tmp_path: Path) -> None:
    pipe, file, link = (tmp_path / name for name in ("pipe", "file", "link"))
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=r"pipe: no ordinary file, and what is written would take its place; name a file$"):
        files.write_text(pipe, "a")
    assert pipe.is_fifo()
    file.write_text("in DVC's cache")
    link.symlink_to(file)
    files.write_text(link, "new")
    assert (file.read_text(), link.read_text(), link.is_symlink()) == ("in DVC's cache", "new", False)


def test_a_device_is_no_place_to_write_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", lambda *_: pytest.fail("replaced"))  # should the check be gone, the machine keeps its devices
    with pytest.raises(InputError, match=r"^/dev/stdout: no ordinary file"):
        files.write_text("/dev/stdout", "a")


def test_a_table_can_come_out_of_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(pipe.write_text, "a,b\n1,2\n")
        assert files.read_csv(pipe).to_dict("list") == {"a": [1], "b": [2]}
        writing.result()


WRITERS = """
import resource, sys
import pandas as pd
from seal import files, pairs
from seal.errors import InputError

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # as on a full disk: what is longer is refused while it is written
texts = pd.DataFrame({field.name: ["w" * 3000] if str(field.type) == "string" else [1] for field in pairs.SCHEMA})
for path, write in {
    "a.txt": lambda path: files.write_text(path, "w" * 3000),
    "a.json": lambda path: files.write_json(path, ["w" * 3000]),
    "a.csv": lambda path: files.write_csv(path, texts),
    "a.parquet": lambda path: pairs.write(path, texts.assign(source=[" ".join(map(str, range(3000)))])),
}.items():
    try:
        write(path)
    except InputError as error:
        print(error)
"""


def test_a_file_that_finds_no_room_is_told_in_one_line_and_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("old")
    environment = {**os.environ, "PYTHONPATH": str(Path(files.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", WRITERS], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    names = ("a.txt", "a.json", "a.csv", "a.parquet")
    assert done.stdout.splitlines() == [f"{name}: File too large; make room there, or name another path" for name in names]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; make room there, or name another path"),
        (
            OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28]"),
            "No space left on device; make room there, or name another path",
        ),
        (OSError("Write out of bounds"), "Write out of bounds; make room there, or name another path"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error; name another path"),
    ],
)
def test_an_error_of_the_system_that_names_no_file_is_told_of_the_file_that_is_written(tmp_path: Path, error: OSError, told: str) -> None:
    def stopped() -> None:
        with files.atomic_path(tmp_path / "a.txt") as draft:
            draft.write_text("half")
            raise error

    with pytest.raises(InputError) as raised:
        stopped()
    assert str(raised.value) == f"{tmp_path / 'a.txt'}: {told}"
    assert not any(tmp_path.iterdir())


def test_an_error_of_another_file_stays_what_it_is(tmp_path: Path) -> None:
    def stopped() -> None:
        with files.atomic_path(tmp_path / "a.txt") as draft:
            draft.write_text((tmp_path / "other.txt").read_text())

    with pytest.raises(FileNotFoundError) as raised:
        stopped()
    assert raised.value.filename == str(tmp_path / "other.txt")
    assert not any(tmp_path.iterdir())


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        files.write_text(tmp_path / ("a" * 300), "a")
    assert str(raised.value) == f"{tmp_path / ('a' * 300)}: File name too long; name another path"


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


@pytest.mark.parametrize(("content", "found"), [("[1]", r"\[1\]"), ("null", "None"), ('"text"', "text"), ("0", "0")])
def test_json_that_is_no_object_is_told(tmp_path: Path, content: str, found: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=rf"a\.json: found {found}, expected a JSON object; run the stage that writes it$"):
        files.read_json_object(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"a": [1]}')
    assert files.read_json_object(tmp_path / "a.json") == {"a": [1]}


def test_counts_that_differ_are_told() -> None:
    files.check_counts("a.json", {"pairs": 3, "ties": 1}, {"pairs": 3}, "do it again")
    for found in (2, None, "3"):
        with pytest.raises(InputError, match=rf"^a\.json: pairs is {found}, and the tables have 3; do it again$"):
            files.check_counts("a.json", {"pairs": found}, {"pairs": 3}, "do it again")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, ": no such file; run stages/some.py to write it, or `dvc repro`"),
        (b"", ": not a CSV table (No columns to parse from file); run stages/some.py to write it"),
        (
            b"a,b\n1,2\n1,2,3\n",
            ": not a CSV table (Error tokenizing data. C error: Expected 2 fields in line 3, saw 3); run stages/some.py to write it",
        ),
        (b"a,b\n1,2,3\n", ": its rows have more cells than its header; quote the cells that hold commas"),
        (b"a,b\n0,1,2\n1,2,\n", ": its rows have more cells than its header; quote the cells that hold commas"),
        (b"a,b\n1,2,3,4\n5,6\n", ": its rows have more cells than its header; quote the cells that hold commas"),
    ],
)
def test_what_is_no_csv_table_is_told(tmp_path: Path, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError) as raised:
        files.read_csv(tmp_path / "a.csv", "stages/some.py")
    assert str(raised.value) == f"{tmp_path / 'a.csv'}{told}"


def test_a_csv_table_reads_as_pandas_reads_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",a,b\n0,1,x\n1,,y\n")
    assert files.read_csv(tmp_path / "a.csv", usecols=["a"])["a"].isna().tolist() == [False, True]
    assert files.read_csv(tmp_path / "a.csv", dtype=str, keep_default_na=False)["a"].tolist() == ["1", ""]
    (tmp_path / "a.csv").write_text("a,b\n")
    assert files.read_csv(tmp_path / "a.csv").empty
    with pytest.raises(InputError, match=r"no such file; run the stage that writes it, or `dvc repro`$"):
        files.read_csv(tmp_path / "none.csv")


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


def test_a_folder_is_known_in_whatever_order_its_files_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b/c", "d"):
        files.write_text(tmp_path / name, name)
    before, listed = files.folder_fingerprint(tmp_path), Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda folder, pattern: reversed(list(listed(folder, pattern))))
    assert files.folder_fingerprint(tmp_path) == before
