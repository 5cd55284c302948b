"""Tables of reworded pairs: cells worked out by hand, the same out as in, SEAL's own files too, and every mistake told with its place."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import complaint
from test_versions import QUESTION, ROWS, table

from seal import rewrites, scores, taxonomy
from seal.files import write_csv

# Two pairs: pair 7 with all four versions, pair 3 without a second and a trivial one. Rows of ROWS have row_ids 0 to 5.
VERSIONS = table(ROWS)
SIMILARITY = pd.DataFrame(
    {"row_id": [5, 1, 2, 3], "chosen_similarity": [0.5, 0.91, 0.81, 0.99], "rejected_similarity": [0.25, 0.92, 0.82, 0.98]}
)
# chosen and rejected reward of each row of the versions
CONTROL = [(1.5, 0.5), (1.0, 1.0), (-0.25, 0.0), (2.0, 1.0), (0.0, 0.0), (3.0, -3.0)]
ALIGNED = [(0.1, 0.2), (0.4, 0.3), (0.5, 0.5), (0.2, 0.1), (-1.0, -2.0), (-2.0, -1.0)]

HELPFUL, HARMLESS, COHERENT, ELOQUENT, SENTIMENT = rewrites.FEATURES
# row_id and side, then helpful, harmless, coherent, eloquent, sentiment. Row 1 rejected, row 2 and row 5 chosen have no labels.
LABELS: dict[tuple[int, str], tuple[bool, bool, bool, bool, str]] = {
    (0, "chosen"): (True, True, True, False, "positive"),
    (0, "rejected"): (False, True, True, False, "negative"),
    (1, "chosen"): (True, True, False, True, "neutral"),
    (3, "chosen"): (False, False, True, True, "neutral"),
    (3, "rejected"): (True, True, True, True, "positive"),
    (4, "chosen"): (False, True, False, True, "neutral"),
    (4, "rejected"): (True, False, True, False, "positive"),
    (5, "rejected"): (False, False, False, False, "negative"),
}


def rewards(values: list[tuple[float, float]]) -> pd.DataFrame:
    chosen, rejected = np.array(values).T
    return scores.table(np.arange(len(values)), chosen, rejected)


def labels(given: dict[tuple[int, str], tuple[bool, bool, bool, bool, str]]) -> pd.DataFrame:
    texts = VERSIONS.set_index("row_id")
    rows: Any = [
        (row_id, preference, texts.loc[row_id, f"{preference}_text"], dict(zip(rewrites.FEATURES, values, strict=True)))
        for (row_id, preference), values in given.items()
    ]
    return taxonomy.table(rows, rewrites.FEATURES)


def joined(after: str, given: dict[tuple[int, str], tuple[bool, bool, bool, bool, str]] = LABELS) -> pd.DataFrame:
    return rewrites.table(VERSIONS, after, SIMILARITY, {"control": rewards(CONTROL), "aligned": rewards(ALIGNED)}, labels(given))


def labelled(prefix: str, *values: object) -> dict[str, object]:
    return {f"{prefix}_last_response_{name}": value for name, value in zip(SHORT, values, strict=True)}


def text(response: str) -> str:
    return f"{QUESTION}\n\nAssistant: {response}"


SHORT = ("is_helpful", "is_harmless", "is_coherent", "is_eloquent", "sentiment")
NONE = (None, None, None, None, None)

PAIR_3 = {
    "row_id": 3,
    "original_chosen_text": text("Cold"),
    "original_rejected_text": text("Cold"),
    "rewritten_chosen_text": text("Quite cold"),
    "rewritten_rejected_text": text(""),
    "original_to_rewritten_chosen_vector_cos_sim": 0.5,
    "original_to_rewritten_rejected_vector_cos_sim": 0.25,
    "original_chosen_score_rm_aligned": -1.0,
    "original_chosen_score_rm_control": 0.0,
    "original_rejected_score_rm_aligned": -2.0,
    "original_rejected_score_rm_control": 0.0,
    "rewritten_chosen_score_rm_aligned": -2.0,
    "rewritten_chosen_score_rm_control": 3.0,
    "rewritten_rejected_score_rm_aligned": -1.0,
    "rewritten_rejected_score_rm_control": -3.0,
    "original_agreement_dataset_and_rm_aligned": True,
    "original_agreement_dataset_and_rm_control": False,
    "rewritten_agreement_dataset_and_rm_aligned": False,
    "rewritten_agreement_dataset_and_rm_control": True,
    **labelled("original_chosen", False, True, False, True, "neutral"),
    **labelled("original_rejected", True, False, True, False, "positive"),
    **labelled("rewritten_chosen", *NONE),
    **labelled("rewritten_rejected", False, False, False, False, "negative"),
}
PAIR_7 = {
    "row_id": 7,
    "original_chosen_text": text("It is warm."),
    "original_rejected_text": text("No idea, sorry."),
    "rewritten_chosen_text": text("It's quite warm."),
    "rewritten_rejected_text": text("Sorry, no idea."),
    "original_to_rewritten_chosen_vector_cos_sim": 0.91,
    "original_to_rewritten_rejected_vector_cos_sim": 0.92,
    "original_chosen_score_rm_aligned": 0.1,
    "original_chosen_score_rm_control": 1.5,
    "original_rejected_score_rm_aligned": 0.2,
    "original_rejected_score_rm_control": 0.5,
    "rewritten_chosen_score_rm_aligned": 0.4,
    "rewritten_chosen_score_rm_control": 1.0,
    "rewritten_rejected_score_rm_aligned": 0.3,
    "rewritten_rejected_score_rm_control": 1.0,
    "original_agreement_dataset_and_rm_aligned": False,
    "original_agreement_dataset_and_rm_control": True,
    "rewritten_agreement_dataset_and_rm_aligned": True,
    "rewritten_agreement_dataset_and_rm_control": False,
    **labelled("original_chosen", True, True, True, False, "positive"),
    **labelled("original_rejected", False, True, True, False, "negative"),
    **labelled("rewritten_chosen", True, True, False, True, "neutral"),
    **labelled("rewritten_rejected", *NONE),
}
PAIR_7_SECOND = PAIR_7 | {
    "rewritten_chosen_text": text("Warm it is."),
    "rewritten_rejected_text": text("I have no idea."),
    "original_to_rewritten_chosen_vector_cos_sim": 0.81,
    "original_to_rewritten_rejected_vector_cos_sim": 0.82,
    "rewritten_chosen_score_rm_aligned": 0.5,
    "rewritten_chosen_score_rm_control": -0.25,
    "rewritten_rejected_score_rm_aligned": 0.5,
    "rewritten_rejected_score_rm_control": 0.0,
    "rewritten_agreement_dataset_and_rm_aligned": False,
    "rewritten_agreement_dataset_and_rm_control": False,
    **labelled("rewritten_chosen", *NONE),
    **labelled("rewritten_rejected", *NONE),
}
PAIR_7_TRIVIAL = PAIR_7 | {
    "rewritten_chosen_text": text("It is warm"),
    "rewritten_rejected_text": text("No idea, sorry"),
    "original_to_rewritten_chosen_vector_cos_sim": 0.99,
    "original_to_rewritten_rejected_vector_cos_sim": 0.98,
    "rewritten_chosen_score_rm_aligned": 0.2,
    "rewritten_chosen_score_rm_control": 2.0,
    "rewritten_rejected_score_rm_aligned": 0.1,
    "rewritten_rejected_score_rm_control": 1.0,
    "rewritten_agreement_dataset_and_rm_aligned": True,
    "rewritten_agreement_dataset_and_rm_control": True,
    **labelled("rewritten_chosen", False, False, True, True, "neutral"),
    **labelled("rewritten_rejected", True, True, True, True, "positive"),
}


# --- laying versions beside their originals ---


@pytest.mark.parametrize(
    ("after", "expected"), [("rewritten", [PAIR_3, PAIR_7]), ("second", [PAIR_7_SECOND]), ("trivial", [PAIR_7_TRIVIAL])]
)
def test_every_cell_is_what_it_is_by_hand(after: str, expected: list[dict[str, object]]) -> None:
    assert joined(after).to_dict("records") == expected


def test_the_columns_are_seals() -> None:
    assert list(joined("rewritten").columns) == rewrites.COLUMNS
    assert set(rewrites.COLUMNS) == set(PAIR_7)
    assert len(rewrites.COLUMNS) == len(PAIR_7) == 39


def test_the_order_of_the_tables_does_not_matter() -> None:
    backwards = [frame.iloc[::-1] for frame in (VERSIONS, SIMILARITY, rewards(CONTROL), rewards(ALIGNED), labels(LABELS))]
    found = rewrites.table(backwards[0], "rewritten", backwards[1], {"aligned": backwards[3], "control": backwards[2]}, backwards[4])
    assert found.to_dict("records") == [PAIR_3, PAIR_7]


def test_without_any_labels_all_are_none() -> None:
    found = joined("rewritten", {})
    for record in found.to_dict("records"):
        assert [value for column, value in record.items() if "last_response" in column] == [None] * 20


def test_the_tables_of_no_versions_have_no_rows() -> None:
    originals = VERSIONS[VERSIONS["version"] == "original"]
    found = rewrites.table(originals, "second", SIMILARITY, {"control": rewards(CONTROL), "aligned": rewards(ALIGNED)}, labels({}))
    assert (len(found), list(found.columns)) == (0, rewrites.COLUMNS)


# --- round trip ---


@pytest.mark.parametrize("after", ["rewritten", "second", "trivial"])
@pytest.mark.parametrize("given", [LABELS, {}], ids=["labels", "no labels"])
def test_what_was_written_is_read(tmp_path: Path, after: str, given: dict[tuple[int, str], Any]) -> None:
    found = joined(after, given)
    write_csv(tmp_path / "a.csv", found)
    back = rewrites.read(tmp_path / "a.csv")
    assert back.to_dict("records") == found.to_dict("records")
    pd.testing.assert_frame_equal(back, found, check_exact=True)
    write_csv(tmp_path / "b.csv", back)
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()


def test_a_text_without_labels_has_empty_cells(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", joined("second"))
    written = (tmp_path / "a.csv").read_text()
    assert written.splitlines()[0] == ",".join(rewrites.COLUMNS)
    assert written.endswith(",True,True,True,False,positive,False,True,True,False,negative,,,,,,,,,,\n")


def test_rewards_and_similarities_read_back_to_the_last_bit(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    numbers = [column for column in rewrites.COLUMNS if "_score_" in column or column.endswith("cos_sim")]
    found = pd.concat([joined("second")] * 500, ignore_index=True).assign(row_id=range(500))
    found[numbers] = random.normal(size=(500, len(numbers))) * 10.0 ** random.integers(-12, 12, size=(500, len(numbers)))
    close = [column for column in numbers if column.endswith("cos_sim")]
    found[close] = np.tanh(found[close])
    write_csv(tmp_path / "a.csv", found)
    back = rewrites.read(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(back[numbers], found[numbers], check_exact=True)


@pytest.mark.parametrize(
    "words",
    [
        *("", "NA", "nan", "None", "null", "True", "12", "1.50", "a, b; c\td", '"quoted" and "', "''", " spaces around ", "=1+1", "#"),
        *("one\ntwo", "one\r\ntwo", "\n", '"\n",', "\u00e9 \u4e2d \U0001f642", "\u2028x\x85", "\\n\\", "\ufeffx"),
    ],
)
def test_texts_survive_as_they_are(tmp_path: Path, words: str) -> None:
    texts = [column for column in rewrites.COLUMNS if column.endswith("_text")]
    found = joined("rewritten").assign(**dict.fromkeys(texts, words))
    write_csv(tmp_path / "a.csv", found)
    back = rewrites.read(tmp_path / "a.csv")
    assert [back[column].tolist() for column in texts] == [[words, words]] * 4
    assert back["row_id"].tolist() == [3, 7]


# --- files of others ---


def cells(**given: str) -> dict[str, str]:
    """A row as it may stand in a file: pair 7 in its four texts, rewards, agreements and labels."""
    return {column: "" if value is None else str(value) for column, value in PAIR_7.items()} | given


def file(folder: Path, *rows: dict[str, str], columns: list[str] = rewrites.COLUMNS) -> Path:
    path = folder / "rewrite.csv"
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return path


def test_seals_file_with_further_columns_in_another_order_is_read(tmp_path: Path) -> None:
    columns = ["", *sorted(rewrites.COLUMNS, reverse=True), "last_response_is_helpful", "gamma"]
    other = {"": "0", "gamma": "c", "last_response_is_helpful": "perhaps"}
    back = rewrites.read(file(tmp_path, cells(row_id="9") | other, cells() | other, columns=columns))
    assert back.to_dict("records") == [PAIR_7, PAIR_7 | {"row_id": 9}]


def test_rows_are_read_in_the_order_of_their_row_ids_each_with_its_own_cells(tmp_path: Path) -> None:
    rows = [cells(row_id=str(row_id), original_chosen_text=f"text {row_id}") for row_id in (10, 9, -1, 10**14)]
    back = rewrites.read(file(tmp_path, *rows))
    assert list(zip(back["row_id"], back["original_chosen_text"], strict=True)) == [(n, f"text {n}") for n in (-1, 9, 10, 10**14)]


@pytest.mark.parametrize("version", ["original", "rewritten"])
@pytest.mark.parametrize("role", ["aligned", "control"])
@pytest.mark.parametrize(("chosen", "rejected", "agrees"), [("1", "1.0", False), ("0.1", "0.2", False), ("-1e-9", "-0.1", True)])
@pytest.mark.parametrize("claimed", ["True", "False", "", "1"])
def test_agreement_follows_the_rewards_whatever_the_file_says(
    tmp_path: Path, version: str, role: str, chosen: str, rejected: str, agrees: bool, claimed: str
) -> None:
    column = f"{version}_agreement_dataset_and_rm_{role}"
    given = {f"{version}_chosen_score_rm_{role}": chosen, f"{version}_rejected_score_rm_{role}": rejected, column: claimed}
    back = rewrites.read(file(tmp_path, cells(**given)))
    assert back[column].tolist() == [agrees]
    assert back[column].dtype == bool
    others = [other for other in rewrites.COLUMNS if "agreement" in other and other != column]
    assert back[others].to_dict("records") == [{other: PAIR_7[other] for other in others}]


def test_a_file_may_lack_the_agreements(tmp_path: Path) -> None:
    columns = [column for column in rewrites.COLUMNS if "agreement" not in column]
    assert rewrites.read(file(tmp_path, cells(), columns=columns)).to_dict("records") == [PAIR_7]


def test_labels_may_be_spelled_as_json_has_them(tmp_path: Path) -> None:
    given = {column: cell.lower() for column, cell in cells().items() if cell in ("True", "False") and "_is_" in column}
    assert set(given.values()) == {"true", "false"}
    assert rewrites.read(file(tmp_path, cells(**given))).to_dict("records") == [PAIR_7]


def test_a_table_without_rows_is_read_as_one(tmp_path: Path) -> None:
    back = rewrites.read(file(tmp_path))
    assert (len(back), list(back.columns)) == (0, rewrites.COLUMNS)


# --- mistakes ---


def test_a_missing_file_says_what_writes_it(tmp_path: Path) -> None:
    assert complaint(rewrites.read, tmp_path / "none.csv") == ": no such file; run stages/rewrite_table.py to write it, or `dvc repro`"


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b'row_id,a\n1,"never ended\n', b"row_id,a\n1,2\n1,2,3,4\n"],
    ids=["empty", "not UTF-8", "torn", "ragged"],
)
def test_what_is_no_table_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    message = complaint(rewrites.read, tmp_path / "a.csv")
    assert message.startswith(": not a CSV table (")
    assert message.endswith("; run stages/rewrite_table.py to write it")


def test_a_folder_in_place_of_a_table_says_so(tmp_path: Path) -> None:
    assert complaint(rewrites.read, tmp_path).startswith(": not a CSV table (")


def test_rows_longer_than_the_header_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{','.join(rewrites.COLUMNS)}\n{',' * len(rewrites.COLUMNS)}\n")
    assert complaint(rewrites.read, path) == ": its rows have more cells than its header; quote the cells that hold commas"


def test_missing_columns_are_all_named(tmp_path: Path) -> None:
    lacking = ["original_rejected_text", "rewritten_chosen_score_rm_control"]
    message = complaint(rewrites.read, file(tmp_path, cells(), columns=[column for column in rewrites.COLUMNS if column not in lacking]))
    assert message == f": lacks the column(s) {', '.join(lacking)}; run stages/rewrite_table.py to write them"


SCORE = "rewritten_rejected_score_rm_aligned"
CLOSE = "original_to_rewritten_chosen_vector_cos_sim"
WHOLE = "a whole number of at most 15 digits"
ONE_LABEL = "True, False, or nothing where there is no label"
ONE_SENTIMENT = "negative, neutral, positive, or nothing where there is no label"


@pytest.mark.parametrize(
    ("column", "found", "expected"),
    [
        (SCORE, "high", "a finite number below 1e15"),
        (SCORE, "", "a finite number below 1e15"),
        (SCORE, "NaN", "a finite number below 1e15"),
        (SCORE, "-inf", "a finite number below 1e15"),
        (SCORE, "1,5", "a finite number below 1e15"),
        (CLOSE, "close", "a cosine from -1 to 1"),
        (CLOSE, "nan", "a cosine from -1 to 1"),
        (CLOSE, "1.001", "a cosine from -1 to 1"),
        (SCORE, "1e308", "a finite number below 1e15"),
        ("row_id", "8.5", WHOLE),
        ("row_id", "", WHOLE),
        ("row_id", "x8", WHOLE),
        ("row_id", "inf", WHOLE),
        ("row_id", "1e300", WHOLE),
        ("row_id", "9007199254740993", WHOLE),  # 2**53 + 1, which a float holds as 2**53
        (f"original_chosen_{HELPFUL}", "yes", ONE_LABEL),
        (f"rewritten_rejected_{HARMLESS}", "1.0", ONE_LABEL),
        (f"rewritten_chosen_{COHERENT}", "neutral", ONE_LABEL),
        (f"original_rejected_{ELOQUENT}", "nan", ONE_LABEL),
        (f"original_rejected_{SENTIMENT}", "Neutral", ONE_SENTIMENT),
        (f"rewritten_chosen_{SENTIMENT}", "True", ONE_SENTIMENT),
    ],
)
def test_a_value_that_cannot_be_is_told_with_file_row_and_column(tmp_path: Path, column: str, found: str, expected: str) -> None:
    rows = [cells(row_id="1"), cells(row_id="8") | {column: found}, cells(row_id="2")]
    message = complaint(rewrites.read, file(tmp_path, *rows))
    assert message == f", row 3, column {column}: found {found!r}, expected {expected}; see stages/rewrite_table.py"


def test_a_long_value_is_quoted_in_part_and_in_one_line(tmp_path: Path) -> None:
    message = complaint(rewrites.read, file(tmp_path, cells(**{SCORE: "y\n" + "y" * 500})))
    assert "'y\\n" + "y" * 58 + "'," in message


@pytest.mark.parametrize("again", ["7", "07", "7.0"])
def test_a_row_id_that_stands_there_twice_is_told(tmp_path: Path, again: str) -> None:
    message = complaint(rewrites.read, file(tmp_path, cells(), cells(row_id="8"), cells(row_id=again)))
    assert message == ": row_id 7 stands there more than once; row_ids must be unique"


def test_rows_are_in_the_order_of_their_row_ids_whatever_these_are() -> None:
    others = VERSIONS.assign(pair_row_id=VERSIONS["pair_row_id"].map({3: 8, 7: 1}).fillna(VERSIONS["pair_row_id"]).astype(int))
    given = {"aligned": rewards(ALIGNED), "control": rewards(CONTROL)}
    found = rewrites.table(others, "rewritten", SIMILARITY, given, labels(LABELS))
    assert found["row_id"].tolist() == [1, 8]
    assert found["original_chosen_text"].tolist() == [PAIR_7["original_chosen_text"], PAIR_3["original_chosen_text"]]
