"""The rules of substitution, read from the lexicons: words that may stand for other words, and beside what.

A line reads `{before} words {after} = other words / or these`. `<class>` among the words is a slot that any word of the class fills,
and that stands under the same name on the right, for each of the others, too; `<class+ing>` puts it there as a present participle. What
braces hold must stand beside the words and is not touched: words, `<classes>`, `^` for the start of a sentence and `$` for the end of a
clause; all those after a `-` must not stand there. Nothing on the right of `=` makes a fixed phrase, which is left alone.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from seal.rewording import inflection
from seal.rewording.lexicons import ITEM, classes, sections

EDGE = frozenset({"", ",", ".", "!", "?", ";", ":", "(", ")", "-", "\u2013", "\u2014", "...", "\u2026", "*", '"', "/"})
"""What stands after the last word of a clause; nothing at all is ""."""

START = frozenset({"", "(", "-", "\u2013", "\u2014", "*", '"', ":", "#", "\u2022"})
"""What stands before the first word of a sentence."""

_LINE = re.compile(r"(?:\{([^}]*)\} )?([^{}=]+?)(?: \{([^}]*)\})? ?=(.*)")
_SLOT = re.compile(r"<([^<>+]+)(\+ing)?>")
_ENDINGS = {"ing": ("ing",), "ly": ("ly",), "plural": ("s",)}
_NO_PARTICIPLES = classes()["not participle"]
_NO_PLURALS = ("ss", "us", "is")


@dataclass(frozen=True)
class Word:
    """What one word may be: one of some words, any but some, or one that ends so."""

    among: frozenset[str] | None
    without: frozenset[str] = frozenset()
    endings: tuple[str, ...] = ()

    def allows(self, key: str) -> bool:
        if key in self.without:
            return False
        if self.among is None or key in self.among:
            return True
        if not self.endings or len(key) < 5 or not key.endswith(self.endings) or key in _NO_PARTICIPLES:
            return False
        return not key.endswith(_NO_PLURALS)


Piece = str | tuple[int, bool]
"""Of an alternative: a word, or which word of the match stands here and whether as a participle."""


@dataclass(frozen=True)
class Rule:
    """One line in one of its forms; `pattern[0]` is a word, under which the rule is filed."""

    pattern: tuple[str | Word, ...]
    before: Word | None
    after: Word | None
    alternatives: tuple[tuple[Piece, ...], ...]


def _word(text: str) -> Word:
    """Read what a slot or a pair of braces allows."""
    among: set[str] = set()
    without: set[str] = set()
    endings: tuple[str, ...] = ()
    negative = False
    for item in ITEM.findall(text):
        negative = negative or item == "-"
        if item == "-":
            continue
        target = without if negative else among
        name = item.strip("<>")
        if item == "^":
            target |= START
        elif item == "$":
            target |= EDGE
        elif not item.startswith("<"):
            target.add(item)
        elif name in _ENDINGS and not negative:
            endings += _ENDINGS[name]
        else:
            target |= classes()[name]
    return Word(frozenset(among) if among or endings else None, frozenset(without), endings)


def _pattern(words: str) -> tuple[list[str | Word], list[str]]:
    """The pattern, and the name of the slot at each place ("" for a plain word)."""
    pattern: list[str | Word] = []
    names = []
    for item in ITEM.findall(words):
        pattern.append(_word(item) if item.startswith("<") else item)
        names.append(item[1:-1] if item.startswith("<") else "")
    return pattern, names


def _pieces(alternative: str, names: list[str]) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    used: dict[str, int] = {}
    for item in ITEM.findall(alternative):
        slot = _SLOT.fullmatch(item)
        if slot is None:
            pieces.append(item)
            continue
        places = [at for at, name in enumerate(names) if name == slot[1]]
        pieces.append((places[used.get(slot[1], 0)], slot[2] is not None))
        used[slot[1]] = used.get(slot[1], 0) + 1
    return tuple(pieces)


def _verb(words: str, alternatives: list[str], ambiguous: bool, before: str | None) -> list[tuple[str, list[str], str | None]]:
    """The forms of a verb and of what may stand for it, each with what must stand before it; only the first where the line says what."""
    if before:
        return [(words, alternatives, before)]
    rows: list[tuple[str, list[str], str | None]] = [
        (words, alternatives, "<verb spot>" if ambiguous else "- <article>"),
        (inflection.third_person(words), [inflection.third_person(other) for other in alternatives], "<singular>" if ambiguous else None),
        (inflection.present_participle(words), [inflection.present_participle(other) for other in alternatives], "- the an a"),
    ]
    past, participle = inflection.past_forms(words)
    others = [inflection.past_forms(other) for other in alternatives]
    if past != participle:
        rows.append((past, [other[0] for other in others], None))
        rows.append((participle, [other[1] for other in others], None))
    else:
        same = [other[0] for other in others if other[0] == other[1]]
        if same:
            rows.append((past, same, "- the a an"))
    return rows


def _forms(section: str, words: str, alternatives: list[str], before: str | None) -> list[tuple[str, list[str], str | None]]:
    """Every form that a line stands for, by the section it stands in."""
    if section.startswith("verbs"):
        return _verb(words, alternatives, "nouns too" in section, before)
    if section.startswith("nouns"):
        spot = before or ("<noun spot>" if "verbs too" in section else None)
        rows = [(words, alternatives, spot)]
        if "no plural" not in section:
            rows.append((inflection.plural(words), [inflection.plural(other) for other in alternatives], spot))
        return rows
    return [(words, alternatives, before)]


def _read(section: str, line: str) -> list[Rule]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"no rule of rewording: {line}")
    before, words, after, right = found.groups()
    alternatives = [other.strip() for other in right.split(" / ") if other.strip()]
    rules = []
    for form, others, spot in _forms(section, words.strip(), alternatives, before):
        pattern, names = _pattern(form)
        pieces = tuple(_pieces(other, names) for other in others)
        sides = (_word(spot) if spot else None, _word(after) if after else None)
        first = pattern[0]
        for word in [first] if isinstance(first, str) else sorted(first.among or ()):
            rules.append(Rule((word, *pattern[1:]), *sides, pieces))
    return rules


@lru_cache
def rules() -> dict[str, tuple[Rule, ...]]:
    """All rules by their first word: fixed phrases first, then the longest, then the one with more conditions, then as written."""
    found: dict[str, list[Rule]] = {}
    for name in ("fixed", "phrases", "words"):
        for section, line in sections(name):
            for rule in _read(section, line):
                found.setdefault(str(rule.pattern[0]), []).append(rule)
    for filed in found.values():
        filed.sort(key=lambda rule: (-len(rule.pattern), bool(rule.alternatives), -(rule.before is not None) - (rule.after is not None)))
    return {word: tuple(filed) for word, filed in found.items()}
