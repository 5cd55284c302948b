"""The table of versions on disk: the same out as in, a table of pairs for all who read one, and every mistake told in one line."""

import re
from pathlib import Path
from typing import Any

import compare
import pandas as pd
import pyarrow as pa
import pytest
from conftest import complaint
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from seal import pairs, versions
from seal.errors import InputError
from seal.transcripts import Turn, parse, render
from seal.versions import with_turns

QUESTION = "\n\nHuman: Is it \u201cwarm\u201d, or\ncold? \U0001f642"

ROWS = [
    (7, "original", "It is warm.", "No idea, sorry."),
    (7, "rewritten", "It's quite warm.", "Sorry, no idea."),
    (7, "second", "Warm it is.", "I have no idea."),
    (7, "trivial", "It is warm", "No idea, sorry"),
    (3, "original", "Cold", "Cold"),
    (3, "rewritten", "Quite cold", ""),
]
"""pair_row_id, version, response of chosen, response of rejected."""


def table(rows: list[tuple[int, str, str, str]]) -> pd.DataFrame:
    """A table of versions with these responses to one question."""
    records = []
    for row_id, (pair, version, *responses) in enumerate(rows):
        record: dict[str, Any] = {"row_id": row_id, "source": "made up", "part": "train", "opening_prompt": QUESTION[9:]}
        for preference, response in zip(pairs.PREFERENCES, responses, strict=True):
            text = f"{QUESTION}\n\nAssistant: {response}"
            record |= {f"{preference}_text": text, f"{preference}_prompt": QUESTION, f"{preference}_response": response}
            record[f"{preference}_turns"] = 2
        records.append(record | {"pair_row_id": pair, "version": version})
    return pd.DataFrame(records, columns=versions.SCHEMA.names)


def written(folder: Path, rows: pd.DataFrame) -> Path:
    path = folder / "versions.parquet"
    rows.to_parquet(path, index=False)
    return path


# --- round trip ---


@pytest.mark.parametrize("rows", [ROWS, []], ids=["six", "none"])
def test_a_table_comes_back_as_it_was_written(tmp_path: Path, rows: list[tuple[int, str, str, str]]) -> None:
    versions.write(tmp_path / "a.parquet", table(rows))
    pd.testing.assert_frame_equal(versions.read(tmp_path / "a.parquet"), table(rows), check_dtype=False)
    schema = parquet.read_schema(tmp_path / "a.parquet")
    assert schema.names == [*pairs.SCHEMA.names, "pair_row_id", "version"]
    assert (schema.field("pair_row_id").type, schema.field("version").type) == (pa.int64(), pa.string())
    assert not schema.metadata


def test_the_bytes_depend_on_the_rows_alone(tmp_path: Path) -> None:
    versions.write(tmp_path / "a.parquet", table(ROWS))
    other = table(ROWS)[sorted(versions.SCHEMA.names)].set_index(pd.Index(range(10, 16)))
    versions.write(tmp_path / "b.parquet", other)
    versions.write(tmp_path / "c.parquet", versions.read(tmp_path / "a.parquet"))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes() == (tmp_path / "c.parquet").read_bytes()


def test_versions_stand_in_any_order_and_some_may_be_lacking(tmp_path: Path) -> None:
    rows = [ROWS[5], ROWS[2], ROWS[0], ROWS[4]]
    assert versions.read(written(tmp_path, table(rows)))["version"].tolist() == ["rewritten", "second", "original", "original"]


# --- a table of pairs ---


def test_who_reads_a_table_of_pairs_reads_this_one(tmp_path: Path) -> None:
    versions.write(tmp_path / "a.parquet", table(ROWS))
    read = pairs.read(tmp_path / "a.parquet")
    assert read["row_id"].tolist() == [0, 1, 2, 3, 4, 5]
    pd.testing.assert_frame_equal(read[pairs.SCHEMA.names], table(ROWS)[pairs.SCHEMA.names], check_dtype=False)


def test_the_stage_that_rewards_pairs_rewards_versions(tmp_path: Path) -> None:
    path, out, check = (str(tmp_path / name) for name in ("versions.parquet", "scores.csv", "check.json"))
    versions.write(path, table(ROWS))
    compare.main(compare.Arguments(pairs=path, out=out, check=check, model="length"))
    assert Path(out).read_text() == (
        "row_id,chosen_score,rejected_score,agreement\n"
        "0,11.0,15.0,False\n1,16.0,15.0,True\n2,11.0,15.0,False\n3,10.0,14.0,False\n4,4.0,4.0,False\n5,10.0,0.0,True\n"
    )


# --- mistakes ---


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert complaint(versions.read, tmp_path / "none.parquet").startswith(": no such file; run ")


