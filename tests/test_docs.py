"""The docs: that every figure and every column is described, that nothing is described which isn't there, and that links lead somewhere.

docs/metrics.md is read as its chapter "How to read this page" says: a heading of second level names files, one of third level the
beginnings of paths, and the first cell of a row the rest of the path.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import ROOT

from seal.agreement import LENGTH_DIFFERENCES, REGIMES, TURNS
from seal.features import FEATURES, LISTS, values
from seal.flips import FEATURES as FLIPS
from seal.labeler_preference import GAMMAS, TOPICS, UNLABELLED
from seal.pairs import PARTS, PREFERENCES
from seal.robustness import TABLES

REFERENCE = ROOT / "docs" / "metrics.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

INDICATORS = [f"{feature}: {value}" for feature in LISTS for value in values(feature)]
CLOSED = {
    "part": PARTS,
    "turns": tuple(TURNS),
    "length difference": tuple(LENGTH_DIFFERENCES),
    "gamma": (*GAMMAS, UNLABELLED),
    "regime": tuple(REGIMES),
    "topic": (*values(TOPICS), "no topic", UNLABELLED),
    "feature": (*FEATURES, *INDICATORS),
    "side": PREFERENCES,
    "flip": tuple(FLIPS),
    "noise": TABLES[1:],
}
"""What a placeholder of docs/metrics.md stands for, where that is known."""
PATTERNS = {
    **{name: "|".join(re.escape(value) for value in found) for name, found in CLOSED.items()},
    "combination": r"[01]{2}\|[01]{2}",
    **dict.fromkeys(("role", "comparison"), r"[A-Za-z][\w-]*"),
    **dict.fromkeys(("source", "reason", "kind", "model", "tested model", "other score"), ".+"),
    "decile": "10|[1-9]",
    "third": "(?:lowest|middle|highest) third",
    "environment": "1d|2d",
    "learner": "base|mean-and-variance(?:-released-link)?|categorical",
    "seed": r"\d+",
}

MADE = ("_low", "_high", "_reason", "_undefined_resamples")
"""Ends of keys that are put together in the code."""
STRICT = "strict_"
"""A beginning that is."""


class Key(NamedTuple):
    """One path of docs/metrics.md, its braces spelt out."""

    file: str
    path: str
    optional: bool

    def parts(self) -> list[re.Pattern[str]]:
        return [pattern(part) for part in self.path.split(".")]


@cache
def pattern(words: str) -> re.Pattern[str]:
    """What a part of a path, or the path of a file, matches, given its placeholders."""
    pieces = re.split(r"<([^>]+)>", words)
    return re.compile("".join(f"(?:{PATTERNS[piece]})" if place % 2 else re.escape(piece) for place, piece in enumerate(pieces)))


def spelt_out(words: str) -> list[str]:
    """A path without braces for each way of taking one word out of every brace, as a shell has it."""
    innermost = re.search(r"\{([^{}]*)\}", words)
    if innermost is None:
        return [words]
    before, after = words[: innermost.start()], words[innermost.end() :]
    return [path for word in innermost[1].split(",") for path in spelt_out(before + word + after)]


def code(markdown: str) -> list[str]:
    return re.findall(r"`([^`]+)`", markdown)


def documented(page: str) -> Iterator[Key]:
    """Every path that the tables of a page describe."""
    files: list[str] = []
    beginnings = [""]
    for line in page.splitlines():
        if line.startswith("## "):
            files, beginnings = [each for each in code(line) if each.startswith(("metrics/", "plots/"))], [""]
        elif line.startswith("### "):
            beginnings = [each for each in code(line) if each.endswith(".")] or [""]
        elif line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            for file, beginning, key in product(files, beginnings, code(cells[0])):
                for path in spelt_out(beginning + key.removesuffix("?")):
                    yield Key(file, path, key.endswith("?"))


def compared(content: object, keys: Iterable[Key], path: tuple[str, ...] = ()) -> tuple[list[tuple[str, ...]], set[Key]]:
    """Paths of values that no key describes, and the keys that describe something, of the content of a file."""
    return _compared(content, [(key, key.parts()) for key in keys], path)


def _compared(
    content: object, keys: list[tuple[Key, list[re.Pattern[str]]]], path: tuple[str, ...]
) -> tuple[list[tuple[str, ...]], set[Key]]:
    here = {key for key, parts in keys if len(parts) == len(path)}
    if not isinstance(content, dict) or not content:
        return ([] if here else [path]), here
    missing: list[tuple[str, ...]] = []
    for name, value in content.items():
        below = [(key, parts) for key, parts in keys if len(parts) > len(path) and parts[len(path)].fullmatch(name)]
        more, met = _compared(value, below, (*path, name))
        missing += more
        here |= met
    return missing, here


def of_file(path: Path, keys: Iterable[Key]) -> list[Key]:
    name = path.relative_to(ROOT).as_posix()
    return [key for key in keys if pattern(key.file).fullmatch(name)]


@pytest.fixture(scope="module")
def keys() -> list[Key]:
    return list(documented(REFERENCE.read_text(encoding="utf-8")))


METRICS = sorted((ROOT / "metrics").rglob("*.json"))
PLOTS = sorted((ROOT / "plots").rglob("*.csv"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def columns(path: Path) -> dict[str, None]:
    with open(path, encoding="utf-8", newline="") as stream:
        return dict.fromkeys(next(csv.reader(stream)))


# --- the tools of this test ---


def test_braces_are_spelt_out_as_a_shell_does():
    assert spelt_out("{all,by.<part>}.share{,_low}") == ["all.share", "all.share_low", "by.<part>.share", "by.<part>.share_low"]
    assert spelt_out("{a,b.{c,d}}") == ["a", "b.c", "a", "b.d"]


def test_what_is_missing_on_either_side_is_found():
    page = "## `metrics/a.json`\n### `{all,held_out}.`\n| key | unit | meaning |\n| `pairs` | count | x |\n| `why?` | reason | x |"
    keys = list(documented(page))
    assert [(key.path, key.optional) for key in keys] == [
        *(("all.pairs", False), ("held_out.pairs", False)),
        *(("all.why", True), ("held_out.why", True)),
    ]
    missing, met = compared({"all": {"pairs": 3, "ties": 0}, "other": {}}, keys)
    assert missing == [("all", "ties"), ("other",)]
    assert {key.path for key in met} == {"all.pairs"}


def test_a_placeholder_stands_for_names_of_its_kind_alone():
    assert pattern("<regime>").fullmatch("got_aligned")
    assert not pattern("<regime>").fullmatch("pairs")
    assert pattern("metrics/imprint/<role>.json").fullmatch("metrics/imprint/mine-2.json")
    assert not pattern("metrics/imprint/<role>.json").fullmatch("metrics/imprint/a/b.json")


# --- docs/metrics.md ---


def test_there_are_metrics_and_plots_to_look_at():
    assert len(METRICS) >= 13
    assert len(PLOTS) >= 4


@pytest.mark.parametrize("path", METRICS, ids=relative)
def test_every_key_of_a_metrics_file_is_documented(path, keys):
    missing, _ = compared(json.loads(path.read_text(encoding="utf-8")), of_file(path, keys))
    assert not missing, "add these to docs/metrics.md"


def test_no_key_is_documented_that_the_metrics_lack(keys):
    met: set[Key] = set()
    for path in METRICS:
        met |= compared(json.loads(path.read_text(encoding="utf-8")), of_file(path, keys))[1]
    expected = {key for key in keys if key.file.startswith("metrics/") and not key.optional}
    assert not sorted(expected - met), "take these out of docs/metrics.md, or mark them with ? and tell when they are there"


def test_optional_keys_are_written_somewhere_in_the_code(keys):
    modules = [path for folder in ("seal", "stages") for path in (ROOT / folder).rglob("*.py")]
    words = {word for path in modules for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}
    absent = set()
    for key in keys:
        last = key.path.split(".")[-1]
        stems = {stem.removeprefix(STRICT) for stem in (last, *(last.removesuffix(end) for end in MADE))}
        if key.optional and "<" not in last and not stems & words:
            absent.add(key.path)
    assert not absent


def test_every_metrics_file_of_the_docs_is_one_that_there_is(keys):
    files = {key.file for key in keys if key.file.startswith("metrics/")}
    assert not {file for file in files if not any(pattern(file).fullmatch(relative(path)) for path in METRICS)}


@pytest.mark.parametrize("path", PLOTS, ids=relative)
def test_the_columns_of_a_plot_are_those_of_the_docs(path, keys):
    assert list(columns(path)) != []
    missing, met = compared(columns(path), of_file(path, keys))
    assert not missing, "add these to docs/metrics.md"
    assert {key.path for key in of_file(path, keys) if not key.optional} == {key.path for key in met}


def test_every_table_that_the_pipelines_plot_is_documented(keys):
    pipelines = [(ROOT / name).read_text(encoding="utf-8") for name in ("dvc.yaml", "dpl/dvc.yaml")]
    plotted = [file for pipeline in pipelines for file in re.findall(r"plots/\S+\.csv", pipeline)]
    assert len(plotted) >= 8
    assert "plots/dpl/sweep.csv" in plotted
    documented = [pattern(key.file) for key in keys]
    assert not {file for file in plotted if not any(each.fullmatch(file.replace("${key}", "aligned")) for each in documented)}


def test_every_row_has_a_unit_and_a_meaning():
    rows = [line for chapter in chapters()[2:] for line in chapter.splitlines() if line.startswith("| `")]
    assert len(rows) > 200
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 3, row
        assert all(cells), row


def test_every_placeholder_is_explained(keys):
    used = {name for key in keys for name in re.findall(r"<([^>]+)>", f"{key.file} {key.path}")}
    assert used == set(explained()) == set(PATTERNS)


@pytest.mark.parametrize("name", ["part", "turns", "length difference", "gamma", "regime", "side", "flip", "noise"])
def test_the_names_of_a_closed_placeholder_are_those_of_the_code(name):
    assert set(CLOSED[name]) <= set(code(explained()[name]))


def chapters() -> list[str]:
    """What stands before the first heading of second level, the chapter on how to read the page, then one for each file."""
    return REFERENCE.read_text(encoding="utf-8").split("\n## ")


def explained() -> dict[str, str]:
    """What the page says that each placeholder stands for."""
    return dict(re.findall(r"^\| `<([^>]+)>` \| (.*) \|$", chapters()[1], re.MULTILINE))


# --- links ---


def headings(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them: in small letters, without punctuation, spaces as hyphens."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not target.startswith(("http://", "https://", "mailto:"))]


def broken(page: Path) -> list[str]:
    """Relative links of a page that lead to no file, or to no heading."""
    found = []
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in headings(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page):
    assert broken(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "b.md").write_text("# A `b.c` title\n", encoding="utf-8")
    page = tmp_path / "a.md"
    page.write_text("# One\n[x](b.md) [y](b.md#a-bc-title) [z](#one) [u](https://example.org/) [v](c.md) [w](b.md#two)\n", encoding="utf-8")
    assert broken(page) == ["c.md", "b.md#two"]
