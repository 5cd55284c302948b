"""Rows as they stand in files of each form, where they stand there, and what is said of files that cannot be read."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from seal.errors import InputError
from seal.sources import Row, read_files, read_hub, source_names

FORMS = (".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet")
ROWS = [
    {"prompt": "a", "chosen": 'said "b", twice', "rejected": "two\nlines"},
    {"prompt": "\u00e9\u2028\U0001f600", "chosen": "[1, 2]", "rejected": "[]"},
    {"prompt": "c", "chosen": "\r\nd\r\n", "rejected": "e\0f"},
]
MESSAGES = [
    {
        "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": f"b{row}\u00e9"}],
        "rejected": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "[c"}],
    }
    for row in range(2)
]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows in the form that the file's name asks for, as each form's own tools do; lists stand in CSV as JSON."""
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if path.name.endswith(".jsonl"):
        path.write_text(lines)
    elif path.name.endswith(".jsonl.gz"):
        path.write_bytes(gzip.compress(lines.encode(), mtime=0))
    elif path.name.endswith(".json"):
        path.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    elif path.name.endswith(".csv"):
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows({name: json.dumps(value) if isinstance(value, list) else value for name, value in row.items()} for row in rows)
    else:
        parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    return path


def problems(path: Path) -> list[tuple[int, str]]:
    return [(row.line, row.problem) for row in read_files([path]) if row.problem]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [ROWS, MESSAGES], ids=["texts", "messages"])
def test_rows_come_back_from_every_form(tmp_path: Path, form: str, rows: list[dict[str, Any]]) -> None:
    path = write_rows(tmp_path / f"my.pairs{form}", rows)
    read = list(read_files([path]))
    assert read == [Row("my.pairs", str(path), line, values) for line, values in enumerate(rows, start=1)]


def test_several_files_follow_one_another_in_the_order_given(tmp_path: Path) -> None:
    paths = [write_rows(tmp_path / name, ROWS) for name in ("z.csv", "a.jsonl.gz", "m.parquet")]
    read = list(read_files(paths))
    assert [(row.source, row.line) for row in read] == [(source, line) for source in "zam" for line in (1, 2, 3)]
    assert [row.values for row in read] == ROWS * 3


def test_the_line_of_a_json_lines_file_counts_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"chosen": "a"}\r\n\r\n  \n{"chosen": "b"}')
    assert [(row.line, row.values) for row in read_files([path])] == [(1, {"chosen": "a"}), (4, {"chosen": "b"})]


def test_a_csv_file_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfchosen,rejected\r\n"a\r\nb",c\r\n,\r\n')
    assert [row.values for row in read_files([path])] == [{"chosen": "a\r\nb", "rejected": "c"}, {"chosen": "", "rejected": ""}]


