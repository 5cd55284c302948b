"""Where preference pairs come from: files in the usual forms, or a data set on a hub. Rows out, as they stand."""

import ast
import csv
import gzip
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pyarrow import parquet

from seal.errors import InputError

FORMS = (".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet")

SAMPLE = "sample"
"""The source of the embedded sample's pairs; no file gives its pairs this name."""


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
    for name, path in zip(source_names(paths), paths, strict=True):
        file = Path(path)
        if not file.is_file():
            raise InputError(f"{file}: no such file; name files that exist, as {', '.join(FORMS)}")
        try:
            for line, values in _records(file):
                yield _row(name, str(path), line, values)
        except (OSError, ValueError, EOFError, RecursionError, csv.Error, zlib.error) as error:
            raise InputError(f"{file}: cannot be read as {_form(file)} ({error}); check the file") from error


def read_hub(name: str, data_dir: str, split: str, revision: str) -> tuple[str, Iterator[Row]]:
    """Read the rows of a data set on a hub, through `datasets`; give the commit that `revision` stands for, and the rows.

    Raises
    ------
    InputError
        If the hub, the data set or the split cannot be reached and is not in the local cache, or no revision is named.
    """
    import huggingface_hub

    if not revision:
        raise InputError(f"the data set {name} is named without a revision: name a commit, or main")
    try:
        commit = huggingface_hub.HfApi().resolve_revision(name, repo_type="dataset", revision=revision).resolved
        table = _load(name, data_dir, split, commit)
    except Exception as error:  # both libraries raise many kinds for one cause: what was named could not be loaded
        reason = str(error).splitlines()[0] if str(error) else ""
        hub = os.environ.get("HF_ENDPOINT", "the hub")
        raise InputError(
            f"the data set {name}, revision {revision}, split {split}: {hub} does not give it, nor is it in the local cache "
            f"({type(error).__name__}: {reason}); check the name, the revision, the split and the connection"
        ) from error
    source = f"{name}/{data_dir}" if data_dir else name
    return commit, (Row(source, name, line, values) for line, values in enumerate(table, start=1))


def _load(name: str, data_dir: str, split: str, commit: str) -> Any:
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # it would call a host that is not the hub
    builder = datasets.load_dataset_builder(name, data_dir=data_dir or None, revision=commit)
    if builder.hash != commit:  # without a connection, datasets takes whatever commit it loaded last
        raise LookupError(f"what it loaded last is commit {builder.hash}")
    builder.download_and_prepare()
    return builder.as_dataset(split)


def source_names(paths: Sequence[str | Path]) -> list[str]:
    """Each file's name without the ending that tells its form; with its folder's name before it where files share a name, or where it is
    that of the embedded sample, whose pairs are told to be made up.

    Raises
    ------
    InputError
        If a file has no known form, or files share the name of their folder, too.
    """
    files = [Path(path) for path in paths]
    names = [file.name.removesuffix(_form(file)) for file in files]
    if len(set(names)) < len(names) or SAMPLE in names:
        names = [f"{file.resolve().parent.name}/{name}" for file, name in zip(files, names, strict=True)]
    if len(set(names)) < len(names):
        raise InputError(f"the files {', '.join(map(str, paths))} share a name and a folder's name, which name their source: rename one")
    return names


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
                yield line, {column: _from_csv(value) for column, value in values.items()}
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
        except (ValueError, RecursionError) as error:
            return Row(source, file, line, {}, f"not JSON ({error})")
    if not isinstance(record, dict):
        return Row(source, file, line, {}, f"a JSON {type(record).__name__}, where an object with named columns should stand")
    if None in record:  # where csv puts the cells beyond the header's
        return Row(source, file, line, {}, "more cells than the header has columns")
    return Row(source, file, line, record)


def _from_csv(value: Any) -> Any:
    """A cell of a CSV file; a list of messages stands there in JSON's or in Python's form, and any other list is an answer's own words."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        for read in (json.loads, ast.literal_eval):
            try:
                content = read(value.strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            if content and all(isinstance(message, dict) for message in content):
                return content
    return value