@pytest.mark.parametrize("content", [b"", b"row_id,version\n1,original\n", b"PAR1" + b"\0" * 50], ids=["empty", "CSV", "torn"])
def test_a_file_of_another_kind_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "versions.parquet").write_bytes(content)
    assert complaint(versions.read, tmp_path / "versions.parquet").startswith(": not a Parquet file (")


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        (["version"], ": lacks the column(s) version; run stages/rewrite.py to write it"),
        (["pair_row_id", "version"], ": lacks the column(s) pair_row_id, version; run stages/rewrite.py to write it"),
        (["chosen_text"], ": lacks the column(s) chosen_text; run stages/rewrite.py to write it"),
    ],
)
def test_missing_columns_are_named(tmp_path: Path, lacking: list[str], told: str) -> None:
    assert complaint(versions.read, written(tmp_path, table(ROWS).drop(columns=lacking))) == told


@pytest.mark.parametrize(("found", "quoted"), [("third", "'third'"), ("Original", "'Original'"), ("", "''")])
def test_an_unknown_version_is_told(tmp_path: Path, found: str, quoted: str) -> None:
    rows = table(ROWS)
    rows["version"] = [*rows["version"][:3], found, *rows["version"][4:]]
    expected = rf", column version: found ({quoted}), expected one of original, rewritten, second, trivial; run stages/rewrite\.py"
    assert re.fullmatch(expected, complaint(versions.read, written(tmp_path, rows)))


@pytest.mark.parametrize(
    ("column", "found", "told"),
    [
        ("version", None, ", row 4, column version: found nothing (null), expected texts; "),
        ("pair_row_id", None, ", row 4, column pair_row_id: found nothing (null), expected whole numbers; "),
        (
            "pair_row_id",
            7.5,
            ", column pair_row_id: found double (Float value 7.500000 was truncated converting to int64), expected whole numbers; ",
        ),
        ("pair_row_id", "seven", ", column pair_row_id: found "),
        ("chosen_text", None, ", row 4, column chosen_text: found nothing (null), expected texts; "),
        ("part", "test", ", row 4, column part: found 'test', expected one of train, validation, held-out; "),
    ],
)
def test_a_value_that_cannot_be_is_told(tmp_path: Path, column: str, found: object, told: str) -> None:
    rows = table(ROWS)
    values = [*rows[column][:3], found, *rows[column][4:]]
    rows[column] = [str(value) for value in values] if found == "seven" else values
    message = complaint(versions.read, written(tmp_path, rows))
    assert message.startswith(told)
    assert message.endswith("; run stages/rewrite.py to write it")


def test_a_version_that_stands_there_twice_is_told(tmp_path: Path) -> None:
    told = complaint(versions.read, written(tmp_path, table([*ROWS, (7, "second", "Warm.", "No.")])))
    assert told == ": the version second of pair 7 stands there more than once"


def test_a_row_id_that_stands_there_twice_is_told(tmp_path: Path) -> None:
    told = complaint(versions.read, written(tmp_path, table(ROWS).assign(row_id=[0, 1, 2, 3, 4, 4])))
    assert told == ": row_id 4 stands there more than once; row_ids must be unique"


def test_a_pair_without_its_original_is_told(tmp_path: Path) -> None:
    told = complaint(versions.read, written(tmp_path, table([*ROWS[:4], ROWS[5], (2, "trivial", "a", "b")])))
    assert told == ": pair 2 has versions and no original; run stages/rewrite.py to write the table"


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("\n\nHuman: Hi. \n\n\nAssistant:  Hello.\n", ["Hey.", "Good day."], "\n\nHuman: Hey. \n\n\nAssistant:  Good day.\n"),
        ("Human: Human: who?\n\nAssistant: Human: who?", ["Human: whom?", "Me."], "Human: Human: whom?\n\nAssistant: Me."),
        (
            "\n\nHuman: A.\n\nAssistant: A.\n\nHuman: A.\n\nAssistant:",
            ["A.", "B.", "A.", ""],
            "\n\nHuman: A.\n\nAssistant: B.\n\nHuman: A.\n\nAssistant:",
        ),
        (
            "System: Be kind.\n\nHuman: Assistant?\n\nAssistant: a",
            ["Be nice.", "b", "c"],
            "System: Be nice.\n\nHuman: b\n\nAssistant: c",
        ),
    ],
)
def test_other_words_leave_the_white_space_as_it_was(text: str, words: list[str], expected: str) -> None:
    turns = [Turn(turn.role, new) for turn, new in zip(parse(text), words, strict=True)]
    assert with_turns(text, turns) == expected
    assert with_turns(text, parse(text)) == text


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(("Human", "Assistant")), st.text(max_size=30)), min_size=1, max_size=5), st.text(" \n", max_size=4)
)
def test_any_text_with_its_own_turns_is_itself(turns: list[tuple[str, str]], end: str) -> None:
    text = render([Turn(*turn) for turn in turns]) + end
    assert with_turns(text, parse(text)) == text


def test_a_table_that_is_torn_in_writing_leaves_the_one_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "versions.parquet"
    versions.write(path, table(ROWS))

    def torn(_: pa.Table, where: Path) -> None:
        Path(where).write_bytes(b"PAR1")
        raise OSError(28, "No space left on device", str(where))

    monkeypatch.setattr(versions.parquet, "write_table", torn)
    with pytest.raises(InputError):
        versions.write(path, table(ROWS[:1]))
    assert len(versions.read(path)) == len(ROWS)
    assert [file.name for file in tmp_path.iterdir()] == ["versions.parquet"]
