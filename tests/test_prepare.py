"""From rows to pairs: every form of a row, every reason to set one aside, the split, and the counts."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seal import pairs
from seal.errors import InputError
from seal.prepare import Prepared, counts, part_of, prepare, raise_if_too_many, selection
from seal.sources import Row

CHOSEN = "\n\nHuman: Is it far?\n\nAssistant: No.\n\nHuman: How far?\n\nAssistant: A mile."
REJECTED = "\n\nHuman: Is it far?\n\nAssistant: No.\n\nHuman: How far?\n\nAssistant: Ask elsewhere."
PROMPT = "\n\nHuman: Is it far?\n\nAssistant: No.\n\nHuman: How far?"
TURNS = [
    {"role": "user", "content": "Is it far?"},
    {"role": "assistant", "content": "No."},
    {"role": "user", "content": "How far?"},
]


def says(words: str) -> dict[str, str]:
    return {"role": "assistant", "content": words}


def rows_of(*values: dict[str, Any], source: str = "file") -> list[tuple[int, Row]]:
    return [(row_id, Row(source, f"{source}.jsonl", row_id + 1, value)) for row_id, value in enumerate(values)]


def prepared(*values: dict[str, Any]) -> Prepared:
    return prepare(rows_of(*values), held_out=0.2, validation=0.1, seed=1)


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": CHOSEN, "rejected": REJECTED},
        {"chosen": CHOSEN, "rejected": REJECTED, "prompt": None, "score": 3},
        {"chosen": [*TURNS, says("A mile.")], "rejected": [*TURNS, says("Ask elsewhere.")]},
        {"prompt": PROMPT, "chosen": "A mile.", "rejected": " Ask elsewhere.\n"},
        {"prompt": f"{PROMPT}\n\nAssistant:", "chosen": " A mile.", "rejected": " Ask elsewhere."},
        {"prompt": TURNS, "chosen": "A mile.", "rejected": "Ask elsewhere."},
        {"prompt": TURNS, "chosen": [says("A mile.")], "rejected": [says("Ask elsewhere.")]},
        {"prompt": TURNS, "chosen": [*TURNS, says("A mile.")], "rejected": [*TURNS, says("Ask elsewhere.")]},
        {"prompt": "Is it far?", "chosen": [*TURNS, says("A mile.")], "rejected": [*TURNS, says("Ask elsewhere.")]},
        {"prompt": PROMPT, "chosen": CHOSEN, "rejected": REJECTED},
        {"prompt": f"{PROMPT}\n\nAssistant:", "chosen": CHOSEN, "rejected": REJECTED},
    ],
    ids=[
        *("transcripts", "prompt column empty", "messages", "prompt and answers", "prompt with the marker of the answer"),
        *("prompt of messages and answers", "all of messages", "prompt of messages repeated", "opening prompt repeated"),
        *("prompt repeated in transcripts", "prompt with marker repeated in transcripts"),
    ],
)
def test_a_pair_is_the_same_in_whatever_form_it_comes(row: dict[str, Any]) -> None:
    table, rejects, counted = prepared(row)
    assert rejects.empty
    assert counted["rows"] == counted["pairs"] == 1
    assert table.to_dict("records") == [
        {
            "row_id": 0,
            "source": "file",
            "part": part_of("Is it far?", 0.2, 0.1, 1),
            "opening_prompt": "Is it far?",
            "chosen_text": CHOSEN,
            "chosen_prompt": PROMPT,
            "chosen_response": "A mile.",
            "chosen_turns": 4,
            "rejected_text": REJECTED,
            "rejected_prompt": PROMPT,
            "rejected_response": "Ask elsewhere.",
            "rejected_turns": 4,
        }
    ]


def test_a_prompt_without_markers_is_one_human_turn() -> None:
    table = prepared({"prompt": "Why? Human: or not?", "chosen": "So.", "rejected": ""}).pairs
    assert table["chosen_text"][0] == "\n\nHuman: Why? Human: or not?\n\nAssistant: So."
    assert table["rejected_response"][0] == ""


def test_a_system_turn_before_a_repeated_prompt_stays_first() -> None:
    system = {"role": "system", "content": "Be brief."}
    table = prepared(
        {"prompt": "Why?", "chosen": [system, {"role": "user", "content": "Why?"}, says("So.")], "rejected": [says("No.")]}
    ).pairs
    assert table["chosen_text"][0] == "\n\nSystem: Be brief.\n\nHuman: Why?\n\nAssistant: So."
    assert table["rejected_text"][0] == "\n\nHuman: Why?\n\nAssistant: No."
    assert table["opening_prompt"][0] == "Why?"


def test_an_answer_that_only_sounds_like_a_transcript_stays_an_answer() -> None:
    echo, other = "Human: Why?", "Human: What?\n\nAssistant: That."
    table = prepared({"prompt": "Why?", "chosen": echo, "rejected": other}).pairs
    assert table["chosen_text"][0] == f"\n\nHuman: Why?\n\nAssistant: {echo}"
    assert table["rejected_text"][0] == "\n\nHuman: Why?\n\nAssistant: Human: What?\nAssistant: That."
    assert table["rejected_response"][0] == "Human: What?\nAssistant: That."
    assert table["rejected_turns"][0] == 2


def test_odd_transcripts_are_kept() -> None:
    odd = {
        "chosen": "\r\n\r\nHuman:\r\n\r\nAssistant: Hm\0?\r\n\r\nAssistant: Go on:\r\nHuman: said he",
        "rejected": "System: Be kind.\n\nHuman: a\n\nHuman: b\n\nAssistant:",
    }
    table, rejects, counted = prepared(odd)
    assert rejects.empty
    row = table.iloc[0]
    assert row["chosen_text"] == "\n\nHuman:\n\nAssistant: Hm?\n\nAssistant: Go on:\nHuman: said he"
    assert row["chosen_prompt"] == "\n\nHuman: \n\nAssistant: Hm?"
    assert row["chosen_response"] == "Go on:\nHuman: said he"
    assert row["rejected_prompt"] == "\n\nSystem: Be kind.\n\nHuman: a\n\nHuman: b"
    assert row["rejected_response"] == ""
    assert row["rejected_turns"] == 4
    assert row["opening_prompt"] == "a"  # the chosen side's is empty
    assert counted["altered_texts"] == 1
    assert counted["empty_responses"] == 1


def test_each_side_keeps_its_own_prompt() -> None:
    table, _, counted = prepared({"chosen": "Human: a\n\nAssistant: b", "rejected": "Human: x\n\nAssistant: y"})
    assert (table["chosen_prompt"][0], table["rejected_prompt"][0]) == ("\n\nHuman: a", "\n\nHuman: x")
    assert table["opening_prompt"][0] == "a"
    assert counted["unshared_prompts"] == 1


def test_odd_pairs_are_kept_and_counted() -> None:
    def pair(prompt: str, chosen: str, rejected: str, rejected_prompt: str = "") -> dict[str, str]:
        return {
            "chosen": f"\n\nHuman: {prompt}\n\nAssistant: {chosen}",
            "rejected": f"\n\nHuman: {rejected_prompt or prompt}\n\nAssistant: {rejected}",
        }

    odd = [
        pair("a", "b", "c"),
        pair("a", "b", "c"),  # a duplicate
        pair("a", "b", "c"),  # and another one
        pair("a", "c", "b"),  # turned round: no duplicate
        pair("a", "b", "b"),  # equal
        pair("d", "e", "e"),  # equal
        pair("d", "e", "f", rejected_prompt="D"),  # unshared
        pair("g", "", "h"),  # empty
        {"chosen": None, "rejected": CHOSEN},
        {"chosen": CHOSEN, "rejected": "no transcript"},
        {"chosen": CHOSEN},
    ]
    result = prepared(*odd)
    parts = result.counts.pop("pairs_by_part")
    assert sum(parts.values()) == 8
    assert list(parts) == ["train", "validation", "held-out"]
    assert result.counts == {
        "rows": 11,
        "pairs": 8,
        "rejects": 3,
        "rejects_by_column": {"chosen": 1, "rejected": 2},
        "opening_prompts": 3,
        "equal_texts": 2,
        "duplicate_pairs": 2,
        "unshared_prompts": 1,
        "empty_responses": 1,
        "pairs_by_source": {"file": 8},
        "altered_texts": 0,
    }
    assert result.pairs["row_id"].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert result.rejects["row_id"].tolist() == [8, 9, 10]


def test_pairs_are_counted_by_source() -> None:
    good = {"chosen": CHOSEN, "rejected": REJECTED}
    rows = [*rows_of(good, good, source="b"), (2, Row("a", "a.csv", 1, good)), (3, Row("a", "a.csv", 2, {}))]
    assert list(prepare(rows, 0, 0, 1).counts["pairs_by_source"].items()) == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("row", "column", "found"),
    [
        ({}, "chosen", "no such column, only an empty object"),
        ({"text": "a", "rejected": CHOSEN}, "chosen", "no such column, only 'text', 'rejected'"),
        ({"chosen": CHOSEN}, "rejected", "no such column, only 'chosen'"),
        ({"chosen": None, "rejected": CHOSEN}, "chosen", "no text (null)"),
        ({"chosen": CHOSEN, "rejected": math.nan}, "rejected", "no text (NaN)"),
        ({"chosen": CHOSEN, "rejected": 7}, "rejected", "int, where a list of messages should stand"),
        ({"chosen": {"role": "assistant", "content": "a"}, "rejected": CHOSEN}, "chosen", "dict, where a list"),
        ({"chosen": "", "rejected": CHOSEN}, "chosen", "text starting with ''"),
        ({"chosen": CHOSEN, "rejected": "Sure, here you go\nand go"}, "rejected", r"text starting with 'Sure, here you go\nand go'"),
        ({"chosen": "\n\nHuman: a", "rejected": CHOSEN}, "chosen", "last turn by Human, where the Assistant's should stand"),
        ({"chosen": CHOSEN, "rejected": "System: a"}, "rejected", "last turn by System"),
        ({"chosen": CHOSEN, "rejected": f"{CHOSEN} \ud83d"}, "rejected", "half a surrogate pair at character 73"),
        ({"chosen": [], "rejected": CHOSEN}, "chosen", "an empty list, where messages should stand"),
        ({"chosen": CHOSEN, "rejected": TURNS}, "rejected", "last turn by Human"),
        ({"chosen": [{"role": "narrator", "content": "a"}], "rejected": CHOSEN}, "chosen", "message 0 with role 'narrator'"),
        ({"chosen": CHOSEN, "rejected": [*TURNS, {"role": "assistant"}]}, "rejected", 'message 3 without a text under "content"'),
        ({"chosen": [*TURNS, {"role": "system", "content": "a"}, says("b")], "rejected": CHOSEN}, "chosen", "message 3 with role 'system'"),
        ({"prompt": 5, "chosen": "a", "rejected": "b"}, "prompt", "int, where a list of messages should stand"),
        ({"prompt": "\udc00", "chosen": "a", "rejected": "b"}, "prompt", "half a surrogate pair at character 0"),
        ({"prompt": TURNS, "chosen": [*TURNS[:1]], "rejected": "b"}, "chosen", "last turn by Human"),
        ({"prompt": "a", "chosen": "b", "rejected": None}, "rejected", "no text (null)"),
        (
            {"prompt": TURNS, "chosen": [{"role": "system", "content": "a"}, says("b")], "rejected": "b"},
            "chosen",
            "message 0 with role 'system', where the answer to the prompt should stand",
        ),
    ],
)
def test_a_row_that_is_no_pair_is_set_aside_with_its_reason(row: dict[str, Any], column: str, found: str) -> None:
    good = {"chosen": CHOSEN, "rejected": REJECTED}
    table, rejects, counted = prepared(good, row, good)
    assert table["row_id"].tolist() == [0, 2]
    (reject,) = rejects.to_dict("records")
    assert reject["found"].startswith(found)
    assert "\n" not in reject["found"]
    assert {name: reject[name] for name in ("row_id", "file", "row", "column")} == {
        "row_id": 1,
        "file": "file.jsonl",
        "row": 2,
        "column": column,
    }
    assert reject["expected"]
    assert counted["rejects_by_column"] == {column: 1}


def test_a_row_that_could_not_be_read_is_set_aside_with_its_problem() -> None:
    _, rejects, counted = prepare([(4, Row("a", "a.jsonl", 9, {}, "not JSON (it ends)"))], 0.2, 0.1, 1)
    assert rejects.values.tolist() == [[4, "a.jsonl", 9, "row", "not JSON (it ends)", "an object with chosen and rejected"]]
    assert (counted["rows"], counted["pairs"], counted["rejects"]) == (1, 0, 1)


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.floats(),
        st.text(st.characters(exclude_categories=()), max_size=5),
        st.sampled_from([CHOSEN, REJECTED, PROMPT, "\r\n\r\nHuman: a\0\r\n\r\nAssistant: b", TURNS, [*TURNS, says("a")], [says("a")]]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content"]), inner),
    max_leaves=4,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.dictionaries(st.sampled_from(["prompt", "chosen", "rejected"]), VALUES), max_size=6))
def test_whatever_a_row_holds_it_becomes_a_pair_or_a_reject(values: list[dict[str, Any]]) -> None:
    table, rejects, counted = prepared(*values)
    assert sorted([*table["row_id"], *rejects["row_id"]]) == list(range(len(values)))
    assert (counted["rows"], counted["pairs"], counted["rejects"]) == (len(values), len(table), len(rejects))
    for text in table[["chosen_text", "rejected_text"]].to_numpy().ravel():
        assert not set("\0\r") & set(text.encode().decode())
    json.dumps(counted)
    rejects.to_csv().encode()


def test_no_pairs_at_all_still_make_a_table(tmp_path: Path) -> None:
    pairs.write(tmp_path / "a.parquet", prepared({}).pairs)
    assert pairs.read(tmp_path / "a.parquet").empty


# The split is part of every published number: these parts come from `printf '1\nprompt 1' | sha256sum` and the like, whose first
# digits, as a fraction, are the position between 0 and 1: 06717a… is 0x06717a / 0x1000000 = 0.03, below 0.2, so held out.
@pytest.mark.parametrize(
    ("number", "part"), [(1, "train"), (2, "train"), (3, "held-out"), (6, "held-out"), (7, "validation"), (11, "held-out")]
)
def test_the_part_of_an_opening_prompt_never_changes(number: int, part: str) -> None:
    assert part_of(f"prompt {number}", held_out=0.2, validation=0.1, seed=1) == part


def test_parts_have_about_their_shares_and_another_seed_splits_otherwise() -> None:
    prompts = [f"prompt {number}" for number in range(5000)]
    one, two = ([part_of(prompt, 0.2, 0.1, seed) for prompt in prompts] for seed in (1, 2))
    for parts in (one, two):  # four standard deviations of a share of 0.2 of 5,000 are 0.023
        assert parts.count("held-out") / 5000 == pytest.approx(0.2, abs=0.023)
        assert parts.count("validation") / 5000 == pytest.approx(0.1, abs=0.017)
    both = sum(a == b == "held-out" for a, b in zip(one, two, strict=True))
    assert both / 5000 == pytest.approx(0.04, abs=0.011)


@pytest.mark.parametrize(("held_out", "validation", "part"), [(1, 0, "held-out"), (0, 1, "validation"), (0, 0, "train")])
def test_shares_of_nothing_and_of_all_are_meant_so(held_out: float, validation: float, part: str) -> None:
    assert {part_of(f"prompt {number}", held_out, validation, 1) for number in range(200)} == {part}


def test_the_part_depends_on_the_opening_prompt_alone() -> None:
    values = [
        {"prompt": [{"role": "user", "content": f"opening {number % 40}"}, says("go on"), {"role": "user", "content": str(number)}]}
        | {"chosen": f"a{number}", "rejected": f"b{number}"}
        for number in range(200)
    ]
    rows = rows_of(*values)
    found = set(map(tuple, prepared(*values).pairs[["opening_prompt", "part"]].to_numpy()))
    part = dict(found)
    assert len(part) == len(found) == 40
    assert set(part.values()) == {"train", "validation", "held-out"}
    shuffled = random.Random(5).sample(rows, 120)
    for chosen_rows in (rows, rows[:7], shuffled):
        table = prepare(chosen_rows, 0.2, 0.1, 1).pairs
        assert table["part"].tolist() == table["opening_prompt"].map(part).tolist()
        assert table["row_id"].tolist() == [row_id for row_id, _ in chosen_rows]
        assert table["chosen_response"].tolist() == [f"a{row_id}" for row_id, _ in chosen_rows]


def test_a_sample_is_seeded_sorted_and_without_replacement() -> None:
    drawn = selection(1000, 100, seed=1).tolist()
    assert drawn == selection(1000, 100, seed=1).tolist()
    assert drawn == sorted(set(drawn))
    assert len(drawn) == 100
    assert 0 <= drawn[0] < drawn[-1] < 1000
    assert drawn != list(range(100))
    assert drawn != selection(1000, 100, seed=2).tolist()


@pytest.mark.parametrize("sample", [0, 5, 6])
def test_a_sample_of_nothing_or_too_much_is_all(sample: int) -> None:
    assert selection(5, sample, seed=1).tolist() == [0, 1, 2, 3, 4]


def rejects_table(number: int) -> pd.DataFrame:
    return prepared(*[{"chosen": "x", "rejected": CHOSEN}] * number).rejects


@pytest.mark.parametrize(
    ("rejects", "rows", "allowed"),
    [(0, 10, 0.0), (1, 10, 0.1), (3, 30, 0.1), (10, 10, 1.0), (29, 100, 0.29), (57, 100, 0.57), (0, 0, 0.0)],
)
def test_as_many_rejects_as_allowed_pass(rejects: int, rows: int, allowed: float) -> None:
    raise_if_too_many(rejects_table(rejects), rows, allowed)


@pytest.mark.parametrize(("rejects", "rows", "allowed"), [(1, 1_000_000, 0.0), (2, 10, 0.1), (30, 100, 0.29), (10, 10, 0.99)])
def test_one_more_stops_and_the_first_is_told(rejects: int, rows: int, allowed: float) -> None:
    with pytest.raises(InputError) as told:
        raise_if_too_many(rejects_table(rejects), rows, allowed)
    message = str(told.value)
    assert message.startswith("file.jsonl, row 1, column chosen: text starting with 'x'")
    assert "; expected an HH transcript" in message
    assert f"{rejects} of {rows} rows" in message
    assert "\n" not in message


def test_counts_are_of_the_tables_given() -> None:
    result = prepared({"chosen": CHOSEN, "rejected": REJECTED}, {"chosen": CHOSEN, "rejected": CHOSEN}, {})
    counted = counts(result.pairs[1:], result.rejects[:0])
    assert (counted["rows"], counted["pairs"], counted["equal_texts"]) == (1, 1, 1)


def test_a_prompt_that_had_to_be_altered_is_counted() -> None:
    found = prepared({"prompt": "Is it\r\nfar?", "chosen": "No.", "rejected": "Ask elsewhere."})
    assert found.counts["altered_texts"] == 1
