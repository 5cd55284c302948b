"""Language models behind the OpenAI API, or any server that speaks it, asked one request at a time."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import openai

from seal.errors import InputError
from seal.language_models.answers import Answer, Engine, Unanswered, from_completion
from seal.language_models.batch_files import Body
from seal.language_models.environment import number, whole_number

RETRIES = 6
"""How often the client tries again after a 429, a 5xx or a lost connection, with jittered back-off or after what Retry-After says."""


def client() -> openai.OpenAI:
    """A client with the key in `OPENAI_API_KEY`, for the server at `OPENAI_BASE_URL` (default: OpenAI's own).

    Raises
    ------
    InputError
        If there is no key.
    """
    if not os.environ.get("OPENAI_API_KEY"):
        raise InputError(
            "no key: set OPENAI_API_KEY in the environment or in .env (see .env.example); any word will do for a server that asks for none"
        )
    if not os.environ["OPENAI_API_KEY"].isascii():
        raise InputError("the key in OPENAI_API_KEY has letters that no key has; check it in the environment or in .env")
    return openai.OpenAI(max_retries=RETRIES, timeout=number("SEAL_TIMEOUT", 600))


def engine(of: openai.OpenAI) -> Engine:
    """Ask for chat completions."""

    def ask(body: Body) -> Answer:
        try:
            with told_in_one_line(of, (openai.BadRequestError, openai.UnprocessableEntityError)):
                completion = of.chat.completions.with_raw_response.create(**body)
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise Unanswered(refusal(error.status_code, error.code)) from None
        try:
            content = json.loads(completion.text)
        except ValueError:
            content = None
        answer = from_completion({"response": {"status_code": 200, "body": content}})
        if answer is None:  # it may have been paid for, so it is not asked for again at once
            raise Unanswered("broken answer")
        return answer

    return Engine(ask, workers=whole_number("SEAL_WORKERS", 4))


def refusal(status: int | None, code: str | None) -> str:
    """The reason of a request that the server refuses, from what never quotes the text: the status and the code."""
    return f"status {named(status, code)}"


def named(status: int | None, code: str | None) -> str:
    """A status with its code, where there is one."""
    return f"{status} {code}" if code else f"{status}"


@contextmanager
def told_in_one_line(of: openai.OpenAI, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn what the client raises into an InputError that holds no text, no answer and no key.

    What is in `passing` goes through as it is.
    """
    host = of.base_url.host
    try:
        yield
    except openai.RateLimitError as error:
        if error.code == "insufficient_quota":  # no waiting helps
            raise InputError(f"{host} says that the quota of this key is used up (429 insufficient_quota); see to its account") from None
        if isinstance(error, passing):
            raise
        raise InputError(f"{host} still turns requests away ({named(429, error.code)}); run again later: what is done is kept") from None
    except passing:
        raise
    except openai.AuthenticationError:
        raise InputError(f"{host} refuses the key (401); check OPENAI_API_KEY and OPENAI_BASE_URL") from None
    except openai.PermissionDeniedError as error:
        raise InputError(f"{host} denies this key the request ({named(403, error.code)}); check what the key may do") from None
    except openai.NotFoundError as error:
        raise InputError(
            f"{host} has no such thing ({named(404, error.code)}); check the model, the batch ids and OPENAI_BASE_URL, and run again"
        ) from None
    except openai.APIConnectionError:
        raise InputError(f"no connection to {host}; check OPENAI_BASE_URL and the network, and run again: what is done is kept") from None
    except openai.APIStatusError as error:
        raise InputError(f"{host} answers with {refusal(error.status_code, error.code)}; run again later: what is done is kept") from None
    except (openai.OpenAIError, json.JSONDecodeError, AttributeError) as error:
        if isinstance(error, AttributeError) and not isinstance(error.obj, str):  # the client hands on a page of text as a str
            raise
        raise InputError(f"{host} gives an answer that is none of the OpenAI API; check OPENAI_BASE_URL and run again") from None
