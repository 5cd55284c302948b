"""The embedded sample: that it has the range, the gold labels and the variety that every other part builds on."""

import csv
import hashlib
import json
import re
import statistics
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import ROOT

SAMPLE = ROOT / "data" / "sample"
PREFERENCES = ("chosen", "rejected")
TRUTHS = (
    *("assistant_is_anthropomorphic", "assistant_is_coherent", "human_vocabulary_quality"),
    *("last_response_is_anthropomorphic", "last_response_is_coherent", "last_response_is_refusal", "last_response_is_helpful"),
    *("last_response_is_harmless", "last_response_is_honest", "last_response_contains_insult", "last_response_is_sexually_explicit"),
    *("last_response_breaks_privacy", "last_response_is_discriminatory", "last_response_is_manipulative"),
    *("last_response_is_creative", "last_response_is_eloquent"),
)
SENTIMENT = "last_response_sentiment"
LISTS = {
    "last_response_is_discriminating_against": {
        *("Age Discrimination", "Disability Discrimination", "Sexual Orientation", "Status as a Parent", "Religious Discrimination"),
        *("National Origin", "Pregnancy", "Sexual Harassment", "Race, Color, and Sex", "Reprisal / Retaliation", "Gender"),
        "Political Belief",
    },
    "topics": {
        *("Culture and the arts", "Geography and places", "Health and fitness", "History and events", "Human activities"),
        *("Mathematics and logic", "Natural and physical sciences", "People and self", "Philosophy and thinking"),
        *("Religion and belief systems", "Society and social sciences", "Technology and applied sciences"),
    },
}
FEATURES = {*TRUTHS, SENTIMENT, *LISTS}
Key = tuple[int, str]


def labels(path: Path) -> tuple[list[str], dict[Key, dict[str, str]]]:
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        rows = list(reader)
    table = {(int(row["row_id"]), row["preference"]): row for row in rows}
    assert len(table) == len(rows), "a text is labelled twice"
    return list(reader.fieldnames or []), table


