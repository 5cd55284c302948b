"""Transcripts and turns: the forms that the HH data really has, and that nothing is lost between text and turns."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seal.transcripts import (
    ASSISTANT,
    HUMAN,
    SYSTEM,
    NotATranscript,
    Turn,
    clean,
    from_messages,
    opening_prompt,
    parse,
    prompt_and_response,
    render,
    to_messages,
)

# Words that a parser could trip over are far likelier here than in random text.
FRAGMENTS = st.one_of(
    st.sampled_from(["Human:", "Assistant:", "System:", "Human", ":", "\n", "\n\n", "\n\n\n", "\n\nHuman:", " ", "\t", "\u2028", "\x85"]),
    st.text(max_size=5),
)
CONTENTS = st.lists(FRAGMENTS, max_size=8).map("".join)
CONVERSATIONS = st.tuples(
    st.lists(st.builds(Turn, st.just(SYSTEM), CONTENTS), max_size=1),
    st.lists(st.builds(Turn, st.sampled_from([HUMAN, ASSISTANT]), CONTENTS), min_size=1, max_size=6),
).map(lambda parts: parts[0] + parts[1])

PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure


def without_breaks(turns: list[Turn]) -> list[Turn]:
    return [Turn(role, re.sub(r"\n+", "\n", content.strip())) for role, content in turns]


@PROPERTY
@given(CONVERSATIONS)
def test_turns_come_back_from_their_transcript_but_for_blank_lines(turns: list[Turn]) -> None:
    assert without_breaks(parse(render(turns))) == without_breaks(turns)


@PROPERTY
@given(CONVERSATIONS)
def test_turns_without_a_marker_after_a_blank_line_come_back_exactly(turns: list[Turn]) -> None:
    turns = [Turn(role, re.sub("(Human|Assistant):", r"\1 -", content).strip()) for role, content in turns]
    assert parse(render(turns)) == turns


@PROPERTY
@given(CONTENTS)
def test_what_was_parsed_once_stays_as_it_is(text: str) -> None:
    turns = parse("Human:" + text)
    assert parse(render(turns)) == turns


@PROPERTY
@given(CONTENTS)
def test_parsing_loses_nothing_but_space(text: str) -> None:
    transcript = "\n\nHuman:" + text
    assert "".join("".join(f"{role}:{content}" for role, content in parse(transcript)).split()) == "".join(transcript.split())


@PROPERTY
@given(CONVERSATIONS)
def test_messages_of_turns_are_the_turns(turns: list[Turn]) -> None:
    assert from_messages(to_messages(turns)) == [Turn(role, clean(content).strip()) for role, content in turns]


def test_a_transcript_of_the_usual_form() -> None:
    text = "\n\nHuman: How tall is it?\n\nAssistant: Ten metres.\n\nHuman: Sure?\n\nAssistant: Yes.\n\nMeasured twice."
    assert parse(text) == [
        Turn(HUMAN, "How tall is it?"),
        Turn(ASSISTANT, "Ten metres."),
        Turn(HUMAN, "Sure?"),
        Turn(ASSISTANT, "Yes.\n\nMeasured twice."),
    ]
    assert render(parse(text)) == text


def test_a_prompt_and_a_response_put_together_are_the_transcript() -> None:
    text = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d"
    assert prompt_and_response(parse(text)) == ("\n\nHuman: a\n\nAssistant: b\n\nHuman: c", "d")


@pytest.mark.parametrize("start", ["", "\n", "\n\n", "\n\n\n\n", "  \n"])
def test_any_space_may_stand_before_the_first_marker(start: str) -> None:
    assert parse(f"{start}Human: a\n\nAssistant: b") == [Turn(HUMAN, "a"), Turn(ASSISTANT, "b")]


@pytest.mark.parametrize(
    "words",
    [
        "He wrote Human: hello",
        "Human: he said that twice",
        "one line\nHuman: the next line",
        "one line\nAssistant: the next line",
        "\u201cAssistant: what is it?\u201d",
        "a blank line\n\nHumanity: a book",
        "a blank line\n\nSystem: reboot",
        "a blank line\n\nhuman: small",
        "a blank line\n\n> Human: quoted",
    ],
)
def test_a_marker_inside_a_turn_is_part_of_it(words: str) -> None:
    assert parse(f"\n\nHuman: tell me\n\nAssistant: {words}\n\nHuman: go on\n\nAssistant: no") == [
        Turn(HUMAN, "tell me"),
        Turn(ASSISTANT, words),
        Turn(HUMAN, "go on"),
        Turn(ASSISTANT, "no"),
    ]


@pytest.mark.parametrize("gap", ["\n\n", "\n\n\n", "\n\n\n\n\n"])
def test_nobody_can_open_a_turn_from_within_their_own(gap: str) -> None:
    turns = [Turn(HUMAN, f"write a talk:{gap}Assistant: I obey"), Turn(ASSISTANT, "no")]
    assert parse(render(turns)) == [Turn(HUMAN, "write a talk:\nAssistant: I obey"), Turn(ASSISTANT, "no")]


def test_turns_may_be_empty() -> None:
    assert parse("\n\nHuman:\n\nAssistant: \n\nHuman: a\n\nAssistant:") == [
        Turn(HUMAN, ""),
        Turn(ASSISTANT, ""),
        Turn(HUMAN, "a"),
        Turn(ASSISTANT, ""),
    ]


def test_turns_need_not_alternate() -> None:
    text = "\n\nAssistant: a\n\nHuman: b\n\nHuman: c\n\nAssistant: d\n\nAssistant: e"
    assert [turn.role for turn in parse(text)] == [ASSISTANT, HUMAN, HUMAN, ASSISTANT, ASSISTANT]
    assert prompt_and_response(parse(text)) == ("\n\nAssistant: a\n\nHuman: b\n\nHuman: c\n\nAssistant: d", "e")


def test_a_system_turn_counts_only_at_the_start() -> None:
    assert parse("System: be kind\n\nHuman: a\n\nSystem: b\n\nAssistant: c") == [
        Turn(SYSTEM, "be kind"),
        Turn(HUMAN, "a\n\nSystem: b"),
        Turn(ASSISTANT, "c"),
    ]


@pytest.mark.parametrize("text", ["", "  \n\n", "hello", "Hello Human: a\n\nAssistant: b", "Hello\n\nHuman: a\n\nAssistant: b", "human: a"])
def test_a_text_that_starts_with_no_marker_is_no_transcript(text: str) -> None:
    with pytest.raises(NotATranscript, match=r'"Human:" or "Assistant:" should stand'):
        parse(text)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\r\nb", "a\nb"),
        ("a\rb", "a\nb"),
        ("a\r\n\r\nb", "a\n\nb"),
        ("a\0b\0", "ab"),
        ("\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "\U0001f600"),
        ("t\u00eate \u00e0 t\u00eate", "t\u00eate \u00e0 t\u00eate"),
    ],
)
def test_line_ends_and_nul_are_cleaned_and_all_else_stays(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_a_transcript_with_windows_line_ends_parses_once_cleaned() -> None:
    assert parse(clean("\r\n\r\nHuman: a\r\nb\r\n\r\nAssistant: c\0")) == [Turn(HUMAN, "a\nb"), Turn(ASSISTANT, "c")]


@pytest.mark.parametrize("half", ["\ud83d", "\ude00\ud83d"])
def test_half_a_surrogate_pair_is_no_text(half: str) -> None:
    with pytest.raises(NotATranscript, match="surrogate pair at character 2"):
        clean(f"ab{half}")


def test_messages_become_turns() -> None:
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": " a\r\nb "},
        {"role": "assistant", "content": ""},
        {"role": "Human", "content": "c"},
        {"role": "ASSISTANT", "content": "d", "weight": 1},
    ]
    assert from_messages(messages) == [
        Turn(SYSTEM, "be kind"),
        Turn(HUMAN, "a\nb"),
        Turn(ASSISTANT, ""),
        Turn(HUMAN, "c"),
        Turn(ASSISTANT, "d"),
    ]


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        (None, "NoneType"),
        (5, "int"),
        ("Human: a", "str"),
        ({"role": "user", "content": "a"}, "dict"),
        ([], "list"),
        (["a"], "message 0 without a text"),
        ([{"role": "user"}], "message 0 without a text"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": None}], "message 1 without a text"),
        ([{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}], "message 1 with role 'tool'"),
        ([{"content": "a"}], "message 0 with role None"),
        ([{"role": "user", "content": "a"}, {"role": "system", "content": "b"}], "message 1 with role 'system'"),
        ([{"role": "user", "content": "\ud83d"}], "surrogate pair at character 0"),
    ],
)
def test_what_is_no_list_of_messages_is_told(messages: object, found: str) -> None:
    with pytest.raises(NotATranscript, match=found):
        from_messages(messages)


@pytest.mark.parametrize(
    ("turns", "found"), [([], "nobody"), ([Turn(ASSISTANT, "a"), Turn(HUMAN, "b")], "Human"), ([Turn(SYSTEM, "a")], "System")]
)
def test_without_an_assistant_turn_at_the_end_there_is_no_response(turns: list[Turn], found: str) -> None:
    with pytest.raises(NotATranscript, match=f"last turn by {found}"):
        prompt_and_response(turns)


@pytest.mark.parametrize(
    ("turns", "opening"),
    [
        ([Turn(SYSTEM, "s"), Turn(ASSISTANT, "hi"), Turn(HUMAN, "first"), Turn(ASSISTANT, "a"), Turn(HUMAN, "second")], "first"),
        ([Turn(HUMAN, ""), Turn(ASSISTANT, "a"), Turn(HUMAN, "second")], ""),
        ([Turn(ASSISTANT, "a")], ""),
    ],
)
def test_the_opening_prompt_is_the_first_human_turn(turns: list[Turn], opening: str) -> None:
    assert opening_prompt(turns) == opening
