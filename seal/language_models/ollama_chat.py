"""Language models of an Ollama server."""

import os
import random
import time
from typing import Any

import httpx
import ollama

from seal.errors import InputError
from seal.language_models.answers import Answer, Engine, Unanswered
from seal.language_models.batch_files import Body
from seal.language_models.environment import number, whole_number

TRIES = 5
"""How often a request is sent to a server that answers with an error of its own."""


def engine(context_tokens: int) -> Engine:
    """The server at `OLLAMA_API_HOST` (default 127.0.0.1:11434), given `OLLAMA_API_TIMEOUT` seconds (default 600) for an answer.

    Parameters
    ----------
    context_tokens
        Room for a request and its answer together. It is told to the server, which would otherwise cut a long request without a word.

    Raises
    ------
    InputError
        If `OLLAMA_API_HOST` is no address, `OLLAMA_API_TIMEOUT` no number or `SEAL_WORKERS` no whole number.
    """
    host = os.environ.get("OLLAMA_API_HOST") or "http://127.0.0.1:11434"
    try:
        client = ollama.Client(host=host, timeout=number("OLLAMA_API_TIMEOUT", 600))
    except ValueError as error:
        raise InputError(f"OLLAMA_API_HOST is {host!r} ({error}); expected an address such as http://127.0.0.1:11434") from None

    def ask(body: Body) -> Answer:
        response_format = body["response_format"]
        options = {
            "temperature": body["temperature"],
            "seed": body["seed"],
            "num_predict": body["max_tokens"],
            "num_ctx": context_tokens,
        }
        schema: Any = response_format["json_schema"]["schema"] if response_format["type"] == "json_schema" else "json"
        for attempt in range(TRIES):
            if attempt:
                time.sleep(2**attempt * random.uniform(0.125, 0.25))
            try:
                response = client.chat(body["model"], messages=body["messages"], format=schema, options=options)
            except ollama.ResponseError as error:
                if error.status_code == 404:
                    raise InputError(f"Ollama at {host} has no model {body['model']}; run `ollama pull {body['model']}` there") from None
                if error.status_code < 500 and error.status_code != 429:
                    raise Unanswered(f"status {error.status_code}") from None
            except httpx.TimeoutException:
                raise Unanswered("no answer in time") from None
            except ConnectionError:
                raise InputError(
                    f"no Ollama server at {host}; start it or set OLLAMA_API_HOST to its address: what is done is kept"
                ) from None
            except (httpx.TransportError, ValueError):  # the connection broke off, or what came is not JSON
                continue
            else:
                return _answer(response, context_tokens)
        raise InputError(f"Ollama at {host} answered {TRIES} times with an error; see its log and run again: what is done is kept")

    return Engine(ask, workers=whole_number("SEAL_WORKERS", 4))


def _answer(response: ollama.ChatResponse, context_tokens: int) -> Answer:
    input_tokens, output_tokens = response.prompt_eval_count or 0, response.eval_count or 0
    if input_tokens >= context_tokens:
        raise Unanswered("longer than the context")
    return Answer(response.message.content or "", response.done_reason or "stop", input_tokens, output_tokens)
