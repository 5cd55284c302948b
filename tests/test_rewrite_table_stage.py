"""The stage that joins versions, similarity, rewards and labels: from files to files, and nothing foreign among them."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import rewrite_table
from conftest import ROOT
from test_rewrites import ALIGNED, CONTROL, LABELS, PAIR_3, PAIR_7, PAIR_7_SECOND, PAIR_7_TRIVIAL, SIMILARITY, VERSIONS, labels, rewards

from seal import rewrites, taxonomy, versions
from seal.errors import InputError
from seal.files import write_csv

OUTS = ("out", "second", "trivial")


@dataclass(frozen=True)
class Tables:
    """A folder with the tables that the stage reads, and the paths that it writes."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.{'parquet' if name == 'versions' else 'csv'}"

    @property
    def arguments(self) -> dict[str, str]:
        return {name: str(self.path(name)) for name in ("versions", "similarity", "control_scores", "aligned_scores", "taxonomy", *OUTS)}

    def join(self) -> None:
        rewrite_table.main(rewrite_table.Arguments(**self.arguments))

    def edit(self, name: str, before: str, after: str) -> None:
        """Put other words into a table of text."""
        content = self.path(name).read_text()
        assert content.count(before) == 1
        self.path(name).write_text(content.replace(before, after))

    def complaint(self, name: str) -> str:
        """What is told of a table; nothing may have been written then."""
        with pytest.raises(InputError) as told:
            self.join()
        assert not any(self.path(out).exists() for out in OUTS)
        message = str(told.value)
        assert message.startswith(str(self.path(name)))
        assert "\n" not in message
        return message.removeprefix(str(self.path(name)))


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    made = Tables(tmp_path)
    versions.write(made.path("versions"), VERSIONS)
    write_csv(made.path("similarity"), SIMILARITY.sort_values("row_id"))
    write_csv(made.path("control_scores"), rewards(CONTROL))
    write_csv(made.path("aligned_scores"), rewards(ALIGNED))
    taxonomy.write(made.path("taxonomy"), labels(LABELS))
    return made


# --- what is written ---


def test_each_version_is_joined_into_a_table_of_its_own(tables: Tables) -> None:
    tables.join()
    for out, expected in (("out", [PAIR_3, PAIR_7]), ("second", [PAIR_7_SECOND]), ("trivial", [PAIR_7_TRIVIAL])):
        assert rewrites.read(tables.path(out)).to_dict("records") == expected


def test_row_ids_are_those_of_the_pairs(tables: Tables) -> None:
    """The versions of pair 7 are rows 0 to 3, those of pair 3 rows 4 and 5: neither 3 nor 7 is the row that it seems to be."""
    tables.join()
    assert [pd.read_csv(tables.path(out))["row_id"].tolist() for out in OUTS] == [[3, 7], [7], [7]]


def test_counts_are_printed(tables: Tables, capsys: pytest.CaptureFixture[str]) -> None:
    tables.join()
    assert capsys.readouterr().err.splitlines() == [
        f"2 pairs in {tables.path('out')}",
        f"1 pairs in {tables.path('second')}",
        f"1 pairs in {tables.path('trivial')}",
        "4 of 12 texts have no labels",
    ]


def test_a_version_that_no_pair_has_makes_an_empty_table(tables: Tables, capsys: pytest.CaptureFixture[str]) -> None:
    few = VERSIONS[VERSIONS["version"].isin(["original", "rewritten"])]
    versions.write(tables.path("versions"), few)
    for name, values in (("control_scores", CONTROL), ("aligned_scores", ALIGNED)):
        write_csv(tables.path(name), rewards(values).loc[few["row_id"]])
    write_csv(tables.path("similarity"), SIMILARITY[SIMILARITY["row_id"].isin(few["row_id"])])
    taxonomy.write(tables.path("taxonomy"), labels({key: values for key, values in LABELS.items() if key[0] in set(few["row_id"])}))
    tables.join()
    assert "0 pairs in" in capsys.readouterr().err
    assert rewrites.read(tables.path("out")).to_dict("records") == [PAIR_3, PAIR_7]
    assert tables.path("second").read_text() == tables.path("trivial").read_text() == ",".join(rewrites.COLUMNS) + "\n"


def test_the_same_tables_give_the_same_bytes_in_whatever_order_they_come(tables: Tables) -> None:
    tables.join()
    first = [tables.path(out).read_bytes() for out in OUTS]
    tables.join()
    assert [tables.path(out).read_bytes() for out in OUTS] == first
    versions.write(tables.path("versions"), VERSIONS.iloc[::-1])
    write_csv(tables.path("similarity"), SIMILARITY.assign(window=256))
    write_csv(tables.path("control_scores"), rewards(CONTROL).iloc[[3, 1, 5, 0, 2, 4]])
    taxonomy.write(tables.path("taxonomy"), labels(LABELS).iloc[::-1])
    tables.join()
    assert [tables.path(out).read_bytes() for out in OUTS] == first


# --- similarity of others ---


@pytest.mark.parametrize(
    "row_ids",
    [
        [1, 2, 3],
        [1, 2, 3, 5, 0],
        [0, 1, 2, 3, 4, 5],
        [1, 2, 3, 3],
        [1, 2, 3, 5, 5],
        [1, 2, 3, 6],
        [],
        ["1", "2", "3", "x"],
        [1, 2, 3, None],
    ],
    ids=["one lacking", "an original", "all", "another one twice", "twice", "of another version", "none", "a word", "nothing"],
)
def test_similarity_of_other_versions_is_refused(tables: Tables, row_ids: list[object]) -> None:
    write_csv(tables.path("similarity"), pd.DataFrame({"row_id": row_ids, "chosen_similarity": 0.5, "rejected_similarity": 0.5}))
    assert tables.complaint("similarity") == ": its row_ids are not those of the 4 versions; run stages/similarity.py on these versions"


