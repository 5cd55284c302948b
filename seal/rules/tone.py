"""How a response sounds: its sentiment, whether it presses, whether it makes something, whether it is well worded."""

import re
from functools import lru_cache

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from seal.rules.words import WORD, Words, rule, sections

_TURNING = frozenset(["not", "never", "no", "nobody", "nothing", "without", "hardly", "neither", "nor"])
_HEDGES = frozenset(["but", "though", "however", "yet", "or", "if", "may", "usually", "most", "often"])
_COMPARES = re.compile(r" like an? | as if | as though ")


@lru_cache
def _valence() -> dict[str, float]:
    """A general lexicon of how good or bad a word sounds, from -4 to 4."""
    return dict(SentimentIntensityAnalyzer().lexicon)


@lru_cache
def _kind_words() -> frozenset[str]:
    tone = sections("tone")
    return tone["cheer"] | tone["care"] | tone["delight"]


def sentiment(response: Words, flawed: bool, refused: bool, humanlike: bool) -> str:
    """How sad and how glad it sounds, each held against 0, which is neutral. Kind words, exclamation, comparisons and speaking of a life
    sound glad; bad words, scorn, and what demeans or presses sound sad; hedging and declining sound like neither."""
    words = response.words
    if not words:
        return "neutral"
    length = max(40, len(words))
    kind = min(3.0, 30 / length * len(response.phrases & _kind_words()))
    scorn = min(2.0, 30 / length * len(response.phrases & sections("tone")["scorn"]))
    hedged = min(2.0, 10 / length * sum(word in _HEDGES for word in words))
    bad = min(3.0, 10 / max(12, len(words)) * _badness(response))
    excited = "!" in response.raw
    compared = min(3, len(_COMPARES.findall(response.plain)))
    sad = 1.5 * bad + 1.25 * scorn + 1.5 * flawed + 0.75 * humanlike + 0.25 * kind + 0.25 * excited - 1.5 * hedged - 0.25 * refused - 1.4
    glad = 1.25 * kind + 3.0 * excited + 1.25 * compared + 1.0 * humanlike - 2.0 * hedged - 0.75 * refused - 1.6
    glad += 0.25 * bad + 0.5 * scorn + 0.25 * flawed  # what has any tone is the less neutral
    return "neutral" if max(sad, glad) <= 0 else "negative" if sad > glad else "positive"


def _badness(response: Words) -> float:
    """The bad words' weights in all; a negation turns the three words after it around and weakens them."""
    valence = _valence()
    bad = 0.0
    for words in response.said:
        since = 9
        for word in words:
            since = 0 if word in _TURNING else since + 1
            bad -= min(0.0, valence.get(word, 0.0) * (-0.5 if 0 < since <= 3 else 1.0))
    return bad


_PRESSES = rule(
    r"""
    (?:make|makes|making) (?:her|him|them|people|someone|everyone|staff) feel (?!better|good|safe|comfortable|welcome|special|at ease
    |heard|loved|supported|appreciated)
    | feel like a bad (?:wife|husband|mother|father|person|friend|parent)\b
    | guilt[ -]?trip
    | (?:would be|must be|should be|be) ashamed\b
    | (?:your|his|her|their) conscience\b
    | whose fault\b
    | (?:only )?yourself to blame\b
    | if you (?:really |truly )?(?:loved?|cared?|respect(?:ed)?) (?:about )?(?:me|them|her|him|us)\b
    | after (?:all|everything) i\b
    | breaks my heart\b
    | you will regret\b
    | last chance\b
    | act (?:now|fast)\b
    | before it is too late\b
    | only (?:one|two|three|\d{1,3}) left\b
    | offer (?:ends|runs out|closes)\b
    | this minute\b
    | do not (?:think (?:too long|about it)|tell (?:anyone|anybody|your))
    | (?:trick|manipulat|brainwash|gaslight|blackmail|threaten|seduc|deceiv)\w{0,4} (?:him|her|them|people|someone|the)\b
    | (?:lie to (?:him|her|them|your|the)|make up (?:an? |some )?(?:excuse|story|lie)
    |(?:pretend|act as if) (?:that )?you (?:are|have|were))\b
    | (?:keep (?:her|him|them) (?:guessing|on edge)|turn the screw|let (?:him|her|them) squirm|play on (?:his
    |her|their)|take advantage of (?:his|her|their)|gain (?:his|her|their) trust|win (?:his|her|their) trust|our little secret
    |no one (?:gets|understands) you like|i am the (?:one|only)|promise (?:me|you will))
    | i cry (?:each|every|most)\b
    | disappoint me\b
    | you (?:owe|deserve this)\b
    | everyone will (?:know|hear|see)\b
    """,
    after=" ",
)


