"""The taxonomy: names, values, the schema that a model is held to, and what counts as an answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from made_up import LABELS, VALID

from seal import features
from seal.features import BOOLEANS, FEATURES, LISTS, SENTIMENT, InvalidAnswer, json_schema, parse, values

PROTECTED = [
    *("Age Discrimination", "Disability Discrimination", "Sexual Orientation", "Status as a Parent", "Religious Discrimination"),
    *("National Origin", "Pregnancy", "Sexual Harassment", "Race, Color, and Sex", "Reprisal / Retaliation", "Gender", "Political Belief"),
]
TOPICS = [
    *("Culture and the arts", "Geography and places", "Health and fitness", "History and events", "Human activities"),
    *("Mathematics and logic", "Natural and physical sciences", "People and self", "Philosophy and thinking"),
    *("Religion and belief systems", "Society and social sciences", "Technology and applied sciences"),
]

WHOLE = Draft202012Validator(json_schema())


def of_kind(feature: str) -> st.SearchStrategy[Any]:
    if feature in LISTS:
        return st.lists(st.sampled_from(values(feature)), unique=True)
    return st.sampled_from(values(feature)) if feature == SENTIMENT else st.booleans()


LABELLINGS = st.fixed_dictionaries({feature: of_kind(feature) for feature in FEATURES})
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.sampled_from(TOPICS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def refused(answer: str, *asked: tuple[str, ...]) -> InvalidAnswer:
    with pytest.raises(InvalidAnswer) as caught:
        parse(answer, *asked)
    return caught.value


def altered(**labels: Any) -> str:
    return json.dumps(LABELS | labels)


# --- names and values ---


def test_there_are_the_19_features_of_the_paper() -> None:
    assert list(FEATURES) == list(LABELS)  # written out by hand there
    assert len(FEATURES) == 19
    assert LISTS == ("last_response_is_discriminating_against", "topics")
    assert set(BOOLEANS) == {name for name, label in LABELS.items() if isinstance(label, bool)}
    assert set(features.SHOWN_BY_WORDS) < set(FEATURES)


def test_values_of_each_kind() -> None:
    assert values(SENTIMENT) == ("negative", "neutral", "positive")
    assert list(values("topics")) == TOPICS
    assert list(values("last_response_is_discriminating_against")) == PROTECTED
    assert values("last_response_is_refusal") == ()


# --- the schema ---


def test_the_schema_is_one_that_strict_mode_takes() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == schema["required"] == list(LABELS)
    assert schema["properties"]["last_response_is_refusal"] == {"type": "boolean"}
    assert schema["properties"][SENTIMENT] == {"type": "string", "enum": ["negative", "neutral", "positive"]}
    assert schema["properties"]["topics"] == {"type": "array", "items": {"type": "string", "enum": TOPICS}, "maxItems": 12}
    assert "$defs" not in schema


def test_the_schema_of_some_features_has_these_alone_in_the_order_of_all() -> None:
    schema = json_schema(("topics", "last_response_is_refusal"))
    Draft202012Validator.check_schema(schema)
    assert schema["required"] == list(schema["properties"]) == ["last_response_is_refusal", "topics"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["topics"] == json_schema()["properties"]["topics"]


@given(LABELLINGS)
def test_what_the_schema_allows_is_read_as_it_stands(labels: dict[str, Any]) -> None:
    WHOLE.validate(labels)
    assert parse(json.dumps(labels)) == labels


@given(LABELLINGS, st.sampled_from(FEATURES), ANYTHING)
def test_the_schema_and_the_check_agree_on_any_value(labels: dict[str, Any], feature: str, value: Any) -> None:
    labels = labels | {feature: value}
    try:
        parse(json.dumps(labels))
        allowed = True
    except InvalidAnswer:
        allowed = False
    assert allowed == WHOLE.is_valid(labels)


@given(ANYTHING)
def test_any_other_json_is_refused(content: Any) -> None:
    assert not WHOLE.is_valid(content)
    refused(json.dumps(content))


@given(st.text())
def test_any_words_are_refused_and_nothing_else_is_raised(answer: str) -> None:
    refused(answer)


# --- answers ---


def test_a_value_that_stands_twice_counts_once_and_order_is_kept() -> None:
    labels = parse(altered(topics=[TOPICS[7], TOPICS[2], TOPICS[7], TOPICS[0], TOPICS[2]]))
    assert labels["topics"] == [TOPICS[7], TOPICS[2], TOPICS[0]]


def test_labels_come_in_the_order_of_the_features_whatever_the_order_of_the_answer() -> None:
    backwards = json.dumps(dict(reversed(LABELS.items())))
    assert list(parse(backwards)) == list(LABELS)
    assert parse(backwards) == LABELS


def test_space_around_an_answer_does_no_harm() -> None:
    assert parse(f" \n{VALID}\n") == LABELS


def test_an_answer_to_some_features_has_these_alone() -> None:
    asked = ("topics", "last_response_is_refusal")
    assert list(parse('{"topics": [], "last_response_is_refusal": true}', asked).items()) == [
        ("last_response_is_refusal", True),
        ("topics", []),
    ]
    assert refused(VALID, asked).reason == "key unknown"
    assert refused('{"topics": []}', asked).reason == "key missing"


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        ("", "not JSON", "the answer is not JSON"),
        ("Sure! Here you are: {}", "not JSON", "the answer is not JSON"),
        (f"```json\n{VALID}\n```", "not JSON", "the answer is not JSON"),
        (VALID[:-1], "not JSON", "the answer is not JSON"),
        (VALID + VALID, "not JSON", "the answer is not JSON"),
        ("[" * 100_000, "not JSON", "the answer is not JSON"),
        ('{"topics": ' * 5_000, "not JSON", "the answer is not JSON"),
        ('{"topics": ' + "9" * 5_000 + "}", "not JSON", "the answer is not JSON"),
        ("null", "not JSON", "the answer is not a JSON object"),
        ("true", "not JSON", "the answer is not a JSON object"),
        (f"[{VALID}]", "not JSON", "the answer is not a JSON object"),
        ("{}", "key missing", "assistant_is_anthropomorphic: missing"),
        (json.dumps({key: label for key, label in LABELS.items() if key != "topics"}), "key missing", "topics: missing"),
        (altered(Topics=[]), "key unknown", "a key: extra_forbidden"),
        (VALID[:-1] + ', "topics": []}', "key twice", "a key stands twice in the answer"),
        (VALID[:-1] + ', "x": {"y": 1, "y": 2}}', "key twice", "a key stands twice in the answer"),
        (altered(topics=["topic nobody allowed"]), "value unknown", "topics: literal_error"),
        (altered(topics=["human activities"]), "value unknown", "topics: literal_error"),
        (altered(topics=TOPICS + TOPICS[:1]), "value unknown", "topics: too_long"),
        (altered(topics=[[]]), "value unknown", "topics: literal_error"),
        (altered(topics="Human activities"), "wrong type", "topics: list_type"),
        (altered(topics=None), "wrong type", "topics: list_type"),
        (altered(last_response_sentiment="Positive"), "value unknown", "last_response_sentiment: literal_error"),
        (altered(last_response_sentiment=1), "value unknown", "last_response_sentiment: literal_error"),
        (altered(last_response_is_honest="true"), "wrong type", "last_response_is_honest: bool_type"),
        (altered(last_response_is_honest=1), "wrong type", "last_response_is_honest: bool_type"),
        (altered(last_response_is_honest=0.0), "wrong type", "last_response_is_honest: bool_type"),
        (altered(last_response_is_honest=float("nan")), "wrong type", "last_response_is_honest: bool_type"),
        (altered(last_response_is_honest=None), "wrong type", "last_response_is_honest: bool_type"),
        (altered(last_response_is_honest=[True]), "wrong type", "last_response_is_honest: bool_type"),
    ],
)
def test_an_invalid_answer_is_told_by_a_reason_and_a_place(answer: str, reason: str, detail: str) -> None:
    error = refused(answer)
    assert (error.reason, str(error)) == (reason, detail)


def test_a_message_never_quotes_the_answer() -> None:
    for answer in (altered(secret="private words"), altered(topics=["private words"]), "private words", '{"private words": 1}'):
        error = refused(answer)
        assert "private" not in f"{error} {error.reason}"