def test_a_long_csv_cell_is_read(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", [{"chosen": "x" * 200_000, "rejected": "y"}])
    assert len(next(read_files([path])).values["chosen"]) == 200_000


@pytest.mark.parametrize("line", [b'{"chosen": ', b"chosen", b'{"chosen": "\xff\xfe"}', b'{"chosen": "raw\0nul"}', b"[" * 100_000])
def test_a_line_that_is_no_json_is_a_problem_of_that_line_alone(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"chosen": "a"}\n' + line + b'\n{"chosen": "b"}\n')
    ((number, problem),) = problems(path)
    assert number == 2
    assert problem.startswith("not JSON")
    assert [row.values for row in read_files([path])] == [{"chosen": "a"}, {}, {"chosen": "b"}]


@pytest.mark.parametrize(("value", "kind"), [("[1]", "list"), ('"text"', "str"), ("null", "NoneType"), ("5", "int")])
@pytest.mark.parametrize("form", [".jsonl", ".json"])
def test_a_row_that_is_no_object_is_a_problem_of_that_row_alone(tmp_path: Path, form: str, value: str, kind: str) -> None:
    path = tmp_path / f"a{form}"
    good = '{"chosen": "a"}'
    path.write_text("\n".join([good, value, good]) if form == ".jsonl" else f"[{good}, {value}, {good}]")
    assert problems(path) == [(2, f"a JSON {kind}, where an object with named columns should stand")]


def test_a_csv_row_with_too_many_cells_is_a_problem_of_that_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("chosen,rejected\na,b\na,b, and more of b\nc,d\n")
    assert problems(path) == [(2, "more cells than the header has columns")]


def test_a_csv_row_with_too_few_cells_lacks_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("chosen,rejected\na\n")
    assert next(read_files([path])).values == {"chosen": "a", "rejected": None}


WHOLE = gzip.compress(b"".join(b'{"chosen": "%d"}\n' % number for number in range(5000)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.jsonl.gz", b'{"chosen": "a"}\n'),
        ("torn.jsonl.gz", WHOLE[:-100]),
        ("corrupt.jsonl.gz", WHOLE[:-8] + bytes(8)),
        ("garbled.jsonl.gz", WHOLE[:10] + b"\xff" * 100),
        ("torn.json", b'[{"chosen": "a"}, '),
        ("deep.json", b"[" * 100_000),
        ("latin.csv", b"chosen,rejected\ncaf\xe9,a\n"),
        ("quote.csv", b'chosen,rejected\n"never closed,a\n'),
        ("text.parquet", b'{"chosen": "a"}\n'),
        ("empty.parquet", b""),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_form(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as told:
        list(read_files([path]))
    form = name[name.index(".") :]
    assert str(told.value).startswith(f"{path}: cannot be read as {form} (")


def test_a_json_file_that_holds_one_object_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"chosen": "a"}')
    with pytest.raises(InputError, match=r"a\.json: holds a JSON dict, where a list of rows should stand"):
        list(read_files([path]))


@pytest.mark.parametrize("name", ["missing.jsonl", "folder.csv"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=f"{name}: no such file"):
        list(read_files([tmp_path / name]))


@pytest.mark.parametrize("name", ["a.txt", "a", "a.json.bz2", "jsonl"])
def test_an_unknown_form_is_told_with_the_known_ones(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=f"{name}: unknown form; give one of .*jsonl.gz.*parquet"):
        list(read_files([tmp_path / name]))


def test_files_that_share_a_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    names = ("harmless/train", "helpful/train")
    for name in names:
        (tmp_path / name).parent.mkdir()
    paths = [write_rows(tmp_path / f"{name}.jsonl.gz", ROWS) for name in names]
    assert [row.source for row in read_files(paths)] == [name for name in names for _ in ROWS]
    with pytest.raises(InputError, match="share a name and a folder's name"):
        list(read_files([paths[0], paths[0]]))


def test_messages_in_a_csv_file_may_have_the_form_of_json_or_of_python(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "It's “so”"}, {"role": "assistant", "content": "yes\nor no"}]
    path = write_rows(tmp_path / "a.csv", [{"chosen": json.dumps(messages), "rejected": str(messages)}])
    assert next(read_files([path])).values == {"chosen": messages, "rejected": messages}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("x/harmless-base.test.jsonl.gz", "harmless-base.test"),
        ("my.data.csv", "my.data"),
        ("a.json", "a"),
        ("/mine/sample.jsonl", "mine/sample"),  # no pairs but the embedded ones are the sample's
    ],
)
def test_a_source_is_a_file_without_folder_and_form_unless_it_would_pass_for_the_sample(path: str, name: str) -> None:
    assert source_names([path]) == [name]


def test_a_data_set_is_named_with_a_revision() -> None:
    with pytest.raises(InputError, match="some/pairs is named without a revision"):
        read_hub("some/pairs", "", "train", "")


def test_a_data_set_out_of_reach_is_told() -> None:
    with pytest.raises(InputError, match=r"some/pairs.*revision main.*split train"):
        read_hub("some/pairs", "", "train", "main")
