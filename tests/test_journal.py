"""Journals: what outlives a kill, what is told when a file is damaged, and that only one process holds it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seal.errors import InputError
from seal.journal import Journal

RECORDS = [{"batch": 1, "rewards": [0.1, -2.5e-17]}, {"batch": 2, "text": "two\nlines \u2028 \r and \u00e9"}]


def written(path: Path, records: list[dict]) -> bytes:
    with Journal(path) as journal:
        for record in records:
            journal.append(record)
    return path.read_bytes()


def test_records_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "work.jsonl"
    written(path, RECORDS)
    with Journal(path) as journal:
        assert journal.records == RECORDS


def test_a_new_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    path = tmp_path / "work.jsonl"
    first = written(path, RECORDS[:1])
    assert written(path, RECORDS[1:]).startswith(first)
    with Journal(path) as journal:
        assert journal.records == RECORDS


def test_a_last_line_torn_anywhere_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "work.jsonl"
    whole = written(path, RECORDS)
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):  # a cut just before the line's end leaves a line that could be read, but isn't known to be whole
        path.write_bytes(whole[:cut])
        with Journal(path) as journal:
            assert journal.records == RECORDS[:1]
            journal.append(RECORDS[1])
        assert path.read_bytes() == whole


def test_a_file_that_is_one_torn_line_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "work.jsonl"
    path.write_bytes(b'{"batch": 1, "rew')
    with Journal(path) as journal:
        assert journal.records == []


@pytest.mark.parametrize("damage", [b'{"batch": 1, "rew', b"", b"\0\0\0\0", b'{"text": "\xff"}'])
def test_a_damaged_line_in_the_midst_is_told(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "work.jsonl"
    content = b'{"batch": 1}\n' + damage + b'\n{"batch": 3}\n'
    path.write_bytes(content)
    damaged = Journal(path)
    with pytest.raises(InputError, match=r"work\.jsonl: line 2 is damaged"), damaged:
        pass
    assert path.read_bytes() == content
    path.write_bytes(b"")
    with Journal(path) as journal:  # the damaged one was let go of
        assert journal.records == []


def test_a_second_holder_is_told(tmp_path: Path) -> None:
    path = tmp_path / "work.jsonl"
    with Journal(path) as journal:
        with pytest.raises(InputError, match=r"work\.jsonl: process \d+ on .+ is writing"), Journal(path):
            pass
        journal.append(RECORDS[0])  # and the first one is not disturbed
    with Journal(path) as journal:
        assert journal.records == RECORDS[:1]


def test_a_killed_process_leaves_its_records_and_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "work.jsonl"
    program = (
        "import sys, time\n"
        "from seal.journal import Journal\n"
        "with Journal(sys.argv[1]) as journal: journal.append({'batch': 1}); print('in'); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-u", "-c", program, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "in\n"
        with pytest.raises(InputError, match=r"process \d+ on"), Journal(path):
            pass
        process.send_signal(signal.SIGKILL)
    with Journal(path) as journal:
        assert journal.records == [{"batch": 1}]


def test_a_full_disk_is_told_and_costs_what_it_did_not_take(tmp_path: Path) -> None:
    """In a process whose files may not grow beyond 2 KB, as on a disk without room."""
    path = tmp_path / "work.jsonl"
    program = (
        "import resource, signal, sys\n"
        "from seal.journal import Journal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))\n"
        "with Journal(sys.argv[1]) as journal:\n"
        "    for number in range(100):\n"
        "        journal.append({'number': number, 'text': 'x' * 500})\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert "InputError" in ended.stderr.splitlines()[-1]
    assert f"{path}: File too large; make room there" in ended.stderr.splitlines()[-1]
    with Journal(path) as journal:
        assert [record["number"] for record in journal.records] == [0, 1, 2]
        journal.append({"number": 3})
    with Journal(path) as journal:
        assert [record["number"] for record in journal.records] == [0, 1, 2, 3]


def test_an_error_within_keeps_what_was_appended_and_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "work.jsonl"

    def stopped() -> None:
        with Journal(path) as journal:
            journal.append(RECORDS[0])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stopped()
    with Journal(path) as journal:
        assert journal.records == RECORDS[:1]


def test_a_record_is_on_the_disk_itself_once_it_is_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda stream: synced.append(os.fstat(stream).st_size))
    path = tmp_path / "work.jsonl"
    with Journal(path) as journal:
        for record in RECORDS:
            journal.append(record)
            assert synced[-1] == path.stat().st_size > 0
    assert len(synced) == len(RECORDS)


def test_nothing_is_left_beside_a_journal(tmp_path: Path) -> None:
    written(tmp_path / "work.jsonl", RECORDS)
    assert [file.name for file in tmp_path.iterdir()] == ["work.jsonl"]