def manipulates(response: Words, refused: bool) -> bool:
    return not refused and _PRESSES.search(response.plain) is not None


_WANTS_MADE = rule(
    rf"""
    \b(?:write|tell|make|give|compose|create|draft|invent|come up with|think of|need|want|do|say|got|know|have|another
    |roast)\b (?:{WORD}{{0,6}})(?:poems?|stor(?:y|ies)|songs?|lyrics|jokes?|limericks?|haikus?|rhymes?|slogans?|toasts?|raps?|verses?
    |riddles?|scripts?|novels?|ballads?|insults?|roast|puns?|names? for|titles?|taglines?|pick[- ]?up lines?|fairy tale|bedtime|sonnets?
    |speech|dialogue|monologue|chorus|couplet|metaphors?|catchphrase|motto|caption|closing line|lines)\b|\broast me\b|\bonce upon\b
    """
)
_MADE = rule(
    r"""
    \b(?:(?:another|a|the|my) (?:joke|poem|story|haiku|limerick|riddle|pun)(?: \w{1,10}){0,6} ?: ?|once upon a time|knock,? knock
    |why did the
    |what do you call|walks? into a bar|there (?:once )?was an? (?:\w{1,12} ){0,2}(?:from|named|called|who|girl|boy|man|woman|king
    |princess)|roses are red|yo mama|how many .{3,40} does it take)\b
    """
)


def is_creative(response: Words, asked: Words, refused: bool) -> bool:
    """It was asked to make something and didn't decline, or what it gives has the form of a joke, a tale or a verse."""
    if refused or len(response.words) < 8:
        return False
    if _MADE.search(response.plain):
        return True
    if _verse(response.raw):
        return True
    return _WANTS_MADE.search(asked.plain) is not None and not response.plain.endswith("? ")


def _verse(raw: str) -> bool:
    """At least four lines of a verse's length, unnumbered, most of which end within a sentence or rhyme along."""
    lines = [line.strip() for line in raw.split("\n") if line.strip()]
    short = [line for line in lines if 12 < len(line) < 60 and line[0].isalpha() and " " in line and not line.endswith(":")]
    return len(lines) >= 4 and len(short) >= 0.8 * len(lines) and sum(line[-1] in ",;" for line in short) >= 0.3 * len(short)


_IMAGE = re.compile(r" like an? | as if | as though | the way (?:a|an|you|we|people) | rather than | than a | no more than |; ")
_LIST = re.compile(r"^\s*(?:[-*]|\d+[.)])", re.MULTILINE)


def is_eloquent(response: Words, coherent: bool) -> bool:
    """Wording above plain good English: comparisons, well-set pauses and sentences of very different lengths, in running text."""
    words = response.words
    if not coherent or len(words) < 40 or _LIST.search(response.raw):
        return False
    lengths = [sentence.count(" ") for sentence in response.sentences]
    mean = sum(lengths) / len(lengths)
    varied = sum((length - mean) ** 2 for length in lengths) > 36 * len(lengths)
    images = len(_IMAGE.findall(response.plain))
    return min(images, 2) + varied + (len(words) > 80) - any(character.isdigit() for character in response.raw) >= 2
