"""The length baseline: a reward model that knows nothing but how long a response is."""

from collections.abc import Sequence

import numpy as np

from seal import transcripts

LENGTH = "length"
"""What params call it in place of a model."""


def length_rewards(texts: Sequence[str]) -> np.ndarray:
    """Characters of each transcript's last turn, [texts]."""
    return np.array([len(transcripts.parse(text)[-1].content) for text in texts], dtype=np.float64)
