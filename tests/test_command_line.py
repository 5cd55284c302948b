"""Every stage by itself: its help, and what it says of a mistake."""

import dataclasses
import gc
import importlib
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from conftest import ROOT

import command_line

STAGES = sorted(path for path in (ROOT / "stages").glob("*.py") if path.stem != "command_line")


@pytest.mark.parametrize("stage", STAGES, ids=lambda path: path.stem)
def test_every_flag_has_a_line_of_doc(stage: Path) -> None:
    module = importlib.import_module(stage.stem)
    assert module.__doc__
    for field in dataclasses.fields(module.Arguments):
        assert len(field.metadata["help"]) > 10, field.name


def test_help_shows_flags_with_their_defaults() -> None:
    answer = subprocess.run([sys.executable, ROOT / "stages" / "prepare.py", "--help"], capture_output=True, text=True, check=True)
    assert "--held-out" in answer.stdout
    assert "(default: 0.2)" in " ".join(answer.stdout.split())


def test_a_python_without_the_packages_is_told_in_one_line() -> None:
    answer = subprocess.run([sys.executable, "-S", ROOT / "stages" / "compare.py", "--help"], capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "lacks the package" in answer.stderr
    assert "make venv" in answer.stderr


def test_a_misspelt_flag_is_refused() -> None:
    answer = subprocess.run([sys.executable, ROOT / "stages" / "prepare.py", "--lim", "3"], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.startswith("error: unrecognized arguments: --lim 3; correct the flag, or in params.yaml")


def test_a_stage_takes_the_modules_beside_it_and_no_installed_ones(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    for name in ("prepare.py", "command_line.py"):
        (tmp_path / "stages" / name).write_bytes((ROOT / "stages" / name).read_bytes())
    (tmp_path / "seal").mkdir()
    (tmp_path / "seal" / "__init__.py").write_text("raise SystemExit(__file__)\n")
    answer = subprocess.run(
        [sys.executable, tmp_path / "stages" / "prepare.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.stderr == f"{tmp_path / 'seal' / '__init__.py'}\n"


@pytest.fixture(autouse=True)
def _collector_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("freeze", "set_threshold"):
        monkeypatch.setattr(gc, name, lambda *_: None)


@dataclasses.dataclass(frozen=True)
class Named:
    """The arguments of a stage that takes a name."""

    name: str = command_line.flag("a name")


def test_flags_between_plus_signs_are_runs_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["stage.py", "--name", "one", "+", "--name", "+two", "+", "--name", "three"])
    names: list[str] = []
    command_line.run(lambda arguments: names.append(arguments.name), Named, None)
    assert names == ["one", "+two", "three"]


@pytest.mark.parametrize("flags", [["--name", "one", "+"], ["+", "--name", "one"], ["--name", "one", "+", "--nam", "two"], []])
def test_a_mistake_in_any_run_is_told_before_the_first_one_begins(flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["stage.py", *flags])
    names: list[str] = []
    with pytest.raises(SystemExit) as stopped:
        command_line.run(lambda arguments: names.append(arguments.name), Named, None)
    assert (stopped.value.code, names) == (2, [])


@pytest.mark.parametrize("flags", ["+", "--name one +", "+ --name one", "--name one + + --name two"])
def test_a_plus_sign_without_flags_on_both_sides_is_named(
    flags: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["stage.py", *flags.split()])
    with pytest.raises(SystemExit):
        command_line.run(print, Named, None)
    assert capsys.readouterr().err.startswith("error: argument +: no flags stand before it or behind it; ")


@dataclasses.dataclass(frozen=True)
class Writing:
    out: str = command_line.flag("where to write")


def test_two_runs_that_write_the_same_file_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["stage.py", "--out", "a.csv", "+", "--out", "b.csv", "+", "--out", "a.csv"])
    written: list[str] = []
    with pytest.raises(SystemExit) as stopped:
        command_line.run(lambda arguments: written.append(arguments.out), Writing, None)
    assert (stopped.value.code, written) == (2, [])
    assert "--out: two runs write a.csv" in capsys.readouterr().err


def test_a_mistake_met_at_work_names_its_run(tmp_path: Path) -> None:
    pairs = ["--model", "length", "--pairs", ROOT / "data" / "sample" / "gold.csv", "--max-length", "-1"]
    words = [*pairs, "--out", tmp_path / "1.csv", "--check", tmp_path / "1.json"]
    others = [*pairs, "--out", tmp_path / "2.csv", "--check", tmp_path / "2.json"]
    stage = [sys.executable, ROOT / "stages" / "compare.py"]
    alone = subprocess.run([*stage, *words], capture_output=True, text=True, check=False)
    first = subprocess.run([*stage, *words, "+", *others], capture_output=True, text=True, check=False)
    assert alone.returncode == first.returncode == 1
    assert alone.stderr.startswith("error: ")
    assert alone.stderr.count("\n") == 1
    assert first.stderr == alone.stderr.rstrip("\n") + " (in run 1 of 2)\n"


def test_what_a_run_held_is_gone_when_the_next_one_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    class Model:
        def __init__(self) -> None:
            self.itself = self  # as modules with hooks have it: counting references never frees them

    monkeypatch.setattr(sys, "argv", ["stage.py", "--name", "one", "+", "--name", "two"])
    held: list[weakref.ref[Model]] = []
    alive: list[int] = []

    def main(arguments: Named) -> None:
        alive.append(sum(model() is not None for model in held))
        held.append(weakref.ref(Model()))

    command_line.run(main, Named, None)
    assert alive == [0, 0]
