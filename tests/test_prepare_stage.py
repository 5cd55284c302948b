"""The stage prepare by its command line: files in, table, rejects and counts out, and what is said of mistakes."""

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import prepare as stage
import pytest
from conftest import ROOT
from test_sources import FORMS, write_rows

from seal.errors import InputError

import command_line

OUTS = ("pairs.parquet", "rejects.csv", "counts.json")
ANSWERS = [(f"opening {row % 5}", f"good {row}", f"bad {row}") for row in range(12)]
SHAPES: dict[str, list[dict[str, Any]]] = {
    "transcripts": [
        {"chosen": f"\n\nHuman: {prompt}\n\nAssistant: {good}", "rejected": f"\n\nHuman: {prompt}\n\nAssistant: {bad}"}
        for prompt, good, bad in ANSWERS
    ],
    "messages": [
        {
            name: [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
            for name, answer in (("chosen", good), ("rejected", bad))
        }
        for prompt, good, bad in ANSWERS
    ],
    "prompt and answers": [{"prompt": prompt, "chosen": good, "rejected": bad} for prompt, good, bad in ANSWERS],
}
GOOD = SHAPES["transcripts"]


class Result(NamedTuple):
    pairs: pd.DataFrame
    rejects: pd.DataFrame
    counts: dict[str, Any]
    bytes: list[bytes]


def outs(folder: Path) -> list[str]:
    return [word for flag, name in zip(("--out", "--rejects", "--counts"), OUTS, strict=True) for word in (flag, str(folder / name))]


def run(folder: Path, *flags: object) -> Result:
    """Run the stage in this process, with flags as the command line gives them."""
    parser = command_line.parser(stage.Arguments, stage.__doc__)
    stage.main(parser.parse_args([*map(str, flags), *outs(folder)]))
    return result(folder)


def result(folder: Path) -> Result:
    return Result(
        pd.read_parquet(folder / OUTS[0]),
        pd.read_csv(folder / OUTS[1], keep_default_na=False),
        json.loads((folder / OUTS[2]).read_text()),
        [(folder / name).read_bytes() for name in OUTS],
    )


def started(folder: Path, *flags: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the stage as a user does."""
    command = [sys.executable, str(ROOT / "stages" / "prepare.py"), *map(str, flags), *outs(folder)]
    return subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_form_and_shape_gives_the_same_pairs(tmp_path: Path, form: str, shape: str) -> None:
    path = write_rows(tmp_path / f"mine{form}", SHAPES[shape])
    table = run(tmp_path, "--source", "file", "--files", path).pairs
    assert table["row_id"].tolist() == list(range(12))
    assert set(table["source"]) == {"mine"}
    assert table["opening_prompt"].tolist() == [prompt for prompt, _, _ in ANSWERS]
    for preference in ("chosen", "rejected"):
        assert table[f"{preference}_text"].tolist() == [row[preference] for row in GOOD]
        assert table[f"{preference}_prompt"].tolist() == [f"\n\nHuman: {prompt}" for prompt, _, _ in ANSWERS]
        assert set(table[f"{preference}_turns"]) == {2}
    assert table["chosen_response"].tolist() == [good for _, good, _ in ANSWERS]
    assert table["rejected_response"].tolist() == [bad for _, _, bad in ANSWERS]


def test_several_files_of_several_forms_make_one_table(tmp_path: Path) -> None:
    shapes = dict(zip(("b.csv", "a.jsonl.gz", "c.parquet"), SHAPES.values(), strict=True))
    paths = [write_rows(tmp_path / name, rows) for name, rows in shapes.items()]
    table, _, counts, _ = run(tmp_path, "--source", "file", "--files", *paths)
    assert table["row_id"].tolist() == list(range(36))
    assert table["source"].tolist() == ["b"] * 12 + ["a"] * 12 + ["c"] * 12
    assert counts["pairs_by_source"] == {"a": 12, "b": 12, "c": 12}
    assert counts["duplicate_pairs"] == 24


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "mine.jsonl", [*GOOD, {"chosen": 1}])
    flags = ("--source", "file", "--files", path, "--max-rejects", "0.5", "--sample", "9")
    first = run(tmp_path, *flags)
    second = run(tmp_path / "elsewhere", *flags)
    assert first.bytes == second.bytes
    other = tmp_path / "other process"
    other.mkdir()
    assert started(other, *flags, PYTHONHASHSEED="77").returncode == 0
    assert result(other).bytes == first.bytes
    assert b"\r" not in first.bytes[1] + first.bytes[2]


def test_the_sample_is_the_default_and_all_of_it_is_pairs(tmp_path: Path) -> None:
    there = (ROOT / "data" / "sample" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    table, rejects, counts, _ = run(tmp_path)
    assert len(table) == counts["rows"] == counts["rows_in_source"] == len(there)
    assert rejects.empty
    assert set(table["source"]) == {"sample"}
    assert table["chosen_text"].tolist() == [json.loads(line)["chosen"] for line in there]
    assert table.groupby("opening_prompt")["part"].nunique().eq(1).all()
    assert set(table["part"]) == {"train", "validation", "held-out"}


def test_limit_and_sample_keep_the_row_id_and_the_part(tmp_path: Path) -> None:
    whole = run(tmp_path).pairs
    first = run(tmp_path, "--limit", 100)
    pd.testing.assert_frame_equal(first.pairs, whole[:100])
    assert (first.counts["rows"], first.counts["rows_in_source"]) == (100, len(whole))
    drawn = run(tmp_path, "--sample", 50).pairs
    assert len(drawn) == 50
    pd.testing.assert_frame_equal(drawn, whole.set_index("row_id", drop=False).loc[drawn["row_id"]].reset_index(drop=True))
    assert drawn["row_id"].is_monotonic_increasing
    assert drawn["row_id"].max() > 100
    both = run(tmp_path, "--limit", 100, "--sample", 50).pairs
    assert len(both) == 50
    assert both["row_id"].max() < 100
    other = run(tmp_path, "--sample", 50, "--seed", 2).pairs
    assert other["row_id"].tolist() != drawn["row_id"].tolist()


def test_the_order_of_rows_leaves_the_split_as_it_is(tmp_path: Path) -> None:
    lines = (ROOT / "data" / "sample" / "pairs.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(3).shuffle(lines)
    (tmp_path / "shuffled.jsonl").write_text("".join(lines), encoding="utf-8")
    whole = run(tmp_path).pairs
    shuffled = run(tmp_path, "--source", "file", "--files", tmp_path / "shuffled.jsonl").pairs
    assert shuffled["chosen_text"].tolist() != whole["chosen_text"].tolist()
    keys = ["opening_prompt", "part"]
    assert set(map(tuple, shuffled[keys].to_numpy())) == set(map(tuple, whole[keys].to_numpy()))


@pytest.mark.parametrize("flag", ["limit", "sample"])
def test_more_than_there_is_takes_all_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str) -> None:
    path = write_rows(tmp_path / "mine.jsonl", GOOD)
    assert len(run(tmp_path, "--source", "file", "--files", path, f"--{flag}", 12).pairs) == 12
    assert "beyond" not in capsys.readouterr().err
    table = run(tmp_path, "--source", "file", "--files", path, f"--{flag}", 13).pairs
    assert len(table) == 12
    assert f"{flag} 13 is beyond the 12 rows there are: all of them are taken\n" in capsys.readouterr().err


def test_rejects_up_to_the_share_allowed_are_set_aside_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    lines = [json.dumps(row) for row in GOOD]
    path.write_text("\n".join([*lines[:3], "", "{broken", *lines[3:7], json.dumps({"chosen": None, "rejected": "a"}), *lines[7:]]))
    table, rejects, counts, _ = run(tmp_path, "--source", "file", "--files", path, "--max-rejects", 2 / 14)
    assert rejects[["row_id", "file", "row", "column"]].to_numpy().tolist() == [[3, str(path), 5, "row"], [8, str(path), 10, "chosen"]]
    assert (rejects["found"] != "").all()
    assert (rejects["expected"] != "").all()
    assert table["row_id"].tolist() == [row_id for row_id in range(14) if row_id not in (3, 8)]
    assert table["chosen_text"].tolist() == [row["chosen"] for row in GOOD]
    assert (counts["rows"], counts["pairs"], counts["rejects"]) == (14, 12, 2)
    assert counts["rejects_by_column"] == {"chosen": 1, "row": 1}


def test_rejects_beyond_the_share_allowed_stop_the_stage_and_nothing_is_written(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "mine.jsonl", [*GOOD, {"chosen": None}, {"chosen": None}])
    with pytest.raises(
        InputError, match=r"2 of 14 rows are like this and max-rejects allows 0\.1 of them: mend the rows, or raise max-rejects to"
    ):
        run(tmp_path / "outs", "--source", "file", "--files", path, "--max-rejects", 0.1)
    assert not (tmp_path / "outs").exists()


def test_the_share_of_rejects_is_of_the_rows_taken(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "mine.jsonl", [{"chosen": None}, *GOOD])
    assert len(run(tmp_path, "--source", "file", "--files", path, "--max-rejects", 0.1).rejects) == 1
    with pytest.raises(InputError, match="1 of 5 rows are like this"):
        run(tmp_path, "--source", "file", "--files", path, "--max-rejects", 0.1, "--limit", 5)


GOOD_TEXT = GOOD[0]["chosen"]


@pytest.mark.parametrize(
    ("name", "content", "row", "column", "found", "expected"),
    [
        ("a.jsonl", '\n{"chosen": "a", ', 2, "row", "not JSON", "an object with chosen and rejected"),
        ("a.json", "[[1, 2]]", 1, "row", "a JSON list", "an object with chosen and rejected"),
        ("a.csv", "chosen,rejected\na,b,c\n", 1, "row", "more cells than the header has columns", "an object with chosen and rejected"),
        ("a.csv", "prompt,good\na,b\n", 1, "chosen", "no such column, only 'prompt', 'good'", "an HH transcript"),
        ("a.csv", "prompt,chosen,rejected\na,b\n", 1, "rejected", "no text (null)", "an HH transcript"),
        ("a.jsonl", json.dumps({"chosen": GOOD_TEXT, "rejected": 3}), 1, "rejected", "int, where", "an HH transcript"),
        ("a.jsonl", json.dumps({"chosen": "Hello\n\nthere", "rejected": ""}), 1, "chosen", r"text starting with 'Hello\n\nthere'", "an HH"),
        ("a.jsonl", json.dumps({"chosen": GOOD_TEXT, "rejected": "Human: a"}), 1, "rejected", "last turn by Human", "an HH transcript"),
        (
            "a.jsonl",
            r'{"chosen": "Human: \ud83d", "rejected": ""}',
            1,
            "chosen",
            "half a surrogate pair at character 7",
            "an HH transcript",
        ),
        ("a.jsonl", '{"chosen": [{"role": "user"}], "rejected": ""}', 1, "chosen", "message 0 without a text", "an HH transcript"),
        ("a.jsonl", '{"prompt": [], "chosen": "a", "rejected": "b"}', 1, "prompt", "an empty list, where", "a text or a list of messages"),
    ],
)
def test_a_reject_is_told_in_one_line_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, row: int, column: str, found: str, expected: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError) as told:
        run(tmp_path, "--source", "file", "--files", path)
    capsys.readouterr()
    sys.excepthook(told.type, told.value, told.tb)
    line = capsys.readouterr().err
    assert line.startswith(f"error: {path}, row {row}, column {column}: {found}")
    assert f"; expected {expected}" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--source", "file", "--files", "mine.jsonl"), "error: mine.jsonl, row 13, column chosen: no text (null); expected "),
        (("--source", "file", "--files", "missing.jsonl"), "error: missing.jsonl: no such file"),
    ],
)
def test_a_mistake_ends_the_stage_with_one_line_and_a_status(tmp_path: Path, flags: tuple[str, ...], told: str) -> None:
    write_rows(tmp_path / "mine.jsonl", [*GOOD, {"chosen": None}])
    answer = started(tmp_path, *flags)
    assert answer.returncode == 1
    assert answer.stderr.startswith(told)
    assert answer.stderr.count("\n") == 1
    assert answer.stdout == ""
    assert not (tmp_path / OUTS[0]).exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--source", "file"), "source file without files; name one or more with --files"),
        (("--files", "mine.jsonl"), "files is given, and source is sample; set source file to read it, or leave files out"),
        (("--source", "hub", "--name", "a/b", "--files", "a.csv"), "files is given, and source is hub; set source file to read it"),
        (("--source", "file", "--files", "a.csv", "--name", "a/b"), "name is given, and source is file; set source hub to read it"),
        (("--source", "hub"), "source hub without a name; name the data set with --name"),
        (("--source", "hub", "--name", "a/b"), "without a revision"),
        (("--limit", "-1"), "limit is -1"),
        (("--sample", "-2"), "sample is -2"),
        (("--seed", "-3"), "seed is -3"),
        (("--max-rejects", "1.5"), "max-rejects is 1.5"),
        (("--max-rejects", "nan"), "max-rejects is nan"),
        (("--held-out", "-0.1"), "held-out is -0.1"),
        (("--held-out", "0.7", "--validation", "0.4"), "sum to more than 1"),
    ],
)
def test_flags_that_make_no_sense_are_told(tmp_path: Path, flags: tuple[str, ...], told: str) -> None:
    with pytest.raises(InputError, match=told):
        run(tmp_path, *flags)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_a_source_without_rows_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("[]" if name == "a.json" else "chosen,rejected\n" if name == "a.csv" else "\n")
    with pytest.raises(InputError, match="the source has no rows"):
        run(tmp_path, "--source", "file", "--files", tmp_path / name)


def test_the_real_pairs_are_all_kept(tmp_path: Path, real_data: Path) -> None:
    paths = [real_data / "hh_rlhf" / name for name in ("harmless-base.test.jsonl.gz", "helpful-base.test.part.jsonl.gz")]
    table, rejects, counts, _ = run(tmp_path, "--source", "file", "--files", *paths)
    assert len(table) == 3753
    assert rejects.empty
    assert {name: counts[name] for name in ("rows", "pairs", "rejects", "unshared_prompts", "equal_texts", "duplicate_pairs")} == {
        "rows": 3753,
        "pairs": 3753,
        "rejects": 0,
        "unshared_prompts": 5,
        "equal_texts": 2,
        "duplicate_pairs": 0,
    }
    assert counts["pairs_by_source"] == {"harmless-base.test": 2312, "helpful-base.test.part": 1441}
    assert table["row_id"].tolist() == list(range(3753))
    assert table.groupby("opening_prompt")["part"].nunique().eq(1).all()
    rows = [json.loads(line) for path in paths for line in gzip.decompress(path.read_bytes()).splitlines()]
    for preference in ("chosen", "rejected"):
        texts = [row[preference] for row in rows]
        assert table[f"{preference}_text"].tolist() == texts
        split = [text.rsplit("\n\nAssistant:", 1) for text in texts]  # in these files no answer holds the marker itself
        assert table[f"{preference}_response"].tolist() == [response.strip() for _, response in split]
        assert [prompt.split() for prompt in table[f"{preference}_prompt"]] == [prompt.split() for prompt, _ in split]
