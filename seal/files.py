"""Files written whole or not at all, with the same bytes for the same content; and what is read of them, or told where it is wrong."""

import errno
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from seal.errors import InputError

SIGNIFICANT_DIGITS = 6

FIRST_ROW = 2
"""The row of a CSV file that stands first below its header; see `read_csv`."""

_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, and move it into place once the block has ended without an error.

    Raises
    ------
    InputError
        If a folder, a device or a pipe stands there, or the file cannot be written, as on a full disk. An error of the system that names
        another file, and was raised in the block, stays what it is; one that names none, as writing to an open file raises, is taken
        for the draft's.
    """
    target = Path(path)
    if os.path.isdir(target):  # unlike target.is_dir(), of a name that is too long it says no
        raise InputError(f"{path}: a folder stands there; name a file")
    if _is_special(target):
        raise InputError(f"{path}: no ordinary file, and what is written would take its place; name a file")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield draft
        os.replace(draft, target)
    except OSError as error:
        if error.filename is not None and str(error.filename) != str(draft):
            raise
        reason = os.strerror(error.errno) if error.errno else error  # Arrow's errors have long words of their own, or no number
        remedy = "make room there, or name another path" if error.errno in (*_NO_ROOM, None) else "name another path"
        raise InputError(f"{path}: {reason}; {remedy}") from error
    finally:
        with suppress(OSError):  # what was to be told is told already
            draft.unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    """Whether a device, a pipe or a socket stands there. A link to an ordinary file is replaced, as DVC's links to its cache must be."""
    return path.parent == Path("/dev") or (os.path.exists(path) and not os.path.isfile(path))


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text with `\\n` line ends."""
    with atomic_path(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON with floats rounded to `SIGNIFICANT_DIGITS` and without NaN or infinity, which JSON does not have."""
    write_text(path, json.dumps(rounded(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file that another stage wrote.

    Raises
    ------
    InputError
        If the file does not exist or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that writes it, or `dvc repro`") from None
    except ValueError as error:
        raise InputError(f"{path}: not a JSON file ({error}); delete it and run the stage that writes it") from None


def read_json_object(path: str | Path) -> dict[str, Any]:
    """Read the JSON object that another stage wrote.

    Raises
    ------
    InputError
        As `read_json`, or if it is no object.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise InputError(f"{path}: found {str(found)[:60]}, expected a JSON object; run the stage that writes it")
    return found


def check_counts(path: str | Path, counts: Mapping[str, Any], expected: Mapping[str, int], remedy: str) -> None:
    """Hold the counts that a stage wrote beside its table against the tables, so that no row is lost between two stages.

    Parameters
    ----------
    path
        Where the counts were read from, for the message.
    counts, expected
        By name.
    remedy
        What to do where they differ, for the message.

    Raises
    ------
    InputError
        If one is missing or another.
    """
    for name, number in expected.items():
        if name not in counts:
            raise InputError(f"{path}: lacks {name}, and the tables have {number}; {remedy}")
        if counts[name] != number:
            raise InputError(f"{path}: {name} is {counts[name]}, and the tables have {number}; {remedy}")


def read_csv(path: str | Path, written_by: str = "", **options: Any) -> pd.DataFrame:
    """Read a CSV table with a header, by pandas.

    Who tells of a row counts as a spreadsheet does: the header is row 1, and what stands first below it is row 2, `FIRST_ROW`. That is the
    line in the file, unless cells hold line breaks or lines are empty. Rows of a Parquet file, which has no header, count from 1.

    Parameters
    ----------
    written_by
        The stage that writes such tables, for the messages.
    options
        Of `pandas.read_csv`.

    Raises
    ------
    InputError
        If the file is missing or no table, or its rows have more cells than its header: pandas would take the first ones for an index.
    """
    remedy = f"run {written_by} to write it" if written_by else "run the stage that writes it"
    try:
        table: pd.DataFrame = pd.read_csv(path, **options)
        # Once more as text: an index of numbers that follow each other looks like none. What is no ordinary file cannot be read twice.
        first = pd.read_csv(path, nrows=1, dtype=str) if os.path.isfile(path) else table
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {remedy}, or `dvc repro`") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a CSV table ({str(error).strip()}); {remedy}") from error
    if not isinstance(first.index, pd.RangeIndex):
        raise InputError(f"{path}: its rows have more cells than its header; quote the cells that hold commas")
    return table


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV without its index, floats in their shortest form that reads back the same."""
    with atomic_path(path) as draft:
        table.to_csv(draft, index=False, lineterminator="\n")


def rounded(content: Any) -> Any:
    """Round every float of a nested structure to `SIGNIFICANT_DIGITS`; NaN becomes null.

    Metrics are compared across commits and machines, whose last digits differ.
    """
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [rounded(value) for value in content]
    if hasattr(content, "item"):  # a NumPy scalar
        content = content.item()
    if isinstance(content, float):
        if math.isnan(content):
            return None
        return float(f"{content:.{SIGNIFICANT_DIGITS}g}")
    return content


def fingerprint(*parts: Any) -> str:
    """Hash JSON-like values to 32 hexadecimal digits of SHA-256."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:32]


def text_hash(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def folder_fingerprint(folder: str | Path) -> str:
    """Hash the names and contents of all files below a folder, so that a changed model is never taken for the old one."""
    root = Path(folder)
    files = sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return fingerprint([[path.relative_to(root).as_posix(), file_hash(path)] for path in files])


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
