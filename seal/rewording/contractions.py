"""Contractions written out and made; those with a negation stay as they are, so that every "not" is where it was."""

from seal.rewording.chance import Chance
from seal.rewording.lexicons import classes
from seal.rewording.tokens import Sentence

_PERCENT = 55
_ENDS = {"'m": "am", "'re": "are", "'ll": "will", "'ve": "have"}
_SUBJECTS = frozenset({"i", "you", "we", "they", "he", "she", "it", "that", "there", "here", "what", "who", "where", "how"})
_FITTING = {
    ("i", "am"): "'m",
    ("i", "will"): "'ll",
    ("i", "have"): "'ve",
    ("i", "would"): "'d",
    ("he", "is"): "'s",
    ("she", "is"): "'s",
    ("it", "is"): "'s",
    ("that", "is"): "'s",
    ("there", "is"): "'s",
    ("what", "is"): "'s",
    ("who", "is"): "'s",
    ("where", "is"): "'s",
} | {
    (subject, verb): end
    for subject in ("you", "we", "they")
    for verb, end in (("are", "'re"), ("will", "'ll"), ("have", "'ve"), ("would", "'d"))
}

_ASKING = frozenset({"what", "who"})
"""Words after which "is" may be contracted before any word with a meaning of its own."""

_BEFORE = {"will": "base", "have": "after have", "would": "after would"}
"""The class of what must follow a verb that is to be contracted."""


def contract(sentence: Sentence, chance: Chance, position: int, apostrophe: str) -> None:
    """Contract some pairs and write some contractions out, in place."""
    words, keys, gaps = sentence.words, sentence.keys, sentence.gaps
    at = 0
    while at < len(keys):
        key = keys[at]
        following = keys[at + 1] if at + 1 < len(keys) else ""
        if "'" in key:
            apart = _apart(key, keys[at + 1 : at + 4])
            if apart and chance.happens("write out", position + at, _PERCENT):
                words[at : at + 1] = [words[at][: len(apart[0])], apart[1]]
                keys[at : at + 1] = list(apart)
                gaps[at + 1 : at + 1] = [" "]
                at += 1
        elif (key, following) in _FITTING and gaps[at + 1] == " " and words[at + 1].islower():
            after = keys[at + 2] if at + 2 < len(keys) else ""
            fits = after in classes()[_BEFORE.get(following, "after a contraction")]
            if not fits and following not in _BEFORE:  # "I'm tired", "what's jazz?"
                fits = _is_participle(after) or (len(after) > 4 and after.endswith("ed"))
                fits = fits or (key in _ASKING and after.isalpha() and after not in classes()["function"])
            if fits and chance.happens("contract", position + at, _PERCENT):
                end = _FITTING[key, following]
                words[at : at + 2] = [words[at] + end.replace("'", apostrophe)]
                keys[at : at + 2] = [key + end]
                del gaps[at + 1]
        at += 1


def _apart(key: str, following: list[str]) -> tuple[str, str] | None:
    """A contraction as two words, where there is no doubt which two."""
    subject, _, _ = key.partition("'")
    end = key[len(subject) :]
    if subject not in _SUBJECTS or not following or not following[0].isalpha():
        return None
    # "He's never been" is "he has", so adverbs don't tell: what stands after them does.
    telling = next((word for word in following if word not in classes()["adverb"]), "")
    if end == "'s" and subject != "there" and (telling in classes()["after is"] or _is_participle(telling)):
        return subject, "is"
    if end == "'d" and telling in classes()["after would"]:
        return subject, "would"
    if end == "'ve" and following[0] in {"got", "to"}:
        return None
    return (subject, _ENDS[end]) if end in _ENDS else None


def _is_participle(key: str) -> bool:
    """Whether a word is one such as "going", after which no perfect tense is formed."""
    return len(key) > 4 and key.endswith("ing") and key not in classes()["not participle"]
