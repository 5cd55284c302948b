"""Words and phrases for others that mean the same, each at its own place in a sentence."""

from seal.rewording import inflection
from seal.rewording.chance import Chance
from seal.rewording.rules import Rule, rules
from seal.rewording.tokens import Sentence

_PERCENT_OF_ONE, _PERCENT_OF_MANY = 90, 99
"""Share of places with a rule where it is used: seeds should differ, which takes more sparing where there is one other word only, and a
text should change."""

_MINE = frozenset({"i", "i'm", "i'd", "i'll", "i've"})


def substitute(sentence: Sentence, chance: Chance, position: int, small_i: bool, apostrophe: str) -> Sentence:
    """The sentence with words replaced. `position` is the place of its first token in the turn."""
    found = rules()
    keys, words, gaps = sentence.keys, sentence.words, sentence.gaps
    result = Sentence(capital=sentence.capital)
    changed: list[int] = []
    at = 0
    while at < len(keys):
        rule = _matching(found[keys[at]], keys, gaps, at) if keys[at] in found else None
        length = len(rule.pattern) if rule else 1
        if rule is None or not rule.alternatives or not chance.happens("use", position + at, _percent(rule)):
            result.words += words[at : at + length]
            result.keys += keys[at : at + length]
            result.gaps += gaps[at : at + length]
        else:
            pieces = rule.alternatives[chance.roll("which one", position + at) % len(rule.alternatives)]
            changed.append(len(result.words))
            matched = "".join(words[at : at + length])
            mark = "\u2019" if "\u2019" in matched else "'" if "'" in matched else apostrophe
            for piece in pieces:
                word = _piece(piece, words, keys, at, small_i, mark)
                result.gaps.append(gaps[at] if len(result.words) == changed[-1] else "" if word == "," else " ")
                result.words.append(word)
                result.keys.append(word.lower().replace("\u2019", "'"))
        at += length
    result.first = _first(result) if sentence.first >= 0 else -1
    for place in changed:
        agree(result, place)
    if result.capital:
        capitalise(result)
    return result


def _first(sentence: Sentence) -> int:
    """Where the first word stands, -1 where there is none; a number is no word."""
    found = (place for place, word in enumerate(sentence.words) if word[0].isalnum() and sentence.keys[place][0] != "\0")
    return next(found, -1)


def _percent(rule: Rule) -> int:
    return _PERCENT_OF_ONE if len(rule.alternatives) == 1 else _PERCENT_OF_MANY


def _piece(piece: str | tuple[int, bool], words: list[str], keys: list[str], at: int, small_i: bool, apostrophe: str) -> str:
    if isinstance(piece, str):
        word = piece[0].upper() + piece[1:] if piece in _MINE and not small_i else piece
        return word.replace("'", apostrophe)
    place, as_participle = piece
    if as_participle:
        return inflection.present_participle(keys[at + place])
    word, key = words[at + place], keys[at + place]
    return word if key in _MINE else key.replace("'", "\u2019") if "\u2019" in word else key


def _matching(filed: tuple[Rule, ...], keys: list[str], gaps: list[str], at: int) -> Rule | None:
    """The first rule that fits here. Its words must stand in one clause, one space apart or so."""
    for rule in filed:
        length = len(rule.pattern)
        end = at + length
        if end > len(keys):
            continue
        for offset in range(1, length):
            wanted, key = rule.pattern[offset], keys[at + offset]
            if (wanted != key if isinstance(wanted, str) else not wanted.allows(key)) or not gaps[at + offset].isspace():
                break
        else:
            if rule.before is not None and not rule.before.allows(keys[at - 1] if at else ""):
                continue
            if rule.after is not None and not rule.after.allows(keys[end] if end < len(keys) else ""):
                continue
            if end < len(keys) and not gaps[end] and keys[end] in {"/", "-", "'"}:
                continue  # part of something longer, as in "and/or"
            return rule
    return None


def agree(sentence: Sentence, place: int) -> None:
    """Make "a" or "an" before a new word fit it."""
    if place and sentence.keys[place - 1] in {"a", "an"} and sentence.words[place][0].isalpha():
        right = inflection.article(sentence.words[place])
        was = sentence.words[place - 1]
        if was.lower() != right and was in {"a", "an", "A", "An"}:
            sentence.words[place - 1] = right.capitalize() if was[0].isupper() else right
            sentence.keys[place - 1] = right


def capitalise(sentence: Sentence) -> None:
    """Give the first word its capital letter."""
    if sentence.first >= 0:
        word = sentence.words[sentence.first]
        sentence.words[sentence.first] = word[0].upper() + word[1:]
