"""Requests to a language model in the form of the OpenAI Batch API, and the files that hold them."""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from seal.errors import InputError
from seal.files import fingerprint, write_text

URL: Literal["/v1/chat/completions"] = "/v1/chat/completions"
MAX_REQUESTS, MAX_BYTES = 49_999, 99_999_999
"""A file of a batch stays below 50,000 requests and 100 MB (the limits that SEAL had; larger ones have been granted since)."""

Body = dict[str, Any]
"""What a chat completions endpoint takes."""


class Request(NamedTuple):
    """One request."""

    custom_id: str
    """By which its answer is known in a batch; `<row_id>.<preference>` for a text."""
    body: Body


class Pending(NamedTuple):
    """A request and the hash that its answer is kept under."""

    hash: str
    request: Request


def request_hash(body: Body, identity: str) -> str:
    """What a request's answer is found by: all that affects it, which is its whole body and who answers."""
    return fingerprint(identity, body)


def as_line(request: Request) -> str:
    """A request as a line of a batch file, with the same bytes for the same request."""
    line = {"custom_id": request.custom_id, "method": "POST", "url": URL, "body": request.body}
    return json.dumps(line, ensure_ascii=False) + "\n"


def shards(
    requests: Iterable[Request],
    max_requests: int = MAX_REQUESTS,
    max_bytes: int = MAX_BYTES,
    max_tokens: float = math.inf,
    tokens: Callable[[Body], float] = lambda body: 0.0,
) -> Iterator[list[Request]]:
    """Cut requests into files of a batch, each within all limits; `tokens` gives those of a request.

    Raises
    ------
    InputError
        If a single request is beyond a limit.
    """
    shard: list[Request] = []
    size, weight = 0, 0.0
    for each in requests:
        length, count = len(as_line(each).encode()), tokens(each.body)
        if length > max_bytes or count > max_tokens:
            raise InputError(f"request {each.custom_id}: {length} bytes, {count:.0f} tokens, more than a batch may hold; leave its row out")
        if shard and (len(shard) == max_requests or size + length > max_bytes or weight + count > max_tokens):
            yield shard
            shard, size, weight = [], 0, 0.0
        shard.append(each)
        size += length
        weight += count
    if shard:
        yield shard


def write_manifest(folder: str | Path, requests: Iterable[Request]) -> int:
    """Write requests as files of a batch, `requests-00000.jsonl` and so on, and take any older ones away; returns their number."""
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    written = []
    for number, shard in enumerate(shards(requests)):
        written.append(root / f"requests-{number:05}.jsonl")
        write_text(written[-1], "".join(map(as_line, shard)))
    for left in set(root.glob("requests-*.jsonl")) - set(written):
        left.unlink()
    return len(written)


def lines_of(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a JSONL file, each with the number of its line.

    Raises
    ------
    InputError
        If the file is missing or a line is no JSON object.
    """
    try:
        with open(path, "rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, _json_object(path, number, line)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None


def _json_object(path: str | Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path}: line {number} is no JSON object; take the file again from where it came")
    return content
