"""The order of clauses: "If it rains, stay in" and "Stay in if it rains"; "In general, ..." to the end and back."""

from seal.rewording.chance import Chance
from seal.rewording.lexicons import classes
from seal.rewording.substitution import capitalise
from seal.rewording.tokens import Sentence

_LONGEST_CLAUSE = 22
_PERCENT = 75
_SIGNS = frozenset({",", ";", ":", "(", ")", "-", "\u2013", "\u2014", "...", "\u2026", '"', "*", "/", "["})


def reorder(sentence: Sentence, chance: Chance, position: int) -> Sentence:
    """The sentence with its clauses in another order, where that is safe; else itself."""
    end = len(sentence.keys)
    while end and sentence.keys[end - 1] in {".", "!", "?"}:
        end -= 1
    start = sentence.first
    # One mark at the end of one line of words; whatever else there is would have to be understood.
    if start < 0 or end - start < 5 or end == len(sentence.keys) or end < len(sentence.keys) - 1:
        return sentence
    if any("\n" in gap for gap in sentence.gaps[start + 1 : end]) or not chance.happens("order", position, _PERCENT):
        return sentence
    return _from_front(sentence, start, end) or _from_back(sentence, start, end) or _adverbial(sentence, start, end) or sentence


def _plain(keys: list[str]) -> bool:
    return 2 <= len(keys) <= _LONGEST_CLAUSE and not _SIGNS.intersection(keys)


def _points_back(clause: list[str], other: list[str]) -> bool:
    """Whether a clause has a pronoun that the other clause may explain, so that their order matters."""
    pronouns = classes()["pointing"].intersection(clause)
    return bool(pronouns) and not pronouns.issubset(other)


def _after_opener(keys: list[str], start: int, end: int) -> int:
    """Where the sentence goes on after a word such as "But" or "Well,", which stays in front."""
    if keys[start] not in classes()["opener"] or start + 2 >= end:
        return start
    return start + 1 + (keys[start + 1] == ",")


def _from_front(sentence: Sentence, start: int, end: int) -> Sentence | None:
    """If X, Y. -> Y if X."""
    keys = sentence.keys
    opener = _after_opener(keys, start, end)
    if keys[opener] not in classes()["fronted"] or keys[opener:end].count(",") != 1:
        return None
    comma = keys.index(",", opener, end)
    clause, main = keys[opener:comma], keys[comma + 1 : end]
    begin = comma + 1 + (main[:1] == ["then"])
    main = keys[begin:end]
    if not _plain(clause) or not _plain(main) or len(clause) < 3 or _points_back(main, clause):
        return None
    if main[0] not in classes()["main start"] or classes()["conjunction"].intersection(main) or "even" in keys:
        return None
    if (main[0] in classes()["question word"] and keys[end] != "?") or classes()["subordinate"].intersection(main):
        return None  # "..., which are called so" is no question, and two conditions in a row are hard to read
    if classes()["negation"].intersection(main) and keys[opener] == "because":
        return None
    return _joined(sentence, [(start, opener), (begin, end), (opener, comma), (end, len(keys))])


def _from_back(sentence: Sentence, start: int, end: int) -> Sentence | None:
    """Y if X. -> If X, Y."""
    keys = sentence.keys
    opener = _after_opener(keys, start, end)
    clauses = [at for at in range(opener + 2, end - 2) if keys[at] in classes()["subordinate"]]
    if len(clauses) != 1 or not sentence.capital:
        return None
    at = clauses[0]
    if not _may_lead(keys[at:end], keys[opener:at], keys[end]):
        return None
    return _joined(sentence, [(start, opener), (at, end), None, (opener, at), (end, len(keys))])


def _may_lead(clause: list[str], main: list[str], mark: str) -> bool:
    """Whether a clause at the end is one of its own, and can stand before the main one as well."""
    if not _plain(main) or not _plain(clause) or len(main) < 3 or main[0] not in classes()["main start"]:
        return False
    if clause[1] not in classes()["clause start"] or classes()["conjunction"].intersection(clause + main) or _points_back(clause, main):
        return False
    if classes()["content clause"].intersection(main) or main[-1] in classes()["closely bound"]:
        return False  # "tell me if", "just because"
    if {"that", "which", "who"}.intersection(main[1:]):
        return False  # the clause may belong to the relative one
    asked = mark == "?" or main[0] in classes()["question start"]
    return not (clause[0] == "because" and (asked or classes()["negation"].intersection(main)))


def _adverbial(sentence: Sentence, start: int, end: int) -> Sentence | None:
    """In general, Y. -> Y in general."""
    keys = sentence.keys
    if keys[start:end].count(",") != 1:
        return None
    comma = keys.index(",", start, end)
    name = " ".join(keys[start:comma])
    main = keys[comma + 1 : end]
    if name not in _movable() or not _plain(main) or not 3 <= len(main) <= 14 or main[0] not in classes()["main start"] or keys[end] == "?":
        return None
    if classes()["conjunction"].intersection(main) or classes()["subordinate"].intersection(main):
        return None
    return _joined(sentence, [(comma + 1, end), None, (start, comma), (end, len(keys))])


def _movable() -> frozenset[str]:
    """Adverbials that may stand at either end; "_" joins their words in the lexicon."""
    return frozenset(name.replace("_", " ") for name in classes()["movable"])


def _joined(sentence: Sentence, parts: list[tuple[int, int] | None]) -> Sentence:
    """Parts of the sentence in a new order, with a comma for None."""
    moved = Sentence(capital=sentence.capital)
    moved.keys += sentence.keys[: sentence.first]
    moved.words += sentence.words[: sentence.first]
    moved.gaps += sentence.gaps[: sentence.first]
    for part in parts:
        if part is None:
            moved.words.append(",")
            moved.keys.append(",")
            moved.gaps.append("")
            continue
        for at in range(*part):
            word, key = sentence.words[at], sentence.keys[at]
            if at == sentence.first and sentence.capital and key not in classes()["mine"]:
                word = word[0].lower() + word[1:]
            is_mark = key in _SIGNS or key in {".", "!", "?"}
            moved.gaps.append((sentence.gaps[at] if is_mark else " ") if moved.words else sentence.gaps[at])
            moved.words.append(word)
            moved.keys.append(key)
    moved.gaps[sentence.first] = sentence.gaps[sentence.first]
    moved.first = sentence.first
    if moved.capital:
        capitalise(moved)
    return moved
