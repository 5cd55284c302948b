"""How a turn is written: whether it holds together, and whether a human's words are normally spelt."""

import re
from functools import lru_cache

from wordfreq import get_frequency_dict

from seal.rules.words import Words, lexicon, rule

_ENDS = re.compile(r"[.!?:)\]}\"'*%;>~]$|[^\x00-\x7f]$|https?://\S+$|\b(?:am|pm|etc)$")
_LINE_OF_A_LIST = re.compile(r"^\s*(?:[-*\u2022\u2013]|\d{1,3}[.):]|[a-z][.)])\s*")


def is_coherent(turn: Words) -> bool:
    """Neither empty nor broken off nor repeating itself senselessly. What is garbled in well-formed sentences is not seen."""
    text = turn.raw.strip()
    if not turn.words:
        return False
    last = text.rpartition("\n")[2]
    unfinished = text[-1].isalnum() and turn.words[-1] in lexicon("unfinished")
    if unfinished or text.endswith((",", "-", "\u2013", "\u2014")):
        return len(turn.words) < 8
    if len(turn.words) >= 25 and "\n" not in text and not _ENDS.search(last[-200:]) and not _LINE_OF_A_LIST.match(last):
        return False
    return not _repeats(turn)


def _repeats(turn: Words) -> bool:
    """The same run of six words four times, or a text of few different words."""
    words = turn.words
    if len(words) >= 60 and len(set(words)) < 0.22 * min(len(words), 400):
        return True
    if len(words) - len(set(words)) < 18:
        return False  # too few words come again
    runs: dict[str, int] = {}
    for start in range(len(words) - 5):
        run = " ".join(words[start : start + 6])
        runs[run] = runs.get(run, 0) + 1
        if runs[run] >= 4:
            return True
    return False


_SLOPPY = rule(
    r"""
    \bi\b(?= [a-z])|(?<=[a-z] )im\b|\b(?:he|she|it) (?:say|want|need|go|do|have|make|like|come|know|think|earn|get|give|take|tell|look
    |work|put|ask|cry|laugh)\b(?! (?:it|that)\?)|\b(?:is|he|she|they|we) no\b|[?!]{2,}|\.\.(?!\.)
    """
)


@lru_cache
def _known() -> dict[str, float]:
    return get_frequency_dict("en", wordlist="best")


def is_well_written(human: list[Words]) -> bool:
    """At most a few words in a hundred are misspelt, shortened as in a chat, or without their apostrophe or capital letter."""
    words = [word for turn in human for word in turn.words]
    if not words:
        return True
    known, chat = _known(), lexicon("chat")
    errors = 0.0
    for turn in human:
        errors += sum(1.0 for word in turn.words if word in chat)
        errors += sum(0.5 for match in _SLOPPY.finditer(turn.raw))
        unknown = [word for word in turn.words if known.get(word, 0.0) < 1e-8 and word.isascii() and word.isalpha() and len(word) > 2]
        errors += sum(1.0 for word in unknown if word in turn.raw)  # a name has its capital letter, and is not found in lower case
        if turn.raw[:1].islower():
            errors += 0.5
        if len(turn.words) > 5 and turn.raw[-1:].isalnum():
            errors += 0.25
    return errors <= max(1.0, 0.06 * len(words))
