"""What every rule reads: a turn as plain lower-case words, and the patterns and lexicons it is held against."""

import re
from functools import cached_property, lru_cache
from importlib.resources import files
from itertools import pairwise

LONGEST = 20_000
"""Characters of a turn that are read, far more than real turns have; so the time for a text is bounded."""

WORD = r"(?:[\w'-]{1,20},? )"
"""One word and the space after it, bounded, for gaps inside a pattern."""

_STRAIGHT = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "`": "'", "\u00b4": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2026": "...", "\u00a0": " "}
)
_APART = str.maketrans({"(": "( ", '"': ' " ', "*": " ", "_": " ", "\u2013": " - ", "\u2014": " - "})
_CONTRACTION = re.compile(r"[a-z]{1,20}'[a-z]{1,3}\b|\bcannot\b")
_WHOLE = {
    "cannot": "can not",
    "can't": "can not",
    "won't": "will not",
    "shan't": "shall not",
    "ain't": "is not",
    "i'm": "i am",
    "let's": "let us",
    "y'all": "you all",
}
_ENDS = {"re": " are", "ve": " have", "ll": " will"}
_BEFORE_IS = frozenset({"it", "that", "this", "he", "she", "there", "here", "what", "who", "where", "how"})
_BEFORE_WOULD = frozenset({"i", "you", "he", "she", "we", "they", "it", "that"})
_WORDS = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_QUOTED = re.compile(r"\"[^\"]{1,1500}\"|(?<!\w)'(?=\w)[^'\n]{2,300}[.,!?]'(?!\w)")
_NEXT_SENTENCE = re.compile(r"(?<=[.!?])(?= [^ \"])|(?<=[.!?] \")(?= .)")


class Words:
    """One turn: what the rules need of it, made when first asked for."""

    def __init__(self, turn: str) -> None:
        self.raw = turn[:LONGEST].translate(_STRAIGHT)
        """As written, but for curly quotes."""

    @cached_property
    def plain(self) -> str:
        """Lower-case, contractions written out, quotation marks apart, one space between words and at either end."""
        lower = self.raw.lower()
        if "'" in lower or "cannot" in lower:
            lower = _CONTRACTION.sub(_written_out, lower)
        return f" {' '.join(lower.translate(_APART).split())} "

    @cached_property
    def spoken(self) -> str:
        """The same without what stands in quotation marks: the speaker's own words."""
        return _QUOTED.sub(" ... ", self.plain) if '"' in self.plain or "'" in self.plain else self.plain

    @cached_property
    def sentences(self) -> list[str]:
        """Of `plain`, each with the space before it."""
        return _NEXT_SENTENCE.split(self.plain)

    @cached_property
    def words(self) -> list[str]:
        """Lower-case, spelt as written."""
        return _WORDS.findall(self.raw.lower())

    @cached_property
    def said(self) -> list[list[str]]:
        """The words of each sentence of `plain`, contractions written out."""
        return [_WORDS.findall(sentence) for sentence in self.sentences]

    @cached_property
    def topical(self) -> frozenset[str]:
        """The beginnings of the words that are not among the commonest: what it is about."""
        common = lexicon("common")
        return frozenset(word[:5] for word in self.words if len(word) > 3 and word not in common)

    @cached_property
    def phrases(self) -> frozenset[str]:
        """All runs of one to three words, to be met with a lexicon."""
        words = self.words
        triples = zip(words, words[1:], words[2:], strict=False)
        return frozenset(words).union(map(" ".join, pairwise(words)), map(" ".join, triples))


def _written_out(found: re.Match[str]) -> str:
    word = found[0]
    if word in _WHOLE:
        return _WHOLE[word]
    stem, _, end = word.rpartition("'")
    if end == "t" and stem.endswith("n"):
        return f"{stem[:-1]} not"
    if (end == "s" and stem in _BEFORE_IS) or (end == "d" and stem in _BEFORE_WOULD):
        return f"{stem} is" if end == "s" else f"{stem} would"
    return stem + _ENDS[end] if end in _ENDS else word


def joined(pattern: str) -> str:
    """A pattern laid out over lines, in one: line breaks, indents and the space around a bar don't count, any other space does."""
    return re.sub(r" ?\| ", "|", re.sub(r"\s*\n\s*", "", pattern.strip()))


def rule(pattern: str, after: str = "") -> re.Pattern[str]:
    """Compile a pattern laid out over lines. Naming the words that all of it comes after makes it several times as fast."""
    return re.compile(f"{after}(?:{joined(pattern)})")


@lru_cache
def lexicon(name: str) -> frozenset[str]:
    """The entries of `seal/lexicons/<name>.txt`, each of at most three words."""
    return frozenset().union(*sections(name).values())


@lru_cache
def sections(name: str) -> dict[str, frozenset[str]]:
    """The entries of a lexicon by the `[heading]` they stand under; "" for those before the first heading."""
    heading, entries = "", dict[str, set[str]]()
    for line in (files("seal") / "lexicons" / f"{name}.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            heading = line.strip("[]")
        elif line and not line.startswith("#"):
            entries.setdefault(heading, set()).update(_forms(line))
    return {heading: frozenset(forms) for heading, forms in entries.items()}


def _forms(entry: str) -> list[str]:
    """An entry that ends with + stands for its regular endings too: of a noun, a verb or an adverb."""
    if not entry.endswith("+"):
        return [entry]
    word = entry[:-1]
    stem = word[:-1] if word[-1] in "ey" else word
    ends = (
        ["ies", "ied", "ily", "ying"]
        if word[-1] == "y"
        else ["es", "ed", "ing", "ely"]
        if word[-1] == "e"
        else ["s", "es", "ed", "ing", "ly"]
    )
    return [word, f"{word}s", *(stem + end for end in ends)]


@lru_cache
def _places(name: str) -> tuple[frozenset[str], dict[str, tuple[str, ...]]]:
    """The first words of a lexicon's entries, and the headings that each entry stands under."""
    under: dict[str, tuple[str, ...]] = {}
    for heading, entries in sections(name).items():
        for entry in entries:
            under[entry] = (*under.get(entry, ()), heading)
    return frozenset(entry.partition(" ")[0] for entry in under), under


def found(words: list[str], name: str) -> dict[str, list[str]]:
    """The entries of a lexicon that stand in a row of words, by their headings."""
    firsts, under = _places(name)
    hits = dict[str, list[str]]()
    for start, word in enumerate(words):
        if word in firsts:
            for entry in dict.fromkeys((word, " ".join(words[start : start + 2]), " ".join(words[start : start + 3]))):
                for heading in under.get(entry, ()):
                    hits.setdefault(heading, []).append(entry)
    return hits


def any_of(name: str, section: str) -> str:
    """A pattern that matches any entry of a section of a lexicon, longest first."""
    longest_first = sorted(sections(name)[section], key=lambda entry: (-len(entry), entry))
    return "(?:" + "|".join(re.escape(entry).replace(r"\ ", " ") for entry in longest_first) + ")"
