"""Gold labels: set by reading the text, the yardstick of labelers."""

from pathlib import Path

import pandas as pd

from seal import taxonomy
from seal.errors import InputError
from seal.files import text_hash
from seal.label_agreement import aligned

NONE = "none"
"""What a user names in the place of a table where there is no gold."""

RESERVED = 0.5
"""Share of opening prompts whose gold is looked at only to score labelers, never to write a rule or to word a prompt."""


def reserved(opening_prompt: str) -> bool:
    """Whether the gold of the texts that start with this prompt is kept for scoring.

    By a hash of the prompt alone, so that it was settled before any labeler was written and no choice of ours can move it.
    """
    return int(text_hash(f"gold\n{opening_prompt}")[:16], 16) / 2**64 < RESERVED


def read(path: str | Path) -> pd.DataFrame | None:
    """Read a table of gold labels: row_id, preference, text_sha256, then the features; None where the user says that there is `NONE`.

    Raises
    ------
    InputError
        As `taxonomy.read`, or if nothing is named.
    """
    if path in ("", "None"):  # as DVC writes a key without a value
        raise InputError("gold is not set; name a table of gold labels, or none where there are none")
    return None if path == NONE else taxonomy.read(path, text=False)


def join(labels: pd.DataFrame, gold: pd.DataFrame, path: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The texts that a labeler and gold both know. Either may know some that the other does not.

    Parameters
    ----------
    labels
        A table of labels with the texts, as `taxonomy.read` gives it.
    gold
        As `read` gives it.
    path
        Where gold was read from, for the message.

    Returns
    -------
    The rows of both tables, in the same order.

    Raises
    ------
    InputError
        If a text is not the one that gold was set for.
    """
    known, yardstick = aligned(labels, gold)
    texts = zip(known["row_id"], known["preference"], known["text"], yardstick["text_sha256"], strict=True)
    for row_id, preference, text, expected in texts:
        if text_hash(text) != expected:
            raise InputError(
                f"{path}: row_id {row_id}, {preference}: the labelled text is not the one that gold was set for (their SHA-256 differ); "
                "this is gold of another data set, or of another state of it: set gold to none, or to gold of these texts"
            )
    return known, yardstick
