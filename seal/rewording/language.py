"""Whether a turn is English, so that words which only look English are left alone."""

from seal.rewording.lexicons import classes
from seal.rewording.tokens import Sentence

_ENOUGH = 400
"""Words of a turn that are looked at."""


def is_english(sentences: list[Sentence]) -> bool:
    """Told by the small words of English and of other languages; a turn with neither counts as English."""
    keys = [key.lower() for sentence in sentences for key in sentence.keys if key[0] != "\0"][:_ENOUGH]
    foreign = sum(key in classes()["foreign"] or (key.isalpha() and not key.isascii()) for key in keys)
    return foreign < 2 or foreign * 3 < sum(key in classes()["function"] for key in keys)
