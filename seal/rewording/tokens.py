"""A turn as sentences, a sentence as tokens, and which of them may be touched."""

import re
from dataclasses import dataclass, field

from seal.rewording.lexicons import classes

_PLAIN_WORD = r"(?P<plain>[A-Za-z]++(?:['\u2019][A-Za-z]++)*+)(?=[ \n,?!;)]|\Z)"
_KEPT = "|".join(
    (
        r"(?s:```.{0,20000}?```)",  # a block of code
        r"`[^`\n]{1,200}`",
        r"(?:https?://|www\.)[^\s]+",
        r"\w[\w.+-]{0,63}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,4}",
        r"\w[\w-]{0,62}(?:\.[\w-]{1,63}){0,3}\.(?:com|org|net|gov|edu|io|html?|py|js|txt)\b[^\s,;)]*",
        r"\"[^\"\n]{1,600}\"",
        r"\u201c[^\u201c\u201d\n]{1,600}\u201d",
        r"(?<!\w)'(?=\w)(?:[^'\n]|(?<=\w)'(?=\w)){1,300}'(?!\w)",
        r"(?<!\w)\u2018(?:[^\u2018\u2019\n]|(?<=\w)\u2019(?=\w)){1,300}\u2019(?!\w)",
        r"<[^<>\n]{1,80}>",
        r"(?:[A-Za-z]\.){2,8}",
        r"(?:Mr|Mrs|Ms|Dr|Prof|St|vs|etc|Inc|Jr|Sr|approx|min|oz|tsp|tbsp|lb)\.",
        r"\$?\d[\w.,:/%\u00b0-]{0,40}",
    )
)
_WORD = r"(?P<word>[^\W_]++(?:['\u2019-][^\W_]++)*+)"
_MARK = r"(?P<mark>(?P<one>[\W_])(?P=one){3,}+|\.\.\.|[!?]{2,}+|.)"
_TOKEN = re.compile(rf"(?P<space>\s+)|{_PLAIN_WORD}|(?P<kept>{_KEPT})|{_WORD}|{_MARK}", re.DOTALL)
_END = frozenset(".?!\u2026") | {"..."}
_MINE = {"I": "i", "I'm": "i'm", "I'd": "i'd", "I'll": "i'll", "I've": "i've", "OK": "ok"}


@dataclass
class Sentence:
    """Tokens in order. `keys` is what rules match: a word in lower case with a straight apostrophe, or the mark itself.

    A name, and whatever else must stay as it is, has a key that no rule holds.
    """

    words: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    capital: bool = False
    """Whether the first word has a capital letter for no other reason than that it is the first."""
    first: int = -1
    """Where the first word stands, -1 where there is none."""

    def text(self) -> str:
        return "".join(gap + word for gap, word in zip(self.gaps, self.words, strict=True))


def split(turn: str) -> tuple[list[Sentence], str]:
    """The sentences of a turn and the space after the last. A line break ends one, too."""
    sentences: list[Sentence] = []
    current = Sentence()
    gap = ""
    ended = False
    for found in _TOKEN.finditer(turn):
        kind, text = found.lastgroup, found[0]
        if kind == "space":
            gap += text
            continue
        if current.words and ("\n" in gap or (ended and kind != "mark" and gap)):
            sentences.append(current)
            current = Sentence()
        if kind in {"plain", "word"}:
            key = _MINE.get(text.replace("\u2019", "'")) or text.replace("\u2019", "'")
            if current.first < 0:
                current.first = len(current.words)
            ended = False
        elif kind == "kept":
            key = f"\0{text}"
            ended = text[-2:-1] in _END and text[-1] in "\"'\u201d\u2019"
        else:
            key = "..." if text.startswith("..") else text[0]
            ended = key in _END or (ended and key in ")\"'")
        current.words.append(text)
        current.keys.append(key)
        current.gaps.append(gap)
        gap = ""
    if current.words:
        sentences.append(current)
    for sentence in sentences:
        _lower_first(sentence)
    return sentences, gap


def _lower_first(sentence: Sentence) -> None:
    """Give the first word its key in lower case, unless it looks like part of a name."""
    at = sentence.first
    if at < 0:
        return
    word = sentence.words[at]
    if not word[0].isupper() or sentence.keys[at] in classes()["mine"]:
        sentence.capital = word[0].isupper() and sentence.keys[at] in classes()["mine"]
        return
    lower = sentence.keys[at][0].lower() + sentence.keys[at][1:]
    following = sentence.words[at + 1] if at + 1 < len(sentence.words) else ""
    named = following[:1].isupper() and following.replace("\u2019", "'") not in _MINE
    if lower.islower() and (not named or lower in classes()["never a name"]):
        sentence.keys[at] = lower
        sentence.capital = True
