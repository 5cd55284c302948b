"""What is asked of a labeler: one request for each text."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from seal.errors import InputError
from seal.features import FEATURES, json_schema, values
from seal.language_models.batch_files import Body, Request, lines_of
from seal.language_models.quoting import quoted
from seal.pairs import PREFERENCES

_KEY = re.compile(r"- (\w+): ")
_PLACEHOLDER = re.compile(r"\{\w+\}")


class Options(NamedTuple):
    """What a request says beside its text."""

    model: str
    response_format: str
    """json_schema, which holds the model to the schema, or json_object for models that lack it."""
    temperature: float
    max_tokens: int
    """Longest answer, in tokens."""
    seed: int


def checked(labeler: str, options: Options) -> Options:
    """The options, once they are found to be such as can be asked with.

    Raises
    ------
    InputError
        If one is out of its range, or a model is named to a labeler that has none.
    """
    if labeler == "rules" and options.model != "rules":
        raise InputError(f"model is {options.model}, and the labeler rules asks none; set model to rules, or name the labeler that has it")
    if not (math.isfinite(options.temperature) and options.temperature >= 0):
        raise InputError(f"temperature is {options.temperature}; expected a number from 0 up")
    if options.max_tokens < 1 or options.seed < 0:
        raise InputError(f"max-tokens is {options.max_tokens} and seed {options.seed}; expected 1 or more tokens, and a seed from 0 up")
    return options


def read_prompt(path: str | Path) -> str:
    """The wording of the task.

    Raises
    ------
    InputError
        If the file is missing, does not have exactly one line for each feature, or has a placeholder other than `{values}`.
    """
    try:
        prompt = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the wording of the task, such as prompts/taxonomy.txt") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a UTF-8 text; save it as one") from None
    keys = [match[1] for line in prompt.splitlines() if (match := _KEY.match(line))]
    if keys != list(FEATURES):
        wrong = sorted(set(keys) ^ set(FEATURES)) or "their order"
        raise InputError(f"{path}: its lines `- key: meaning` do not name each feature once, in order; what differs: {wrong}")
    unknown = set(_PLACEHOLDER.findall(prompt)) - {"{values}"}
    if unknown:
        raise InputError(f"{path}: {min(unknown)} stands for nothing; only {{values}}, a feature's allowed values, is filled in")
    return prompt


def instructions(prompt: str, features: Sequence[str] = FEATURES) -> str:
    """The system message: the wording with the lines of the features asked for and their allowed values."""
    lines = []
    for line in prompt.splitlines():
        match = _KEY.match(line)
        if match is None:
            lines.append(line)
        elif match[1] in features:
            allowed = values(match[1]) if "{values}" in line else ()
            lines.append(line.replace("{values}", ", ".join(json.dumps(value) for value in allowed)))
    return "\n".join(lines).strip()


def request(row_id: int, preference: str, text: str, system: str, options: Options, features: Sequence[str] = FEATURES) -> Request:
    """Ask for the labels of a text."""
    response_format: dict[str, Any] = {"type": options.response_format}
    if options.response_format == "json_schema":
        response_format["json_schema"] = {"name": "labels", "strict": True, "schema": json_schema(features)}
    return Request(
        f"{row_id}.{preference}",
        {
            "model": options.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": as_data(text)}],
            "response_format": response_format,
            "temperature": options.temperature,
            "max_tokens": options.max_tokens,
            "seed": options.seed,
        },
    )


def requests_for(pairs: pd.DataFrame, system: str, options: Options, features: Sequence[str] = FEATURES) -> Iterator[Request]:
    """Ask for the labels of both texts of every pair, by row_id, chosen before rejected."""
    ordered = pairs.sort_values("row_id")
    for row_id, *texts in zip(*(ordered[column].tolist() for column in ("row_id", "chosen_text", "rejected_text")), strict=True):
        for preference, text in zip(PREFERENCES, texts, strict=True):
            yield request(row_id, preference, text, system, options, features)


def as_data(text: str) -> str:
    """Wrap a text so that nothing in it can end it, or open a turn of its own; see `quoted`."""
    return quoted({"transcript": text})


def text_of(body: Body) -> str:
    """The text that a request is about."""
    return str(json.loads(body["messages"][-1]["content"])["transcript"])


def identify(custom_id: str) -> tuple[int, str]:
    """The row_id and the preference of a custom_id.

    Raises
    ------
    ValueError
        If it has another form.
    """
    row_id, _, preference = custom_id.partition(".")
    if preference not in PREFERENCES or row_id != str(int(row_id)):
        raise ValueError(f"{custom_id}: not <row_id>.<preference>")
    return int(row_id), preference


def read_manifest(folder: str | Path) -> Iterator[Request]:
    """The requests of a folder of batch files, or of one such file, read as they are asked for: there may be more than memory holds.

    Raises
    ------
    InputError
        If there is none, a line is no request, a custom_id stands there twice, or not all ask one model for the same features.
    """
    root = Path(folder)
    seen: set[str] = set()
    asked: set[tuple[str, tuple[str, ...]]] = set()
    for file in sorted(root.glob("*.jsonl")) if root.is_dir() else [root]:
        for number, line in lines_of(file):
            try:
                each = Request(line["custom_id"], line["body"])
                identify(each.custom_id)
                asked.add((each.body["model"], features_of(each.body)))
                _check_body(each.body)
            except (ValueError, KeyError, TypeError, IndexError, AttributeError):
                raise InputError(f"{file}: line {number} is no request for labels; write it with stages/taxonomy_create_batch.py") from None
            if each.custom_id in seen:
                raise InputError(f"{file}: line {number}: the custom_id {each.custom_id} stands there twice")
            if len(asked) > 1:
                raise InputError(f"{file}: line {number} asks another model, or for other features, than the lines before; keep them apart")
            seen.add(each.custom_id)
            yield each
    if not seen:
        raise InputError(f"{folder}: no requests in there; run stages/taxonomy_create_batch.py to write them")


def _check_body(body: Body) -> None:
    """Raise KeyError, TypeError or ValueError where a request lacks what a server wants, or has it in another form."""
    if [message["role"] for message in body["messages"]] != ["system", "user"]:
        raise ValueError
    if body["response_format"]["type"] not in ("json_schema", "json_object") or not isinstance(body["model"], str):
        raise ValueError
    if not (float(body["temperature"]) >= 0 and int(body["max_tokens"]) > 0 and int(body["seed"]) >= 0):
        raise ValueError
    text_of(body).encode()


def features_of(body: Body) -> tuple[str, ...]:
    """The features that a request asks for, by the lines of its instructions.

    Raises
    ------
    ValueError
        If it asks for none, or for one that does not exist.
    """
    return _features_named(body["messages"][0]["content"])


@lru_cache
def _features_named(system: str) -> tuple[str, ...]:
    asked = tuple(match[1] for line in system.splitlines() if (match := _KEY.match(line)))
    if not asked or not set(asked) <= set(FEATURES):
        raise ValueError("no features, or unknown ones")
    return asked
