"""Asking until an answer is valid: what is asked again and how. That labels are read rightly from it is tested in test_labelers.py."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_up import OPTIONS, SYSTEM, Script, answer, talk

from seal.errors import InputError
from seal.journal import Journal
from seal.label_requests import request
from seal.labelers import problem
from seal.language_models.answers import Answer, Answers
from seal.language_models.attempts import ask_with_bar, check_limits, patch, settle, unanswered
from seal.language_models.batch_files import Pending, Request, request_hash

A, B, C = talk("A."), talk("B."), talk("C.")


@pytest.fixture
def answers(tmp_path: Path) -> Iterator[Answers]:
    with Journal(tmp_path / "journal.jsonl") as journal:
        yield Answers(journal)


def asked(*texts: str) -> list[Request]:
    return [request(number, "chosen", text, SYSTEM, OPTIONS) for number, text in enumerate(texts)]


def test_a_patch_strays_more_each_time_and_never_less_than_asked() -> None:
    body = asked(A)[0].body
    assert patch(body, 0) is body
    found = [patch(body, attempt) for attempt in range(1, 5)]
    assert [each["temperature"] for each in found] == pytest.approx([0.3, 0.6, 0.9, 0.9])
    assert [each["seed"] for each in found] == [2, 3, 4, 5]
    assert all({**each, "temperature": 0.0, "seed": 1} == body for each in found)
    assert patch(body | {"temperature": 1.5}, 1)["temperature"] == 1.5
    assert (body["temperature"], body["seed"]) == (0.0, 1)


def test_settling_tells_each_request_s_attempts_and_what_was_wrong_with_the_last(answers: Answers) -> None:
    script = Script({A: [answer("first", input_tokens=1), answer("good")], B: [answer("never\rgood \ud800")], C: ["too long"]})
    found = settle(
        lambda: asked(A, B, C), "x", script.send(answers), answers, 1, lambda each, said: "" if said.content == "good" else "bad"
    )
    a, b, c = found
    bodies = [each.body for each in asked(A, B, C)]
    assert [each.request for each in (a, b, c)] == asked(A, B, C)
    assert a.hashes == [request_hash(patch(bodies[0], attempt), "x") for attempt in (0, 1)]
    assert [each.problem for each in (a, b, c)] == ["", "bad", "too long"]
    assert [each.last(answers) and each.last(answers).content for each in (a, b, c)] == ["good", "never\rgood \ud800", None]  # type: ignore[union-attr]
    assert [each.cell(answers) for each in (a, b, c)] == ["good", "never\ngood ?", ""]


def test_requests_that_are_the_same_go_out_once_in_every_round(answers: Answers) -> None:
    script = Script({A: [answer("first"), answer("good")]})

    def judge(each: Request, said: Answer) -> str:
        return "" if said.content == "good" else "bad"

    found = list(settle(lambda: asked(A, A, A), "x", script.send(answers), answers, 1, judge))
    assert script.texts == [A, A]  # one in each round
    assert [each.problem for each in found] == ["", "", ""]


@pytest.mark.parametrize(
    ("max_patches", "context_tokens", "told"),
    [
        (-1, 8192, "max-patches is -1; expected a number from 0 to 999"),
        (1000, 8192, "max-patches is 1000; expected"),
        (2, -1, "context-tokens is -1; expected a number of tokens from 1 to 2147483647"),
        (2, 0, "context-tokens is 0; expected"),
        (2, 2**31, "context-tokens is 2147483648; expected"),  # llama.cpp's numbers have 32 bits
    ],
)
def test_limits_with_which_nothing_can_be_asked_are_an_error(max_patches: int, context_tokens: int, told: str) -> None:
    with pytest.raises(InputError, match=told):
        check_limits(max_patches, context_tokens, 1.0)


def test_limits_at_the_edges_of_their_ranges_are_none() -> None:
    check_limits(0, 1, 0.0)
    check_limits(999, 2**31 - 1, 1.0)


def test_unanswered_ones_are_those_without_an_answer_each_once(answers: Answers) -> None:
    requests = asked(A, B, A, C)
    answers.add({request_hash(requests[1].body, "script"): answer()})
    assert list(unanswered(requests, "script", answers)) == [
        Pending(request_hash(each.body, "script"), each) for each in (requests[0], requests[3])
    ]


def test_asking_with_a_bar_keeps_answers_and_tells_reasons(answers: Answers) -> None:
    requests = asked(A, B)
    pending: Callable[[], Iterator[Pending]] = lambda: unanswered(requests, "script", answers)  # noqa: E731
    reasons = ask_with_bar(Script({B: ["too long"]}).engine, pending, answers, problem)
    assert reasons == {request_hash(requests[1].body, "script"): "too long"}
    assert request_hash(requests[0].body, "script") in answers


def test_the_first_valid_answer_counts_and_no_later_one_is_needed(answers: Answers) -> None:
    bodies = [patch(asked(A)[0].body, attempt) for attempt in range(3)]
    answers.add({request_hash(body, "x"): answer(f"good {attempt}") for attempt, body in enumerate(bodies)})  # an earlier run's
    script = Script({})
    (found,) = settle(lambda: asked(A), "x", script.send(answers), answers, 2, lambda each, said: "")
    assert (script.texts, found.hashes, found.problem) == ([], [request_hash(bodies[0], "x")], "")
    assert found.cell(answers) == "good 0"


def test_of_requests_that_ask_the_very_same_one_is_pending(answers: Answers) -> None:
    sent: list[list[Pending]] = []

    def send(pending: Callable[[], Iterator[Pending]], attempt: int) -> dict[str, str]:
        sent.append(list(pending()))
        return {}

    requests = asked(A, B, A)
    list(settle(lambda: requests, "x", send, answers, 0, lambda each, said: ""))
    assert sent == [[Pending(request_hash(each.body, "x"), each) for each in requests[:2]]]
