"""From requests to labels: what counts as valid, what is asked again and how, what is counted, and who is never asked twice."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up import LABELS, OPTIONS, PROMPT, SYSTEM, VALID, Script, answer, talk

from seal import labelers, rules
from seal.errors import InputError
from seal.features import FEATURES, InvalidAnswer, parse
from seal.journal import Journal
from seal.label_requests import instructions, read_prompt, request
from seal.labelers import Invalid, Labelled, coverage, identity, label, open_labeler, problem, verdict
from seal.language_models.answers import Answer, Answers, Unanswered
from seal.language_models.attempts import patch
from seal.language_models.batch_files import Body, Request, request_hash
from seal.language_models.cost import Price, usage

SOME = ("last_response_is_refusal", "last_response_sentiment")


@pytest.fixture
def answers(tmp_path: Path) -> Iterator[Answers]:
    with Journal(tmp_path / "journal.jsonl") as journal:
        yield Answers(journal)


def asked(*texts: str) -> list[Request]:
    """Requests for texts, two to a pair."""
    return [request(number // 2, ("chosen", "rejected")[number % 2], text, SYSTEM, OPTIONS) for number, text in enumerate(texts)]


def run(script: Script, answers: Answers, *texts: str, max_patches: int = 2) -> Labelled:
    return label(lambda: asked(*texts), "script", script.send(answers), answers, max_patches)


def money(found: Labelled, price: Price, batch_discount: float) -> dict[str, float]:
    return usage((each for _, each in found.answers.values()), price, batch_discount)


def is_valid(body: Body, found: Answer) -> bool:
    return problem(Request("0.chosen", body), found) == ""


def never_send(*_: Any) -> dict[str, str]:
    raise AssertionError("something was sent")


A, B, C = talk("A."), talk("B."), talk("C.")


# --- who answers ---


def test_identities_are_those_of_what_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert identity("openai", "gpt-4o") == "openai"
    assert identity("ollama", "llama3") == "ollama"
    model = tmp_path / "m.gguf"
    found = set()
    for content in (b"1", b"2"):
        model.write_bytes(content)
        found.add(identity("llama-cpp", str(model)))
    assert len(found) == 2
    monkeypatch.setattr(rules, "identity", lambda: "abc")
    assert identity("rules", "rules") == "rules abc"


def test_the_rules_answer_in_the_form_of_a_model() -> None:
    engine = open_labeler("rules", "rules", 0)
    body = request(0, "chosen", talk("I'm fine, thank you."), SYSTEM, OPTIONS).body
    found = engine.ask(body)
    assert (found.finish_reason, found.input_tokens, found.output_tokens) == ("stop", 0, 0)
    assert verdict(body, found) == rules.label(talk("I'm fine, thank you."))
    some = request(0, "chosen", talk("I'm fine."), instructions(read_prompt(PROMPT), SOME), OPTIONS, SOME).body
    assert list(verdict(some, engine.ask(some))) == list(SOME)


@pytest.mark.parametrize("response", ["", " ", "\u2028", "\ud7ff\ufffe", "🎈" * 300, "<|im_end|>", "a" * 20_000])
def test_the_rules_answer_any_response(response: str) -> None:
    body = request(0, "chosen", talk(response), SYSTEM, OPTIONS).body
    assert is_valid(body, open_labeler("rules", "rules", 0).ask(body))


@pytest.mark.parametrize("text", ["", "No talk at all.", "\n\nHuman: Is anybody there?"])
def test_the_rules_have_no_answer_to_what_is_no_talk(text: str) -> None:
    with pytest.raises(Unanswered, match="not a transcript"):
        open_labeler("rules", "rules", 0).ask(request(0, "chosen", text, SYSTEM, OPTIONS).body)


def test_a_model_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match=r"model none\.gguf: no such file; name a \.gguf file or package:<module>"):
        open_labeler("llama-cpp", "none.gguf", 512)


# --- one answer ---


def test_an_answer_is_read_by_what_was_asked() -> None:
    body = request(0, "chosen", A, instructions(read_prompt(PROMPT), SOME), OPTIONS, SOME).body
    labels = {"last_response_is_refusal": True, "last_response_sentiment": "positive"}
    assert verdict(body, answer(json.dumps(labels))) == labels
    assert is_valid(body, answer(json.dumps(labels)))
    assert not is_valid(body, answer())


@pytest.mark.parametrize(
    ("finish_reason", "reason"), [("length", "truncated"), ("content_filter", "content_filter"), ("tool_calls", "tool_calls")]
)
def test_an_answer_that_did_not_end_by_itself_is_invalid_even_if_it_could_be_read(finish_reason: str, reason: str) -> None:
    body = asked(A)[0].body
    with pytest.raises(InvalidAnswer) as caught:
        verdict(body, answer(VALID, finish_reason))
    assert caught.value.reason == reason
    assert not is_valid(body, answer(VALID, finish_reason))


# --- asking again ---


def test_an_answer_that_is_valid_at_once_is_asked_for_once(answers: Answers) -> None:
    script = Script()
    found = run(script, answers, A, B)
    assert script.texts == [A, B]
    assert found.labels == [(0, "chosen", A, LABELS), (0, "rejected", B, LABELS)]
    assert (found.invalid, found.patched) == ([], 0)
    assert len(found.answers) == 2


def test_an_invalid_answer_is_asked_for_again_and_both_answers_count(answers: Answers) -> None:
    script = Script({B: [answer("{}", input_tokens=7, output_tokens=1), answer(VALID, "length", 7, 2), answer(VALID, "stop", 7, 3)]})
    found = run(script, answers, A, B, C)
    assert script.texts == [A, B, C, B, B]
    first, *again = (body for body in script.asked if body["messages"] == asked(B)[0].body["messages"])
    assert [patch(first, 1), patch(first, 2)] == again
    assert [text for *_, text, _ in found.labels] == [A, B, C]
    assert (found.invalid, found.patched) == ([], 1)
    assert [(custom_id, each.output_tokens) for custom_id, each in found.answers.values()] == [
        ("0.chosen", 10),
        ("0.rejected", 1),
        ("0.rejected", 2),
        ("0.rejected", 3),
        ("1.chosen", 10),
    ]
    assert [request_hash(body, "script") for body in (first, *again)] == list(found.answers)[1:4]
    total = money(found, Price(1, 1000), 0.5)
    assert total == {"answers": 5, "input_tokens": 221, "output_tokens": 26, "usd": pytest.approx((221 + 26_000) / 1e6)}


def test_what_stays_invalid_has_the_last_reason_and_the_last_answer(answers: Answers) -> None:
    script = Script({B: [answer("{}"), answer("no"), answer('{"half', "length")]})
    found = run(script, answers, A, B)
    assert [text for *_, text, _ in found.labels] == [A]
    assert found.invalid == [Invalid(0, "rejected", "truncated", '{"half')]
    assert (found.patched, len(found.answers)) == (0, 4)


def test_without_patches_nothing_is_asked_again(answers: Answers) -> None:
    script = Script({A: [answer("{}"), answer()]})
    found = run(script, answers, A, max_patches=0)
    assert script.texts == [A]
    assert found.invalid == [Invalid(0, "chosen", "key missing", "{}")]


def test_what_gets_no_answer_is_asked_again_and_has_its_reason(answers: Answers) -> None:
    script = Script({A: ["too long"], B: ["busy", answer()]})
    found = run(script, answers, A, B)
    assert script.texts == [A, B, A, B, A]
    assert found.invalid == [Invalid(0, "chosen", "too long", "")]
    assert [text for *_, text, _ in found.labels] == [B]
    assert (found.patched, len(found.answers)) == (1, 1)


def test_what_was_never_sent_has_no_answer(answers: Answers) -> None:
    found = label(lambda: asked(A), "script", lambda pending, attempt: {}, answers, 0)
    assert found.invalid == [Invalid(0, "chosen", "no answer", "")]


# --- never twice ---


def test_a_text_that_stands_there_twice_is_asked_once_and_labelled_twice(answers: Answers) -> None:
    script = Script({A: [answer("{}"), answer()]})
    found = run(script, answers, A, B, A, A)
    assert script.texts == [A, B, A]
    assert [(row_id, preference) for row_id, preference, *_ in found.labels] == [
        (0, "chosen"),
        (0, "rejected"),
        (1, "chosen"),
        (1, "rejected"),
    ]
    assert found.patched == 3  # texts
    assert money(found, Price(0, 0), 0)["answers"] == 3  # what was had: two for A, one for B


def test_what_is_answered_is_not_asked_again_by_a_later_run(answers: Answers) -> None:
    script = Script({B: [answer("{}"), answer()]})
    first = run(script, answers, A, B)
    assert label(lambda: asked(A, B), "script", never_send, answers, 2) == first
    more = Script()
    run(more, answers, A, B, C)
    assert more.texts == [C]


def test_an_invalid_answer_is_not_asked_for_again_by_a_later_run_unless_more_patches_are_allowed(answers: Answers) -> None:
    run(Script({A: [answer("{}")]}), answers, A, max_patches=1)
    assert label(lambda: asked(A), "script", never_send, answers, 1).invalid == [Invalid(0, "chosen", "key missing", "{}")]
    more = Script()
    assert run(more, answers, A, max_patches=2).patched == 1
    assert [body["seed"] for body in more.asked] == [3]


def test_another_labeler_is_asked_anew(answers: Answers) -> None:
    run(Script(), answers, A)
    other = Script()
    label(lambda: asked(A), "another", other.send(answers), answers, 0)
    assert other.texts == [A]


# --- counts ---


def test_coverage_by_hand() -> None:
    invalid = [Invalid(row_id, "chosen", reason, "") for row_id, reason in enumerate(["truncated", "not JSON", "truncated"])]
    found = Labelled([(9, "chosen", A, {}), (9, "rejected", B, {})], invalid, 1, {})
    assert coverage(found, 5) == {
        "texts": 5,
        "labelled": 2,
        "invalid": 3,
        "coverage": 0.4,
        "reasons": {"not JSON": 1, "truncated": 2},
        "patched": 1,
    }
    assert coverage(Labelled([], [], 0, {}), 0)["coverage"] is None


def test_names_need_no_library_that_only_another_one_needs() -> None:
    assert labelers.RULES == "rules"
    program = "import sys; from seal import labelers; print({'openai', 'ollama', 'xllamacpp', 'torch'} & set(sys.modules))"
    import subprocess

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_labels_of_all_features_come_in_their_order(answers: Answers) -> None:
    script = Script({A: [answer(json.dumps(dict(reversed(LABELS.items()))))]})
    ((*_, labels),) = run(script, answers, A).labels
    assert list(labels) == list(FEATURES)
    assert labels == parse(VALID)
