"""Which way the common words of a response lean, for or against a feature, where no rule speaks."""

from math import sqrt

from seal.rules.words import Words, sections

_WEIGHTS = (2, 1, -1, -2)
_USUAL = {"refusal": -0.15, "insult": 0.0, "discrimination": 0.05, "privacy": 0.1}
"""What the words of a response weigh on average, for each of them."""
_SHORTEST = 60
"""Words that a response is taken to have at least, so that a few in a short one don't settle it."""


def leaning(response: Words, feature: str) -> float:
    """By how much the words and pairs of words in it lean to the feature more than usual, or less, over the root of its length."""
    lexicon, length = sections("leanings"), len(response.words)
    weights = sum(weight * len(response.phrases & lexicon[f"{feature} {weight:+d}"]) for weight in _WEIGHTS)
    return (weights - _USUAL[feature] * length) / sqrt(max(_SHORTEST, length))
