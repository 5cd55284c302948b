"""Requests sent through the OpenAI Batch API, so that none is paid for twice, whatever dies in between.

What was uploaded and created stands in a ledger, step by step, and every step is written down before it is taken. A run that finds a
step begun and not ended asks the server what came of it, and adopts the file or the batch that is there.
"""

import hashlib
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import openai
from openai.types import Batch

from seal.errors import InputError
from seal.files import fingerprint
from seal.journal import Journal
from seal.language_models.answers import Answer, Answers, from_completion
from seal.language_models.batch_files import MAX_BYTES, MAX_REQUESTS, URL, Body, Pending, Request, as_line, shards
from seal.language_models.cost import Budget, Estimate
from seal.language_models.environment import number
from seal.language_models.openai_chat import refusal, told_in_one_line

ATTEMPTS = 3
"""In how many batches of one run a request is sent before it counts as unanswered; what expires or fails is not paid for."""

SMALLEST = 20
"""The fewest requests that a file is cut down to where the server's queue has no room for more."""

ENDED = ("completed", "failed", "expired", "cancelled")
QUEUE_FULL = "token_limit_exceeded"
"""The code of a batch that failed because too many tokens wait already."""

_TRANSIENT = (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError)


class Terms(NamedTuple):
    """What a run may spend and how long it may wait."""

    cost: Callable[[Body], float]
    """US dollars that a request is expected to cost."""
    tokens: Callable[[Body], float]
    """Input tokens of a request."""
    budget: Budget
    """Nothing is sent if that is expected to cost more than is left."""
    enqueued_tokens: float
    """Most input tokens that wait in batches at a time; infinite for no bound but the server's own."""
    wait: float
    """Seconds after which a run gives up waiting."""
    poll: float
    """Seconds before the batches are looked at again; more as time goes by."""


class Shard:
    """What is known of one file of requests."""

    def __init__(self, name: str, requests: dict[str, str], tokens: float) -> None:
        self.name = name
        self.requests = requests  # custom_id: hash
        self.tokens = tokens
        self.file: str | None = None
        self.creating = False
        self.live: str | None = None
        self.batches: list[str] = []


class Ledger:
    """The files uploaded and the batches created, by the SHA-256 of each file's bytes, kept in a journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.path = journal.path
        self.shards: dict[str, Shard] = {}
        for record in journal.records:
            self._apply(record)

    def note(self, shard: str, step: str, **content: Any) -> None:
        """Write a step down; once this returns it outlives a kill."""
        record = {"shard": shard, "step": step, **content}
        self._journal.append(record)
        self._apply(record)

    def _apply(self, record: dict[str, Any]) -> None:
        if record["step"] == "upload":
            self.shards[record["shard"]] = Shard(record["shard"], record["requests"], record["tokens"])
            return
        shard = self.shards[record["shard"]]
        if record["step"] == "uploaded":
            shard.file = record["file"]
        elif record["step"] == "create":
            shard.creating = True
        elif record["step"] == "created":
            shard.creating, shard.live = False, record["batch"]
            shard.batches.append(record["batch"])
        elif record["step"] == "not created":
            shard.creating, shard.file = False, record["file"]
        elif record["step"] == "taken":
            shard.live = None

    def live(self) -> list[Shard]:
        """Files whose batch is under way."""
        return [shard for shard in self.shards.values() if shard.live]


def ledger_file(client: openai.OpenAI) -> str:
    """The name of a server's ledger."""
    return f"{fingerprint(str(client.base_url))}.jsonl"


def terms(estimate: Estimate, batch_discount: float, budget: Budget) -> Terms:
    """What a run may spend, from its params, and how it waits, from the environment: `SEAL_WAIT` and `SEAL_POLL` in seconds,
    `SEAL_ENQUEUED_TOKENS` for accounts whose queue is short."""
    return Terms(
        cost=lambda body: estimate.usd(body, batch_discount),
        tokens=estimate.tokens,
        budget=budget,
        enqueued_tokens=number("SEAL_ENQUEUED_TOKENS", math.inf),
        wait=number("SEAL_WAIT", 3600),
        poll=number("SEAL_POLL", 5),
    )


