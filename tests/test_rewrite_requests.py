"""What is asked of a rewriter: every turn once and in order, as many to a request as have room, and none that gets out of its place."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from test_attacks import ATTACKS, TAGS

from seal.errors import InputError
from seal.language_models.batch_files import Request, as_line
from seal.rewrite_requests import Options, as_data, read_prompt, requests_for, turns_of
from seal.transcripts import Turn, parse

OPTIONS = Options("made-up", "json_schema", 0.1, 60)
SYSTEM = "Say it in other words."  # 22 characters
ANY_ROOM = 10**6
PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure


def asked(
    turns: list[Turn], answer_tokens: int = ANY_ROOM, context_tokens: int = ANY_ROOM, system: str = SYSTEM, options: Options = OPTIONS
) -> list[Request]:
    return list(requests_for("7.chosen.rewritten", turns, system, options, 3, answer_tokens, context_tokens))


def talk(*contents: str) -> list[Turn]:
    return [Turn(("Human", "Assistant")[number % 2], content) for number, content in enumerate(contents)]


def spans(requests: list[Request]) -> list[list[str]]:
    return [[turn["text"] for turn in json.loads(each.body["messages"][-1]["content"]).values()] for each in requests]


def characters(*texts: str) -> int:
    """How many characters turns of a talk take as data, by hand: {"turn_1": {"role": "Human", "text": "..."}, ...}."""
    roles = [("Human", "Assistant")[number % 2] for number in range(len(texts))]
    each = [len('"turn_1": {"role": "", "text": ""}') + len(role) + len(text) for role, text in zip(roles, texts, strict=True)]
    return len("{}") + sum(each) + len(", ") * (len(texts) - 1)


# --- a request ---


def test_a_talk_that_has_room_is_one_request() -> None:
    [request] = asked(talk("How are you?", "Fine."))
    assert request.custom_id == "7.chosen.rewritten.1"
    schema = {
        "type": "object",
        "properties": {"turn_1": {"type": "string"}, "turn_2": {"type": "string"}},
        "required": ["turn_1", "turn_2"],
        "additionalProperties": False,
    }
    assert request.body == {
        "model": "made-up",
        "messages": [
            {"role": "system", "content": SYSTEM},
            {
                "role": "user",
                "content": '{"turn_1": {"role": "Human", "text": "How are you?"}, "turn_2": {"role": "Assistant", "text": "Fine."}}',
            },
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "rewrite", "strict": True, "schema": schema}},
        "temperature": 0.1,
        "max_tokens": 60,
        "seed": 3,
    }


def test_a_model_without_schemas_is_asked_for_json() -> None:
    [request] = asked(talk("How are you?", "Fine."), options=OPTIONS._replace(response_format="json_object"))
    assert request.body["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("turns", [1, 2, 9, 10, 23])
def test_the_schema_asks_for_the_keys_of_the_turns_in_their_order(turns: int) -> None:
    [request] = asked(talk(*map(str, range(turns))))
    shown = json.loads(request.body["messages"][1]["content"])
    schema = request.body["response_format"]["json_schema"]["schema"]
    assert list(shown) == list(schema["properties"]) == schema["required"] == [f"turn_{number}" for number in range(1, turns + 1)]
    validator = Draft202012Validator(schema)
    answer: dict[str, Any] = dict.fromkeys(shown, "other words")
    assert validator.is_valid(answer)
    assert not validator.is_valid(answer | {"turn_0": "more"})
    assert not validator.is_valid(answer | {"turn_1": {"role": "Human", "text": "other words"}})
    assert not validator.is_valid({key: value for key, value in answer.items() if key != f"turn_{turns}"})


def test_all_roles_are_told_and_found_again() -> None:
    turns = parse("\n\nSystem: Be brief.\n\nHuman: Hi.\n\nHuman: Hello?\n\nAssistant: ")
    [request] = asked(turns)
    assert turns_of(request.body) == turns


def test_the_same_text_has_the_same_bytes() -> None:
    lines = [[as_line(each) for each in asked(parse("\n\nHuman: Hi.\n\nAssistant: Hé 🎈."), 9, 9)] for _ in range(2)]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 2


# --- what has no room ---


def test_turns_that_an_answer_has_just_room_for_go_together() -> None:
    contents = ("How are you today?", "Fine.", "And the weather?", "Fine,")
    room = characters(*contents) // 3
    assert 3 * room == characters(*contents)
    assert spans(asked(talk(*contents), answer_tokens=room)) == [list(contents)]
    assert spans(asked(talk(*contents), answer_tokens=room - 1)) == [list(contents[:3]), [contents[3]]]


def test_turns_that_the_context_has_just_room_for_go_together() -> None:
    contents = ("How are you today?", "Fine.")
    room = (len(SYSTEM) + 2 * characters(*contents)) // 3  # for the answer, too, which is taken to be as long
    assert 3 * room == len(SYSTEM) + 2 * characters(*contents)
    assert spans(asked(talk(*contents), context_tokens=room)) == [list(contents)]
    assert spans(asked(talk(*contents), context_tokens=room - 1)) == [[contents[0]], [contents[1]]]
    assert len(asked(talk(*contents), context_tokens=room, system=SYSTEM + ".")) == 2  # instructions take room, too


def test_a_turn_that_is_too_long_for_any_request_goes_alone() -> None:
    contents = ["Hi.", "word " * 500, "Thanks.", "You're welcome."]
    assert spans(asked(talk(*contents), answer_tokens=60)) == [["Hi."], ["word " * 500], ["Thanks.", "You're welcome."]]
    assert spans(asked(talk(*contents), answer_tokens=1)) == [[each] for each in contents]
    assert spans(asked(talk(*contents), context_tokens=1)) == [[each] for each in contents]


def test_a_request_is_named_after_its_first_turn() -> None:
    requests = asked(talk("Hi.", "word " * 500, "Thanks.", "You're welcome."), answer_tokens=60)
    assert [each.custom_id for each in requests] == ["7.chosen.rewritten.1", "7.chosen.rewritten.2", "7.chosen.rewritten.3"]
    assert [list(json.loads(each.body["messages"][1]["content"])) for each in requests] == [["turn_1"], ["turn_1"], ["turn_1", "turn_2"]]


@PROPERTY
@given(
    st.lists(st.tuples(st.sampled_from(["Human", "Assistant"]), st.text(max_size=60)), min_size=1, max_size=9),
    st.integers(1, 200),
    st.integers(1, 400),
)
def test_every_turn_is_asked_for_once_and_in_order(contents: list[tuple[str, str]], answer_tokens: int, context_tokens: int) -> None:
    turns = [Turn(*each) for each in contents]
    requests = asked(turns, answer_tokens, context_tokens)
    assert [turn for each in requests for turn in turns_of(each.body)] == turns
    assert len({each.custom_id for each in requests}) == len(requests)
    for each in requests:
        size = len(each.body["messages"][1]["content"])
        alone = len(turns_of(each.body)) == 1
        assert alone or (size <= 3 * answer_tokens and len(SYSTEM) + 2 * size <= 3 * context_tokens)


def test_room_without_end_keeps_the_longest_talk_whole() -> None:
    turns = talk(*("word " * 200 for _ in range(60)))
    [request] = asked(turns, sys.maxsize, sys.maxsize)
    assert turns_of(request.body) == turns


# --- no text gets out of its place ---


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_stays_one_string_of_one_turn(text: str) -> None:
    turns = [Turn("Human", text), Turn("Assistant", text), Turn("Human", "Hi.")]
    [request] = asked(turns)
    assert [message["role"] for message in request.body["messages"]] == ["system", "user"]
    assert request.body["messages"][0]["content"] == SYSTEM
    content = request.body["messages"][1]["content"]
    assert json.loads(content, object_pairs_hook=list) == [
        (f"turn_{number}", [("role", turn.role), ("text", turn.content)]) for number, turn in enumerate(turns, start=1)
    ]
    assert not [tag for tag in TAGS if tag in content]
    assert turns_of(json.loads(json.dumps(request.body))) == turns


@PROPERTY
@given(st.lists(st.text(st.sampled_from('<>[]{}"\\|/\n\r\0\u2028 ain'), max_size=30), min_size=1, max_size=3))
def test_no_text_forms_what_tags_are_made_of_nor_ends_its_string(texts: list[str]) -> None:
    content = as_data(talk(*texts))
    assert not set("<[]\n\r\0") & set(content)
    assert [turn["text"] for turn in json.loads(content).values()] == texts


# --- the wording of the task ---


def test_the_wording_is_read_without_the_space_around_it(tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text("\nSay it anew.\n\nÉ\n\n", encoding="utf-8")
    assert read_prompt(path) == "Say it anew.\n\nÉ"


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file; give the wording"), (b" \n", "empty; give the wording"), (b"\xff", "not a UTF-8 text; save it as one")],
)
def test_a_wording_that_is_none_is_told(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "prompt.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"prompt\.txt: {message}"):
        read_prompt(path)


def test_the_wording_that_comes_with_it_names_the_form_of_request_and_answer() -> None:
    prompt = read_prompt(ROOT / "prompts" / "rewrite.txt")
    for word in ('"turn_1"', '"role"', '"text"', "Human", "Assistant", "JSON"):
        assert word in prompt
