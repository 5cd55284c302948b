"""From the rows of a source to the table of preference pairs, or the reason why a row is none."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from seal import transcripts
from seal.errors import InputError
from seal.pairs import PARTS, PREFERENCES, SCHEMA
from seal.sources import Row
from seal.transcripts import NotATranscript, Turn

REJECT_COLUMNS = ["row_id", "file", "row", "column", "found", "expected"]
EXPECTED = {
    "row": "an object with chosen and rejected",
    "prompt": "a text or a list of messages",
    "chosen": "an HH transcript or a list of messages that ends with the Assistant's turn, or with a prompt column the answer",
}
EXPECTED["rejected"] = EXPECTED["chosen"]


class Prepared(NamedTuple):
    """What `prepare` makes of the rows of a source."""

    pairs: pd.DataFrame
    rejects: pd.DataFrame
    counts: dict[str, Any]


class _Rejected(Exception):
    def __init__(self, column: str, found: str) -> None:
        self.column, self.found = column, found


def prepare(rows: Iterable[tuple[int, Row]], held_out: float, validation: float, seed: int) -> Prepared:
    """Turn rows into the table of pairs; a row that is no pair goes to the rejects, with the reason.

    Parameters
    ----------
    rows
        `(row_id, row)`, row_id being the row's position in the whole source.
    held_out, validation
        Shares of opening prompts, each in [0, 1], that go to these parts; the rest is for training.
    seed
        Seed of the split.
    """
    records, rejects, altered = [], [], 0
    for row_id, row in rows:
        try:
            sides, changed = _sides(row)
        except _Rejected as reject:
            rejects.append([row_id, row.file, row.line, reject.column, reject.found, EXPECTED[reject.column]])
            continue
        altered += changed
        opening = transcripts.opening_prompt(sides["chosen"].turns) or transcripts.opening_prompt(sides["rejected"].turns)
        record: dict[str, Any] = {
            "row_id": row_id,
            "source": row.source,
            "part": part_of(opening, held_out, validation, seed),
            "opening_prompt": opening,
        }
        for preference, side in sides.items():
            prompt, response = transcripts.prompt_and_response(side.turns)
            record |= {
                f"{preference}_text": side.text,
                f"{preference}_prompt": prompt,
                f"{preference}_response": response,
                f"{preference}_turns": len(side.turns),
            }
        records.append(record)
    pairs = pd.DataFrame(records, columns=SCHEMA.names)
    table = pd.DataFrame(rejects, columns=REJECT_COLUMNS)
    return Prepared(pairs, table, counts(pairs, table) | {"altered_texts": altered})


def part_of(opening_prompt: str, held_out: float, validation: float, seed: int) -> str:
    """The part that all pairs with this opening prompt belong to; the same under any limit, order or other data."""
    digest = hashlib.sha256(f"{seed}\n{opening_prompt}".encode()).digest()
    position = int.from_bytes(digest[:8]) / 2**64
    if position < held_out:
        return "held-out"
    return "validation" if position < held_out + validation else "train"


def counts(pairs: pd.DataFrame, rejects: pd.DataFrame) -> dict[str, Any]:
    """How many pairs of what kind there are; every odd kind is kept, and seen here."""
    texts = pairs[["chosen_text", "rejected_text"]]
    return {
        "rows": len(pairs) + len(rejects),
        "pairs": len(pairs),
        "rejects": len(rejects),
        "rejects_by_column": dict(sorted(Counter(rejects["column"]).items())),
        "opening_prompts": int(pairs["opening_prompt"].nunique()),
        "equal_texts": int((texts["chosen_text"] == texts["rejected_text"]).sum()),
        "duplicate_pairs": int(texts.duplicated().sum()),
        "unshared_prompts": int((pairs["chosen_prompt"] != pairs["rejected_prompt"]).sum()),
        "empty_responses": int(((pairs["chosen_response"] == "") | (pairs["rejected_response"] == "")).sum()),
        "pairs_by_part": {part: int((pairs["part"] == part).sum()) for part in PARTS},
        "pairs_by_source": dict(sorted(Counter(pairs["source"]).items())),
    }


def selection(rows: int, sample: int, seed: int) -> np.ndarray:
    """The positions of a random sample without replacement, in ascending order; all of them where `sample` is 0 or too large."""
    if sample == 0 or sample >= rows:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, size=sample, replace=False))


class _Side(NamedTuple):
    text: str
    turns: list[Turn]


def _sides(row: Row) -> tuple[dict[str, _Side], int]:
    """Both sides of a row, and how many of its texts had to be altered to be kept (line ends, NUL)."""
    if row.problem:
        raise _Rejected("row", row.problem)
    prompt: list[Turn] | None = None
    changed = 0
    value = row.values.get("prompt")
    if value is not None and value != "":
        try:
            prompt = _prompt_turns(value)
        except NotATranscript as problem:
            raise _Rejected("prompt", str(problem)) from None
        changed += _altered(value)
    sides = {}
    for preference in PREFERENCES:
        if preference not in row.values:
            raise _Rejected(preference, f"no such column, only {', '.join(map(repr, row.values)) or 'an empty object'}")
        value = row.values[preference]
        try:
            sides[preference] = _side(value, prompt)
            transcripts.prompt_and_response(sides[preference].turns)
        except NotATranscript as problem:
            raise _Rejected(preference, str(problem)) from None
        changed += _altered(value)
    return sides, changed


def _altered(value: object) -> bool:
    """Whether cleaning changed a text, or a message of a list."""
    if isinstance(value, str):
        return transcripts.clean(value) != value
    return isinstance(value, Sequence) and any(_altered(message.get("content")) for message in value if isinstance(message, dict))


def _prompt_turns(value: object) -> list[Turn]:
    if not isinstance(value, str):
        return transcripts.from_messages(value)
    text = transcripts.clean(value)
    try:
        turns = transcripts.parse(text)
    except NotATranscript:
        return [Turn(transcripts.HUMAN, text.strip())]
    if turns[-1] == Turn(transcripts.ASSISTANT, ""):  # the prompt ends with the marker that the answer follows
        turns.pop()
    return turns


def _side(value: object, prompt: list[Turn] | None) -> _Side:
    if value is None or isinstance(value, float):
        raise NotATranscript(f"no text ({json.dumps(value)})")
    if isinstance(value, str):
        text = transcripts.clean(value)
        if prompt is None or _repeats(text, prompt):
            return _Side(text, transcripts.parse(text))
        turns = [*prompt, Turn(transcripts.ASSISTANT, text.strip())]
    else:
        turns = transcripts.from_messages(value)
        if prompt and not _starts_with(turns, prompt):
            if turns[0].role == transcripts.SYSTEM:
                raise NotATranscript("message 0 with role 'system', where the answer to the prompt should stand")
            turns = [*prompt, *turns]
    text = transcripts.render(turns)
    return _Side(text, transcripts.parse(text))


def _starts_with(turns: list[Turn], prompt: list[Turn]) -> bool:
    """Whether a side repeats the prompt: some data sets do so, after a System turn of its own or without, and some do not."""
    return any(turns[start : start + len(prompt)] == prompt for start in range(1 + (turns[0].role == transcripts.SYSTEM)))


def _repeats(text: str, prompt: list[Turn]) -> bool:
    """Whether a text beside a prompt is no bare answer but the whole transcript."""
    try:
        turns = transcripts.parse(text)
    except NotATranscript:
        return False
    return bool(prompt) and _starts_with(turns, prompt) and turns[-1].role == transcripts.ASSISTANT


def raise_if_too_many(rejects: pd.DataFrame, rows: int, max_rejects: float) -> None:
    """Stop where more rows are rejected than allowed.

    Raises
    ------
    InputError
        If the rejects are more than the share `max_rejects` of all rows; it names the first one.
    """
    if rows and len(rejects) / rows > max_rejects:  # a product would be off by a digit: 0.29 * 100 < 29
        first = rejects.iloc[0]
        raise InputError(
            f"{first['file']}, row {first['row']}, column {first['column']}: {first['found']}; expected {first['expected']}. "
            f"{len(rejects)} of {rows} rows are like this and max-rejects allows {max_rejects:g} of them: "
            "mend the rows, or raise max-rejects to set them aside in the rejects table"
        )
