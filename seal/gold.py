"""Gold labels: set by reading the text, the yardstick of labelers."""

from seal.files import text_hash

RESERVED = 0.5
"""Share of opening prompts whose gold is looked at only to score labelers, never to write a rule or to word a prompt."""


def reserved(opening_prompt: str) -> bool:
    """Whether the gold of the texts that start with this prompt is kept for scoring.

    By a hash of the prompt alone, so that it was settled before any labeler was written and no choice of ours can move it.
    """
    return int(text_hash(f"gold\n{opening_prompt}")[:16], 16) / 2**64 < RESERVED
