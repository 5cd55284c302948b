"""What the tests share: stages are imported as they import each other, and no test reaches a hub."""

import os
import sys
from pathlib import Path

import pytest

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
