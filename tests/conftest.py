"""What the tests share: stages are imported as they import each other, and no test reaches a hub."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seal.errors import InputError

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "stages"))

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, and threads that wait for each other's cores stall both
os.environ["TOKENIZERS_PARALLELISM"] = "false"

REAL_DATA = Path(os.environ.get("SEAL_REAL_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture
def real_data() -> Path:
    """The folder of real preference pairs, which are not part of the repository."""
    if not (REAL_DATA / "hh_rlhf").is_dir():
        pytest.skip(f"no real pairs in {REAL_DATA}; set SEAL_REAL_DATA to the folder that holds hh_rlhf/")
    return REAL_DATA


@pytest.fixture(autouse=True)
def _own_journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals of a test never meet those of another."""
    monkeypatch.setenv("SEAL_WORK", str(tmp_path / "work"))


def strict_json(path: str | Path) -> Any:
    """Read JSON as other programs would, to whom NaN and Infinity are no JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{path} holds {constant}")

    return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=refuse)


def complaint(read: Callable[..., Any], path: Path, *more: Any) -> str:
    """What is told, in one line, of a file that cannot be read, after its name."""
    with pytest.raises(InputError) as told:
        read(path, *more)
    message = str(told.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


def assert_one_line(answer: subprocess.CompletedProcess[str], *words: str) -> None:
    """A stage told a mistake in one line, with these words in it."""
    assert answer.returncode == 1
    lines = answer.stderr.strip().splitlines()
    assert len(lines) == 1, answer.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]
