"""Gold labels: which are kept for scoring, and that they are never laid on texts that they were not set for."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from seal import gold, taxonomy
from seal.errors import InputError
from seal.features import BOOLEANS, FEATURES, LISTS

Key = tuple[int, str]


def labels(texts: dict[Key, str]) -> pd.DataFrame:
    """A table of labels of these texts."""
    row = {feature: False if feature in BOOLEANS else [] if feature in LISTS else "neutral" for feature in FEATURES}
    return taxonomy.table((row_id, preference, text, row) for (row_id, preference), text in texts.items())


def write_gold(path: Path, texts: dict[Key, str]) -> Path:
    table = labels(texts)
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in table["text"]]
    taxonomy.write(path, table.drop(columns="text").assign(text_sha256=hashes))
    return path


TEXTS = {
    (0, "chosen"): "\n\nHuman: a\n\nAssistant: b",
    (0, "rejected"): "\n\nHuman: a\n\nAssistant: é",
    (3, "chosen"): "c",
    (3, "rejected"): "d",
}


def test_about_half_of_the_opening_prompts_are_reserved_by_their_hash_alone() -> None:
    prompts = [f"opening {number}" for number in range(2000)]
    expected = [hashlib.sha256(f"gold\n{prompt}".encode()).digest()[0] < 128 for prompt in prompts]
    assert [gold.reserved(prompt) for prompt in prompts] == expected
    assert 900 < sum(expected) < 1100


def test_gold_is_read_with_hashes_in_the_place_of_texts(tmp_path: Path) -> None:
    table = gold.read(write_gold(tmp_path / "gold.csv", TEXTS))
    assert list(table.columns) == ["row_id", "preference", "text_sha256", *FEATURES]
    assert table["text_sha256"].iloc[2] == hashlib.sha256(b"c").hexdigest()


def test_a_table_without_hashes_is_no_gold(tmp_path: Path) -> None:
    taxonomy.write(tmp_path / "labels.csv", labels(TEXTS))
    with pytest.raises(InputError, match=r"labels\.csv: lacks the column\(s\) text_sha256"):
        gold.read(tmp_path / "labels.csv")


def test_gold_and_labels_meet_where_both_know_the_text(tmp_path: Path) -> None:
    path = write_gold(tmp_path / "gold.csv", TEXTS | {(8, "chosen"): "beyond the limit"})
    known = {key: TEXTS[key] for key in ((3, "rejected"), (0, "rejected"))} | {(5, "chosen"): "without gold"}
    said, truth = gold.join(labels(known), gold.read(path), path)
    assert list(zip(said["row_id"], said["preference"], strict=True)) == [(0, "rejected"), (3, "rejected")]
    assert said[["row_id", "preference"]].equals(truth[["row_id", "preference"]])
    assert said["text"].tolist() == [TEXTS[0, "rejected"], "d"]


def test_gold_in_another_order_is_laid_on_its_own_texts(tmp_path: Path) -> None:
    path = write_gold(tmp_path / "gold.csv", TEXTS)
    truth = gold.read(path).iloc[::-1]
    said, joined = gold.join(labels(TEXTS), truth, path)
    assert joined["text_sha256"].tolist() == [hashlib.sha256(text.encode()).hexdigest() for text in said["text"]]
    assert len(said) == 4


@pytest.mark.parametrize("changed", ["c ", "C", ""])
def test_a_text_that_differs_is_an_error_that_names_it_and_says_what_to_do(tmp_path: Path, changed: str) -> None:
    path = write_gold(tmp_path / "gold.csv", TEXTS)
    with pytest.raises(InputError) as error:
        gold.join(labels(TEXTS | {(3, "chosen"): changed}), gold.read(path), path)
    message = str(error.value)
    assert message.startswith(f"{path}: row_id 3, chosen: the labelled text is not the one that gold was set for")
    assert message.endswith("set gold to none, or to gold of these texts")


def test_both_sides_of_a_pair_are_kept_apart(tmp_path: Path) -> None:
    path = write_gold(tmp_path / "gold.csv", {(3, "rejected"): "c", (3, "chosen"): "d"})
    with pytest.raises(InputError, match="row_id 3, chosen"):
        gold.join(labels(TEXTS), gold.read(path), path)


@pytest.mark.parametrize("texts", [{}, {(9, "chosen"): "another"}])
def test_gold_of_no_labelled_text_leaves_nothing_and_is_no_error(tmp_path: Path, texts: dict[Key, str]) -> None:
    path = write_gold(tmp_path / "gold.csv", texts)
    said, truth = gold.join(labels(TEXTS), gold.read(path), path)
    assert (len(said), len(truth)) == (0, 0)
    said, truth = gold.join(labels({}), gold.read(path), path)
    assert (len(said), len(truth)) == (0, 0)
