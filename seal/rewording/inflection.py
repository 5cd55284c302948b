"""Forms of English words: -s, -ed, -ing, plurals, and whether "a" or "an" stands before one."""

import re
from functools import lru_cache

from seal.rewording.lexicons import lines

_DOUBLED = frozenset({"begin", "forget", "occur", "refer", "permit", "prefer", "admit", "commit", "submit", "regret", "quit", "forbid"})
_SHORT = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]")
_HISSING = ("s", "x", "z", "ch", "sh", "o")
_PLURALS = {"child": "children", "person": "people", "man": "men", "woman": "women"}
_AN = re.compile(r"(?!one\b|once|uni|us[aeu]|eu|ut[ei])[aeiou]|hour|honest|honou?r\b|heir", re.IGNORECASE)


@lru_cache
def _irregular() -> dict[str, tuple[str, str]]:
    """Past and participle by base form."""
    return {base: (past, participle) for base, past, participle in (line.split() for line in lines("irregular"))}


def _first_word(inflect: str, verb: str) -> str:
    """Of a verb of several words, the first is inflected."""
    return " ".join([inflect, *verb.split()[1:]])


def _doubles(verb: str) -> bool:
    return verb in _DOUBLED or _SHORT.fullmatch(verb) is not None


def third_person(verb: str) -> str:
    """Carries, goes, helps; also the plural of a regular noun."""
    head = verb.split(maxsplit=1)[0]
    if head in {"have", "be"}:
        return _first_word({"have": "has", "be": "is"}[head], verb)
    if head.endswith("y") and head[-2] not in "aeiou":
        return _first_word(head[:-1] + "ies", verb)
    return _first_word(head + ("es" if head.endswith(_HISSING) else "s"), verb)


def present_participle(verb: str) -> str:
    """Making, running, seeing."""
    head = verb.split(maxsplit=1)[0]
    if head.endswith("ie"):
        head = head[:-2] + "y"
    elif head.endswith("e") and not head.endswith(("ee", "oe", "ye")) and head != "be":
        head = head[:-1]
    elif _doubles(head):
        head += head[-1]
    return _first_word(head + "ing", verb)


def past_forms(verb: str) -> tuple[str, str]:
    """Past and past participle."""
    head = verb.split(maxsplit=1)[0]
    if head in _irregular():
        past, participle = _irregular()[head]
        return _first_word(past, verb), _first_word(participle, verb)
    if head.endswith("e"):
        regular = head + "d"
    elif head.endswith("y") and head[-2] not in "aeiou":
        regular = head[:-1] + "ied"
    else:
        regular = head + (head[-1] if _doubles(head) else "") + "ed"
    return _first_word(regular, verb), _first_word(regular, verb)


def plural(noun: str) -> str:
    """Of a noun of several words, the last is made plural, or the one before "of"."""
    words = noun.split()
    at = words.index("of") - 1 if "of" in words else -1
    words[at] = _PLURALS.get(words[at]) or third_person(words[at])
    return " ".join(words)


def article(word: str) -> str:
    """ "a" or "an", by how the word is spoken as far as its spelling tells."""
    return "an" if _AN.match(word) else "a"
