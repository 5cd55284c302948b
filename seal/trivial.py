"""A change of a text that means nothing: one contraction undone, or a final full stop taken away or put there.

What a reward or a label makes of it is noise, which a reworded text's figures can be read against.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from seal.transcripts import Turn

_AUXILIARIES = "do|does|did|is|are|was|were|have|has|had|would|could|should|must|need"
_PRONOUNS = "i|you|he|she|it|we|they|there|this|that|these|those|anyone|someone|people"
_SUBJECT = re.compile(rf"\b(?:{_PRONOUNS}|who|which|what) \Z", re.IGNORECASE)
_WHY = re.compile(r"\b(?:why|how) \Z", re.IGNORECASE)
_QUESTION = re.compile(r"[^.!?\n]*\?")
_QUOTE = re.compile(r"(?<!\w)['\u2018](?=\w)")
_NEARBY = 20
"""Characters that hold the word before a contraction, if it is one of those that matter."""
_NEGATED = re.compile(rf"(?<![\w'\u2019])({_AUXILIARIES}|ca|wo)n['\u2019]t(?= (?!(?:{_PRONOUNS}|the|a|an|my|your)\b)[a-z])", re.IGNORECASE)
_OTHER = re.compile(
    r"(?<![\w'\u2019])(?:(I)['\u2019](m|ve|ll)|(you|we|they)['\u2019](re|ve|ll)|(he|she|it)['\u2019](ll))(?= [a-z])", re.IGNORECASE
)
_FULL = {"m": "am", "re": "are", "ve": "have", "ll": "will"}
_WHOLE = {"ca": "cannot", "wo": "will not"}
_ABBREVIATIONS = {"etc", "inc", "jr", "sr", "ltd", "corp"}


class Trivial(NamedTuple):
    """A conversation with one trivial change."""

    turns: list[Turn]
    kind: str
    """contraction or full stop."""


def trivial(turns: list[Turn]) -> Trivial | None:
    """Make one trivial change, in the last turn if that can be, else in the latest that has something to change; None where nothing has.

    The first contraction is undone that can be undone without a doubt: not what is quoted, and not a verb whose subject comes after it, as
    in "don't you" or "Don't birds fly?". Where a turn has none, its final full stop goes, or comes after a letter or a digit; abbreviations
    and addresses keep theirs and get none.
    """
    for number in reversed(range(len(turns))):
        for kind, change in _CHANGES.items():
            new = change(turns[number].content)
            if new is not None:
                return Trivial([*turns[:number], Turn(turns[number].role, new), *turns[number + 1 :]], kind)
    return None


def _undo_contraction(content: str) -> str | None:
    firsts = (next((found for found in pattern.finditer(content) if not _doubtful(found)), None) for pattern in (_NEGATED, _OTHER))
    found = min(filter(None, firsts), key=lambda match: match.start(), default=None)
    if found is None:
        return None
    return content[: found.start()] + _written_out(found) + content[found.end() :]


def _doubtful(found: re.Match[str]) -> bool:
    """Whether a contraction is in a quotation, whose words are somebody's own, or is a verb that its subject may come after."""
    content, start = found.string, found.start()
    line = content[content.rfind("\n", 0, start) + 1 : start]
    if line.count('"') % 2 or line.count("\u201c") > line.count("\u201d") or _QUOTE.search(line + content[start]):
        return True
    before = line[-_NEARBY:]
    return found.re is _NEGATED and bool(_WHY.search(before) or (_QUESTION.match(content, found.end()) and not _SUBJECT.search(before)))


def _written_out(found: re.Match[str]) -> str:
    if found.re is _NEGATED:
        verb = found[1]
        full = _WHOLE.get(verb.lower(), f"{verb} not")
        return full.upper() if verb.isupper() else verb[0] + full[1:]
    subject, end = (part for part in found.groups() if part)
    return f"{subject} {_FULL[end.lower()].upper() if end.isupper() else _FULL[end.lower()]}"


def _toggle_full_stop(content: str) -> str | None:
    if not content or content[-1].isspace():
        return None
    last = content.rsplit(maxsplit=1)[-1]
    word = last.removesuffix(".")
    if not word or "." in word or word.lower() in _ABBREVIATIONS:
        return None
    if word != last:
        return content[:-1]
    return content + "." if last[-1].isalnum() and not set("/@") & set(last) else None


_CHANGES: dict[str, Callable[[str], str | None]] = {"contraction": _undo_contraction, "full stop": _toggle_full_stop}
