"""Answers of language models, kept as they come and found again by what was asked, so that nothing is asked twice."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from seal.errors import InputError
from seal.files import write_text
from seal.journal import Journal
from seal.language_models.batch_files import Body, Pending, lines_of


class Answer(NamedTuple):
    """What a model answered to one request."""

    content: str
    finish_reason: str
    """stop; length where the answer was cut off; or what else the server says."""
    input_tokens: int
    output_tokens: int
    batch: bool = False
    """Whether it came through a batch, at the batch's price."""

    def as_line(self, custom_id: str, request_hash: str) -> str:
        """A line of an output file of the OpenAI Batch API, with the request's hash and without what differs from run to run."""
        choice = {"index": 0, "message": {"role": "assistant", "content": self.content}, "finish_reason": self.finish_reason}
        usage = {"prompt_tokens": self.input_tokens, "completion_tokens": self.output_tokens}
        body = {"object": "chat.completion", "choices": [choice], "usage": usage}
        response = {"status_code": 200, "body": body}
        line = {"custom_id": custom_id, "request": request_hash, "batch": self.batch, "response": response, "error": None}
        return json.dumps(line) + "\n"  # in ASCII, as half a surrogate pair in an answer has no UTF-8


def write(path: str | Path, answers: Mapping[str, tuple[str, Answer]]) -> None:
    """Write answers, given by the hash of the request and each with its custom_id, a line each."""
    write_text(path, "".join(answer.as_line(custom_id, request_hash) for request_hash, (custom_id, answer) in answers.items()))


class Unanswered(Exception):
    """A request that got no answer, and would get none if it were sent again now. `reason` is a few words for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Engine(NamedTuple):
    """What answers requests."""

    ask: Callable[[Body], Answer]
    """Answer one request; raises Unanswered. Called from `workers` threads at once."""
    workers: int = 1
    together: int = 1
    """How many answers are written to the journal at a time: more than one where an answer is cheaper than the writing of it."""


class Answers:
    """Answers by request hash: those that are known from a file, and those of a journal, which grows.

    Parameters
    ----------
    journal
        An open journal.
    known
        Files of raw answers, with the hash of each request, that are asked before anybody is paid.

    Raises
    ------
    InputError
        If a file of known answers is missing or has a line that is no answer.
    """

    def __init__(self, journal: Journal, known: Iterable[str | Path] = ()) -> None:
        self._journal = journal
        self._found: dict[str, Answer] = {}
        for path in known:
            for number, line in lines_of(path):
                answer = from_completion(line)
                if answer is None or not isinstance(line.get("request"), str):
                    raise InputError(f"{path}: line {number} is no raw answer with the hash of its request, as answers.jsonl has them")
                self._found[line["request"]] = answer
        try:
            for record in journal.records:
                self._found |= {request_hash: Answer(*fields) for request_hash, fields in record["answers"].items()}
        except (KeyError, TypeError, AttributeError):
            raise InputError(f"{journal.path}: a line is no record of answers; delete the file to ask anew") from None

    def __contains__(self, request_hash: str) -> bool:
        return request_hash in self._found

    def __getitem__(self, request_hash: str) -> Answer:
        return self._found[request_hash]

    def know(self, answers: dict[str, Answer]) -> None:
        """Take answers that stand in a file which every run is given, so that they need no keeping."""
        self._found |= answers

    def add(self, answers: dict[str, Answer]) -> None:
        """Keep answers; once this returns they outlive a kill."""
        if answers:
            self._journal.append({"answers": answers})
            self._found |= answers


def ask_all(
    engine: Engine, pending: Iterable[Pending], answers: Answers, tell: Callable[[Pending, Answer | Unanswered], None]
) -> dict[str, str]:
    """Have requests answered, several at a time.

    Parameters
    ----------
    pending
        Read as the work goes on.
    tell
        Called with each request and what came of it.

    Returns
    -------
    The reason of each request that got no answer, by its hash.
    """
    unanswered: dict[str, str] = {}
    finished: dict[str, Answer] = {}
    try:
        for each, outcome in _outcomes(engine, iter(pending)):
            if isinstance(outcome, Unanswered):
                unanswered[each.hash] = outcome.reason
            else:
                finished[each.hash] = outcome
                if len(finished) >= engine.together:
                    answers.add(finished)
                    finished = {}
            tell(each, outcome)
    finally:
        answers.add(finished)
    return unanswered


def _outcomes(engine: Engine, pending: Iterator[Pending]) -> Iterator[tuple[Pending, Answer | Unanswered]]:
    """Outcomes as they come, with never more requests under way than there are workers."""
    if engine.workers == 1:
        yield from ((each, _outcome(engine, each)) for each in pending)
        return
    with ThreadPoolExecutor(engine.workers) as pool:
        running: dict[Future[Answer | Unanswered], Pending] = {}
        failure: BaseException | None = None
        try:
            while True:
                if failure is None:
                    for each in islice(pending, engine.workers - len(running)):
                        running[pool.submit(_outcome, engine, each)] = each
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    each = running.pop(future)
                    if error := future.exception():
                        failure = failure or error  # what the other workers have under way may be paid for: it is waited for and kept
                    else:
                        yield each, future.result()
            if failure:
                raise failure
        finally:
            for future in running:
                future.cancel()


def _outcome(engine: Engine, pending: Pending) -> Answer | Unanswered:
    try:
        return engine.ask(pending.request.body)
    except Unanswered as failure:
        return failure


def from_completion(line: dict[str, Any], batch: bool = False) -> Answer | None:
    """The answer of a line of a batch's output file; None where the line holds none."""
    try:
        response = line["response"]
        if response["status_code"] != 200:
            return None
        choice, usage = response["body"]["choices"][0], response["body"].get("usage") or {}
        return Answer(
            str(choice["message"]["content"] or ""),
            str(choice["finish_reason"]),
            int(usage.get("prompt_tokens") or 0),
            int(usage.get("completion_tokens") or 0),
            bool(line.get("batch", batch)),
        )
    except (KeyError, TypeError, IndexError, ValueError, AttributeError):
        return None


def take_output_file(path: str | Path, hashes: dict[str, str], answers: Answers) -> None:
    """Take the answers of a finished output file in the form of the OpenAI Batch API, matched by custom_id.

    Lines without an answer are as if they were missing; what has an answer already keeps it. Only the custom_id ties such a file to its
    requests, unless its lines name the hash of the request that they answer, as ours do.

    Parameters
    ----------
    hashes
        The hash of each request by its custom_id.

    Raises
    ------
    InputError
        If the file is missing, damaged, or names a request that isn't there.
    """
    found = {}
    for number, line in lines_of(path):
        custom_id = str(line.get("custom_id"))
        if custom_id not in hashes:
            raise InputError(f"{path}: line {number}: the manifest has no request {custom_id!r}; give the output file of this manifest")
        if line.get("request", hashes[custom_id]) != hashes[custom_id]:
            raise InputError(f"{path}: line {number} answers another request than {custom_id} here; give the files of this manifest")
        answer = from_completion(line, batch=True)
        if answer is not None and hashes[custom_id] not in answers:
            found[hashes[custom_id]] = answer
    answers.know(found)