@pytest.mark.parametrize(("found", "told"), [("close", "close"), ("", "nan"), ("NaN", "nan"), ("inf", "inf"), ("1.01", "1.01")])
def test_a_similarity_that_is_no_number_is_told(tables: Tables, found: str, told: str) -> None:
    tables.edit("similarity", "2,0.81,0.82\n", f"2,0.81,{found}\n")
    message = tables.complaint("similarity")
    assert message == (
        f", row 3, column rejected_similarity: found {told}, expected a cosine from -1 to 1; run stages/similarity.py on these versions"
    )


def test_a_table_of_something_else_in_the_place_of_the_similarity_is_told(tables: Tables) -> None:
    write_csv(tables.path("similarity"), rewards(CONTROL))
    message = tables.complaint("similarity")
    assert message == ": lacks the column(s) chosen_similarity, rejected_similarity; run stages/similarity.py to write it"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"row_id\n1\n1,2,3\n"], ids=["empty", "not UTF-8", "ragged"])
def test_what_is_no_table_of_similarity_is_told(tables: Tables, content: bytes) -> None:
    tables.path("similarity").write_bytes(content)
    message = tables.complaint("similarity")
    assert message.startswith(": not a CSV table (")
    assert message.endswith("; run stages/similarity.py to write it")


def test_similarities_in_longer_rows_than_the_header_are_refused(tables: Tables) -> None:
    tables.path("similarity").write_text("row_id,chosen_similarity,rejected_similarity\n1,0.9,0.9,\n2,0.9,0.9,\n")
    assert tables.complaint("similarity") == ": its rows have more cells than its header; quote the cells that hold commas"


# --- rewards of others ---


@pytest.mark.parametrize("role", ["control", "aligned"])
@pytest.mark.parametrize(
    ("row_ids", "told"),
    [
        ([0, 1, 2, 3, 4, 9], ": 2 row_ids do not match the pairs, first 5, which is only in the pairs; "),
        ([7, 3, 1, 2, 4, 5], ": 2 row_ids do not match the pairs, first 0, which is only in the pairs; "),
        ([0, 1, 2, 3, 5, 5], ": row_id 5 stands there more than once; "),
    ],
    ids=["other versions", "of the pairs", "twice"],
)
def test_rewards_of_other_versions_are_refused(tables: Tables, role: str, row_ids: list[int], told: str) -> None:
    write_csv(tables.path(f"{role}_scores"), rewards(CONTROL).assign(row_id=row_ids))
    assert tables.complaint(f"{role}_scores").startswith(told)


# --- labels of others ---


@pytest.mark.parametrize("after", ["It's rather warm.", "It's quite warm. ", ""], ids=["another text", "a space more", "no response"])
def test_labels_of_other_texts_are_refused(tables: Tables, after: str) -> None:
    tables.edit("taxonomy", "It's quite warm.", after)
    assert tables.complaint("taxonomy") == ": row_id 1, chosen: the labelled text is not that of the pair; label these pairs"


def test_labels_of_the_pairs_in_the_place_of_those_of_the_versions_are_refused(tables: Tables) -> None:
    """Their row_ids are 3 and 7 and their texts those of the originals; row 3 is another version here, and row 7 isn't there."""
    of_pairs = labels({key: values for key, values in LABELS.items() if key[0] in (0, 4)})
    taxonomy.write(tables.path("taxonomy"), of_pairs.assign(row_id=of_pairs["row_id"].map({0: 7, 4: 3})))
    assert tables.complaint("taxonomy") == ": row_id 7 is not in the pairs; label these pairs"


def test_labels_of_the_other_side_are_refused(tables: Tables) -> None:
    swapped = labels({(0, "chosen"): LABELS[0, "chosen"]}).assign(preference="rejected")
    taxonomy.write(tables.path("taxonomy"), swapped)
    assert tables.complaint("taxonomy") == ": row_id 0, rejected: the labelled text is not that of the pair; label these pairs"


# --- from the command line ---


@pytest.mark.parametrize(("out", "of"), [("second", "out"), ("trivial", "second"), ("out", "trivial")])
def test_one_file_for_two_tables_is_refused_however_it_is_named(tables: Tables, out: str, of: str) -> None:
    (tables.folder / "link").symlink_to(tables.folder)
    for folder in (tables.folder, tables.folder / "link", tables.folder / "none" / ".."):
        arguments = tables.arguments | {out: f"{folder}/{tables.path(of).name}"}
        with pytest.raises(InputError, match="out, second and trivial name one file twice"):
            rewrite_table.main(rewrite_table.Arguments(**arguments))
    assert not any(tables.path(each).exists() for each in OUTS)


@pytest.mark.parametrize("name", ["versions", "similarity", "control_scores", "aligned_scores", "taxonomy"])
def test_each_file_that_is_missing_is_named(tables: Tables, name: str) -> None:
    tables.path(name).unlink()
    assert tables.complaint(name).startswith(": no such file; run ")


def test_a_mistake_is_one_line_on_the_command_line(tables: Tables) -> None:
    tables.path("similarity").unlink()
    flags = [part for name, value in tables.arguments.items() for part in (f"--{name.replace('_', '-')}", value)]
    command = [sys.executable, "stages/rewrite_table.py", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    path = tables.path("similarity")
    assert done.stderr == f"error: {path}: no such file; run stages/similarity.py to write it, or `dvc repro`\n"
