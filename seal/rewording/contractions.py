"""Contractions written out and made; those with a negation stay as they are, so that every "not" is where it was."""

from seal.rewording.chance import Chance
from seal.rewording.lexicons import classes
from seal.rewording.tokens import Sentence

_PERCENT = 55
_ENDS = {"'m": "am", "'re": "are", "'ll": "will", "'ve": "have"}
_SUBJECTS = frozenset({"i", "you", "we", "they", "he", "she", "it", "that", "there", "what", "who", "where"})
_FITTING = {
    ("i", "am"): "'m",
    ("i", "will"): "'ll",
    ("i", "have"): "'ve",
    ("it", "is"): "'s",
    ("that", "is"): "'s",
    ("there", "is"): "'s",
    ("what", "is"): "'s",
    ("who", "is"): "'s",
    ("where", "is"): "'s",
} | {(subject, verb): end for subject in ("you", "we", "they") for verb, end in (("are", "'re"), ("will", "'ll"))}

_BEFORE = {"will": "base", "have": "after have"}
"""The class of what must follow a verb that is to be contracted."""


def contract(sentence: Sentence, chance: Chance, position: int, apostrophe: str) -> None:
    """Contract some pairs and write some contractions out, in place."""
    words, keys, gaps = sentence.words, sentence.keys, sentence.gaps
    at = 0
    while at < len(keys):
        key = keys[at]
        following = keys[at + 1] if at + 1 < len(keys) else ""
        if "'" in key:
            apart = _apart(key, following)
            if apart and chance.happens("write out", position + at, _PERCENT):
                words[at : at + 1] = [words[at][: len(apart[0])], apart[1]]
                keys[at : at + 1] = list(apart)
                gaps[at + 1 : at + 1] = [" "]
                at += 1
        elif (key, following) in _FITTING and gaps[at + 1] == " " and words[at + 1].islower():
            after = keys[at + 2] if at + 2 < len(keys) else ""
            fits = after in classes()[_BEFORE.get(following, "after a contraction")]
            if fits and chance.happens("contract", position + at, _PERCENT):
                end = _FITTING[key, following]
                words[at : at + 2] = [words[at] + end.replace("'", apostrophe)]
                keys[at : at + 2] = [key + end]
                del gaps[at + 1]
        at += 1


def _apart(key: str, following: str) -> tuple[str, str] | None:
    """A contraction as two words, where there is no doubt which two."""
    subject, _, _ = key.partition("'")
    end = key[len(subject) :]
    if subject not in _SUBJECTS or not following.isalpha():
        return None
    if end == "'s" and following in classes()["after is"] and subject != "there":
        return subject, "is"
    if end == "'d" and following in classes()["after would"]:
        return subject, "would"
    if end == "'ve" and following in {"got", "to"}:
        return None
    return (subject, _ENDS[end]) if end in _ENDS else None
