"""The tables of the rewriter, `seal/rewording/tables/*.txt`, line by line and in order."""

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files

ITEM = re.compile(r"<[^<>]+>|[^\s<>]+")
"""A word, or the name of a class."""


@lru_cache
def lines(name: str) -> tuple[str, ...]:
    """All lines of `seal/rewording/tables/<name>.txt` but comments, headings and empty ones."""
    return tuple(line for _, line in sections(name))


def sections(name: str) -> Iterator[tuple[str, str]]:
    """Each line with the `[heading]` that it stands under, "" before the first."""
    heading = ""
    for line in (files("seal") / "rewording" / "tables" / f"{name}.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            heading = line.strip("[] ")
        elif line.strip() and not line.startswith("#"):
            yield heading, line.strip()


@lru_cache
def classes() -> dict[str, frozenset[str]]:
    """Classes of words by name; a line may hold several words, and `<name>` takes in another class that stands above."""
    found: dict[str, set[str]] = {}
    for heading, line in sections("classes"):
        members = found.setdefault(heading, set())
        for word in ITEM.findall(line):
            members |= found[word[1:-1]] if word.startswith("<") else {word}
    return {heading: frozenset(members) for heading, members in found.items()}
