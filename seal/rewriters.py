"""The rewriters by name, their way from conversations to reworded ones, and what an answer must be to count as one."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from seal import language_models, rewording
from seal.language_models.answers import Answer, Answers, Engine
from seal.language_models.attempts import Judge, Send, settle
from seal.language_models.batch_files import Body, Request
from seal.rewrite_requests import turns_of
from seal.transcripts import ASSISTANT, HUMAN, SYSTEM, NotATranscript, Turn, clean, parse, render

RULES = "rules"
"""The rewriter that needs no language model."""

FEWER, MORE = 10, 20
"""Characters by which a turn may be shorter or longer in any case: "Yes." may well become "Yes, indeed."."""

SHORT = 12
"""Words of a span beside others that may stay as it is: not every "Thank you!" has other words."""

_WORD = re.compile(r"[^\W_]+")
_ROLE = re.compile(rf"({HUMAN}|{ASSISTANT}|{SYSTEM})\s*:\s*", re.IGNORECASE)
_NOTHING = re.compile(r"\W*(?:null|none|undefined|redacted|turn_\d+|text|string)?\W*", re.IGNORECASE)
_COMMENT = re.compile(
    r"""
    \b(?: re-?(?:worded|phrased|written|wording|phrasing) | paraphras(?:e|ed|ing) )\b
    | \bhere(?:['\u2019]s|\ is|\ are)\ (?:the|an?|my|your|another)\ (?:\w+\ ){0,2}
      (?:version|rewrite|text|turn|conversation|way\ to\ (?:say|put))\b
    | ^\W*(?:note|to\ (?:restate|rephrase|reword|paraphrase))\s*:
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ABOUT_WORDS = re.compile(r"\bre-?(?:word|phras|writ|stat)|\bparaphras|\bversion|\bnote\b", re.IGNORECASE)
_CANNOT = r"(?:can(?:['\u2019]?t|\ ?not)|am\ (?:unable|not\ able|not\ allowed)|won['\u2019]?t|will\ not|must\ decline|refuse)"
_REFUSAL = re.compile(
    rf"""
    ^\W* (?: (?:i(?:['\u2019]?m|\ am)\ )? (?:(?:really|very|so)\ )? sorry\b
    | (?:my\ |our\ )?apologies\b | (?:i|we)\ apologi[sz]e
    | (?:i(?:['\u2019]?m|\ am)\ afraid\ (?:that\ )?|unfortunately,?\ |no,?\ )? (?:i|we)\ {_CANNOT}
    | (?:i|we)(?:['\u2019]?(?:m|re)|\ am|\ are)\ (?:unable|not\ (?:able|comfortable|allowed|going))
    | i\ (?:do\ not|don['\u2019]?t)\ feel\ comfortable
    | as\ an?\ (?:ai|artificial|(?:large\ )?language\ model|assistant)\b
    | (?:this|that|the|your)\ (?:content|request|conversation|text|question)\ (?:violates|goes\ against|is\ against) )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_DECLINING = re.compile(
    r"""
    \b(?:i|we|me)\b [^.!?\n]{0,60} (?: n['\u2019]?t\b | \bnot\b | cannot | unable | afraid | declin | refus | never )
    | sorry | apolog | unfortunately | as\ an?\ (?:ai|artificial|(?:large\ )?language\ model|assistant)\b | violat | goes\ against
    """,
    re.IGNORECASE | re.VERBOSE,
)


class Bounds(NamedTuple):
    """How long a reworded turn may be, as a share of the original's characters, give or take `FEWER` and `MORE`."""

    shortest: float
    longest: float


class Text(NamedTuple):
    """A conversation to be reworded."""

    id: str
    turns: list[Turn]
    seed: int


class Rewrite(NamedTuple):
    """What came of one conversation."""

    id: str
    text: str
    """As a transcript; empty where there is a problem."""
    problem: str
    """Why there is none, in a few words for counting; empty where there is."""
    answer: str
    """The last answer to the request that failed."""
    requests: int
    patched: bool
    """Whether an answer was invalid, and a later one valid."""


class Rewritten(NamedTuple):
    """What came of all of them."""

    rewrites: dict[str, Rewrite]
    """By the id of the text."""
    answers: dict[str, tuple[str, Answer]]
    """All answers that were had, valid or not, each once: by hash, with the custom_id."""


class InvalidRewrite(ValueError):
    """An answer that holds no turns in other words; `reason` is a few words for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def identity(name: str, model: str) -> str:
    """What a rewriter's answers depend on beside the request. The journal and the known answers are keyed by it."""
    return f"{RULES} {rewording.identity()}" if name == RULES else language_models.identity(name, model)


def open_rewriter(name: str, model: str, context_tokens: int) -> Engine:
    """Make a rewriter ready to answer: rules, or a language model as `language_models.open_engine` has it."""
    return Engine(_by_rules, together=256) if name == RULES else language_models.open_engine(name, model, context_tokens)


def _by_rules(body: Body) -> Answer:
    turns = parse(rewording.reword(render(turns_of(body)), body["seed"]))
    content = {f"turn_{number}": turn.content for number, turn in enumerate(turns, start=1)}
    return Answer(json.dumps(content, ensure_ascii=False), "stop", 0, 0)


def verdict(body: Body, answer: Answer, bounds: Bounds, whole: bool) -> list[Turn]:
    """The turns of an answer.

    Parameters
    ----------
    whole
        Whether the request holds the whole conversation; a short part of one may stay as it is.

    Raises
    ------
    InvalidRewrite
        If it was cut off, is not the turns that were asked for, or one of them is empty, opens a turn, is too short or too long, refuses
        or speaks of the task; or if nothing was reworded.
    """
    if answer.finish_reason != "stop":
        raise InvalidRewrite("truncated" if answer.finish_reason == "length" else answer.finish_reason)
    originals = turns_of(body)
    contents = _contents(answer.content, len(originals))
    turns = [_turn(original, content, bounds) for original, content in zip(originals, contents, strict=True)]
    words = _words(originals)
    if _words(turns) == words and (whole or len(words) > SHORT):
        raise InvalidRewrite("unchanged")
    return turns


def _contents(content: str, turns: int) -> list[str]:
    try:
        found = json.loads(content, object_pairs_hook=list)
    except (ValueError, RecursionError):
        raise InvalidRewrite("not JSON") from None
    if not isinstance(found, list) or not all(isinstance(item, tuple) for item in found):
        raise InvalidRewrite("not JSON")
    if sorted(key for key, _ in found) != sorted(f"turn_{number}" for number in range(1, turns + 1)):
        raise InvalidRewrite("other turns")
    by_key = dict(found)
    contents = [by_key[f"turn_{number}"] for number in range(1, turns + 1)]
    if not all(isinstance(each, str) for each in contents):
        raise InvalidRewrite("no text")
    return contents


def _turn(original: Turn, content: str, bounds: Bounds) -> Turn:
    try:
        new = clean(content).strip()
    except NotATranscript:
        raise InvalidRewrite("no text") from None
    said_before = _ROLE.match(original.content)
    while named := _ROLE.match(new):
        if named[1].lower() != (said_before[1] if said_before else original.role).lower():
            raise InvalidRewrite("opens a turn")
        if said_before:
            break
        new = new[named.end() :].strip()  # models like to say whose turn it is
    if bool(new) != bool(original.content) or (_NOTHING.fullmatch(new) and not _NOTHING.fullmatch(original.content)):
        raise InvalidRewrite("empty")
    if len(parse(f"{original.role}: {new}")) > 1:
        raise InvalidRewrite("opens a turn")
    if len(new) < bounds.shortest * len(original.content) - FEWER:
        raise InvalidRewrite("too short")
    if len(new) > bounds.longest * len(original.content) + MORE:
        raise InvalidRewrite("too long")
    if _COMMENT.search(new) and not _ABOUT_WORDS.search(original.content):
        raise InvalidRewrite("comment")
    if _REFUSAL.search(new) and not _DECLINING.search(original.content):
        raise InvalidRewrite("refusal")
    return Turn(original.role, new)


def _words(turns: Iterable[Turn]) -> list[str]:
    return [word for turn in turns for word in _WORD.findall(turn.content.casefold())]


def judge(texts: Iterable[Text], bounds: Bounds) -> Judge:
    """What tells whether an answer to a request about one of these texts is valid."""
    turns = {text.id: len(text.turns) for text in texts}

    def problem(request: Request, answer: Answer) -> str:
        try:
            verdict(request.body, answer, bounds, _is_whole(request, turns))
        except InvalidRewrite as error:
            return error.reason
        return ""

    return problem


def _text_id(request: Request) -> str:
    return request.custom_id.rpartition(".")[0]


def _is_whole(request: Request, turns: dict[str, int]) -> bool:
    return len(turns_of(request.body)) == turns[_text_id(request)]


def rewrite(
    texts: Callable[[], Iterable[Text]],
    ask: Callable[[Text], Iterator[Request]],
    identity: str,
    send: Send,
    answers: Answers,
    max_patches: int,
    bounds: Bounds,
) -> Rewritten:
    """Have conversations reworded, a request with an invalid answer asked again, and put their parts together.

    Parameters
    ----------
    texts
        Gives all conversations, anew at each call.
    ask
        The requests for one of them.
    identity, send, answers, max_patches
        As `attempts.settle` has them.
    """

    def requests() -> Iterator[Request]:
        return (request for text in texts() for request in ask(text))

    rewrites: dict[str, Rewrite] = {}
    had: dict[str, tuple[str, Answer]] = {}
    settled = settle(requests, identity, send, answers, max_patches, judge(texts(), bounds))
    for text_id, group in groupby(settled, key=lambda each: _text_id(each.request)):
        parts = list(group)
        for each in parts:
            had |= {key: (each.request.custom_id, answers[key]) for key in each.hashes if key in answers and key not in had}
        failed = next((each for each in parts if each.problem), None)
        patched = any(len(each.hashes) > 1 for each in parts)
        if failed:
            rewrites[text_id] = Rewrite(text_id, "", failed.problem, failed.cell(answers), len(parts), False)
            continue
        new: list[Turn] = []
        old: list[Turn] = []
        for each in parts:
            old += turns_of(each.request.body)
            # Not as a whole: part of another conversation may ask the very same, and then what holds for parts settled both.
            new += verdict(each.request.body, answers[each.hashes[-1]], bounds, whole=False)
        if _words(new) == _words(old):  # all its parts were short
            rewrites[text_id] = Rewrite(text_id, "", "unchanged", parts[-1].cell(answers), len(parts), False)
        else:
            rewrites[text_id] = Rewrite(text_id, _transcript(new), "", "", len(parts), patched)
    return Rewritten(rewrites, had)


def _transcript(turns: list[Turn]) -> str:
    text = render(turns)
    if [turn.role for turn in parse(text)] != [turn.role for turn in turns]:
        raise AssertionError("a role was lost")
    return text
