"""What is asked of a rewriter: the turns of a conversation in other words, all of them in one request, or a few at a time."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seal.errors import InputError
from seal.language_models.batch_files import Body, Request
from seal.language_models.quoting import quoted
from seal.transcripts import Turn

CHARACTERS_PER_TOKEN = 3
"""A low rate for English, as a span that is too long for its model is lost."""


class Options(NamedTuple):
    """What a request says beside its turns."""

    model: str
    response_format: str
    """json_schema, which holds the model to the keys, or json_object for models that lack it."""
    temperature: float
    max_tokens: int
    """Longest answer, in tokens."""


def read_prompt(path: str | Path) -> str:
    """The wording of the task.

    Raises
    ------
    InputError
        If the file is missing, empty or no UTF-8 text.
    """
    try:
        prompt = Path(path).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the wording of the task, such as prompts/rewrite.txt") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a UTF-8 text; save it as one") from None
    if not prompt:
        raise InputError(f"{path}: empty; give the wording of the task, such as prompts/rewrite.txt")
    return prompt


def requests_for(
    text_id: str, turns: Sequence[Turn], system: str, options: Options, seed: int, answer_tokens: int, context_tokens: int
) -> Iterator[Request]:
    """Ask for a conversation in other words: in one request where it and its answer fit, else in as few as hold it, cut between turns.

    Parameters
    ----------
    text_id
        A name of the text; that of a request is `<text_id>.<number of its first turn>`.
    answer_tokens, context_tokens
        Room for an answer, and for a request and its answer together.
    """
    start = 0
    for end in _ends(turns, system, answer_tokens, context_tokens):
        span = turns[start:end]
        schema = {"name": "rewrite", "strict": True, "schema": _schema(len(span))}
        response_format: dict[str, Any] = {"type": options.response_format}
        if options.response_format == "json_schema":
            response_format["json_schema"] = schema
        body = {
            "model": options.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": as_data(span)}],
            "response_format": response_format,
            "temperature": options.temperature,
            "max_tokens": options.max_tokens,
            "seed": seed,
        }
        yield Request(f"{text_id}.{start + 1}", body)
        start = end


def _ends(turns: Sequence[Turn], system: str, answer_tokens: int, context_tokens: int) -> Iterator[int]:
    """Where each span ends: as late as leaves room for its answer, which is taken to be as long as itself, and after one turn at least."""
    instructions = len(system) / CHARACTERS_PER_TOKEN
    start = 0
    while start < len(turns):
        end = start + 1
        while end < len(turns):
            tokens = len(as_data(turns[start : end + 1])) / CHARACTERS_PER_TOKEN
            if tokens > answer_tokens or instructions + 2 * tokens > context_tokens:
                break
            end += 1
        yield end
        start = end


def as_data(turns: Sequence[Turn]) -> str:
    """Wrap turns so that nothing in them can end them or open a turn of its own; see `quoted`."""
    return quoted({f"turn_{number}": {"role": turn.role, "text": turn.content} for number, turn in enumerate(turns, start=1)})


def turns_of(body: Body) -> list[Turn]:
    """The turns that a request is about."""
    return [Turn(turn["role"], turn["text"]) for turn in json.loads(body["messages"][-1]["content"]).values()]


def _schema(turns: int) -> dict[str, Any]:
    keys = [f"turn_{number}" for number in range(1, turns + 1)]
    return {
        "type": "object",
        "properties": {key: {"type": "string"} for key in keys},
        "required": keys,
        "additionalProperties": False,
    }