def unsent(ledger: Ledger, pending: Iterable[Pending]) -> Iterator[Pending]:
    """The requests that are in no batch that is under way."""
    under_way = {key for shard in ledger.live() for key in shard.requests.values()}
    return (each for each in pending if each.hash not in under_way)


def submit(client: openai.OpenAI, ledger: Ledger, pending: Callable[[], Iterable[Pending]], terms: Terms) -> list[str]:
    """Send requests that are not under way yet.

    Parameters
    ----------
    pending
        Gives the requests that lack an answer, anew at each call.

    Returns
    -------
    The ids of the batches that are under way: those just created, and those found.

    Raises
    ------
    InputError
        If sending would cost more than the budget, or the server turns the client away.
    """
    with told_in_one_line(client):
        _adopt(client, ledger)
        _send_all(client, ledger, pending, terms, MAX_REQUESTS)
    return [str(shard.live) for shard in ledger.live()]


def settle(
    client: openai.OpenAI,
    ledger: Ledger,
    pending: Callable[[], Iterable[Pending]],
    answers: Answers,
    terms: Terms,
    tell: Callable[[int], None],
) -> dict[str, str]:
    """Send what lacks an answer, wait for the batches that bring one, and take what comes.

    Parameters
    ----------
    tell
        Called with the number of answers that came in.

    Returns
    -------
    The reason of each request that got no answer, by its hash.

    Raises
    ------
    InputError
        As `submit`; if time runs out; or if a file fails again and again for a reason that sending it once more won't mend.
    """
    unanswered: dict[str, str] = {}
    tried: Counter[str] = Counter()
    most_requests, until, pause = MAX_REQUESTS, time.monotonic() + terms.wait, terms.poll
    changed = True  # reading all that is pending takes long where it is much, so it is done only when there may be something to send

    def still_open() -> Iterator[Pending]:
        return (each for each in pending() if each.hash not in unanswered)

    while True:
        trouble, least = "", 0.0
        try:
            with _told_unless_it_may_pass(client, ledger):
                _adopt(client, ledger)
                crowded, came = 0, False
                for shard in ledger.live():
                    with _known_here(client, ledger, shard):
                        batch = client.batches.retrieve(str(shard.live))
                        if batch.status not in ENDED:
                            continue
                        changed = True
                        if _failure(batch) == QUEUE_FULL:
                            crowded = max(crowded, len(shard.requests))
                        else:
                            came, pause = True, terms.poll
                            tell(_take(client, batch, shard.requests, answers, unanswered))
                            _give_up(batch, shard, answers, tried, unanswered)
                    ledger.note(shard.name, "taken", status=batch.status)
                under_way = any(ledger.live())
                if crowded and not under_way:  # nothing else of ours waits, so it is this file that is too large
                    most_requests = max(SMALLEST, crowded // 2)
                elif came:
                    most_requests = min(MAX_REQUESTS, 2 * most_requests)
                if changed:
                    if not any(True for _ in still_open()):
                        return unanswered  # though batches of other requests may be under way still: the ledger knows them
                    if not (crowded and under_way):
                        _send_all(client, ledger, still_open, terms, most_requests)
                    changed = False
        except _TRANSIENT as error:
            trouble, least = f"; last trouble: {type(error).__name__}", _asked_to_wait(error)
        if time.monotonic() + least > until:
            missing = sum(1 for _ in still_open())
            raise InputError(
                f"{missing} requests still wait for their answers after {terms.wait:g} seconds{trouble}; run again to go on, "
                "or set SEAL_WAIT to more seconds. What came is kept, and nothing will be sent twice"
            )
        time.sleep(max(least, pause * random.uniform(0.8, 1.2)))
        pause = min(pause * 1.5, 60.0)


def take_given(client: openai.OpenAI, batch_ids: Sequence[str], requests: dict[str, str], answers: Answers) -> None:
    """Take the answers of batches that were sent by other means, matched by custom_id.

    Parameters
    ----------
    requests
        The hash of each request by its custom_id.

    Raises
    ------
    InputError
        If the server doesn't know a batch, or it has not ended.
    """
    with told_in_one_line(client):
        for batch_id in batch_ids:
            batch = client.batches.retrieve(batch_id)
            if batch.status not in ENDED:
                raise InputError(f"batch {batch_id} is {batch.status}; run again once it has ended, or leave it out of batch-ids")
            _take(client, batch, requests, answers, {})


def _adopt(client: openai.OpenAI, ledger: Ledger) -> None:
    """Find out what came of a creation that was begun and whose answer never came."""
    begun = [shard for shard in ledger.shards.values() if shard.creating]
    if not begun:
        return
    listed = list(client.batches.list(limit=100))
    for shard in begun:
        found = next((batch.id for batch in listed if batch.input_file_id == shard.file and batch.id not in shard.batches), None)
        if found:
            ledger.note(shard.name, "created", batch=found)
        else:
            ledger.note(shard.name, "not created", file=shard.file)


@contextmanager
def _told_unless_it_may_pass(client: openai.OpenAI, ledger: Ledger) -> Iterator[None]:
    """Tell an error in one line, but let through those that waiting may mend.

    A server that never took a file is most likely a wrong address, for which nobody should wait.
    """
    try:
        with told_in_one_line(client, _TRANSIENT):
            yield
    except openai.APIConnectionError:
        if any(shard.file for shard in ledger.shards.values()):
            raise
        with told_in_one_line(client):
            raise


@contextmanager
def _known_here(client: openai.OpenAI, ledger: Ledger, shard: Shard) -> Iterator[None]:
    """Tell what to do about a batch that stands in the ledger and that the server does not know.

    Its requests are not sent again unasked: most likely they are being answered for another account.
    """
    try:
        yield
    except openai.NotFoundError:
        raise InputError(
            f"{client.base_url.host} does not know batch {shard.live}, or has no files of it any more: set the OPENAI_API_KEY of the "
            f"account that sent it; if it was deleted there, delete {ledger.path} to send again what has no answer"
        ) from None


def _send_all(client: openai.OpenAI, ledger: Ledger, pending: Callable[[], Iterable[Pending]], terms: Terms, most_requests: int) -> None:
    """Send the requests that are not under way, as far as the queue has room, once they are found to be within the budget.

    A queue that had no room for more than `most_requests` gets one file at a time.
    """
    terms.budget.check({each.hash: terms.cost(each.request.body) for each in unsent(ledger, pending())})
    waiting = sum(shard.tokens for shard in ledger.live())
    hashes: dict[str, str] = {}

    def unhashed() -> Iterator[Request]:
        for each in unsent(ledger, pending()):
            hashes[each.request.custom_id] = each.hash
            yield each.request

    for requests in shards(unhashed(), most_requests, MAX_BYTES, terms.enqueued_tokens, terms.tokens):
        tokens = sum(terms.tokens(request.body) for request in requests)
        if any(ledger.live()) and (most_requests < MAX_REQUESTS or waiting + tokens > terms.enqueued_tokens):
            return
        waiting += tokens
        _send(client, ledger, requests, {request.custom_id: hashes[request.custom_id] for request in requests}, tokens, terms)


def _send(client: openai.OpenAI, ledger: Ledger, requests: list[Request], hashes: dict[str, str], tokens: float, terms: Terms) -> None:
    content = "".join(map(as_line, requests)).encode()
    name = hashlib.sha256(content).hexdigest()
    begun = name in ledger.shards
    if not begun:
        ledger.note(name, "upload", requests=hashes, tokens=tokens)
    shard = ledger.shards[name]
    if shard.file is None:
        file_name = f"{name}.jsonl"
        there = (file.id for file in client.files.list(purpose="batch") if file.filename == file_name) if begun else iter(())
        file_id = next(there, None) or client.files.create(file=(file_name, content), purpose="batch").id
        ledger.note(name, "uploaded", file=file_id)
    ledger.note(name, "create")
    terms.budget.spend({hashes[request.custom_id]: terms.cost(request.body) for request in requests})
    try:
        # No retries here: after a lost answer the list of batches is asked first whether one was created.
        batch = client.with_options(max_retries=0).batches.create(
            input_file_id=str(shard.file), endpoint=URL, completion_window="24h", metadata={"shard": name}
        )
    except openai.APIStatusError as error:
        if error.status_code < 500 and error.status_code != 408:
            # The file may be gone from the server: the next time it is looked for there, and uploaded again if it is.
            ledger.note(name, "not created", file=None if error.status_code in (400, 404) else shard.file)
        raise
    ledger.note(name, "created", batch=batch.id)


def _failure(batch: Batch) -> str:
    """The code of what a batch failed for; empty where it did not fail."""
    if batch.status != "failed":
        return ""
    errors = batch.errors.data if batch.errors and batch.errors.data else []
    return next((error.code for error in errors if error.code), "unknown")


def _take(client: openai.OpenAI, batch: Batch, requests: dict[str, str], answers: Answers, unanswered: dict[str, str]) -> int:
    """Keep the answers of a batch that ended, in whatever order they come; broken lines, and those not ours, count as missing."""
    found: dict[str, Answer] = {}
    for file_id in (batch.output_file_id, batch.error_file_id):
        for line in _lines(client, batch, file_id) if file_id else ():
            key = requests.get(str(line.get("custom_id")))
            if key is None:
                continue
            answer = from_completion(line, batch=True)
            if answer is not None and key not in answers:
                found[key] = answer
            elif answer is None and (reason := _refused(line)):
                unanswered[key] = reason
    answers.add(found)
    return len(found)


def _lines(client: openai.OpenAI, batch: Batch, file_id: str) -> list[dict[str, Any]]:
    """The lines of a file of a batch that are JSON objects.

    Raises
    ------
    InputError
        If none is: then it is no file of a batch that came, and what was paid for may still be had.
    """
    text = client.files.content(file_id).text
    lines = []
    for line in text.split("\n"):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict):
            lines.append(content)
    if text.strip() and not lines:
        raise InputError(
            f"batch {batch.id}: {client.base_url.host} sends something else in place of its file {file_id}; check OPENAI_BASE_URL and the "
            "network, and run again: nothing of the batch is sent again before its file was read"
        )
    return lines


