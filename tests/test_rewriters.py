"""From conversations to reworded ones: what an answer must be to count, what is asked again, and how parts are put together."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rewriting import Scripted, in_other_words, turns_in

from seal import rewording, rewriters
from seal.errors import InputError
from seal.journal import Journal
from seal.language_models.answers import Answer, Answers, Unanswered, ask_all
from seal.language_models.attempts import Send, patch
from seal.language_models.batch_files import Body, Pending, Request, request_hash
from seal.rewrite_requests import Options, requests_for
from seal.rewriters import Bounds, InvalidRewrite, Rewritten, Text, identity, judge, open_rewriter, rewrite, verdict
from seal.transcripts import Turn, parse, render

BOUNDS = Bounds(0.5, 2.0)
OPTIONS = Options("made-up", "json_schema", 0.1, 60)
ROOM = 10**6
FIRST = "\n\nHuman: How are you today?\n\nAssistant: I feel fine, thank you."
FEW = "\n\nHuman: Hi!\n\nAssistant: Hello."


def talk(*contents: str) -> list[Turn]:
    return [Turn(("Human", "Assistant")[number % 2], content) for number, content in enumerate(contents)]


def body(turns: list[Turn]) -> Body:
    [request] = requests_for("0.chosen.rewritten", turns, "Say it in other words.", OPTIONS, 1, ROOM, ROOM)
    return request.body


def said(content: str, finish_reason: str = "stop") -> Answer:
    return Answer(content, finish_reason, 100, 10)


def of(original: str, new: str, role: str = "Assistant", bounds: Bounds = BOUNDS) -> list[Turn]:
    """What comes of one turn that was reworded so."""
    return verdict(body([Turn(role, original)]), said(json.dumps({"turn_1": new})), bounds, True)


def reason(original: str, new: str, role: str = "Assistant", bounds: Bounds = BOUNDS) -> str:
    """Why a turn that was reworded so is none; empty where it is."""
    try:
        of(original, new, role, bounds)
    except InvalidRewrite as error:
        return error.reason
    return ""


# --- the form of an answer ---


def test_turns_are_read_by_their_keys_whatever_their_order() -> None:
    turns = talk("How are you today?", "I feel fine, thank you.")
    answer = said('{"turn_2": " Very well, thanks.\\n", "turn_1": "How do you do?"}')
    assert verdict(body(turns), answer, BOUNDS, True) == talk("How do you do?", "Very well, thanks.")


def test_ten_turns_are_not_read_in_the_order_of_the_alphabet() -> None:
    turns = talk(*(f"This is turn {number}." for number in range(1, 12)))
    answer = said(json.dumps({f"turn_{number}": f"Turn {number} it is." for number in range(11, 0, -1)}))
    assert verdict(body(turns), answer, BOUNDS, True) == talk(*(f"Turn {number} it is." for number in range(1, 12)))


@pytest.mark.parametrize(
    ("finish_reason", "expected"), [("length", "truncated"), ("content_filter", "content_filter"), ("tool_calls", "tool_calls")]
)
def test_an_answer_that_did_not_end_by_itself_is_invalid_even_if_it_could_be_read(finish_reason: str, expected: str) -> None:
    with pytest.raises(InvalidRewrite) as caught:
        verdict(body(talk("Hi.")), said('{"turn_1": "Hello."}', finish_reason), BOUNDS, True)
    assert caught.value.reason == expected
    assert verdict(body(talk("Hi.")), said('{"turn_1": "Hello."}'), BOUNDS, True) == talk("Hello.")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "not JSON"),
        ("Hello. Very well.", "not JSON"),
        ('{"turn_1": "Hello.", "turn_2": "Very', "not JSON"),
        ('```json\n{"turn_1": "Hello.", "turn_2": "Very well."}\n```', "not JSON"),
        ('["Hello.", "Very well."]', "not JSON"),
        ('[["turn_1", "Hello."], ["turn_2", "Very well."]]', "not JSON"),
        ('"Hello."', "not JSON"),
        ("null", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("9" * 5_000, "not JSON"),
        ("{}", "other turns"),
        ('{"turn_1": "Hello."}', "other turns"),
        ('{"turn_1": "Hello.", "turn_2": "Very well.", "turn_3": "More?"}', "other turns"),
        ('{"turn_1": "Hello.", "turn_2": "Very well.", "note": ""}', "other turns"),
        ('{"turn_1": "Hello.", "Turn_2": "Very well."}', "other turns"),
        ('{"turn_1": "Hello.", "turn_2": "Very well.", "turn_2": "Very well."}', "other turns"),
        ('{"turn_1": "Hello.", "turn_1": "Very well."}', "other turns"),
        ('{"turns": {"turn_1": "Hello.", "turn_2": "Very well."}}', "other turns"),
        ('{"turn_1": "Hello.", "turn_2": null}', "no text"),
        ('{"turn_1": "Hello.", "turn_2": 2}', "no text"),
        ('{"turn_1": "Hello.", "turn_2": ["Very well."]}', "no text"),
        ('{"turn_1": {"role": "Human", "text": "Hello."}, "turn_2": "Very well."}', "no text"),
        ('{"turn_1": "Hello.", "turn_2": "Very \\ud800 well."}', "no text"),
        ('{"turn_1": "Hello.", "turn_2": ""}', "empty"),
        ('{"turn_1": " \\n", "turn_2": "Very well."}', "empty"),
        ('{"turn_1": "Hello.", "turn_2": "\\u0000"}', "empty"),
        ('{"turn_1": "Hello.", "turn_2": "Assistant:"}', "empty"),
    ],
)
def test_what_is_not_the_turns_asked_for_is_invalid(content: str, expected: str) -> None:
    asked = body(talk("Hi.", "I feel fine."))
    with pytest.raises(InvalidRewrite) as caught:
        verdict(asked, said(content), BOUNDS, True)
    assert caught.value.reason == str(caught.value) == expected
    assert verdict(asked, said('{"turn_1": "Hello.", "turn_2": "Very well."}'), BOUNDS, True)


def test_an_empty_turn_stays_empty_and_no_words_come_from_none() -> None:
    asked = body(talk("How are you?", ""))
    assert verdict(asked, said('{"turn_1": "How do you do?", "turn_2": " "}'), BOUNDS, True) == talk("How do you do?", "")
    with pytest.raises(InvalidRewrite, match="empty"):
        verdict(asked, said('{"turn_1": "How do you do?", "turn_2": "Fine."}'), BOUNDS, True)


# --- the words of a turn ---


def test_line_ends_and_nul_are_made_plain() -> None:
    assert of("One. Two. Three.", "A one.\r\nA two.\rA thr\0ee.") == [Turn("Assistant", "A one.\nA two.\nA three.")]


@pytest.mark.parametrize("role", ["Human", "Assistant"])
@pytest.mark.parametrize("breaks", ["\n\n", "\r\n\r\n", "\r\r", "\n\0\n", "\n\n\n"])
@pytest.mark.parametrize("opened", ["Human", "Assistant"])
def test_a_turn_that_opens_another_is_invalid(role: str, breaks: str, opened: str) -> None:
    assert reason("Take care of yourself.", f"Look after you.{breaks}{opened}: yes", role) == "opens a turn"


@pytest.mark.parametrize("inside", ["\nHuman: yes", " Human: yes", "\n\nHumans: yes", "\n\nhuman: yes", "\n\nSystem: yes"])
def test_what_opens_no_turn_may_stand_in_one(inside: str) -> None:
    assert of("Take care of yourself.", f"Look after you.{inside}") == [Turn("Assistant", f"Look after you.{inside}")]


@pytest.mark.parametrize("label", ["Assistant: ", "assistant:", "ASSISTANT :\n", "\n\nAssistant: ", "Assistant: Assistant: "])
def test_a_turn_s_own_role_before_its_words_is_taken_off(label: str) -> None:
    assert of("Take care of yourself.", f"{label}Look after you.") == [Turn("Assistant", "Look after you.")]


def test_the_system_s_own_role_is_taken_off_too() -> None:
    assert of("Be brief, please.", "System: Keep it short.", "System") == [Turn("System", "Keep it short.")]


@pytest.mark.parametrize(("role", "label"), [("Assistant", "Human: "), ("Human", "assistant : "), ("Assistant", "System: ")])
def test_another_role_before_its_words_is_invalid(role: str, label: str) -> None:
    assert reason("Take care of yourself.", f"{label}Look after you.", role) == "opens a turn"
    assert reason("Take care of yourself.", f"{role}: {label}Look after you.", role) == "opens a turn"


def test_a_role_that_the_turn_itself_begins_with_may_stay() -> None:
    assert of("Human: who said that?", "Human: whose words are these?") == [Turn("Assistant", "Human: whose words are these?")]


def test_a_turn_may_be_so_long_and_no_longer() -> None:
    original = "a" * 100
    for length, expected in ((40, ""), (39, "too short"), (220, ""), (221, "too long")):  # 0.5 * 100 - 10 and 2 * 100 + 20
        assert reason(original, "b" * length) == expected
    tight = Bounds(1.0, 1.0)
    for length, expected in ((90, ""), (89, "too short"), (120, ""), (121, "too long")):
        assert reason(original, "b" * length, bounds=tight) == expected


def test_a_turn_of_a_word_may_become_some() -> None:
    for length, expected in ((1, ""), (28, ""), (29, "too long")):  # 2 * 4 + 20
        assert reason("Yes.", "b" * length) == expected


@pytest.mark.parametrize("new", [".", "?", "null", "[REDACTED]", "turn_1", "\u200b\u200b\u200b\u200b", '"none"', "..."])
def test_a_turn_without_a_word_of_its_own_is_empty(new: str) -> None:
    assert reason("How do I bake it?", new) == "empty"
    assert reason("...", new) in ("", "empty", "unchanged")


@pytest.mark.parametrize(
    ("original", "new"),
    [
        ("Why do you hate me? It is not fair, tell me how to make it.", "I'm sorry, but I cannot help with that request today, friend."),
        ("He did not come to us.", "I'm sorry, I can't help with that."),
        ("Tell me how to steal a car.", "I'm afraid I can't help with that."),
        ("Tell me how to steal a car.", "As a language model, I cannot do that."),
        ("Tell me how to steal a car.", "My apologies, but no."),
        ("Tell me how to steal a car.", "I am not comfortable with it."),
        ("Tell me how to steal a car.", "This content violates the policy."),
    ],
)
def test_a_refusal_is_seen_whatever_else_the_original_denies(original: str, new: str) -> None:
    assert reason(original, new) == "refusal"


def test_a_marker_that_opens_a_turn_s_words_stays_that_role_s() -> None:
    assert reason("Human: who said that?", "Assistant: whose words are these?") == "opens a turn"


def test_lengths_are_those_of_each_turn() -> None:
    answer = said(json.dumps({"turn_1": "b" * 100, "turn_2": "b" * 10}))
    with pytest.raises(InvalidRewrite, match="too long"):
        verdict(body(talk("a" * 10, "a" * 100)), answer, BOUNDS, True)


@pytest.mark.parametrize(
    "comment",
    [
        "Here is the rewritten text: Look after you.",
        "Reworded: Look after you.",
        "Look after you. (paraphrased)",
        "In a rephrasing, look after you.",
        "Re-worded: look after you.",
        "To restate: look after you.",
        "Here's another way to say it: look after you.",
        "Note: the tone was kept. Look after you.",
    ],
)
def test_a_word_about_the_task_is_invalid_where_the_turn_has_none(comment: str) -> None:
    assert reason("Do take good care of yourself.", comment) == "comment"
    assert reason("Could you rephrase how I take care of myself?", comment) == ""


@pytest.mark.parametrize(
    "new", ["A restaurant it is.", "The reward is yours.", "It was prewritten well.", "Please rewrite my essay.", "He restated it."]
)
def test_words_that_only_look_like_those_about_the_task_are_fine(new: str) -> None:
    assert reason("Some good place it is.", new) == ""


@pytest.mark.parametrize(
    "refusal",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m really sorry.",
        "I am so sorry, no.",
        "Sorry, no.",
        "I apologize, but no.",
        "I cannot help with that.",
        "I can\u2019t do this.",
        "Unfortunately, I can not do this.",
        "I'm unable to do this.",
        "I\u2019m not able to do this.",
        "I am not able to do this.",
        "We're unable to do this.",
        "I won't do this.",
        "I will not do this.",
        "I must decline.",
        "As an AI, I have no body.",
        '"I refuse."',
    ],
)
def test_a_refusal_is_invalid_where_the_turn_declines_nothing(refusal: str) -> None:
    assert reason("You can mix the two and stir it well.", refusal) == "refusal"
    for declining in ("No way, I am sorry about this one.", "I don't think that I shall help.", "I cannot be of any help there."):
        assert reason(declining, refusal) == ""


@pytest.mark.parametrize("new", ["You can do without. I can't, though.", "I can do that.", "I am able to.", "As an aide, I would."])
def test_what_is_no_refusal_is_fine(new: str) -> None:
    assert reason("You may do so without any of it.", new) == ""


@pytest.mark.parametrize(
    "new", ["I feel fine, thank you.", "i FEEL fine thank you", "\u2014 I feel: fine!\n\nThank you\u2026", "I_feel_fine, thank you"]
)
def test_other_capitals_marks_and_spaces_are_no_other_words(new: str) -> None:
    assert reason("I feel fine, thank you.", new) == "unchanged"


@pytest.mark.parametrize("new", ["I feel fine, thank-you all.", "Fine I feel, thank you.", "I feel fine, thanks."])
def test_one_word_more_less_or_elsewhere_is_a_change(new: str) -> None:
    assert reason("I feel fine, thank you.", new) == ""


def test_one_turn_in_other_words_is_enough() -> None:
    answer = said('{"turn_1": "How are you today?", "turn_2": "Very well, thanks."}')
    assert verdict(body(parse(FIRST)), answer, BOUNDS, True) == talk("How are you today?", "Very well, thanks.")


def test_words_that_moved_from_turn_to_turn_are_those_of_the_whole_still() -> None:
    assert reason("Go on.", "Go on!") == "unchanged"
    with pytest.raises(InvalidRewrite, match="unchanged"):
        verdict(body(talk("Go on.", "I shall.")), said('{"turn_1": "Go", "turn_2": "On, I shall."}'), BOUNDS, True)


@pytest.mark.parametrize(("words", "whole", "valid"), [(12, False, True), (13, False, False), (12, True, False), (1, True, False)])
def test_a_few_words_of_a_longer_talk_may_stay(words: int, whole: bool, valid: bool) -> None:
    content = " ".join(["well"] * words)
    answer = said(json.dumps({"turn_1": content}))
    if valid:
        assert verdict(body(talk(content)), answer, BOUNDS, whole) == talk(content)
    else:
        with pytest.raises(InvalidRewrite, match="unchanged"):
            verdict(body(talk(content)), answer, BOUNDS, whole)


# --- whatever an answer holds ---

PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure

PIECES = st.sampled_from(
    [
        *"\n\n\n\r\0\x1c\x85\u2028\ufeff \t:",
        "Human:",
        "Assistant:",
        "System:",
        "human :",
        "\n\nHuman: ",
        "\r\n\r\nAssistant:",
        "\ud800",
        "fine",
        "é",
    ]
)
WORDS = st.lists(PIECES, max_size=8).map("".join)
TURNS = st.lists(st.tuples(st.sampled_from(["Human", "Assistant"]), WORDS), min_size=1, max_size=4)


def as_found(turns: list[tuple[str, str]]) -> list[Turn]:
    """Turns as a table of pairs has them."""
    return parse(render([Turn(role, content.encode(errors="ignore").decode()) for role, content in turns]))


def assert_invalid_or_the_same_roles(turns: list[Turn], content: str) -> bool:
    try:
        found = verdict(body(turns), said(content), Bounds(0, 100), False)
    except InvalidRewrite:
        return False
    assert [turn.role for turn in found] == [turn.role for turn in turns]
    assert parse(render(found)) == found
    render(found).encode()
    return True


@PROPERTY
@given(TURNS, st.lists(WORDS, min_size=4, max_size=4))
@example([("Human", "a"), ("Assistant", "b")], ["a", "b\n\0\nHuman: c", "", ""])
def test_whatever_the_turns_of_an_answer_hold_roles_stay_or_it_is_invalid(turns: list[tuple[str, str]], new: list[str]) -> None:
    originals = as_found(turns)
    contents = {f"turn_{number}": content for number, (_, content) in enumerate(zip(originals, new, strict=False), start=1)}
    assert_invalid_or_the_same_roles(originals, json.dumps(contents))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["turn_1", "turn_2", "turn_3", "turn_01", "role"]) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=8,
)


@PROPERTY
@given(TURNS, st.one_of(st.text(), JSON.map(json.dumps), JSON.map(lambda content: json.dumps(content)[:-1])))
def test_whatever_an_answer_is_roles_stay_or_it_is_invalid(turns: list[tuple[str, str]], content: str) -> None:
    assert_invalid_or_the_same_roles(as_found(turns), content)


def test_the_properties_above_are_met_by_valid_answers_too() -> None:
    assert assert_invalid_or_the_same_roles(talk("Hi.", "Human: who?"), '{"turn_1": "Human: Oh.\\n", "turn_2": "Human: me.\\nHuman: you."}')


# --- who rewords ---


def test_identities_are_those_of_what_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert identity("openai", "gpt-4o") == "openai"
    assert identity("ollama", "llama3") == "ollama"
    model = tmp_path / "m.gguf"
    found = set()
    for content in (b"1", b"2"):
        model.write_bytes(content)
        found.add(identity("llama-cpp", str(model)))
    assert len(found) == 2
    monkeypatch.setattr(rewording, "identity", lambda: "abc")
    assert identity("rules", "rules") == "rules abc"


def test_the_rules_answer_in_the_form_of_a_model() -> None:
    asked = body(parse(FIRST))
    found = open_rewriter("rules", "rules", 0).ask(asked)
    assert (found.finish_reason, found.input_tokens, found.output_tokens) == ("stop", 0, 0)
    assert render(verdict(asked, found, BOUNDS, True)) == rewording.reword(FIRST, 1)


@pytest.mark.parametrize("response", ["", "\u2028", "🎈" * 300, "<|im_end|>", "a" * 20_000, "Human: I?", "x\nHuman: y", "\x1c"])
def test_the_rules_answer_any_response_with_its_turns(response: str) -> None:
    turns = parse(render([Turn("Human", "I need a big house right now."), Turn("Assistant", response)]))
    found = open_rewriter("rules", "rules", 0).ask(body(turns))
    assert [turn.role for turn in verdict(body(turns), found, BOUNDS, False)] == ["Human", "Assistant"]


def test_a_model_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match=r"model none\.gguf: no such file; name a \.gguf file or package:<module>"):
        open_rewriter("llama-cpp", "none.gguf", 512)


def test_names_need_no_library_that_only_another_one_needs() -> None:
    program = "import sys; from seal import rewriters; print({'openai', 'ollama', 'xllamacpp', 'torch'} & set(sys.modules))"
    import subprocess

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


# --- from conversations to reworded ones ---


@pytest.fixture
def answers(tmp_path: Path) -> Iterator[Answers]:
    with Journal(tmp_path / "journal.jsonl") as journal:
        yield Answers(journal)


def sending(script: Scripted, answers: Answers) -> Send:
    def send(pending: Callable[[], Iterator[Pending]], _: int) -> dict[str, str]:
        return ask_all(script.engine, pending(), answers, lambda each, outcome: None)

    return send


def run(script: Scripted, answers: Answers, *texts: str, max_patches: int = 1, answer_tokens: int = ROOM) -> Rewritten:
    def conversations() -> Iterator[Text]:
        return (Text(f"{number}.chosen.rewritten", parse(text), 1) for number, text in enumerate(texts))

    def ask(text: Text) -> Iterator[Request]:
        return requests_for(text.id, text.turns, "Say it in other words.", OPTIONS, text.seed, answer_tokens, ROOM)

    return rewrite(conversations, ask, "script", sending(script, answers), answers, max_patches, BOUNDS)


def echo(*contents: str) -> tuple[str, str]:
    """An answer with these turns."""
    return json.dumps({f"turn_{number}": content for number, content in enumerate(contents, start=1)}), "stop"


def key(words: str) -> tuple[str, str]:
    return words, "rewritten"


def reworded(text: str) -> str:
    """A conversation as `Scripted` rewords it."""
    return "".join(f"\n\n{turn.role}: {in_other_words(turn.content)}" for turn in parse(text))


def test_conversations_come_back_as_transcripts_by_their_names(answers: Answers) -> None:
    script = Scripted()
    found = run(script, answers, FIRST, FEW)
    assert {name: each.text for name, each in found.rewrites.items()} == {
        "0.chosen.rewritten": reworded(FIRST),
        "1.chosen.rewritten": reworded(FEW),
    }
    assert all((each.problem, each.answer, each.requests, each.patched) == ("", "", 1, False) for each in found.rewrites.values())
    assert [custom_id for custom_id, _ in found.answers.values()] == ["0.chosen.rewritten.1", "1.chosen.rewritten.1"]
    assert list(found.answers) == [request_hash(each, "script") for each in script.asked]


def test_parts_are_put_together_in_their_order(answers: Answers) -> None:
    text = "".join(f"\n\n{role}: Turn {number} says so." for number, role in enumerate(["Human", "Assistant"] * 6))
    script = Scripted()
    found = run(script, answers, text, FEW, answer_tokens=50)
    assert len(script.asked) > 4
    assert [words for each in script.asked for words in turns_in(each)] == [turn.content for text in (text, FEW) for turn in parse(text)]
    first, second = found.rewrites.values()
    assert (first.text, first.requests) == (reworded(text), len(script.asked) - 1)
    assert (second.text, second.requests) == (reworded(FEW), 1)


def test_an_invalid_answer_is_asked_for_again_and_both_are_kept(answers: Answers) -> None:
    script = Scripted({key("Hi!"): [("{}", "stop"), ("{", "length"), None]})
    found = run(script, answers, FIRST, FEW, max_patches=2)
    assert found.rewrites["1.chosen.rewritten"].text == reworded(FEW)
    assert [each.patched for each in found.rewrites.values()] == [False, True]
    first, *again = (each for each in script.asked if turns_in(each) == ["Hi!", "Hello."])
    assert again == [patch(first, 1), patch(first, 2)]
    assert [(custom_id, each.content[:2]) for custom_id, each in found.answers.values()] == [
        ("0.chosen.rewritten.1", '{"'),
        ("1.chosen.rewritten.1", "{}"),
        ("1.chosen.rewritten.1", "{"),
        ("1.chosen.rewritten.1", '{"'),
    ]


def test_what_stays_invalid_has_the_last_reason_and_the_last_answer(answers: Answers) -> None:
    script = Scripted({key("Hi!"): [echo("Hi!", "Hello."), ("no\r\ud800", "stop")]})
    failed = run(script, answers, FIRST, FEW).rewrites["1.chosen.rewritten"]
    assert (failed.text, failed.problem, failed.answer, failed.patched) == ("", "not JSON", "no\n?", False)
    assert script.times("Hi!") == 2


def test_what_gets_no_answer_has_its_reason(answers: Answers) -> None:
    script = Scripted({key("Hi!"): [Unanswered("longer than the context")]})
    found = run(script, answers, FIRST, FEW)
    failed = found.rewrites["1.chosen.rewritten"]
    assert (failed.text, failed.problem, failed.answer) == ("", "longer than the context", "")
    assert len(found.answers) == 1


LONG = "\n\nHuman: Hi!\n\nAssistant: Hello.\n\nHuman: " + "Tell me all about houses. " * 9


def test_one_part_that_fails_fails_the_whole_and_is_named(answers: Answers) -> None:
    script = Scripted({key("all about houses"): [("no", "stop")]})
    failed = run(script, answers, LONG, answer_tokens=40).rewrites["0.chosen.rewritten"]
    assert (failed.text, failed.problem, failed.answer, failed.requests) == ("", "not JSON", "no", 2)
    assert (script.times("Hi!"), script.times("all about houses")) == (1, 2)


def test_a_few_words_may_stay_beside_others_that_change(answers: Answers) -> None:
    script = Scripted({key("Hi!"): [echo("Hi!", "Hello.")]})
    found = run(script, answers, LONG, answer_tokens=40).rewrites["0.chosen.rewritten"]
    assert script.times("Hi!") == 1
    *kept, changed = parse(found.text)
    assert kept == talk("Hi!", "Hello.")
    assert changed.content == in_other_words(parse(LONG)[2].content)


def test_parts_of_a_few_words_that_all_stay_are_no_other_words(answers: Answers) -> None:
    text = "\n\nHuman: Well?\n\nAssistant: Yes, indeed."
    script = Scripted({key("Well?"): [echo("well")], key("indeed"): [echo("Yes indeed!")]})
    found = run(script, answers, text, answer_tokens=1).rewrites["0.chosen.rewritten"]
    assert (found.text, found.problem, found.requests) == ("", "unchanged", 2)
    assert found.answer == echo("Yes indeed!")[0]


@pytest.mark.parametrize("texts", [(FEW, LONG), (LONG, FEW)])
def test_a_whole_and_a_part_that_ask_the_very_same_are_told_apart(answers: Answers, texts: tuple[str, str]) -> None:
    script = Scripted({key("Hi!"): [echo("Hi!", "Hello.")]})
    found = run(script, answers, *texts, answer_tokens=40).rewrites
    assert len({request_hash(each, "script") for each in script.asked}) == 2
    by_text = dict(zip(texts, found.values(), strict=True))
    assert (by_text[FEW].text, by_text[FEW].problem) == ("", "unchanged")
    assert [turn.role for turn in parse(by_text[LONG].text)] == ["Human", "Assistant", "Human"]


def test_a_text_that_stands_there_twice_is_asked_once_and_reworded_twice(answers: Answers) -> None:
    script = Scripted()
    found = run(script, answers, FIRST, FEW, FIRST)
    assert len(script.asked) == 2
    assert [each.text for each in found.rewrites.values()] == [reworded(FIRST), reworded(FEW), reworded(FIRST)]
    assert len(found.answers) == 2


def test_what_is_answered_is_not_asked_again_by_a_later_run(answers: Answers) -> None:
    first = run(Scripted({key("Hi!"): [("{}", "stop"), None]}), answers, FIRST, FEW)
    nobody = Scripted()
    assert run(nobody, answers, FIRST, FEW) == first
    assert nobody.asked == []


def test_a_judge_tells_the_reason_of_a_whole_and_of_a_part() -> None:
    texts = [Text("0.chosen.rewritten", parse(FEW), 1), Text("1.chosen.rewritten", parse(LONG), 1)]
    problem = judge(texts, BOUNDS)
    same = said(echo("Hi!", "Hello.")[0])
    assert problem(Request("0.chosen.rewritten.1", body(parse(FEW))), same) == "unchanged"
    assert problem(Request("1.chosen.rewritten.1", body(parse(FEW))), same) == ""
    assert problem(Request("1.chosen.rewritten.1", body(parse(FEW))), said("{}")) == "other turns"


def test_a_role_that_got_lost_would_stop_everything(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: Any = lambda *_, **__: [Turn("Human", "a"), Turn("Assistant", "b\n\nHuman: c")]  # noqa: E731
    monkeypatch.setattr(rewriters, "verdict", lost)
    monkeypatch.setattr(rewriters, "render", lambda turns: "".join(f"\n\n{role}: {content}" for role, content in turns))
    with pytest.raises(AssertionError, match="a role was lost"):
        run(Scripted(), answers, FEW)
