"""The trial of bf16 on this machine, and on one that ends a process for trying."""

from pathlib import Path

import pytest
import torch

from seal.engine import bf16_speed


@pytest.fixture(autouse=True)
def _fresh() -> None:
    bf16_speed.bf16_speed.cache_clear()


def test_a_trial_gives_a_ratio_of_times() -> None:
    assert 0 < bf16_speed.bf16_speed(torch.device("cpu"), 1) < 1000


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGILL)", "raise RuntimeError('no bf16 here')"])
def test_a_processor_that_faults_ends_the_trial_alone(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "trial.py"
    script.write_text(f"import os, signal\nprint(8.0, flush=True)\n{end}\n")
    monkeypatch.setattr(bf16_speed, "__file__", str(script))
    assert bf16_speed.bf16_speed(torch.device("cpu"), 1) == 0
    script.write_text("print(8.0)\n")
    bf16_speed.bf16_speed.cache_clear()
    assert bf16_speed.bf16_speed(torch.device("cpu"), 1) == 8
