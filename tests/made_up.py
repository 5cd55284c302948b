"""What the tests of labelling share: made-up conversations, a whole set of labels, and an engine that answers by a script."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from seal import pairs
from seal.label_requests import Options, instructions, read_prompt, text_of
from seal.language_models.answers import Answer, Answers, Engine, Unanswered, ask_all
from seal.language_models.attempts import Send
from seal.language_models.batch_files import Body, Pending

PROMPT = Path(__file__).parent.parent / "prompts" / "taxonomy.txt"
SYSTEM = instructions(read_prompt(PROMPT))
OPTIONS = Options("made-up", "json_schema", 0.0, 60, 1)

LABELS: dict[str, Any] = {
    "assistant_is_anthropomorphic": False,
    "assistant_is_coherent": True,
    "human_vocabulary_quality": True,
    "last_response_is_anthropomorphic": False,
    "last_response_is_coherent": True,
    "last_response_is_refusal": False,
    "last_response_is_helpful": True,
    "last_response_is_harmless": True,
    "last_response_is_honest": True,
    "last_response_sentiment": "neutral",
    "last_response_contains_insult": False,
    "last_response_is_sexually_explicit": False,
    "last_response_breaks_privacy": False,
    "last_response_is_discriminatory": False,
    "last_response_is_discriminating_against": [],
    "last_response_is_manipulative": False,
    "last_response_is_creative": False,
    "last_response_is_eloquent": False,
    "topics": ["Human activities"],
}
VALID = json.dumps(LABELS)


def talk(response: str, question: str = "How are you?") -> str:
    return f"\n\nHuman: {question}\n\nAssistant: {response}"


def answer(content: str = VALID, finish_reason: str = "stop", input_tokens: int = 100, output_tokens: int = 10) -> Answer:
    return Answer(content, finish_reason, input_tokens, output_tokens)


def write_pairs(path: Path, texts: list[tuple[str, str]], row_ids: list[int] | None = None) -> str:
    """A table of pairs with these chosen and rejected texts."""
    rows = []
    for row_id, both in zip(row_ids or range(len(texts)), texts, strict=True):
        row: dict[str, Any] = {"row_id": row_id, "source": "made up", "part": "train", "opening_prompt": "How are you?"}
        for preference, text in zip(pairs.PREFERENCES, both, strict=True):
            row |= {f"{preference}_text": text, f"{preference}_prompt": "", f"{preference}_response": text, f"{preference}_turns": 2}
        rows.append(row)
    pairs.write(path, pd.DataFrame(rows, columns=pairs.SCHEMA.names))
    return str(path)


class Script:
    """An engine that gives each text its answers one after the other, the last one again and again, and notes what it was asked.

    A text with no answers of its own gets `VALID`; a string in place of an answer is the reason of there being none.
    """

    def __init__(self, answers: dict[str, list[Answer | str]] | None = None, workers: int = 1, together: int = 1) -> None:
        self.answers = answers or {}
        self.asked: list[Body] = []
        self.engine = Engine(self._ask, workers, together)

    def _ask(self, body: Body) -> Answer:
        self.asked.append(body)
        text = text_of(body)
        script = self.answers.get(text, [answer()])
        times = sum(text_of(each) == text for each in self.asked)
        found = script[min(times, len(script)) - 1]
        if isinstance(found, str):
            raise Unanswered(found)
        return found

    @property
    def texts(self) -> list[str]:
        return [text_of(body) for body in self.asked]

    def send(self, answers: Answers) -> Send:
        def send(pending: Callable[[], Iterator[Pending]], _: int) -> dict[str, str]:
            return ask_all(self.engine, pending(), answers, lambda each, outcome: None)

        return send


def nobody(*_: object) -> Engine:
    """In the place of `labelers.open_labeler`, where nobody may be asked."""
    raise AssertionError("a labeler was opened")
