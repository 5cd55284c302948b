"""The labelers by name, and their way from requests to labels."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from seal import language_models, rules
from seal.features import InvalidAnswer, Label, parse
from seal.label_requests import features_of, identify, text_of
from seal.language_models.answers import Answer, Answers, Engine, Unanswered
from seal.language_models.attempts import Send, settle
from seal.language_models.batch_files import Body, Request
from seal.transcripts import NotATranscript

RULES = "rules"
"""The labeler that needs no language model."""


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
    """What a labeler's answers depend on beside the request. The journal and the known answers are keyed by it."""
    return f"{RULES} {rules.identity()}" if name == RULES else language_models.identity(name, model)


def open_labeler(name: str, model: str, context_tokens: int) -> Engine:
    """Make a labeler ready to answer: rules, or a language model as `language_models.open_engine` has it."""
    return Engine(_by_rules, together=256) if name == RULES else language_models.open_engine(name, model, context_tokens)


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


def problem(request: Request, answer: Answer) -> str:
    """Why an answer holds no labels; empty where it does."""
    try:
        verdict(request.body, answer)
    except InvalidAnswer as error:
        return error.reason
    return ""


def label(requests: Callable[[], Iterable[Request]], identity: str, send: Send, answers: Answers, max_patches: int) -> Labelled:
    """Have all requests answered, those with an invalid answer again, and read the labels; parameters as `attempts.settle` has them."""
    labels, invalid, patched = [], [], 0
    had: dict[str, tuple[str, Answer]] = {}
    for each in settle(requests, identity, send, answers, max_patches, problem):
        row_id, preference = identify(each.request.custom_id)
        had |= {key: (each.request.custom_id, answers[key]) for key in each.hashes if key in answers and key not in had}
        last = each.last(answers)
        if each.problem:
            invalid.append(Invalid(row_id, preference, each.problem, each.cell(answers)))
        elif last:
            patched += len(each.hashes) > 1
            labels.append((row_id, preference, text_of(each.request.body), verdict(each.request.body, last)))
    return Labelled(labels, invalid, patched, had)


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
