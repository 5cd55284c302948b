"""What a conversation is about, by the keywords in it."""

from seal.rules.words import Words, sections

_AT_MOST = 3


def topics(human: list[Words], response: Words) -> list[str]:
    """The topics with the most keywords, the human's words counting twice, the main one first; one with few beside it is left out."""
    keywords = sections("topics")
    asked = frozenset().union(*(turn.phrases for turn in human))
    points = {topic: 2 * len(asked & entries) + len(response.phrases & entries) for topic, entries in keywords.items()}
    ranked = sorted((topic for topic in points if points[topic]), key=lambda topic: (-points[topic], topic))
    if not ranked:
        return ["People and self"]
    return [topic for topic in ranked if points[topic] >= max(2, 0.5 * points[ranked[0]])][:_AT_MOST] or ranked[:1]
