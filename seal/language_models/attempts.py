"""Requests asked until their answers are valid: the first time as they are, then again with a little more chance."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tqdm import tqdm

from seal.errors import InputError
from seal.language_models.answers import Answer, Answers, Engine, Unanswered, ask_all
from seal.language_models.batch_files import Body, Pending, Request, request_hash

Send = Callable[[Callable[[], Iterator[Pending]], int], dict[str, str]]
"""Has requests answered. Given what yields the pending ones, anew at each call, and the attempt, from 0; returns the reasons of those
that got no answer, by hash."""

Judge = Callable[[Request, Answer], str]
"""Why an answer to a request is invalid, in a few words for counting; empty where it is valid. The request may be a patched one."""

MOST_PATCHES = 999
"""That an invalid answer can get: all of them are hashed before the first is asked for, and each adds 1 to the seed."""

MOST_TOKENS = 2**31 - 1
"""That llama.cpp can be told to have room for."""


class Attempts(NamedTuple):
    """What came of one request."""

    request: Request
    hashes: list[str]
    """Of the request and its patches, as far as they were asked; the last one counts."""
    problem: str
    """Why there is no valid answer; empty where the last one is."""

    def last(self, answers: Answers) -> Answer | None:
        """The last answer that was had."""
        return next((answers[key] for key in reversed(self.hashes) if key in answers), None)

    def cell(self, answers: Answers) -> str:
        """The last answer as a cell of a CSV file can hold it, empty where there was none; answers.jsonl has it as it came."""
        last = self.last(answers)
        return last.content.replace("\r", "\n").encode(errors="replace").decode() if last else ""


def patch(body: Body, attempt: int) -> Body:
    """The request to send after an invalid answer; attempt 0 is the first one, unchanged.

    A model at temperature 0 would only repeat itself, so it may stray a little more each time.
    """
    if attempt == 0:
        return body
    return {**body, "temperature": max(body["temperature"], min(0.3 * attempt, 0.9)), "seed": body["seed"] + attempt}


def check_limits(max_patches: int, context_tokens: int, min_coverage: float) -> None:
    """Refuse limits with which nothing can be asked, and a least share of valid answers that is no share.

    Raises
    ------
    InputError
        If one is out of its range.
    """
    if not 0 <= max_patches <= MOST_PATCHES:
        raise InputError(f"max-patches is {max_patches}; expected a number from 0 to {MOST_PATCHES}, such as 2")
    if not 1 <= context_tokens <= MOST_TOKENS:
        raise InputError(f"context-tokens is {context_tokens}; expected a number of tokens from 1 to {MOST_TOKENS}, such as 8192")
    if not 0 <= min_coverage <= 1:
        raise InputError(f"min-coverage is {min_coverage:g}; expected a share from 0 to 1")


def settle(
    requests: Callable[[], Iterable[Request]], identity: str, send: Send, answers: Answers, max_patches: int, judge: Judge
) -> Iterator[Attempts]:
    """Have all requests answered, and those with an invalid answer again.

    Parameters
    ----------
    requests
        Gives all requests, anew at each call, as there may be more than memory holds.
    identity
        The engine's.
    max_patches
        How often an invalid answer is asked for again, as `check_limits` allows it.

    Returns
    -------
    What came of each request, in their order.
    """
    reasons: dict[str, str] = {}
    keys = [[request_hash(patch(each.body, attempt), identity) for attempt in range(max_patches + 1)] for each in requests()]
    settled: dict[str, int] = {}  # by the hash of the first attempt, the one whose answer is valid

    def open_requests() -> Iterator[tuple[list[str], Request]]:
        return ((hashes, each) for hashes, each in zip(keys, requests(), strict=True) if hashes[0] not in settled)

    def judge_all() -> None:
        for hashes, each in open_requests():
            valid = (attempt for attempt, key in enumerate(hashes) if key in answers and not judge(each, answers[key]))
            attempt = next(valid, None)
            if attempt is not None:
                settled[hashes[0]] = attempt

    judge_all()
    for attempt in range(max_patches + 1):

        def pending(attempt: int = attempt) -> Iterator[Pending]:
            seen = set()
            for hashes, each in open_requests():
                key = hashes[attempt]
                if key not in answers and key not in seen:
                    seen.add(key)
                    yield Pending(key, Request(each.custom_id, patch(each.body, attempt)))

        if any(True for _ in pending()):
            reasons |= send(pending, attempt)
            judge_all()
    return (_outcome(hashes, each, settled, answers, reasons, judge) for hashes, each in zip(keys, requests(), strict=True))


def _outcome(
    hashes: list[str], request: Request, settled: dict[str, int], answers: Answers, reasons: dict[str, str], judge: Judge
) -> Attempts:
    if hashes[0] in settled:
        return Attempts(request, hashes[: settled[hashes[0]] + 1], "")
    last = hashes[-1]
    problem = judge(request, answers[last]) if last in answers else reasons.get(last, "no answer")
    if not problem:
        raise AssertionError("a valid answer was taken for an invalid one")
    return Attempts(request, hashes, problem)


def unanswered(requests: Iterable[Request], identity: str, answers: Answers) -> Iterator[Pending]:
    """The requests that have no answer yet; of those that ask the very same, the first."""
    seen = set()
    for request in requests:
        key = request_hash(request.body, identity)
        if key not in answers and key not in seen:
            seen.add(key)
            yield Pending(key, request)


def ask_with_bar(engine: Engine, pending: Callable[[], Iterator[Pending]], answers: Answers, judge: Judge) -> dict[str, str]:
    """Have requests answered one by one, with a progress bar that counts the invalid answers on the way."""
    invalid = 0
    with tqdm(total=sum(1 for _ in pending()), unit="text", disable=None) as bar:

        def tell(each: Pending, outcome: Answer | Unanswered) -> None:
            nonlocal invalid
            invalid += isinstance(outcome, Unanswered) or bool(judge(each.request, outcome))
            bar.set_postfix(invalid=invalid, refresh=False)
            bar.update()

        return ask_all(engine, pending(), answers, tell)