def _refused(line: dict[str, Any]) -> str:
    """The reason of a line that the server will refuse again; empty where it may well answer the next time."""
    try:
        response = line.get("response") or {}
        status = int(response.get("status_code") or 0)
        error = line.get("error") or (response.get("body") or {}).get("error") or {}
        code = error.get("code")
    except (AttributeError, TypeError, ValueError):
        return ""
    return refusal(status, code) if 400 <= status < 500 and status not in (408, 409, 429) else ""


def _give_up(batch: Batch, shard: Shard, answers: Answers, tried: Counter[str], unanswered: dict[str, str]) -> None:
    """Count one more attempt for what a batch left unanswered, and give up what had enough of them.

    Raises
    ------
    InputError
        If it was refused whole each time: that is no matter of single requests.
    """
    for key in shard.requests.values():
        if key in answers or key in unanswered:
            continue
        tried[key] += 1
        if tried[key] >= ATTEMPTS:
            if batch.status == "failed":
                raise InputError(f"batch {batch.id} failed, like those before it ({_failure(batch)}); mend what that names and run again")
            unanswered[key] = "no answer" if batch.status == "completed" else f"batch {batch.status}"


def _asked_to_wait(error: openai.APIError) -> float:
    """Seconds after which the server wants to be asked again; 0 where it does not say."""
    after = error.response.headers.get("retry-after", "") if isinstance(error, openai.APIStatusError) else ""
    try:
        return float(after)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(after).timestamp() - time.time()
    except ValueError:
        return 0.0
