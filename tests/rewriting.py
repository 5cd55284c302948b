"""What the tests of rewriting share: what rewords by a script, and the stage as a process of its own, against a server of the tests.

with Server(Scripted()) as server, Rewording(folder, server.environment) as study:
    assert study.rewrite().code == 0
"""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from batch_server import Body, body_hash
from conftest import ROOT
from labelling import IN_ANSWER, MODEL, Ran, Study

from seal import versions
from seal.language_models.answers import Answer, Engine

PROMPT = ROOT / "prompts" / "rewrite.txt"
SHORT_PROMPT = "Say each turn in other words. Answer in JSON."
"""For a real model, which reads some dozen tokens in a second."""
FIRST, SECOND = "rewritten", "second"
INVALID = (f"I would rather not say, {IN_ANSWER}.", "stop")
TRUNCATED = (f'{{"turn_1": "{IN_ANSWER}', "length")


def turns_in(body: Body) -> list[str]:
    """The texts of the turns that a request is about."""
    return [turn["text"] for turn in json.loads(body["messages"][-1]["content"]).values()]


def version_of(body: Body) -> str:
    """Which rewriting a request asks for: the second one has another seed."""
    return FIRST if body.get("seed", 1) < 1000 else SECOND


def in_other_words(text: str, version: str = FIRST) -> str:
    """What `reworded` makes of a turn."""
    return f"{'Well' if version == FIRST else 'Now'}, {text}" if text else ""


def reworded(body: Body) -> str:
    """A valid answer, which tells the first rewriting from the second."""
    texts = turns_in(body)
    return json.dumps({f"turn_{number}": in_other_words(text, version_of(body)) for number, text in enumerate(texts, start=1)})


class Scripted:
    """Rewords whatever it is asked, but for what a test says, and notes what it was asked.

    `says` has, by words that stand in a request and the version that it asks for, what is answered in place of a rewording, call after
    call; the last one stays. An answer is content and finish_reason, None for a rewording, seconds after which that comes, or an exception
    to raise.
    """

    def __init__(self, says: dict[tuple[str, str], list[Any]] | None = None) -> None:
        self.says = says or {}
        self.asked: list[Body] = []
        self.engine = Engine(lambda body: Answer(*self(body), 100, 10))
        """In the place of a model in this process."""

    def __call__(self, body: Body) -> tuple[str, str]:
        self.asked.append(body)
        words = body["messages"][-1]["content"]
        script = next((said for (known, version), said in self.says.items() if known in words and version == version_of(body)), [None])
        said = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(said, Exception):
            raise said
        if said is None or isinstance(said, float):
            time.sleep(said or 0)
            return reworded(body), "stop"
        content, finish_reason = said
        return content, finish_reason

    def times(self, words: str, version: str = FIRST) -> int:
        """How often it was asked about a text with these words."""
        return sum(words in body["messages"][-1]["content"] and version_of(body) == version for body in self.asked)


class Rewording(Study):
    """Pairs, a prompt and what the stage that rewords makes of them; see Study, which looks for what may never be seen, too."""

    def rewrite(self, **options: Any) -> Ran:
        return self.wait(self.start_rewrite(**options))

    def start_rewrite(self, **options: Any) -> int:
        # The table has the name by which Study knows a file that is no text.
        given = {"pairs": "pairs.parquet", "rewriter": "openai", "model": MODEL, "prompt": "prompt.txt", "out": "versions/pairs.parquet"}
        given |= {"answers": "answers.jsonl", "invalid": "invalid.csv", "coverage": "coverage.json"}
        return self._start("rewrite.py", {"max_cost_usd": 1, "prices": f"{MODEL}=1/2", **given, **self.options, **options})

    @property
    def versions(self) -> pd.DataFrame:
        return versions.read(self.out)

    @property
    def out(self) -> Path:
        return self.folder / "versions" / "pairs.parquet"

    def files(self) -> dict[str, bytes]:
        """All that the stage writes."""
        names = ("answers.jsonl", "invalid.csv", "coverage.json")
        return {"versions": self.out.read_bytes()} | {name: (self.folder / name).read_bytes() for name in names}


def texts_of(table: pd.DataFrame, version: str, preference: str) -> dict[int, str]:
    """The texts of one version and side, by pair."""
    of = table[table["version"] == version]
    return dict(zip(of["pair_row_id"].tolist(), of[f"{preference}_text"].tolist(), strict=True))


def once_each(bodies: list[Body]) -> Counter[str]:
    """Every request once, as a server counts them."""
    return Counter({body_hash(body) for body in bodies})
