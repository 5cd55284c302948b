"""Tables of labels on disk: the same out as in, SEAL's own files too, and every mistake told with its place."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from seal import taxonomy
from seal.errors import InputError
from seal.features import BOOLEANS, FEATURES, LISTS, SENTIMENT

TWO = ["last_response_is_refusal", "topics"]
HEADER = "row_id,preference,text,last_response_is_refusal,topics\n"
GOOD = "1,chosen,a text,True,[]\n"


def every_feature(**given: Any) -> dict[str, Any]:
    row: dict[str, Any] = {feature: False if feature in BOOLEANS else [] if feature in LISTS else "neutral" for feature in FEATURES}
    return row | given


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- round trip ---

TEXTS = [
    "\n\nHuman: hi\n\nAssistant: ho",
    ' "quoted", with commas ',
    "line\r\nend",
    "",
    "nan",
    "NA",
    "True",
    "é 中 🙂",
    "\u2028x\x85",
    "=1+1",
    "'",
]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    labels = every_feature(topics=["Society and social sciences", "People and self"], last_response_is_refusal=True)
    labels |= {SENTIMENT: "negative", "last_response_is_discriminating_against": ["Race, Color, and Sex"]}
    table = taxonomy.table([(number, "chosen", text, labels if number % 2 else every_feature()) for number, text in enumerate(TEXTS)])
    taxonomy.write(tmp_path / "labels.csv", table)
    back = taxonomy.read(tmp_path / "labels.csv")
    pd.testing.assert_frame_equal(back, table)
    assert back["topics"][1] == ["Society and social sciences", "People and self"]
    assert back["last_response_is_refusal"].dtype == bool
    again = tmp_path / "again.csv"
    taxonomy.write(again, back)
    assert again.read_bytes() == (tmp_path / "labels.csv").read_bytes()


@pytest.mark.parametrize("block", [40, 200])
def test_a_text_longer_than_is_read_at_once_is_read_all_the_same(tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table = taxonomy.table([(number, "chosen", 9 * text, every_feature()) for number, text in enumerate(TEXTS)])
    taxonomy.write(tmp_path / "labels.csv", table)
    monkeypatch.setattr(taxonomy, "_BLOCK", block)
    pd.testing.assert_frame_equal(taxonomy.read(tmp_path / "labels.csv"), table)


def test_the_same_cells_are_read_from_regular_and_from_irregular_files(tmp_path: Path) -> None:
    rows = [f'{number},chosen,"{text}",{"True" if number % 2 else " false"},[]' for number, text in enumerate(TEXTS) if '"' not in text]
    regular = taxonomy.read(written(tmp_path, HEADER + "\n".join(rows)), TWO)
    irregular = taxonomy.read(
        written(tmp_path, HEADER.replace("row_id", "again,again,row_id") + "\n".join(f"x,y,{row}" for row in rows)), TWO
    )
    assert len(regular) == len(TEXTS) - 1
    pd.testing.assert_frame_equal(regular, irregular)


def test_the_first_of_several_mistakes_in_a_column_is_told(tmp_path: Path) -> None:
    rows = ["1,chosen,a,True,[]", "2,chosen,a,yes,[]", "3,chosen,a,no,[]", "4,chosen,a,yes,[]"]
    with pytest.raises(InputError, match=r"row 3, column last_response_is_refusal: found 'yes'"):
        taxonomy.read(written(tmp_path, HEADER + "\n".join(rows)), TWO)


def test_the_first_label_of_another_text_or_pair_is_told(tmp_path: Path) -> None:
    pairs = pd.DataFrame({"row_id": [5, 3], "chosen_text": ["a", "b"], "rejected_text": ["c", "d"]})
    fine = ["3,rejected,d,True,[]", "5,chosen,a,True,[]", "3,chosen,b,True,[]"]
    assert taxonomy.read_of_pairs(written(tmp_path, HEADER + "\n".join(fine)), pairs)["row_id"].tolist() == [3, 5, 3]
    wrong = {
        "5,rejected,d,True,[]": "row_id 5, rejected: the labelled text is not that of the pair",
        "4,chosen,a,True,[]": "row_id 4 is not in",
    }
    for (row, complaint), (other, _) in zip(wrong.items(), reversed(wrong.items()), strict=True):
        with pytest.raises(InputError, match=complaint):
            taxonomy.read_of_pairs(written(tmp_path, HEADER + "\n".join([*fine, row, other])), pairs)


def test_the_file_has_seals_columns_booleans_and_json_lists(tmp_path: Path) -> None:
    labels = every_feature(topics=["Health and fitness"], last_response_is_discriminating_against=["Race, Color, and Sex"])
    taxonomy.write(tmp_path / "labels.csv", taxonomy.table([(4, "rejected", "x", labels)]))
    header, row = (tmp_path / "labels.csv").read_text().splitlines()
    assert header == ",".join(["row_id", "preference", "text", *FEATURES])
    assert row.startswith("4,rejected,x,False,False,")
    assert ',"[""Race, Color, and Sex""]",' in row
    assert row.endswith(',"[""Health and fitness""]"')


def test_a_table_is_in_the_order_of_the_pairs_chosen_first() -> None:
    keys = [(10, "rejected"), (2, "rejected"), (10, "chosen"), (2, "chosen")]
    table = taxonomy.table([(row_id, preference, "x", every_feature()) for row_id, preference in keys])
    assert list(zip(table["row_id"], table["preference"], strict=True)) == [
        *((2, "chosen"), (2, "rejected")),
        *((10, "chosen"), (10, "rejected")),
    ]


def test_a_table_of_some_features_has_these_alone(tmp_path: Path) -> None:
    table = taxonomy.table([(1, "chosen", "x", {"topics": [], "last_response_is_refusal": True})], TWO)
    taxonomy.write(tmp_path / "labels.csv", table)
    pd.testing.assert_frame_equal(taxonomy.read(tmp_path / "labels.csv", TWO), table)
    with pytest.raises(InputError, match="lacks the column"):
        taxonomy.read(tmp_path / "labels.csv")


def test_an_empty_table_is_read_as_one(tmp_path: Path) -> None:
    taxonomy.write(tmp_path / "labels.csv", taxonomy.table([]))
    table = taxonomy.read(tmp_path / "labels.csv")
    assert (len(table), list(table.columns)) == (0, ["row_id", "preference", "text", *FEATURES])


# --- files of others ---


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("['History and events', 'People and self']", ["History and events", "People and self"]),
        ('["History and events"]', ["History and events"]),
        ("['History and events', 'History and events']", ["History and events"]),
        ("[]", []),
        (" [] ", []),
    ],
)
def test_lists_are_read_as_json_and_as_python_writes_them(tmp_path: Path, cell: str, expected: list[str]) -> None:
    quoted = cell.replace('"', '""')
    path = written(tmp_path, f'{HEADER}1,chosen,x,True,"{quoted}"\n')
    assert taxonomy.read(path, TWO)["topics"].tolist() == [expected]


def test_python_lists_with_a_comma_inside_a_value(tmp_path: Path) -> None:
    feature = "last_response_is_discriminating_against"
    path = written(tmp_path, f"row_id,preference,text,{feature}\n1,chosen,x,\"['Race, Color, and Sex', 'Gender']\"\n")
    assert taxonomy.read(path, [feature])[feature].tolist() == [["Race, Color, and Sex", "Gender"]]


def test_further_columns_and_another_order_of_columns_do_no_harm(tmp_path: Path) -> None:
    path = written(tmp_path, ",topics,model,text,last_response_is_refusal,preference,row_id\n0,[],m,x,true,rejected,7\n")
    table = taxonomy.read(path, TWO)
    assert table.to_dict("records") == [
        {"row_id": 7, "preference": "rejected", "text": "x", "last_response_is_refusal": True, "topics": []}
    ]


def test_gold_has_hashes_in_the_place_of_texts(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER.replace("text", "text_sha256") + f"1,chosen,{'0a' * 32},False,[]\n")
    assert taxonomy.read(path, TWO, text=False)["text_sha256"].tolist() == ["0a" * 32]
    with pytest.raises(InputError, match=r"lacks the column\(s\) text;"):
        taxonomy.read(path, TWO)


# --- mistakes ---


@pytest.mark.parametrize(
    ("row", "column", "found", "expected"),
    [
        ("x,chosen,t,True,[]", "row_id", "'x'", "a whole number"),
        ("1.0,chosen,t,True,[]", "row_id", "'1.0'", "a whole number"),
        (",chosen,t,True,[]", "row_id", "''", "a whole number"),
        ("1,better,t,True,[]", "preference", "'better'", "chosen or rejected"),
        ("1,chosen,t,yes,[]", "last_response_is_refusal", "'yes'", "True or False"),
        ("1,chosen,t,,[]", "last_response_is_refusal", "''", "True or False"),
        ("1,chosen,t,1,[]", "last_response_is_refusal", "'1'", "True or False"),
        ("1,chosen,t,True,History and events", "topics", "'History and events'", "a list out of Culture and the arts, "),
        ("1,chosen,t,True,['history']", "topics", "\"['history']\"", "a list out of Culture and the arts, "),
        ("1,chosen,t,True,[1]", "topics", "'[1]'", "a list out of Culture and the arts, "),
        ("1,chosen,t,True,{}", "topics", "'{}'", "a list out of Culture and the arts, "),
        ("1,chosen,t,True", "topics", "''", "a list out of Culture and the arts, "),
    ],
)
def test_a_value_that_cannot_be_is_told_with_file_row_and_column(tmp_path: Path, row: str, column: str, found: str, expected: str) -> None:
    path = written(tmp_path, f"{HEADER}0,chosen,t,True,[]\n{row}\n")
    with pytest.raises(InputError) as error:
        taxonomy.read(path, TWO)
    assert str(error.value).startswith(f"{path}: row 3, column {column}: found {found}, expected {expected}")


def test_an_unknown_sentiment_and_a_short_hash_are_told_too(tmp_path: Path) -> None:
    path = written(tmp_path, f"row_id,preference,text,{SENTIMENT}\n1,chosen,t,Neutral\n")
    with pytest.raises(InputError, match=rf"row 2, column {SENTIMENT}: found 'Neutral', expected one of negative, neutral, positive"):
        taxonomy.read(path, [SENTIMENT])
    path = written(tmp_path, HEADER.replace("text", "text_sha256") + "1,chosen,abc,True,[]\n")
    with pytest.raises(InputError, match=r"row 2, column text_sha256: found 'abc', expected 64 hexadecimal digits"):
        taxonomy.read(path, TWO, text=False)


def test_a_long_value_is_quoted_in_part(tmp_path: Path) -> None:
    path = written(tmp_path, f"{HEADER}1,chosen,t,{'y' * 500},[]\n")
    with pytest.raises(InputError) as error:
        taxonomy.read(path, TWO)
    assert "y" * 60 in str(error.value)
    assert "y" * 61 not in str(error.value)


def test_a_text_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, f"{HEADER}{GOOD}1,rejected,other,True,[]\n01,chosen,third,False,[]\n")
    with pytest.raises(InputError, match=r"labels\.csv: row_id 1, chosen, stands there more than once"):
        taxonomy.read(path, TWO)


def test_a_missing_file_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"labels\.csv: no such file; run the stage that writes it"):
        taxonomy.read(tmp_path / "labels.csv")


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "row_id,text,topics\n1,x,[]\n")
    with pytest.raises(InputError, match=r"lacks the column\(s\) preference, last_response_is_refusal; a table of labels has row_id, "):
        taxonomy.read(path, TWO)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        HEADER.encode().replace(b"_is_", b"_\xff_"),
        f'{HEADER}1,chosen,"never ended,True,[]\n'.encode(),
        f"{HEADER}{GOOD}1,2,3,4,5,6\n".encode(),
    ],
)
def test_what_is_no_csv_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"labels\.csv: not a CSV table \("):
        taxonomy.read(written(tmp_path, content), TWO)


def test_a_table_of_some_features_says_which(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("row_id,preference,text,topics,last_response_is_refusal\n0,chosen,Hi,[],True\n")
    assert taxonomy.features_of(path) == ("last_response_is_refusal", "topics")
    read = taxonomy.read(path, taxonomy.features_of(path))
    assert read.iloc[0].to_dict() == {"row_id": 0, "preference": "chosen", "text": "Hi", "last_response_is_refusal": True, "topics": []}


def test_a_table_without_features_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("row_id,preference,text\n0,chosen,Hi\n")
    with pytest.raises(InputError, match=r"labels\.csv: has no column of a feature"):
        taxonomy.features_of(path)


def test_rows_longer_than_the_header_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("row_id,preference,text,last_response_is_refusal\n0,chosen,Hi, all,True\n")
    with pytest.raises(InputError, match="more cells than its header"):
        taxonomy.read(path, ["last_response_is_refusal"])
