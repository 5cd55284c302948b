"""Smaller changes of order: the ends of a list swap, "give him the book" becomes "give the book to him", and "turn the tap
off" becomes "turn off the tap".
"""

import re
from functools import lru_cache

from seal.rewording.chance import Chance
from seal.rewording.lexicons import classes
from seal.rewording.rules import EDGE
from seal.rewording.substitution import agree
from seal.rewording.tokens import Sentence

_PERCENT = 80
_PLURAL = re.compile(r"[a-z]{3,14}[^siu\W]s")


def swap(sentence: Sentence, chance: Chance, position: int) -> None:
    """Change the order of words in place."""
    keys = sentence.keys
    for at in range(1, len(keys) - 1):
        if keys[at] in {"and", "or"} and chance.happens("swap", position + at, _PERCENT):
            _swap_around(sentence, at)
    for at in range(len(keys) - 3):
        if keys[at] in classes()["giving"] and keys[at + 1] in classes()["given to"] and chance.happens("dative", position + at, _PERCENT):
            _give_to(sentence, at)
    for at in range(len(keys) - 3):
        if keys[at] in _shifting() and chance.happens("swap", position + at, _PERCENT):
            _shift_particle(sentence, at)


def _kind(key: str) -> str:
    """The class of a word that may swap with another of its class, or "" for none."""
    for kind in ("thing", "quality"):
        if key in classes()[kind]:
            return kind
    return "things" if _PLURAL.fullmatch(key) and key not in classes()["not plural"] else ""


def _exchange(sentence: Sentence, one: int, other: int) -> None:
    for row in (sentence.words, sentence.keys):
        row[one], row[other] = row[other], row[one]
    agree(sentence, one)


def _swap_around(sentence: Sentence, at: int) -> None:
    keys, gaps = sentence.keys, sentence.gaps
    if at + 1 >= len(keys) or "\n" in gaps[at] + gaps[at + 1] or sentence.first == at - 1:
        return
    last = at - 1 - (keys[at - 1] == ",")
    kind = _kind(keys[at + 1])
    if not kind or last < 1 or _kind(keys[last]) != kind or " ".join(keys[at - 1 : at + 2]) in _paired():
        return
    following = keys[at + 2] if at + 2 < len(keys) else ""
    if following not in EDGE and following not in classes()["after a list"]:
        return
    before = last
    while before >= 2 and keys[before - 1] == "," and _kind(keys[before - 2]) == kind:
        before -= 2
    if keys[before - 1] not in classes()["before a list"] and before == last:
        return
    if last != at - 1 and before == last:
        return  # "I like cats, and dogs": two clauses, not a list
    _exchange(sentence, before, at + 1)


def _paired() -> frozenset[str]:
    return frozenset(name.replace("_", " ") for name in classes()["fixed pair"])


def _give_to(sentence: Sentence, at: int) -> None:
    """Give him the book. -> Give the book to him."""
    keys = sentence.keys
    end = at + 3
    while end < len(keys) and end < at + 6 and keys[end] not in EDGE:
        end += 1
    if keys[at + 2] not in classes()["definite"] or (end < len(keys) and keys[end] not in {".", "!", "?"}) or end < at + 4:
        return
    things = keys[at + 3 : end]
    if not all(key.isalpha() and key.islower() for key in things) or (classes()["function"] | classes()["not given"]).intersection(things):
        return
    for row, new in ((sentence.words, "to"), (sentence.keys, "to")):
        row[at + 1 : end] = [*row[at + 2 : end], new, row[at + 1]]
    sentence.gaps.insert(at + 1, " ")


@lru_cache
def _shifting() -> dict[str, frozenset[str]]:
    """Verbs, and what may stand right after each or after its object."""
    pairs = [name.split("_") for name in sorted(classes()["shifting"])]
    return {verb: frozenset(particle for other, particle in pairs if other == verb) for verb, _ in pairs}


def _shift_particle(sentence: Sentence, at: int) -> None:
    """Turn the tap off. -> Turn off the tap. And back."""
    keys = sentence.keys
    after = keys[at + 4] if at + 4 < len(keys) else ""
    if any("\n" in gap for gap in sentence.gaps[at + 1 : at + 5]):
        return
    # "Write down the names and numbers": what follows the noun may belong to it, but hardly what follows the particle.
    for particle, new, fits in ((at + 3, at + 1, EDGE | {"and", "before", "when"}), (at + 1, at + 3, {"", ".", "!", "?"})):
        if after not in fits:
            continue
        determiner, noun = (key for place, key in enumerate(keys[at + 1 : at + 4], start=at + 1) if place != particle)
        if keys[particle] not in _shifting()[keys[at]] or determiner not in classes()["definite"]:
            continue
        if noun.isalpha() and noun.islower() and noun not in classes()["function"] | classes()["not given"]:
            for row in (sentence.words, sentence.keys):
                row.insert(new, row.pop(particle))
            return
