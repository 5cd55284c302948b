"""The labelers by name, and their way from requests to labels."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from tqdm import tqdm

from seal import rules
from seal.answers import Answer, Answers, Engine, Unanswered, ask_all
from seal.batch_files import Body, Pending, Request, request_hash
from seal.cost import Price, usd
from seal.errors import InputError
from seal.features import InvalidAnswer, Label, parse
from seal.label_requests import features_of, identify, text_of
from seal.transcripts import NotATranscript

RULES, LLAMA_CPP, OLLAMA, OPENAI = "rules", "llama-cpp", "ollama", "openai"

Send = Callable[[Callable[[], Iterator[Pending]], int], dict[str, str]]
"""Has requests answered. Given what yields the pending ones, anew at each call, and the attempt, from 0; returns the reasons of those
that got no answer, by hash."""


class Invalid(NamedTuple):
    """A text without valid labels."""

    row_id: int
    preference: str
    reason: str
    answer: str
    """The last answer; empty where there was none."""


class Labelled(NamedTuple):
    """What came of requests for labels."""

    labels: list[tuple[int, str, str, dict[str, Label]]]
    """row_id, preference, text, labels."""
    invalid: list[Invalid]
    patched: int
    """Texts whose first answer was invalid, and a later one valid."""
    answers: dict[str, tuple[str, Answer]]
    """All answers that were had, valid or not, each once: by hash, with the custom_id."""


def identity(name: str, model: str) -> str:
    """What a labeler's answers depend on beside the request. The journal and the known answers are keyed by it.

    A served model is known by the name in the request alone: the server says nothing more that can be relied on.
    """
    if name == RULES:
        return f"{RULES} {rules.identity()}"
    if name == LLAMA_CPP:
        from seal import llama_cpp

        return llama_cpp.identity(model)
    return name


def open_labeler(name: str, model: str, context_tokens: int) -> Engine:
    """Make a labeler ready to answer.

    Parameters
    ----------
    name
        rules, llama-cpp, ollama or openai.
    model
        As llama-cpp has it; the servers read it in each request.
    context_tokens
        Room for a request and its answer together, where the model runs here or on an Ollama server.

    Raises
    ------
    InputError
        If the model or the key is not there.
    """
    if name == RULES:
        return Engine(_by_rules, together=256)
    if name == LLAMA_CPP:
        from seal import llama_cpp

        return llama_cpp.engine(model, context_tokens)
    if name == OLLAMA:
        from seal import ollama_chat

        return ollama_chat.engine(context_tokens)
    from seal import openai_chat

    return openai_chat.engine(openai_chat.client())


def _by_rules(body: Body) -> Answer:
    try:
        labels = rules.label(text_of(body))
    except NotATranscript:
        raise Unanswered("not a transcript") from None
    return Answer(json.dumps({feature: labels[feature] for feature in features_of(body)}, ensure_ascii=False), "stop", 0, 0)


def verdict(body: Body, answer: Answer) -> dict[str, Label]:
    """The labels of an answer.

    Raises
    ------
    InvalidAnswer
        If it was cut off, refused, or is no set of labels such as the request asked for.
    """
    if answer.finish_reason != "stop":
        raise InvalidAnswer("truncated" if answer.finish_reason == "length" else answer.finish_reason, "the answer did not end by itself")
    return parse(answer.content, features_of(body))


def patch(body: Body, attempt: int) -> Body:
    """The request to send after an invalid answer; attempt 0 is the first one, unchanged.

    A model at temperature 0 would only repeat itself, so it may stray a little more each time.
    """
    if attempt == 0:
        return body
    return {**body, "temperature": max(body["temperature"], min(0.3 * attempt, 0.9)), "seed": body["seed"] + attempt}


def label(requests: Callable[[], Iterable[Request]], identity: str, send: Send, answers: Answers, max_patches: int) -> Labelled:
    """Have all requests answered, those with an invalid answer again, and read the labels.

    Parameters
    ----------
    requests
        Gives all requests, anew at each call.
    identity
        The engine's.
    max_patches
        How often an invalid answer is asked for again.
    """
    if max_patches < 0:
        raise InputError(f"max-patches is {max_patches}; expected a number from 0 up")
    reasons: dict[str, str] = {}
    keys = [[request_hash(patch(each.body, attempt), identity) for attempt in range(max_patches + 1)] for each in requests()]
    settled: dict[str, int] = {}  # by the hash of the first attempt, the one whose answer is valid

    def open_requests() -> Iterator[tuple[list[str], Request]]:
        return ((hashes, each) for hashes, each in zip(keys, requests(), strict=True) if hashes[0] not in settled)

    def judge() -> None:
        for hashes, each in open_requests():
            valid = (attempt for attempt, key in enumerate(hashes) if key in answers and is_valid(each.body, answers[key]))
            attempt = next(valid, None)
            if attempt is not None:
                settled[hashes[0]] = attempt

    judge()
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
            judge()
    return _read(zip(keys, requests(), strict=True), settled, answers, reasons)


def _read(keyed: Iterable[tuple[list[str], Request]], settled: dict[str, int], answers: Answers, reasons: dict[str, str]) -> Labelled:
    """The labels of what is settled, and what was answered in place of them for the rest."""
    labels, invalid, patched = [], [], 0
    had: dict[str, tuple[str, Answer]] = {}
    for hashes, request in keyed:
        row_id, preference = identify(request.custom_id)
        attempt = settled.get(hashes[0])
        asked = hashes if attempt is None else hashes[: attempt + 1]
        for key in asked:
            if key in answers:
                had.setdefault(key, (request.custom_id, answers[key]))
        if attempt is None:
            last = next((answers[key].content for key in reversed(asked) if key in answers), "")
            cell = last.replace("\r", "\n").encode(errors="replace").decode()  # what a CSV file can hold; answers.jsonl has it as it came
            invalid.append(Invalid(row_id, preference, _reason(request.body, asked[-1], answers, reasons), cell))
        else:
            patched += attempt > 0
            labels.append((row_id, preference, text_of(request.body), verdict(request.body, answers[asked[-1]])))
    return Labelled(labels, invalid, patched, had)


def _reason(body: Body, key: str, answers: Answers, reasons: dict[str, str]) -> str:
    """Why the last attempt gave no labels."""
    if key not in answers:
        return reasons.get(key, "no answer")
    try:
        verdict(body, answers[key])
    except InvalidAnswer as error:
        return error.reason
    raise AssertionError("a valid answer was taken for an invalid one")


def unanswered(requests: Iterable[Request], identity: str, answers: Answers) -> Iterator[Pending]:
    """The requests that have no answer yet; of those that ask the very same, the first."""
    seen = set()
    for request in requests:
        key = request_hash(request.body, identity)
        if key not in answers and key not in seen:
            seen.add(key)
            yield Pending(key, request)


def ask_with_bar(engine: Engine, pending: Callable[[], Iterator[Pending]], answers: Answers) -> dict[str, str]:
    """Have requests answered one by one, with a progress bar that counts the invalid answers on the way."""
    invalid = 0
    with tqdm(total=sum(1 for _ in pending()), unit="text", disable=None) as bar:

        def tell(each: Pending, outcome: Answer | Unanswered) -> None:
            nonlocal invalid
            invalid += isinstance(outcome, Unanswered) or not is_valid(each.request.body, outcome)
            bar.set_postfix(invalid=invalid, refresh=False)
            bar.update()

        return ask_all(engine, pending(), answers, tell)


def is_valid(body: Body, answer: Answer) -> bool:
    """Whether an answer holds labels."""
    try:
        verdict(body, answer)
    except InvalidAnswer:
        return False
    return True


def coverage(labelled: Labelled, texts: int) -> dict[str, Any]:
    """How many texts got labels, and why the others did not."""
    return {
        "texts": texts,
        "labelled": len(labelled.labels),
        "invalid": len(labelled.invalid),
        "coverage": len(labelled.labels) / texts if texts else None,
        "reasons": dict(sorted(Counter(each.reason for each in labelled.invalid).items())),
        "patched": labelled.patched,
    }


def usage(labelled: Labelled, price: Price, batch_discount: float) -> dict[str, float]:
    """What the answers took and cost, the invalid ones with them, whenever they were had."""
    answers = [answer for _, answer in labelled.answers.values()]
    money = (usd(price, answer.input_tokens, answer.output_tokens, batch_discount if answer.batch else 0.0) for answer in answers)
    return {
        "answers": len(answers),
        "input_tokens": sum(answer.input_tokens for answer in answers),
        "output_tokens": sum(answer.output_tokens for answer in answers),
        "usd": sum(money),
    }
