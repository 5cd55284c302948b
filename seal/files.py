"""Files written whole or not at all, with the same bytes for the same content."""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from seal.errors import InputError

SIGNIFICANT_DIGITS = 6


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, and move it into place once the block has ended without an error."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield draft
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


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
