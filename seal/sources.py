"""Where preference pairs come from: files in the usual forms, or a data set on a hub. Rows out, as they stand."""

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pyarrow import parquet

from seal.errors import InputError

FORMS = (".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet")


class Row(NamedTuple):
    """One row of a source: `values` by column, or the `problem` that kept it from being read."""

    source: str
    file: str
    line: int
    """Where the row stands in its file: the line of a JSON Lines file, else the number of the row, from 1."""
    values: dict[str, Any]
    problem: str = ""


def read_files(paths: Sequence[str | Path]) -> Iterator[Row]:
    """Read the rows of files one after another, in the order given.

    Raises
    ------
    InputError
        If a file is missing, has no known form, or cannot be read at all.
    """
    names = [source_name(path) for path in paths]
    if len(set(names)) < len(names):
        raise InputError(f"the files {', '.join(map(str, paths))} share a name, which is the name of their source: rename one")
    for name, path in zip(names, paths, strict=True):
        file = Path(path)
        if not file.is_file():
            raise InputError(f"{file}: no such file; name files that exist, as {', '.join(FORMS)}")
        try:
            for line, values in _records(file):
                yield _row(name, str(path), line, values)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{file}: cannot be read as {_form(file)} ({error}); check the file") from error


def read_hub(name: str, data_dir: str, split: str, revision: str) -> Iterator[Row]:
    """Read the rows of a data set on a hub, through `datasets`.

    Raises
    ------
    InputError
        If the hub, the data set or the split cannot be reached, or no revision is named.
    """
    import datasets

    if not revision:
        raise InputError(f"the data set {name} is named without a revision: name a commit, or main")
    datasets.disable_progress_bars()
    try:
        table = datasets.load_dataset(name, data_dir=data_dir or None, split=split, revision=revision)
    except Exception as error:  # datasets raises many kinds for one cause: it could not load what was named
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"the data set {name} (revision {revision}, split {split}) cannot be loaded: {reason}") from error
    source = f"{name}/{data_dir}" if data_dir else name
    for line, values in enumerate(table, start=1):
        yield Row(source, name, line, values)


def source_name(path: str | Path) -> str:
    """A file's name without the ending that tells its form."""
    name = Path(path).name
    return name.removesuffix(_form(Path(path)))


def _form(file: Path) -> str:
    form = next((form for form in FORMS if file.name.endswith(form)), None)
    if form is None:
        raise InputError(f"{file}: unknown form; give one of {', '.join(FORMS)}")
    return form


def _records(file: Path) -> Iterator[tuple[int, Any]]:
    form = _form(file)
    if form in (".jsonl", ".jsonl.gz"):
        with gzip.open(file, "rb") if form == ".jsonl.gz" else file.open("rb") as stream:
            for line, text in enumerate(stream, start=1):
                if text.strip():
                    yield line, text
    elif form == ".json":
        rows = json.loads(file.read_bytes())
        if not isinstance(rows, list):
            raise InputError(f"{file}: holds a JSON {type(rows).__name__}, where a list of rows should stand; or use .jsonl")
        yield from enumerate(rows, start=1)
    elif form == ".csv":
        csv.field_size_limit(2**31 - 1)
        with file.open(encoding="utf-8-sig", newline="") as text_stream:
            for line, values in enumerate(csv.DictReader(text_stream, strict=True), start=1):
                yield line, {column: _from_csv(value) for column, value in values.items() if column is not None}
    else:
        with parquet.ParquetFile(file) as table:
            line = 0
            for batch in table.iter_batches():
                for values in batch.to_pylist():
                    line += 1
                    yield line, values


def _row(source: str, file: str, line: int, record: Any) -> Row:
    if isinstance(record, bytes):
        try:
            record = json.loads(record)
        except ValueError as error:
            return Row(source, file, line, {}, f"not JSON ({error})")
    if not isinstance(record, dict):
        return Row(source, file, line, {}, f"a JSON {type(record).__name__}, where an object with named columns should stand")
    return Row(source, file, line, record)


def _from_csv(value: str | None) -> Any:
    """A cell of a CSV file; lists of messages stand there as JSON."""
    if value and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