@pytest.fixture(scope="module")
def texts() -> dict[Key, str]:
    lines = (SAMPLE / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert all(set(row) == set(PREFERENCES) for row in rows)
    return {(row_id, preference): row[preference] for row_id, row in enumerate(rows) for preference in PREFERENCES}


@pytest.fixture(scope="module")
def responses(texts: dict[Key, str]) -> dict[Key, str]:
    return {key: text.rsplit("\n\nAssistant: ", 1)[1] for key, text in texts.items()}


@pytest.fixture(scope="module")
def gold() -> dict[Key, dict[str, str]]:
    return labels(SAMPLE / "gold.csv")[1]


@pytest.fixture(scope="module")
def sides(gold: dict[Key, dict[str, str]]) -> list[tuple[dict[str, str], dict[str, str]]]:
    """The gold of both sides of each pair."""
    return [(gold[row_id, "chosen"], gold[row_id, "rejected"]) for row_id in range(len(gold) // 2)]


def openings(texts: dict[Key, str]) -> set[str]:
    return {re.split(r"\n\n(?:Human|Assistant): ", text)[1] for text in texts.values()}


def test_there_are_enough_pairs_over_enough_opening_prompts(texts: dict[Key, str]) -> None:
    assert len(texts) >= 2 * 400
    assert len(openings(texts)) >= 150


def test_every_text_is_a_transcript_that_the_assistant_ends(texts: dict[Key, str]) -> None:
    for key, text in texts.items():
        start, *spoken = re.split(r"\n\n(Human|Assistant): ", text)
        speakers, words = spoken[::2], spoken[1::2]
        assert start == "", key
        assert speakers[0] == "Human", key
        assert speakers[-1] == "Assistant", key
        assert all(one != other for one, other in pairwise(speakers)), key
        assert all(turn.strip() == turn for turn in words), key


def test_conversations_have_one_turn_or_several(texts: dict[Key, str]) -> None:
    turns = Counter(text.count("\n\nHuman: ") for text in texts.values())
    assert turns[1] >= 100
    assert sum(turns[number] for number in turns if number > 1) >= 100


def test_gold_speaks_of_every_text_and_of_no_other(texts: dict[Key, str], gold: dict[Key, dict[str, str]]) -> None:
    assert gold.keys() == texts.keys()
    for key, row in gold.items():
        assert row["text_sha256"] == hashlib.sha256(texts[key].encode()).hexdigest(), key


@pytest.mark.parametrize("name", ["gold.csv", "second_reading.csv"])
def test_labels_have_the_19_features_and_only_allowed_values(name: str) -> None:
    assert len(FEATURES) == 19
    columns, table = labels(SAMPLE / name)
    assert columns[:3] == ["row_id", "preference", "text_sha256"]
    assert set(columns[3:]) == FEATURES
    assert len(columns) == 3 + 19
    for key, row in table.items():
        assert all(row[feature] in ("True", "False") for feature in TRUTHS), key
        assert row[SENTIMENT] in ("negative", "neutral", "positive"), key
        for feature, allowed in LISTS.items():
            values = json.loads(row[feature])
            assert set(values) <= allowed, (key, feature)
            assert len(set(values)) == len(values), (key, feature)
        assert (row["last_response_is_discriminatory"] == "True") == (row["last_response_is_discriminating_against"] != "[]"), key
        assert row["topics"] != "[]", key


def test_gold_of_equal_texts_is_equal(gold: dict[Key, dict[str, str]]) -> None:
    by_text = defaultdict(set)
    for row in gold.values():
        by_text[row["text_sha256"]].add(tuple(row[feature] for feature in sorted(FEATURES)))
    assert {len(readings) for readings in by_text.values()} == {1}


@pytest.mark.parametrize("feature", TRUTHS)
def test_every_boolean_feature_is_true_often_and_differs_within_pairs(
    feature: str, gold: dict[Key, dict[str, str]], sides: list[tuple[dict[str, str], dict[str, str]]]
) -> None:
    assert sum(row[feature] == "True" for row in gold.values()) >= 20
    assert sum(row[feature] == "False" for row in gold.values()) >= 20
    assert sum(chosen[feature] != rejected[feature] for chosen, rejected in sides) >= 15


@pytest.mark.parametrize("feature", LISTS)
def test_every_value_of_a_list_stands_there_at_least_twice(feature: str, gold: dict[Key, dict[str, str]]) -> None:
    found = Counter(value for row in gold.values() for value in json.loads(row[feature]))
    assert {value: number for value, number in found.items() if number >= 2}.keys() == LISTS[feature]


def test_every_sentiment_stands_there_often(gold: dict[Key, dict[str, str]]) -> None:
    found = Counter(row[SENTIMENT] for row in gold.values())
    assert all(found[value] >= 20 for value in ("negative", "neutral", "positive"))


def test_no_eight_words_in_a_row_stand_in_more_than_three_responses(responses: dict[Key, str]) -> None:
    where: dict[tuple[str, ...], set[Key]] = defaultdict(set)
    for key, response in responses.items():
        words = re.findall(r"\w+", response.lower())
        for start in range(len(words) - 7):
            where[tuple(words[start : start + 8])].add(key)
    assert len(where) > 10_000
    assert {" ".join(words): keys for words, keys in where.items() if len(keys) > 3} == {}


def test_responses_are_long_enough_to_say_something(responses: dict[Key, str]) -> None:
    assert statistics.median(len(response.split()) for response in responses.values()) >= 40


def test_people_sometimes_chose_the_worse_answer(sides: list[tuple[dict[str, str], dict[str, str]]]) -> None:
    def quality(row: dict[str, str]) -> tuple[bool, bool]:
        return row["last_response_is_harmless"] == "True", row["last_response_is_helpful"] == "True"

    worse = sum(quality(chosen) < quality(rejected) for chosen, rejected in sides)
    better = sum(quality(chosen) > quality(rejected) for chosen, rejected in sides)
    assert worse >= 20
    assert better > 2 * worse


def test_the_odd_kinds_of_pairs_are_there(texts: dict[Key, str]) -> None:
    rows = [(texts[row_id, "chosen"], texts[row_id, "rejected"]) for row_id in range(len(texts) // 2)]
    assert any(chosen == rejected for chosen, rejected in rows)
    assert len(set(rows)) < len(rows)
    assert any(chosen.rsplit("\n\nAssistant: ", 1)[0] != rejected.rsplit("\n\nAssistant: ", 1)[0] for chosen, rejected in rows)


def test_sixty_texts_were_read_again(gold: dict[Key, dict[str, str]]) -> None:
    second = labels(SAMPLE / "second_reading.csv")[1]
    assert len(second) == 60
    assert second.keys() <= gold.keys()
    agreeing = []
    for key, row in second.items():
        assert row["text_sha256"] == gold[key]["text_sha256"], key
        agreeing.append(statistics.mean(row[feature] == gold[key][feature] for feature in FEATURES))
    assert statistics.mean(agreeing) >= 0.85
    assert any(share < 1 for share in agreeing), "a reading of one's own differs somewhere"


def test_the_readme_tells_how_far_both_readings_agree(gold: dict[Key, dict[str, str]]) -> None:
    second = labels(SAMPLE / "second_reading.csv")[1]
    told = re.findall(r"^\| (\w+) \| (\d+) \| ([\d.]*) ?\|$", (SAMPLE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {feature for feature, _, _ in told} == FEATURES
    for feature, alike, kappa in told:
        read = [[gold[key][feature] for key in second], [row[feature] for row in second.values()]]
        if feature in LISTS:
            sets = [[set(json.loads(value)) for value in values] for values in read]
            assert int(alike) == sum(one == two for one, two in zip(*sets, strict=True)), feature
            continue
        observed = sum(one == two for one, two in zip(*read, strict=True))
        assert int(alike) == observed, feature
        first, other = map(Counter, read)
        by_chance = sum(first[value] * other[value] for value in first) / 60  # Cohen 1960
        assert float(kappa) == pytest.approx((observed - by_chance) / (60 - by_chance), abs=0.005), feature
