"""What every stage's command line shares. A stage imports this first, so that a missing package is told in one line."""

import argparse
import dataclasses
import gc
import os
import sys
import types
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn


def _one_line_for_mistakes(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    """Tell a mistake of the user's in one line; anything else is a bug and keeps its traceback."""
    where = "".join(f" ({note})" for note in getattr(error, "__notes__", []))
    if isinstance(error, ModuleNotFoundError):
        print(
            f"error: this Python ({sys.executable}) lacks the package {error.name}; run `make venv` once, then start stages with "
            ".venv/bin/python or put .venv/bin first on PATH",
            file=sys.stderr,
        )
    elif kind.__name__ == "InputError" and kind.__module__ == "seal.errors":
        print(f"error: {' '.join(str(error).split())}{where}", file=sys.stderr)
    elif isinstance(error, OSError) and error.filename:
        print(f"error: {error.filename}: {error.strerror}; check the path{where}", file=sys.stderr)
    elif issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _one_line_for_mistakes

# A stage takes the modules beside it, whatever copy of them is installed: those whose state DVC records, in any clone or experiment.
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))


def flag(help: str, default: Any = dataclasses.MISSING, **metadata: Any) -> Any:
    """A field of a stage's arguments: its line of doc and, unless the flag is required, its default."""
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata={"help": _doc(help, default), **metadata})
    return dataclasses.field(default=default, metadata={"help": _doc(help, default), **metadata})


def _doc(help: str, default: Any) -> str:
    if default is not dataclasses.MISSING and default is not False and default not in ("", []):  # 0 is worth telling
        help = f"{help} (default: {default})"
    return help.replace("%", "%%")


def run(main: Callable[[Any], None], arguments: type, doc: str | None) -> None:
    """Parse the command line into the stage's arguments and run it, once for each of its `runs`."""
    # torch and transformers make a million objects that last: looking through them for garbage takes an eighth of the time of loading
    # them, and as much again at exit.
    gc.set_threshold(100_000)
    takes = parser(arguments, doc)
    given = runs(sys.argv[1:])
    if len(given) > 1 and [] in given:
        takes.error("argument +: no flags stand before it or behind it")
    parsed = [takes.parse_args(flags) for flags in given]  # so a wrong flag in any of them is told before work begins
    for name in ("out", "metrics"):
        paths = Counter(getattr(one, name, None) for one in parsed)
        for path in [path for path, times in paths.items() if path and times > 1]:
            takes.error(f"argument --{name}: two runs write {path}, and the second would replace what the first has written")
    for number, one in enumerate(parsed, start=1):
        gc.collect()  # the model of the run before leaves the device's memory to this one's
        try:
            main(one)
        except Exception as error:
            if len(parsed) > 1:
                error.add_note(f"in run {number} of {len(parsed)}")
            raise
    gc.freeze()


def runs(words: Sequence[str]) -> list[list[str]]:
    """The flags of each run on a command line: those of one stage that stand between `+` share a process, which loads packages once."""
    found: list[list[str]] = [[]]
    for word in words:
        if word == "+":
            found.append([])
        else:
            found[-1].append(word)
    return found


def parser(arguments: type, doc: str | None) -> Any:
    """The parser of a stage's arguments; no abbreviations, so that a misspelt flag never passes for another."""
    from argparse_dataclass import ArgumentParser

    class OneLine(ArgumentParser):  # type: ignore[misc]
        def error(self, message: str) -> NoReturn:
            remedy = f"correct the flag, or in params.yaml the key of its name; python {sys.argv[0]} --help tells of each"
            print(f"error: {message}; {remedy}", file=sys.stderr)
            raise SystemExit(2)

    several = "Several runs share a process where + stands between their flags. Packages are loaded once then."
    return OneLine(arguments, description=doc, epilog=several, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)


def work(part: str) -> Path:
    """Where unfinished work of a kind is kept: below `SEAL_WORK`, or .work."""
    return Path(os.environ.get("SEAL_WORK") or ".work") / part


def read_dotenv() -> None:
    """Add what .env in the working folder sets to the environment; what is set already stays."""
    from dotenv import load_dotenv

    load_dotenv(".env")
