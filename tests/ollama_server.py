"""Servers on 127.0.0.1 that speak the Ollama API: a proxy in front of any OpenAI API, and one that does wrong what a test scripts.

with BatchServer(llama()) as model, ollama_proxy(model.base_url) as url:
    ollama_client(url).chat(f"{PREFIX}/smollm2", messages, format=schema, options={"temperature": 0, "num_predict": 50})

with OllamaServer() as server:
    server.script.delay = 3
    server.client(timeout=1).chat(MODEL, messages)  # raises httpx.ReadTimeout
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from batch_server import Answer, Body, Loopback, Refused, Reply, Route, Tally, Troubles, canned, tokens, troubled
from fastapi import APIRouter
from fastapi.responses import Response

if TYPE_CHECKING:
    from ollama import Client

MODEL = "smollm2:135m"
PREFIX = "local"
"""What the proxy knows the models of the server behind it by: `local/<model>`."""
NO_PROXIES = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def ollama_client(url: str, **options: Any) -> "Client":
    """The official client."""
    import ollama

    return ollama.Client(host=url, trust_env=False, **options)


@contextmanager
def ollama_proxy(base_url: str, patience: float = 30) -> Iterator[str]:
    """The package ollama-proxy-plus in front of the OpenAI API at `base_url`; gives the address of its Ollama API.

    What it makes of a request: `format` goes on as a response_format, and of `options` temperature, top_p, stop and num_predict do. Seed,
    num_ctx and all others are lost. What it makes of an answer: done_reason is always stop, even where the model was cut off, counts of
    tokens are counts of words, and any error is a 502, after three tries of its own where the server behind it answers with 429 or 5xx.
    Ask it for models as `local/<model>`, and not for a stream, which a BatchServer does not have.

    Parameters
    ----------
    patience
        Seconds within which it must answer for the first time.

    Raises
    ------
    RuntimeError
        If it does not; with what it printed.
    """
    with TemporaryDirectory() as folder:
        # Its own folder, since it reads ollama-proxy.yaml where it is started, and an environment without the machine's proxies and keys:
        # a model's name without a prefix goes to api.openai.com, and without a key it gets nowhere.
        environment = {key: value for key, value in os.environ.items() if key in ("HOME", "LANG", "PATH")}
        environment |= NO_PROXIES | {"PYTHON_DOTENV_DISABLED": "1"}
        environment |= {f"PROVIDERS_{PREFIX.upper()}_BASE_URL": base_url, f"PROVIDERS_{PREFIX.upper()}_API_KEY": "sk-test"}
        log = Path(folder, "log")
        port = _free_port()
        command = [sys.executable, "-m", "ollama_proxy", "serve", "--host", "127.0.0.1", "--port", str(port)]
        with log.open("wb") as stream:
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=stream, stderr=stream)
        try:
            url = f"http://127.0.0.1:{port}"
            end = time.monotonic() + patience
            while not _answers(f"{url}/api/version"):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the proxy does not answer:\n{log.read_text(errors='replace')}")
                time.sleep(0.05)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:  # it waits for answers that are under way
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=1):
            return True
    except (URLError, OSError):
        return False


@dataclass
class OllamaScript(Troubles):
    """What the server does wrong. A `Trouble` names api.chat, api.tags, api.show or api.version."""

    break_bodies: int = 0
    """So many answers are sent as broken JSON."""


class OllamaServer(Loopback):
    """The Ollama API, with canned answers.

    A model that is not among `models` is answered with 404. As with the real one, options that it does not know are ignored, and a prompt
    that is longer than num_ctx (4096 where nothing is said) is cut without a word: prompt_eval_count says how much of it was read.

    `received` and `answered` count chats by `body_hash` of what was posted.
    """

    def __init__(self, answer: Answer | None = None, models: tuple[str, ...] = (MODEL,)) -> None:
        super().__init__()
        self.answer = answer or canned
        self.script: OllamaScript = OllamaScript()
        self.models = models
        self.received, self.answered = Tally(), Tally()
        router = APIRouter(prefix="/api", route_class=Route)
        for method, path, endpoint in (
            ("POST", "chat", self._chat),
            ("GET", "tags", self._tags),
            ("POST", "show", self._show),
            ("GET", "version", self._version),
        ):
            router.add_api_route(f"/{path}", endpoint, name=f"api.{path}", methods=[method], response_model=None)
        self.app.include_router(router)

    @property
    def environment(self) -> dict[str, str]:
        """What makes the official client of any process come here, whatever proxies the machine has."""
        return NO_PROXIES | {"OLLAMA_HOST": self.url}

    def client(self, **options: Any) -> "Client":
        """The official client."""
        return ollama_client(self.url, **options)

    def error(self, failure: Refused) -> Body:
        return {"error": str(failure)}

    def _known(self, model: str) -> None:
        if model not in self.models:
            raise Refused(404, f"model '{model}' not found")

    def _chat(self, body: Body) -> Response:
        with self.counting:
            self.received.add(body)
        self._known(body["model"])
        options = body.get("options") or {}
        reply = troubled(self, Reply(*self.answer(_as_openai(body, options))))
        with self.counting:
            self.answered.add(body)
        prompt_tokens, completion_tokens = tokens(body, reply)
        shown = {"model": body["model"], "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        end = {
            "done": True,
            "done_reason": reply.finish_reason,
            "total_duration": 4_000_000,
            "load_duration": 1_000_000,
            "prompt_eval_count": min(prompt_tokens, options.get("num_ctx") or 4096),
            "prompt_eval_duration": 1_000_000,
            "eval_count": completion_tokens,
            "eval_duration": 2_000_000,
        }
        said = {"role": "assistant", "content": reply.content}
        objects = [shown | {"message": said} | end]
        if body.get("stream", True):
            objects = [shown | {"message": said, "done": False}, shown | {"message": said | {"content": ""}} | end]
        text = "".join(f"{json.dumps(each)}\n" for each in objects)
        if self.take("break_bodies"):
            text = text[: len(text) // 2]
        return Response(text, media_type="application/x-ndjson" if body.get("stream", True) else "application/json")

    def _tags(self) -> Body:
        return {"models": [{"name": model, "model": model, "size": 0, "digest": "", "details": _details()} for model in self.models]}

    def _show(self, body: Body) -> Body:
        self._known(body.get("model") or body.get("name", ""))
        return {"details": _details(), "model_info": {"llama.context_length": 8192}, "capabilities": ["completion"]}

    def _version(self) -> Body:
        return {"version": "0.12.0"}


def _as_openai(body: Body, options: Body) -> Body:
    """A chat as the OpenAI API would have it, for what answers."""
    completion: Body = {"model": body["model"], "messages": body["messages"]}
    wanted = body.get("format")
    if isinstance(wanted, dict):
        completion["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted}}
    elif wanted == "json":
        completion["response_format"] = {"type": "json_object"}
    names = {"temperature": "temperature", "seed": "seed", "num_predict": "max_tokens"}
    return completion | {names[key]: value for key, value in options.items() if key in names}


def _details() -> Body:
    return {"format": "gguf", "family": "llama", "parameter_size": "134.52M", "quantization_level": "Q4_1"}
