"""Finished work kept on disk as it comes, so that a killed run loses at most what it had in hand."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from seal.errors import InputError


class Journal:
    """A file of JSON records, one a line, that only grows and that one process holds at a time.

    Use it as a context manager. `records` holds what earlier runs wrote; a last line that a kill tore in two is dropped.

    Raises
    ------
    InputError
        If another process holds the file, or a line in its midst is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._held_by = self.path.with_name(f"{self.path.name}.holder")
        self.records: list[dict[str, Any]] = []

    def __enter__(self) -> "Journal":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = open(self.path, "a+b")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._stream.close()
            raise InputError(f"{self.path}: {self._holder()} is writing to it; wait until it ends, or stop it") from None
        self._held_by.write_text(f"process {os.getpid()} on {os.uname().nodename}")
        self._stream.seek(0)
        content = self._stream.read()
        whole = content.rfind(b"\n") + 1
        self._stream.truncate(whole)
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                self.records.append(json.loads(line))
            except ValueError:
                self._stream.close()
                raise InputError(f"{self.path}: line {number} is damaged; delete the file to start afresh") from None
        return self

    def append(self, record: dict[str, Any]) -> None:
        """Add a record; once this returns it outlives a kill.

        Raises
        ------
        InputError
            If the disk takes no more.
        """
        try:
            self._stream.write(json.dumps(record).encode() + b"\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise InputError(
                f"{self.path}: {error.strerror}; make room there, and start again: what is finished is kept, or set SEAL_WORK to another "
                "folder to start afresh there"
            ) from None

    def _holder(self) -> str:
        try:
            return self._held_by.read_text()
        except OSError:  # it has the lock and not yet said so
            return "another process"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._held_by.unlink(missing_ok=True)
        try:
            self._stream.close()
        except OSError:  # what could not be written is tried once more
            if kind is None:
                raise
